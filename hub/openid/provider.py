"""Speaking with the provider: discovery, keys and the exchange of a code, all through a way out that is handed in.

Judging an ID token (OpenID Connect Core 1.0 section 3.1.3.7, RFC 8725).

In this order: (1) size and form, (2) header by an allow-list, before any library sees the token, (3) the provider's key for
it: asymmetric, strong enough, of the algorithm's kind, (4) signature, (5) issuer, audience, authorized party, times,
(6) nonce, (7) subject.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote_plus, urlencode

import orjson

from hub.crypto import header
from hub.crypto.jwk import MOST_BITS, integer
from hub.errors import Invalid, KeyRefused, SealBroken, Text, TooLarge, Unauthenticated, Unavailable

if TYPE_CHECKING:
    # Where no provider is set, two libraries less in memory; so below, too.
    from joserfc.jwk import ECKey, RSAKey

#: What may sign, and the kind of key (kty, crv) that it takes. No symmetric one: its key would be the client's secret.
ALGORITHMS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", "")),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
}
#: Clocks of provider and hub may differ by this.
LEEWAY = timedelta(seconds=60)
#: A token is read seconds after it was made; an older one comes from elsewhere.
_OLDEST = timedelta(minutes=10)
_TOKEN_LIMIT = 64 * 1024
_LEAST_BITS = 2048
_LONGEST_SUBJECT = 255
_COMPACT_DOTS = 2

Jwk = Mapping[str, Any]


class Answered(Protocol):
    """What came of one request: the answer's status, None where there was none, and its body, whole or cut at a bound."""

    @property
    def status(self) -> int | None:
        """The status."""

    @property
    def content(self) -> bytes:
        """The body."""


class WayOut(Protocol):
    """What sends requests to the provider; it follows no redirect, and bounds times and sizes."""

    def require_url(self, url: str) -> None:
        """Judge an address by its form; raise ``Invalid`` for one that secrets must not go to."""

    def get(self, url: str, headers: Mapping[str, str]) -> Answered:
        """Ask for ``url`` once."""
        ...

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answered:
        """Post ``body`` once."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What the token must say: who made it, for whom, and for which log-in."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)


def key_id(token: str) -> str | None:
    """Return the ``kid`` of a token's header, to look its key up. Proves nothing; raises as :func:`verified`."""
    return _header(token)[1]


def verified(token: str, keys: Sequence[Jwk], expected: Expected, *, now: datetime) -> Mapping[str, Any]:
    """Return the claims of a token that one of the provider's ``keys`` signed for this log-in.

    Raises:
        Unauthenticated: some check fails (member ``check`` tells which, for the log).
    """
    from joserfc import jws
    from joserfc.errors import JoseError

    alg, kid = _header(token)
    key = _key(keys, alg, kid)
    try:
        payload = jws.deserialize_compact(token, key, algorithms=[alg]).payload
        claims = orjson.loads(payload)
    except (JoseError, ValueError) as exc:
        raise refused("signature") from exc
    if not isinstance(claims, dict):
        raise refused("form")
    _judge(claims, {"alg": alg}, expected, now)
    return claims


def refused(check: str) -> Unauthenticated:
    """Return the refusal of an answer of the provider; ``check`` is for the log, people learn what to do."""
    return Unauthenticated(
        Text(
            "Die Anmeldung ist fehlgeschlagen: Die Antwort des Anmeldedienstes ist ungültig oder abgelaufen. Beginnen Sie "
            "noch einmal.",
            "Logging in failed: the provider's answer is invalid or out of date. Begin again.",
        ),
        slug="openid-refused",
        check=check,
    )


def _header(token: str) -> tuple[str, str | None]:
    if len(token) > _TOKEN_LIMIT or not token.isascii() or token.count(".") != _COMPACT_DOTS:
        raise refused("form")
    try:
        members = header.read(token.partition(".")[0].encode("ascii"))
        alg = header.require(members, "alg", tuple(ALGORITHMS))
        return alg, header.text(members, "kid")
    except (SealBroken, TooLarge) as exc:
        raise refused("header") from exc


