"""Code lists: a code is judged by the list and the version that the message names."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import orjson
import pytest
from shared_data import CATALOG, SHARED, needs_shared_data
from stage import BAUANTRAG, SCHEMAS

from hub.errors import ConfigurationError
from hub.model.submission import MediaType
from hub.validation import code_lists
from hub.validation.catalog import SchemaCatalog
from hub.validation.code_lists import read_code_list
from hub.validation.importing import import_standard
from hub.validation.manifest import read_manifest, write_manifest
from hub.validation.xml.report import document_path

HOUSE = BAUANTRAG.decode()
URI = "https://schema.rathaus-hub.example/bauantrag/codeliste/verfahren"
LIST = """<gc:CodeList xmlns:gc="http://docs.oasis-open.org/codelist/ns/genericode/1.0/">
 <Identification><ShortName>v</ShortName><Version>{version}</Version><CanonicalUri>{uri}</CanonicalUri></Identification>
 <ColumnSet><Column Id="name"/><Column Id="code"/>
  <Key Id="k"><ColumnRef Ref="name"/></Key>
  <Key Id="c"><Annotation><AppInfo><recommendedKeyColumn/></AppInfo></Annotation><ColumnRef Ref="code"/></Key></ColumnSet>
 <SimpleCodeList>{rows}</SimpleCodeList></gc:CodeList>"""
ROW = '<Row><Value ColumnRef="name"><SimpleValue>n</SimpleValue></Value><Value><SimpleValue>{}</SimpleValue></Value></Row>'


def catalog(tmp_path: Path, *codes: str, version: str = "1", closed: bool = True) -> SchemaCatalog:
    (tmp_path / "package").mkdir()
    rows = "".join(ROW.format(code) for code in codes)
    (tmp_path / "package" / "verfahren.xml").write_text(LIST.format(uri=URI, version=version, rows=rows))
    import_standard(tmp_path / "package", tmp_path / "schemas", standard="listen", version="1")
    folder = tmp_path / "schemas" / "listen" / "1"
    manifest = read_manifest(folder)
    items = tuple(replace(item, closed=closed) for item in manifest.schemas)
    (folder / "catalog.yaml").write_text(write_manifest(replace(manifest, schemas=items)))
    return SchemaCatalog.load(SCHEMAS, tmp_path / "schemas")


def check(loaded, text: str = HOUSE):
    return loaded.check(media_type=MediaType.XML, data=text.encode(), schema=None, service=None, on=date(2026, 11, 2))


def test_a_code_that_a_closed_list_lacks_is_an_error(tmp_path):
    report = check(catalog(tmp_path, "REG", "FRE"))
    assert [(v.rule, v.severity, v.expected) for v in report.violations] == [("codelist.code", "error", "FRE, REG")]
    assert report.violations[0].path.endswith("/bau:verfahren[1]/bau:code[1]")
    assert not report.valid


def test_a_code_that_an_open_list_lacks_is_a_warning(tmp_path):
    report = check(catalog(tmp_path, "REG", closed=False))
    assert [(v.rule, v.severity) for v in report.violations] == [("codelist.code", "warning")]
    assert report.valid


def test_the_lists_that_judge_are_part_of_the_hash_that_is_recorded(tmp_path):
    hashes = set()
    for number, (codes, closed) in enumerate([((), True), (("REG",), True), (("REG", "FRE"), True), (("REG",), False)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        loaded = catalog(folder, *codes, closed=closed) if codes else SchemaCatalog.load(SCHEMAS)
        report = check(loaded)
        assert report.schema == loaded.ref(report.schema.uri)
        hashes.add(report.schema.sha256)
        # What no code list judges keeps its hash.
        json = loaded.ref("https://schema.rathaus-hub.example/fim-hundesteuer/1.0/anmeldung.schema.json")
        assert json == SchemaCatalog.load(SCHEMAS).ref(json.uri)
    assert len(hashes) == 4


def test_codes_of_a_streamed_document_are_looked_up_too(tmp_path):
    long = HOUSE.replace("Zweigeschossig", "Zweigeschossig " + "<!-- lang -->" * 6_000)
    report = check(catalog(tmp_path, "REG"), long)
    assert ([one.rule for one in report.violations], report.complete) == (["codelist.code"], True)


def test_a_document_too_large_for_its_codes_is_not_called_complete(tmp_path):
    report = check(catalog(tmp_path, "REG"), HOUSE.replace("</bau:vorhaben>", " " * 4_200_000 + "</bau:vorhaben>"))
    assert (report.valid, report.complete, len(report.notes)) == (True, False, 1)


FIXED = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="m"><xs:complexType><xs:sequence>
<xs:element name="k" maxOccurs="9"><xs:complexType><xs:sequence><xs:element name="code" type="xs:token"/></xs:sequence>
<xs:attribute name="listURI" type="xs:anyURI" fixed="{uri}"/><xs:attribute name="listVersionID" default="1"/></xs:complexType>
</xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"""


