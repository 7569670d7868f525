# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
from __future__ import annotations

from uuid import uuid4

import orjson
import pytest
from partner import Answer, Partner, always, well
from stage import NOW
from test_connector_town import (
    CANARY,
    LATER,
    METADATA,
    Town,
    bad_data,
    broken_jwe,
    catalog,
    good_data,
    metadata,
    signing_pair,
    town,
    town_keys,
)

from hub.connector.journal import JournalState
from hub.crypto import keys as crypto_keys

# --- what is turned down --------------------------------------------------------------------------------------------


def test_a_schema_violation_is_rejected_without_its_values(town):
    town.submit(bad_data())
    counts = town.start().run_once(NOW)
    assert (counts.rejected, counts.handed, counts.open) == (1, 0, 0)
    assert town.reasons() == {("schema-violation", "data")}
    assert CANARY not in str(town.hub.posted)
    assert town.handed() == []


def test_a_wrong_data_hash_is_rejected(town):
    data = good_data()
    described = metadata(data + b" ", {})
    town.hub.submit(now=NOW, metadata=described, data=data, attachments={})
    town.settle()
    assert town.reasons() == {("hash-mismatch", "data")}


def test_a_wrong_attachment_hash_is_rejected(town):
    one, data = uuid4(), good_data()
    described = metadata(data, {one: b"expected"})
    town.hub.submit(now=NOW, metadata=described, data=data, attachments={one: b"another"})
    town.settle()
    assert town.reasons() == {("hash-mismatch", f"attachment:{one}")}


def test_a_changed_ciphertext_is_rejected(town):
    sealed = town.hub.submissions[str(town.submit())]
    sealed["encryptedData"] = broken_jwe(sealed["encryptedData"])
    town.settle()
    assert town.reasons() == {("encryption-issue", "data")}


def test_a_changed_attachment_releases_nothing(town):
    one = uuid4()
    submission_id = town.submit(attachments={one: b"%PDF" * 1000})
    key = str(submission_id), str(one)
    town.hub.attachments[key] = broken_jwe(town.hub.attachments[key].decode()).encode()
    town.settle()
    assert town.reasons() == {("encryption-issue", f"attachment:{one}")}
    assert list(town.inbox.iterdir()) == []


def test_a_tag_that_differs_from_the_log_is_rejected(town):
    sealed = town.hub.submissions[str(town.submit())]
    sealed["encryptedData"] = town.hub.seal(good_data())
    town.settle()
    assert town.reasons() == {("incorrect-authentication-tag", "data")}


def test_a_swapped_attachment_is_rejected(town):
    one = uuid4()
    submission_id = town.submit(attachments={one: b"%PDF"})
    town.hub.attachments[str(submission_id), str(one)] = town.hub.seal(b"%PDF").encode()
    town.settle()
    assert town.reasons() == {("incorrect-authentication-tag", f"attachment:{one}")}


def test_an_attachment_that_the_log_does_not_know_is_rejected(town):
    submission_id, one = town.submit(), uuid4()
    town.hub.submissions[str(submission_id)]["attachments"].append(str(one))
    town.hub.attachments[str(submission_id), str(one)] = town.hub.seal(b"more").encode()
    town.settle()
    assert town.reasons() == {("attachments-mismatch", "submission")}


def test_a_named_attachment_that_is_missing_is_rejected(town):
    data, one = good_data(), uuid4()
    town.hub.submit(now=NOW, metadata=metadata(data, {one: b"x"}), data=data, attachments={})
    town.settle()
    assert town.reasons() == {("missing-attachment", f"attachment:{one}")}


def test_an_attachment_that_nobody_named_is_rejected(town):
    data = good_data()
    town.hub.submit(now=NOW, metadata=metadata(data, {}), data=data, attachments={uuid4(): b"x"})
    town.settle()
    assert town.reasons() == {("attachments-mismatch", "submission")}


def test_a_foreign_key_is_rejected(town, other_rsa_pair):
    town.hub.encryption_key = crypto_keys.judge_encryption_key(
        other_rsa_pair[0], now=NOW, policy=crypto_keys.KeyPolicy(), require_x5c=False
    )
    town.submit()
    town.settle()
    assert town.reasons() == {("encryption-issue", "metadata")}


@pytest.mark.parametrize(
    ("slug", "content"),
    [
        ("syntax-violation", b"<metadata/>"),
        ("missing-schema", b'{"contentStructure":{}}'),
        ("unsupported-schema", b'{"$schema":"https://example.org/mine.json","contentStructure":{}}'),
        ("schema-violation", orjson.dumps({"$schema": METADATA, "contentStructure": {"attachments": [7]}})),
        (
            "schema-violation",
            orjson.dumps({"$schema": METADATA.replace("2.1.0", "1.0.0"), "contentStructure": {"attachments": [7]}}),
        ),
    ],
)
def test_unusable_metadata_are_rejected(slug, content, town):
    town.hub.submit(now=NOW, metadata=content, data=good_data(), attachments={})
    town.settle()
    assert town.reasons() == {(slug, "metadata")}


def test_data_that_are_not_json_are_rejected(town):
    town.submit(b'{"a": 1')
    town.settle()
    assert town.reasons() == {("syntax-violation", "data")}


