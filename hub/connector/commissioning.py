"""Taking a connector into service: its settings file and keys are written, and all that it needs is tried.

The file names every setting with its sentence, what it takes and its default, so that nobody has to look elsewhere. What is
tried is what the connector will do: read its keys, get a token, ask for its mailbox, hand over. Nothing is fetched or answered.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import requests

from hub.client.fit_connect import Subscriber
from hub.connector.access import own_words, subscriber, tokens, transport
from hub.connector.declarations import DECLARED, TABLES, Decider, Mode
from hub.connector.opening import Keys, load_keys
from hub.connector.scanning import ScanAfterOpening
from hub.connector.settings import (
    LONGEST_SECRET,
    Address,
    ClerkSite,
    ConnectorSettings,
    FolderHandover,
    HttpHandover,
)
from hub.crypto import base64url, thumbprint
from hub.crypto.key_file import make_new_key
from hub.errors import ConfigurationError, Forbidden, HubError, NotFound, Text, Unauthenticated
from hub.files import vault
from hub.files.settings import Setting, as_toml
from hub.observability.diagnosis import Diagnosis, away, bounded, doubtful, faulty, of_error, well

#: Seconds for one check.
_LIMIT = 30.0
_LOCAL = (5.0, 10.0)
_VALIDITY = timedelta(days=730)
_USES = ("encryption", "signing")
#: Tables that stand in the file whether or not anything in them was answered.
_ALWAYS = frozenset({"", "hub", "destinations", "handover"})


def settings_file(answers: Mapping[str, Any]) -> str:
    """Return the settings file for answers by the whole names of settings; what is not answered stands there as a comment."""
    lines = [
        "# Einstellungen des Konnektors / settings of the connector",
        "# Prüfen / check: hub connector check --config DATEI",
    ]
    table = None
    for each in DECLARED:
        above, _, key = each.name.rpartition(".")
        answered = above in _ALWAYS or any(name.startswith(f"{above}.") for name in answers)
        if above != table:
            lines += ["", *_table(above, answered=answered)]
            table = above
        lines += _commented(each, key, answers.get(each.name), answered=answered)
    return "\n".join(lines) + "\n"


def _table(name: str, *, answered: bool) -> list[str]:
    if not name:
        return []
    head = f"[[{name}]]" if name == "destinations" else f"[{name}]"
    return [f"# --- {TABLES[name].de} / {TABLES[name].en}", head if answered else f"# {head}"]


def _commented(each: Setting, key: str, answer: Any, *, answered: bool) -> list[str]:
    allowed, default = each.allowed, "–" if each.default in (None, "") else as_toml(each.default)
    if each.shown is not None:
        default = f"{each.shown.de} / {each.shown.en}"
    must = "muss / required" if each.required else f"Vorgabe / default: {default}"
    unit = f" ({each.unit})" if each.unit else ""
    words = allowed.de if allowed.de == allowed.en else f"{allowed.de} / {allowed.en}"
    only = f"; nur mit / only with {each.only[0]} = {each.only[1]}" if each.only else ""
    example = each.default if each.default is not None else (each.choices[0] if each.choices else "")
    value = f"{key} = {as_toml(answer)}" if answer is not None else f"# {key} = {as_toml(example)}"
    return [
        f"# {each.text.de}",
        f"# {each.text.en}",
        f"#   erlaubt / allowed: {words}{unit}; {must}{only}",
        value if answered or answer is not None else f"# {key} = {as_toml(example)}",
    ]


def make_keys(folder: Path, *, subject: str, now: datetime) -> Mapping[str, tuple[Path, Path]]:
    """Make a key pair for each use (RSA-4096, PS512 and RSA-OAEP-256); return the files of its private and public half.

    The public half carries a certificate of its own about itself, which development hubs take; for production the authority's
    PKI certifies the request beside it (``hub keys jwk`` makes a JWK of what comes back). Files that are there are kept.
    """
    made = {}
    for use in _USES:
        private_file, public_file = folder / f"{use}.private.jwk", folder / f"{use}.public.jwk"
        if not private_file.exists():
            new = make_new_key(use, subject=subject, now=now, validity=_VALIDITY)
            public_file.write_text(json.dumps(new.public, indent=1) + "\n", encoding="utf-8")
            (folder / f"{use}.csr.pem").write_bytes(new.request)
            vault.write(private_file, json.dumps(new.private, indent=1).encode())
        made[use] = (private_file, public_file)
    return made


def examine(file: Path, *, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Yield what is found when everything is tried that a connector with this settings file needs."""
    try:
        settings = ConnectorSettings.read(file)
    except ConfigurationError as error:
        yield from (faulty("settings", fault) for fault in error.members.get("faults", (error.detail,)))
        return
    yield well("settings", f"{file} ist lesbar und vollständig", f"{file} is readable and complete")
    keys: dict[UUID, Keys] = {}  # Judging one takes a third of a second.
    yield from bounded("keys", lambda: _keys(settings, keys), seconds=_LIMIT)
    yield from bounded("hand-over", lambda: _handover(settings), seconds=_LIMIT)
    yield from bounded("say", lambda: _say(settings), seconds=_LIMIT)
    yield from bounded("schemas", lambda: _schemas(settings), seconds=_LIMIT)
    yield from bounded("scanner", lambda: _scanner(settings), seconds=_LIMIT)
    yield from bounded("files", lambda: _files(settings), seconds=_LIMIT)
    yield from bounded("hub", lambda: _hub(settings, keys, now), seconds=_LIMIT)


