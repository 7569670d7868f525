from __future__ import annotations

import hashlib
import hmac
import threading
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest
import requests
from conftest import NOW
from partner import Answer, FakeHub, Fault, Partner, always, well

from hub.connector import Connector
from hub.connector.config import Settings
from hub.connector.handover import Folder, Http
from hub.connector.journal import State
from hub.connector.keyring import Keys
from hub.connector.specialist import SpecialistSystem
from hub.crypto import keys as crypto_keys
from hub.errors import ConfigurationError
from hub.validation.catalog import SchemaCatalog

SCHEMAS = Path(__file__).parents[1] / "schemas"
EXAMPLES = SCHEMAS / "fim-hundesteuer" / "1.0" / "examples"
HUNDESTEUER = "https://schema.rathaus-hub.example/fim-hundesteuer/1.0/anmeldung.schema.json"
METADATA = "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json"
CANARY = "Kanarienvogel-4711"
SECRET = "0123456789abcdef0123456789abcdef"
LATER = NOW + timedelta(hours=2)


def good_data(canary: str = CANARY) -> bytes:
    document = orjson.loads(next(iter(sorted(EXAMPLES.glob("good*.json")))).read_bytes())
    document["halter"]["familienname"] = canary
    return orjson.dumps(document)


def bad_data() -> bytes:
    document = orjson.loads(good_data())
    del document["hunde"]
    return orjson.dumps(document)


def metadata(data: bytes | None, attachments: dict[UUID, bytes], *, schema: str = HUNDESTEUER, **changes) -> bytes:
    structure = {
        "attachments": [
            {
                "hash": {"type": "sha512", "content": hashlib.sha512(content).hexdigest()},
                "purpose": "attachment",
                "mimeType": "application/pdf",
                "attachmentId": str(one),
                "filename": f"{CANARY}.pdf",
            }
            for one, content in attachments.items()
        ],
        "data": {
            "hash": {"type": "sha512", "content": hashlib.sha512(data or b"").hexdigest()},
            "submissionSchema": {"schemaUri": schema, "mimeType": "application/json"},
        },
    }
    return orjson.dumps({"$schema": METADATA, "contentStructure": {**structure, **changes}})


class Town:
    """A hub, a connector's place and a way to start the connector anew, as after a crash."""

    def __init__(self, folder: Path, hub: FakeHub, keys: dict, catalog: SchemaCatalog) -> None:
        self.folder, self.hub, self.keys, self.catalog = folder, hub, keys, catalog
        self.inbox = folder / "in"
        self.inbox.mkdir()
        (folder / "secret").write_text(SECRET)
        self.document = {
            "mode": "collect",
            "journal": "journal.sqlite3",
            "hub": {
                "base_url": hub.url,
                "token_url": hub.url + "/token",
                "client_id": "town",
                "client_secret_file": "secret",
            },
            "destinations": [
                {"destination_id": str(hub.destination_id), "decryption_key_files": ["d"], "signing_key_file": "s"}
            ],
            "handover": {"kind": "folder", "path": "in"},
        }
        self.connector: Connector | None = None

    def start(self, **changes) -> Connector:
        self.stop()
        settings = Settings.parse({**self.document, **changes}, self.folder)
        self.connector = Connector(settings, keys=self.keys, catalog=self.catalog, now=lambda: NOW)
        return self.connector

    def stop(self) -> None:
        if self.connector is not None:
            self.connector.close()
            self.connector = None

    def settle(self) -> None:
        """Look twice: a broken copy is fetched once more before anybody is blamed."""
        connector = self.start()
        connector.run_once(NOW)
        connector.run_once(LATER)

    def submit(self, data: bytes | None = None, attachments: dict[UUID, bytes] | None = None, **changes) -> UUID:
        data = good_data() if data is None else data
        attachments = {uuid4(): f"%PDF {CANARY}".encode()} if attachments is None else attachments
        described = metadata(data, attachments, **changes)
        return self.hub.submit(now=NOW, metadata=described, data=data, attachments=attachments)

    def answer(self) -> tuple[str, dict]:
        (claims,) = self.hub.posted
        ((uri, payload),) = claims["events"].items()
        return uri.rpartition("/")[2], payload

    def reasons(self) -> set[tuple[str, str]]:
        kind, payload = self.answer()
        assert kind == "reject-submission"
        return {(one["type"].rpartition("/")[2], one["instance"]) for one in payload["problems"]}

    def handed(self) -> list[str]:
        return sorted(entry.name for entry in self.inbox.iterdir() if not entry.name.startswith("."))


@pytest.fixture(scope="session")
def catalog():
    return SchemaCatalog.load(SCHEMAS)


