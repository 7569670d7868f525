"""A destination has one adapter in a process, as its settings say now; what they replace is closed."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import NOW, destination

from hub.delivery.attempt import AdapterPool
from hub.model.delivery import Adapter
from hub.model.submission import Outcome, OutcomeKind


class Noted:
    """Notes when it is opened and closed."""

    name = "noted"
    opened: list[Noted] = []  # noqa: RUF012
    closed: list[Noted] = []  # noqa: RUF012

    def __init__(self, config):
        self.config = config

    def open(self):
        Noted.opened.append(self)

    def close(self):
        Noted.closed.append(self)
        if "sticks" in self.config:
            raise OSError if self.config["sticks"] == "mildly" else SystemExit

    def deliver(self, package):
        return Outcome(kind=OutcomeKind.DELIVERED, note="done")


_: type[Adapter] = Noted


@pytest.fixture
def there():
    Noted.opened.clear()
    Noted.closed.clear()
    return destination(adapter="noted", adapter_config={})


def changed(there, number, **more):
    at = NOW + timedelta(seconds=number)
    return replace(there, adapter_config={"number": number, **more}, updated_at=at)


def test_settings_changed_fifty_times_leave_one_adapter_open(there):
    pool = AdapterPool({"noted": Noted})
    for number in range(50):
        pool.of(changed(there, number))
    assert len(Noted.opened) == 50
    assert [each.config["number"] for each in Noted.closed] == list(range(49))
    pool.close()
    assert len(Noted.closed) == 50


def test_an_attempt_under_way_keeps_its_adapter_open_until_it_ends(there):
    pool = AdapterPool({"noted": Noted})
    with pool.lent(changed(there, 1)) as old, pool.lent(changed(there, 1)) as same:
        new = pool.of(changed(there, 2))
        assert (same is old, new is old) == (True, False)
        assert Noted.closed == []
    assert Noted.closed == [old]
    assert pool.of(changed(there, 2)) is new


def test_an_adapter_that_fails_to_close_holds_up_neither_the_new_one_nor_the_attempt(there, caplog):
    pool = AdapterPool({"noted": Noted})
    with pool.lent(changed(there, 1, sticks="mildly")):
        pool.of(changed(there, 2, sticks="badly"))
    assert pool.of(changed(there, 3)).config == {"number": 3}
    assert [each.config["number"] for each in Noted.closed] == [1, 2]
    assert "does not close" in caplog.text


def test_a_delivery_that_brings_the_settings_of_before_displaces_nothing(there):
    pool = AdapterPool({"noted": Noted})
    new = pool.of(changed(there, 2))
    with pool.lent(changed(there, 1)) as old:
        assert old.config == {"number": 1}
    assert Noted.closed == [old]
    assert pool.of(changed(there, 2)) is new
    assert len(Noted.opened) == 2


def test_the_pool_is_bounded_and_closes_what_was_idle_for_longest(there):
    pool = AdapterPool({"noted": Noted}, most=3)
    places = [replace(there, destination_id=destination().destination_id) for _ in range(5)]
    with pool.lent(places[0]) as busy:
        adapters = [pool.of(place) for place in places[1:]]
        assert Noted.closed == adapters[:2]
    assert pool.of(places[0]) is busy
    assert Noted.closed == adapters[:2]


def test_many_threads_and_many_changes_close_each_adapter_once_and_none_in_use(there):
    pool = AdapterPool({"noted": Noted})
    wrong = []

    def work(first):
        for number in range(first, first + 60):
            with pool.lent(changed(there, number % 7)) as adapter:
                if adapter in Noted.closed:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()
    assert wrong == []
    assert len(Noted.closed) == len({id(each) for each in Noted.closed}) == len(Noted.opened)
