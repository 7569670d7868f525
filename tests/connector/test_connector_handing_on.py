"""A case goes on to the next authority, with a real hub and two connectors, and with the time of its receipt."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from click.testing import CliRunner
from say import TOKEN, Local, Office, pdf, wish
from stage import (
    ANMELDEN,
    ANMELDUNG,
    BAUEN,
    CANARY,
    FRANKFURT,
    SCHEMAS,
    TAUNUSSTEIN,
    WIESBADEN,
    Served,
    Stage,
    serving,
    staged,
)
from test_connector_walk import Killed, kill_at

from hub.cli import main
from hub.client.cases import OwnCases
from hub.client.contents import Attachment
from hub.client.plain import Application, PlainDoor
from hub.client.session import log_in
from hub.connector import Connector
from hub.connector.casebook import CaseQuery
from hub.connector.clerk.accounts import add_account
from hub.connector.clerk.export import archive_of
from hub.connector.desk import WantedForward
from hub.connector.forwards import ForwardState
from hub.connector.journal import JournalState
from hub.connector.local_api import forward_by_interface
from hub.connector.opening import load_keys
from hub.connector.settings import ConnectorSettings
from hub.crypto import DecryptionKey, read_decryption_key
from hub.errors import Conflict, Forbidden, HubError, IdempotencyConflict, Invalid, NotFound, Text
from hub.files.settings import as_toml
from hub.model import CaseMessage, CaseMessageKind, EventKind, MediaType, ReplyMessage, State
from hub.routing import legal_day
from hub.services import DeadlineRule, DeadlineUnit, ServiceCatalogue
from hub.supervision import Supervisor
from hub.validation.catalog import SchemaCatalog

HANAU = "064350014014"
#: More than fits into one piece, so that it streams.
PLAN = b"%PDF Plan " + CANARY.encode() + b" " * 3_000_000


@dataclass
class Towns:
    """Two towns with a connector each at one hub, and a citizen at the plain door."""

    stage: Stage
    served: Served
    key: DecryptionKey
    public: dict[str, Any]
    catalog: SchemaCatalog
    running: dict[str, Connector]

    def __post_init__(self) -> None:
        session = log_in(self.served.base_url, **self.stage.cast["sender"])
        self.door, self.cases = PlainDoor(session), OwnCases(session, issuer=self.stage.hub.base_url)

    def document(self, name: str, **more: Any) -> dict[str, Any]:
        folder, there = self.stage.data / "demo", self.stage.destination(name)
        for use in ("decryption", "signing"):
            (folder / f"{name}.{use}.json").write_text(json.dumps(there[f"private_{use}_jwk"]))
        return {
            "journal": f"{name}.sqlite",
            "hub": {
                "base_url": self.served.base_url,
                "token_url": f"{self.served.base_url}/token",
                "issuer": self.stage.hub.base_url,
                "client_id": self.stage.cast["subscriber"]["client_id"],
                "client_secret_file": "subscriber.secret",
            },
            "handover": {"mode": "clerk"},
            "destinations": [
                {
                    "destination_id": there["destination_id"],
                    "decryption_key_files": [f"{name}.decryption.json"],
                    "signing_key_file": f"{name}.signing.json",
                }
            ],
            **more,
        }

    def start(self, name: str, **more: Any) -> Connector:
        """Open a town's connector, anew if it runs: what lay in memory is gone."""
        if name in self.running:
            self.running.pop(name).close()
        settings = ConnectorSettings.parse(self.document(name, **more), self.stage.data / "demo")
        keys = load_keys(settings.destinations)
        self.running[name] = Connector(settings, keys=keys, catalog=self.catalog, now=self.stage.clock)
        return self.running[name]

    def run(self, name: str) -> Connector:
        connector = self.running.get(name) or self.start(name)
        # As the hub's own clockwork does: what nothing signed covers is not told.
        self.stage.hub.checkpoints.make(self.stage.clock())
        self.stage.clock.pass_(minutes=11)
        connector.run_once(self.stage.clock())
        return connector

    def apply(self, *, channel: bool = True, plan: bytes = b"%PDF") -> Any:
        named = {"fitConnect": {"processStandards": ["urn:x:y"], "encryptionPublicKey": self.public}}
        enclosed = Attachment(open=lambda: io.BytesIO(plan), filename="Plan.pdf", media_type="application/pdf")
        return self.door.submit(
            Application(
                data=ANMELDUNG,
                media_type=MediaType.JSON,
                service=ANMELDEN,
                ars=WIESBADEN,
                attachments=[enclosed],
                metadata={"replyChannel": named} if channel else {},
            )
        )

    def messages(self, case_id: UUID) -> list[ReplyMessage]:
        """What authorities wrote in a case, opened with the sender's key."""
        found = []
        for reply in self.cases.replies(case_id):
            with self.cases.collect(case_id, reply.reply_id) as collected:
                found.append(ReplyMessage.read(collected.open([self.key]).data))
        return found

    def events(self, case_id: UUID) -> list[EventKind]:
        return [event.kind for event in self.stage.hub.store.event_log.events(case_id, limit=50).items]

    def waiting_in(self, name: str) -> list[UUID]:
        """What lies at the hub for a town, complete."""
        there = frozenset({self.stage.destination_id(name)})
        page = self.stage.hub.store.submissions.messages(destination_ids=there, complete=True)
        return [each.id for each in page.items]


