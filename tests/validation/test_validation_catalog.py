"""The catalogue: what it takes, what it refuses, and the shipped schemas with their examples."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml
from lxml import etree

from hub.errors import ConfigurationError, Malformed, UnknownSchema
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import pin
from hub.validation.manifest import closure_hash, read_manifest, write_manifest
from hub.validation.report import RULES

SCHEMAS = Path(__file__).parents[2] / "schemas"
TODAY = date(2026, 11, 2)
LEIKA = "urn:de:fim:leika:leistung:"
BASE = "https://schema.rathaus-hub.example"
EXAMPLES = sorted(SCHEMAS.glob("*/*/examples/*"))


@pytest.fixture(scope="module")
def catalog() -> SchemaCatalog:
    return SchemaCatalog.load(SCHEMAS)


def media_type(path: Path) -> MediaType:
    return MediaType.XML if path.suffix == ".xml" else MediaType.JSON


def schema_of(path: Path) -> str | None:
    # FIT-Connect metadata names the interface's own schema, which the catalogue knows as an alias.
    return None if "fit-connect" not in str(path) else f"{BASE}/fit-connect-metadata/2.1/metadata.schema.json"


def check(catalog, path: Path, **more):
    asked = {"schema": schema_of(path), "service": None, "on": TODAY, **more}
    return catalog.check(media_type=media_type(path), data=path.read_bytes(), **asked)


def folder_of(tmp_path: Path, name: str) -> Path:
    shutil.copytree(SCHEMAS / name, tmp_path / name)
    return tmp_path / name


def change(folder: Path, **keys) -> None:
    document = yaml.safe_load((folder / "catalog.yaml").read_text())
    (folder / "catalog.yaml").write_text(yaml.safe_dump({**document, **keys}))


# Failures first.


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name.startswith("bad-")], ids=lambda p: p.name)
def test_a_bad_example_breaks_the_rule_that_its_name_says(catalog, path):
    report = check(catalog, path)
    assert not report.valid
    assert path.stem.partition(".")[2] in {violation.rule for violation in report.violations}
    assert report.total == len(report.violations) <= 2


def test_a_changed_schema_file_stops_the_start(tmp_path):
    folder = folder_of(tmp_path, "bauantrag/1.0")
    path = folder / "bauantrag-datentypen.xsd"
    path.write_text(path.read_text().replace('maxLength value="200"', 'maxLength value="201"'))
    with pytest.raises(ConfigurationError, match="not the pinned one"):
        SchemaCatalog.load(tmp_path)


@pytest.mark.parametrize(
    "keys",
    [
        {"colour": "red"},
        {"kind": "relax-ng"},
        {"status": "maybe"},
        {"valid_from": "soon"},
        {"schemas": []},
        {"files": {"../../etc/passwd": "0"}},
        {"standard": "other"},
    ],
    ids=str,
)
def test_a_manifest_with_wrong_keys_stops_the_start(tmp_path, keys):
    change(folder_of(tmp_path, "fim-hundesteuer/1.0"), **keys)
    with pytest.raises(ConfigurationError):
        SchemaCatalog.load(tmp_path)


def test_two_schemas_with_one_uri_stop_the_start(tmp_path):
    folder_of(tmp_path / "a", "bauantrag/1.0")
    folder_of(tmp_path / "b", "bauantrag/1.0")
    with pytest.raises(ConfigurationError, match="URI"):
        SchemaCatalog.load(tmp_path / "a", tmp_path / "b")


def test_an_unknown_root_is_refused_with_what_is_known(catalog):
    with pytest.raises(UnknownSchema) as caught:
        catalog.check(media_type=MediaType.XML, data=b"<antrag/>", schema=None, service=None, on=TODAY)
    assert f"{BASE}/bauantrag/1.0/bauantrag.xsd" in caught.value.members["known"]


def test_a_service_without_a_schema_is_refused(catalog):
    with pytest.raises(UnknownSchema):
        catalog.check(media_type=MediaType.JSON, data=b"{}", schema=None, service=LEIKA + "99000000000000", on=TODAY)


def test_a_schema_of_another_service_is_refused(catalog):
    path = SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json"
    with pytest.raises(UnknownSchema, match="service"):
        check(catalog, path, service=LEIKA + "99102013000000")


def test_a_schema_that_serves_no_service_is_no_application(catalog):
    path = SCHEMAS / "fit-connect-metadata/2.1/examples/good-alles.json"
    with pytest.raises(UnknownSchema):
        check(catalog, path, service=LEIKA + "99102013000000")


def test_a_schema_of_the_other_media_type_is_refused(catalog):
    with pytest.raises(UnknownSchema):
        catalog.check(
            media_type=MediaType.JSON, data=b"{}", schema=f"{BASE}/bauantrag/1.0/bauantrag.xsd", service=None, on=TODAY
        )


@pytest.mark.parametrize(
    ("keys", "day"),
    [
        ({"status": "withdrawn"}, TODAY),
        ({"status": "announced"}, TODAY),
        ({"valid_until": date(2026, 6, 30)}, TODAY),
        ({}, date(2025, 12, 31)),
    ],
    ids=["withdrawn", "announced", "expired", "not begun"],
)
def test_a_version_out_of_force_is_refused(tmp_path, keys, day):
    folder = folder_of(tmp_path, "bauantrag/1.0")
    change(folder, **keys)
    path = folder / "examples/good-einfamilienhaus.xml"
    with pytest.raises(UnknownSchema, match=r"withdrawn|in force"):
        check(SchemaCatalog.load(tmp_path), path, on=day)


def test_no_schema_is_found_for_a_service_with_two(tmp_path):
    folder = folder_of(tmp_path, "fim-hundesteuer/1.0")
    service = LEIKA + "99102013000000"
    other = folder_of(tmp_path, "fim-wohnsitz/1.0")
    document = yaml.safe_load((other / "catalog.yaml").read_text())
    document["schemas"][0]["services"] = [service]
    (other / "catalog.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(UnknownSchema, match="several"):
        SchemaCatalog.load(tmp_path).check(
            media_type=MediaType.JSON, data=b"{}", schema=None, service=service, on=TODAY
        )
    assert folder.exists()


def test_a_wrong_root_under_a_named_schema_is_a_violation(catalog):
    report = catalog.check(
        media_type=MediaType.XML,
        data=b"<geheim/>",
        schema=f"{BASE}/bauantrag/1.0/bauantrag.xsd",
        service=None,
        on=TODAY,
    )
    assert [violation.rule for violation in report.violations] == ["xml.root"]
    assert "bau:bauantrag.antrag.0100" in report.violations[0].expected
    assert "geheim" not in str(report.as_json())


def test_unreadable_data_is_refused_before_any_schema_is_sought(catalog):
    with pytest.raises(Malformed):
        catalog.check(media_type=MediaType.JSON, data=b"{", schema="urn:nowhere", service=None, on=TODAY)


# What works.


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name.startswith("good-")], ids=lambda p: p.name)
def test_a_good_example_is_valid(catalog, path):
    report = check(catalog, path)
    assert report.valid, report.as_json()
    assert report.total == 0


def test_a_schema_is_found_by_the_services_only_one(catalog):
    path = SCHEMAS / "fim-hundesteuer/1.0/examples/good-ein-hund.json"
    data = path.read_bytes().replace(f'"$schema": "{BASE}/fim-hundesteuer/1.0/anmeldung.schema.json",'.encode(), b"")
    assert b"$schema" not in data
    entry = catalog.find(media_type=MediaType.JSON, data=data, schema=None, service=LEIKA + "99102013002000", on=TODAY)
    assert entry.uri == f"{BASE}/fim-hundesteuer/1.0/anmeldung.schema.json"


def test_a_version_follows_the_one_before_it_on_its_day(tmp_path):
    folder = folder_of(tmp_path, "bauantrag/1.0")
    shutil.copytree(folder, folder.with_name("1.1"))
    document = yaml.safe_load((folder / "catalog.yaml").read_text())
    document["schemas"][0]["uri"] = f"{BASE}/bauantrag/1.1/bauantrag.xsd"
    change(folder.with_name("1.1"), version="1.1", valid_from=date(2026, 12, 1), schemas=document["schemas"])
    change(folder, valid_until=date(2026, 11, 30))
    loaded = SchemaCatalog.load(tmp_path)
    path = folder / "examples/good-einfamilienhaus.xml"
    assert check(loaded, path).schema.version == "1.0"
    assert check(loaded, path, on=date(2026, 12, 1)).schema.version == "1.1"


def test_a_missing_folder_is_an_empty_catalogue(tmp_path):
    assert SchemaCatalog.load(tmp_path / "nowhere").entries() == ()


def test_a_manifest_that_pins_its_closure_alone_is_read_and_records_everything_that_judges(tmp_path):
    folder = folder_of(tmp_path, "bauantrag/1.0")
    manifest = read_manifest(folder)
    item = manifest.schemas[0]
    alone = closure_hash(item.closure, manifest.files)
    assert alone != item.sha256
    earlier = replace(manifest, schemas=(replace(item, sha256=alone),))
    (folder / "catalog.yaml").write_text(write_manifest(earlier))
    assert SchemaCatalog.load(tmp_path).ref(item.uri).sha256 == manifest.recorded_hash(item)


def test_a_reference_pins_the_closure(catalog):
    ref = catalog.ref(f"{BASE}/bauantrag/1.0/bauantrag.xsd")
    assert (ref.standard, ref.version, ref.media_type) == ("bauantrag", "1.0", MediaType.XML)
    assert len(ref.sha256) == 64
    assert ref.uri in catalog.uris()


@pytest.mark.parametrize("folder", sorted(SCHEMAS.glob("*/*")), ids=lambda p: p.parent.name)
def test_a_manifest_survives_writing_and_reading(tmp_path, folder):
    manifest = read_manifest(folder)
    (tmp_path / "catalog.yaml").write_text(write_manifest(manifest))
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("name", sorted(str(p.relative_to(SCHEMAS)) for p in SCHEMAS.glob("*/*")))
def test_shipped_schemas_are_pinned_as_they_are(tmp_path, name):
    folder = folder_of(tmp_path, name)
    before = (folder / "catalog.yaml").read_text()
    pin(folder)
    assert (folder / "catalog.yaml").read_text() == before


def test_every_rule_speaks_german_and_english():
    for rule, text in RULES.items():
        assert rule.split(".")[0] in ("character", "xml", "json", "codelist", "schematron", "attachment")
        assert text.de.endswith(".")
        assert text.en.endswith(".")
        assert text.de != text.en


def test_threads_share_the_catalogue_and_get_their_own_reports(catalog):
    paths = [p for p in EXAMPLES if p.parent.parent.parent.name == "bauantrag"] * 8
    alone = {path: check(catalog, path).as_json() for path in set(paths)}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: (path, check(catalog, path).as_json()), paths))
    assert all(report == alone[path] for path, report in together)


def test_places_in_xml_can_be_evaluated(catalog):
    for path in EXAMPLES:
        if path.suffix == ".xml":
            report = check(catalog, path)
            tree = etree.fromstring(path.read_bytes())
            for violation in report.violations:
                assert len(tree.xpath(violation.path, namespaces=dict(report.namespaces))) == 1
                assert violation.line is not None
