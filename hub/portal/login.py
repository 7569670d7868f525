"""Who is logged in, and the walk to a provider of log-ins and back (OpenID Connect Core 1.0, with PKCE, state and nonce).

A log-in belongs to one running form. What the provider says is kept within it, as ciphertext under its person's cookie, and
goes with it: with sending, with the form's end, with logging out, and it is in no copy that is saved or that others release.

Out: a ticket of state, nonce, verifier and the form's key is sealed into the storage; its key is derived from the form's and
goes to the browser in a cookie of its own, which comes back from another site. Back, checked in this order: (1) the cookie
opens a ticket, which ends after ten minutes, (2) its state is the answer's, (3) nobody took the ticket before, (4) code and ID
token (``hub.openid``), (5) the form is there and not on its way. Then the form moves under a new key: one that somebody else
knew before opens nothing of what is known now.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import uuid4

import orjson

from hub.client.transport import Request, Transport, is_loopback
from hub.errors import Conflict, HubError, Invalid, SealBroken, Text, Unavailable
from hub.forms.form_file import Questionnaire
from hub.forms.known import KnownAnswer, known_answers
from hub.model.submission import ID_TOKEN
from hub.openid.provider import Attested, AuthorizationRequest, Provider, Registration, refused
from hub.portal.login_settings import PortalLogin
from hub.portal.session import FormSession, Running
from hub.portal.storage import FormKey, FormPurpose, FormStorage, Kept
from hub.services.entry import Assurance

#: Where people choose how to go on, where they leave for the provider, where its answer comes in, and where they log out.
LOGIN, DEPART, RETURN, LOGOUT = (
    "/antrag/anmelden",
    "/antrag/anmelden/los",
    "/antrag/anmelden/zurueck",
    "/antrag/abmelden",
)
#: How long somebody may take at the provider.
TICKET_LIFE = timedelta(minutes=10)
#: Where a form says who is logged in, and how sure that has to be.
_LOGGED_IN, DEMANDED = "login", "assurance"
_LONGEST_FACT, _LONGEST_CLAIM = 200, 300
_LONGEST_ANSWER = 256 * 1024  # Bytes
#: A street with its number, as one claim has them: "Am Markt 12 a".
_STREET = re.compile(r"(?P<street>.*\D)\s+(?P<number>\d+\s?[a-zA-Z]?(?:\s?[-/]\s?\d+\s?[a-zA-Z]?)?)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedIn:
    """Somebody as a provider knows them. ``level``: how sure it is (empty: it did not say so), ``said``: its own word for that.

    ``facts`` are what forms know (:data:`hub.forms.known.FACTS`); ``open`` the places whose locked value the schema does not
    take: they are left to the person. ``token`` is what the provider signed, ``key`` the public key that it holds by.
    """

    provider: str
    subject: str = field(repr=False)
    name: str = field(repr=False)
    level: str
    said: str
    at: str
    facts: Mapping[str, str] = field(repr=False)
    open: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    key: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, running: Running) -> Self | None:
        """Return who is logged in at a form."""
        kept = running.extra.get(_LOGGED_IN)
        return None if kept is None else cls(**{**kept, "open": tuple(kept["open"])})

    @classmethod
    def from_attested(cls, attested: Attested, settings: PortalLogin, now: datetime) -> Self:
        """Read what a verified token says."""
        claims = attested.claims
        facts = _facts(claims, settings.claims)
        said = _claim(claims, settings.level_claim)[:_LONGEST_CLAIM]
        return cls(
            provider=str(claims["iss"]),
            subject=str(claims["sub"]),
            name=" ".join(filter(None, (facts.get("given-name"), facts.get("family-name")))),
            level=max(
                (each for each, words in settings.levels.items() if said in words),
                key=list(Assurance).index,
                default="",
            ),
            said=said,
            at=now.isoformat(timespec="seconds"),
            facts=facts,
            token=attested.token,
            key=attested.key,
        )

    def within(self, running: Running) -> Running:
        """Return a form at which this person is logged in."""
        return replace(running, extra={**running.extra, _LOGGED_IN: asdict(self)})

    def known(self, form: Questionnaire) -> tuple[KnownAnswer, ...]:
        """Return what is known of the person for a form."""
        found = known_answers(form, self.facts)
        return tuple(replace(each, locked=each.locked and each.at not in self.open) for each in found)

    def reaches(self, demanded: str) -> bool:
        """Tell whether the log-in is as sure as is demanded."""
        return bool(self.level) and Assurance(self.level).reaches(Assurance(demanded))

    def as_metadata(self, evidence: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what the authority is told of it; of a proof that goes along, which it is and the key that it holds by."""
        proof = {} if evidence is None else {"evidence": evidence["dataSetId"], "evidenceKey": dict(self.key)}
        return {
            "method": "openid-connect",
            "provider": self.provider,
            "subject": self.subject,
            "name": self.name,
            "birthDate": self.facts.get("birth-date", ""),
            "level": self.level or None,
            "levelAsSaid": self.said or None,
            "at": self.at,
            **proof,
        }

    def as_evidence(self) -> dict[str, Any]:
        """Return the proof of the log-in as a data set of FIT-Connect's metadata 2: the token as the provider signed it."""
        return {
            "dataSetId": str(uuid4()),
            "description": f"ID token of {self.provider}",
            "schema": {"schemaUri": ID_TOKEN, "mimeType": "application/jose"},
            "hash": {"type": "sha512", "content": hashlib.sha512(self.token.encode()).hexdigest()},
            "content": self.token,
        }