@pytest.fixture(scope="module")
def catalog() -> SchemaCatalog:
    return SchemaCatalog.load(SCHEMAS)


@pytest.fixture(scope="module")
def towns(
    made_once: Path, tmp_path_factory: pytest.TempPathFactory, rsa_pair: Any, catalog: SchemaCatalog
) -> Iterator[Towns]:
    """One hub and its towns for all tests, which look at what they sent themselves."""
    public, private = rsa_pair
    with staged(made_once, tmp_path_factory.mktemp("towns")) as stage, serving(stage) as served:
        made = Towns(stage, served, read_decryption_key(private), public, catalog, {})
        yield made
        for each in made.running.values():
            each.close()


def handing(submission_id: UUID, **changes: Any) -> WantedForward:
    """Hand on to Hanau."""
    said = {"request_id": uuid4(), "service": "", "area": HANAU, "reason": "other-area", "text": "", **changes}
    return WantedForward(submission_id=submission_id, **said)


def opened(connector: Connector, submission_id: UUID) -> Any:
    return connector.say.desk.open(connector.say.desk.submission(submission_id))


def test_all_that_belongs_to_a_case_goes_with_it_and_the_sender_follows(towns: Towns, monkeypatch: pytest.MonkeyPatch):
    catalogue = towns.stage.hub.services()
    month = DeadlineRule(name="decision", title=Text("Entscheidung", "Decision"), amount=1, unit=DeadlineUnit.MONTHS)
    timed = ServiceCatalogue([replace(each, deadlines=(month,)) for each in catalogue])
    monkeypatch.setattr(towns.stage.hub.service_book, "active", lambda _now: timed)
    applied_on = towns.stage.clock().date()
    applied, received_at = towns.apply(plan=PLAN), towns.stage.clock()
    wiesbaden = towns.run("Wiesbaden")
    desk = wiesbaden.say.desk
    desk.reply(wish(applied.submission_id, text="Wo ist der Lageplan?", files=(pdf("Muster.pdf"),)), who="anna")
    towns.run("Wiesbaden")
    (question,) = towns.cases.replies(applied.case_id)
    towns.cases.acknowledge(applied.case_id, question.reply_id)
    answer = CaseMessage(kind=CaseMessageKind.ANSWER, about=question.reply_id, text="Hier.")
    enclosed = Attachment(open=lambda: io.BytesIO(b"%PDF Lage"), filename="Lage.pdf", media_type="application/pdf")
    towns.door.submit(
        Application.in_case(answer, applied.case_id, service=ANMELDEN, ars=WIESBADEN, attachments=[enclosed])
    )
    towns.run("Wiesbaden")

    wished = handing(applied.submission_id, text="Das Haus steht in Hanau.")
    assert "Hanau" in desk.next_authority(wished).name
    desk.forward(wished, who="anna")
    towns.run("Wiesbaden")
    gone = desk.forwards.find(wished.request_id)
    assert (gone.state, gone.sealed_text) == (ForwardState.GONE, "")

    # The old case is closed and accepted, both logs name each other, and the sender was told.
    assert desk.book.find(applied.case_id).closed_at is not None
    assert {each.state for each in desk.book.submissions(applied.case_id)} == {JournalState.HANDED}
    towns.run("Wiesbaden")
    assert {each.state for each in towns.cases.show(applied.case_id).submissions} == {State.ACCEPTED}
    assert towns.events(applied.case_id).count(EventKind.FORWARDED_TO) == 1
    assert towns.events(gone.next_case)[:3] == [EventKind.CREATE, EventKind.FORWARDED_FROM, EventKind.SUBMIT]
    notice = towns.messages(applied.case_id)[-1]
    assert (notice.kind, str(gone.next_case) in notice.text, "steht in Hanau" in notice.text) == (
        "forwarded",
        True,
        True,
    )

    archive = zipfile.ZipFile(io.BytesIO(b"".join(archive_of(desk, desk.book.find(applied.case_id), now=gone.at))))
    (handed,) = orjson.loads(archive.read("manifest.json"))["handedOn"]
    assert (handed["caseId"], handed["reason"]) == (str(gone.next_case), "other-area")

    # There it is a new case, and what was received first counts.
    hanau = towns.run("Hanau")
    (row,) = hanau.say.desk.book.cases(CaseQuery(text=str(gone.next_case)), offset=0, limit=10)[0]
    assert (row.case.case_id, row.stage, row.messages) == (gone.next_case, "new", 1)
    origin = hanau.say.desk.forwards.origin(gone.next_case)
    assert ("Wiesbaden" in origin.from_name, origin.received_at, origin.reason) == (True, received_at, "other-area")
    # The deadline counts from the first receipt, for both sides.
    until = month.last_day(applied_on)
    for running, case_id in ((wiesbaden, applied.case_id), (hanau, gone.next_case)):
        assert [each.last_day for each in running.say.desk.deadlines.of_case(case_id)] == [until]
    for submission_id in (applied.submission_id, gone.next_submission):
        (said,) = towns.door.progress(submission_id).deadlines
        assert (said["name"], said["lastDay"]) == ("decision", until.isoformat())
    there = opened(hanau, gone.next_submission)
    assert there.data == ANMELDUNG
    files = {each.file_name: each for each in there.attachments}
    assert {"Plan.pdf", "abgabe.json", "vorgang-01-answer.json", "vorgang-01-answer-Lage.pdf"} <= set(files)
    assert {"antwort-01-question.json", "antwort-01-question-Muster.pdf"} <= set(files)
    assert b"".join(files["Plan.pdf"].chunks()) == PLAN
    said = orjson.loads(b"".join(files["abgabe.json"].chunks()))
    assert (said["text"], said["caseId"]) == ("Das Haus steht in Hanau.", str(applied.case_id))

    # The next authority writes to the sender's own key, and the sender writes into the new case.
    hanau.say.desk.accept(gone.next_submission, who="hanna")
    hanau.say.desk.reply(wish(gone.next_submission, kind="decision", text="Genehmigt.", deadline=None), who="hanna")
    towns.run("Hanau")
    assert [each.text for each in towns.messages(gone.next_case)] == ["Genehmigt."]
    assert [each.submission_id for each in towns.cases.show(gone.next_case).submissions] == [gone.next_submission]
    assert towns.stage.hub.notary.verify([applied.case_id, gone.next_case]).findings == ()

    # Nothing of it lay in the clear, at neither town.
    for path in (towns.stage.data / "demo").rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_a_case_goes_on_twice_with_both_proofs_and_never_back(towns: Towns):
    applied, received_at = towns.apply(), towns.stage.clock()
    towns.start("Wiesbaden")
    towns.run("Wiesbaden").say.desk.forward(handing(applied.submission_id), who="anna")
    towns.run("Wiesbaden")
    (first,) = towns.running["Wiesbaden"].say.desk.forwards.of_case(applied.case_id)
    hanau = towns.run("Hanau").say.desk
    with pytest.raises(Conflict) as caught:
        hanau.next_authority(handing(first.next_submission, area=WIESBADEN))
    assert caught.value.slug == "forward-loop"
    second = hanau.forward(handing(first.next_submission, area=FRANKFURT), who="hanna")
    towns.run("Hanau")
    gone = hanau.forwards.find(second.request_id)
    assert gone.state is ForwardState.GONE, gone.note
    frankfurt = towns.run("Frankfurt")
    origin = frankfurt.say.desk.forwards.origin(gone.next_case)
    assert ("Hanau" in origin.from_name, origin.received_at) == (True, received_at)
    names = {each.file_name for each in opened(frankfurt, gone.next_submission).attachments}
    assert {"Plan.pdf", "abgabe.json", "abgabe-2.json"} <= names
    assert towns.door.progress(applied.submission_id).forwarded["caseId"] == str(first.next_case)
    assert towns.door.progress(first.next_submission).forwarded["caseId"] == str(gone.next_case)


