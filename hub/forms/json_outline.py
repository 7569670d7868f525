"""The outline of a JSON Schema (draft-04 to 2020-12): a walk of our own over what applies to each place.

Several schemas may apply to one place: those that ``$ref`` and ``allOf`` add, and the branches of ``if``, ``oneOf``,
``anyOf``, ``dependentRequired`` and ``dependentSchemas``. What always applies is merged; a branch becomes a variant. References
are followed inside the document; one that leads back to where it was met, or out of the document, is left out and named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from hub.errors import Text
from hub.forms.outline import (
    DEEPEST,
    ITEM,
    OWN,
    Choice,
    Field,
    FieldCount,
    FieldKind,
    FormOutline,
    Variants,
    escaped,
    from_name,
    is_given,
)
from hub.validation.json.documents import address_of, addresses, compiled, id_of

_LIMITS = (
    *("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("uniqueItems", "format", "minProperties"),
)
_FORMATS = {"date": FieldKind.DATE, "date-time": FieldKind.DATE_TIME, "time": FieldKind.TIME}
_TYPES = {
    "object": FieldKind.GROUP,
    "array": FieldKind.LIST,
    "string": FieldKind.TEXT,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.BOOLEAN,
}
#: Drafts in which nothing counts beside ``$ref`` (draft-07, 8.3).
_REF_ALONE = re.compile(r"draft-0[467]")
#: Schemas that apply to one place, at most: references may be many, and each is followed once.
_MOST_APPLYING = 500
#: The document's own name while its conditions are compiled.
_NAME = "form.schema.json"


class _Part(NamedTuple):
    """A schema within the document: what stands there, and its pointer."""

    schema: Any
    pointer: str


class _Branch(NamedTuple):
    """A fork that a schema makes: the parts of each variant, what tells it, whether one must be chosen, fields it needs."""

    parts: tuple[tuple[_Part, ...], ...]
    decided_by: Callable[[Mapping[str, Any]], int | None] | None = None
    required: bool = True
    needs: tuple[frozenset[str], ...] = ()


class _Group:
    """The members and forks of an object, while they are gathered."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.members: list[Field] = []
        self.forks: list[Variants] = []


def outline_of_json_schema(document: Mapping[str, Any]) -> FormOutline:
    """Return the outline of a JSON Schema.

    Raises:
        ConfigurationError: It has too many fields.
    """
    walker = _Walker(document)
    root = walker.field("", [_Part(document, "")], required=True, place="", chain=())
    return FormOutline(root=root, is_xml=False, left_out=tuple(walker.counted.left_out))


