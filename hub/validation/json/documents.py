"""Reading JSON from strangers and judging it by a JSON Schema, strictly and offline.

orjson refuses what is not RFC 8259 (NaN, BOM, invalid UTF-8, lone surrogates, infinite numbers) but takes duplicate
names, rounds integers over 64 bits and allows a nesting of 1024. Those are found here without parsing twice in the usual
case: a document that repeats a name comes back from a round trip with fewer colons, and only long runs of digits can be
numbers too large. Where the quick look cannot tell, a slow second parse decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from typing import Any, NoReturn
from urllib.parse import quote, urljoin

import jsonschema_rs
import orjson

from hub.errors import ConfigurationError, Malformed, Text, TooLarge
from hub.validation.comparison import Outline, outline_of_json
from hub.validation.json.report import KnownNames, Token, first_repeated, is_harmless, pointer, violations_of
from hub.validation.report import MIB, Limits, Violation

_DRAFTS: Mapping[str, tuple[type[jsonschema_rs.Validator], int]] = {
    "http://json-schema.org/draft-04/schema": (jsonschema_rs.Draft4Validator, jsonschema_rs.Draft4),
    "http://json-schema.org/draft-06/schema": (jsonschema_rs.Draft6Validator, jsonschema_rs.Draft6),
    "http://json-schema.org/draft-07/schema": (jsonschema_rs.Draft7Validator, jsonschema_rs.Draft7),
    "https://json-schema.org/draft/2019-09/schema": (jsonschema_rs.Draft201909Validator, jsonschema_rs.Draft201909),
    "https://json-schema.org/draft/2020-12/schema": (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft202012),
}
_DRAFT_04 = "http://json-schema.org/draft-04/schema"
#: Documents of one package lie here for each other, wherever they were published.
_BASE = "https://package.invalid/"
#: What names another document in a schema (the core specifications of 04 to 2020-12).
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef", "$schema")
#: Every digit becomes 0, so that a long run of digits is one substring search.
_ZEROED = bytes.maketrans(b"123456789", b"000000000")
#: Up to 18 digits always fit a signed 64-bit integer.
_LONG_RUN = b"0" * 19
#: What may stand before the digits of a number: white space, structure, sign, point.
_BEFORE_DIGITS = frozenset(b" \t\r\n:,[-+.")
_EXPONENT = re.compile(rb".*[0-9.][eE]$", re.DOTALL)
_BOM = b"\xef\xbb\xbf"
_STRINGS_OF_BYTES = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
#: Backtracking steps of one pattern on one string; a linear-time engine is taken wherever the pattern allows.
_BACKTRACKING = 100_000
_PATTERN_BYTES = 10 * MIB


def read_json(data: bytes, limits: Limits) -> Any:
    """Read a document without trusting it.

    Raises:
        Malformed: It is not RFC 8259 JSON in UTF-8, or an object repeats a name.
        TooLarge: It is over a cap on size, values, nesting or the length of a number.
    """
    if len(data) > limits.json_bytes:
        raise TooLarge(_too_large(limits.json_bytes))
    require_few_values(data, limits.json_values)
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _unreadable(data, error, limits) from error
    try:
        again = orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        # orjson reads 1024 levels and writes 254.
        raise TooLarge(_too_deep(limits.json_depth)) from error
    escapes = b"\\" in data and b"\\u" in data
    repeats = escapes or data.count(b":") != again.count(b":")
    if repeats or _may_hold_long_number(data):
        _read_slowly(data, limits)
    return document


def require_few_values(data: bytes, most: int) -> None:
    """Refuse JSON, before anybody parses it, with more than ``most`` values: three bytes of text can take a hundred of memory.

    Raises:
        TooLarge: It has more.
    """
    if _values_of(data) > most and _values_of(_STRINGS_OF_BYTES.sub(b"0", data)) > most:
        raise TooLarge(_too_many(most))


class JsonSchema:
    """A JSON Schema that judges documents. Thread-safe; compiled when first needed."""

    def __init__(
        self, schema: Mapping[str, Any], *, resources: Callable[[], Iterable[tuple[str, Any]]], name: str = ""
    ) -> None:
        """Take a schema; ``resources`` gives every document that a ``$ref`` may reach, by its URI; ``name`` is its file."""
        self._schema = schema
        self._resources = resources
        self._name = name
        self._lock = Lock()
        self._validator: jsonschema_rs.Validator | None = None
        self._known: KnownNames | None = None

    def check(self, document: Any, data: bytes, limits: Limits) -> tuple[tuple[Violation, ...], int, tuple[Text, ...]]:
        """Judge a document that was read from ``data``; returns violations up to the cap, their total, and remarks.

        Of a document with more than ``limits.json_listed`` values the first violation alone is named and counted, and where
        that could take as long as all of them, none but that it is invalid.
        """
        validator = self._validator or self.compile()
        if validator.is_valid(document):
            return (), 0, ()
        if not _has_more_values(document, limits.json_listed):
            return *violations_of(validator.iter_errors(document), data, self.known(), limits), ()
        return *violations_of(self._first(validator, document), data, self.known(), limits), (_FIRST_ALONE,)

    def _first(self, validator: jsonschema_rs.Validator, document: Any) -> Iterator[Any]:
        """Yield the first error, unless the library would make all errors of some alternative to tell it."""
        if self.known().has_alternatives:
            return
        try:
            validator.validate(document)
        except jsonschema_rs.ValidationError as error:
            yield error

    def known(self) -> KnownNames:
        """Return the names that a report may say."""
        if self._known is None:
            own = addresses(self._schema, self._name)
            self._known = KnownNames.of(self._schema, [*self._resources(), *own])
        return self._known

    def outline(self) -> Outline:
        """Return what a sender sees of the schema."""
        return outline_of_json(self._schema, str(self._schema.get("title", "")))

    def compile(self) -> jsonschema_rs.Validator:
        """Compile now.

        Raises:
            ConfigurationError: The schema is wrong, of an unknown draft, or needs a document outside the catalogue.
        """
        with self._lock:
            if self._validator is None:
                self._validator = compiled(self._schema, self._resources(), name=self._name)
            return self._validator


def compiled(
    schema: Mapping[str, Any], resources: Iterable[tuple[str, Any]] = (), *, name: str = ""
) -> jsonschema_rs.Validator:
    """Compile a schema with formats on, references inside ``resources`` only, and bounded patterns.

    ``name`` is its file, against which references are relative where the schema says nothing else.

    Raises:
        ConfigurationError: It is wrong, of an unknown draft, or needs a document outside ``resources``.
    """
    # What it refers to may refer back to it.
    documents = [*resources, *addresses(schema, name)]
    draft = _draft(schema, dict(documents))
    said = id_of(schema) or name or "?"
    if draft is None:
        raise _no_draft(said)
    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKING, size_limit=_PATTERN_BYTES)
    try:
        validator, number = draft
        registry = jsonschema_rs.Registry(documents, draft=number, retriever=_refuse_retrieval)
        return validator(
            dict(schema),
            validate_formats=True,
            registry=registry,
            retriever=_refuse_retrieval,
            pattern_options=options,
            base_uri=address_of(name),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ConfigurationError(
            Text(f"Das Schema {said} ist unbrauchbar: {error}", f"The schema {said} cannot be used: {error}")
        ) from error


def _no_draft(said: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{said}: $schema nennt keinen der Entwürfe draft-04, 06, 07, 2019-09 oder 2020-12.",
            f"{said}: $schema names none of the drafts draft-04, 06, 07, 2019-09 and 2020-12.",
        )
    )


def address_of(name: str) -> str:
    """Return where a file of a package lies for the references of its other files: a URI, whatever its name is."""
    return _BASE + quote(name)


def id_of(schema: Mapping[str, Any]) -> str | None:
    """Return what a schema calls itself: ``$id``, or ``id`` in draft-04."""
    found = schema.get("id" if _plain(str(schema.get("$schema", ""))) == _DRAFT_04 else "$id")
    return found if isinstance(found, str) and found else None


def addresses(schema: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield the addresses under which a file of a package is known: where it lies, and what it calls itself."""
    yield address_of(name), schema
    called = id_of(schema)
    if called is not None:
        yield urljoin(address_of(name), called).removesuffix("#"), schema