def test_the_command_hands_on_where_the_connector_does_not_run(towns: Towns):
    applied = towns.apply(channel=False)
    towns.start("Wiesbaden")
    towns.run("Wiesbaden")
    towns.running.pop("Wiesbaden").close()
    config = towns.stage.data / "demo" / "wiesbaden.toml"
    document = towns.document("Wiesbaden")
    (destination,) = document.pop("destinations")
    lines = [f"{name} = {as_toml(value)}" for name, value in document.items() if not isinstance(value, dict)]
    for table in ("hub", "handover"):
        lines += [f"[{table}]", *(f"{name} = {as_toml(value)}" for name, value in document[table].items())]
    lines += ["[[destinations]]", *(f"{name} = {as_toml(value)}" for name, value in destination.items())]
    config.touch(mode=0o600)
    config.write_text("\n".join(['mode = "collect"', f"schema_roots = [{as_toml(str(SCHEMAS))}]", *lines]))
    said = ["connector", "forward", str(applied.submission_id), "--config", str(config), "--reason", "other-area"]
    checked = CliRunner().invoke(main, [*said, "--area", HANAU, "--check"])
    assert (checked.exit_code, "Hanau" in checked.output) == (0, True), checked.output
    refused = CliRunner().invoke(main, [*said, "--area", WIESBADEN, "--check"])
    assert (refused.exit_code, "responsible yourselves" in refused.output) == (1, True), refused.output
    done = CliRunner().invoke(main, [*said, "--area", HANAU])
    assert (done.exit_code, json.loads(done.output)["state"]) == (0, "gone"), done.output
    assert towns.events(applied.case_id).count(EventKind.FORWARDED_TO) == 1