def _keys(settings: ConnectorSettings, found: dict[UUID, Keys]) -> Iterator[Diagnosis]:
    """Read and judge all keys; what can be used stands in ``found`` then."""
    try:
        found.update(load_keys(settings.destinations))
    except ConfigurationError as error:
        yield from (faulty("keys", fault) for fault in error.members.get("faults", (error.detail,)))
        return
    for destination_id, keys in found.items():
        kids = ", ".join([*(key.kid for key in keys.decryption), keys.signing.kid])
        yield well("keys", f"{destination_id}: kid {kids}", f"{destination_id}: kid {kids}")


def _handover(settings: ConnectorSettings) -> Iterator[Diagnosis]:
    handover = settings.handover
    if isinstance(handover, FolderHandover):
        yield from _folder(handover)
    elif handover is not None:
        yield from _http(handover)
    else:
        yield well("hand-over", "auf der Seite für die Sachbearbeitung", "on the page for clerks")


def _folder(handover: FolderHandover) -> Iterator[Diagnosis]:
    probe = handover.path / f".self-check-{secrets.token_hex(4)}"
    try:
        vault.write(probe, b"")
        probe.unlink()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        text = Text(
            f"{handover.path} lässt sich nicht beschreiben ({why})", f"{handover.path} cannot be written ({why})"
        )
        yield faulty("hand-over", text, Text("handover.path anlegen oder ändern", "make or change handover.path"))
        return
    yield well("hand-over", f"{handover.path} lässt sich beschreiben", f"{handover.path} can be written")


def _http(handover: HttpHandover) -> Iterator[Diagnosis]:
    if handover.secret_file is not None:
        yield from _secret("handover.secret_file", handover.secret_file)
    try:
        with requests.Session() as session:
            session.trust_env = False
            status = session.options(handover.url, timeout=_LOCAL, allow_redirects=False).status_code
    except requests.RequestException as error:
        tls = isinstance(error, requests.exceptions.SSLError)
        why = Text("keine TLS-Verbindung", "no TLS connection") if tls else Text("keine Antwort", "no answer")
        yield away(
            "hand-over",
            Text(f"{handover.url}: {why.de}", f"{handover.url}: {why.en}"),
            Text("läuft das Fachverfahren? handover.url prüfen", "does the specialist system run? check handover.url"),
        )
        return
    yield well("hand-over", f"{handover.url} antwortet (HTTP {status})", f"{handover.url} answers (HTTP {status})")


