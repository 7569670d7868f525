"""Packages that people hand in pass all checks before anybody can use them, and operators decide on versions afterwards."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime, timedelta

import pytest

from hub.errors import (
    ConfigurationError,
    Conflict,
    Invalid,
    InvalidSettings,
    Malformed,
    NotFound,
    TooLarge,
    TooMany,
    UnknownSchema,
)
from hub.model.submission import MediaType
from hub.validation import arrivals as arrivals_module
from hub.validation.arrivals import Arrivals, Upload, Wish
from hub.validation.catalog import CatalogBook
from hub.validation.manifest import SchemaStanding, Status, read_standings, write_standing

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t:{0}" xmlns="urn:t:{0}">'


def schema(version, *, body='<xs:element name="m" type="xs:string"/>'):
    return (HEAD.format(version) + body + "</xs:schema>").encode()


class Clockwork:
    """Looks at the folders on every call."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 10
        return self.now


@pytest.fixture
def target(tmp_path):
    return tmp_path / "schemas"


@pytest.fixture
def book(target):
    return CatalogBook(target, monotonic=Clockwork())


@pytest.fixture
def arrivals(tmp_path, target, book):
    return Arrivals(tmp_path / "arrivals", target, catalog=book)


def bring(arrivals, version="1", *uploads, content=None, **wish):
    files = uploads or (Upload(name="m.xsd", content=content or schema(version)),)
    return arrivals.receive(files, Wish(standard="test", version=version, **wish), by="otto", now=NOW)


def test_a_package_is_checked_and_not_in_the_catalogue_yet(arrivals, book):
    arrival = bring(arrivals, licence="CC0", provenance="https://example.org")
    assert (arrival.brought_by, arrival.brought_at) == ("otto", NOW)
    assert arrival.manifest.licence == "CC0"
    assert arrival.manifest.schemas[0].roots == ("{urn:t:1}m",)
    assert book().entries() == ()
    assert [each.arrival_id for each in arrivals.waiting()] == [arrival.arrival_id]


def test_once_admitted_it_judges_payloads(arrivals, book):
    arrivals.admit(bring(arrivals).arrival_id)
    report = book().check(
        media_type=MediaType.XML, data=b'<m xmlns="urn:t:1">x</m>', schema=None, service=None, on=NOW.date()
    )
    assert report.valid
    assert arrivals.waiting() == []


def test_a_package_that_does_not_compile_leaves_nothing_behind(arrivals, tmp_path):
    with pytest.raises(InvalidSettings):
        bring(arrivals, content=schema("1", body='<xs:element name="m" type="nowhere"/>'))
    assert arrivals.waiting() == []
    assert list((tmp_path / "arrivals").iterdir()) == []


def test_the_version_before_is_compared(arrivals):
    arrivals.admit(bring(arrivals, content=schema("t"), valid_from=date(2026, 1, 1)).arrival_id)
    two = bring(arrivals, "2", content=schema("u", body='<xs:element name="m" type="xs:int"/>'))
    assert (two.predecessor, two.must, two.may) == ("1", 1, 0)


def test_a_version_or_a_uri_that_is_taken_is_refused(arrivals):
    arrivals.admit(bring(arrivals).arrival_id)
    with pytest.raises(Conflict):
        bring(arrivals)
    one = Upload(
        name="a.json", content=b'{"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://a.example/x"}'
    )
    arrivals.admit(arrivals.receive([one], Wish(standard="json", version="1"), by="otto", now=NOW).arrival_id)
    with pytest.raises(InvalidSettings):
        arrivals.receive([one], Wish(standard="json", version="2"), by="otto", now=NOW)


def test_two_wait_for_the_same_place_and_one_gets_it(arrivals):
    one, two = bring(arrivals), bring(arrivals)
    arrivals.admit(one.arrival_id)
    with pytest.raises(Conflict):
        arrivals.admit(two.arrival_id)
    arrivals.discard(two.arrival_id)
    assert arrivals.waiting() == []


