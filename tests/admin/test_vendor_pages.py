"""Vendors on pages and over the API: admitted, delegated to, parted with, each by who may, and a key by two people."""

from __future__ import annotations

import json
import re

from stage import BAUEN

from hub.model import EVERYTHING, ROOT


def jwk(stage):
    (first, *_) = stage.hub.store.parties.destinations(scope=EVERYTHING, limit=1).items
    keys = stage.hub.store.parties.keys(first.destination_id)
    return dict(next(each.jwk for each in keys if each.use == "verify")) | {"kid": "werk-2026"}


def test_a_vendor_is_admitted_delegated_to_and_parted_with_on_its_page(pages):
    otto, anton = pages.as_("otto"), pages.as_("anton")
    assert otto.post("/vendors", name="").status_code == 422
    made = otto.post("/vendors", name="Werk <b>", contact="amt@werk.example")
    here = "/vendors/" + re.search(r"/vendors/([0-9a-f-]{36})", made.url)[1]
    assert "Werk &lt;b&gt;" in otto.get("/vendors", params={"q": "werk"}).text
    assert "handelt der Hersteller für niemanden" in otto.get(here).text
    page = otto.post(f"{here}/delegate", tenant=ROOT, service=BAUEN)
    delegation = re.search(r'name="delegation" value="([^"]+)"', page.text)[1]
    assert BAUEN in page.text
    page = otto.post(f"{here}/client", client=pages.stage.sender, product="Netz/4.2.1")
    assert "Netz 4.2.1" in page.text
    assert otto.post(f"{here}/client", client=pages.stage.sender, product="Netz").status_code == 422
    assert "entzogen von otto" in otto.post(f"{here}/withdraw", delegation=delegation).text
    assert otto.post(f"{here}/withdraw", delegation=delegation).status_code == 404
    assert "Netz 4.2.1" not in otto.post(f"{here}/client", client=pages.stage.sender, step="drop").text
    page = otto.post(f"{here}/key", pasted=json.dumps(jwk(pages.stage)))
    assert "Zurücknehmen" in page.text
    assert otto.post(f"{here}/key/decide", kid="werk-2026", step="approve").status_code == 403
    assert "Freigeben" in anton.get(here).text
    assert anton.post(f"{here}/key/decide", kid="werk-2026", step="approve").status_code == 200
    assert "stillgelegt" in otto.post(f"{here}/key/decide", kid="werk-2026", step="retire").text
    for step in ("delegate", "withdraw", "client", "key", "key/decide"):
        assert pages.as_("viktor").post(f"{here}/{step}").status_code == 403


def test_programs_admit_and_delegate_as_people_do_and_read_what_holds(office):
    otto, anton, viktor = (office.as_(name) for name in ("otto", "anton", "viktor"))
    sender = office.stage.sender
    made = otto.post("/vendors", json={"name": "Werk"})
    assert (made.status_code, made.headers["Location"]) == (201, f"/hub/v1/vendors/{made.json()['vendorId']}")
    here = f"/vendors/{made.json()['vendorId']}"
    assert otto.post("/vendors", json={"name": "werk"}).status_code == 409
    assert viktor.post("/vendors", json={"name": "Werkzwei"}).status_code == 403
    put = otto.call("PUT", f"{here}/clients/{sender}", json={"product": "Netz", "version": "4.2"})
    assert put.json()["product"] == "Netz"
    given = otto.post(f"{here}/delegations", json={"tenantId": ROOT})
    assert given.status_code == 201
    key = otto.post(f"{here}/keys", json=jwk(office.stage))
    assert (key.status_code, key.json()["state"]) == (202, "open")
    assert otto.call("PATCH", f"{here}/keys/werk-2026", json={"decision": "approve"}).status_code == 403
    assert anton.call("PATCH", f"{here}/keys/werk-2026", json={"decision": "approve"}).json()["state"] == "approved"
    shown = viktor.get(here).json()
    assert [each["clientId"] for each in shown["clients"]] == [sender]
    assert [each["withdrawnAt"] for each in shown["delegations"]] == [None]
    assert viktor.get("/vendors", params={"q": "wer"}).json()["totalCount"] == 1
    delegation = f"{here}/delegations/{given.json()['delegationId']}"
    assert otto.call("DELETE", delegation).status_code == 204
    assert otto.call("DELETE", delegation).status_code == 404
    assert otto.call("DELETE", f"{here}/clients/{sender}").status_code == 204
    assert viktor.get(here).json()["clients"] == []
    assert [action for action, _, _ in office.audited() if "vendor" in action] == [
        *("vendor.add", "client.vendor", "vendor.delegate", "vendor.key.propose", "vendor.key.approve"),
        *("vendor.withdraw", "client.vendor"),
    ]
