"""A small OpenID Connect provider on loopback with real keys and signatures.

It is strict where a provider has to be (redirect address, client secret, PKCE, a code once), and its ``twist`` and ``forge``
make it, or somebody who took its place, lie in its tokens.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from jwcrypto import jwk, jws

CLIENT_ID, SECRET = "rathaus-hub", "geheim & nicht:einfach, dafür lang genug"
GROUPS = """
["hub-redaktion"]
roles = ["editor"]
tenant = "*"

["hub-freigabe"]
roles = ["approver"]
tenant = "*"

["hub-lesen"]
roles = ["viewer"]
tenant = "*"

["rtk"]
roles = ["viewer", "editor"]
tenant = "06439"
"""

Claims = dict[str, Any]


def make_key(kid: str, **kind: Any) -> jwk.JWK:
    return jwk.JWK.generate(**(kind or {"kty": "RSA", "size": 2048}), kid=kid)


def sign(key: jwk.JWK, header: Claims, claims: Claims) -> str:
    token = jws.JWS(json.dumps(claims).encode())
    token.allowed_algs = ["RS256", "PS256", "ES256", "HS256"]
    token.add_signature(key, None, json.dumps(header))
    return str(token.serialize(compact=True))


@dataclass
class SmallProvider:
    """Who is logged in there, what it says of them, and what was asked of it."""

    clock: Callable[[], Any]
    issuer: str = ""
    redirect_uri: str = ""
    person: Claims = field(default_factory=lambda: {"sub": "p-1", "preferred_username": "Erika.M", "name": "Erika M."})
    groups: list[str] = field(default_factory=lambda: ["hub-redaktion"])
    keys: list[jwk.JWK] = field(default_factory=lambda: [make_key("k1")])
    #: Changes claims before they are signed.
    twist: Callable[[Claims], Any] = lambda _: None
    #: Makes the token in place of the provider's own signature.
    forge: Callable[[Claims], str] | None = None
    #: Changes the answer that the browser brings back.
    answer: Callable[[dict[str, str]], Any] = lambda _: None
    #: Changes the discovery document.
    metadata: Claims = field(default_factory=dict)
    #: Shows a page with a button instead of answering at once.
    asks: bool = False
    requests: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def document(self) -> Claims:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def jwks(self) -> Claims:
        return {"keys": [json.loads(key.export_public()) | {"use": "sig"} for key in self.keys]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser goes back to."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["redirect_uri"] == self.redirect_uri
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer}
        self.answer(answer)
        return f"{self.redirect_uri}?{urlencode(answer)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, Claims]:
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if pair != urlencode({CLIENT_ID: SECRET}).replace("=", ":", 1):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form["code"], None)
        if asked is None or form["redirect_uri"] != self.redirect_uri or not _fits(asked, form["code_verifier"]):
            return 400, {"error": "invalid_grant"}
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "roles": self.groups,
            **self.person,
        }
        self.twist(claims)
        key = self.keys[-1]
        alg = {"RSA": "RS256", "EC": "ES256"}[key["kty"]]
        token = self.forge(claims) if self.forge else sign(key, {"alg": alg, "kid": key["kid"]}, claims)
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": token}


def _fits(asked: dict[str, str], verifier: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]


def _consent(asked: dict[str, str]) -> bytes:
    fields = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in asked.items())
    return f'<!doctype html><form action="/consent">{fields}<button>Ich bin es</button></form>'.encode()


def _handler(provider: SmallProvider) -> type[BaseHTTPRequestHandler]:  # noqa: C901  # one class, five short methods
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            target = urlsplit(self.path)
            provider.requests.append(target.path)
            asked = dict(parse_qsl(target.query))
            if target.path == "/.well-known/openid-configuration":
                self._say(200, provider.document())
            elif target.path == "/keys":
                self._say(200, provider.jwks())
            elif target.path == "/authorize" and provider.asks:
                fields = "".join(
                    f'<input type="hidden" name="{name}" value="{value}">' for name, value in asked.items()
                )
                page = f'<!doctype html><form action="/consent">{fields}<button>Ich bin es</button></form>'
                self._send(200, "text/html", page.encode())
            elif target.path in {"/authorize", "/consent"}:
                self._send(302, "text/plain", b"", Location=provider.authorize(asked))
            else:
                self._send(200, "text/html", b"<!doctype html><h1>Abgemeldet beim Anmeldedienst</h1>")

        def do_POST(self) -> None:
            provider.requests.append(self.path)
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self._say(*provider.token(form, self.headers.get("Authorization", "")))

        def _say(self, status: int, document: Claims) -> None:
            self._send(status, "application/json", json.dumps(document).encode())

        def _send(self, status: int, kind: str, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def running(provider: SmallProvider) -> Iterator[SmallProvider]:
    """The provider behind a real server; its name is another site than the hub's 127.0.0.1, as in life."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    provider.issuer = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield provider
    server.shutdown()
    server.server_close()
    thread.join()


def session_cookie(answer: Any) -> str | None:
    return answer.cookies.get("hub-session")
