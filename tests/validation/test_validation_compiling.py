"""A good schema compiles, also where one of its parts is not found at the first try."""

from __future__ import annotations

import re

import pytest
from lxml import etree

from hub.errors import ConfigurationError
from hub.validation.xml.xsd import XsdSource, compiled

XS = b'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
FILES = {
    "main.xsd": b"<xs:schema "
    + XS
    + b'><xs:include schemaLocation="part.xsd"/><xs:element name="a" type="t"/></xs:schema>',
    "part.xsd": b"<xs:schema "
    + XS
    + b'><xs:simpleType name="t"><xs:restriction base="xs:string"/></xs:simpleType></xs:schema>',
}


class Sources:
    """Files of which a part is missing for the first so many looks."""

    def __init__(self, missing: int) -> None:
        self.missing = missing

    def __call__(self, name: str) -> bytes:
        if name == "part.xsd" and self.missing > 0:
            self.missing -= 1
            raise LookupError(name)
        return FILES[name]


def source(sources: Sources) -> XsdSource:
    return XsdSource(file="main.xsd", closure=tuple(FILES), read=sources, locations={})


def test_a_part_that_is_missing_for_a_moment_refuses_nobody():
    sources = Sources(missing=2)
    assert compiled(source(sources)) is not None
    assert sources.missing == 0


def test_a_part_that_stays_missing_is_told():
    with pytest.raises(ConfigurationError, match=r"main\.xsd"):
        compiled(source(Sources(missing=100)))


ANNOTATED = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:annotation id="n">{0}</xs:annotation><xs:annotation/>
<xs:element name="a"><xs:annotation><xs:appinfo>{0}</xs:appinfo></xs:annotation><xs:simpleType>
<xs:annotation
 id="m"/><xs:restriction base="{1}">
<xs:length value="1"><xs:annotation>{0}</xs:annotation></xs:length></xs:restriction></xs:simpleType>
</xs:element></xs:schema>"""


@pytest.mark.parametrize(
    "content",
    [
        "<xs:documentation>one\ntwo</xs:documentation>",
        # What speaks of annotations.
        "<xs:documentation>\n<xs:annotation><xs:annotation/>\n</xs:annotation></xs:documentation>",
        "<xs:documentation>\n<!-- </xs:annotation> --></xs:documentation>",
        "<xs:documentation>\n<![CDATA[</xs:annotation>]]></xs:documentation>",
        "<xs:documentation>\n&lt;/xs:annotation></xs:documentation>",
        "<xs:appinfo>\n<other annotation='&lt;/xs:annotation>'/></xs:appinfo>",
        "",
    ],
)
def test_annotations_judge_nothing_and_lines_stay_where_they_were(content):
    def judge(base: str) -> etree.XMLSchema:
        text = ANNOTATED.format(content, base).encode()
        return compiled(XsdSource(file="a.xsd", closure=("a.xsd",), read=lambda _: text, locations={}))

    schema = judge("xs:string")
    assert schema.validate(etree.fromstring("<a>x</a>"))
    assert not schema.validate(etree.fromstring("<a>xy</a>"))
    wrong = ANNOTATED.format(content, "xs:nothing")
    with pytest.raises(etree.XMLSchemaParseError) as alone:
        etree.XMLSchema(etree.fromstring(wrong))
    with pytest.raises(ConfigurationError, match=re.escape(str(alone.value))):
        judge("xs:nothing")
