"""Renderings of a report: everything in it, escaped, and well-formed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from lxml import etree, html

from hub.errors import Text
from hub.model.submission import MediaType, SchemaRef
from hub.validation.catalog import SchemaCatalog
from hub.validation.rendering import NAMESPACE, as_html, as_xml
from hub.validation.report import Report, Violation

SCHEMAS = Path(__file__).parents[2] / "schemas"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVIL = "<script>&\"'"
REF = SchemaRef(uri="urn:s" + EVIL, standard="s", version="1", sha256="0" * 64, media_type=MediaType.XML)


def report_of(*violations: Violation, notes: tuple[Text, ...] = ()) -> Report:
    return Report(schema=REF, violations=violations, total=len(violations), remarks=notes)


def violation() -> Violation:
    return Violation(
        rule="xml.pattern", path="/a/@b", path_kind="xpath", line=7, expected=EVIL, text=Text("zu tun " + EVIL, "to do")
    )


def test_the_xml_holds_every_violation():
    tree = etree.fromstring(as_xml(report_of(violation()), document_sha256="ab", now=NOW))
    names = {"r": NAMESPACE}
    assert tree.get("valid") == "false"
    assert tree.xpath("string(r:assessment)", namespaces=names) == "reject"
    message = tree.find(".//r:message", names)
    assert (message.get("code"), message.get("location"), message.get("line")) == ("xml.pattern", "/a/@b", "7")
    assert message.findtext("r:expected", namespaces=names) == EVIL
    assert message.xpath("string(r:text[@lang='de'])", namespaces=names) == "zu tun " + EVIL


def test_a_valid_report_is_accepted_in_xml():
    tree = etree.fromstring(as_xml(report_of(), document_sha256="ab", now=NOW))
    assert tree.get("valid") == "true"
    assert tree.findtext(f"{{{NAMESPACE}}}assessment") == "accept"


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_html_holds_every_violation_and_no_markup_of_others(language):
    fragment = as_html(report_of(violation(), notes=(Text("Hinweis", "Note"),)), language=language)
    tree = html.fromstring(fragment)
    assert len(tree.xpath("//tbody/tr")) == 1
    assert tree.xpath("//li")
    assert "<script" not in fragment
    assert tree.get("lang") == language


def test_reports_of_real_documents_render():
    catalog = SchemaCatalog.load(SCHEMAS)
    for path in SCHEMAS.glob("*/*/examples/*.xml"):
        report = catalog.check(
            media_type=MediaType.XML, data=path.read_bytes(), schema=None, service=None, on=date(2026, 11, 2)
        )
        tree = etree.fromstring(as_xml(report, document_sha256="ab", now=NOW))
        assert len(tree.findall(f".//{{{NAMESPACE}}}message")) == report.total
        assert as_html(report).count("<tr class=") == report.total
