"""Cases that are played while somebody dies: asked about, answered, handed on, decided; and the account of what came of them.

Each step is taken from the outside: the citizen looks at the hub, the specialist systems at their folders, and whoever waits
for a step waits until it is there. At the end nothing may be missing, and nothing may be there twice.
"""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import orjson

from benchmarks.crash.ledger import Ledger
from benchmarks.crash.nodes import Node
from benchmarks.crash.scenery import Scene
from benchmarks.crash.senders import login_of
from benchmarks.crash.towns import Town
from hub.client.cases import OwnCases
from hub.client.contents import Attachment
from hub.client.plain import Application, PlainDoor
from hub.client.session import log_in
from hub.crypto import make_rsa_pair, read_decryption_key
from hub.errors import HubError, Unavailable
from hub.model import CaseMessage, CaseMessageKind, EventKind, MediaType, ReplyMessage, State

DYING = ("benchmarks.crash.dying",)
_SERVICE = "urn:de:fim:leika:leistung:99115005104000"
_HERE, _THERE = "064140000000", "064350014014"
_EXAMPLE = Path(__file__).parents[2] / "schemas/fim-wohnsitz/1.0/examples/good-umzug.json"
#: Stands in each application, answer and reply, and nowhere at rest outside of what was handed over.
SECRET = "Zwitscherlinde-Kanarienfeld"
_PLAN, _DECISION = f"%PDF-1.7 Plan {SECRET}".encode(), f"%PDF-1.7 Bescheid {SECRET}".encode()
_PATIENCE, _PAUSE = 240.0, 0.3


