"""Requests and answers against the contract: jsonschema-rs in the places where connexion would use python's jsonschema.

OpenAPI 3.0 speaks a dialect of JSON Schema draft 4 (its ``nullable``, its read- and write-only members); schemas are
translated once and compiled once. No reference is ever fetched, patterns run in linear time, and what a violation says
is built from the rule, so that no value of a request stands in an answer or a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import jsonschema_rs
import orjson
from connexion.datastructures import MediaTypeDict
from connexion.lifecycle import ConnexionRequest
from starlette.types import Message, Receive, Scope, Send

from hub.api.limits import Limits
from hub.api.readers import strict_form, strict_json
from hub.errors import ConfigurationError, Malformed, Text

#: A schema with this member is not read at the edge: the handler takes the body as a stream.
STREAM = "x-stream"

#: Where unknown query names are refused. FIT-Connect's own paths ignore them (its section 3).
_STRICT_PATHS = "/hub/"
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MAX_SCHEMA_DEPTH = 60
_MAX_VIOLATIONS = 50
#: Members that are none of a direction's business (OpenAPI 3.0, Schema Object).
_HIDDEN_IN = {"request": "readOnly", "response": "writeOnly"}
_SUBSCHEMAS = ("items", "not", "additionalProperties")
_SUBSCHEMA_LISTS = ("allOf", "anyOf", "oneOf")
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
        "Hier steht ein Element, das es nicht gibt.", "There is a member that does not exist."
    ),
    "enum": Text("Der Wert ist keiner der erlaubten.", "The value is none of those allowed."),
    "format": Text("Der Wert hat nicht das verlangte Format.", "The value does not have the required format."),
    "pattern": Text("Der Wert entspricht nicht dem verlangten Muster.", "The value does not match the pattern."),
    "required": Text("Eine Pflichtangabe fehlt.", "A required member is missing."),
    "type": Text("Der Wert hat den falschen Typ.", "The value is of the wrong type."),
    "unknown": Text("Diesen Parameter gibt es hier nicht.", "There is no such parameter here."),
}
_OTHER_RULE = Text("Der Wert verletzt diese Regel.", "The value breaks this rule.")


class BrokenContractError(Exception):
    """An answer of ours does not keep the contract: a bug, told to the log by rules and places only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parameter:
    place: str
    name: str
    required: bool
    validator: jsonschema_rs.Draft4Validator


class Contracts:
    """Compiles each schema of the contract once, and hands out the checks that connexion asks for."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # By identity: connexion keeps one object per schema and asks with it on every request. The object is kept
        # beside its validator, so that its identity is never given to another one.
        self._compiled: dict[tuple[int, str], tuple[object, jsonschema_rs.Draft4Validator]] = {}
        self._parameters: dict[int, tuple[object, tuple[_Parameter, ...]]] = {}

    def validator_map(self) -> dict[str, Any]:
        """Return what connexion's ``validator_map`` takes. Media types that are not named here are never buffered."""
        return {
            "parameter": self.parameters,
            "body": MediaTypeDict({"*/*json": self.json_body, "application/x-www-form-urlencoded": self.form_body}),
            "response": MediaTypeDict({"*/*json": self.answer}),
        }

    def parameters(self, parameters: list[dict[str, Any]], *, uri_parser: Any, **_: Any) -> ParameterCheck:
        """Return the check of one request's path, query and header parameters."""
        known = self._parameters.get(id(parameters))
        if known is None:
            known = (parameters, tuple(_compiled_parameters(parameters)))
            self._parameters[id(parameters)] = known
        return ParameterCheck(known[1], uri_parser)

    def json_body(self, *, schema: dict[str, Any], required: bool, **_: Any) -> BodyCheck | Untouched:
        """Return the check of one JSON body."""
        if schema.get(STREAM):
            return Untouched()
        validator = self._validator(schema, "request")
        return BodyCheck(lambda body: strict_json(body, self._limits), validator, required=required)

    def form_body(self, *, schema: dict[str, Any], required: bool, **_: Any) -> BodyCheck:
        """Return the check of one urlencoded form."""
        validator = self._validator(schema, "request")
        return BodyCheck(lambda body: strict_form(body, self._limits), validator, required=required)

    def answer(self, scope: Scope, *, schema: dict[str, Any], **_: Any) -> AnswerCheck:
        """Return the check of one JSON answer."""
        return AnswerCheck(self._validator(schema, "response"), scope)

    def _validator(self, schema: dict[str, Any], direction: str) -> jsonschema_rs.Draft4Validator:
        key = (id(schema), direction)
        known = self._compiled.get(key)
        if known is None:
            known = (schema, compiled(schema, direction))
            self._compiled[key] = known
        return known[1]


