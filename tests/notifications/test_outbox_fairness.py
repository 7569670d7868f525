"""The outbox of callbacks: who is slow delays nobody else, and whatever an attempt dies of is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from hub.notifications.callbacks import CallbackWorker
from hub.notifications.mail import Noticeboard
from hub.store import OutgoingCallback, Store
from hub.transport.connection import Outbound, Posted

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Keys:
    """Opens every secret."""

    def open_secret(self, _sealed: str, *, context: str) -> bytes:
        assert context
        return b"x" * 32


def passing() -> Callable[[], datetime]:
    """A clock that begins at ``NOW`` and goes on."""
    began = datetime.now(UTC)
    return lambda: NOW + (datetime.now(UTC) - began)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Receivers:
    """Answers at once, but for the hosts that hang until they are let go: those give no answer then."""

    def __init__(self, hangs: Callable[[str], bool] = lambda _host: False) -> None:
        self._hangs = hangs
        self._lock = threading.Lock()
        self.let_go = threading.Event()
        self.asked: list[str] = []
        self.hanging = 0
        self.most_hanging = 0
        self.sent = threading.Condition(self._lock)

    def post(self, url: str, _body: bytes, _headers: Any) -> Posted:
        host = urlsplit(url).hostname or ""
        with self._lock:
            self.asked.append(url)
        if not self._hangs(host):
            with self.sent:
                self.sent.notify_all()
            return Posted(status=204, note="HTTP 204")
        with self._lock:
            self.hanging += 1
            self.most_hanging = max(self.most_hanging, self.hanging)
        self.let_go.wait(60)
        with self._lock:
            self.hanging -= 1
        return Posted(status=None, note="no answer in time")

    def answered(self, prefix: str, number: int) -> bool:
        """Wait until so many addresses that begin so were asked."""

        def enough() -> bool:
            return sum(url.startswith(prefix) for url in self.asked) >= number

        with self.sent:
            return self.sent.wait_for(enough, timeout=60)


def worker(store: Store, outbound: Any, clock: Callable[[], datetime], **more: Any) -> CallbackWorker:
    board = Noticeboard(store=store, actor="hub:n", mails=False, operators="")
    return CallbackWorker(store=store, keys=Keys(), outbound=outbound, board=board, node="n", clock=clock, **more)


def put(store: Store, party: str, url: str, *, at: datetime = NOW) -> OutgoingCallback:
    made = OutgoingCallback(
        callback_id=uuid4(), party=party, url=url, secret="s", body="{}", created_at=at, case_id=None
    )
    store.callbacks.add(made)
    return made


class Working:
    """A worker at work in a thread, until the block ends."""

    def __init__(self, worker: CallbackWorker, receivers: Receivers) -> None:
        self._worker, self._receivers = worker, receivers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=worker.run, args=[self._stop])

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._receivers.let_go.set()
        self._thread.join()


SLOW = {
    "many paths on one host": lambda n: f"https://slow.evil.test/{n}",
    "many names of one host": lambda n: f"https://n{n}.evil.test/cb",
    "many hosts": lambda n: f"https://slow.evil{n}.test/cb",
}


@pytest.mark.parametrize("address", SLOW.values(), ids=SLOW)
def test_a_sender_whose_receivers_hang_delays_nobody_elses_callbacks(store, address):
    for number in range(60):
        put(store, "slow", address(number), at=NOW - MINUTE)
    receivers = Receivers(lambda host: "evil" in host)
    with Working(worker(store, receivers, passing()), receivers):
        # While the first ones hang, a hundred others go through: nobody has to be let go for it.
        for number in range(100):
            put(store, f"good{number % 5}", f"https://good{number % 5}.test/{number}")
        assert receivers.answered("https://good", 100)
        assert not receivers.let_go.is_set()
    assert receivers.most_hanging <= 4


def test_senders_that_share_a_host_that_hangs_hold_no_more_than_its_share(store):
    for party in range(8):
        for number in range(5):
            put(store, f"party{party}", f"https://shared.evil.test/{number}", at=NOW - MINUTE)
    receivers = Receivers(lambda host: "evil" in host)
    with Working(worker(store, receivers, passing()), receivers):
        for number in range(40):
            put(store, f"party{number % 8}", f"https://good.test/{number}")
        put(store, "other", "https://good.test/last")
        assert receivers.answered("https://good.test/last", 1)
    assert receivers.most_hanging <= 4


def test_a_slot_is_filled_as_soon_as_it_gets_free_whoever_else_still_waits(store):
    put(store, "slow", "https://slow.evil.test/", at=NOW - MINUTE)
    for number in range(40):
        put(store, "good", f"https://good.test/{number}")
    receivers = Receivers(lambda host: "evil" in host)
    with Working(worker(store, receivers, passing(), batch=2, share=2), receivers):
        assert receivers.answered("https://good.test/", 40)


def test_a_host_that_gave_no_answer_rests_for_all_its_addresses(store):
    clock, receivers = Clock(), Receivers(lambda host: "evil" in host)
    receivers.let_go.set()
    working = worker(store, receivers, clock)
    put(store, "a", "https://slow.evil.test/1")
    assert working.run_once() == 1
    put(store, "b", "https://slow.evil.test/2")
    put(store, "b", "https://SLOW.evil.test:8443/3")
    assert working.run_once() == 2
    assert receivers.asked == ["https://slow.evil.test/1"]
    clock.now += timedelta(hours=2)
    while working.run_once():
        pass
    assert len(receivers.asked) > 1


def test_a_host_rests_for_no_longer_although_the_clock_is_set_back(store):
    clock, receivers = Clock(), Receivers(lambda host: "evil" in host)
    receivers.let_go.set()
    working = worker(store, receivers, clock)
    put(store, "a", "https://slow.evil.test/1")
    assert working.run_once() == 1
    clock.now -= timedelta(days=2)
    put(store, "b", "https://slow.evil.test/2", at=clock.now)
    assert working.run_once() == 1
    assert receivers.asked == ["https://slow.evil.test/1"]
    clock.now += timedelta(minutes=2)
    put(store, "c", "https://slow.evil.test/3", at=clock.now)
    working.run_once()
    assert receivers.asked[1:] == ["https://slow.evil.test/3"] or len(receivers.asked) > 1


def test_a_party_several_of_whose_hosts_gave_no_answer_rests_with_all_its_hosts(store):
    clock, receivers = Clock(), Receivers(lambda host: "evil" in host)
    receivers.let_go.set()
    working = worker(store, receivers, clock)
    for number in range(50):
        put(store, "slow", f"https://n{number}.evil.test/")
    while working.run_once():
        pass
    assert len(receivers.asked) <= 4  # The first share of them; the others were not asked.
    put(store, "good", "https://good.test/")
    working.run_once()
    assert receivers.asked[-1] == "https://good.test/"


def test_on_retries_too_the_turns_are_by_party(store):
    """Callbacks that were tried before are due earlier than fresh ones, and still take only their party's share."""
    clock, receivers = Clock(), Receivers(lambda host: "evil" in host)
    receivers.let_go.set()
    working = worker(store, receivers, clock)
    for number in range(40):
        put(store, "slow", f"https://slow.evil.test/{number}")
    while working.run_once():
        pass
    clock.now += timedelta(hours=3)
    put(store, "good", "https://good.test/", at=clock.now)
    assert working.run_once() <= 5
    assert "https://good.test/" in receivers.asked


