"""Whatever a sender labels an attachment with: a refusal before the receipt, or metadata that the authority accepts."""

from __future__ import annotations

from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sealed_door import movable_door
from stage import ANMELDEN, ANMELDUNG, NOW, WIESBADEN, Served

from hub.connector.opening import require_structure
from hub.crypto.jwe import read_header
from hub.crypto.jwe_reader import decrypt
from hub.crypto.keys import read_decryption_key
from hub.errors import UnsupportedMedia
from hub.intake.metadata import METADATA_SCHEMA, compose, rendered
from hub.intake.sealing import AttachmentFacts, SealedAttachment, media_type_of
from hub.model.submission import MediaType, SchemaRef, Sealed
from hub.resources import shipped
from hub.validation.catalog import CatalogBook

__all__ = ["movable_door"]
SCHEMA = SchemaRef(uri="urn:example:antrag", standard="antrag", version="1", sha256="0" * 64, media_type=MediaType.JSON)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return CatalogBook(shipped("schemas"), tmp_path_factory.mktemp("schemas"))()


@pytest.mark.parametrize(
    ("label", "written"),
    [
        ("text/plain; charset=utf-8", "text/plain"),
        ("text/plain;charset=utf-8", "text/plain"),
        ('image/jpeg; name="f.jpg"', "image/jpeg"),
        ("Application/PDF", "application/pdf"),
        ("application/x-a!b#c$d&e^f", "application/octet-stream"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",) * 2,
        ("image/svg+xml", "image/svg+xml"),
        ("x+y/z", "application/octet-stream"),
    ],
)
def test_a_label_is_written_as_type_and_subtype(label: str, written: str):
    assert media_type_of(label) == written


@pytest.mark.parametrize("label", ["", "*/*", "text", "text/", "täxt/plain", "text/" + "x" * 200, "text/plain\r\nX: y"])
def test_what_is_no_media_type_is_refused(label: str):
    with pytest.raises(UnsupportedMedia):
        media_type_of(label)


_LABEL = st.one_of(
    st.text(max_size=80),
    st.from_regex(r"[!-~]{1,20}/[!-~]{1,20}( ?;[ -~]{1,30})?", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9!#$&^_.+-]{1,20}/[A-Za-z0-9!#$&^_.+-]{1,20}( ?;[ -~]{1,30})?", fullmatch=True),
)
_NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(
    label=_LABEL,
    filename=st.none() | _NAME,
    part=_NAME,
    note=st.fixed_dictionaries({}, optional={"description": _NAME}),
)
def test_any_label_and_name_is_refused_or_written_so_that_the_connector_takes_it(catalog, label, filename, part, note):
    facts = AttachmentFacts(part_name=part, filename=filename, media_type=label, plaintext_sha512="a" * 128)
    sealed = SealedAttachment(
        attachment_id=uuid4(), facts=facts, sealed=Sealed(tag="t", sha512="a" * 128, size=1, jwe=b"x")
    )
    try:
        document = compose(
            {"attachments": {part: note}}, sender="s", schema=SCHEMA, data_sha512="b" * 128, attachments=[sealed]
        )
    except UnsupportedMedia:
        return
    for versions in (["2.1.0"], ["1.0.0"]):
        written = rendered(document, versions)
        assert require_structure(orjson.loads(orjson.dumps(written)))
    data = orjson.dumps(document)
    report = catalog.check(media_type=MediaType.JSON, data=data, schema=METADATA_SCHEMA, service=None, on=NOW.date())
    assert report.valid, report


@pytest.mark.parametrize(
    ("label", "status", "written"),
    [
        ("text/plain; charset=utf-8", 202, "text/plain"),
        ('image/jpeg; name="f.jpg"', 202, "image/jpeg"),
        ("application/x-a!b", 202, "application/octet-stream"),
        ("*/*", 415, None),
    ],
)
def test_an_attachments_label_is_written_as_metadata_have_it(
    served: Served, label: str, status: int, written: str | None
):
    where = {"service": ANMELDEN, "ars": WIESBADEN}
    parts = {"data": ("a.json", ANMELDUNG, "application/json"), "notiz": ("notiz.txt", b"Notiz", label)}
    answer = served.post("/hub/v1/applications", params=where, files=parts)
    assert answer.status_code == status, answer.text
    store = served.stage.hub.store
    if written is None:
        assert store.submissions.cases().total == 0
        return
    message = store.submissions.message(UUID(answer.json()["submissionId"]))
    place = next(
        each for each in served.stage.cast["destinations"] if each["destination_id"] == str(message.destination_id)
    )
    keys = [read_decryption_key(place["private_decryption_jwk"], written_by_us=True)]
    metadata = orjson.loads(decrypt(message.contents.metadata.jwe, keys, max_output=1_000_000))
    (attachment,) = metadata["contentStructure"]["attachments"]
    assert (attachment["mimeType"], attachment["filename"]) == (written, "notiz.txt")
    (sealed,) = message.contents.attachments.values()
    assert read_header(sealed.jwe.partition(b".")[0]).cty == written


def test_an_attachment_may_be_repeated_with_its_label_as_it_was(served: Served):
    where = {"service": ANMELDEN, "ars": WIESBADEN}
    parts = {"data": ("a.json", ANMELDUNG, "application/json"), "n": ("n.txt", b"N", "text/plain; charset=utf-8")}
    answers = [
        served.post("/hub/v1/applications", params=where, files=parts, headers={"Idempotency-Key": "label-1"})
        for _ in range(2)
    ]
    assert [each.status_code for each in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
