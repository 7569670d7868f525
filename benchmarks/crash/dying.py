"""``python -m benchmarks.crash.dying …``: the ``hub`` command, which a named step of a case kills as a power cut would.

``HUB_CRASH_AT`` names one of :data:`POINTS`; any other name is the program's own to read. What is killed is not asked for
its help: a point is a method of the program, just before it is called or just after it is done.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import wraps
from typing import Any

#: Who comes by a point: the authority that was asked first, the one that it hands on to, the hub.
FIRST, NEXT, HUB = "first", "next", "hub"


@dataclass(frozen=True, slots=True)
class Point:
    """A method ``module:Class.method``, and whether it is ``after`` or before it."""

    whose: str
    method: str
    after: bool


POINTS = {
    "reply-sealed": Point(FIRST, "hub.connector.replies:SealedReplies.write", after=True),
    "reply-in-the-book": Point(FIRST, "hub.connector.casebook:CaseBook.write", after=True),
    "statement-done": Point(FIRST, "hub.connector.outbox:Outbox._move", after=False),
    "reply-announced": Point(FIRST, "hub.client.fit_connect:Subscriber.announce_reply", after=True),
    "file-of-reply-sent": Point(FIRST, "hub.client.fit_connect:Subscriber.upload", after=True),
    "reply-submitted": Point(FIRST, "hub.client.fit_connect:Subscriber.submit", after=True),
    "answer-handed-over": Point(FIRST, "hub.connector.handover:FolderSystem.publish", after=True),
    "forward-in-the-book": Point(FIRST, "hub.connector.forwards:ForwardBook.want", after=True),
    "next-case-open": Point(FIRST, "hub.client.forwarding:Forwarder.begin", after=True),
    "next-case-whole": Point(FIRST, "hub.client.forwarding:Forwarder.complete", after=False),
    "cases-linked": Point(FIRST, "hub.client.forwarding:Forwarder.complete", after=True),
    "notice-sealed": Point(FIRST, "hub.connector.forwards:ForwardBook.finish", after=False),
    "forward-done": Point(FIRST, "hub.connector.forwards:ForwardBook.finish", after=True),
    "accept-to-post": Point(FIRST, "hub.client.fit_connect:Subscriber.post_event", after=False),
    "accept-posted": Point(FIRST, "hub.client.fit_connect:Subscriber.post_event", after=True),
    "decision-in-the-book": Point(NEXT, "hub.connector.casebook:CaseBook.decide", after=True),
    "decision-posted": Point(NEXT, "hub.client.fit_connect:Subscriber.post_event", after=True),
    "decision-submitted": Point(NEXT, "hub.client.fit_connect:Subscriber.submit", after=True),
    "hub-announced": Point(HUB, "hub.store.submissions:Submissions.announce", after=True),
    "hub-part-stored": Point(HUB, "hub.store.submissions:Submissions.put_attachment", after=True),
    "hub-reply-to-store": Point(HUB, "hub.store.submissions:Submissions.complete", after=False),
    "hub-reply-stored": Point(HUB, "hub.store.submissions:Submissions.complete", after=True),
    "hub-event-stored": Point(HUB, "hub.store.event_log:EventLog.append", after=True),
    "hub-forward-begun": Point(HUB, "hub.store.forwardings:Forwardings.begin", after=True),
    "hub-forward-to-link": Point(HUB, "hub.store.forwardings:Forwardings.complete", after=False),
    "hub-forward-linked": Point(HUB, "hub.store.forwardings:Forwardings.complete", after=True),
}
#: For where there is no time for all: a reply and a hand-on, each known at the hub and not by who sent it.
SHORT = ("reply-submitted", "hub-forward-linked")


def arm(point: Point) -> None:
    """Have the process die when it first comes by ``point``."""
    module, _, path = point.method.partition(":")
    owner, _, name = path.partition(".")
    kind = getattr(importlib.import_module(module), owner)
    setattr(kind, name, _deadly(getattr(kind, name), after=point.after))


def _deadly(method: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    @wraps(method)
    def dying(*given: Any, **named: Any) -> Any:
        if not after:
            _die()
        done = method(*given, **named)
        if not isinstance(done, Future):
            _die()
        # What is only begun is done when it lies on the disk.
        done.add_done_callback(lambda _: _die())
        return done

    return dying


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run() -> None:
    """Run the command, armed if the environment names one of the points."""
    wanted = POINTS.get(os.environ.get("HUB_CRASH_AT", ""))
    if wanted is not None:
        del os.environ["HUB_CRASH_AT"]
        arm(wanted)
    from hub.cli.main import main

    main(prog_name="hub")


if __name__ == "__main__":
    run()
