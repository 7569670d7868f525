"""Log lines: for people, or as JSON for a log store. They carry identifiers, never contents.

An error's own message may quote what it was given, so a line names its class and the places it came through, and no more. An
address may be a key (of a callback, an upload, a log-in), so of each only its host is written.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import orjson

from hub import __version__

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

#: What a line may say of an application, in members of their own: ids, and codes for machines. ``instance`` is the URI that
#: the answer to a refused request names (RFC 9457, section 3.1.5).
FACTS = (
    *("submission", "reply", "case", "delivery", "destination", "service", "door", "operation", "status", "instance"),
    *("attempt", "outcome", "reason", "cause"),
)
#: Members of a line; whatever else a library attaches to a record is dropped.
MEMBERS = ("at", "level", "logger", "message", *FACTS, "thread", "error", "places")
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: Frames of a failure that are named, the innermost first.
_MOST_PLACES = 8
#: They tell at INFO what they do all the time.
_CHATTY = ("apscheduler", "alembic", "asyncssh")
#: What follows the host of an address (RFC 3986, section 3), and its user; a query without one.
_WAY = re.compile(r"""://(?:[^\s/?#"'@]*@)?([^\s/?#"'@]*)[/?#][^\s"']+""")
_QUERY = re.compile(r"""(?<=[^\s"'])\?[^\s"']+""")
_REDACTED = "…"
_UNSAID = (None, "")


class _StandardError(logging.StreamHandler[IO[str]]):
    """Writes to what is standard error at that moment: whoever captures it for a while does not keep it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> IO[str]:  # type: ignore[override]  # the class has an attribute here
        return sys.stderr


def set_up(*, as_json: bool, level: int) -> None:
    """Send every log line of this process to standard error; a second call replaces the first.

    As JSON that is all that is written there: warnings of libraries and what a process or thread dies of, too.
    """
    handler = _StandardError()
    handler.setFormatter(_json_formatter() if as_json else _ForPeople(_TEXT))
    logging.captureWarnings(as_json)
    if as_json:
        sys.excepthook, threading.excepthook = _uncaught, _uncaught_in_thread
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _StandardError)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def starting() -> logging.Logger:
    """Return who says what has started: wanted whatever level is asked for, without it nobody knows."""
    log = logging.getLogger("hub.start")
    log.setLevel(logging.INFO)
    return log


def what_runs(facts: Mapping[str, str]) -> str:
    """Return in one line what runs, by name and value; ``facts["hub"]`` is the command."""
    named = {"hub": facts["hub"], "version": __version__, **facts}
    return "Rathaus-Hub: " + ", ".join(f"{name} {value}" for name, value in named.items())


def is_json() -> bool:
    """Say whether lines of this process are JSON: then nobody may write anything else to standard error."""
    ours = (each for each in logging.getLogger().handlers if isinstance(each, _StandardError))
    return any(not isinstance(each.formatter, _ForPeople) for each in ours)


def redacted(text: str) -> str:
    """Return ``text`` with of each address its scheme and host alone: path, query and user may be keys."""
    if "://" in text:
        text = _WAY.sub(rf"://\1/{_REDACTED}", text)
    return _QUERY.sub(f"?{_REDACTED}", text) if "?" in text else text


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("hub").critical("the process dies", exc_info=(kind, error, trace))


def _uncaught_in_thread(died: threading.ExceptHookArgs) -> None:
    if died.exc_value is not None:
        raised = (died.exc_type, died.exc_value, died.exc_traceback)
        logging.getLogger("hub").critical("a thread died", exc_info=raised)


class _ForPeople(logging.Formatter):
    """A line of text; what stands in members of their own follows the sentence."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
        said = vars(record)
        facts = " ".join(f"{name}={said[name]}" for name in FACTS if said.get(name) not in _UNSAID)
        line = redacted(super().formatMessage(record))
        return f"{line} [{facts}]" if facts else line

    def format(self, record: logging.LogRecord) -> str:
        # Another handler's formatter may have left its traceback there, with the error's own message.
        kept, record.exc_text = record.exc_text, None
        try:
            return super().format(record)
        finally:
            record.exc_text = kept

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the library's name
        error = ei[1]
        return "" if error is None else f"  {type(error).__name__} at {' < '.join(_places(error))}"


def _places(error: BaseException) -> list[str]:
    frames = reversed(traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:])
    return [f"{frame.filename}:{frame.lineno}" for frame in frames]


def _json_formatter() -> logging.Formatter:
    import structlog  # lines for people, as every short command writes them, need none of it

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=FACTS),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        ],
        # The formatter would write a traceback below the line; it stands in the line.
        processors=[_thread, _failure, structlog.processors.EventRenamer("message"), _kept],
        keep_exc_info=False,
    )


def _thread(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if record is not None:
        event["thread"] = record.threadName
    return event


def _failure(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put class and places where a traceback would stand."""
    raised: Any = event.pop("exc_info", None)
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["places"] = _places(error)
    return event


def _kept(_: WrappedLogger, __: str, event: EventDict) -> str:
    line = {name: event[name] for name in MEMBERS if name in event}
    line["message"] = redacted(str(event.get("message", "")))
    return orjson.dumps(line, default=str).decode()
