"""Location lists: where an import finds documents that lie outside a package, by OASIS XML Catalogs or by JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.errors import ConfigurationError
from hub.validation.closure import EXTERNAL, Library, LocationList

HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"'
ADDRESS = "http://schemas.example/gml/3.2.1/gml.xsd"
CATALOG = '<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog"{}>{}</catalog>'


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder with a mirror: ``lists`` for lists, ``lists/spiegel/gml/3.2.1`` and ``alt`` for documents."""
    mirror = tmp_path / "work" / "lists" / "spiegel" / "gml" / "3.2.1"
    mirror.mkdir(parents=True)
    (mirror / "gml.xsd").write_text(
        f'{HEAD} targetNamespace="urn:gml"><xs:include schemaLocation="teil ä.xsd"/></xs:schema>'
    )
    (mirror / "teil ä.xsd").write_text(f'{HEAD} targetNamespace="urn:gml"/>')
    (tmp_path / "work" / "alt").mkdir()
    (tmp_path / "work" / "alt" / "gml.xsd").write_text(f'{HEAD} targetNamespace="urn:gml"/>')
    (tmp_path / "geheim.xsd").write_text(f'{HEAD} targetNamespace="urn:gml"/>')
    return tmp_path / "work" / "lists"


def closure(
    here: Path, content: str, *, name: str = "catalog.xml", location: str = ADDRESS, **package: str
) -> tuple[str, ...]:
    (here / name).write_text(content)
    main = f'{HEAD}><xs:import namespace="urn:gml" schemaLocation="{location}"/></xs:schema>'
    files = {"m.xsd": main.encode(), **{key: value.encode() for key, value in package.items()}}
    return Library(files, LocationList.read(here / name)).closure("m.xsd")


MIRROR = "spiegel/gml/3.2.1/gml.xsd"
FOUND = (f"{EXTERNAL}lists/{MIRROR}", f"{EXTERNAL}lists/spiegel/gml/3.2.1/teil ä.xsd", "m.xsd")
OASIS = {
    "system": f'<system systemId="{ADDRESS}" uri="{MIRROR}"/>',
    "uri": f'<uri name="{ADDRESS}" uri="./{MIRROR}"/>',
    "rewriteSystem": '<rewriteSystem systemIdStartString="http://schemas.example/" rewritePrefix="spiegel/"/>',
    "rewriteURI, the longest": '<rewriteURI uriStartString="http://schemas.example/gml/" rewritePrefix="spiegel/gml/"/>'
    '<rewriteURI uriStartString="http://schemas" rewritePrefix="nirgends/"/>',
    "uriSuffix": f'<uriSuffix uriSuffix="3.2.1/gml.xsd" uri="{MIRROR}"/>',
    "group with xml:base": f'<group xml:base="spiegel/"><uri name="{ADDRESS}" uri="gml/3.2.1/gml.xsd"/></group>',
    "the first of two": f'<uri name="{ADDRESS}" uri="{MIRROR}"/><uri name="{ADDRESS}" uri="nirgends.xsd"/>',
    "encoded": f'<uri name="{ADDRESS}" uri="spiegel/gml/3.2.1/%67ml.xsd"/>',
}


@pytest.mark.parametrize("kind", OASIS)
def test_an_oasis_catalogue_tells_where_a_document_lies(here, kind):
    assert closure(here, CATALOG.format("", OASIS[kind])) == FOUND


def test_a_catalogue_may_name_its_dtd_and_lead_on_to_others(here):
    (here / "mehr").mkdir()
    (here / "mehr" / "b.xml").write_text(
        CATALOG.format("", f'<nextCatalog catalog="../catalog.xml"/><uri name="{ADDRESS}" uri="../{MIRROR}"/>')
    )
    named = '<!DOCTYPE catalog PUBLIC "-//OASIS//DTD XML Catalogs V1.1//EN" "http://127.0.0.1:9/catalog.dtd">'
    assert (
        closure(
            here, named + CATALOG.format("", '<nextCatalog catalog="mehr/b.xml"/><nextCatalog catalog="fehlt.xml"/>')
        )
        == FOUND
    )


JSON = {
    "a map, relative to the list": {ADDRESS: MIRROR},
    "in two parts": {"remote": {ADDRESS: MIRROR}, "missing_relative": {}},
    "as earlier releases had it, relative to the folder above": {"remote": {ADDRESS: f"lists/{MIRROR}"}},
}


@pytest.mark.parametrize("kind", JSON)
def test_a_list_in_json_is_relative_to_itself_or_to_the_folder_above(here, kind):
    assert closure(here, json.dumps(JSON[kind]), name="list.json") == FOUND


def test_absolute_paths_are_taken_where_the_list_may_reach(here):
    assert closure(here, json.dumps({ADDRESS: str(here / MIRROR)}), name="list.json") == FOUND


def test_a_file_that_the_package_lacks_is_found_by_its_name(here):
    listed = json.dumps({"missing_relative": {"gml.xsd": MIRROR}})
    assert closure(here, listed, name="list.json", location="../gml/gml.xsd") == FOUND
    assert (
        closure(here, CATALOG.format("", f'<system systemId="gml.xsd" uri="{MIRROR}"/>'), location="gml.xsd") == FOUND
    )


def test_a_list_may_name_files_of_the_package_itself(here):
    listed = CATALOG.format("", f'<uri name="{ADDRESS}" uri="./fremd/gml.xsd"/>')
    assert closure(here, listed, **{"fremd/gml.xsd": f'{HEAD} targetNamespace="urn:gml"/>'}) == (
        "fremd/gml.xsd",
        "m.xsd",
    )
    # A list that lies in the folder of the package does, too: no document is there under two names.
    (here / "m.xsd").write_text(f'{HEAD}><xs:import namespace="urn:gml" schemaLocation="{ADDRESS}"/></xs:schema>')
    (here / "catalog.xml").write_text(CATALOG.format("", OASIS["uri"]))
    files = {path.relative_to(here).as_posix(): path.read_bytes() for path in here.rglob("*.xsd")}
    library = Library(files, LocationList.read(here / "catalog.xml", here))
    assert library.closure("m.xsd") == ("m.xsd", MIRROR, "spiegel/gml/3.2.1/teil ä.xsd")


@pytest.mark.parametrize(
    "path", ["../../geheim.xsd", "fehlt.xsd", "/etc/passwd", "http://127.0.0.1:9/gml.xsd", "spiegel"]
)
def test_a_file_that_is_not_there_or_lies_elsewhere_is_named(here, path):
    with pytest.raises(ConfigurationError, match=r"location list list\.json names the file .* missing"):
        closure(here, json.dumps({ADDRESS: path}), name="list.json")


ODD = {
    "no catalogue": "<a/>",
    "no XML": "<a",
    "no JSON": "{",
    "no map": "[1]",
    "an entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "too large": "{" + " " * 4_200_000 + "}",
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_location_list_is_refused(here, case):
    (here / "list").write_text(ODD[case])
    with pytest.raises(ConfigurationError, match="OASIS"):
        LocationList.read(here / "list")


def test_a_catalogue_does_not_lead_on_for_ever(here):
    for number in range(40):
        (here / f"{number}.xml").write_text(CATALOG.format("", f'<nextCatalog catalog="{number + 1}.xml"/>'))
    with pytest.raises(ConfigurationError):
        LocationList.read(here / "0.xml")
