"""Xerces-J, as Maven's repository has it, beside our verdicts: in one JVM, offline, by the catalogue's own schemas alone."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner
from maven import copied

from hub.cli import main
from hub.errors import ConfigurationError
from hub.resources import shipped
from hub.validation import xerces
from hub.validation.batch import FileVerdict
from hub.validation.importing import import_standard
from hub.validation.manifest import Kind
from hub.validation.xerces import ARCHIVES, Xerces
from hub.validation.xml.xsd import XsdSource

pytestmark = pytest.mark.skipif(not shutil.which("javac"), reason="no JDK on this machine")
XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
SECRET = "Erika-Geheim-4711"


@pytest.fixture(scope="module")
def engine(jars):
    """One JVM for all documents of this module."""
    with closing(Xerces(Kind.XSD, [jars])) as made:
        yield made


def source_of(**documents: str) -> XsdSource:
    """A schema of documents by name; the first is its own."""
    names = {f"{name}.xsd": text.encode() for name, text in documents.items()}
    return XsdSource(file=next(iter(names)), closure=tuple(names), read=names.__getitem__, locations={})


SCHEMA = source_of(
    main=f'<xs:schema {XS} xmlns:t="urn:t" elementFormDefault="qualified"><xs:import namespace="urn:t" '
    'schemaLocation="types.xsd"/><xs:element name="r"><xs:complexType><xs:sequence><xs:element name="p" type="t:day" '
    'maxOccurs="9999"/></xs:sequence></xs:complexType></xs:element></xs:schema>',
    types=f'<xs:schema {XS} targetNamespace="urn:t"><xs:simpleType name="day"><xs:restriction base="xs:date"/>'
    "</xs:simpleType></xs:schema>",
)


def test_a_document_gets_a_verdict_and_rules_with_lines_and_nothing_of_it_is_repeated(engine):
    assert engine.judge("urn:s", SCHEMA, b"<r><p>2026-11-02</p></r>").verdict is FileVerdict.VALID
    wrong = engine.judge("urn:s", SCHEMA, f"<r>\n<p>{SECRET}</p></r>".encode())
    assert (wrong.verdict, wrong.rules[0]) == (FileVerdict.INVALID, ("cvc-datatype-valid.1.2.1", 2))
    assert SECRET not in repr(wrong)
    broken = engine.judge("urn:s", SCHEMA, f"<r><{SECRET}></r>".encode())
    assert (broken.verdict, broken.rules) == (FileVerdict.REFUSED, (("unreadable", 1),))


class Reached(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.reached.append(self.path)
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture
def door():
    """A server on loopback, and what was asked of it."""
    with HTTPServer(("127.0.0.1", 0), Reached) as server:
        server.reached = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_nothing_is_opened_that_a_document_or_a_schema_names(engine, door, tmp_path):
    address = f"http://127.0.0.1:{door.server_port}"
    (tmp_path / "f.txt").write_text("2026-11-02")
    hinted = f'<r xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:noNamespaceSchemaLocation="{address}/s" '
    assert engine.judge("urn:s", SCHEMA, f"{hinted}><p>2026-11-02</p></r>".encode()).verdict is FileVerdict.VALID
    for entity in (f"{address}/e", (tmp_path / "f.txt").as_uri()):
        inside = f'<!DOCTYPE r [<!ENTITY e SYSTEM "{entity}">]><r><p>&e;</p></r>'
        assert engine.judge("urn:s", SCHEMA, inside.encode()).verdict is FileVerdict.REFUSED
    for place in (f"{address}/x.xsd", (tmp_path / "x.xsd").as_uri(), "/etc/passwd", "other.xsd"):
        foreign = source_of(main=f'<xs:schema {XS}><xs:include schemaLocation="{place}"/></xs:schema>')
        said = engine.judge(place, foreign, b"<r/>")
        assert (said.verdict, "outside the closure" in said.reason.en) == (FileVerdict.NOT_JUDGED, True)
    # The W3C's own schemas have a document type: its entities count, and nothing is fetched for it.
    old = f'<!DOCTYPE xs:schema PUBLIC "-//W3C//DTD XMLSCHEMA 200102//EN" "{address}/d" [<!ENTITY root "r">]>'
    said = engine.judge(
        "urn:old", source_of(main=f'{old}<xs:schema {XS}><xs:element name="&root;"/></xs:schema>'), b"<r/>"
    )
    assert said.verdict is FileVerdict.VALID
    assert door.reached == []


def test_who_takes_too_long_is_ended_and_the_next_document_judged_again(jars, monkeypatch):
    long = b"<r>" + b"<p>2026-11-02</p>" * 300_000 + b"</r>"
    with closing(Xerces(Kind.XSD, [jars])) as made:
        made.judge("urn:s", SCHEMA, b"<r/>")
        monkeypatch.setattr(xerces, "_JUDGE", 0.01)
        monkeypatch.setattr(xerces, "_EACH_MIB", 0.0)
        said = made.judge("urn:s", SCHEMA, long)
        assert (said.verdict, "too long" in said.reason.en) == (FileVerdict.NOT_JUDGED, True)
        monkeypatch.undo()
        assert made.judge("urn:s", SCHEMA, b"<r><p>2026-11-02</p></r>").verdict is FileVerdict.VALID


def test_xml_schema_1_1_is_judged_by_the_edition_that_knows_it(tmp_path):
    for archive in ARCHIVES[Kind.XSD11]:
        copied(archive.coordinates, tmp_path)
    schema = source_of(
        main=f'<xs:schema {XS}><xs:element name="r"><xs:complexType><xs:attribute name="a" type="xs:int"/><xs:attribute '
        'name="b" type="xs:int"/><xs:assert test="@a lt @b"/></xs:complexType></xs:element></xs:schema>'
    )
    with closing(Xerces(Kind.XSD11, [tmp_path])) as made:
        assert made.judge("urn:11", schema, b'<r a="1" b="2"/>').verdict is FileVerdict.VALID
        wrong = made.judge("urn:11", schema, b'<r a="2" b="2"/>')
    assert (wrong.verdict, wrong.rules) == (FileVerdict.INVALID, (("cvc-assertion", 1),))


def test_an_archive_that_is_missing_or_another_release_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"xerces:xercesImpl:2\.12\.2 .* downloads nothing.*--jars"):
        Xerces(Kind.XSD, [tmp_path])
    with pytest.raises(ConfigurationError, match=r"XML Schema 1\.1 .*:jar:xml-schema-1\.1, .*xpath2.*java-cup"):
        Xerces(Kind.XSD11, [tmp_path])
    (tmp_path / "xercesImpl-2.12.2.jar").write_bytes(b"another")
    with pytest.raises(ConfigurationError, match="is not the release"):
        Xerces(Kind.XSD, [tmp_path])


@pytest.fixture
def hub(tmp_path, jars):
    def run(*arguments: object) -> tuple[int, str]:
        words = ["validate", *map(str, arguments), "--compare", "xerces", "--jars", str(jars)]
        done = CliRunner().invoke(main, [*words, "--data", str(tmp_path / "data")])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout

    return run


def test_both_verdicts_stand_side_by_side_and_a_difference_is_exit_code_4(hub, tmp_path):
    examples = shipped("schemas") / "bauantrag" / "1.0" / "examples"
    code, said = hub(examples, "--format", "json")
    found = json.loads(said)
    assert (code, found["summary"]["xerces"]) == (1, {"alike": 17, "different": 0, "notJudged": 0})
    assert {each["xerces"]["verdict"] for each in found["results"]} == {"valid", "invalid"}
    package, document = tmp_path / "package", tmp_path / "one.xml"
    package.mkdir()
    # One character for us, two for Xerces, which counts units of UTF-16.
    (package / "one.xsd").write_text(
        f'<xs:schema {XS}><xs:element name="one"><xs:simpleType><xs:restriction base="xs:string"><xs:length value="1"/>'
        "</xs:restriction></xs:simpleType></xs:element></xs:schema>"
    )
    import_standard(package, tmp_path / "data" / "schemas", standard="one", version="1")
    document.write_text("<one>𝒳</one>", encoding="utf-8")
    code, said = hub(document)
    assert (code, said.splitlines()[0]) == (4, f"{document}: gültig / valid")
    assert "≠ Xerces: ungültig / invalid: cvc-length-valid (Zeile / line 1)" in said
    assert "1 anders" in said