def test_list_and_version_that_the_schema_names_count_where_the_message_leaves_them_out(tmp_path):
    """XML Schema 1.0 part 1, 3.2.1: fixed and default values belong to the element."""
    catalog(tmp_path, "REG", "A B")
    (tmp_path / "coded").mkdir()
    (tmp_path / "coded" / "m.xsd").write_text(FIXED.format(uri=URI))
    import_standard(tmp_path / "coded", tmp_path / "schemas", standard="coded", version="1")
    loaded = SchemaCatalog.load(tmp_path / "schemas")

    def judged(attributes: str, code: str) -> tuple[list[str], bool]:
        report = check(loaded, f"<m><k {attributes}><code>{code}</code></k></m>")
        return [one.rule for one in report.violations], report.complete

    assert judged("", "REG") == judged("", " A<!-- --> \n B ") == ([], True)
    assert (
        judged("", "AB")
        == judged(f'listURI="{URI}"', "ZZ")
        == judged('listVersionID="1"', "ZZ")
        == (["codelist.code"], True)
    )
    # What was not judged is not called complete.
    assert judged('listVersionID="2"', "REG") == (["codelist.version"], False)
    alone = SchemaCatalog.load(tmp_path / "schemas" / "listen", tmp_path / "none")
    assert not alone.uris()
    without = tmp_path / "without"
    import_standard(tmp_path / "coded", without, standard="coded", version="1")
    assert [each.cause for each in check(SchemaCatalog.load(without), "<m><k><code>REG</code></k></m>").unchecked] == [
        "not-known"
    ]


def many(tmp_path: Path, *codes: str, kind: str = "xs:token", more: str = "") -> SchemaCatalog:
    """A schema whose messages hold any number of codes of a type, and the list of these codes."""
    catalog(tmp_path, *codes)
    schema = FIXED.format(uri=URI).replace('maxOccurs="9"', 'maxOccurs="unbounded"').replace("xs:token", kind)
    (tmp_path / "coded").mkdir()
    (tmp_path / "coded" / "m.xsd").write_text(schema.replace("</xs:schema>", f"{more}</xs:schema>"))
    import_standard(tmp_path / "coded", tmp_path / "schemas", standard="coded", version="1")
    return SchemaCatalog.load(tmp_path / "schemas")


def message(*codes: str) -> str:
    return f"<m>{''.join(f'<k><code>{code}</code></k>' for code in codes)}</m>"


def test_a_hundred_thousand_codes_of_one_list_are_each_judged_in_time_that_grows_with_them(tmp_path, monkeypatch):
    steps = 0

    def counted(*given, **named):
        nonlocal steps
        steps += 1
        return document_path(*given, **named)

    monkeypatch.setattr(code_lists, "document_path", counted)
    codes = [f"K{number:06}" for number in range(100_000)]
    loaded = many(tmp_path, *codes)
    good = check(loaded, message(*codes))
    assert (good.total, good.complete, steps) == (0, True, 0)
    # Each is counted; a place, for which all beside is looked at, has only what the report shows.
    wrong = check(loaded, message(*(f"Q{number:06}" for number in range(19_999)), codes[0]))
    assert (wrong.total, wrong.valid, wrong.complete) == (19_999, False, True)
    assert steps == len(wrong.violations) == len({each.path for each in wrong.violations}) == 100


def test_errors_behind_many_warnings_keep_their_places(tmp_path):
    loaded = many(tmp_path, "REG")
    coded = '<k listVersionID="9"><code>REG</code></k>' * 150
    report = check(loaded, f"<m>{coded}<k><code>ZZ</code></k></m>")
    assert (report.total, report.complete, report.violations[0].rule) == (151, False, "codelist.code")
    assert report.violations[0].path == "/m/k[151]/code[1]"
    assert all(each.path != "/*" for each in report.violations)