def _say(settings: ConnectorSettings) -> Iterator[Diagnosis]:
    """Look at what people or the local system need to decide and to write back."""
    if settings.decider is Decider.CLERK and settings.clerk is not None:
        yield from _clerks(settings.clerk)
    if settings.decider is not Decider.SYSTEM:
        return
    handover, local = settings.handover, settings.local
    outbox = handover.outbox if isinstance(handover, FolderHandover) else None
    if local is not None:
        yield from _secret("api.token_file", local.token_file)
    if outbox is not None:
        yield from _outbox(outbox)
    if local is None and outbox is None:
        yield faulty(
            "say",
            Text("das Fachverfahren hat keinen Weg zu antworten", "the specialist system has no way to answer"),
            Text("[api] oder handover.outbox einstellen", "set [api] or handover.outbox"),
        )


def _clerks(site: ClerkSite) -> Iterator[Diagnosis]:
    from hub.connector.clerk.accounts import read_accounts

    try:
        number = len(read_accounts(site.accounts_file))
    except ConfigurationError as error:
        yield faulty("clerk", error.detail)
        return
    if site.certificate_file is not None:
        yield from _certificate(site.certificate_file, site.key_file, "clerk")
    if not number:
        yield doubtful(
            "clerk",
            Text("niemand hat ein Konto für die Sachbearbeitung", "nobody has an account for the page for clerks"),
            Text("hub connector clerk add NAME", "hub connector clerk add NAME"),
        )
        return
    yield well("clerk", f"{number} Konten für die Sachbearbeitung", f"{number} accounts for the page for clerks")


def _outbox(folder: Path) -> Iterator[Diagnosis]:
    if not folder.is_dir() or folder.is_symlink() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield faulty(
            "outbox",
            Text(
                f"{folder} ist kein Ordner, in dem der Konnektor lesen und aufräumen kann",
                f"{folder} is no folder in which the connector can read and tidy up",
            ),
            Text(
                "anlegen und dem Konto des Konnektors geben (handover.outbox)",
                "make it, and give it to the connector's account (handover.outbox)",
            ),
        )
        return
    yield well("outbox", f"{folder} lässt sich lesen und aufräumen", f"{folder} can be read and tidied up")


def _schemas(settings: ConnectorSettings) -> Iterator[Diagnosis]:
    if not settings.schema_roots:
        text = Text(
            "keine schema_roots: Daten werden ungeprüft übergeben", "no schema_roots: data are handed over unchecked"
        )
        yield doubtful("schemas", text)
        return
    from hub.validation.catalog import SchemaCatalog

    number = len(list(SchemaCatalog.load(*settings.schema_roots).entries()))
    yield well("schemas", f"{number} Schemata", f"{number} schemas")


def _scanner(settings: ConnectorSettings) -> Iterator[Diagnosis]:
    if settings.scan is None:
        return
    version = ScanAfterOpening(settings.scan).scanner.version()
    place = settings.scan.place
    if version is None:
        yield away("scanner", Text(f"{place} antwortet nicht", f"{place} does not answer"))
    else:
        yield well("scanner", f"{version} antwortet", f"{version} answers")


def _files(settings: ConnectorSettings) -> Iterator[Diagnosis]:
    listen = settings.listen
    if listen is not None and settings.mode is not Mode.COLLECT:
        yield from _secret("listen.secret_file", listen.secret_file)
        if listen.certificate_file is not None:
            yield from _certificate(listen.certificate_file, listen.key_file)
    place = settings.journal.parent
    if place.exists() and not os.access(place, os.W_OK):
        yield faulty("journal", Text(f"in {place} lässt sich nichts anlegen", f"nothing can be made in {place}"))


def _secret(name: str, file: Path) -> Iterator[Diagnosis]:
    try:
        vault.read_text(file, most=LONGEST_SECRET)
    except ConfigurationError as error:
        yield faulty(name, error.detail)
    except (OSError, UnicodeDecodeError):
        yield faulty(name, Text(f"{file} ist nicht lesbar", f"{file} cannot be read"))


def _certificate(file: Path, key: Path | None, about: str = "listen") -> Iterator[Diagnosis]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, key)
    except OSError:
        text = Text(
            f"{file} und {about}.key_file sind kein Paar aus Zertifikat und Schlüssel",
            f"{file} and {about}.key_file are no pair of certificate and key",
        )
        yield faulty(about, text)


