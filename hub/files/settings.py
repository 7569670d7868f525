"""A setting as it is declared, once: its name, what it takes, what it is for. Reading, checking and the reference use the same.

This knows no program: the hub and the connector declare theirs where they read them (``hub.config``,
``hub.connector.settings``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit
from uuid import UUID

from hub.errors import ConfigurationError, Text

#: Query parameters of an address that are secrets (libpq).
_SECRET_PARAMETERS = frozenset({"password", "sslpassword"})
#: Ends of names that a secret would have; what names its file ends in ``_file``.
_SECRET_ENDS = ("password", "secret", "token", "key", "key_id", "passphrase")


class ValueForm(StrEnum):
    """What a value is."""

    TEXT = "text"
    #: A whole number.
    NUMBER = "number"
    TRUTH = "true/false"
    #: A path; for the connector it counts from the settings file's folder.
    PATH = "path"
    #: A file with one secret, for the account of the program alone.
    SECRET_FILE = "secret file"  # noqa: S105  # what it is, and none
    PATHS = "paths"
    TEXTS = "texts"
    #: An address with https, or http to this machine.
    ADDRESS = "address"
    ID = "UUID"


_TYPES: Mapping[ValueForm, type] = {
    ValueForm.NUMBER: int,
    ValueForm.TRUTH: bool,
    ValueForm.PATHS: list,
    ValueForm.TEXTS: list,
}
_WORDS: Mapping[ValueForm, Text] = {
    ValueForm.TEXT: Text("ein Text in Anführungszeichen", "a text in quotes"),
    ValueForm.NUMBER: Text("eine ganze Zahl ohne Anführungszeichen", "a whole number without quotes"),
    ValueForm.TRUTH: Text("true oder false", "true or false"),
    ValueForm.PATH: Text("ein Pfad in Anführungszeichen", "a path in quotes"),
    ValueForm.SECRET_FILE: Text("der Pfad einer Datei mit dem Geheimnis", "the path of a file with the secret"),
    ValueForm.PATHS: Text('eine Liste von Pfaden, etwa ["a", "b"]', 'a list of paths, such as ["a", "b"]'),
    ValueForm.TEXTS: Text('eine Liste von Texten, etwa ["a", "b"]', 'a list of texts, such as ["a", "b"]'),
    ValueForm.ADDRESS: Text("eine Adresse mit https://", "an address with https://"),
    ValueForm.ID: Text("eine UUID", "a UUID"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting. ``default`` None: none is set; ``required``: it must be given. ``since`` is a version of the product.

    ``shown`` stands for a default that is made up at the start. ``only`` names a setting and the value with which alone this
    one counts. ``name`` has its tables before it, with dots.
    """

    name: str
    form: ValueForm
    text: Text
    since: str
    default: Any = None
    required: bool = False
    shown: Text | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    environment: str = ""
    only: tuple[str, str] | None = None

    @property
    def allowed(self) -> Text:
        """What it takes, for people."""
        if self.choices:
            return Text(", ".join(self.choices), ", ".join(self.choices))
        if self.form is ValueForm.NUMBER and (self.least is not None or self.most is not None):
            low = "" if self.least is None else str(self.least)
            if self.most is None:
                return Text(f"ab {low}", f"from {low} on")
            return Text(f"{low} bis {self.most}", f"{low} to {self.most}")
        return _WORDS[self.form]

    def typed(self, value: Any) -> Any:
        """Return ``value`` as what this setting is: the environment knows texts only.

        Raises:
            ValueError: it is none that this setting takes.
        """
        if self.form is ValueForm.TRUTH and isinstance(value, str) and value.lower() in {"true", "false", "1", "0"}:
            value = value.lower() in {"true", "1"}
        if self.form is ValueForm.NUMBER and isinstance(value, str) and value.isdecimal():
            value = int(value)
        wanted = _TYPES.get(self.form, str)
        given: Any = value
        if type(given) is not wanted:
            raise ValueError(self.name)
        if wanted is list and not all(isinstance(each, str) for each in value):
            raise ValueError(self.name)
        if self.form is ValueForm.ID:
            UUID(value)
        if self.choices and value not in self.choices:
            raise ValueError(self.name)
        if self.form is ValueForm.NUMBER and not _is_within(value, self.least, self.most):
            raise ValueError(self.name)
        return value

    def fault(self) -> Text:
        """Return what to say of a value that it does not take; the value itself is never repeated."""
        allowed = self.allowed
        return Text(f"{self.name}: erlaubt ist {allowed.de}.", f"{self.name}: what is allowed is {allowed.en}.")

    def missing(self) -> Text:
        """Return what to say where it must be given, and is not."""
        return Text(
            f"{self.name}: fehlt. {self.text.de} Erlaubt ist {self.allowed.de}.",
            f"{self.name}: is missing. {self.text.en} What is allowed is {self.allowed.en}.",
        )

    def as_json(self) -> dict[str, Any]:
        """Return the declaration for programs."""
        default = self.default if self.shown is None else {"de": self.shown.de, "en": self.shown.en}
        return {
            "name": self.name,
            "type": str(self.form),
            "required": self.required,
            "default": default,
            "unit": self.unit,
            "allowed": list(self.choices) or {"de": self.allowed.de, "en": self.allowed.en},
            "environment": self.environment,
            "since": self.since,
            "de": self.text.de,
            "en": self.text.en,
        }


