"""Handing a case on at the hub: who may, where to by the rules, what both logs and the sender are told, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson
import pytest
from sealed_door import Door, Sent, kinds, movable_door, put, read, shared_door
from sealed_door import post as posted
from sealed_replies import reply_to
from stage import BAUANTRAG, BAUEN, FRANKFURT, TAUNUSSTEIN, WIESBADEN
from stand_in import Answer

from hub.client.verification import Received, ReceivedPart, require_proof
from hub.crypto import claims_of, verify_receipt
from hub.model import MESSAGE_SCHEMA, MOST_FORWARDS, CaseMessage, CaseMessageKind, ClientKind, EventKind, State
from hub.routing import Rule
from hub.services import ServiceCatalogue

HANAU = "064350014014"
__all__ = ["movable_door", "shared_door"]


class House:
    """What a test says and asks at the door of one authority."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.applied = door.stage.accept()
        self.case_id = self.applied.claims["txn"].removeprefix("case:")
        self.submission_id = self.applied.claims["sub"].removeprefix("submission:")

    def ask(self, **more: Any) -> Answer:
        """Hand on to Wiesbaden, unless ``more`` says otherwise."""
        said = {
            "requestId": str(uuid4()),
            "submissionId": self.submission_id,
            "service": BAUEN,
            "ars": WIESBADEN,
            "reason": "other-area",
            **more,
        }
        client = said.pop("client", self.door.subscriber)
        case_id = said.pop("case_id", self.case_id)
        return posted(client, f"/hub/v1/cases/{case_id}/forwards", said)

    def whole(self, begun: dict[str, Any]) -> Answer:
        """Bring the contents and say that all of them are there."""
        sealed = {
            "encryptedMetadata": self.door.seal(b'{"contentStructure": {}}'),
            "encryptedData": self.door.seal(b"{}"),
        }
        answer = put(self.door.subscriber, f"/submission-api/v2/submissions/{begun['submissionId']}", sealed)
        assert answer.status == 200, answer.body
        return self.complete(begun)

    def complete(self, begun: dict[str, Any], client: Any = None) -> Answer:
        target = f"/hub/v1/cases/{self.case_id}/forwards/{begun['submissionId']}"
        return put(client or self.door.subscriber, target, {"state": "complete"})

    def forwarded(self, **more: Any) -> dict[str, Any]:
        begun = self.ask(**more)
        assert begun.status == 201, begun.body
        assert self.whole(begun.json).status == 204
        return begun.json

    def moved(self, begun: dict[str, Any]) -> None:
        """Speak from the new case on."""
        self.case_id, self.submission_id = begun["caseId"], begun["submissionId"]

    def events(self, case_id: str) -> list[EventKind]:
        found = self.door.hub.store.event_log.events(case_id, limit=50)
        return [event.kind for event in found.items]


@pytest.fixture
def house(door: Door) -> House:
    return House(door)


def test_the_rules_say_who_is_next_and_nothing_is_stored(house: House):
    answer = house.ask(check=True)
    assert answer.status == 200, answer.body
    assert ("Wiesbaden" in answer.json["name"], answer.json["ars"]) == (True, WIESBADEN)
    assert house.door.hub.store.forwardings.out_of(house.case_id, complete=False) == []


def test_both_logs_name_each_other_and_no_client_of_fit_connect_sees_it(house: House):
    begun = house.forwarded()
    assert house.events(house.case_id)[-1] is EventKind.FORWARDED_TO
    new = house.events(begun["caseId"])
    assert new == [EventKind.CREATE, EventKind.FORWARDED_FROM, EventKind.SUBMIT]
    for case_id in (house.case_id, begun["caseId"]):
        log = house.door.sender.get(f"/v2/cases/{case_id}/events")
        assert log.status == 200, log.body
        assert set(kinds(log.json["eventLog"])) <= {"create-submission", "submit-submission", "notify-submission"}
    report = house.door.hub.notary.verify([house.case_id, begun["caseId"]])
    assert (report.cases, report.findings) == (2, ())


def test_the_time_of_receipt_and_the_receipt_travel(house: House):
    begun = house.ask().json
    claims = verify_receipt(begun["receipt"], house.door.hub.keys.hub_jwks())
    assert claims["sub"] == f"submission:{house.submission_id}"
    assert begun["receivedAt"] == claims["acceptedAt"] == house.applied.claims["acceptedAt"]


