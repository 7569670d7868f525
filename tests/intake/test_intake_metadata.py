"""Metadata in the form that a destination reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import jsonschema_rs
import orjson
import pytest
from shared_data import SHARED, needs_shared_data

from hub.errors import Malformed
from hub.intake.metadata import METADATA_SCHEMA, compose, file_names, rendered
from hub.intake.sealing import AttachmentFacts, SealedAttachment
from hub.model.submission import ID_TOKEN, MediaType, SchemaRef, Sealed
from hub.resources import shipped

FIRST = "https://schema.fitko.de/fit-connect/metadata/{}/metadata.schema.json"


def document(**more: Any) -> dict[str, Any]:
    attachment = {
        "attachmentId": str(uuid4()),
        "purpose": "attachment",
        "mimeType": "application/pdf",
        "hash": {"type": "sha512", "content": "b" * 128},
        "filename": "scan.pdf",
    }
    schema = {"schemaUri": "urn:xoev-de:xbau", "mimeType": "application/xml"}
    data = {"hash": {"type": "sha512", "content": "a" * 128}, "submissionSchema": schema}
    return {
        "$schema": METADATA_SCHEMA,
        "contentStructure": {"data": data, "attachments": [attachment]},
        "author": {"name": "Bürgerportal"},
        **more,
    }


LOST = {
    "data sets": {"dataSets": [{"dataSetId": str(uuid4())}]},
    "an attachment that is data": {"contentStructure": {"attachments": [{"purpose": "data"}]}},
}


@pytest.mark.parametrize("said", LOST.values(), ids=LOST)
def test_what_version_1_has_no_place_for_is_refused_and_not_lost(said):
    with pytest.raises(Malformed):
        rendered(document(**said), ["1.0.0"])


REPORT = "https://raw.githubusercontent.com/Governikus/IdentificationReport/2.0.0/schema/identification-report.json"
SIGNED = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwLTEifQ.c2ln-bmF_dHVyZQ"


def data_set(uri: str, content: Any = SIGNED) -> dict[str, Any]:
    digest = hashlib.sha512(str(content).encode()).hexdigest()
    return {
        "dataSetId": str(uuid4()),
        "schema": {"schemaUri": uri, "mimeType": "application/jose"},
        "hash": {"type": "sha512", "content": digest},
        "content": content,
    }


def test_who_reads_version_1_learns_of_the_author_and_how_a_person_was_identified():
    author = {"name": "Bürgerportal", "authentication": {"method": "openid-connect", "level": "substantial"}}
    references = {"senderReference": "A-1"}
    sets = [data_set(REPORT), data_set(ID_TOKEN)]
    made = rendered(document(author=author, additionalReferenceInfo=references, dataSets=sets), ["1.0.0"])
    assert made["authenticationInformation"] == [
        {"type": "identificationReport", "version": "2.0.0", "content": SIGNED}
    ]
    assert made["additionalReferenceInfo"] == {"senderReference": "A-1", "author": author, "idTokens": [SIGNED]}
    assert not {"author", "dataSets"} & set(made)


@pytest.mark.parametrize("content", ["not base64url: <x>", {"a": 1}, "", None], ids=str)
def test_what_is_no_signed_token_is_no_proof_that_version_1_has_a_place_for(content):
    with pytest.raises(Malformed):
        rendered(document(dataSets=[data_set(ID_TOKEN, content)]), ["1.0.0"])


@pytest.mark.parametrize("versions", [[], ["2.1.0"], ["1.0.0", "2.1.0"], ["1.3.0", "2.0.0"], ["3.0.0"]], ids=str)
def test_whoever_reads_a_later_version_gets_2_1(versions):
    composed = document()
    assert rendered(composed, versions) == composed


@pytest.mark.parametrize(("versions", "named"), [(["1.0.0"], "1.0.0"), (["1.10.0", "1.9.0"], "1.10.0")], ids=str)
def test_whoever_reads_version_1_alone_gets_the_latest_of_it(versions, named):
    assert rendered(document(), versions)["$schema"] == FIRST.format(named)


@needs_shared_data
def test_version_1_keeps_its_official_schema():
    official = orjson.loads((SHARED / "fit-connect" / "metadata.schema.v1.0.0.json").read_bytes())
    channel = {
        "replyChannel": {"eMail": {"address": "a@example.org"}},
        "dataSets": [data_set(REPORT), data_set(ID_TOKEN)],
    }
    judge = jsonschema_rs.validator_for(official)
    assert [str(error) for error in judge.iter_errors(rendered(document(**channel), ["1.0.0"]))] == []


# Clients generated from the schema (Jackson, inclusion ALWAYS) write every optional member that they know, as null.

NOTES = ("purpose", "filename", "description")
PACKAGE = shipped("schemas") / "fit-connect-metadata/2.1"
ANTRAG = SchemaRef(uri="urn:example:antrag", standard="antrag", version="1", sha256="0" * 64, media_type=MediaType.JSON)
FACTS = AttachmentFacts(part_name="plan", filename="plan.pdf", media_type="application/pdf", plaintext_sha512="a" * 128)
PLAN = SealedAttachment(attachment_id=uuid4(), facts=FACTS, sealed=Sealed(tag="t", sha512="a" * 128, size=1, jwe=b"x"))


def composed(said: dict[str, Any]) -> dict[str, Any]:
    return compose(said, sender="s", schema=ANTRAG, data_sha512="b" * 128, attachments=[PLAN])


def said_whole() -> dict[str, Any]:
    """Everything that a sender may say, from the package's own example."""
    example = orjson.loads((PACKAGE / "examples/good-alles.json").read_bytes())
    return {name: value for name, value in example.items() if name not in {"$schema", "contentStructure"}}


