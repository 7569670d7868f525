"""``hub destinations`` on a real data folder."""

from __future__ import annotations

import getpass
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result
from stage import ANMELDEN, BAUEN, NOW, Stage

from hub.app import development_authority
from hub.cli.accounts import clients
from hub.cli.destinations import destinations, keys
from hub.config import load_settings
from hub.crypto import make_rsa_pair
from hub.errors import ConfigurationError, Conflict, Forbidden, HubError, Malformed, NotFound, Unauthenticated
from hub.identity import Accounts
from hub.model import EVERYTHING, Role, reasons
from hub.notifications.mail import Noticeboard
from hub.store import Circuit, NoticeKind, Store
from hub.store.outboxes import write_telling

SCHEMA = "https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd"


@pytest.fixture
def data(stage: Stage) -> Path:
    """The folder of a hub that is not running."""
    stage.hub.close()
    return stage.data


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(destinations, [*arguments, "--data", str(data)])


def done(data: Path, *arguments: str) -> str:
    result = run(data, *arguments)
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.output


def refused(data: Path, *arguments: str) -> HubError:
    error = run(data, *arguments).exception
    assert isinstance(error, HubError), error
    return error


@pytest.fixture
def key_files(stage: Stage, tmp_path: Path) -> dict[str, Path]:
    authority = development_authority(stage.hub.settings, now=stage.clock())
    files = {}
    for use in ("encryption", "signing"):
        public, _ = make_rsa_pair(use)
        document = authority.issue(public, subject="Neustadt", now=stage.clock(), days=30)
        files[use] = tmp_path / f"{use}.json"
        files[use].write_text(json.dumps(document))
    return files


def add(data: Path, stage: Stage, key_files: dict[str, Path], **more: str) -> list[str]:
    values = {
        "owner": stage.cast["subscriber"]["client_id"],
        "email": "post@neustadt.example",
        "service": BAUEN,
        "region": "DE06",
        "schema": f"{SCHEMA}=application/xml",
        "encryption-key": str(key_files["encryption"]),
        "signing-key": str(key_files["signing"]),
        **more,
    }
    return ["add", "Neustadt", *[part for name, value in values.items() for part in (f"--{name}", value)]]


@pytest.fixture
def by(stage: Stage, tmp_path: Path):
    """Return the options of somebody who logs in: operators, a viewer, and one bound to Wiesbaden."""
    secret = tmp_path / "password"
    secret.write_text("korrekt pferd batterie")
    secret.chmod(0o600)
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(store=stage.hub.store, box=stage.hub.keys, hasher=quick)
    people = {
        "otto": (Role.OPERATOR, ""),
        "olga": (Role.OPERATOR, ""),
        "anton": (Role.APPROVER, ""),
        "viktor": (Role.VIEWER, ""),
        "walter": (Role.OPERATOR, "06414"),
    }
    for name, (role, tenant) in people.items():
        accounts.add(name, secret.read_text(), roles=(role,), tenant=tenant, actor="cli:test", now=stage.clock())
    return lambda name: ["--as", name, "--password-file", str(secret)]


def test_unknown_things_are_refused_in_words(data: Path, stage: Stage, key_files: dict[str, Path]):
    unknown = "00000000-0000-4000-8000-000000000000"
    assert isinstance(refused(data, "show", unknown), NotFound)
    assert isinstance(refused(data, *add(data, stage, key_files, owner="nobody")), NotFound)
    swapped = add(data, stage, key_files, **{"encryption-key": str(key_files["signing"])})
    assert isinstance(refused(data, *swapped), Malformed)
    bottomless = key_files["signing"].with_name("bottomless.json")
    bottomless.write_text("[" * 100_000)
    deep = add(data, stage, key_files, **{"encryption-key": str(bottomless)})
    assert isinstance(refused(data, *deep), ConfigurationError)
    assert run(data, *add(data, stage, key_files, schema="no media type")).exit_code == 2