def reached(name: str, documents: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the files that a schema file of a package reaches by its references, itself included, sorted."""
    named = {address: each for each, schema in documents.items() for address, _ in addresses(schema, each)}
    met, waiting = {name}, [name]
    while waiting:
        current = waiting.pop()
        for address in _references(documents[current], address_of(current)):
            found = named.get(address.partition("#")[0])
            if found is not None and found not in met:
                met.add(found)
                waiting.append(found)
    return tuple(sorted(met))


def _references(schema: Mapping[str, Any], base: str) -> Iterator[str]:
    """Yield the absolute addresses that a schema refers to; ``$id`` of a part changes what its own are relative to."""
    waiting: list[tuple[Any, str]] = [(schema, base)]
    while waiting:
        node, base = waiting.pop()
        if isinstance(node, list):
            waiting.extend((each, base) for each in node)
        elif isinstance(node, Mapping):
            for key in ("id", "$id"):
                if isinstance(node.get(key), str):
                    base = urljoin(base, node[key])
            for key in _REFERENCES:
                if isinstance(node.get(key), str):
                    yield urljoin(base, node[key])
            waiting.extend((each, base) for each in node.values())


def runs_linearly(pattern: str) -> bool:
    """Whether a pattern is run without backtracking, so that no text takes long: it has no look-around or back reference."""
    try:
        jsonschema_rs.Draft7Validator(
            {"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES)
        )
    except (ValueError, jsonschema_rs.ValidationError):
        return False
    return True


def _draft(schema: Mapping[str, Any], documents: Mapping[str, Any]) -> tuple[type[jsonschema_rs.Validator], int] | None:
    """Return the draft that a schema, or the dialect that it names in turn, is written in."""
    dialect = str(schema.get("$schema", ""))
    for _ in range(len(documents) + 1):
        if (draft := _DRAFTS.get(_plain(dialect))) is not None:
            return draft
        metaschema = documents.get(dialect)
        dialect = str(metaschema.get("$schema", "")) if isinstance(metaschema, Mapping) else ""
    return None


def _plain(dialect: str) -> str:
    """Return the name of a draft as its own metaschema has it; many write https for http, and the other way round."""
    name = dialect.removesuffix("#")
    secure, plain = f"https://{name.partition('://')[2]}", f"http://{name.partition('://')[2]}"
    return next((each for each in (secure, plain) if each in _DRAFTS), name)


def _refuse_retrieval(uri: str) -> NoReturn:
    raise LookupError(f"{uri} is outside the catalogue")


def _may_hold_long_number(data: bytes) -> bool:
    """Whether a long run of digits stands where a number could; an IBAN in a text does not."""
    zeroed = data.translate(_ZEROED)
    found = zeroed.find(_LONG_RUN)
    while found >= 0:
        if found == 0 or data[found - 1] in _BEFORE_DIGITS or _EXPONENT.match(data, max(found - 3, 0), found):
            return True
        found = zeroed.find(_LONG_RUN, found + len(_LONG_RUN))
    return False


class _RepeatedNameError(ValueError):
    """An object repeats a name."""


class _LongNumberError(ValueError):
    """A number has too many characters, or an integer does not fit 64 bits."""


def _read_slowly(data: bytes, limits: Limits) -> None:
    def members(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            raise _RepeatedNameError

    def integer(digits: str) -> int:
        if len(digits) > limits.json_number or not -(2**63) <= int(digits) < 2**64:
            raise _LongNumberError
        return 0

    def real(digits: str) -> float:
        if len(digits) > limits.json_number:
            raise _LongNumberError
        return 0.0

    try:
        json.loads(data, object_pairs_hook=members, parse_int=integer, parse_float=real)
    except _RepeatedNameError as error:
        raise repeated(data) from error
    except _LongNumberError as error:
        raise TooLarge(_NUMBER) from error


def repeated(data: bytes) -> Malformed:
    """Return the refusal of a document that repeats a name; what of the place is not an identifier is left out."""
    found = first_repeated(data)
    if found is None:
        return Malformed(_REPEATED)
    shown = next((n for n, token in enumerate(found.path) if not _may_be_said(token)), len(found.path))
    path = pointer(found.path[:shown])
    name = (f" „{found.name}“", f" '{found.name}'") if is_harmless(found.name) else ("", "")
    place = (f" im Objekt {path}", f" in the object {path}") if path else ("", "")
    return Malformed(
        Text(
            f"Ein Objekt nennt denselben Feldnamen{name[0]} zweimal (Zeile {found.line}, Spalte {found.column}{place[0]}). "
            "Nennen Sie jedes Feld nur einmal.",
            f"An object repeats a field name{name[1]} (line {found.line}, column {found.column}{place[1]}). "
            "Name each field only once.",
        ),
        line=found.line,
        column=found.column,
        path=path,
    )


def _may_be_said(token: Token) -> bool:
    return isinstance(token, int) or is_harmless(token)


def _depth_at(data: bytes, position: int) -> int:
    """Return how many arrays and objects are open before a character."""
    before = _STRINGS.sub("", data.decode("utf-8", "replace")[:position])
    return before.count("[") + before.count("{") - before.count("]") - before.count("}")


def _unreadable(data: bytes, error: orjson.JSONDecodeError, limits: Limits) -> Malformed | TooLarge:
    if data.startswith(_BOM):
        return Malformed(_BYTE_ORDER_MARK)
    if (foreign := _first_foreign_byte(data)) is not None:
        return _no_utf8(data, foreign)
    if error.pos > limits.json_depth and _depth_at(data, error.pos) > limits.json_depth:
        # orjson gives up at 1024 levels; a document that deep is too deep, whatever else is wrong with it.
        return TooLarge(_too_deep(limits.json_depth))
    return Malformed(
        Text(
            f"Das Dokument ist kein gültiges JSON (RFC 8259, UTF-8): Fehler in Zeile {error.lineno}, "
            f"Spalte {error.colno}. Prüfen Sie diese Stelle; NaN, Infinity, Kommentare und halbe Surrogatpaare sind kein JSON.",
            f"The document is not valid JSON (RFC 8259, UTF-8): error in line {error.lineno}, column {error.colno}. "
            "Check that place; NaN, Infinity, comments and half surrogate pairs are not JSON.",
        ),
        line=error.lineno,
        column=error.colno,
    )


def _first_foreign_byte(data: bytes) -> int | None:
    """Return where the first bytes stand that are no UTF-8; orjson tells of them as of a fault in line 1, column 1."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def _no_utf8(data: bytes, position: int) -> Malformed:
    line = data.count(b"\n", 0, position) + 1
    column = len(data[data.rfind(b"\n", 0, position) + 1 : position].decode("utf-8")) + 1
    return Malformed(
        Text(
            f"Das Dokument ist kein UTF-8 (RFC 8259, Abschnitt 8.1): Zeile {line}, Spalte {column} hält ein Byte, das dort "
            "nicht stehen kann. Speichern und senden Sie es als UTF-8.",
            f"The document is not UTF-8 (RFC 8259, section 8.1): line {line}, column {column} holds a byte that cannot stand "
            "there. Save and send it as UTF-8.",
        ),
        line=line,
        column=column,
    )


def _too_large(limit: int) -> Text:
    return Text(
        f"Das Dokument ist größer als {limit // MIB} MiB. Senden Sie große Inhalte als Anlage.",
        f"The document is larger than {limit // MIB} MiB. Send large contents as attachments.",
    )


def _too_many(values: int) -> Text:
    return Text(
        f"Das Dokument hat mehr als {values} Werte. Senden Sie große Inhalte als Anlage.",
        f"The document has more than {values} values. Send large contents as attachments.",
    )


def _too_deep(depth: int) -> Text:
    return Text(
        f"Das JSON ist tiefer als {depth} Ebenen geschachtelt. Senden Sie es flacher.",
        f"The JSON is nested deeper than {depth} levels. Send it flatter.",
    )


def _values_of(data: bytes) -> int:
    """Return at least how many values a document has: one more than commas and openings, those within texts included."""
    return 1 + data.count(b",") + data.count(b"[") + data.count(b"{")


def _has_more_values(document: Any, most: int) -> bool:
    """Whether a document holds more than ``most`` values, containers included."""
    waiting, seen = [document], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if isinstance(node, dict | list):
            if seen + len(waiting) + len(node) > most:
                return True
            waiting.extend(node.values() if isinstance(node, dict) else node)
    return seen > most


_FIRST_ALONE = Text(
    "Das Dokument hat so viele Werte, dass seine Verstöße nicht alle aufgeführt werden. Beheben Sie den ersten, oder prüfen "
    "Sie ein kleineres Dokument derselben Art.",
    "The document has so many values that its violations are not all listed. Mend the first, or check a smaller document of "
    "the same kind.",
)
_REPEATED = Text(
    "Ein Objekt des Dokuments nennt denselben Feldnamen zweimal. Nennen Sie jedes Feld nur einmal.",
    "An object of the document repeats a field name. Name each field only once.",
)
_NUMBER = Text(
    "Das Dokument enthält eine Zahl mit zu vielen Stellen: Ganzzahlen müssen in 64 Bit passen, andere Zahlen höchstens "
    "100 Zeichen haben. Senden Sie lange Kennungen als Text.",
    "The document holds a number with too many digits: integers must fit 64 bits, other numbers have at most 100 "
    "characters. Send long identifiers as text.",
)
_BYTE_ORDER_MARK = Text(
    "Das Dokument beginnt mit einer Byte-Order-Mark. Senden Sie UTF-8 ohne BOM (RFC 8259, Abschnitt 8.1).",
    "The document starts with a byte order mark. Send UTF-8 without a BOM (RFC 8259, section 8.1).",
)
