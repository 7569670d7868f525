"""A good schema compiles, also where one of its parts is not found at the first try."""

from __future__ import annotations

import pytest

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
