"""Write version 1.1 of the shipped schemas: version 1.0 with the data types of DIN 91379 in the place of free text.

``python schemas/din_91379.py`` writes what is missing. The characters come from ``din-91379.csv``, the rest from the files of
version 1.0, so that a reader can compare both. What is in Unicode's form NFC passes, for the standard has sequences only where
there is no single code point.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import yaml

HERE = Path(__file__).parent
OLD, NEW = "1.0", "1.1"
#: Messages in a case were made with the norm's characters from the beginning: nothing of theirs is a name.
_MESSAGE = "rathaus-nachricht"
DataType = Literal["A", "B", "C", "D", "E"]
#: What has to stand with a backslash in a character class.
_SPECIAL = frozenset("\\]^[-")
#: Members of the JSON schemas that hold more than a line, or the name of a person or a place; any other is one line (D).
_JSON_TYPES: Mapping[str, DataType] = {
    "text": "E",
    **dict.fromkeys(("familienname", "geburtsname", "vornamen", "ordensname"), "A"),
    **dict.fromkeys(("strasse", "hausnummer", "ort", "geburtsort"), "B"),
}
#: Elements of the building application that hold the name of a person or a place, by the type that they get.
_XML_TYPES = {
    "vorname": "Personenname",
    "familienname": "Personenname",
    **dict.fromkeys(("strasse", "hausnummer", "ort", "gemarkung"), "Ortsname"),
}


def table() -> Iterator[tuple[tuple[int, ...], bool, frozenset[str]]]:
    """Yield (code points, whether they are a sequence and no range, data types) of every row."""
    lines = (HERE / "din-91379.csv").read_text("utf-8").splitlines()
    for line in [line for line in lines if not line.startswith("#")][1:]:
        codes, types = line.split(";")
        sequence = " " in codes
        points = tuple(int(code, 16) for code in codes.replace("-", " ").split())
        yield points, sequence, frozenset(types)


def repertoire(data_type: DataType) -> tuple[set[str], set[str]]:
    """Return the single characters and the sequences of a data type."""
    singles: set[str] = set()
    sequences: set[str] = set()
    for points, sequence, types in table():
        if data_type in types and sequence:
            sequences.add("".join(map(chr, points)))
        elif data_type in types:
            singles |= {chr(point) for point in range(points[0], points[-1] + 1)}
    return singles, sequences


def pattern(data_type: DataType) -> str:
    """Return a regular expression, without anchors, for texts of a data type; XML Schema and ECMA 262 read it alike."""
    singles, sequences = repertoire(data_type)
    numbered = enumerate(sorted(map(ord, singles)))
    runs = [[point for _, point in run] for _, run in groupby(numbered, lambda pair: pair[1] - pair[0])]
    ranges = "".join(_one(run[0]) if len(run) == 1 else f"{_one(run[0])}-{_one(run[-1])}" for run in runs)
    return f"([{ranges}]|{'|'.join(sorted(sequences))})*"


def _one(point: int) -> str:
    return f"\\{chr(point)}" if chr(point) in _SPECIAL else chr(point)


def json_schema(old: str) -> str:
    """Return version 1.1 of a JSON Schema."""
    document = json.loads(old.replace(f"/{OLD}/", f"/{NEW}/"))
    edge = document.get("$defs", {}).pop("text", {})
    used = {name: _json_type(name, edge) for name in "ABDE"}
    _typed(document, edge)
    needed = json.dumps(document)
    defined = {f"din91379{name}": used[name] for name in "ABDE" if f"#/$defs/din91379{name}" in needed}
    document["$defs"] = {**defined, **document.get("$defs", {})}
    return json.dumps(document, ensure_ascii=True, indent=2) + "\n"


def _json_type(data_type: Any, edge: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": f"Datentyp {data_type} der DIN 91379.", "type": "string"}
    return found | {"pattern": f"^{pattern(data_type)}$"} if not edge else _with_edge(found, data_type, edge)


def _with_edge(found: dict[str, Any], data_type: Any, edge: Mapping[str, Any]) -> dict[str, Any]:
    """Return a text without blanks at its edges: that is a pattern of its own."""
    limits = {name: edge[name] for name in ("minLength", "maxLength") if name in edge}
    return found | limits | {"pattern": f"^{pattern(data_type)}$", "allOf": [{"pattern": edge["pattern"]}]}


def _typed(node: Any, edge: Mapping[str, Any]) -> None:
    """Put data types in the place of free text, below ``node``."""
    if isinstance(node, list):
        for each in node:
            _typed(each, edge)
        return
    if not isinstance(node, dict):
        return
    for name, inner in node.get("properties", {}).items():
        wanted = {"$ref": f"#/$defs/din91379{_JSON_TYPES.get(name, 'D')}"}
        if inner == {"$ref": "#/$defs/text"}:
            node["properties"][name] = wanted
        elif not edge and inner.get("type") == "string" and not {"pattern", "format", "enum", "const"} & set(inner):
            node["properties"][name] = inner | wanted
    for each in node.values():
        _typed(each, edge)


def xml_schema(old: str) -> str:
    """Return version 1.1 of a document of the building application."""
    new = old.replace(f"/bauantrag/{OLD}", f"/bauantrag/{NEW}")
    new = new.replace(f'version="{OLD}">', f'version="{NEW}">').replace(f'fixed="{OLD}"', f'fixed="{NEW}"')
    for name, kind in _XML_TYPES.items():
        new = new.replace(f'name="{name}" type="bau:Name"', f'name="{name}" type="bau:{kind}"')
    begin, end = new.find('  <xs:simpleType name="Text">'), new.find('  <xs:simpleType name="Aktenzeichen">')
    return new if begin < 0 else new[:begin] + _xml_types() + new[end:]


def _xml_types() -> str:
    text = _xml_type("Text", "E", "Freier Text", 2000)
    lines = [
        _xml_type(name, data_type, what, 200)
        for name, data_type, what in (
            ("Name", "D", "Eine Zeile"),
            ("Personenname", "A", "Name einer Person"),
            ("Ortsname", "B", "Name eines Ortes, einer Straße, einer Gemarkung"),
        )
    ]
    return text + "".join(lines)


def _xml_type(name: str, data_type: DataType, what: str, longest: int) -> str:
    escaped = "".join(_entity(each) for each in pattern(data_type))
    trimmed = "" if data_type == "E" else '      <xs:pattern value="\\S(.*\\S)?"/>\n'
    return (
        f'  <xs:simpleType name="DIN91379.{data_type}">\n'
        f"    <xs:annotation><xs:documentation>Datentyp {data_type} der DIN 91379.</xs:documentation></xs:annotation>\n"
        f'    <xs:restriction base="xs:string">\n      <xs:pattern value="{escaped}"/>\n    </xs:restriction>\n'
        f"  </xs:simpleType>\n\n"
        f'  <xs:simpleType name="{name}">\n'
        f"    <xs:annotation><xs:documentation>{what}, Datentyp {data_type} der DIN 91379.</xs:documentation></xs:annotation>\n"
        f'    <xs:restriction base="bau:DIN91379.{data_type}">\n      <xs:minLength value="1"/>\n'
        f'      <xs:maxLength value="{longest}"/>\n{trimmed}    </xs:restriction>\n  </xs:simpleType>\n\n'
    )


def _entity(character: str) -> str:
    plain = " " < character <= "~" and character not in "&<>\"'"
    return character if plain else f"&#x{ord(character):X};"


def sources(standard: str) -> dict[str, str]:
    """Return the schema files of version 1.1 of a shipped standard, by name."""
    renewed = {}
    for path in sorted((HERE / standard / OLD).glob("*")):
        if path.suffix == ".xsd":
            renewed[path.name] = xml_schema(path.read_text("utf-8"))
        elif path.name.endswith(".schema.json"):
            renewed[path.name] = json_schema(path.read_text("utf-8"))
    return renewed


def standards() -> list[str]:
    """Return the standards that are this project's own and have a version of before the norm."""
    return [
        path.parent.parent.name for path in sorted(HERE.glob(f"*/{OLD}/catalog.yaml")) if path.parts[-3] != _MESSAGE
    ]


def main() -> None:
    """Write version 1.1 of each standard that has none yet."""
    from datetime import date

    from hub.validation.importing import import_standard, pin

    for standard in standards():
        if (HERE / standard / NEW).exists():
            continue
        before = yaml.safe_load((HERE / standard / OLD / "catalog.yaml").read_text("utf-8"))
        places = {one["file"]: one["attachments"] for one in before["schemas"] if one.get("attachments")}
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            source.mkdir()
            for name, content in sources(standard).items():
                (source / name).write_text(content, "utf-8")
            named = Path(folder) / "attachments.yaml"
            declared = yaml.safe_dump(places, allow_unicode=True).replace(f"/{OLD}", f"/{NEW}")
            named.write_text(declared, "utf-8")
            import_standard(
                source,
                HERE,
                standard=standard,
                version=NEW,
                valid_from=date(2026, 11, 1),
                # Who names no schema in JSON goes on with version 1.0, the only one that a service has.
                services=before["schemas"][0].get("services") if before["kind"] == "xsd" else None,
                provenance=before["provenance"],
                licence=before["licence"],
                attachments=named if places else None,
            )
        pin(HERE / standard / NEW)
        sys.stdout.write(f"{standard} {NEW}\n")


if __name__ == "__main__":
    main()
