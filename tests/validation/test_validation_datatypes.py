"""Built-in types of XML Schema: the hub's verdict on each text of a table, against the recommendation and a second engine.

Origin of the vectors: ``xsd_datatypes``, our own, from XML Schema 1.0 part 2 (second edition). The second engine is xmlschema.
Where an engine is known to say otherwise, a table says so with the right verdict beside it, so that a change shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
import xmlschema
from lxml import etree
from stage import NOW
from xsd_datatypes import TABLE, Datatype

from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.report import Limits


def schema() -> str:
    """One schema: an element and an attribute for each type, and an element with an enumeration for each value."""
    names = sorted({one.name for one in TABLE})
    elements = "".join(
        f'<xs:element name="{name}" type="xs:{name}"/>'
        f'<xs:element name="at.{name}"><xs:complexType><xs:attribute name="v" type="xs:{name}"/></xs:complexType></xs:element>'
        for name in names
    )
    values = "".join(
        f'<xs:element name="value.{number}"><xs:simpleType><xs:restriction base="xs:{one.name}">'
        f"<xs:enumeration value={quoteattr(one.same[0])}/></xs:restriction></xs:simpleType></xs:element>"
        for number, one in enumerate(TABLE)
        if one.same
    )
    return f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{elements}{values}</xs:schema>'


def document(element: str, text: str, *, attribute: bool = False) -> bytes:
    bound = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
    if attribute:
        # An attribute's line ends and tabs would be blanks before any type sees them (XML section 3.3.3).
        return f"<at.{element} {bound} v={quoteattr(text)}/>".encode()
    return f"<{element} {bound}>{escape(text)}</{element}>".encode()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datatypes")
    (folder / "package").mkdir()
    (folder / "package" / "types.xsd").write_text(schema(), "utf-8")
    import_standard(folder / "package", folder / "schemas", standard="types", version="1")
    return folder


def hub_judge(catalog: SchemaCatalog) -> Callable[[bytes], bool]:
    def judged(data: bytes) -> bool:
        report = catalog.check(media_type=MediaType.XML, data=data, schema=None, service=None, on=NOW.date())
        return report.valid

    return judged


@pytest.fixture(scope="module")
def hub(package: Path) -> Callable[[bytes], bool]:
    return hub_judge(SchemaCatalog.load(package / "schemas"))


@pytest.fixture(scope="module")
def streaming(package: Path) -> Callable[[bytes], bool]:
    return hub_judge(SchemaCatalog.load(package / "schemas", limits=Limits(tree_bytes=0, walk_bytes=0)))


@pytest.fixture(scope="module")
def second(package: Path) -> Callable[[bytes], bool]:
    engine = xmlschema.XMLSchema10(str(package / "package" / "types.xsd"))
    return lambda data: engine.is_valid(etree.fromstring(data))


# What engines say otherwise.

#: Type, text, and why the table is right where the hub says otherwise, for libxml2 does. One that goes is good news.
LIBXML2_ERRS: dict[tuple[str, str], str] = {}
#: The same of equal values: the enumerated text, and the other.
LIBXML2_ERRS_ON_VALUES: dict[tuple[str, str], str] = {}
#: The same of xmlschema, the second engine.
XMLSCHEMA_ERRS: dict[tuple[str, str], str] = {
    ("decimal", "1 2"): "part 2 section 3.2.3.1: digits only; inner blanks are no part of a number",
    ("integer", "1_000"): "part 2 section 3.3.13.1: digits only; the underscore is Python's",
}
XMLSCHEMA_ERRS_ON_VALUES: dict[tuple[str, str], str] = {
    ("a b", "a\u00a0b"): "part 1 section 3.1.4: white space is tab, line feed, carriage return and blank alone",
}
VALUES = [(one, number) for number, one in enumerate(TABLE) if one.same]


def differing(one: Datatype, judged: Callable[[bytes], bool], *, attribute: bool = False) -> set[tuple[str, str]]:
    """The texts of a row that are judged otherwise than the table says."""
    return {
        (one.name, text)
        for texts, right in ((one.good, True), (one.bad, False))
        for text in texts
        if judged(document(one.name, text, attribute=attribute)) != right
    }


def differing_values(one: Datatype, number: int, judged: Callable[[bytes], bool]) -> set[tuple[str, str]]:
    return {
        (one.same[0], text)
        for texts, right in ((one.same, True), (one.other, False))
        for text in texts
        if judged(document(f"value.{number}", text)) != right
    }


def known(errors: dict[tuple[str, str], str], one: Datatype) -> set[tuple[str, str]]:
    return {(one.name, text) for text in (*one.good, *one.bad)} & errors.keys()


@pytest.mark.parametrize("one", TABLE, ids=lambda one: f"{one.name}-{one.part[:6]}")
def test_the_hub_takes_the_texts_of_a_type_and_no_others(
    hub: Callable[[bytes], bool], streaming: Callable[[bytes], bool], one: Datatype
) -> None:
    """423 texts of 38 types, in elements and attributes and as a stream (XML Schema part 2, the section of each row)."""
    expected = known(LIBXML2_ERRS, one)
    assert differing(one, hub) == expected
    assert differing(one, hub, attribute=True) == expected
    assert differing(one, streaming) == expected


@pytest.mark.parametrize("one", TABLE, ids=lambda one: f"{one.name}-{one.part[:6]}")
def test_the_second_engine_takes_the_texts_of_a_type_and_no_others(
    second: Callable[[bytes], bool], one: Datatype
) -> None:
    """The same table judged by xmlschema: a mistake of the table would show as a difference from both."""
    assert differing(one, second) == known(XMLSCHEMA_ERRS, one)


@pytest.mark.parametrize(("one", "number"), VALUES, ids=lambda one: getattr(one, "name", ""))
def test_texts_of_one_value_are_equal_and_others_are_not(
    hub: Callable[[bytes], bool], second: Callable[[bytes], bool], one: Datatype, number: int
) -> None:
    """74 texts against enumerations (part 2 section 4.3.5: values are enumerated, not texts)."""
    pairs = {(one.same[0], text) for text in (*one.same, *one.other)}
    assert differing_values(one, number, hub) == pairs & LIBXML2_ERRS_ON_VALUES.keys()
    assert differing_values(one, number, second) == pairs & XMLSCHEMA_ERRS_ON_VALUES.keys()


def test_every_known_difference_is_a_text_of_the_table_that_one_engine_judges_rightly() -> None:
    texts = {(one.name, text) for one in TABLE for text in (*one.good, *one.bad)}
    values = {(one.same[0], text) for one in TABLE if one.same for text in (*one.same, *one.other)}
    assert LIBXML2_ERRS.keys() | XMLSCHEMA_ERRS.keys() <= texts
    assert LIBXML2_ERRS_ON_VALUES.keys() | XMLSCHEMA_ERRS_ON_VALUES.keys() <= values
    assert not LIBXML2_ERRS.keys() & XMLSCHEMA_ERRS.keys()
    assert not LIBXML2_ERRS_ON_VALUES.keys() & XMLSCHEMA_ERRS_ON_VALUES.keys()