def audited(data: Path, target: str) -> list[tuple[str, str]]:
    store = Store(load_settings(data, {}).database)
    entries = [each.entry for each in store.audit.entries(target=target, limit=500, scope=EVERYTHING).items]
    store.close()
    return [(entry.action, entry.actor) for entry in entries]


def test_a_named_person_has_the_rights_and_the_scope_of_the_account(by, data: Path, stage: Stage, tmp_path: Path):
    here = str(stage.destination_id("Rheingau"))
    own = str(stage.destination_id("Wiesbaden"))
    options = ("--options", json.dumps({"path": str(tmp_path)}))
    for arguments in (("rename", here, "x"), ("deactivate", here), ("adapter", here, "folder", *options)):
        assert isinstance(refused(data, *arguments, *by("viktor")), Forbidden)
        assert isinstance(refused(data, *arguments, *by("walter")), NotFound)
    assert isinstance(refused(data, "adapter", own, "folder", *options, *by("walter")), Forbidden)
    (tmp_path / "password").write_text("falsch falsch falsch")
    assert isinstance(refused(data, "rename", here, "x", *by("otto")), Unauthenticated)
    assert audited(data, here) == []


def test_what_a_named_person_did_stands_under_that_name(by, data: Path, stage: Stage, tmp_path: Path):
    here = str(stage.destination_id("Rheingau"))
    done(data, "adapter", here, "folder", "--options", json.dumps({"path": str(tmp_path)}), *by("otto"))
    done(data, "rename", here, "Kreis", *by("olga"))
    assert audited(data, here) == [("adapter.propose", "otto"), ("destination.change", "olga")]


def test_of_two_named_people_the_second_one_changes_the_adapter(by, data: Path, stage: Stage, tmp_path: Path):
    here = str(stage.destination_id("Rheingau"))
    change = ("adapter", here, "folder", "--options", json.dumps({"path": str(tmp_path)}))
    assert "noted" in done(data, *change, *by("otto"))
    second_person(data, *change, *by("otto"))
    assert isinstance(refused(data, *change, *by("olga")), Forbidden)
    assert "noted" not in done(data, *change, *by("anton"))
    assert "otto + anton" in done(data, "show", here)
    assert "options       envelope path" in done(data, "show", here)


def second_person(data: Path, *arguments: str) -> None:
    error = refused(data, *arguments)
    assert isinstance(error, Forbidden)
    assert error.slug == "second-person"


def test_whoever_created_a_destination_does_not_start_it(by, data: Path, stage: Stage, key_files: dict[str, Path]):
    destination_id = done(data, *add(data, stage, key_files), *by("otto")).split()[1]
    second_person(data, "activate", destination_id, *by("otto"))
    second_person(data, "activate", destination_id)
    done(data, "deactivate", destination_id, *by("otto"))
    second_person(data, "activate", destination_id, *by("otto"))
    second_person(data, "activate", destination_id)
    done(data, "activate", destination_id, *by("olga"))
    done(data, "deactivate", destination_id, *by("otto"))
    done(data, "activate", destination_id, *by("otto"))


def test_the_first_set_up_needs_no_accounts_and_is_audited(stage: Stage, key_files: dict[str, Path], tmp_path: Path):
    fresh = tmp_path / "fresh"
    shutil.copytree(stage.data / "pki", fresh / "pki")
    made = CliRunner().invoke(clients, ["add", "Amt", "--kind", "subscriber", "--data", str(fresh)])
    owner = made.output.split()[1]
    destination_id = done(fresh, *add(fresh, stage, key_files, owner=owner)).split()[1]
    done(fresh, "activate", destination_id)
    assert "active" in done(fresh, "show", destination_id)
    actors = {actor for target in (owner, destination_id) for _, actor in audited(fresh, target)}
    assert actors == {f"cli:{getpass.getuser()}"}


