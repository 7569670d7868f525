"""One public service as a value, and how files write it.

What the law leaves to municipalities is not stated as if it were one for all: a fee says who sets it, a duration what is usual.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from hub.errors import Invalid, Text
from hub.model import LEIKA_PREFIX, canonical_service
from hub.scanning.kinds import KNOWN
from hub.services.deadlines import DeadlineRule, DeadlineUnit

_LEIKA = re.compile(r"99[0-9]{12}")
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,31}(:[a-z0-9._-]{1,100}){1,10}")
#: A section of a statute, or a statute alone: ``§ 17 BMG``, ``Art. 6 GG``, ``PAuswGebV``, ``§ 24 SGB VIII``.
_LAW = re.compile(r"(?:(?:§|Art\.) [0-9]{1,4}[a-z]? )?[A-ZÄÖÜ][A-Za-zÄÖÜäöüß]{1,30}(?: [IVX]{1,5})?")
_NAME = re.compile(r"[a-z][a-z-]{0,39}")
_AMOUNT = re.compile(r"[0-9]{1,6}\.[0-9]{2}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
#: Characters of one text, and entries of one list.
_LONGEST, _MOST = 1_000, 60
#: What is undecided for longer than the watch looks back is not found any more.
_MOST_WEEKS = 50
_Choice = TypeVar("_Choice", bound=StrEnum)


class Responsible(StrEnum):
    """Who does a service, by kind of authority; :attr:`label` is the name for people."""

    MUNICIPALITY = "municipality"
    DISTRICT = "district"
    INDEPENDENT_CITY = "independent-city"
    STATE = "state"
    FEDERAL = "federal"

    @property
    def label(self) -> Text:
        """The kind in words."""
        return _LABELS[self]


_LABELS: Mapping[Responsible, Text] = {
    Responsible.MUNICIPALITY: Text("Gemeinde", "Municipality"),
    Responsible.DISTRICT: Text("Landkreis", "District"),
    Responsible.INDEPENDENT_CITY: Text("Kreisfreie Stadt", "Independent city"),
    Responsible.STATE: Text("Land", "State"),
    Responsible.FEDERAL: Text("Bund", "Federation"),
}


class ServiceWay(StrEnum):
    """How a service can be had, in general; whether online at this hub is for the routing table to say."""

    IN_PERSON = "in-person"
    POST = "post"
    ONLINE = "online"


class Assurance(StrEnum):
    """How sure it is who somebody is (Regulation (EU) No 910/2014, Article 8), the least first."""

    LOW = "low"
    SUBSTANTIAL = "substantial"
    HIGH = "high"

    def reaches(self, demanded: Assurance) -> bool:
        """Tell whether this is as much as is demanded, or more."""
        order = list(Assurance)
        return order.index(self) >= order.index(demanded)


class FeeKind(StrEnum):
    """How a fee is set."""

    FREE = "free"
    #: One amount everywhere.
    FIXED = "fixed"
    #: Between two amounts.
    RANGE = "range"
    #: Each municipality or district sets its own.
    MUNICIPAL = "municipal"
    #: A schedule of the state or the federation says it.
    RULE = "rule"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fee:
    """What a service costs: amounts in euros where the kind has some, and the legal basis."""

    kind: FeeKind
    text: Text
    least: Decimal | None = None
    most: Decimal | None = None
    law: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicService:
    """One service; what nobody wrote down yet is None or empty.

    ``key`` is its URN; ``synonyms`` are citizens' words by language. ``withdraw`` and ``correct`` say whether an application
    can be taken back through the hub, or replaced by another one; ``assurance`` how sure it has to be who applies online, None
    where nobody has to log in. ``facts`` says where what is stated comes from, and
    ``reviewed`` when somebody last looked.
    """

    key: str
    official: str
    source: str = ""
    topic: Text | None = None
    name: Text
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    situation: Text | None = None
    summary: Text | None = None
    needs: tuple[Text, ...] = ()
    fee: Fee | None = None
    duration: Text | None = None
    law: tuple[str, ...] = ()
    responsible: tuple[Responsible, ...] = ()
    authority: Text | None = None
    ways: tuple[ServiceWay, ...] = ()
    withdraw: bool = False
    correct: bool = False
    assurance: Assurance | None = None
    #: Media types of attachments that are taken, by their content; empty: those of the hub's settings.
    kinds: tuple[str, ...] = ()
    #: From the receipt on, by the law that each names; none: nobody wrote any down.
    deadlines: tuple[DeadlineRule, ...] = ()
    #: The service that an authority hands this one on for, where it comes to that: its URN, empty for none.
    onward: str = ""
    #: Weeks after which people are told of what was taken over and nobody decided; None: they are not told.
    decision_weeks: int | None = None
    reviewed: date | None = None
    facts: Text | None = None

    def as_document(self) -> dict[str, Any]:
        """Return the service as files write it and the store keeps it; :func:`service_from` reads it back to the same value."""
        said: dict[str, Any] = {
            "key": self.key.removeprefix(LEIKA_PREFIX),
            "official": self.official,
            "source": self.source,
            "topic": _pair(self.topic),
            "name": _pair(self.name),
            "synonyms": {language: list(words) for language, words in sorted(self.synonyms.items())},
            "situation": _pair(self.situation),
            "summary": _pair(self.summary),
            "needs": [_pair(each) for each in self.needs],
            "fee": _fee_document(self.fee),
            "duration": _pair(self.duration),
            "law": list(self.law),
            "responsible": [each.value for each in self.responsible],
            "authority": _pair(self.authority),
            "ways": [each.value for each in self.ways],
            "withdraw": self.withdraw or None,
            "correct": self.correct or None,
            "assurance": None if self.assurance is None else self.assurance.value,
            "kinds": list(self.kinds),
            "deadlines": [_deadline_document(each) for each in self.deadlines],
            "onward": self.onward.removeprefix(LEIKA_PREFIX),
            "decision_weeks": self.decision_weeks,
            "reviewed": None if self.reviewed is None else self.reviewed.isoformat(),
            "facts": _pair(self.facts),
        }
        return {name: value for name, value in said.items() if value not in (None, "", [], {})}


def service_from(document: Any, *, topic: Text | None = None, facts: Text | None = None) -> PublicService:
    """Read one service; ``topic`` and ``facts`` are those of its file. Raises :class:`Invalid`, which names the place."""
    take = Members(document, "")
    key = _key(take.text("key"))
    take.where = f"{key.removeprefix(LEIKA_PREFIX)}: "
    service = PublicService(
        key=key,
        official=take.text("official"),
        source=take.text("source", optional=True),
        topic=take.pair("topic") or topic,
        name=take.pair("name") or _missing(take.where, "name"),
        synonyms=_synonyms(take.member("synonyms"), take.where),
        situation=take.pair("situation"),
        summary=take.pair("summary"),
        needs=tuple(_pair_from(each, f"{take.where}needs") for each in take.several("needs")),
        fee=_fee(take.member("fee"), take.where),
        duration=take.pair("duration"),
        law=_laws(take.several("law"), take.where),
        responsible=tuple(take.choice(Responsible, each, "responsible") for each in take.several("responsible")),
        authority=take.pair("authority"),
        ways=tuple(take.choice(ServiceWay, each, "ways") for each in take.several("ways")),
        withdraw=take.yes("withdraw"),
        correct=take.yes("correct"),
        assurance=_assurance(take),
        kinds=_kinds(take.several("kinds"), take.where),
        deadlines=_deadlines(take.several("deadlines"), take.where),
        onward=_onward(take),
        decision_weeks=_weeks(take),
        reviewed=_day(take.member("reviewed"), take.where),
        facts=take.pair("facts") or facts,
    )
    take.finish()
    return service


def _weeks(take: Members) -> int | None:
    said = take.member("decision_weeks")
    if said is not None and (not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= _MOST_WEEKS):
        raise wrong(f"{take.where}decision_weeks", f"1 bis {_MOST_WEEKS} Wochen", f"1 to {_MOST_WEEKS} weeks")
    return said


def _onward(take: Members) -> str:
    said = take.text("onward", optional=True)
    return _key(said) if said else ""


def _deadlines(listed: list[Any], where: str) -> tuple[DeadlineRule, ...]:
    found = tuple(_deadline(each, where) for each in listed)
    if len({each.name for each in found}) != len(found):
        raise wrong(f"{where}deadlines", "zwei Fristen heißen gleich", "two deadlines have one name")
    return found


def _deadline(document: Any, where: str) -> DeadlineRule:
    take = Members(document, f"{where}deadlines: ")
    name, unit, amount = (
        take.text("name"),
        take.choice(DeadlineUnit, take.member("unit"), "unit"),
        take.member("amount"),
    )
    if not _NAME.fullmatch(name):
        raise wrong(f"{take.where}name", "ein Name aus a-z und -", "a name of a-z and -")
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise wrong(f"{take.where}amount", "eine ganze Zahl", "a whole number")
    rule = DeadlineRule(
        name=name,
        title=take.pair("title") or _missing(take.where, "title"),
        amount=amount,
        unit=unit,
        law=_laws(take.several("law"), take.where),
    )
    take.finish()
    return rule


def _deadline_document(rule: DeadlineRule) -> dict[str, Any]:
    said = {"name": rule.name, "title": _pair(rule.title), "amount": rule.amount, "unit": rule.unit.value}
    return said | ({"law": list(rule.law)} if rule.law else {})


def _assurance(take: Members) -> Assurance | None:
    said = take.member("assurance")
    return None if said is None else take.choice(Assurance, said, "assurance")


class Members:
    """Takes the members of a mapping by name, each once, and objects to what is left over."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, dict):
            raise wrong(where, "es fehlen Schlüssel und Werte", "keys and values are missing")
        self._rest = dict(document)
        self.where = where

    def member(self, name: str) -> Any:
        """Return a member, None where it is missing."""
        return self._rest.pop(name, None)

    def text(self, name: str, *, optional: bool = False) -> str:
        """Return a text."""
        found = self.member(name)
        if found is None and optional:
            return ""
        return _line(found, f"{self.where}{name}")

    def pair(self, name: str) -> Text | None:
        """Return a text in both languages, None where it is missing."""
        found = self.member(name)
        return None if found is None else _pair_from(found, f"{self.where}{name}")

    def several(self, name: str) -> list[Any]:
        """Return a list, an empty one where it is missing."""
        found = self.member(name)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > _MOST:
            raise wrong(
                f"{self.where}{name}", f"hier gehört eine Liste bis {_MOST} hin", f"a list up to {_MOST} belongs here"
            )
        return found

    def yes(self, name: str) -> bool:
        """Return whether it says true; false where it is missing."""
        found = self.member(name)
        if found is not None and not isinstance(found, bool):
            raise wrong(f"{self.where}{name}", "hier gehört true oder false hin", "true or false belongs here")
        return found is True

    def choice(self, kind: type[_Choice], given: Any, name: str) -> _Choice:
        """Return one of an enum's values."""
        try:
            return kind(given)
        except ValueError as exc:
            known = ", ".join(kind)
            raise wrong(f"{self.where}{name}", f"bekannt sind {known}", f"known are {known}") from exc

    def finish(self) -> None:
        """Refuse what is left over."""
        if self._rest:
            names = ", ".join(sorted(str(name)[:50] for name in self._rest)[:5])
            raise wrong(self.where, f"unbekannte Schlüssel: {names}", f"unknown keys: {names}")


