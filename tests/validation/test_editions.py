"""Of several versions in force that know one root element, the one judges that the document states."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hub.errors import UnknownSchema
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.editions import load_version, stated_by
from hub.validation.importing import import_standard
from hub.validation.manifest import read_manifest, write_manifest
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml

TODAY = date(2026, 11, 2)
#: The version stands on the message, as in XBau, or on its header, as in XJustiz.
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:e" xmlns="urn:e"
elementFormDefault="qualified"><xs:element name="m"><xs:complexType><xs:sequence><xs:element name="kopf"><xs:complexType>
<xs:sequence><xs:element name="id" type="xs:string" minOccurs="0"/></xs:sequence><xs:attribute name="xVersion" {header}/>
</xs:complexType></xs:element></xs:sequence><xs:attribute name="version" {message}/>
<xs:attribute name="listVersionID" fixed="1"/></xs:complexType></xs:element></xs:schema>"""
FREE = 'type="xs:string"'


def message(root: str = "", header: str = "", inside: str = "") -> str:
    return f'<m xmlns="urn:e" {root}><kopf {header}>{inside}</kopf></m>'


@pytest.fixture(scope="module")
def bring(tmp_path_factory):
    """Import one version once, however many tests ask for it."""
    target, known = tmp_path_factory.mktemp("editions"), {}

    def brought(version: str, *, header: str = FREE, message: str = FREE) -> Path:
        if (version, header, message) not in known:
            package = target / f"p{len(known)}"
            package.mkdir()
            (package / "m.xsd").write_text(XSD.format(header=header, message=message))
            import_standard(package, target / f"s{len(known)}", standard="e", version=version)
            known[version, header, message] = target / f"s{len(known)}" / "e" / version
        return known[version, header, message]

    return brought


def chosen(*folders: Path, text: str, **changes: object) -> str:
    entries = [entry for folder in folders for entry in load_version(folder).entries]
    if changes:
        entries[-1] = replace(entries[-1], manifest=replace(entries[-1].manifest, **changes))
    catalog = SchemaCatalog(entries)
    data = text.encode()
    entry = catalog.find(media_type=MediaType.XML, data=data, schema=None, service=None, on=TODAY)
    # What was chosen for one document is not taken for the next one.
    assert catalog.find(media_type=MediaType.XML, data=data, schema=None, service=None, on=TODAY) is entry
    return entry.manifest.version


@pytest.mark.parametrize(("place", "stated"), [("message", 'version="{}"'), ("header", 'xVersion="{}"')])
def test_the_version_that_the_schema_fixes_and_the_document_states_judges(bring, place, stated):
    folders = [bring(version, **{place: f'fixed="{version}"'}) for version in ("3.5.1", "3.6.2")]
    for version in ("3.5.1", "3.6.2"):
        said = stated.format(version)
        text = message(root=said) if place == "message" else message(header=said)
        assert chosen(*folders, text=text) == version


@pytest.mark.parametrize("text", [message(), message(root='version="9"'), message(root='listVersionID="1"')])
def test_a_document_that_states_none_of_them_is_ambiguous(bring, text):
    folders = [bring(version, message=f'fixed="{version}"') for version in ("3.5.1", "3.6.2")]
    with pytest.raises(UnknownSchema, match="ambiguous") as caught:
        chosen(*folders, text=text)
    assert caught.value.members["known"] == [
        f"https://schema.rathaus-hub.example/e/{version}#m" for version in ("3.5.1", "3.6.2")
    ]


def test_two_versions_that_fix_the_same_are_not_parted_by_it(bring):
    # XJustiz 3.7.0 still fixes 3.6.2.
    folders = [bring("3.6.2", message='fixed="3.6.2"'), bring("3.7.0", message='fixed="3.6.2"')]
    with pytest.raises(UnknownSchema, match="ambiguous"):
        chosen(*folders, text=message(root='version="3.6.2"'))
    catalog = SchemaCatalog(entry for folder in folders for entry in load_version(folder).entries)
    named = "https://schema.rathaus-hub.example/e/3.6.2#m"
    data = message(root='version="3.6.2"').encode()
    found = catalog.find(media_type=MediaType.XML, data=data, schema=named, service=None, on=TODAY)
    assert found.uri == named


def test_where_no_version_can_be_stated_the_one_that_followed_last_judges(bring):
    folders = [bring("1"), bring("2")]
    assert chosen(*folders, text=message(), valid_from=date(2026, 1, 1)) == "2"
    with pytest.raises(UnknownSchema, match="ambiguous"):
        chosen(*folders, text=message())


def test_an_element_that_the_entry_declares_states_the_version(bring):
    # As XRechnung's CustomizationID does.
    place = "/{urn:e}m/{urn:e}kopf/{urn:e}id"
    folders = []
    for version, values in (("2.3", ["urn:x:rechnung_2.3"]), ("3.0", ["urn:x:rechnung_3.0", "urn:x:rechnung_3.0#*"])):
        folder = bring(version)
        manifest = read_manifest(folder)
        items = tuple(replace(item, states={place: tuple(values)}) for item in manifest.schemas)
        declared = write_manifest(replace(manifest, schemas=items))
        (folder / "catalog.yaml").write_text(declared)
        assert write_manifest(read_manifest(folder)) == declared
        folders.append(folder)
    for said, version in (("urn:x:rechnung_2.3", "2.3"), ("urn:x:rechnung_3.0#erweitert", "3.0")):
        assert chosen(*folders, text=message(inside=f"<id>\n {said} </id>")) == version
    with pytest.raises(UnknownSchema, match="ambiguous"):
        chosen(*folders, text=message(inside="<id>urn:x:rechnung_1</id>"))


def test_the_beginning_of_a_long_document_is_enough():
    long = message(root='version="3.6.2"', inside=f"<id>{'x' * 2_000_000}</id>")
    document = read_xml(long.encode(), Limits())
    assert document.tree is None
    assert stated_by(document, ()).attributes == {("version", "3.6.2")}
    late = f'<m>{"<a/>" * 500}<kopf version="1"/></m>'
    assert not stated_by(read_xml(late.encode(), Limits()), ()).attributes
