"""Loops under watch: whatever they die of, they are said to be down, counted, begun again, and ended by a stop alone."""

from __future__ import annotations

import ast
import logging
import threading
import time
from pathlib import Path

import pytest

from hub.supervision import Pauses, Supervisor
from hub.validation.xml.documents import in_own_thread

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


@pytest.mark.parametrize("death", [ValueError("x"), SystemExit(1)])
def test_whatever_work_in_a_thread_of_its_own_dies_of_its_caller_dies_of(death):
    def die():
        raise death

    with pytest.raises(type(death)):
        in_own_thread(die)
    assert in_own_thread(lambda: 1) == 1


ROOT = Path(__file__).parents[1]
#: Every thread that is begun without a supervisor, and the test in which it dies, or what it does fails: nothing is lost, and
#: whoever waits is told. Loops that live as long as the hub are in ``tests/delivery/test_worker_faults.py``, duties in
#: ``tests/jobs/test_duties.py``; what work in a pool raises goes to whoever waits for it.
FAULTS = {
    "hub/administration/archive.py": (
        "tests/administration/test_archives.py::test_a_backup_that_breaks_off_leaves_no_file_and_no_copy"
    ),
    "hub/administration/trials.py": (
        "tests/administration/test_trials.py::test_whatever_an_adapter_does_is_a_step_that_failed"
    ),
    "hub/admission.py": "tests/test_admission.py::test_an_allocator_that_fails_is_asked_again",
    "hub/notifications/outbox.py": (
        "tests/delivery/test_worker_faults.py::test_whatever_an_attempt_of_a_courier_dies_of_is_recorded_and_given_up_at_last"
    ),
    "hub/observability/diagnosis.py": (
        "tests/cli/test_cli_doctor.py::test_a_check_that_hangs_or_fails_costs_the_others_nothing_and_says_no_library_words"
    ),
    "hub/store/blobs/contents.py": ("tests/store/test_janitor.py::test_no_error_of_whatever_kind_ends_the_deleting"),
    "hub/supervision.py": (
        "tests/test_supervision.py::test_whatever_a_loop_dies_of_it_is_logged_counted_and_begun_again"
    ),
    "hub/transport/connection.py": (
        "tests/transport/test_connections.py::test_a_watch_that_died_is_begun_again_and_has_forgotten_nothing",
        "tests/transport/test_connections.py::test_whatever_a_look_up_dies_of_who_waits_hears_it_and_the_next_one_asks_anew",
    ),
    "hub/transport/relay.py": (
        "tests/transport/test_relay.py::test_why_dialling_failed_is_kept_and_the_client_hears_that_it_did"
    ),
    "hub/validation/schematron/saxon.py": (
        "tests/validation/test_validation_schematron.py::test_a_rule_that_never_ends_is_killed"
    ),
    "hub/validation/xerces.py": (
        "tests/interop/test_xerces.py::test_who_takes_too_long_is_ended_and_the_next_document_judged_again"
    ),
    "hub/validation/xml/documents.py": (
        "tests/test_supervision.py::test_whatever_work_in_a_thread_of_its_own_dies_of_its_caller_dies_of"
    ),
}
#: They play the others' part for a while, and hold nothing of anybody's.
SHOWING = ("hub/demo/", "hub/adapter_kit/")


def threads_of(file):
    """Return how many threads a file begins."""
    calls = [node.func for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return sum(ast.unparse(each) in {"Thread", "threading.Thread", "Timer", "threading.Timer"} for each in calls)


def test_every_thread_without_a_supervisor_has_a_test_in_which_it_fails():
    begun = {}
    for file in sorted((ROOT / "hub").rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        if not name.startswith(SHOWING) and (number := threads_of(file)):
            begun[name] = number
    shown = {name: [places] if isinstance(places, str) else [*places] for name, places in FAULTS.items()}
    assert begun == {name: len(places) for name, places in shown.items()}
    for place in (each for places in shown.values() for each in places):
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), place
