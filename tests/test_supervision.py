"""Loops under watch: whatever they die of, they are said to be down, counted, begun again, and ended by a stop alone."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from hub.supervision import Pauses, Supervisor

PATIENCE = 20


class Mortal:
    """A loop that dies of each of ``deaths`` in turn, and lives after them."""

    def __init__(self, *deaths):
        self.deaths = list(deaths)
        self.lives = 0
        self.living = threading.Event()

    def __call__(self, stop):
        self.lives += 1
        if self.deaths:
            death = self.deaths.pop(0)
            if death is not None:
                raise death
            return
        self.living.set()
        stop.wait()


def supervisor(fallen=None, *, first=0.01, longest=0.05):
    return Supervisor(pauses=Pauses(first=first, longest=longest), fell=fallen.append if fallen is not None else None)


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.005)


@pytest.mark.parametrize("death", [ValueError("x"), KeyError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_loop_dies_of_it_is_logged_counted_and_begun_again(death, caplog):
    fallen = []
    mortal = Mortal(death)
    loop = supervisor(fallen).begin("dispatcher", mortal)
    assert mortal.living.wait(PATIENCE)
    loop.end()
    assert (fallen, mortal.lives) == (["dispatcher"], 2)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info[0] is type(death)
    assert "dispatcher" in record.getMessage()


def test_a_loop_that_returns_untold_has_died():
    fallen = []
    mortal = Mortal(None)
    loop = supervisor(fallen).begin("leases", mortal)
    assert mortal.living.wait(PATIENCE)
    loop.end()
    assert fallen == ["leases"]


def test_a_dead_loop_is_named_until_it_lives_again():
    watch = supervisor(first=0.2, longest=0.2)
    mortal = Mortal(ValueError())
    loop, other = watch.begin("results", mortal), watch.begin("leases", Mortal())
    until(lambda: watch.down() == ("results",))
    assert mortal.living.wait(PATIENCE)
    assert watch.down() == ()
    loop.end()
    other.end()


def test_a_stop_ends_the_pause_of_a_dead_loop_at_once():
    watch = supervisor(first=3600, longest=3600)
    mortal = Mortal(ValueError())
    loop = watch.begin("callbacks", mortal)
    until(lambda: watch.down() == ("callbacks",))
    loop.end()
    assert (mortal.lives, watch.down()) == (1, ())


def test_a_loop_in_its_callers_thread_is_kept_up_alike():
    stop = threading.Event()
    mortal = Mortal(ValueError())
    watch = supervisor()

    def work(inner):
        mortal(inner)
        stop.set()

    mortal.deaths.append(ZeroDivisionError())
    thread = threading.Thread(target=watch.attend, args=["dispatcher", work, stop])
    thread.start()
    assert mortal.living.wait(PATIENCE)
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert mortal.lives == 3


def test_pauses_double_up_to_the_longest():
    pauses = Pauses(first=0.5, longest=30)
    assert [pauses.after(deaths) for deaths in (1, 2, 3, 7, 8, 5000)] == [0.5, 1, 2, 30, 30, 30]


def test_a_counter_that_fails_keeps_no_loop_down():
    def fell(_name):
        raise RuntimeError

    mortal = Mortal(ValueError())
    loop = Supervisor(pauses=Pauses(first=0.01), fell=fell).begin("duties", mortal)
    assert mortal.living.wait(PATIENCE)
    loop.end()
