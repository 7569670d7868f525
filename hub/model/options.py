"""Strict options: what an adapter is configured with, read into a frozen dataclass; a wrong one stops the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from hub.errors import ConfigurationError, Text
from hub.files import vault

T = TypeVar("T")


class OptionRole(StrEnum):
    """What an option is to the secrets beside it: they were entered for an address, and serve no other."""

    #: Says to whom a delivery goes, or by what they are known: host, port, URL, host key, recipient, certificate authority.
    ADDRESS = "address"
    #: Names a file with a secret.
    SECRET = "secret"  # noqa: S105  # a kind of option
    #: Opens a door that is shut otherwise (``allow_…``).
    SWITCH = "switch"
    #: Neither: a timeout, a size, a name at the receiver's. Changing it sends no secret anywhere else.
    PLAIN = "plain"


#: For the ``metadata`` of a field: what an option is, where its name does not say it. Whatever is not declared, and is no
#: ``…_file``, ``…path`` or ``allow_…``, counts as an address, so that an option that somebody forgot is safe.
ADDRESS: Mapping[str, OptionRole] = {"role": OptionRole.ADDRESS}
PLAIN: Mapping[str, OptionRole] = {"role": OptionRole.PLAIN}


def usual_role(name: str) -> OptionRole:
    """Return what an option is whose adapter does not say."""
    if name.startswith("allow_"):
        return OptionRole.SWITCH
    return OptionRole.SECRET if name.endswith(("_file", "path")) else OptionRole.ADDRESS


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """An option as an adapter declares it. ``kind`` is str, int, float or bool; one with ``default`` None may be left out.

    ``is_file``: its value names a file on the hub's machine, whose content is never shown.
    """

    name: str
    kind: type
    required: bool
    default: Any = None
    role: OptionRole = OptionRole.ADDRESS

    @property
    def is_file(self) -> bool:
        """Tell whether it names a file."""
        return self.name.endswith("_file")


def declared(kind: type) -> tuple[Option, ...]:
    """Return the options that the dataclass ``kind`` declares, in its order."""
    types = get_type_hints(kind)
    return tuple(
        Option(
            name=each.name,
            kind=_first_kind(types[each.name]),
            required=each.default is MISSING,
            default=None if each.default is MISSING else each.default,
            role=_role(each),
        )
        for each in fields(kind)
    )


#: Bytes of a file that holds one secret, or a few keys or certificates.
_FILE_LIMIT = 256 * 1024


def read_options(adapter: str, kind: type[T], config: Mapping[str, Any]) -> T:
    """Return ``config`` as the dataclass ``kind``, whose fields are of str, int, float, bool, or one of them or None.

    Raises:
        ConfigurationError: an option that nobody knows, one that is missing, or one of another type.
    """
    known: Mapping[str, Field[Any]] = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    types = get_type_hints(kind)
    wrong = {name for name, value in config.items() if name not in known or not _fits(value, types[name])}
    wrong |= {name for name, field in known.items() if field.default is MISSING and name not in config}
    if wrong:
        names = ", ".join(sorted(wrong))
        raise unusable(
            adapter,
            f"hat unbekannte, falsche oder fehlende Optionen: {names}. Bekannt sind: {', '.join(known)}",
            f"has unknown, wrong or missing options: {names}. Known are: {', '.join(known)}",
        )
    return kind(**config)


def unusable(adapter: str, de: str, en: str) -> ConfigurationError:
    """Return the refusal of an adapter's options; the texts go on from "The adapter NAME" and need no full stop."""
    return ConfigurationError(Text(f"Der Adapter {adapter} {de}.", f"The adapter {adapter} {en}."))


def require(adapter: str, fulfilled: object, de: str, en: str) -> None:
    """Refuse an adapter's options unless ``fulfilled``; texts as :func:`unusable`."""
    if not fulfilled:
        raise unusable(adapter, de, en)


def read_file(adapter: str, option: str, path: str) -> bytes:
    """Return the content of the file that ``option`` names, which holds nothing secret (certificates).

    Raises:
        ConfigurationError: it is missing, unreadable, empty or larger than any key file.
    """
    try:
        with Path(path).open("rb") as file:
            return _judged(adapter, option, file.read(_FILE_LIMIT + 1))
    except OSError as exc:
        raise _bad_file(adapter, option) from exc


def read_private_file(adapter: str, option: str, path: str) -> bytes:
    """Return the content of the file that ``option`` names, which holds a secret or a private key.

    Raises:
        ConfigurationError: as :func:`read_file`, or other accounts can read it.
    """
    try:
        return _judged(adapter, option, vault.read(Path(path), most=_FILE_LIMIT + 1))
    except OSError as exc:
        raise _bad_file(adapter, option) from exc


def require_privacy(path: str | None) -> None:
    """Refuse a file with a secret that a library reads by itself, where other accounts can read it; None passes."""
    if path is not None:
        vault.require_privacy(Path(path))


def _judged(adapter: str, option: str, content: bytes) -> bytes:
    if not content.strip() or len(content) > _FILE_LIMIT:
        raise _bad_file(adapter, option)
    return content


def read_secret(adapter: str, option: str, path: str) -> str:
    """Return the one line of text in the file that ``option`` names; errors as :func:`read_private_file`."""
    try:
        secret = read_private_file(adapter, option, path).decode("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise _bad_file(adapter, option) from exc
    if not secret.isprintable():
        raise _bad_file(adapter, option)
    return secret


def _role(field: Field[Any]) -> OptionRole:
    """Return what a field was declared to be; a switch is one whatever is said of it."""
    usual = usual_role(field.name)
    return usual if usual is OptionRole.SWITCH else field.metadata.get("role", usual)


def _first_kind(kind: Any) -> type:
    """Return what a value is if it is not None."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    found: type = next(each for each in kinds if each is not NoneType)
    return found


def _fits(value: object, kind: Any) -> bool:
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if isinstance(value, bool):  # To Python a bool is a number; to whoever wrote the option it is not.
        return bool in kinds
    if float in kinds and isinstance(value, int):
        return True
    return isinstance(value, tuple(kinds)) or (value is None and NoneType in kinds)


def _bad_file(adapter: str, option: str) -> ConfigurationError:
    return unusable(
        adapter,
        f"kann die Datei der Option {option} nicht verwenden: Sie muss lesbar, nicht leer und kleiner als 256 KiB sein",
        f"cannot use the file of the option {option}: it must be readable, not empty and smaller than 256 KiB",
    )
