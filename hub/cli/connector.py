"""``hub connector``: the municipal side, on a machine of the municipality's own; nothing of the hub itself is loaded."""

from __future__ import annotations

import dataclasses
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from getpass import getuser
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import click

from hub.connector import Connector
from hub.connector.commissioning import examine, make_keys, settings_file
from hub.connector.declarations import DECLARED, Decider
from hub.connector.desk import WantedForward
from hub.connector.journal import Journal
from hub.connector.local_api import forward_by_interface
from hub.connector.scanning import RELEASED, TURNED_DOWN, decide, kept_back, report_of
from hub.connector.settings import LONGEST_SECRET, ConnectorSettings
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.model import FORWARD_REASONS_BY_NAME, utc_now
from hub.observability import logs
from hub.observability.diagnosis import Diagnosis, exit_code

T = TypeVar("T")
_CONFIG = "connector.toml"


@click.group()
def connector() -> None:
    """Konnektor in der Kommune / the municipal side."""


@connector.command("run")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--once", is_flag=True, help="Collect and hand over what waits now, then stop.")
def run_connector(config: Path, once: bool) -> None:
    """Collect from the hub (or take pushes), open, check, hand over, and accept or reject."""
    running = Connector.from_config(config)
    logs.starting().info("%s", logs.what_runs({"hub": "connector", **running.facts()}))
    if not running.settings.names_decider:
        logs.starting().warning("%s", _NO_DECIDER)
    # One line for each case, whatever level is asked for: without it nobody knows whether anything arrives.
    logging.getLogger("hub.connector.connector").setLevel(logging.INFO)
    with closing(running):
        if once:
            _run_once(running)
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        running.run(stop)


def _run_once(running: Connector) -> None:
    counts = running.run_once(utc_now())
    click.echo(json.dumps(dataclasses.asdict(counts)))
    trouble = running.trouble()
    if trouble is not None:
        raise trouble


@connector.command("check")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path(_CONFIG),
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check_connector(config: Path, as_json: bool) -> None:
    """Say all faults of a settings file at once, and try keys, hand-over, token and mailbox; nothing is fetched.

    Exit codes: 0 well (or warnings), 1 something is wrong, 3 something cannot be reached now.
    """
    sys.exit(_say(examine(config, now=utc_now), as_json=as_json))


def _say(diagnoses: Iterable[Diagnosis], *, as_json: bool = False) -> int:
    found = []
    for each in diagnoses:
        found.append(each)
        if not as_json:
            click.echo(f"{each.line(english=False)}\n{'':<18}{'':<14}{each.line(english=True)[29:]}")
    if as_json:
        click.echo(json.dumps([each.as_json() for each in found], ensure_ascii=False, indent=1))
    return exit_code(found)