class Unfinished(Exception):
    """A case did not get on in time, or all this ended before it did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promised:
    """What a citizen holds in the hand when a case has begun; the receipt's ids."""

    number: int
    case_id: str
    submission_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CasesAccount:
    """Counts, and ``faults`` in words: an empty list is the result that counts."""

    cases: int
    replies: int
    handed_on: int
    decided: int
    kills: int
    #: Steps at which somebody died, in order.
    points: Sequence[str] = ()
    faults: Sequence[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every case came to its decision, once."""
        return not self.faults and self.cases == self.handed_on == self.decided > 0

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}

    def __str__(self) -> str:
        return (
            f"{self.cases} cases = {self.handed_on} handed on = {self.decided} decided, {self.replies} replies opened;"
            f" {self.kills} kills at {len(self.points)} points"
        )


@dataclass(kw_only=True)
class Casework:
    """A hub and two towns as processes, and citizens with one key for replies."""

    play: Scene
    hub: Node
    first: Town
    next: Town
    nodes: dict[str, Node]
    key: Any
    public: dict[str, Any]

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.play.folder / "cases.jsonl")
        self.stopped = threading.Event()
        self.faults: list[str] = []
        self._numbers = iter(range(1, 1_000_000))
        self._lock = threading.Lock()

    def number(self) -> int:
        with self._lock:
            return next(self._numbers)

    @contextmanager
    def citizens(self, count: int) -> Iterator[None]:
        """Have some citizens begin one case after the other; afterwards each case that was begun is played to its end."""
        threads = [threading.Thread(target=self._go_on, daemon=True) for _ in range(count)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self.stopped.set()
            for each in threads:
                each.join(2 * _PATIENCE)

    def _go_on(self) -> None:
        while not self.stopped.is_set():
            number = self.number()
            try:
                Citizen.of(self).play(number)
            except Exception as error:  # noqa: BLE001  # whatever it was, it is this case's fault in the account
                self.faults.append(f"case {number}: {type(error).__name__} {error}")


@dataclass
class Citizen:
    """Who applies, answers and reads; the specialist systems' part of a case is played here too, from their folders."""

    work: Casework
    door: PlainDoor
    cases: OwnCases

    @classmethod
    def of(cls, work: Casework) -> Self:
        session = log_in(work.hub.base_url, **login_of(work.play.data))
        return cls(work, PlainDoor(session), OwnCases(session))

    def play(self, number: int) -> None:
        """Play one case from the application to the decision of the next authority."""
        work = self.work
        application = self._application()
        applied = until(lambda: self.door.submit(application), "applied")
        submission_id, case_id = applied.submission_id, applied.case_id
        work.ledger.add(Promised(number=number, case_id=str(case_id), submission_id=str(submission_id)))
        until(lambda: submission_id in work.first.handed_over(), "handed over")
        asked = {"kind": "question", "text": f"Frage {number} {SECRET}", "deadline": _in_a_month()}
        work.first.say(submission_id, "reply", {"Muster.pdf": _PLAN}, **asked)
        question = until(lambda: next(self.cases.replies(case_id), None), "question")
        answer = self._answer(case_id, question.reply_id)
        answered = until(lambda: self.door.submit(answer), "answered")
        until(lambda: answered.submission_id in work.first.handed_over(), "answer handed over")
        work.first.say(submission_id, "forward", ars=_THERE, reason="other-area", text=f"Abgabe {number} {SECRET}")
        gone = until(lambda: self.door.progress(submission_id).forwarded, "forwarded")
        further = UUID(gone["submissionId"])
        until(lambda: further in work.next.handed_over(), "handed over there")
        work.next.say(further, "accept")
        decided = {"kind": "decision", "text": f"Bescheid {number} {SECRET}"}
        work.next.say(further, "reply", {"Bescheid.pdf": _DECISION}, **decided)
        until(lambda: next(self.cases.replies(UUID(gone["caseId"])), None), "decision")

    def _application(self) -> Application:
        said = orjson.loads(_EXAMPLE.read_bytes())
        said["wohnungsgeber"] = {"name": SECRET}
        channel = {"fitConnect": {"processStandards": ["urn:x:y"], "encryptionPublicKey": self.work.public}}
        return Application(
            data=orjson.dumps(said),
            media_type=MediaType.JSON,
            service=_SERVICE,
            ars=_HERE,
            attachments=[_enclosed("Antrag.pdf")],
            metadata={"replyChannel": channel},
        )

    def _answer(self, case_id: UUID, reply_id: UUID) -> Application:
        said = CaseMessage(kind=CaseMessageKind.ANSWER, about=reply_id, text=f"Hier. {SECRET}")
        return Application.in_case(said, case_id, service=_SERVICE, ars=_HERE, attachments=[_enclosed("Plan.pdf")])

    def messages(self, case_id: UUID) -> list[tuple[str, str, list[bytes]]]:
        """Return kind, text and files of each reply in a case, proven by the signed log and opened."""
        found = []
        for each in self.cases.replies(case_id):
            with self.cases.collect(case_id, each.reply_id) as collected:
                opened = collected.open([self.work.key])
                said = ReplyMessage.read(opened.data or b"")
                found.append((said.kind, said.text, [b"".join(one.chunks()) for one in opened.attachments]))
        return found


def until(ask: Callable[[], Any], what: str) -> Any:
    """Ask until there is an answer; a hub that is away is asked again.

    Raises:
        Unfinished: it did not come in time.
    """
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            found = ask()
            if found:
                return found
        except Unavailable:
            pass
        time.sleep(_PAUSE)
    raise Unfinished(what)


def _enclosed(name: str) -> Attachment:
    return Attachment(open=lambda: io.BytesIO(_PLAN), filename=name, media_type="application/pdf")


def _in_a_month() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


@contextmanager
def casework(play: Scene) -> Iterator[Casework]:
    """Set up a hub and the connectors of two towns; nothing is started yet, and the scene ends what is."""
    hub = play.node("hub", "serve", program=DYING)
    hub.know(HUB_BASE_URL=hub.base_url)
    cast = json.loads((play.data / "demo.json").read_text(encoding="utf-8"))
    towns = {
        whose: Town.set_up(play.folder / whose, hub.base_url, cast, name)
        for whose, name in (("first", "Wiesbaden"), ("next", "Hanau"))
    }
    nodes = {"hub": hub} | {
        whose: play.node(whose, "connector", "run", "--config", str(town.config), program=DYING, own_data=True)
        for whose, town in towns.items()
    }
    public, private = make_rsa_pair("encryption", kid_prefix="citizen-")
    yield Casework(
        play=play,
        hub=hub,
        first=towns["first"],
        next=towns["next"],
        nodes=nodes,
        key=read_decryption_key(private),
        public=dict(public),
    )


def reckon_cases(work: Casework, points: Sequence[str]) -> CasesAccount:
    """Look at every case that was begun: at the hub as its citizen, in its log, in both towns' folders; then end them all."""
    promises, citizen = work.ledger.read(), Citizen.of(work)
    faults, replies, handed_on, decided = list(work.faults), 0, 0, 0
    there = _origins(work.next)
    for promise in promises:
        number, case_id = promise["number"], UUID(promise["case_id"])
        try:
            gone = citizen.door.progress(UUID(promise["submission_id"])).forwarded
            until(lambda case_id=case_id: _settled(citizen, case_id), "settled")  # type: ignore[misc]
            said, further = citizen.messages(case_id), citizen.messages(UUID(gone["caseId"])) if gone else []
        except (HubError, Unfinished) as error:
            faults.append(f"case {number}: {type(error).__name__} {error}")
            continue
        replies += len(said) + len(further)
        handed_on, decided = handed_on + (gone is not None), decided + bool(further)
        faults += [f"case {number}: {each}" for each in _wrong(number, case_id, said, further, there)]
        faults += [f"case {number}: {each}" for each in _wrong_log(work, case_id, gone)]
    faults += [f"{whose}: unsaid {each}" for whose in ("first", "next") for each in getattr(work, whose).unsaid()]
    for node in work.nodes.values():
        node.end()
    faults += _open_at_rest(work) + _broken_chain(work)
    return CasesAccount(
        cases=len(promises),
        replies=replies,
        handed_on=handed_on,
        decided=decided,
        kills=sum(each.kills for each in work.nodes.values()),
        points=list(points),
        faults=faults,
    )


def _settled(citizen: Citizen, case_id: UUID) -> bool:
    """Whether the authority that handed it on has told everybody: both messages accepted, and the notice there."""
    case = citizen.cases.show(case_id)
    return len(case.replies) >= 2 and {each.state for each in case.submissions} == {State.ACCEPTED}


def _wrong(number: int, case_id: UUID, said: Any, further: Any, there: Counter[str]) -> Iterator[str]:
    """Say what is missing, twice, or another's."""
    kinds = [kind for kind, _, _ in (*said, *further)]
    if kinds != ["question", "forwarded", "decision"]:
        yield f"replies {kinds}"
        return
    for word, (kind, text, files), named in (("Frage", said[0], [_PLAN]), ("Bescheid", further[0], [_DECISION])):
        if (text, files) != (f"{word} {number} {SECRET}", named):
            yield f"another's {kind}"
    if f"Abgabe {number} {SECRET}" not in said[1][1]:
        yield "another's notice"
    if there[str(case_id)] != 1:
        yield f"{there[str(case_id)]} cases at the next authority"


def _wrong_log(work: Casework, case_id: UUID, gone: Any) -> Iterator[str]:
    with work.play.store() as store:
        kinds = Counter(each.kind for each in store.event_log.events(case_id, limit=500).items)
        further = Counter(each.kind for each in store.event_log.events(UUID(gone["caseId"]), limit=500).items)
    # Application, answer, question and notice came; the citizen acknowledges nothing here.
    expected = {EventKind.SUBMIT: 4, EventKind.ACCEPT: 2, EventKind.FORWARDED_TO: 1}
    expected_there = {EventKind.SUBMIT: 2, EventKind.ACCEPT: 1, EventKind.FORWARDED_FROM: 1}
    for found, wanted in ((kinds, expected), (further, expected_there)):
        for kind, count in wanted.items():
            if found[kind] != count:
                yield f"{found[kind]} events {kind.name} for {count}"


def _origins(town: Town) -> Counter[str]:
    """Count the submissions that a town has of each case that was handed on to it."""
    notes = (folder / "attachments" / "abgabe.json" for folder in town.handed_over().values())
    return Counter(json.loads(each.read_text(encoding="utf-8"))["caseId"] for each in notes)


def _open_at_rest(work: Casework) -> list[str]:
    """Return files that hold what only those may read for whom it was sealed."""
    found = []
    for root in (work.play.data, work.first.folder, work.next.folder):
        for each in root.rglob("*"):
            inside = each.relative_to(root).parts
            # What was handed over and what is said are the specialist system's own.
            if each.is_file() and inside[0] not in {"in", "out"} and SECRET.encode() in each.read_bytes():
                found.append(f"plaintext at rest: {'/'.join(inside)}")
    return found


def _broken_chain(work: Casework) -> list[str]:
    """Have the hub's own command verify the whole log; and the connectors' journals be whole."""
    command = [sys.executable, "-m", "hub.cli", "log", "verify", "--data", str(work.play.data)]
    verified = subprocess.run(command, env=work.hub.environment(), capture_output=True, text=True, check=False)
    found = [] if verified.returncode == 0 else [f"log verify: {verified.stdout[-500:]}{verified.stderr[-500:]}"]
    for town in (work.first, work.next):
        with closing(sqlite3.connect(town.folder / "journal.sqlite")) as journal:
            (said,) = journal.execute("PRAGMA integrity_check").fetchone()
        if said != "ok":
            found.append(f"{town.folder.name}: journal {said}")
    return found
