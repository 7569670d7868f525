"""Attacks with XML documents: each is refused, quickly, and without touching file or network."""

from __future__ import annotations

import codecs
import socket
import time
import tracemalloc
from datetime import date
from pathlib import Path

import pytest

from hub.errors import Malformed, TooLarge
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml, refuse_if_malformed
from hub.validation.xml.xsd import XsdSchema, XsdSource

SCHEMAS = Path(__file__).parents[2] / "schemas"
GOOD = (SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml").read_text(encoding="utf-8")
NOTICE = (SCHEMAS / "bauantrag/1.0/examples/good-nachforderung.xml").read_text(encoding="utf-8")
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
CANARY = "Kanarienvogel"


@pytest.fixture(scope="module")
def catalog() -> SchemaCatalog:
    return SchemaCatalog.load(SCHEMAS)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("validation touched the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def check(catalog, text: str | bytes):
    data = text if isinstance(text, bytes) else text.encode()
    return catalog.check(media_type=MediaType.XML, data=data, schema=None, service=None, on=date(2026, 11, 2))


def schema_of(content: str) -> XsdSchema:
    """A schema with one root, r, of the given anonymous type."""
    xsd = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r">{content}</xs:element></xs:schema>'
    source = XsdSource(file="r.xsd", closure=("r.xsd",), read=lambda _: xsd.encode(), locations={})
    return XsdSchema(source, roots=("r",))


def with_doctype(doctype: str) -> str:
    return GOOD.replace(DECLARATION, DECLARATION + doctype)


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(CANARY)
    return path


@pytest.mark.parametrize(
    "doctype",
    {
        "empty": "<!DOCTYPE r>",
        "after a comment": "<!-- > --><!DOCTYPE r>",
        "after an instruction": "<?x > ?>\n<!DOCTYPE r>",
        "file entity": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        "http entity": '<!DOCTYPE r [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>',
        "external subset": '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd">',
        "public identifier": '<!DOCTYPE r PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1:9/x.dtd">',
        "parameter entity": '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]>',
        "default attributes": '<!DOCTYPE r [<!ATTLIST a b CDATA "c">]>',
    }.values(),
)
def test_any_document_type_declaration_is_refused(catalog, doctype):
    with pytest.raises(Malformed, match="document type"):
        check(catalog, with_doctype(doctype))


def test_a_file_entity_reveals_nothing(catalog, secret):
    text = with_doctype(f'<!DOCTYPE r [<!ENTITY x SYSTEM "{secret.as_uri()}">]>').replace("Erika", "&x;")
    with pytest.raises(Malformed) as caught:
        check(catalog, text)
    assert CANARY not in str(caught.value.detail)


def test_a_doctype_in_utf_16_is_refused_too(catalog):
    text = with_doctype("<!DOCTYPE r>").replace("UTF-8", "UTF-16")
    with pytest.raises(Malformed, match="document type"):
        check(catalog, text.encode("utf-16"))


def test_billion_laughs_costs_nothing(catalog):
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    text = with_doctype(f'<!DOCTYPE r [<!ENTITY e0 "lol">{entities}]>').replace("Erika", "&e9;")
    started = time.perf_counter()
    with pytest.raises(Malformed):
        check(catalog, text)
    assert time.perf_counter() - started < 20


def test_quadratic_blow_up_costs_nothing(catalog):
    text = with_doctype(f'<!DOCTYPE r [<!ENTITY e "{"x" * 100_000}">]>').replace("Erika", "&e;" * 10_000)
    tracemalloc.start()
    with pytest.raises(Malformed):
        check(catalog, text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_an_undeclared_entity_is_refused(catalog):
    with pytest.raises(Malformed):
        check(catalog, GOOD.replace("Erika", "&nbsp;"))


def test_xinclude_is_not_acted_upon(catalog, secret):
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{secret.as_uri()}"/>'
    report = check(catalog, GOOD.replace("Zweigeschossig", include))
    assert not report.valid
    assert CANARY not in str(report.as_json())


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/evil.xsd", "file:///etc/passwd"])
def test_schema_locations_of_a_document_are_not_followed(catalog, address):
    hint = (
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="https://schema.rathaus-hub.example/bauantrag/1.0 {address}"'
    )
    assert check(catalog, GOOD.replace(' version="1.0" produkt', f' {hint} version="1.0" produkt')).valid


def test_a_schema_location_for_a_foreign_root_makes_it_no_more_known(catalog):
    report = catalog.check(
        media_type=MediaType.XML,
        data=b'<r xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:noNamespaceSchemaLocation="file:///tmp/any.xsd"/>',
        schema="https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd",
        service=None,
        on=date(2026, 11, 2),
    )
    assert not report.valid


@pytest.mark.parametrize("size", [300, 100_000, 2_000_000])
def test_deep_nesting_is_refused(size):
    with pytest.raises(TooLarge):
        read_and_stream(b"<a>" * size + b"</a>" * size)


def read_and_stream(data: bytes):
    document = read_xml(data, Limits())
    refuse_if_malformed(document.data)


def test_a_huge_attribute_is_refused(catalog):
    with pytest.raises(TooLarge):
        check(catalog, GOOD.replace('id="p1"', f'id="p1" x="{"y" * 11_000_000}"'))


def test_a_huge_text_is_refused(catalog):
    with pytest.raises(TooLarge):
        check(catalog, GOOD.replace("Zweigeschossig", "y" * 11_000_000))


def test_many_attributes_are_refused_quickly(catalog):
    attributes = " ".join(f'a{i}="1"' for i in range(50_000))
    started = time.perf_counter()
    report = check(catalog, GOOD.replace("<bau:vorhaben>", f"<bau:vorhaben {attributes}>"))
    assert time.perf_counter() - started < 20
    assert report.total > 900
    assert len(report.violations) == 100
    assert "a4711" not in str(report.as_json())


def test_many_violations_take_linear_time():
    part = '<xs:element name="p" maxOccurs="unbounded"><xs:complexType><xs:attribute name="n" type="xs:int"/>'
    schema = schema_of(
        f"<xs:complexType><xs:sequence>{part}</xs:complexType></xs:element></xs:sequence></xs:complexType>"
    )
    for count in (5_000, 100_000):
        started = time.perf_counter()
        findings = schema.check(read_xml(b"<r>" + b'<p n="x"/>' * count + b"</r>", Limits()), Limits())
        assert time.perf_counter() - started < 20
        assert len(findings.violations) == 100
        assert findings.total >= 1_000
    # So many that no place is named, which the report says.
    assert findings.notes
    assert {violation.path for violation in findings.violations} == {"/*"}


def test_a_document_over_the_cap_is_refused_before_it_is_read():
    with pytest.raises(TooLarge, match="1 MiB"):
        read_xml(b"<" * (1024 * 1024 + 1), Limits(xml_bytes=1024 * 1024))


@pytest.mark.parametrize(
    "data",
    {
        "utf-7 by declaration": b'<?xml version="1.0" encoding="UTF-7"?><r>+ADw-x+AD4-</r>',
        "utf-7 by mark": b"+/v8-<r/>",
        "ebcdic": '<?xml version="1.0" encoding="IBM037"?><r/>'.encode("cp037"),
        "utf-16 without mark": "<r/>".encode("utf-16-le"),
        "utf-16 declared in 8 bit": b'<?xml version="1.0" encoding="UTF-16"?><r/>',
        "utf-8 declared in utf-16": '<?xml version="1.0" encoding="UTF-8"?><r/>'.encode("utf-16"),
        "utf-16 declared after utf-8 mark": codecs.BOM_UTF8 + b'<?xml version="1.0" encoding="UTF-16"?><r/>',
        "utf-32": "<r/>".encode("utf-32"),
        "ucs-4 without mark": "<r/>".encode("utf-32-be"),
        "invalid utf-8": b"<r>\xff</r>",
        "overlong utf-8": b"<r>\xc0\xaf</r>",
        "surrogate in utf-8": b"<r>\xed\xa0\x80</r>",
        "half a surrogate pair in utf-16": codecs.BOM_UTF16_LE + b"<\x00r\x00>\x00\x00\xd8<\x00/\x00r\x00>\x00",
        "undefined in windows-1252": b'<?xml version="1.0" encoding="windows-1252"?><r>\x81</r>',
        "nul": b"<r>\x00</r>",
        "empty": b"",
        "text": b"hello",
    }.items(),
    ids=lambda item: item[0],
)
def test_encodings_outside_the_list_and_broken_ones_are_refused(data):
    with pytest.raises(Malformed):
        read_xml(data[1], Limits())


def test_a_forged_message_cannot_put_a_value_into_what_is_expected(catalog):
    value = f"1 is not accepted by the pattern '{CANARY}'."
    for forged in (value, f"x'. Expected is ( {CANARY} ).", f"' is not an element of the set {{'{CANARY}'}}."):
        report = check(catalog, GOOD.replace(">65307<", f">{forged}<").replace(">VER<", f">{forged}<"))
        assert not report.valid
        assert CANARY not in str(report.as_json())


def test_names_of_unknown_elements_and_attributes_are_not_repeated(catalog):
    text = GOOD.replace("<bau:vorhaben>", f'<bau:{CANARY}/><bau:vorhaben {CANARY}="1">')
    report = check(catalog, text.replace("bau:bauherr", f"bau:{CANARY}2"))
    assert not report.valid
    assert CANARY not in str(report.as_json())


def test_a_long_value_that_would_defeat_the_pattern_engine_is_judged_in_one_pass():
    schema = schema_of(
        '<xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="(a|aa)+b"/></xs:restriction></xs:simpleType>'
    )
    for size in (5_000, 100_000):
        started = time.perf_counter()
        assert schema.check(read_xml(b"<r>" + b"a" * size + b"</r>", Limits()), Limits()).violations
        assert not schema.check(read_xml(b"<r>" + b"a" * size + b"b</r>", Limits()), Limits()).violations
        assert time.perf_counter() - started < 20


# What stays allowed.


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("UTF-8", "utf-8-sig"),
        ("UTF-16", "utf-16"),
        ("ISO-8859-1", "latin-1"),
        ("iso-8859-15", "iso-8859-15"),
        ("windows-1252", "cp1252"),
    ],
)
def test_listed_encodings_are_read(catalog, name, codec):
    text = GOOD.replace("Łukasz", "Lukasz").replace('encoding="UTF-8"', f'encoding="{name}"')
    report = check(catalog, text.encode(codec))
    assert report.valid, report.as_json()
