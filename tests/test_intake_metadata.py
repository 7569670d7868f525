"""Metadata in the form that a destination reads."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import jsonschema_rs
import orjson
import pytest
from shared_data import SHARED, needs_shared_data

from hub.errors import Malformed
from hub.intake.metadata import METADATA_SCHEMA, rendered

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
    channel = {"replyChannel": {"eMail": {"address": "a@example.org"}}}
    judge = jsonschema_rs.validator_for(official)
    assert [str(error) for error in judge.iter_errors(rendered(document(**channel), ["1.0.0"]))] == []
