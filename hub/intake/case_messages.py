"""A later application in a case: whose case it may go into, and what it may be.

A sender writes into the cases that it opened, and into nobody else's. Its service and area have to lead to the authority that
has the case, by the same rules as a new application. What it may be: an application of a schema that the destination offers for
the service (a correction if it names the submission that it replaces, where the service allows that), or a message of the hub's
own schema, which needs no offer: an answer to a reply always, a withdrawal where the service allows it. Into a case that was
handed on nothing comes any more; an answer to what was asked there goes into the case that it goes on as.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from hub.errors import Invalid, Text, case_goes_on, not_found
from hub.model import MESSAGE_SCHEMA, CaseMessage, CaseMessageKind, Cover, Destination, InCase, Subject
from hub.services import PublicService
from hub.store import Case, Store, StoredMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseDesk:
    """Judges what goes into one case of a sender."""

    store: Store
    case: Case
    cover: Cover

    @classmethod
    def of(cls, store: Store, cover: Cover) -> CaseDesk | None:
        """Return the desk of the case that a cover names; None where it opens a new one.

        Raises:
            NotFound: there is no such case, its log was dropped, or another sender opened it (``case-not-found``).
            Invalid: it replaces something and names no case; or the case was handed on (``case-goes-on``, with its new id).
        """
        if cover.case_id is None:
            if cover.replaces is not None:
                raise _without_case()
            return None
        case = store.submissions.case(cover.case_id)
        if case is None or case.sender != cover.sender or case.tombstone is not None:
            raise not_found("case-not-found")
        gone = store.forwardings.gone_to(case.case_id)
        if gone is not None:
            raise case_goes_on(gone.case_id)
        return cls(store=store, case=case, cover=cover)

    def require_destination(self, destination: Destination) -> None:
        """Refuse what its service and area would bring to another authority than the one that has the case."""
        if destination.destination_id != self.case.destination_id:
            raise Invalid(
                Text(
                    f"Für Leistung und Gebiet ist {destination.name} zuständig; diesen Vorgang hat eine andere Stelle. Nennen "
                    "Sie Leistung und Gebiet des Vorgangs, oder stellen Sie ohne caseId einen neuen Antrag.",
                    f"For service and area {destination.name} is responsible; another authority has this case. Name service "
                    "and area of the case, or submit a new application without caseId.",
                ),
                slug="case-of-another-authority",
                destinationId=str(destination.destination_id),
            )

    def judged(self, schema: str, data: bytes, service: PublicService | None) -> InCase:
        """Return what valid ``data`` of a schema are in this case; ``service`` is that of the cover, if it is known.

        Raises:
            Invalid: it is about nothing of this case (``not-in-case``), or the service does not allow it.
        """
        if schema == MESSAGE_SCHEMA:
            return self._message(CaseMessage.read(data), service)
        if self.cover.replaces is None:
            return InCase(kind=CaseMessageKind.APPLICATION)
        self._require_sent(self.cover.replaces)
        if service is None or not service.correct:
            raise Invalid(
                Text(
                    "Diese Leistung lässt sich über den Hub nicht berichtigen. Wenden Sie sich an die zuständige Stelle.",
                    "This service cannot be corrected through the hub. Turn to the responsible authority.",
                ),
                slug="correction-not-offered",
            )
        return InCase(kind=CaseMessageKind.CORRECTION, about=self.cover.replaces)

    def _message(self, message: CaseMessage | None, service: PublicService | None) -> InCase:
        if message is None or message.kind not in {CaseMessageKind.WITHDRAWAL, CaseMessageKind.ANSWER}:
            raise Invalid(
                Text(
                    "Eine Berichtigung ist ein ganzer Antrag mit caseId und replaces; Absender schreiben nur withdrawal und "
                    "answer.",
                    "A correction is a whole application with caseId and replaces; senders write withdrawal and answer only.",
                )
            )
        if message.kind is CaseMessageKind.ANSWER:
            self._require_reply(message.about)
        else:
            self._require_sent(message.about)
            self._require_withdrawal(service)
        return InCase(kind=message.kind, about=message.about)

    def _require_withdrawal(self, service: PublicService | None) -> None:
        if service is None or not service.withdraw:
            raise Invalid(
                Text(
                    "Diese Leistung lässt sich über den Hub nicht zurücknehmen. Wenden Sie sich an die zuständige Stelle.",
                    "This service cannot be withdrawn through the hub. Turn to the responsible authority.",
                ),
                slug="withdrawal-not-offered",
            )

    def _require_sent(self, submission_id: UUID) -> None:
        """Require an application of the same service in this case, which the sender submitted itself."""
        found = self.store.submissions.message(submission_id, Subject.SUBMISSION)
        fits = (
            found is not None and found.sender == self.cover.sender and found.service.identifier == self.cover.service
        )
        of_message = found is not None and found.schema is not None and found.schema.uri == MESSAGE_SCHEMA
        self._require_here(found if fits and not of_message else None)

    def _require_reply(self, reply_id: UUID) -> None:
        """Require a reply to the sender in this case, or in one that it was before it was handed on: questions stay open."""
        found = self.store.submissions.message(reply_id, Subject.REPLY)
        if found is not None and found.case_id in self.store.forwardings.earlier(self.case.case_id):
            found = replace(found, case_id=self.case.case_id)
        self._require_here(found if found is not None and found.addressee == self.cover.sender else None)

    def _require_here(self, found: StoredMessage | None) -> None:
        if found is None or found.case_id != self.case.case_id or found.submitted_at is None:
            raise Invalid(
                Text(
                    "Worauf sich die Nachricht bezieht (about, replaces), gibt es in diesem Vorgang nicht. "
                    "/hub/v1/cases/{caseId} nennt alles darin.",
                    "What the message is about (about, replaces) is nothing of this case. "
                    "/hub/v1/cases/{caseId} lists all in it.",
                ),
                slug="not-in-case",
            )


def require_case_for_message(schema: str, desk: CaseDesk | None) -> None:
    """Refuse a message of the hub's own schema that opens a case."""
    if schema == MESSAGE_SCHEMA and desk is None:
        raise _without_case()


def _without_case() -> Invalid:
    return Invalid(
        Text(
            "Rücknahme, Antwort und Berichtigung gehören in einen Vorgang: Nennen Sie seine caseId.",
            "Withdrawal, answer and correction belong in a case: name its caseId.",
        ),
        slug="message-without-case",
    )
