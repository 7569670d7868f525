"""Business rules in Schematron: which rule fires, where, and that nothing of the document is repeated."""

from __future__ import annotations

import shutil
import time
from datetime import date
from pathlib import Path

import pytest
from shared_data import CATALOG, XBAU, needs_shared_data

from hub.errors import ConfigurationError, TooLarge
from hub.submission import MediaType
from hub.validation import saxon
from hub.validation.catalog import SchemaCatalog
from hub.validation.imports import import_standard
from hub.validation.limits import Limits
from hub.validation.report import Report
from hub.validation.schematron import DOCUMENT_BYTES, BusinessRules, translated
from hub.validation.vocabulary import Vocabulary
from hub.validation.xml import XmlDocument, read_xml

needs_saxon = pytest.mark.skipif(not saxon.installed(), reason="the extra 'schematron' (saxonche) is not installed")
TODAY = date(2026, 11, 2)
WORDS = Vocabulary.of([])
HEAD = (
    '<sch:schema xmlns:sch="http://purl.oclc.org/dsdl/schematron" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" '
    'xmlns:f="urn:f" queryBinding="xslt2"><sch:ns prefix="t" uri="urn:t"/>'
)
ORDER = """<t:order xmlns:t="urn:t">
<t:sum>5</t:sum>
<t:line price="2"/>
<t:line price="Kanarienvogel"/>
</t:order>"""
SHEET = (
    '<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="3.0"><xsl:output method="text"/>'
    '<xsl:template match="/"><xsl:value-of select="{}"/></xsl:template></xsl:stylesheet>'
)
REACHING = {
    "another file": '<sch:pattern><sch:rule context="/"><sch:assert test="doc(\'file:///etc/passwd\')"/></sch:rule></sch:pattern>',
    "another file, blank": '<sch:pattern><sch:rule context="/"><sch:assert test="document (\'x\')"/></sch:rule></sch:pattern>',
    "an included schema": '<sch:include href="file:///etc/passwd"/>',
    "the environment": "<sch:let name='x' value=\"environment-variable('PATH')\"/>",
    "a function by reference": "<sch:let name='x' value=\"function-lookup(xs:QName('fn:doc'), 1)\"/>",
    "a function by name": '<sch:let name="x" value="doc#1"/>',
    "an expression in a text": '<xsl:function name="f:x" expand-text="yes">{{1}}</xsl:function>',
    "an XSLT import": '<xsl:function name="f:x"><xsl:import href="x"/></xsl:function>',
    "what is written": '<xsl:function name="f:x"><xsl:result-document href="x"/></xsl:function>',
}


def files(rules: str, head: str = HEAD) -> dict[str, bytes]:
    return {"rules.sch": f"{head}{rules}</sch:schema>".encode()}


def judged(rules: str, document: str = ORDER):
    return BusinessRules(files(rules)).check(read_xml(document.encode(), Limits()), WORDS, Limits())


def pattern(inside: str, context: str = "t:order") -> str:
    return f'<sch:pattern><sch:rule context="{context}">{inside}</sch:rule></sch:pattern>'


@pytest.mark.parametrize("rules", REACHING.values(), ids=REACHING)
def test_rules_that_reach_outside_the_document_are_refused(rules):
    with pytest.raises(ConfigurationError):
        translated(files(rules))


@needs_saxon
def test_saxon_itself_reaches_no_file_no_network_and_no_environment(tmp_path):
    (tmp_path / "x.xml").write_text("<a>Kanarienvogel</a>")
    address = (tmp_path / "x.xml").as_uri()
    reaching = [f"unparsed-text('{address}')", f"doc('{address}')", "environment-variable('PATH')"]
    sheets = [SHEET.format(expression) for expression in reaching]
    assert saxon.Transformer(sheets).run(ORDER.encode()) == [None, None, ""]


def test_rules_in_an_unknown_language_are_refused():
    with pytest.raises(ConfigurationError):
        translated(files("", HEAD.replace("xslt2", "exslt")))


def test_rules_that_extend_each_other_in_a_circle_are_refused():
    circle = '<sch:rule id="a" abstract="true"><sch:extends rule="a"/></sch:rule>'
    user = '<sch:rule context="*"><sch:extends rule="a"/></sch:rule>'
    with pytest.raises(ConfigurationError):
        translated(files(f"<sch:pattern>{circle}{user}</sch:pattern>"))


