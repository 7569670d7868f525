"""A JSON Schema and a form file of what an XDatenfelder file asks, and both brought into a catalogue.

A property is called after the bare id of its element; codes are an ``enum``, their words stand in the form file; where an
element comes from is said in ``x-fim``, with its rules as the prose that they are. A group of kind X is a ``oneOf``. Patterns
are anchored, for theirs match whole values, and tried: one by which no text of the demanded length can be made is left out.

The file speaks German alone, so the form file does in both languages, and says so (``translated: false``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from math import ceil, floor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson
import yaml

from hub.errors import Malformed, Text
from hub.forms.data_schema import DataCode, DataElement, DataField, DataGroup, DataRule, DataSchema
from hub.forms.form_file import NAME, questionnaire, read_form_file
from hub.forms.json_outline import outline_of_json_schema
from hub.forms.outline import ITEM, Field, FieldKind
from hub.forms.samples import sample
from hub.forms.xdatenfelder import MOST_CHOICES, bytes_of, is_xdatenfelder, read_xdatenfelder
from hub.validation.archives import read_package
from hub.validation.code_lists import named_codes, read_code_list
from hub.validation.importing import import_standard
from hub.validation.json.documents import compiled, runs_linearly
from hub.validation.manifest import ImportRemark, Manifest
from hub.validation.packages import version_uri
from hub.validation.xml.patterns import is_dangerous
from hub.validation.xml.regex import PatternError

#: How files of code lists end.
_LISTS = frozenset({".xml", ".json", ".gc"})
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Places of attachments of one schema, characters of a pattern, and of a text that must be at least so long.
_FILES, _PATTERN, _LONGEST = 50, 2_000, 5_000
#: Characters of a code or a name of a list, of what an attachment is.
_TITLE, _LABEL = 300, 200
_TRIES = 12
#: Numbers beyond it are no longer exact as JSON is read.
_EXACT = Decimal(10) ** 15
_CLOCK = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
#: What stands in a field of each datatype, and the limits that a schema can say of it.
_DATATYPES: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "text": ({"type": "string"}, ("minLength", "maxLength", "pattern")),
    "text_latin": ({"type": "string"}, ("minLength", "maxLength", "pattern")),
    "num": ({"type": "number"}, ("minValue", "maxValue")),
    "num_int": ({"type": "integer"}, ("minValue", "maxValue")),
    "num_currency": ({"type": "number", "multipleOf": 0.01}, ("minValue", "maxValue")),
    "bool": ({"type": "boolean"}, ()),
    "date": ({"type": "string", "format": "date"}, ()),
    "time": ({"type": "string", "pattern": _CLOCK}, ()),
    "datetime": ({"type": "string", "format": "date-time"}, ()),
    "file": ({"type": "string", "minLength": 1, "maxLength": 255}, ()),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FimForm:
    """What becomes of a file: a JSON Schema, a form file, where attachments are named, and what is not in either."""

    schema: Mapping[str, Any] = field(repr=False)
    #: ``form.yaml``.
    form: bytes = field(repr=False)
    #: Place, whether it must be sent if it is named, and what it is, as ``catalog.yaml`` says it.
    attachments: tuple[Mapping[str, Any], ...]
    remarks: tuple[ImportRemark, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FimImport:
    """A file that was brought in: its manifest, and how many fields and groups it has."""

    manifest: Manifest
    elements: int


def import_xdatenfelder(
    source: Path,
    target: Path,
    *,
    standard: str | None = None,
    version: str | None = None,
    code_lists: Iterable[Path] = (),
    **edition: Any,
) -> FimImport:
    """Bring an XDatenfelder file into ``target/<standard>/<version>/`` as a JSON Schema with a form file.

    Without names it is called after its own id and version. ``code_lists`` are files of lists (Genericode, or the XRepository's
    JSON) that it names and does not hold; ``edition`` is what :func:`~hub.validation.importing.import_standard` takes besides.

    Raises:
        Malformed, TooLarge, ConfigurationError: The file or a list cannot be used, or it is too large as a form.
        Conflict: The version is there already.
        StoreUnavailable: The disk does not take it.
    """
    data = read_xdatenfelder(bytes_of(source))
    standard = standard or f"fim-{data.root.id.lower()}"
    version = version or data.root.version or "0"
    file = f"{data.root.id.lower()}.schema.json"
    lists = {address: codes for path in code_lists for address, codes in _list_at(path)}
    made = fim_form(data, f"{version_uri(standard, version)}/{file}", lists)
    with tempfile.TemporaryDirectory(prefix="hub-fim-") as scratch:
        package = Path(scratch) / "package"
        package.mkdir()
        (package / file).write_bytes(orjson.dumps(made.schema, option=orjson.OPT_INDENT_2) + b"\n")
        declared = Path(scratch) / "attachments.json"
        declared.write_bytes(orjson.dumps({file: made.attachments}))
        manifest = import_standard(
            package,
            target,
            standard=standard,
            version=version,
            attachments=edition.pop("attachments", None) or (declared if made.attachments else None),
            provenance=edition.pop("provenance", "") or f"XDatenfelder {data.root.id} {data.root.version}".strip(),
            beside={NAME: made.form},
            remarks=made.remarks,
            **edition,
        )
    return FimImport(manifest=manifest, elements=sum(1 for _ in _walk(data.root)))


def import_packed(
    source: Path, target: Path, *, standard: str = "", version: str = "", **edition: Any
) -> Manifest | None:
    """Bring in the XDatenfelder file of a package as :func:`import_xdatenfelder` does; None where it has none.

    What else there is of XML and JSON are code lists.

    Raises:
        Malformed: There are two such files; and as ``import_xdatenfelder``.
    """
    package = read_package(source)
    found = [name for name, content in package.items() if name.lower().endswith(".xml") and is_xdatenfelder(content)]
    if not found:
        return None
    if len(found) > 1:
        raise _several(len(found))
    with tempfile.TemporaryDirectory(prefix="hub-fim-") as scratch:
        paths = _unpacked(package, Path(scratch))
        (main,) = found
        lists = [path for name, path in paths.items() if name != main and path.suffix.lower() in _LISTS]
        said = {"standard": standard or None, "version": version or None}
        return import_xdatenfelder(paths[main], target, code_lists=lists, **said, **edition).manifest


def _several(number: int) -> Malformed:
    return Malformed(
        Text(
            f"Das Paket hat {number} XDatenfelder-Dateien. Bringen Sie jede für sich ein.",
            f"The package has {number} XDatenfelder files. Bring in each by itself.",
        )
    )


def _unpacked(package: Mapping[str, bytes], scratch: Path) -> dict[str, Path]:
    paths = {name: Path(scratch) / str(number) / Path(name).name for number, name in enumerate(package)}
    for name, path in paths.items():
        path.parent.mkdir()
        path.write_bytes(package[name])
    return paths


def _list_at(path: Path) -> Iterator[tuple[str, tuple[DataCode, ...]]]:
    """Yield the codes of a list by the addresses under which files name it."""
    content = bytes_of(path)
    one = read_code_list(content, path.name)
    codes = tuple(
        DataCode(code=code, name=said[:_TITLE])
        for code, said in named_codes(content, path.name).items()
        if 0 < len(code) <= _TITLE
    )
    yield f"{one.uri}_{one.version}", codes
    yield one.uri, codes


def fim_form(data: DataSchema, uri: str, lists: Mapping[str, tuple[DataCode, ...]] | None = None) -> FimForm:
    """Return the JSON Schema called ``uri`` and the form file of a file that was read; ``lists`` are codes by their address.

    Raises:
        TooLarge: The form file is over its cap.
        ConfigurationError: The schema cannot be outlined.
    """
    writing = _Writing(data.remarks, lists or {})
    root = writing.root(data, uri)
    document = {
        "format": 1,
        "translated": False,
        "title": _words(data.root.title),
        **({"intro": _words(intro)} if (intro := _joined(data.root.help, *data.root.notes)) else {}),
        "steps": writing.steps(data.root),
        "filled": [{"at": "/$schema", "with": "schema"}, *writing.filled],
        **({"attachments": writing.attachments} if writing.attachments else {}),
    }
    form = yaml.dump(
        document, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=160, default_flow_style=None
    ).encode()
    # What is refused here would be refused when a person opens the form.
    questionnaire(outline_of_json_schema(root), read_form_file(form, NAME))
    return FimForm(schema=root, form=form, attachments=tuple(writing.attachments), remarks=tuple(writing.remarks))


class _Made(NamedTuple):
    """An element as it was written: its schema, its entries in the form file, whether it is asked, whether it must be.

    ``fills``: where it stands, a value stands within it. A group all of whose members may be missing can be empty.
    """

    schema: dict[str, Any]
    entries: list[dict[str, Any]]
    asks: bool
    needs: bool
    fills: bool


class _Writing:
    """Writes elements, and remembers what it could not."""

    def __init__(self, remarks: tuple[ImportRemark, ...], lists: Mapping[str, tuple[DataCode, ...]]) -> None:
        self._lists = lists
        self.remarks = list(remarks)
        self.filled: list[dict[str, Any]] = []
        self.attachments: list[dict[str, Any]] = []
        self._made: dict[str, _Made] = {}

    def root(self, data: DataSchema, uri: str) -> dict[str, Any]:
        """Return the whole schema."""
        group = self._group(data.root)
        schema = dict(group.schema)
        about = {**schema.pop("x-fim"), "standard": f"XDatenfelder {'2.0' if data.edition == 2 else '3.0.0'}"}  # noqa: PLR2004
        properties = {"$schema": {"const": uri}, **schema.pop("properties", {})}
        required = ["$schema", *schema.pop("required", [])]
        return {
            "$schema": _DRAFT,
            "$id": uri,
            **schema,
            "required": required,
            "properties": properties,
            "x-fim": about,
        }

    def steps(self, root: DataGroup) -> list[dict[str, Any]]:
        """Return the pages of the form: one for each group, one for fields that stand side by side; one in all for a choice."""
        title = _words("Angaben")
        found: list[dict[str, Any]] = []
        loose: dict[str, Any] | None = None
        for member in root.members:
            made = self._made.get(member.at)
            if made is None or not made.asks:
                continue
            if isinstance(member, DataGroup) and not root.chooses:
                step = {"id": _step_id(member.name, len(found)), "title": _words(member.title), "fields": made.entries}
                found.append(step)
                loose = None
                continue
            if loose is None:
                loose = {"id": f"angaben-{len(found) + 1}", "title": title, "fields": []}
                found.append(loose)
            loose["fields"] += made.entries
        return [_copied(step) for step in found] or [{"id": "angaben", "title": title, "fields": []}]

    def _remark(self, at: str, german: str, english: str) -> None:
        self.remarks.append(ImportRemark(at=at, text=Text(german, english)))

    def _element(self, element: DataElement, *, chosen: bool = False) -> _Made | None:
        """Write an element with how often it stands; ``chosen``: it is the variant of a choice, and must be given there."""
        if isinstance(element, DataGroup):
            made: _Made | None = self._group(element)
        else:
            assert isinstance(element, DataField)  # noqa: S101  # There are no others.
            made = self._field(element)
        if made is None:
            return None
        least = max(element.least, 1) if chosen else element.least
        if element.is_list:
            made = self._list(element, made, least, chosen=chosen)
        else:
            made = made._replace(needs=made.asks and bool(least))
        self._made[element.at] = made
        return made

    def _list(self, element: DataElement, made: _Made, least: int, *, chosen: bool) -> _Made:
        # A group all of whose fields may stay empty may be left empty, and then there is no item.
        empty = not made.fills
        made = self._if_empty(element, made, least, chosen=chosen)
        needs = bool(least) and made.asks and not (empty and not chosen)
        schema: dict[str, Any] = {"title": element.title, "type": "array", "items": made.schema}
        if needs:
            schema["minItems"] = 1 if empty else least
        if element.most is not None:
            schema["maxItems"] = element.most
        return made._replace(schema=schema, needs=needs, fills=needs)

    def _if_empty(self, element: DataElement, made: _Made, least: int, *, chosen: bool) -> _Made:
        """Return the same, where nothing may be entered in it: a schema cannot demand what is empty."""
        empty = not made.fills
        if empty and chosen:
            self._remark(
                element.at,
                "Eine Angabe ist nötig, wenn dies gewählt ist.",
                "something must be given where this is chosen.",
            )
            made = made._replace(schema={**made.schema, "minProperties": 1})
        elif empty and least:
            self._remark(
                element.at,
                f"Mindestens {least} leere Angaben lassen sich nicht verlangen.",
                f"at least {least} empty answers cannot be demanded.",
            )
        return made

    def _group(self, group: DataGroup) -> _Made:
        written = [(member, self._element(member, chosen=group.chooses)) for member in group.members]
        members = [(member, made) for member, made in written if made is not None]
        schema: dict[str, Any] = {"title": group.title, **_described(group), "type": "object"}
        chosen = [each for each in members if each[1].asks] if group.chooses else []
        chooses = len(chosen) > 1
        if chooses:
            schema["oneOf"] = [
                {"title": member.title, "properties": {member.name: made.schema}, "required": [member.name]}
                for member, made in chosen
            ]
        common = [each for each in members if not (chooses and each in chosen)]
        schema["properties"] = {member.name: made.schema for member, made in common}
        if required := [member.name for member, made in common if made.needs]:
            schema["required"] = required
        schema["unevaluatedProperties" if chooses else "additionalProperties"] = False
        schema["x-fim"] = _origin(group)
        asks = any(made.asks for _, made in members)
        entries = self._entries(group, chooses=chooses) if group.at and asks else []
        entries += [entry for _, made in members for entry in made.entries]
        fills = any(made.needs and made.fills for _, made in common) or (
            chooses and all(made.fills for _, made in chosen)
        )
        return _Made(schema, entries, asks, needs=asks, fills=fills)

    def _entries(self, group: DataGroup, *, chooses: bool) -> list[dict[str, Any]]:
        """Return what a form file says of a group, and of its items where it has words for their choice."""
        labelled: dict[str, Any] = {"at": group.at, "label": _words(group.title)}
        if hint := _joined(group.help, *group.notes):
            labelled["hint"] = _words(hint)
        labels = {
            str(number): _words(member.title)
            for number, member in enumerate(
                each for each in group.members if each.at in self._made and self._made[each.at].asks
            )
        }
        if not group.is_list:
            return [{**labelled, "choices": labels} if chooses else labelled]
        found = [{**labelled, "item": _words(group.title)}]
        if chooses:
            found.append({"at": f"{group.at}/{ITEM}", "label": _words(group.title), "choices": labels})
        return found

    def _field(self, data: DataField) -> _Made | None:
        if not data.codes and len(listed := self._lists.get(data.list_uri, ())) <= MOST_CHOICES:
            data = replace(data, codes=listed)
        if data.datatype == "obj":
            self._remark(
                data.at,
                "Ein statisches Objekt kann niemand eingeben; das Feld entfällt.",
                "nobody can enter a static object; the field is left out.",
            )
            return None
        schema = {"title": data.title, **_described(data), **self._value(data), "x-fim": _origin(data)}
        place = f"{data.at}/{ITEM}" if data.is_list else data.at
        if data.art == "hidden":
            return self._hidden(data, place, schema)
        self._remark_kind(data)
        if data.datatype == "file" and not data.codes:
            self._attached(data, place)
        return _Made(schema, self._asked(data, place), asks=True, needs=bool(data.least), fills=True)

    def _remark_kind(self, data: DataField) -> None:
        if data.content:
            self._remark(
                data.at,
                f"Die Vorgabe wird nicht vorbelegt: {data.content[:200]}",
                f"the given content is not filled in: {data.content[:200]}",
            )
        if data.art == "locked":
            self._remark(data.at, "Gesperrt; es wird gefragt.", "locked; it is asked.")
        elif data.art not in ("input", "select"):
            self._remark(
                data.at,
                f"Die Feldart {data.art[:40] or '–'} ist unbekannt; es wird gefragt.",
                f"the kind of field {data.art[:40] or '–'} is not known; it is asked.",
            )

    def _asked(self, data: DataField, place: str) -> list[dict[str, Any]]:
        entry: dict[str, Any] = {"at": data.at, "label": _words(data.title)}
        if data.help:
            entry["hint"] = _words(data.help)
        of_values: dict[str, Any] = {}
        if data.codes:
            of_values["choices"] = {code.code: _words(code.name) for code in data.codes}
        elif data.datatype == "file":
            of_values["widget"] = "file"
        if not data.is_list:
            return [{**entry, **of_values}]
        entry["item"] = _words(data.title)
        return [entry, {"at": place, "label": _words(data.title), **of_values}] if of_values else [entry]

    def _hidden(self, data: DataField, place: str, schema: dict[str, Any]) -> _Made:
        filled = bool(data.content) and not data.is_list and _takes(schema, data.content)
        if filled:
            self.filled.append({"at": place, "with": {"value": data.content}})
        else:
            self._remark(
                data.at,
                "Verstecktes Feld: Es steht im Schema und wird weder gefragt noch ausgefüllt.",
                "a hidden field: it stands in the schema and is neither asked nor filled in.",
            )
        return _Made(schema, [], asks=False, needs=False, fills=False)

    def _attached(self, data: DataField, place: str) -> None:
        if len(self.attachments) >= _FILES:
            self._remark(
                data.at,
                f"Nur {_FILES} Felder können Anlagen nennen; hier steht ein Text.",
                f"only {_FILES} fields can name attachments; this one holds a text.",
            )
            return
        self.attachments.append({"at": place, "required": bool(data.least), "label": _words(data.title[:_LABEL])})

    def _value(self, data: DataField) -> dict[str, Any]:
        """Return what a schema says of a field's value."""
        rest = dict(data.bounds)
        if data.codes:
            schema: dict[str, Any] = {"enum": [code.code for code in data.codes]}
        else:
            self._remark_unknown(data)
            plain, known = _DATATYPES.get(data.datatype, _DATATYPES["text"])
            schema = dict(plain)
            said = {name: rest.pop(name) for name in known if name in rest}
            if "minLength" in known:
                self._lengths(data.at, schema, said)
                self._pattern(data.at, schema, said.get("pattern"))
            elif said:
                self._numbers(data.at, schema, said)
            self._remark_repertoire(data)
        for name, value in rest.items():
            self._unjudged(data.at, name, value)
        return schema

    def _remark_unknown(self, data: DataField) -> None:
        if data.art == "select" or data.list_uri:
            self._remark(
                data.at,
                f"Die Codeliste {data.list_uri or '–'} fehlt oder ist zu lang; jeder Wert gilt (--code-list).",
                f"the code list {data.list_uri or '–'} is missing or too long; any value is taken (--code-list).",
            )
        if data.datatype not in _DATATYPES:
            self._remark(
                data.at,
                f"Der Datentyp {data.datatype[:40] or '–'} ist unbekannt; jeder Text gilt.",
                f"the datatype {data.datatype[:40] or '–'} is not known; any text is taken.",
            )

    def _remark_repertoire(self, data: DataField) -> None:
        if data.datatype == "text_latin":
            self._remark(
                data.at,
                "Der Zeichenvorrat (String.Latin+) wird nicht geprüft.",
                "the repertoire of characters (String.Latin+) is not judged.",
            )

    def _lengths(self, at: str, schema: dict[str, Any], said: Mapping[str, str]) -> None:
        found = {name: _number(said[name]) for name in ("minLength", "maxLength") if name in said}
        for name, value in found.items():
            if value is None or value < 0 or value != value.to_integral_value():
                self._unjudged(at, name, said[name])
        whole = {
            name: int(value) for name, value in found.items() if value is not None and value >= 0 and value % 1 == 0
        }
        least, most = whole.get("minLength", 0), whole.get("maxLength")
        if least > _LONGEST or (most is not None and (most < least or most == 0)):
            self._unjudged(at, "minLength, maxLength", f"{least}, {most}")
            return
        if least:
            schema["minLength"] = least
        if most is not None:
            schema["maxLength"] = most

    def _numbers(self, at: str, schema: dict[str, Any], said: Mapping[str, str]) -> None:
        found = {name: _number(value) for name, value in said.items()}
        for name, value in found.items():
            if value is None:
                self._unjudged(at, name, said[name])
        least, most = found.get("minValue"), found.get("maxValue")
        if least is not None and most is not None and not _has_between(least, most, schema):
            self._unjudged(at, "minValue, maxValue", f"{said['minValue']}, {said['maxValue']}")
            return
        for word, value in (("minimum", least), ("maximum", most)):
            if value is not None:
                schema[word] = int(value) if value % 1 == 0 else float(value)

    def _pattern(self, at: str, schema: dict[str, Any], pattern: str | None) -> None:
        if pattern is None:
            return
        anchored = f"^(?:{pattern})$"
        reason = _why_not(anchored)
        if reason is None and not _can_be_made({**schema, "pattern": anchored}):
            reason = Text(
                "nach ihm und den Längen entsteht im Versuch kein Text", "no text came of it and the lengths when tried"
            )
        if reason is None:
            schema["pattern"] = anchored
            return
        self._remark(
            at,
            f"Das Muster wird nicht geprüft ({reason.de}): {pattern[:200]}",
            f"the pattern is not judged ({reason.en}): {pattern[:200]}",
        )

    def _unjudged(self, at: str, name: str, value: str) -> None:
        self._remark(
            at,
            f"Die Präzisierung {name} passt hier nicht und wird nicht geprüft: {value[:200]}",
            f"the restriction {name} does not fit here and is not judged: {value[:200]}",
        )


