"""The files by which payloads are judged can be had as they are, and nothing else can."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from stage import SCHEMAS, Served, serving, staged

from hub.errors import ConfigurationError, NotFound, UnknownSchema
from hub.validation.catalog import SchemaCatalog
from hub.validation.manifest import closure_hash

BAUANTRAG = "https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd"
HUNDE = "https://schema.rathaus-hub.example/fim-hundesteuer/1.0/anmeldung.schema.json"
DOCUMENT = "/hub/v1/schemas/document"


@pytest.fixture(scope="module")
def door(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("documents")) as stage, serving(stage) as served:
        yield served


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# What can be had


@pytest.mark.parametrize(
    ("uri", "file", "path", "kind"),
    [
        (BAUANTRAG, None, "bauantrag/1.0/bauantrag.xsd", "application/xml"),
        (BAUANTRAG, "bauantrag-datentypen.xsd", "bauantrag/1.0/bauantrag-datentypen.xsd", "application/xml"),
        (BAUANTRAG, "identifiers.json", "bauantrag/1.0/identifiers.json", "application/json"),
        (HUNDE, None, "fim-hundesteuer/1.0/anmeldung.schema.json", "application/schema+json"),
        (
            HUNDE,
            "examples/good-ein-hund.json",
            "fim-hundesteuer/1.0/examples/good-ein-hund.json",
            "application/json",
        ),
    ],
)
def test_a_file_comes_byte_for_byte_with_its_hash_as_its_state(door: Served, uri, file, path, kind):
    wanted = {"uri": uri} if file is None else {"uri": uri, "file": file}
    got = door.get(DOCUMENT, params=wanted)
    content = (SCHEMAS / path).read_bytes()
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, content, kind)
    assert got.headers["etag"] == f'"{sha256(content)}"'
    known = door.get(DOCUMENT, params=wanted, headers={"If-None-Match": got.headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", got.headers["etag"])


def test_an_entry_lists_every_file_and_each_leads_to_its_bytes(door: Served):
    entry = door.get("/hub/v1/schemas/entry", params={"uri": BAUANTRAG}).json()
    assert [each["role"] for each in entry["documents"]] == ["schema", "part", "identifiers"]
    assert [each["file"] for each in entry["examples"]] == [
        "examples/good-einfamilienhaus.xml",
        "examples/good-nachforderung.xml",
    ]
    for each in (*entry["documents"], *entry["examples"]):
        got = door.get(each["href"])
        assert (got.status_code, sha256(got.content)) == (200, each["sha256"])
        assert got.headers["content-type"] == each["mediaType"]
    pinned = closure_hash(
        [each["file"] for each in entry["documents"]], {each["file"]: each["sha256"] for each in entry["documents"]}
    )
    catalog = SchemaCatalog.load(SCHEMAS)
    assert pinned == catalog.entry(BAUANTRAG).manifest.pinned_hash(catalog.entry(BAUANTRAG).item)
    linked = door.get(DOCUMENT, params={"uri": BAUANTRAG}).headers["link"]
    assert f'file={quote("examples/good-einfamilienhaus.xml", safe="")}>; rel="example"' in linked


def test_the_list_of_schemas_stays_short(door: Served):
    assert not {"documents", "examples"} & door.get("/hub/v1/schemas").json()["schemas"][0].keys()


# Nothing else

TRICKS = (
    "../1.1/bauantrag.xsd",
    "examples/../catalog.yaml",
    "examples/bad-frist.xml.datatype.xml",
    "..%2f..%2f..%2fopenapi.yaml",
    "/etc/passwd",
    "C:\\windows\\win.ini",
    "CATALOG.YAML",
    "./bauantrag.xsd",
    "bauantrag.xsd\0",
    "BAUANTRAG.XSD",
    "bauantrag.xsd/",
    "examples",
    "examples/",
    ".",
    "file:///etc/passwd",
)


@pytest.mark.parametrize("trick", TRICKS)
def test_no_name_leads_out_of_what_the_entry_lists(door: Served, trick):
    got = door.get(DOCUMENT, params={"uri": BAUANTRAG, "file": trick})
    unprintable = "\0" in trick
    assert (got.status_code, got.headers["content-type"]) == (400 if unprintable else 404, "application/problem+json")
    assert unprintable or got.json()["type"].endswith(":schema-file-not-found")
    assert trick.strip("./") == "" or trick not in got.json()["detailEn"]


@pytest.mark.parametrize("uri", ["urn:unknown:schema", "file:///etc/passwd", f"{HUNDE}/../../catalog.yaml"])
def test_an_address_that_no_file_has_gets_no_file(door: Served, uri):
    assert door.get(DOCUMENT, params={"uri": uri}).status_code == 422
    assert door.get(DOCUMENT, params={"uri": uri, "file": "bauantrag.xsd"}).status_code == 422


def test_a_browser_runs_nothing_that_a_schema_brings_along(door: Served):
    got = door.get(DOCUMENT, params={"uri": BAUANTRAG})
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert got.headers["x-content-type-options"] == "nosniff"


# Files with an address of their own


@pytest.fixture
def edition(tmp_path: Path):
    """Write an edition of two JSON documents and a code list, and another of a list alone; return the catalogue's folder."""
    folder = tmp_path / "catalogue" / "melde" / "1.0"
    folder.mkdir(parents=True)
    dialect = '"$schema": "https://json-schema.org/draft/2020-12/schema"'
    files = {
        "melde.json": f'{{{dialect}, "$id": "https://melde.test/melde.json", "$ref": "teil.json"}}',
        "teil.json": f'{{{dialect}, "$id": "https://melde.test/teil.json", "type": "object"}}',
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    hashes = {name: sha256(content.encode()) for name, content in files.items()}
    document = {
        "standard": "melde",
        "version": "1.0",
        "kind": "json-schema",
        "status": "valid",
        "provenance": "test",
        "licence": "EUPL-1.2",
        "schemas": [
            {
                "uri": "https://melde.test/melde.json",
                "file": "melde.json",
                "sha256": closure_hash(files, hashes),
                "closure": sorted(files),
            }
        ],
        "files": hashes,
    }
    (folder / "catalog.yaml").write_text(yaml.safe_dump(document))
    return folder


def test_a_document_is_found_by_what_it_calls_itself(edition: Path):
    catalog = SchemaCatalog.load(edition.parents[1])
    found = catalog.file("https://melde.test/teil.json")
    assert (found.name, found.role.value, found.read()) == ("teil.json", "part", (edition / "teil.json").read_bytes())
    assert catalog.file("https://melde.test/melde.json", "teil.json") == found
    with pytest.raises(UnknownSchema):
        catalog.file("https://melde.test/none.json")
    with pytest.raises(NotFound):
        catalog.file("https://melde.test/melde.json", "none.json")


def test_what_is_not_the_pinned_content_is_not_given_out(edition: Path):
    catalog = SchemaCatalog.load(edition.parents[1])
    (edition / "teil.json").write_text('{"type": "array"}')
    with pytest.raises(ConfigurationError):
        catalog.file("https://melde.test/melde.json", "teil.json").read()


def test_links_to_elsewhere_are_no_examples(edition: Path, tmp_path: Path):
    (tmp_path / "secret.json").write_text('{"secret": true}')
    (edition / "examples").mkdir()
    (edition / "examples" / "good-one.json").write_text("{}")
    (edition / "examples" / "good-link.json").symlink_to(tmp_path / "secret.json")
    catalog = SchemaCatalog.load(edition.parents[1])
    names = [each.name for each in catalog.entry("https://melde.test/melde.json").files()]
    assert names == ["melde.json", "teil.json", "catalog.yaml", "examples/good-one.json"]
    (edition / "examples" / "good-one.json").unlink()
    (edition / "examples" / "good-link.json").unlink()
    (edition / "examples").rmdir()
    (edition / "examples").symlink_to(tmp_path)
    (tmp_path / "good-secret.json").write_text("{}")
    assert not catalog.entry("https://melde.test/melde.json").files()[3:]


LIST = """<gc:CodeList xmlns:gc="http://docs.oasis-open.org/codelist/ns/genericode/1.0/"><Identification><ShortName>l</ShortName>
<Version>1</Version><CanonicalUri>urn:de:test:liste</CanonicalUri></Identification><ColumnSet><Column Id="code" Use="required">
<ShortName>c</ShortName></Column><Key Id="k"><ShortName>k</ShortName><ColumnRef Ref="code"/></Key></ColumnSet><SimpleCodeList>
<Row><Value ColumnRef="code"><SimpleValue>1</SimpleValue></Value></Row></SimpleCodeList></gc:CodeList>"""


@pytest.mark.parametrize("alone", [True, False])
def test_a_code_list_is_found_by_its_own_address(edition: Path, alone: bool):
    uri, hashed = "urn:de:test:liste_1", sha256(LIST.encode())
    if alone:
        folder = edition.parents[1] / "listen" / "1"
        folder.mkdir(parents=True)
        item = {"uri": uri, "file": "liste.xml", "sha256": "", "closure": ["liste.xml"], "services": []}
        item["sha256"] = closure_hash(["liste.xml"], {"liste.xml": hashed})
        manifest = {"standard": "listen", "version": "1", "kind": "code-lists", "status": "valid", "schemas": [item]}
        manifest |= {"provenance": "test", "licence": "EUPL-1.2", "files": {"liste.xml": hashed}}
    else:
        folder = edition
        manifest = yaml.safe_load((folder / "catalog.yaml").read_text())
        manifest["code_lists"] = [{"uri": uri, "file": "liste.xml"}]
        manifest["files"]["liste.xml"] = hashed
    (folder / "liste.xml").write_text(LIST)
    (folder / "catalog.yaml").write_text(yaml.safe_dump(manifest))
    catalog = SchemaCatalog.load(edition.parents[1])
    found = catalog.file(uri)
    assert (found.role.value, found.media_type, found.read()) == ("code-list", "application/xml", LIST.encode())
    beside = [each.name for each in catalog.entry("https://melde.test/melde.json").files() if each.uri == uri]
    assert beside == ([] if alone else ["liste.xml"])