class _Walker:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.counted = FieldCount()
        self._document = document
        self._alone = _REF_ALONE.search(str(document.get("$schema", ""))) is not None
        self._anchors = dict(_anchors(document, ""))

    def field(self, name: str, parts: Sequence[_Part], *, required: bool, place: str, chain: tuple[str, ...]) -> Field:
        """Return the field of a place to which some schemas apply; ``chain`` are the references that led here."""
        applying, chain = self._applying(parts, chain, place)
        schemas = [part.schema for part in applying]
        alternatives = [each for schema in schemas if (each := _labelled(schema))]
        kind = _kind(schemas) or (FieldKind.CHOICE if alternatives else None)
        if kind is None:
            kind = self._kind_of_variants(applying, chain, place) or FieldKind.TEXT
        made = Field(
            name=name,
            kind=kind,
            title=_text(schemas, "title") or from_name(name),
            hint=_text(schemas, "description"),
            required=required,
            limits=_limits(schemas),
        )
        if kind is FieldKind.GROUP:
            return self._group(made, applying, place, chain)
        if kind is FieldKind.LIST:
            return self._list(made, applying, place, chain)
        return _leaf(made, schemas, alternatives)

    def _group(self, made: Field, applying: Sequence[_Part], place: str, chain: tuple[str, ...]) -> Field:
        group = _Group(place)
        self._gather(applying, group, chain, ())
        return replace(made, members=tuple(group.members), variants=tuple(group.forks))

    def _gather(
        self, applying: Sequence[_Part], group: _Group, chain: tuple[str, ...], within: tuple[tuple[str, int], ...]
    ) -> frozenset[str]:
        """Add the fields and forks of an object to which some schemas apply; returns the names that they require."""
        required = frozenset(name for part in applying for name in _names(part.schema, "required"))
        known = {one.name for one in group.members if not one.within or one.within == within[: len(one.within)]}
        for name, parts in _properties(applying).items():
            at = f"{group.place}/{escaped(name)}"
            # What the base declares is asked once; its variants' further limits are the judge's.
            if name in known or any(part.schema is False for part in parts):
                continue
            if self.counted.count(at.count("/"), at):
                needed = name in required and not within
                inner = self.field(name, parts, required=needed, place=at, chain=chain)
                group.members.append(replace(inner, within=within))
        for branch in (each for part in applying for each in self._branches(part)):
            self._fork(branch, group, chain, within)
        return required

    def _fork(
        self, branch: _Branch, group: _Group, chain: tuple[str, ...], within: tuple[tuple[str, int], ...]
    ) -> None:
        position = len(group.forks)
        key = f"{OWN}{position}"
        # It keeps its key, and outer forks come first.
        group.forks.append(Variants(key=key, labels=(), needs=()))
        decided_by = branch.decided_by
        variants = [self._applying(parts, chain, group.place) for parts in branch.parts]
        if decided_by is None:
            decided_by = self._discriminated([applying for applying, _ in variants], group.members, within)
        needs, marks = [], []
        for number, (applying, longer) in enumerate(variants):
            before = {member.name for member in group.members}
            required = self._gather(applying, group, longer, (*within, (key, number)))
            more = branch.needs[number] if branch.needs else frozenset[str]()
            needs.append(required | more)
            marks.append(frozenset(_properties(applying)) - before | required)
        # Variants are recognised by what no other has.
        own = [one - frozenset[str]().union(*(marks[:n] + marks[n + 1 :])) for n, one in enumerate(marks)]
        group.forks[position] = Variants(
            key=key,
            labels=tuple(_label(applying, number) for number, (applying, _) in enumerate(variants)),
            needs=tuple(needs),
            marks=tuple(own),
            decided_by=decided_by,
            required=branch.required,
            within=within,
        )

    def _discriminated(
        self, variants: Sequence[Sequence[_Part]], members: list[Field], within: tuple[tuple[str, int], ...]
    ) -> Callable[[Mapping[str, Any]], int | None] | None:
        """Return what tells the variant by the value of one member, which becomes a choice of all their values."""
        values: list[dict[str, list[Any]]] = [
            {
                name: found
                for name, parts in _properties(applying).items()
                if (found := _values([part.schema for part in parts])) is not None
            }
            for applying in variants
        ]
        for name in values[0] if values else ():
            if not all(name in each for each in values):
                continue
            said = [value for each in values for value in each[name]]
            if len(set(map(repr, said))) != len(said) or not all(isinstance(value, str | int) for value in said):
                continue
            if not any(member.name == name for member in members):
                titles = [_label(applying, number) for number, applying in enumerate(variants)]
                members.append(_deciding(name, [each[name] for each in values], titles, within))
            by_value = {repr(value): number for number, each in enumerate(values) for value in each[name]}
            return lambda answers, name=name, by_value=by_value: by_value.get(repr(answers.get(name)))  # type: ignore[misc]
        return None

    def _list(self, made: Field, applying: Sequence[_Part], place: str, chain: tuple[str, ...]) -> Field:
        items = [_Part(part.schema["items"], f"{part.pointer}/items") for part in applying if "items" in part.schema]
        tuples = any(isinstance(part.schema, list) for part in items) or any(
            "prefixItems" in p.schema for p in applying
        )
        at = f"{place}/{ITEM}"
        if tuples or not self.counted.count(at.count("/"), at):
            self.counted.leave_out(place)
            return replace(made, kind=FieldKind.GROUP)
        item = self.field(ITEM, items, required=True, place=at, chain=chain)
        bounds = [part.schema for part in applying]
        limits = dict(made.limits)
        contained = [value for schema in bounds for value in _values([schema.get("contains", {})]) or ()]
        if contained:
            limits["contains"] = contained[0]
        return replace(
            made,
            members=(item,),
            least=max((_count(schema, "minItems") or 0 for schema in bounds), default=0),
            most=min((most for schema in bounds if (most := _count(schema, "maxItems")) is not None), default=None),
            limits=limits,
        )

    def _kind_of_variants(self, applying: Sequence[_Part], chain: tuple[str, ...], place: str) -> FieldKind | None:
        """Return the kind of a place that only its variants describe."""
        for part in applying:
            for word in ("oneOf", "anyOf"):
                for number, each in enumerate(_list_of(part.schema, word)):
                    inner, _ = self._applying([_Part(each, f"{part.pointer}/{word}/{number}")], chain, place)
                    if kind := _kind([one.schema for one in inner]):
                        return kind
        return None

    def _branches(self, part: _Part) -> Iterator[_Branch]:
        schema, pointer = part
        for word in ("oneOf", "anyOf"):
            yield from self._alternatives(_list_of(schema, word), f"{pointer}/{word}")
        if "if" in schema and ("then" in schema or "else" in schema):
            yield _Branch(
                tuple(
                    (_Part(schema[word], f"{pointer}/{word}"),) if word in schema else () for word in ("else", "then")
                ),
                decided_by=self._decided_by_if(f"{pointer}/if"),
                required=False,
            )
        for word in ("dependentRequired", "dependentSchemas", "dependencies"):
            dependents = schema.get(word)
            for name, then in dependents.items() if isinstance(dependents, Mapping) else ():
                names = frozenset(map(str, then)) if isinstance(then, list) else frozenset[str]()
                parts = () if isinstance(then, list) else (_Part(then, f"{pointer}/{word}/{escaped(name)}"),)
                yield _Branch(((), parts), decided_by=_decided_by(name), required=False, needs=(frozenset(), names))

    def _alternatives(self, variants: Sequence[Any], pointer: str) -> Iterator[_Branch]:
        parts = [_Part(schema, f"{pointer}/{number}") for number, schema in enumerate(variants)]
        inner = [self._applying([part], (), "")[0] for part in parts]
        # Variants that only say which fields are required of those that are there anyway are the judge's.
        if len(parts) > 1 and any(_properties(applying) for applying in inner):
            yield _Branch(tuple((part,) for part in parts))

    def _decided_by_if(self, pointer: str) -> Callable[[Mapping[str, Any]], int | None]:
        @cache
        def validator() -> Any:
            address = id_of(self._document) or address_of(_NAME)
            condition = {
                "$schema": self._document.get("$schema", ""),
                "$ref": f"{address.removesuffix('#')}#{quote(pointer)}",
            }
            return compiled(condition, addresses(self._document, _NAME), name="if.schema.json")

        return lambda answers: int(bool(validator().is_valid(plain(answers))))

    def _applying(
        self, parts: Sequence[_Part], chain: tuple[str, ...], place: str
    ) -> tuple[list[_Part], tuple[str, ...]]:
        """Return all schemas that apply where some do, and the references followed on the way."""
        found: list[_Part] = []
        followed = list(chain)
        waiting = list(reversed(parts))
        while waiting and len(found) < _MOST_APPLYING:
            schema, pointer = waiting.pop()
            if not isinstance(schema, Mapping):
                continue
            reference = schema.get("$ref", schema.get("$dynamicRef", schema.get("$recursiveRef")))
            if isinstance(reference, str):
                target = self._target(reference)
                if target is None or target.pointer in followed:
                    self.counted.leave_out(place)
                else:
                    followed.append(target.pointer)
                    waiting.append(target)
                if self._alone:
                    continue
            found.append(_Part(schema, pointer))
            waiting += reversed(
                [_Part(each, f"{pointer}/allOf/{n}") for n, each in enumerate(_list_of(schema, "allOf"))]
            )
        return found, tuple(followed)

    def _target(self, reference: str) -> _Part | None:
        base, _, fragment = reference.partition("#")
        own = id_of(self._document) or ""
        if base and base != own.partition("#")[0]:
            return None
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        node: Any = self._document
        pointer = unquote(fragment)
        for token in pointer.split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            elif isinstance(node, Mapping) and name in node:
                node = node[name]
            else:
                return None
        return _Part(node, pointer)


