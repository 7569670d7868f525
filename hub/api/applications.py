"""Plain door over HTTP: ``/hub/v1/applications`` and ``/hub/v1/validations``.

Bodies are read from the request's stream. Attachments are sealed chunk by chunk while they arrive; the data part stays in
memory, and nothing is ever spooled to disk.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from connexion.lifecycle import ConnexionResponse
from starlette.requests import Request

from hub.api import (
    RequestLimits,
    area_of,
    arrival,
    in_thread,
    json_answer,
    moment_of,
    note,
    reservation,
    schema_violation,
    until_stored,
    violation,
    visit,
)
from hub.api.deprecation import Endings
from hub.areas import Gazetteer
from hub.errors import Malformed, Text, TooLarge
from hub.identity import Caller, require_sending
from hub.intake import Accepted, Intake, Reception, Replay
from hub.intake.status import HistoryStep, Progress, StatusDesk, reference_in
from hub.intake.uploads import NamedUpload, Poured, UploadDesk, without_uploads
from hub.model import Application, Callback, Cover, MediaType, State, canonical_service, service_names
from hub.services import DeadlineRule
from hub.store import SentFilter, StoredMessage
from hub.validation.report import Report
from hub.web.multipart import Part, parts

#: A body up to this size is read before anything else is done with it.
_SMALL = 256 * 1024
#: Threads for small applications: more only fight over the interpreter, which validation and sealing release for a part of
#: their time (two accept a tenth more than four). Large ones have threads of their own, and hold up no small one.
_THREADS = 2
_THREADS_FOR_LARGE = 4
#: Plaintext is handed to the sealing thread in pieces of about this size.
_PIECE = 1024 * 1024
_METADATA_LIMIT = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Applications:
    """Handlers of the plain door. ``data_limit`` is the largest data part in bytes."""

    def __init__(
        self,
        *,
        intake: Intake,
        desk: StatusDesk,
        endings: Endings,
        gazetteer: Gazetteer,
        caller: Callable[[], Caller],
        clock: Callable[[], datetime],
        base_url: str,
        data_limit: int,
        uploads: UploadDesk,
        total_limit: int = RequestLimits().total,
    ) -> None:
        self._intake = intake
        self._desk = desk
        self._endings = endings
        self._gazetteer = gazetteer
        self._caller = caller
        self._clock = clock
        self._base_url = base_url
        self._data_limit = data_limit
        self._total_limit = total_limit
        self._uploads = uploads
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="intake")
        self._threads_for_large = ThreadPoolExecutor(_THREADS_FOR_LARGE, thread_name_prefix="intake-large")

    async def create(  # noqa: PLR0917  # parameters of the contract, passed by name
        self,
        service: str,
        ars: str | None = None,
        ags: str | None = None,
        schema: str | None = None,
        externalReference: str | None = None,  # noqa: N803  # the parameter's name in openapi.yaml
        caseId: str | None = None,  # noqa: N803
        replaces: str | None = None,
    ) -> ConnexionResponse:
        """Accept an application: 202 with the signed receipt."""
        request = visit()
        cover = self._cover(request, service, area_of(ars, ags, self._gazetteer).ars, schema, externalReference)
        if caseId is not None or replaces is not None:
            cover = replace(cover, case_id=_uuid(caseId), replaces=_uuid(replaces))
        came = arrival(request.scope)
        if came.media_type != "multipart/form-data" and _announced_size(request) <= _SMALL:
            data = await self._read_limited(request.stream())
            application = Application(cover=cover, media_type=MediaType(came.media_type), data=data)
            # Open and accept in one go: a change of thread costs as much as sealing.
            accept = partial(self._intake.accept, application, now=self._clock())
            return self._answer(await until_stored(accept, pool=self._threads))
        reception = await in_thread(self._intake.open, cover, now=self._clock())
        with reception:
            if came.media_type == "multipart/form-data":
                application, named = await self._read_parts(request, reception, cover)
            else:
                data = await self._read_whole(request.stream(), reception)
                application, named = Application(cover=cover, media_type=MediaType(came.media_type), data=data), []
            accepted = await self._accepted(reception, application, named)
        return self._answer(accepted)

    async def _accepted(
        self, reception: Reception | Replay, application: Application, named: Sequence[NamedUpload]
    ) -> Accepted:
        """Have the application accepted with the uploads that it names; they are its own then, or free again."""
        pour = partial(self._uploads.pour, named, application.cover.sender, reception, most=self._total_limit)
        poured: Poured | None = await in_thread(pour) if named else None
        try:
            accept = partial(reception.accept, application, now=self._clock())
            accepted = await until_stored(accept, pool=self._threads_for_large)
        except BaseException:
            if poured is not None:
                await in_thread(poured.over, accepted=False)
            raise
        if poured is not None:
            await in_thread(poured.over, accepted=True)
        return accepted

    async def list(  # noqa: PLR0917  # parameters of the contract, passed by name
        self,
        since: str | None = None,
        until: str | None = None,
        state: str | None = None,
        service: str | None = None,
        externalReference: str | None = None,  # noqa: N803
        cursor: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        """List the caller's own applications, newest first, one page."""
        wanted = SentFilter(
            since=None if since is None else moment_of(since, "since"),
            until=None if until is None else moment_of(until, "until"),
            state=None if state is None else State(state),
            services=None if service is None else service_names(service),
            reference=externalReference,
        )
        before = None if cursor is None else _read_cursor(cursor)
        found = await in_thread(self._desk.sent, wanted, caller=self._caller(), before=before, limit=limit)
        return {
            "applications": [_sent_json(each, self._base_url) for each in found.messages],
            "next": None if found.follows is None else _cursor(*found.follows),
        }

    async def status(self, submissionId: str) -> dict[str, Any]:  # noqa: N803  # the parameter's name in openapi.yaml
        """Tell the state and the history."""
        progress = await in_thread(self._desk.progress, UUID(submissionId), caller=self._caller())
        return _progress_json(progress, self._base_url)

    async def receipt(self, submissionId: str) -> ConnexionResponse:  # noqa: N803
        """Return the signed receipt again."""
        receipt = await in_thread(self._desk.receipt, UUID(submissionId), caller=self._caller())
        return ConnexionResponse(status_code=200, body=receipt, content_type="application/jose")

    async def call_back(self, submissionId: str, body: dict[str, Any] | None = None) -> ConnexionResponse:  # noqa: N803
        """Have the last callbacks about an application sent again."""
        last = (body or {}).get("last", 1)
        resend = partial(self._desk.call_back, UUID(submissionId), last=last, caller=self._caller())
        return json_answer({"resent": await in_thread(resend)}, 202)

    async def validate(self, schema: str | None = None, service: str | None = None) -> dict[str, Any]:
        """Validate only: the report, valid or not, is the answer."""
        request, held = visit(), reservation()
        data = bytearray()
        async for chunk in request.stream():
            self._count(len(data) + len(chunk))
            held.grow(len(chunk))
            data += chunk
        check = partial(
            self._intake.check,
            bytes(data),
            media_type=MediaType(arrival(request.scope).media_type),
            schema=schema,
            service=None if service is None else canonical_service(service),
            now=self._clock(),
        )
        pool = self._threads if len(data) <= _SMALL else self._threads_for_large
        report: Report = await until_stored(partial(_done, check), pool=pool)
        self._endings.tell(report.schema.uri, self._clock().date())
        return report.as_json()

    def _cover(
        self, request: Request, service: str, area: str, schema: str | None, external_reference: str | None
    ) -> Cover:
        headers = request.headers
        url, secret = headers.get("callback-url"), headers.get("callback-secret")
        if (url is None) != (secret is None):
            raise _half_a_callback()
        caller = self._caller()
        require_sending(caller, service=service, areas=[area])
        canonical = canonical_service(service)
        note(service=canonical)
        return Cover(
            sender=caller.client_id,
            service=canonical,
            area=area,
            schema=schema,
            idempotency_key=headers.get("idempotency-key"),
            callback=Callback(url=url, secret=secret) if url and secret else None,
            external_reference=external_reference,
        )

    async def _read_whole(self, stream: AsyncIterator[bytes], reception: Reception | Replay) -> bytes:
        data = bytearray()
        async for chunk in stream:
            self._count(len(data) + len(chunk))
            reception.take(len(chunk))
            data += chunk
        return bytes(data)

    async def _read_limited(self, stream: AsyncIterator[bytes]) -> bytes:
        data = bytearray()
        async for chunk in stream:
            self._count(len(data) + len(chunk))
            data += chunk
        return bytes(data)

    def _count(self, size: int) -> None:
        if size > self._data_limit:
            raise TooLarge(
                Text(
                    f"Der Datenteil ist größer als {self._data_limit} Byte. Große Inhalte gehören in Anlagen.",
                    f"The data part is larger than {self._data_limit} bytes. Large contents belong in attachments.",
                )
            )

    async def _read_parts(
        self, request: Request, reception: Reception | Replay, cover: Cover
    ) -> tuple[Application, Sequence[NamedUpload]]:
        found: dict[str, tuple[str, bytes]] = {}
        async for part in parts(request.stream(), arrival(request.scope).content_type):
            if part.name in {"data", "metadata"}:
                if part.name in found:
                    raise _twice(part.name)
                read = self._read_whole if part.name == "data" else _read_metadata
                found[part.name] = (part.content_type, await read(part.chunks(), reception))
            else:
                await self._seal_part(reception, part)
        if "data" not in found:
            raise Malformed(
                Text("Der Teil „data“ mit dem Antrag fehlt.", "The part 'data' with the application is missing.")
            )
        kind, data = found["data"]
        metadata, named = without_uploads(_metadata(found.get("metadata")))
        return Application(cover=cover, media_type=_data_type(kind), data=data, metadata=metadata), named

    async def _seal_part(self, reception: Reception | Replay, part: Part) -> None:
        chunks = part.chunks()
        piece = bytearray(await anext(chunks, b""))
        if not piece and part.is_empty_field:
            return  # A form's file field that nobody filled (HTML, section 4.10.22.4).
        sealer = reception.attach(
            name=part.name, filename=part.filename, media_type=part.content_type or "application/octet-stream"
        )
        async for chunk in chunks:
            piece += chunk
            if len(piece) >= _PIECE:
                await in_thread(sealer.write, bytes(piece))
                piece.clear()
        await in_thread(sealer.write, bytes(piece))
        await in_thread(sealer.finish)

    def _salted(self, claims: Mapping[str, Any]) -> dict[str, str]:
        salt = self._intake.content_salt(claims)
        return {} if salt is None else {"contentSalt": salt}

    def _answer(self, accepted: Accepted) -> ConnexionResponse:
        claims = accepted.claims
        submission_id = claims["sub"].removeprefix("submission:")
        link = f"{self._base_url}/hub/v1/applications/{submission_id}"
        case_id, there = claims["txn"].removeprefix("case:"), claims["destination"]["destinationId"]
        note(submission=submission_id, case=case_id, destination=there)
        self._endings.tell(claims["schema"]["uri"], self._clock().date())
        if accepted.again:
            note(outcome="repeated")
        body = (
            {
                "submissionId": submission_id,
                "caseId": case_id,
                "destinationId": there,
                "destination": claims["destination"],
                "acceptedAt": claims["acceptedAt"],
                "schema": {"uri": claims["schema"]["uri"], "version": claims["schema"]["version"]},
                "status": link,
                "receipt": accepted.receipt,
            }
            | self._salted(claims)
            | ({"validation": claims["validation"]} if "validation" in claims else {})
        )
        return ConnexionResponse(
            status_code=202, body=orjson.dumps(body), content_type="application/json", headers={"Location": link}
        )