#: Each new step, and whether it dies before or after it.
CRASHES = {
    "before the hub is asked": ("hub.client.forwarding:Forwarder", "begin", False),
    "the new case is open, and nothing here knows": ("hub.client.forwarding:Forwarder", "begin", True),
    "the new case is written down": ("hub.connector.handing_on:HandingOn", "_submit", False),
    "one file is there": ("hub.connector.handing_on:HandingOn", "_upload", True),
    "all is there but the submit": ("hub.client.fit_connect:Subscriber", "submit", False),
    "submitted, and nothing here knows": ("hub.client.fit_connect:Subscriber", "submit", True),
    "before the link": ("hub.client.forwarding:Forwarder", "complete", False),
    "linked, and nothing here knows": ("hub.client.forwarding:Forwarder", "complete", True),
    "the notice is sealed": ("hub.connector.forwards:ForwardBook", "finish", False),
    "all is written down": ("hub.connector.forwards:ForwardBook", "finish", True),
}


def test_killed_at_any_step_nothing_is_lost_and_nothing_goes_twice(towns: Towns, monkeypatch: pytest.MonkeyPatch):
    before = len(towns.waiting_in("Hanau"))
    for number, (path, name, after) in enumerate(CRASHES.values(), start=before + 1):
        applied = towns.apply()
        towns.run("Wiesbaden").say.desk.forward(handing(applied.submission_id), who="anna")
        module, _, owner = path.partition(":")
        with monkeypatch.context() as patched:
            kill_at(patched, getattr(__import__(module, fromlist=[owner]), owner), name, after=after)
            with pytest.raises(Killed):
                towns.run("Wiesbaden")
        towns.start("Wiesbaden")
        for _ in range(2):
            towns.run("Wiesbaden")
        log = towns.events(applied.case_id)
        assert (log.count(EventKind.FORWARDED_TO), log.count(EventKind.ACCEPT)) == (1, 1), name
        assert len(towns.waiting_in("Hanau")) == number, name
        assert [each.kind for each in towns.messages(applied.case_id)] == ["forwarded"], name


