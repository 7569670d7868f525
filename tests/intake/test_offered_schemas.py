"""A schema has several names, and a destination may offer it by any: what counts is which schema is meant."""

from __future__ import annotations

import shutil
from dataclasses import replace
from uuid import UUID

import orjson
import pytest
from stage import NOW, Stage, staged

from hub.administration.destinations import Draft
from hub.app import unconfined
from hub.cli.options import operating_user
from hub.crypto import decrypt, read_decryption_key
from hub.errors import Invalid, UnknownSchema
from hub.model import EVERYTHING, MediaType
from hub.routing.findings import Code
from hub.validation.importing import import_standard

VERSION = "urn:xoev-de:test:standard:xklein_2.6"
#: One file of a standard in XÖV's manner: its standard is named in an annotation, and its version's URI follows from that.
XSD = """<?xml version="1.0"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:klein" elementFormDefault="qualified">
  <xs:annotation><xs:appinfo>
    <standard><kennung>urn:xoev-de:test:standard:xklein</kennung></standard>
  </xs:appinfo></xs:annotation>
  <xs:element name="NAME" type="xs:date"/>
</xs:schema>
"""
MESSAGE = b'<antrag xmlns="urn:klein">2026-11-20</antrag>'


@pytest.fixture(scope="module")
def small(made_once, tmp_path_factory):
    """A hub that knows a standard of two messages, and whose building authority offers it by its version's URI."""
    folder = tmp_path_factory.mktemp("small")
    source = folder / "source"
    source.mkdir()
    for name in ("antrag", "auskunft"):
        (source / f"{name}.xsd").write_text(XSD.replace("NAME", name))
    shutil.copytree(made_once, folder / "made")
    import_standard(source, folder / "made" / "schemas", standard="xklein", version="2.6")
    with staged(folder / "made", folder) as stage:
        offered(stage, VERSION)
        yield stage


def offered(stage: Stage, uri: str) -> None:
    desk, authority, person = unconfined(stage.hub), stage.destination_id("Rheingau"), operating_user()
    before = desk.show(authority, person).destination
    services = tuple(replace(each, schemas=((uri, "application/xml"),)) for each in before.services)
    desk.change(authority, Draft(services=services), person, now=NOW)


def opened_metadata(stage: Stage, receipt) -> dict:
    message = stage.hub.store.submissions.message(UUID(receipt.claims["sub"].partition(":")[2]))
    keys = [read_decryption_key(stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)]
    return orjson.loads(decrypt(message.contents.metadata.jwe, keys, max_output=1_000_000))


def test_a_message_of_an_offered_version_is_accepted_named_or_not(small):
    for said in (None, VERSION, f"{VERSION}#antrag"):
        accepted = small.accept(MESSAGE, schema=said)
        assert accepted.claims["schema"]["uri"] == f"{VERSION}#antrag"
        described = opened_metadata(small, accepted)["contentStructure"]["data"]["submissionSchema"]
        assert described == {"schemaUri": VERSION, "mimeType": "application/xml"}
    answer = b'<auskunft xmlns="urn:klein">2026-11-20</auskunft>'
    assert small.accept(answer, schema=VERSION).claims["schema"]["uri"] == f"{VERSION}#auskunft"


def test_what_the_destination_does_not_offer_stays_refused(small):
    with pytest.raises(Invalid) as refused:
        small.accept()
    assert refused.value.slug == "schema-not-offered"
    assert VERSION in refused.value.detail.de


def test_a_version_that_is_offered_is_known_to_the_check_of_routing_tables(small):
    def complained() -> bool:
        findings = small.hub.book.findings(small.hub.book.base(NOW), now=NOW, scope=EVERYTHING)
        return any(each.code is Code.SCHEMA_NOT_OFFERED and "Rheingau" in each.text.de for each in findings)

    assert not complained()
    offered(small, "urn:xoev-de:test:standard:xklein_2.5")
    assert complained()
    offered(small, VERSION)


def test_a_version_is_judged_by_the_message_that_comes(small):
    catalog = small.hub.catalog
    assert {entry.uri for entry in catalog.named(VERSION)} == {f"{VERSION}#antrag", f"{VERSION}#auskunft"}
    wrong = b'<auskunft xmlns="urn:klein">heute</auskunft>'
    report = catalog.check(media_type=MediaType.XML, data=wrong, schema=VERSION, service=None, on=NOW.date())
    assert (report.valid, report.schema.uri) == (False, f"{VERSION}#auskunft")
    with pytest.raises(UnknownSchema):
        catalog.named("urn:xoev-de:test:standard:xklein_2.7")
