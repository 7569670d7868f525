"""The routing table's look-up beside a function that does one dict get: random questions, in turns, in one process.

Four ways to rule: every municipality by itself; every district for its municipalities; the same with rules that began
one day; and every district with rules of its own for each single service, so that no two services share anything.
CPU time, so that neighbours on the machine count less; each turn asks anew and nothing is remembered from one to the next.
"""

from __future__ import annotations

import gc
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from hub.areas import Area, AreaKind, Gazetteer, Place
from hub.routing import RoutingTable, Rule, ServiceRegister, service_urn

_ON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
#: Municipalities of Hessen and of Germany, districts of both, services.
_SIZES = {"hessen": (421, 26), "germany": (10_952, 400)}
_SERVICES = tuple(service_urn(f"99{number:012d}") for number in range(575))
_ASKED = 20_000
_TURNS = 9
_LEAST_RATIO = 0.3

Question = tuple[Area, str]


def run() -> dict[str, float]:
    """Measure and print; return the figures."""
    print(f"routing: {len(_SERVICES)} services, {_ASKED} random questions a turn, median of {_TURNS} turns")
    found: dict[str, float] = {}
    for name, (municipalities, districts) in _SIZES.items():
        places = list(_places(municipalities, districts))
        for way, rules in _WAYS.items():
            table = RoutingTable(rules(places), gazetteer=Gazetteer(places), services=ServiceRegister([]))
            got, routed = _measured(table, places)
            found[f"routing_{name}_{way.replace(' ', '_')}_ratio"] = got / routed
            print(
                f"  {name:<8} {way:<22} {len(table):>7} rules   dict get {got * 1e9:5.0f} ns   look-up {routed * 1e9:5.0f} ns"
                f"   ratio {got / routed:.2f}    (aim: {_LEAST_RATIO})"
            )
    print()
    return found


def _places(municipalities: int, districts: int) -> Iterator[Place]:
    """Yield as many municipalities in as many districts; their keys are made up, sorted and well formed."""
    for number in range(municipalities):
        district = number * districts // municipalities
        ars = f"{1 + district % 16:02d}{district // 16:03d}{number % 9_999:04d}{number % 997:03d}"
        yield Place(area=Area(ars), name=f"Ort {number}", kind=AreaKind.MUNICIPALITY)


def _by_municipality(places: Sequence[Place]) -> list[Rule]:
    return [_rule(place.area.ars, _SERVICES) for place in places]


def _by_district(places: Sequence[Place]) -> list[Rule]:
    return [_rule(ars, _SERVICES) for ars in _districts(places)]


def _by_district_since(places: Sequence[Place]) -> list[Rule]:
    return [replace(rule, valid_from=_BEGUN) for rule in _by_district(places)]


def _by_district_and_service(places: Sequence[Place]) -> list[Rule]:
    return [_rule(ars, (service,)) for ars, service in itertools.product(_districts(places), _SERVICES)]


_WAYS: dict[str, Callable[[Sequence[Place]], list[Rule]]] = {
    "municipalities": _by_municipality,
    "districts": _by_district,
    "districts since a day": _by_district_since,
    "districts x services": _by_district_and_service,
}


def _districts(places: Sequence[Place]) -> list[str]:
    return sorted({place.area.ars[:5] for place in places})


def _rule(ars: str, services: tuple[str, ...]) -> Rule:
    name = f"{ars}-{services[0][-14:]}"
    return Rule(id=name, area=Area(ars), services=services, destination=UUID(int=int(ars)))


def _measured(table: RoutingTable, places: Sequence[Place]) -> tuple[float, float]:
    """Return the median seconds of one dict get and of one look-up."""
    known = {place.area.ars: place for place in places}

    def get(area: Area, service: str, on: datetime) -> Place | None:
        del service, on
        return known.get(area.ars)

    chance = random.Random(1)  # which questions are asked is no secret
    gets, routes = [], []
    for _ in range(_TURNS):
        asked = [(chance.choice(places).area, chance.choice(_SERVICES)) for _ in range(_ASKED)]
        gets.append(_seconds(get, asked))
        asked = [(chance.choice(places).area, chance.choice(_SERVICES)) for _ in range(_ASKED)]
        routes.append(_seconds(table.route, asked))
    return statistics.median(gets), statistics.median(routes)


def _seconds(function: Callable[[Area, str, datetime], object], asked: Sequence[Question]) -> float:
    gc.collect()
    begun = time.process_time()
    for area, service in asked:
        function(area, service, _ON)
    return (time.process_time() - begun) / len(asked)
