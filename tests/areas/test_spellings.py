"""Areas are found as people write them: kinds, abbreviations, hyphens, umlauts, parts, postal codes beside names."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from hub.areas import Gazetteer, GazetteerBook, import_parts, look_up
from hub.errors import ConfigurationError, Malformed

RULES = Path(__file__).parents[2] / "routing_rules"
#: A list of an operator: a part of one town, a name of two, what people call a city, one that is dissolved.
PARTS = """name;ars
Bleidenstadt;064390015015
Wehen;064390015015
Neuhof;064390015015
Neuhof;066310018018
Ffm;064120000000
Großauheim;064350014014
"""
KASSEL, KREIS_KASSEL, REGION_KASSEL = "066110000000", "06633", "066"
TAUNUSSTEIN, FRANKFURT, HOMBURG = "064390015015", "064120000000", "064340001001"
HANAU, HANAU_2025 = "064150000000", "064350014014"


@pytest.fixture(scope="module")
def gazetteer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    areas = Gazetteer.load(RULES / "areas")
    (folder / "parts.csv").write_text(PARTS, encoding="utf-8")
    import_parts(areas, folder / "parts.csv", folder / "kept.csv")
    (folder / "codes.csv").write_text("plz;ars\n65232;064390015015\n65529;064390015015\n65529;064390016016\n")
    return areas.with_parts(folder / "kept.csv").with_postal_codes(folder / "codes.csv")


SPELLINGS = {
    # Kinds, before and behind.
    "Landkreis Kassel": [KREIS_KASSEL],
    "Kreis Kassel": [KREIS_KASSEL],
    "Kassel (Landkreis)": [KREIS_KASSEL],
    "kreisfreie Stadt Kassel": [KASSEL],
    "Kassel": [KASSEL, KREIS_KASSEL, REGION_KASSEL],
    "Gemeinde Taunusstein": [TAUNUSSTEIN],
    "Stadt Biblis": ["064310003003"],
    "Rheingau Taunus Kreis": ["06439"],
    "Rheingau-Taunus": ["06439"],
    "Landkreis Rheingau-Taunus-Kreis": ["06439"],
    # Short, run together, spelt out.
    "Bad Homburg v.d.H.": [HOMBURG],
    "Bad Homburg v. d. H.": [HOMBURG],
    "Bad Homburg v d H": [HOMBURG],
    "Bad Homburg vdH": [HOMBURG],
    "Bad-Homburg": [HOMBURG],
    "Bad Homburg vor der Höhe": [HOMBURG],
    "bad homburg vor der hoehe": [HOMBURG],
    "Frankfurt/Main": [FRANKFURT],
    "Frankfurt/M": [FRANKFURT],
    "Frankfurt/M.": [FRANKFURT],
    "Frankfurt am Main": [FRANKFURT],
    "Frankfurt a.M.": [FRANKFURT],
    "Frankfurt (Main)": [FRANKFURT],
    "FRANKFURT AM MAIN": [FRANKFURT],
    "Ffm": [FRANKFURT],
    "Limburg/Lahn": ["065330009009"],
    "Limburg an der Lahn": ["065330009009"],
    "Rotenburg/Fulda": ["066320018018"],
    "Oberursel Taunus": ["064340008008"],
    # Hyphens and umlauts, one way or the other.
    "Gross-Gerau": ["064330006006", "06433"],
    "Großgerau": ["064330006006", "06433"],
    "Wald Michelbach": ["064310021021"],
    "Waldmichelbach": ["064310021021"],
    "Rüdesheim": ["064390013013"],
    "Ruedesheim": ["064390013013"],
    "Rudesheim": ["064390013013"],
    "rÜDESHEIM": ["064390013013"],
    # Parts, also beside the town.
    "Bleidenstadt": [TAUNUSSTEIN],
    "Taunusstein-Wehen": [TAUNUSSTEIN],
    "Taunusstein Bleidenstadt": [TAUNUSSTEIN],
    "Großauheim": [HANAU, HANAU_2025],
    # Postal codes, alone and beside names; a wrong one does not hide the town.
    "65232": [TAUNUSSTEIN],
    "65232 Taunusstein": [TAUNUSSTEIN],
    "99999 Taunusstein": [TAUNUSSTEIN],
    "65529": [TAUNUSSTEIN, "064390016016"],
    # With what it lies in.
    "Taunusstein, Hessen": [TAUNUSSTEIN],
    "Taunusstein Rheingau-Taunus-Kreis": [TAUNUSSTEIN],
    "Neustadt Marburg-Biedenkopf": ["065340016016"],
    # Dissolved ones come last.
    "Hanau": [HANAU, HANAU_2025],
}


@pytest.mark.parametrize(("text", "wanted"), SPELLINGS.items(), ids=SPELLINGS)
def test_an_area_is_found_as_people_write_it(gazetteer, text, wanted):
    found = [place.area.ars for place in look_up(gazetteer, text).places]
    assert found[: len(wanted)] == wanted


def test_areas_of_one_name_are_told_apart(gazetteer):
    for name in ("Lautertal", "Kassel", "Reichelsheim", "Gemünden", "Neuhof"):
        places = look_up(gazetteer, name).places
        said = {(place.name, gazetteer.distinction(place).de) for place in places}
        assert len(said) == len(places) > 1
    assert gazetteer.distinction(gazetteer.find(KREIS_KASSEL)).de == "Landkreis, Regierungsbezirk Kassel"
    assert gazetteer.distinction(gazetteer.find(HANAU_2025)).de == "Stadt, Main-Kinzig-Kreis, bis 31.12.2025"


def test_what_was_looked_for_within_a_town_is_said(gazetteer):
    found = look_up(gazetteer, "Neuhof")
    assert {ars: found.parts.get(ars) for ars in (TAUNUSSTEIN, "066310018018")} == {
        TAUNUSSTEIN: ("Neuhof",),
        "066310018018": None,  # The town is called so itself.
    }
    assert look_up(gazetteer, "Taunusstein-Wehen").parts == {TAUNUSSTEIN: ("Wehen",)}
    assert look_up(gazetteer, "Taunusstein").parts == {}


@pytest.mark.parametrize(
    "text", ["nirgendwo", "Taunusstein Bayern", "Kassel Frankfurt", "Land", "65232 Nirgendwo", "Bad v."]
)
def test_words_that_no_area_has_are_not_thrown_away(gazetteer, text):
    found = [place.name for place in look_up(gazetteer, text).places]
    if text == "Land":
        assert "Hessen" in found
    elif text == "Bad v.":
        assert found[0].startswith("Bad ")
    else:
        assert found == []


@pytest.mark.parametrize(
    "text", ["\u0301\u0301", "\u0301\u0301 Kassel", "*\u0301\u0301*", "Kas*el", "** Kassel", "a* b*"]
)
def test_odd_words_end_in_an_answer_or_a_refusal(gazetteer, text):
    with suppress(Malformed):
        assert len(look_up(gazetteer, text).places) <= len(gazetteer)


WRONG = {
    "no such column": "part;ars\nWehen;064390015015\n",
    "no key": "name;ars\nWehen;\n",
    "a name of one letter": "name;ars\nW;064390015015\n",
    "a name too long": f"name;ars\n{'x' * 101};064390015015\n",
    "a control character": "name;ars\nWe\x07hen;064390015015\n",
    "an unknown municipality": "name;ars\nWehen;064399999999\n",
    "a lost zero": "name;ars\nWehen;64390015015\n",
    "another land alone": "name;ars\nMitte;110000000000\n",
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_a_list_of_parts_that_is_wrong_changes_nothing(gazetteer, tmp_path, content):
    source, target = tmp_path / "list.csv", tmp_path / "kept.csv"
    source.write_text(content)
    target.write_text("name;ars\nWehen;064390015015\n")
    with pytest.raises(ConfigurationError, match=r"list\.csv"):
        import_parts(gazetteer, source, target)
    assert target.read_text() == "name;ars\nWehen;064390015015\n"


def test_the_lists_of_the_moment_count(tmp_path):
    moment = [0.0]
    codes, parts = tmp_path / "codes.csv", tmp_path / "parts.csv"
    book = GazetteerBook(Gazetteer.load(RULES / "areas"), codes, parts, monotonic=lambda: moment[0])
    assert look_up(book(), "Bleidenstadt").places == ()
    parts.write_text(PARTS)
    moment[0] += 1
    assert [place.area.ars for place in look_up(book(), "Bleidenstadt").places] == [TAUNUSSTEIN]
    codes.write_text("plz;ars\n65232;064390015015\n")
    moment[0] += 1
    assert [place.area.ars for place in look_up(book(), "65232 Bleidenstadt").places] == [TAUNUSSTEIN]
