"""Handing a case on: an authority that is not responsible brings it to the one that is, by the hub's own routing rules.

The hub finds the next authority, opens a new case there for the sender of the old one, and links both; what goes into it the
old authority's connector seals for the next one's key (:class:`hub.fit_connect.submissions.Uploading` and ``Submitting`` take
it from the connector as from any author). Once all of it is there the connector says so: only then the old log names the new
case, and the sender finds the new submission among its own.

What is refused, in this order: who does not own the case, what is not there any more or was turned down, a request that was
another one, an unknown reason, a service or area that nobody is responsible for, an authority that takes nothing now, oneself,
an authority that had the case before, a chain that is too long, an authority without a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from hub.admission import Admission
from hub.areas import Area, Gazetteer
from hub.errors import (
    Conflict,
    HubError,
    IdempotencyConflict,
    Invalid,
    KeyUnavailable,
    NotFound,
    Text,
    forwarded_already,
    not_found,
    state_forbids,
)
from hub.fit_connect.messages import ExchangeLimits, Sending, require_jwe, too_many_attachments
from hub.identity import Caller, own_destination, require_party
from hub.model import (
    FORWARD_REASONS,
    FORWARD_REASONS_BY_NAME,
    MOST_FORWARDS,
    NOT_FREED,
    Destination,
    Door,
    Event,
    EventKind,
    ForwardLink,
    Service,
    State,
    Subject,
    canonical_service,
    new_id,
    own_event,
)
from hub.notifications.callbacks import CallbackWriter
from hub.proof.evidence import Evidences
from hub.routing import RoutingTable, legal_day
from hub.services import ServiceCatalogue
from hub.store import Announcement, Case, CaseHead, Store, StoredMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardWish:
    """What an authority wants handed on, and where to. ``request_id`` is its own, by which a repeat is known.

    ``service`` may be empty: then it is the one that the case came for, or, of what was not freed, the one that its entry in
    the catalogue names for that (``onward``). An empty ``area`` is the one that the case came for.
    """

    request_id: UUID
    case_id: UUID
    submission_id: UUID
    service: str
    area: str
    reason: str
    announced: tuple[UUID, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NextAuthority:
    """Who is responsible by the rules. ``area`` is the one that counts: the successor of an area that is dissolved."""

    destination: Destination
    area: str
    area_name: str
    rule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BegunForward:
    """A case that is being handed on. ``state`` is how far the new submission is; ``receipt`` proves the old one."""

    link: ForwardLink
    destination: Destination
    state: State
    receipt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseLinks:
    """Where a case came from and where it went, with the names of the authorities there."""

    came_from: tuple[ForwardLink, str] | None
    went_to: Sequence[tuple[ForwardLink, str]]


class ForwardingHub(Sending, Protocol):
    """What handing on needs of the hub. Table and areas are asked for anew each time."""

    store: Store
    admission: Admission
    evidences: Evidences
    callback_writer: CallbackWriter
    base_url: str
    gazetteer: Gazetteer

    def table(self) -> RoutingTable:
        """Return the routing table in force."""

    def services(self) -> ServiceCatalogue:
        """Return the public services of the moment."""


class Forwarding:
    """Takes what authorities hand on."""

    def __init__(self, hub: ForwardingHub, *, limits: ExchangeLimits | None = None) -> None:
        self._hub = hub
        self._limits = limits or ExchangeLimits()

    def check(self, wish: ForwardWish, *, caller: Caller, now: datetime) -> NextAuthority:
        """Say whom a case would go to; nothing is stored. Errors as :meth:`begin`."""
        return self._next(self._completed(wish, self._submission(wish, caller)), now)

    def begin(self, wish: ForwardWish, *, caller: Caller, now: datetime) -> BegunForward:
        """Open the new case with the next authority; the same request again is the one that there is.

        Raises:
            NotFound: no such case, or no such submission in it. Forbidden: the case is another authority's.
            Conflict: what is handed on was rejected or deleted (``state-forbids``, ``forward-after-deletion``), was handed on
                before (``forwarded-already``), would go to oneself (``forward-to-oneself``), back to an authority that had it
                (``forward-loop``), or on without end (``forward-chain-too-long``); the next authority takes nothing now, or not
                from this sender (``forward-destination-closed``), does not offer the service
                (``forward-service-not-offered``), or has no usable key (``forward-without-key``).
            IdempotencyConflict: the request's id came with another wish.
            NoRoute: nobody, or more than one, is responsible. Invalid: the reason is none of the list.
            TooLarge, StoreUnavailable: as of announcements.
        """
        self._hub.admission.require_disk()
        found = self._hub.store.forwardings.asked(caller.client_id, wish.request_id)
        if found is not None:
            _require_same(found, wish)
            self._own(wish.case_id, caller)
            known = self._begun(found, wish, caller, now)
            if known is not None:
                return known
        old = self._submission(wish, caller)
        wish = self._completed(wish, old)
        self._require_first(wish)
        authority = self._next(wish, now)
        link = self._link(wish, authority, old, caller, now)
        counts = self._hub.store.forwardings.begin(
            link,
            self._announcement(link, wish, old, authority),
            lambda _head, _state: self._first_events(link, now),
            forget=lambda stale: self._event(EventKind.DELETE, stale.case_id, stale.submission_id, {}, now),
        )
        return BegunForward(
            link=counts,
            destination=authority.destination,
            state=State.INCOMPLETE if counts is link else State.SUBMITTED,
            receipt=self._receipt(old, now),
        )

    def complete(self, case_id: UUID, submission_id: UUID, *, caller: Caller, now: datetime) -> ForwardLink:
        """Take down that the next authority has all of what was handed on; said again it changes nothing.

        Raises:
            NotFound: nothing of this case was handed on under that id. Forbidden: the case is another authority's.
            Conflict: the new submission is not submitted yet, or the case went elsewhere meanwhile (``forwarded-already``).
        """
        store = self._hub.store
        link = store.forwardings.begun(submission_id)
        if link is None or link.from_case_id != case_id or link.client_id != caller.client_id:
            raise not_found("case-not-found")
        old = store.submissions.message(link.from_submission_id, Subject.SUBMISSION)
        new = store.submissions.message(submission_id, Subject.SUBMISSION)
        case = store.submissions.case(case_id)
        if old is None or new is None or case is None:
            raise not_found("case-not-found")
        if new.submitted_at is None:
            raise state_forbids(
                Text("Die neue Einreichung ist noch nicht vollständig.", "The new submission is not complete yet."),
                Text("Laden Sie alles hoch und reichen Sie ein.", "Upload all of it, then submit."),
            )
        name = self._name(link.destination_id)

        def make(_head: CaseHead, _state: State) -> Sequence[Event]:
            said = _said(link, link.case_id, link.submission_id, link.destination_id, name)
            said |= {"service": link.service, "ars": link.area}
            return (self._event(EventKind.FORWARDED_TO, link.from_case_id, link.from_submission_id, said, now),)

        news = self._hub.callback_writer.answered(old, now=now)
        store.forwardings.complete(link, make, sender=case.sender, now=now, callbacks=news)
        return link

    def links(self, case_id: UUID, *, caller: Caller) -> CaseLinks:
        """Return where a case came from and went to.

        Raises:
            NotFound: no such case. Forbidden: the caller is no party of it.
        """
        store = self._hub.store
        case = store.submissions.case(case_id)
        if case is None:
            raise not_found("case-not-found")
        require_party(store, case, caller)
        came = store.forwardings.into(case_id)
        return CaseLinks(
            came_from=None if came is None else (came, self._name(came.from_destination_id)),
            went_to=[(each, self._name(each.destination_id)) for each in store.forwardings.out_of(case_id)],
        )

    # ------------------------------------------------------------------------------------------- what is judged

    def _own(self, case_id: UUID, caller: Caller) -> Case:
        """Return a case of the caller's destination."""
        case = self._hub.store.submissions.case(case_id)
        if case is None or case.tombstone is not None:
            raise not_found("case-not-found")
        own_destination(self._hub.store, case.destination_id, caller)
        return case

    def _submission(self, wish: ForwardWish, caller: Caller) -> StoredMessage:
        """Return what is handed on, once the caller may."""
        store, case = self._hub.store, self._own(wish.case_id, caller)
        message = store.submissions.message(wish.submission_id, Subject.SUBMISSION)
        if message is None or message.case_id != case.case_id or message.submitted_at is None:
            raise not_found("submission-not-found")
        if message.state is State.REJECTED:
            raise state_forbids(
                Text("Die Einreichung ist abgelehnt.", "The submission is rejected."),
                Text("Der Absender muss sie neu einreichen.", "Its sender has to submit it anew."),
            )
        if message.deleted_at is not None or message.contents is None:
            raise Conflict(
                Text(
                    "Die Inhalte sind gelöscht; abzugeben ist nichts mehr. Der Absender muss neu einreichen.",
                    "The contents are deleted; nothing is left to be handed on. The sender has to submit it anew.",
                ),
                slug="forward-after-deletion",
            )
        return message

    def _completed(self, wish: ForwardWish, old: StoredMessage) -> ForwardWish:
        """Return the wish with the service and the area that it leaves to what the case came for."""
        if not wish.area and old.area is None:
            raise Invalid(
                Text(
                    "Der Vorgang nennt kein Gebiet. Nennen Sie es mit seinem Regionalschlüssel (ARS).",
                    "The case names no area. Name it by its key (ARS).",
                ),
                field="ars",
            )
        return replace(wish, service=self._service(wish, old), area=wish.area or old.area or "")

    def _service(self, wish: ForwardWish, old: StoredMessage) -> str:
        """Return the service that a case goes on for, where the wish names none."""
        if wish.service:
            return canonical_service(wish.service)
        here = self._hub.services().find(old.service.identifier) if wish.reason == NOT_FREED else None
        return old.service.identifier if here is None or not here.onward else here.onward

    def _require_first(self, wish: ForwardWish) -> None:
        if self._hub.store.forwardings.out_of(wish.case_id):
            raise forwarded_already()

    def _next(self, wish: ForwardWish, now: datetime) -> NextAuthority:
        if wish.reason not in FORWARD_REASONS_BY_NAME:
            names = ", ".join(each.name for each in FORWARD_REASONS)
            raise Invalid(
                Text(f"Wählen Sie einen Grund. Es gibt: {names}.", f"Choose a reason. There are: {names}."),
                slug="unknown-forward-reason",
            )
        if len(wish.announced) > self._limits.attachments:
            raise too_many_attachments(self._limits.attachments)
        area, service = self._area(wish.area, now), canonical_service(wish.service)
        route = self._hub.table().responsible(area, service, now)
        case = self._hub.store.submissions.case(wish.case_id)
        if case is None or not route.rule.admits(case.sender):
            # Whoever could not apply there cannot be brought there either.
            raise _refused(
                slug="forward-destination-closed",
                de="Die zuständige Stelle nimmt diese Leistung noch nicht online an, oder nur auf Einladung. Geben Sie auf "
                "anderem Weg ab.",
                en="The responsible authority does not take this service online yet, or by invitation only. Hand on another "
                "way.",
            )
        destination = self._hub.directory.destination(route.destination_id, now=now)
        if destination is None or destination.status != "active":
            raise _refused(
                slug="forward-destination-closed",
                de="Die zuständige Stelle nimmt zurzeit nichts über den Hub an. Geben Sie auf anderem Weg ab.",
                en="The responsible authority takes nothing through the hub at present. Hand on another way.",
            )
        if not any(canonical_service(offered.identifier) == service for offered in destination.services):
            raise _refused(
                slug="forward-service-not-offered",
                de=f"{destination.name} ist zuständig, nimmt diese Leistung aber nicht über den Hub an.",
                en=f"{destination.name} is responsible, but does not take this service through the hub.",
            )
        self._require_way(wish.case_id, destination)
        try:
            self._hub.directory.encryption_key(destination, now=now)
        except KeyUnavailable as error:
            raise Conflict(error.detail, slug="forward-without-key") from error
        require_jwe(self._hub, destination)
        place = self._hub.gazetteer.find(area)
        return NextAuthority(
            destination=destination,
            area=area.ars,
            area_name=area.ars if place is None else place.name,
            rule=route.rule.id,
        )

    def _area(self, ars: str, now: datetime) -> Area:
        """Return the area that counts: of a municipality that is dissolved the one that it became part of."""
        gazetteer, area = self._hub.gazetteer, Area.from_ars(ars)
        heir = gazetteer.successor(area, legal_day(now))
        return area if heir is None else heir.area

    def _require_way(self, case_id: UUID, destination: Destination) -> None:
        """Refuse to hand on to oneself, back, or on for ever."""
        case = self._hub.store.submissions.case(case_id)
        if case is None:
            raise not_found("case-not-found")
        if destination.destination_id == case.destination_id:
            raise _to_oneself()
        before = self._hub.store.forwardings.into(case_id)
        depth = 1
        while before is not None:
            depth += 1
            if destination.destination_id == before.from_destination_id:
                raise _in_a_circle(destination)
            if depth > MOST_FORWARDS:
                raise _too_long_a_chain()
            before = self._hub.store.forwardings.into(before.from_case_id)

    # ------------------------------------------------------------------------------------------- what is written

    def _begun(self, link: ForwardLink, wish: ForwardWish, caller: Caller, now: datetime) -> BegunForward | None:
        """Return how far a request has come; None where what it announced was deleted meanwhile.

        Once the next authority has all of it, it is told whatever became of the old submission: it only has to be completed.
        """
        message = self._hub.store.submissions.message(link.submission_id, Subject.SUBMISSION)
        if message is None or (message.submitted_at is None and message.state is not State.INCOMPLETE):
            return None
        old = self._hub.store.submissions.message(link.from_submission_id, Subject.SUBMISSION)
        if old is None or message.submitted_at is None:
            old = self._submission(wish, caller)
        destination = self._hub.store.parties.destination(link.destination_id)
        if destination is None:
            raise not_found("destination-not-found", link.destination_id)
        return BegunForward(link=link, destination=destination, state=message.state, receipt=self._receipt(old, now))

    def _link(
        self, wish: ForwardWish, authority: NextAuthority, old: StoredMessage, caller: Caller, now: datetime
    ) -> ForwardLink:
        before = self._hub.store.forwardings.into(wish.case_id)
        return ForwardLink(
            submission_id=new_id(now),
            case_id=new_id(now),
            destination_id=authority.destination.destination_id,
            from_submission_id=wish.submission_id,
            from_case_id=wish.case_id,
            from_destination_id=old.destination_id,
            client_id=caller.client_id,
            request_id=wish.request_id,
            service=canonical_service(wish.service),
            area=authority.area,
            reason=wish.reason,
            depth=1 if before is None else before.depth + 1,
            received_at=(old.submitted_at or old.created_at) if before is None else before.received_at,
            begun_at=now,
        )

    def _announcement(
        self, link: ForwardLink, wish: ForwardWish, old: StoredMessage, authority: NextAuthority
    ) -> Announcement:
        case = self._hub.store.submissions.case(wish.case_id)
        if case is None:
            raise not_found("case-not-found")
        return Announcement(
            kind=Subject.SUBMISSION,
            id=link.submission_id,
            case_id=link.case_id,
            new_case=True,
            destination_id=authority.destination.destination_id,
            sender=link.client_id,
            door=Door.SEALED,
            service=Service(identifier=link.service, name=self._hub.table().services.name(link.service)),
            announced=tuple(dict.fromkeys(wish.announced)),
            created_at=link.begun_at,
            area=link.area,
            callback=old.callback,
            opened_for=case.sender,
        )

    def _first_events(self, link: ForwardLink, now: datetime) -> Sequence[Event]:
        """Return what the new log begins with: so its receipt covers where the case came from."""
        name = self._name(link.from_destination_id)
        said = _said(link, link.from_case_id, link.from_submission_id, link.from_destination_id, name)
        said["receivedAt"] = link.received_at.isoformat(timespec="milliseconds")
        return (
            self._event(EventKind.CREATE, link.case_id, link.submission_id, {}, now),
            self._event(EventKind.FORWARDED_FROM, link.case_id, link.submission_id, said, now),
        )

    def _event(
        self, kind: EventKind, case_id: UUID, submission_id: UUID, payload: dict[str, object], now: datetime
    ) -> Event:
        return own_event(
            kind,
            case_id=case_id,
            subject=(Subject.SUBMISSION, submission_id),
            issuer=self._hub.base_url,
            now=now,
            payload=payload,
        )

    def _receipt(self, old: StoredMessage, now: datetime) -> str:
        if old.receipt is not None:
            return old.receipt
        submission = old.submission()
        if submission is None:
            raise NotFound(Text("Der Inhalt ist gelöscht.", "The contents are deleted."))
        return self._hub.evidences.receipt(submission, destination=self._name(old.destination_id), now=now)

    def _name(self, destination_id: UUID) -> str:
        found = self._hub.store.parties.destination(destination_id)
        return str(destination_id) if found is None else found.name


