"""Many documents at once: which files of folders are meant, worker processes that judge them, and what came of each.

Workers are processes, for checking a small document holds the interpreter lock. Each has one piece of work at a time and
answers it in one line of JSON, so that neither side ever waits to be read. A worker that dies takes its piece along: it is
done again file by file, and who dies of one file alone leaves that one not judged and the rest to others.
"""

from __future__ import annotations

import gc
import io
import mmap
import os
import selectors
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from hub.errors import ConfigurationError, HubError, Refused, Text
from hub.model import MediaType
from hub.observability import crashes
from hub.validation.report import MIB, Limits, Report

_SUFFIXES = (".xml", ".json")
#: Files and bytes of one piece of work: small enough that workers end together, large enough that asking costs little.
_PIECE_FILES, _PIECE_BYTES = 16, 4 * MIB
#: Workers that died before they could begin, in a row, after which nobody is started any more.
_MOST_FALSE_STARTS = 3
#: Bytes of a file that is read at once.
_SMALL = 256 * 1024
#: Bytes of a mapped document that may be in memory at once, about.
_WINDOW = 8 * MIB
#: Different reports of valid documents that are kept to be shared.
_MOST_ALIKE = 1_000
_BLANK = b"\xef\xbb\xbf\xff\xfe \t\r\n\0"
_WORKER = (sys.executable, "-W", "ignore", "-P", "-m", "hub.validation.batch")


class FileVerdict(StrEnum):
    """What came of one file."""

    VALID = "valid"
    #: It breaks its schema.
    INVALID = "invalid"
    #: It cannot be read as what it is, is too large, or its schema is not known.
    REFUSED = "refused"
    #: Nobody can say: the file cannot be read, or the checking broke off.
    NOT_JUDGED = "not-judged"


#: Rules of a report that are no schema's: another implementation of XML Schema does not know them.
_BESIDE_SCHEMA = ("attachment.", "codelist.", "schematron.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Second:
    """What a second implementation says of a file, by its XSD alone: rules by its own names with their lines, or a reason."""

    verdict: FileVerdict
    rules: tuple[tuple[str, int], ...] = ()
    reason: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What came of one file: a report as :meth:`hub.validation.report.Report.as_json` gives it, or why there is none."""

    file: str
    verdict: FileVerdict
    seconds: float = 0.0
    report: Mapping[str, Any] | None = None
    reason: Text | None = None
    #: Where it was asked.
    second: Second | None = None

    @property
    def by_schema(self) -> FileVerdict:
        """The verdict by the schema alone, without code lists, business rules and attachments.

        A root that is none of the schema's messages ends a check before it begins: the schema may well declare it.
        """
        if self.verdict is not FileVerdict.INVALID or self.report is None:
            return self.verdict
        broken = {each["rule"] for each in self.report["violations"] if not each["rule"].startswith(_BESIDE_SCHEMA)}
        if broken == {"xml.root"}:
            return FileVerdict.NOT_JUDGED
        return FileVerdict.INVALID if broken else FileVerdict.VALID

    @property
    def differs(self) -> bool:
        """Whether a second implementation came to another verdict by the same schema."""
        said = {self.second.verdict if self.second else FileVerdict.NOT_JUDGED, self.by_schema}
        return len(said) > 1 and FileVerdict.NOT_JUDGED not in said


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked of every file: catalogue, schema (None: what each says of itself), and the day on which it is judged."""

    roots: tuple[Path, ...]
    on: date
    schema: str | None = None


def documents_in(paths: Iterable[Path]) -> list[str]:
    """Return the files that are meant, each once: those that are named, and ``*.xml`` and ``*.json`` below folders, sorted.

    Hidden files and folders are left out, as are links that lead out of the folder that was named, and links to folders.
    A folder that cannot be listed stands for itself, so that it is missed and not forgotten.
    """
    found: dict[str, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_below(path, path.resolve()) if path.is_dir() else [str(path)]))
    return list(found)


def _below(folder: Path, home: Path) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield str(folder)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder / entry.name, home)
        elif entry.name.lower().endswith(_SUFFIXES) and (not entry.is_symlink() or _leads_within(entry.path, home)):
            yield str(folder / entry.name)


def _leads_within(link: str, home: Path) -> bool:
    target = Path(os.path.realpath(link))
    return target.is_file() and target.is_relative_to(home)


