"""What an authority gets to begin with: the settings file of its connector, and the way in words. No key, no secret.

The file is the one that ``hub connector init`` writes, with the answers that the hub knows. Private keys are made in the
authority's house, and its client's secret is given to it apart.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

#: Writes a connector's settings file for answers by the whole names of settings.
SettingsFile = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFacts:
    """What stands in a pack. ``signing_kid`` is what the hub calls the key for signatures, empty before there is one."""

    name: str
    ars: str
    base_url: str
    client_id: str
    destination_id: UUID | None
    signing_kid: str
    adapter: str
    services: int


def pack(facts: PackFacts, settings_file: SettingsFile, *, now: datetime) -> bytes:
    """Return a ZIP with ``connector.toml`` and ``LIESMICH.txt``; the same facts give the same bytes on one day."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("connector.toml", _settings(facts, settings_file)), ("LIESMICH.txt", _words(facts))):
            entry = zipfile.ZipInfo(name, date_time=(now.year, now.month, now.day, 0, 0, 0))
            entry.external_attr = 0o600 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.encode("utf-8"))
    return sink.getvalue()


def _settings(facts: PackFacts, settings_file: SettingsFile) -> str:
    answers: dict[str, Any] = {
        "mode": "collect",
        "journal": "journal.sqlite3",
        "hub.base_url": facts.base_url,
        "hub.token_url": f"{facts.base_url}/token",
        "hub.client_id": facts.client_id,
        "hub.client_secret_file": "hub.secret",
        "handover.mode": "clerk",
        "clerk.address": "127.0.0.1",
        "clerk.port": 8095,
        "clerk.accounts_file": "clerks.json",
        "destinations.decryption_key_files": ["encryption.private.jwk"],
        "destinations.signing_key_file": "signing.private.jwk",
    }
    if facts.destination_id is not None:
        answers["destinations.destination_id"] = str(facts.destination_id)
    if facts.signing_kid:
        answers["destinations.signing_key_id"] = facts.signing_kid
    return settings_file(answers)


def _words(facts: PackFacts) -> str:
    destination = str(facts.destination_id or "folgt nach dem Zertifikat / follows after the certificate")
    return _INSTRUCTIONS.format(
        name=facts.name,
        ars=facts.ars,
        base_url=facts.base_url,
        client_id=facts.client_id,
        destination=destination,
        adapter=facts.adapter,
        services=facts.services,
    )


_INSTRUCTIONS = """\
Aufnahme / onboarding: {name} ({ars})

Hub: {base_url}
Client: {client_id}
Zustellpunkt / destination: {destination}
Zustellweg / way of delivery: {adapter}
Leistungen / services: {services}

1. Schlüssel: Legen Sie Ihre beiden privaten Schlüssel neben connector.toml (encryption.private.jwk, signing.private.jwk;
   auch PEM oder PKCS#12, dann die Namen in der Datei ändern). Sie verlassen Ihr Haus nie.
   Noch keine? „hub connector init ORDNER“ erzeugt sie mit Zertifikatsanträgen (*.csr.pem); nur diese gehen an den Hub.
   Keys: put your two private keys beside connector.toml (PEM or PKCS#12 do, too; change the names in the file then). They never
   leave your house. None yet? 'hub connector init FOLDER' makes them, with requests for certificates (*.csr.pem).
2. Geheimnis: Den Zugang des Clients bekommen Sie getrennt, einmal angezeigt. Er gehört in hub.secret (chmod 0600).
   Secret: the client's secret comes apart, shown once. It belongs into hub.secret (chmod 0600).
3. Prüfen / check:        hub connector check --config connector.toml
4. Konto für die Sachbearbeitung / account of a clerk:
                          hub connector clerk add NAME --config connector.toml
5. Starten / start:       hub connector run --config connector.toml
6. Testzustellung: Der Betrieb des Hubs schickt eine; sie ist als TESTZUSTELLUNG gekennzeichnet und zu verwerfen.
   Test delivery: the hub's operators send one; it is marked as TESTZUSTELLUNG and to be discarded.
7. Danach nimmt eine zweite Person beim Hub Sie in Betrieb. / Then a second person at the hub puts you into service.
"""
