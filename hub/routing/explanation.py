"""Why this authority: every prefix tried, every rule considered, and why it was taken or passed over; in words.

What the table answers it says itself (:mod:`hub.routing.table`); this is how it is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from hub.areas import Area, Gazetteer
from hub.errors import Text
from hub.routing.rules import Rule, RuleAccess, legal_day


@dataclass(frozen=True, kw_only=True, slots=True)
class Considered:
    """One rule, whether it decides, and why."""

    rule: Rule
    taken: bool
    why: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """One prefix of the area, its name, and the rules that stand there for the service."""

    prefix: str
    name: str
    considered: tuple[Considered, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The way to an answer. ``rule`` is the deciding rule, or ``refusal`` says why there is none.

    ``deciding`` is the rule that says who is responsible, also where its ``access`` does not let everybody apply.
    """

    area: Area
    area_name: str
    service: str
    service_name: str
    on: datetime
    table_version: str
    tried: tuple[Tried, ...]
    rule: Rule | None
    refusal: Text | None
    deciding: Rule | None

    @property
    def access(self) -> RuleAccess | None:
        """Who may apply there; None where nobody is responsible."""
        return None if self.deciding is None else self.deciding.access

    @property
    def destination_id(self) -> UUID | None:
        """The responsible destination, if there is exactly one."""
        return self.rule.destination if self.rule is not None else None

    def lines(self, language: Literal["de", "en"] = "de") -> list[str]:
        """Return the explanation as lines to print."""
        return [getattr(text, language) for text in self._texts()]

    def _texts(self) -> list[Text]:
        day, what = legal_day(self.on), f"{self.service_name} ({self.service})"
        texts = [
            Text(
                f"Zuständigkeit für {what} in {self.area_name} ({self.area}) am {day:%d.%m.%Y}",
                f"Responsibility for {what} in {self.area_name} ({self.area}) on {day}",
            ),
            Text(f"Tabelle {self.table_version[:12]}", f"Table {self.table_version[:12]}"),
        ]
        for step in self.tried:
            head = f"  {step.prefix:<12} {step.name}"
            texts.append(Text(head, head))
            if not step.considered:
                texts.append(Text("    keine Regel", "    no rule"))
            for item in step.considered:
                mark = "->" if item.taken else "  "
                texts.append(Text(*(f" {mark} {item.rule.id}: {why}" for why in (item.why.de, item.why.en))))
        return [*texts, *self._answer()]

    def _answer(self) -> list[Text]:
        refusal = self.refusal or Text("", "")
        if self.deciding is None:
            return [Text(f"Keine zuständige Stelle: {refusal.de}", f"No responsible authority: {refusal.en}")]
        target, rule, said = self.deciding.destination, self.deciding.id, self.deciding.access.label
        access = Text(f"Zugang: {said.de}", f"Access: {said.en}")
        if self.refusal is not None:
            access = Text(f"{access.de}. {refusal.de}", f"{access.en}. {refusal.en}")
        return [access, Text(f"Zuständig: {target} nach Regel {rule}", f"Responsible: {target} by rule {rule}")]


def reasons(rule: Rule, area: Area, gazetteer: Gazetteer) -> tuple[Text, ...]:
    """Say in words why ``rule`` decides for ``area``."""
    area = gazetteer.same_as(area)
    here, there = gazetteer.name(area), gazetteer.name(rule.area)
    if rule.is_catch_all:
        caught = Text(
            f"Für diese Leistung ist in {here} ({area}) keine Stelle eingetragen; Regel {rule.id} ist die Auffangstelle von "
            f"{there} ({rule.area}).",
            f"No authority is entered for this service in {here} ({area}); rule {rule.id} is the catch-all of {there} "
            f"({rule.area}).",
        )
        return (caught,) if rule.is_unbounded else (caught, validity(rule))
    if area == rule.area:
        first = Text(
            f"Regel {rule.id} gilt genau für {here} ({area}).", f"Rule {rule.id} is for exactly {here} ({area})."
        )
    else:
        first = Text(
            f"{here} ({area}) liegt in {there} ({rule.area}), dafür gilt Regel {rule.id}.",
            f"{here} ({area}) lies in {there} ({rule.area}), for which rule {rule.id} holds.",
        )
    second = Text(
        "Keine gültige Regel nennt für diese Leistung ein engeres Gebiet.",
        "No valid rule names a narrower area for this service.",
    )
    return (first, second) if rule.is_unbounded else (first, second, validity(rule))


def validity(rule: Rule) -> Text:
    """Say when a rule holds, as its file says it (a last day is included)."""
    row = rule.as_row()
    start, end = row["valid_from"], row["valid_until"]
    if not start and not end:
        return Text("Gilt unbefristet.", "Holds without limit.")
    since = (f" ab {start}", f" from {start}") if start else ("", "")
    until = (f" bis {end}", f" until {end}") if end else ("", "")
    return Text(f"Gilt{since[0]}{until[0]}.", f"Holds{since[1]}{until[1]}.")
