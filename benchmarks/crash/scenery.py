"""A hub's data folder whose building authority is the receiver here, and the same on PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from sqlalchemy import create_engine, insert, select

from benchmarks.crash.account import Account, reckon
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.nodes import BYTECODE, HUB, Node, surroundings
from benchmarks.crash.receiver import Receiver
from benchmarks.crash.senders import Senders, login_of
from hub import app
from hub.config import load_settings
from hub.demo.cast import prepare
from hub.model import EVERYTHING
from hub.model.clock import utc_now
from hub.store import LocalBlobs, Store, tables

#: Leases and waits are short, so that what a dead process held comes back within the run.
ENVIRONMENT = {
    "HUB_ALLOW_PRIVATE_ADDRESSES": "true",
    "HUB_DISK_WATERMARK_BYTES": "0",
    "HUB_BASE_URL": "http://127.0.0.1:8080",
    "HUB_LEASE_SECONDS": "3",
    "HUB_RETRY_FIRST_SECONDS": "1",
    "HUB_RETRY_LONGEST_SECONDS": "2",
}


#: What :func:`set_up` does, as releases of before have it.
_SET_UP = "scenery.copy_to_postgresql(Path(a[0]), a[1]); scenery._point_at(Path(a[0]), a[1], a[2])"
MAKE_DATA = "scenery.make_data(Path(a[0]))"


def by_release(tree: Path, statement: str, *arguments: object) -> None:
    """Run a statement on this module (as ``scenery``) of another release's tree; ``a`` holds the arguments as texts."""
    program = (
        f"import sys; from pathlib import Path; from benchmarks.crash import scenery; a = sys.argv[1:]; {statement}"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        cwd=tree,
        env={**os.environ, **BYTECODE, **surroundings(tree)},
        check=True,
        timeout=120,
    )


def make_data(data: Path) -> None:
    """Make keys, tables and parties (some seconds)."""
    hub = app.build(load_settings(data, {}))
    prepare(hub, say=lambda _: None)
    hub.close()


def copy_to_postgresql(data: Path, url: str) -> None:
    """Bring the parties of a folder into a PostgreSQL database; the folder's own database is dropped."""
    there = Store(url)
    there.migrate()
    there.close()
    source, target = create_engine(f"sqlite:///{data / 'hub.sqlite'}"), create_engine(url)
    with source.connect() as reading, target.begin() as writing:
        for table in (tables.clients, tables.destinations, tables.destination_keys):
            rows = [dict(row._mapping) for row in reading.execute(select(table))]  # noqa: SLF001  # the public name
            writing.execute(insert(table), rows)
    source.dispose()
    target.dispose()
    for file in data.glob("hub.sqlite*"):
        file.unlink()


@dataclass(kw_only=True)
class Scene:
    """One hub of some processes, its senders and its receiver."""

    data: Path
    database_url: str
    folder: Path
    receiver: Receiver
    promises: Ledger
    nodes: list[Node] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    wrong_clocks: bool = False

    def node(self, name: str, *command: str, program: tuple[str, ...] = HUB, own_data: bool = False) -> Node:
        """Add a process; it is not started yet. In a scene of wrong clocks it takes its time from a file of its own.

        With ``own_data`` it is no process of the hub: its command says where its data are.
        """
        env = ENVIRONMENT | self.env | ({"HUB_DATABASE_URL": self.database_url} if self.database_url else {})
        program = ("benchmarks.crash.wrong_clock", str(self.clock_of(name))) if self.wrong_clocks else program
        made = Node(name, None if own_data else self.data, command, env, self.folder, program=program)
        self.nodes.append(made)
        return made

    def clock_of(self, name: str) -> Path:
        """Return the file that says by how many seconds a node's clock is wrong."""
        return self.folder / f"{name}.clock"

    def urls(self) -> list[str]:
        return [node.base_url for node in self.nodes if node.serves and node.alive]

    def senders(self, *, threads: int = 4, rate: float = 30.0) -> Senders:
        return Senders(self.urls, login_of(self.data), self.promises, threads=threads, rate=rate)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Look into the store beside the processes."""
        url = self.database_url or f"sqlite:///{self.data / 'hub.sqlite'}"
        opened = Store(url, blobs=LocalBlobs(self.data / "blobs"))
        try:
            yield opened
        finally:
            opened.close()

    def drain(self, seconds: float) -> int:
        """Wait until nothing is open any more; return how much is."""
        end = time.monotonic() + seconds
        with self.store() as store:
            while True:
                left = sum(each.count for each in store.deliveries.backlog() if each.state == "queued")
                if not left or time.monotonic() > end:
                    return left
                time.sleep(0.2)

    def redrive(self) -> int:
        """Send every dead delivery again; return how many there were."""
        with self.store() as store:
            dead = store.deliveries.dead(limit=500, scope=EVERYTHING).items
            for each in dead:
                store.deliveries.redrive(each.delivery_id, utc_now())
        return len(dead)

    def account(self, senders: Senders) -> Account:
        with self.store() as store:
            kills = sum(node.kills for node in self.nodes)
            return reckon(senders, self.receiver.ledger, store, self.data, kills=kills)


@contextmanager
def scene(
    template: Path,
    folder: Path,
    *,
    disk: Path | None = None,
    database_url: str = "",
    faults: bool = True,
    tree: Path | None = None,
    **env: str,
) -> Iterator[Scene]:
    """Set the scene on a copy of a data folder; whatever was started is ended with the block.

    With ``disk`` the hub's data lie there, and only they: the outer ledgers never share a disk with what they judge. With
    ``tree`` another release's program makes the database.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = (disk or folder) / "data"
    shutil.copytree(template, data)
    promises, receptions = Ledger(folder / "promises.jsonl"), Ledger(folder / "receptions.jsonl")
    with Receiver(receptions, faults=faults) as receiver:
        if tree is None:
            set_up(data, database_url, receiver.url)
        else:
            by_release(tree, _SET_UP, data, database_url, receiver.url)
        made = Scene(data=data, database_url=database_url, folder=folder, receiver=receiver, promises=promises, env=env)
        try:
            yield made
        finally:
            for node in made.nodes:
                node.resume()
                node.end()
    promises.close()
    receptions.close()


def set_up(data: Path, database_url: str, receiver: str) -> None:
    """Bring a data folder's parties to where the scene plays, and point the building authority at its receiver."""
    if database_url:
        copy_to_postgresql(data, database_url)
    _point_at(data, database_url, receiver)


def _point_at(data: Path, database_url: str, url: str) -> None:
    store = Store(database_url or f"sqlite:///{data / 'hub.sqlite'}")
    cast = json.loads((data / "demo.json").read_text(encoding="utf-8"))
    building = next(each for each in cast["destinations"] if each["adapter"] == "https")
    stored = store.parties.destination(UUID(building["destination_id"]))
    assert stored is not None
    config = {
        "url": url,
        "secret_file": str(data / "demo" / "push.secret"),
        "allow_http": True,
        "allow_private_addresses": True,
    }
    store.parties.replace_destination(replace(stored, adapter_config=config))
    store.close()