def _key(keys: Sequence[Jwk], alg: str, kid: str | None) -> RSAKey | ECKey:
    """Return the one key that may have signed; without a ``kid`` there must be exactly one of the kind."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey

    kty, _ = ALGORITHMS[alg]
    fitting = _fitting(keys, alg, kid)
    if len(fitting) != 1:
        raise refused("key")
    public: dict[str, str | list[str]] = {
        name: str(fitting[0].get(name)) for name in (("kty", "n", "e") if kty == "RSA" else ("kty", "crv", "x", "y"))
    }
    try:
        if kty == "EC":
            return ECKey.import_key(public)
        if not _LEAST_BITS <= integer(public, "n").bit_length() <= MOST_BITS:
            raise refused("key")
        return RSAKey.import_key(public)
    except (JoseError, KeyRefused, ValueError) as exc:
        raise refused("key") from exc


def _fitting(keys: Sequence[Jwk], alg: str, kid: str | None) -> list[Jwk]:
    kty, curve = ALGORITHMS[alg]
    return [
        each
        for each in keys
        if each.get("kty") == kty
        and each.get("crv", "") == curve
        and each.get("use", "sig") == "sig"
        and each.get("alg", alg) == alg
        and (kid is None or each.get("kid") == kid)
    ]


def _judge(claims: dict[str, Any], protected: dict[str, Any], expected: Expected, now: datetime) -> None:
    from authlib.oidc.core import CodeIDToken
    from joserfc.errors import JoseError

    options = {
        "iss": {"essential": True, "value": expected.issuer},
        "aud": {"essential": True, "value": expected.client_id},
    }
    params = {"client_id": expected.client_id, "nonce": expected.nonce}
    moment, leeway = int(now.timestamp()), int(LEEWAY.total_seconds())
    try:
        CodeIDToken(claims, protected, options, params).validate(now=moment, leeway=leeway)
    except (JoseError, ValueError, TypeError) as exc:
        raise refused(str(getattr(exc, "claim", None) or "claims")) from exc
    # What the library leaves open: types, the exact form of iss, the age, and a comparison in constant time.
    _judge_what_is_left(claims, expected, moment, leeway)


def _judge_what_is_left(claims: Mapping[str, Any], expected: Expected, moment: int, leeway: int) -> None:
    if claims["iss"] != expected.issuer:
        raise refused("iss")
    if not all(type(claims[name]) in (int, float) for name in ("exp", "iat")) or claims["exp"] + leeway < moment:
        raise refused("exp")
    if not moment - _OLDEST.total_seconds() <= claims["iat"] <= moment + leeway:
        raise refused("iat")
    nonce, subject = claims.get("nonce"), claims.get("sub")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise refused("nonce")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise refused("sub")


#: How long the provider's document and keys are believed without asking again.
FRESH = timedelta(hours=1)
#: Nobody asks again so soon after the provider did not answer, and nobody queues behind those who ask.
_PAUSE = timedelta(seconds=10)
_PATIENCE = 2.0
#: How many wait for the provider's answers at once: the threads are those of all pages and interfaces.
_AT_ONCE = 4
#: An unknown key id makes the keys be fetched anew, at most this often: anybody may invent one.
_AGAIN = timedelta(seconds=30)
_WELL_KNOWN = "/.well-known/openid-configuration"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
#: The way to authenticate where a provider says nothing (OpenID Connect Discovery 1.0, section 3).
_BASIC = "client_secret_basic"
_OK = 200
_BAD_REQUEST = 400
_MOST_KEYS = 50
_LONGEST_CODE = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """The hub, or the portal, as the provider knows it."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    redirect_uri: str
    scopes: tuple[str, ...] = ("profile",)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorizationRequest:
    """One log-in's own secrets: ``state`` and ``nonce`` tie the answer to it, ``verifier`` the code (RFC 7636)."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Return what nobody can guess."""
        return cls(state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48))

    def require_own(self, answer: Mapping[str, str]) -> None:
        """Refuse an answer that belongs to another log-in: of another browser, or of somebody who planted it."""
        if not hmac.compare_digest(answer.get("state", "").encode(), self.state.encode()):
            raise refused("state")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attested:
    """What an ID token says, the token as the provider signed it (compact JWS), and the key that it holds by (public JWK)."""

    claims: Mapping[str, Any] = field(repr=False)
    token: str = field(repr=False)
    key: Jwk


