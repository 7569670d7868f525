"""Requests and answers against the contract, and strict readers of small bodies.

Requests and answers against the contract: jsonschema-rs in the places where connexion would use python's jsonschema.

OpenAPI 3.0 speaks a dialect of JSON Schema draft 4 (its ``nullable``, its read- and write-only members); schemas are
translated once and compiled once. No reference is ever fetched, patterns run in linear time, and what a violation says
is built from the rule, so that no value of a request stands in an answer or a log.

Small bodies, read so strictly that every reader would understand them the same way.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import jsonschema_rs
import orjson
from connexion.uri_parsing import OpenAPIURIParser
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import Message, Receive, Scope

from hub.admission import Reservation
from hub.api.guards import RequestLimits, arrival
from hub.errors import ConfigurationError, Malformed, Text
from hub.validation.json.documents import repeated, require_few_values

#: A schema with this member is not read at the edge: the handler takes the body as a stream.
STREAM = "x-stream"

#: Where unknown query names are refused. FIT-Connect's own paths ignore them (its section 3).
_STRICT_PATHS = "/hub/"
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MAX_SCHEMA_DEPTH = 60
_MAX_VIOLATIONS = 50
#: A body that is read whole is held, parsed and taken apart; each step holds it once more.
_COPIES = 3
#: Members that are none of a direction's business (OpenAPI 3.0, Schema Object).
_HIDDEN_IN = {"request": "readOnly", "response": "writeOnly"}
_SUBSCHEMAS = ("items", "not", "additionalProperties")
_SUBSCHEMA_LISTS = ("allOf", "anyOf", "oneOf")
#: What people are told that a schema wants, in the place of its pattern: German, then English.
EXPECTED = "x-expected"
#: What stands between the German and the English of it.
_BETWEEN = " / "
#: Assertions of draft 4 that pass through as they are; everything else in a schema is for people or for tools.
_ASSERTIONS = (
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
)
_RULE_TEXTS: Mapping[str, Text] = {
    "additionalProperties": Text(
        "Dieses Objekt hat ein Element, das es nicht gibt. „expected“ nennt die erlaubten.",
        "This object has a member that does not exist. 'expected' names those that are allowed.",
    ),
    "enum": Text("Der Wert ist keiner der erlaubten.", "The value is none of those allowed."),
    "format": Text("Der Wert hat nicht das verlangte Format.", "The value does not have the required format."),
    "pattern": Text("Der Wert hat nicht die verlangte Form.", "The value does not have the required form."),
    "required": Text("Eine Pflichtangabe fehlt.", "A required member is missing."),
    "type": Text("Der Wert hat den falschen Typ.", "The value is of the wrong type."),
    "unknown": Text(
        "Diesen Parameter gibt es hier nicht. „expected“ nennt die erlaubten.",
        "There is no such parameter here. 'expected' names those that are allowed.",
    ),
}
_OTHER_RULE = Text("Der Wert verletzt diese Regel.", "The value breaks this rule.")


class BrokenContractError(Exception):
    """An answer of ours does not keep the contract: a bug, told to the log by rules and places only."""


class ContractSchema:
    """A schema of the contract, ready to judge. Thread-safe."""

    def __init__(self, draft4: bytes) -> None:
        self._draft4 = draft4
        self._compiled()  # A bad one stops the start.

    @cached_property
    def _validator(self) -> jsonschema_rs.Draft4Validator:
        """What judges, kept once it was asked: most processes are asked few of the contract's operations."""
        return self._compiled()

    def _compiled(self) -> jsonschema_rs.Draft4Validator:
        try:
            return jsonschema_rs.Draft4Validator(
                orjson.loads(self._draft4),
                formats={"uuid": _is_uuid},
                validate_formats=True,
                retriever=_refuse_reference,
                pattern_options=jsonschema_rs.RegexOptions(),
            )
        except (jsonschema_rs.ValidationError, ValueError) as error:
            raise _unusable() from error

    def is_valid(self, document: Any) -> bool:
        """Tell whether ``document`` keeps the schema."""
        return self._validator.is_valid(document)

    def broken(self, document: Any, path_kind: str, path: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the violations of ``document``; with ``path``, all of them are of that place."""
        for error in self._validator.iter_errors(document):
            yield violation(_rule(error), _pointer(error) if path is None else path, path_kind, self._expected(error))

    def _expected(self, error: jsonschema_rs.ValidationError) -> str | None:
        """Return what the schema asks for, as one line; it comes from the contract alone."""
        holder = orjson.loads(self._draft4)
        for step in error.schema_path[:-1]:
            holder = holder[step]
        if _rule(error) == "additionalProperties":
            return ", ".join(sorted(holder.get("properties", ()))) or None
        facts = error.kind.as_dict()
        if "pattern" in facts:
            said: str | None = holder.get(EXPECTED)
            return said
        for name in ("property", "format", "limit", "options", "types", "multiple_of"):
            if name in facts:
                wanted = facts[name]
                return ", ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parameter:
    place: str
    name: str
    required: bool
    schema: ContractSchema


class _UriParser(OpenAPIURIParser):  # type: ignore[misc]  # connexion has no types
    """connexion's parser, with what it works out for each value worked out once."""

    @cached_property
    def param_schemas(self) -> dict[str, Any]:
        """Return the schema of each parameter by name."""
        return {name: parameter.get("schema", {}) for name, parameter in self.param_defns.items()}


class Parameters:
    """The parameters of one operation: read, typed and checked. Names are the contract's, so a violation may tell them."""

    def __init__(self, parameters: list[dict[str, Any]]) -> None:
        self._parameters = tuple(_compiled_parameters(parameters))
        self._parser = _UriParser(parameters, {})
        self._places = {parameter.place for parameter in self._parameters}
        self._query_names = [parameter.name for parameter in self._parameters if parameter.place == "query"]
        self._defaults = {
            each["name"]: each["schema"]["default"]
            for each in parameters
            if each["in"] == "query" and "default" in each["schema"]
        }

    def read(self, scope: Scope) -> dict[str, Any]:
        """Return path and query parameters by name, defaults included; raise :class:`Malformed` with every violation."""
        query: dict[str, Any] = self._parser.resolve_query(_listed(arrival(scope).query))
        path: dict[str, Any] = self._parser.resolve_path(scope["path_params"])
        given: dict[str, Mapping[str, Any]] = {"query": query, "path": path}
        if not self._places <= given.keys():
            given |= _from_headers(scope)
        found = [violation for parameter in self._parameters for violation in _judged(parameter, given)]
        if scope["path"].startswith(_STRICT_PATHS) and not query.keys() <= set(self._query_names):
            found.append(violation("unknown", "query", "parameter", ", ".join(self._query_names) or None))
        if found:
            raise schema_violation(*found)
        return {**self._defaults, **query, **path}


class Body:
    """Reads small bodies whole, with or without Content-Length, and checks them."""

    def __init__(self, parse: Callable[[bytes], Any], schema: ContractSchema, *, required: bool) -> None:
        self._parse = parse
        self._schema = schema
        self._required = required

    async def read(self, receive: Receive) -> tuple[Any, Receive]:
        """Return the document, and a ``receive`` that plays the body again; raise :class:`Malformed` with every violation."""
        body = await _read(receive)
        document = None
        if body:
            document = self._parse(body)
            found = violations(self._schema, document)
            if found:
                raise schema_violation(*found)
        elif self._required:
            raise body_required()
        return document, _replayed(body, receive)


def compiled(schema: Mapping[str, Any], direction: str) -> ContractSchema:
    """Translate and compile a schema of the contract, references resolved, for a ``request`` or a ``response``.

    Raises:
        ConfigurationError: it is recursive, or no valid schema.
    """
    return _compiled(orjson.dumps(_draft4(schema, direction, 0)))


#: Schemas of one contract that are compiled once each: most parameters and answers are alike.
_ALIKE = 1_000


_compiled = lru_cache(_ALIKE)(ContractSchema)


def violations(schema: ContractSchema, document: Any) -> list[dict[str, Any]]:
    """Return the violations of ``document``, none of which repeats a value or a name that the sender chose."""
    if schema.is_valid(document):
        return []
    return list(islice(schema.broken(document, "json-pointer"), _MAX_VIOLATIONS))


def _draft4(schema: Mapping[str, Any], direction: str, depth: int) -> dict[str, Any]:
    if depth > _MAX_SCHEMA_DEPTH:
        raise _unusable()
    if direction == "response" and schema.get("writeOnly"):
        return {"not": {}}
    plain: dict[str, Any] = {name: schema[name] for name in (*_ASSERTIONS, EXPECTED) if name in schema}
    for name in _SUBSCHEMAS:
        if name in schema:
            inner = schema[name]
            plain[name] = _draft4(inner, direction, depth + 1) if isinstance(inner, Mapping) else inner
    for name in _SUBSCHEMA_LISTS:
        if name in schema:
            plain[name] = [_draft4(inner, direction, depth + 1) for inner in schema[name]]
    if "properties" in schema:
        plain["properties"] = {
            name: _draft4(inner, direction, depth + 1) for name, inner in schema["properties"].items()
        }
    _drop_hidden(plain, schema, direction)
    return _nullable(plain) if schema.get("nullable") else plain


def _drop_hidden(plain: dict[str, Any], schema: Mapping[str, Any], direction: str) -> None:
    hidden = {name for name, inner in schema.get("properties", {}).items() if inner.get(_HIDDEN_IN[direction])}
    if hidden & set(schema.get("required", ())):
        plain["required"] = [name for name in schema["required"] if name not in hidden]
        if not plain["required"]:
            del plain["required"]


def _nullable(plain: dict[str, Any]) -> dict[str, Any]:
    if "enum" in plain:
        plain["enum"] = [*plain["enum"], None]
    # Beside other schemas that would have to hold, too, a type that allows null would not let it through.
    if "type" in plain and not {"allOf", "anyOf", "oneOf", "not"} & plain.keys():
        return {**plain, "type": [plain["type"], "null"]}
    return {"anyOf": [{"type": "null"}, plain]}


def _compiled_parameters(parameters: list[dict[str, Any]]) -> Iterator[_Parameter]:
    for parameter in parameters:
        yield _Parameter(
            place=parameter["in"],
            name=parameter["name"],
            required=parameter.get("required", False),
            schema=compiled(parameter["schema"], "request"),
        )


def _judged(parameter: _Parameter, given: Mapping[str, Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    path = f"{parameter.place}/{parameter.name}"
    headers = parameter.place == "header"
    value = given[parameter.place].get(parameter.name.lower() if headers else parameter.name)
    if value is None:
        return [violation("required", path, "parameter", None)] if parameter.required else []
    return [] if parameter.schema.is_valid(value) else parameter.schema.broken(value, "parameter", path)


def _listed(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _from_headers(scope: Scope) -> dict[str, Mapping[str, Any]]:
    """Return header fields (of several, the first) and cookies by name."""
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
    return {"header": fields, "cookie": cookie_parser(fields["cookie"]) if "cookie" in fields else {}}


def violation(rule: str, path: str, path_kind: str, expected: str | None) -> dict[str, Any]:
    """Return a violation in the shape of ``hub.validation.report``; ``parameter`` is a path kind of the edge's own."""
    text = _RULE_TEXTS.get(rule, _OTHER_RULE)
    if rule == "pattern" and expected is not None:
        german, _, english = expected.partition(_BETWEEN)
        text = Text(f"{text.de} Verlangt: {german}.", f"{text.en} Required: {english or german}.")
    return {
        "rule": rule,
        "severity": "error",
        "path": path,
        "pathKind": path_kind,
        "line": None,
        "expected": expected,
        "text": {"de": text.de, "en": text.en},
    }


def _rule(error: jsonschema_rs.ValidationError) -> str:
    """Return the keyword that is broken; a bare ``false`` in a schema goes by the keyword it stands at."""
    return str(error.schema_path[-1]) if error.kind.name == "falseSchema" else error.kind.name


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    """Return where the error is as a JSON Pointer (RFC 6901), up to the first name that the contract does not know."""
    places = zip(error.schema_path, error.schema_path[1:], strict=False)
    known = {name for keyword, name in places if keyword == "properties"}
    steps: list[str] = []
    for step in error.instance_path:
        if isinstance(step, str) and step not in known:
            break
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in steps)


def _is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _refuse_reference(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")


async def _read(receive: Receive) -> bytes:
    """Read a body whole; the guard in front counts it. A sender that hangs up is nobody's to answer any more."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def begun(receive: Receive) -> Receive:
    """Wait for the first byte of a body whose length nobody told; return a ``receive`` that plays it again.

    Raises:
        Malformed: it ends without one.
    """
    first = await receive()
    while first["type"] == "http.request" and not first.get("body"):
        if not first.get("more_body", False):
            raise body_required()
        first = await receive()
    played = False

    async def whole() -> Message:
        nonlocal played
        if played:
            return await receive()
        played = True
        return first

    return whole


def counted_in(receive: Receive, reservation: Reservation) -> Receive:
    """Return a ``receive`` that counts what comes into a share of the memory budget; raises :class:`Overloaded`."""

    async def counted() -> Message:
        message = await receive()
        reservation.grow(_COPIES * len(message.get("body", b"")))
        return message

    return counted


def body_required() -> Malformed:
    """Return the refusal of a request without the body that its operation needs."""
    return _malformed(
        "Der Inhalt der Anfrage fehlt. Was hineingehört, steht in /openapi.json bei dieser Operation.",
        "The request has no body. /openapi.json tells at this operation what belongs into it.",
        slug="body-required",
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    played = False

    async def replayed() -> Message:
        nonlocal played
        if played:
            return await receive()
        played = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def schema_violation(*found: Mapping[str, Any]) -> Malformed:
    """Return the refusal of a request that breaks the contract, or what no contract can say; see :func:`violation`."""
    return Malformed(
        Text(
            "Die Anfrage entspricht nicht der Schnittstelle. „violations“ nennt jede Stelle; /openapi.json sagt, was gilt.",
            "The request does not fit the interface. 'violations' names every place; /openapi.json tells the rules.",
        ),
        slug="schema-violation",
        violations=list(found),
    )


def _unusable() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "openapi.yaml enthält ein rekursives oder ungültiges Schema. Berichtigen Sie es.",
            "openapi.yaml holds a recursive or invalid schema. Correct it.",
        )
    )


def _malformed(de: str, en: str, *, slug: str = "malformed", **members: Any) -> Malformed:
    return Malformed(Text(de, en), slug=slug, **members)


def strict_json(body: bytes, limits: RequestLimits) -> Any:
    """Parse JSON (RFC 8259) that every reader understands the same way.

    Raises:
        Malformed: no JSON, no UTF-8, a repeated name, NaN or Infinity, a number or nesting over the caps.
        TooLarge: more values than the cap, whose memory no reservation for the text would cover.
    """
    require_few_values(body, limits.json_values)
    try:
        # The first reader refuses what is no UTF-8, half a surrogate pair, NaN, and depth that could exhaust a stack;
        # the second one sees repeated names and the digits of numbers.
        orjson.loads(body)
        document = json.loads(
            body,
            object_pairs_hook=_unique_members,
            parse_int=lambda digits: _integer(digits, limits),
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except _RepeatedNameError as error:
        # The sealed and the plain door say it in the same words, with the place.
        found = repeated(body)
        raise Malformed(found.detail, slug="invalid-json", **found.members) from error
    except (ValueError, RecursionError) as error:
        raise _not_json() from error
    if body.count(b"[") + body.count(b"{") > limits.json_depth and _depth(document) > limits.json_depth:
        raise _not_json()
    return document


def strict_form(body: bytes, limits: RequestLimits) -> dict[str, str]:
    """Parse a urlencoded form; names stand once, and names without a value count as absent (RFC 6749 section 3.2).

    Raises:
        Malformed: no ASCII, no UTF-8 in percent encoding, a repeated name, too many names.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=limits.query_fields
        )
        return {name: value for name, value in _unique(pairs).items() if value}
    except ValueError as error:
        raise _unreadable(
            "Das Formular ist nicht lesbar, oder ein Feld steht mehrfach. Jedes darf nur einmal stehen.",
            "The form cannot be read, or a field stands more than once. Each may stand only once.",
        ) from error


class _RepeatedNameError(ValueError):
    """An object names a member twice."""


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedNameError
    return members


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is repeated")
    return members


def _integer(digits: str, limits: RequestLimits) -> int:
    if len(digits) > limits.json_digits:
        raise ValueError("too many digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("out of range")
    return number


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("no JSON number")


def _depth(document: Any) -> int:
    """Return how deep arrays and objects are nested; a bare value has depth 0."""
    depth, layer = 0, [document]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        depth += 1
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def _not_json() -> Malformed:
    return _unreadable(
        "Der Inhalt ist kein eindeutiges JSON: UTF-8, jeder Name nur einmal, endliche Zahlen, mäßig tief geschachtelt.",
        "The body is not unambiguous JSON: UTF-8, each name once, finite numbers, nested moderately deep.",
        slug="invalid-json",
    )


def _unreadable(de: str, en: str, *, slug: str = "malformed") -> Malformed:
    return Malformed(Text(de, en), slug=slug)
