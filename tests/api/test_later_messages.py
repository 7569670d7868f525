"""Later messages in a case at the plain door: another application, a correction, a withdrawal, an answer to a reply."""

from __future__ import annotations

import json
import threading
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson
import pytest
from sealed_door import Door, Sent, kinds, shared_door  # noqa: F401  # shared_door is a fixture
from sealed_replies import reply_to
from stage import ANMELDEN, ANMELDUNG, BAUANTRAG, BAUEN, TAUNUSSTEIN, WIESBADEN

from hub.crypto import claims_of, decrypt, read_decryption_key, verify_receipt
from hub.model import MESSAGE_SCHEMA, CaseMessage, CaseMessageKind, ClientKind
from hub.model.events import EventKind, own_event
from hub.model.submission import State

PROBLEM = "urn:rathaus-hub:problem:"
WITHDRAWAL, ANSWER = CaseMessageKind.WITHDRAWAL, CaseMessageKind.ANSWER


def submit(door: Door, data: bytes = BAUANTRAG, *, client=None, key: str | None = None, **query: str):
    """Ask the plain door; service and area are those of the building application unless named."""
    where = {"service": BAUEN, "ars": TAUNUSSTEIN, **query}
    kind = "application/json" if data[:1] == b"{" else "application/xml"
    headers = [("Content-Type", kind), *([("Idempotency-Key", key)] if key else [])]
    return (client or door.sender).ask("POST", f"/hub/v1/applications?{urlencode(where)}", *headers, body=[data])


def say(door: Door, case_id: str, kind: CaseMessageKind, about: str, text: str = "", **query: str):
    message = CaseMessage(kind=kind, about=UUID(about), text=text).content()
    return submit(door, message, caseId=case_id, schema=MESSAGE_SCHEMA, **query)


def taken(answer) -> dict:
    assert answer.status == 202, answer.body
    found: dict = answer.json
    return found


def refused(answer, status: int, slug: str) -> bool:
    assert (answer.status, answer.json["type"]) == (status, PROBLEM + slug), answer.body
    assert answer.json["detailDe"] != answer.json["detailEn"]
    return True


def opened(door: Door, submission_id: str) -> tuple[dict, bytes, list[bytes]]:
    """What the authority opens: metadata, data, attachments."""
    message = door.hub.store.submissions.message(UUID(submission_id))
    keys = [read_decryption_key(door.stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)]

    def of(sealed) -> bytes:
        return decrypt(b"".join(door.hub.blobs.chunks(sealed)), keys, max_output=1_000_000)

    contents = message.contents
    return orjson.loads(of(contents.metadata)), of(contents.data), [of(each) for each in contents.attachments.values()]


def test_another_application_goes_into_the_same_case_with_a_receipt_of_its_own(door: Door):
    first = taken(submit(door))
    second = taken(submit(door, caseId=first["caseId"]))
    assert (second["caseId"], second["submissionId"] == first["submissionId"]) == (first["caseId"], False)
    claims = verify_receipt(second["receipt"], door.hub.keys.hub_jwks())
    assert claims["inCase"] == {"kind": "application", "about": None}
    assert claims["eventLog"]["seq"] == claims_of(first["receipt"])["eventLog"]["seq"] + 2
    assert "inCase" not in claims_of(first["receipt"])
    log = door.log(Sent(first["submissionId"], first["caseId"], "", None))
    assert kinds(log) == ["create-submission", "submit-submission"] * 2
    assert door.hub.notary.verify([UUID(first["caseId"])]).findings == ()
    assert door.hub.store.deliveries.of(UUID(second["submissionId"])).state == "queued"
    view = door.sender.get(f"/hub/v1/cases/{first['caseId']}").json
    said = {each["submissionId"]: each["inCase"] for each in view["submissions"]}
    assert said == {first["submissionId"]: None, second["submissionId"]: {"kind": "application", "about": None}}


