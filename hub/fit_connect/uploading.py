"""Uploading attachments: ciphertext is split, judged and stored while it streams by."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from hub.crypto.jwe_scanner import JweScanner
from hub.errors import Conflict, Invalid, Text
from hub.fit_connect.limits import Profile, too_large_together
from hub.fit_connect.sending import SendingTools, sealed_of
from hub.identity.access import own_message
from hub.identity.clients import Caller
from hub.model.events import Subject
from hub.model.submission import Sealed, State
from hub.store import Provisional, SpillingSink, StoredMessage


class Upload:
    """One attachment on its way in: ciphertext, split, judged and stored as it streams by."""

    def __init__(self, contents: Provisional, scanner: JweScanner, store: Callable[[Sealed], None]) -> None:
        self._contents = contents
        self._sink = SpillingSink(contents)
        self._scanner = scanner
        self._store = store

    def write(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            TooLarge: over the limit. SealBroken: no JWE of the profile. StoreUnavailable: no room.
        """
        self._scanner.feed(chunk)
        self._sink.write(chunk)

    def finish(self) -> None:
        """Judge the end and store; errors as :meth:`write`, and Conflict where the message was submitted meanwhile."""
        sealed = sealed_of(self._scanner.finish(), self._sink)
        # From here on a request that is cancelled changes nothing: what the commit comes to says what stays.
        self._contents.own()
        try:
            self._store(sealed)
        except BaseException as error:
            self._contents.judge(error)
            raise
        self._contents.keep()

    def abort(self) -> None:
        """Leave no trace of what was not finished, at once and without waiting: may be called at any time, in any thread."""
        self._contents.abandon()


class Uploading:
    """Begins uploads. Large ones are hashed by a pool of as many threads as there are processors."""

    def __init__(self, tools: SendingTools) -> None:
        self._tools = tools
        self._hashing = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="hashing")

    def begin(
        self,
        kind: Subject,
        message_id: UUID,
        attachment_id: UUID,
        *,
        declared: int | None,
        caller: Caller,
        profile: Profile,
    ) -> Upload:
        """Begin an upload of ``declared`` bytes, if the client said how many; a later one replaces an earlier.

        Raises:
            NotFound, Forbidden: no such message of the caller's. Conflict: it is submitted already.
            Invalid: not announced (``attachment-not-announced``). TooLarge: over a limit, by what was declared.
            StoreUnavailable: the disk is nearly full.
        """
        self._tools.admission.check_disk()
        message = self._open_message(kind, message_id, caller)
        if attachment_id not in message.announced:
            raise Invalid(
                Text(
                    "Diese Anlage wurde nicht angekündigt. Nennen Sie alle in announcedAttachments.",
                    "This attachment was not announced. Name all of them in announcedAttachments.",
                ),
                slug="attachment-not-announced",
            )
        limit = self._room(message, attachment_id)
        if declared is not None and declared > limit:
            raise too_large_together(limit)
        scanner = JweScanner(
            allow_zip=profile.allow_zip,
            require_cty=False,
            require_kid=profile.require_kid,
            limit=limit,
            pool=self._hashing,
        )

        def store(sealed: Sealed) -> None:
            replaced = self._tools.store.put_attachment(message_id, attachment_id, sealed)
            if replaced is not None:
                self._tools.blobs.discard(replaced)

        return Upload(Provisional(self._tools.blobs), scanner, store)

    def _open_message(self, kind: Subject, message_id: UUID, caller: Caller) -> StoredMessage:
        message = own_message(self._tools.store.message(message_id, kind), caller)
        if message.state is not State.INCOMPLETE:
            raise Conflict(
                Text(
                    "Die Einreichung ist schon abgeschlossen und nimmt nichts mehr auf. Kündigen Sie eine neue an.",
                    "The submission is complete already and takes nothing more. Announce a new one.",
                ),
                slug="invalid-state-transition",
            )
        return message

    def _room(self, message: StoredMessage, attachment_id: UUID) -> int:
        others = sum(sealed.size for key, sealed in message.uploaded.items() if key != attachment_id)
        room = min(self._tools.limits.attachment, self._tools.limits.total - others)
        if room <= 0:
            raise too_large_together(self._tools.limits.total)
        return room