def test_while_it_goes_nothing_else_is_said_and_afterwards_it_is_over(towns: Towns):
    applied = towns.apply()
    towns.start("Wiesbaden")
    desk = towns.run("Wiesbaden").say.desk
    wished = handing(applied.submission_id)
    first = desk.forward(wished, who="anna")
    assert desk.forward(wished, who="anna") == first
    for refused, act in (
        ("forward-under-way", lambda: desk.accept(applied.submission_id, who="anna")),
        ("forward-under-way", lambda: desk.reject(applied.submission_id, ["other"], who="anna")),
        ("forward-under-way", lambda: desk.reply(wish(applied.submission_id), who="anna")),
        ("forward-under-way", lambda: desk.forward(handing(applied.submission_id), who="anna")),
    ):
        with pytest.raises(Conflict) as caught:
            act()
        assert caught.value.slug == refused
    with pytest.raises(IdempotencyConflict):
        desk.forward(handing(applied.submission_id, request_id=wished.request_id, text="Anders"), who="anna")
    towns.run("Wiesbaden")
    with pytest.raises(Conflict) as caught:
        desk.forward(handing(applied.submission_id), who="anna")
    assert caught.value.slug == "case-handed-on"


def test_what_the_hub_refuses_stays_here_and_is_said_in_our_words(towns: Towns):
    applied = towns.apply(channel=False)
    towns.start("Wiesbaden")
    desk = towns.run("Wiesbaden").say.desk
    with pytest.raises(Conflict) as caught:
        desk.next_authority(handing(applied.submission_id, area=WIESBADEN))
    assert caught.value.slug == "forward-to-oneself"
    for wrong in ({"area": "Hanau"}, {"reason": "keine Lust"}):
        with pytest.raises(Invalid):
            desk.forward(handing(applied.submission_id, **wrong), who="anna")
    with pytest.raises(NotFound):
        desk.forward(handing(uuid4()), who="anna")
    wished = handing(applied.submission_id, area=WIESBADEN)
    desk.forward(wished, who="anna")
    towns.run("Wiesbaden")
    refused = desk.forwards.find(wished.request_id)
    assert (refused.state, refused.note) == (ForwardState.REFUSED, "forward-to-oneself")
    # It is decided here as if nothing had been: another try goes.
    again = handing(applied.submission_id)
    desk.forward(again, who="anna")
    towns.run("Wiesbaden")
    assert desk.forwards.find(again.request_id).state is ForwardState.GONE
    assert list(towns.cases.replies(applied.case_id)) == []


def test_a_note_that_anybody_may_enclose_proves_nothing(towns: Towns):
    earlier = towns.apply()
    said = {"caseId": str(earlier.case_id), "submissionId": str(earlier.submission_id), "receipt": earlier.token}
    forged = Attachment(
        open=lambda: io.BytesIO(orjson.dumps(said)),
        filename="abgabe.json",
        media_type="application/json",
        purpose="report",
    )
    later = towns.door.submit(
        Application(data=ANMELDUNG, media_type=MediaType.JSON, service=ANMELDEN, ars=WIESBADEN, attachments=[forged])
    )
    towns.start("Wiesbaden")
    desk = towns.run("Wiesbaden").say.desk
    assert desk.submission(later.submission_id).state is JournalState.WAITING
    assert desk.forwards.origin(later.case_id) is None


