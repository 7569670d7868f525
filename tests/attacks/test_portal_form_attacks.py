"""What people write into forms stays text: on every page, in the summary, and in the document, whatever they write.

An attacker fills in every field that takes text: with script, with markup that ends what it stands in, with XML, with
what turns the direction of letters.
"""

from __future__ import annotations

from html.parser import HTMLParser
from random import Random

import pytest
from jinja2 import Environment, FileSystemLoader
from lxml import etree
from stage import SCHEMAS

import hub.portal
from hub.errors import HubError
from hub.forms.checking import sample_fillings
from hub.forms.document import document_of
from hub.forms.outline import FieldKind
from hub.forms.page import draw, page_of
from hub.forms.readable import readable
from hub.forms.samples import completed
from hub.portal.asking import asked_form
from hub.portal.enclosures import Inspection, kind_of, name_for
from hub.portal.review import sections_of
from hub.validation.editions import load_version

SCRIPT = "<script>alert(1)</script>"
WORDS = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)' autofocus='",
    "</textarea></dd></dl></section><iframe src=//x>",
    "]]></n0:name><n0:name>zweite",
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "{{ 7*7 }}{% for x in y %}",
    "\u202egpj.exe\u2066",
    "&lt;script&gt;&#60;",
)
FORMS = {
    name: asked_form(load_version(SCHEMAS / name / "1.2").entries[0])
    for name in ("fim-hundesteuer", "bauantrag", "fim-wohnsitz")
}


class Seen(HTMLParser):
    """The elements and attributes that a browser would make of a page."""

    def __init__(self):
        super().__init__()
        self.elements, self.handlers, self.text = set(), [], []

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.handlers += [name for name, value in attrs if name.startswith("on") or name == "autofocus"]
        self.handlers += [value for name, value in attrs if name in ("src", "href") and value and "//" in value]

    def handle_data(self, data):
        self.text.append(data)


def filled(asked, words):
    """Answers whose every text is the attacker's, for the rest of which something permitted stands."""
    answers = completed(asked.form, Random(1), optional=1)

    def put(items):
        for item in items:
            if not item.field.is_leaf:
                put(item.items)
            elif item.field.kind in (FieldKind.TEXT, FieldKind.DATE, FieldKind.NUMBER, FieldKind.INTEGER):
                at = answers
                *above, last = [int(each) if each.isdecimal() else each for each in item.at.split("/")[1:]]
                for each in above:
                    at = at[each]
                at[last] = words

    for step in asked.form.steps:
        put(page_of(step, answers).items)
    return answers


def template(sections):
    """The part of the summary's page that shows answers, drawn as the portal draws it."""
    pages = Environment(loader=FileSystemLoader(f"{hub.portal.__path__[0]}/templates"), autoescape=True)
    source = pages.loader.get_source(pages, "review.html")[0]
    part = source[source.index("{% for section in") : source.index('<section class="card" aria-labelledby="s-files">')]
    values = {"sections": sections, "steps_at": "/antrag/schritt"}
    return pages.from_string(part).render(values=values, t=lambda key: key, link=lambda path, **query: path)


@pytest.mark.parametrize("name", FORMS)
def test_nothing_that_is_written_becomes_more_than_text_on_any_page(name):
    asked = FORMS[name]
    for words in WORDS:
        answers = filled(asked, words)
        faults = {fault.at: fault.text for fault in asked.faults(answers, sample_fillings(asked.entry))}
        pages = [
            draw(page_of(step, answers, faults), language) for step in asked.form.steps for language in ("de", "en")
        ]
        content = document_of(asked.form, answers, sample_fillings(asked.entry)).content
        pages += [
            template(sections_of(asked.form.steps, answers, "de")),
            readable(asked.form, content, asked.media_type, language="de", attachments=[words]),
        ]
        for page in pages:
            seen = Seen()
            seen.feed(page)
            assert not seen.elements & {"script", "iframe", "img", "svg", "object", "n0:name"}, (name, words)
            assert seen.handlers == [], (name, words)
            assert "49" not in "".join(seen.text) or words != WORDS[6]


def test_xml_of_an_answer_is_text_of_the_document():
    asked = FORMS["bauantrag"]
    for words in WORDS:
        content = document_of(asked.form, filled(asked, words), sample_fillings(asked.entry)).content
        plain = document_of(asked.form, filled(asked, "x"), sample_fillings(asked.entry)).content
        document = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
        assert document.getroottree().docinfo.doctype == ""
        assert [each.tag for each in document.iter()] == [each.tag for each in etree.fromstring(plain).iter()]
        assert words in [each.text for each in document.iter()]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("../../etc/passwd", "passwd.pdf"),
        ("C:\\Windows\\x.pdf", "x.pdf"),
        ("rechnung.pdf.exe", "rechnung.pdf.exe.pdf"),
        ("", "datei.pdf"),
        ("....", "datei.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "a__Set-Cookie_ x.pdf"),
        ('"><script>.pdf', "___script_.pdf"),
        ("\u202efdp.exe", "_fdp.exe.pdf"),
        ("x" * 500 + ".PDF", "x" * 110 + ".PDF"),
    ],
)
def test_names_of_files_lead_nowhere_and_say_what_the_file_is(given, named):
    assert name_for(given, "application/pdf", ()) == named


def test_no_file_takes_anothers_name():
    assert name_for("a.pdf", "application/pdf", {"a.pdf", "a (2).pdf"}) == "a (3).pdf"


@pytest.mark.parametrize(
    "head", [b"<html>", b"MZ\x90", b"PK\x03\x04", b"GIF89a", b"%!PS", b"<svg ", b" %PDF-1.4", b"\x89PNG"]
)
def test_what_could_run_is_not_taken(head):
    with pytest.raises(HubError):
        kind_of(head)


def test_a_file_that_never_ends_is_cut_off_at_its_bound():
    read = []

    def endless():
        yield b"%PDF-1.4"
        while True:
            read.append(1)
            yield b"0" * 1000

    with pytest.raises(HubError):
        list(Inspection(endless(), limit=10_000))
    assert len(read) <= 11