def wrong(where: str, german: str, english: str) -> Invalid:
    """Return the refusal of one place of a file of services."""
    place = where.rstrip(": ")
    said = f"{place}: " if place else ""
    return Invalid(Text(f"{said}{german}.", f"{said}{english}."))


def _missing(where: str, name: str) -> Text:
    raise wrong(f"{where}{name}", "die Angabe fehlt", "it is missing")


def _key(text: str) -> str:
    key = LEIKA_PREFIX + text if _LEIKA.fullmatch(text) else canonical_service(text)
    leika = key.removeprefix(LEIKA_PREFIX)
    if not _URN.fullmatch(key) or (key != leika and not _LEIKA.fullmatch(leika)):
        raise wrong(
            "key", "ein LeiKa-Schlüssel mit 14 Ziffern (99…) oder eine URN", "a LeiKa key of 14 digits (99…) or a URN"
        )
    return key


def _line(found: Any, where: str) -> str:
    if not isinstance(found, str) or not found.strip() or len(found) > _LONGEST or _UNPRINTABLE.search(found):
        raise wrong(
            where,
            f"hier gehört ein Text in einer Zeile hin, höchstens {_LONGEST} Zeichen",
            f"a text on one line belongs here, at most {_LONGEST} characters",
        )
    return found.strip()