def test_a_destination_is_added_activated_and_given_an_adapter(
    by, data: Path, stage: Stage, key_files: dict[str, Path], tmp_path: Path
):
    destination_id = done(data, *add(data, stage, key_files)).split()[1]
    assert f"{destination_id}  created" in done(data, "list")
    done(data, "activate", destination_id, *by("otto"))
    done(data, "adapter", destination_id, "folder", "--options", json.dumps({"path": str(tmp_path)}))
    shown = done(data, "show", destination_id)
    for fact in ("active", "folder", "options       path", BAUEN, SCHEMA, "wrapKey", "verify"):
        assert fact in shown
    assert isinstance(refused(data, "adapter", destination_id, "pigeon"), HubError)
    inward = refused(
        data, "adapter", destination_id, "https", "--options", '{"url": "https://10.0.0.9/x", "secret_file": "s"}'
    )
    assert reasons.NOT_PUBLIC.text.en in inward.detail.en
    opened = {"url": "https://10.0.0.9/x", "secret_file": "s", "allow_private_addresses": True}
    done(data, "adapter", destination_id, "https", "--options", json.dumps(opened))
    assert isinstance(refused(data, "adapter", destination_id, "mailbox", "--options", '{"speed": 9}'), HubError)
    done(data, "rename", destination_id, "Neustadt, Ordnungsamt")
    assert "Ordnungsamt" in done(data, "show", destination_id)
    done(data, "deactivate", destination_id)
    done(data, "decommission", destination_id, "--yes")
    assert isinstance(refused(data, "activate", destination_id), Malformed)


def test_one_service_is_offered_changed_and_dropped_without_naming_the_others(
    data: Path, stage: Stage, key_files: dict[str, Path]
):
    destination_id = done(data, *add(data, stage, key_files)).split()[1]
    services = ("services", destination_id, "--service")
    done(data, *services, ANMELDEN, "--region", "DE06439")
    shown = done(data, "show", destination_id)
    assert f"{BAUEN}  DE06\n" in shown
    assert f"{ANMELDEN}  DE06439\n" in shown
    done(data, *services, BAUEN, "--region", "DE06414")
    shown = done(data, "show", destination_id)
    assert f"{BAUEN}  DE06414\n              {SCHEMA}" in shown
    assert f"{ANMELDEN}  DE06439\n" in shown
    done(data, *services, ANMELDEN, "--drop")
    assert ANMELDEN not in done(data, "show", destination_id)
    done(data, *services, ANMELDEN, "--region", "DE06439", "--replace")
    assert BAUEN not in done(data, "show", destination_id)


def test_an_offer_that_cannot_be_kept_is_refused_with_the_right_word(
    data: Path, stage: Stage, key_files: dict[str, Path]
):
    destination_id = done(data, *add(data, stage, key_files)).split()[1]
    before = done(data, "show", destination_id)
    bare = BAUEN.rpartition(":")[2]
    for service, more, slug in (
        (bare, [], "service-without-urn"),
        (BAUEN, ["--region", "06439"], "region-without-de"),
        (BAUEN, ["--schema", "urn:a=application/xml"], "schema-unknown"),
        (BAUEN, ["--schema", f"{SCHEMA}=application/json"], "schema-media-type"),
    ):
        assert refused(data, "services", destination_id, "--service", service, *more).slug == slug
    assert done(data, "show", destination_id) == before


def test_another_adapter_closes_the_circuit(stage: Stage, tmp_path: Path):
    destination_id = stage.destination_id("Wiesbaden")
    stage.hub.store.circuits.change(
        destination_id, lambda known: replace(known, failures=9, open_until=NOW + timedelta(days=3650)), NOW
    )
    stage.hub.close()
    done(stage.data, "adapter", str(destination_id), "folder", "--options", json.dumps({"path": str(tmp_path)}))
    store = Store(stage.hub.settings.database)
    assert store.circuits.circuit(destination_id) == Circuit(destination_id=destination_id)
    store.close()


