"""Onboarding over the API: handed in by one, released by another, tested, put into service; all faults at once."""

from __future__ import annotations

import io
import json
import zipfile

IDSTEIN = "064390008008"


def test_programs_take_an_authority_in_and_two_people_answer_for_it(office):
    hub = office.stage.hub
    kept = hub.store.parties.keys(office.stage.destination_id("Rheingau-Taunus-Kreis, Bauaufsicht"))
    keys = {"encryptionKey" if each.use == "wrapKey" else "signingKey": json.dumps(dict(each.jwk)) for each in kept}
    berta, doris, walter = (office.as_(name) for name in ("berta", "doris", "walter"))
    row = {"name": "Stadt Idstein", "ars": IDSTEIN, "contact": "amt@idstein.example", **keys}
    wrong = [row | {"contact": "niemand"}, row | {"ars": "064399999999", "signingKey": "x"}]
    answer = berta.post("/onboarding", json={"rows": wrong})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, "onboarding-faults")
    assert [(each["row"], each["column"]) for each in answer.json()["faults"]] == [
        (1, "contact"),
        (2, "ars"),
        (2, "signingKey"),
    ]
    private = berta.post("/onboarding", json={"rows": [row | {"signingKey": "-----BEGIN PRIVATE KEY-----"}]})
    assert private.status_code == 422
    looked = berta.post("/onboarding", json={"rows": [row], "checkOnly": True})
    assert (looked.status_code, looked.json().get("run"), looked.json()["rows"][0]["new"]) == (200, None, True)
    made = berta.post("/onboarding", json={"rows": [row], "title": "Idstein"})
    assert made.status_code == 201
    run = f"/onboarding/runs/{made.json()['run']['run']}"
    assert berta.post(f"{run}/release", json={}).status_code == 403
    assert walter.get(run).status_code == 404
    assert walter.get(f"/onboarding/areas/{IDSTEIN}").status_code == 404
    released = doris.post(f"{run}/release", json={"text": "geprüft"})
    assert (released.status_code, released.json()["made"]) == (200, 1)
    assert doris.get("/onboarding", params={"q": "idstein"}).json()["authorities"][0]["missing"] == ["test", "ready"]
    tested = berta.post(f"/onboarding/areas/{IDSTEIN}/test", json={})
    assert (tested.status_code, tested.json()["good"]) == (200, True)
    assert doris.post(f"{run}/live", json={}).json() == {"areas": [IDSTEIN]}
    assert doris.get(f"/onboarding/areas/{IDSTEIN}").json()["stage"] == "live"
    pack = doris.get(f"/onboarding/areas/{IDSTEIN}/pack")
    assert zipfile.ZipFile(io.BytesIO(pack.content)).namelist() == ["connector.toml", "LIESMICH.txt"]
    assert doris.get("/onboarding/runs").json()["runs"][0]["state"] == "approved"
    again = berta.post("/onboarding", json={"rows": [row]})
    assert (again.status_code, again.json().get("run")) == (200, None)
    assert doris.post(f"{run}/refuse", json={}).status_code == 409
