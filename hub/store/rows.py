"""Rows of messages and contents <-> the values that they hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from hub.model import Callback, Contents, Door, Form, MediaType, SchemaRef, Sealed, Service, State, Subject, Submission
from hub.store import tables
from hub.store.database import from_json, maybe_moment, micros, moment, reads, to_json
from hub.store.records import Announcement, StoredMessage
from hub.store.statements import Lookup

_PARTS = Lookup(
    tables.contents, columns=["message_id", "part", "tag", "sha512", "size", "jwe", "blob"], by=["message_id"]
)
_ATTACHMENT = "attachment:"
_METADATA = "metadata"
_DATA = "data"

#: The parts of one message by their stored names (see ``Contents.parts``).
Parts = Mapping[str, Sealed]


def attachment_part(attachment_id: UUID) -> str:
    """Return the stored name of an attachment."""
    return f"{_ATTACHMENT}{attachment_id}"


def sealed_row(message_id: str, part: str, sealed: Sealed) -> dict[str, Any]:
    """Return the row of one sealed part."""
    return {
        "message_id": message_id,
        "part": part,
        "tag": sealed.tag,
        "sha512": sealed.sha512,
        "size": sealed.size,
        "jwe": sealed.jwe,
        "blob": sealed.blob,
    }


def announced_row(message: Announcement, state: State) -> dict[str, Any]:
    """Return the row of a message that is announced and nothing more."""
    return _message_row(
        message_id=message.id,
        kind=message.kind,
        case_id=message.case_id,
        destination_id=message.destination_id,
        sender=message.sender,
        addressee=message.addressee,
        door=message.door,
        state=state,
        service=message.service,
        area=message.area,
        # Clients announce the same id more than once; order counts, repetition does not.
        announced=dict.fromkeys(message.announced),
        callback=message.callback,
        created_at=micros(message.created_at),
        submitted_at=None,
    )


def submitted_row(submission: Submission, receipt: str, *, reference: str | None = None) -> dict[str, Any]:
    """Return the row of a submission that arrives complete; ``reference`` is what its sender calls it."""
    submitted_at = micros(submission.submitted_at)
    return _message_row(
        message_id=submission.submission_id,
        kind=Subject.SUBMISSION,
        case_id=submission.case_id,
        destination_id=submission.destination_id,
        sender=submission.sender,
        addressee=None,
        door=submission.door,
        form=submission.contents.form,
        state=State.SUBMITTED,
        service=submission.service,
        area=submission.area,
        announced=submission.contents.attachments,
        callback=submission.callback,
        created_at=submitted_at,
        submitted_at=submitted_at,
        schema=submission.schema,
        table_version=submission.table_version,
        receipt=receipt,
        reference=reference,
    )


def _message_row(
    *,
    message_id: UUID,
    kind: Subject,
    case_id: UUID,
    destination_id: UUID,
    sender: str,
    addressee: str | None,
    door: Door,
    state: State,
    service: Service,
    area: str | None,
    announced: Iterable[UUID],
    callback: Callback | None,
    created_at: int,
    submitted_at: int | None,
    schema: SchemaRef | None = None,
    table_version: str | None = None,
    receipt: str | None = None,
    reference: str | None = None,
    form: Form = Form.JOSE,
) -> dict[str, Any]:
    return {
        "message_id": str(message_id),
        "kind": kind.value,
        "case_id": str(case_id),
        "destination_id": str(destination_id),
        "sender": sender,
        "addressee": addressee,
        "door": door.value,
        "form": form.value,
        "state": state.value,
        "service_identifier": service.identifier,
        "service_name": service.name,
        "service_description": service.description,
        "area": area,
        "announced": to_json([str(one) for one in announced]),
        "table_version": table_version,
        "callback_url": None if callback is None else callback.url,
        "callback_secret": None if callback is None else callback.secret,
        "receipt": receipt,
        "reference": reference or "",
        "notices": 0,
        "created_at": created_at,
        "submitted_at": submitted_at,
        "collected_at": None,
        "finished_at": None,
        "deleted_at": None,
        **_schema_row(schema),
    }


def _schema_row(schema: SchemaRef | None) -> dict[str, str | None]:
    if schema is None:
        return dict.fromkeys(f"schema_{name}" for name in ("uri", "standard", "version", "sha256", "media_type"))
    return {
        "schema_uri": schema.uri,
        "schema_standard": schema.standard,
        "schema_version": schema.version,
        "schema_sha256": schema.sha256,
        "schema_media_type": schema.media_type.value,
    }


def read_parts_of(connection: Connection, message_id: str) -> dict[str, Sealed]:
    """Read all sealed parts of one message, by part."""
    return {row.part: _sealed(row) for row in _PARTS.rows(connection, message_id)}


class MissingParts(Exception):
    """A submission lacks parts that it names, or has others."""


def rows_of_parts(connection: Connection, message_ids: Collection[str]) -> dict[str, list[Any]]:
    """Read the rows of all sealed parts of messages, by message id, as they are."""
    found: dict[str, list[Any]] = {}
    for row in _PARTS.among(connection, message_ids):
        found.setdefault(row.message_id, []).append(row)
    return found


def whole_contents(row: Any, rows: Iterable[Any]) -> Contents:
    """Return the contents of a complete message of its parts' rows.

    Raises:
        MissingParts: metadata, or an attachment that is announced, is not there; or a part is that nobody announced.
    """
    announced = announced_of(row)
    form = Form(row.form)
    parts = {}
    for one in rows:
        try:
            parts[one.part] = _sealed(one)
        except (TypeError, ValueError) as exc:
            raise MissingParts from exc
    expected = {_METADATA, *map(attachment_part, announced)}
    if not expected <= parts.keys() <= expected | {_DATA}:
        raise MissingParts
    attachments = attachments_of(parts, announced)
    return Contents(metadata=parts[_METADATA], data=parts.get(_DATA), attachments=attachments, form=form)


def read_parts(connection: Connection, message_ids: Collection[str]) -> dict[str, dict[str, Sealed]]:
    """Read all sealed parts of messages, by message id and part."""
    found: dict[str, dict[str, Sealed]] = {message_id: {} for message_id in message_ids}
    for row in _PARTS.among(connection, message_ids):
        found[row.message_id][row.part] = _sealed(row)
    return found


def _sealed(row: Any) -> Sealed:
    return Sealed(tag=row.tag, sha512=row.sha512, size=row.size, jwe=row.jwe, blob=row.blob)


def attachments_of(parts: Parts, announced: Iterable[UUID]) -> dict[UUID, Sealed]:
    """Return the uploaded attachments in the order of announcement."""
    named = ((one, parts.get(attachment_part(one))) for one in announced)
    return {one: sealed for one, sealed in named if sealed is not None}


def contents_of(row: Any, parts: Parts, announced: Iterable[UUID]) -> Contents | None:
    """Return the contents of a message row once metadata is there, which comes last."""
    if _METADATA not in parts:
        return None
    return Contents(
        metadata=parts[_METADATA],
        data=parts.get(_DATA),
        attachments=attachments_of(parts, announced),
        form=Form(row.form),
    )


def announced_of(row: Any) -> tuple[UUID, ...]:
    """Return the announced attachment ids of a message row."""
    return tuple(UUID(one) for one in _texts(row.announced))


def _texts(text: str) -> list[str]:
    found = from_json(text)
    if not isinstance(found, list):
        raise TypeError("no list")
    return found


@reads(tables.messages)
def to_message(row: Any, parts: Parts | None = None) -> StoredMessage:
    """Return the message of a row, with its contents if ``parts`` are given."""
    announced = announced_of(row)
    return StoredMessage(
        kind=Subject(row.kind),
        id=UUID(row.message_id),
        case_id=UUID(row.case_id),
        destination_id=UUID(row.destination_id),
        sender=row.sender,
        addressee=row.addressee,
        door=Door(row.door),
        state=State(row.state),
        service=_service(row),
        area=row.area,
        announced=announced,
        contents=contents_of(row, parts or {}, announced),
        form=Form(row.form),
        uploaded=attachments_of(parts or {}, announced),
        schema=_schema(row),
        table_version=row.table_version,
        callback=to_callback(row),
        receipt=row.receipt,
        notices=row.notices,
        created_at=moment(row.created_at),
        submitted_at=maybe_moment(row.submitted_at),
        collected_at=maybe_moment(row.collected_at),
        finished_at=maybe_moment(row.finished_at),
        deleted_at=maybe_moment(row.deleted_at),
    )


def to_submission(row: Any, contents: Contents) -> Submission:
    """Return the submission of a complete message's row."""
    return Submission(
        submission_id=UUID(row.message_id),
        case_id=UUID(row.case_id),
        destination_id=UUID(row.destination_id),
        sender=row.sender,
        door=Door(row.door),
        service=_service(row),
        area=row.area,
        contents=contents,
        submitted_at=moment(row.submitted_at),
        schema=_schema(row),
        table_version=row.table_version,
        callback=to_callback(row),
    )


def _service(row: Any) -> Service:
    return Service(identifier=row.service_identifier, name=row.service_name, description=row.service_description)


def to_callback(row: Any) -> Callback | None:
    """Return where who wrote a row wants to be told of news."""
    return None if row.callback_url is None else Callback(url=row.callback_url, secret=row.callback_secret or "")


def _schema(row: Any) -> SchemaRef | None:
    if row.schema_uri is None:
        return None
    return SchemaRef(
        uri=row.schema_uri,
        standard=row.schema_standard,
        version=row.schema_version,
        sha256=row.schema_sha256,
        media_type=MediaType(row.schema_media_type),
    )