def test_a_correction_names_what_it_replaces_to_the_authority(door: Door):
    first = taken(submit(door))
    second = taken(submit(door, caseId=first["caseId"], replaces=first["submissionId"]))
    said = {"kind": "correction", "about": first["submissionId"]}
    assert claims_of(second["receipt"])["inCase"] == said
    metadata, data, attachments = opened(door, second["submissionId"])
    assert data == BAUANTRAG
    (described,) = metadata["contentStructure"]["attachments"]
    assert (described["filename"], described["purpose"]) == ("nachricht.json", "report")
    assert [json.loads(each) for each in attachments] == [{"$schema": MESSAGE_SCHEMA, **said}]
    # Its own correction may be corrected again.
    taken(submit(door, caseId=first["caseId"], replaces=second["submissionId"]))


def test_a_withdrawal_reaches_the_authority_although_it_offers_no_such_schema(door: Door):
    first = taken(submit(door))
    second = taken(say(door, first["caseId"], WITHDRAWAL, first["submissionId"], "Wir bauen doch nicht."))
    assert second["schema"]["uri"] == MESSAGE_SCHEMA
    steps = [each["step"] for each in door.sender.get(f"/hub/v1/applications/{first['submissionId']}").json["history"]]
    assert steps[-1] == "withdrawal"
    metadata, data, _ = opened(door, second["submissionId"])
    assert metadata["contentStructure"]["data"]["submissionSchema"]["schemaUri"] == MESSAGE_SCHEMA
    said = {"kind": "withdrawal", "about": first["submissionId"]}
    assert json.loads(data) == {"$schema": MESSAGE_SCHEMA, **said, "text": "Wir bauen doch nicht."}
    assert claims_of(second["receipt"])["inCase"] == {"kind": "withdrawal", "about": first["submissionId"]}


def test_a_reply_is_answered_in_its_case(door: Door):
    first = taken(submit(door))
    reply = reply_to(door, Sent(first["submissionId"], first["caseId"], "", None), door.subscriber)
    second = taken(say(door, first["caseId"], ANSWER, reply.submission_id, "Der Lageplan liegt bei."))
    assert claims_of(second["receipt"])["inCase"] == {"kind": "answer", "about": reply.submission_id}


def test_a_repeat_gets_the_same_receipt_and_another_case_is_a_conflict(door: Door):
    first, other = taken(submit(door)), taken(submit(door))
    key = str(uuid4())
    second = taken(submit(door, caseId=first["caseId"], key=key))
    assert taken(submit(door, caseId=first["caseId"], key=key))["receipt"] == second["receipt"]
    for query, differs in (
        ({"caseId": other["caseId"]}, ["caseId"]),
        ({}, ["caseId"]),
        ({"caseId": first["caseId"], "replaces": first["submissionId"]}, ["replaces"]),
    ):
        again = submit(door, key=key, **query)
        assert refused(again, 409, "idempotency-conflict")
        assert again.json["differs"] == differs


def test_what_belongs_to_another_case_or_sender_is_refused(door: Door):
    """Foreign case, unknown case, foreign reply, unknown reply."""
    first, other = taken(submit(door)), taken(submit(door))
    outsider = door.another(ClientKind.SENDER)
    reply = reply_to(door, Sent(other["submissionId"], other["caseId"], "", None), door.subscriber).submission_id
    own = reply_to(door, Sent(first["submissionId"], first["caseId"], "", None), door.sender).submission_id
    before = door.hub.store.submissions.cases().total
    assert refused(submit(door, client=outsider, caseId=first["caseId"]), 404, "case-not-found")
    assert refused(submit(door, caseId=str(uuid4())), 404, "case-not-found")
    for about in (other["submissionId"], str(uuid4()), reply):
        assert refused(say(door, first["caseId"], WITHDRAWAL, about), 422, "not-in-case")
        assert refused(submit(door, caseId=first["caseId"], replaces=about), 422, "not-in-case")
    for about in (reply, str(uuid4()), own, first["submissionId"]):
        assert refused(say(door, first["caseId"], ANSWER, about, "Ja."), 422, "not-in-case")
    elsewhere = submit(door, ANMELDUNG, service=ANMELDEN, ars=WIESBADEN, caseId=first["caseId"])
    assert refused(elsewhere, 422, "case-of-another-authority")
    assert (door.hub.store.submissions.cases().total, len(kinds(door.log(Sent("", first["caseId"], "", None))))) == (
        before,
        4,
    )


