"""A PostgreSQL full of queued deliveries: one accepted application, copied in the database with ids of its own."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import requests
from sqlalchemy import Engine, Table, create_engine, text

from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.crash.scenery import copy_to_postgresql, make_data
from benchmarks.payload import building_application
from hub import app
from hub.config import load_settings
from hub.model.clock import utc_now
from hub.model.submission import Application, Cover, MediaType
from hub.store import Store, tables

EXAMPLE = building_application()
SERVICE, AREA = "urn:de:fim:leika:leistung:99012008001000", "064390015015"
#: Microseconds until the first of deliveries that fall due one after the other: everything is running by then.
_SOON = 5_000_000
_PATIENCE = 120.0
#: What a copy does not share with its original.
_OWN = {
    "case_id": "f.case_id",
    "message_id": "f.message_id",
    "submission_id": "f.message_id",
    "subject_id": "f.message_id",
    "delivery_id": "f.delivery_id",
    "destination_id": "f.destination_id",
    "jti": "gen_random_uuid()::text",
    # Signed long ago, as what lies in a backlog is: the duty that signs has only the new ones to do.
    "jws": "'signed'",
    "next_attempt_at": "f.due",
    "accepted_at": "f.due",
}
_ON_DISK = ("listen_addresses=", "max_connections=80", "shared_buffers=256MB", "max_wal_size=4GB")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hall:
    """A server with the demo's parties, a data folder that belongs to it, and a submission to copy."""

    server: Postgresql
    data: Path
    engine: Engine
    template: str
    origin: UUID

    @property
    def url(self) -> str:
        return self.server.url

    def receivers(self, configs: Sequence[Mapping[str, Any]], adapter: str) -> list[UUID]:
        """Add a receiver for each of ``configs``, the options of its ``adapter``; it wants no callbacks."""
        store = Store(self.url)
        original = store.parties.destination(self.origin)
        assert original is not None
        made = [
            replace(
                original,
                destination_id=uuid4(),
                name=f"Amt {n}",
                adapter=adapter,
                adapter_config=config,
                callback=None,
            )
            for n, config in enumerate(configs)
        ]
        for one in made:
            store.parties.add_destination(one)
        store.close()
        return [one.destination_id for one in made]

    def fill(self, destinations: Sequence[UUID], each: int, *, seconds: float = 0.0) -> None:
        """Queue ``each`` copies for every one of ``destinations``: due now, or evenly over the next ``seconds``."""
        values = {
            "ids": json.dumps([str(one) for one in destinations]),
            "each": each,
            "due": time.time_ns() // 1000 + (_SOON if seconds else 0),
            "step": int(seconds * 1_000_000 / each),
        }
        with self.engine.begin() as connection:
            connection.execute(text(_FRESH), values)
            for table, key in _COPIED:
                connection.execute(text(_copy(table, key)), {"template": self.template})
            connection.execute(text("DROP TABLE fresh"))
        self._tidy()

    def keep(self, destinations: Sequence[UUID], each: int) -> None:
        """Store ``each`` copies for every one of ``destinations`` that are over, as retention leaves them: without contents."""
        values = {"ids": json.dumps([str(one) for one in destinations]), "each": each, "due": 0, "step": 0}
        with self.engine.begin() as connection:
            connection.execute(text(_FRESH), values)
            for table, key in _COPIED:
                if table is not tables.contents:
                    connection.execute(text(_copy(table, key)), {"template": self.template})
            for statement in _OVER:
                connection.execute(text(statement))
            connection.execute(text("DROP TABLE fresh"))
        self._tidy()

    def left(self) -> int:
        """Return how many deliveries are queued."""
        return int(
            self.rows("SELECT count(*) FROM deliveries WHERE state = 'queued' AND next_attempt_at IS NOT NULL")[0][0]
        )

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """Ask the database."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def put_aside(self) -> None:
        """Let nothing be due."""
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE deliveries SET next_attempt_at = NULL WHERE state = 'queued'"))

    def empty(self) -> None:
        """Take everything away but the submission to copy."""
        with self.engine.begin() as connection:
            for statement in _EMPTY:
                connection.execute(text(statement), {"template": self.template})
        self._tidy()

    def _tidy(self) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


_FRESH = """
CREATE TEMP TABLE fresh AS
SELECT gen_random_uuid()::text AS case_id, gen_random_uuid()::text AS message_id, gen_random_uuid()::text AS delivery_id,
    d.id AS destination_id, CAST(:due AS BIGINT) + CAST(g * :step + random() * :step AS BIGINT) AS due
