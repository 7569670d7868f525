"""Many documents at once: which files are meant, what comes of each whatever happens to its worker, and how it is told."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.validation import summary
from hub.validation.batch import (
    FileVerdict,
    Judged,
    MappedDocument,
    Question,
    Second,
    content_of,
    documents_in,
    judged,
)
from hub.validation.importing import import_standard
from hub.validation.report import MIB, Limits

ON = date(2026, 11, 2)
SECRET = "Erika-Geheim-4711"
SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence>
<xs:element name="p" type="xs:date" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element></xs:schema>"""
GOOD = b"<r><p>2026-11-02</p></r>"
BAD = f"<r><p>{SECRET}</p></r>".encode()


@pytest.fixture(scope="module")
def question(tmp_path_factory) -> Question:
    package, target = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("schemas")
    (package / "r.xsd").write_text(SCHEMA)
    import_standard(package, target, standard="r", version="1")
    return Question(roots=(target,), on=ON)


@pytest.fixture(scope="module")
def found(question, tmp_path_factory) -> list[Judged]:
    """What two workers found of everything that a folder may hold, and of what is none or gone."""
    folder = tmp_path_factory.mktemp("documents")
    contents = {
        "a.xml": GOOD,
        "b.xml": BAD,
        "c.xml": b"<r>",
        "d.json": b"",
        "e.xml": f"<{SECRET}/>".encode(),
        "f &<\"'>\x1b[31m\n.xml": BAD,
        os.fsdecode(b"g\xff.xml"): BAD,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for number in range(40):
        (folder / f"h{number:02}.xml").write_bytes(GOOD)
    files = [*documents_in([folder]), str(folder / "vanished.xml"), str(folder)]
    return list(judged(files, question, workers=2))


def test_a_folder_means_its_documents_and_what_is_named_is_meant_itself(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for place in (inside / "deep" / ".git", inside / ".hidden", outside):
        place.mkdir(parents=True)
    for name in (
        "b.xml",
        "a.JSON",
        "deep/c.xml",
        "deep/.git/d.xml",
        ".hidden/e.xml",
        ".f.xml",
        "g.txt",
        "../out/h.xml",
    ):
        (inside / name).touch()
    (inside / "i.xml").symlink_to(inside / "b.xml")
    (inside / "j.xml").symlink_to(outside / "h.xml")
    (inside / "k.xml").symlink_to(inside / "gone")
    (inside / "loop").symlink_to(inside)
    named = [inside / "b.xml", inside, outside / "h.xml", inside / "g.txt"]
    expected = ["in/b.xml", "in/a.JSON", "in/deep/c.xml", "in/i.xml", "out/h.xml", "in/g.txt"]
    assert documents_in(named) == [str(tmp_path / name) for name in expected]


def test_each_file_gets_its_verdict_in_the_order_of_the_files(found):
    verdicts = [each.verdict for each in found]
    assert verdicts[:7] == [
        FileVerdict.VALID,
        FileVerdict.INVALID,
        *[FileVerdict.REFUSED] * 3,
        *[FileVerdict.INVALID] * 2,
    ]
    assert verdicts[7:] == [*[FileVerdict.VALID] * 40, FileVerdict.NOT_JUDGED, FileVerdict.NOT_JUDGED]
    assert [Path(each.file).name for each in found[7:47]] == [f"h{number:02}.xml" for number in range(40)]
    assert "No such file" in found[-2].reason.en
    assert "Is a directory" in found[-1].reason.en


DYING = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from hub.validation.batch import FileVerdict, serve
def judge(name):
    if b"deadly" in name or (b"once" in name and not os.path.exists(name + b".died")):
        open(name + b".died", "w").close()
        os._exit(9)
    if b"odd" in name:
        raise ZeroDivisionError
    return FileVerdict.VALID, None, None
serve(lambda question: judge, sys.stdin.buffer, sys.stdout.buffer)
"""


def test_who_dies_of_a_file_takes_no_other_along(question, tmp_path):
    names = [f"{number:02}.xml" for number in range(30)]
    names[3], names[17], names[20], names[21] = "deadly3", "once17", "deadly20", "odd21"
    files = [str(tmp_path / name) for name in names]
    found = list(judged(files, question, workers=2, command=[sys.executable, "-c", DYING]))
    assert [each.file for each in found] == files
    lost = {Path(each.file).name: each.reason.en for each in found if each.verdict is FileVerdict.NOT_JUDGED}
    assert set(lost) == {"deadly3", "deadly20", "odd21"}
    assert "was ended" in lost["deadly3"]
    assert "unexpected error" in lost["odd21"]


@pytest.mark.parametrize("command", [["/nowhere/at/all"], [sys.executable, "-c", "import sys; sys.exit(1)"]])
def test_where_no_worker_starts_everything_is_told_not_judged(question, command):
    found = list(judged(["a.xml", "b.xml"], question, workers=2, command=command))
    assert [each.verdict for each in found] == [FileVerdict.NOT_JUDGED] * 2
    assert "no process" in found[0].reason.en


def test_a_catalogue_that_cannot_be_used_stops_all(question, tmp_path):
    (tmp_path / "r" / "1").mkdir(parents=True)
    (tmp_path / "r" / "1" / "manifest.yaml").write_text("nonsense")
    with pytest.raises(ConfigurationError):
        list(judged(["a.xml"], Question(roots=(tmp_path,), on=ON), workers=2))


def test_a_large_document_is_read_as_its_bytes_would_be(tmp_path):
    content = b"<?xml version='1.0'?>" + bytes(range(256)) * 80_000 + b"listURI"
    file = tmp_path / "large"
    file.write_bytes(content)
    with file.open("rb") as source:
        mapped = content_of(source, Limits(report_bytes=MIB))
    file.write_bytes(b"")  # Whoever cuts it short meanwhile cuts nothing of ours.
    assert isinstance(mapped, MappedDocument)
    assert (len(mapped), mapped.startswith(b"<?xml"), mapped.startswith(b"<r")) == (len(content), True, False)
    assert b"".join(mapped[at : at + 65_536] for at in range(0, len(mapped), 65_536)) == content
    edge = 8 * MIB
    assert content[edge - 3 : edge + 3] in mapped
    assert b"listURI" in mapped
    assert b"listURJ" not in mapped


#: The part of the schema of Jenkins' xUnit plugin (junit-10) that a report of ours can touch.
JUNIT = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:simpleType name="seconds"><xs:restriction base="xs:string"><xs:pattern value="[0-9]+(\\.[0-9]*)?"/></xs:restriction>
</xs:simpleType>
<xs:complexType name="said" mixed="true"><xs:attribute name="type"/><xs:attribute name="message"/></xs:complexType>
<xs:attributeGroup name="sums"><xs:attribute name="name" use="required"/><xs:attribute name="tests" use="required"/>
<xs:attribute name="failures" use="required"/><xs:attribute name="errors" use="required"/>
<xs:attribute name="time" type="seconds"/></xs:attributeGroup>
<xs:element name="testsuites"><xs:complexType><xs:sequence><xs:element name="testsuite"><xs:complexType><xs:sequence>
<xs:element name="testcase" maxOccurs="unbounded"><xs:complexType><xs:choice minOccurs="0">
<xs:element name="error" type="said"/><xs:element name="failure" type="said"/><xs:element name="system-out"/>
</xs:choice><xs:attribute name="name" use="required"/><xs:attribute name="classname"/>
<xs:attribute name="time"/></xs:complexType></xs:element></xs:sequence><xs:attributeGroup ref="sums"/>
<xs:attribute name="skipped"/></xs:complexType></xs:element></xs:sequence><xs:attributeGroup ref="sums"/></xs:complexType>
</xs:element></xs:schema>"""


def test_build_servers_read_the_report_as_junit(found):
    root = etree.fromstring(summary.as_junit(found).encode())
    etree.XMLSchema(etree.fromstring(JUNIT)).assertValid(root)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("49", "3", "5")
    cases = root.findall("testsuite/testcase")
    assert cases[5].get("name") == "f &<\"'>\\x1b[31m\\n.xml"
    assert cases[6].get("name") == "g\\xff.xml"
    assert [len(case.findall("failure")) for case in cases[:3]] == [0, 1, 0]
    assert "xml.datatype" in cases[1].find("failure").text


class Page(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.seen, self.text, self.languages = [], [], set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen += [tag, *(name for name, _ in attrs)]
        self.languages |= {value for name, value in attrs if name == "lang"}

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_stands_alone_and_says_everything_in_both_languages(found):
    page = Page(summary.as_html(found))
    assert not {"script", "link", "img", "src", "href", "onclick"} & set(page.seen)
    assert page.languages == {"de", "en"}
    assert "f &<\"'>\\x1b[31m\\n.xml" in "".join(page.text)
    assert "41 gültig / valid" in "".join(page.text)


def test_nothing_of_a_document_is_in_any_report(found):
    written = [form(found) for form in (summary.as_text, summary.as_json, summary.as_junit, summary.as_html)]
    assert [SECRET in each for each in written] == [False] * 4
    assert all("vanished.xml" in each for each in written)
    assert "\x1b" not in "".join(written)


def test_counts_are_those_of_the_verdicts(found):
    document = json.loads(summary.as_json(found))
    assert document["summary"] == {"files": 49, "valid": 41, "invalid": 3, "refused": 3, "notJudged": 2}
    assert [each["verdict"] for each in document["results"]] == [each.verdict for each in found]
    assert (
        summary.as_text(found).splitlines()[-1].startswith("49 Dateien: 41 gültig, 3 ungültig, 3 abgelehnt, 2 nicht ")
    )
    assert summary.summed_up([]) == Text("0 Dateien: 0 gültig, 0 ungültig", "0 files: 0 valid, 0 invalid")


def test_a_second_verdict_stands_beside_ours_in_every_form(found):
    def beside(each, verdict, *rules):
        return replace(each, second=Second(verdict=verdict, rules=rules))

    valid, invalid = found[0], found[1]
    coded = replace(invalid, report={**invalid.report, "violations": [{"rule": "codelist.code"}]})
    rootless = replace(invalid, report={**invalid.report, "violations": [{"rule": "xml.root"}]})
    differing = beside(valid, FileVerdict.INVALID, ("cvc-length-valid", 3))
    assert differing.differs
    assert [beside(valid, FileVerdict.NOT_JUDGED).differs, valid.differs] == [False, False]
    assert [beside(each, FileVerdict.VALID).differs for each in (invalid, coded, rootless)] == [True, False, False]
    assert [beside(each, FileVerdict.INVALID).differs for each in (invalid, coded, rootless)] == [False, True, False]
    both = [differing, beside(found[7], FileVerdict.VALID), valid]
    assert "1 gleich, 1 anders, 0 ohne Urteil" in summary.as_text(both)
    document = json.loads(summary.as_json(both))
    assert document["summary"]["xerces"] == {"alike": 1, "different": 1, "notJudged": 0}
    assert document["results"][0]["xerces"] == {
        "verdict": "invalid",
        "differs": True,
        "rules": [{"rule": "cvc-length-valid", "line": 3}],
        "reason": None,
    }
    root = etree.fromstring(summary.as_junit(both).encode())
    etree.XMLSchema(etree.fromstring(JUNIT)).assertValid(root)
    assert (root.get("errors"), len(root.findall("testsuite/testcase/error"))) == ("1", 1)
    said = "≠ Xerces: ungültig / invalid: cvc-length-valid (Zeile / line 3)"
    assert [said in form(both) for form in (summary.as_text, summary.as_junit, summary.as_html)] == [True] * 3
