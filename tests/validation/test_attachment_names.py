"""Where a schema's entry says that documents name attachments, and what a check says of those that did not come."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from datetime import date
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from hub.cli import main
from hub.errors import ConfigurationError
from hub.model.submission import MediaType
from hub.validation.attachments import RULE
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard, pin
from hub.validation.manifest import Kind, Manifest, SchemaItem, Status, read_manifest, with_attachments, write_manifest
from hub.validation.report import Cause, Check, Report

TODAY = date(2026, 11, 2)
DRAFT = "https://json-schema.org/draft/2020-12/schema"
KNOWN = {name: {} for name in ("datei", "dateien", "hund", "hunde", "a/b", "*")}
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t"
elementFormDefault="qualified"><xs:element name="m"><xs:complexType><xs:sequence>
<xs:element name="anlage" minOccurs="0" maxOccurs="unbounded"><xs:complexType mixed="true"><xs:sequence>
<xs:element name="datei" type="xs:token" minOccurs="0"/></xs:sequence>
<xs:attribute name="name" type="xs:string"/></xs:complexType></xs:element>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
IN_XML = "/{urn:t}m/{urn:t}anlage/{urn:t}datei"


def package(folder: Path, kind: str) -> Path:
    """A package of one schema, ``t.json`` or ``t.xsd``."""
    made = folder / "package"
    made.mkdir(parents=True, exist_ok=True)
    schema = {"$schema": DRAFT, "$id": "urn:t", "properties": KNOWN}
    (made / f"t.{kind}").write_text(json.dumps(schema) if kind == "json" else XSD)
    return made


def bring(folder: Path, kind: str, *places: str | dict) -> SchemaCatalog:
    """A catalogue of one schema, ``t.json`` or ``t.xsd``, with declared places (not required unless they say so)."""
    name = f"t.{kind}"
    target = folder / "schemas/t/1"
    target.mkdir(parents=True)
    content = (package(folder, kind) / name).read_bytes()
    (target / name).write_bytes(content)
    roots = ("{urn:t}m",) if kind == "xsd" else ()
    manifest = Manifest(
        standard="t",
        version="1",
        kind=Kind.XSD if kind == "xsd" else Kind.JSON_SCHEMA,
        status=Status.VALID,
        valid_from=None,
        valid_until=None,
        provenance="test",
        licence="test",
        schemas=(SchemaItem(uri="urn:t", file=name, closure=(name,), sha256="", roots=roots),),
        files={name: hashlib.sha256(content).hexdigest()},
    )
    listed = [place if isinstance(place, dict) else {"at": place} for place in places]
    declared = with_attachments(manifest, yaml.safe_dump({name: listed}).encode(), "attachments.yaml")
    (target / "catalog.yaml").write_text(write_manifest(declared))
    return SchemaCatalog.load(folder / "schemas")


def judged(catalog: SchemaCatalog, document: object, sent: list[str] | None) -> Report:
    if isinstance(document, str):
        whole = document.encode()
        return catalog.check(media_type=MediaType.XML, data=whole, schema=None, service=None, on=TODAY, sent=sent)
    data = json.dumps(document).encode()
    return catalog.check(media_type=MediaType.JSON, data=data, schema="urn:t", service=None, on=TODAY, sent=sent)


def places(report: Report) -> list[str]:
    assert {violation.rule for violation in report.violations} <= {RULE}
    assert report.missing_attachments == report.total == len(report.violations)
    return [violation.path for violation in report.violations]


def antrag(*enclosed: str) -> str:
    return f'<m xmlns="urn:t">\n{"".join(enclosed)}</m>'


JSON = {
    "a member": ("/datei", {"datei": "a.pdf"}, ["/datei"]),
    "items": ("/dateien/*", {"dateien": ["a.pdf", "b.pdf"]}, ["/dateien/0", "/dateien/1"]),
    "members of items": ("/hunde/*/datei", {"hunde": [{"datei": "a.pdf"}, {}]}, ["/hunde/0/datei"]),
    "one item": ("/dateien/1", {"dateien": ["a.pdf", "b.pdf"]}, ["/dateien/1"]),
    "any member, whose name is the sender's": ("/hund/*/datei", {"hund": {"Erika Muster": {"datei": "a"}}}, ["/hund"]),
    "an escaped name": ("/a~1b", {"a/b": "a.pdf"}, ["/a~1b"]),
    "a place that is empty": ("/datei", {"datei": ""}, []),
    "a place that holds no text": ("/datei", {"datei": ["a.pdf"]}, []),
    "a number in its place": ("/datei", {"datei": 1}, []),
    "nothing there": ("/hunde/*/datei", {"hunde": {}}, []),
    "a text on the way": ("/hunde/*/datei", {"hunde": "a.pdf"}, []),
    "an item that is not there": ("/dateien/7", {"dateien": ["a.pdf"]}, []),
}


@pytest.mark.parametrize(("at", "document", "missing"), JSON.values(), ids=JSON)
def test_in_json_a_pointer_leads_to_the_names(tmp_path, at, document, missing):
    report = judged(bring(tmp_path, "json", at), document, [])
    assert places(report) == missing
    assert report.valid
    assert report.complete


XML = {
    "an element": (IN_XML, antrag("<anlage><datei>a.pdf</datei></anlage>"), ["/ns:m/ns:anlage[1]/ns:datei[1]"]),
    "each of several": (
        IN_XML,
        antrag(*["<anlage><datei>a.pdf</datei></anlage>"] * 2),
        ["/ns:m/ns:anlage[1]/ns:datei[1]", "/ns:m/ns:anlage[2]/ns:datei[1]"],
    ),
    "an attribute": ("/{urn:t}m/{urn:t}anlage/@name", antrag('<anlage name="a.pdf"/>'), ["/ns:m/ns:anlage[1]/@name"]),
    "any element": (
        "/*/*/{urn:t}datei",
        antrag("<anlage><datei>a</datei></anlage>"),
        ["/ns:m/ns:anlage[1]/ns:datei[1]"],
    ),
    "an empty element": (IN_XML, antrag("<anlage><datei/></anlage>"), []),
    "white space alone": (IN_XML, antrag("<anlage><datei> \n </datei></anlage>"), []),
    "another place": (IN_XML, antrag('<anlage name="datei"/>'), []),
    "another namespace": ("/{urn:t}m/{urn:u}anlage/{urn:t}datei", antrag("<anlage><datei>a</datei></anlage>"), []),
    "no namespace": ("/{urn:t}m/anlage", antrag("<anlage>a.pdf</anlage>"), []),
}


@pytest.mark.parametrize(("at", "document", "missing"), XML.values(), ids=XML)
def test_in_xml_a_path_leads_to_the_names(tmp_path, at, document, missing):
    report = judged(bring(tmp_path, "xsd", at), document, [])
    assert places(report) == missing
    assert (report.valid, report.complete) == (True, True)
    assert report.namespaces == ((("ns", "urn:t"),) if missing else ())


def test_a_report_says_place_and_line_and_never_the_name(tmp_path):
    whole = antrag("\n<anlage>\n<datei>geheim.pdf</datei></anlage>")
    (found,) = judged(bring(tmp_path, "xsd", IN_XML), whole, ["andere.pdf"]).violations
    assert (found.line, found.severity, found.path_kind) == (4, "warning", "xpath")
    assert "geheim" not in json.dumps(found.as_json())
    data = b'{\n\n"datei":\n"geheim.pdf"}'
    (tmp_path / "other").mkdir()
    catalog = bring(tmp_path / "other", "json", "/datei")
    report = catalog.check(media_type=MediaType.JSON, data=data, schema="urn:t", service=None, on=TODAY, sent=[])
    assert (report.violations[0].line, report.violations[0].path) == (4, "/datei")
    assert "geheim" not in json.dumps(report.as_json())


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Lageplan für Müller.pdf") for form in ("NFC", "NFD"))
NAMES = {
    "the same": ("a.pdf", ["a.pdf"], True),
    "decomposed in the data": (DECOMPOSED, [COMPOSED], True),
    "decomposed as a file": (COMPOSED, [DECOMPOSED], True),
    "among others": ("a.pdf", ["b.pdf", "a.pdf", "c.pdf"], True),
    "in other case": ("a.pdf", ["A.PDF"], False),
    "with a blank": ("a.pdf", ["a .pdf"], False),
    "with a folder": ("plan/a.pdf", ["a.pdf"], False),
    "without its suffix": ("a.pdf", ["a"], False),
    "of compatible characters": ("ﬁ.pdf", ["fi.pdf"], False),
    "nothing sent": ("a.pdf", [], False),
    "beyond any file's length": ("ä" * 1_001, ["ä" * 1_001], False),
}


@pytest.mark.parametrize(("name", "sent", "there"), NAMES.values(), ids=NAMES)
def test_names_are_compared_exactly_but_for_their_normal_form(tmp_path, name, sent, there):
    assert places(judged(bring(tmp_path, "json", "/datei"), {"datei": name}, sent)) == ([] if there else ["/datei"])


def test_white_space_and_comments_around_a_name_in_xml_do_not_count(tmp_path):
    catalog = bring(tmp_path, "xsd", IN_XML)
    whole = antrag("<anlage><datei>\n  lage<!-- neu -->plan<?x y?>.pdf\n</datei></anlage>")
    assert places(judged(catalog, whole, ["lageplan.pdf"])) == []


def test_a_name_may_stand_twice_and_come_once(tmp_path):
    assert places(judged(bring(tmp_path, "json", "/dateien/*"), {"dateien": ["a", "a"]}, ["a"])) == []


def test_what_is_sent_and_not_named_is_fine(tmp_path):
    assert judged(bring(tmp_path, "json", "/datei"), {}, ["a", "b"]).violations == ()


def test_what_is_required_is_an_error_and_errors_come_first(tmp_path):
    catalog = bring(tmp_path, "json", "/dateien/*", {"at": "/datei", "required": True})
    report = judged(catalog, {"dateien": ["a"], "datei": "b"}, [])
    assert [(each.path, each.severity) for each in report.violations] == [
        ("/datei", "error"),
        ("/dateien/0", "warning"),
    ]
    assert not report.valid
    assert judged(catalog, {"dateien": ["a"], "datei": "b"}, ["b"]).valid


def test_what_the_attachment_is_for_stands_in_both_languages_beside_its_place(tmp_path):
    label = {"de": "Lageplan", "en": "Site plan"}
    catalog = bring(tmp_path, "json", {"at": "/datei", "required": True, "label": label})
    (found,) = judged(catalog, {"datei": "geheim.pdf"}, []).violations
    assert (found.path, found.severity) == ("/datei", "error")
    assert found.text.de.startswith("Lageplan: ")
    assert found.text.en.startswith("Site plan: ")
    assert "geheim" not in found.text.de + found.text.en
    (item,) = read_manifest(tmp_path / "schemas/t/1").schemas
    assert [each.as_document() for each in item.attachments] == [{"at": "/datei", "required": True, "label": label}]


def test_a_label_is_no_part_of_what_judges(tmp_path):
    places = [{"at": "/datei"}, {"at": "/datei", "label": {"de": "a", "en": "b"}}]
    catalogs = [bring(tmp_path / str(number), "json", place) for number, place in enumerate(places)]
    assert catalogs[0].ref("urn:t").sha256 == catalogs[1].ref("urn:t").sha256


def test_what_is_required_is_so_only_where_it_is_named(tmp_path):
    assert judged(bring(tmp_path, "json", {"at": "/datei", "required": True}), {}, []).valid


def test_without_attachments_at_hand_the_report_says_so_if_there_are_names(tmp_path):
    catalog = bring(tmp_path, "json", {"at": "/datei", "required": True})
    report = judged(catalog, {"datei": "a"}, None)
    assert (report.valid, report.complete) == (True, False)
    assert [(each.check, each.cause) for each in report.unchecked] == [(Check.ATTACHMENTS, Cause.NO_ATTACHMENTS)]
    assert judged(catalog, {}, None).complete


def test_a_schema_that_declares_nothing_gives_the_report_it_always_gave(tmp_path):
    catalog = bring(tmp_path, "json")
    assert catalog.entries()[0].named is None
    assert judged(catalog, {"datei": "a"}, None) is catalog.entries()[0].clean


def test_only_so_many_names_are_looked_at_and_the_report_says_so(tmp_path):
    catalog = bring(tmp_path, "json", "/dateien/*")
    most = judged(catalog, {"dateien": ["a"] * 500}, ["a"])
    assert (most.complete, most.total) == (True, 0)
    report = judged(catalog, {"dateien": [*["a"] * 500, *["b"] * 100_000]}, ["a"])
    assert [(each.check, each.cause) for each in report.unchecked] == [(Check.ATTACHMENTS, Cause.TOO_LARGE)]
    many = judged(catalog, {"dateien": ["b"] * 300}, [])
    assert (many.missing_attachments, many.total, len(many.violations)) == (300, 300, 100)


@pytest.mark.parametrize(("size", "complete"), [(100_000, True), (1_100_000, False)])
def test_of_xml_that_is_only_streamed_the_names_stay_unchecked(tmp_path, size, complete):
    catalog = bring(tmp_path, "xsd", IN_XML)
    document = antrag(" " * size, "<anlage><datei>a.pdf</datei></anlage>")
    report = judged(catalog, document, ["a.pdf"])
    assert (report.valid, report.complete, report.total) == (True, complete, 0)
    assert judged(catalog, antrag(" " * size), []).complete


# The declaration.

FAULTS = {
    "no list": ("json", {"at": "/datei"}),
    "no mapping": ("json", ["/datei"]),
    "an unknown member": ("json", [{"at": "/datei", "colour": "red"}]),
    "no place": ("json", [{"required": True}]),
    "a place that is no text": ("json", [{"at": 1}]),
    "required as a text": ("json", [{"at": "/datei", "required": "yes"}]),
    "a label in one language": ("json", [{"at": "/datei", "label": {"de": "a"}}]),
    "a label that is a text": ("json", [{"at": "/datei", "label": "a"}]),
    "an empty label": ("json", [{"at": "/datei", "label": {"de": "a", "en": " "}}]),
    "a label that is too long": ("json", [{"at": "/datei", "label": {"de": "a" * 201, "en": "b"}}]),
    "the whole document": ("json", [{"at": ""}]),
    "no pointer": ("json", [{"at": "datei"}]),
    "a wrong escape": ("json", [{"at": "/a~2b"}]),
    "the same place twice": ("json", [{"at": "/datei"}, {"at": "/datei", "required": True}]),
    "too many": ("json", [{"at": f"/{number}"} for number in range(51)]),
    "too long": ("json", [{"at": "/" + "a" * 2_000}]),
    "an XPath of any element": ("xsd", [{"at": "//{urn:t}datei"}]),
    "a relative path": ("xsd", [{"at": "{urn:t}m/{urn:t}anlage"}]),
    "a prefix": ("xsd", [{"at": "/t:m/t:anlage"}]),
    "a predicate": ("xsd", [{"at": "/{urn:t}m/{urn:t}anlage[1]"}]),
    "an attribute in between": ("xsd", [{"at": "/{urn:t}m/@name/{urn:t}datei"}]),
    "an attribute first": ("xsd", [{"at": "/@name"}]),
    "a function": ("xsd", [{"at": "/{urn:t}m/text()"}]),
    "a quotation in a namespace": ("xsd", [{"at": "/{urn:t m"}]),
    "a root that is none of the schema's": ("xsd", [{"at": "/{urn:t}antrag/{urn:t}datei"}]),
}


@pytest.mark.parametrize(("kind", "declared"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_declaration_stops_the_start(tmp_path, kind, declared):
    bring(tmp_path, kind)
    folder = tmp_path / "schemas/t/1"
    document = yaml.safe_load((folder / "catalog.yaml").read_text())
    document["schemas"][0]["attachments"] = declared
    (folder / "catalog.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationError):
        SchemaCatalog.load(tmp_path / "schemas")


@pytest.mark.parametrize("at", ["/t:m/t:anlage", "/{urn:t}antrag/{urn:t}datei"])
def test_a_wrong_declaration_stops_the_import_and_leaves_nothing_behind(tmp_path, at):
    declared = tmp_path / "attachments.yaml"
    declared.write_text(yaml.safe_dump({"t.xsd": [{"at": at}]}))
    source, target = package(tmp_path, "xsd"), tmp_path / "schemas"
    with pytest.raises(ConfigurationError):
        import_standard(source, target, standard="t", version="1", attachments=declared)
    assert not list(target.iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"- t.json", b"{t.json: 1}", b"{other.json: []}", b"\xff", b"a: [", b"a: 1\na: 2"]
)
def test_a_file_of_declarations_that_is_none_is_refused(tmp_path, content):
    bring(tmp_path, "json")
    with pytest.raises(ConfigurationError):
        with_attachments(read_manifest(tmp_path / "schemas/t/1"), content, "attachments.yaml")


def test_a_declaration_that_is_written_into_a_catalogue_by_hand_counts_and_changes_what_is_recorded(tmp_path):
    before = bring(tmp_path, "json").ref("urn:t")
    folder = tmp_path / "schemas/t/1"
    document = yaml.safe_load((folder / "catalog.yaml").read_text())
    document["schemas"][0]["attachments"] = [{"at": "/datei"}]
    (folder / "catalog.yaml").write_text(yaml.safe_dump(document))
    catalog = SchemaCatalog.load(tmp_path / "schemas")
    assert places(judged(catalog, {"datei": "a"}, [])) == ["/datei"]
    assert catalog.ref("urn:t").sha256 != before.sha256


@pytest.mark.parametrize("kind", ["json", "xsd"])
def test_a_declaration_survives_being_pinned_anew(tmp_path, kind):
    at = IN_XML if kind == "xsd" else "/datei"
    bring(tmp_path, kind, {"at": at, "required": True})
    folder = tmp_path / "schemas/t/1"
    before = read_manifest(folder)
    assert pin(folder).schemas[0].attachments == read_manifest(folder).schemas[0].attachments
    assert read_manifest(folder).schemas[0] == before.schemas[0]
    assert [(place.at, place.required) for place in before.schemas[0].attachments] == [(at, True)]


def test_the_command_line_takes_a_declaration_and_shows_it(tmp_path):
    package(tmp_path, "json")
    (tmp_path / "a.json").write_text(json.dumps({"t.json": [{"at": "/datei", "required": True}]}))
    data = ["--data", str(tmp_path / "data")]
    source = [str(tmp_path / "package"), "--standard", "t", "--version", "3"]
    command = ["schemas", "import", *source, "--attachments", str(tmp_path / "a.json"), *data]
    assert CliRunner().invoke(main, command).exit_code == 0
    shown = CliRunner().invoke(main, ["schemas", "show", "urn:t", *data]).output
    assert "/datei (nötig / required)" in shown