def _pair_from(found: Any, where: str) -> Text:
    take = Members(found, f"{where} ")
    pair = Text(take.text("de"), take.text("en"))
    take.finish()
    return pair


def _pair(text: Text | None) -> dict[str, str] | None:
    return None if text is None else {"de": text.de, "en": text.en}


def _synonyms(found: Any, where: str) -> dict[str, tuple[str, ...]]:
    if found is None:
        return {}
    take = Members(found, f"{where}synonyms ")
    said = {language: tuple(_line(each, take.where) for each in take.several(language)) for language in ("de", "en")}
    take.finish()
    return {language: words for language, words in said.items() if words}


def _kinds(found: Iterable[Any], where: str) -> tuple[str, ...]:
    kinds = tuple(_line(each, f"{where}kinds") for each in found)
    if not KNOWN.issuperset(kinds):
        known = ", ".join(sorted(KNOWN))
        raise wrong(f"{where}kinds", f"erkannt werden {known}", f"what can be told is {known}")
    return kinds


def _laws(found: Iterable[Any], where: str) -> tuple[str, ...]:
    laws = tuple(_line(each, f"{where}law") for each in found)
    for each in laws:
        if not _LAW.fullmatch(each):
            raise wrong(f"{where}law", "erwartet wird zum Beispiel § 17 BMG", "expected is § 17 BMG, for example")
    return laws


