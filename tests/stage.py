"""A whole hub on a folder of its own, with the demo's parties: real store, real keys, real schemas, virtual clock.

Keys take seconds to make, so one folder is made per run and copied for each test.
"""

from __future__ import annotations

import copy
import fcntl
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hub.config import load_settings
from hub.intake import Accepted
from hub.model import Application, Cover, MediaType

SCHEMAS = Path(__file__).parents[1] / "schemas"
#: The example as it is, which names lageplan.pdf, and as most tests send it: alone, naming nothing.
NAMING = (SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml").read_bytes()
BAUANTRAG = re.sub(rb"  <bau:anlage .*</bau:anlage>\n", b"", NAMING, flags=re.DOTALL)
ANMELDUNG = re.sub(
    rb',\s*"bestaetigungVom".*?[.]pdf"',
    b"",
    (SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json").read_bytes(),
    flags=re.DOTALL,
)
BAUEN = "urn:de:fim:leika:leistung:99012008001000"
ANMELDEN = "urn:de:fim:leika:leistung:99115005104000"
TAUNUSSTEIN = "064390015015"
WIESBADEN = "064140000000"
FRANKFURT = "064120000000"
#: The moment at which tests happen, unless they say otherwise.
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
#: A name that stands in an application and must never be found at rest.
CANARY = "Zwitscherlinde-Kanarienfeld"


@dataclass
class VirtualClock:
    """The time of a test; moves only when told to."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def altered(hub: Any, **changes: Any) -> Any:
    """The hub with other parts; what was built of it before goes on with the old ones."""
    made = copy.copy(hub)
    vars(made).update(changes)
    return made


@dataclass
class Stage:
    """A hub and its parties."""

    hub: Any
    clock: VirtualClock
    cast: dict[str, Any]
    data: Path
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def sender(self) -> str:
        client_id: str = self.cast["sender"]["client_id"]
        return client_id

    def cover(self, *, service: str = BAUEN, area: str = TAUNUSSTEIN, **more: Any) -> Cover:
        return Cover(sender=self.sender, service=service, area=area, **more)

    def accept(self, data: bytes = BAUANTRAG, *, media_type: MediaType = MediaType.XML, **cover: Any) -> Accepted:
        """Send one application through the plain door, as the API does."""
        envelope = self.cover(**cover)
        application = Application(cover=envelope, media_type=media_type, data=data)
        return self.hub.intake.accept(application, now=self.clock()).result(timeout=10)

    def destination(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(each for each in self.cast["destinations"] if name in each["name"])
        return found

    def destination_id(self, name: str) -> UUID:
        return UUID(self.destination(name)["destination_id"])


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with keys, tables and parties, to be copied."""
    return made_by_one(tmp_path_factory, "stage", _prepare) / "data"


def _prepare(folder: Path) -> None:
    from hub import app
    from hub.demo.cast import prepare

    settings = load_settings(folder / "data", {}, allow_private_addresses=True, disk_watermark_bytes=0)
    hub = app.build(settings, clock=VirtualClock())
    prepare(hub, say=lambda _: None)
    hub.close()


def made_by_one(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Have the first of a run's processes make a folder that all of them use."""
    common = factory.getbasetemp() if "PYTEST_XDIST_WORKER" not in os.environ else factory.getbasetemp().parent
    folder = common / name
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            # What is installed knows its own place: it is made there, and gone again if it does not come to its end.
            try:
                make(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    return folder


@contextmanager
def staged(made_once: Path, folder: Path, *, listens: bool = False, **settings: Any) -> Iterator[Stage]:
    """A hub on a copy of the data folder, with other settings if named; one that ``listens`` is known by its address."""
    from hub import app

    data = folder / "data"
    shutil.copytree(made_once, data)
    clock = VirtualClock()
    chosen = {"allow_private_addresses": True, "disk_watermark_bytes": 0, **settings}
    hub = app.build(load_settings(data, {}, **chosen), clock=clock, listens=listens)
    yield Stage(hub=hub, clock=clock, cast=json.loads((data / "demo.json").read_text()), data=data)
    hub.close()


@pytest.fixture
def stage(made_once: Path, tmp_path: Path):
    with staged(made_once, tmp_path) as stage:
        yield stage


@dataclass
class Served:
    """A stage behind a real HTTP server, and a session with the sender's token."""

    stage: Stage
    base_url: str
    session: Any

    def token(self, party: str) -> str:
        login = {"grant_type": "client_credentials", **self.stage.cast[party]}
        token: str = self.session.post(f"{self.base_url}/token", data=login, timeout=30).json()["access_token"]
        return token

    def post(self, path: str, **request: Any) -> Any:
        return self.session.post(f"{self.base_url}{path}", timeout=30, **request)

    def get(self, path: str, **request: Any) -> Any:
        return self.session.get(f"{self.base_url}{path}", timeout=30, **request)

    def submit(self, data: bytes = BAUANTRAG, *, kind: str = "application/xml", **more: Any) -> Any:
        headers = {"Content-Type": kind, **more.pop("headers", {})}
        where = {"service": BAUEN, "ars": TAUNUSSTEIN, **more}
        return self.post("/hub/v1/applications", params=where, data=data, headers=headers)


@contextmanager
def serving(stage: Stage, *, port: int = 0) -> Iterator[Served]:
    """The stage behind a real server, on a free port unless one is named."""
    import requests
    import uvicorn

    from hub import app

    options = {**app.server_options(stage.hub.settings), "log_level": "error"}
    config = uvicorn.Config(app.asgi(stage.hub, work=False), port=port, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not begin"
            time.sleep(0.01)
        with requests.Session() as session:
            base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            served = Served(stage=stage, base_url=base_url, session=session)
            session.headers["Authorization"] = f"Bearer {served.token('sender')}"
            yield served
    finally:  # A server that outlives a failed test keeps pytest from ending.
        server.should_exit = True
        thread.join()


@pytest.fixture
def served(stage: Stage):
    with serving(stage) as served:
        yield served