def _hub(settings: ConnectorSettings, keys: Mapping[UUID, Keys], now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    hub = subscriber(settings.hub, now)
    try:
        issuer = _issuer(tokens(settings.hub, now).get(transport(settings.hub)))
    except (Unauthenticated, Forbidden):
        yield _not_let_in()
        return
    except HubError as error:
        yield of_error("hub", own_words(error))
        return
    if issuer and issuer != settings.hub.issuer:
        yield _another_issuer(issuer)
    for address in settings.destinations:
        yield from _mailbox(hub, address, keys)


def _not_let_in() -> Diagnosis:
    return faulty(
        "hub",
        Text("der Hub lässt diesen Client nicht ein", "the hub does not let this client in"),
        Text("hub.client_id und das Geheimnis prüfen", "check hub.client_id and the secret"),
    )


def _another_issuer(issuer: str) -> Diagnosis:
    return faulty(
        "hub",
        Text(f"der Hub unterschreibt als {issuer}", f"the hub signs as {issuer}"),
        Text(f'hub.issuer = "{issuer}" setzen', f'set hub.issuer = "{issuer}"'),
    )


def _mailbox(hub: Subscriber, address: Address, keys: Mapping[UUID, Keys]) -> Iterator[Diagnosis]:
    try:
        waiting = len(list(islice(hub.waiting(address.destination_id), 1)))
    except (NotFound, Forbidden):
        yield _foreign(address)
        return
    except HubError as error:
        yield of_error("hub", own_words(error))
        return
    words = Text("etwas wartet", "something waits") if waiting else Text("nichts wartet", "nothing waits")
    yield well(
        "hub",
        f"Token und Postfach {address.destination_id}: {words.de}",
        f"token and mailbox {address.destination_id}: {words.en}",
    )
    if address.destination_id in keys:
        yield from _registered(hub, address, keys[address.destination_id])


def _issuer(token: str) -> str:
    """Return who an access token says that it is from, empty where it does not say: it is looked at, and not trusted."""
    try:
        claims = json.loads(base64url.decode(token.split(".")[1].encode("ascii"), part="token"))
        return str(claims.get("iss", ""))
    except (HubError, ValueError, IndexError, AttributeError):
        return ""


def _foreign(address: Address) -> Diagnosis:
    return faulty(
        "hub",
        Text(
            f"den Zustellpunkt {address.destination_id} gibt es nicht, oder er gehört einem anderen Client",
            f"there is no destination {address.destination_id}, or it is another client's",
        ),
        Text("destination_id und client_id prüfen", "check destination_id and client_id"),
    )


def _registered(hub: Subscriber, address: Address, keys: Keys) -> Iterator[Diagnosis]:
    """Compare the keys here with those that the hub knows of the destination, by name and by what they are."""
    deposit = Text(
        "den öffentlichen Teil dem Hub geben, oder signing_key_id setzen",
        "give the hub the public half, or set signing_key_id",
    )
    if not _is_at_hub(hub, address, keys.signing.kid, thumbprint(keys.signing.public_jwk())):
        text = Text(
            f"den Unterschriftsschlüssel {keys.signing.kid} kennt der Hub nicht: Er nähme keine Antwort an",
            f"the hub does not know the signing key {keys.signing.kid}: it would take no answer",
        )
        yield faulty("hub", text, deposit)
    if not any(
        _is_at_hub(hub, address, kid, key.thumbprint) for key in keys.decryption for kid in (key.kid, key.thumbprint)
    ):
        text = Text(
            "keinen der Schlüssel zum Öffnen kennt der Hub unter seinem Namen",
            "the hub knows none of the decryption keys by its name",
        )
        yield doubtful("hub", text, Text("den öffentlichen Teil vergleichen", "compare the public half"))


def _is_at_hub(hub: Subscriber, address: Address, kid: str, expected: str) -> bool:
    try:
        return thumbprint(hub.destination_key(address.destination_id, kid)) == expected
    except NotFound:
        return False
