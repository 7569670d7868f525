"""What a row of the table asks for, judged by those who own each part of it, and how it differs from what there is.

A plan is what is kept of a row until a second person releases it: names, options, public keys. No judgement is made here that
another owner makes: keys by the key policy, adapters by their settings, services by offers, rules by the check of the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from hub.administration.adapters import AdapterApproval
from hub.administration.keys import judged
from hub.administration.offers import Offers
from hub.administration.onboarding_sheet import CellFault, Sheet, SheetRow
from hub.administration.onboarding_templates import Template, Templates
from hub.areas import Gazetteer
from hub.areas.area import Place
from hub.crypto import Jwk, KeyPolicy, thumbprint
from hub.crypto.key_file import is_request, read_public, read_request
from hub.errors import Invalid, Refused, Text
from hub.identity import Person, Right
from hub.model import Adapter, Destination, OfferedService
from hub.model.adapter import OptionRole, declared
from hub.store import StoredKey

_LONGEST_NAME = 200
#: Columns whose cell names a file with a key, and what the key is for.
KEYS = {"encryption_key": "encryption", "signing_key": "signing"}
_OPERATIONS = {"encryption": "wrapKey", "signing": "verify"}
_EMAIL = re.compile(r"[^@\s<>\"',;]{1,64}@[A-Za-z0-9\u00a1-\uffff.-]{1,190}\.[A-Za-z0-9\u00a1-\uffff-]{2,63}")
#: Bytes of one file with a key or a password.
LARGEST_FILE = 128 * 1024
_SHORTENED = (", Landeshauptstadt", ", Stadt", ", Universitätsstadt", ", Brüder-Grimm-Stadt")

#: Returns a file that a cell names; raises ``Refused`` where there is none, or it may not be read.
ReadFile = Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is wanted for one authority. ``keys`` are public JWKs by use; ``requests`` those that have no certificate yet."""

    ars: str
    name: str
    contact: str
    template: str
    adapter: str
    options: Mapping[str, Any]
    keys: Mapping[str, Mapping[str, Any]] = field(repr=False)
    requests: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Plan:
        """Read what :meth:`as_json` gave."""
        return cls(**{name: document[name] for name in cls.__slots__})

    @property
    def is_certified(self) -> bool:
        """Whether both keys have a certificate."""
        return set(self.keys) == set(_OPERATIONS)

    @property
    def placeholder(self) -> UUID:
        """What stands for the destination in a check before there is one."""
        return uuid5(NAMESPACE_URL, f"onboarding:{self.ars}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What of an authority a row changes; values are shown where they are no secret."""

    part: Text
    before: str
    after: str

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {"part": {"de": self.part.de, "en": self.part.en}, "before": self.before, "after": self.after}


@dataclass(frozen=True, kw_only=True, slots=True)
class Judges:
    """Who says whether each part of a row can be used."""

    gazetteer: Gazetteer
    templates: Templates
    ways: AdapterApproval
    adapters: Mapping[str, type[Adapter]]
    offers: Offers
    policy: KeyPolicy
    #: Certifies a key that is only asked for (by whose name), in development and where is tested; None in production.
    certify: Callable[[Jwk, str], dict[str, Any]] | None
    now: datetime

    def plans(
        self, sheet: Sheet, read: ReadFile, person: Person
    ) -> tuple[list[tuple[SheetRow, Plan]], list[CellFault]]:
        """Return the plans of all rows that can be used, and the faults of the others: all faults of a row at once."""
        found: list[tuple[SheetRow, Plan]] = []
        faults: list[CellFault] = []
        seen: dict[str, int] = {}
        for row in sheet.rows:
            reading = _Reading(self, row, read, person)
            plan = reading.plan()
            said = [sheet.fault(row, column, text) for column, text in reading.faults]
            if plan is not None and plan.ars in seen:
                line = seen[plan.ars]
                said.append(
                    sheet.fault(row, "ars", Text(f"Steht schon in Zeile {line}.", f"Stands in row {line} already."))
                )
            faults += said
            if plan is not None and not said:
                found.append((row, plan))
                seen[plan.ars] = row.number
        return found, faults

    def offered(self, plan: Plan) -> tuple[OfferedService, ...]:
        """Return what the destination offers by its template; a service without a schema by the form for everything."""
        template = self.template(plan)
        return tuple(
            sorted((self._offer(urn, plan, template) for urn in template.services), key=lambda each: each.identifier)
        )

    def template(self, plan: Plan) -> Template:
        """Return a plan's template; raise ``Invalid`` where there is none any more."""
        found = self.templates.get(plan.template)
        if found is None:
            raise Invalid(
                Text(
                    f"Die Vorlage {plan.template} gibt es nicht mehr.",
                    f"The template {plan.template} is there no more.",
                )
            )
        return found

    def place(self, plan: Plan) -> Place:
        """Return a plan's area; raise ``Invalid`` where there is none any more."""
        found = self.gazetteer.find(plan.ars)
        if found is None:
            raise Invalid(Text(f"Das Gebiet {plan.ars} gibt es nicht.", f"There is no area {plan.ars}."))
        return found

    def certified(self, plan: Plan) -> Plan:
        """Return a plan with certificates for what only asks for one, where this hub may give any; else as it is."""
        if self.certify is None or plan.is_certified:
            return plan
        made = {use: self.certify(jwk, plan.name) for use, jwk in plan.requests.items()}
        passed = {use: judged(jwk, use=_OPERATIONS[use], now=self.now, policy=self.policy) for use, jwk in made.items()}
        return replace(plan, keys={**plan.keys, **passed})

    def _offer(self, urn: str, plan: Plan, template: Template) -> OfferedService:
        region = f"DE{plan.ars}"
        try:
            return self.offers.offer(urn, [region], [])
        except Invalid as error:
            if error.slug != "schema-missing":
                raise
            return self.offers.offer(urn, [region], [(template.form_for_everything, None)])


class _Reading:
    """One row being read; ``faults`` are (column, text)."""

    def __init__(self, judges: Judges, row: SheetRow, read: ReadFile, person: Person) -> None:
        self._judges = judges
        self._row = row
        self._read = read
        self._person = person
        self.faults: list[tuple[str, Text]] = []

    def plan(self) -> Plan | None:
        """Return the plan; None where the row has faults."""
        place = self._place()
        name, contact = self._name(), self._contact()
        template = self._template(place)
        adapter, options = self._way()
        keys, requests = self._keys()
        if self.faults or place is None or template is None:
            return None
        return Plan(
            ars=place.area.ars,
            name=name,
            contact=contact,
            template=template.template_id,
            adapter=adapter,
            options=options,
            keys=keys,
            requests=requests,
        )

    def _fault(self, column: str, de: str, en: str) -> None:
        self.faults.append((column, Text(de, en)))

    def _name(self) -> str:
        name = self._row["name"]
        if not name or len(name) > _LONGEST_NAME:
            self._fault(
                "name", f"Ein Name fehlt, oder er ist länger als {_LONGEST_NAME} Zeichen.", "No name, or too long."
            )
        return name

    def _contact(self) -> str:
        contact = self._row["contact"]
        if not _EMAIL.fullmatch(contact):
            self._fault("contact", "Das ist keine E-Mail-Adresse.", "This is no e-mail address.")
        return contact

    def _place(self) -> Place | None:
        ars = self._row["ars"].replace(" ", "").removeprefix("DE")
        found = self._judges.gazetteer.find(ars) if ars.isascii() and ars.isdigit() else None
        if (
            found is None
            or not found.exists(self._judges.now.date())
            or not (found.is_municipality or found.is_district)
        ):
            padded = self._judges.gazetteer.find(f"0{ars}")
            if padded is not None and found is None:
                self._fault(
                    "ars",
                    f"Die führende Null fehlt: Die Tabellenkalkulation hat sie gestrichen. Schreiben Sie DE0{ars}.",
                    f"The leading zero is missing: the spreadsheet dropped it. Write DE0{ars}.",
                )
            else:
                self._fault(
                    "ars",
                    "Das ist kein Regionalschlüssel einer Gemeinde oder eines Landkreises, die es heute gibt.",
                    "This is no key of a municipality or a district that is there today.",
                )
            return None
        if not self._may(found):
            self._fault(
                "ars",
                "Das Gebiet liegt außerhalb Ihrer Zuständigkeit, oder Ihrem Konto fehlt die Rolle operator oder editor.",
                "The area lies outside your scope, or your account lacks the role operator or editor.",
            )
        return found

    def _may(self, place: Place) -> bool:
        ars = place.area.ars
        return all(self._person.reach(right).covers(ars) for right in (Right.OPERATE, Right.EDIT))

    def _template(self, place: Place | None) -> Template | None:
        said, templates = self._row["template"], self._judges.templates
        if place is None:
            return None
        found = templates.get(said) if said else templates.for_place(place)
        if found is None or not found.fits(place):
            fitting = ", ".join(each.template_id for each in templates if each.fits(place)) or "–"
            self._fault(
                "template",
                f"Diese Vorlage gibt es nicht, oder sie ist nicht für dieses Gebiet. Es passen: {fitting}.",
                f"There is no such template, or it is not for this area. Fitting: {fitting}.",
            )
        return found

    def _way(self) -> tuple[str, dict[str, Any]]:
        adapter, address = self._row["adapter"] or "mailbox", self._row["address"]
        kind = self._judges.adapters.get(adapter)
        if kind is None:
            known = ", ".join(sorted(self._judges.adapters))
            self._fault("adapter", f"Diesen Adapter gibt es nicht: {known}.", f"There is no such adapter: {known}.")
            return adapter, {}
        options = self._options(kind)
        if address:
            target = _address_option(kind)
            if target is None:
                self._fault("address", "Dieser Adapter hat keine Adresse.", "This adapter has no address.")
            else:
                options[target] = address
        if adapter != "mailbox" and not self._person.may_everywhere(Right.OPERATE):
            self._fault(
                "adapter",
                "Andere Wege als das Postfach richtet nur ein, wer den ganzen Hub betreibt.",
                "Other ways than the mailbox are for whoever operates the whole hub.",
            )
        try:
            return adapter, dict(self._judges.ways.wish(None, adapter, options).options)
        except Refused as error:
            self.faults.append(("address" if address else "adapter", error.detail))
            return adapter, options

    def _options(self, kind: type[Adapter]) -> dict[str, Any]:
        said = self._row["options"]
        kinds = {each.name: each.kind for each in declared(getattr(kind, "options", object))} if said else {}
        found: dict[str, Any] = {}
        for part in filter(None, (each.strip() for each in said.split("|"))):
            name, equals, value = part.partition("=")
            name = name.strip()
            if not equals or name not in kinds or name in found:
                self._fault(
                    "options",
                    f"Schreiben Sie name=wert, mit | getrennt; bekannt sind: {', '.join(kinds) or '–'}.",
                    f"Write name=value, parted by |; known are: {', '.join(kinds) or '–'}.",
                )
                return {}
            try:
                found[name] = _typed(value.strip(), kinds[name])
            except ValueError:
                self._fault("options", f"{name} hat einen falschen Wert.", f"{name} has a wrong value.")
        return found

    def _keys(self) -> tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]]]:
        keys: dict[str, Mapping[str, Any]] = {}
        requests: dict[str, Mapping[str, Any]] = {}
        password, judges = self._password(), self._judges
        for column, use in KEYS.items():
            try:
                content = self._file(column)
                if content is None:
                    continue
                if is_request(content):
                    requests[use] = read_request(content, use=use)
                else:
                    jwk = read_public(content, use=use, password=password)
                    keys[use] = judged(jwk, use=_OPERATIONS[use], now=judges.now, policy=judges.policy)
            except Refused as error:
                self.faults.append((column, error.detail))
        prints = [thumbprint(dict(each)) for each in (*keys.values(), *requests.values())]
        if len(set(prints)) < len(prints):
            self._fault(
                "signing_key",
                "Das ist derselbe Schlüssel wie zum Verschlüsseln. Nehmen Sie zwei.",
                "This is the same key as for encryption. Take two.",
            )
        return keys, requests

    def _password(self) -> bytes | None:
        if not self._row["password_file"]:
            return None
        try:
            content = self._file("password_file")
        except Refused as error:
            self.faults.append(("password_file", error.detail))
            return None
        return None if content is None else content.rstrip(b"\r\n")

    def _file(self, column: str) -> bytes | None:
        said = self._row[column]
        if not said:
            self._fault(column, "Der Name der Datei fehlt.", "The name of the file is missing.")
            return None
        content = self._read(said)
        if len(content) > LARGEST_FILE:
            size = LARGEST_FILE // 1024
            self._fault(column, f"Die Datei ist größer als {size} KiB.", f"The file is larger than {size} KiB.")
            return None
        return content


