"""Regular expressions of schemas are those of XML Schema part 2, appendix F, whatever libxml2 makes of them.

The other engine here is Python's: a pattern is put into its syntax, each class and escape as the characters that it stands for.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lxml import etree
from test_validation_places import XS, rules, schema_of

from hub.errors import ConfigurationError
from hub.validation.xml.linear import LinearPattern
from hub.validation.xml.patterns import is_dangerous
from hub.validation.xml.prepared import rewritten
from hub.validation.xml.regex import characters_of

TEXTS = ["".join(text) for length in range(6) for text in product("ab", repeat=length)]
CHARACTERS = [*"abcdAZ17-^éüÿαΩ.,+\n\t ][\\$:|(*國٣_ẞ", "\u00a0", "\U00010400", ""]
COUNTS = ["", "", "", "?", "*", "+", "{2}", "{1,2}", "{0,1}", "{2,}", "{0}", "{0,2}", "{1,}", "{0,}", "{1}"]
#: Without ``\i`` and ``\c``: libxml2 reads them by XML 1.0, second edition, to which part 2 refers.
ESCAPES = [
    *(r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\p{L}", r"\P{L}", r"\p{Lu}", r"\P{Nd}"),
    *(r"\p{IsBasicLatin}", r"\P{IsBasicLatin}", r"\p{IsGreek}", r"\P{IsGreek}"),
]
SINGLE = [r"\n", r"\t", r"\-", r"\]", r"\[", r"\^", r"\.", r"\\", r"\|", r"\("]
MEMBERS = st.sampled_from(
    [*"ab1.é*+$,:", *SINGLE, *ESCAPES, "a-c", "0-9", "A-Z", "é-ü", r"\--a", r"!-\]", "^-b", r"\p{Lu}\P{IsGreek}"]
)


@st.composite
def classes(draw: Any, depth: int = 0) -> str:
    inside = "".join(draw(st.lists(MEMBERS, min_size=1, max_size=3)))
    first, last = draw(st.sampled_from(["", "-"])), draw(st.sampled_from(["", "", "-"]))
    taken = f"-{draw(classes(depth + 1))}" if depth < 2 and not last and draw(st.integers(0, 3)) == 0 else ""
    return f"[{draw(st.sampled_from(['', '^']))}{first}{inside}{last}{taken}]"


PIECES = st.tuples(st.sampled_from(["a", "b", "."]), st.sampled_from(COUNTS)).map("".join)


def _grouped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    piece = st.one_of(PIECES, st.tuples(inner.map("({})".format), st.sampled_from(COUNTS)).map("".join))
    branch = st.lists(piece, min_size=1, max_size=3).map("".join)
    return st.lists(branch, min_size=1, max_size=2).map("|".join)


EXPRESSIONS = st.recursive(st.lists(PIECES, min_size=1, max_size=3).map("".join), _grouped, max_leaves=5)


def in_python(pattern: str) -> re.Pattern[str]:
    parts, at = [], 0
    while at < len(pattern):
        sign = pattern[at]
        if sign in "[\\":
            chars, at = characters_of(pattern, at)
            ranges = "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in chars)
            parts.append(f"[{ranges}]" if chars else "(?!)")
            continue
        at += 1
        parts.append({".": "[^\n\r]", "(": "(?:"}.get(sign, sign if sign in ")|*+?{},0123456789" else re.escape(sign)))
    return re.compile("".join(parts))


def in_libxml2(pattern: str) -> etree.XMLSchema:
    schema = etree.fromstring(
        XS.format('<xs:element name="r"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value=""/>'
                  "</xs:restriction></xs:simpleType></xs:element>")
    )  # fmt: skip
    next(schema.iter("{*}pattern")).set("value", rewritten(pattern))
    return etree.XMLSchema(schema)


def takes(schema: etree.XMLSchema, text: str) -> bool:
    element = etree.Element("{urn:b}r")
    element.text = text
    return schema.validate(element)


@settings(max_examples=150, deadline=None)
@given(pattern=classes())
def test_a_class_holds_what_appendix_f_says(pattern):
    ours, other = in_libxml2(pattern), in_python(pattern)
    assert [takes(ours, text) for text in CHARACTERS] == [other.fullmatch(text) is not None for text in CHARACTERS]


@settings(max_examples=100, deadline=None)
@given(pattern=EXPRESSIONS)
def test_branches_groups_and_counts_mean_what_appendix_f_says(pattern):
    other = in_python(pattern)
    expected = [other.fullmatch(text) is not None for text in TEXTS]
    assert [LinearPattern(pattern).matches(text) for text in TEXTS] == expected
    # What takes exponential time is kept from libxml2.
    assume(not is_dangerous(pattern))
    assert [takes(in_libxml2(pattern), text) for text in TEXTS] == expected


OFFICIAL = {
    # Of OGC's services, and of aviation: real patterns that an engine which goes back may never end with.
    r"(application|image|text)/.+(;\s*.+=.+)*": (
        ["text/xml", "text/xml; charset=utf-8"],
        ["textxml", "text/", "foo/bar"],
    ),
    r"([A-Z]|[0-9])+([ \+\-/]*([A-Z]|[0-9])+)*": (["A", "A1 B-2", "A/ 1"], ["", "a", "A-", "-A"]),
}


@pytest.mark.parametrize("pattern", OFFICIAL)
def test_a_pattern_that_is_kept_from_libxml2_is_judged_at_each_place(pattern):
    good, bad = OFFICIAL[pattern]
    one = f'<xs:restriction base="xs:token"><xs:pattern value="{pattern}"/></xs:restriction>'
    two = '<xs:restriction base="P"><xs:maxLength value="99"/></xs:restriction>'
    schema = schema_of(
        XS.format(
            f'<xs:simpleType name="P">{one}</xs:simpleType><xs:simpleType name="Q">{two}</xs:simpleType>'
            '<xs:element name="r"><xs:complexType><xs:simpleContent><xs:extension base="Q"><xs:attribute name="a" type="P"/>'
            "</xs:extension></xs:simpleContent></xs:complexType></xs:element>"
        ),
        "{urn:b}r",
    )
    assert [rules(schema, f'<r xmlns="urn:b" a="{text}"> {text} </r>') for text in good] == [[]] * len(good)
    for text in bad:
        broken = rules(schema, f'<r xmlns="urn:b" a="{text}">{text}</r>')
        assert broken == ["xml.pattern"] * 2


MISREAD = [
    # By libxml2 2.14, each as it stands: counts of branches that begin alike, ends of repeated groups, classes.
    (r"\d{1,2}|\d{4,}", ["1", "12", "1234"], ["123", ""]),
    (r"[A-Z]{0,2}\d|[A-Z]{2}", ["AA", "A1", "AA1"], ["AAA"]),
    (r"(\d\d)*|A", ["", "1234", "A"], ["A12"]),
    (r"(\d)+|A+", ["12", "AA"], ["A1"]),
    (r"\p{L}+|1", ["äẞ", "1"], ["1ä"]),
    (r"(a?){2}b", ["b", "aab"], ["aaab"]),
    (r"A{0}1", ["1"], ["A1"]),
    (r"[^a-]", ["b"], ["-", "a"]),
    (r"[\--/]", ["-", ".", "/"], ["0"]),
    (r"[\p{L}-[\p{IsBasicLatin}]]", ["ä"], ["a", "1"]),
    (r"[^\P{IsGreek}ω]", ["α"], ["ω", "a"]),
    (r"\p{IsLatinExtended-C}", ["\u2c60"], ["a"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), MISREAD, ids=[row[0] for row in MISREAD])
def test_what_libxml2_misreads_is_read_right(pattern, good, bad):
    base = f'<xs:restriction base="xs:string"><xs:pattern value="{pattern}"/></xs:restriction>'
    schema = schema_of(
        XS.format(f'<xs:element name="r"><xs:simpleType>{base}</xs:simpleType></xs:element>'), "{urn:b}r"
    )
    assert [rules(schema, f'<r xmlns="urn:b">{text}</r>') for text in good] == [[]] * len(good)
    assert [rules(schema, f'<r xmlns="urn:b">{text}</r>') for text in bad] == [["xml.pattern"]] * len(bad)


@pytest.mark.parametrize("pattern", [r"\p{IsKlingon}", r"[^\p{IsKlingon}a]", r"[a\p{Xy}]"])
def test_a_block_or_category_that_nobody_knows_is_refused_by_name(pattern):
    base = f'<xs:restriction base="xs:string"><xs:pattern value="{pattern}"/></xs:restriction>'
    schema = schema_of(
        XS.format(f'<xs:element name="r"><xs:simpleType>{base}</xs:simpleType></xs:element>'), "{urn:b}r"
    )
    with pytest.raises(ConfigurationError, match=rf"main\.xsd.*unknown.*{re.escape(pattern)}"):
        schema.compile()


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1"])
def test_a_schema_in_another_encoding_and_one_with_references_to_characters_mean_the_same(encoding):
    text = XS.format(
        '<xs:element name="r"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="&#91;^\\P{L}]+"/>'
        "</xs:restriction></xs:simpleType></xs:element>"
    )
    content = f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)
    schema = schema_of(text, "{urn:b}r")
    schema.source.read.__self__["main.xsd"] = content
    assert [len(rules(schema, f'<r xmlns="urn:b">{value}</r>')) for value in ("äẞ", "1")] == [0, 1]