@connector.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--base-url", help="Address of the hub.")
@click.option("--issuer", help="Who the hub signs as, if not its address.")
@click.option("--client-id", help="Name of the connector at the hub.")
@click.option(
    "--client-secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the secret; it is copied into FOLDER.",
)
@click.option("--destination-id", type=click.UUID, help="Destination that is served here.")
@click.option("--mode", type=click.Choice(["collect", "listen", "both"]), help="How submissions come in.")
@click.option("--handover", help="Folder, or address of the specialist system (http).")
@click.option(
    "--handover-mode",
    type=click.Choice(["clerk", "auto", "system"]),
    default="clerk",
    show_default=True,
    help="Who decides: people on the connector's page, nobody, or the specialist system.",
)
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The hub's authority, PEM."
)
@click.option("--schemas", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of schemas.")
@click.option("--subject", help="Name of the authority, for its keys.")
@click.option(
    "--decryption-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private key that there is (PEM, PKCS#12, JWK) instead of a new one; copied.",
)
@click.option(
    "--signing-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same, for signing.",
)
@click.option(
    "--key-password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password of both; copied.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: what is not given is the default, or refused.")
@click.option("--test/--no-test", default=True, show_default=True, help="Try keys, token, mailbox and hand-over.")
def init_connector(folder: Path, yes: bool, test: bool, **given: Any) -> None:
    """Write a settings file with every setting explained, make keys, and try all that the connector needs.

    Asks for what is missing. A settings file that is there is never touched.
    """
    target = folder / _CONFIG
    if target.exists():
        raise ConfigurationError(
            Text(
                f"{target} gibt es schon. Ändern Sie sie, oder nennen Sie einen anderen Ordner; prüfen: hub connector check.",
                f"{target} is there already. Change it, or name another folder; to check it: hub connector check.",
            )
        )
    answers = _Answers(given, ask=not yes)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = _answered(answers, folder)
    vault.write(target, settings_file(written).encode("utf-8"))
    click.echo(f"{target}")
    _say_next(folder, written)
    if test:
        sys.exit(_say(examine(target, now=utc_now)))


class _Answers:
    """What was given as options; the rest is asked for, or refused."""

    def __init__(self, given: dict[str, Any], *, ask: bool) -> None:
        self._given = given
        self._ask = ask

    def needed(self, option: str, setting: str) -> str:
        """Return what must be known, in the words of the setting."""
        given = self.may(option)
        if given is not None:
            return given
        text = next(each.text for each in DECLARED if each.name == setting)
        if not self._ask:
            name = "--" + option.replace("_", "-")
            raise ConfigurationError(Text(f"{name} fehlt: {text.de}", f"{name} is missing: {text.en}"), setting=setting)
        self._given[option] = str(click.prompt(f"{text.de}\n{text.en}\n{setting}"))
        return str(self._given[option])

    def may(self, option: str) -> str | None:
        """Return what was given, None where nothing was."""
        value = self._given.get(option)
        return None if value is None else str(value)


def _answered(answers: _Answers, folder: Path) -> dict[str, Any]:
    """Return the answers by setting, with files laid beside the settings file and keys made where none were given."""
    base_url = answers.needed("base_url", "hub.base_url").rstrip("/")
    written: dict[str, Any] = {
        "mode": answers.may("mode") or "collect",
        "journal": "journal.sqlite3",
        "hub.base_url": base_url,
        "hub.token_url": f"{base_url}/token",
        "hub.client_id": answers.needed("client_id", "hub.client_id"),
        "hub.client_secret_file": _laid(
            Path(answers.needed("client_secret_file", "hub.client_secret_file")), folder, "hub.secret"
        ),
        "destinations.destination_id": answers.needed("destination_id", "destinations.destination_id"),
    }
    _note_optional(answers, written)
    if written["mode"] != "collect":
        secret = folder / "push.secret"
        if not secret.exists():
            vault.write(secret, _random())
        written |= {"listen.address": "127.0.0.1", "listen.port": 8443, "listen.secret_file": secret.name}
    return written | _handover(answers, folder) | _keys(answers, folder)


def _note_optional(answers: _Answers, written: dict[str, Any]) -> None:
    issuer = answers.may("issuer")
    if issuer is not None:
        written["hub.issuer"] = issuer
    for option, name in (("ca_file", "hub.ca_file"), ("schemas", "schema_roots")):
        value = answers.may(option)
        if value is not None:
            path = str(Path(value).absolute())
            written[name] = [path] if name == "schema_roots" else path


def _random() -> bytes:
    import secrets

    return secrets.token_hex(32).encode("ascii")


def _handover(answers: _Answers, folder: Path) -> dict[str, Any]:
    decider, where = answers.may("handover_mode") or "clerk", answers.may("handover")
    written: dict[str, Any] = {"handover.mode": decider}
    if decider == "clerk":
        written |= {"clerk.address": "127.0.0.1", "clerk.port": 8095, "clerk.accounts_file": "clerks.json"}
        if where is None:
            return written
    where = where or "inbox"
    if urlsplit(where).scheme in {"http", "https"}:
        written |= {"handover.kind": "http", "handover.url": where}
    else:
        (folder / where).mkdir(mode=0o700, parents=True, exist_ok=True)
        written |= {"handover.kind": "folder", "handover.path": where}
    if decider == "system":
        token = folder / "api.token"
        if not token.exists():
            vault.write(token, _random())
        written |= {"api.port": 8096, "api.token_file": token.name}
    return written


def _keys(answers: _Answers, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    given = {"encryption": answers.may("decryption_key"), "signing": answers.may("signing_key")}
    if not all(given.values()):
        subject = answers.may("subject") or answers.needed("destination_id", "destinations.destination_id")
        made = make_keys(folder, subject=subject, now=utc_now())
    for use, path in given.items():
        name = made[use][0].name if path is None else _laid(Path(path), folder, f"{use}{Path(path).suffix}")
        found |= (
            {"destinations.decryption_key_files": [name]}
            if use == "encryption"
            else {"destinations.signing_key_file": name}
        )
    password = answers.may("key_password_file")
    if password is not None:
        found["destinations.key_password_file"] = _laid(Path(password), folder, "keys.secret")
    return found


def _laid(file: Path, folder: Path, name: str) -> str:
    """Copy a private file beside the settings, for this account alone; return its name there."""
    target = folder / name
    if target.absolute() != file.absolute():
        vault.write(target, vault.read(file))
    return name


def _say_next(folder: Path, written: dict[str, Any]) -> None:
    """Say which halves of new keys go to the hub."""
    public = [file for file in (folder / f"{use}.public.jwk" for use in ("encryption", "signing")) if file.exists()]
    if public:
        files = " ".join(map(str, public))
        click.echo(f"Dem Hub geben (öffentlich) / give to the hub (public): {files}")
        click.echo(
            f"Für production von Ihrer PKI bescheinigen lassen / for production have your PKI certify: {folder}/*.csr.pem; "
            "dann / then: hub keys jwk ZERTIFIKAT.pem, signing_key_id = kid"
        )
    if written["mode"] != "collect":
        click.echo(
            f"Auch der Zustellpunkt am Hub braucht / the destination at the hub needs, too: {folder}/push.secret"
        )
    if written["handover.mode"] == "clerk":
        click.echo(
            f"Konten für die Sachbearbeitung / accounts for clerks: hub connector clerk add NAME --config {folder}/{_CONFIG}"
        )
    if written["handover.mode"] == "system":
        click.echo(f"Das Fachverfahren braucht / the specialist system needs: {folder}/api.token")


@connector.command("forward")
@click.argument("submission_id", type=click.UUID)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path(_CONFIG),
    show_default=True,
)
@click.option(
    "--area", default="", help="Where it belongs: ARS, of a municipality 12 digits.  [default: where it came for]"
)
@click.option("--service", default="", help="LeiKa key as a URN, if it is another service than it came for.")
@click.option(
    "--reason", required=True, type=click.Choice(list(FORWARD_REASONS_BY_NAME)), help="Why; stands in the log."
)
@click.option("--text", default="", help="For the next authority and the sender, sealed.")
@click.option("--id", "request_id", type=click.UUID, help="Id of an earlier try, to say the same again.")
@click.option("--check", is_flag=True, help="Only say which authority is responsible.")
def forward_case(  # its options
    submission_id: UUID,
    config: Path,
    area: str,
    service: str,
    reason: str,
    text: str,
    request_id: UUID | None,
    *,
    check: bool,
) -> None:
    """Hand the case of a submission on to the authority that is responsible, as the hub's rules say.

    By the running connector's local interface where there is one ([api]); else the connector must not run.
    """
    wish = WantedForward(
        request_id=request_id or uuid4(),
        submission_id=submission_id,
        service=service,
        area=area,
        reason=reason,
        text=text,
    )
    settings = ConnectorSettings.read(config)
    if settings.decider is Decider.SYSTEM and settings.local is not None:
        said = forward_by_interface(settings.local, wish, check=check)
    else:
        said = _forward_here(config, wish, check=check)
    click.echo(json.dumps(said, ensure_ascii=False))


def _forward_here(config: Path, wish: WantedForward, *, check: bool) -> Mapping[str, Any]:
    """Hand on by the journal itself, which is locked while the connector runs."""
    with closing(Connector.from_config(config)) as held:
        if held.say is None:
            raise ConfigurationError(
                Text(
                    "Mit handover.mode = auto entscheidet niemand, und abgegeben wird nichts.",
                    "With handover.mode = auto nobody decides, and nothing is handed on.",
                ),
                setting="handover.mode",
            )
        if check:
            found = held.say.desk.next_authority(wish)
            return {"destinationId": str(found.destination_id), "name": found.name, "ars": found.ars}
        written = held.say.desk.forward(wish, who=getuser())
        held.say.send(utc_now())
        now = held.say.desk.forwards.find(written.request_id) or written
        return {"requestId": str(now.request_id), "state": now.state.value, "next": now.next_name}


@connector.group("clerk")
def clerk_group() -> None:
    """Konten für die Sachbearbeitung / accounts of clerks, in the connector's own file."""


_CONFIG_OPTION = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path(_CONFIG),
    show_default=True,
)


