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
