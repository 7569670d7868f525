"""YAML without its surprises: no key twice in one mapping, no merge keys, no objects built from tags.

Of two equal keys most readers keep the last without a word, other languages' readers refuse the whole file, and merge keys
(``<<``) are a draft of YAML 1.1 that OpenAPI does not know. Whatever the hub ships or takes over stays readable for all.

Values are built from the parser's events as they come: the tree of nodes that the library would build first is several
times the document, and what it leaves behind stays with a process that reads its contract once.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

_MERGE = "tag:yaml.org,2002:merge"
#: What a mapping, a sequence may call itself; a scalar may be of any type that the safe loader knows.
_COLLECTIONS: dict[type[Any], str] = {
    yaml.MappingStartEvent: "tag:yaml.org,2002:map",
    yaml.SequenceStartEvent: "tag:yaml.org,2002:seq",
}
#: Mappings and sequences within each other; the deepest file of the hub's own has some twenty.
_DEEPEST = 100
#: Characters of a value that may stand often: types, names, references.
_WORD = 80


def load_yaml(content: bytes | str) -> Any:
    """Return the one document in ``content`` as plain values; None where there is none.

    Raises:
        yaml.YAMLError: it is not YAML, a mapping names a key twice (YAML 1.2.2, 3.2.1.1), it uses merge keys, or it is
            nested deeper than 100.
    """
    loader = yaml.CSafeLoader(content)
    try:
        return _Reader(loader).document()
    finally:
        loader.dispose()


class _Reader:
    """Builds the values of one document; ``loader`` gives its events and knows what a scalar's text means."""

    def __init__(self, loader: yaml.CSafeLoader) -> None:
        self._loader: Any = loader  # Its stubs know neither the C parser's events nor its marks.
        self._anchors: dict[str, Any] = {}
        self._depth = 0

    def document(self) -> Any:
        """Return the value of the one document."""
        self._loader.get_event()  # The stream's start.
        event = self._loader.get_event()
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(self._loader.get_event())
        self._loader.get_event()  # The document's end.
        event = self._loader.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _wrong("there is more than one document", event)
        return value

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _wrong(f"nothing is called {event.anchor!r} before", event)
            return self._anchors[event.anchor]
        value = _kept_once(self._scalar(event)[1]) if isinstance(event, yaml.ScalarEvent) else self._collection(event)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise _wrong(f"two values are called {event.anchor!r}", event)
            self._anchors[event.anchor] = value
        return value

    def _collection(self, event: Any) -> Any:
        if event.tag not in {None, "!", _COLLECTIONS[type(event)]}:
            raise _no_constructor(event.tag, event)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _wrong(f"it is nested deeper than {_DEEPEST}", event)
        value = self._mapping() if isinstance(event, yaml.MappingStartEvent) else self._sequence()
        self._depth -= 1
        return value

    def _sequence(self) -> list[Any]:
        values = []
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            values.append(self._value(event))
        return values

    def _mapping(self) -> dict[Hashable, Any]:
        values: dict[Hashable, Any] = {}
        seen: set[tuple[str, str]] = set()
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _wrong("a key must be a single value", event)
            tag, key = self._scalar(event)
            if tag == _MERGE:
                raise _wrong("merge keys are not allowed", event)
            # Two spellings of one key (``1`` and ``0x1``) are one key as well.
            if (tag, event.value) in seen or key in values:
                raise _wrong(f"the key {event.value!r} stands twice", event)
            seen.add((tag, event.value))
            # Names and short words stand hundreds of times in a contract: once in memory.
            values[sys.intern(key) if type(key) is str else key] = self._value(self._loader.get_event())
        return values

    def _scalar(self, event: Any) -> tuple[str, Any]:
        """Return the tag and the value of a scalar."""
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag == _MERGE:
            return tag, event.value
        construct = SafeConstructor.yaml_constructors.get(tag)
        if construct is None or tag in _COLLECTIONS.values():
            raise _no_constructor(tag, event)
        try:
            return tag, construct(self._loader, yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark))
        except (AttributeError, KeyError, ValueError) as error:  # What the library raises for a tag that does not fit.
            raise _wrong(f"the value is no {tag!r}", event) from error


def _kept_once(value: Any) -> Any:
    return sys.intern(value) if type(value) is str and len(value) <= _WORD else value


def _no_constructor(tag: str, event: Any) -> ConstructorError:
    return _wrong(f"could not determine a constructor for the tag {tag!r}", event)


def _wrong(problem: str, event: Any) -> ConstructorError:
    return ConstructorError(None, None, problem, event.start_mark)