def test_the_receipt_of_the_new_submission_covers_where_it_came_from(house: House):
    begun, hub = house.forwarded(), house.door.hub
    submission = hub.store.submissions.message(begun["submissionId"]).submission()
    evidence = hub.evidences.of(submission, receipt=None, destination="Wiesbaden", now=house.door.clock())
    parts = {
        name: ReceivedPart(tag=part.tag, sha512=part.sha512, size=part.size)
        for name, part in submission.contents.parts()
    }
    received = Received(
        submission_id=submission.submission_id,
        case_id=submission.case_id,
        destination_id=submission.destination_id,
        service=BAUEN,
        parts=parts,
    )
    require_proof(
        evidence, received, jwks=hub.keys.hub_jwks(), issuers=frozenset({hub.base_url}), now=house.door.clock()
    )
    said = [next(iter(orjson.loads(each)["claims"]["events"].items())) for each in evidence.entries]
    came = next(payload for uri, payload in said if uri.endswith(":forwarded-from"))
    assert (came["caseId"], came["receivedAt"]) == (house.case_id, house.applied.claims["acceptedAt"])


def test_the_sender_is_told_and_follows_the_new_case_as_its_own(house: House):
    begun, sender = house.forwarded(), house.door.sender
    seen = sender.get(f"/hub/v1/applications/{house.submission_id}").json
    assert (seen["forwardedTo"]["caseId"], "Wiesbaden" in seen["forwardedTo"]["name"]) == (begun["caseId"], True)
    assert seen["history"][-1]["step"] == "forwarded-to-submission"
    new = sender.get(f"/hub/v1/applications/{begun['submissionId']}")
    assert (new.status, new.json["forwardedFrom"]["caseId"]) == (200, house.case_id)
    assert [each["submissionId"] for each in sender.get(f"/hub/v1/cases/{begun['caseId']}").json["submissions"]] == [
        begun["submissionId"]
    ]
    links = sender.get(f"/hub/v1/cases/{begun['caseId']}/links").json
    assert links["cameFrom"]["submissionId"] == house.submission_id


def test_until_all_of_it_is_there_nothing_is_said_and_the_sender_cannot_write_it(house: House):
    begun = house.ask().json
    assert house.complete(begun).status == 409
    sealed = {"encryptedMetadata": house.door.seal(b"{}"), "encryptedData": house.door.seal(b"{}")}
    assert put(house.door.sender, f"/submission-api/v2/submissions/{begun['submissionId']}", sealed).status == 403
    assert EventKind.FORWARDED_TO not in house.events(house.case_id)
    assert house.door.sender.get(f"/hub/v1/applications/{begun['submissionId']}").status == 404


def test_the_same_request_again_is_the_case_that_there_is(house: House):
    request_id = str(uuid4())
    first, again = house.ask(requestId=request_id), house.ask(requestId=request_id)
    assert first.json == again.json
    assert house.whole(first.json).status == house.complete(first.json).status == 204
    later = house.ask(requestId=request_id)
    assert (later.status, later.json["state"]) == (201, State.SUBMITTED)
    assert house.events(house.case_id).count(EventKind.FORWARDED_TO) == 1
    other = house.ask(requestId=request_id, reason="other")
    assert slug(other) == (409, "idempotency-conflict")