def lacks_login(running: Running, demanded: str | None) -> bool:
    """Tell whether a form may not go on before somebody logs in, or does so more surely."""
    who = LoggedIn.of(running)
    return bool(demanded) and (who is None or not who.reaches(str(demanded)))


def logged_out(running: Running) -> Running:
    """Return a form at which nobody is logged in; its answers are as they were."""
    return replace(running, extra={name: each for name, each in running.extra.items() if name != _LOGGED_IN})


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalDeparture:
    """Where the browser goes, and the key of the ticket that it brings back in a cookie."""

    address: str
    ticket: FormKey = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalReturn:
    """Who came back, and the session of the form that they left from, under the key that it had then."""

    session: FormSession
    who: LoggedIn


class LoginWay:
    """Leads people to the provider and back. ``origins`` are the portal's addresses by host, each known to the provider."""

    def __init__(
        self,
        settings: PortalLogin,
        secret: str,
        *,
        origins: Mapping[str, str],
        storage: FormStorage,
        transport: Transport,
    ) -> None:
        self.settings = settings
        self._storage = storage
        way_out = ProvidersLine(transport)
        self._providers = {
            host: Provider(
                registration=Registration(
                    issuer=settings.issuer,
                    client_id=settings.client_id,
                    secret=secret,
                    redirect_uri=f"{origin}{RETURN}",
                    scopes=settings.scopes,
                ),
                outbound=way_out,
            )
            for host, origin in origins.items()
        }

    def offers(self, demanded: str | None) -> bool:
        """Tell whether anybody can log in here as surely as is demanded."""
        levels = (level for level, words in self.settings.levels.items() if words)
        return not demanded or any(level.reaches(Assurance(demanded)) for level in levels)

    def depart(self, host: str, session: FormSession, now: datetime) -> PortalDeparture:
        """Begin a log-in for a form, in place of one that began before; ``Unavailable`` without the provider."""
        request, ticket = AuthorizationRequest.new(), _ticket_of(session.key)
        address = self._providers[host].address(request, now=now)
        content = {
            "state": request.state,
            "nonce": request.nonce,
            "verifier": request.verifier,
            "form": session.key.text(),
        }
        self._storage.delete(ticket)
        self._storage.create(ticket, orjson.dumps(content), purpose=FormPurpose.LOGIN, now=now, ends=now + TICKET_LIFE)
        return PortalDeparture(address=address, ticket=ticket)

    def arrive(self, host: str, answer: Mapping[str, str], cookie: str, now: datetime) -> PortalReturn:
        """Take the provider's answer.

        Raises:
            Unauthenticated: it does not hold, or belongs to no form of this browser (one answer for all reasons).
            Unavailable: the provider, or the storage, cannot be reached.
        """
        try:
            request, form, ticket = self._redeemed(answer, cookie, now)
            attested = self._providers[host].attested(answer, request, now=now)
            self._storage.delete(ticket)
            return PortalReturn(session=self._form(form, now), who=LoggedIn.from_attested(attested, self.settings, now))
        except HubError as error:
            _log.warning("log-in refused: %s %s", error.slug, error.members.get("check", ""))
            raise

    def way_out(self, host: str, back: str, now: datetime) -> str:
        """Return where to log out at the provider, too; empty where it offers that nowhere, or does not answer."""
        try:
            return self._providers[host].way_out(back, now=now) or ""
        except Unavailable:
            return ""

    def _redeemed(
        self, answer: Mapping[str, str], cookie: str, now: datetime
    ) -> tuple[AuthorizationRequest, FormKey, FormKey]:
        """Return what belongs to an answer, once; an answer of somebody else's leaves the ticket as it is."""
        ticket, kept = self._kept(cookie, now)
        content: dict[str, str] = orjson.loads(kept.content)
        request = AuthorizationRequest(**{name: content.get(name, "") for name in ("state", "nonce", "verifier")})
        form = FormKey.read(content.get("form", ""))
        if form is None:
            raise refused("used")
        request.require_own(answer)
        try:
            # Of two that come with the same answer one writes, on whatever node.
            self._storage.write(ticket, b"{}", revision=kept.revision, now=now, ends=kept.ends)
        except Conflict as exc:
            raise refused("used") from exc
        return request, form, ticket

    def _kept(self, cookie: str, now: datetime) -> tuple[FormKey, Kept]:
        """Return the ticket of a log-in that began here, and what is kept under it."""
        ticket = FormKey.read(cookie)
        try:
            kept = None if ticket is None else self._storage.read(ticket, now=now)
        except SealBroken as exc:
            raise refused("cookie") from exc
        if ticket is None or kept is None or kept.purpose is not FormPurpose.LOGIN:
            raise refused("no-ticket")
        return ticket, kept

    def _form(self, key: FormKey, now: datetime) -> FormSession:
        kept = self._storage.read(key, now=now)
        running = None if kept is None else Running.read(kept.content, revision=kept.revision)
        if running is None or running.sent is not None or running.pending is not None:
            raise refused("no-form")
        return FormSession(key=key, running=running)


