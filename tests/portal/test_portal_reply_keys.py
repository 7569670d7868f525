"""Key pairs for replies are made ahead, once somebody begins a form, and each is handed out once."""

from __future__ import annotations

import threading

from hub.portal.reply_keys import ReplyKeys, ReplyPair
from hub.supervision import Pauses, Supervisor


def pool(size=2):
    made, lock = [], threading.Lock()

    def make():
        with lock:
            made.append(len(made))
        return ReplyPair(public={"kid": str(made[-1])}, private={})

    return ReplyKeys(size=size, make=make), made


def test_nothing_is_made_before_somebody_begins():
    keys, made = pool()
    keys.start()
    assert made == []
    keys.expect()
    assert keys.take(wait=5) is not None
    keys.close()


def test_no_pair_is_handed_out_twice_and_the_pool_is_filled_up():
    keys, made = pool()
    keys.start()
    names = [keys.take(wait=5).public["kid"] for _ in range(6)]
    assert names == ["0", "1", "2", "3", "4", "5"]
    keys.close()
    # Two wait at most, and one is in the making.
    assert len(made) <= 6 + 3


def test_where_none_is_ready_nobody_waits_for_ever():
    keys = ReplyKeys(size=1)
    assert keys.take(wait=0.01) is None
    keys.close()


def test_a_pool_that_dies_begins_anew():
    deaths = []

    def make():
        if not deaths:
            raise MemoryError
        return ReplyPair(public={}, private={})

    keys = ReplyKeys(size=1, make=make)
    keys.start(Supervisor(pauses=Pauses(first=0.01), fell=deaths.append))
    assert keys.take(wait=5) is not None
    assert deaths == ["reply-keys"]
    keys.close()