def _half_a_callback() -> Malformed:
    return Malformed(
        Text(
            "Callback-Url und Callback-Secret gehören zusammen: Senden Sie beide oder keinen.",
            "Callback-Url and Callback-Secret belong together: send both or neither.",
        )
    )


def _uuid(given: str | None) -> UUID | None:
    return None if given is None else UUID(given)


def _done(check: Callable[[], Report]) -> Future[Report]:
    done: Future[Report] = Future()
    done.set_result(check())
    return done


def _announced_size(request: Request) -> int:
    length = request.headers.get("content-length")
    return int(length) if length is not None else _SMALL + 1


def _data_type(content_type: str) -> MediaType:
    kind = MediaType.meant_by(content_type)
    if kind is None:
        raise Malformed(
            Text(
                "Der Teil „data“ braucht den Content-Type application/json oder application/xml (auch text/xml, …+xml und "
                "…+json).",
                "The part 'data' needs the Content-Type application/json or application/xml (also text/xml, …+xml, …+json).",
            )
        )
    return kind


def _metadata(found: tuple[str, bytes] | None) -> Mapping[str, Any]:
    if found is None:
        return {}
    try:
        metadata = orjson.loads(found[1])
    except orjson.JSONDecodeError as error:
        raise Malformed(
            Text("Der Teil „metadata“ ist kein gültiges JSON.", "The part 'metadata' is not valid JSON.")
        ) from error
    if not isinstance(metadata, dict):
        raise _no_metadata()
    return metadata


