"""What an adapter's options say of the way to a receiver: its address, the secrets that were entered for it, the switches.

A secret belongs to the address that it was entered for. Two addresses are one if they name the same host and port in other
spellings; the path of a URL is the receiver's own affair.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.model.options import Option, Role, usual_role

_PORTS = {"http": 80, "https": 443, "sftp": 22, "ssh": 22, "smtp": 25, "ftp": 21}
_HOST = re.compile(r"[A-Za-z0-9\u00a1-\uffff-]+(?:\.[A-Za-z0-9\u00a1-\uffff-]+)+\.?|\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]?")
_PUBLIC_KEY = ("ssh-", "ecdsa-", "sk-")


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """``address`` is a digest (64 hexadecimal digits) of adapter and address; ``secrets`` are files by option."""

    address: str
    secrets: Mapping[str, str]
    switches: frozenset[str]

    @classmethod
    def of(cls, adapter: str, options: Sequence[Option] | None, config: Mapping[str, Any]) -> Way:
        """Read the options of ``config``; ``options`` is None where the adapter does not declare them: then all count."""
        known = {option.name: option for option in options or ()}
        roles = {name: known[name].role if name in known else usual_role(name) for name in {*known, *config}}
        values = {name: config.get(name, known[name].default if name in known else None) for name in roles}
        address = {
            name: canonical(values[name])
            for name, role in sorted(roles.items())
            if role is Role.ADDRESS and values[name] is not None
        }
        return cls(
            address=hashlib.sha256(json.dumps([adapter, address]).encode()).hexdigest(),
            secrets={
                name: _resolved(values[name])
                for name, role in sorted(roles.items())
                if role is Role.SECRET and isinstance(values[name], str)
            },
            switches=frozenset(name for name, role in roles.items() if role is Role.SWITCH and name in config),
        )


def canonical(value: object) -> str:
    """Return the one spelling of an address: of a URL its scheme, host and port; of a mail address, host or host key itself."""
    text = str(value).strip()
    if "://" in text:
        return _origin(text)
    if text.startswith(_PUBLIC_KEY):
        lines = (line.split()[:2] for line in text.splitlines() if line.strip())
        return "\n".join(sorted({" ".join(line) for line in lines}))
    name, at, domain = text.rpartition("@")
    if at and _HOST.fullmatch(domain):
        return f"{name}@{_host(domain)}"
    return _host(text) if _HOST.fullmatch(text) else text


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:  # No port, or no address at all: nothing else is the same.
        return text
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{_host(parts.hostname or '')}:{port}" if parts.hostname else text


def _host(text: str) -> str:
    plain = text.strip("[]").rstrip(".")
    try:
        return str(ip_address(plain))
    except ValueError:
        pass
    try:
        return plain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return plain


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, ValueError, RuntimeError):  # Nothing that could be opened; it is compared as it is.
        return path