class Provider:
    """One OpenID Connect provider, found by its issuer (OpenID Connect Discovery 1.0)."""

    def __init__(self, *, registration: Registration, outbound: WayOut) -> None:
        self.registration = registration
        self._outbound = outbound
        self._asking = threading.BoundedSemaphore(_AT_ONCE)
        self._silent_until: datetime | None = None
        self._document: tuple[datetime, Mapping[str, Any]] | None = None
        self._keys: tuple[datetime, list[Jwk]] | None = None

    def address(self, request: AuthorizationRequest, *, now: datetime) -> str:
        """Return where a browser is sent to log in; raise ``Unavailable`` while the provider cannot be asked."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        mine = self.registration
        uri: str = prepare_grant_uri(
            self._metadata(now)["authorization_endpoint"],
            client_id=mine.client_id,
            response_type="code",
            redirect_uri=mine.redirect_uri,
            scope=["openid", *mine.scopes],
            state=request.state,
            nonce=request.nonce,
            code_challenge=create_s256_code_challenge(request.verifier),
            code_challenge_method="S256",
        )
        return uri

    def way_out(self, back: str, *, now: datetime) -> str | None:
        """Return where a browser is sent to log out there too (RP-Initiated Logout 1.0); None if that is not offered."""
        from authlib.common.urls import add_params_to_uri

        end = self._metadata(now).get("end_session_endpoint")
        if not isinstance(end, str):
            return None
        self._require_address(end)
        fields = [("client_id", self.registration.client_id), ("post_logout_redirect_uri", back)]
        uri: str = add_params_to_uri(end, fields)
        return uri

    def claims(self, answer: Mapping[str, str], request: AuthorizationRequest, *, now: datetime) -> Mapping[str, Any]:
        """Return the claims about whoever logged in; raises as :meth:`attested`."""
        return self.attested(answer, request, now=now).claims

    def attested(self, answer: Mapping[str, str], request: AuthorizationRequest, *, now: datetime) -> Attested:
        """Return the claims about whoever logged in, with what shows later that the provider said so.

        Raises:
            Unauthenticated: the provider said no, or what it said does not hold.
            Unavailable: it cannot be reached.
        """
        mine, metadata = self.registration, self._metadata(now)
        issuer = answer.get("iss")
        must_name = metadata.get("authorization_response_iss_parameter_supported") is True
        if issuer != mine.issuer and (issuer is not None or must_name):
            raise refused("answer-iss")  # Another provider's answer (RFC 9207).
        code = answer.get("code", "")
        if "error" in answer or not 0 < len(code) <= _LONGEST_CODE or not code.isascii() or not code.isprintable():
            raise refused("no-code")
        token = self._exchange(code, request, metadata, now)
        expected = Expected(issuer=mine.issuer, client_id=mine.client_id, nonce=request.nonce)
        keys = self._keys_for(key_id(token), now)
        claims = verified(token, keys, expected, now=now)
        return Attested(claims=claims, token=token, key=_key(keys, *_header(token)).as_dict(private=False))

    def _exchange(self, code: str, request: AuthorizationRequest, metadata: Mapping[str, Any], now: datetime) -> str:
        """Exchange the code for tokens and return the ID token (RFC 6749 section 4.1.3); the others are not kept."""
        fields, headers = self._form(code, request, metadata)
        said = self._asked(lambda out: out.post(metadata["token_endpoint"], urlencode(fields).encode(), headers), now)
        if said.status == _BAD_REQUEST:
            raise refused("code")  # Used before, expired, or another client's.
        token = _document(said).get("id_token")
        if not isinstance(token, str):
            raise refused("no-id-token")
        return token

    def _form(
        self, code: str, request: AuthorizationRequest, metadata: Mapping[str, Any]
    ) -> tuple[dict[str, str], dict[str, str]]:
        mine = self.registration
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": mine.redirect_uri,
            "code_verifier": request.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if _BASIC in _listed(metadata, "token_endpoint_auth_methods_supported", _BASIC):
            pair = f"{quote_plus(mine.client_id)}:{quote_plus(mine.secret)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            fields |= {"client_id": mine.client_id, "client_secret": mine.secret}
        return fields, headers

    def _asked(self, ask: Callable[[WayOut], Answered], now: datetime) -> Answered:
        """Ask the provider something, unless it was silent just now or too many wait for it already."""
        resting = self._silent_until is not None and self._silent_until - _PAUSE <= now < self._silent_until
        if resting or not self._asking.acquire(timeout=_PATIENCE):
            raise _unusable()
        try:
            said = ask(self._outbound)
        finally:
            self._asking.release()
        self._silent_until = now + _PAUSE if said.status is None else None
        return said

    def _metadata(self, now: datetime) -> Mapping[str, Any]:
        # Two threads may ask at once, harmlessly; none waits for the other with a lock in its hand.
        if self._document is None or not self._document[0] <= now < self._document[0] + FRESH:
            self._document = (now, self._discovered(now))
        return self._document[1]

    def _discovered(self, now: datetime) -> Mapping[str, Any]:
        issuer = self.registration.issuer
        well_known = issuer.rstrip("/") + _WELL_KNOWN
        document = _document(self._asked(lambda out: out.get(well_known, {"Accept": "application/json"}), now))
        if document.get("issuer") != issuer:
            raise _unusable()  # Section 4.3: it must be the very same, or another party speaks for it.
        for name in _ENDPOINTS:
            self._require_address(document.get(name))
        methods = _listed(document, "code_challenge_methods_supported", "S256")
        known = _listed(document, "token_endpoint_auth_methods_supported", _BASIC)
        if "S256" not in methods or not (_BASIC in known or "client_secret_post" in known):
            raise _unusable()
        return document

    def _require_address(self, url: Any) -> None:
        try:
            self._outbound.require_url(url if isinstance(url, str) else "")
        except Invalid as exc:
            raise _unusable() from exc
        if self.registration.issuer.startswith("https://") and not url.startswith("https://"):
            raise _unusable()

    def _keys_for(self, kid: str | None, now: datetime) -> list[Jwk]:
        jwks_uri = self._metadata(now)["jwks_uri"]
        at, keys = self._keys if self._keys is not None else (None, [])
        known = kid is None or any(key.get("kid") == kid for key in keys)
        if at is None or not at <= now < at + (FRESH if known else _AGAIN):
            said = self._asked(lambda out: out.get(jwks_uri, {"Accept": "application/json"}), now)
            found = _document(said).get("keys")
            listed = found if isinstance(found, list) else []
            keys = [key for key in listed[:_MOST_KEYS] if isinstance(key, dict)]
            self._keys = (now, keys)
        return keys


def _listed(document: Mapping[str, Any], name: str, usual: str) -> list[Any]:
    """Return a list of the provider's document; without one, or with null in its place, what counts then."""
    found = document.get(name)
    if found is None:
        return [usual]
    return found if isinstance(found, list) else []


def _document(said: Answered) -> dict[str, Any]:
    """Return the JSON object of an answer; one that was cut at the limit is none."""
    try:
        found = orjson.loads(said.content) if said.status == _OK else None
    except orjson.JSONDecodeError as exc:
        raise _unusable() from exc
    if not isinstance(found, dict):
        raise _unusable()
    return found


def _unusable() -> Unavailable:
    return Unavailable(
        Text(
            "Der Anmeldedienst antwortet nicht oder nicht richtig. Versuchen Sie es später, oder rufen Sie die "
            "Administration des Hubs.",
            "The OpenID Connect provider does not answer, or not as it should. Try later, or call the hub's administrators.",
        ),
        slug="openid-unavailable",
    )