def _walk(group: DataGroup) -> Iterator[DataElement]:
    for member in group.members:
        yield member
        if isinstance(member, DataGroup):
            yield from _walk(member)


def _described(element: DataElement) -> dict[str, str]:
    return {"description": element.help} if element.help else {}


def _origin(element: DataElement) -> dict[str, Any]:
    """Return where an element comes from, and what is said of it that neither schema nor form can say otherwise."""
    found: dict[str, Any] = {"id": element.id, "version": element.version}
    if element.description:
        found["description"] = element.description
    if element.rules:
        found["rules"] = [_rule(rule) for rule in element.rules]
    if isinstance(element, DataField):
        if element.list_uri:
            found["codeList"] = element.list_uri
        if element.content:
            found["content"] = element.content
    return found


def _rule(rule: DataRule) -> dict[str, str]:
    return {"id": rule.id, "version": rule.version, "name": rule.name, "text": rule.text}


def _words(text: str) -> dict[str, str]:
    return {"de": text, "en": text}


def _joined(*texts: str) -> str:
    return " ".join(text for text in texts if text)


def _step_id(name: str, number: int) -> str:
    plain = "".join(each for each in name.lower() if each.isascii() and each.isalnum())[:30]
    return f"{plain}-{number + 1}"


def _copied(value: Any) -> Any:
    """Return plain values none of which is another: YAML would refer from one to the other."""
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _number(text: str) -> Decimal | None:
    """Return a number as people write it in these files, with a comma or a point; None where it is none, or not exact."""
    try:
        value = Decimal(text.replace(",", "."))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) <= _EXACT else None