UNION = '<xs:simpleType name="T"><xs:union memberTypes="xs:int xs:NMTOKEN"/></xs:simpleType>'


@pytest.mark.parametrize(("kind", "more"), [("xs:NMTOKEN", ""), ("T", UNION)])
def test_codes_of_a_union_are_judged_by_their_text(tmp_path, kind, more):
    loaded = many(tmp_path, "REG", "07", kind=kind, more=more)
    found = [
        ([each.rule for each in report.violations], report.complete)
        for report in (check(loaded, message(code)) for code in ("REG", " 07 ", "7", "FRE"))
    ]
    assert found == [([], True), ([], True), (["codelist.code"], True), (["codelist.code"], True)]


def test_codes_that_the_schema_lists_itself_are_judged_whatever_lists_there_are(tmp_path):
    report = check(catalog(tmp_path, "VER", version="2"))
    assert (report.total, report.complete) == (0, True)


def test_errors_of_the_schema_are_named_beside_those_of_lists(tmp_path):
    report = check(catalog(tmp_path, "REG"), HOUSE.replace("65307", "1"))
    assert {violation.rule for violation in report.violations} == {"xml.pattern", "codelist.code"}
    assert report.total == 2


def test_a_code_of_the_list_is_valid(tmp_path):
    assert check(catalog(tmp_path, "VER", "REG")).total == 0


@pytest.mark.parametrize(
    "content", [b"<r/>", LIST.format(uri="", version="1", rows="").encode(), b"<", LIST.encode().replace(b"Key", b"No")]
)
def test_what_is_no_code_list_is_refused(content):
    with pytest.raises(ConfigurationError):
        read_code_list(content, "x.xml")


@needs_shared_data
def test_official_lists_are_read_and_official_messages_keep_them(tmp_path):
    xoev = SHARED / "xoev"
    manifest = import_standard(xoev / "codelists", tmp_path, standard="codelisten", version="2026")
    assert len(manifest.schemas) == 8
    import_standard(xoev / "xschule" / "xsd", tmp_path, standard="xschule", version="1.2", catalog=CATALOG)
    loaded = SchemaCatalog.load(tmp_path)
    named = 0
    for path in sorted((xoev / "xschule" / "xml").glob("*.xml")):
        text = path.read_text(encoding="utf-8")
        named += "schluessel:bundesland" in text
        report = check(loaded, text)
        assert [v.rule for v in report.violations if v.severity == "error"] == []
    assert named


# Lists beside schemas, and sets of lists as the XRepository exports them.