def test_where_it_takes_two_a_colleague_agrees_on_the_page(towns: Towns):
    applied = towns.apply()
    connector = towns.start("Wiesbaden", forwarding={"second_person": True}, clerk={"port": 0})
    towns.run("Wiesbaden")
    desk, settings = connector.say.desk, connector.settings
    for name in ("anna", "bert"):
        add_account(settings.clerk.accounts_file, name, "Rathausturm-ohne-Uhr", full_name=name, now=towns.stage.clock())
    (server,) = connector.say.services(Supervisor())
    try:
        anna, bert = (Office(server).browser(name) for name in ("anna", "bert"))
        page = f"/cases/{applied.case_id}"
        form = {
            "about": str(applied.submission_id),
            "service": ANMELDEN,
            "ars": HANAU,
            "why": "other-area",
            "do": "check",
        }
        checked = anna.post(f"{page}/forward", at=page, **form)
        assert ("Jetzt abgeben" in checked.text, "Hanau" in checked.text) == (True, True), checked.text
        assert desk.forwards.of_case(applied.case_id) == []
        assert anna.post(f"{page}/forward", at=page, **{**form, "do": "go"}).status_code == 200
        (wished,) = desk.forwards.of_case(applied.case_id)
        agreement = {"forward": str(wished.request_id), "do": "approve"}
        assert anna.post(f"{page}/forward/agreement", at=page, **agreement).status_code == 403
        assert anna.post(f"{page}/forward/agreement", at=page, csrf="wrong", **agreement).status_code == 403
        assert desk.forwards.find(wished.request_id).state is ForwardState.PROPOSED
        assert bert.post(f"{page}/forward/agreement", at=page, **agreement).status_code == 200
        towns.run("Wiesbaden")
        assert desk.forwards.find(wished.request_id).second == "bert"
        shown = anna.get(page).text
        assert ("hat den Vorgang abgegeben" in shown, "Hanau" in shown) == (True, True)
    finally:
        server.close()
    hanau = towns.run("Hanau")
    assert hanau.say.desk.forwards.origin(wished_case(desk, wished.request_id)) is not None


