"""Schemas on the command line: what is there, what changes, whether it holds, and what a sender can prove."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from stage import SCHEMAS

from hub.cli import main

GOOD = SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml"
BAD = SCHEMAS / "bauantrag/1.0/examples/bad-ohne-flurstueck.xml.element-missing.xml"
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t">
<xs:element name="m"><xs:complexType><xs:sequence>{}</xs:sequence></xs:complexType></xs:element></xs:schema>"""
ONE = '<xs:element name="a" type="xs:string"/>'
TWO = ONE + '<xs:element name="b" type="xs:string"/>'


@pytest.fixture
def hub(tmp_path):
    """Run a command on a fresh data folder and return (exit code, what was printed)."""

    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*map(str, arguments), "--data", str(tmp_path / "data")])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def two_versions(hub, tmp_path) -> Path:
    """A standard ``t`` in two versions, the second announced; returns their folder."""
    for version, elements, status in (("1", ONE, "valid"), ("2", TWO, "announced")):
        package = tmp_path / f"package-{version}"
        package.mkdir()
        (package / "t.xsd").write_text(XSD.format(elements))
        code, said = hub("schemas", "import", package, "--standard", "t", "--version", version, "--status", status)
        assert code == 0, said
    return tmp_path / "data" / "schemas" / "t"


def test_an_unknown_schema_is_not_shown(hub):
    assert hub("schemas", "show", "urn:no:such:schema")[0] == 1


def test_versions_that_are_not_there_are_not_compared(hub, two_versions):
    assert hub("schemas", "diff", "t", "1", "9")[0] == 1


def test_a_changed_file_is_found_out(hub, two_versions):
    (two_versions / "1" / "t.xsd").write_text(XSD.format(""))
    code, said = hub("schemas", "check", two_versions)
    assert code == 1
    assert re.search(r"BROKEN\s+t 1", said)
    assert "good       t 2" in said


def test_an_empty_folder_has_no_catalogue_to_check(hub, tmp_path):
    (tmp_path / "empty").mkdir()
    assert hub("schemas", "check", tmp_path / "empty")[0] == 1


def test_a_bad_document_is_tried_and_told_by_which_schema_and_rule(hub):
    code, said = hub("schemas", "try", BAD)
    assert code == 1
    assert said.startswith("bauantrag 1.0 (valid)")
    assert "xml.element-missing" in said


def test_a_good_document_is_tried(hub):
    assert hub("schemas", "try", GOOD)[0] == 0


def test_a_schema_is_shown_with_its_status_hash_and_messages(hub, two_versions):
    code, said = hub("schemas", "show", "https://schema.rathaus-hub.example/t/2#t")
    assert code == 0
    assert "announced" in said
    assert "{urn:t}m" in said
    assert re.search(r"SHA-256 +[0-9a-f]{64}", said)


def test_what_a_sender_must_change_is_named_and_exits_1(hub, two_versions):
    code, said = hub("schemas", "diff", "t", "1", "2")
    assert code == 1
    assert re.search(r"! \S*/b: Neu und Pflicht", said)
    assert "1 nötig / required" in said


def test_the_same_version_needs_no_change(hub, two_versions):
    assert hub("schemas", "diff", "t", "1", "1", "--all")[0] == 0


def test_the_shipped_catalogue_holds(hub):
    code, said = hub("schemas", "check")
    assert (code, "BROKEN" in said) == (0, False)


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ("text", "[xml.element-missing]"),
        ("json", '"valid": false'),
        ("xml", "<assessment>reject"),
        ("html", "<section"),
    ],
)
def test_a_report_has_four_forms(hub, form, mark):
    code, said = hub("validate", BAD, "--format", form)
    assert (code, mark in said) == (1, True)


def test_every_form_of_a_valid_report_exits_0(hub):
    assert [hub("validate", GOOD, "--format", form)[0] for form in ("text", "json", "xml", "html")] == [0] * 4


def test_an_unknown_standard_has_no_conformance(hub):
    assert hub("conformance", "sender", "nope", "1")[0] == 1


def test_a_folder_without_messages_proves_nothing(hub, tmp_path):
    (tmp_path / "mine").mkdir()
    assert hub("conformance", "sender", "bauantrag", "1.0", "--folder", tmp_path / "mine")[0] == 1