@pytest.fixture(scope="session")
def receiver_pair():
    return crypto_keys.make_rsa_pair("signing", kid_prefix="town-")


@pytest.fixture(scope="session")
def town_keys(decryption_key, receiver_pair):
    """The town's private keys and the public half of its signing key."""
    public, private = receiver_pair
    signing = crypto_keys.read_signing_key(private, written_by_us=True)
    return Keys(decryption=(decryption_key,), signing=signing), public


@pytest.fixture
def town(tmp_path, catalog, encryption_key, town_keys, signing_key):
    keys, public = town_keys
    destination_id = uuid4()
    with FakeHub(
        signing_key=signing_key, destination_id=destination_id, encryption_key=encryption_key, receiver_jwk=public
    ) as hub:
        town = Town(tmp_path, hub, {destination_id: keys}, catalog)
        yield town
        town.stop()


def broken_jwe(jwe: str) -> str:
    """The same JWE with its last ciphertext letter changed; header, key and tag stay."""
    head, wrapped, iv, text, tag = jwe.split(".")
    return ".".join([head, wrapped, iv, ("B" if text[0] == "A" else "A") + text[1:], tag])


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
    town.hub.play = lambda heard: page if "attachments" in heard.path else town.hub._play(heard)
    connector.run_once(NOW)
    town.hub.play = town.hub._play
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
    town.hub.play = lambda heard: Answer(status=502) if "attachments" in heard.path else town.hub._play(heard)
    assert connector.run_once(NOW).postponed == 1
    town.hub.play = town.hub._play
    assert connector.run_once(LATER).accepted == 1
    assert town.handed() == [str(submission_id)]


def test_a_log_signed_by_a_stranger_is_held(town, receiver_pair):
    stranger = crypto_keys.read_signing_key(receiver_pair[1], written_by_us=True)
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
    connector._look(NOW)
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
    connector._look(NOW)
    sealed = town.hub.submissions.pop(str(submission_id))
    connector.run_once(NOW)
    assert connector.status() == {State.GONE: 1}
    town.hub.submissions[str(submission_id)] = sealed
    assert connector.run_once(LATER).accepted == 1


# --- the walk -------------------------------------------------------------------------------------------------------


def test_a_good_submission_is_handed_over_and_accepted(town):
    one = uuid4()
    submission_id = town.submit(attachments={one: b"%PDF content"})
    counts = town.start().run_once(NOW)
    assert (counts.seen, counts.handed, counts.accepted, counts.open) == (1, 1, 1, 0)
    case = town.inbox / str(submission_id)
    assert (case / "data.json").read_bytes() == good_data()
    assert (case / "attachments" / f"{CANARY}.pdf").read_bytes() == b"%PDF content"
    antrag = orjson.loads((case / "antrag.json").read_bytes())
    assert antrag["validation"]["report"]["valid"] is True
    assert antrag["publicService"]["name"] == "Hundesteuer"
    assert antrag["submittedAt"] == NOW.isoformat()
    kind, payload = town.answer()
    assert kind == "accept-submission"
    assert payload["authenticationTags"] == town.hub.tags(str(submission_id))


def test_the_answer_is_signed_in_the_name_of_the_destination(town):
    submission_id = town.submit()
    town.start().run_once(NOW)
    (claims,) = town.hub.posted
    assert claims["iss"] == str(town.hub.destination_id)
    assert claims["sub"] == f"submission:{submission_id}"
    assert claims["iat"] == int(NOW.timestamp())


def test_a_second_look_does_nothing(town):
    town.submit()
    connector = town.start()
    connector.run_once(NOW)
    counts = connector.run_once(LATER)
    assert (counts.seen, counts.handed, counts.accepted) == (0, 0, 0)
    assert len(town.hub.posted) == 1


def test_more_than_a_page_is_collected(town, monkeypatch):
    monkeypatch.setattr("hub.connector.collect._PAGE", 2)
    for _ in range(3):
        town.submit(attachments={})
    assert town.start().run_once(NOW).accepted == 3


def test_fragments_are_joined(town):
    data, logical, pieces = good_data(), uuid4(), {uuid4(): b"first ", uuid4(): b"second"}
    described = orjson.loads(metadata(data, {logical: b"first second"}))
    described["contentStructure"]["attachments"][0]["fragments"] = [str(one) for one in pieces]
    submission_id = town.hub.submit(now=NOW, metadata=orjson.dumps(described), data=data, attachments=pieces)
    assert town.start().run_once(NOW).accepted == 1
    assert (town.inbox / str(submission_id) / "attachments" / f"{CANARY}.pdf").read_bytes() == b"first second"


