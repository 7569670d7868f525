"""Replies on their way to the hub: announced, uploaded, submitted; the book knows each step before the next one is taken.

A reply becomes visible by its submit alone, and a repeat of that changes nothing. So of what is interrupted nothing is lost and
nothing goes out twice: an announcement that the book did not hear of is made once more, and the hub forgets the first.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from hub.client.fit_connect import Subscriber
from hub.connector.casebook import CaseBook, OutgoingReply, ReplyState
from hub.connector.envelope import read_file
from hub.connector.replies import SealedReplies, SealedReply
from hub.errors import Conflict, HubError, NotFound, Unavailable
from hub.model import Subject

_log = logging.getLogger(__name__)
_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(hours=1)
#: Statuses that speak of the reply itself: it will not be taken as it is, however often it is sent. Whatever else may heal.
_FINAL = frozenset({413, 422})
#: The hub's own word that there is no such case; a bare 404 may be another server's.
_NO_CASE = "case-not-found"
_HELD_WAIT = timedelta(minutes=10)
_TO_SEND = frozenset({ReplyState.WRITTEN, ReplyState.ANNOUNCED})


class ReplySending:
    """Sends what the book holds. For one thread. ``keeps``: what went out stays here, sealed, for who reads the case."""

    def __init__(self, book: CaseBook, sealed: SealedReplies, hub: Subscriber, *, keeps: bool) -> None:
        self._book = book
        self._sealed = sealed
        self._hub = hub
        self._keeps = keeps

    def run_once(self, now: datetime) -> int:
        """Send what is due as far as it goes; return how many replies the hub has now."""
        return sum(self._advance(reply, now) for reply in self._book.due(now))

    def _advance(self, reply: OutgoingReply, now: datetime) -> bool:
        try:
            while reply.state in _TO_SEND:
                reply = self._announce(reply, now) if reply.state is ReplyState.WRITTEN else self._submit(reply, now)
        except HubError as exc:
            self._hold(reply.request_id, exc, now)
        except Exception as exc:  # noqa: BLE001  # One reply's bug must not stop the others.
            _log.error(
                "reply %s: %s", reply.request_id, type(exc).__name__
            )  # No traceback: it could hold what was written.
            self._postpone(reply.request_id, f"internal error: {type(exc).__name__}", _HELD_WAIT, now)
        return reply.state is ReplyState.SENT

    def _announce(self, reply: OutgoingReply, now: datetime) -> OutgoingReply:
        named = self._hub.announce_reply(reply.case_id, list(self._sealed.sealed(reply.request_id).attachments))
        return self._book.update(
            reply.request_id, now, state=ReplyState.ANNOUNCED, reply_id=named.message_id, tries=0, note=""
        )

    def _submit(self, reply: OutgoingReply, now: datetime) -> OutgoingReply:
        reply_id, sealed = reply.reply_id, self._sealed.sealed(reply.request_id)
        if reply_id is None:
            return self._book.update(reply.request_id, now, state=ReplyState.WRITTEN)
        try:
            self._upload(reply_id, sealed)
        except NotFound:
            # The hub deletes what is announced and not submitted within a day: it is announced anew.
            return self._book.update(reply.request_id, now, state=ReplyState.WRITTEN, reply_id=None)
        except Conflict:
            # It was submitted before, its answer was lost, and the sender has taken it since.
            _log.info("reply %s of case %s lay at the hub already", reply.request_id, reply.case_id)
        _log.info("reply %s of case %s: gesendet / sent", reply.request_id, reply.case_id)
        sent = self._book.update(reply.request_id, now, state=ReplyState.SENT, tries=0, note="")
        if not self._keeps:
            self._sealed.drop(reply.request_id)
        return sent

    def _upload(self, reply_id: UUID, sealed: SealedReply) -> None:
        for attachment_id, path in sealed.attachments.items():
            self._hub.upload(
                reply_id,
                attachment_id,
                partial(read_file, path),
                length=path.stat().st_size,
                subject=Subject.REPLY,
            )
        self._hub.submit(reply_id, metadata=sealed.metadata, data=sealed.data, subject=Subject.REPLY)

    def _hold(self, request_id: UUID, error: HubError, now: datetime) -> None:
        status = error.members.get("status")
        if status in _FINAL or error.slug == _NO_CASE:
            # What the hub wrote of it stays there: the note is of its kind alone.
            _log.error("reply %s: the hub will not have it (%s)", request_id, error.slug)
            self._book.update(request_id, now, state=ReplyState.REFUSED, note=error.slug)
            return
        wish = error.retry_after if isinstance(error, Unavailable) else _HELD_WAIT
        self._postpone(request_id, error.slug, wish, now)

    def _postpone(self, request_id: UUID, note: str, wish: timedelta, now: datetime) -> None:
        known = self._book.reply(request_id)
        tries = known.tries if known is not None else 0
        if known is None or known.note != note:
            _log.warning("reply %s is held: %s", request_id, note)
        wait = min(max(_FIRST_WAIT * 2 ** min(tries, 20), wish), _LONGEST_WAIT)
        self._book.update(request_id, now, tries=tries + 1, due=now + wait, note=note)
