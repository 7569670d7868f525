"""What a provider's claim is worth here: a TOML file maps its values to roles and a tenant. What is not mapped is nothing.

["rathaus-hub-betrieb"]
roles = ["viewer", "operator"]
tenant = "*"

["rtk-zustaendigkeiten"]
roles = ["editor"]
tenant = "06439"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.errors import ConfigurationError, Forbidden, Text
from hub.identity.persons import Role

_EVERYTHING = "*"
_LONGEST_TENANT = 12
#: A person in more groups than these is cut off; nobody's rights may depend on the rest.
_MOST_VALUES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What a person may do: roles, and the ARS prefix that bounds them (empty: everything)."""

    roles: tuple[Role, ...]
    tenant: str


class Grants:
    """The mapping from a claim's values to grants. ``claim`` is a name or, beginning with a slash, a JSON Pointer."""

    def __init__(self, claim: str, by_value: Mapping[str, Grant]) -> None:
        self._claim = claim
        self._by_value = by_value

    @classmethod
    def load(cls, path: Path, claim: str) -> Grants:
        """Read the file; raise ``ConfigurationError`` for anything in it that is not understood, or if it is empty."""
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise _bad(path, "Die Datei fehlt oder ist kein TOML", "The file is missing or no TOML") from exc
        if not document:
            raise _bad(path, "Die Datei nennt keinen Wert", "The file names no value")
        return cls(claim, {value: _grant(path, value, entry) for value, entry in document.items()})

    def of(self, claims: Mapping[str, Any]) -> Grant:
        """Return what the claims of an ID token are worth.

        Raises:
            Forbidden: no value is mapped (``no-role``), or their tenants differ (``tenants-differ``).
        """
        granted = [self._by_value[value] for value in self._values(claims) if value in self._by_value]
        tenants = {each.tenant for each in granted}
        if not granted:
            raise Forbidden(
                Text(
                    "Der Anmeldedienst kennt Sie, aber keine Ihrer Gruppen hat hier eine Rolle. Bitten Sie die "
                    "Administration des Hubs darum.",
                    "The provider knows you, but none of your groups has a role here. Ask the hub's administrators for one.",
                ),
                slug="no-role",
            )
        if len(tenants) > 1:
            raise Forbidden(
                Text(
                    "Ihre Gruppen gelten für verschiedene Gebiete; ein Konto hat genau eines. Bitten Sie die "
                    "Administration des Hubs, sie zu trennen.",
                    "Your groups are for different areas; an account has exactly one. Ask the hub's administrators to "
                    "part them.",
                ),
                slug="tenants-differ",
            )
        roles = {role for each in granted for role in each.roles}
        return Grant(roles=tuple(sorted(roles)), tenant=tenants.pop())

    def _values(self, claims: Mapping[str, Any]) -> Iterator[str]:
        found: Any = claims
        parts = self._claim[1:].split("/") if self._claim.startswith("/") else [self._claim]
        for part in parts:
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return (value for value in values[:_MOST_VALUES] if isinstance(value, str))


def _grant(path: Path, value: str, entry: Any) -> Grant:
    if not isinstance(entry, dict) or set(entry) != {"roles", "tenant"}:
        raise _bad(path, f"„{value}“ braucht genau roles und tenant", f"'{value}' needs exactly roles and tenant")
    roles, tenant = entry["roles"], entry["tenant"]
    known = {role.value for role in Role}
    if not isinstance(roles, list) or not roles or not all(isinstance(each, str) and each in known for each in roles):
        names = ", ".join(sorted(known))
        raise _bad(path, f"„{value}“: roles ist eine Liste aus {names}", f"'{value}': roles is a list of {names}")
    is_prefix = isinstance(tenant, str) and tenant.isascii() and tenant.isdigit() and len(tenant) <= _LONGEST_TENANT
    if not is_prefix and tenant != _EVERYTHING:
        raise _bad(
            path,
            f"„{value}“: tenant ist ein ARS-Präfix aus Ziffern, oder * für alles",
            f"'{value}': tenant is an ARS prefix of digits, or * for everything",
        )
    return Grant(roles=tuple(Role(role) for role in roles), tenant="" if tenant == _EVERYTHING else tenant)


def _bad(path: Path, de: str, en: str) -> ConfigurationError:
    return ConfigurationError(Text(f"openid_roles_file {path.name}: {de}.", f"openid_roles_file {path.name}: {en}."))