class MappedDocument(mmap.mmap):
    """A large document on a file of our own without a name; what was read of it goes back to the system.

    It answers what a stream of the document asks of ``bytes``: slices, its start, and whether it holds something.
    """

    _mapped = 0

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        if isinstance(key, slice):
            stop = key.indices(len(self))[1]
            if not 0 <= stop - self._mapped < _WINDOW:
                self.madvise(mmap.MADV_DONTNEED)
                self._mapped = stop
        return got

    def __contains__(self, part: object) -> bool:
        sought = cast("bytes", part)
        for start in range(0, len(self), _WINDOW):
            if self.find(sought, start, start + _WINDOW + len(sought) - 1) >= 0:
                return True
            self.madvise(mmap.MADV_DONTNEED)
        return False

    def startswith(self, start: bytes) -> bool:
        """Whether the document begins with ``start``."""
        return bool(self[: len(start)] == start)


def content_of(source: BinaryIO, limits: Limits | None = None) -> bytes:
    """Read a document; one so large that it is never made a tree is mapped (:class:`MappedDocument`), others are bytes.

    It is copied for that: a file that somebody cut short meanwhile would end a process that has it mapped.
    """
    bound = (limits or Limits()).report_bytes
    content = source.read(bound + 1)
    if len(content) <= bound:
        return content
    with tempfile.TemporaryFile() as own:
        own.write(content)
        del content
        shutil.copyfileobj(source, own, MIB)
        own.flush()
        return cast("bytes", MappedDocument(own.fileno(), 0, access=mmap.ACCESS_READ))


def content_in(name: bytes) -> bytes:
    """Read the document in a file as :func:`content_of` does; raise ``OSError`` where it cannot be read."""
    # A pipe or a device is nothing that ends.
    number = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(number, "rb", buffering=0) as source:
        about = os.fstat(number)
        if stat.S_ISREG(about.st_mode) and about.st_size <= _SMALL:
            content = os.read(number, _SMALL + 1)
            if len(content) <= _SMALL:
                return content
            source.seek(0)
        return content_of(cast("BinaryIO", io.BufferedReader(source)))


def media_type_of(content: bytes) -> MediaType:
    """Tell XML from JSON by the first character that is neither blank nor a byte order mark."""
    return MediaType.XML if content[:512].lstrip(_BLANK).startswith(b"<") else MediaType.JSON


def judged(
    files: Sequence[str], question: Question, *, workers: int, command: Sequence[str] = _WORKER
) -> Iterator[Judged]:
    """Judge files by so many processes at most; yield what came of each, in the order of the files.

    Raises:
        ConfigurationError: The catalogue cannot be used.
    """
    crew = _Crew(files, question, command)
    try:
        yield from crew.work(min(workers, len(files)))
    finally:
        crew.dismiss()


