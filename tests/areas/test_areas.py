"""Area keys and the gazetteer."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.areas import LENGTHS, Area, AreaKind, Gazetteer, Place, Succession, look_up
from hub.errors import ConfigurationError, Invalid, Malformed, TooLarge

AREAS = Path(__file__).parents[2] / "routing_rules" / "areas"
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "regions"
HANAU_2025, HANAU_2026 = "064350014014", "064150000000"

ars_texts = st.sampled_from(LENGTHS).flatmap(
    lambda length: st.builds(
        lambda land, rest: f"{land:02d}{rest}",
        st.integers(1, 16),
        st.text("0123456789", min_size=length - 2, max_size=length - 2),
    )
)


@pytest.fixture(scope="module")
def gazetteer():
    return Gazetteer.load(AREAS)


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared data are absent: regions/{name}")
    return path


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", Malformed, "digits only"),
        ("6439x", Malformed, "digits only"),
        ("٠٦٤٣٩", Malformed, "digits only"),
        (" 06439", Malformed, "digits only"),
        ("6439", Invalid, "leading zeros"),
        ("06439015", Invalid, "AGS"),
        ("64390015015", Invalid, "leading zeros"),
        ("17", Invalid, "land"),
        ("00", Invalid, "land"),
        ("643", Invalid, "land"),
    ],
)
def test_what_is_no_ars_is_refused_with_a_reason(text, error, says):
    with pytest.raises(error) as caught:
        Area.from_ars(text)
    assert says in caught.value.detail.en
    assert caught.value.detail.de


@pytest.mark.parametrize(
    ("text", "error"), [("0643", Invalid), ("06439015", Invalid), ("x", Malformed), ("99412000", Invalid)]
)
def test_what_is_no_ags_or_lacks_its_association_is_refused(text, error):
    with pytest.raises(error):
        Area.from_ags(text)


@pytest.mark.parametrize("text", ["", "06439", "de06439", "DE", "DE1", "FR06439"])
def test_what_is_no_region_is_refused(text):
    with pytest.raises((Malformed, Invalid)):
        Area.from_region(text)


def test_an_ags_without_association_gives_its_ars():
    assert Area.from_ags("06412000").ars == "064120000000"
    assert Area.from_ags("06439").ars == "06439"


def test_prefixes_come_longest_first():
    assert Area.from_ars("064390015015").prefixes() == ("064390015015", "064390015", "06439", "064", "06")
    assert Area.from_ars("06439").prefixes() == ("06439", "064", "06")


@given(ars_texts)
def test_a_region_and_its_area_are_the_same(text):
    area = Area.from_ars(text)
    assert Area.from_region(area.as_region()) == area


@given(ars_texts)
def test_every_prefix_covers_the_area_and_is_an_area(text):
    area = Area.from_ars(text)
    assert all(Area.from_ars(prefix).covers(area) for prefix in area.prefixes())
    assert not any(area.covers(Area(prefix)) for prefix in area.prefixes()[1:])
    assert area.parent is None or area.parent.ars == area.prefixes()[1]


@given(ars_texts, ars_texts)
def test_areas_sort_by_their_digits(one, other):
    assert (Area(one) < Area(other)) == (one < other)


def test_hessen_has_421_municipalities_27_districts_and_4_unincorporated_areas(gazetteer):
    assert len(gazetteer.municipalities("06")) == 421
    assert len(gazetteer.districts("06")) == 27
    assert sum(p.kind is AreaKind.INDEPENDENT_CITY for p in gazetteer.districts("06")) == 6
    assert sum(p.kind is AreaKind.UNINCORPORATED for p in gazetteer) == 4
    assert len(gazetteer.municipalities("06439")) == 17


def test_every_municipality_of_the_official_list_is_found_under_its_name_of_2026(gazetteer):
    lines = shared("rs_2026-06-30.csv").read_text(encoding="utf-8").splitlines()[1:]
    official = {line[:12]: line[13:].rpartition(",")[0].strip('"') for line in lines if line.startswith("06")}
    assert {p.area.ars: p.name for p in gazetteer if len(p.area.ars) == 12 and p.valid_until is None} == official


def test_districts_sum_up_to_the_state(gazetteer):
    assert sum(p.inhabitants for p in gazetteer.districts("06")) == gazetteer.find("06").inhabitants
    assert sum(p.inhabitants for p in gazetteer.municipalities("06")) == gazetteer.find("06").inhabitants


def test_hanau_became_an_independent_city_on_the_first_of_january_2026(gazetteer):
    before, after = date(2025, 12, 31), date(2026, 1, 1)
    assert gazetteer.successor(HANAU_2025, before) is None
    assert gazetteer.successor(HANAU_2025, after).area.ars == HANAU_2026
    assert gazetteer.find(HANAU_2025).exists(before)
    assert not gazetteer.find(HANAU_2025).exists(after)
    assert not gazetteer.find(HANAU_2026).exists(before)
    assert len(gazetteer.municipalities("06", on=before)) == len(gazetteer.municipalities("06", on=after)) == 421
    assert len(gazetteer.districts("06", on=before)) == 26


def test_an_area_that_exists_has_no_successor(gazetteer):
    assert gazetteer.successor(HANAU_2026, date(2030, 1, 1)) is None


def test_successions_are_followed_to_the_area_of_the_day():
    def place(ars, until=None):
        return Place(area=Area(ars), name=ars, kind=AreaKind.MUNICIPALITY, valid_until=until)

    first, second, third = "064390001001", "064390002002", "064390003003"
    small = Gazetteer(
        [place(third)],
        [
            Succession(old=place(first, date(2019, 12, 31)), new=Area(second), on=date(2020, 1, 1)),
            Succession(old=place(second, date(2024, 12, 31)), new=Area(third), on=date(2025, 1, 1)),
        ],
    )
    assert small.successor(first, date(2022, 1, 1)).area.ars == second
    assert small.successor(first, date(2025, 1, 1)).area.ars == third


def test_a_divided_area_has_several_successors_and_no_single_one():
    def place(ars, until=None):
        return Place(area=Area(ars), name=ars, kind=AreaKind.MUNICIPALITY, valid_until=until)

    old, one, other = "064390001001", "064390002002", "064390003003"
    gone = place(old, date(2019, 12, 31))
    day = date(2020, 1, 1)
    small = Gazetteer(
        [place(one), place(other)],
        [Succession(old=gone, new=Area(one), on=day), Succession(old=gone, new=Area(other), on=day)],
    )
    assert {p.area.ars for p in small.successors(old, day)} == {one, other}
    assert small.successor(old, day) is None


def test_an_ags_is_found_by_the_gazetteer(gazetteer):
    assert gazetteer.by_ags("06439015").area.ars == "064390015015"
    assert gazetteer.by_ags("06435014").area.ars == HANAU_2025
    assert gazetteer.by_ags("06439").name == "Rheingau-Taunus-Kreis"
    assert gazetteer.by_ags("06439999") is None


def test_every_municipality_implies_its_association(gazetteer):
    assert gazetteer.find("064390015").kind is AreaKind.ASSOCIATION
    assert gazetteer.find("064399999") is None


def names(gazetteer, *words):
    return [place.name for place in gazetteer.search(words).places]


@pytest.mark.parametrize(
    "word", ["Rödermark", "RÖDERMARK", "roedermark", "rodermark", "Roeder*", "*dermark", "*öde*ma*"]
)
def test_search_ignores_case_and_umlauts_and_knows_wildcards(gazetteer, word):
    assert "Rödermark, Stadt" in names(gazetteer, word)


def test_all_words_must_match(gazetteer):
    assert names(gazetteer, "Bad", "Homburg") == ["Bad Homburg v. d. Höhe, Stadt"]
    assert names(gazetteer, "Bad Homburg") == ["Bad Homburg v. d. Höhe, Stadt"]
    assert names(gazetteer, "Bad", "Wiesbaden") == []


def test_a_word_without_asterisk_matches_whole_words_only(gazetteer):
    assert names(gazetteer, "Rheingau") == ["Rheingau-Taunus-Kreis"]
    assert names(gazetteer, "Rheing") == []


def test_an_independent_city_is_found_once_and_a_dissolved_area_not_at_all(gazetteer):
    assert [p.area.ars for p in gazetteer.search(["Hanau"]).places] == [HANAU_2026]
    assert [p.area.ars for p in gazetteer.search(["Frankfurt"]).places] == ["064120000000"]


def test_a_page_of_the_search_tells_the_total(gazetteer):
    page = gazetteer.search(["Bad"], offset=2, limit=3)
    everything = gazetteer.search(["Bad"])
    assert page.places == everything.places[2:5]
    assert page.total == everything.total > 10


@pytest.mark.parametrize("expression", ["", "*", "a", "**", "a*b", "***ab"])
def test_a_search_expression_needs_two_characters_between_asterisks(gazetteer, expression):
    with pytest.raises(Malformed):
        gazetteer.search([expression])


def test_too_many_or_too_long_expressions_are_refused(gazetteer):
    with pytest.raises(TooLarge):
        gazetteer.search(["ab"] * 11)
    with pytest.raises(TooLarge):
        gazetteer.search(["a" * 101])


def test_many_wildcards_cost_no_more_than_the_word(gazetteer):
    assert names(gazetteer, "*".join(["aa"] * 33) + "*") == []


def test_postal_codes_find_municipalities_and_their_successors(gazetteer):
    found = gazetteer.with_postal_codes(shared("plz_hessen.csv"))
    assert [p.area.ars for p in found.by_postal_code("63450")] == [HANAU_2026]
    assert "Wiesbaden, Landeshauptstadt" in names(found, "65183")
    assert names(found, "6518*") == ["Wiesbaden, Landeshauptstadt"]
    assert sum(len(found.by_postal_code(code)) == 2 for code in {c for p in found for c in p.postal_codes}) >= 11
    assert gazetteer.by_postal_code("63450") == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("ars;name\n", "Columns"),
        ("ars;name;kind;inhabitants;valid_from;extra\n", "Columns"),
        ("ars;name;kind;inhabitants;valid_from\n0643;x;town;1;\n", "row 2"),
        ("ars;name;kind;inhabitants;valid_from\n06;x;castle;1;\n", "row 2"),
        ("ars;name;kind;inhabitants;valid_from\n06;x;state;1\n", "row 2"),
        ("ars;name;kind;inhabitants;valid_from\n06;x;state;many;\n", "row 2"),
    ],
)
def test_a_broken_gazetteer_stops_the_start_and_names_file_and_row(tmp_path, content, says):
    (tmp_path / "x.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        Gazetteer.load(tmp_path)
    assert says in caught.value.detail.en
    assert "x.csv" in caught.value.detail.en


def test_an_empty_folder_is_no_gazetteer(tmp_path):
    with pytest.raises(ConfigurationError):
        Gazetteer.load(tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes("ars;name\n06;Thüringen\n".encode("cp1252"))
    with pytest.raises(ConfigurationError, match="UTF-8"):
        Gazetteer.load(tmp_path)


def test_another_land_is_a_file_more(tmp_path):
    shutil.copytree(AREAS, tmp_path / "areas")
    (tmp_path / "areas" / "rheinland-pfalz.csv").write_text(
        "ars;name;kind;inhabitants;valid_from\n07;Rheinland-Pfalz;state;4159150;\n"
        "07315;Mainz;independent-city;220552;\n073150000000;Mainz;municipality;220552;\n"
    )
    both = Gazetteer.load(tmp_path / "areas")
    assert names(both, "Mainz") == ["Mainz"]
    assert both.find(Area("073150000000")).kind is AreaKind.MUNICIPALITY
    assert names(both, "Taunusstein") == ["Taunusstein, Stadt"]
    assert look_up(both, "Mainz").note is None
    assert "bedient Hessen, Rheinland-Pfalz" in look_up(both, "Berlin").note.de
