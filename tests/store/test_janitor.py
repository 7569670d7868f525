"""Contents that nobody needs: deleted by the janitor alone, off every path, and nothing is lost but time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from datetime import timedelta

import pytest
import spoiling

from hub.errors import Invalid, Overloaded, StoreUnavailable, Text
from hub.store import LocalBlobs, Provisional, SpillingSink
from hub.store.blobs.contents import Janitor

LONG = timedelta(seconds=60)
_AWAY = StoreUnavailable(Text("weg", "away"))


class Faulty(LocalBlobs):
    """Blobs whose deletion can be made to fail, or to wait; it tells which threads delete."""

    def __init__(self, folder):
        self.fails: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.by: list[str] = []
        super().__init__(folder)

    def delete(self, name):
        self.by.append(threading.current_thread().name)
        self.go_on.wait(60)
        if name in self.fails:
            raise _AWAY
        super().delete(name)


@pytest.fixture
def faulty(tmp_path):
    return Faulty(tmp_path / "blobs")


def put(blobs, content: bytes = b"sealed") -> str:
    with blobs.writer() as writer:
        writer.write(content)
        return writer.commit()


def there(blobs, name: str) -> bool:
    return any(path.name == name for path in blobs.folder.rglob("*"))


def test_who_discards_neither_waits_nor_deletes(faulty):
    name = put(faulty)
    faulty.go_on.clear()
    faulty.discard(name)
    assert there(faulty, name)
    faulty.go_on.set()
    assert faulty.janitor.settle(LONG)
    assert not there(faulty, name)
    assert faulty.by == ["janitor"]


def test_a_content_that_cannot_be_deleted_keeps_none_of_the_others(faulty):
    names = [put(faulty) for _ in range(5)]
    faulty.fails = {names[0], names[2]}
    faulty.discard(*names)
    assert faulty.janitor.settle(LONG)
    assert [there(faulty, name) for name in names] == [True, False, True, False, False]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), SystemExit(1), MemoryError()], ids=repr)
def test_no_error_of_whatever_kind_ends_the_deleting(error):
    deleted = []

    def delete(name):
        if name == "bad":
            raise error
        deleted.append(name)

    janitor = Janitor(delete)
    janitor.discard("bad", "good")
    assert janitor.settle(LONG)
    janitor.discard("bad")
    janitor.discard("better")
    assert janitor.settle(LONG)
    assert deleted == ["good", "better"]


def test_without_a_thread_to_be_had_what_waits_is_deleted_with_the_next(monkeypatch):
    deleted = []
    janitor = Janitor(deleted.append)
    refused = spoiling.give_no_thread(monkeypatch, "janitor")
    janitor.discard("a", "b")
    assert (refused, deleted) == (["janitor"], [])
    assert not janitor.settle(timedelta(0))
    monkeypatch.undo()
    janitor.discard("c")
    assert janitor.settle(LONG)
    assert deleted == list("abc")


def test_the_queue_is_bounded_and_what_it_has_no_room_for_is_left_to_the_sweep(caplog):
    go_on, deleted = threading.Event(), []

    def delete(name):
        go_on.wait(60)
        deleted.append(name)

    janitor = Janitor(delete, waiting=3)
    janitor.discard(*"abcde")
    janitor.discard("f")
    go_on.set()
    assert janitor.settle(LONG)
    assert deleted == list("abc")
    assert "left to the sweep" in caplog.text


def test_a_thread_that_went_home_comes_back(faulty):
    for _ in range(2):
        name = put(faulty)
        faulty.discard(name)
        assert faulty.janitor.settle(LONG)
        end = time.monotonic() + 60
        while any(thread.name == "janitor" for thread in threading.enumerate()) and time.monotonic() < end:
            time.sleep(0.05)
        assert not there(faulty, name)


def test_what_is_discarded_is_not_listed_for_the_sweep(faulty):
    from datetime import UTC, datetime

    kept, dropped = put(faulty), put(faulty)
    faulty.discard(dropped)
    assert list(faulty.names(datetime(2999, 1, 1, tzinfo=UTC))) == [kept]


# ---------------------------------------------------------------------------------------------------- provisional


def spilled(contents: Provisional) -> str:
    sink = SpillingSink(contents, inline_limit=0)
    sink.write(b"sealed")
    name = sink.finish()[1]
    assert name is not None
    return name


def stored(result=None, error=None) -> Future:
    future: Future = Future()
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
    return future


def test_a_request_that_ends_leaves_neither_whole_nor_half_contents(faulty):
    contents = Provisional(faulty)
    spilled(contents)
    SpillingSink(contents, inline_limit=0).write(b"half")
    assert contents.abandon()
    assert faulty.janitor.settle(LONG)
    assert not [path for path in faulty.folder.rglob("*") if path.is_file()]


def test_a_request_that_ends_after_the_commit_took_over_changes_nothing(faulty):
    contents = Provisional(faulty)
    name = spilled(contents)
    contents.own()
    assert not contents.abandon()
    assert contents.follow(stored("yes"), str.upper).result(60) == "YES"
    assert faulty.janitor.settle(LONG)
    assert there(faulty, name)


def test_a_commit_cannot_take_over_what_was_given_up(faulty):
    contents = Provisional(faulty)
    writer = contents.writer()
    writer.write(b"half")
    contents.abandon()
    with pytest.raises(StoreUnavailable):
        contents.own()
    with pytest.raises(StoreUnavailable):
        contents.writer()
    assert faulty.janitor.settle(LONG)
    for use in (lambda: writer.write(b"more"), writer.commit):
        with pytest.raises(StoreUnavailable):
            use()
    assert faulty.janitor.settle(LONG)
    assert not [path for path in faulty.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("result", "error", "kept"),
    [
        ("new", None, True),
        ("repeat", None, False),
        (None, Invalid(Text("nein", "no")), False),
        (None, Overloaded(Text("voll", "full")), False),
        (None, _AWAY, True),
        (None, RuntimeError("nobody knows"), True),
    ],
    ids=["stored", "a repeat", "refused", "turned away", "a lost answer", "a bug"],
)
def test_only_what_certainly_was_not_stored_is_given_up_and_who_waits_is_told_first(faulty, result, error, kept):
    contents = Provisional(faulty)
    name = spilled(contents)
    contents.own()
    faulty.go_on.clear()
    commit: Future = Future()
    answer_to = contents.follow(commit, lambda came: came, repeated=lambda came: came == "repeat")
    commit.set_result(result) if error is None else commit.set_exception(error)
    assert answer_to.exception(60) is error
    faulty.go_on.set()
    assert faulty.janitor.settle(LONG)
    assert there(faulty, name) is kept


def test_an_answer_that_cannot_be_made_is_told_to_who_waits(faulty):
    def answer(_):
        raise ZeroDivisionError

    answer_to = Provisional(faulty).follow(stored("yes"), answer)
    assert isinstance(answer_to.exception(60), ZeroDivisionError)


def test_whichever_comes_first_giving_up_or_committing_a_content_is_gone_or_owned(faulty):
    """A thread that writes and a request that ends meet at any moment."""
    for _ in range(100):
        contents, owned = Provisional(faulty), []

        def store(contents=contents, owned=owned):
            try:
                name = spilled(contents)
                contents.own()
            except StoreUnavailable:
                return
            owned.append(name)

        writing = threading.Thread(target=store)
        writing.start()
        given_up = contents.abandon()
        writing.join()
        assert given_up is not bool(owned)
    assert faulty.janitor.settle(LONG)
    assert not list((faulty.folder / "unfinished").iterdir())