CODED = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:k" xmlns="urn:k">
<xs:element name="m"><xs:complexType><xs:sequence><xs:element name="code" type="xs:token"/></xs:sequence>
<xs:attribute name="listURI"/><xs:attribute name="listVersionID"/></xs:complexType></xs:element></xs:schema>"""
ERROR_FILE = """<?xml version="1.0" encoding="UTF-8"?>
<b:Fehler xmlns:b="http://www.xoev.de/de/xrepository/framework/1/basisdatentypen"><b:status>0</b:status></b:Fehler>"""
LIST_AS_JSON = {
    "metadaten": {"kennung": "urn:l:json_1", "kennungInhalt": "urn:l:json", "version": "1"},
    "spalten": [
        {"spaltennameTechnisch": "nummer", "codeSpalte": True, "empfohleneCodeSpalte": False},
        {"spaltennameTechnisch": "code", "codeSpalte": True, "empfohleneCodeSpalte": True},
    ],
    "daten": [["1", "REG"], ["2", " A  01 "]],
}


def exported(folder: Path, **more: str) -> Path:
    """A set of lists as it is exported, one of them with an error in its place."""
    folder.mkdir(parents=True)
    (folder / "urn:l:xml_1.xml").write_text(LIST.format(uri="urn:l:xml", version="1", rows=ROW.format("REG")))
    (folder / "urn:l:json_1.json").write_bytes(orjson.dumps(LIST_AS_JSON))
    (folder / "art_fehlerhaft.xml").write_text(ERROR_FILE)
    for name, content in more.items():
        (folder / name).write_text(content)
    return folder


def coded(catalog: SchemaCatalog, uri: str, code: str):
    text = f'<m xmlns="urn:k" listURI="{uri}" listVersionID="1"><code xmlns="">{code}</code></m>'
    return [(one.rule, one.severity) for one in check(catalog, text).violations]


@pytest.fixture(scope="module")
def with_lists(tmp_path_factory) -> Path:
    """A catalogue of one package: a schema, its lists, and an XML file that is neither."""
    target = tmp_path_factory.mktemp("with-lists")
    package = exported(target / "package" / "Codelisten (gültig)").parent
    (package / "k.xsd").write_text(CODED)
    (package / "beispiel.xml").write_text("<m/>")
    import_standard(package, target / "schemas", standard="k", version="1", open_lists=["urn:l:j*"])
    return target / "schemas"


def test_lists_of_a_package_are_taken_over_with_it_and_missing_ones_are_named(with_lists):
    manifest = read_manifest(with_lists / "k" / "1")
    assert {(each.uri, each.closed) for each in manifest.code_lists} == {("urn:l:xml_1", True), ("urn:l:json_1", False)}
    assert manifest.left_out == ("Codelisten (gültig)/art_fehlerhaft.xml",)
    assert "beispiel.xml" not in manifest.files
    assert len(manifest.schemas) == 1


@pytest.mark.parametrize(
    ("uri", "code", "found"),
    [
        ("urn:l:xml", "REG", []),
        ("urn:l:xml", "ZZ", [("codelist.code", "error")]),
        ("urn:l:json", "A 01", []),
        # The number is a key of the list, and not the one that it recommends.
        ("urn:l:json", "1", [("codelist.code", "warning")]),
    ],
)
def test_lists_of_a_package_judge_its_messages_open_ones_by_warnings(with_lists, uri, code, found):
    assert coded(SchemaCatalog.load(with_lists), uri, code) == found


@pytest.mark.parametrize(("uri", "complete"), [("urn:l:xml", True), ("urn:l:art", False)])
def test_a_message_whose_code_needs_a_missing_list_is_not_complete(with_lists, uri, complete):
    text = f'<m xmlns="urn:k" listURI="{uri}" listVersionID="1"><code xmlns="">REG</code></m>'
    report = check(SchemaCatalog.load(with_lists), text)
    assert (report.valid, report.complete) == (True, complete)


def test_a_list_on_its_own_counts_before_the_same_one_beside_schemas(with_lists, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "l.gc").write_text(LIST.format(uri="urn:l:xml", version="1", rows=ROW.format("ZZ")))
    import_standard(own, tmp_path / "schemas", standard="a", version="1")
    for roots in ((with_lists, tmp_path / "schemas"), (tmp_path / "schemas", with_lists)):
        assert coded(SchemaCatalog.load(*roots), "urn:l:xml", "ZZ") == []


def test_an_export_with_errors_in_it_brings_in_the_other_lists(tmp_path):
    source = exported(tmp_path / "codes", **{"kaputt.xml": "<", "kaputt.json": "{", "leer.gc": "<r/>"})
    manifest = import_standard(source, tmp_path / "schemas", standard="codes", version="1", open_lists=["urn:l:xml_1"])
    assert {(item.uri, item.closed) for item in manifest.schemas} == {("urn:l:xml_1", False), ("urn:l:json_1", True)}
    assert manifest.left_out == ("art_fehlerhaft.xml", "kaputt.json", "kaputt.xml", "leer.gc")


def test_an_export_of_nothing_but_errors_is_refused_by_name(tmp_path):
    (tmp_path / "art_fehlerhaft.xml").write_text(ERROR_FILE)
    with pytest.raises(ConfigurationError, match=r"art_fehlerhaft\.xml is not a code list"):
        import_standard(tmp_path / "art_fehlerhaft.xml", tmp_path / "schemas", standard="codes", version="1")


def test_lists_beside_json_schemas_are_taken_over_too(tmp_path):
    package = exported(tmp_path / "package")
    (package / "s.json").write_text('{"$schema": "http://json-schema.org/draft-07/schema#", "$id": "urn:l:schema"}')
    manifest = import_standard(package, tmp_path / "schemas", standard="j", version="1")
    assert (len(manifest.schemas), len(manifest.code_lists), manifest.left_out) == (1, 2, ("art_fehlerhaft.xml",))
