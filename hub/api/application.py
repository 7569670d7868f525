"""Assembly of the HTTP edge: the contract, the handlers, and every layer between a socket and them, in order."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import yaml
from connexion.exceptions import OAuthResponseProblem
from connexion.middleware.context import ContextMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.middleware.main import ConnexionMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.options import SwaggerUIOptions
from connexion.resolver import Resolver
from connexion.security import OAuthSecurityHandler
from starlette.routing import Mount, Router
from starlette.types import ASGIApp

from hub.admission import Admission
from hub.api.deprecation import Deprecations
from hub.api.guards import PREFIXES, Cap, Gate, RequestLimits, Surface
from hub.api.operations import AnswerCheck, Handling, Identify, Layer, Make, RequestCheck, nowhere
from hub.api.problems import ProblemNet
from hub.api.reference import Reference, published
from hub.api.uploads import TusHeaders
from hub.errors import ConfigurationError, Text
from hub.files.strict_yaml import load_yaml
from hub.web.responses import SafeHeaders

__all__ = ["RequestLimits", "build"]

Handler = Callable[..., Any]
#: Names of caps that a schema of the contract may give as ``x-limit``, and the setting that each means.
LIMITS = {"data": "data_part", "sealed": "sealed", "attachment": "attachment", "total": "total"}
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
#: Where any document may stand, so that a ``$ref`` in it is none of the contract's.
_FREE_VALUES = frozenset({"example", "value", "default", "enum"})
#: Members that say something to people alone, and those whose own members have names of somebody's choice.
_WORDS = frozenset({"summary", "description", "example", "examples", "externalDocs", "tags"})
_NAMED = frozenset({"properties", "schemas", "parameters", "responses", "headers", "securitySchemes", "scopes"})
_FIRST_ERROR = 400
#: Where nearly all requests go. No path outside fits one of these, so their order among the others means nothing but time.
ASKED_MOST = ("/hub/v1/applications", "/v1/submissions", "/v2/submissions")
_PATH_PARAMETER = re.compile(r"\\\{[^{}/]+\\\}")


def build(
    handlers: Mapping[str, Handler],
    *,
    specification: Path,
    base_url: str,
    token_info: Callable[[str], Any],
    production: bool,
    said: Mapping[str, str] | None = None,
    limits: RequestLimits,
    admission: Admission,
    identities: Mapping[str, Identify] | None = None,
    lifespan: Callable[[Any], Any] | None = None,
    check_answers: bool = True,
) -> ASGIApp:
    """Return the ASGI application that serves the contract.

    Args:
        handlers: what answers each operation, by operationId (``applications.create``): coroutine functions whose
            arguments are the parameters' names. One that reads its body as a stream has no ``body`` argument.
        specification: path of ``openapi.yaml``.
        base_url: the hub's canonical address; stands in the published contract.
        token_info: returns ``{"sub": …, "scope": …}`` for a token, or None, or raises Unauthenticated. May be async.
        said: header fields that every answer carries besides.
        production: lets people browse the contract at ``/docs``, but try nothing out.
        limits: caps on requests.
        admission: the memory budget that bodies count against.
        identities: who asks an operation (by operationId) is judged by these before its body is read: coroutine functions
            that look at the header fields, and raise Unauthenticated or TooMany.
        lifespan: an async context manager around the application's life.
        check_answers: whether JSON answers are held against the contract before they leave.

    Raises:
        ConfigurationError: an operation without a handler, a handler without an operation, an unusable contract.
    """
    contract = load(specification)
    refuse_recursion(contract, contract, (), set())
    _match(contract, handlers)
    logging.getLogger("python_multipart.multipart").setLevel(logging.ERROR)
    layers = _layers(
        contract,
        partial(
            Reference, documents=published(contract, source=specification, base_url=base_url, production=production)
        ),
        limits,
        partial(RequestCheck, limits=limits, admission=admission, identities=identities or {}),
        base_url=base_url,
        said=said,
        check_answers=check_answers,
    )
    app = ConnexionMiddleware(
        Layer(nowhere, make=lambda operation, _: Handling(operation, operation.function)),
        import_name=__name__,
        middlewares=layers,
        lifespan=lifespan,
        resolver=Resolver(handlers.__getitem__),
        security_map={"oauth2": partial(_Bearer, token_info)},
        swagger_ui_options=SwaggerUIOptions(serve_spec=False, swagger_ui=False),
    )
    app.add_api(_without_error_bodies(contract))
    _build_now(app)
    application: ASGIApp = app
    return application


def _build_now(app: ConnexionMiddleware) -> None:
    """Let connexion build its layers now. It would do so on the first request, too late to stop a start."""
    app.app, app.middleware_stack = app._build_middleware_stack()  # noqa: SLF001  # see above


def load(specification: Path) -> dict[str, Any]:
    """Return the contract as a document.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        contract: dict[str, Any] = load_yaml(specification.read_bytes())
        orjson.dumps(contract)  # YAML reads a bare ``on`` or ``404`` as something that is no name in JSON.
    except (OSError, yaml.YAMLError, orjson.JSONEncodeError) as error:
        raise _unusable(specification.name) from error
    return contract


