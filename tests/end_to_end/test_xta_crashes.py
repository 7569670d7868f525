"""kill -9 while XTA is spoken: no second message, whatever the server had taken by then, and closing once is closing."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from processes import HubProcess, free_port, wait_for
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, Stage, VirtualClock
from xta_mailbox import READER, Asker, give, message_id

from adapters.xta import Xta
from hub import app
from hub.adapter_kit.cases import Trouble, Workshop
from hub.adapter_kit.check import find_trial
from hub.adapter_kit.packages import make_package
from hub.adapter_kit.xta import XtaBench
from hub.cli import main
from hub.config import load_settings
from hub.model import EventKind, State, Subject

pytestmark = pytest.mark.timeout(240)
_PATIENT = {"HUB_LEASE_SECONDS": "2", "HUB_RETRY_FIRST_SECONDS": "1"}


class Server(XtaBench):
    """The kit's, which notes what it is asked."""

    def __init__(self, workshop: Workshop) -> None:
        self.asked: list[str] = []
        super().__init__(workshop)

    def play(self, heard: Any) -> Any:
        self.asked.append(re.search(r'XTA/(\w+)"', heard.headers["Content-Type"])[1])  # type: ignore[index]
        return super().play(heard)

    @property
    def messages(self) -> int:
        return len(self._held)


def point_at(data: Any, config: dict[str, Any]) -> None:
    hub = app.build(load_settings(data, {}, allow_private_addresses=True))
    cast = json.loads((data / "demo.json").read_text())
    building = next(each for each in cast["destinations"] if each["adapter"] == "https")
    stored = hub.store.parties.destination(UUID(building["destination_id"]))
    assert stored is not None
    hub.store.parties.replace_destination(replace(stored, adapter="xta", adapter_config=config))
    hub.close()


def test_killed_while_the_server_is_silent_and_before_the_result_is_written(made_once: Any, tmp_path: Any) -> None:
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    bench = Server(Workshop(tmp_path / "workshop", now=datetime.now(UTC)))
    try:
        # Ids of the server's own: nothing but what the hub wrote down before says which message this was.
        point_at(
            data,
            find_trial("xta", Xta, None).filled(bench.arrange(Trouble.HANG, make_package()))
            | {"message_id_prefix": ""},
        )
        with HubProcess(data, **_PATIENT) as hub:
            session = hub.sender()
            url = f"{hub.base_url}/hub/v1/applications"
            where = {"service": BAUEN, "ars": TAUNUSSTEIN}
            answer = session.post(
                url, params=where, data=BAUANTRAG, headers={"Content-Type": "application/xml"}, timeout=30
            )
            assert answer.status_code == 202, answer.text
            wait_for(lambda: bench.messages == 1, hub.log)
            hub.kill()
        bench.arrange(Trouble.NONE, make_package())
        dying = HubProcess(data, port=hub.port, HUB_CRASH_AT="after-send", **_PATIENT)
        wait_for(lambda: dying.process.poll() is not None, dying.log)  # It may be gone before it is ready.
        dying.__exit__()
        with HubProcess(data, port=hub.port, **_PATIENT) as last:
            session = last.sender()
            wait_for(
                lambda: session.get(answer.json()["status"], timeout=5).json()["delivery"] == "delivered", last.log
            )
        printed = CliRunner().invoke(main, ["receipt", "delivered", answer.json()["submissionId"], "--data", str(data)])
        assert "TransportReport" in printed.stdout
        assert (bench.messages, bench.asked.count("CreateMessageID"), bench.asked.count("SendMessage")) == (1, 1, 1)
    finally:
        bench.close()


def test_killed_in_the_middle_of_closing_a_message_takes_it_over_once(made_once: Any, tmp_path: Any) -> None:
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    asker = Asker(tmp_path / "authority", port=free_port())
    hub = app.build(load_settings(data, {}, allow_private_addresses=True))
    cast = json.loads((data / "demo.json").read_text())
    stage = Stage(hub=hub, clock=VirtualClock(datetime.now(UTC)), cast=cast, data=data)
    give(stage, stage.destination_id("Rheingau"), asker.pair[0], READER)
    ids = {point: message_id(stage.accept()) for point in ("box-closing", "box-closed")}
    hub.close()
    for point, each in ids.items():
        with HubProcess(data, HUB_CRASH_AT=point, **asker.settings) as dying:
            assert asker.get(each).status == 200
            with pytest.raises((OSError, http.client.HTTPException)):
                asker.close_message(each)
            dying.process.wait(timeout=60)
    with HubProcess(data, **asker.settings):
        assert [asker.close_message(each).status for each in ids.values()] == [200, 200]
        assert asker.list().ids == []
    hub = app.build(load_settings(data, {}, allow_private_addresses=True))
    for each in ids.values():
        message = hub.store.submissions.message(UUID(each.rpartition(":")[2]), Subject.SUBMISSION)
        assert message is not None
        kinds = [event.kind for event in hub.store.event_log.events(message.case_id).items]
        assert (message.state, kinds.count(EventKind.ACCEPT)) == (State.ACCEPTED, 1)
    hub.close()
