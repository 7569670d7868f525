"""``hub portal`` as an operator has it: what it says at its start, how it ends, and what it refuses."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from contextlib import ExitStack

import pytest
import requests
from end_to_end.processes import HUB, free_port, wait_for
from portal_pages import Visitor, portal_document
from sqlalchemy import create_engine, select
from stage import WIESBADEN, serving, staged

from hub.portal import database as tables


@pytest.fixture
def settings(tmp_path):
    """Write a settings file for a port; the hub behind it need not be there."""
    secret = tmp_path / "secret"
    secret.write_text("canary-4711")
    secret.chmod(0o600)

    def written(port, **top):
        lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
        lines += ["[hub]", f'base_url = "http://127.0.0.1:{free_port()}"', 'client_id = "portal"']
        lines += ['client_secret_file = "secret"', "[serve]", f"port = {port}"]
        file = tmp_path / "portal.toml"
        file.write_text("\n".join(lines))
        return file

    return written


def test_it_says_what_runs_serves_and_ends_in_order(settings, tmp_path):
    port, log = free_port(), tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*HUB, "portal", "--config", str(settings(port))], stdout=output, stderr=output)
    try:
        wait_for(lambda: requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok, log)
        answer = requests.get(f"http://127.0.0.1:{port}/leistungen", timeout=30)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    said = log.read_text()
    assert "Rathaus-Hub: hub portal, version" in said
    assert f"http://127.0.0.1:{port}" in said
    assert "Entwicklungsmodus" in said
    assert "Traceback" not in said
    assert "canary-4711" not in said


def run(*arguments):
    return subprocess.run([*HUB, "portal", *arguments], capture_output=True, text=True, timeout=100, check=False)


def test_what_it_cannot_use_or_have_ends_it_with_the_promised_code(settings, tmp_path):
    missing = run("--config", str(tmp_path / "none.toml"))
    assert (missing.returncode, "--config" in missing.stderr) == (1, True)
    wrong = run("--config", str(settings(1, environment="loud", pasword="x")))
    assert wrong.returncode == 1
    assert "environment" in wrong.stderr
    assert "pasword" in wrong.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = run("--config", str(settings(taken.getsockname()[1])))
    assert (busy.returncode, "Another process listens" in busy.stderr) == (3, True)


@pytest.fixture
def form_database(postgresql_url):
    """A database of PostgreSQL in which no portal has kept anything yet."""
    engine = create_engine(postgresql_url)
    tables.metadata.drop_all(engine)
    engine.dispose()
    yield postgresql_url.replace("postgresql+psycopg://", "postgresql://")
    engine = create_engine(postgresql_url)
    tables.metadata.drop_all(engine)
    engine.dispose()


def test_a_form_that_was_begun_at_one_portal_goes_on_at_another_on_the_same_postgresql(
    made_once, tmp_path, form_database
):
    with ExitStack() as stack:
        stage = stack.enter_context(staged(made_once, tmp_path))
        hub = stack.enter_context(serving(stage))
        ports = [free_port(), free_port()]
        for number, port in enumerate(ports):
            folder = tmp_path / f"portal-{number}"
            folder.mkdir()
            document = portal_document(stage, hub.base_url, port, folder)
            document["storage"] = {"folder": "forms", "url": form_database}
            lines = [
                line
                for table, values in document.items()
                for line in (f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()))
            ]
            (folder / "portal.toml").write_text("\n".join(lines))
            (folder / "portal.secret").chmod(0o600)
            log = stack.enter_context((folder / "log").open("wb"))
            command = [*HUB, "portal", "--config", str(folder / "portal.toml")]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, timeout=60)
            stack.callback(process.terminate)
        for number, port in enumerate(ports):
            answers = f"http://127.0.0.1:{port}/healthz"
            wait_for(lambda url=answers: requests.get(url, timeout=5).ok, tmp_path / f"portal-{number}/log")
        # The cookie is one for this machine, whatever the port.
        here, there = (Visitor(f"http://127.0.0.1:{port}") for port in ports)
        there.http = here.http
        page = f"/leistung/99102013000000?ars={WIESBADEN}"
        assert here.post("/antrag", at=page, service="99102013000000", ars=WIESBADEN).status_code == 200
        step = there.get("/antrag")
        assert step.status_code == 200
        path = step.url.removeprefix(there.base)
        answered = there.post(path, at=path, **{"/halter/familienname": "Łuczak-Müller"})
        assert answered.status_code == 422, "what is missing is said, and what was written is kept"
        assert "Łuczak-Müller" in here.get(path).text
        # Nothing of it lies in a folder of theirs, and in the database as ciphertext.
        engine = create_engine(form_database.replace("postgresql://", "postgresql+psycopg://"))
        with engine.connect() as connection:
            (kept,) = connection.execute(select(tables.forms)).all()
        engine.dispose()
        assert kept.revision == 2
        assert "Łuczak".encode() not in kept.content
        assert list(tmp_path.glob("portal-*/forms/*.sqlite*")) == []