async def _read_metadata(chunks: AsyncIterator[bytes], reception: Reception | Replay) -> bytes:
    """Read the part no further than it may go: it is parsed at once, and takes many times its size then."""
    content = bytearray()
    async for chunk in chunks:
        if len(content) + len(chunk) > _METADATA_LIMIT:
            raise _no_metadata()
        reception.take(len(chunk))
        content += chunk
    return bytes(content)


def _no_metadata() -> Malformed:
    return Malformed(
        Text(
            "Der Teil „metadata“ muss ein JSON-Objekt von höchstens 1 MB sein.",
            "The part 'metadata' must be a JSON object of at most 1 MB.",
        )
    )


def _twice(name: str) -> Malformed:
    return Malformed(Text(f"Der Teil „{name}“ darf nur einmal vorkommen.", f"The part '{name}' may occur only once."))


def _progress_json(progress: Progress, base_url: str) -> dict[str, Any]:
    link = f"{base_url}/hub/v1/applications/{progress.submission_id}"
    silent = progress.not_acknowledged_since
    return {
        "submissionId": str(progress.submission_id),
        "caseId": str(progress.case_id),
        "destinationId": str(progress.destination_id),
        "state": progress.state.value,
        "delivery": progress.delivery,
        "acceptedAt": progress.accepted_at.isoformat(timespec="milliseconds"),
        "history": [_step_json(step) for step in progress.history],
        "aiSteps": progress.ai_steps,
        "links": {"self": link, "receipt": f"{link}/receipt"},
        **({} if progress.external_reference is None else {"externalReference": progress.external_reference}),
        **({} if silent is None else {"notAcknowledgedSince": silent.isoformat(timespec="milliseconds")}),
        **({"deadlines": [_deadline_json(*each) for each in progress.deadlines]} if progress.deadlines else {}),
        **({} if progress.forwarded_to is None else {"forwardedTo": dict(progress.forwarded_to)}),
        **({} if progress.forwarded_from is None else {"forwardedFrom": dict(progress.forwarded_from)}),
    }