def test_a_new_key_takes_over_once_two_operators_say_so(by, data: Path, stage: Stage, key_files: dict[str, Path]):
    destination_id = stage.cast["destinations"][0]["destination_id"]
    kid = json.loads(key_files["encryption"].read_text())["kid"]
    assert isinstance(refused(data, "key", "use", destination_id, kid, *by("otto")), NotFound)
    # One kid in 64 begins so: it is looked for, and no option.
    for strange in (f"-{kid[1:]}", f"-hK{kid[3:]}", f"-l{kid[2:-1]}h"):
        assert isinstance(refused(data, "key", "use", destination_id, strange, *by("otto")), NotFound)
    assert "added" in done(data, "key", "add", destination_id, str(key_files["encryption"]))
    assert "was there" in done(data, "key", "add", destination_id, str(key_files["encryption"]))
    assert f"{kid}  *" not in done(data, "show", destination_id)
    assert "noted" in done(data, "key", "use", destination_id, kid, *by("otto"))
    assert isinstance(refused(data, "key", "use", destination_id, kid, *by("otto")), Forbidden)
    assert f"{kid}  *" not in done(data, "show", destination_id)
    assert isinstance(refused(data, "key", "use", destination_id, kid, *by("olga")), Forbidden)
    assert "otto + anton" in done(data, "key", "use", destination_id, kid, *by("anton"))
    assert f"{kid}  *" in done(data, "show", destination_id)
    assert isinstance(refused(data, "key", "retire", destination_id, kid, *by("otto")), Conflict)


def test_a_mistyped_option_is_named_as_one_and_a_key_may_begin_with_a_hyphen(data: Path):
    for group, words in ((destinations, ["key", "use"]), (destinations, ["key", "retire"]), (keys, ["lost"])):
        command = [*words, "--data", str(data), "--as", "otto"]
        here = "7e57c11e-27f4-4b0a-9c35-d2a1b7e06414"
        said = CliRunner().invoke(group, [*command, here, "kid-of-a-key", "--passwort-file", "otto.txt"])
        assert said.exit_code == 2
        assert "No such option '--passwort-file'" in said.output.replace(
            "option: --passwort-file", "option '--passwort-file'"
        )
        assert "--password-file" in said.output  # what was probably meant
        for meant in ([here, f"-{'Ab_c4' * 8}xy"], ["--", here, "--passwort-file"]):
            assert "No such option" not in CliRunner().invoke(group, [*command, *meant]).output


def test_whoever_is_not_going_to_see_a_new_destination_is_told_of(data: Path, stage: Stage, key_files: dict[str, Path]):
    narrow = "064390006006"
    warnings = {}
    for tenant in ("06439", narrow, ""):
        said = run(data, *add(data, stage, key_files, tenant=tenant, region=f"DE{narrow}"))
        assert said.exit_code == 0, said.output
        warnings[tenant] = said.stderr
    assert warnings[narrow] == ""
    assert narrow in warnings["06439"]
    assert narrow in warnings[""]


def test_what_was_done_stands_in_the_audit_log(stage: Stage, key_files: dict[str, Any]):
    stage.hub.close()
    destination_id = stage.cast["destinations"][0]["destination_id"]
    done(stage.data, "deactivate", destination_id)
    store = Store(stage.hub.settings.database)
    entry = store.audit.entries(newest_first=True, limit=1, scope=EVERYTHING).items[0].entry
    store.close()
    assert (entry.action, entry.target) == ("destination.change", destination_id)
    assert entry.actor.startswith("cli:")
    assert (entry.before, entry.after) == ({"status": "active"}, {"status": "inactive"})


def test_a_destinations_notices_are_shown_with_what_became_of_their_mail(stage: Stage):
    here = str(stage.destination_id("Wiesbaden"))
    for mails in (True, False):
        board = Noticeboard(store=stage.hub.store, mails=mails)
        telling = board.telling(NoticeKind.UNCOLLECTED, here, {}, occasion=str(mails), now=stage.clock())
        stage.hub.store.database.write(lambda connection, notices=telling: write_telling(connection, notices))
    stage.hub.close()
    shown = [line.split() for line in done(stage.data, "show", here).splitlines() if line.startswith("notice")]
    assert sorted(line[2:] for line in shown) == [["uncollected", "mail:", "-"], ["uncollected", "mail:", "queued"]]
