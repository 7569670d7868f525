"""The table of places that need a second look (:mod:`hub.validation.xml.places`), as it follows from a schema's components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from hub.validation.xml.components import Complex, Components, Declared, Simple, Use
from hub.validation.xml.declarations import XS, Locate, Tree
from hub.validation.xml.keys import nil_fields
from hub.validation.xml.places import (
    CODE,
    FORMS,
    LAX,
    LIST_URI,
    LIST_VERSION,
    LOOKED_AT,
    NUMBER,
    SKIP,
    Coded,
    Fixed,
    PlaceTable,
    PlaceTables,
    PlaceType,
    Wild,
)
from hub.validation.xml.values import INTEGERS, ValueKind


def derive_tables(files: Iterable[str], tree: Tree, locate: Locate, *, whole: bool = False) -> PlaceTables:
    """Return the tables of schema files: one for all, unless two of them mean different things by one name.

    ``whole`` tables know every type, for documents that choose simple types by xsi:type.
    """
    files = tuple(files)
    together = Components(files, tree, locate)
    if not together.conflicts:
        return dict.fromkeys(files, derive_table(together, whole=whole))
    return {name: derive_table(Components((name,), tree, locate), whole=whole) for name in files}


def derive_table(components: Components, *, whole: bool = False) -> PlaceTable:
    """Return the table for documents of a schema."""
    derivation = _Derivation(components.attributes(), keyed=components.keyed, nil_fields=nil_fields(components))
    roots = {declared.tag: derivation.key_of(declared) for declared in components.elements()}
    named = {name: derivation.key_of_type(kind) for name, kind in components.types()}
    if whole:
        named |= {f"{XS}{name}": derivation.key_of_type(components.builtin(name)) for name in LOOKED_AT}
    return derivation.table(roots, named, keyed=components.keyed, whole=whole)


class _State(NamedTuple):
    """What a walk carries along: a type, and of an element of it what it is fixed to.

    ``filled`` is what it stands for where it is empty, ``nil_field`` says that it may be nil and is a key's field.
    """

    kind: Simple | Complex
    fixed: str | None = None
    filled: str | None = None
    nil_field: bool = False

    @property
    def key(self) -> tuple[int, str | None, str | None, bool]:
        """What tells it from others."""
        return id(self.kind), self.fixed, self.filled, self.nil_field


class _Derivation:
    """The states that documents of a schema can lead to."""

    def __init__(self, attributes: Mapping[str, Use], *, keyed: bool, nil_fields: frozenset[Any]) -> None:
        self._attributes = attributes
        self._keyed = keyed
        self._nil_fields = nil_fields
        self._keys: dict[tuple[int, str | None, str | None, bool], str] = {}
        self._states: list[_State] = []
        self._named: list[tuple[str, Complex]] = []

    def key_of(self, declared: Declared) -> str:
        """Return the key of an element's state, and enter all that it reaches."""
        return self._entered(self._state_of(declared))

    def key_of_type(self, kind: Simple | Complex) -> str:
        """Return the key of a named type, and enter all that it reaches."""
        key = self._entered(_State(kind))
        if isinstance(kind, Complex):
            self._named.append((key, kind))
        return key

    def table(self, roots: Mapping[str, str], named: Mapping[str, str], *, keyed: bool, whole: bool) -> PlaceTable:
        """Return only what leads to a place of interest, unless the ``whole`` is wanted."""
        places = {self._keys[state.key]: self._place(state) for state in self._states}
        wanted = set(places) if whole else _leading(_reached(places, roots, named), list(self._derivations()))
        short = {key: f"t{number}" for number, key in enumerate(key for key in places if key in wanted)}
        wild = any(places[key].wild is not None for key in short)
        return PlaceTable(
            types={
                short[key]: replace(
                    places[key],
                    children={tag: short[child] for tag, child in places[key].children.items() if child in short},
                )
                for key in short
            },
            roots={tag: short[key] for tag, key in roots.items() if key in short},
            # A type that leads nowhere must be known too: xsi:type may choose it instead of one that does.
            named={name: short.get(key, "") for name, key in named.items()} if short else {},
            keyed=keyed,
            sure=_sure(places, roots),
            globals=frozenset(roots) if wild else frozenset(),
            global_attributes=frozenset(self._attributes) if wild else frozenset(),
            anything=short.get(named[_ANY_TYPE], ""),
            apart=self._apart(short),
        )

    def _apart(self, short: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
        """Return by type of which of the schema's namespaces its wildcards let in nothing that goes unjudged."""
        complex_ones = {self._keys[each.key]: each.kind for each in self._states if isinstance(each.kind, Complex)}
        declared = {tag.rpartition("}")[0][1:] for kind in complex_ones.values() for tag in kind.children} | {""}
        apart = {
            short[key]: frozenset(each for each in declared if not kind.lets_in.holds(each))
            for key, kind in complex_ones.items()
            if key in short and kind.loose
        }
        return {key: held for key, held in apart.items() if held}

    def _entered(self, first: _State) -> str:
        waiting = [first]
        while waiting:
            state = waiting.pop()
            if state.key in self._keys:
                continue
            self._keys[state.key] = str(len(self._keys))
            self._states.append(state)
            if isinstance(state.kind, Complex):
                waiting += map(self._state_of, state.kind.children.values())
        return self._keys[first.key]

    def _state_of(self, declared: Declared) -> _State:
        kind = declared.type()
        simple = kind if isinstance(kind, Simple) else kind.simple
        # Of other types an empty element is judged as any.
        anew = simple is not None and (simple.identifier is not None or _value_of(simple.kind) is not None)
        filled = declared.default if declared.fixed is None else declared.fixed
        return _State(kind, declared.fixed, filled if anew else None, nil_field=declared.node in self._nil_fields)

    def _derivations(self) -> Iterator[tuple[str, str]]:
        """Yield pairs of a named type and a state of a type that it is derived from: xsi:type may put the first there."""
        states: dict[int, list[str]] = {}
        for state in self._states:
            states.setdefault(id(state.kind), []).append(self._keys[state.key])
        for key, kind in self._named:
            base = kind.base
            while base is not None:
                yield from ((key, other) for other in states.get(id(base), ()))
                base = base.base if isinstance(base, Complex) else None

    def _place(self, state: _State) -> PlaceType:
        kind, fixed = state.kind, state.fixed
        if isinstance(kind, Simple):
            return PlaceType(
                text=kind.identifier,
                form=self._form_of(kind.kind),
                fixed=_fixed(fixed, kind.kind),
                value=_value_of(kind.kind),
                filled=state.filled,
                nil_field=state.nil_field,
            )
        simple = kind.simple
        value = simple.kind if simple is not None else _TEXT
        judged = kind.attribute_wildcard not in ("", SKIP)
        uses = {**self._attributes, **kind.attributes} if judged else kind.attributes
        return PlaceType(
            text=simple.identifier if simple is not None else None,
            form=self._form_of(simple.kind) if simple is not None else None,
            fixed=_fixed(fixed, value, mixed=simple is None),
            coded=_coded(kind),
            open=kind.open,
            wild=_wild(kind),
            content=kind.content() if kind.counted else None,
            value=_value_of(simple.kind) if simple is not None else None,
            values={name: kind_of for name, use in uses.items() if (kind_of := _value_of(use.type.kind)) is not None},
            attributes={name: use.type.identifier for name, use in uses.items() if use.type.identifier},
            forms={name: form for name, use in uses.items() if (form := self._form_of(use.type.kind))},
            fixed_attributes={
                name: Fixed(value=fixed, kind=use.type.kind)
                for name, use in uses.items()
                if (fixed := _fixed_anew(use)) is not None
            },
            filled=state.filled,
            nil_field=state.nil_field,
            children={tag: self._keys[self._state_of(child).key] for tag, child in kind.children.items()},
        )

    def _form_of(self, kind: ValueKind) -> str | None:
        if self._keyed and (kind.name == NUMBER or kind.name in INTEGERS):
            return NUMBER
        if kind.name == "list" and kind.parts[0].name in FORMS:
            return f"{kind.parts[0].name}*"
        return kind.name if kind.name in FORMS else None


_TEXT = ValueKind(name="string", space="preserve")
_ANY_TYPE = f"{XS}anyType"


def _wild(kind: Complex) -> Wild | None:
    attributes = kind.attribute_wildcard if kind.attribute_wildcard in (LAX, SKIP) else ""
    if not kind.loose and not attributes:
        return None
    return Wild(
        elements=kind.loose,
        attributes=attributes,
        children=frozenset(kind.children) if kind.loose else frozenset(),
        uses=frozenset(kind.attributes) if attributes else frozenset(),
    )


def _value_of(kind: ValueKind) -> ValueKind | None:
    return kind if kind.misjudged or kind.chooses_identifiers else None


def _fixed(value: str | None, kind: ValueKind, *, mixed: bool = False) -> Fixed | None:
    # Texts that keep their white space are compared as libxml2 compares all.
    if value is None or (kind.name == "string" and kind.space == "preserve" and not mixed):
        return None
    return Fixed(value=value, kind=kind, mixed=mixed)


def _fixed_anew(use: Use) -> str | None:
    """Return what an attribute is fixed to, where libxml2 does not look or takes an empty list for whichever."""
    return use.fixed if use.type.kind.may_be_list else use.fixed_here


def _coded(kind: Complex) -> Coded | None:
    uri, version = kind.attributes.get(LIST_URI), kind.attributes.get(LIST_VERSION)
    code = next((child for tag, child in kind.children.items() if tag.rpartition("}")[2] == CODE), None)
    if uri is None or code is None:
        return None
    of_code = code.type()
    simple = of_code if isinstance(of_code, Simple) else of_code.simple
    return Coded(
        uri=uri.fixed or uri.default,
        version=None if version is None else version.fixed or version.default,
        enumerated=simple is not None and simple.enumerated,
    )


def _sure(places: Mapping[str, PlaceType], roots: Mapping[str, str]) -> frozenset[str]:
    """Return the names of elements that hold a code of one kind in every type."""
    found: dict[str, set[Coded | None]] = {}
    for tag, key in roots.items():
        found.setdefault(tag, set()).add(places[key].coded)
    for place in places.values():
        for tag, key in place.children.items():
            found.setdefault(tag, set()).add(places[key].coded)
    return frozenset(tag for tag, kinds in found.items() if len(kinds) == 1 and None not in kinds)


def _reached(
    places: Mapping[str, PlaceType], roots: Mapping[str, str], named: Mapping[str, str]
) -> Mapping[str, PlaceType]:
    """Return the places without the type of all types, if no element has it and no wildcard lets one in that could."""
    anything = named[_ANY_TYPE]
    others = {key: place for key, place in places.items() if key != anything}
    known = anything in roots.values() or any(anything in place.children.values() for place in others.values())
    lets_in = any(place.wild is not None and place.wild.elements == LAX for place in others.values())
    return places if known or lets_in else others


def _leading(places: Mapping[str, PlaceType], derivations: list[tuple[str, str]]) -> set[str]:
    """Return the keys of types from which a place of interest can be reached, by children or by xsi:type."""
    before: dict[str, set[str]] = {}
    for key, place in places.items():
        for child in place.children.values():
            before.setdefault(child, set()).add(key)
    for key, base in derivations:
        before.setdefault(key, set()).add(base)
    wanted = {key for key, place in places.items() if place.matters}
    if wanted:
        wanted |= {key for key, place in places.items() if place.open}
    waiting = list(wanted)
    while waiting:
        for key in before.get(waiting.pop(), ()):
            if key not in wanted:
                wanted.add(key)
                waiting.append(key)
    return wanted
