"""A P-Mode as a strict TOML file: what two access points agreed on (ebMS 3 Core, appendix D), and where the keys lie.

::

    profile = "edelivery-1.15"
    agreement = "urn:example:agreement"       # may be left out
    service = "urn:example:service"           # without one: the case's own
    service_kind = ""
    action = "submit"

    [own]
    party = "hub"
    kind = "urn:oasis:names:tc:ebcore:partyid-type:unregistered"
    key_file = "hub.key.pem"                  # paths count from this file's folder
    certificate_file = "hub.pem"

    [peer]
    party = "bauamt"
    kind = "urn:oasis:names:tc:ebcore:partyid-type:unregistered"
    certificate_file = "bauamt.pem"           # the very certificate that they sign with
    client = "…"                              # of those that send to the hub: the client that they are
    area = "064390015015"                     # and the area (ARS) of what names none

A key that nobody knows is refused, like a profile that nobody tried.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from hub.crypto.messages import MessageKey, MessagePeer, read_message_key, read_message_peer
from hub.errors import ConfigurationError, KeyRefused, Text
from hub.files import vault
from hub.soap import ebms
from hub.soap.ebms import Claims

#: The profiles that were tried against programs that nobody here wrote.
PROFILES = ("edelivery-1.15",)
_LIMIT = 64 * 1024
_TOP = ("profile", "agreement", "service", "service_kind", "action", "own", "peer")
_OWN = ("party", "kind", "role", "key_file", "certificate_file")
_PEER = ("party", "kind", "role", "certificate_file", "client", "area")
_MOST_AGREEMENTS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreedParty:
    """A side of the agreement: its identifier, the list ``kind`` that it comes from, and a ``role`` other than the usual."""

    party: str
    kind: str
    role: str

    def agent(self, role: str) -> ebms.Agent:
        """Return the party in the role that it plays, unless the agreement names another."""
        return ebms.Agent(party=self.party, kind=self.kind, role=self.role or role)


@dataclass(frozen=True, kw_only=True, slots=True)
class PMode:
    """What was agreed on. ``service`` is "" where each case brings its own.

    ``client`` is the hub's client that the other side is where it sends, ``area`` the ARS of what names none; "" for none.
    """

    agreement: str
    service: str
    service_kind: str
    action: str
    own: AgreedParty
    peer: AgreedParty
    key: MessageKey = field(repr=False)
    certificate: MessagePeer = field(repr=False)
    client: str = ""
    area: str = ""


class Agreements:
    """What was agreed on with all who may send: found by what a message says of itself, before anything of it is proven."""

    def __init__(self, modes: Iterable[PMode]) -> None:
        self._modes: dict[tuple[str, ...], PMode] = {}
        for mode in modes:
            if self._modes.setdefault(_terms(mode), mode) is not mode:
                _refuse("zwei vereinbaren dasselbe", "two agree on the same")

    def found(self, claims: Claims) -> PMode | None:
        """Return what a message was agreed on by, or None: parties, roles, agreement, action and service are the same."""
        terms = (*_side(claims.sender), *_side(claims.receiver), claims.agreement, claims.action)
        return self._modes.get((*terms, claims.service, claims.service_kind)) or self._modes.get((*terms, "", ""))


def _side(agent: ebms.Agent) -> tuple[str, str, str]:
    return agent.party, agent.kind, agent.role


def _terms(mode: PMode) -> tuple[str, ...]:
    sides = (*_side(mode.peer.agent(ebms.INITIATOR)), *_side(mode.own.agent(ebms.RESPONDER)))
    return (*sides, mode.agreement, mode.action, mode.service, mode.service_kind if mode.service else "")


def read_agreements(folder: Path) -> Agreements:
    """Read the P-Modes of all who may send: each ``*.toml`` of a folder.

    Raises:
        ConfigurationError: one cannot be used, names no client, or two agree on the same; or there is none.
    """
    files = sorted(folder.glob("*.toml"))[: _MOST_AGREEMENTS + 1]
    if not 0 < len(files) <= _MOST_AGREEMENTS:
        _refuse(
            f"as4_folder braucht 1 bis {_MOST_AGREEMENTS} Dateien *.toml",
            f"as4_folder needs 1 to {_MOST_AGREEMENTS} files *.toml",
        )
    modes = [read_pmode(file) for file in files]
    for file, mode in zip(files, modes, strict=True):
        if not mode.client:
            _refuse(f"in {file.name} fehlt peer.client", f"peer.client is missing in {file.name}")
    return Agreements(modes)


def read_pmode(path: Path) -> PMode:
    """Read a P-Mode and the keys that it names.

    Raises:
        ConfigurationError: a file cannot be read, or what it says is not wholly understood.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
        document = tomllib.loads(content[:_LIMIT].decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise _unusable("sie ist kein lesbares TOML", "it is no readable TOML") from exc
    _known("", document, _TOP)
    own, peer = (_table(document, name) for name in ("own", "peer"))
    _known("own.", own, _OWN)
    _known("peer.", peer, _PEER)
    if document.get("profile") not in PROFILES:
        names = ", ".join(PROFILES)
        _refuse(f"profile kennt nur {names}", f"profile knows only {names}")
    return PMode(
        agreement=_text(document, "agreement", ""),
        service=_text(document, "service", ""),
        service_kind=_text(document, "service_kind", ""),
        action=_text(document, "action"),
        own=_party(own, "own."),
        peer=_party(peer, "peer."),
        key=_key(path.parent, own),
        certificate=_certificate(path.parent, peer),
        client=_text(peer, "client", "", place="peer."),
        area=_text(peer, "area", "", place="peer."),
    )


def _party(table: Mapping[str, Any], place: str) -> AgreedParty:
    return AgreedParty(
        party=_text(table, "party", place=place),
        kind=_text(table, "kind", "", place=place),
        role=_text(table, "role", "", place=place),
    )


def _key(folder: Path, table: Mapping[str, Any]) -> MessageKey:
    try:
        secret = vault.read(folder / _text(table, "key_file", place="own."), most=_LIMIT)
        certificate = _file(folder / _text(table, "certificate_file", place="own."))
        return read_message_key(secret, certificate)
    except OSError as exc:
        raise _unusable("own.key_file ist nicht lesbar", "own.key_file cannot be read") from exc
    except KeyRefused as exc:
        raise _unusable(f"own: {_end(exc.detail.de)}", f"own: {_end(exc.detail.en)}") from exc


def _certificate(folder: Path, table: Mapping[str, Any]) -> MessagePeer:
    try:
        return read_message_peer(_file(folder / _text(table, "certificate_file", place="peer.")))
    except KeyRefused as exc:
        raise _unusable(f"peer: {_end(exc.detail.de)}", f"peer: {_end(exc.detail.en)}") from exc


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT)
    except OSError as exc:
        raise _unusable("certificate_file ist nicht lesbar", "certificate_file cannot be read") from exc


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name)
    if not isinstance(table, dict):
        _refuse(f"die Tabelle [{name}] fehlt", f"the table [{name}] is missing")
    return table


def _known(place: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    strange = sorted(set(table) - set(known))
    if strange:
        names = ", ".join(f"{place}{name}" for name in strange)
        _refuse(f"unbekannt: {names}", f"unknown: {names}")


def _text(table: Mapping[str, Any], name: str, default: str | None = None, *, place: str = "") -> str:
    value = table.get(name, default)
    if not isinstance(value, str) or (value != default and not ebms.is_text(value)):
        _refuse(
            f"{place}{name} braucht einen Text von 1 bis {ebms.LONGEST_TEXT} Zeichen",
            f"{place}{name} needs a text of 1 to {ebms.LONGEST_TEXT} characters",
        )
    return value


def _end(sentence: str) -> str:
    return sentence.removesuffix(".")


def _refuse(de: str, en: str) -> NoReturn:
    raise _unusable(de, en)


def _unusable(de: str, en: str) -> ConfigurationError:
    return ConfigurationError(
        Text(f"Die P-Mode-Datei ist nicht verwendbar: {de}.", f"The P-Mode file cannot be used: {en}.")
    )