def _to_oneself() -> HubError:
    return _refused(
        slug="forward-to-oneself",
        de="Für diese Leistung und dieses Gebiet sind Sie selbst zuständig. Wählen Sie eine andere Leistung oder ein "
        "anderes Gebiet.",
        en="For this service and area you are responsible yourselves. Choose another service or another area.",
    )


def _in_a_circle(destination: Destination) -> HubError:
    return _refused(
        slug="forward-loop",
        de=f"{destination.name} hatte diesen Vorgang schon und hat ihn abgegeben. Klären Sie die Zuständigkeit mit "
        "dieser Stelle.",
        en=f"{destination.name} had this case before and handed it on. Settle with them who is responsible.",
    )


def _too_long_a_chain() -> HubError:
    return _refused(
        slug="forward-chain-too-long",
        de=f"Der Vorgang ist schon {MOST_FORWARDS}-mal abgegeben. Klären Sie die Zuständigkeit unmittelbar.",
        en=f"The case was handed on {MOST_FORWARDS} times already. Settle directly who is responsible.",
    )


def _said(link: ForwardLink, case_id: UUID, submission_id: UUID, destination_id: UUID, name: str) -> dict[str, object]:
    """Return what one log says of the other case."""
    return {
        "caseId": str(case_id),
        "submissionId": str(submission_id),
        "destinationId": str(destination_id),
        "name": name,
        "reason": link.reason,
    }


def _require_same(link: ForwardLink, wish: ForwardWish) -> None:
    # What the catalogue named for a wish without a service may be another one by now.
    service = canonical_service(wish.service) if wish.service else link.service
    same = (link.from_case_id, link.from_submission_id, link.service, link.reason) == (
        wish.case_id,
        wish.submission_id,
        service,
        wish.reason,
    )
    if not same:
        raise IdempotencyConflict(
            Text(
                "Unter dieser Kennung wurde etwas anderes abgegeben. Nehmen Sie eine neue.",
                "Something else was handed on under this id. Take a new one.",
            )
        )


def _refused(*, slug: str, de: str, en: str) -> Conflict:
    return Conflict(Text(de, en), slug=slug)