FROM generate_series(1, :each) g CROSS JOIN json_array_elements_text(CAST(:ids AS JSON)) AS d(id)
"""
_COPIED: tuple[tuple[Table, str], ...] = (
    (tables.cases, "case_id = (SELECT case_id FROM messages WHERE message_id = :template)"),
    (tables.messages, "message_id = :template"),
    (tables.contents, "message_id = :template"),
    (tables.events, "subject_id = :template"),
    (tables.deliveries, "submission_id = :template"),
)
_OVER = (
    "UPDATE deliveries SET state = 'delivered', next_attempt_at = NULL WHERE delivery_id IN (SELECT delivery_id FROM fresh)",
    "UPDATE messages m SET state = 'accepted' FROM fresh f WHERE f.message_id = m.message_id",
)
_EMPTY = (
    "DELETE FROM attempts",
    "DELETE FROM callbacks",
    "DELETE FROM circuits",
    "DELETE FROM circuit_changes",
    "DELETE FROM deliveries WHERE submission_id <> :template",
    "DELETE FROM events WHERE subject_id <> :template",
    "DELETE FROM contents WHERE message_id <> :template",
    "DELETE FROM messages WHERE message_id <> :template",
    "DELETE FROM cases WHERE case_id NOT IN (SELECT case_id FROM messages)",
    "DELETE FROM destinations WHERE name LIKE 'Amt %'",
)


def _copy(table: Table, key: str) -> str:
    columns = [column.name for column in table.columns if column.autoincrement is not True]
    values = ", ".join(_OWN.get(name, f"t.{name}") for name in columns)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {values} FROM fresh f, {table.name} t WHERE t.{key}"


@contextmanager
def hall() -> Iterator[Hall]:
    """Start a PostgreSQL on disk, with its synchronous commit, and put one application into it."""
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    with (
        tempfile.TemporaryDirectory(prefix="hub-full-") as name,
        Postgresql(programs, parent=Path(tempfile.gettempdir()), settings=_ON_DISK) as server,
    ):
        data = Path(name) / "data"
        make_data(data)
        copy_to_postgresql(data, server.url)
        engine = create_engine(server.url)
        template, origin = _accept(data, server.url, engine)
        yield Hall(server=server, data=data, engine=engine, template=template, origin=UUID(origin))
        engine.dispose()


def _accept(data: Path, url: str, engine: Engine) -> tuple[str, str]:
    """Take in one application, put its delivery aside, and return its id and its receiver's."""
    hub = app.build(load_settings(data, {}, database_url=url, disk_watermark_bytes=0))
    cover = Cover(sender=sender_of(data)["client_id"], service=SERVICE, area=AREA)
    application = Application(cover=cover, media_type=MediaType.XML, data=EXAMPLE)
    with hub.intake.open(cover, now=utc_now()) as reception:
        reception.accept(application, now=utc_now()).result(30)
    hub.close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE deliveries SET next_attempt_at = NULL"))
        found = connection.execute(text("SELECT message_id, destination_id FROM messages")).one()
    return found.message_id, found.destination_id


def sender_of(data: Path) -> dict[str, str]:
    """Return the demo sender's client id and secret."""
    found: dict[str, str] = json.loads((data / "demo.json").read_text(encoding="utf-8"))["sender"]
    return found


def token_of(data: Path, port: int) -> str:
    """Return a token for the demo's sender, as soon as the server gives one."""
    login = {"grant_type": "client_credentials", **sender_of(data)}
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            answer = requests.post(f"http://127.0.0.1:{port}/token", data=login, timeout=10)
            return str(answer.json()["access_token"])
        except requests.RequestException:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def application_request(
    port: int, token: str, *, keyed: bool, area: str = AREA, document: bytes | None = None
) -> Callable[[int], bytes]:
    """Return a function that writes the n-th request with an application, with an idempotency key of its own if ``keyed``.

    Without a ``document`` it is the example.
    """
    target = "/hub/v1/applications?" + urlencode({"service": SERVICE, "ars": area})
    document = EXAMPLE if document is None else document
    always = (
        f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/xml\r\nContent-Length: {len(document)}\r\n"
    )

    def request(_: int) -> bytes:
        key = f"Idempotency-Key: {uuid4().hex}\r\n" if keyed else ""
        return f"{always}{key}\r\n".encode() + document

    return request