class ParameterCheck:
    """Checks the parameters of one request. Names are the contract's, so a violation may tell them."""

    def __init__(self, parameters: tuple[_Parameter, ...], uri_parser: Any) -> None:
        self._parameters = parameters
        self._uri_parser = uri_parser

    def validate(self, scope: Scope) -> None:
        """Raise :class:`Malformed` with every violation."""
        request = ConnexionRequest(scope, uri_parser=self._uri_parser)
        found = [violation for parameter in self._parameters for violation in _judged(parameter, request)]
        if scope["path"].startswith(_STRICT_PATHS):
            found += self._unknown(request)
        if found:
            raise _refused(found)

    def _unknown(self, request: ConnexionRequest) -> Iterator[dict[str, Any]]:
        known = [parameter.name for parameter in self._parameters if parameter.place == "query"]
        if not set(request.query_params) <= set(known):
            yield _violation("unknown", "query", "parameter", ", ".join(known) or None)


class Untouched:
    """Leaves a body to the handler, which reads it as a stream."""

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Hand both on as they are."""
        return receive, scope


class BodyCheck:
    """Reads one small body whole, with or without Content-Length, checks it, and plays it to the handler again."""

    def __init__(
        self, parse: Callable[[bytes], Any], validator: jsonschema_rs.Draft4Validator, *, required: bool
    ) -> None:
        self._parse = parse
        self._validator = validator
        self._required = required

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Return a ``receive`` that plays the checked body; raise :class:`Malformed` with every violation."""
        body = await _read(receive)
        if body:
            found = violations(self._validator, self._parse(body))
            if found:
                raise _refused(found)
        elif self._required:
            raise _malformed("Der Inhalt der Anfrage fehlt.", "The request has no body.", slug="body-required")
        return _replayed(body, receive), scope


