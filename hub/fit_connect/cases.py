"""Cases and their event logs, for the parties of a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hub.identity.access import case_not_found, insist_on_party, message_not_found, reach
from hub.identity.clients import Caller
from hub.model.events import Subject
from hub.proof.event_log import Notary
from hub.store import Case, Page, Store

#: Messages of one kind that the view of a case lists.
_MOST_MESSAGES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseView:
    """A case and the ids of what was sent in it, in order."""

    case: Case
    submission_ids: Sequence[UUID]
    reply_ids: Sequence[UUID]


class Cases:
    """Reads cases."""

    def __init__(self, *, store: Store, notary: Notary) -> None:
        self._store = store
        self._notary = notary

    def of_party(self, *, caller: Caller, offset: int, limit: int) -> Page[Case]:
        """Return the cases in which the caller is a party, oldest first, as far as its token reaches."""
        return self._store.cases(caller.client_id, among=reach(caller), offset=offset, limit=limit)

    def show(self, case_id: UUID, *, caller: Caller) -> CaseView:
        """Return one case.

        Raises:
            NotFound: there is none. Forbidden: the caller is no party.
        """
        case = self._case(case_id, caller)
        return CaseView(
            case=case,
            submission_ids=self._ids(case_id, Subject.SUBMISSION),
            reply_ids=self._ids(case_id, Subject.REPLY),
        )

    def log(self, case_id: UUID, *, caller: Caller, offset: int, limit: int) -> Page[str]:
        """Return the case's event log as tokens, oldest first; errors as :meth:`show`.

        A log that was dropped at the end of its retention is empty; the case's view holds the signed tombstone.
        """
        case = self._case(case_id, caller)
        if case.tombstone is not None:
            return Page(items=(), offset=offset, total=0)
        return self._notary.tokens(case_id, offset=offset, limit=limit)

    def message_log(self, kind: Subject, message_id: UUID, *, caller: Caller, offset: int, limit: int) -> Page[str]:
        """Return the events of one submission or reply as tokens, oldest first.

        Raises:
            NotFound: no such message. Forbidden: the caller is no party.
        """
        message = self._store.message(message_id, kind)
        if message is None:
            raise message_not_found()
        case = self._case(message.case_id, caller)
        if case.tombstone is not None:
            return Page(items=(), offset=offset, total=0)
        return self._notary.tokens(message.case_id, subject_id=message_id, offset=offset, limit=limit)

    def _case(self, case_id: UUID, caller: Caller) -> Case:
        case = self._store.case(case_id)
        if case is None:
            raise case_not_found()
        insist_on_party(self._store, case, caller)
        return case

    def _ids(self, case_id: UUID, kind: Subject) -> list[UUID]:
        page = self._store.messages(kind, case_id=case_id, offset=0, limit=_MOST_MESSAGES)
        return [message.id for message in page.items]
