"""A hub process with a mail server: what was decided is mailed, also by the process after the one that was killed."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import requests
from mail_server import MailServer, free_port
from processes import HubProcess, wait_for
from sqlalchemy import update

from hub.adapter_kit.cases import SECRET, Workshop
from hub.notifications.mail import Noticeboard
from hub.store import NoticeKind, Store
from hub.store.outboxes import write_telling
from hub.store.tables import notices

FACTS = {"deliveries": 2, "notice": 1, "days": 3, "since": "2026-11-17", "givenUpAfterDays": 14}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "workshop", now=datetime.now(UTC))


@pytest.fixture
def data(made_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_once, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def start(data: Path, workshop: Workshop) -> Callable[[int], HubProcess]:
    """Start a hub that mails by the server at a port."""

    def run(port: int) -> HubProcess:
        return HubProcess(
            data,
            HUB_SMTP_HOST="127.0.0.1",
            HUB_SMTP_PORT=str(port),
            HUB_SMTP_USER="hub",
            HUB_SMTP_PASSWORD_FILE=str(workshop.secret_file),
            HUB_SMTP_CA_FILE=str(workshop.ca_file),
            HUB_MAIL_SENDER="hub@hub.example",
        )

    return run


def decide(data: Path) -> None:
    """Write a notice as a duty of another node does."""
    cast = json.loads((data / "demo.json").read_text())
    with closing(Store(f"sqlite:///{data / 'hub.sqlite'}")) as store:
        board = Noticeboard(store=store, mails=True)
        party = str(UUID(cast["destinations"][0]["destination_id"]))
        telling = board.telling(NoticeKind.OVERDUE, party, FACTS, occasion="1", now=datetime.now(UTC))
        store.database.write(lambda connection: write_telling(connection, telling))


def test_a_killed_hubs_notice_is_mailed_by_the_next_one(
    data: Path, start: Callable[[int], HubProcess], workshop: Workshop
):
    with start(free_port()) as hub:
        decide(data)
        hub.kill()
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server, start(server.port) as hub:
        # The first process may have tried in vain; the lease or the wait after that is a minute or more.
        hasten(data)
        (mail,) = wait_for(server.read, hub.log)
    assert mail["Subject"] == "2 Zustellungen kommen nicht an / 2 deliveries do not arrive"
    assert "Kein Mailserver" not in hub.log.read_text()


def hasten(data: Path) -> None:
    """Make what waits due, as the passing of time would."""
    with closing(Store(f"sqlite:///{data / 'hub.sqlite'}")) as store:
        due = update(notices).where(notices.c.finished_at.is_(None)).values(next_attempt_at=0)
        store.database.write(lambda connection: connection.execute(due).rowcount)


def test_a_hub_without_a_mail_server_says_so_once_and_all_its_lines_are_json_where_they_shall_be(data: Path):
    with HubProcess(data, HUB_LOG_FORMAT="json") as hub:
        requests.post(f"{hub.base_url}/token", data={"grant_type": "geheim"}, timeout=30)
        with socket.create_connection(("127.0.0.1", hub.port)) as broken:
            broken.sendall(b"GARBAGE\r\n\r\n")  # What uvicorn itself complains of.
            broken.recv(100)
    said = [json.loads(line) for line in hub.log.read_text().splitlines()]
    assert sum("Kein Mailserver eingestellt" in line["message"] for line in said) == 1
    assert any(line["message"].startswith("Rathaus-Hub: hub serve, version") for line in said)
    assert "geheim" not in hub.log.read_text()
