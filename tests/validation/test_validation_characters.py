"""Characters: a repertoire names the code point that is not in it, and where, and repeats nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import orjson
import pytest
from lxml import etree
from shared_data import CATALOG, SHARED, needs_shared_data

from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.json.documents import JsonSchema
from hub.validation.report import Limits
from hub.validation.xml.patterns import offence

SCHEMAS = Path(__file__).parents[2] / "schemas"
HOUSE = (SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml").read_text(encoding="utf-8")
DIN = SHARED / "xoev" / "basis" / "din-norm-91379-datatypes.xsd"
LATIN = "[ -~\u00a0-\u017e]*"


def check(catalog, text: str):
    return catalog.check(media_type=MediaType.XML, data=text.encode(), schema=None, service=None, on=date(2026, 11, 2))


@pytest.mark.parametrize(
    ("text", "code_point", "position", "decomposed"),
    [
        ("Ж", 0x416, 1, False),
        ("Müller Ж", 0x416, 8, False),
        ("a\u0000", 0, 2, False),
        ("Mu\u0308ller", 0x308, 3, True),
        ("Mu\u0308ller Ж", 0x308, 3, False),
        ("x\U0001f600", 0x1F600, 2, False),
    ],
)
def test_the_first_character_outside_a_repertoire_is_named(text, code_point, position, decomposed):
    found = offence(LATIN, text)
    assert (found.code_point, found.position, found.decomposed) == (code_point, position, decomposed)
    assert f"U+{code_point:04X}" in found.text.de
    assert str(position) in found.text.en


@pytest.mark.parametrize("pattern", ["[0-9]{5}", r"\S(.*\S)?", "[a-z]+", "(", "[A-Z]{2}[0-9]+"])
def test_a_form_is_no_repertoire(pattern):
    assert offence(pattern, "Ж") is None


def test_a_text_inside_a_repertoire_gives_nothing():
    assert offence(LATIN, "Łukasz Müller") is None


def test_a_report_on_xml_names_the_character_instead_of_the_pattern():
    catalog = SchemaCatalog.load(SCHEMAS)
    report = check(catalog, HOUSE.replace("Zweigeschossig", "ZweigeschoЖsig"))
    assert [violation.rule for violation in report.violations] == ["character.not-allowed"]
    assert report.violations[0].expected == "Text"
    assert "U+0416" in report.violations[0].text.de
    assert "an Stelle 11" in report.violations[0].text.de
    assert "Zweigescho" not in str(report.as_json())
    assert "Ж" not in str(report.as_json())


def test_a_report_on_json_names_the_character_instead_of_the_pattern():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"name": {"type": "string", "pattern": f"^{LATIN}$"}},
    }
    document = {"name": "Geheim Ж"}
    violations, total, _ = JsonSchema(schema, resources=lambda: ()).check(document, orjson.dumps(document), Limits())
    assert total == 1
    assert (violations[0].rule, violations[0].path) == ("character.not-allowed", "/name")
    assert "U+0416 an Stelle 8" in violations[0].text.de
    assert "Geheim" not in str(violations)


@needs_shared_data
def test_the_repertoires_of_din_91379_are_known_by_name_and_take_their_sequences():
    tree = etree.parse(str(DIN))
    space = "{http://www.w3.org/2001/XMLSchema}"
    patterns = {
        kind.get("name"): [node.get("value") for node in kind.iter(f"{space}pattern")]
        for kind in tree.iter(f"{space}simpleType")
    }
    found = {name for name, values in patterns.items() for value in values if offence(value, "Ж")}
    assert {"datatypeA", "datatypeB", "datatypeC"} <= found
    # A letter with a combining mark for which Unicode has no composed form.
    assert all(offence(value, "A\u030b") is None for value in patterns["datatypeC"])
    assert all(offence(value, "q\u030b").code_point == 0x30B for value in patterns["datatypeC"])


@needs_shared_data
def test_a_wrong_character_in_an_official_message_is_named(tmp_path):
    source = SHARED / "xoev" / "xschule" / "xsd"
    import_standard(source, tmp_path, standard="xschule", version="1.2", catalog=CATALOG)
    message = (SHARED / "xoev" / "xschule" / "xml" / "XSchule_Schulbescheinigung_01.xml").read_text(encoding="utf-8")
    tree = etree.fromstring(message.encode())
    name = next(node for node in tree.iter("{*}familienname") for node in node.iter("*") if (node.text or "").strip())
    name.text = "Жukow"
    report = check(SchemaCatalog.load(tmp_path), etree.tostring(tree, encoding="unicode"))
    assert "character.not-allowed" in {violation.rule for violation in report.violations}
    violation = next(v for v in report.violations if v.rule == "character.not-allowed")
    assert violation.expected.startswith("DIN 91379: ")
    assert "U+0416 an Stelle 1" in violation.text.de