def operations(contract: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (METHOD, path, operation) for everything in the contract."""
    for path, item in contract["paths"].items():
        for method, operation in item.items():
            if method in _METHODS:
                yield method.upper(), path, operation


def _layers(
    contract: Mapping[str, Any],
    reference: Callable[[ASGIApp], ASGIApp],
    limits: RequestLimits,
    request_check: Make,
    *,
    base_url: str,
    said: Mapping[str, str] | None,
    check_answers: bool,
) -> list[Callable[[ASGIApp], ASGIApp]]:
    """Return every layer, outermost first: this is the way of a request."""
    layers: list[Callable[[ASGIApp], ASGIApp] | None] = [
        partial(SafeHeaders, https=base_url.startswith("https://"), said=said),
        Deprecations,
        TusHeaders,
        ProblemNet,
        partial(Gate, limits=limits, surface=_surface(contract, limits)),
        reference,
        _Routing,
        SecurityMiddleware,
        partial(Layer, make=request_check),
        partial(Layer, make=AnswerCheck) if check_answers else None,
        LifespanMiddleware,
        ContextMiddleware,
    ]
    return [layer for layer in layers if layer is not None]


def _match(contract: Mapping[str, Any], handlers: Mapping[str, Handler]) -> None:
    """Refuse to start with an operation nobody answers, or a handler nobody reaches."""
    wanted = {operation.get("operationId", f"{method} {path}") for method, path, operation in operations(contract)}
    missing, idle = sorted(wanted - handlers.keys()), sorted(handlers.keys() - wanted)
    if missing or idle:
        raise ConfigurationError(
            Text(
                f"openapi.yaml und Code passen nicht zusammen. Ohne Code: {missing}. Ohne Operation: {idle}.",
                f"openapi.yaml and code do not fit. Without code: {missing}. Without operation: {idle}.",
            )
        )


def refuse_recursion(contract: Mapping[str, Any], node: Any, way: tuple[str, ...], known: set[str]) -> None:
    """Refuse a reference that leads back to itself: connexion would build an endless document of it.

    ``known`` gathers the targets that were followed to their ends, so that each is followed once.
    """
    if isinstance(node, list):
        for child in node:
            refuse_recursion(contract, child, way, known)
    elif isinstance(node, Mapping):
        target = node.get("$ref")
        if not isinstance(target, str):
            for name, child in node.items():
                if name not in _FREE_VALUES:
                    refuse_recursion(contract, child, way, known)
        elif target in way:
            raise _recursive(target)
        elif target not in known:
            refuse_recursion(contract, resolved(contract, node), (*way, target), known)
            known.add(target)


def _recursive(target: str) -> ConfigurationError:
    return ConfigurationError(
        Text(f"{target} in openapi.yaml verweist auf sich selbst.", f"{target} in openapi.yaml leads to itself.")
    )


#: What takes data of whoever calls them by the family of their media type: the plain door.
_BY_SUFFIX = frozenset({"applications.create", "validations.create"})


def _surface(contract: Mapping[str, Any], limits: RequestLimits) -> Surface:
    bodies = [
        (method, path, operation, media_type, content.get("schema", {}))
        for method, path, operation in operations(contract)
        for media_type, content in resolved(contract, operation.get("requestBody", {})).get("content", {}).items()
    ]
    caps = _caps(bodies, contract, limits)
    return Surface(
        media_types=frozenset(media_type for *_, media_type, _ in bodies),
        caps=tuple(caps),
        prefixed=tuple(
            (method, _pattern(path)) for method, path, _ in operations(contract) if path.startswith(tuple(PREFIXES))
        ),
        repeatable=frozenset(_repeatable(contract)),
        by_suffix=tuple(
            (method, _pattern(path))
            for method, path, operation in operations(contract)
            if operation["operationId"] in _BY_SUFFIX
        ),
        bodies=tuple(
            (method, _pattern(path), tuple(resolved(contract, operation["requestBody"])["content"]))
            for method, path, operation in operations(contract)
            if "requestBody" in operation
        ),
    )


def _caps(
    bodies: Iterable[tuple[str, str, Mapping[str, Any], str, Any]], contract: Mapping[str, Any], limits: RequestLimits
) -> list[Cap]:
    caps = []
    for method, path, operation, media_type, schema in bodies:
        name = resolved(contract, schema).get("x-limit")
        size = limits.overrides.get(operation["operationId"], getattr(limits, LIMITS[name]) if name else limits.json)
        if size != limits.json:
            caps.append(Cap(method=method, path=_pattern(path), media_type=media_type, size=size))
    return caps


def _repeatable(contract: Mapping[str, Any]) -> Iterator[str]:
    for _, path, operation in operations(contract):
        for given in (*operation.get("parameters", ()), *contract["paths"][path].get("parameters", ())):
            parameter = resolved(contract, given)
            if parameter["in"] == "query" and resolved(contract, parameter["schema"]).get("type") == "array":
                yield parameter["name"]


def resolved(contract: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a local reference of the contract, if ``value`` is one."""
    while "$ref" in value:
        found: Any = contract
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(_PATH_PARAMETER.sub("[^/]+", re.escape(path)))


def _without_error_bodies(contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contract as connexion needs it: words for people and the bodies of errors left out, the doors' paths first.

    connexion keeps it several times. Its router tries one path after the other, a microsecond each, and the sealed door stands
    near the contract's end. Errors are written by ``hub.api.problems`` alone. Left in, their media type would make every answer
    ambiguous to connexion, which lumps the media types of all statuses together.
    """
    lean: dict[str, Any] = _without_words(contract)
    for _, _, operation in operations(lean):
        operation["responses"] = {
            status: _without_examples(contract, response, body=_is_success(status))
            for status, response in operation["responses"].items()
        }
        if "requestBody" in operation:
            operation["requestBody"] = _without_examples(contract, operation["requestBody"], body=True)
    lean["paths"] = dict(sorted(lean["paths"].items(), key=lambda entry: not entry[0].startswith(ASKED_MOST)))
    for unused in ("examples", "responses", "requestBodies"):
        lean["components"].pop(unused, None)
    return lean


def _is_success(status: str) -> bool:
    return status.isdecimal() and int(status) < _FIRST_ERROR


def _without_examples(contract: Mapping[str, Any], given: Mapping[str, Any], *, body: bool) -> dict[str, Any]:
    """Return a request body or response with its media types' schemas alone, or, without ``body``, with none."""
    full = resolved(contract, given)
    # A response has to have a description (OpenAPI 3.0.3, Response Object).
    lean: dict[str, Any] = {"description": ""} | ({"required": full["required"]} if "required" in full else {})
    content = full.get("content", {})
    if body and content:
        lean["content"] = {
            media_type: {"schema": _without_words(entry.get("schema", {}))} for media_type, entry in content.items()
        }
    return lean


def _without_words(node: Any, *, named: bool = False) -> Any:
    """Return a copy without what stands there for people; below ``named``, members bear names of somebody's choice."""
    if isinstance(node, list):
        return [_without_words(child) for child in node]
    if not isinstance(node, Mapping):
        return node
    return {
        name: _without_words(child, named=name in _NAMED and not named)
        for name, child in node.items()
        if named or name not in _WORDS
    }


def _without_redirects(router: Router) -> None:
    """Have an address with a slash too many, or one too few, be none.

    The router would redirect to an address made of the Host header and the scheme that it sees, along with method and body: a
    secret in a form went wherever that leads.
    """
    router.redirect_slashes = False
    for route in router.routes:
        if isinstance(route, Mount) and isinstance(route.app, Router):
            _without_redirects(route.app)


class _Routing(RoutingMiddleware):  # type: ignore[misc]  # connexion has no types
    """connexion's router, without redirects."""

    def add_api(self, *arguments: Any, **named: Any) -> None:
        """Add the contract's paths."""
        super().add_api(*arguments, **named)
        _without_redirects(self.router)


class _Bearer(OAuthSecurityHandler):  # type: ignore[misc]  # connexion has no types
    """connexion's OAuth check with our own look-up; what it does not know is refused, and scopes are enforced."""

    def __init__(self, token_info: Callable[[str], Any]) -> None:
        self._token_info = token_info

    def get_tokeninfo_func(self, security_definition: dict[str, Any]) -> Callable[[str], Any]:
        """Return the look-up, whatever the contract says."""
        del security_definition
        return self._token_info

    def _generic_check(self, func: Callable[[str], Any], exception_msg: str) -> Callable[..., Any]:
        """Return the look-up as it is called: connexion would ask on every request which arguments it takes."""

        async def judged(request: Any, token: str, *, required_scopes: Any = None) -> Any:
            del request, required_scopes
            found = func(token)
            if inspect.isawaitable(found):
                found = await found
            if found is None:
                raise OAuthResponseProblem(detail=exception_msg)
            return found

        return judged


def _unusable(name: str) -> ConfigurationError:
    return ConfigurationError(
        Text(f"{name} ist kein lesbares YAML. Berichtigen Sie die Datei.", f"{name} is not readable YAML. Correct it.")
    )
