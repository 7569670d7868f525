"""A building authority's whole case by real processes: a citizen's command line, the hub, and two towns' connectors.

Applied for, asked about, answered with a plan, handed on, decided with a file, opened by who applied; then, with the hub and
both connectors ended, chain and receipts are verified from what was saved.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from processes import HUB, HubProcess, wait_for
from stage import BAUANTRAG, BAUEN, CANARY, WIESBADEN

from benchmarks.crash import towns
from benchmarks.crash.nodes import BYTECODE
from benchmarks.crash.towns import TOKEN
from hub.client.cases import OwnCases
from hub.client.contents import Attachment
from hub.client.plain import Application, PlainDoor, Receipt
from hub.client.session import log_in
from hub.model import MediaType, State

HANAU = "064350014014"
PLAN = b"%PDF-1.7 Lageplan " + CANARY.encode()
DECISION = b"%PDF-1.7 Bescheid " + CANARY.encode()


class Town(towns.Town):
    """A connector's process of its own, whose specialist system says what it decides in its outbox or over HTTP."""

    @property
    def log(self) -> Path:
        return self.folder / "connector.log"

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [*HUB, "-v", "connector", "run", "--config", str(self.config)]
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **BYTECODE}, stdout=output, stderr=output, start_new_session=True
            )
            try:
                yield
                assert process.poll() is None, self.log.read_text()[-3000:]
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(timeout=60) == 0, self.log.read_text()[-3000:]

    def post(self, path: str, body: dict[str, Any], **more: Any) -> requests.Response:
        """Say something over the connector's own interface."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": str(uuid4())}
        return requests.post(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=30, json=body, **more)

    def decide(self, submission_id: UUID, text: str, files: dict[str, bytes]) -> requests.Response:
        reply = (None, json.dumps({"kind": "decision", "text": text}), "application/json")
        parts = [("reply", reply), *(("attachment", (name, each, "application/pdf")) for name, each in files.items())]
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": str(uuid4())}
        url = f"http://127.0.0.1:{self.port}/v2/submissions/{submission_id}/replies"
        return requests.post(url, headers=headers, timeout=30, files=parts)


@dataclass
class Citizen:
    """Who applies: the client to send, and ``hub case`` for all that follows."""

    folder: Path
    hub: HubProcess
    sender: dict[str, str]

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.secret = self.folder / "sender.secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text(self.sender["client_secret"])
        session = log_in(self.hub.base_url, **self.sender)
        self.door, self.cases = PlainDoor(session), OwnCases(session)

    def apply(self, public: dict[str, Any]) -> Receipt:
        channel = {"fitConnect": {"processStandards": ["urn:x:y"], "encryptionPublicKey": public}}
        enclosed = Attachment(open=lambda: io.BytesIO(b"%PDF"), filename="Antrag.pdf", media_type="application/pdf")
        return self.door.submit(
            Application(
                data=BAUANTRAG,
                media_type=MediaType.XML,
                service=BAUEN,
                ars=WIESBADEN,
                attachments=[enclosed],
                metadata={"replyChannel": channel},
            )
        )

    def case(self, command: str, *arguments: object) -> str:
        who = {
            "HUB_URL": self.hub.base_url,
            "HUB_CLIENT_ID": self.sender["client_id"],
            "HUB_CLIENT_SECRET_FILE": str(self.secret),
        }
        return run("case", command, *arguments, **who)

    def replies(self, case_id: UUID, count: int) -> list[UUID]:
        """What ``hub case`` lists as soon as there is as much; until then the library asks, which begins no process."""
        wait_for(lambda: len(list(self.cases.replies(case_id))) >= count, self.hub.log)
        return [UUID(line.split()[1]) for line in self.case("replies", case_id).splitlines() if line.startswith("←")]

    def opened(self, case_id: UUID, reply_id: UUID, key: Path) -> tuple[dict[str, Any], Path]:
        """What the authority wrote, verified and opened by the citizen's own key; and where its files lie."""
        into = self.folder / str(reply_id)
        self.case("reply", case_id, reply_id, "--key", key, "--into", into, "--accept")
        return json.loads((into / "data.json").read_text()), into


