"""XSLT 3 by Saxon in a process of its own that can be killed; it is kept warm, because starting it costs a second.

``python -m hub.validation.schematron.saxon`` reads frames (a length of eight bytes, then JSON or XML) from its standard input:
first the stylesheets, then one document after the other; each is answered by one frame. It reaches no network and no file.
"""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from threading import Lock, Timer
from typing import Any, BinaryIO

import orjson

from hub.errors import ConfigurationError, Text, TooLarge
from hub.validation.sandbox import ENVIRONMENT, confine, unconfine_addresses

#: How long one document, and the start of a process, may take.
SECONDS = 20.0
MEMORY_BYTES = 2048 * 1024 * 1024
#: A process that has nothing to do for so long ends; the next document starts another.
_IDLE_SECONDS = 300
_LENGTH = 8
_WRONG = b"?"
#: Characters of what Saxon says of a stylesheet that does not compile.
_LONGEST_MESSAGE = 2_000


def installed() -> bool:
    """Whether the optional extra ``schematron`` (saxonche) is there."""
    return find_spec("saxonche") is not None


class Transformer:
    """Runs documents through stylesheets, one at a time. Thread-safe; what it started ends with it."""

    def __init__(self, stylesheets: Sequence[str], *, seconds: float = SECONDS) -> None:
        self._stylesheets = orjson.dumps(list(stylesheets))
        self._seconds = seconds
        self._lock = Lock()
        self.child: subprocess.Popen[bytes] | None = None

    def compile(self) -> None:
        """Start the process and compile the stylesheets now.

        Raises:
            StylesheetError: One of them is wrong.
            TooLarge: That took too long.
        """
        with self._lock:
            self._ask_new(None)

    def run(self, document: bytes) -> list[str | None]:
        """Return what each stylesheet makes of a document (UTF-8, without a document type declaration); None if it fails.

        Raises:
            StylesheetError: A stylesheet is wrong.
            TooLarge: It took too long or too much memory.
        """
        with self._lock:
            answer = self._ask_warm(document)
            return list(orjson.loads(self._ask_new(document) if answer is None else answer))

    def _ask_warm(self, document: bytes) -> bytes | None:
        """Ask the process that is there; None if there is none or it had left before the question."""
        child = self.child
        if child is None or child.poll() is not None:
            return None
        try:
            return self._answer(child, document)
        except _GoneError as error:
            if error.killed:
                raise TooLarge(_GIVEN_UP) from error
            return None

    def _ask_new(self, document: bytes | None) -> bytes:
        child = self._start()
        try:
            answer = self._answer(child, self._stylesheets)
            if answer.startswith(_WRONG):
                number, message = orjson.loads(answer.removeprefix(_WRONG))
                raise StylesheetError(_WRONG_RULES, number=number, message=message)
            return self._answer(child, document) if document is not None else b"[]"
        except _GoneError as error:
            raise TooLarge(_GIVEN_UP) from error

    def _start(self) -> subprocess.Popen[bytes]:
        if self.child is not None:
            _end(self.child)
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "hub.validation.schematron.saxon"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(ENVIRONMENT),
        )
        self.child = child
        weakref.finalize(self, _end, child)
        return child

    def _answer(self, child: subprocess.Popen[bytes], question: bytes) -> bytes:
        assert child.stdin is not None  # noqa: S101  # Both are pipes, see _start.
        assert child.stdout is not None  # noqa: S101
        late = Timer(self._seconds, child.kill)
        late.start()
        try:
            _write(child.stdin, question)
            answer = _read(child.stdout)
        except BrokenPipeError:
            answer = None
        finally:
            late.cancel()
        if answer is None:
            # Joined, so that whether the timer fired is settled.
            late.join()
            raise _GoneError(killed=_end(child) != 0)
        return answer


class StylesheetError(ConfigurationError):
    """A stylesheet does not compile: its number, and what Saxon says of it."""

    def __init__(self, detail: Text, *, number: int = 0, message: str = "") -> None:
        super().__init__(detail)
        self.number = number
        self.message = message


class _GoneError(Exception):
    """The process ended in place of an answer; ``killed`` if it did not leave of itself."""

    def __init__(self, *, killed: bool) -> None:
        super().__init__()
        self.killed = killed


def _end(child: subprocess.Popen[bytes]) -> int:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    try:
        return child.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _write(pipe: BinaryIO | Any, content: bytes) -> None:
    pipe.write(len(content).to_bytes(_LENGTH, "big"))
    pipe.write(content)
    pipe.flush()


def _read(pipe: BinaryIO | Any) -> bytes | None:
    head = pipe.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    length = int.from_bytes(head, "big")
    content: bytes = pipe.read(length)
    return content if len(content) == length else None


# What follows runs in the child.


def _serve() -> None:
    import select

    from saxonche import PySaxonApiError, PySaxonProcessor

    with PySaxonProcessor(license=False) as processor:
        # Rules are another's code: they reach no file, no network and no Java.
        processor.set_configuration_property("http://saxon.sf.net/feature/allowedProtocols", "none")
        processor.set_configuration_property("http://saxon.sf.net/feature/allow-external-functions", "off")
        compiler = processor.new_xslt30_processor()
        stylesheets = orjson.loads(_read(sys.stdin.buffer) or b"[]")
        programs = []
        for number, text in enumerate(stylesheets):
            try:
                programs.append(compiler.compile_stylesheet(stylesheet_text=text))
            except PySaxonApiError as error:
                _write(sys.stdout.buffer, _WRONG + orjson.dumps([number, str(error)[:_LONGEST_MESSAGE]]))
                return
        _write(sys.stdout.buffer, b"[]")
        while select.select([sys.stdin.buffer], [], [], _IDLE_SECONDS)[0]:
            document = _read(sys.stdin.buffer)
            if document is None:
                return
            node = processor.parse_xml(xml_text=_without_declaration(document.decode("utf-8")))
            _write(sys.stdout.buffer, orjson.dumps([_run(program, node, PySaxonApiError) for program in programs]))


def _run(program: Any, node: Any, failure: type[Exception]) -> str | None:
    try:
        return program.transform_to_string(xdm_node=node) or ""
    except failure:
        return None


def _limit_memory() -> None:
    confine()
    # Saxon reserves far more addresses than it uses, so what is limited is data, not addresses.
    unconfine_addresses()
    try:
        import resource
    except ImportError:
        # Not every system has it; the parent's timeout still holds.
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def _without_declaration(text: str) -> str:
    """Leave the XML declaration out: the text is decoded already, whatever encoding it names."""
    text = text.removeprefix("\ufeff")
    return text.partition("?>")[2] if text.startswith("<?xml") and text[5:6].isspace() else text


_WRONG_RULES = Text(
    "Die Geschäftsregeln (Schematron) lassen sich nicht übersetzen. Prüfen Sie das Paket.",
    "The business rules (Schematron) do not compile. Check the package.",
)
_GIVEN_UP = Text(
    "Die Prüfung der Geschäftsregeln wurde abgebrochen, weil sie zu lange dauerte oder zu viel Speicher brauchte. "
    "Kürzen Sie das Dokument.",
    "Checking the business rules was given up because it took too long or too much memory. Shorten the document.",
)

if __name__ == "__main__":
    _limit_memory()
    _serve()