@clerk_group.command("add")
@click.argument("name")
@_CONFIG_OPTION
@click.option("--full-name", default="", help="As colleagues know the person.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password, instead of being asked for it.",
)
@click.option("--replace", is_flag=True, help="Give an account that there is a new password and name.")
def add_clerk(name: str, config: Path, full_name: str, password_file: Path | None, *, replace: bool) -> None:
    """Make an account; its password is asked for, twice. A running connector takes it at once."""
    from hub.connector.clerk.accounts import add_account

    if password_file is not None:
        password = vault.read_text(password_file, most=LONGEST_SECRET)
    else:
        password = click.prompt("Passwort / password", hide_input=True, confirmation_prompt=True)
    add_account(_accounts_file(config), name, password, full_name=full_name, now=utc_now(), replace=replace)
    click.echo(name)


@clerk_group.command("remove")
@click.argument("name")
@_CONFIG_OPTION
def remove_clerk(name: str, config: Path) -> None:
    """Take an account away; its sessions end."""
    from hub.connector.clerk.accounts import remove_account

    remove_account(_accounts_file(config), name)


@clerk_group.command("list")
@_CONFIG_OPTION
def list_clerks(config: Path) -> None:
    """List the accounts, by name."""
    from hub.connector.clerk.accounts import read_accounts

    for each in read_accounts(_accounts_file(config)).values():
        click.echo(f"{each.name:<24}  {each.added_at[:10]}  {each.full_name}")


