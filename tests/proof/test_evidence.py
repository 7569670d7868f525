"""What a pushed submission is proven by: made of what the store holds, and refused where that contradicts itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from store_values import HUB, NOW, announced, answer, completed, event, known_destination, submission

from hub.client.verification import Received, ReceivedPart, require_proof
from hub.crypto import HubKeys, claims_of, make_receipt, verify_receipt
from hub.errors import SealBroken, Unavailable
from hub.intake.status import first_events
from hub.model import Door, EventKind
from hub.observability.metrics import Meters
from hub.proof.evidence import Evidences, receipt_claims


@pytest.fixture(scope="session")
def ring(tmp_path_factory) -> HubKeys:
    return HubKeys.load_or_create(tmp_path_factory.mktemp("ring"), NOW, create=True)


@pytest.fixture
def evidences(store, ring) -> Evidences:
    return Evidences(store=store, keys=ring, issuer=HUB)


def plain(store, ring):
    """A submission by the plain door, and its receipt."""
    made = submission(known_destination(store).destination_id)
    events = first_events(made, issuer=HUB)
    claims = receipt_claims(made, events[-1], issuer=HUB, destination="Bauamt", issued_at=NOW)
    receipt = make_receipt(ring.receipt, claims)
    stored = store.submissions.submit(made, events=events, receipt=receipt, idempotency=None, first_attempt_at=NOW)
    assert stored.result(10) is None
    return made, receipt


def sealed(store):
    """A submission by the sealed door, which has no receipt yet."""
    message = announced(store, known_destination(store).destination_id, new_case=True)

    def make(_head, contents):
        digests = {part: each.sha512 for part, each in contents.parts()}
        payload = {"authenticationTags": contents.authentication_tags()}
        return [event(message.case_id, message.id, EventKind.SUBMIT, payload=payload, digests=digests)]

    assert completed(store, message, make=make)
    return store.submissions.message(message.id)


def received(made, **changes) -> Received:
    parts = {
        name: ReceivedPart(tag=each.tag, sha512=each.sha512, size=each.size) for name, each in made.contents.parts()
    }
    found = Received(
        submission_id=made.submission_id,
        case_id=made.case_id,
        destination_id=made.destination_id,
        service=made.service.identifier,
        parts=parts,
    )
    return replace(found, **changes)


def proves(evidence, made, ring, **changes):
    return require_proof(evidence, received(made, **changes), jwks=ring.hub_jwks(), issuers=frozenset({HUB}), now=NOW)


def test_what_the_plain_door_signed_proves_what_is_pushed(store, ring, evidences):
    made, receipt = plain(store, ring)
    found = evidences.of(made, receipt=receipt, destination="Bauamt", now=NOW)
    assert found.receipt == receipt
    assert proves(found, made, ring) == made.submitted_at
    assert [orjson.loads(entry)["seq"] for entry in found.entries] == [1, 2]


def test_a_receipt_of_the_sealed_door_is_made_when_it_is_needed_and_stays(store, ring, evidences):
    message = sealed(store)
    made = message.submission()
    first = evidences.of(made, receipt=None, destination="Bauamt", now=NOW + timedelta(hours=1))
    claims = verify_receipt(first.receipt, ring.hub_jwks())
    assert (claims["ver"], claims["door"]) == (2, "sealed")
    assert claims["acceptedAt"] == message.submitted_at.isoformat(timespec="milliseconds")
    assert claims["iat"] == int((NOW + timedelta(hours=1)).timestamp())
    assert proves(first, made, ring) == made.submitted_at
    assert store.submissions.message(message.id).receipt == first.receipt
    again = evidences.of(made, receipt=first.receipt, destination="Bauamt", now=NOW)
    assert again == first


def test_entries_that_came_with_a_claim_are_judged_like_any_others(store, ring, evidences):
    made, receipt = plain(store, ring)
    run = store.event_log.run(made.case_id, made.submission_id)
    found = evidences.of(made, receipt=receipt, destination="Bauamt", now=NOW, run=run)
    assert found == evidences.of(made, receipt=receipt, destination="Bauamt", now=NOW)
    other, _ = plain(store, ring)
    foreign = store.event_log.run(other.case_id, other.submission_id)
    altered = [run[0], replace(run[1], payload={"authenticationTags": {}})]
    for wrong in ([], run[:1], run[1:], foreign, altered, [run[0], foreign[1]]):
        with pytest.raises(Unavailable):
            evidences.of(made, receipt=receipt, destination="Bauamt", now=NOW, run=wrong)


def test_of_receipts_made_at_once_the_first_stored_counts(store, ring, evidences):
    made = sealed(store).submission()

    def need(_):
        return evidences.of(made, receipt=None, destination="Bauamt", now=NOW).receipt

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(need, range(4)))) == 1


def test_a_later_submission_of_a_case_is_proven_by_the_entries_between_its_own_events(store, ring, evidences):
    first = sealed(store)
    there = store.parties.destination(first.destination_id)
    store.event_log.append(
        first.case_id, first.id, answer(EventKind.ACCEPT, first.case_id, first.id, there.destination_id)
    )
    message = announced(store, there.destination_id, case_id=first.case_id, new_case=False)

    def make(_head, contents):
        digests = {part: each.sha512 for part, each in contents.parts()}
        payload = {"authenticationTags": contents.authentication_tags()}
        return [event(message.case_id, message.id, EventKind.SUBMIT, payload=payload, digests=digests)]

    assert completed(store, message, make=make)
    made = store.submissions.message(message.id).submission()
    found = evidences.of(made, receipt=None, destination="Bauamt", now=NOW)
    assert [orjson.loads(entry)["seq"] for entry in found.entries] == [4, 5]
    assert proves(found, made, ring) == made.submitted_at


def change(store, statement: str) -> None:
    assert store.database.write(lambda connection: connection.execute(text(statement)).rowcount)


SPOILED = {
    "an entry was changed": "UPDATE events SET issued_at = issued_at + 1000000 WHERE seq = 1",
    "an entry is missing": "DELETE FROM events WHERE seq = 1",
    "the submit event is missing": "DELETE FROM events WHERE seq = 2",
    "a digest was changed": "UPDATE events SET digests = '{}' WHERE seq = 2",
    "a hash was changed": f"UPDATE events SET hash = '{'1' * 64}' WHERE seq = 2",
    "an entry cannot be read": "UPDATE events SET kind = 'vanish' WHERE seq = 1",
}


@pytest.mark.parametrize("statement", SPOILED.values(), ids=SPOILED)
def test_what_contradicts_itself_is_neither_signed_nor_sent(statement, store, ring):
    meters = Meters()
    evidences = Evidences(store=store, keys=ring, issuer=HUB, meters=meters)
    made, receipt = plain(store, ring)
    bare = sealed(store)
    change(store, statement)
    for submitted, stored in ((made, receipt), (bare.submission(), None)):
        with pytest.raises(Unavailable) as caught:
            evidences.of(submitted, receipt=stored, destination="Bauamt", now=NOW)
        assert caught.value.slug == "log-contradicted"
    assert store.submissions.message(bare.id).receipt is None
    assert b"hub_logs_contradicted_total 2.0" in meters.text()


def test_other_contents_than_those_of_the_submit_event_are_not_sent(store, ring, evidences):
    made, receipt = plain(store, ring)
    contents = replace(made.contents, data=replace(made.contents.metadata))
    with pytest.raises(Unavailable):
        evidences.of(replace(made, contents=contents), receipt=receipt, destination="Bauamt", now=NOW)


def test_the_receipt_of_another_submission_is_not_sent(store, ring, evidences):
    (made, _), (_, other) = plain(store, ring), plain(store, ring)
    for stored in (other, "no receipt", "e30.e30.c2ln"):
        with pytest.raises(Unavailable):
            evidences.of(made, receipt=stored, destination="Bauamt", now=NOW)


def test_the_claims_of_both_doors_have_the_same_names(store, ring, evidences):
    _made, receipt = plain(store, ring)
    there = known_destination(store).destination_id
    assert there
    bare = sealed(store).submission()
    signed = evidences.of(bare, receipt=None, destination="Bauamt", now=NOW).receipt
    assert set(claims_of(receipt)) == set(claims_of(signed))
    assert claims_of(signed)["door"] == Door.SEALED.value


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_changed_byte_of_evidence_proves_anything(data, proven):
    """Whatever single character is changed, receipt and entries prove nothing any more."""
    evidence, made, ring = proven
    texts = [evidence.receipt, evidence.previous, *evidence.entries]
    which = data.draw(st.integers(0, len(texts) - 1))
    at = data.draw(st.integers(0, len(texts[which]) - 1))
    # The last characters of a part in base64url hold bits that nobody reads: there, two texts may be one value.
    other = data.draw(st.sampled_from('aZ09_-.{"').filter(lambda one: one != texts[which][at]))
    texts[which] = texts[which][:at] + other + texts[which][at + 1 :]
    changed = replace(evidence, receipt=texts[0], previous=texts[1], entries=tuple(texts[2:]))
    with pytest.raises(SealBroken):
        proves(changed, made, ring)


@pytest.fixture(scope="module")
def proven(tmp_path_factory, ring):
    from hub.store import Store

    store = Store(f"sqlite:///{tmp_path_factory.mktemp('proven') / 'hub.sqlite'}")
    store.migrate()
    made, receipt = plain(store, ring)
    yield (
        Evidences(store=store, keys=ring, issuer=HUB).of(made, receipt=receipt, destination="Bauamt", now=NOW),
        made,
        ring,
    )
    store.close()
