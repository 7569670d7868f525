"""The plain door: submit an application, follow it, keep its receipt, validate only, and look things up.

An application goes out once and may be repeated: each has an idempotency key of its own, and the hub answers the same key and
content with the same receipt. The receipt is verified before anybody hears of it, with keys that were fetched before anything
was sent.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID, uuid4

import orjson

from hub.client.contents import Attachment
from hub.client.session import Session, listed, read, read_json, unreadable
from hub.crypto import proven_parts, read_jws_header, require_media_type, verify_receipt
from hub.errors import Invalid, SealBroken, Text
from hub.model import MESSAGE_SCHEMA, Callback, CaseMessage, MediaType, State

_APPLICATIONS = "/hub/v1/applications"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_JWKS = "/hub/v1/jwks.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """What to submit. Exactly one of ``ars`` and ``ags`` names the area, else ``Invalid``; without ``schema`` the hub finds it.

    ``metadata``: what a sender may say of FIT-Connect metadata 2.1.0. Sending the same value again, at any time, is a repeat:
    its ``idempotency_key`` tells the hub. ``external_reference`` is what the sender calls it (no data of a person): the hub
    keeps it in clear, and finds the application by it. ``case_id``: it goes into this case, which the sender opened;
    ``replaces``: in place of that submission in it. A withdrawal or an answer is made by :meth:`in_case`.
    """

    data: bytes = field(repr=False)
    media_type: MediaType
    service: str
    ars: str | None = None
    ags: str | None = None
    schema: str | None = None
    attachments: Sequence[Attachment] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    callback: Callback | None = None
    external_reference: str | None = None
    case_id: UUID | None = None
    replaces: UUID | None = None
    idempotency_key: str = field(default_factory=lambda: str(uuid4()))

    @classmethod
    def in_case(cls, message: CaseMessage, case_id: UUID, **more: Any) -> Self:
        """Return a withdrawal or an answer in a case; ``more`` are service and area of the case, attachments."""
        said = {"data": message.content(), "media_type": MediaType.JSON, "schema": MESSAGE_SCHEMA}
        return cls(**{**said, **more}, case_id=case_id)

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.idempotency_key):
            raise Invalid(
                Text(
                    "Der Idempotency-Key besteht aus 1 bis 255 druckbaren ASCII-Zeichen ohne Leerzeichen.",
                    "The idempotency key is 1 to 255 printable ASCII characters without blanks.",
                )
            )
        if (self.ars is None) == (self.ags is None):
            raise Invalid(
                Text("Geben Sie genau eines von ars und ags an.", "Give exactly one of ars and ags."), field="ars"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The hub's signed word that it has an application. ``token`` is what to keep; ``claims`` are what it says."""

    token: str = field(repr=False)
    claims: Mapping[str, Any]
    #: What shows, with the receipt, that a content is what the hub received; to be kept with it. None from older hubs.
    content_salt: str | None = field(default=None, repr=False)

    @classmethod
    def verified(cls, token: str, jwks: Mapping[str, Any], *, content_salt: str | None = None) -> Self:
        """Return the receipt that a key of ``jwks`` signed; ``SealBroken`` or ``KeyRefused`` if none did."""
        return cls(token=token, claims=verify_receipt(token, jwks), content_salt=content_salt)

    @property
    def clock(self) -> Mapping[str, Any]:
        """Whose clock says ``accepted_at``, and whether it was held to a reference (``state``), *not-known* by default."""
        said = self.claims.get("clock")
        return said if isinstance(said, dict) else {"of": "hub", "state": "not-known"}

    def parts_with(self, content: bytes) -> list[str]:
        """Return the names of the parts that the hub received with exactly this content: ``data``, ``attachment:<id>``.

        Raises:
            SealBroken: none, or this receipt or its salt cannot show it (``content-not-proven``).
        """
        return proven_parts(self.claims, self.content_salt or "", content)

    @property
    def submission_id(self) -> UUID:
        """The submission's id, by which its state is asked for."""
        return UUID(self.claims["sub"].removeprefix("submission:"))

    @property
    def case_id(self) -> UUID:
        """The id of its case, whose event log and proof may be asked for."""
        return UUID(self.claims["txn"].removeprefix("case:"))

    @property
    def destination_id(self) -> UUID:
        """The destination that is responsible."""
        return UUID(self.claims["destination"]["destinationId"])

    @property
    def destination(self) -> str:
        """The responsible authority's name."""
        return str(self.claims["destination"]["name"])

    @property
    def accepted_at(self) -> datetime:
        """When the hub took it, aware."""
        return datetime.fromisoformat(self.claims["acceptedAt"])

    @property
    def validation(self) -> Mapping[str, Any] | None:
        """What is to be said of the check: None if it was complete and found nothing."""
        said = self.claims.get("validation")
        return said if isinstance(said, dict) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of an application's history."""

    at: datetime
    step: str
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where an application stands. ``delivery``: queued, delivered, waiting (in the mailbox) or dead.

    ``forwarded`` says where it was handed on to (caseId, submissionId, name, service, ars …), None where it was not.
    """

    submission_id: UUID
    case_id: UUID
    state: State
    delivery: str
    history: tuple[Step, ...]
    #: Steps of AI systems in the case's log about it; None where the hub is too old to say.
    ai_steps: int | None = None
    forwarded: Mapping[str, Any] | None = field(default=None, repr=False)
    #: name, title (de, en), lastDay and law of what has to happen by when, as the service says.
    deadlines: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """One application in the list of a sender's own; ``ars`` is None where it came by the sealed door."""

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    service: str
    ars: str | None
    external_reference: str | None
    state: State
    accepted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What validating found. ``violations`` are mappings with rule, severity, path, text …; ``document`` is all of it."""

    valid: bool
    complete: bool
    total: int
    violations: tuple[Mapping[str, Any], ...]
    document: Mapping[str, Any] = field(repr=False)


class PlainDoor:
    """One sender at a hub's plain door; ``session`` leads to the hub's address. Errors as :class:`Session`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._jwks: Mapping[str, Any] | None = None

    def submit(self, application: Application) -> Receipt:
        """Submit an application and return its receipt, verified. Repeats of the same value get the same receipt.

        Raises:
            InvalidPayload: it breaks its schema; ``violations`` in its members say where. NoRoute: nobody is responsible.
            IdempotencyConflict: its key was used for another content.
            SealBroken: the hub took it, but the receipt is none of its keys'; ``receipt`` in the members holds it.
            Unavailable: nobody knows whether the hub has it; submit the same value again.
        """
        self.published_keys()  # Whoever could not check the receipt had better not send yet.
        with self._session.call("POST", _APPLICATIONS, repeatable=True, **_request(application)) as response:
            answer = read_json(response)
        token = answer.get("receipt") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise unreadable()
        salt = answer.get("contentSalt")
        return self._verified(token, salt if isinstance(salt, str) else None)

    def applications(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        state: State | None = None,
        service: str | None = None,
        external_reference: str | None = None,
    ) -> Iterator[Submitted]:
        """Yield this sender's own applications, newest first; pages are fetched as they are needed."""
        query = _given(
            since=None if since is None else since.isoformat(),
            until=None if until is None else until.isoformat(),
            state=None if state is None else state.value,
            service=service,
            externalReference=external_reference,
        )
        while True:
            page = self._session.json("GET", _APPLICATIONS, query=query)
            for each in listed(page, "applications"):
                yield _submitted(each)
            follows = page.get("next")
            if not isinstance(follows, str):
                return
            query["cursor"] = follows

    def progress(self, submission_id: UUID) -> Progress:
        """Return the state and the history; ``NotFound`` if it is none of this sender's."""
        found = self._session.json("GET", f"{_APPLICATIONS}/{submission_id}")
        try:
            return Progress(
                submission_id=UUID(found["submissionId"]),
                case_id=UUID(found["caseId"]),
                state=State(found["state"]),
                delivery=str(found["delivery"]),
                history=tuple(_step(each) for each in found["history"]),
                ai_steps=None if "aiSteps" not in found else int(found["aiSteps"]),
                forwarded=found.get("forwardedTo"),
                deadlines=tuple(found.get("deadlines", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise unreadable() from exc

    def receipt(self, submission_id: UUID) -> Receipt:
        """Return the receipt once more, verified."""
        headers = {"Accept": "application/jose"}
        with self._session.call("GET", f"{_APPLICATIONS}/{submission_id}/receipt", headers=headers) as response:
            token = read(response).decode("ascii", "replace")
        return self._verified(token)

    def proof(self, case_id: UUID) -> Mapping[str, Any]:
        """Return the proof that a case stood in the log (``hub receipt verify --proof``); ``NotFound`` for some seconds."""
        return self._session.json("GET", f"/hub/v1/cases/{case_id}/proof")

    def validate(
        self, data: bytes, *, media_type: MediaType, schema: str | None = None, service: str | None = None
    ) -> Report:
        """Validate and store nothing. What is invalid is an answer, not an error.

        Raises:
            Malformed: it cannot be read. UnknownSchema: there is none for it.
        """
        found = self._session.json(
            "POST",
            "/hub/v1/validations",
            query=_given(schema=schema, service=service),
            content=data,
            headers={"Content-Type": media_type.value},
            repeatable=True,
        )
        return _report(found)

    def schemas(self, standard: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Return all schemas, or those of one standard, as the catalogue describes them."""
        return listed(self._session.json("GET", "/hub/v1/schemas", query=_given(standard=standard)), "schemas")

    def schema(self, uri: str) -> Mapping[str, Any]:
        """Return one schema's description; ``UnknownSchema`` or ``NotFound``."""
        return self._session.json("GET", "/hub/v1/schemas/entry", query={"uri": uri})

    def areas(self, words: str, *, limit: int = 100, offset: int = 0) -> Mapping[str, Any]:
        """Look areas up by key, postal code or name: ``total``, ``choice`` and one page of ``areas``."""
        query = {"q": words, "limit": str(limit), "offset": str(offset)}
        return self._session.json("GET", "/hub/v1/areas", query=query)

    def responsible(self, service: str, *, ars: str | None = None, ags: str | None = None) -> Mapping[str, Any]:
        """Return who is responsible for a service in an area, and why (``destinationId`` is null where nobody is)."""
        return self._session.json("GET", "/hub/v1/routes/explain", query=_given(service=service, ars=ars, ags=ags))

    def ai_systems(self, service: str | None = None, *, language: str = "de") -> Sequence[Mapping[str, Any]]:
        """Return the AI systems of the hub's register, those that take part in a service if one is named."""
        query = {"lang": language, **_given(service=service)}
        return listed(self._session.json("GET", "/hub/v1/ai-systems", query=query), "systems")

    def published_keys(self) -> Mapping[str, Any]:
        """Return the keys with which the hub signs receipts; asked for once."""
        with self._lock:
            if self._jwks is None:
                self._jwks = self._session.json("GET", _JWKS)
            return self._jwks

    def _verified(self, token: str, content_salt: str | None = None) -> Receipt:
        try:
            kid = read_jws_header(token).kid
            if not any(
                isinstance(key, dict) and key.get("kid") == kid for key in self.published_keys().get("keys", ())
            ):
                with self._lock:
                    self._jwks = None  # Keys change; a new one is published before it signs.
            return Receipt.verified(token, self.published_keys(), content_salt=content_salt)
        except SealBroken as exc:
            raise SealBroken(
                Text(
                    "Der Hub hat den Antrag angenommen, aber seine Eingangsbestätigung ist nicht echt. Bewahren Sie sie auf, "
                    "und fragen Sie seinen Betrieb.",
                    "The hub took the application, but its receipt is not genuine. Keep it, and ask the hub's operators.",
                ),
                slug="receipt-not-genuine",
                receipt=token,
            ) from exc


def _report(found: Mapping[str, Any]) -> Report:
    total, valid = found.get("total"), found.get("valid")
    if not isinstance(total, int) or not isinstance(valid, bool):
        raise unreadable()
    return Report(
        valid=valid,
        complete=bool(found.get("complete", True)),
        total=total,
        violations=tuple(listed(found, "violations")),
        document=found,
    )


def _step(document: Mapping[str, Any]) -> Step:
    text = document["text"]
    return Step(
        at=datetime.fromisoformat(document["at"]), step=str(document["step"]), text=Text(text["de"], text["en"])
    )


def _submitted(document: Mapping[str, Any]) -> Submitted:
    try:
        return Submitted(
            submission_id=UUID(document["submissionId"]),
            case_id=UUID(document["caseId"]),
            destination_id=UUID(document["destinationId"]),
            service=str(document["service"]),
            ars=document["ars"],
            external_reference=document["externalReference"],
            state=State(document["state"]),
            accepted_at=datetime.fromisoformat(document["acceptedAt"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise unreadable() from exc


def _given(**query: str | None) -> dict[str, str]:
    return {name: value for name, value in query.items() if value is not None}


def _request(application: Application) -> dict[str, Any]:
    headers = {"Idempotency-Key": application.idempotency_key}
    if application.callback is not None:
        headers |= {"Callback-Url": application.callback.url, "Callback-Secret": application.callback.secret}
    query = _given(
        service=application.service,
        ars=application.ars,
        ags=application.ags,
        schema=application.schema,
        externalReference=application.external_reference,
        caseId=None if application.case_id is None else str(application.case_id),
        replaces=None if application.replaces is None else str(application.replaces),
    )
    if not application.attachments and not application.metadata:
        headers["Content-Type"] = application.media_type.value
        return {"query": query, "headers": headers, "content": application.data}
    boundary = secrets.token_hex(16)
    headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
    return {"query": query, "headers": headers, "content": partial(_parts, application, boundary)}


def _parts(application: Application, boundary: str) -> Iterator[bytes]:
    """Yield a multipart body (RFC 7578); attachments are read while they are sent."""
    yield _head(boundary, "data", application.media_type.value) + application.data
    metadata = _metadata(application)
    if metadata:
        yield _head(boundary, "metadata", MediaType.JSON.value) + orjson.dumps(metadata)
    for name, attachment in _named(application):
        if attachment.upload is not None:
            continue  # The hub has it already.
        yield _head(boundary, name, attachment.media_type, attachment.filename)
        yield from attachment.chunks()
    yield f"\r\n--{boundary}--\r\n".encode("ascii")


def _head(boundary: str, name: str, media_type: str, filename: str | None = None) -> bytes:
    require_media_type(media_type)
    # RFC 5987's form holds every name; nothing in it can end the line or the quotes.
    also = "" if filename is None else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{name}"{also}\r\nContent-Type: {media_type}\r\n\r\n'
    ).encode("ascii")


def _named(application: Application) -> Iterator[tuple[str, Attachment]]:
    """Yield attachments with the names of their parts, which are the same at each repeat."""
    return ((f"attachment-{number}", each) for number, each in enumerate(application.attachments, start=1))


def _metadata(application: Application) -> dict[str, Any]:
    """Return what the sender says, and of each attachment what its part cannot say."""
    notes = {name: note for name, each in _named(application) if (note := _note(each))}
    return {**application.metadata, **({"attachments": notes} if notes else {})}


def _note(attachment: Attachment) -> dict[str, str]:
    note = {} if attachment.upload is None else {"upload": attachment.upload}
    if attachment.purpose != "attachment" or attachment.description is not None:
        note["purpose"] = attachment.purpose
    if attachment.description is not None:
        note["description"] = attachment.description
    return note