def run(*arguments: object, **env: str) -> str:
    """Run ``hub`` to its end; it must end well."""
    command = [*HUB, *(str(each) for each in arguments)]
    ended = subprocess.run(
        command, env={**os.environ, **BYTECODE, **env}, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def deadline() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


@pytest.mark.timeout(400)
def test_a_case_goes_from_the_first_question_to_the_decision_of_the_next_authority(made_once, tmp_path, rsa_pair):
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    cast = json.loads((data / "demo.json").read_text())
    public, private = rsa_pair
    key = tmp_path / "sender.jwk"
    key.touch(mode=0o600)
    key.write_text(json.dumps(private))
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess(data))
        citizen = Citizen(tmp_path / "citizen", hub, cast["sender"])
        applied = citizen.apply(public)
        wiesbaden = Town.set_up(tmp_path / "wiesbaden", hub.base_url, cast, "Wiesbaden")
        hanau = Town.set_up(tmp_path / "hanau", hub.base_url, cast, "Hanau")
        for town in (wiesbaden, hanau):
            stack.enter_context(town.running())

        # Wiesbaden asks back, until a day, before anything is decided.
        wait_for(lambda: applied.submission_id in wiesbaden.handed_over(), wiesbaden.log)
        wiesbaden.say(applied.submission_id, "reply", kind="question", text="Wo ist der Plan?", deadline=deadline())
        (question,) = citizen.replies(applied.case_id, 1)
        asked, _ = citizen.opened(applied.case_id, question, key)
        assert (asked["kind"], asked["text"], asked["deadline"]) == ("question", "Wo ist der Plan?", deadline())

        # The answer comes into the same case, with the plan.
        plan = tmp_path / "Lageplan.pdf"
        plan.write_bytes(PLAN)
        citizen.case("answer", applied.case_id, question, "--text", "Hier ist er.", "--attachment", plan)
        wait_for(lambda: len(wiesbaden.handed_over()) == 2, wiesbaden.log)
        (answered,) = set(wiesbaden.handed_over().values()) - {wiesbaden.handed_over()[applied.submission_id]}
        assert [each.read_bytes() for each in (answered / "attachments").iterdir()] == [PLAN]

        # Wiesbaden is not responsible: the case goes on to Hanau, with all that belongs to it.
        wiesbaden.say(applied.submission_id, "forward", ars=HANAU, reason="other-area", text="Das Haus steht in Hanau.")
        ((further, there),) = wait_for(hanau.handed_over, hanau.log).items()
        files = {each.name: each.read_bytes() for each in (there / "attachments").iterdir()}
        assert PLAN in files.values()
        assert json.loads(files["abgabe.json"])["caseId"] == str(applied.case_id)
        _, notice = citizen.replies(applied.case_id, 2)
        said, _ = citizen.opened(applied.case_id, notice, key)
        assert (said["kind"], "steht in Hanau" in said["text"]) == ("forwarded", True)

        # Hanau accepts and decides, with a file, which only the citizen's key opens.
        assert hanau.post(f"/v2/submissions/{further}/accept", {}).status_code == 202
        answer = hanau.decide(further, "Genehmigt.", {"Bescheid.pdf": DECISION})
        assert answer.status_code == 202, answer.text
        next_case = citizen.door.progress(further).case_id
        (decided,) = citizen.replies(next_case, 1)
        decision, into = citizen.opened(next_case, decided, key)
        assert (decision["kind"], decision["text"]) == ("decision", "Genehmigt.")
        assert (into / "Bescheid.pdf").read_bytes() == DECISION
        for submission_id in (applied.submission_id, further):
            wait_for(lambda one=submission_id: citizen.door.progress(one).state is State.ACCEPTED, hub.log)
        assert "accepted" in citizen.case("show", applied.case_id)

        # What proves it is saved, as soon as a signed checkpoint covers it.
        proofs = tmp_path / "proofs"
        proofs.mkdir()
        saved = saved_proofs(citizen, applied, next_case, further, proofs)
    prove_offline(saved, tmp_path)
    run("log", "verify", "--data", data)
    in_the_clear = [
        path
        for path in (data, wiesbaden.folder, hanau.folder)
        for each in path.rglob("*")
        if each.is_file() and "in" not in each.relative_to(path).parts and CANARY.encode() in each.read_bytes()
    ]
    assert in_the_clear == []


def saved_proofs(citizen: Citizen, applied: Receipt, next_case: UUID, further: UUID, folder: Path) -> dict[str, Path]:
    """Save receipts, the cases' proofs and the hub's published keys."""
    base = citizen.hub.base_url
    session = citizen.hub.sender()
    (folder / "jwks.json").write_text(session.get(f"{base}/hub/v1/jwks.json", timeout=30).text)
    (folder / "first.jws").write_text(applied.token)
    (folder / "next.jws").write_text(citizen.door.receipt(further).token)
    for name, case_id in (("first", applied.case_id), ("next", next_case)):
        proof = wait_for(lambda path=f"{base}/hub/v1/cases/{case_id}/proof": fetched(session, path), citizen.hub.log)
        (folder / f"{name}.proof").write_text(proof)
    (folder / "data.xml").write_bytes(BAUANTRAG)
    (folder / "salt").write_text(applied.content_salt or "")
    return {each.name: each for each in folder.iterdir()}


def fetched(session: requests.Session, url: str) -> str:
    """A proof; empty while no signed checkpoint covers the case."""
    answer = session.get(url, timeout=30)
    return answer.text if answer.ok else ""


def prove_offline(saved: dict[str, Path], tmp_path: Path) -> None:
    """Nothing runs any more: both receipts stand in the signed log, and the first says what was received."""
    nowhere = tmp_path / "nowhere"
    for name in ("first", "next"):
        verify = ["receipt", "verify", saved[f"{name}.jws"], "--jwks", saved["jwks.json"]]
        content = ["--content", saved["data.xml"], "--salt", saved["salt"].read_text()] if name == "first" else []
        shown = run(*verify, "--proof", saved[f"{name}.proof"], *content, "--data", nowhere)
        assert "✗" not in shown
    assert not nowhere.exists()
