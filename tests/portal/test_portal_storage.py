"""What the portal keeps of applications: read by the key's holder alone, whole or not at all, and gone at its end."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.engine.default import DefaultDialect
from stage import CANARY, NOW
from store_servers import ENGINES

from hub.errors import ConfigurationError, Conflict, NotFound, Overloaded, SealBroken, StoreUnavailable, TooLarge
from hub.portal import database as tables
from hub.portal.database import PortalDatabase
from hub.portal.storage import PART_SIZE, FormKey, FormPurpose, FormStorage, StorageLimits

HOUR = timedelta(hours=1)
CONTENT = f'{{"name": "{CANARY}"}}'.encode()
LIMIT = 100 * 1024 * 1024


def emptied(url: str) -> None:
    engine = create_engine(url)
    tables.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture(params=ENGINES)
def form_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a portal may keep forms, once per engine; nothing lies there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/portal/forms.sqlite"
    url: str = request.getfixturevalue("postgresql_url")
    emptied(url)
    return url


@pytest.fixture
def open_forms(form_url: str) -> Iterator[Callable[..., FormStorage]]:
    opened: list[FormStorage] = []

    def open_one(**limits: Any) -> FormStorage:
        opened.append(FormStorage(PortalDatabase(form_url), limits=StorageLimits(**limits)))
        return opened[-1]

    yield open_one
    for each in opened:
        each.database.close()


@pytest.fixture
def forms(open_forms: Callable[..., FormStorage]) -> FormStorage:
    return open_forms()


def running(forms: FormStorage, content: bytes = CONTENT) -> FormKey:
    key = FormKey.new()
    forms.create(key, content, purpose=FormPurpose.RUNNING, now=NOW, ends=NOW + HOUR)
    return key


def rows(forms: FormStorage) -> dict[str, list[Any]]:
    with forms.database.reading() as connection:
        return {table.name: list(connection.execute(select(table)).all()) for table in tables.metadata.sorted_tables}


def change(forms: FormStorage, statement: Any) -> None:
    with forms.database.writing() as connection:
        assert connection.execute(statement).rowcount == 1


def bytes_of(forms: FormStorage, key: FormKey, identifier: str) -> bytes:
    return b"".join(forms.attachment(key, identifier))


def test_a_form_is_read_by_its_key_and_grows_by_revisions(forms):
    key = running(forms)
    kept = forms.read(key, now=NOW)
    assert (kept.content, kept.revision, kept.purpose) == (CONTENT, 1, FormPurpose.RUNNING)
    assert forms.write(key, b"more", revision=1, now=NOW, ends=NOW + HOUR) == 2
    assert forms.read(FormKey.read(key.text()), now=NOW).content == b"more"
    assert forms.read(FormKey.new(), now=NOW) is None
    with pytest.raises(SealBroken):
        forms.read(replace(key, key=bytes(32)), now=NOW)
    forms.delete(key)
    assert forms.read(key, now=NOW) is None


def test_a_cookie_that_is_none_is_no_key():
    key = FormKey.new()
    assert FormKey.read(key.text()) == key
    assert key.text().startswith(key.identifier)
    assert repr(key.key) not in repr(key)
    for written in ("", "x", key.text() + "x", key.identifier, key.text().replace(".", "/"), "." * 66):
        assert FormKey.read(written) is None


def test_a_thief_of_database_and_disk_reads_nothing(forms, form_url, tmp_path):
    key = running(forms)
    identifier = forms.attach(key, [CANARY.encode() * 1000], limit=LIMIT, now=NOW)
    forms.write(key, CONTENT * 2, revision=1, now=NOW, ends=NOW + HOUR)
    assert bytes_of(forms, key, identifier) == CANARY.encode() * 1000
    secrets = [CANARY.encode(), key.identifier.encode(), key.key, key.text().encode(), identifier.encode()]
    stolen = [repr(rows(forms)).encode(), *(bytes(row.content) for row in rows(forms)["portal_forms"])]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert bool(files) == form_url.startswith("sqlite")
    stolen += [path.read_bytes() for path in files]
    assert [secret for secret in secrets for thing in stolen if secret in thing] == []
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files)


def test_what_was_put_elsewhere_does_not_open(forms):
    one, other = running(forms), running(forms, b"other")
    forms.write(one, b"new", revision=1, now=NOW, ends=NOW + HOUR)
    first = {row.name: row for row in rows(forms)["portal_forms"]}[one.name]
    table = tables.forms
    forms.write(one, b"newer", revision=2, now=NOW, ends=NOW + HOUR)
    mine = table.c.name == one.name
    as_it_is = {row.name: row for row in rows(forms)["portal_forms"]}
    spoilt = {
        "an older content as the newest revision": {"content": first.content},
        "another's content": {"content": as_it_is[other.name].content},
        "kept for another purpose": {"purpose": "followed"},
        "kept for no purpose": {"purpose": "x"},
        "a later revision": {"revision": 9},
        "no content": {"content": b""},
    }
    for name, values in spoilt.items():
        change(forms, update(table).where(mine).values(values))
        with pytest.raises(SealBroken):
            pytest.fail(f"{name}: {forms.read(one, now=NOW)}")
        keep = {column: getattr(as_it_is[one.name], column) for column in ("content", "purpose", "revision")}
        change(forms, update(table).where(mine).values(keep))
    assert forms.read(one, now=NOW).content == b"newer"


def test_parts_of_attachments_that_were_swapped_or_cut_do_not_open(forms):
    key = running(forms)
    content = bytes(range(256)) * (10 * 1024) + b"end"
    ids = [forms.attach(key, [content], limit=LIMIT, now=NOW) for _ in range(2)]
    assert bytes_of(forms, key, ids[0]) == content
    table, attached = tables.parts, rows(forms)["portal_attachments"]
    assert [row.parts for row in attached] == [3, 3]
    parts = {(row.attachment_id, row.number): row.content for row in rows(forms)["portal_parts"]}
    assert max(map(len, parts.values())) <= PART_SIZE + 28
    mine = attached[0].id
    name = next(each for each in ids if forms_name(key, each) == attached[0].name)

    def place(number: int) -> Any:
        return (table.c.attachment_id == mine) & (table.c.number == number)

    for number, foreign in ((0, (mine, 1)), (0, (attached[1].id, 0)), (2, (attached[1].id, 2))):
        change(forms, update(table).where(place(number)).values(content=parts[foreign]))
        with pytest.raises(SealBroken):
            bytes_of(forms, key, name)
        change(forms, update(table).where(place(number)).values(content=parts[mine, number]))
    change(forms, table.delete().where(place(2)))
    change(forms, update(tables.attachments).where(tables.attachments.c.id == mine).values(parts=2))
    with pytest.raises(SealBroken):
        bytes_of(forms, key, name)


def forms_name(key: FormKey, identifier: str) -> str:
    from hub.portal.storage import _attachment_name

    return _attachment_name(key, identifier)


def test_a_second_tab_does_not_overwrite_the_first(forms):
    key = running(forms)
    forms.write(key, b"tab one", revision=1, now=NOW, ends=NOW + HOUR)
    with pytest.raises(Conflict) as refused:
        forms.write(key, b"tab two", revision=1, now=NOW, ends=NOW + HOUR)
    assert refused.value.slug == "overtaken"
    assert forms.read(key, now=NOW).content == b"tab one"
    with pytest.raises(NotFound):
        forms.write(FormKey.new(), b"x", revision=1, now=NOW, ends=NOW + HOUR)


def test_of_many_who_write_at_once_one_wins(open_forms):
    forms, other = open_forms(), open_forms()
    key = running(forms)
    won: list[int] = []

    def write(number: int) -> None:
        try:
            (forms, other)[number % 2].write(key, b"%d" % number, revision=1, now=NOW, ends=NOW + HOUR)
        except Conflict:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(won) == 1
    assert other.read(key, now=NOW).content == b"%d" % won[0]


def test_a_running_form_ends_an_hour_after_its_last_use_and_a_saved_one_when_it_was_said(forms):
    key, saved = running(forms), FormKey.new()
    ends = NOW + timedelta(days=28)
    forms.create(saved, b"saved", purpose=FormPurpose.SAVED, now=NOW, ends=ends)
    assert forms.read(key, now=NOW + timedelta(minutes=50)).ends == NOW + HOUR, "nobody answered it yet"
    forms.write(key, CONTENT, revision=1, now=NOW, ends=NOW + HOUR)
    assert forms.read(key, now=NOW + timedelta(minutes=50)).ends == NOW + timedelta(minutes=110)
    assert forms.read(key, now=NOW + timedelta(minutes=109)) is not None
    assert forms.read(key, now=NOW + timedelta(minutes=170)) is None
    assert forms.expire(NOW + timedelta(minutes=170)) == 1
    assert forms.read(saved, now=ends - timedelta(seconds=1)).ends == ends
    assert forms.read(saved, now=ends) is None
    assert forms.expire(ends) == 1
    assert rows(forms)["portal_forms"] == []


def test_ended_forms_go_in_batches_with_all_that_belongs_to_them(forms, monkeypatch):
    monkeypatch.setattr("hub.portal.storage._BATCH", 3)
    keys = [running(forms) for _ in range(7)]
    for key in keys[:2]:
        forms.attach(key, [b"x" * 100], limit=LIMIT, now=NOW)
    commits = commits_of(monkeypatch)
    assert forms.expire(NOW + HOUR) == 7
    assert len(commits) == 5
    found = rows(forms)
    assert [found[name] for name in ("portal_forms", "portal_attachments", "portal_parts")] == [[], [], []]


def test_what_was_deleted_is_overwritten_on_the_disk(tmp_path):
    forms = FormStorage(PortalDatabase(f"sqlite:///{tmp_path}/forms.sqlite"))
    key = running(forms)
    (row,) = rows(forms)["portal_forms"]
    forms.delete(key)
    with forms.database.writing() as connection:
        connection.commit()
    forms.database.close()  # The last connection writes the log home and removes it.
    assert not (tmp_path / "forms.sqlite-wal").exists()
    assert row.content not in (tmp_path / "forms.sqlite").read_bytes()


def test_an_attachment_that_breaks_off_leaves_nothing(forms):
    key = running(forms)

    def cancelled() -> Iterator[bytes]:
        yield b"x" * (3 * PART_SIZE)
        assert len(rows(forms)["portal_parts"]) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forms.attach(key, cancelled(), limit=LIMIT, now=NOW)
    with pytest.raises(TooLarge):
        forms.attach(key, [b"x" * (2 * PART_SIZE)] * 2, limit=3 * PART_SIZE, now=NOW)
    assert (rows(forms)["portal_parts"], rows(forms)["portal_attachments"]) == ([], [])
    assert rows(forms)["portal_forms"][0].attached == 0
    empty = forms.attach(key, [], limit=LIMIT, now=NOW)
    assert bytes_of(forms, key, empty) == b""
    forms.detach(key, empty)
    with pytest.raises(NotFound):
        forms.attachment(key, empty)
    assert rows(forms)["portal_forms"][0].attached == 0


def test_an_attachment_whose_process_died_is_never_seen_and_goes_with_the_next_sweep(forms, monkeypatch):
    key = running(forms)
    monkeypatch.setattr(FormStorage, "_abandon", lambda *_: None)

    def died() -> Iterator[bytes]:
        yield b"x" * (2 * PART_SIZE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forms.attach(key, died(), limit=LIMIT, now=NOW)
    (row,) = rows(forms)["portal_attachments"]
    assert not row.whole
    forms.write(key, b"still used", revision=1, now=NOW, ends=NOW + 3 * HOUR)
    assert forms.expire(NOW + HOUR) == 1
    assert (rows(forms)["portal_parts"], rows(forms)["portal_forms"][0].attached) == ([], 0)
    assert forms.read(key, now=NOW + HOUR).content == b"still used"


def test_a_form_moves_under_another_key_whole_or_not_at_all(forms):
    key, saved = running(forms), FormKey.new()
    content = b"pdf" * PART_SIZE
    identifier = forms.attach(key, [content], limit=LIMIT, now=NOW)
    given = {"purpose": FormPurpose.SAVED, "now": NOW, "ends": NOW + 28 * HOUR}
    forms.copy(key, saved, b"first", attached=[identifier], **given)
    forms.delete(key)
    assert forms.read(saved, now=NOW + 2 * HOUR).content == b"first"
    again = FormKey.new()
    forms.copy(saved, again, b"going on", attached=[identifier], **given)
    with pytest.raises(NotFound):
        forms.copy(again, saved, b"broken", attached=[identifier, "0" * 32], **given)
    assert forms.read(saved, now=NOW).content == b"first"
    forms.copy(again, saved, b"second", attached=[], **given)
    assert forms.read(saved, now=NOW).content == b"second"
    assert bytes_of(forms, again, identifier) == content
    with pytest.raises(NotFound):
        forms.attachment(saved, identifier)
    assert len(rows(forms)["portal_forms"]) == 2
    with pytest.raises(NotFound):
        forms.copy(key, saved, b"x", attached=[], **given)


def test_two_portals_share_what_they_keep(open_forms):
    one, other = open_forms(), open_forms()
    key = running(one)
    identifier = other.attach(key, [b"x" * 10], limit=LIMIT, now=NOW)
    assert bytes_of(one, key, identifier) == b"x" * 10
    other.write(key, b"there", revision=1, now=NOW, ends=NOW + HOUR)
    assert one.read(key, now=NOW).content == b"there"


def test_what_is_kept_is_bounded_in_number_and_bytes(open_forms):
    small = open_forms(forms=2, form_size=1000, size=4800, attachments=2, attached_size=2500)
    key = running(small)
    other = running(small)
    with pytest.raises(Overloaded):
        running(small)
    with pytest.raises(TooLarge):
        small.write(key, b"x" * 1000, revision=1, now=NOW, ends=NOW + HOUR)
    small.attach(key, [b"x" * 1200], limit=LIMIT, now=NOW)
    with pytest.raises(TooLarge):
        small.attach(key, [b"x" * 1400], limit=LIMIT, now=NOW)
    small.attach(key, [b"x" * 1000], limit=LIMIT, now=NOW)
    with pytest.raises(TooLarge):
        small.attach(key, [b""], limit=LIMIT, now=NOW)
    with pytest.raises(Overloaded):
        small.attach(other, [b"x" * 2450], limit=LIMIT, now=NOW)
    small.delete(other)
    assert running(small)


def refuse_commits(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Have every database say at COMMIT that it could not, after so many that it could."""
    real, done = DefaultDialect.do_commit, []

    def refuse(dialect: Any, connection: Any) -> None:
        if len(done) >= after:
            raise dialect.loaded_dbapi.OperationalError("disk I/O error")
        done.append(connection)
        real(dialect, connection)

    monkeypatch.setattr(DefaultDialect, "do_commit", refuse)