def test_a_sender_sees_which_messages_are_proven_and_the_score_is_kept(hub, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(GOOD, mine)
    shutil.copy(BAD, mine)
    (mine / "foreign.xml").write_text("<x/>")
    code, said = hub("conformance", "sender", "bauantrag", "1.0", "--folder", mine)
    score = json.loads((mine / "conformance.json").read_text())
    assert code == 1
    assert re.search(r"ok +1 / 2", said)
    assert (len(score["proven"]), score["messages"]) == (1, len(score["missing"]) + 1)
    assert {one["file"]: one["valid"] for one in score["files"]} == {
        GOOD.name: True,
        BAD.name: False,
        "foreign.xml": False,
    }


def test_a_second_run_replaces_the_score_and_does_not_judge_it(hub, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(GOOD, mine)
    for _ in range(2):
        assert hub("conformance", "sender", "bauantrag", "1.0", "--folder", mine)[0] == 0
    assert len(json.loads((mine / "conformance.json").read_text())["files"]) == 1


def test_a_score_names_vendor_product_and_version_and_a_newer_version_is_held_to_it(hub, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(GOOD, mine)
    command = ("conformance", "sender", "bauantrag", "1.0", "--folder", mine, "--vendor", "Müller & Söhne", "--product")
    assert hub(*command, "Antragsnetz/4.2.1")[0] == 0
    score = json.loads((mine / "conformance.json").read_text())
    assert score["software"] == {"vendor": "Müller & Söhne", "product": "Antragsnetz", "version": "4.2.1"}
    shutil.copy(BAD, mine / GOOD.name)
    assert "nicht mehr nachgewiesen" in hub(*command, "Antragsnetz/4.3.0")[1]
    shutil.copy(GOOD, mine)
    assert hub(*command, "Antragsnetz/4.3.1")[0] == 0
    shutil.copy(BAD, mine / GOOD.name)
    assert "nicht mehr nachgewiesen" not in hub(*command, "Another/1")[1]


@pytest.mark.parametrize(
    ("vendor", "product"),
    [
        ("V", "P"),
        ("V", "P/"),
        ("V", "P/1\n"),
        ("V", "P/1/2"),
        ("V", f"{'p' * 61}/1"),
        ("", "P/1"),
        ("V\nX", "P/1"),
        ("V\u202eX", "P/1"),
        ("v" * 101, "P/1"),
    ],
)
def test_names_of_software_that_could_be_mistaken_are_refused_and_no_score_is_kept(hub, tmp_path, vendor, product):
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(GOOD, mine)
    command = ("conformance", "sender", "bauantrag", "1.0", "--folder", mine)
    assert hub(*command, "--vendor", vendor, "--product", product)[0] == 2
    assert not (mine / "conformance.json").exists()


def test_half_a_name_of_software_and_one_without_messages_are_refused(hub, tmp_path):
    command = ("conformance", "sender", "bauantrag", "1.0")
    assert hub(*command, "--folder", tmp_path, "--vendor", "V")[0] == 2
    assert hub(*command, "--folder", tmp_path, "--product", "P/1")[0] == 2
    assert hub(*command, "--vendor", "V", "--product", "P/1")[0] == 2


def test_a_version_can_be_tried_before_it_is_in_force(hub, two_versions, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "m.xml").write_text('<m xmlns="urn:t"><a xmlns="">x</a><b xmlns="">y</b></m>')
    assert hub("conformance", "sender", "t", "2", "--folder", mine)[0] == 0


def test_without_a_folder_the_messages_are_listed(hub):
    code, said = hub("conformance", "sender", "fim-hundesteuer", "1.0")
    assert (code, "hundesteuer" in said) == (0, True)


def test_an_import_says_which_lists_came_along_and_which_are_missing(hub, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "t.xsd").write_text(XSD.format(ONE))
    (package / "l.json").write_text(
        '{"metadaten": {"kennungInhalt": "urn:l", "version": "1"}, "spalten": [{"codeSpalte": true}], "daten": [["A"]]}'
    )
    (package / "x_fehlerhaft.xml").write_text(
        '<Fehler xmlns="http://www.xoev.de/de/xrepository/framework/1/basisdatentypen"/>'
    )
    code, said = hub("schemas", "import", package, "--standard", "t", "--version", "1", "--open-list", "urn:l")
    assert (code, "davon offen / of them open: 1" in said, "left out: x_fehlerhaft.xml" in said) == (0, True, True)
    shown = hub("schemas", "show", "https://schema.rathaus-hub.example/t/1#t")[1]
    assert re.search(r"code lists +1\n.*missing +x_fehlerhaft\.xml", shown)


FIM = """<x:xdatenfelder.stammdatenschema.0102 xmlns:x="urn:xoev-de:fim:standard:xdatenfelder_2"><x:stammdatenschema>
<x:identifikation><x:id>S7</x:id><x:version>1.2</x:version></x:identifikation><x:name>Antrag</x:name>
<x:regel><x:identifikation><x:id>R1</x:id></x:identifikation><x:name>Alter</x:name><x:definition>Ab 18.</x:definition></x:regel>
<x:struktur><x:anzahl>{}</x:anzahl><x:enthaelt><x:datenfeld><x:identifikation><x:id>F1</x:id><x:version>1.0</x:version>
</x:identifikation><x:name>Name</x:name><x:feldart><code>input</code></x:feldart><x:datentyp><code>text</code></x:datentyp>
</x:datenfeld></x:enthaelt></x:struktur></x:stammdatenschema></x:xdatenfelder.stammdatenschema.0102>"""


def test_a_fim_file_becomes_a_version_with_a_form_and_names_what_is_not_taken_over(hub, tmp_path):
    file = tmp_path / "S7.xml"
    file.write_text(FIM.format("1:1"), encoding="utf-8")
    code, said = hub("schemas", "import", file)
    assert code == 0, said
    assert "fim-s7 1.2: 1 Felder" in said
    assert "the rule R1 (Alter) stands in the schema as text" in said
    assert not (tmp_path / "data/hub.sqlite").exists(), "bringing one in makes no database"
    code, said = hub("schemas", "import", file, "--standard", "antrag", "--version", "9", "--json")
    found = json.loads(said)
    assert (code, found["standard"], found["version"], found["elements"]) == (0, "antrag", "9", 1)
    assert [(each["at"], "R1" in each["en"], "R1" in each["de"]) for each in found["remarks"]] == [("/", True, True)]
    code, said = hub("schemas", "show", found["schemas"][0])
    assert "R1" in said
    code, said = hub("forms", "check", tmp_path / "data/schemas")
    assert (code, said.count("gut / good"), said.count("/translated")) == (0, 2, 2), said
    # It is there already.
    assert hub("schemas", "import", file)[0] == 1


def test_what_is_wrong_with_a_fim_file_leaves_nothing_behind(hub, tmp_path):
    file = tmp_path / "S7.xml"
    file.write_text(FIM.format("3:1"), encoding="utf-8")
    code, said = hub("schemas", "import", file)
    assert code == 1
    assert "Line 4" in said
    assert not list((tmp_path / "data").rglob("S7*"))
    assert not list((tmp_path / "data").rglob("fim-s7*"))
    # A namespace that nobody knows is refused as such, not taken for a package.
    file.write_text(FIM.format("1:1").replace("xdatenfelder_2", "unbekannt"), encoding="utf-8")
    code, said = hub("schemas", "import", file)
    assert code == 1
    assert "no message of XDatenfelder 2 or 3.0.0" in said
    # What means only packages is said, not passed over; and a package has no name of its own.
    assert hub("schemas", "import", file, "--messages", "a*")[0] == 2
    (tmp_path / "t.xsd").write_text(XSD.format(ONE))
    assert hub("schemas", "import", tmp_path / "t.xsd")[0] == 2


GENERICODE = """<c:CodeList xmlns:c="http://docs.oasis-open.org/codelist/ns/genericode/1.0/"><Identification><ShortName>l</ShortName>
<Version>1</Version><CanonicalUri>urn:de:l</CanonicalUri></Identification><ColumnSet><Column Id="name"/><Column Id="key"/>
<Key Id="k"><ColumnRef Ref="key"/></Key></ColumnSet><SimpleCodeList>
<Row><Value ColumnRef="name"><SimpleValue>Frau</SimpleValue></Value>
<Value ColumnRef="key"><SimpleValue>w</SimpleValue></Value></Row>
<Row><Value ColumnRef="key"><SimpleValue>x</SimpleValue></Value></Row></SimpleCodeList></c:CodeList>"""


def test_a_list_that_a_fim_file_names_is_taken_from_a_file_of_its_own(hub, tmp_path):
    named = (
        "<x:codelisteReferenz><x:genericodeIdentification><x:canonicalVersionUri>urn:de:l_1</x:canonicalVersionUri>"
        "</x:genericodeIdentification></x:codelisteReferenz></x:datenfeld>"
    )
    file = tmp_path / "S7.xml"
    file.write_text(FIM.format("1:1").replace("</x:datenfeld>", named), encoding="utf-8")
    (tmp_path / "l.xml").write_text(GENERICODE, encoding="utf-8")
    spread = {
        "metadaten": {"kennungInhalt": "urn:de:l", "version": "1"},
        "spalten": [{"codeSpalte": False}, {"codeSpalte": True}],
        "daten": [["Frau", "w"], [None, "x"]],
    }
    (tmp_path / "l.json").write_text(json.dumps(spread), encoding="utf-8")
    for number, each in enumerate(("l.xml", "l.json")):
        code, said = hub(
            "schemas", "import", file, "--code-list", tmp_path / each, "--standard", "t", "--version", number
        )
        assert code == 0, said
        assert "code list" not in said
        folder = tmp_path / "data/schemas/t" / str(number)
        schema = json.loads((folder / "s7.schema.json").read_text("utf-8"))
        assert schema["properties"]["F1"]["enum"] == ["w", "x"]
        assert "w: {de: Frau, en: Frau}" in (folder / "form.yaml").read_text("utf-8")
    (tmp_path / "l.xml").write_text("<a/>", encoding="utf-8")
    assert hub("schemas", "import", file, "--code-list", tmp_path / "l.xml")[0] == 1
