"""A form that a person fills in: what it holds, and the cookie by which its person is known.

The cookie carries an identifier and a key of 32 random bytes; what is stored under the identifier is ciphertext under the key
(``storage``), so that nobody reads a running form who does not hold its cookie, and a lost cookie is a lost form. A session
exists for as long as its form: whoever looks around has none, and each form that is begun gets a new one, so no session can
be fixed in advance.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self, cast
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response

from hub.errors import SealBroken
from hub.portal.storage import FormKey, FormPurpose, FormStorage
from hub.portal.texts import Language

#: A cookie of this prefix is taken by browsers over https alone, from this host alone, for all of it (RFC 6265bis 4.1.3.2).
_COOKIE = "__Host-antrag"
#: Of the showing on this very machine, which has no https.
_COOKIE_IN_DEVELOPMENT = "antrag-development"
#: The longest cookie that is looked at; a key has 66 characters.
_LONGEST = 200
_FORMAT = 1
#: Under which a request keeps the key that its cookie says, for as long as it is answered.
_KEY = "portal.key"


@dataclass(frozen=True, kw_only=True, slots=True)
class FormArea:
    """Where an application belongs: ARS and name of a municipality."""

    ars: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FormSchema:
    """By what the answers are judged; ``sha256`` is what the hub said of it when the form began."""

    uri: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAttachment:
    """A file that lies sealed beside the form; ``at`` is the place of the answers that it was sent for, ``size`` bytes."""

    id: str
    at: str
    name: str = field(repr=False)
    media_type: str
    size: int
    sha512: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A form as it stands. ``answers`` as :mod:`hub.forms` has them.

    ``idempotency_key`` makes each try to send it the same application: ``pending`` is that application while nobody knows
    whether the hub has it, ``sent`` what became of it. ``reply_key`` is the private key (JWK) that opens replies. ``saved`` is
    the key under which it is kept for longer, ``extra`` what pages beside the form keep. ``revision`` is the storage's.
    """

    place: FormArea
    service: str
    service_name: str
    authority: str
    schema: FormSchema
    language: Language
    begun: str
    form_id: str = field(default_factory=lambda: str(uuid4()))
    answers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    attachments: tuple[KeptAttachment, ...] = ()
    idempotency_key: str = field(default_factory=lambda: str(uuid4()))
    reply_key: Mapping[str, Any] | None = field(default=None, repr=False)
    pending: Mapping[str, Any] | None = field(default=None, repr=False)
    sent: Mapping[str, Any] | None = field(default=None, repr=False)
    saved: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    revision: int = 0

    def content(self) -> bytes:
        """Return the form as it is stored, before it is sealed."""
        said = {name: getattr(self, name) for name in self.__slots__ if name != "revision"}
        return orjson.dumps({"format": _FORMAT, **said})

    @classmethod
    def read(cls, content: bytes, *, revision: int) -> Self | None:
        """Return a form from what was stored; None of a version that this program does not know."""
        document: dict[str, Any] = orjson.loads(content)
        if document.pop("format", None) != _FORMAT:
            return None
        document["place"] = FormArea(**document["place"])
        document["schema"] = FormSchema(**document["schema"])
        document["attachments"] = tuple(KeptAttachment(**each) for each in document["attachments"])
        return cls(**document, revision=revision)


@dataclass(frozen=True, kw_only=True, slots=True)
class FormSession:
    """A running form, and the key that its person's cookie carries."""

    key: FormKey = field(repr=False)
    running: Running


class Sessions:
    """Begins, finds, keeps and ends running forms.

    ``secure``: the portal is reached by https; ``idle``: how long one stays, ``unanswered``: of which no page was sent yet.
    Every method but the two for CSRF reads or writes the storage, and may raise ``Unavailable``.
    """

    def __init__(self, storage: FormStorage, *, secure: bool, idle: timedelta, unanswered: timedelta) -> None:
        self._storage = storage
        self._secure = secure
        self._idle = idle
        self._unanswered = min(idle, unanswered)

    @property
    def cookie(self) -> str:
        """The name of the one cookie."""
        return _COOKIE if self._secure else _COOKIE_IN_DEVELOPMENT

    def begin(self, response: Response, running: Running, now: datetime) -> FormSession:
        """Store a form that begins, under a key that nobody has had before, and give its cookie to the person.

        The cookie ends with the browser, or with the form.
        """
        key = FormKey.new()
        ends = now + self._unanswered
        self._storage.create(key, running.content(), purpose=FormPurpose.RUNNING, now=now, ends=ends)
        self.give(response, key)
        return FormSession(key=key, running=replace(running, revision=1))

    def give(self, response: Response, key: FormKey) -> None:
        """Set the cookie of a form that is stored already."""
        response.set_cookie(self.cookie, key.text(), path="/", httponly=True, samesite="strict", secure=self._secure)

    def of(self, request: Request, now: datetime) -> FormSession | None:
        """Return the session of a request; None where it has none, or its form is gone."""
        key = self._key(request)
        try:
            kept = None if key is None else self._storage.read(key, now=now)
        except SealBroken:  # A key that somebody made up for a form of another's.
            return None
        if key is None or kept is None or kept.purpose is not FormPurpose.RUNNING:
            return None
        running = Running.read(kept.content, revision=kept.revision)
        return None if running is None else FormSession(key=key, running=running)

    def write(self, session: FormSession, running: Running, now: datetime) -> FormSession:
        """Store a form's new state; ``Conflict`` if another tab has stored one since this was read."""
        revision = self._storage.write(
            session.key, running.content(), revision=session.running.revision, now=now, ends=now + self._idle
        )
        return replace(session, running=replace(running, revision=revision))

    def move(self, session: FormSession, response: Response, now: datetime) -> FormSession:
        """Keep a form under a new key, in this state, and give its cookie to the person; the old key opens nothing any more.

        Raises:
            NotFound: it has ended. Overloaded, TooLarge: there is no room for both at once.
        """
        key, running = FormKey.new(), session.running
        self._storage.copy(
            session.key,
            key,
            running.content(),
            attached=[each.id for each in running.attachments],
            purpose=FormPurpose.RUNNING,
            now=now,
            ends=now + self._idle,
        )
        self._storage.delete(session.key)
        self.give(response, key)
        return FormSession(key=key, running=replace(running, revision=1))

    def forget(self, session: FormSession) -> None:
        """Forget a form with its attachments."""
        self._storage.delete(session.key)

    def end(self, session: FormSession, response: Response) -> None:
        """Forget a form with its attachments, and have the browser forget its cookie."""
        self.forget(session)
        response.delete_cookie(self.cookie, path="/", httponly=True, samesite="strict", secure=self._secure)

    def csrf(self, request: Request) -> str:
        """Return what each form of a page carries that changes something: only pages for the cookie's holder know it."""
        key = self._key(request)
        return "" if key is None else _mac(key.key, b"portal csrf")

    def has_csrf(self, request: Request, sent: str) -> bool:
        """Tell whether a form came from a page for this cookie; anything did where there is no cookie."""
        return hmac.compare_digest(self.csrf(request).encode(), sent.encode("utf-8", "replace")) or not self._key(
            request
        )

    def _key(self, request: Request) -> FormKey | None:
        if _KEY in request.scope:  # A page asks for it several times.
            return cast("FormKey | None", request.scope[_KEY])
        value = request.cookies.get(self.cookie, "")
        found = request.scope[_KEY] = FormKey.read(value) if len(value) <= _LONGEST else None
        return found


def _mac(key: bytes, purpose: bytes) -> str:
    made = hmac.new(key, purpose, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode("ascii")
