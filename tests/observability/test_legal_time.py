"""Whose clock it is: what the kernel says of its clock, and that nothing is claimed where it says nothing."""

from __future__ import annotations

import itertools
import sys

import pytest

from hub.observability.legal_time import NOT_KNOWN, ClockReading, ClockState, SystemClock, ask_kernel, judged

SYNCHRONISED = ClockReading(state=ClockState.SYNCHRONISED, estimated_error=0.5, maximal_error=12.0)


@pytest.mark.parametrize(
    ("returned", "status", "state"),
    [
        (0, 0x2001, ClockState.SYNCHRONISED),
        (1, 0x0011, ClockState.SYNCHRONISED),
        (0, 0x0040, ClockState.UNSYNCHRONISED),
        (5, 0x0000, ClockState.UNSYNCHRONISED),
        (5, 0x0041, ClockState.UNSYNCHRONISED),
        (-1, 0x0000, ClockState.NOT_KNOWN),
    ],
)
def test_the_kernels_answer_is_read_as_its_manual_has_it(returned, status, state):
    assert judged(returned, status, estimated=500, maximal=12_000).state is state


def test_a_claim_names_errors_only_where_the_clock_is_held_to_something():
    assert SYNCHRONISED.claim() == {
        "of": "hub",
        "state": "synchronised",
        "maxErrorMs": 12.0,
        "estimatedErrorMs": 0.5,
    }
    unsynchronised = ClockReading(state=ClockState.UNSYNCHRONISED, estimated_error=1.0, maximal_error=2.0)
    assert unsynchronised.claim() == {"of": "hub", "state": "unsynchronised"}
    assert NOT_KNOWN.claim() == {"of": "hub", "state": "not-known"}


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex is Linux's")
def test_the_kernel_is_asked_without_rights_and_changes_nothing():
    assert ask_kernel().state in ClockState
    assert ask_kernel().state is ask_kernel().state


@pytest.mark.parametrize("fault", [OSError, AttributeError])
def test_a_system_without_the_call_is_not_known(monkeypatch, fault):
    def broken(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("hub.observability.legal_time.ctypes.CDLL", broken)
    assert ask_kernel() == NOT_KNOWN


def test_it_is_asked_once_a_second():
    answers, now = itertools.count(), [0.0]

    def ask() -> ClockReading:
        return ClockReading(state=ClockState.SYNCHRONISED, maximal_error=float(next(answers)))

    clock = SystemClock(ask, ticks=lambda: now[0])
    assert [clock.reading().maximal_error for _ in range(3)] == [0.0, 0.0, 0.0]
    now[0] = 1.0
    assert clock.reading().maximal_error == 1.0