@dataclass(kw_only=True, slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    #: The numbers of the files that it is at.
    piece: Sequence[int] = ()
    ready: bool = False
    said: bytearray = field(default_factory=bytearray)
    #: Reports of valid documents by the numbers that it gives them: ten thousand are one.
    reports: dict[int, Mapping[str, Any]] = field(default_factory=dict)


class _Crew:
    """The workers, what waits for them, and what they found that is not yet its turn to be told."""

    def __init__(self, files: Sequence[str], question: Question, command: Sequence[str]) -> None:
        self._files = files
        self._command = command
        asked = {"roots": [str(root) for root in question.roots], "schema": question.schema, "on": str(question.on)}
        self._question = orjson.dumps(asked) + b"\n"
        self._waiting = deque(_pieces(files))
        self._found: dict[int, Judged] = {}
        self._workers: set[_Worker] = set()
        self._selector = selectors.DefaultSelector()
        self._false_starts = 0

    def work(self, most: int) -> Iterator[Judged]:
        turn = 0
        while turn < len(self._files):
            while turn in self._found:
                yield self._found.pop(turn)
                turn += 1
            self._staff(most)
            if turn < len(self._files) and self._workers:
                for key, _ in self._selector.select():
                    self._hear(key.data)

    def dismiss(self) -> None:
        for worker in tuple(self._workers):
            worker.process.kill()
            self._leave(worker)
        self._selector.close()

    def _staff(self, most: int) -> None:
        """Have as many workers as there is work for, or, where none can be had, say of the rest that it is not judged."""
        while self._waiting and len(self._workers) < most and self._false_starts < _MOST_FALSE_STARTS:
            try:
                process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            except OSError:
                self._false_starts = _MOST_FALSE_STARTS
                break
            worker = _Worker(process=process)
            self._workers.add(worker)
            self._selector.register(cast("BinaryIO", process.stdout), selectors.EVENT_READ, worker)
            self._tell(worker, self._question)
            if len(self._workers) * 2 > len(self._waiting):
                break  # What is little is done before one more has begun.
        if not self._workers and self._false_starts >= _MOST_FALSE_STARTS:
            for number in (number for piece in self._waiting for number in piece):
                self._found[number] = _not_judged(self._files[number], _NO_WORKER)
            self._waiting.clear()

    def _hear(self, worker: _Worker) -> None:
        said = os.read(cast("BinaryIO", worker.process.stdout).fileno(), MIB)
        if not said:
            self._bury(worker)
            return
        worker.said += said
        if not said.endswith(b"\n"):
            return
        answer = orjson.loads(worker.said)
        worker.said.clear()
        if worker.ready:
            for number, found in zip(worker.piece, answer, strict=True):
                self._found[number] = _read(worker, self._files[number], found)
        elif answer:
            raise ConfigurationError(Text(**answer))
        worker.ready, self._false_starts = True, 0
        self._employ(worker)

    def _employ(self, worker: _Worker) -> None:
        worker.piece = self._waiting.popleft() if self._waiting else ()
        if worker.piece:
            self._tell(worker, orjson.dumps([os.fsencode(self._files[n]).hex() for n in worker.piece]) + b"\n")
        else:
            self._leave(worker)

    def _tell(self, worker: _Worker, line: bytes) -> None:
        stdin = cast("BinaryIO", worker.process.stdin)
        with suppress(BrokenPipeError):  # It died; its silence says so.
            stdin.write(line)
            stdin.flush()

    def _bury(self, worker: _Worker) -> None:
        """Do again, one by one, what a worker was at that died; who was at one file alone died of that."""
        if not worker.ready:
            self._false_starts += 1
        elif len(worker.piece) == 1:
            (number,) = worker.piece
            self._found[number] = _not_judged(self._files[number], _DIED)
        else:
            self._waiting.extendleft((number,) for number in reversed(worker.piece))
        self._leave(worker)

    def _leave(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        self._selector.unregister(cast("BinaryIO", worker.process.stdout))
        for pipe in (worker.process.stdin, worker.process.stdout):
            with suppress(OSError):
                cast("BinaryIO", pipe).close()
        worker.process.wait()


def _read(worker: _Worker, name: str, found: Sequence[Any]) -> Judged:
    """Read what a worker says of a file, as :func:`_answer` gives it."""
    verdict, seconds, report, number, reason = found
    if number is not None:
        report = worker.reports.setdefault(number, report or {})
    said = None if reason is None else Text(**reason)
    return Judged(file=name, verdict=FileVerdict(verdict), seconds=seconds, report=report, reason=said)


def _pieces(files: Sequence[str]) -> Iterator[tuple[int, ...]]:
    piece: list[int] = []
    size = 0
    for number, name in enumerate(files):
        with suppress(OSError, ValueError):
            size += os.stat(name).st_size  # noqa: PTH116  # For many thousand names a path costs more than the look.
        piece.append(number)
        if len(piece) == _PIECE_FILES or size >= _PIECE_BYTES:
            yield tuple(piece)
            piece, size = [], 0
    if piece:
        yield tuple(piece)


def _not_judged(name: str, reason: Text) -> Judged:
    return Judged(file=name, verdict=FileVerdict.NOT_JUDGED, reason=reason)


_NO_WORKER = Text(
    "Nicht geprüft: Auf diesem Rechner lässt sich kein Prozess für die Prüfung starten. Prüfen Sie freien Speicher und "
    "Prozessgrenzen, und prüfen Sie die Datei dann noch einmal.",
    "Not judged: no process for checking can be started on this machine. See to free memory and limits on processes, then "
    "check the file again.",
)
_DIED = Text(
    "Nicht geprüft: Der Prozess, der diese Datei prüfte, wurde beendet. Prüfen Sie den freien Speicher, und prüfen Sie die "
    "Datei dann einzeln.",
    "Not judged: the process that checked this file was ended. See to free memory, then check the file by itself.",
)
_BROKE_OFF = Text(
    "Nicht geprüft: Die Prüfung brach mit einem unerwarteten Fehler ab. Melden Sie das dem Hersteller des Hubs.",
    "Not judged: the check broke off with an unexpected error. Report this to the maintainers of the hub.",
)


def unreadable(error: OSError) -> Text:
    """Return why a file was not judged that cannot be read."""
    why = os.strerror(error.errno or 0)
    return Text(
        f"Nicht geprüft: Die Datei ist nicht lesbar ({why}). Prüfen Sie, ob sie noch da ist und gelesen werden darf.",
        f"Not judged: the file cannot be read ({why}). See whether it is still there and may be read.",
    )


#: Judges one file: its verdict, its report and why there is none.
Judge = Callable[[bytes], tuple[FileVerdict, Any, Text | None]]


def serve(make: Callable[[Mapping[str, Any]], Judge], given: BinaryIO, answers: BinaryIO) -> None:
    """Answer as a worker: a question in the first line, then a piece of work in each, for as long as any comes."""
    try:
        judge = make(orjson.loads(given.readline()))
    except HubError as error:
        _say(answers, {"de": error.detail.de, "en": error.detail.en})
        return
    _say(answers, None)
    reports = _Reports()
    for line in iter(given.readline, b""):
        _say(answers, [_answer(judge, bytes.fromhex(name), reports) for name in orjson.loads(line)])


class _Reports:
    """The reports of valid documents that were told, by a number: most are alike, and are not told again."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._last: tuple[Any, int] | None = None

    def numbered(self, report: Any) -> tuple[Any, int | None]:
        """Return a report as it is to be told, None if it was, and the number that it has, if it has one."""
        if self._last is not None and self._last[0] is report:
            return None, self._last[1]
        written = orjson.dumps(report)
        known = self._numbers.get(written)
        number = len(self._numbers) if known is None else known
        if number >= _MOST_ALIKE:
            return orjson.Fragment(written), None
        self._numbers[written] = number
        self._last = (report, number)
        return (orjson.Fragment(written) if known is None else None), number


def _say(answers: BinaryIO, what: Any) -> None:
    answers.write(orjson.dumps(what) + b"\n")
    answers.flush()


def _answer(
    judge: Judge, name: bytes, reports: _Reports
) -> tuple[str, float, Any, int | None, Mapping[str, str] | None]:
    began = time.perf_counter()
    try:
        verdict, report, reason = judge(name)
    except OSError as error:
        verdict, report, reason = FileVerdict.NOT_JUDGED, None, unreadable(error)
    except Exception:  # noqa: BLE001  # one file that nobody foresaw must not cost the others their verdicts
        verdict, report, reason = FileVerdict.NOT_JUDGED, None, _BROKE_OFF
    said = None if reason is None else {"de": reason.de, "en": reason.en}
    number: int | None = None
    if verdict is FileVerdict.VALID:
        report, number = reports.numbered(report)
    return verdict, round(time.perf_counter() - began, 4), report, number, said


def judge_by_catalogue(question: Mapping[str, Any]) -> Judge:
    """Return who judges files by the schemas of a catalogue; raise ``ConfigurationError`` for one that cannot be used."""
    from hub.validation.catalog import SchemaCatalog

    catalog = SchemaCatalog.load(*map(Path, question["roots"]))
    on, schema = date.fromisoformat(question["on"]), question["schema"]
    #: The last report, as it was written: of valid documents most are one.
    last: tuple[Report | None, Any] = (None, None)

    def judge(name: bytes) -> tuple[FileVerdict, Any, Text | None]:
        nonlocal last
        content = content_in(name)
        try:
            report = catalog.check(media_type=media_type_of(content), data=content, schema=schema, service=None, on=on)
        except HubError as error:
            return FileVerdict.REFUSED if isinstance(error, Refused) else FileVerdict.NOT_JUDGED, None, error.detail
        if last[0] is not report:
            last = (report, report.as_json())
        return (FileVerdict.VALID if report.valid else FileVerdict.INVALID), last[1], None

    return judge


def counted(found: Collection[Judged]) -> Mapping[FileVerdict, int]:
    """Return how many files got each verdict."""
    numbers = dict.fromkeys(FileVerdict, 0)
    for each in found:
        numbers[each.verdict] += 1
    return numbers


if __name__ == "__main__":
    crashes.forbid()
    # What is loaded stays, and a check leaves little in cycles: the collector would look at every schema again and again.
    gc.set_threshold(50_000, 20, 100)
    serve(judge_by_catalogue, sys.stdin.buffer, sys.stdout.buffer)
