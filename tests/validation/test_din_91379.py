"""The shipped schemas take exactly the texts of DIN 91379's data types, as the standard's own schema has them."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from shared_data import SHARED, needs_shared_data
from stage import SCHEMAS

from hub.model import MediaType
from hub.validation.catalog import SchemaCatalog

ON = date(2026, 11, 20)
_SPEC = importlib.util.spec_from_file_location("din_91379", SCHEMAS / "din_91379.py")
din = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(din)


@pytest.fixture(scope="module")
def catalog() -> SchemaCatalog:
    return SchemaCatalog.load(SCHEMAS)


def uri_of(catalog: SchemaCatalog, standard: str) -> str:
    return next(uri for uri in catalog.uris() if f"/{standard}/1.1" in uri)


def in_name(catalog: SchemaCatalog, text: str):
    """The report of a change of residence under a name."""
    document = (SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json").read_text("utf-8").replace("/1.0/", "/1.1/")
    data = json.loads(document)
    data["personen"][0]["familienname"] = text
    uri = uri_of(catalog, "fim-wohnsitz")
    return catalog.check(media_type=MediaType.JSON, data=json.dumps(data).encode(), schema=uri, service=None, on=ON)


def in_application(catalog: SchemaCatalog, text: str):
    """The report of a building application whose applicant has a name."""
    document = (SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml").read_text("utf-8")
    head, rest = document.replace("bauantrag/1.0", "bauantrag/1.1").split("?>", 1)
    rest = re.sub(r"(<bau:familienname>)[^<]*", lambda found: found[1] + text, rest.replace('"1.0"', '"1.1"'), count=1)
    data = f"{head}?>{rest}".encode()
    return catalog.check(media_type=MediaType.XML, data=data, schema=None, service=None, on=ON)


@pytest.mark.parametrize("name", ["Ɨx", "C̀ela", "Ṣ̄a", "Müller", "K͟hān", "O'Brien-Łuczak", "Ÿ"])
def test_every_name_of_the_standard_is_taken(catalog, name):
    for report in (in_name(catalog, name), in_application(catalog, name)):
        assert report.valid, report.violations


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("M\u202ex", "character.not-allowed"),
        ("M\u0085x", "character.not-allowed"),
        ("Αθήνα", "character.not-allowed"),
        ("M\u0308x", "character.not-allowed"),
        ("Mu\u0308ller", "character.decomposed"),
    ],
)
def test_what_the_standard_does_not_have_is_told_by_its_place_and_what_to_do(catalog, name, rule):
    for report in (in_name(catalog, name), in_application(catalog, name)):
        assert not report.valid
        (found,) = report.violations
        assert found.rule == rule
        assert "an Stelle" in found.text.de
        assert ("NFC" in found.text.de) == (rule == "character.decomposed")
    assert not in_name(catalog, "M\u0002x").valid


def test_the_version_before_goes_on_for_whoever_names_none(catalog):
    document = json.loads((SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json").read_text("utf-8"))
    document.pop("$schema", None)
    service = "urn:de:fim:leika:leistung:99115005104000"
    data = json.dumps(document).encode()
    report = catalog.check(media_type=MediaType.JSON, data=data, schema=None, service=service, on=ON)
    assert (report.valid, report.schema.version) == (True, "1.0")


@pytest.mark.parametrize("standard", din.standards())
def test_the_files_are_what_the_script_makes_of_the_table(standard, catalog):
    for name, content in din.sources(standard).items():
        assert (SCHEMAS / standard / "1.1" / name).read_text("utf-8") == content
    for path in (SCHEMAS / standard / "1.0/examples").glob("good-*.json"):
        data = path.read_bytes().replace(b"/1.0/", b"/1.1/")
        uri = uri_of(catalog, standard)
        assert catalog.check(media_type=MediaType.JSON, data=data, schema=uri, service=None, on=ON).valid


@pytest.mark.parametrize("data_type", "ABCDE")
def test_a_sequence_of_the_table_is_one_that_has_no_single_code_point(data_type):
    singles, sequences = din.repertoire(data_type)
    assert (len(sequences), len({len(one) for one in singles})) == (149, 1)
    assert all(unicodedata.is_normalized("NFC", one) for one in sequences)
    assert not {"\u0002", "\u202e", "\u0308", "\u200b"} & singles


@needs_shared_data
@pytest.mark.parametrize("data_type", "ABCDE")
def test_a_data_type_takes_what_the_standards_own_takes(data_type):
    from lxml import etree

    path = SHARED / "xoev" / "basis" / "din-norm-91379-datatypes.xsd"
    urn = "urn:xoev-de:kosit:xoev:datentyp:din-91379_2022-08"
    wrapper = (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:d="{urn}"><xs:import namespace="{urn}" '
        f'schemaLocation="{path.as_uri()}"/><xs:element name="t" type="d:datatype{data_type}"/></xs:schema>'
    )
    official = etree.XMLSchema(etree.fromstring(wrapper))
    ours = re.compile(din.pattern(data_type))

    def agreed(text: str) -> bool:
        element = etree.Element("t")
        element.text = text
        return official.validate(element) == (ours.fullmatch(text) is not None)

    singles, sequences = din.repertoire("E")
    every = [chr(point) for point in range(0x20, 0x2700) if not 0xD800 <= point < 0xE000 and chr(point) != "\x7f"]
    assert [one for one in every if not agreed(one)] == []
    assert [one for one in sequences if not agreed(one)] == []
    rolled = random.Random(91379)
    parts = [*singles, *sequences, *(chr(point) for point in range(0x300, 0x330))]
    texts = ["".join(rolled.choices(parts, k=rolled.randint(2, 6))) for _ in range(2_000)]
    assert [text for text in texts if "\r" not in text and not agreed(text)] == []


def texts_in(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of a JSON Schema that says of itself that it is a text."""
    if isinstance(schema, dict):
        if schema.get("type") == "string":
            yield place, schema
        for key, inner in schema.items():
            yield from texts_in(inner, f"{place}/{key}")
    elif isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from texts_in(inner, f"{place}/{number}")


def newest_schemas() -> list[Path]:
    found: dict[str, tuple[list[int], Path]] = {}
    for path in SCHEMAS.glob("fim-*/*/*.schema.json"):
        version = [int(part) for part in path.parent.name.split(".")]
        found[path.parts[-3]] = max(found.get(path.parts[-3], ([], path)), (version, path))
    return sorted(path for _, path in found.values())


@pytest.mark.parametrize("path", newest_schemas(), ids=lambda path: path.parts[-3])
def test_no_text_of_the_newest_schemas_takes_what_the_standard_does_not_know(path):
    """Control characters, marks of direction, decomposed letters, blanks without width: refused at every place."""
    bound = {"const", "enum", "format", "$ref"}
    odd = ("a\u202eb", "a\u0002b", "u\u0308", "1\u200e", "\u200ba")
    places = list(texts_in(json.loads(path.read_bytes())))
    assert places
    for place, text in places:
        patterns = [re.compile(each["pattern"]) for each in (text, *text.get("allOf", ())) if "pattern" in each]
        assert patterns or not bound.isdisjoint(text), place
        for value in odd if patterns else ():
            assert not all(pattern.search(value) for pattern in patterns), (place, value)