def test_an_unknown_schema_is_handed_over_unchecked(town):
    submission_id = town.submit(schema="https://example.org/unheard-of.json")
    # The payload names its own schema too; both are unknown here.
    town.start().run_once(NOW)
    antrag = orjson.loads((town.inbox / str(submission_id) / "antrag.json").read_bytes())
    assert antrag["validation"] == {"checked": False, "report": None}


def test_the_policy_can_hand_over_with_the_report(town):
    submission_id = town.submit(bad_data())
    counts = town.start(policy={"on_invalid": "hand_over_with_report"}).run_once(NOW)
    assert (counts.handed, counts.accepted) == (1, 1)
    antrag = orjson.loads((town.inbox / str(submission_id) / "antrag.json").read_bytes())
    assert antrag["validation"]["report"]["valid"] is False


def test_the_policy_does_not_cover_a_wrong_hash(town):
    data = good_data()
    town.hub.submit(now=NOW, metadata=metadata(data + b" ", {}), data=data, attachments={})
    assert town.start(policy={"on_invalid": "hand_over_with_report"}).run_once(NOW).rejected == 1


# --- crashes --------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process dies here: nothing of ours may catch it."""


def kill_at(monkeypatch, owner, name: str, *, after: bool) -> None:
    """Die once, before or after a step."""
    genuine = getattr(owner, name)

    def dying(self, *args, **kwargs):
        monkeypatch.setattr(owner, name, genuine)
        if after:
            genuine(self, *args, **kwargs)
        raise Killed

    monkeypatch.setattr(owner, name, dying)


CRASHES = {
    "before the envelope is fetched": ("hub.connector.walk.Connector", "_fetch", False),
    "after the envelope is fetched": ("hub.connector.walk.Connector", "_fetch", True),
    "after opening, before the verdict is journaled": ("hub.connector.walk.Connector", "_open", True),
    "after the verdict is journaled": ("hub.connector.walk.Connector", "_judge", True),
    "before the copy is staged": ("hub.connector.handover.Folder", "stage", False),
    "after the copy is staged, before that is journaled": ("hub.connector.handover.Folder", "stage", True),
    "before the copy is shown": ("hub.connector.handover.Folder", "publish", False),
    "after the copy is shown, before that is journaled": ("hub.connector.handover.Folder", "publish", True),
    "before the answer is signed": ("hub.connector.walk.Connector", "_answer", False),
    "before the answer is posted": ("hub.connector.collect.HubClient", "post_event", False),
    "after the answer is posted, before that is journaled": ("hub.connector.collect.HubClient", "post_event", True),
    "before the end is journaled": ("hub.connector.walk.Connector", "_finish", False),
}


def assert_no_plaintext_outside_the_inbox(town: Town) -> None:
    for file in town.folder.rglob("*"):
        if file.is_file() and town.inbox not in file.parents:
            assert CANARY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("point", CRASHES)
def test_a_crash_loses_nothing_doubles_nothing_and_leaves_no_plaintext(point, town, monkeypatch):
    path, name, after = CRASHES[point]
    module, _dot, owner = path.rpartition(".")
    kill_at(monkeypatch, getattr(__import__(module, fromlist=[owner]), owner), name, after=after)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    assert_no_plaintext_outside_the_inbox(town)
    counts = town.start().run_once(LATER)
    assert_no_plaintext_outside_the_inbox(town)
    assert counts.open == 0
    assert town.handed() == [str(submission_id)]
    assert town.answer()[0] == "accept-submission"


def test_a_folder_gets_it_once_even_if_the_local_system_is_quicker(town, monkeypatch):
    kill_at(monkeypatch, Folder, "publish", after=True)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    (town.inbox / str(submission_id)).rename(town.folder / "taken away")
    assert town.start().run_once(LATER).accepted == 1
    assert town.handed() == []


def test_an_http_handover_after_a_crash_is_flagged_as_a_repeat(town, monkeypatch):
    kill_at(monkeypatch, Http, "send", after=True)
    submission_id = town.submit()
    with Partner() as local:
        handover = {"kind": "http", "url": local.url + "/cases"}
        with pytest.raises(Killed):
            town.start(handover=handover).run_once(NOW)
        assert town.start(handover=handover).run_once(LATER).accepted == 1
    assert [heard.headers["Repeat"] for heard in local.heard] == ["false", "true"]
    assert {heard.headers["Idempotency-Key"] for heard in local.heard} == {str(submission_id)}