def _step_json(step: HistoryStep) -> dict[str, Any]:
    return {
        "at": step.at.isoformat(timespec="milliseconds"),
        "step": step.step,
        "text": {"de": step.text.de, "en": step.text.en},
    }


def _deadline_json(rule: DeadlineRule, last_day: date) -> dict[str, Any]:
    return {
        "name": rule.name,
        "title": {"de": rule.title.de, "en": rule.title.en},
        "lastDay": last_day.isoformat(),
        "law": list(rule.law),
    }


def _sent_json(message: StoredMessage, base_url: str) -> dict[str, Any]:
    link = f"{base_url}/hub/v1/applications/{message.id}"
    return {
        "submissionId": str(message.id),
        "caseId": str(message.case_id),
        "destinationId": str(message.destination_id),
        "service": message.service.identifier,
        "ars": message.area,
        "externalReference": reference_in(message.receipt),
        "state": message.state.value,
        "acceptedAt": (message.submitted_at or message.created_at).isoformat(timespec="milliseconds"),
        "links": {"self": link, "receipt": f"{link}/receipt"},
    }


def _cursor(at: datetime, submission_id: UUID) -> str:
    """Return where a page ends, as text that means nothing to others: microseconds since 1970, and an id."""
    instant = (at - _EPOCH) // timedelta(microseconds=1)
    return urlsafe_b64encode(instant.to_bytes(8, "big") + submission_id.bytes).decode("ascii")


def _read_cursor(text: str) -> tuple[datetime, UUID]:
    """Return what :func:`_cursor` was made of; raise ``Malformed`` where it is none."""
    try:
        content = urlsafe_b64decode(text)
        instant = timedelta(microseconds=int.from_bytes(content[:8], "big"))
        return _EPOCH + instant, UUID(bytes=content[8:])
    except (ValueError, OverflowError) as error:
        raise schema_violation(violation("format", "query/cursor", "parameter", "next")) from error