# --- the claim ----------------------------------------------------------------------------------------------------------


def claimed(store: Store, *, limit: int, share: int, now: datetime = NOW) -> list[str]:
    found = store.callbacks.claim(now, lease=MINUTE, node="n", limit=limit, share=share)
    return [claim.callback.party for claim in found]


def test_a_claim_takes_everybodys_first_before_anybodys_second(store):
    for number in range(30):
        put(store, "backlog", f"https://a.test/{number}", at=NOW - timedelta(hours=1))
    for party in ("b", "c", "d"):
        put(store, party, "https://b.test/")
    assert sorted(claimed(store, limit=4, share=4)) == ["b", "backlog", "c", "d"]


def test_a_party_gets_no_more_than_its_share_on_all_nodes_until_an_attempt_ends(store):
    for number in range(30):
        put(store, "backlog", f"https://a.test/{number}")
    first = store.callbacks.claim(NOW, lease=MINUTE, node="one", limit=16, share=3)
    assert len(first) == 3
    assert claimed(store, limit=16, share=3) == []
    store.callbacks.record(first[0], sent=True, next_attempt_at=None, note="", now=NOW)
    assert claimed(store, limit=16, share=3) == ["backlog"]
    # Leases that run out make room as well.
    assert len(claimed(store, limit=16, share=3, now=NOW + 2 * MINUTE)) == 3


def test_what_is_postponed_counts_no_attempt_and_a_lost_lease_postpones_nothing(store):
    put(store, "a", "https://a.test/")
    (claim,) = store.callbacks.claim(NOW, lease=MINUTE, node="n", limit=1, share=1)
    assert store.callbacks.postpone([claim], NOW + MINUTE) == 1
    assert store.callbacks.postpone([claim], NOW) == 0
    assert claimed(store, limit=1, share=1) == []
    (again,) = store.callbacks.claim(NOW + MINUTE, lease=MINUTE, node="n", limit=1, share=1)
    assert again.attempt == 1


# --- an attempt that dies -------------------------------------------------------------------------------------------------


class Dies:
    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    def post(self, *_: Any) -> Posted:
        self.asked += 1
        raise self.error


@pytest.mark.parametrize("error", [UnicodeError("label"), RuntimeError("bug"), MemoryError(), SystemExit(1)], ids=repr)
def test_an_attempt_that_dies_is_counted_tried_again_and_given_up_at_the_schedules_end(store, error):
    clock, dies = Clock(), Dies(error)
    made = put(store, "party", "https://receiver.test/")
    working = worker(store, dies, clock)
    for _ in range(90):
        working.run_once()
        clock.now += timedelta(hours=1)
    (given_up,) = store.callbacks.dead().items
    assert given_up.callback_id == made.callback_id
    assert 60 < dies.asked < 90
    assert working.run_once() == 0


def test_a_callback_to_an_impossible_name_that_lies_here_from_before_is_given_up_in_the_end(store):
    clock = Clock()
    put(store, "party", "https://a..example.org/cb")
    working = worker(store, Outbound(), clock)
    for _ in range(90):
        working.run_once()
        clock.now += timedelta(hours=1)
    assert store.callbacks.dead().total == 1