def _fee(found: Any, where: str) -> Fee | None:
    if found is None:
        return None
    take = Members(found, f"{where}fee ")
    fee = Fee(
        kind=take.choice(FeeKind, take.member("kind"), "kind"),
        text=Text(take.text("de"), take.text("en")),
        least=_amount(take.member("from"), take.where),
        most=_amount(take.member("to"), take.where),
        law=_laws(take.several("law"), take.where),
    )
    take.finish()
    amounts = fee.least is not None and fee.most is not None and fee.least <= fee.most
    if amounts != (fee.kind in (FeeKind.FIXED, FeeKind.RANGE)):
        raise wrong(
            take.where,
            "from und to gehören zu fixed und range, und nur dazu",
            "from and to belong to fixed and range, and to them alone",
        )
    return fee


def _amount(found: Any, where: str) -> Decimal | None:
    if found is None:
        return None
    if not isinstance(found, str) or not _AMOUNT.fullmatch(found):
        raise wrong(where, 'ein Betrag in Euro als Text: "22.80"', 'an amount in euros as a text: "22.80"')
    return Decimal(found)


def _fee_document(fee: Fee | None) -> dict[str, Any] | None:
    if fee is None:
        return None
    amounts = {"from": fee.least, "to": fee.most}
    said = {name: str(value) for name, value in amounts.items() if value is not None}
    laws = {"law": list(fee.law)} if fee.law else {}
    return {"kind": fee.kind.value, **said, "de": fee.text.de, "en": fee.text.en, **laws}


def _day(found: Any, where: str) -> date | None:
    if found is None or type(found) is date:
        return found
    try:
        return date.fromisoformat(str(found))
    except ValueError as exc:
        raise wrong(f"{where}reviewed", "ein Tag: 2026-11-30", "a day: 2026-11-30") from exc
