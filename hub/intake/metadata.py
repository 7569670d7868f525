"""FIT-Connect metadata 2.1.0: what the sender may say, and what the hub writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from hub import __version__
from hub.crypto import KeyPolicy, judge_encryption_key
from hub.errors import KeyRefused, Malformed, Text
from hub.intake.sealing import OwnAttachment, SealedAttachment, media_type_of
from hub.model import SchemaRef, suffix_of
from hub.model.submission import ID_TOKEN
from hub.resources import shipped
from hub.validation.json.absent import Cleaner, cleaner

METADATA_SCHEMA = "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json"
_SENDER_MAY_SAY = frozenset(
    {"replyChannel", "author", "additionalReferenceInfo", "paymentInformation", "dataSets", "attachments"}
)
_ATTACHMENT_MAY_SAY = frozenset({"purpose", "filename", "description"})
#: The schema of what is said, in the package that ships with the hub.
_SHIPPED_SCHEMA = "schemas/fit-connect-metadata/2.1/metadata.schema.json"
#: The proof of identity that both versions of the metadata know, and what version 1 takes as its content.
_REPORT = re.compile(
    r"https://raw\.githubusercontent\.com/Governikus/IdentificationReport/(\d+\.\d+\.\d+)/schema/identification-report\.json"
)
_SIGNED = re.compile(r"[a-zA-Z0-9_\-.]+")
_FIRST_SCHEMA = "https://schema.fitko.de/fit-connect/metadata/{version}/metadata.schema.json"
_PRODUCT = {"name": "Rathaus-Hub", "version": __version__, "manufacturer": "Rathaus-Hub"}


def compose(
    said: Mapping[str, Any],
    *,
    sender: str,
    schema: SchemaRef,
    data_sha512: str,
    attachments: Sequence[SealedAttachment],
    own: Sequence[OwnAttachment] = (),
) -> dict[str, Any]:
    """Return the metadata of a submission from what the sender ``said`` and what was sealed; the hub's ``own`` come last.

    Optional members that the sender wrote as null are left out: some clients write every member that they know.

    Raises:
        Malformed: the sender said something that is the hub's to write, or spoke of attachments that did not come.
    """
    contributed = _contribution(_leaving_out_nulls()(said), {each.facts.part_name for each in attachments})
    notes = contributed.pop("attachments", {})
    described = [_described(each, notes.get(each.facts.part_name, {})) for each in attachments]
    described += [_described(each.attachment, {"purpose": each.purpose}) for each in own]
    document: dict[str, Any] = {
        "$schema": METADATA_SCHEMA,
        "contentStructure": {
            "data": {
                "hash": {"type": "sha512", "content": data_sha512},
                "submissionSchema": {"schemaUri": schema.uri, "mimeType": schema.media_type.value},
            },
            "attachments": described,
        },
        "author": {"name": sender, "product": _PRODUCT},
    }
    return document | contributed


def require_reply_key(document: Mapping[str, Any], *, now: datetime) -> None:
    """Judge the key that a sender wants replies sealed for (FIT-Connect, section 7); metadata without one pass.

    ``document`` follows its schema. The authority judges the same before it writes, weeks later: what it must turn down is said
    to the sender now.

    Raises:
        KeyRefused: it is no public RSA key of 4096 bits and more for RSA-OAEP-256, or holds private members.
    """
    jwk = document.get("replyChannel", {}).get("fitConnect", {}).get("encryptionPublicKey")
    if jwk is None:
        return
    try:
        judge_encryption_key(jwk, now=now, policy=KeyPolicy(), require_x5c=False)
    except KeyRefused as exc:
        where = "replyChannel.fitConnect.encryptionPublicKey"
        raise KeyRefused(
            Text(f"{where}: {exc.detail.de}", f"{where}: {exc.detail.en}"), **exc.members, field=where
        ) from exc


def file_names(said: Mapping[str, Any], attachments: Sequence[SealedAttachment]) -> frozenset[str]:
    """Return the names under which a receiver finds attachments: those that the sender ``said``, else those of the parts."""
    notes = _leaving_out_nulls()(said).get("attachments")
    notes = (
        notes if isinstance(notes, Mapping) else {}
    )  # What has another form is refused when the metadata are composed.
    names = set()
    for each in attachments:
        note, own = notes.get(each.facts.part_name), _filename(each)
        names.add(note.get("filename", own) if isinstance(note, Mapping) else own)
    return frozenset(name for name in names if isinstance(name, str))


def rendered(document: dict[str, Any], versions: Sequence[str]) -> dict[str, Any]:
    """Return metadata in the form that a destination reads: as composed, or in version 1 where it lists no later one.

    Raises:
        Malformed: the sender said something that version 1 has no place for and that must not get lost.
    """
    first = sorted((version for version in versions if version.startswith("1.")), key=_numbers)
    if not first or len(first) < len(versions):
        return document
    proofs = [_proof(each) for each in document.get("dataSets", ())]
    if None in proofs or any(each["purpose"] == "data" for each in document["contentStructure"]["attachments"]):
        raise _version_1_alone()
    known = {name: value for name, value in document.items() if name not in ("author", "dataSets")}
    reports = [each for each in proofs if each is not None and each["type"] == "identificationReport"]
    if reports:
        known["authenticationInformation"] = reports
    # The first version has no place for whoever wrote it, but lets members of one's own stand beside the references.
    tokens = [each["content"] for each in proofs if each is not None and each["type"] == "idToken"]
    more = {"author": document["author"], **({"idTokens": tokens} if tokens else {})}
    known["additionalReferenceInfo"] = {**document.get("additionalReferenceInfo", {}), **more}
    return known | {"$schema": _FIRST_SCHEMA.format(version=first[-1])}


def _version_1_alone() -> Malformed:
    return Malformed(
        Text(
            "Diese Behörde liest nur Metadaten der Version 1: Lassen Sie den Zweck „data“ weg, und dataSets, "
            "die keine Identifikationsnachweise sind.",
            "This authority reads metadata of version 1 only: leave out dataSets that prove nobody's identity, and the "
            "purpose 'data'.",
        )
    )


def _proof(data_set: Mapping[str, Any]) -> dict[str, str] | None:
    """Return a proof of identity as version 1 has it (type, version, content); None for any other data set."""
    uri, content = data_set.get("schema", {}).get("schemaUri"), data_set.get("content")
    if not isinstance(uri, str) or not isinstance(content, str) or not _SIGNED.fullmatch(content):
        return None
    if uri == ID_TOKEN:
        return {"type": "idToken", "content": content}
    report = _REPORT.fullmatch(uri)
    return None if report is None else {"type": "identificationReport", "version": report[1], "content": content}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@cache
def _leaving_out_nulls() -> Cleaner:
    """Return what leaves the optional members that are null out of what a sender says.

    Of attachments the sender says by the name of a part what the schema has in a list, and nothing of it is required.
    """
    schema = orjson.loads(shipped(_SHIPPED_SCHEMA).read_bytes())
    known = {name: inner for name, inner in schema["properties"].items() if name in _SENDER_MAY_SAY}
    note: dict[str, Any] = {"properties": {name: {} for name in _ATTACHMENT_MAY_SAY}}
    return cleaner({"properties": {**known, "attachments": {"additionalProperties": note}}}, schema)


def _contribution(said: Mapping[str, Any], part_names: set[str]) -> dict[str, Any]:
    """Return what the sender may say; refuse the rest by name of the allowed, never by name of the given."""
    if set(said) - _SENDER_MAY_SAY:
        raise _not_to_be_said()
    notes = said.get("attachments", {})
    shaped = isinstance(notes, dict) and all(isinstance(note, dict) for note in notes.values())
    if not shaped or set(notes) - part_names or any(set(note) - _ATTACHMENT_MAY_SAY for note in notes.values()):
        raise _unfit_notes()
    return dict(said)


def _not_to_be_said() -> Malformed:
    return Malformed(
        Text(
            f"Der Teil „metadata“ darf nur {', '.join(sorted(_SENDER_MAY_SAY))} enthalten; den Rest schreibt der Hub.",
            f"The 'metadata' part may hold {', '.join(sorted(_SENDER_MAY_SAY))} only; the hub writes the rest.",
        )
    )


def _unfit_notes() -> Malformed:
    return Malformed(
        Text(
            "metadata.attachments ordnet den Namen von Anlagen-Teilen purpose, filename und description zu; "
            "mindestens ein Eintrag passt nicht.",
            "metadata.attachments maps names of attachment parts to purpose, filename and description; "
            "at least one entry does not fit.",
        )
    )


def _described(attachment: SealedAttachment, note: Mapping[str, Any]) -> dict[str, Any]:
    facts = attachment.facts
    described = {
        "attachmentId": str(attachment.attachment_id),
        "purpose": "attachment",
        "mimeType": media_type_of(facts.media_type),
        "hash": {"type": "sha512", "content": facts.plaintext_sha512},
    }
    name = _filename(attachment)
    if name:
        described["filename"] = name
    return {**described, **note}


def _filename(attachment: SealedAttachment) -> str:
    """Return the name of an attachment; of one that came without, its part's with the suffix of its media type."""
    facts = attachment.facts
    if facts.filename or not facts.part_name:
        return facts.filename or ""
    suffix = suffix_of(media_type_of(facts.media_type))
    return facts.part_name if facts.part_name.lower().endswith(suffix) else facts.part_name + suffix
