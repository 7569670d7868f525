"""The readable rendering: everything is there, in words, and nothing of a document becomes more than text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from stage import SCHEMAS

from hub.forms.checking import outline_of
from hub.forms.form_file import questionnaire
from hub.forms.readable import STYLE_HASH, readable
from hub.model import MediaType

GOOD = json.loads((SCHEMAS / "fim-hundesteuer/1.0/examples/good-gefaehrlicher-hund.json").read_text("utf-8"))
HOUSE = (SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml").read_text("utf-8").replace("/1.0", "/1.2")
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</dd></dl></section><iframe src=//x>",
    "</style><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "<!--",
    "]]><b>",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "{{ 7*7 }}{% x %}",
    "=cmd|' /C calc'!A0",
    "abc\u202egpj.exe",
    "a\u200bb\u2066c\u0000d\u001b[31m",
]
_ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "section",
        "dl",
        "dt",
        "dd",
    ),
    *("ul", "li", "bdi", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "strong"),
}


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)


def seen(html):
    parser = _Seen()
    parser.feed(html)
    return parser


def dog_page(dog, value, language="de", **more):
    return readable(dog, json.dumps(value).encode(), MediaType.JSON, language=language, **more)


def test_an_application_is_read_in_the_forms_order_and_words(dog):
    html = dog_page(dog, GOOD, attachments=["nachweis.pdf"])
    text = " ".join(seen(html).text)
    assert html.startswith('<!doctype html>\n<html lang="de">')
    assert text.index("Wer hält den Hund?") < text.index("Welchen Hund melden Sie an?") < text.index("Weitere Angaben")
    assert "Hündin" in text or "Rüde" in text
    assert "nachweis.pdf" in text
    assert re.search(r"\d\d\.\d\d\.\d{4}", text)


def test_in_english_its_words_are_english(dog):
    html = dog_page(dog, GOOD, "en")
    assert '<html lang="en">' in html
    assert "Who keeps the dog?" in html
    assert "Wer hält" not in html


def _values(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for one in value for text in _values(one)]
    return [value] if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value) and len(value) > 3 else []


def test_every_text_of_a_document_stands_on_the_page_also_where_no_form_asks_it(dog):
    text = "".join(seen(dog_page(dog, {**GOOD, "fremd": {"tief": ["unbekannt"]}})).text)
    choices = {"sozialleistung", "wachhund", "tierheim", "assistenzhund"}
    assert [one for one in (*_values(GOOD), "unbekannt") if one not in text and one not in choices] == []


def test_the_style_is_the_one_that_the_policy_allows_and_nothing_else_is(dog):
    html = dog_page(dog, GOOD)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() == STYLE_HASH.removeprefix("sha256-")
    assert f"default-src 'none'; style-src '{STYLE_HASH}'" in html
    assert {"script", "link", "img", "a", "form", "iframe"}.isdisjoint(seen(html).tags)
    assert {"style", "class", "id", "href", "src"}.isdisjoint(seen(html).attributes)


def _spoilt(value, attack):
    if isinstance(value, dict):
        return {f"{name}": _spoilt(one, attack) for name, one in value.items()} | {attack: attack}
    return [_spoilt(one, attack) for one in value] if isinstance(value, list) else attack


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_nothing_in_any_field_name_or_attachment_becomes_more_than_text(dog, house, attack):
    for form in (dog, house):
        html = readable(
            form,
            json.dumps(_spoilt(GOOD, attack)).encode(),
            MediaType.JSON,
            language="de",
            attachments=[attack, "a" + attack],
        )
        found = seen(html)
        assert found.tags <= _ALLOWED
        assert not {name for name in found.attributes if name.startswith("on")}
        assert not re.search("[\u0000-\u0009\u000b-\u001f\u202a-\u202e\u2066-\u2069\u200b]", html)


def test_nothing_in_an_xml_document_becomes_more_than_text(house):
    attack = "&lt;script&gt;alert(1)&lt;/script&gt;"
    html = readable(
        house,
        HOUSE.replace("Erika", attack).replace('produkt="', f'produkt="{attack}').encode(),
        MediaType.XML,
        language="de",
    )
    assert seen(html).tags <= _ALLOWED
    assert html.count("&lt;script&gt;") == 2


def test_a_building_application_is_read_with_its_codes_in_words_and_lists_as_tables(house):
    html = readable(house, HOUSE.encode(), MediaType.XML, language="de")
    text = " ".join(seen(html).text)
    assert "Vereinfachtes Verfahren" in text
    assert "112/3" in text
    assert "<table>" in html
    assert "184,50" in text


def test_without_a_form_file_a_document_is_read_in_the_schemas_words(dog_entry):
    form = questionnaire(outline_of(dog_entry))
    text = "".join(seen(readable(form, json.dumps(GOOD).encode(), MediaType.JSON, language="de")).text)
    assert [one for one in _values(GOOD) if one not in text] == []


def test_a_document_of_another_shape_than_its_schema_is_read_all_the_same(dog):
    for value in ({"halter": "Text", "hunde": {"name": "Rex"}}, {"hunde": ["Rex", [["Bello"]]]}, [], "Text", None, 5):
        html = dog_page(dog, value)
        assert seen(html).tags <= _ALLOWED
    assert "Bello" in dog_page(dog, {"hunde": ["Rex", [["Bello"]]]})