def plain(answers: Any) -> Any:
    """Return answers as a document sees them: without what only the form asks, and without empty values."""
    if isinstance(answers, Mapping):
        return {name: plain(value) for name, value in answers.items() if not name.startswith(OWN) and is_given(value)}
    if isinstance(answers, list):
        return [plain(each) for each in answers]
    return answers


def _deciding(
    name: str, values: Sequence[Sequence[Any]], titles: Sequence[Text], within: tuple[tuple[str, int], ...]
) -> Field:
    """Return the choice of a variant by the values of one member; one that stands for a variant alone has its title."""
    choices = tuple(
        Choice(value=value, label=title if len(own) == 1 else from_name(str(value)))
        for own, title in zip(values, titles, strict=True)
        for value in own
    )
    return Field(
        name=name,
        kind=FieldKind.CHOICE,
        title=from_name(name),
        required=not within,
        choices=choices,
        within=within,
    )


def _anchors(node: Any, pointer: str, depth: int = 0) -> Iterator[tuple[str, _Part]]:
    if depth > 2 * DEEPEST:
        return
    if isinstance(node, Mapping):
        for word in ("$anchor", "$dynamicAnchor", "$id", "id"):
            name = node.get(word)
            if isinstance(name, str) and (word.endswith("nchor") or name.startswith("#")):
                yield name.lstrip("#"), _Part(node, pointer)
        for word, each in node.items():
            yield from _anchors(each, f"{pointer}/{escaped(str(word))}", depth + 1)
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from _anchors(each, f"{pointer}/{number}", depth + 1)


def _decided_by(name: str) -> Callable[[Mapping[str, Any]], int | None]:
    return lambda answers: int(is_given(answers.get(name)))


