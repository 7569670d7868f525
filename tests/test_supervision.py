"""Loops under watch: whatever they die of, they are said to be down, counted, begun again, and ended by a stop alone."""

from __future__ import annotations

import ast
import logging
import threading
import time
from pathlib import Path

import pytest
from spoiling import give_no_thread

from hub.errors import Overloaded
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


def test_work_that_no_thread_is_to_be_had_for_says_try_again(monkeypatch):
    refused = give_no_thread(monkeypatch, "validation")
    with pytest.raises(Overloaded) as caught:
        in_own_thread(lambda: 1)
    assert (refused, "short of threads" in caught.value.detail.en) == (["validation"], True)
    monkeypatch.undo()
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
#: Every pool of threads, every task of an event loop that is begun beside its caller, and every process: in as many places of a
#: file as it has tests, and the test in which what runs there fails, is cancelled, or cannot be begun.
BESIDE = {
    "hub/intake/shadow.py": "tests/intake/test_shadow.py::test_a_trial_that_fails_costs_nobody_an_answer",
    "hub/api/applications.py": (
        "tests/intake/test_cancellation.py::test_an_application_that_is_cancelled_is_there_whole_or_not_at_all",
        "tests/intake/test_far_contents.py::test_an_application_that_is_cancelled_is_there_whole_or_not_at_all",
    ),
    "hub/api/fit_connect/messages.py": (
        "tests/attacks/test_sealed_door_attacks.py::test_an_upload_that_breaks_off_leaves_no_blob"
    ),
    "hub/web/protocol.py": (
        "tests/api/test_ending.py::test_without_a_descriptor_to_be_had_callers_wait_and_are_taken_later"
    ),
    "hub/api/threads.py": "tests/api/test_threads.py::test_an_error_in_a_thread_reaches_who_waits",
    "hub/api/uploads.py": "tests/uploads/test_uploads.py::test_what_broke_off_is_kept_and_with_a_checksum_dropped",
    "hub/app/processes.py": (
        "tests/end_to_end/test_processes.py::test_whichever_process_is_killed_under_load_nothing_acknowledged_is_lost"
    ),
    "hub/delivery/dispatcher.py": (
        "tests/delivery/test_worker_faults.py::test_a_worker_that_could_not_be_called_is_missed_by_nobody"
    ),
    "hub/fit_connect/submissions.py": (
        "tests/intake/test_cancellation.py::test_an_upload_that_is_cancelled_can_be_repeated_and_submitted"
    ),
    "hub/transport/relay.py": (
        "tests/transport/test_relay.py::test_a_relay_whose_loop_died_dials_again",
        "tests/transport/test_relay.py::test_nothing_stays_after_close",
        "tests/transport/test_relay.py::test_strangers_that_say_nothing_shut_nobody_out",
        "tests/transport/test_relay.py::test_what_breaks_off_does_not_look_like_an_end",
        "tests/transport/test_relay.py::test_a_line_that_hung_up_gives_up_what_is_dialled_meanwhile",
    ),
    "hub/transport/sftp.py": "tests/adapters/test_sftp.py::test_an_inward_address_is_not_connected_to",
    "hub/validation/batch.py": "tests/validation/test_batch.py::test_who_dies_of_a_file_takes_no_other_along",
    "hub/validation/sandbox.py": "tests/validation/test_validation_xsd11.py::test_a_child_that_takes_too_long_is_killed",
    "hub/validation/schematron/saxon.py": (
        "tests/validation/test_validation_schematron.py::test_a_process_that_was_killed_is_replaced"
    ),
    "hub/validation/xerces.py": (
        "tests/interop/test_xerces.py::test_who_takes_too_long_is_ended_and_the_next_document_judged_again"
    ),
}
#: Every loop that waits for the next thing to do, or for its end, by its function, and the test in which what it does dies, or
#: what it waits for never comes.
WATCHED = "tests/delivery/test_worker_faults.py::test_every_long_lived_loop_dies_once_and_the_hub_works_on"
LOOPS: dict[str, str] = {
    "hub/api/threads.py over": (
        "tests/api/test_threads.py::test_a_request_that_is_cancelled_again_and_again_waits_for_its_errand_all_the_same"
    ),
    "hub/app/processes.py Parent._prepared": (
        "tests/end_to_end/test_processes.py::test_a_process_that_cannot_begin_ends_the_start_with_its_exit_code"
    ),
    "hub/app/processes.py Parent.run": (
        "tests/end_to_end/test_processes.py::test_a_process_that_dies_again_and_again_begins_after_growing_pauses"
    ),
    "hub/app/processes.py until_ended": (
        "tests/end_to_end/test_processes.py::test_a_hub_that_is_told_to_end_finishes_and_one_whose_parent_is_killed_leaves_nobody"
    ),
    "hub/app/processes.py woken.run": ("tests/end_to_end/test_processes.py::test_wake_ups_that_died_are_heard_again"),
    "hub/app/starting.py begin.run": (
        "tests/test_worker_pages.py::test_a_worker_shows_health_and_metrics_and_names_a_dead_loop"
    ),
    "hub/connector/clerk/site.py ClerkServer.__init__": (
        "tests/connector/test_connector_clerk_page.py::test_a_page_whose_loop_dies_is_there_again"
    ),
    "hub/connector/connector.py Connector._pause": (
        "tests/connector/test_connector_walk.py::test_a_walk_that_dies_begins_anew"
    ),
    "hub/connector/connector.py Connector._walk": (
        "tests/connector/test_connector_walk.py::test_a_walk_that_dies_begins_anew"
    ),
    "hub/connector/listener.py QuietServer._answer": (
        "tests/connector/test_connector_listen.py::test_a_listener_whose_loop_dies_takes_pushes_again"
    ),
    "hub/delivery/attempt.py Leases.run": WATCHED,
    "hub/delivery/dispatcher.py Dispatcher._rest": WATCHED,
    "hub/delivery/dispatcher.py Dispatcher._work_until": WATCHED,
    "hub/jobs/scheduler.py Clock._tick_on": WATCHED,
    "hub/notifications/outbox.py OutboxWorker.run": WATCHED,
    "hub/portal/codes.py expiring.run": (
        "tests/portal/test_portal_loops.py::test_loops_of_the_portal_that_die_begin_anew"
    ),
    "hub/portal/notices.py mailing.run": (
        "tests/portal/test_portal_loops.py::test_loops_of_the_portal_that_die_begin_anew"
    ),
    "hub/portal/reply_keys.py ReplyKeys._fill": (
        "tests/portal/test_portal_reply_keys.py::test_a_pool_that_dies_begins_anew"
    ),
    "hub/scanning/scanner.py Scanner.dial": (
        "tests/scanning/test_clamd.py::test_a_scanner_that_hangs_is_given_up_and_spared_for_a_while"
    ),
    "hub/store/writer.py Writer._loop": (
        "tests/store/test_store_writer.py::test_a_writer_that_dies_is_counted_and_writes_again"
    ),
    "hub/store/writer.py _locked": (
        "tests/store/test_store_writer.py::test_a_database_locked_by_another_process_is_unavailable_not_lost"
    ),
    "hub/supervision.py Supervisor._keep": (
        "tests/test_supervision.py::test_whatever_a_loop_dies_of_it_is_logged_counted_and_begun_again"
    ),
    "hub/transport/connection.py Resolver._asked": (
        "tests/transport/test_connections.py::test_whatever_a_look_up_dies_of_who_waits_hears_it_and_the_next_one_asks_anew"
    ),
    "hub/transport/relay.py Relay._accept": ("tests/transport/test_relay.py::test_a_relay_whose_loop_died_dials_again"),
    "hub/transport/relay.py _carry": ("tests/transport/test_relay.py::test_what_breaks_off_does_not_look_like_an_end"),
    "hub/validation/schematron/saxon.py _serve": (
        "tests/validation/test_validation_schematron.py::test_a_process_that_was_killed_is_replaced"
    ),
}
#: They play the others' part for a while, and hold nothing of anybody's.
SHOWING = ("hub/demo/", "hub/adapter_kit/")


