"""Strict YAML: a tree of mappings, lists and texts with their lines, and nothing else.

No object is built from a tag and no alias expanded; scalars are taken as they are written, so that ``area: 06439``
stays ``06439``. Size and depth are bounded before anything is built.
"""

from __future__ import annotations

from typing import Any

import yaml

from hub.errors import Malformed, Text, TooLarge

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
