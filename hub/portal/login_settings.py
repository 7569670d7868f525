"""The settings of logging in by an OpenID Connect provider: who it is, and what its claims mean here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hub.errors import Text
from hub.files.settings import DeclaredTable, Setting, ValueForm
from hub.forms.form_file import FACTS
from hub.services.entry import Assurance

_SINCE = "0.4.0"
#: OpenID Connect Core 1.0, section 5.1. A street comes with its number there; they are parted where a fact is read.
STANDARD_CLAIMS: Mapping[str, str] = {
    "given-name": "given_name",
    "family-name": "family_name",
    "birth-date": "birthdate",
    "street": "/address/street_address",
    "house-number": "/address/street_address",
    "postal-code": "/address/postal_code",
    "town": "/address/locality",
    "country": "/address/country",
    "email": "email",
    "phone": "phone_number",
    "name": "name",
}


class AddressJudge(Protocol):
    """What judges an address of the settings."""

    def __call__(self, table: DeclaredTable, key: str, value: str, *, path: bool) -> str:
        """Return it, or one that does no harm."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalLogin:
    """By which OpenID Connect provider people may log in. ``levels``: what its claim says, by level, the least first.

    ``claims`` are JSON Pointers, or names, of what forms know of a person (:data:`hub.forms.known.FACTS`).
    """

    issuer: str
    client_id: str
    client_secret_file: Path
    ca_file: Path | None
    name: str
    scopes: tuple[str, ...]
    level_claim: str
    levels: Mapping[Assurance, frozenset[str]]
    claims: Mapping[str, str]


def _declared(name: str, form: ValueForm, de: str, en: str, **more: Any) -> Setting:
    return Setting(name=name, form=form, text=Text(de, en), since=_SINCE, **more)


#: Every setting of the table.
LOGIN_SETTINGS = (
    _declared(
        "login.issuer",
        ValueForm.ADDRESS,
        "OpenID-Connect-Anbieter, bei dem Bürger sich anmelden können (etwa ein Vermittler zur BundID).",
        "OpenID Connect provider at which citizens can log in (a broker to BundID, for instance).",
        required=True,
    ),
    _declared(
        "login.client_id",
        ValueForm.TEXT,
        "Name des Portals beim Anmeldedienst.",
        "Name of the portal at the provider of log-ins.",
        required=True,
    ),
    _declared(
        "login.client_secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Geheimnis, das der Anmeldedienst dem Portal gab.",
        "File with the secret that the provider of log-ins gave the portal.",
        required=True,
    ),
    _declared(
        "login.ca_file",
        ValueForm.PATH,
        "PEM-Datei mit der Zertifizierungsstelle des Anmeldedienstes, wenn es keine öffentliche ist.",
        "PEM file with the authority of the provider's TLS certificate, if it is no public one.",
        shown=Text("die öffentlichen", "the public ones"),
    ),
    _declared(
        "login.name",
        ValueForm.TEXT,
        "Wie der Anmeldedienst für Bürger heißt.",
        "What the provider of log-ins is called to citizens.",
        default="Nutzerkonto",
    ),
    _declared(
        "login.scopes",
        ValueForm.TEXTS,
        "Worum das Portal den Anmeldedienst außer openid bittet.",
        "What the portal asks the provider of log-ins for besides openid.",
        default=["profile", "email", "address"],
    ),
    _declared(
        "login.level_claim",
        ValueForm.TEXT,
        "Angabe (oder JSON Pointer), in der das Vertrauensniveau der Anmeldung steht.",
        "Claim (or JSON Pointer) that says how sure the log-in is.",
        default="acr",
    ),
    *(
        _declared(
            f"login.level_{level}",
            ValueForm.TEXTS,
            f"Werte dieser Angabe für das Niveau „{german}“ (eIDAS).",
            f"Values of this claim for the level '{level}' (eIDAS).",
            default=[f"http://eidas.europa.eu/LoA/{level}", *others],
        )
        for level, german, others in (
            (Assurance.LOW, "niedrig", ["STORK-QAA-Level-1"]),
            (Assurance.SUBSTANTIAL, "substanziell", ["STORK-QAA-Level-3"]),
            (Assurance.HIGH, "hoch", ["STORK-QAA-Level-4"]),
        )
    ),
    _declared(
        "login.claims",
        ValueForm.TEXTS,
        f'Woher Formulare kennen, wer angemeldet ist, etwa ["title=academic_title"]; möglich sind {", ".join(FACTS)}.',
        f'Where forms know from who is logged in, such as ["title=academic_title"]; possible are {", ".join(FACTS)}.',
        default=[],
        shown=Text("die des Standards (OpenID Connect Core, 5.1)", "the standard's (OpenID Connect Core, 5.1)"),
    ),
)


def read_login(table: DeclaredTable | None, address: AddressJudge) -> PortalLogin | None:
    """Read the table ``login``, None where there is none; ``address`` judges an address and notes what is wrong."""
    if table is None:
        return None
    claims = _claims(table)
    login = PortalLogin(
        issuer=address(table, "issuer", table.take("issuer"), path=True),
        client_id=table.take("client_id"),
        client_secret_file=table.path("client_secret_file"),
        ca_file=table.optional_path("ca_file"),
        name=table.take("name"),
        scopes=tuple(table.take("scopes")),
        level_claim=table.take("level_claim"),
        levels={level: frozenset(table.take(f"level_{level}")) for level in Assurance},
        claims=claims,
    )
    table.finish()
    return login


def _claims(table: DeclaredTable) -> dict[str, str]:
    claims = dict(STANDARD_CLAIMS)
    for each in table.take("claims"):
        fact, _, claim = each.partition("=")
        if fact not in FACTS or not claim:
            known = ", ".join(FACTS)
            table.note(
                "claims",
                f"erwartet wird ANGABE=CLAIM; Angaben sind {known}.",
                f"FACT=CLAIM is expected; facts are {known}.",
            )
        claims[fact] = claim
    return claims