def test_a_zip_and_a_folder_make_the_same_version(arrivals):
    members = {
        "pack/a.xsd": schema("1", body='<xs:include schemaLocation="b.xsd"/><xs:element name="m" type="T"/>'),
        "pack/b.xsd": schema("1", body='<xs:simpleType name="T"><xs:restriction base="xs:string"/></xs:simpleType>'),
        "pack/readme.pdf": b"%PDF",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    zipped = bring(arrivals, "1", Upload(name="p.zip", content=packed.getvalue()))
    folder = bring(arrivals, "1", *(Upload(name=name, content=content) for name, content in members.items()))
    assert zipped.manifest.schemas == folder.manifest.schemas
    assert set(folder.manifest.files) == {"pack/a.xsd", "pack/b.xsd"}


@pytest.mark.parametrize("name", ["../out.xsd", "/etc/out.xsd", "a/../../out.xsd", "C:\\out.xsd"])
def test_a_name_that_leaves_the_package_is_refused(arrivals, tmp_path, name):
    with pytest.raises(Malformed):
        bring(arrivals, "1", Upload(name=name, content=schema("1")), Upload(name="m.xsd", content=schema("1")))
    assert not list(tmp_path.rglob("out.xsd"))


def test_size_number_and_emptiness_are_capped(arrivals, monkeypatch):
    with pytest.raises(Invalid):
        arrivals.receive([], Wish(standard="test", version="1"), by="otto", now=NOW)
    monkeypatch.setattr(arrivals_module, "MOST_BYTES", 100)
    with pytest.raises(TooLarge):
        bring(arrivals, content=b"x" * 101)
    monkeypatch.setattr(arrivals_module, "_MOST_WAITING", 0)
    with pytest.raises(TooMany):
        bring(arrivals)


def test_a_package_that_cannot_be_read_keeps_nobody_from_the_others(arrivals, tmp_path, caplog):
    good = bring(arrivals, "9", content=schema("9"))
    left_over, cut_short = tmp_path / "arrivals" / ("a" * 32), tmp_path / "arrivals" / ("b" * 32)
    for folder, note in ((left_over, b'{"by": "otto", "at": "2026-11-20"}'), (cut_short, b'{"by": ')):
        folder.mkdir()
        (folder / "arrival.json").write_bytes(note)
    assert [each.arrival_id for each in arrivals.waiting()] == [good.arrival_id]
    with pytest.raises(NotFound):
        arrivals.admit(left_over.name)
    arrivals.admit(good.arrival_id)
    assert bring(arrivals, "10", content=schema("10")).predecessor == "9"
    assert f"{'a' * 32} is passed over" in caplog.text


@pytest.mark.parametrize("arrival_id", ["..", "../schemas", "x", "0" * 32])
def test_only_what_waits_can_be_admitted_or_dropped(arrivals, arrival_id):
    for act in (arrivals.admit, arrivals.discard, arrivals.arrival):
        with pytest.raises(NotFound):
            act(arrival_id)


def test_a_withdrawn_version_is_refused_within_a_second_and_can_come_back(arrivals, book, target):
    arrivals.admit(bring(arrivals).arrival_id)
    request = {"media_type": MediaType.XML, "data": b'<m xmlns="urn:t:1">x</m>', "schema": None, "service": None}
    write_standing(target, ("test", "1"), SchemaStanding(status=Status.WITHDRAWN))
    with pytest.raises(UnknownSchema) as refusal:
        book().check(**request, on=NOW.date())
    assert "zurückgezogen" in refusal.value.detail.de
    write_standing(target, ("test", "1"), SchemaStanding(status=Status.VALID, valid_from=NOW.date()))
    assert book().check(**request, on=NOW.date()).valid
    with pytest.raises(UnknownSchema):
        book().check(**request, on=NOW.date() - timedelta(days=1))


def test_decisions_on_several_versions_stand_side_by_side(target):
    write_standing(target, ("a", "1"), SchemaStanding(status=Status.ANNOUNCED, valid_from=date(2027, 1, 1)))
    write_standing(target, ("b", "2"), SchemaStanding(status=Status.WITHDRAWN))
    found = read_standings([target])
    assert found["a", "1"].valid_from == date(2027, 1, 1)
    assert found["b", "2"].status is Status.WITHDRAWN


@pytest.mark.parametrize(
    "content", [b"", b"{", b'[{"standard": "a"}]', b'[{"standard":"a","version":"1","status":"x"}]']
)
def test_a_broken_file_of_decisions_stops_the_start_and_keeps_a_running_catalogue(arrivals, book, target, content):
    arrivals.admit(bring(arrivals).arrival_id)
    assert len(book().entries()) == 1
    (target / "standing.json").write_bytes(content)
    with pytest.raises(ConfigurationError):
        read_standings([target])
    assert len(book().entries()) == 1