def commits_of(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    real, made = DefaultDialect.do_commit, []

    def noted(dialect: Any, connection: Any) -> None:
        made.append(dialect)
        real(dialect, connection)

    monkeypatch.setattr(DefaultDialect, "do_commit", noted)
    return made


def test_a_commit_that_fails_leaves_all_as_it_was_and_works_the_next_time(forms):
    key, fresh, saved = running(forms), FormKey.new(), FormKey.new()
    content = b"x" * (PART_SIZE + 1)
    identifier = forms.attach(key, [content], limit=LIMIT, now=NOW)
    until = {"now": NOW, "ends": NOW + HOUR}
    calls: dict[str, tuple[int, Callable[[], Any]]] = {
        "create": (1, lambda: forms.create(fresh, CONTENT, purpose=FormPurpose.SAVED, **until)),
        "write": (1, lambda: forms.write(key, b"new", revision=1, **until)),
        "attach": (3, lambda: forms.attach(key, [content], limit=LIMIT, now=NOW)),
        "copy": (5, lambda: forms.copy(key, saved, b"", attached=[identifier], purpose=FormPurpose.SAVED, **until)),
        "detach": (1, lambda: forms.detach(key, identifier)),
        "delete": (1, lambda: forms.delete(key)),
        "expire": (1, lambda: forms.expire(NOW + HOUR)),
    }
    for name, (commits, call) in calls.items():
        before = visible(forms)
        for after in range(commits):
            with pytest.MonkeyPatch.context() as patched:
                refuse_commits(patched, after=after)
                with pytest.raises(StoreUnavailable):
                    call()
            assert visible(forms) == before, (name, after)
        call()
        assert visible(forms) != before, name
    assert rows(forms)["portal_forms"] == rows(forms)["portal_parts"] == []


def visible(forms: FormStorage) -> list[Any]:
    """What people can see: named forms, and attachments that are whole."""
    found = rows(forms)
    named = {row.id: row.name for row in found["portal_forms"] if row.name}
    whole = [
        (named[row.form_id], row.name) for row in found["portal_attachments"] if row.whole and row.form_id in named
    ]
    return sorted(whole) + sorted((row.name, row.revision) for row in found["portal_forms"] if row.name)


def test_a_database_of_another_version_is_refused_and_left_alone(form_url):
    with closing(PortalDatabase(form_url)) as opened, opened.writing() as connection:
        connection.execute(update(tables.version).values(version=99))
    for _ in range(2):
        with pytest.raises(ConfigurationError) as refused:
            PortalDatabase(form_url)
        assert "99" in refused.value.detail.en
    with pytest.raises(ConfigurationError) as unnamed:
        PortalDatabase("mysql://otto:geheim@example/x")
    assert "geheim" not in str(unnamed.value.detail)


def test_a_database_that_is_away_is_an_outage_and_no_riddle(tmp_path):
    forms = FormStorage(PortalDatabase(f"sqlite:///{tmp_path}/forms.sqlite?timeout=0.1"))
    key = running(forms)
    with closing(sqlite3.connect(tmp_path / "forms.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            forms.write(key, b"x", revision=1, now=NOW, ends=NOW + HOUR)
        assert forms.read(key, now=NOW).content == CONTENT
    forms.database.close()
    (tmp_path / "plain").write_text("no folder")
    with pytest.raises(StoreUnavailable):
        PortalDatabase(f"sqlite:///{tmp_path}/plain/forms.sqlite")


def test_a_file_that_was_open_to_others_is_closed_to_them(tmp_path):
    file = tmp_path / "forms.sqlite"
    file.touch(0o644)
    file.chmod(0o644)
    PortalDatabase(f"sqlite:///{file}").close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version FROM portal_version").fetchall() == [(tables.VERSION,)]


def test_nothing_is_said_of_values_that_a_database_refused(open_forms):
    forms = open_forms()
    key = running(forms)
    with pytest.raises(Conflict) as refused:
        forms.create(key, CONTENT, purpose=FormPurpose.RUNNING, now=NOW, ends=NOW + HOUR)
    assert key.identifier not in repr(refused.value.__cause__)
    assert CANARY not in repr(refused.value.__cause__)
    with forms.database.reading() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
