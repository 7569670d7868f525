"""Bringing official packages in: what is refused, and that real sets keep every known verdict."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
import zipfile
from datetime import date
from pathlib import Path

import orjson
import pytest
from shared_data import CATALOG, SHARED, needs_shared_data

from hub.errors import ConfigurationError, Conflict, Malformed
from hub.model.submission import MediaType, is_uri
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.manifest import Kind, Status
from hub.validation.report import Limits
from hub.validation.xml.patterns import is_dangerous

TODAY = date(2026, 11, 2)
XOEV = SHARED / "xoev"
SETS = {
    "xbau 2.6": XOEV / "xbau-2.6" / "xsd",
    "xbau 2.5": XOEV / "xbau-2.5" / "xsd",
    "xwasser 1.0": XOEV / "xwasser-1.0" / "schemas" / "V1_0_0",
    "xschule 1.2": XOEV / "xschule" / "xsd",
    "xbildung 1.2": XOEV / "xbildung",
    "xbildung-artefacts 1.2": XOEV / "xbildung-artefacts" / "1.2",
    "basis 1": XOEV / "basis",
}
#: What the two engines disagree on: libxml2 takes them, and each holds a reference that leads nowhere.
DANGLING = {
    "monitoring_plan_builder_test_result.xml",
    "monitoring_plan_maximal_test_result.xml",
    "monitoring_plan_minimal_test_result.xml",
    "quality_report_builder_test_result.xml",
    "quality_report_maximal.xml",
    "quality_report_maximal_test_result.xml",
    "quality_report_minimal.xml",
    "quality_report_minimal_test_result.xml",
}

XSD_HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t">'
MESSAGE = XSD_HEAD + '<xs:element name="m" type="xs:string"/></xs:schema>'


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("schemas")
    for name, source in SETS.items():
        standard, version = name.split()
        import_standard(source, target, standard=standard, version=version, catalog=CATALOG)
    return target


@pytest.fixture(scope="module")
def catalog(imported) -> SchemaCatalog:
    return SchemaCatalog.load(imported)


def package(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.xsd").write_text(content)
    return folder


def bring(tmp_path: Path, **files: str):
    return import_standard(package(tmp_path, **files), tmp_path / "schemas", standard="test", version="1")


def check(catalog, path: Path):
    return catalog.check(media_type=MediaType.XML, data=path.read_bytes(), schema=None, service=None, on=TODAY)


def test_a_file_name_with_blank_or_umlaut_gives_a_uri_that_is_one(tmp_path):
    # The official XJustiz 3.6.2 package has such a name.
    manifest = bring(tmp_path, **{"klaver _1_0": MESSAGE, "prüf#ung": MESSAGE.replace("urn:t", "urn:u")})
    uris = [item.uri for item in manifest.schemas]
    assert len(uris) == 2
    assert all(is_uri(uri) for uri in uris), uris


#: How a schema is called in a package, and how another one of its folder names it.
CALLED = {
    "a blank": ("klaver _1_0.xsd", "klaver _1_0.xsd"),
    "two blanks": ("a  b.xsd", "a  b.xsd"),
    "an umlaut": ("prüf.xsd", "prüf.xsd"),
    "percent-encoded": ("Prüf typen.xsd", "Pr%C3%BCf%20typen.xsd"),
    "a percent sign": ("100%.xsd", "100%.xsd"),
    "brackets": ("[x].xsd", "[x].xsd"),
    "a number sign": ("a#b.xsd", "a%23b.xsd"),
    "white space around": ("rand.xsd", "\n rand.xsd "),
    "a URN": ("urn:beispiel:t.xsd", "urn:beispiel:t.xsd"),
    "a backslash": ("teil/t.xsd", "teil\\t.xsd"),
    "over its own folder": ("hier.xsd", "../Schemata (gültig)/hier.xsd"),
}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_names_of_files_and_folders_may_hold_what_no_uri_holds(tmp_path, version):
    folder = tmp_path / "p" / "Schemata (gültig)"
    for number, (name, location) in enumerate(CALLED.values()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kind = f'<xs:simpleType name="T{number}"><xs:restriction base="xs:int"/></xs:simpleType>'
        (folder / name).write_text(f"{XSD_HEAD}{kind}</xs:schema>")
        assertion = '<xs:assert test="true()"/>' if version == "1.1" else ""
        main = (
            f'{XSD_HEAD}<xs:include schemaLocation="{location}"/><xs:element name="m{number}"><xs:complexType><xs:sequence>'
            f'<xs:element name="t" type="T{number}"/></xs:sequence><xs:attribute name="i" type="xs:ID"/>{assertion}'
            "</xs:complexType></xs:element></xs:schema>"
        )
        (folder / f"haupt + {number}.xsd").write_text(main)
    manifest = import_standard(tmp_path / "p", tmp_path / "s", standard="t", version="1")
    assert [len(item.closure) for item in manifest.schemas] == [2] * len(CALLED)
    assert all(is_uri(item.uri) for item in manifest.schemas)
    loaded = SchemaCatalog.load(tmp_path / "s")
    # Each document judged by XML Schema 1.1 costs a process.
    for number, called in list(enumerate(CALLED))[:: 1 if version == "1.0" else len(CALLED)]:
        message = f'<m{number} xmlns="urn:t"><t xmlns="">{{}}</t></m{number}>'
        (tmp_path / "good.xml").write_text(message.format(1))
        (tmp_path / "bad.xml").write_text(message.format("x"))
        found = [check(loaded, tmp_path / name).valid for name in ("good.xml", "bad.xml")]
        assert found == [True, False], called


def test_what_no_selected_schema_reaches_is_left_out(tmp_path):
    # XPlanGML ships its WFS operations, which need documents from the network, beside the plans.
    files = {
        "plan": MESSAGE.replace("<xs:element", '<xs:include schemaLocation="typen.xsd"/><xs:element'),
        "typen": f"{XSD_HEAD}</xs:schema>",
        "operationen": '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import namespace="urn:w" '
        'schemaLocation="http://127.0.0.1:9/wfs.xsd"/><xs:include schemaLocation="plan.xsd"/></xs:schema>',
    }
    folder = package(tmp_path, **files)
    with pytest.raises(ConfigurationError, match="wfs"):
        import_standard(folder, tmp_path / "schemas", standard="test", version="1")
    manifest = import_standard(folder, tmp_path / "schemas", standard="test", version="1", messages="plan.xsd")
    assert ([item.file for item in manifest.schemas], sorted(manifest.files)) == (
        ["plan.xsd"],
        ["plan.xsd", "typen.xsd"],
    )


def test_rules_that_a_package_holds_as_xslt_alone_are_named(tmp_path):
    """As Factur-X is shipped by several libraries: compiled rules beside schemas."""
    sheet = '<xsl:stylesheet version="2.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"/>'
    schema = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="m"/></xs:schema>'
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "m.xsd").write_text(schema)
    (folder / "REGELN.xslt").write_text(sheet)
    manifest = import_standard(folder, tmp_path / "schemas", standard="rechnung", version="1")
    assert [(remark.at, "--rules" in remark.text.de) for remark in manifest.remarks] == [("REGELN.xslt", True)]
    assert set(manifest.files) & {"REGELN.xslt"} == set()
    rules = '<pattern><rule context="m"><assert test="1"/></rule></pattern>'
    rules = f'<schema xmlns="http://purl.oclc.org/dsdl/schematron">{rules}</schema>'
    (folder / "regeln.sch").write_text(rules)
    assert import_standard(folder, tmp_path / "schemas", standard="rechnung", version="2").remarks == ()


def test_a_version_of_an_earlier_release_whose_uri_is_none_is_found_by_both_names(tmp_path):
    bring(tmp_path, **{"klaver _1_0": MESSAGE})
    path = tmp_path / "schemas" / "test" / "1" / "catalog.yaml"
    path.write_text(path.read_text().replace("klaver%20_1_0", "klaver _1_0"))
    catalog = SchemaCatalog.load(tmp_path / "schemas")
    (entry,) = catalog.entries()
    assert is_uri(entry.uri)
    assert entry.uri.endswith("#klaver%20_1_0")
    assert catalog.entry(entry.uri.replace("%20", " ")) is entry


def test_two_files_of_one_name_in_two_folders_have_uris_of_their_own(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "p" / folder).mkdir(parents=True)
        (tmp_path / "p" / folder / "m.xsd").write_text(MESSAGE.replace("urn:t", f"urn:{folder}"))
    manifest = import_standard(tmp_path / "p", tmp_path / "schemas", standard="test", version="1")
    assert {item.uri.partition("#")[2] for item in manifest.schemas} == {"a/m", "b/m"}


# What is refused.


def test_a_missing_include_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"other\.xsd") as caught:
        bring(tmp_path, m=MESSAGE.replace("<xs:element", '<xs:include schemaLocation="other.xsd"/><xs:element'))
    assert caught.value.members["location"] == "other.xsd"


def test_a_remote_import_without_a_location_list_is_refused(tmp_path):
    part = '<xs:import namespace="urn:x" schemaLocation="http://127.0.0.1:9/x.xsd"/><xs:element'
    with pytest.raises(ConfigurationError, match="127"):
        bring(tmp_path, m=MESSAGE.replace("<xs:element", part))


def test_a_schema_that_does_not_compile_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="compile"):
        bring(tmp_path, m=MESSAGE.replace("xs:string", "Unknown"))


def test_schemas_that_only_include_each_other_have_no_message(tmp_path):
    include = XSD_HEAD + '<xs:include schemaLocation="{}.xsd"/></xs:schema>'
    with pytest.raises(ConfigurationError, match="no message schema"):
        bring(tmp_path, a=include.format("b"), b=include.format("a"))


def test_a_package_without_schemas_is_refused(tmp_path):
    with pytest.raises(ConfigurationError):
        bring(tmp_path)


def test_a_version_is_never_overwritten(tmp_path):
    bring(tmp_path, m=MESSAGE)
    with pytest.raises(Conflict):
        import_standard(tmp_path / "package", tmp_path / "schemas", standard="test", version="1")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "ä"])
def test_a_name_that_is_no_folder_is_refused(tmp_path, name):
    with pytest.raises(ConfigurationError):
        import_standard(package(tmp_path, m=MESSAGE), tmp_path, standard=name, version="1")


def test_a_broken_import_leaves_nothing_behind(tmp_path):
    with pytest.raises(ConfigurationError):
        bring(tmp_path, m=MESSAGE.replace("xs:string", "Unknown"))
    assert not list((tmp_path / "schemas").glob("**/*")) if (tmp_path / "schemas").exists() else True


def test_json_of_an_unknown_draft_is_refused(tmp_path):
    path = tmp_path / "a.schema.json"
    path.write_text('{"$schema": "http://json-schema.org/draft-03/schema#", "type": "object"}')
    with pytest.raises(ConfigurationError, match="drafts"):
        import_standard(path, tmp_path / "schemas", standard="test", version="1")


# What works.


def test_includes_may_form_a_loop(tmp_path):
    loop = XSD_HEAD + '<xs:include schemaLocation="{}.xsd"/>{}</xs:schema>'
    manifest = bring(
        tmp_path,
        a=loop.format("b", '<xs:element name="m" type="T"/>'),
        b=loop.format("c", '<xs:simpleType name="T"><xs:restriction base="xs:string"/></xs:simpleType>'),
        c=loop.format("b", ""),
    )
    assert [item.roots for item in manifest.schemas] == [("{urn:t}m",)]
    assert manifest.schemas[0].closure == ("a.xsd", "b.xsd", "c.xsd")


def test_a_zip_is_brought_in_like_its_folder(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("xsd/m.xsd", MESSAGE)
        written.writestr("readme.pdf", b"%PDF")
    (tmp_path / "package.zip").write_bytes(archive.getvalue())
    manifest = import_standard(
        tmp_path / "package.zip",
        tmp_path / "schemas",
        standard="test",
        version="1",
        valid_from=date(2027, 1, 1),
        status=Status.ANNOUNCED,
        services=["urn:de:fim:leika:leistung:99012008001000"],
    )
    assert list(manifest.files) == ["xsd/m.xsd"]
    loaded = SchemaCatalog.load(tmp_path / "schemas")
    assert loaded.entries()[0].manifest == manifest
    assert not loaded.entries()[0].manifest.in_force(TODAY)


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "package.zip").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(Malformed):
        import_standard(tmp_path / "package.zip", tmp_path / "schemas", standard="test", version="1")


@needs_shared_data
def test_official_sets_import_and_every_root_compiles(catalog):
    counts = {}
    for entry in catalog.entries():
        entry.judge.compile()
        name = f"{entry.manifest.standard} {entry.manifest.version}"
        counts[name] = counts.get(name, 0) + len(entry.item.roots)
    assert counts["xbau 2.6"] >= 117
    assert set(counts) == set(SETS)
    # Building blocks have no messages of their own.
    assert {name for name, count in counts.items() if not count} == {"xbildung-artefacts 1.2", "xbildung 1.2"}


@needs_shared_data
def test_the_folder_of_every_official_set_is_brought_in_as_it_lies(tmp_path):
    manifest = import_standard(
        XOEV / "xbau-2.6", tmp_path, standard="xbau", version="2.6", catalog=CATALOG, messages="*-baugenehmigung.xsd"
    )
    assert manifest.rules == ("sch/xbau-schematron-leere-elemente.sch", "sch/xbau-schematron.sch")
    assert not [name for name in manifest.files if name.startswith("instances")]


@needs_shared_data
def test_a_schema_is_known_by_its_official_version_urn(catalog):
    root = "{http://www.xleitstelle.de/xbau/2/6}baugenehmigung.antrag.0200"
    path = XOEV / "xbau-2.6" / "instances-minimal" / "baugenehmigung.antrag.0200.xml"
    entry = catalog.find(
        media_type=MediaType.XML,
        data=path.read_bytes(),
        schema="urn:xoev-de:bmk:standard:xbau_2.6",
        service=None,
        on=TODAY,
    )
    assert root in entry.item.roots
    assert entry.uri == "urn:xoev-de:bmk:standard:xbau_2.6#xbau-nachrichten-baugenehmigung"


@needs_shared_data
def test_every_xbau_message_is_valid(catalog):
    paths = sorted((XOEV / "xbau-2.6" / "instances-minimal").glob("*.xml"))
    assert len(paths) == 117
    assert [path.name for path in paths if not check(catalog, path).valid] == []


@needs_shared_data
def test_every_xschule_message_is_valid(catalog):
    paths = sorted((XOEV / "xschule" / "xml").glob("*.xml"))
    assert len(paths) == 16
    assert [path.name for path in paths if not check(catalog, path).valid] == []


@needs_shared_data
def test_xwasser_refuses_two_by_structure_and_eight_by_dangling_references(catalog):
    reports = {path.name: check(catalog, path) for path in (XOEV / "xwasser-1.0" / "tests").glob("*.xml")}
    rules = {name: {violation.rule for violation in report.violations} for name, report in reports.items()}
    assert {name for name, broken in rules.items() if broken == {"xml.idref-dangling"}} == DANGLING
    structural = {name for name, broken in rules.items() if "xml.element-unexpected" in broken}
    assert structural == {"monitoring_plan_minimal.xml", "monitoring_plan_maximal.xml"}
    assert all("xml.fixed" in rules[name] for name in structural)
    assert sum(report.valid for report in reports.values()) == 5
    assert reports["quality_report_minimal.xml"].total == 2


@needs_shared_data
@pytest.mark.parametrize("name", ["s00000121_BlaueKarte", "s00000036_WaBeKa"])
def test_schemas_made_from_fim_data_fields_are_brought_in(tmp_path, name):
    source = SHARED / "fim" / f"{name}.cleaned.schema.json"
    manifest = import_standard(source, tmp_path, standard="fim", version="1")
    assert manifest.kind is Kind.JSON_SCHEMA
    loaded = SchemaCatalog.load(tmp_path)
    report = loaded.check(
        media_type=MediaType.JSON, data=b'{"Erika": 1}', schema=manifest.schemas[0].uri, service=None, on=TODAY
    )
    assert not report.valid
    assert "Erika" not in str(report.as_json())


# JSON Schema.

DRAFTS = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "https://json-schema.org/draft-07/schema",
]


def json_package(tmp_path: Path, **files: object) -> Path:
    folder = tmp_path / "json"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(orjson.dumps(content))
    return folder


@pytest.mark.parametrize("draft", DRAFTS)
def test_older_drafts_and_their_words_judge(tmp_path, draft):
    own, bound = ("id", {"minimum": 3, "exclusiveMinimum": True}) if "04" in draft else ("$id", {"exclusiveMinimum": 3})
    schema = {"$schema": draft, own: "urn:beispiel:alt", "properties": {"a": {"type": "integer", **bound}}}
    import_standard(json_package(tmp_path, **{"s.json": schema}), tmp_path / "s", standard="alt", version="1")
    loaded = SchemaCatalog.load(tmp_path / "s")
    found = {}
    for value in (3, 4):
        data = orjson.dumps({"$schema": "urn:beispiel:alt", "a": value})
        report = loaded.check(media_type=MediaType.JSON, data=data, schema=None, service=None, on=TODAY)
        found[value] = [one.rule for one in report.violations]
    assert found == {3: ["json.exclusiveMinimum"], 4: []}


def test_json_schemas_refer_to_the_files_beside_them(tmp_path):
    draft = DRAFTS[2]
    main = {"$schema": draft, "$id": "haupt ü.json", "properties": {"t": {"$ref": "teil/typ%20a.json#/definitions/t"}}}
    files = {
        "haupt ü.json": {**main, "$id": "haupt.json"},
        # It names no draft: a part of others, and no schema of its own.
        "teil/typ a.json": {"definitions": {"t": {"type": "integer"}}},
        "andere.json": {"$schema": draft, "$ref": "fehlt.json"},
    }
    folder = json_package(tmp_path, **files)
    manifest = import_standard(folder, tmp_path / "s", standard="t", version="1", messages="haupt*")
    assert [item.closure for item in manifest.schemas] == [("haupt ü.json", "teil/typ a.json")]
    assert all(is_uri(item.uri) for item in manifest.schemas)
    (entry,) = SchemaCatalog.load(tmp_path / "s").entries()
    assert [entry.judge.check({"t": value}, b"{}", Limits())[1] for value in (1, "x")] == [0, 1]


def test_a_pattern_that_the_engine_runs_in_linear_time_is_taken_however_ambiguous(tmp_path):
    pattern = "^v1(&[a-z]+=.+)*$"
    assert is_dangerous(pattern)
    schema = {"$schema": DRAFTS[2], "$id": "urn:beispiel:v", "pattern": pattern}
    import_standard(json_package(tmp_path, **{"s.json": schema}), tmp_path / "s", standard="t", version="1")
    (entry,) = SchemaCatalog.load(tmp_path / "s").entries()
    begun = time.process_time()
    assert [
        entry.judge.check(text, b'""', Limits())[1] for text in ("v1&a=1&b=2", "v1" + "&a=&a=" * 20_000 + "\n")
    ] == [0, 1]
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("folder", ["bauantrag/1.0", "fim-hundesteuer/1.1"])
def test_the_command_that_pins_a_shipped_schema_leaves_one_alone_that_did_not_change(folder, tmp_path):
    shipped = Path(__file__).parents[2] / "schemas" / folder
    mine = Path(shutil.copytree(shipped, tmp_path / "standard" / shipped.name))
    done = subprocess.run([sys.executable, "-m", "hub.validation.importing", mine], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert (mine / "catalog.yaml").read_bytes() == (shipped / "catalog.yaml").read_bytes()