@needs_saxon
def test_rules_that_do_not_compile_are_refused_at_import():
    with pytest.raises(ConfigurationError):
        BusinessRules(files(pattern('<sch:assert test="1 +"/>'))).compile()


@needs_saxon
def test_a_rule_that_never_ends_is_killed():
    endless = "count(for $a in 1 to 100000, $b in 1 to 100000 return ($a * $b)[. = 7]) = 1"
    rules = translated(files(pattern(f'<sch:assert test="{endless}"/>')))
    transformer = saxon.Transformer(rules.stylesheets, seconds=1.5)
    begun = time.monotonic()
    with pytest.raises(TooLarge):
        transformer.run(ORDER.encode())
    assert time.monotonic() - begun < 30


@needs_saxon
def test_a_process_that_was_killed_is_replaced():
    transformer = saxon.Transformer(translated(files(pattern('<sch:assert test="true()"/>'))).stylesheets)
    transformer.run(ORDER.encode())
    transformer._child.kill()
    transformer._child.wait()
    assert transformer.run(ORDER.encode()) == [""]


@needs_saxon
def test_an_assertion_that_fails_is_an_error_with_place_and_its_authors_words():
    found = judged(
        pattern('<sch:assert id="r-1" test="t:sum = 6">Die Summe muss\n  <sch:emph>sechs</sch:emph> sein.</sch:assert>')
    )
    violation = found.violations[0]
    assert (violation.rule, violation.severity, violation.line) == ("schematron.r-1", "error", 1)
    assert violation.expected == "Die Summe muss sechs sein."


@needs_saxon
def test_words_that_would_hold_a_value_are_not_shown():
    found = judged(pattern('<sch:assert test="false()">Not <sch:value-of select="@price"/></sch:assert>', "t:line"))
    assert [violation.expected for violation in found.violations] == [None, None]
    assert [violation.line for violation in found.violations] == [3, 4]
    assert "Kanarienvogel" not in str(found)


@needs_saxon
def test_a_report_fires_when_its_test_holds_and_a_role_makes_it_a_warning():
    found = judged(pattern('<sch:report role="warning" test="t:line"/><sch:report test="t:none"/>'))
    assert [(one.rule, one.severity) for one in found.violations] == [("schematron.1.1.1", "warning")]


@needs_saxon
def test_within_a_pattern_the_first_rule_wins_and_every_pattern_judges():
    rules = (
        '<sch:pattern><sch:rule context="t:sum"><sch:assert id="first" test="false()"/></sch:rule>'
        '<sch:rule context="t:*"><sch:assert id="second" test="not(self::t:sum)"/></sch:rule></sch:pattern>'
        + pattern('<sch:assert id="other" test="false()"/>', "t:sum")
    )
    assert {one.rule for one in judged(rules).violations} == {"schematron.first", "schematron.other"}


@needs_saxon
def test_variables_keys_functions_abstract_rules_and_abstract_patterns_are_understood():
    rules = (
        '<xsl:function name="f:twice"><xsl:param name="n"/><xsl:sequence select="2 * number($n)"/></xsl:function>'
        '<xsl:key name="priced" match="t:line" use="@price"/><sch:let name="limit" value="4"/>'
        '<sch:pattern id="p" abstract="true"><sch:let name="own" value="1"/>'
        '<sch:rule id="a" abstract="true"><sch:let name="sum" value="number($what)"/>'
        '<sch:assert id="over" test="$sum + $own &lt; $limit"/></sch:rule>'
        '<sch:rule context="$where"><sch:extends rule="a"/>'
        '<sch:assert id="twice" test="f:twice($what) = 11"/><sch:assert id="key" test="key(\'priced\', \'9\')"/>'
        "</sch:rule></sch:pattern>"
        '<sch:pattern is-a="p"><sch:param name="where" value="t:order"/><sch:param name="what" value="t:sum"/></sch:pattern>'
    )
    assert {one.rule for one in judged(rules).violations} == {"schematron.over", "schematron.twice", "schematron.key"}


@needs_saxon
def test_a_rule_that_cannot_be_evaluated_warns_and_does_not_refuse():
    found = judged(pattern('<sch:assert id="sum" test="sum(t:line/xs:integer(@price)) = 5"/>'))
    assert [(one.rule, one.severity) for one in found.violations] == [("schematron.sum", "warning")]
    assert "Kanarienvogel" not in str(found)


