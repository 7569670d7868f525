"""The plain door over HTTP, as an online service sees it."""

from __future__ import annotations

import http.client
import json
import uuid

import pytest
from stage import ANMELDEN, ANMELDUNG, BAUANTRAG, BAUEN, CANARY, SCHEMAS, TAUNUSSTEIN, WIESBADEN

from hub.crypto import claims_of, verify_receipt

DEEP = b"[" * 5000 + b"]" * 5000

BAD_INPUT = {
    "malformed XML": ({"data": b"<a"}, 400, "malformed"),
    "malformed JSON": ({"data": b'{"a":', "kind": "application/json"}, 400, "malformed"),
    "an external entity": (
        {"data": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'},
        400,
        "malformed",
    ),
    "an entity bomb": (
        {"data": b'<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>'},
        400,
        "malformed",
    ),
    "a depth bomb in JSON": ({"data": DEEP, "kind": "application/json"}, 413, "payload-too-large"),
    "a depth bomb in XML": ({"data": b"<a>" * 5000 + b"</a>" * 5000}, 413, "payload-too-large"),
    "NaN": ({"data": b'{"a": NaN}', "kind": "application/json"}, 400, "malformed"),
    "duplicate keys": ({"data": b'{"a": 1, "a": 2}', "kind": "application/json"}, 400, "malformed"),
    "a wrong media type": ({"kind": "text/csv"}, 415, "unsupported-media-type"),
    "no media type": ({"headers": {"Content-Type": ""}}, 415, "unsupported-media-type"),
    "an unknown schema": ({"data": b'<x xmlns="urn:unknown"/>'}, 422, "unknown-schema"),
    "a schema that is not there": ({"schema": "urn:no:such:schema"}, 422, "unknown-schema"),
    "an unknown service": ({"service": "urn:de:fim:leika:leistung:99999999999999"}, 422, "no-route"),
    "a service of another authority": ({"service": ANMELDEN}, 422, "no-route"),
    "an area that is none": ({"ars": "0643"}, 400, "schema-violation"),
    "an unknown parameter": ({"sevrice": "x"}, 400, "schema-violation"),
}


@pytest.mark.parametrize(
    ("kind", "xml"),
    [
        ("text/xml", True),
        ("text/xml; charset=utf-8", True),
        ("application/vnd.xoev+xml", True),
        ("Application/FIM+JSON", False),
    ],
)
def test_data_are_taken_for_what_their_media_type_is_at_heart(served, kind: str, xml: bool):
    service, ars, data = (BAUEN, TAUNUSSTEIN, BAUANTRAG) if xml else (ANMELDEN, WIESBADEN, ANMELDUNG)
    where, head = {"service": service, "ars": ars}, {"Content-Type": kind}
    taken = served.post("/hub/v1/applications", params=where, data=data, headers=head)
    assert taken.status_code == 202, taken.text
    assert served.post("/hub/v1/validations", data=data, headers=head).json()["valid"]
    in_parts = served.post("/hub/v1/applications", params=where, files={"data": ("a", data, kind)})
    assert in_parts.status_code == 202, in_parts.text


def test_another_media_type_is_refused_with_those_that_are_taken(served):
    for path in ("/hub/v1/applications", "/hub/v1/validations"):
        answer = served.post(path, params={"service": BAUEN}, data=BAUANTRAG, headers={"Content-Type": "text/html"})
        assert answer.status_code == 415
        assert all(kind in answer.json()["detailDe"] for kind in ("application/xml", "text/xml", "application/json"))
    only_json = served.post("/v2/submissions", data=b"{}", headers={"Content-Type": "text/xml"})
    assert only_json.status_code == 415


def nothing_stored(served) -> bool:
    return served.stage.hub.store.submissions.cases().total == 0 and not any(
        served.stage.hub.blobs.names(served.stage.clock())
    )


@pytest.mark.parametrize(("request_", "status", "slug"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_gets_a_clear_problem_and_nothing_is_stored(served, request_, status, slug):
    answer = served.submit(**request_)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:rathaus-hub:problem:{slug}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "" != problem["detailDe"] != problem["detailEn"] != ""
    assert nothing_stored(served)


def test_too_large_a_body_is_refused_before_it_is_read(served):
    line = http.client.HTTPConnection(served.base_url.removeprefix("http://"), timeout=10)
    path = f"/hub/v1/applications?service={BAUEN}&ars={TAUNUSSTEIN}"
    line.putrequest("POST", path)
    for name, value in {
        **served.session.headers,
        "Content-Type": "application/xml",
        "Content-Length": "3" + "0" * 9,
    }.items():
        line.putheader(name, value)
    line.endheaders()
    answer = line.getresponse()
    assert (answer.status, json.loads(answer.read())["type"]) == (413, "urn:rathaus-hub:problem:payload-too-large")
    line.close()


def test_without_a_token_nothing_is_told(served):
    del served.session.headers["Authorization"]
    answer = served.submit()
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_foreign_token_is_refused(served):
    served.session.headers["Authorization"] = "Bearer " + ".".join(["e30"] * 3)
    assert served.submit().status_code == 401


def test_an_expired_token_is_refused(served):
    served.stage.clock.pass_(minutes=31)
    assert served.submit().status_code == 401


def test_a_receiver_may_not_submit(served):
    login = {"grant_type": "client_credentials", **served.stage.cast["subscriber"]}
    token = served.session.post(f"{served.base_url}/token", data=login, timeout=30).json()["access_token"]
    served.session.headers["Authorization"] = f"Bearer {token}"
    assert served.submit().status_code == 403


def test_a_reused_key_with_another_body_is_a_conflict(served):
    key = {"headers": {"Idempotency-Key": "k-1"}}
    assert served.submit(**key).status_code == 202
    answer = served.submit(BAUANTRAG + b"\n", headers={"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:rathaus-hub:problem:idempotency-conflict")
    assert served.stage.hub.store.submissions.cases().total == 1


def test_a_repeat_gets_the_same_answer_even_if_its_multipart_boundary_changed(served):
    where = {"service": ANMELDEN, "ars": WIESBADEN}
    parts = {"data": ("a.json", ANMELDUNG, "application/json"), "nachweis": ("n.pdf", b"%PDF", "application/pdf")}
    head = {"Idempotency-Key": "k-2"}
    first = served.post("/hub/v1/applications", params=where, files=parts, headers=head)
    second = served.post("/hub/v1/applications", params=where, files=parts, headers=head)
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()


def test_an_accepted_application_gets_its_receipt_and_its_links(served):
    answer = served.submit()
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == body["status"]
    claims = verify_receipt(body["receipt"], served.get("/hub/v1/jwks.json").json())
    assert claims["sub"] == f"submission:{body['submissionId']}"
    again = served.get(f"/hub/v1/applications/{body['submissionId']}/receipt")
    assert (again.text, again.headers["Content-Type"].partition(";")[0]) == (body["receipt"], "application/jose")


def test_links_and_issuer_are_the_canonical_address_whatever_the_request_was_sent_to(served):
    canonical = served.stage.hub.settings.canonical_url
    assert canonical != served.base_url
    body = served.submit(headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}).json()
    assert body["status"].startswith(canonical)
    assert claims_of(body["receipt"])["iss"] == canonical


def test_the_sender_sees_state_and_history(served):
    submission_id = served.submit().json()["submissionId"]
    progress = served.get(f"/hub/v1/applications/{submission_id}").json()
    assert (progress["state"], progress["delivery"]) == ("submitted", "queued")
    assert [step["step"] for step in progress["history"]] == ["create-submission", "submit-submission"]


def test_another_senders_application_is_not_found(served):
    assert served.get(f"/hub/v1/applications/{uuid.uuid4()}").status_code == 404


def test_an_invalid_payload_comes_back_with_every_violation(served):
    broken = (SCHEMAS / "bauantrag/1.0/examples/bad-ohne-flurstueck.xml.element-missing.xml").read_bytes()
    problem = served.submit(broken).json()
    violation, missing = problem["violations"]
    assert (violation["rule"], missing["rule"]) == ("xml.element-missing", "attachment.missing")
    assert violation["path"].endswith("grundstueck[1]")
    assert violation["line"] > 1


def test_validation_alone_answers_200_whatever_comes_out(served):
    broken = (SCHEMAS / "bauantrag/1.0/examples/bad-postleitzahl.xml.pattern.xml").read_bytes()
    head = {"Content-Type": "application/xml"}
    bad = served.post("/hub/v1/validations", data=broken, headers=head)
    good = served.post("/hub/v1/validations", data=BAUANTRAG, headers=head)
    assert (bad.status_code, bad.json()["valid"], good.json()["valid"]) == (200, False, True)
    assert nothing_stored(served)


def test_the_area_may_be_given_as_ags(served):
    answer = served.post(
        "/hub/v1/applications",
        params={"service": BAUEN, "ags": "06439015"},
        data=BAUANTRAG,
        headers={"Content-Type": "application/xml"},
    )
    assert answer.status_code == 202


def test_the_route_is_explained(served):
    explained = served.get("/hub/v1/routes/explain", params={"service": BAUEN, "ars": TAUNUSSTEIN}).json()
    assert (explained["rule"], explained["access"]) == ("rtk-bauaufsicht", "open")
    assert any("06439" in line for line in explained["lines"]["de"])


def test_the_other_name_of_a_service_is_understood_wherever_one_is_asked_for(served):
    other = BAUEN.replace(":leika:", ":")
    assert other != BAUEN
    explained = served.get("/hub/v1/routes/explain", params={"service": other, "ars": TAUNUSSTEIN}).json()
    assert (explained["rule"], explained["service"]) == ("rtk-bauaufsicht", BAUEN)
    reports = [
        served.post(
            "/hub/v1/validations", params={"service": name}, data=BAUANTRAG, headers={"Content-Type": "application/xml"}
        ).json()
        for name in (BAUEN, other)
    ]
    assert reports[0] == reports[1]
    assert reports[0]["valid"]


def test_health_tells_the_truth(served):
    assert served.get("/health/live").json() == {"status": "ok"}
    assert served.get("/health/ready").json()["checks"] == {"database": True, "disk": True, "keys": True}
    served.stage.hub.store.close()
    answer = served.get("/health/ready")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, False)


def test_schemas_are_listed_and_shown(served):
    listed = served.get("/hub/v1/schemas").json()["schemas"]
    for version in ("1.0", "1.1", "1.2"):
        wanted = ("bauantrag", version)
        uri = next(entry["uri"] for entry in listed if (entry["standard"], entry["version"]) == wanted)
        entry = served.get("/hub/v1/schemas/entry", params={"uri": uri}).json()
        assert entry["version"] == version
    declared = {each["standard"]: each["attachments"] for each in listed}
    (proof,) = declared["fim-hundesteuer"]
    assert (proof["at"], proof["required"]) == ("/ermaessigung/nachweisDatei", False)
    assert declared["fim-formloser-antrag"] == []


def test_a_multipart_body_carries_metadata_and_attachments(served):
    parts = {
        "data": ("a.json", ANMELDUNG, "application/json"),
        "metadata": (
            "m.json",
            json.dumps({"author": None, "attachments": {"nachweis": {"purpose": "form", "filename": None}}}),
            "application/json",
        ),
        "nachweis": ("n.pdf", CANARY.encode() * 10_000, "application/pdf"),
    }
    answer = served.post("/hub/v1/applications", params={"service": ANMELDEN, "ars": WIESBADEN}, files=parts)
    assert answer.status_code == 202


BAD_PARTS = {
    "no data part": {"other": ("x", b"x", "text/plain")},
    "a data part of another type": {"data": ("x", b"a;b", "text/csv")},
    "metadata that is not JSON": {"data": ("x", ANMELDUNG, "application/json"), "metadata": ("m", b"{", "x/y")},
}


@pytest.mark.parametrize("parts", BAD_PARTS.values(), ids=BAD_PARTS)
def test_bad_parts_are_refused_and_dropped(served, parts):
    answer = served.post("/hub/v1/applications", params={"service": ANMELDEN, "ars": WIESBADEN}, files=parts)
    assert answer.status_code == 400
    assert nothing_stored(served)


def test_a_file_field_that_nobody_filled_is_no_attachment(served):
    where = {"service": ANMELDEN, "ars": WIESBADEN}
    boundary, lines = "frontier", []
    for head, content in (
        ('name="data"; filename="a.json"\r\nContent-Type: application/json', ANMELDUNG),
        ('name="nachweis"; filename=""\r\nContent-Type: application/octet-stream', b""),
        ('name="leer"; filename="leer.txt"\r\nContent-Type: text/plain', b""),
    ):
        lines += [f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode(), content, b"\r\n"]
    body = b"".join([*lines, f"--{boundary}--\r\n".encode()])
    head = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = served.post("/hub/v1/applications", params=where, data=body, headers=head)
    assert answer.status_code == 202, answer.text
    message = served.stage.hub.store.submissions.message(uuid.UUID(answer.json()["submissionId"]))
    assert len(message.contents.attachments) == 1