def _has_between(least: Decimal, most: Decimal, schema: Mapping[str, Any]) -> bool:
    """Whether a value of the schema's type lies between two."""
    if schema["type"] == "integer":
        return ceil(least) <= floor(most)
    step = Decimal("0.01") if "multipleOf" in schema else None
    return least <= most if step is None else ceil(least / step) <= floor(most / step)


def _why_not(pattern: str) -> Text | None:
    if len(pattern) > _PATTERN:
        return Text("es ist zu lang", "it is too long")
    try:
        if not runs_linearly(pattern):
            return Text("es ist kein Muster von JSON Schema", "it is no pattern of JSON Schema")
        if is_dangerous(pattern):
            return Text("es kann unbegrenzt rechnen", "it can take time without bounds")
    except PatternError:
        return Text("es ist zu verwickelt", "it is too involved")
    return None


def _can_be_made(schema: Mapping[str, Any]) -> bool:
    """Whether texts at random that follow a pattern keep its schema."""
    limits = {name: schema[name] for name in ("minLength", "maxLength") if name in schema}
    tried = Field(
        name="x", kind=FieldKind.TEXT, title=Text("x", "x"), limits={**limits, "patterns": (schema["pattern"],)}
    )
    random = Random(0)  # noqa: S311  # Samples, and the same ones each time.
    return _takes(schema, *(sample(tried, random, is_xml=False) for _ in range(_TRIES)))


def _takes(schema: Mapping[str, Any], *values: Any) -> bool:
    judge = compiled({"$schema": _DRAFT, **schema}, name="field.schema.json")
    return all(judge.is_valid(value) for value in values)
