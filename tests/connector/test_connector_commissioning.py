"""A municipality takes a connector into service: an empty folder, a running hub, and then an application arrives."""

from __future__ import annotations

import json
import stat
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from partner import Partner
from stage import ANMELDEN, ANMELDUNG, NOW, WIESBADEN, serving, staged
from test_connector_unreachable import closed_port

from hub.cli import main
from hub.connector.clerk.accounts import add_account
from hub.connector.commissioning import settings_file
from hub.connector.declarations import DECLARED
from hub.connector.settings import ConnectorSettings


@pytest.fixture(scope="module")
def hub(made_once, tmp_path_factory):
    """A hub behind a real server, by the clock of this machine, as the connector is."""
    with staged(made_once, tmp_path_factory.mktemp("commissioning")) as stage, serving(stage) as served:
        stage.clock.now = datetime.now(UTC)
        served.session.headers["Authorization"] = f"Bearer {served.token('sender')}"
        yield served


def ran(*arguments: object, asked: str = "") -> Result:
    return CliRunner().invoke(main, ["connector", *map(str, arguments)], input=asked)


def mode(path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def test_from_an_empty_folder_to_the_first_application(hub, tmp_path):
    stage = hub.stage
    town = next(cast for cast in stage.cast["destinations"] if cast["ars"] == WIESBADEN)
    secret = tmp_path / "from-the-hub.secret"
    secret.touch(mode=0o600)
    secret.write_text(stage.cast["subscriber"]["client_secret"])
    folder = tmp_path / "konnektor"

    given = [
        *("--yes", "--base-url", hub.base_url, "--client-id", stage.cast["subscriber"]["client_id"]),
        *("--client-secret-file", secret, "--destination-id", town["destination_id"], "--subject", "Wiesbaden"),
        *("--handover-mode", "auto"),
    ]
    began = ran("init", folder, *given, "--issuer", stage.hub.base_url)
    config = folder / "connector.toml"
    assert began.exit_code == 1, began.output  # The hub does not know the new keys yet, which it says.
    assert "does not know the signing key" in began.stdout
    assert "signing.public.jwk" in began.stdout
    assert {mode(folder / name) for name in ("connector.toml", "hub.secret", "signing.private.jwk")} == {"0600"}
    assert secret.read_text() not in config.read_text() + began.output

    # The operator deposits the public halves.
    public = {use: json.loads((folder / f"{use}.public.jwk").read_text()) for use in ("encryption", "signing")}
    assert not any({"d", "p", "q"} & set(jwk) for jwk in public.values())
    destination = stage.hub.store.parties.destination(stage.destination_id(town["name"]))
    for jwk in public.values():
        stage.hub.store.parties.add_key(destination.destination_id, jwk, stage.clock())
    stage.hub.store.parties.replace_destination(replace(destination, encryption_kid=public["encryption"]["kid"]))

    written = config.read_text()
    config.write_text(written.replace(f'issuer = "{stage.hub.base_url}"', ""))
    unlike = ran("check", "--config", config)
    assert unlike.exit_code == 1
    assert f'set hub.issuer = "{stage.hub.base_url}"' in unlike.stdout
    config.write_text(written)
    checked = ran("check", "--config", config)
    assert checked.exit_code == 0, checked.output
    assert f"token and mailbox {town['destination_id']}" in checked.stdout

    before = json.loads(ran("run", "--config", config, "--once").stdout.splitlines()[-1])
    assert before["handed"] == 0
    sent = hub.submit(ANMELDUNG, kind="application/json", service=ANMELDEN, ars=WIESBADEN)
    assert sent.status_code == 202, sent.text
    stage.hub.checkpoints.make(stage.clock())
    arrived = ran("run", "--config", config, "--once")
    counts = json.loads(arrived.stdout.splitlines()[-1])
    assert (counts["handed"], counts["accepted"]) == (1, 1)
    (case,) = (each for each in (folder / "inbox").iterdir() if not each.name.startswith("."))
    assert (case / "data.json").read_bytes() == ANMELDUNG
    (said,) = [line for line in arrived.stderr.splitlines() if case.name in line]
    assert "angenommen / accepted" in said
    assert "hub connector, version" in arrived.stderr
    again = ran("init", folder, "--yes")
    assert again.exit_code == 1
    assert "is there already" in again.stderr


def test_init_asks_for_what_is_not_given_and_refuses_where_it_may_not_ask(tmp_path):
    secret = tmp_path / "given.secret"
    secret.touch(mode=0o600)
    secret.write_text("s" * 20)
    refused = ran("init", tmp_path / "a", "--yes", "--no-test", "--base-url", "https://hub.example")
    assert refused.exit_code == 1
    assert "--client-id is missing: Name of the connector at the hub." in refused.stderr
    answers = f"https://hub.example\ntown\n{secret}\n{uuid4()}\n"
    with_keys = [file for use in ("decryption", "signing") for file in (f"--{use}-key", _key(tmp_path, use))]
    asked = ran("init", tmp_path / "b", "--no-test", *with_keys, "--mode", "both", "--handover", "cases", asked=answers)
    assert asked.exit_code == 0, asked.output
    read = ConnectorSettings.read(tmp_path / "b" / "connector.toml")
    assert (read.hub.client_id, read.hub.token_url, read.mode) == ("town", "https://hub.example/token", "both")
    assert read.listen.secret_file.read_bytes()
    assert read.handover.path == tmp_path / "b" / "cases"
    assert all(path.is_relative_to(tmp_path / "b") for path in read.destinations[0].decryption_key_files)


def _key(folder, use):
    file = folder / f"{use}.jwk"
    file.touch(mode=0o600)
    file.write_text("{}")
    return file


REQUIRED = {
    "journal": "journal.sqlite3",
    "hub.base_url": "https://hub.example",
    "hub.token_url": "https://hub.example/token",
    "hub.client_id": "town",
    "hub.client_secret_file": "hub.secret",
    "destinations.destination_id": str(uuid4()),
    "destinations.decryption_key_files": ["d.jwk"],
    "destinations.signing_key_file": "s.jwk",
    "handover.kind": "folder",
    "handover.path": "inbox",
}


def test_the_file_that_is_written_explains_every_setting_and_reads_as_its_defaults(tmp_path):
    text = settings_file(REQUIRED)
    for each in DECLARED:
        assert f"# {each.text.de}\n# {each.text.en}\n#   erlaubt / allowed: " in text
        assert f"{each.name.rpartition('.')[2]} = " in text
    written = ConnectorSettings.parse(tomllib.loads(text), tmp_path)
    document = {"hub": {}, "destinations": [{}], "handover": {}}
    for name, value in REQUIRED.items():
        table, _, key = name.rpartition(".")
        place = document["destinations"][0] if table == "destinations" else document[table] if table else document
        place[key] = value
    assert written == ConnectorSettings.parse(document, tmp_path)
    # Uncommented, every line is one that the file takes.
    everything = {each.name: REQUIRED.get(each.name, each.default or "x") for each in DECLARED if not each.only}
    everything |= {
        "schema_roots": ["schemas"],
        "handover.path": "inbox",
        "specialist.port": 1,
        "listen.port": 1,
        "listen.address": "127.0.0.1",
        "clerk.address": "127.0.0.1",
        "clerk.hosts": ["rathaus.example"],
        "handover.kind": "folder",
        "forwarding.second_person": False,
        "forwarding.anchor_files": [],
        "scan.address": "clamd:/run/clamav/clamd.ctl",
    }
    assert ConnectorSettings.parse(tomllib.loads(settings_file(everything)), tmp_path).specialist.port == 1


def test_check_says_everything_that_is_wrong_and_what_is_away(tmp_path, rsa_pair, signature_pair):
    for name, content in {"d.jwk": rsa_pair[1], "s.jwk": signature_pair[1], "hub.secret": "s" * 20}.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    config = tmp_path / "connector.toml"
    wrong = settings_file(REQUIRED | {"mode": "sometimes", "poll_seconds": 0}) + '\n[handovr]\nkind = "folder"\n'
    config.write_text(wrong)
    found = json.loads(ran("check", "--config", config, "--json").stdout)
    assert [each["en"].partition(":")[0] for each in found] == ["mode", "poll_seconds", "handovr"]
    assert {each["condition"] for each in found} == {"fault"}
    assert "collect, listen, both" in found[0]["en"]
    assert "Perhaps handover is meant" in found[2]["en"]

    address = f"http://127.0.0.1:{closed_port()}"
    reach = {"hub.base_url": address, "hub.token_url": f"{address}/token"}
    config.write_text(settings_file(REQUIRED | reach))
    away = ran("check", "--config", config)
    assert away.exit_code == 1  # The folder of the hand-over is missing as well.
    assert "handover.path" in away.stdout
    assert "cannot be reached" in away.stdout
    (tmp_path / "inbox").mkdir()
    assert ran("check", "--config", config).exit_code == 3
    assert ran("check", "--config", config).output.count("canary") == 0
    with Partner() as specialist:
        config.write_text(
            settings_file({**REQUIRED, **reach, "handover.kind": "http", "handover.url": specialist.url}).replace(
                'path = "inbox"', '# path = "inbox"'
            )
        )
        assert f"{specialist.url} answers" in ran("check", "--config", config).stdout
    (tmp_path / "d.jwk").chmod(0o644)
    opened = ran("check", "--config", config)
    assert opened.exit_code == 1
    assert f"chmod 0600 {tmp_path / 'd.jwk'}" in opened.stdout


def test_check_says_what_people_and_the_local_system_lack_to_decide(tmp_path, rsa_pair, signature_pair):
    for name, content in {"d.jwk": rsa_pair[1], "s.jwk": signature_pair[1], "hub.secret": "s" * 20}.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    config, address = tmp_path / "connector.toml", f"http://127.0.0.1:{closed_port()}"
    reach = {"hub.base_url": address, "hub.token_url": f"{address}/token"}
    (tmp_path / "inbox").mkdir()

    def said(about: str, **answers: object) -> list[tuple[str, str]]:
        config.write_text(settings_file({**REQUIRED, **reach, **answers}))
        found = json.loads(ran("check", "--config", config, "--json").stdout)
        return [(each["condition"], each["en"]) for each in found if each["about"] == about]

    people = {"handover.mode": "clerk", "clerk.accounts_file": "clerks.json"}
    ((condition, text),) = said("clerk", **people)
    assert (condition, text) == ("warning", "nobody has an account for the page for clerks")
    add_account(tmp_path / "clerks.json", "anna", "Rathausturm-ohne-Uhr", full_name="Anna", now=NOW)
    assert said("clerk", **people) == [("ok", "1 accounts for the page for clerks")]

    system = {"handover.mode": "system", "handover.outbox": "outbox"}
    ((condition, text),) = said("outbox", **system)
    assert (condition, "no folder" in text) == ("fault", True)
    (tmp_path / "outbox").mkdir()
    assert [condition for condition, _ in said("outbox", **system)] == ["ok"]
    interface = system | {"api.port": 8094, "api.token_file": "api.token"}
    assert [condition for condition, _ in said("api.token_file", **interface)] == ["fault"]


def test_the_doctor_looks_after_a_connector_as_well(tmp_path):
    config = tmp_path / "connector.toml"
    config.write_text("mode = 5")
    ran = CliRunner().invoke(main, ["doctor", "--for", "connector", "--config", str(config), "--english"])
    assert ran.exit_code == 1
    assert "fault" in ran.stdout
    assert "mode: what is allowed is collect, listen, both." in ran.stdout
    shown = CliRunner().invoke(main, ["config", "check", "--for", "connector", "--config", str(config), "--english"])
    assert shown.exit_code == 1
    assert "mode: what is allowed is collect, listen, both." in shown.stderr