def _ticket_of(form: FormKey) -> FormKey:
    """Return the key of a form's ticket: each form has one at a time, and its key tells nothing of the form's."""
    return FormKey.of(hmac.new(form.key, b"portal log-in", hashlib.sha512).digest()[:48])


def _facts(claims: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    facts = {fact: _claim(claims, name) for fact, name in names.items()}
    if names.get("street") == names.get("house-number"):
        parted = _STREET.fullmatch(facts.get("street", ""))
        street, number = (parted["street"], parted["number"]) if parted else (facts.get("street", ""), "")
        facts |= {"street": street, "house-number": number}
    facts["name"] = facts.get("name") or " ".join(filter(None, (facts.get("given-name"), facts.get("family-name"))))
    return {fact: value for fact, value in facts.items() if value}


def _claim(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim's text on one line, empty where there is none, or nothing that a form could take."""
    found: Any = claims
    for part in name[1:].split("/") if name.startswith("/") else [name]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    text = unicodedata.normalize("NFC", " ".join(found.split())) if isinstance(found, str) else ""
    return text if len(text) <= _LONGEST_FACT and text.isprintable() else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _ProvidersAnswer:
    status: int | None
    content: bytes = field(repr=False, default=b"")


class ProvidersLine:
    """The client's transport as what ``hub.openid`` asks by: whom to ask is the operator's word, and the provider's own."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def require_url(self, url: str) -> None:
        """Require https, or http to this very machine."""
        scheme, _, rest = url.partition("://")
        host = re.split(r"[/?#]", rest)[0]
        local = scheme == "http" and is_loopback(host.rpartition(":")[0] or host)
        if not host or "@" in host or not (scheme == "https" or local):
            raise Invalid(Text("Das ist keine Adresse mit https://.", "This is no address with https://."))

    def get(self, url: str, headers: Mapping[str, str]) -> _ProvidersAnswer:
        """Ask for ``url`` once."""
        return self._asked(Request(method="GET", url=url, headers=headers))

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> _ProvidersAnswer:
        """Post ``body`` once."""
        return self._asked(Request(method="POST", url=url, headers=headers, content=body))

    def _asked(self, request: Request) -> _ProvidersAnswer:
        content = bytearray()
        try:
            with self._transport.exchange(request) as answer:
                for chunk in answer.chunks:
                    content += chunk
                    if len(content) > _LONGEST_ANSWER:
                        return _ProvidersAnswer(status=None)
                return _ProvidersAnswer(status=answer.status, content=bytes(content))
        except Unavailable:
            return _ProvidersAnswer(status=None)
