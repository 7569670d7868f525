"""Log lines: for people, or as JSON for a log store. They carry identifiers, never contents.

An error's own message may quote what it was given, so a JSON line names its class and the places it came through, and no
more.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import orjson

from hub import __version__

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

#: What a line may say of a delivery, in members of their own.
FACTS = ("submission", "delivery", "destination", "attempt", "outcome", "reason", "cause")
#: Members of a line; whatever else a library attaches to a record is dropped.
MEMBERS = ("at", "level", "logger", "message", *FACTS, "thread", "error", "places")
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: Frames of a failure that are named, the innermost first.
_MOST_PLACES = 8
#: They tell at INFO what they do all the time.
_CHATTY = ("apscheduler", "alembic", "asyncssh")


class _StandardError(logging.StreamHandler[IO[str]]):
    """Writes to what is standard error at that moment: whoever captures it for a while does not keep it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> IO[str]:  # type: ignore[override]  # the class has an attribute here
        return sys.stderr


def set_up(*, as_json: bool, level: int) -> None:
    """Send every log line of this process to standard error; a second call replaces the first."""
    handler = _StandardError()
    handler.setFormatter(_json_formatter() if as_json else logging.Formatter(_TEXT))
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
        frames = reversed(traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:])
        event["error"] = type(error).__name__
        event["places"] = [f"{frame.filename}:{frame.lineno}" for frame in frames]
    return event


def _kept(_: WrappedLogger, __: str, event: EventDict) -> str:
    line = {name: event[name] for name in MEMBERS if name in event}
    return orjson.dumps(line, default=str).decode()
