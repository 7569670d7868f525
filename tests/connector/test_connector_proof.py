# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""What a push is proven by: its receipt, or what is stronger."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from stage import NOW
from test_connector_listen import LISTEN, listening, push
from test_connector_town import CANARY, LATER, catalog, town, town_keys

from hub.crypto.receipts import claims_of


def collected(town) -> list[str]:
    """The paths by which the connector asked for a log."""
    return [heard.path for heard in town.hub.heard if heard.path.endswith("/events") and heard.method == "GET"]


def test_a_receipt_proves_a_push_and_nothing_else_is_asked_for(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.proven(submission_id, now=NOW)).status_code == 202
    assert connector.run_once(NOW).accepted == 1
    assert town.handed() == [str(submission_id)]
    assert collected(town) == []
    assert town.answer()[1]["authenticationTags"] == town.hub.tags(str(submission_id))


def test_the_list_of_keys_is_asked_for_once_while_it_is_fresh(town, listening):
    connector, listener = listening
    for _ in range(3):
        push(listener, town.hub.proven(town.submit(), now=NOW))
    assert connector.run_once(NOW).accepted == 3
    assert town.hub.key_lists == 1


def test_a_receipt_of_a_later_release_is_read_and_what_it_says_besides_is_passed_over(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    claims = claims_of(town.hub.evidence(submission_id, now=NOW).receipt)
    contents = {name: {**part, "new": ["of a part"]} for name, part in claims["contents"].items()}
    end = {**claims["eventLog"], "new": 1}
    later = {"contentProof": {"kid": "k"}, "scan": {"engine": "clamd"}, "contents": contents, "eventLog": end}
    envelope = town.hub.proven(submission_id, now=NOW, **later)
    push(listener, {**envelope, "alsoNew": True})
    assert connector.run_once(NOW).accepted == 1
    assert collected(town) == []


def test_an_offered_attachment_is_collected_by_its_id_and_proven_by_the_receipt(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.proven(submission_id, now=NOW, inline=False)).status_code == 202
    assert connector.run_once(NOW).accepted == 1
    assert (town.inbox / str(submission_id) / "attachments" / f"{CANARY}.pdf").exists()
    assert collected(town) == []


def test_a_hub_that_cannot_be_asked_for_its_keys_is_waited_for(town, listening):
    connector, listener = listening
    push(listener, town.hub.proven(town.submit(), now=NOW))
    town.hub.down = True
    assert connector.run_once(NOW).postponed == 1
    town.hub.down = False
    assert connector.run_once(LATER).accepted == 1


def test_proof_survives_a_restart_of_the_connector(town, listening):
    _, listener = listening
    push(listener, town.hub.proven(town.submit(), now=NOW))
    assert town.start(**LISTEN).run_once(NOW).accepted == 1
    assert collected(town) == []


def test_ciphertext_that_the_disk_changed_after_it_was_judged_is_fetched_and_judged_anew(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    push(listener, town.hub.proven(submission_id, now=NOW))
    (town.inbox).rmdir()
    assert connector.run_once(NOW).postponed == 1, "opened, but there is nowhere to put it"
    town.inbox.mkdir()
    (stored,) = (town.folder / "journal.sealed").glob("*/attachments/*.jwe")
    stored.write_bytes(stored.read_bytes()[:-30] + b"A" * 30)
    connector.run_once(LATER)
    assert connector.run_once(LATER + timedelta(hours=1)).accepted == 1
    assert town.handed() == [str(submission_id)]


# --- what proves nothing is collected, with the signed log, and that decides ------------------------------------------


def other_receipt(town, envelope):
    return {**envelope, "receipt": town.hub.proven(town.submit(), now=NOW)["receipt"]}


def checkpoint(town, envelope):
    from hub.crypto import claims_of, make_checkpoint

    return {**envelope, "receipt": make_checkpoint(town.hub.receipt_key, claims_of(envelope["receipt"]))}


def self_signed(town, envelope):
    from hub.crypto import claims_of, make_ed25519_pair, make_receipt, read_signing_key

    _, private = make_ed25519_pair("hub-receipt-")
    forger = read_signing_key(private | {"kid": town.hub.receipt_jwk["kid"]}, written_by_us=True)
    return {**envelope, "receipt": make_receipt(forger, claims_of(envelope["receipt"]))}


def run(envelope, change):
    entries = list(envelope["log"]["entries"])
    log = {**envelope["log"], "entries": entries}
    change(log)
    return {**envelope, "log": log}


def swapped(envelope):
    entry = {**orjson.loads(envelope["log"]["entries"][1])}
    entry["digests"] = {**entry["digests"], "data": entry["digests"]["metadata"]}
    return run(envelope, lambda log: log["entries"].__setitem__(1, orjson.dumps(entry).decode()))


CLAIMS = {
    "of another destination": {"destination": {"destinationId": str(uuid4()), "name": "Nachbar"}},
    "of another case": {"txn": f"case:{uuid4()}"},
    "of another submission": {"sub": f"submission:{uuid4()}"},
    "of another service": {"publicService": "urn:de:fim:leika:leistung:99999999999999"},
    "of another hub": {"iss": "https://hub.example.net"},
    "of a version that is yet to come": {"ver": 3},
    "of no version at all": {"ver": "2"},
    "from the future": {"acceptedAt": (NOW + timedelta(minutes=6)).isoformat()},
    "of no time": {"acceptedAt": "gestern"},
    "of a time without a zone": {"acceptedAt": NOW.replace(tzinfo=None).isoformat()},
    "of contents in CMS": {"sealedAs": "cms"},
    "of no parts": {"contents": {}},
    "of an end before": {"eventLog": {"seq": 1, "hash": "0" * 64}},
    "of an end beyond": {"eventLog": {"seq": 3, "hash": "0" * 64}},
    "of no log": {"eventLog": None},
}
FORGED = {
    "a receipt of another submission": other_receipt,
    "a checkpoint as a receipt": checkpoint,
    "a receipt by a key that only says to be the hub's": self_signed,
    "no receipt": lambda _, envelope: {**envelope, "receipt": ""},
    "an event token as a receipt": lambda town, envelope: {
        **envelope,
        "receipt": town.hub.logs[envelope["caseId"]][1],
    },
    "a log that ends before": lambda _, envelope: run(envelope, lambda log: log["entries"].pop()),
    "a log that begins after": lambda _, envelope: run(envelope, lambda log: log["entries"].pop(0)),
    "a log that goes on": lambda _, envelope: run(envelope, lambda log: log["entries"].append(log["entries"][0])),
    "a log behind another hash": lambda _, envelope: run(envelope, lambda log: log.update(previous="1" * 64)),
    "a log behind no hash": lambda _, envelope: run(envelope, lambda log: log.update(previous="x")),
    "a log without entries": lambda _, envelope: run(envelope, lambda log: log.update(entries=[])),
    "a log with a changed digest": lambda _, envelope: swapped(envelope),
    "an entry that is no JSON": lambda _, envelope: run(envelope, lambda log: log["entries"].__setitem__(0, "{")),
    "an entry with a repeated name": lambda _, envelope: run(
        envelope,
        lambda log: log["entries"].__setitem__(0, log["entries"][0].replace('"seq":1', '"seq":9,"seq":1')),
    ),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_proves_nothing_is_collected_and_the_signed_log_decides(forge, town, listening):
    connector, listener = listening
    envelope = town.hub.proven(town.submit(), now=NOW)
    assert push(listener, forge(town, envelope)).status_code == 202
    assert connector.run_once(NOW).accepted == 1
    assert len(collected(town)) == 1


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS)
def test_a_receipt_that_says_something_else_proves_nothing(claims, town, listening):
    connector, listener = listening
    push(listener, town.hub.proven(town.submit(), now=NOW, **claims))
    assert connector.run_once(NOW).accepted == 1
    assert len(collected(town)) == 1


@pytest.mark.parametrize("part", ["encryptedMetadata", "encryptedData"])
def test_a_part_with_its_tag_kept_and_its_ciphertext_changed_is_not_what_the_receipt_proves(part, town, listening):
    connector, listener = listening
    envelope = town.hub.proven(town.submit(), now=NOW)
    head, key, iv, text, tag = envelope[part].split(".")
    changed = ".".join([head, key, iv, ("A" if text[0] != "A" else "B") + text[1:], tag])
    push(listener, {**envelope, part: changed})
    assert connector.run_once(NOW).accepted == 1, "what the hub has is right"
    assert len(collected(town)) == 1


def test_parts_that_changed_places_are_not_what_the_receipt_proves(town, listening):
    connector, listener = listening
    envelope = town.hub.proven(town.submit(), now=NOW)
    push(
        listener,
        {
            **envelope,
            "encryptedMetadata": envelope["encryptedData"],
            "encryptedData": envelope["encryptedMetadata"],
        },
    )
    assert connector.run_once(NOW).accepted == 1
    assert len(collected(town)) == 1


def test_a_missing_and_a_renamed_attachment_are_not_what_the_receipt_proves(town, listening):
    connector, listener = listening
    missing, renamed = (town.hub.proven(town.submit(), now=NOW) for _ in range(2))
    push(listener, {**missing, "attachments": []})
    entry = {**renamed["attachments"][0], "attachmentId": str(uuid4())}
    push(listener, {**renamed, "attachments": [entry]})
    assert connector.run_once(NOW).accepted == 2
    assert len(collected(town)) == 2


def test_a_link_to_elsewhere_is_not_followed(town, listening):
    connector, listener = listening
    envelope = town.hub.proven(town.submit(), now=NOW, inline=False)
    for entry in envelope["attachments"]:
        entry["url"] = f"{town.hub.url}/elsewhere"
    push(listener, envelope)
    assert connector.run_once(NOW).accepted == 1
    assert all(heard.path != "/elsewhere" for heard in town.hub.heard)


def test_an_offered_attachment_that_is_another_one_is_not_what_the_receipt_proves(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    envelope = town.hub.proven(submission_id, now=NOW, inline=False)
    ((key, _),) = [each for each in town.hub.attachments.items() if each[0][0] == str(submission_id)]
    town.hub.attachments[key] = town.hub.seal(b"another plan").encode()
    push(listener, envelope)
    connector.run_once(NOW)
    assert len(collected(town)) == 1
    connector.run_once(LATER)
    assert town.reasons() == {("incorrect-authentication-tag", f"attachment:{key[1]}")}


def test_a_receipt_by_a_retired_key_counts_for_its_time_alone(town, listening):
    connector, listener = listening
    town.hub.receipt_jwk |= {
        "nbf": int((NOW - timedelta(days=9)).timestamp()),
        "exp": int((NOW - timedelta(days=1)).timestamp()),
    }
    push(listener, town.hub.proven(town.submit(), now=NOW))
    assert connector.run_once(NOW).accepted == 1
    assert len(collected(town)) == 1, "signed by a key that was no key of the hub any more"
    push(listener, town.hub.proven(town.submit(), now=NOW - timedelta(days=2)))
    assert connector.run_once(NOW).accepted == 1
    assert len(collected(town)) == 1


def test_what_neither_receipt_nor_log_proves_is_held_and_said_once(town, listening, caplog):
    connector, listener = listening
    submission_id = town.submit()
    envelope = town.hub.proven(submission_id, now=NOW, ver=9)
    town.hub.logs[envelope["caseId"]] = town.hub.logs[envelope["caseId"]][:1]
    push(listener, envelope)
    for days in range(3):
        assert connector.run_once(NOW + timedelta(days=days)).postponed == 1
    assert town.handed() == []
    assert town.hub.posted == []
    held = [record for record in caplog.records if "is held" in record.message]
    assert len(held) == 1
