"""kill -9 while a part is at the scanner: nothing was promised, nothing lies at rest, and the repeat counts once."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress

import pytest
import requests
from processes import HubProcess, wait_for
from scanner_servers import rogue
from stage import BAUANTRAG, BAUEN, CANARY, TAUNUSSTEIN

pytestmark = pytest.mark.timeout(180)


def apply(sender, hub):
    return sender.post(
        f"{hub.base_url}/hub/v1/applications",
        params={"service": BAUEN, "ars": TAUNUSSTEIN},
        data=BAUANTRAG.replace(b"</", f"<!--{CANARY}--></".encode(), 1),
        headers={"Content-Type": "application/xml", "Idempotency-Key": "einmal"},
        timeout=60,
    )


def test_killed_while_the_scanner_looks_the_hub_holds_nothing_and_takes_the_repeat_once(made_once, tmp_path):
    data, asked, over = tmp_path / "data", threading.Event(), threading.Event()
    shutil.copytree(made_once, data)

    def hang(came):
        asked.set()
        over.wait(60)

    def first(sender, hub):
        with suppress(requests.RequestException):
            apply(sender, hub)

    with rogue(hang) as scanner, HubProcess(data, HUB_SCAN=scanner.clamd) as hub:
        sending = threading.Thread(target=first, args=[hub.sender(), hub])
        sending.start()
        assert asked.wait(60)
        hub.kill()
        over.set()
        sending.join(60)
    rest = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert CANARY.encode() not in rest
    with HubProcess(data, port=hub.port) as again:
        sender = again.sender()
        listed = f"{again.base_url}/hub/v1/applications"
        assert sender.get(listed, timeout=30).json()["applications"] == []
        answers = wait_for(lambda: [apply(sender, again) for _ in range(2)])
        assert [each.status_code for each in answers] == [202, 202], answers[0].text
        assert len(sender.get(listed, timeout=30).json()["applications"]) == 1