def _accounts_file(config: Path) -> Path:
    site = ConnectorSettings.read(config).clerk
    if site is None:
        raise ConfigurationError(
            Text(
                "Diese Einstellungen haben keine Seite für die Sachbearbeitung. Setzen Sie handover.mode = clerk.",
                "These settings have no page for clerks. Set handover.mode = clerk.",
            ),
            setting="handover.mode",
        )
    return site.accounts_file


_NO_DECIDER = (
    "handover.mode fehlt und gilt als auto: Übergebenes wird angenommen, ohne dass jemand entscheidet. / handover.mode is "
    "missing and counts as auto: what is handed over is accepted, and nobody decides."
)

COMMANDS = (connector,)


@connector.group("quarantine")
def quarantine_group() -> None:
    """Was die Prüfung auf Schadsoftware zurückhält / what the scan for malware keeps back; the connector must not run."""


@quarantine_group.command("list")
@_CONFIG_OPTION
def list_quarantined(config: Path) -> None:
    """Show what is kept back: since when, for which service, what was found where."""
    for each in _with_journal(config, kept_back):
        said = report_of(each.scan) or {}
        found = " ".join(f"{one['part']}={one.get('signature', one['verdict'])}" for one in said.get("notable", ()))
        click.echo(f"{each.submission_id}  {each.seen_at:%Y-%m-%d %H:%M}  {each.service or '-'}  {found}")


@quarantine_group.command("release")
@click.argument("submission_id", type=click.UUID)
@_CONFIG_OPTION
def release_quarantined(submission_id: UUID, config: Path) -> None:
    """Hand it over all the same, with what was found and who released it."""
    _decide(config, submission_id, RELEASED)


@quarantine_group.command("reject")
@click.argument("submission_id", type=click.UUID)
@_CONFIG_OPTION
def reject_quarantined(submission_id: UUID, config: Path) -> None:
    """Reject it: the sender is told what was found, if the scanner still finds it."""
    _decide(config, submission_id, TURNED_DOWN)


def _decide(config: Path, submission_id: UUID, what: str) -> None:
    _with_journal(config, lambda journal: decide(journal, submission_id, what, who=getuser(), now=utc_now()))
    click.echo(json.dumps({"submissionId": str(submission_id), "decision": what}))


def _with_journal(config: Path, act: Callable[[Journal], T]) -> T:
    """Do something with the journal, which is locked while the connector runs."""
    with closing(Journal(ConnectorSettings.read(config).journal)) as journal:
        return act(journal)
