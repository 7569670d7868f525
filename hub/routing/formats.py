"""Rules as files, and the strict YAML that they may be written in.

Rules as files: CSV for spreadsheets, YAML for reviews. Both round-trip exactly and refuse what they do not know.

Every refusal names the line; all bad rows are reported, not only the first.

Strict YAML: a tree of mappings, lists and texts with their lines, and nothing else.

No object is built from a tag and no alias expanded; scalars are taken as they are written, so that ``area: 06439``
stays ``06439``. Size and depth are bounded before anything is built.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import yaml

from hub.errors import ConfigurationError, Invalid, InvalidSettings, Malformed, Refused, Text, TooLarge
from hub.files.sheets import disarmed, foreign_format, rearmed
from hub.routing.rules import Rule, rule_from_row

_MAX_BYTES = 16 * 1024 * 1024
#: rules -> rule -> services -> service; deeper is not one of the hub's files.
_MAX_DEPTH = 5
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def require_size(content: bytes, cap: int) -> None:
    """Raise :class:`TooLarge` for a file of more than ``cap`` bytes."""
    if len(content) > cap:
        raise TooLarge(
            Text(
                f"Die Datei ist größer als {cap // 2**20} MiB. Teilen Sie sie auf.",
                f"The file is larger than {cap // 2**20} MiB. Split it.",
            )
        )


def compose(content: bytes) -> yaml.Node:
    """Parse YAML into nodes; no aliases, no tags of its own, bounded depth and size. Raises :class:`Malformed`."""
    require_size(content, _MAX_BYTES)
    try:
        _guard(content)
        root = yaml.compose(content, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise Malformed(
            Text(f"Zeile {line} ist kein gültiges YAML.", f"Line {line} is not valid YAML."), line=line
        ) from exc
    if root is None:
        raise Malformed(Text("Die Datei ist leer.", "The file is empty."))
    return root


def _guard(content: bytes) -> None:
    """Walk the events before anything is built: an alias bomb or a deep nesting ends here."""
    depth = 0
    for event in yaml.parse(content, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH or isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            line = _line(event)
            raise Malformed(
                Text(
                    f"Zeile {line}: Verweise, Typangaben und tiefe Verschachtelung sind hier nicht erlaubt.",
                    f"Line {line}: Aliases, tags and deep nesting are not allowed here.",
                ),
                line=line,
            )


def mapping(node: yaml.Node) -> dict[str, yaml.Node]:
    """Return a mapping node's entries; refuse other nodes and duplicate keys."""
    if not isinstance(node, yaml.MappingNode):
        raise malformed_at(node, Text("Hier gehören Schlüssel und Werte hin.", "Keys and values belong here."))
    entries: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = text_of(key)
        if name in entries:
            raise malformed_at(key, Text("Der Schlüssel steht doppelt.", "The key stands twice."))
        entries[name] = value
    return entries


def text_of(node: yaml.Node) -> str:
    """Return a scalar as it is written; nothing (``~``) is the empty text."""
    if not isinstance(node, yaml.ScalarNode):
        raise malformed_at(node, Text("Hier gehört ein einzelner Wert hin.", "A single value belongs here."))
    return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def texts(node: yaml.Node) -> list[str]:
    """Return a list of scalars; one scalar counts as a list of one."""
    if isinstance(node, yaml.SequenceNode):
        return [text_of(item) for item in node.value]
    return [text_of(node)]


def malformed_at(node: yaml.Node, why: Text) -> Malformed:
    """Return the refusal of a node, with its line."""
    line = _line(node)
    return Malformed(Text(f"Zeile {line}: {why.de}", f"Line {line}: {why.en}"), line=line)


def _line(at: yaml.Node | yaml.Event) -> int:
    return at.start_mark.line + 1 if at.start_mark is not None else 1


COLUMNS = (
    "id",
    "area",
    "services",
    "destination",
    "valid_from",
    "valid_until",
    "note",
    "on_invalid",
    "access",
    "invited",
)
#: Columns that a CSV may do without, as files from before they were invented do.
_OPTIONAL = frozenset({"on_invalid", "access", "invited"})
_REQUIRED = frozenset({"id", "area", "services", "destination"})
_MAX_CSV_BYTES = 64 * 1024 * 1024
_MAX_RULES = 1_000_000
_MAX_REPORTED = 100

Row = tuple[int, dict[str, str]]


