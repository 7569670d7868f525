"""Packages in the shape of official ones that may not lie here: plans over GML, registers of several documents a namespace."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from test_validation_codelists import LIST, ROW

from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard

XS = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"'
LINKS = "urn:form:verweise"
OBJECTS = (
    f'{XS} targetNamespace="urn:form:geo" xmlns:g="urn:form:geo" xmlns:l="{LINKS}" elementFormDefault="qualified">'
    f'<xs:import namespace="{LINKS}" schemaLocation="http://verweise.example/1/links.xsd"/>'
    '<xs:element name="Objekt" type="g:Objekt" abstract="true"/>'
    '<xs:complexType name="Objekt" abstract="true"><xs:attribute name="id" type="xs:ID" use="required"/></xs:complexType>'
    '<xs:complexType name="Verweis"><xs:attribute ref="l:type" fixed="simple"/><xs:attribute name="zu" type="xs:IDREF"/>'
    "</xs:complexType></xs:schema>"
)
PLAN = (
    f'{XS} targetNamespace="urn:form:plan" xmlns:p="urn:form:plan" xmlns:g="urn:form:geo" elementFormDefault="qualified">'
    '<xs:import namespace="urn:form:geo" schemaLocation="../geo/objekte.xsd"/>{}</xs:schema>'
)
PARTS = {
    "plan/auszug.xsd": PLAN.format(
        '<xs:include schemaLocation="bereich.xsd"/><xs:element name="Auszug"><xs:complexType><xs:sequence>'
        '<xs:element ref="g:Objekt" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>'
    ),
    "plan/bereich.xsd": PLAN.format(
        '<xs:include schemaLocation="grund.xsd"/><xs:element name="Bereich" substitutionGroup="g:Objekt"><xs:complexType>'
        '<xs:complexContent><xs:extension base="g:Objekt"><xs:sequence><xs:element name="in" type="g:Verweis"/><xs:element '
        'name="hoehe" type="p:Hoehe"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType></xs:element>'
    ),
    "plan/grund.xsd": PLAN.format(
        '<xs:simpleType name="Hoehe"><xs:restriction base="xs:decimal"><xs:fractionDigits value="2"/></xs:restriction>'
        '</xs:simpleType><xs:element name="Plan" substitutionGroup="g:Objekt" type="p:Plan"/><xs:complexType name="Plan">'
        '<xs:complexContent><xs:extension base="g:Objekt"/></xs:complexContent></xs:complexType>'
    ),
    "plan/dienst.xsd": PLAN.format('<xs:import namespace="urn:form:w" schemaLocation="http://dienst.example/w.xsd"/>'),
    "geo/objekte.xsd": OBJECTS,
    "verweise/links.xsd": f'{XS} targetNamespace="{LINKS}"><xs:attribute name="type" type="xs:string"/></xs:schema>',
    "catalog.xml": '<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">'
    '<uri name="http://verweise.example/1/links.xsd" uri="verweise/links.xsd"/></catalog>',
}


def laid(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def judged(root: Path, text: str) -> tuple[list[str], bool]:
    report = SchemaCatalog.load(root).check(
        media_type=MediaType.XML, data=text.encode(), schema=None, service=None, on=date(2026, 11, 2)
    )
    return [each.rule for each in report.violations], report.complete


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Chains of includes, a leading abstract element, a catalogue; services that need the net are left out."""
    place = tmp_path_factory.mktemp("plans")
    folder = laid(place / "paket", PARTS)
    import_standard(
        folder, place / "s", standard="plan", version="6.0", catalog=folder / "catalog.xml", messages="auszug.xsd"
    )
    return place / "s"


@pytest.mark.parametrize(
    ("inner", "found"),
    [
        ('<Plan id="a"/><Bereich id="b"><in zu="a"/><hoehe>1.50</hoehe></Bereich>', []),
        ('<Plan id="a"/><Bereich id="b"><in zu="c"/><hoehe>1</hoehe></Bereich>', ["xml.idref-dangling"]),
        ('<Plan id="a"/><Plan id="a"/>', ["xml.id-repeated"]),
        ('<Plan id="a"/><Bereich id="b"><in zu="a" l:type="ext"/><hoehe>1</hoehe></Bereich>', ["xml.fixed"]),
        ('<Plan id="a"/><Bereich id="b"><in zu="a"/><hoehe>1.505</hoehe></Bereich>', ["xml.digits"]),
        ('<g:Objekt xmlns:g="urn:form:geo" id="a"/>', ["xml.abstract"]),
    ],
)
def test_a_plan_is_judged_through_includes_a_catalogue_and_what_stands_for_others(plans, inner, found):
    # What stands in an abstract element is not judged.
    whole = found != ["xml.abstract"]
    assert judged(plans, f'<Auszug xmlns="urn:form:plan" xmlns:l="{LINKS}">{inner}</Auszug>') == (found, whole)


def test_a_register_of_several_documents_a_namespace_under_urn_names_has_its_lists(tmp_path):
    head = f'{XS} targetNamespace="urn:form:reg" xmlns:r="urn:form:reg" elementFormDefault="qualified">'
    coded = (
        '<xs:complexType name="Staat"><xs:sequence><xs:element name="code" type="xs:token" form="unqualified"/></xs:sequence>'
        '<xs:attribute name="listURI" type="xs:anyURI" fixed="urn:form:liste:staat"/>'
        '<xs:attribute name="listVersionID" fixed="1"/></xs:complexType>'
    )
    number = (
        '<xs:simpleType name="Nummer"><xs:restriction base="xs:string"><xs:pattern value="\\d{4}"/></xs:restriction>'
    )
    main = (
        f'{XS} targetNamespace="urn:form:nachricht" xmlns:r="urn:form:reg">'
        '<xs:import namespace="urn:form:reg" schemaLocation="urn:form:reg:codes_1.xsd"/>'
        '<xs:import namespace="urn:form:reg" schemaLocation="urn:form:reg:typen_1.xsd"/><xs:element name="meldung">'
        '<xs:complexType><xs:sequence><xs:element name="nummer" type="r:Nummer"/><xs:element name="staat" type="r:Staat"/>'
        "</xs:sequence></xs:complexType></xs:element></xs:schema>"
    )
    rows = "".join(ROW.format(code) for code in ("000", "123"))
    files = {
        "urn:form:reg:codes_1.xsd": f"{head}{coded}</xs:schema>",
        "urn:form:reg:typen_1.xsd": f"{head}{number}</xs:simpleType></xs:schema>",
        "urn:form:nachricht_1.xsd": main,
        "urn:form:liste:staat_1.xml": LIST.format(uri="urn:form:liste:staat", version="1", rows=rows),
    }
    import_standard(laid(tmp_path / "p", files), tmp_path / "s", standard="reg", version="3.0.0")
    message = '<n:meldung xmlns:n="urn:form:nachricht"><nummer>{}</nummer><staat><code>{}</code></staat></n:meldung>'
    found = [judged(tmp_path / "s", message.format(*each)) for each in (("1234", "000"), ("1234", "999"), ("x", "000"))]
    assert found == [([], True), (["codelist.code"], True), (["xml.pattern"], True)]