def nulls(document: Any, schema: Any, root: dict[str, Any], where: str = "") -> Iterator[str]:
    """Write what a schema knows and a document leaves out into it as null; yield where."""
    if isinstance(schema, dict) and "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(document, list):
        for each in document:
            yield from nulls(each, schema["items"], root, f"{where}/0")
    elif isinstance(document, dict):
        for name, inner in schema["properties"].items():
            if name in document:
                yield from nulls(document[name], inner, root, f"{where}/{name}")
            else:
                document[name] = None
                yield f"{where}/{name}"


def test_what_a_sender_says_may_hold_every_optional_member_as_null():
    schema = orjson.loads((PACKAGE / "metadata.schema.json").read_bytes())
    plain, full = said_whole(), said_whole()
    known = {"properties": {name: schema["properties"][name] for name in full}}
    written = set(nulls(full, known, schema))
    assert {"/replyChannel/fink", "/replyChannel/eMail/pgpPublicKey", "/dataSets/0/description"} < written
    assert composed(full) == composed(plain)
    for empty in (dict.fromkeys(full), {"attachments": None}, {"attachments": {"plan": dict.fromkeys(NOTES)}}):
        assert composed(empty) == composed({})
        assert file_names(empty, [PLAN]) == {"plan.pdf"}


@pytest.mark.parametrize(
    "said",
    [
        {"author": {"name": None, "product": None}},
        {"dataSets": [{"dataSetId": None, "content": None}]},
        {"additionalReferenceInfo": {"strange": None}},
    ],
    ids=str,
)
def test_a_required_or_unknown_member_that_is_null_stays_for_the_schema_to_judge(said):
    assert composed(said).items() >= said.items()


@pytest.mark.parametrize("said", [{"contentStructure": None}, {"attachments": {"plan": None}}], ids=str)
def test_a_null_under_a_name_that_is_not_the_senders_is_refused(said):
    with pytest.raises(Malformed):
        composed(said)


UNNAMED = {
    "by its part and type": ("plan", "application/pdf", "plan.pdf"),
    "whatever the type's parameters": ("plan", "Text/Plain; charset=utf-8", "plan.txt"),
    "once where the part says it": ("plan.PDF", "application/pdf", "plan.PDF"),
    "as bare bytes where the type is not well known": ("plan", "application/x-own", "plan.bin"),
}


@pytest.mark.parametrize(("part", "kind", "name"), UNNAMED.values(), ids=UNNAMED)
def test_an_attachment_without_a_file_name_is_called(part: str, kind: str, name: str):
    facts = AttachmentFacts(part_name=part, filename=None, media_type=kind, plaintext_sha512="a" * 128)
    plan = replace(PLAN, facts=facts)
    composed = compose({}, sender="b", schema=ANTRAG, data_sha512="a" * 128, attachments=[plan])
    assert composed["contentStructure"]["attachments"][0]["filename"] == name
    assert file_names({}, [plan]) == {name}
    said = {"attachments": {part: {"filename": "lage.pdf"}}}
    assert file_names(said, [plan]) == {"lage.pdf"}