def test_a_large_document_is_told_that_its_rules_were_not_run():
    rules = BusinessRules(files(""))
    found = rules.check(XmlDocument(root="x", data=b" " * (DOCUMENT_BYTES + 1), tree=None), WORDS, Limits())
    assert (len(found.notes), found.violations) == (1, ())


# XBau 2.6 as it is published. Its Schematron knows numbers of authorities, statistics and empty elements; no rule of it ties
# the code of a message to its root, so that rule stands here, as an operator may add it to the package.
CODE_RULE = """<sch:schema xmlns:sch="http://purl.oclc.org/dsdl/schematron" queryBinding="xslt2">
<sch:pattern><sch:rule context="/*/nachrichtenkopf.g2g/identifikation.nachricht/nachrichtentyp">
<sch:assert id="code-of-root" test="code = tokenize(local-name(/*), '\\.')[last()]">
Der Code muss der Nachricht entsprechen.</sch:assert></sch:rule></sch:pattern></sch:schema>"""


@pytest.fixture(scope="module")
def xbau(tmp_path_factory) -> SchemaCatalog:
    package = tmp_path_factory.mktemp("package")
    shutil.copytree(XBAU / "xsd", package / "xsd")
    shutil.copytree(XBAU / "sch", package / "sch")
    (package / "sch" / "own.sch").write_text(CODE_RULE)
    target = tmp_path_factory.mktemp("schemas")
    manifest = import_standard(
        package, target, standard="xbau", version="2.6", catalog=CATALOG, messages="xbau-nachrichten-baugenehmigung.xsd"
    )
    assert manifest.rules == ("sch/own.sch", "sch/xbau-schematron-leere-elemente.sch", "sch/xbau-schematron.sch")
    assert set(manifest.rules) < set(manifest.files)
    return SchemaCatalog.load(target)


def antrag(catalog: SchemaCatalog, *changes: tuple[str, str]) -> Report:
    text = (XBAU / "instances-minimal" / "baugenehmigung.antrag.0200.xml").read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return catalog.check(media_type=MediaType.XML, data=text.encode(), schema=None, service=None, on=TODAY)


@needs_shared_data
@needs_saxon
def test_a_code_that_contradicts_the_root_breaks_a_rule_and_not_the_schema(xbau):
    report = antrag(xbau)
    violation = next(one for one in report.violations if one.rule == "schematron.code-of-root")
    assert (report.valid, violation.line) == (False, 6)
    assert violation.path.endswith("nachrichtenkopf.g2g[1]/identifikation.nachricht[1]/nachrichtentyp[1]")
    assert "schematron.code-of-root" not in {one.rule for one in antrag(xbau, (">0100<", ">0200<")).violations}


@needs_shared_data
@needs_saxon
def test_the_published_rules_of_xbau_fire_on_minimal_messages_for_their_empty_elements_alone(xbau):
    rules = {one.rule for one in antrag(xbau, (">0100<", ">0200<")).violations}
    assert rules == {"schematron.sch-xbau-gen-001"}


@needs_shared_data
@needs_saxon
def test_a_number_of_an_authority_that_is_none_breaks_a_published_rule(xbau):
    report = antrag(xbau, ("<code>Muster</code>\n      </verzeichnisdienst>", "<code>DVDV</code></verzeichnisdienst>"))
    assert {"schematron.sch-xbau-001", "schematron.sch-xbau-002"} <= {one.rule for one in report.violations}


@needs_shared_data
def test_a_document_that_breaks_its_schema_is_not_held_against_rules(xbau):
    report = antrag(xbau, ('version="2.6"', 'version="9"'))
    assert not any(one.rule.startswith("schematron") for one in report.violations)
    assert len(report.notes) == 1


@needs_shared_data
def test_changed_rules_stop_the_start(xbau):
    folder: Path = xbau.entries()[0].folder
    path = folder / "sch" / "own.sch"
    kept = path.read_bytes()
    path.write_bytes(kept + b"<!-- -->")
    with pytest.raises(ConfigurationError):
        SchemaCatalog.load(folder.parents[1])
    path.write_bytes(kept)
