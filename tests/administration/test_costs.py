"""Costs are divided by the operator's key, and the parts sum up to the cent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.administration.costs import Costs, split
from hub.errors import ConfigurationError
from hub.model.usage import Month

KEY = """
members:
  - {ars: "064390015015", inhabitants: 30000}
  - {ars: "064390012012", inhabitants: 10000}
  - {ars: "06414"}
costs:
  - {name: Betrieb, from: 2026-01, until: 2026-12, monthly: "1000.01", key: {accepted: 50, inhabitants: 30, flat: 20}}
  - {name: Umlage, from: 2026-11, monthly: 7, key: {flat: 1}}
"""
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)


def _load(tmp_path, text: str) -> Costs:
    path = tmp_path / "costs.yaml"
    path.write_text(text, encoding="utf-8")
    return Costs.load(path, lambda ars: (f"Ort {ars}", 60_000 if ars == "06414" else None))


def test_a_months_costs_follow_the_key(tmp_path):
    costs = _load(tmp_path, KEY)
    counted = {"064390015015": 30, "064390012012": 10, "064140000000": 0, "066110000000": 99}
    shares = {(each.ars, each.item): each.cents for each in costs.allocate(OCTOBER, counted)}
    # 500.01 by 0 : 10 : 30, 300.00 by 60 : 10 : 30, 200.00 in three parts; the members in the order of their keys.
    assert shares == {
        ("06414", "Betrieb"): 24_667,
        ("064390012012", "Betrieb"): 22_167,
        ("064390015015", "Betrieb"): 53_167,
    }
    november = [each for each in costs.allocate(NOVEMBER, counted) if each.item == "Umlage"]
    assert [each.cents for each in november] == [234, 233, 233]
    assert [each.name for each in november] == ["Ort 06414", "Ort 064390012012", "Ort 064390015015"]
    assert [each.item for each in costs.allocate(Month(2027, 1), counted)] == ["Umlage"] * 3
    assert costs.allocate(Month(2025, 12), counted) == []


def test_a_month_without_submissions_is_divided_all_the_same(tmp_path):
    assert sum(each.cents for each in _load(tmp_path, KEY).allocate(OCTOBER, {})) == 100_001


def test_the_longest_key_counts(tmp_path):
    text = """
members: [{ars: "06", inhabitants: 1}, {ars: "06439", inhabitants: 1}]
costs: [{name: X, from: 2026-01, monthly: "9.00", key: {accepted: 1}}]
"""
    shares = _load(tmp_path, text).allocate(OCTOBER, {"064390015015": 2, "064140000000": 1, "05": 5})
    assert [(each.ars, each.cents) for each in shares] == [("06", 300), ("06439", 600)]


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**7), min_size=1, max_size=430).filter(any))
def test_parts_sum_up_to_the_cent_and_are_no_cent_off(cents, weights):
    parts = split(cents, weights)
    assert sum(parts) == cents
    total = sum(weights)
    assert all(abs(part * total - cents * weight) < total for part, weight in zip(parts, weights, strict=True))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("members:", "member:", "members"),
        ('"06414"', "06414", "members[2]"),
        ('"064390012012"', '"064390015015"', "members"),
        ("inhabitants: 10000", "inhabitants: -1", "members[1].inhabitants"),
        (", inhabitants: 30000", "", "members[0].inhabitants"),
        ('"1000.01"', "1000.01", "costs[0].monthly"),
        ('"1000.01"', '"1000,01"', "costs[0].monthly"),
        ("flat: 20", "flat: 20, other: 3", "costs[0].key"),
        ("{flat: 1}", "{flat: 0}", "costs[1].key"),
        ("from: 2026-11", "from: 2026-13", "costs[1].from"),
        ("name: Umlage, ", "", "costs[1]"),
        ("members:", "members: [", ""),
        ("from: 2026-11", "from: 2026-11, from: 2026-12", ""),
    ],
)
def test_a_wrong_key_is_refused_by_its_place(tmp_path, old, new, place):
    with pytest.raises(ConfigurationError) as refused:
        _load(tmp_path, KEY.replace(old, new, 1))
    assert refused.value.detail.de.startswith(f"costs.yaml, {place}:" if place else "costs.yaml:")