def test_the_page_proposes_what_is_not_freed_and_both_sides_see_the_deadlines(
    towns: Towns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    catalogue = towns.stage.hub.services()
    check = DeadlineRule(
        name="completeness", title=Text("Vollständigkeit", "Completeness"), amount=3, unit=DeadlineUnit.WEEKS
    )
    named = [replace(each, onward=BAUEN, deadlines=(check,)) if each.key == ANMELDEN else each for each in catalogue]
    monkeypatch.setattr(towns.stage.hub.service_book, "active", lambda _now: ServiceCatalogue(named))
    until = check.last_day(legal_day(towns.stage.clock()))
    applied = towns.apply()
    connector = towns.start("Wiesbaden", clerk={"port": 0})
    towns.run("Wiesbaden")
    add_account(
        connector.settings.clerk.accounts_file,
        "anna",
        "Rathausturm-ohne-Uhr",
        full_name="Anna",
        now=towns.stage.clock(),
        replace=True,
    )
    (server,) = connector.say.services(Supervisor())
    try:
        anna, page = Office(server).browser("anna"), f"/cases/{applied.case_id}"
        shown = anna.get(page).text
        assert "Nicht freigestellt? Dann geht der Vorgang weiter als: Baugenehmigung beantragen" in shown
        assert '<option value="not-freed" selected>' in shown
        assert f'name="service" type="text" value="{BAUEN}"' in shown
        assert f"Vollständigkeit: bis {until:%d.%m.%Y}" in shown
        assert f"Vollständigkeit: bis {until:%d.%m.%Y}" in anna.get(f"{page}/print").text
        form = {"about": str(applied.submission_id), "service": BAUEN, "why": "not-freed", "do": "check"}
        # Wiesbaden is its own building authority; a town in a district is not.
        at_home = anna.post(f"{page}/forward", at=page, **form)
        assert (at_home.status_code, "sind Sie selbst zuständig" in at_home.text) == (409, True)
        assert "Bauaufsicht" in anna.post(f"{page}/forward", at=page, ars=TAUNUSSTEIN, **form).text
    finally:
        server.close()
    sender = towns.stage.cast["sender"]
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text(sender["client_secret"])
    who = [
        "--hub",
        towns.served.base_url,
        "--client-id",
        sender["client_id"],
        "--secret-file",
        str(tmp_path / "secret"),
    ]
    said = CliRunner().invoke(main, ["case", "show", str(applied.case_id), *who]).output
    assert f"Frist / deadline  {until}  Vollständigkeit / Completeness" in said


def test_the_local_system_says_it_over_its_interface_the_outbox_and_the_command(towns: Towns, tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(TOKEN)
    way = {"mode": "system", "kind": "folder", "path": str(tmp_path / "in"), "outbox": str(tmp_path / "out")}
    first, second, third = (towns.apply(channel=False) for _ in range(3))
    connector = towns.start("Wiesbaden", handover=way, api={"port": 0, "token_file": str(tmp_path / "token")})
    towns.run("Wiesbaden")
    (api,) = connector.say.services(Supervisor())
    try:
        local = Local(api)
        said = {"ars": HANAU, "reason": "other-area", "text": "Gehört Ihnen."}
        assert local.post(f"/v2/submissions/{first.submission_id}/forward", said).status_code == 400
        request_id = uuid4()
        checked = local.post(f"/v2/submissions/{first.submission_id}/forward", said | {"check": True}, key=request_id)
        assert (checked.status_code, "Hanau" in checked.json()["name"]) == (200, True), checked.text
        for _ in range(2):
            answer = local.post(f"/v2/submissions/{first.submission_id}/forward", said, key=request_id)
            assert (answer.status_code, answer.json()["state"]) == (202, "pending"), answer.text
        changed = local.post(f"/v2/submissions/{first.submission_id}/forward", said | {"text": ""}, key=request_id)
        assert changed.status_code == 409

        statement = {"version": 2, "id": str(uuid4()), "action": "forward", "submissionId": str(second.submission_id)}
        folder = tmp_path / "out" / "1"
        folder.mkdir()
        (folder / "reply.json").write_bytes(orjson.dumps(statement | {"ars": HANAU, "reason": "other-area"}))

        wished = WantedForward(
            request_id=uuid4(), submission_id=third.submission_id, service="", area=WIESBADEN, reason="other"
        )
        interface = replace(connector.settings.local, port=api.port)
        with pytest.raises(Conflict):
            forward_by_interface(interface, wished, check=True)
        taken = forward_by_interface(interface, replace(wished, area=HANAU), check=False)
        assert taken["state"] == "pending"

        towns.run("Wiesbaden")
        towns.run("Wiesbaden")
        gone = local.get(f"/v2/forwards/{request_id}").json()
        assert (gone["state"], "Hanau" in gone["next"]["name"]) == ("gone", True)
        for each in (first, second, third):
            standing = local.get(f"/v2/submissions/{each.submission_id}").json()
            assert (standing["decision"], standing["forwards"][0]["state"]) == ("accept", "gone")
    finally:
        api.close()
    towns.run("Hanau")
    assert towns.running["Hanau"].say.desk.forwards.origin(UUID(gone["next"]["caseId"])) is not None


def wished_case(desk: Any, request_id: UUID) -> UUID:
    found: UUID = desk.forwards.find(request_id).next_case
    return found


def test_a_proposal_is_taken_back_and_then_decided_here(towns: Towns):
    applied = towns.apply()
    connector = towns.start("Wiesbaden", forwarding={"second_person": True})
    towns.run("Wiesbaden")
    desk = connector.say.desk
    wished = desk.forward(handing(applied.submission_id), who="anna")
    with pytest.raises(Forbidden):
        desk.approve_forward(wished.request_id, who="anna")
    assert desk.withdraw_forward(wished.request_id, who="bert").state is ForwardState.WITHDRAWN
    with pytest.raises(HubError):
        desk.approve_forward(wished.request_id, who="bert")
    desk.accept(applied.submission_id, who="anna")
    towns.run("Wiesbaden")
    # What was accepted before may still be handed on, for its contents lie here.
    later = desk.forward(handing(applied.submission_id, area=TAUNUSSTEIN, service=BAUEN), who="anna")
    # What comes before a colleague agrees goes along.
    more = {"service": ANMELDEN, "ars": WIESBADEN, "case_id": applied.case_id}
    towns.door.submit(Application(data=ANMELDUNG, media_type=MediaType.JSON, **more))
    towns.run("Wiesbaden")
    desk.approve_forward(later.request_id, who="bert")
    towns.run("Wiesbaden")
    gone = desk.forwards.find(later.request_id)
    assert gone.state is ForwardState.GONE
    assert {each.state for each in desk.book.submissions(applied.case_id)} <= {
        JournalState.HANDED,
        JournalState.ANSWERED,
    }
    assert towns.events(applied.case_id).count(EventKind.ACCEPT) == 1
