"""Nobody is found in public figures: no number below five follows from them, whoever knows how they are made."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.administration.public_figures import LEAST, published

_TABLES = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(0, 40), max_size=9)


@given(_TABLES)
def test_no_number_below_five_is_published_or_the_difference_of_what_is(cells):
    table = published(cells)
    if table is None:
        return
    assert all(number >= LEAST for number in table.shown.values())
    assert table.shown.items() <= cells.items()
    hidden = cells.keys() - table.shown.keys()
    # All that sums and differences of published numbers can give of hidden cells is the sum of them all.
    assert table.total - sum(table.shown.values()) == sum(cells[key] for key in hidden) == (table.others or 0)
    if hidden:
        assert table.others >= LEAST
        assert len(hidden) > 1


@pytest.mark.parametrize(("names", "most"), [("ab", 16), ("abc", 16), ("abcd", 10)])
def test_who_knows_the_rules_and_all_tables_cannot_tell_a_small_number(names, most):
    """Every table is published, and everything that could have led to the same answer is compared."""
    by_answer = defaultdict(list)
    for numbers in product(range(most + 1), repeat=len(names)):
        table = published(dict(zip(names, numbers, strict=True)))
        by_answer[None if table is None else (tuple(table.shown.items()), table.others)].append(numbers)
    del by_answer[None]
    # What only numbers beyond those tried here could have led to, too, says nothing.
    by_answer = {answer: tables for answer, tables in by_answer.items() if (answer[1] or 0) <= most}
    assert by_answer
    found = {}
    for answer, tables in by_answer.items():
        for place, name in enumerate(names):
            possible = {numbers[place] for numbers in tables}
            if len(possible) == 1 and min(possible) < LEAST:
                found[answer] = name
    assert found == {}


def test_a_table_of_large_numbers_is_published_as_it_is():
    table = published({"b": 5, "a": 100})
    assert (dict(table.shown), table.others, table.total) == ({"a": 100, "b": 5}, None, 105)


def test_a_lone_small_number_takes_another_along():
    table = published({"a": 30, "b": 2, "c": 50})
    assert (dict(table.shown), table.others, table.total) == ({"c": 50}, 32, 82)


def test_too_little_is_not_even_summed():
    assert published({"a": 1, "b": 2}) is None
    assert published({"a": 6, "b": 1}) is None
    assert published({}) is None