def test_missing_data_are_rejected(town):
    town.hub.submit(now=NOW, metadata=metadata(b"", {}), data=None, attachments={})
    town.settle()
    assert town.reasons() == {("missing-data", "data")}


def test_every_problem_is_named_at_once(town):
    data, one, two = good_data(), uuid4(), uuid4()
    described = metadata(data + b" ", {one: b"expected", two: b"gone"})
    town.hub.submit(now=NOW, metadata=described, data=data, attachments={one: b"another"})
    town.settle()
    assert town.reasons() == {
        ("hash-mismatch", "data"),
        ("hash-mismatch", f"attachment:{one}"),
        ("missing-attachment", f"attachment:{two}"),
    }


def test_a_copy_that_the_line_broke_is_fetched_again(town):
    submission_id = town.submit()
    sealed = town.hub.submissions[str(submission_id)]
    genuine, sealed["encryptedData"] = sealed["encryptedData"], broken_jwe(sealed["encryptedData"])
    connector = town.start()
    connector.run_once(NOW)
    assert town.hub.posted == []
    sealed["encryptedData"] = genuine
    assert connector.run_once(LATER).accepted == 1


def test_an_error_page_in_place_of_an_attachment_is_fetched_again(town):
    town.submit()
    connector = town.start()
    page = Answer(body=b"<html>Please log in</html>")
    town.hub.play = lambda heard: page if "attachments" in heard.path else town.hub.play_well(heard)
    connector.run_once(NOW)
    town.hub.play = town.hub.play_well
    assert connector.run_once(LATER).accepted == 1


# --- what is held, never turned down --------------------------------------------------------------------------------


def held(town: Town) -> bool:
    counts = town.start().run_once(NOW)
    return (counts.postponed, counts.open, town.hub.posted, town.handed()) == (1, 1, [], [])


def test_a_hub_that_is_down_loses_nothing(town):
    town.submit()
    town.hub.down = True
    connector = town.start()
    assert connector.run_once(NOW).postponed == 1
    town.hub.down = False
    assert connector.run_once(LATER).accepted == 1


def test_a_hub_that_goes_down_in_the_middle_loses_nothing(town):
    submission_id = town.submit()
    connector = town.start()
    town.hub.play = lambda heard: Answer(status=502) if "attachments" in heard.path else town.hub.play_well(heard)
    assert connector.run_once(NOW).postponed == 1
    town.hub.play = town.hub.play_well
    assert connector.run_once(LATER).accepted == 1
    assert town.handed() == [str(submission_id)]


def test_a_log_signed_by_a_stranger_is_held(town):
    stranger = crypto_keys.read_signing_key(signing_pair()[1], written_by_us=True)
    genuine, town.hub.signing_key = town.hub.signing_key, stranger
    town.submit()
    town.hub.signing_key = genuine
    assert held(town)


def test_a_log_without_a_submit_event_is_held(town):
    sealed = town.hub.submissions[str(town.submit())]
    town.hub.logs[sealed["caseId"]].pop()
    assert held(town)


def test_a_log_of_another_case_is_held(town):
    first, second = (town.hub.submissions[str(town.submit())] for _ in range(2))
    town.hub.logs[first["caseId"]] = town.hub.logs[second["caseId"]]
    town.hub.submissions.pop(second["submissionId"])
    assert held(town)


def test_a_log_that_repeats_a_token_is_held(town):
    sealed = town.hub.submissions[str(town.submit())]
    log = town.hub.logs[sealed["caseId"]]
    town.hub.logs[sealed["caseId"]] = [log[1], log[1]]
    assert held(town)


def test_a_submission_that_is_another_is_held(town):
    sealed = town.hub.submissions[str(town.submit())]
    connector = town.start()
    connector.look(NOW)
    sealed["caseId"] = str(uuid4())
    assert connector.run_once(NOW).postponed >= 1
    assert town.hub.posted == []


def test_a_local_system_that_says_no_never_rejects_the_citizen(town):
    town.submit()
    with Partner(play=always(Answer(status=422))) as local:
        connector = town.start(handover={"kind": "http", "url": local.url + "/cases"})
        assert connector.run_once(NOW).postponed == 1
        local.play = well
        assert connector.run_once(LATER).accepted == 1
    assert [heard.headers["Repeat"] for heard in local.heard] == ["false", "false"]


def test_one_broken_submission_does_not_stop_the_others(town):
    broken, good = town.submit(), town.submit()
    del town.hub.submissions[str(broken)]["publicService"]
    counts = town.start().run_once(NOW)
    assert (counts.accepted, counts.postponed) == (1, 1)
    assert town.handed() == [str(good)]


def test_what_the_hub_no_longer_has_is_gone_until_it_is_listed_again(town):
    submission_id = town.submit()
    connector = town.start()
    connector.look(NOW)
    sealed = town.hub.submissions.pop(str(submission_id))
    connector.run_once(NOW)
    assert connector.status() == {JournalState.GONE: 1}
    town.hub.submissions[str(submission_id)] = sealed
    assert connector.run_once(LATER).accepted == 1