def test_a_lost_answer_of_the_local_system_is_flagged_as_a_repeat(town):
    town.submit()
    with Partner(play=always(Fault.SILENT_CLOSE)) as local:
        connector = town.start(handover={"kind": "http", "url": local.url + "/cases"})
        connector.run_once(NOW)
        local.play = well
        assert connector.run_once(LATER).accepted == 1
    assert [heard.headers["Repeat"] for heard in local.heard] == ["false", "true"]


def test_a_conflict_whose_log_holds_our_event_is_success(town):
    town.submit()
    town.hub.lose = True
    connector = town.start()
    assert connector.run_once(NOW).postponed == 1
    assert connector.run_once(LATER).accepted == 1
    assert len(town.hub.posted) == 1


def test_the_same_token_is_posted_again(town):
    town.submit()
    town.hub.lose = True
    connector = town.start()
    connector.run_once(NOW)
    connector.run_once(LATER)
    posts = [heard.body for heard in town.hub.heard if heard.method == "POST" and "events" in heard.path]
    assert len(posts) == 2
    assert posts[0] == posts[1]


def test_a_case_that_the_hub_closed_itself_is_overruled(town):
    sealed = town.hub.submissions[str(town.submit())]
    connector = town.start()
    genuine = connector._hub.post_event

    def late(*args):
        town.hub.write(sealed, "reject", {"problems": []}, NOW)
        genuine(*args)

    connector._hub.post_event = late
    counts = connector.run_once(NOW)
    assert (counts.accepted, counts.open) == (0, 0)
    assert connector.status() == {State.OVERRULED: 1}


def test_a_share_that_is_not_mounted_takes_nothing(town, monkeypatch):
    kill_at(monkeypatch, Folder, "publish", after=False)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    town.inbox.rename(town.folder / "share")
    town.inbox.mkdir()
    connector = town.start()
    assert connector.run_once(LATER).postponed == 1
    town.inbox.rmdir()
    (town.folder / "share").rename(town.inbox)
    assert connector.run_once(LATER + timedelta(hours=2)).accepted == 1
    assert town.handed() == [str(submission_id)]


def test_a_lost_journal_makes_no_second_copy(town):
    submission_id = town.submit()
    connector = town.start()
    connector.run_once(NOW)
    sealed = town.hub.submissions[str(submission_id)]
    town.hub.logs[sealed["caseId"]].pop()
    town.stop()
    for file in town.folder.glob("journal.*"):
        file.unlink() if file.is_file() else file.rmdir()
    assert town.start().run_once(LATER).accepted == 1
    assert town.handed() == [str(submission_id)]


@pytest.mark.parametrize("what", ["submission.json", "attachments"])
def test_a_disk_that_loses_the_ciphertext_fetches_it_again(what, town, monkeypatch):
    kill_at(monkeypatch, Connector, "_hand_over", after=False)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    place = town.folder / "journal.sealed" / str(submission_id) / what
    place.unlink() if place.is_file() else next(place.iterdir()).write_bytes(b"e30.a.b.c.d")
    connector = town.start()
    assert connector.run_once(LATER).postponed == 1
    assert connector.run_once(LATER + timedelta(hours=2)).accepted == 1


def test_two_connectors_never_share_a_journal(town):
    town.start()
    with pytest.raises(ConfigurationError):
        Connector(town.connector._settings, keys=town.keys, catalog=town.catalog, now=lambda: NOW)


# --- pushes ---------------------------------------------------------------------------------------------------------


LISTEN = {"mode": "listen", "listen": {"secret_file": "secret"}}


def push(listener, envelope: dict, *, secret: str = SECRET, at=NOW, path: str = "/deliveries", body=None):
    body = orjson.dumps(envelope) if body is None else body
    stamp = str(int(at.timestamp()))
    signature = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha512).hexdigest()
    headers = {"Callback-Timestamp": stamp, "Callback-Authentication": signature}
    return requests.post(f"http://127.0.0.1:{listener.port}{path}", data=body, headers=headers, timeout=5)


@pytest.fixture
def listening(town):
    connector = town.start(**LISTEN)
    listener = connector.listen()
    yield connector, listener
    listener.close()


def test_a_forged_push_is_refused(town, listening):
    connector, listener = listening
    envelope = town.hub.envelope(town.submit())
    assert push(listener, envelope, secret="f" * 32).status_code == 401
    assert push(listener, envelope, at=NOW - timedelta(minutes=6)).status_code == 401
    assert connector.run_once(NOW).open == 0


