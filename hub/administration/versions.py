"""Versions of what two people decide together: drafts, checks, a second person's approval, activation and rollback.

The way of a change: (1) a draft is made from the active content or from a file and changed by editors; (2) a second person,
who never changed it, approves it: errors of the check block, warnings need a word; (3) it is activated, now or at a time;
(4) a rollback brings an earlier version back. The routing table, the catalogue of services and the register of AI systems go
this way, each with its own content, check and scope.

Versions as they stand: each, and the one that is active now, was or will be. A version's content is put together from its rows
when it is first asked for; what decides now is at most a second old.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Generic, Protocol, TypeVar

from hub.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    Text,
    Unavailable,
    UnreadableRow,
    needs_second_person,
    not_approved,
    not_found,
    overtaken,
    state_forbids,
)
from hub.identity import HOW_TO_VOUCH, OneHuman, Person, Right, one_human
from hub.model import Role
from hub.store import (
    Activation,
    AuditEntry,
    Page,
    RuleRows,
    Store,
    TableVersion,
    TableVersions,
    VersionState,
    all_items,
)

#: How old an answer of :meth:`VersionCache.active` may be.
FRESH = timedelta(seconds=1)
#: Contents kept in memory; a pass over history must not fill it.
_KEPT = 8
#: The number of the content that a hub has for which nobody has activated one yet: it is empty.
NOTHING = 0
#: Who makes the first version, from files.
HUB = Person(name="hub", full_name="Rathaus-Hub", roles=tuple(Role))
_MAX_TEXT = 500
_PAGE = 500


class Versionable(Protocol):
    """What has versions."""

    @property
    def version(self) -> str:
        """The SHA-256 of the content."""
        ...

    def __len__(self) -> int:
        """How many rows it has."""
        ...


Content = TypeVar("Content", bound=Versionable)
#: One of what a content is made of: a rule, a service, an AI system.
Entry = TypeVar("Entry")


class VersionCache(ABC, Generic[Content]):
    """All versions of one content, to be read; the book changes them."""

    def __init__(self, *, store: Store, versions: TableVersions) -> None:
        self._store = store
        self._versions = versions
        self._lock = threading.Lock()
        self._current: tuple[datetime, int, Content] | None = None
        self._kept: dict[tuple[int, int], Content] = {}

    @abstractmethod
    def content_of(self, rows: Iterable[Mapping[str, Any]]) -> Content:
        """Return the content that rows make; raise ``Refused`` or ``ConfigurationError``."""

    def active(self, now: datetime) -> Content:
        """Return the active content, at most :data:`FRESH` old; nobody waits while another thread reads a new one.

        A hub for which nobody has activated a version yet has an empty one: there is no default. Raises ``Unavailable``
        where versions are active at other times, but none now.
        """
        current = self._current
        if current is not None and now - FRESH < current[0] <= now:
            return current[2]
        if current is not None and not self._lock.acquire(blocking=False):
            return current[2]
        if current is None:
            self._lock.acquire()
        try:
            return self._renewed(now)
        finally:
            self._lock.release()

    def activation(self, on: datetime) -> Activation:
        """Return the activation that holds at a moment, also in the past; raise ``NotFound`` before the first."""
        found = self._versions.active(on)
        if found is None:
            raise not_found(self._versions.kept.missing)
        return found

    def begun(self, on: datetime) -> Activation | None:
        """Return the activation that holds at a moment; None where there is none."""
        return self._versions.active(on)

    def base(self, on: datetime) -> int:
        """Return the number of the version that holds at a moment, :data:`NOTHING` where nobody ever activated one.

        Raises ``NotFound`` before the first activation.
        """
        found = self.begun(on)
        if found is None and not self._versions.activations(limit=1).total:
            return NOTHING
        return self.activation(on).number if found is None else found.number

    def number(self, on: datetime) -> int | None:
        """Return the number of the version that holds at a moment, for lists: None where there is none or none can be read."""
        try:
            found = self.begun(on)
        except UnreadableRow:
            return None
        return None if found is None else found.number

    def in_force(self, now: datetime) -> tuple[Activation | None, Content] | None:
        """Return the activation that holds and its content, for pages that tell of them beside other things.

        None where they cannot be read: such pages go on without them.
        """
        try:
            return self.begun(now), self.active(now)
        except ConfigurationError:
            return None

    def content(self, number: int) -> Content:
        """Return a version's content, and the empty one for :data:`NOTHING`; raise ``NotFound``."""
        if number == NOTHING:
            return self.content_of(())
        version = self.version(number)
        key = (number, version.revision)
        found = self._kept.get(key)
        if found is None:
            found = self._stored(number)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def at(self, moment: datetime) -> Content:
        """Return the content that was, or will be, active at a moment."""
        return self.content(self.base(moment))

    def version(self, number: int) -> TableVersion:
        """Return a version; raise ``NotFound``."""
        return self._versions.version(number)

    def versions(self, *, offset: int = 0, limit: int = 100) -> Page[TableVersion]:
        """Return one page of versions, newest first."""
        return self._versions.versions(offset=offset, limit=limit)

    def version_of(self, content_version: str) -> TableVersion | None:
        """Return the newest version with this content, None where there is none."""
        return next(iter(self._versions.versions(content_version=content_version, limit=1).items), None)

    def history(self, *, offset: int = 0, limit: int = 100) -> Page[Activation]:
        """Return one page of activations, latest first; coming and cancelled ones included."""
        return self._versions.activations(offset=offset, limit=limit)

    def forget(self) -> None:
        """Put contents together anew when they are next asked for: what they were read with has changed."""
        self._kept.clear()
        self._current = None

    def _renewed(self, now: datetime) -> Content:
        known = self._current
        try:
            found = self._versions.active(now)
        except UnreadableRow:
            # Nobody is served by what held before while another thread tries again.
            self._current = None
            raise
        if found is None:
            # A clock that went back undoes no activation: what held goes on, and before that nobody is turned away.
            if known is not None and known[1] != NOTHING:
                self._current = (now, known[1], known[2])
                return known[2]
            if self._versions.activations(limit=1).total:
                raise self._not_yet()
            self._current = (now, NOTHING, self.content_of(()))
            return self._current[2]
        number = found.number
        # An approved version never changes, so its number says it all.
        content = known[2] if known is not None and known[1] == number else self._activated(number)
        self._current = (now, number, content)
        return content

    def _activated(self, number: int) -> Content:
        try:
            return self.content(number)
        except NotFound as exc:
            # Somebody activated it, so that it is not there is the hub's fault and not the asker's.
            named = self._versions.kept.named(number)
            raise ConfigurationError(
                Text(
                    f"{named.de} ist aktiviert, aber nicht da. Aktivieren Sie eine andere Version.",
                    f"{named.en} is activated, but does not exist. Activate another version.",
                )
            ) from exc

    def _stored(self, number: int) -> Content:
        try:
            return self.content_of(self._versions.rows(number))
        except Refused as exc:
            # It was judged when it was made, so what cannot be read now is the hub's fault and nobody else's.
            named = self._versions.kept.named(number)
            raise ConfigurationError(
                Text(f"{named.de} ist nicht lesbar: {exc.detail.de}", f"{named.en} cannot be read: {exc.detail.en}")
            ) from exc

    def _not_yet(self) -> Unavailable:
        what = self._versions.kept.what
        return Unavailable(
            Text(
                f"{what.de}: Noch gilt keine Version, oder die Uhr des Hubs geht nach. Versuchen Sie es später erneut.",
                f"{what.en}: no version holds yet, or the hub's clock is slow. Try again later.",
            ),
            slug="table-not-active",
        )