def test_what_is_not_freed_goes_on_for_the_procedure_that_the_catalogue_names(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    book, catalogue = house.door.hub.service_book, house.door.hub.services()
    simplified = "urn:de:fim:leika:leistung:99012008001001"
    changed = ServiceCatalogue(replace(each, onward=simplified if each.key == BAUEN else "") for each in catalogue)
    monkeypatch.setattr(book, "active", lambda _now: changed)
    freed = house.ask(service="", reason="other-area", check=True)
    assert (freed.status, "Wiesbaden" in freed.json["name"]) == (200, True), freed.body
    begun = house.ask(service="", reason="not-freed")
    assert begun.status == 201, begun.body
    link = house.door.hub.store.forwardings.begun(UUID(begun.json["submissionId"]))
    assert link.service == simplified


def test_without_an_area_it_is_the_one_that_the_case_came_for(house: House):
    answer = house.ask(ars=None)
    assert answer.status == 400, "null is no area"
    said = {"requestId": str(uuid4()), "submissionId": house.submission_id, "reason": "other", "check": True}
    answer = posted(house.door.subscriber, f"/hub/v1/cases/{house.case_id}/forwards", said)
    # The same service and area lead to who has it.
    assert slug(answer) == (409, "forward-to-oneself")


def test_of_two_hand_ons_begun_the_later_counts_and_nothing_of_the_earlier_arrives(house: House):
    first, second = house.ask().json, house.ask().json
    sealed = {"encryptedMetadata": house.door.seal(b"{}"), "encryptedData": house.door.seal(b"{}")}
    late = put(house.door.subscriber, f"/submission-api/v2/submissions/{first['submissionId']}", sealed)
    assert late.status in {404, 409}, late.body
    assert house.complete(first).status == 404
    assert house.whole(second).status == 204
    assert house.events(first["caseId"]) == [EventKind.CREATE, EventKind.FORWARDED_FROM, EventKind.DELETE]
    assert house.events(house.case_id).count(EventKind.FORWARDED_TO) == 1
    assert house.door.hub.notary.verify([UUID(first["caseId"]), UUID(house.case_id)]).findings == ()


def test_what_lies_whole_and_unsaid_goes_on_under_a_new_request_and_never_elsewhere(house: House):
    first = house.ask().json
    sealed = {"encryptedMetadata": house.door.seal(b"{}"), "encryptedData": house.door.seal(b"{}")}
    put(house.door.subscriber, f"/submission-api/v2/submissions/{first['submissionId']}", sealed)
    assert slug(house.ask(ars="064120000000")) == (409, "forwarded-already")
    again = house.ask()
    assert (again.status, again.json["submissionId"], again.json["state"]) == (201, first["submissionId"], "submitted")
    assert house.complete(again.json).status == 204
    assert house.events(house.case_id).count(EventKind.FORWARDED_TO) == 1


def test_what_lies_whole_is_completed_although_the_old_case_ended_meanwhile(house: House):
    request_id, store = str(uuid4()), house.door.hub.store
    begun = house.ask(requestId=request_id).json
    sealed = {"encryptedMetadata": house.door.seal(b"{}"), "encryptedData": house.door.seal(b"{}")}
    put(house.door.subscriber, f"/submission-api/v2/submissions/{begun['submissionId']}", sealed)
    event = store.event_log.events(house.case_id).items[0]
    ended = replace(event, seq=0, jti=uuid4(), kind=EventKind.REJECT)
    store.event_log.append(event.case_id, event.subject_id, lambda _head, _state: (ended,))
    again = house.ask(requestId=request_id)
    assert (again.status, again.json["state"]) == (201, "submitted"), again.body
    assert house.complete(begun).status == 204
    assert house.events(house.case_id)[-1] is EventKind.FORWARDED_TO


def test_an_authority_that_is_not_open_for_the_sender_gets_nothing_by_a_hand_on(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def admits(_rule: Rule, sender: str | None) -> bool:
        asked.append(sender)
        return False

    monkeypatch.setattr(Rule, "admits", admits)
    assert slug(house.ask()) == (409, "forward-destination-closed")
    assert asked == [house.door.stage.cast["sender"]["client_id"]], "it is the sender of the case that counts"


def say(house: House, case_id: str, *, key: str = "", about: str = "", ars: str = TAUNUSSTEIN) -> Answer:
    """Write into a case at the plain door: an application, or an answer about a reply."""
    query = {"service": BAUEN, "ars": ars, "caseId": case_id} | ({"schema": MESSAGE_SCHEMA} if about else {})
    data = CaseMessage(kind=CaseMessageKind.ANSWER, about=UUID(about), text="Ja.").content() if about else BAUANTRAG
    headers = [
        ("Content-Type", "application/json" if about else "application/xml"),
        ("Idempotency-Key", key or str(uuid4())),
    ]
    return house.door.sender.ask("POST", f"/hub/v1/applications?{urlencode(query)}", *headers, body=[data])


def test_what_comes_in_a_case_that_was_handed_on_is_refused_with_the_new_one_named(house: House):
    door, old = house.door, Sent(house.submission_id, house.case_id, "", None)
    question, key = reply_to(door, old, door.subscriber).submission_id, str(uuid4())
    before = say(house, house.case_id, key=key)
    assert before.status == 202, before.body
    begun = house.forwarded()
    assert say(house, house.case_id, key=key).json["receipt"] == before.json["receipt"], "a repeat is none of it"
    announced = {"announcedAttachments": [], "caseId": house.case_id, **house.applied.claims["destination"]}
    announced.pop("name")
    service = {"name": "Bauen", "identifier": BAUEN}
    for refused in (
        say(house, house.case_id),
        say(house, house.case_id, about=question),
        posted(door.sender, "/v2/submissions", announced | {"publicService": service}),
        posted(door.sender, "/v1/submissions", announced | {"serviceType": service}),
        posted(door.sender, "/v2/replies", {"caseId": house.case_id, "announcedAttachments": []}),
    ):
        assert slug(refused) == (422, "case-goes-on")
        assert refused.json["caseId"] == begun["caseId"]
    # The authority of before still writes there, if only that the case is gone; and what it asked is answered where it goes on.
    assert reply_to(door, old, door.subscriber).submission_id
    taken = say(house, begun["caseId"], about=question, ars=WIESBADEN)
    assert taken.status == 202, taken.body
    foreign = House(door)
    other = reply_to(door, Sent("", foreign.case_id, "", None), door.subscriber).submission_id
    assert slug(say(house, begun["caseId"], about=other, ars=WIESBADEN)) == (422, "not-in-case")


def test_what_was_announced_before_a_case_was_handed_on_and_comes_after_is_refused_with_the_new_one_named(house: House):
    door = house.door
    where = {"caseId": house.case_id, "destinationId": house.applied.claims["destination"]["destinationId"]}
    services = {"v1": "serviceType", "v2": "publicService"}
    service = {"name": "Bauen", "identifier": BAUEN}
    sent = {each: door.announce(version=each, **where, **{name: service}) for each, name in services.items()}
    asked = posted(door.sender, "/v2/replies", {"caseId": house.case_id, "announcedAttachments": []})
    said = posted(door.subscriber, "/v2/replies", {"caseId": house.case_id, "announcedAttachments": []})
    assert (asked.status, said.status) == (201, 201)
    begun = house.forwarded()
    metadata, data = door.seal(b'{"contentStructure": {}}'), door.seal(b"{}")
    late = [door.submit(each["submissionId"], metadata, data, version) for version, each in sent.items()]
    sealed = {"encryptedMetadata": metadata, "encryptedData": data}
    late.append(put(door.sender, f"/v2/replies/{asked.json['replyId']}", sealed))
    for refused in late:
        assert slug(refused) == (422, "case-goes-on")
        assert refused.json["caseId"] == begun["caseId"]
    # What the authority of before had begun to say still reaches the sender.
    assert put(door.subscriber, f"/v2/replies/{said.json['replyId']}", sealed).status == 200
    assert [door.hub.store.submissions.message(each["submissionId"]).state for each in sent.values()] == [
        State.INCOMPLETE
    ] * 2


def slug(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["type"].rpartition("/")[2].rpartition(":")[2]


def test_to_oneself_or_back_or_twice_is_refused(house: House):
    assert slug(house.ask(ars=TAUNUSSTEIN)) == (409, "forward-to-oneself")
    begun = house.forwarded()
    assert slug(house.ask()) == (409, "forwarded-already")
    house.moved(begun)
    assert slug(house.ask(ars=TAUNUSSTEIN)) == (409, "forward-loop")


def test_a_chain_ends(house: House, monkeypatch: pytest.MonkeyPatch):
    assert MOST_FORWARDS == 5
    monkeypatch.setattr("hub.fit_connect.forwarding.MOST_FORWARDS", 1)
    house.moved(house.forwarded())
    assert slug(house.ask(ars="064120000000")) == (409, "forward-chain-too-long")


def test_what_the_next_authority_cannot_take_is_refused(house: House):
    parties = house.door.hub.store.parties
    there = parties.destination(house.ask(check=True).json["destinationId"])
    now = house.door.clock()
    for change, expected in (
        ({"status": "inactive"}, "forward-destination-closed"),
        ({"encryption_kid": "nobody-has-it"}, "forward-without-key"),
        ({"services": ()}, "forward-service-not-offered"),
    ):
        parties.replace_destination(replace(there, updated_at=now, **change))
        house.door.hub.directory.forget(there.destination_id)
        assert slug(house.ask()) == (409, expected)
    parties.replace_destination(there)
    house.door.hub.directory.forget(there.destination_id)
    assert slug(house.ask(ars="011111111111")) == (422, "no-route")


def test_a_stranger_hands_nothing_on(house: House):
    stranger = house.door.another(ClientKind.SUBSCRIBER)
    assert slug(house.ask(client=stranger)) == (403, "forbidden")
    assert house.ask(client=house.door.sender).status == 403
    begun = house.ask().json
    assert house.complete(begun, client=stranger).status == 404
    assert stranger.get(f"/hub/v1/cases/{house.case_id}/links").status == 403


def test_what_is_deleted_is_not_handed_on(own_door: Door):
    house = House(own_door)
    store = own_door.hub.store
    event = own_door.hub.store.event_log.events(house.case_id).items[0]
    assert event.kind is EventKind.CREATE
    store.event_log.append(
        event.case_id,
        event.subject_id,
        lambda _head, _state: (
            replace(event, seq=0, jti=uuid4(), kind=EventKind.ACCEPT),
            replace(event, seq=0, jti=uuid4(), kind=EventKind.DELETE),
        ),
    )
    assert slug(house.ask()) == (409, "forward-after-deletion")


def test_a_chain_is_known_although_a_case_in_its_middle_is_deleted(own_door: Door):
    house, store = House(own_door), own_door.hub.store
    first, submission = house.case_id, house.submission_id
    house.moved(house.forwarded())
    middle = house.case_id
    house.moved(house.forwarded(ars=FRANKFURT))
    last = house.case_id
    drop(own_door, middle)
    # Nobody gets it back who had it, and what was received first still counts.
    for ars in (TAUNUSSTEIN, WIESBADEN):
        assert slug(house.ask(ars=ars)) == (409, "forward-loop")
    begun = house.forwarded(ars=HANAU)
    assert begun["receivedAt"] == house.applied.claims["acceptedAt"]
    seen = own_door.sender.get(f"/hub/v1/applications/{submission}").json
    assert seen["forwardedTo"]["caseId"] == middle
    ids = [UUID(each) for each in (begun["caseId"], last, middle, first)]
    assert (store.forwardings.gone_to(ids[3]).case_id, store.forwardings.earlier(ids[0])) == (ids[0], ids[1:])
    # With the last case the way there goes, too: nobody goes on from it.
    drop(own_door, last)
    assert store.forwardings.earlier(ids[0]) == ids[1:]
    drop(own_door, begun["caseId"])
    assert [store.forwardings.into(each) for each in ids] == [None] * 4
    assert own_door.hub.notary.verify([UUID(first)]).findings == ()


def drop(door: Door, case_id: str) -> None:
    """Delete a case as the janitor does when its time is over."""
    store = door.hub.store
    event = store.event_log.events(UUID(case_id)).items[0]
    accepted = replace(event, seq=0, jti=uuid4(), kind=EventKind.ACCEPT)
    store.event_log.append(event.case_id, event.subject_id, lambda _head, _state: (accepted,))
    store.retention.delete_contents(event.subject_id, door.clock())
    store.retention.drop_case(event.case_id, "ended")


def test_an_area_that_is_dissolved_leads_to_its_successor(house: House):
    gazetteer, today = house.door.hub.gazetteer, house.door.clock().date()
    gone = next(
        each
        for each in gazetteer
        if each.valid_until is not None
        and gazetteer.successor(each.area, today) is not None
        and each.area.ars[:2] == "06"
    )
    heir = gazetteer.successor(gone.area, today)
    answer = house.ask(ars=gone.area.ars, check=True)
    assert (answer.status, answer.json["ars"]) == (200, heir.area.ars), answer.body


def test_the_receipt_is_signed_once_for_the_sealed_door_too(own_door: Door):
    sent, house = own_door.send(b"%PDF"), House(own_door)
    answer = house.ask(case_id=sent.case_id, submissionId=sent.submission_id, ars=TAUNUSSTEIN)
    assert answer.status == 201, answer.body
    assert claims_of(answer.json["receipt"])["sub"] == f"submission:{sent.submission_id}"
    assert read(own_door.log(sent)[0])[1]["sub"] == f"submission:{sent.submission_id}"