def to_csv(rules: Iterable[Rule], encoding: str = "utf-8") -> bytes:
    """Return the rules, sorted by id, as CSV: semicolon, CRLF, formulas disarmed by an apostrophe.

    UTF-8 gets a BOM, without which spreadsheets take it for something else; the other ``encoding`` is ``windows-1252``.
    Areas are written as regions (``DE06439``): a spreadsheet would take the bare digits for a number.
    Raises :class:`Invalid` where Windows-1252 cannot say exactly this.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, delimiter=";", lineterminator="\r\n")
    writer.writeheader()
    for rule in sorted(rules, key=lambda r: r.id):
        row = rule.as_row() | {"area": rule.area.as_region()}
        writer.writerow({column: disarmed(cell) for column, cell in row.items()})
    return out.getvalue().encode("utf-8-sig") if encoding == "utf-8" else _in_windows_1252(out.getvalue())


def from_csv(content: bytes) -> tuple[Rule, ...]:
    """Read rules from CSV in UTF-8 (with or without BOM) or Windows-1252, sorted by id.

    Raises :class:`TooLarge`, :class:`Malformed` (encoding, columns) or :class:`InvalidSettings` whose member
    ``problems`` lists every bad row.
    """
    require_size(content, _MAX_CSV_BYTES)
    _refuse_foreign(content)
    return _collected(_csv_rows(_decoded(content)))


def from_file(content: bytes, name: str) -> tuple[Rule, ...]:
    """Read rules from a file that somebody chose, CSV or YAML by its name, else by its first line. Raises as both do."""
    _refuse_foreign(content)
    suffix = PurePath(name).suffix.lower()
    # A file that is no text is refused by the reader that says so.
    looks_so = _looks_like_csv(content) or b"\0" in content
    is_csv = suffix == ".csv" or (suffix not in (".yaml", ".yml") and looks_so)
    return from_csv(content) if is_csv else from_yaml(content)


def from_rows(rows: Iterable[Row]) -> tuple[Rule, ...]:
    """Read rules from (place, texts by column), sorted by id. Raises as :func:`from_csv` does."""
    return _collected(iter(rows))


def to_yaml(rules: Iterable[Rule]) -> bytes:
    """Return the rules, sorted by id, as YAML (UTF-8)."""
    document = {"rules": [_yaml_row(rule) for rule in sorted(rules, key=lambda r: r.id)]}
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=10_000).encode()


def from_yaml(content: bytes) -> tuple[Rule, ...]:
    """Read rules from YAML, sorted by id. Raises as :func:`from_csv` does."""
    _refuse_foreign(content)
    if _looks_like_csv(content):
        raise Malformed(
            Text(
                "Das ist CSV, erwartet wird YAML. Geben Sie der Datei die Endung .csv, oder senden Sie sie als text/csv.",
                "This is CSV where YAML is expected. Give the file the ending .csv, or send it as text/csv.",
            )
        )
    return _collected(_yaml_rows(content))


def read_folder(folder: Path) -> tuple[Rule, ...]:
    """Read every ``rules*.yaml`` in ``folder`` and in its direct subfolders.

    Raises :class:`ConfigurationError` naming file and line; no rule at all is refused too (empty means no).
    """
    rules: list[Rule] = []
    for path in sorted([*folder.glob("rules*.yaml"), *folder.glob("*/rules*.yaml")]):
        try:
            rules += from_yaml(path.read_bytes())
        except Refused as exc:
            text = Text(f"{path.name}: {exc.detail.de}", f"{path.name}: {exc.detail.en}")
            raise ConfigurationError(text, **{**exc.members, "file": path.name}) from exc
    if not rules:
        raise ConfigurationError(
            Text(f"{folder} enthält keine Regeln (rules*.yaml).", f"{folder} holds no rules (rules*.yaml).")
        )
    return tuple(rules)


def _refuse_foreign(content: bytes) -> None:
    foreign = foreign_format(content)
    if foreign is not None:
        raise Malformed(foreign)


def _looks_like_csv(content: bytes) -> bool:
    """Whether the first line names columns of a table of rules, whatever parts them."""
    first = content.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0].decode("utf-8", "replace")
    cells = {cell.strip().strip('"').lower() for cell in re.split(r"[;,\t]", first)}
    return len(cells & set(COLUMNS)) > 1


def _in_windows_1252(text: str) -> bytes:
    """Encode ``text``, if reading it back gives the same: some sequences of its bytes would be read as UTF-8."""
    try:
        content = text.encode("cp1252")
        exact = _decoded(content) == text
    except (UnicodeEncodeError, Malformed):
        exact = False
    if not exact:
        raise Invalid(
            Text(
                "Die Tabelle enthält Zeichen, die es in Windows-1252 nicht gibt. Nehmen Sie UTF-8.",
                "The table has characters that Windows-1252 does not have. Take UTF-8.",
            )
        )
    return content


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise Malformed(
        Text(
            "Die Datei ist weder UTF-8 noch Windows-1252. Speichern Sie sie als CSV UTF-8.",
            "The file is neither UTF-8 nor Windows-1252. Save it as CSV UTF-8.",
        )
    )


def _csv_rows(text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True)
    try:
        header = next(reader, [])
        if sorted({*header} | _OPTIONAL) != sorted(COLUMNS) or len(set(header)) != len(header):
            raise _wrong_head()
        for cells in reader:
            if any(cells):
                yield reader.line_num, _csv_row(header, cells, reader.line_num)
    except csv.Error as exc:
        line = reader.line_num
        raise _no_csv(line) from exc


def _wrong_head() -> Malformed:
    return Malformed(
        Text(
            f"Die erste Zeile muss lauten: {';'.join(COLUMNS)} (mit Semikolon getrennt).",
            f"The first line must read: {';'.join(COLUMNS)} (separated by semicolons).",
        )
    )


def _no_csv(line: int) -> Malformed:
    return Malformed(
        Text(
            f"Zeile {line} ist kein gültiges CSV. Prüfen Sie die Anführungszeichen.",
            f"Line {line} is not valid CSV. Check the quotation marks.",
        ),
        line=line,
    )


def _csv_row(header: list[str], cells: list[str], line: int) -> dict[str, str]:
    if len(cells) != len(header):
        raise Malformed(
            Text(
                f"Zeile {line} hat {len(cells)} statt {len(header)} Spalten.",
                f"Line {line} has {len(cells)} columns instead of {len(header)}.",
            ),
            line=line,
        )
    return {column: rearmed(cell) for column, cell in zip(header, cells, strict=True)}


def _yaml_row(rule: Rule) -> dict[str, Any]:
    row: dict[str, Any] = {key: text for key, text in rule.as_row().items() if text}
    return row | {"services": list(rule.services)}


def _yaml_rows(content: bytes) -> Iterator[Row]:
    root = compose(content)
    fields = mapping(root)
    if set(fields) != {"rules"} or not isinstance(fields["rules"], yaml.SequenceNode):
        raise malformed_at(
            root, Text("Erwartet wird genau ein Schlüssel: rules, eine Liste.", "Expected one key: rules, a list.")
        )
    for node in fields["rules"].value:
        row = _rule_fields(node)
        yield node.start_mark.line + 1, row


def _rule_fields(node: yaml.Node) -> dict[str, str]:
    nodes = mapping(node)
    if "service" in nodes and "services" not in nodes:
        nodes["services"] = nodes.pop("service")
    unknown, missing = sorted(set(nodes) - set(COLUMNS)), sorted(_REQUIRED - set(nodes))
    if unknown or missing:
        allowed = ", ".join(COLUMNS)
        raise malformed_at(
            node,
            Text(
                f"Eine Regel hat nur diese Schlüssel: {allowed}. Es fehlen: {', '.join(missing) or 'keine'}.",
                f"A rule has these keys only: {allowed}. Missing: {', '.join(missing) or 'none'}.",
            ),
        )
    return {key: " ".join(texts(value)) if key == "services" else text_of(value) for key, value in nodes.items()}


def _collected(rows: Iterator[Row]) -> tuple[Rule, ...]:
    rules: dict[str, Rule] = {}
    problems: list[Mapping[str, Any]] = []
    for line, row in rows:
        try:
            rule = rule_from_row(row)
            if rule.id in rules:
                raise Malformed(Text("id: Der Name ist schon vergeben.", "id: The name is taken already."))
            rules[rule.id] = rule
        except Refused as exc:
            problems.append({"line": line, "de": exc.detail.de, "en": exc.detail.en})
        if len(rules) > _MAX_RULES or len(problems) >= _MAX_REPORTED:
            break
    if problems:
        raise _unusable(problems)
    if len(rules) > _MAX_RULES:
        raise TooLarge(Text(f"Höchstens {_MAX_RULES} Regeln.", f"At most {_MAX_RULES} rules."))
    return tuple(sorted(rules.values(), key=lambda r: r.id))


def _unusable(problems: list[Mapping[str, Any]]) -> InvalidSettings:
    first, more = problems[0], len(problems) - 1
    return InvalidSettings(
        Text(
            f"Zeile {first['line']}: {first['de']}" + (f" (und {more} weitere Zeilen)" if more else ""),
            f"Line {first['line']}: {first['en']}" + (f" (and {more} more lines)" if more else ""),
        ),
        problems=problems,
    )