class VersionBook(VersionCache[Content]):
    """All versions of one content, the one that is active, and the way of a change."""

    @abstractmethod
    def rows_of(self, content: Content) -> RuleRows:
        """Return a content as it is stored."""

    @abstractmethod
    def require_scope(self, person: Person, before: Content, after: Content) -> None:
        """Raise ``Forbidden`` where a change touches what is none of the person's business."""

    @abstractmethod
    def require_fitness(self, content: Content, person: Person, *, word: str, now: datetime) -> int:
        """Raise ``Invalid`` for errors of the check, and for warnings without a word; return how many warnings there are."""

    @abstractmethod
    def delta(self, before: Content, after: Content) -> dict[str, list[str]]:
        """Return the ids of added, removed and changed rows, for the audit log."""

    def takes_two(self, before: Content, after: Content) -> bool:  # noqa: ARG002  # Some changes are for one person.
        """Whether a change takes a second person; unless a book says otherwise, each does."""
        return True

    def begin_with(self, content: Content, *, now: datetime) -> None:
        """Make a content version 1 and activate it, unless there are versions already."""
        if self._versions.versions(limit=1).total:
            return
        title = "Aus Dateien / from files"
        first = new_version(content, title=title, person=HUB, based_on=None, now=now)
        first = replace(first, number=1, state=VersionState.APPROVED, approved_by=HUB.name, approved_at=now)
        activation = new_activation(1, HUB, now=now, since=now, reason=title)
        audit = self._audited(HUB, "begin", 1, now, text=title)
        try:
            self._versions.add(first, self.rows_of(content), activation=activation, audit=audit)
        except Conflict:
            return  # Another node began at the same time.

    def add_draft(self, person: Person, content: Content, *, title: str, based_on: int, now: datetime) -> TableVersion:
        """Store a new draft. Raises ``Forbidden`` where the person may not edit, or changes what is not theirs."""
        person = person.acting(Right.EDIT)
        require_short_text(title)
        self.require_scope(person, self.content(based_on), content)
        titled = title.strip() or f"{now:%Y-%m-%d}"
        version = new_version(content, title=titled, person=person, based_on=based_on, now=now)
        counted = {"content_version": content.version, self._versions.kept.column: len(content)}
        audit = self._audited(person, "draft", 0, now, text=title, **counted)
        return self._versions.add(version, self.rows_of(content), audit=audit)

    def put_content(
        self, number: int, content: Content, person: Person, *, revision: int, now: datetime, text: str = ""
    ) -> TableVersion:
        """Replace a draft's content; ``revision`` is the one that the change was made on.

        Raises ``Forbidden`` (right, scope), ``Conflict`` (no draft, or changed meanwhile).
        """
        person = person.acting(Right.EDIT)
        require_short_text(text)
        version, before = self.version(number), self.content(number)
        self.require_scope(person, before, content)
        return self._store_change(version, before, content, person, revision=revision, now=now, text=text)

    def rebase(
        self, version: TableVersion, content: Content, person: Person, *, onto: int, revision: int, now: datetime
    ) -> TableVersion:
        """Put in a draft's place what it comes to together with the content of ``onto``. Raises as :meth:`put_content`."""
        person = person.acting(Right.EDIT)
        self.require_scope(person, self.content(onto), content)
        before, rebased = self.content(version.number), replace(version, based_on=onto)
        return self._store_change(rebased, before, content, person, revision=revision, now=now, text=f"onto {onto}")

    @abstractmethod
    def refresh(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Put a draft's changes onto what is active now; raise ``Conflict`` where both changed one entry."""

    def discard(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Give up a draft; it is kept for the record."""
        person = person.acting(Right.EDIT)
        version = self.version(number)
        self.require_scope(person, self.base_of(version, now), self.content(number))
        settled = replace(version, state=VersionState.DISCARDED, changed_by=person.name, changed_at=now)
        return self._versions.settle(settled, expected=revision, audit=self._audited(person, "discard", number, now))

    def approve(self, number: int, person: Person, *, revision: int, now: datetime, text: str = "") -> TableVersion:
        """Approve a draft at exactly this revision; it is immutable from then on.

        Raises:
            Forbidden: the person may not approve, changed the draft, or has no say over some of its changes.
            Invalid: the check finds errors (member ``findings``), or warnings and ``text`` is empty (``word-needed``).
            Conflict: no draft, changed meanwhile, or another version became active since it was made (``outdated``).
        """
        person = person.acting(Right.APPROVE)
        require_short_text(text)
        version = self.version(number)
        content, base = self.content(number), self.base_of(version, now)
        if self.takes_two(base, content):
            require_another(self._store, person, version.editors, self._versions.kept.named(number), now=now)
        self._require_base(version, now)
        self.require_scope(person, base, content)
        warnings = self.require_fitness(content, person, word=text, now=now)
        approved = replace(
            version, state=VersionState.APPROVED, approved_by=person.name, approved_at=now, approval_text=text.strip()
        )
        said = {"text": text, "content_version": version.content_version, "warnings": warnings}
        audit = self._audited(person, "approve", number, now, **said)
        return self._versions.settle(approved, expected=revision, audit=audit)

    def activate(
        self, number: int, person: Person, *, now: datetime, at: datetime | None = None, text: str = ""
    ) -> Activation:
        """Activate an approved version now, or at a later moment.

        Raises:
            Forbidden: the person may not approve, or has no say over some of its changes.
            Invalid: not approved, a moment in the past, or the check finds errors as things are now.
            Conflict: another version became active since it was made, or another activation is still to come.
        """
        person = person.acting(Right.APPROVE)
        require_short_text(text)
        version, since = self.version(number), now if at is None else at
        if version.state is not VersionState.APPROVED:
            raise not_approved(self._versions.kept.named(number))
        if since < now:
            raise Invalid(Text("Der Zeitpunkt liegt in der Vergangenheit.", "The moment lies in the past."))
        self._require_base(version, now)
        if self._pending(now):
            raise _pending_first()
        content = self.content(number)
        self.require_scope(person, self.at(now), content)
        self.require_fitness(content, person, word="-", now=now)
        activation = new_activation(number, person, now=now, since=since, reason=text.strip())
        return self._begin(activation, person, "activate", now)

    def rollback(self, person: Person, *, now: datetime, text: str, number: int | None = None) -> Activation:
        """Bring back the version that was active before, or an earlier one that was; at once, with a reason.

        One person suffices, for two have approved that version once. Activations still to come are cancelled.
        It works, too, where the activation that holds cannot be read: whoever is bound to no area names a version then.
        Raises ``Forbidden`` (right, scope), ``Invalid`` (no reason), ``NotFound`` (nothing to go back to).
        """
        person = person.acting(Right.APPROVE)
        require_short_text(text)
        if not text.strip():
            raise word_needed(Text("Eine Rücknahme", "A rollback"))
        target = self._earlier(number, now)
        wanted = self.content(target)
        if person.is_bound:
            self.require_scope(person, self.at(now), wanted)
        for coming in self._pending(now):
            self.cancel(coming.seq, person, now=now)
        activation = new_activation(target, person, now=now, since=now, reason=text.strip())
        return self._begin(activation, person, "rollback", now)

    def cancel(self, seq: int, person: Person, *, now: datetime) -> None:
        """Cancel an activation that is still to come."""
        person = person.acting(Right.APPROVE)
        coming = next((each for each in self._pending(now) if each.seq == seq), None)
        if coming is not None:
            self.require_scope(person, self.at(now), self.content(coming.number))
        number = coming.number if coming is not None else 0
        self._versions.cancel(seq, now, audit=self._audited(person, "cancel", number, now, activation=seq))

    def _begin(self, activation: Activation, person: Person, action: str, now: datetime) -> Activation:
        try:
            before: dict[str, Any] = {"number": self.base(now)}
        except UnreadableRow:
            before = {"number": None}
        since = activation.since.isoformat()
        audit = self._audited(person, action, activation.number, now, text=activation.reason, since=since)
        begun = self._versions.activate(activation, audit=replace(audit, before=before))
        self._current = None
        return begun

    def _store_change(
        self,
        version: TableVersion,
        before: Content,
        after: Content,
        person: Person,
        *,
        revision: int,
        now: datetime,
        text: str,
    ) -> TableVersion:
        changed = replace(
            version,
            revision=revision + 1,
            content_version=after.version,
            size=len(after),
            editors=tuple(sorted({*version.editors, person.name})),
            changed_by=person.name,
            changed_at=now,
        )
        audit = self._audited(person, "change", version.number, now, text=text, content_version=after.version)
        change = {**audit.after, **self.delta(before, after)}
        audit = replace(audit, before={"content_version": before.version}, after=change)
        return self._versions.change(changed, self.rows_of(after), expected=revision, audit=audit)

    def _audited(self, person: Person, action: str, number: int, now: datetime, **after: object) -> AuditEntry:
        """Return what the audit log says of a person's step; empty words are left out."""
        kept = self._versions.kept
        said = {name: value for name, value in after.items() if value != ""}
        return AuditEntry(
            at=now,
            actor=person.name,
            action=f"{kept.action}.{action}",
            target=f"{kept.subject}:{number}",
            after=said,
        )

    def base_of(self, version: TableVersion, now: datetime) -> Content:
        """Return what a draft was made from."""
        return self.at(now) if version.based_on is None else self.content(version.based_on)

    def _require_base(self, version: TableVersion, now: datetime) -> None:
        """Refuse what would silently undo what others activated meanwhile."""
        active, named = self.base(now), self._versions.kept.named
        if version.based_on != active:
            mine, theirs = named(version.number), named(version.based_on or NOTHING)
            raise Conflict(
                Text(
                    f"{mine.de} entstand aus {theirs.de}, aktiv ist inzwischen {active}. "
                    "Aktualisieren Sie den Entwurf (refresh), oder nehmen Sie zurück (rollback).",
                    f"{mine.en} was made from {theirs.en}, but {active} is active by now. "
                    "Refresh the draft, or roll back.",
                ),
                slug="outdated",
            )

    def _pending(self, now: datetime) -> list[Activation]:
        coming = takewhile(lambda each: each.since > now, self._all_history())
        return [each for each in coming if each.cancelled_at is None]

    def _all_history(self) -> Iterator[Activation]:
        """Return every activation that can be read, the latest beginning first."""
        return all_items(lambda start: self.history(offset=start, limit=_PAGE))

    def _earlier(self, number: int | None, now: datetime) -> int:
        if number is None:
            found = self._versions.previous(now)
        else:
            past = (each for each in self._all_history() if each.since <= now and each.cancelled_at is None)
            found = next((each for each in past if each.number == number), None)
        if found is None:
            raise not_found(self._versions.kept.missing, "" if number is None else str(number))
        return found.number


class EntryBook(VersionBook[Content], Generic[Content, Entry]):
    """A book of a content whose entries are put into a draft one by one."""

    @abstractmethod
    def add(
        self, number: int, entries: Iterable[Entry], /, person: Person, *, revision: int, now: datetime
    ) -> TableVersion:
        """Put entries into a draft, in the place of those with their keys. Raises as :meth:`put_content`."""

    def compare(self, number: int, *, now: datetime, with_number: int | None = None) -> list[Text]:
        """Return what differs from another version, from what is published unless told otherwise, in words."""
        other = self.at(now) if with_number is None else self.content(with_number)
        return self._compared(other, self.content(number))

    @abstractmethod
    def _compared(self, before: Content, after: Content) -> list[Text]:
        """Return what differs from one content to another, in words."""


def new_version(
    content: Versionable, *, title: str, person: Person, based_on: int | None, now: datetime
) -> TableVersion:
    """Return a new draft by a person; the store gives it its number."""
    return TableVersion(
        number=0,
        state=VersionState.DRAFT,
        revision=1,
        title=title,
        content_version=content.version,
        size=len(content),
        based_on=based_on,
        editors=(person.name,),
        created_by=person.name,
        created_at=now,
        changed_by=person.name,
        changed_at=now,
    )


def new_activation(number: int, person: Person, *, now: datetime, since: datetime, reason: str) -> Activation:
    """Return the activation of a version by a person; the store gives it its place."""
    return Activation(seq=0, number=number, since=since, made_by=person.name, made_at=now, reason=reason)


def changed_entries(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> dict[str, list[str]]:
    """Return the keys of entries that were ``added``, ``removed`` and ``changed``, for the audit log."""
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return {
        "added": [key for key in keys if key not in before],
        "removed": [key for key in keys if key not in after],
        "changed": [key for key in keys if key in before and key in after],
    }


def merged_entries(
    base: Mapping[str, Entry], mine: Mapping[str, Entry], theirs: Mapping[str, Entry], named: Callable[[str], Text]
) -> list[Entry]:
    """Return ``theirs`` with what ``mine`` changed of ``base``; each by its key, ``named`` by it to people.

    Raises ``Conflict`` where both changed one entry, and not alike.
    """
    result = dict(theirs)
    for key in sorted({*base, *mine}):
        wanted = mine.get(key)
        if wanted == base.get(key):
            continue
        if theirs.get(key) not in (base.get(key), wanted):
            raise overtaken(named(key), Text("Gleichen Sie beide von Hand an.", "Bring both together by hand."))
        if wanted is None:
            result.pop(key, None)
        else:
            result[key] = wanted
    return list(result.values())


def word_needed(what: Text, **members: Any) -> Invalid:
    """Return the refusal of a step that needs a reason from who takes it; ``what`` begins the sentence."""
    return Invalid(
        Text(
            f"{what.de} braucht einen Grund. Schreiben Sie dazu, warum das in Ordnung ist.",
            f"{what.en} needs a reason. Write why that is all right.",
        ),
        slug="word-needed",
        **members,
    )


def require_short_text(text: str) -> None:
    """Raise ``Invalid`` for a text that is too long."""
    if len(text) > _MAX_TEXT:
        raise Invalid(Text(f"Höchstens {_MAX_TEXT} Zeichen.", f"At most {_MAX_TEXT} characters."))


def require_another(store: Store, person: Person, editors: Collection[str], named: Text, *, now: datetime) -> None:
    """Require of somebody who approves that they are nobody who edited, by whatever account; ``named`` is what they approve.

    Raises:
        Forbidden: they are, or nobody can tell.
    """
    reason = one_human(store, person.name, editors, now=now)
    if reason is not None:
        raise _same_person(named, reason)


def _same_person(named: Text, reason: OneHuman) -> Forbidden:
    """Return the refusal of somebody who approves their own work, or may do so under another account."""
    if reason is OneHuman.INVITED:
        why = Text(
            f"Ihr Konto und das, mit dem bearbeitet wurde ({named.de}), zählen noch als eine Person: Eines hat das andere "
            f"eingeladen oder dessen zweiten Faktor zurückgesetzt, oder beide kommen aus derselben Hand. {HOW_TO_VOUCH.de}",
            f"Your account and the one that edited ({named.en}) still count as one person: one invited the other or reset "
            f"its second factor, or both come from the same hands. {HOW_TO_VOUCH.en}",
        )
    elif reason is OneHuman.SAME:
        why = Text(
            f"{named.de} haben Sie selbst bearbeitet. Freigeben muss jemand anderes.",
            f"You have edited {named.en} yourself. Somebody else has to approve it.",
        )
    else:
        why = Text(
            f"Ihr Konto und das, mit dem bearbeitet wurde ({named.de}), können derselben Person gehören: Eines ist "
            "lokal, das andere vom Anmeldedienst. Freigeben muss, wer auf dieselbe Art angemeldet ist "
            "(„hub accounts link“ verbindet ein lokales Konto mit dem Anmeldedienst).",
            f"Your account and the one that edited ({named.en}) may belong to one person: one is local, the other the "
            "OpenID Connect provider's. Somebody has to approve who logs in the same way ('hub accounts link' binds a "
            "local account to the provider).",
        )
    return needs_second_person(Forbidden, why)


def _pending_first() -> Conflict:
    """Return the refusal of a second activation to come."""
    return state_forbids(
        Text("Eine andere Aktivierung steht noch aus.", "Another activation is still to come."),
        Text("Sagen Sie sie erst ab, oder warten Sie.", "Cancel it first, or wait."),
    )