def _is_within(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def setting(default: Any, de: str, en: str, *, since: str = "0.1.0", **more: Any) -> Any:
    """Declare a field of a dataclass as a setting; ``more`` as the members of :class:`Setting`, ``factory`` as of a field."""
    factory = more.pop("factory", None)
    metadata = {"setting": {"text": Text(de, en), "since": since, "default": default, **more}}
    return field(default_factory=factory, metadata=metadata) if factory else field(default=default, metadata=metadata)


def unknown(name: str, known: Iterable[str]) -> Text:
    """Return what to say of a name that is no setting: a secret that is given as a value, a slip of the pen, or neither."""
    names = sorted(known)
    last = name.rpartition(".")[2].lower()
    by_file = [each for each in names if each.endswith("_file")]
    if last.endswith(_SECRET_ENDS):
        meant = difflib.get_close_matches(f"{name}_file", by_file, 1, 0.85)
        if meant:
            return secret_as_value(name, meant[0])
    near = difflib.get_close_matches(name, names, 1, 0.6)
    if near:
        return Text(
            f"{name}: gibt es nicht. Gemeint ist wohl {near[0]}.", f"{name}: is unknown. Perhaps {near[0]} is meant."
        )
    listed = ", ".join(names)
    return Text(f"{name}: gibt es nicht. Bekannt sind: {listed}.", f"{name}: is unknown. Known are: {listed}.")


def secret_as_value(name: str, by_file: str) -> Text:
    """Return what to say of a secret that stands where everybody may look; the secret is not repeated."""
    instead_de = f"Schreiben Sie es in eine Datei (chmod 0600) und nennen Sie diese in {by_file}" if by_file else ""
    instead_en = f"Write it into a file (chmod 0600) and name that in {by_file}" if by_file else ""
    return Text(
        f"{name}: enthält ein Geheimnis. {instead_de or 'Entfernen Sie es aus der Adresse'}; tauschen Sie es aus, wenn "
        "andere es gelesen haben können.",
        f"{name}: holds a secret. {instead_en or 'Remove it from the address'}; replace it if others may have read it.",
    )


def holds_secret(value: object) -> bool:
    """Tell whether a value carries a password, which an address can."""
    if not isinstance(value, str) or "://" not in value:
        return False
    try:
        parts: SplitResult = urlsplit(value)
        return bool(parts.password) or not _SECRET_PARAMETERS.isdisjoint(parse_qs(parts.query))
    except ValueError:
        return True


def unusable_all(faults: Sequence[Text], *, where: str = "") -> ConfigurationError:
    """Return one error that says every fault; ``where`` is the file or program that they are in, empty for none."""
    head = f"{where}: " if where else ""
    text = Text(head + " ".join(each.de for each in faults), head + " ".join(each.en for each in faults))
    names = ", ".join(each.de.partition(":")[0] for each in faults)
    return ConfigurationError(text, setting=names, faults=tuple(faults))


#: What stands for a value that is wrong until all is read, so that no other fault follows from it.
_INSTEAD: Mapping[ValueForm, Any] = {
    ValueForm.NUMBER: 1,
    ValueForm.PATHS: ["."],
    ValueForm.TEXTS: [],
    ValueForm.ADDRESS: "http://localhost",
    ValueForm.ID: str(UUID(int=0)),
}


class DeclaredTable:
    """One table of a settings file, read by declarations; ``declared`` are those of all tables by their whole names.

    Notes what is wrong in ``faults``, and remembers what was asked for: the rest is wrong. Paths start at ``folder``.
    ``number`` is its place among tables of one name.
    """

    def __init__(
        self,
        declared: Mapping[str, Setting],
        values: Mapping[str, Any],
        folder: Path,
        faults: list[Text],
        *,
        name: str = "",
        number: int | None = None,
    ) -> None:
        self._declared = declared
        self._values = dict(values)
        self._name = name
        self._shown = name if number is None else f"{name}[{number}]"
        self._folder = folder
        self._faults = faults

    def where(self, key: str) -> str:
        """Return the key's name as people find it."""
        return f"{self._shown}.{key}" if self._name else key

    def note(self, key: str, de: str, en: str) -> None:
        """Note what is wrong with a key."""
        self._faults.append(Text(f"{self.where(key)}: {de}", f"{self.where(key)}: {en}"))

    def take(self, key: str) -> Any:
        """Return a value as declared, its default, or, where it is wrong, one that does no harm."""
        declared = self._declared[f"{self._name}.{key}" if self._name else key]
        here = replace(declared, name=self.where(key))
        instead = _INSTEAD.get(declared.form, "") if declared.default is None else declared.default
        if key not in self._values:
            if declared.required:
                self._faults.append(here.missing())
                return declared.choices[0] if declared.choices else instead
            return declared.default
        value = self._values.pop(key)
        try:
            if holds_secret(value):
                self._faults.append(secret_as_value(here.name, ""))
                return instead
            return declared.typed(value)
        except ValueError:
            self._faults.append(here.fault())
            return declared.choices[0] if declared.choices else instead

    def only(self, key: str) -> Any:
        """Return the one value of a table."""
        value = self.take(key)
        self.finish()
        return value

    def table(self, key: str) -> DeclaredTable:
        """Return a table; an empty one where there is none."""
        return self._below(key, self._values.pop(key, {}))

    def optional(self, key: str) -> DeclaredTable | None:
        """Return a table, None where there is none."""
        return self.table(key) if key in self._values else None

    def tables(self, key: str) -> list[DeclaredTable]:
        """Return a list of tables, of which there must be one."""
        entries = self._values.pop(key, [])
        if not isinstance(entries, list) or not entries:
            self.note(
                key,
                f"fehlt. Nennen Sie je Zustellpunkt eine Tabelle [[{key}]].",
                f"is missing. Name each destination in a table [[{key}]].",
            )
            return []
        return [self._below(key, entry, number) for number, entry in enumerate(entries)]

    def _below(self, key: str, found: Any, number: int | None = None) -> DeclaredTable:
        if not isinstance(found, dict):
            self.note(key, f"muss eine Tabelle sein: [{key}].", f"must be a table: [{key}].")
            found = {}
        return DeclaredTable(self._declared, found, self._folder, self._faults, name=key, number=number)

    def path(self, key: str) -> Path:
        """Return a path, beside the file."""
        return self._folder / str(self.take(key))

    def optional_path(self, key: str) -> Path | None:
        """Return a path, None where none is named."""
        named = self.take(key)
        return self._folder / named if named else None

    def paths(self, key: str) -> tuple[Path, ...]:
        """Return paths, beside the file."""
        return tuple(self._folder / name for name in self.take(key))

    def finish(self) -> None:
        """Note what nobody asked for."""
        for key in self._values:
            declared = self._declared.get(f"{self._name}.{key}" if self._name else key)
            if declared is not None and declared.only is not None:
                name, value = declared.only
                self.note(key, f"gilt nur mit {name} = {value}.", f"counts with {name} = {value} only.")
            else:
                self._faults.append(unknown(self.where(key), self._siblings()))

    def _siblings(self) -> list[str]:
        here = [each.rpartition(".") for each in self._declared]
        tables = {table for table, _, _ in here if table and not self._name}
        return [self.where(each) for each in (*tables, *(key for table, _, key in here if table == self._name))]


_COLUMNS = ("Name", "Typ / type", "Vorgabe / default", "Einheit / unit", "erlaubt / allowed")


def as_markdown(settings: Sequence[Setting], *, program: str, title: Text, intro: Text) -> str:
    """Return the reference as a page; ``program`` is what ``--for`` of the command takes."""
    environment = any(each.environment for each in settings)
    columns = [*_COLUMNS, *(["Umgebung / environment"] if environment else []), "seit / since", "wozu / what for"]
    lines = [
        f"# {title.de} / {title.en}",
        "",
        f"{intro.de}",
        "",
        f"{intro.en}",
        "",
        f"<!-- Erzeugt / generated: hub config reference --for {program} --format markdown -->",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(_row(each, environment=environment) for each in settings),
    ]
    return "\n".join(lines) + "\n"


def _row(setting: Setting, *, environment: bool) -> str:
    allowed = setting.allowed
    cells = [
        f"`{setting.name}`",
        str(setting.form),
        _default(setting),
        setting.unit or "–",
        f"`{'`, `'.join(setting.choices)}`" if setting.choices else _both(allowed),
        *([f"`{setting.environment}`"] if environment else []),
        setting.since,
        _both(setting.text),
    ]
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"


def _default(setting: Setting) -> str:
    if setting.required:
        return "**muss / required**"
    if setting.shown is not None:
        return _both(setting.shown)
    return "–" if setting.default in (None, "", []) else f"`{as_toml(setting.default)}`"


def _both(text: Text) -> str:
    return text.de if text.de == text.en else f"{text.de}<br>{text.en}"


def as_toml(value: Any) -> str:
    """Return a value as TOML writes it: a text, number, truth value or list of texts."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(each) for each in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