def differences(
    plan: Plan, services: Sequence[OfferedService], there: Destination, keys: Iterable[StoredKey]
) -> list[Difference]:
    """Return what a plan changes of a destination that is there."""
    usable = {each.kid: each for each in keys if each.retired_at is None}
    found = [
        (_PARTS["name"], there.name, plan.name),
        (_PARTS["contact"], str(there.contact.get("email", "")), plan.contact),
        (_PARTS["adapter"], there.adapter, plan.adapter),
        (_PARTS["options"], _named(there.adapter_config), _named(plan.options)),
    ]
    if dict(there.adapter_config) != dict(plan.options) and found[-1][1] == found[-1][2]:
        found.append((_PARTS["values"], _named(there.adapter_config), "≠"))
    current = usable.get(there.encryption_kid)
    found.append(
        (_PARTS["encryption"], there.encryption_kid, _wanted(plan, "encryption", [current] if current else []))
    )
    signing = _wanted(plan, "signing", usable.values())
    found.append((_PARTS["signing"], signing if signing in usable else "–", signing))
    if tuple(services) != tuple(there.services):
        found.append((_PARTS["services"], _listed(there.services), _listed(services)))
    return [Difference(part=part, before=before, after=after) for part, before, after in found if before != after]


def plan_differences(before: Plan, after: Plan) -> list[Difference]:
    """Return what a plan changes of one that was approved and of which nothing could be made yet."""
    pairs = [
        ("name", before.name, after.name),
        ("contact", before.contact, after.contact),
        ("template", before.template, after.template),
        ("adapter", before.adapter, after.adapter),
        ("options", _named(before.options), _named(after.options)),
        ("encryption", _kid(before, "encryption"), _kid(after, "encryption")),
        ("signing", _kid(before, "signing"), _kid(after, "signing")),
    ]
    return [Difference(part=_PARTS[part], before=old, after=new) for part, old, new in pairs if old != new]