class AnswerCheck:
    """Holds one JSON answer back until it is known to keep the contract."""

    def __init__(self, validator: jsonschema_rs.Draft4Validator, scope: Scope) -> None:
        self._validator = validator
        self._scope = scope

    def wrap_send(self, send: Send) -> Send:
        """Return a ``send`` that raises :class:`BrokenContractError` instead of letting a wrong answer out."""
        held: list[Message] = []

        async def checked(message: Message) -> None:
            held.append(message)
            if message["type"] != "http.response.body" or message.get("more_body", False):
                return
            self._check(b"".join(part.get("body", b"") for part in held))
            for part in held:
                await send(part)

        return checked

    def _check(self, body: bytes) -> None:
        if not body:
            return
        try:
            found = violations(self._validator, orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise BrokenContractError("an answer is not JSON") from error
        if found:
            places = ", ".join(f"{violation['rule']} at {violation['path'] or '/'}" for violation in found)
            raise BrokenContractError(places)


def compiled(schema: Mapping[str, Any], direction: str) -> jsonschema_rs.Draft4Validator:
    """Translate and compile a schema of the contract, references resolved, for a ``request`` or a ``response``.

    Raises:
        ConfigurationError: it is recursive, or no valid schema.
    """
    try:
        return jsonschema_rs.Draft4Validator(
            _draft4(schema, direction, 0),
            formats={"uuid": _is_uuid},
            validate_formats=True,
            retriever=_refuse_reference,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise _unusable() from error


def violations(validator: jsonschema_rs.Draft4Validator, document: Any) -> list[dict[str, Any]]:
    """Return the violations of ``document``, none of which repeats a value or a name that the sender chose."""
    if validator.is_valid(document):
        return []
    found: list[dict[str, Any]] = []
    for error in validator.iter_errors(document):
        found.append(_violation(_rule(error), _pointer(error), "json-pointer", _expected(error)))
        if len(found) == _MAX_VIOLATIONS:
            break
    return found


def _draft4(schema: Mapping[str, Any], direction: str, depth: int) -> dict[str, Any]:
    if depth > _MAX_SCHEMA_DEPTH:
        raise _unusable()
    if direction == "response" and schema.get("writeOnly"):
        return {"not": {}}
    plain: dict[str, Any] = {name: schema[name] for name in _ASSERTIONS if name in schema}
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
    hidden = {name for name, inner in schema.get("properties", {}).items() if inner.get(_HIDDEN_IN[direction])}
    if hidden & set(schema.get("required", ())):
        plain["required"] = [name for name in schema["required"] if name not in hidden]
        if not plain["required"]:
            del plain["required"]
    return _nullable(plain) if schema.get("nullable") else plain


def _nullable(plain: dict[str, Any]) -> dict[str, Any]:
    if "enum" in plain:
        plain["enum"] = [*plain["enum"], None]
    if "type" in plain:
        return {**plain, "type": [plain["type"], "null"]}
    return {"anyOf": [{"type": "null"}, plain]}


def _compiled_parameters(parameters: list[dict[str, Any]]) -> Iterator[_Parameter]:
    for parameter in parameters:
        yield _Parameter(
            place=parameter["in"],
            name=parameter["name"],
            required=parameter.get("required", False),
            validator=compiled(parameter["schema"], "request"),
        )


def _judged(parameter: _Parameter, request: ConnexionRequest) -> Iterable[dict[str, Any]]:
    path = f"{parameter.place}/{parameter.name}"
    value = _value(parameter, request)
    if value is None:
        return [_violation("required", path, "parameter", None)] if parameter.required else []
    if parameter.validator.is_valid(value):
        return []
    return [
        _violation(_rule(error), path, "parameter", _expected(error))
        for error in parameter.validator.iter_errors(value)
    ]


def _value(parameter: _Parameter, request: ConnexionRequest) -> Any:
    if parameter.place == "query":
        return request.query_params.get(parameter.name)
    if parameter.place == "path":
        return request.path_params.get(parameter.name)
    return request.headers.get(parameter.name) if parameter.place == "header" else request.cookies.get(parameter.name)


def _violation(rule: str, path: str, path_kind: str, expected: str | None) -> dict[str, Any]:
    """Return a violation in the shape of ``hub.validation.report``; ``parameter`` is a path kind of the edge's own."""
    text = _RULE_TEXTS.get(rule, _OTHER_RULE)
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


def _expected(error: jsonschema_rs.ValidationError) -> str | None:
    """Return what the schema asks for, as one line; it comes from the contract alone."""
    facts = error.kind.as_dict()
    for name in ("property", "pattern", "format", "limit", "options", "types", "multiple_of"):
        if name in facts:
            wanted = facts[name]
            return ", ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)
    return None


def _is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _refuse_reference(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")


async def _read(receive: Receive) -> bytes:
    """Read a body whole; the guard in front counts it."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _malformed("Die Anfrage brach ab.", "The request broke off.")
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    played = False

    async def replayed() -> Message:
        nonlocal played
        if played:
            return await receive()
        played = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _refused(found: list[dict[str, Any]]) -> Malformed:
    return _malformed(
        "Die Anfrage entspricht nicht der Schnittstelle. „violations“ nennt jede Stelle; /openapi.json sagt, was gilt.",
        "The request does not fit the interface. 'violations' names every place; /openapi.json tells the rules.",
        slug="schema-violation",
        violations=found,
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
