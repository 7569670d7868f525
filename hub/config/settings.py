"""Everything an operator may set: what :class:`Operating` declares, who logs in, and what is scanned and watched.

What stands in these three files is all that is said of a setting anywhere: ``hub config reference`` and docs/reference are
made of it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import get_type_hints
from urllib.parse import quote, urlsplit

from hub.config.operating import Operating
from hub.config.serving import MIB
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.files.settings import Setting, ValueForm, setting
from hub.model import canonical_service
from hub.resources import shipped
from hub.scanning import Consequence, Policies, Policy, policies_by_owner, policies_by_size

#: What every variable of the environment begins with that is a setting.
PREFIX = "HUB_"
#: One entry of ``kept_days``.
KEPT = re.compile(r"(?P<service>urn:\S+)=(?P<days>[1-9][0-9]{0,3})")
#: Bytes of a file with a password.
_LONGEST_SECRET = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(Operating):
    """Everything an operator may set. Durations are seconds, sizes bytes."""

    openid_issuer: str = setting(
        "",
        "Aussteller des OpenID-Connect-Anbieters, über den sich Menschen anmelden; leer: keiner.",
        "Issuer of the OpenID Connect provider by which people log in; empty: none.",
    )
    openid_client_id: str = setting(
        "",
        "Client-ID des Hubs dort; als Redirect ist genau base_url + /admin/oidc/callback erlaubt.",
        "The hub's client id there; the one redirect that is allowed is base_url + /admin/oidc/callback.",
    )
    openid_client_secret_file: str = setting(
        "", "Datei mit dem Geheimnis dieses Clients.", "File with that client's secret.", form=ValueForm.SECRET_FILE
    )
    openid_roles_claim: str = setting(
        "roles",
        "Angabe im ID-Token, die sagt, was jemand darf: ein Name oder ein JSON-Pointer.",
        "The ID token's claim that says what a person may do: a name, or a JSON Pointer.",
    )
    openid_roles_file: str = setting(
        "",
        "TOML-Datei, die deren Werte auf Rollen und einen Mandanten abbildet.",
        "TOML file that maps its values to roles and a tenant.",
        form=ValueForm.PATH,
    )
    openid_scopes: str = setting(
        "profile",
        "Was außer openid erbeten wird, durch Leerzeichen getrennt.",
        "What is asked of the provider besides openid, separated by blanks.",
    )
    openid_private_network: bool = setting(
        default=False,
        de="Der Anbieter darf im eigenen Netz liegen (in production auch dann mit https).",
        en="The provider may lie in a private network (in production over https all the same).",
    )
    as4_folder: str = setting(
        "",
        "Ordner mit den P-Mode-Dateien (*.toml) derer, die per AS4 an /as4 senden dürfen; leer: keine.",
        "Folder of the P-Mode files (*.toml) of those who may send to /as4 by AS4; empty: nobody.",
        since="0.4.0",
        form=ValueForm.PATH,
    )
    scan: str = setting(
        "",
        "Scanner für Schadsoftware am offenen Eingang: clamd:/PFAD/DES/SOCKETS, clamd://RECHNER:PORT oder "
        "icap://RECHNER:PORT/DIENST; leer: keiner.",
        "Scanner for malware at the plain door: clamd:/PATH/OF/SOCKET, clamd://HOST:PORT or icap://HOST:PORT/SERVICE; empty: "
        "none.",
        since="0.4.0",
    )
    scan_infected: str = setting(
        "refuse",
        "Was mit Befallenem geschieht: ablehnen (refuse), versiegelt zurückhalten (quarantine) oder mit Hinweis zustellen "
        "(mark).",
        "What is done about malware: refuse, keep sealed for an operator (quarantine), or deliver and say so (mark).",
        since="0.4.0",
        choices=("mark", "quarantine", "refuse"),
    )
    scan_down: str = setting(
        "refuse",
        "Was geschieht, während der Scanner nicht antwortet: 503 mit Retry-After (refuse) oder ungeprüft mit Hinweis "
        "annehmen (mark).",
        "What is done while the scanner does not answer: 503 with Retry-After (refuse), or take it unscanned and say so "
        "(mark).",
        since="0.4.0",
        choices=("mark", "refuse"),
    )
    scan_unscannable: str = setting(
        "mark",
        "Was mit Teilen geschieht, die sich nicht ganz prüfen lassen: größer als scan_bytes, jenseits der Grenzen des "
        "Scanners, verschlüsselt.",
        "What is done about parts that cannot be scanned completely: larger than scan_bytes, beyond the scanner's limits, "
        "encrypted.",
        since="0.4.0",
        choices=("mark", "quarantine", "refuse"),
    )
    scan_services: str = setting(
        "",
        "Leistungen mit eigener Regel: URN=BEFALLEN/GESTÖRT/UNPRÜFBAR, je wie scan_infected, scan_down und scan_unscannable, "
        "durch Leerzeichen getrennt; mit URN@BYTES=… für Teile ab dieser Größe. Sie geht der des Mandanten vor.",
        "Services with a policy of their own: URN=INFECTED/DOWN/UNSCANNABLE, each as scan_infected, scan_down and "
        "scan_unscannable, separated by blanks; URN@BYTES=… for parts from that size on. It counts before the tenant's.",
        since="0.4.0",
    )
    scan_tenants: str = setting(
        "",
        "Mandanten mit eigener Regel, auch für alle unter ihnen: KENNUNG=BEFALLEN/GESTÖRT/UNPRÜFBAR wie scan_services; mit "
        "KENNUNG@BYTES=… für Teile ab dieser Größe.",
        "Tenants with a policy of their own, which counts for all below them, too: ID=INFECTED/DOWN/UNSCANNABLE as "
        "scan_services; ID@BYTES=… for parts from that size on.",
        since="0.4.0",
    )
    scan_sizes: str = setting(
        "",
        "Regeln nach Größe für alle, die keine eigene haben: BYTES=BEFALLEN/GESTÖRT/UNPRÜFBAR, durch Leerzeichen getrennt.",
        "Policies by size for all who have none of their own: BYTES=INFECTED/DOWN/UNSCANNABLE, separated by blanks.",
        since="0.4.0",
    )
    scan_bytes: int = setting(
        100 * MIB,
        "Größere Teile gelten als unprüfbar; nicht mehr als StreamMaxLength von clamd oder die Grenze des ICAP-Dienstes.",
        "Larger parts count as not scannable; no more than clamd's StreamMaxLength, or the ICAP service's limit.",
        since="0.4.0",
        unit="byte",
        least=1,
    )
    scan_seconds: int = setting(
        30,
        "So lange darf der Scanner für einen Schritt und für sein Urteil über einen Teil brauchen.",
        "How long the scanner may take for one step, and for its verdict on a part.",
        since="0.4.0",
        unit="s",
        least=1,
        most=600,
    )
    scan_wait_seconds: int = setting(
        2,
        "So lange wird auf einen Scanner gewartet, der gerade nicht lauscht.",
        "How long a scanner is waited for that does not listen at the moment.",
        since="0.4.0",
        unit="s",
        least=0,
        most=60,
    )
    scan_limits: str = setting(
        "",
        "Grenzen des Scanners, wie sie in Eingangsbestätigungen stehen, etwa MaxScanSize=400M MaxRecursion=8 MaxFiles=1000.",
        "The scanner's limits as receipts name them, such as MaxScanSize=400M MaxRecursion=8 MaxFiles=1000.",
        since="0.4.0",
    )
    scan_signature_days: int = setting(
        3,
        "So alt dürfen die Signaturen des Scanners sein, bevor hub doctor warnt; 0: beliebig.",
        "How old the scanner's signatures may be before hub doctor warns; 0: any age.",
        since="0.4.0",
        unit="days",
        least=0,
    )
    attachment_kinds: str = setting(
        "any",
        "Arten von Anlagen, nach ihrem Inhalt: any (nichts wird geprüft), standard (PDF, JPEG, PNG, TIFF, Text, JSON, XML, "
        "Office ohne Makros) oder Medientypen; eine Leistung kann eigene nennen (kinds).",
        "Kinds of attachments, by their content: any (nothing is judged), standard (PDF, JPEG, PNG, TIFF, text, JSON, XML, "
        "office documents without macros), or media types; a service may name its own (kinds).",
        since="0.4.0",
    )
    passwords: str = setting(
        "on",
        "Ob örtliche Konten sich mit Passwort anmelden; off: nur über OpenID Connect.",
        "Whether local accounts log in by password; off: by OpenID Connect only.",
        choices=("off", "on"),
    )
    second_factor: str = setting(
        "optional",
        "Wessen örtliches Konto einen zweiten Faktor haben muss; wer ihn nicht hat, richtet ihn bei der Anmeldung ein.",
        "Whose local account must have a second factor; who has none sets it up at the log-in.",
        since="0.4.0",
        choices=("optional", "roles", "everybody"),
    )
    second_factor_roles: str = setting(
        "approver operator",
        "Bei second_factor = roles: die Rollen, durch Leerzeichen getrennt (viewer, editor, approver, operator).",
        "With second_factor = roles: the roles, separated by blanks (viewer, editor, approver, operator).",
        since="0.4.0",
    )
    reset_counts_days: int = setting(
        14,
        "So viele Tage zählt, wer einem Konto den zweiten Faktor entfernte, beim Vier-Augen-Prinzip mit ihm als eine Person.",
        "For so many days whoever removed an account's second factor counts as one human with it for four eyes.",
        since="0.4.0",
        unit="days",
        least=1,
        most=3650,
    )
    silent_days: int = setting(
        7,
        "Zugestellt und so viele Tage nicht bestätigt: das Fachverfahren schweigt; 0: nicht melden.",
        "Delivered and not acknowledged for so many days: the specialist system is silent; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=365,
    )
    mailbox_days: int = setting(
        3,
        "So viele Tage im Postfach und nicht abgeholt: niemand leert es; 0: nicht melden.",
        "So many days in a mailbox and not collected: nobody empties it; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=365,
    )
    quiet_sender_days: int = setting(
        14,
        "Ein Absender, der regelmäßig sandte, tut es so viele Tage nicht mehr; 0: nicht melden.",
        "A sender that sent regularly has not for so many days; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=365,
    )
    unused_days: int = setting(
        90,
        "Ein aktiver Zustellpunkt bekommt so viele Tage nichts; 0: nicht melden.",
        "An active destination gets nothing for so many days; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=3650,
    )
    costs_file: str = setting(
        "",
        "Verteilungsschlüssel der zentralen Kosten (YAML); leer: keiner.",
        "Allocation key of the central costs (YAML); empty: none.",
        since="0.4.0",
        form=ValueForm.PATH,
    )
    allow_private_addresses: bool = setting(
        default=False,
        de="Nur für development und Tests: Rückrufe und Adapter dürfen ins eigene Netz und ohne TLS sprechen.",
        en="For development and tests only: callbacks and adapters may reach private addresses and plain http.",
    )

    @property
    def production(self) -> bool:
        """Whether the strict rules of a production system hold."""
        return self.environment == "production"

    @property
    def is_test(self) -> bool:
        """Whether this is an instance for vendors to try their software at."""
        return self.environment == "test"

    @property
    def validates_publicly(self) -> bool:
        """Whether ``/validate`` is there."""
        return self.public_validation == "on" or (self.public_validation == "auto" and not self.production)

    @property
    def named_files(self) -> tuple[Path, ...]:
        """The files that ``*_file`` settings name: the hub's own secrets, and what says whom it trusts."""
        named = (getattr(self, each.name) for each in dataclasses.fields(self) if each.name.endswith("_file"))
        return tuple(Path(name) for name in named if name)

    @property
    def secret_files(self) -> Mapping[str, Path]:
        """The files with secrets, by the setting that names each."""
        named = {each.name: getattr(self, each.name) for each in DECLARED if each.form is ValueForm.SECRET_FILE}
        return {name: Path(path) for name, path in named.items() if path}

    @property
    def rules(self) -> Path:
        """Where areas, services and the rules for a first start lie."""
        return Path(self.routing_rules) if self.routing_rules else shipped("routing_rules")

    @property
    def seeds_rules(self) -> bool:
        """Whether a hub without any routing table begins with the rules of its folder: in production only with its own."""
        return bool(self.routing_rules) or not self.production

    @property
    def kept_by_service(self) -> Mapping[str, timedelta]:
        """How long contents are kept after their end, by service, where that is not ``finished_seconds``."""
        found = map(KEPT.fullmatch, self.kept_days.split())
        return {canonical_service(one["service"]): timedelta(days=int(one["days"])) for one in found if one}

    @property
    def scan_policies(self) -> Policies:
        """What is done about what a scan finds, by service."""
        general = Policy(
            infected=Consequence(self.scan_infected),
            down=Consequence(self.scan_down),
            unscannable=Consequence(self.scan_unscannable),
        )
        return Policies(
            general=general,
            by_service={canonical_service(one): found for one, found in policies_by_owner(self.scan_services).items()},
            by_tenant=policies_by_owner(self.scan_tenants),
            by_size=policies_by_size(self.scan_sizes),
        )

    @property
    def takes_passwords(self) -> bool:
        """Whether local accounts log in by password."""
        return self.passwords == "on"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL that is really used, with the password; ``ConfigurationError`` where its file is of no use."""
        address = self.database_url or f"sqlite:///{self.data / 'hub.sqlite'}"
        return _with_password(address, Path(self.database_password_file)) if self.database_password_file else address

    @property
    def canonical_url(self) -> str:
        """The base URL that is really used."""
        return self.base_url or f"http://{self.host}:{self.port}"

    @property
    def lease(self) -> timedelta:
        """How long one attempt may take before another node may try."""
        return timedelta(seconds=self.lease_seconds)


def _with_password(address: str, file: Path) -> str:
    try:
        password = vault.read_text(file, most=_LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Text(
                f"database_password_file: Die Datei {file} ist nicht lesbar. Prüfen Sie, ob es sie gibt und wem sie gehört.",
                f"database_password_file: the file {file} cannot be read. Check that it exists, and whose it is.",
            )
        ) from error
    parts = urlsplit(address)
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


def _declared() -> tuple[Setting, ...]:
    hints = get_type_hints(Settings)
    forms = {str: ValueForm.TEXT, int: ValueForm.NUMBER, bool: ValueForm.TRUTH}
    return tuple(
        Setting(
            name=each.name,
            environment=f"{PREFIX}{each.name.upper()}",
            **{"form": forms[hints[each.name]], **each.metadata["setting"]},
        )
        for each in dataclasses.fields(Settings)
        if "setting" in each.metadata
    )


#: Every setting, as it stands in :class:`Settings`; ``data`` is none: it says where the settings lie.
DECLARED = _declared()