def short_name(place: Place) -> str:
    """Return what an area is called without its titles."""
    return next((place.name.removesuffix(each) for each in _SHORTENED if place.name.endswith(each)), place.name)


def _wanted(plan: Plan, use: str, known: Iterable[StoredKey]) -> str:
    """Return the name of the key that is wanted; for one that only asks for a certificate, of the key that has got it."""
    if use in plan.keys:
        return str(plan.keys[use]["kid"])
    asked = thumbprint(plan.requests[use])
    return next((each.kid for each in known if thumbprint(each.jwk) == asked), asked)


def _kid(plan: Plan, use: str) -> str:
    return str((plan.keys.get(use) or plan.requests[use])["kid"])


def _named(options: Mapping[str, Any]) -> str:
    return ", ".join(sorted(options)) or "–"


def _listed(services: Iterable[OfferedService]) -> str:
    keys = [each.identifier.rpartition(":")[2] for each in services]
    return f"{len(keys)}: {' '.join(keys)}"[:500]


def _address_option(kind: type[Adapter]) -> str | None:
    options = getattr(kind, "options", None)
    known = () if options is None else declared(options)
    return next((each.name for each in known if each.role is OptionRole.ADDRESS and each.required), None)


def _typed(text: str, kind: type) -> Any:
    if kind is bool:
        if text not in {"true", "false", "ja", "nein"}:
            raise ValueError(text)
        return text in {"true", "ja"}
    return kind(text)


_PARTS: Mapping[str, Text] = {
    "name": Text("Name", "Name"),
    "contact": Text("Kontakt", "Contact"),
    "template": Text("Vorlage", "Template"),
    "adapter": Text("Adapter", "Adapter"),
    "options": Text("Optionen des Adapters", "Options of the adapter"),
    "values": Text("Werte von Optionen", "Values of options"),
    "encryption": Text("Schlüssel zum Verschlüsseln", "Key for encryption"),
    "signing": Text("Schlüssel für Unterschriften", "Key for signatures"),
    "services": Text("Leistungen", "Services"),
}