THREADS = {"Thread", "Timer", "start_new_thread"}
POOLS = {"ThreadPoolExecutor", "ProcessPoolExecutor", "create_task", "ensure_future", "TaskGroup", "to_thread"}
#: Calls that wait; a schedule's own ``wait`` is a number.
WAITS = {"wait", "sleep", "sigwaitinfo", "sigtimedwait", "accept", "sock_accept"}
PROCESSES = {"Popen", "Process", "fork"}


def sources():
    """Yield each file that is built, by its name below the checkout, as a tree."""
    for room in ("hub", "adapters"):
        for file in sorted((ROOT / room).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith(SHOWING):
                yield name, ast.parse(file.read_text(encoding="utf-8"))


def begun(names):
    """Return how often each file calls one of ``names``, whatever it is called of."""
    counted = {}
    for file, tree in sources():
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        number = sum(ast.unparse(each).rpartition(".")[2] in names for each in calls)
        if number:
            counted[file] = number
    return counted


def waiting_loops():
    """Yield each loop that waits, as ``file function``: until it is told to end, for ever, or on something that comes."""
    for file, tree in sources():
        for name in sorted(_looping(tree, "")):
            yield f"{file} {name}"


def _looping(node, place):
    """Yield the names of the functions in which a loop waits, each with what it stands in."""
    if isinstance(node, ast.While) and _waits(node):
        yield place
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        place = f"{place}.{node.name}".removeprefix(".")
    for child in ast.iter_child_nodes(node):
        yield from _looping(child, place)


def _waits(loop):
    test = ast.unparse(loop.test)
    if any(word in test for word in (".is_set()", ".wait(", "select(")):
        return True
    calls = [ast.unparse(node.func) for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any((each.rpartition(".")[2] in WAITS and each != "self.wait") or each == "select.select" for each in calls)


def shown(table):
    """Return a table's tests by file, each of which exists."""
    places = {name: [tests] if isinstance(tests, str) else [*tests] for name, tests in table.items()}
    for place in (each for tests in places.values() for each in tests):
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), place
    return places


def test_every_thread_without_a_supervisor_has_a_test_in_which_it_fails():
    assert begun(THREADS) == {name: len(tests) for name, tests in shown(FAULTS).items()}


def test_whatever_is_begun_beside_a_caller_has_a_test_in_which_it_fails():
    assert begun(POOLS | PROCESSES) == {name: len(tests) for name, tests in shown(BESIDE).items()}


def test_every_loop_that_waits_has_a_test_in_which_it_dies():
    assert sorted(set(waiting_loops())) == sorted(LOOPS)
    shown(LOOPS)