def test_a_push_for_another_town_is_refused(town, listening):
    envelope = {**town.hub.envelope(town.submit()), "destinationId": str(uuid4())}
    assert push(listening[1], envelope).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"submissionId": "../../etc"},
        {"encryptedMetadata": "plain text"},
        {"encryptedData": {"a": 1}},
        {"eventLog": "none"},
        {"attachments": {}},
        {"attachments": [{"attachmentId": "x"}]},
        {"attachments": [{"attachmentId": str(uuid4()), "jwe": "a.b.c.d.e", "sha512": "0"}]},
        {"attachments": [{"attachmentId": str(UUID(int=one))} for one in range(101)]},
    ],
)
def test_an_envelope_out_of_form_is_refused(change, town, listening):
    answer = push(listening[1], {**town.hub.envelope(town.submit()), **change})
    assert answer.status_code == 400
    assert CANARY not in answer.text


def test_not_json_or_too_large_or_elsewhere_is_refused(town, listening):
    listener = listening[1]
    assert push(listener, {}, body=b"not json").status_code == 400
    assert push(listener, {}, path="/elsewhere").status_code == 404
    huge = {"Content-Length": str(10**9)}
    assert requests.post(f"http://127.0.0.1:{listener.port}/deliveries", headers=huge, timeout=5).status_code == 413


def test_a_push_is_durable_before_it_is_answered(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.envelope(submission_id)).status_code == 202
    assert town.start(**LISTEN).run_once(NOW).accepted == 1
    assert town.handed() == [str(submission_id)]
    del connector


def test_a_repeated_push_is_handled_once(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.envelope(submission_id)).status_code == 202
    assert push(listener, town.hub.envelope(submission_id, repeat=True)).status_code == 200
    connector.run_once(NOW)
    assert push(listener, town.hub.envelope(submission_id, repeat=True)).status_code == 200
    assert connector.run_once(LATER).handed == 0
    assert len(town.hub.posted) == 1


def test_pushes_at_once_make_one_case(town, listening):
    connector, listener = listening
    envelope = town.hub.envelope(town.submit())
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(push(listener, envelope).status_code)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 200, 200, 202]
    assert connector.run_once(NOW).handed == 1


def test_large_attachments_are_collected(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.envelope(submission_id, inline=False)).status_code == 202
    assert connector.run_once(NOW).accepted == 1
    assert (town.inbox / str(submission_id) / "attachments" / f"{CANARY}.pdf").exists()


def test_a_push_with_a_short_log_fetches_the_whole_one(town, listening):
    connector, listener = listening
    envelope = {**town.hub.envelope(town.submit()), "eventLog": []}
    assert push(listener, envelope).status_code == 202
    assert connector.run_once(NOW).accepted == 1


def test_pushed_and_collected_is_one(town):
    connector = town.start(**{**LISTEN, "mode": "both"})
    listener = connector.listen()
    submission_id = town.submit()
    push(listener, town.hub.envelope(submission_id))
    counts = connector.run_once(NOW)
    listener.close()
    assert (counts.handed, counts.accepted) == (1, 1)


# --- plaintext ------------------------------------------------------------------------------------------------------


def test_nothing_sealed_is_kept_after_the_answer(town):
    town.submit()
    town.start().run_once(NOW)
    assert list((town.folder / "journal.sealed").iterdir()) == []


# --- the specialist system ------------------------------------------------------------------------------------------


def test_the_demo_runs_from_push_to_specialist_system(town):
    system = SpecialistSystem(port=0, folder=town.folder / "cases", secret=SECRET, now=lambda: NOW)
    handover = {"kind": "http", "url": f"http://127.0.0.1:{system.port}/cases", "secret_file": "secret"}
    connector = town.start(**LISTEN, handover=handover)
    listener = connector.listen()
    submission_id = town.submit()
    push(listener, town.hub.envelope(submission_id))
    assert connector.run_once(NOW).accepted == 1
    listener.close()
    base = f"http://127.0.0.1:{system.port}"
    (case,) = requests.get(base + "/cases.json", timeout=5).json()["cases"]
    page = requests.get(base + "/", timeout=5)
    system.close()
    assert case["submissionId"] == str(submission_id)
    assert case["repeat"] is False
    assert "Eingegangene Anträge: 1" in page.text
    assert CANARY not in page.text
    stored = town.folder / "cases" / str(submission_id)
    assert (stored / "data.json").read_bytes() == good_data()
    assert (stored / "attachments" / f"{CANARY}.pdf").read_bytes() == f"%PDF {CANARY}".encode()


def test_run_works_until_it_is_told_to_stop(town):
    town.submit()
    connector, stop = town.start(), threading.Event()
    thread = threading.Thread(target=connector.run, args=(stop,))
    thread.start()
    for _ in range(200):
        if town.hub.posted:
            break
        stop.wait(0.02)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert town.answer()[0] == "accept-submission"
