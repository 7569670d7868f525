"""Why this authority: every prefix tried, every rule considered, and why it was taken or passed over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from hub.areas import Area, Gazetteer
from hub.errors import NoRoute, Text
from hub.routing.rules import Rule, legal_day

if TYPE_CHECKING:
    from hub.routing.table import RoutingTable


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
    """The way to an answer. ``rule`` is the deciding rule, or ``refusal`` says why there is none."""

    area: Area
    area_name: str
    service: str
    service_name: str
    on: datetime
    table_version: str
    tried: tuple[Tried, ...]
    rule: Rule | None
    refusal: Text | None

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
        return [*texts, self._answer()]

    def _answer(self) -> Text:
        if self.rule is not None:
            target = self.rule.destination
            return Text(
                f"Zuständig: {target} nach Regel {self.rule.id}", f"Responsible: {target} by rule {self.rule.id}"
            )
        refusal = self.refusal or Text("", "")
        return Text(f"Keine zuständige Stelle: {refusal.de}", f"No responsible authority: {refusal.en}")


def explain(table: RoutingTable, area: Area, service: str, on: datetime) -> Explanation:
    """Explain what ``table`` answers for area and service at the aware moment ``on``."""
    refusal = _refusal(table, area, service, on)
    tried, winners = _tried(table, area, service, on)
    return Explanation(
        area=area,
        area_name=table.gazetteer.name(area),
        service=service,
        service_name=table.services.name(service),
        on=on,
        table_version=table.version,
        tried=tried,
        rule=winners[0] if winners and refusal is None else None,
        refusal=refusal,
    )


def reasons(rule: Rule, area: Area, gazetteer: Gazetteer) -> tuple[Text, ...]:
    """Say in words why ``rule`` decides for ``area``."""
    here, there = gazetteer.name(area), gazetteer.name(rule.area)
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


def _refusal(table: RoutingTable, area: Area, service: str, on: datetime) -> Text | None:
    try:
        table.route(area, service, on)
    except NoRoute as exc:
        return exc.detail
    return None


def _tried(table: RoutingTable, area: Area, service: str, on: datetime) -> tuple[tuple[Tried, ...], tuple[Rule, ...]]:
    tried: list[Tried] = []
    winners: tuple[Rule, ...] = ()
    for prefix in area.prefixes():
        rules = table.rules_at(prefix, service)
        decided = bool(winners)
        if not decided:
            winners = tuple(rule for rule in rules if rule.holds(on))
        split = len({rule.destination for rule in winners}) > 1
        considered = tuple(_judged(rule, on, winners, decided=decided, split=split) for rule in rules)
        tried.append(Tried(prefix=prefix, name=table.gazetteer.name(prefix), considered=considered))
    return tuple(tried), winners


def _judged(rule: Rule, on: datetime, winners: tuple[Rule, ...], *, decided: bool, split: bool) -> Considered:
    if decided:
        why = Text("Übergangen: ein engeres Gebiet hat entschieden.", "Passed over: a narrower area has decided.")
    elif not rule.holds(on):
        when = validity(rule)
        why = Text(f"Übergangen: gilt an diesem Tag nicht. {when.de}", f"Passed over: not valid then. {when.en}")
    elif split:
        why = Text(
            "Widerspruch: eine andere Regel nennt hier einen anderen Zustellpunkt.",
            "Contradiction: another rule names another destination here.",
        )
    elif rule is not winners[0]:
        why = Text("Doppelt: nennt denselben Zustellpunkt.", "Double: names the same destination.")
    else:
        why = Text(
            f"Genommen: das engste Gebiet mit gültiger Regel. {validity(rule).de}",
            f"Taken: the narrowest area with a valid rule. {validity(rule).en}",
        )
        return Considered(rule=rule, taken=True, why=why)
    return Considered(rule=rule, taken=False, why=why)
