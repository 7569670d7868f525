"""FIT-Connect metadata 2.1: the project's own schema agrees with the official one on a range of documents."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from shared_data import SHARED, needs_shared_data

from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog

SCHEMAS = Path(__file__).parents[2] / "schemas"
OFFICIAL = SHARED / "fit-connect" / "metadata-2.1.0.schema.json"
FOLDER = SCHEMAS / "fit-connect-metadata" / "2.1"
URI = "https://schema.rathaus-hub.example/fit-connect-metadata/2.1/metadata.schema.json"
KEY = {"kty": "RSA", "key_ops": ["wrapKey"], "alg": "RSA-OAEP-256", "kid": "a" * 36, "n": "A" * 683, "e": "AQAB"}
UUID = "0b0ac5a3-7d3a-4d36-9d5e-2f9c4f3c1a11"
#: Values put in the place of every member in turn.
STRANGERS = (None, 0, -1, 0.015, True, "", "x", "a/b", [], {}, [1], ["x", "x"], {"x": 1}, "2026-02-30", "ü" * 700)
CHANNELS = (
    {"eMail": {"address": "amt@example.org", "pgpPublicKey": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx"}},
    {"deMail": {"address": "amt@example.de-mail.example"}},
    {"fink": {"finkPostfachRef": "a.b/c~d", "host": "https://fink.example.org"}},
    {"elster": {"accountId": "1234567890", "lieferTicket": "x", "geschaeftszeichen": "z" * 60}},
    {"fitConnect": {"processStandards": ["https://example.org/p"], "encryptionPublicKey": KEY}},
    {"idBundDeMailbox": {"mailboxUuid": UUID}},
    {"unknown": {}},
)


@pytest.fixture(scope="module")
def catalog() -> SchemaCatalog:
    return SchemaCatalog.load(SCHEMAS)


def documents() -> list[Any]:
    full = orjson.loads((FOLDER / "examples" / "good-alles.json").read_bytes())
    signature = {"signatureFormat": "cms", "detachedSignature": True, "content": "QUJD"}
    full["contentStructure"]["data"]["signature"] = signature
    full["contentStructure"]["attachments"][0].update(fragments=[UUID], description="x", signature=signature)
    full["paymentInformation"].update(
        transactionUrl="https://pay.example.org/1",
        transactionTimestamp="2026-11-02T10:00:00Z",
        paymentMethodDetail="x-1",
    )
    full["additionalReferenceInfo"].update(idBundDeApplicationId=UUID, zustimmungZumDigitalenBescheid=True)
    return [full, *({**full, "replyChannel": channel} for channel in CHANNELS)]


def mutations(document: Any) -> Iterator[Any]:
    """Yield the document with every member replaced by strangers, removed, or joined by another, one at a time."""
    for path in places(document):
        parent, key = path[:-1], path[-1]
        for stranger in STRANGERS:
            changed = copy.deepcopy(document)
            at(changed, parent)[key] = stranger
            yield changed
        removed = copy.deepcopy(document)
        del at(removed, parent)[key]
        yield removed
        if isinstance(at(document, parent), dict):
            joined = copy.deepcopy(document)
            at(joined, parent)["extra"] = 1
            yield joined


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in members:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


@needs_shared_data
def test_own_and_official_schema_give_the_same_verdicts():
    official = jsonschema_rs.Draft202012Validator(orjson.loads(OFFICIAL.read_bytes()), validate_formats=True)
    own = jsonschema_rs.Draft202012Validator(
        orjson.loads((FOLDER / "metadata.schema.json").read_bytes()), validate_formats=True
    )
    verdicts = {True: 0, False: 0}
    for document in documents():
        for candidate in (document, *mutations(document)):
            expected = official.is_valid(candidate)
            assert own.is_valid(candidate) == expected, candidate
            verdicts[expected] += 1
    assert min(verdicts.values()) > 500


@pytest.mark.parametrize(
    "schema",
    [URI, "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json", None],
    ids=["own", "official", "by $schema"],
)
def test_metadata_are_found_under_their_official_uri(catalog, schema):
    data = (FOLDER / "examples" / "good-nur-fachdaten.json").read_bytes()
    report = catalog.check(media_type=MediaType.JSON, data=data, schema=schema, service=None, on=date(2026, 11, 2))
    assert report.valid
    assert report.schema.uri == URI