def test_a_message_without_its_case_and_a_correction_as_a_message_are_refused(door: Door):
    first = taken(submit(door))
    message = CaseMessage(kind=WITHDRAWAL, about=UUID(first["submissionId"])).content()
    assert refused(submit(door, message, schema=MESSAGE_SCHEMA), 422, "message-without-case")
    assert refused(submit(door, replaces=first["submissionId"]), 422, "message-without-case")
    assert refused(say(door, first["caseId"], CaseMessageKind.CORRECTION, first["submissionId"]), 422, "invalid")
    empty = orjson.dumps({"kind": "answer", "about": first["submissionId"]})
    assert refused(submit(door, empty, schema=MESSAGE_SCHEMA, caseId=first["caseId"]), 422, "invalid-payload")


def test_what_a_service_does_not_allow_is_refused(door: Door):
    first = taken(submit(door, ANMELDUNG, service=ANMELDEN, ars=WIESBADEN))
    where = {"service": ANMELDEN, "ars": WIESBADEN}
    assert refused(
        say(door, first["caseId"], WITHDRAWAL, first["submissionId"], **where), 422, "withdrawal-not-offered"
    )
    assert door.sender.get(f"/hub/v1/services/{BAUEN}").json["withdraw"] is True


def rejected(door: Door, answer: dict) -> None:
    """Have the hub reject a submission, as it does with what nobody collects."""
    case_id, submission_id = UUID(answer["caseId"]), UUID(answer["submissionId"])
    message = door.hub.store.submissions.message(submission_id)
    event = own_event(
        EventKind.REJECT,
        case_id=case_id,
        subject=(message.kind, submission_id),
        issuer=door.hub.base_url,
        now=door.clock(),
        payload={"problems": []},
    )
    door.hub.store.event_log.append(case_id, submission_id, lambda head, state: (event,))


def test_a_case_in_which_all_was_rejected_is_closed(door: Door):
    first, key = taken(submit(door)), str(uuid4())
    second = taken(submit(door, caseId=first["caseId"], key=key))
    rejected(door, first)
    third = taken(submit(door, caseId=first["caseId"]))["submissionId"]  # The second is being worked on.
    for each in (second["submissionId"], third):
        rejected(door, {"caseId": first["caseId"], "submissionId": each})
    assert refused(submit(door, caseId=first["caseId"]), 409, "case-closed")
    assert refused(say(door, first["caseId"], WITHDRAWAL, first["submissionId"]), 409, "case-closed")
    assert taken(submit(door, caseId=first["caseId"], key=key))["receipt"] == second["receipt"]
    states = [each["state"] for each in door.sender.get(f"/hub/v1/cases/{first['caseId']}").json["submissions"]]
    assert states == [State.REJECTED.value] * 3


def test_two_answers_at_once_both_stand_in_the_log(door: Door):
    first = taken(submit(door))
    reply = reply_to(door, Sent(first["submissionId"], first["caseId"], "", None), door.subscriber).submission_id
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(say(door, first["caseId"], ANSWER, reply, "Ja.")))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.status for each in answers] == [202] * 4, [each.body for each in answers]
    ends = sorted(claims_of(each.json["receipt"])["eventLog"]["seq"] for each in answers)
    assert ends == [6, 8, 10, 12]
    assert door.hub.notary.verify([UUID(first["caseId"])]).findings == ()


@pytest.mark.parametrize("text", ["", "x" * 2_001])
def test_the_schema_of_messages_bounds_their_text(door: Door, text: str):
    kind = ANSWER if not text else WITHDRAWAL
    first = taken(submit(door))
    message = orjson.dumps({"kind": kind.value, "about": first["submissionId"], "text": text})
    assert refused(submit(door, message, schema=MESSAGE_SCHEMA, caseId=first["caseId"]), 422, "invalid-payload")