def _properties(applying: Sequence[_Part]) -> dict[str, list[_Part]]:
    found: dict[str, list[_Part]] = {}
    for schema, pointer in applying:
        properties = schema.get("properties")
        for name, each in properties.items() if isinstance(properties, Mapping) else ():
            found.setdefault(name, []).append(_Part(each, f"{pointer}/properties/{escaped(name)}"))
    return found


def _kind(schemas: Sequence[Any]) -> FieldKind | None:
    values = _values(schemas)
    if values is not None and all(isinstance(value, bool) for value in values):
        return FieldKind.BOOLEAN
    if values is not None and not any(isinstance(value, dict | list) for value in values):
        return FieldKind.FIXED if len(values) == 1 and any("const" in each for each in schemas) else FieldKind.CHOICE
    types = [each for schema in schemas for each in _types(schema)]
    kind = next((_TYPES[each] for each in types if each in _TYPES), None) or _kind_of_words(schemas)
    if kind is not FieldKind.TEXT:
        return kind
    formats = [_FORMATS[str(one.get("format"))] for one in schemas if str(one.get("format")) in _FORMATS]
    return formats[0] if formats else kind


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type")
    return [str(each) for each in (types if isinstance(types, list) else [types])]


def _kind_of_words(schemas: Sequence[Any]) -> FieldKind | None:
    """Return the kind of a place whose schemas name no type, by the words that they use."""
    words = frozenset[str]().union(*map(set, schemas))
    if "properties" in words:
        return FieldKind.GROUP
    if "items" in words:
        return FieldKind.LIST
    return FieldKind.TEXT if words & {"pattern", "minLength", "maxLength", "format"} else None


def _values(schemas: Sequence[Any]) -> list[Any] | None:
    """Return the values that all of some schemas allow by ``enum`` and ``const``; None where they do not say."""
    found: list[Any] | None = None
    for schema in schemas:
        if not isinstance(schema, Mapping) or not {"enum", "const"} & set(schema):
            continue
        said = [schema["const"]] if "const" in schema else _list_of(schema, "enum")
        found = [value for value in said if value is not None and (found is None or value in found)]
    return found or None


def _labelled(schema: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Return the choices of a schema that writes each as a variant with a ``const``, and often a title."""
    for word in ("oneOf", "anyOf"):
        variants = [each for each in _list_of(schema, word) if each != {"type": "null"}]
        if variants and all(isinstance(each, Mapping) and "const" in each for each in variants):
            return tuple(
                Choice(value=each["const"], label=_text([each], "title") or from_name(str(each["const"])))
                for each in variants
            )
    return ()


def _leaf(made: Field, schemas: Sequence[Any], alternatives: Sequence[tuple[Choice, ...]]) -> Field:
    values = _values(schemas)
    if made.kind is FieldKind.FIXED and values:
        return replace(made, value=values[0])
    if made.kind is FieldKind.BOOLEAN and values and len(values) == 1:
        return replace(made, value=values[0])
    if made.kind is not FieldKind.CHOICE:
        return made
    if values:
        return replace(made, choices=tuple(Choice(value=value, label=from_value(value)) for value in values))
    return replace(made, choices=alternatives[0]) if alternatives else replace(made, kind=FieldKind.TEXT)


def from_value(value: Any) -> Text:
    """Return a value as its own label."""
    return Text(str(value), str(value))


def _limits(schemas: Sequence[Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for schema in schemas:
        for word in _LIMITS:
            if word in schema:
                before = limits.get(word)
                limits[word] = schema[word] if before is None else _tighter(word, before, schema[word])
        if isinstance(schema.get("pattern"), str):
            limits["patterns"] = (*limits.get("patterns", ()), schema["pattern"])
    return limits


def _tighter(word: str, one: Any, other: Any) -> Any:
    if isinstance(one, bool) or not isinstance(one, int | float) or not isinstance(other, int | float):
        return other
    return max(one, other) if word.startswith(("min", "exclusiveMin")) else min(one, other)


def _text(schemas: Sequence[Any], word: str) -> Text | None:
    said = next((each[word] for each in schemas if isinstance(each.get(word), str) and each[word].strip()), None)
    return None if said is None else Text(said, said)


def _label(applying: Sequence[_Part], number: int) -> Text:
    title = _text([part.schema for part in applying], "title")
    if title is not None:
        return title
    names = [from_name(name) for part in applying for name in _names(part.schema, "required")]
    if names:
        return Text(", ".join(each.de for each in names), ", ".join(each.en for each in names))
    return Text(f"Möglichkeit {number + 1}", f"Option {number + 1}")


def _names(schema: Mapping[str, Any], word: str) -> list[str]:
    return [name for name in _list_of(schema, word) if isinstance(name, str)]


def _list_of(schema: Mapping[str, Any], word: str) -> list[Any]:
    found = schema.get(word)
    return found if isinstance(found, list) else []


def _count(schema: Mapping[str, Any], word: str) -> int | None:
    found = schema.get(word)
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
