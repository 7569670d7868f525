"""Looking areas up, bringing postal codes, and seeing where nobody is responsible: pure, by command, by API, on the pages."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from shared_data import SHARED
from stage import ANMELDEN, BAUEN, NOW, TAUNUSSTEIN, altered

from hub.admin.charts import tile_map
from hub.areas import Area, Gazetteer, GazetteerBook, import_postal_codes, look_up
from hub.errors import ConfigurationError, Malformed, NoRoute, TooLarge
from hub.routing import CoverState, RoutingTable, survey

RULES = Path(__file__).parents[2] / "routing_rules"
HANAU_2025, HANAU_2026 = "064350014014", "064150000000"
#: A list of an operator, invented: one code for two municipalities, one row of another land.
LIST = "plz;ars;ort\n65232;064390015015;Taunusstein\n65529;064390015015;x\n65529;064390016016;y\n10115;110000000000;Berlin\n"


@pytest.fixture(scope="module")
def gazetteer():
    return Gazetteer.load(RULES / "areas")


@pytest.fixture(scope="module")
def with_codes(gazetteer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    (folder / "list.csv").write_text(LIST, encoding="utf-8")
    import_postal_codes(gazetteer, folder / "list.csv", folder / "kept" / "codes.csv")
    return gazetteer.with_postal_codes(folder / "kept" / "codes.csv")


@pytest.fixture(scope="module")
def rules(gazetteer):
    return RoutingTable.load(RULES, gazetteer)


def _found(gazetteer, text):
    return [place.area.ars for place in look_up(gazetteer, text).places]


# Looking up


@pytest.mark.parametrize(("text", "error"), [("x" * 201, TooLarge), ("a", Malformed), ("ab " * 11, Malformed)])
def test_what_cannot_be_looked_up_says_why(gazetteer, text, error):
    if error is Malformed and text.startswith("ab"):
        error = TooLarge
    with pytest.raises(error):
        look_up(gazetteer, text)


@pytest.mark.parametrize("text", ["", "   ", "nirgendwo", "99999", "064399999", "07"])
def test_nothing_is_found_where_nothing_is(gazetteer, text):
    assert look_up(gazetteer, text).places == ()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (TAUNUSSTEIN, TAUNUSSTEIN),
        ("0643 9001 5015", TAUNUSSTEIN),
        (f"DE{TAUNUSSTEIN}", TAUNUSSTEIN),
        ("06439015", TAUNUSSTEIN),
        ("06439", "06439"),
        ("064", "064"),
        ("06", "06"),
        ("taunuss", TAUNUSSTEIN),
        ("DARM schaftsstadt", "064110000000"),
        ("rüdesheim", "064390013013"),
        ("ruedesheim", "064390013013"),
        ("Rheingau-Taunus", "06439"),
        # The kind of an area is written with its name, or left out.
        ("Landkreis Kassel", "06633"),
        ("Kreis Kassel", "06633"),
        ("Kassel, Landkreis", "06633"),
        ("LK Fulda", "06631"),
        ("Kreis Bergstraße", "06431"),
        ("Landkreis Groß-Gerau", "06433"),
        ("kreis gross-gerau", "06433"),
        ("Main Kinzig Kreis", "06435"),
        ("Stadt Kassel", "066110000000"),
        # What is written short, on either side.
        ("Frankfurt a.M.", "064120000000"),
        ("Frankfurt a. M.", "064120000000"),
        ("Frankfurt/Main", "064120000000"),
        ("Frankfurt (Main)", "064120000000"),
        ("Offenbach a.M.", "064130000000"),
        ("Hofheim a.Ts.", "064360007007"),
        ("Bad Homburg v.d.H.", "064340001001"),
        ("Bad Homburg vor der Höhe", "064340001001"),
        ("Höchst im Odenwald", "064370009009"),
        # A key that other interfaces fill up with zeros.
        ("064390000000", "06439"),
    ],
)
def test_an_area_is_found_by_key_name_or_part(gazetteer, text, first):
    assert _found(gazetteer, text)[0] == first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Berlin", "Berlin ist ein anderes Land, dieser Hub bedient Hessen."),
        ("Bundesland Thüringen", "Thüringen ist ein anderes Land, dieser Hub bedient Hessen."),
        ("020000000000", "020000000000 gehört zu Hamburg, dieser Hub bedient Hessen."),
        ("11000000", "11000000 gehört zu Berlin, dieser Hub bedient Hessen."),
        ("10115", "Die Postleitzahl 10115 gehört zu Berlin, dieser Hub bedient Hessen."),
        ("064390000000", "064390000000 ist 06439 mit Nullen aufgefüllt"),
    ],
)
def test_what_belongs_elsewhere_or_is_meant_otherwise_is_said(with_codes, text, said):
    assert said in look_up(with_codes, text).note.de


@pytest.mark.parametrize("text", ["Landkreis Kassel", "München", "065340018018", "10119", "0649"])
def test_nothing_is_said_of_what_is_known_or_unknown_to_all(with_codes, text):
    assert look_up(with_codes, text).note is None


@pytest.mark.parametrize(
    ("area", "said"),
    [
        ("110000000000", "gehört zu Berlin, dieser Hub bedient Hessen"),
        ("02", "gehört zu Hamburg"),
        ("064390000000", "Geben Sie 06439 an"),
        ("064000000000", "Regierungsbezirk Darmstadt"),
        ("064399999999", "steht nicht im Gebietsverzeichnis"),
    ],
)
def test_routing_says_whose_an_unknown_area_is(rules, area, said):
    with pytest.raises(NoRoute) as refused:
        rules.route(Area(area), BAUEN, NOW)
    assert refused.value.members["cause"] == "unknown-area"
    assert said in refused.value.detail.de
    assert any(said in line for line in rules.explain(Area(area), BAUEN, NOW).lines())


def test_both_keys_of_an_independent_city_are_one_area(rules):
    by_district, by_town = (rules.route(Area(ars), BAUEN, NOW) for ars in ("06414", "064140000000"))
    assert by_district.rule is by_town.rule
    narrow = [replace(rule, area=Area("064140000000")) for rule in rules if rule.id == by_town.rule.id]
    alone = RoutingTable(narrow, gazetteer=rules.gazetteer, services=rules.services)
    assert alone.route(Area("06414"), BAUEN, NOW).rule.id == by_town.rule.id
    assert "Teil dieses Gebiets" not in " ".join(alone.explain(Area("06414"), BAUEN, NOW).lines())
    with pytest.raises(NoRoute) as refused:
        alone.route(Area("06414"), ANMELDEN, NOW)
    assert "Teil dieses Gebiets" not in str(refused.value.members["nearest"])


def test_the_beginning_of_a_key_finds_all_that_begin_so(gazetteer):
    found = look_up(gazetteer, "0643901").places
    assert {place.area.ags for place in found} == {f"064390{number}" for number in range(10, 18)}


def test_a_dissolved_area_comes_last_and_knows_its_successor(gazetteer):
    assert _found(gazetteer, "hanau") == [HANAU_2026, HANAU_2025]
    assert _found(gazetteer, HANAU_2025) == [HANAU_2025]
    (became,), (came_from,) = gazetteer.became(HANAU_2025), gazetteer.came_from(HANAU_2026)
    assert became == came_from
    assert (str(became.new), str(became.on)) == (HANAU_2026, "2026-01-01")


def test_what_an_area_lies_in_is_told_without_doubles(gazetteer):
    names = [place.name for place in gazetteer.above(TAUNUSSTEIN)]
    assert names == ["Rheingau-Taunus-Kreis", "Regierungsbezirk Darmstadt", "Hessen"]
    assert [place.name for place in gazetteer.above(HANAU_2026)] == ["Regierungsbezirk Darmstadt", "Hessen"]


# Postal codes

WRONG_LISTS = {
    "no such column": "code;ars\n65232;064390015015\n",
    "no key": "plz;ars\n65232;\n",
    "a code of four digits": "plz;ars\n6523;064390015015\n",
    "a code with letters": "plz;ars\nD65232;064390015015\n",
    "an unknown municipality": "plz;ars\n65232;064399999999\n",
    "a lost leading zero": "plz;ars\n65232;64390015015\n",
    "a lost leading zero of an AGS": "plz;ags\n65232;6439015\n",
    "a lost leading zero of a land whose rest is another's": "plz;ars\n24103;10020000000\n65232;064390015015\n",
    "a land that there is none of": "plz;ars\n65232;644390015015\n65232;064390015015\n",
    "a district filled up with zeros": "plz;ars\n65232;064390000000\n",
    "another land alone": "plz;ars\n10115;110000000000\n",
    "nothing": "plz;ars\n",
    "no text": b"plz;ars\n\xff\xfe",
}


@pytest.mark.parametrize("content", WRONG_LISTS.values(), ids=WRONG_LISTS)
def test_a_list_that_is_wrong_changes_nothing(gazetteer, tmp_path, content):
    source, target = tmp_path / "list.csv", tmp_path / "kept.csv"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    target.write_text("plz;ars\n65232;064390015015\n")
    with pytest.raises(ConfigurationError, match=r"list\.csv"):
        import_postal_codes(gazetteer, source, target)
    assert target.read_text() == "plz;ars\n65232;064390015015\n"


def test_a_row_that_has_lost_its_zero_is_refused_by_number_and_word(gazetteer, tmp_path):
    (tmp_path / "list.csv").write_text("plz;ars\n65183;064140000000\n63450;64150000000\n")
    with pytest.raises(ConfigurationError) as found:
        import_postal_codes(gazetteer, tmp_path / "list.csv", tmp_path / "kept.csv")
    assert "Zeile 3: " in found.value.detail.de
    assert "vorn fehlt eine Null: geben Sie 064150000000 an" in found.value.detail.de


@pytest.mark.parametrize("head", ["PLZ;ARS", "Plz;Ars", " plz ; ARS ", "PLZ,ARS"])
def test_a_list_names_its_columns_in_any_case(gazetteer, tmp_path, head):
    row = "65232;064390015015".replace(";", "," if "," in head else ";")
    (tmp_path / "list.csv").write_text(f"{head}\n{row}\n")
    assert import_postal_codes(gazetteer, tmp_path / "list.csv", tmp_path / "kept.csv").codes == 1


def test_a_list_may_name_municipalities_by_ags(gazetteer, tmp_path):
    (tmp_path / "list.csv").write_text("ags,plz\n06439015,65232\n")
    made = import_postal_codes(gazetteer, tmp_path / "list.csv", tmp_path / "kept.csv")
    assert (made.codes, made.municipalities, made.shared, made.foreign) == (1, 1, 0, 0)
    assert (tmp_path / "kept.csv").read_text() == "plz;ars\n65232;064390015015\n"


def test_one_code_of_several_municipalities_is_a_choice(with_codes):
    found = look_up(with_codes, "65529")
    assert [place.area.ars for place in found.places] == [TAUNUSSTEIN, "064390016016"]
    assert found.choice
    assert not look_up(with_codes, "65232").choice
    assert _found(with_codes, "65232") == [TAUNUSSTEIN]


@pytest.mark.skipif(
    not (SHARED / "regions").is_dir(), reason="a real list of postal codes is not here (../shared/data)"
)
def test_a_whole_list_of_hessen_is_taken(gazetteer, tmp_path):
    made = import_postal_codes(gazetteer, SHARED / "regions" / "plz_hessen.csv", tmp_path / "kept.csv")
    assert (made.municipalities, made.foreign) == (421, 0)
    assert made.shared >= 11
    found = gazetteer.with_postal_codes(tmp_path / "kept.csv")
    assert sum(bool(town.postal_codes) for town in found.municipalities("06")) == 421


# By command, by API


@pytest.fixture
def run(stage, monkeypatch):
    from hub.cli import main

    monkeypatch.setenv("HUB_DATA", str(stage.data))

    def run(*arguments):
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        return result.exit_code, result.output

    return run


def test_areas_are_found_and_shown_by_command(run, tmp_path):
    code, said = run("areas", "search", "hanau")
    assert code == 0
    assert said.splitlines()[1].endswith(f"seit/since 2026-01-01: Hanau, Brüder-Grimm-Stadt ({HANAU_2026})")
    code, said = run("areas", "show", "06415000")
    assert code == 0
    assert HANAU_2025 in said
    assert "Regierungsbezirk Darmstadt (064)" in said
    for missing in (("search", "nirgendwo"), ("show", "06999999")):
        assert run("areas", *missing)[0] == 1
    assert run("areas", "search", "064390000000")[1].startswith("064390000000 ist 06439 mit Nullen aufgefüllt")
    key = BAUEN.rpartition(":")[2]
    assert run("route", "explain", "--service", key, "--ars", TAUNUSSTEIN) == run(
        "route", "explain", "--service", BAUEN, "--ars", TAUNUSSTEIN
    )


def test_postal_codes_are_imported_by_command(run, tmp_path):
    (tmp_path / "list.csv").write_text(LIST, encoding="utf-8")
    code, said = run("areas", "import-postal-codes", str(tmp_path / "list.csv"))
    assert code == 0
    assert said.startswith("2 Postleitzahlen in 2 Gemeinden, 1 davon in mehreren")
    assert "1 Zeilen anderer Länder" in said
    code, said = run("areas", "search", "65529")
    assert "mehrere Gemeinden" in said
    assert len(said.splitlines()) == 3
    (tmp_path / "list.csv").write_text("plz;ars\n1;1\n")
    assert run("areas", "import-postal-codes", str(tmp_path / "list.csv"))[0] == 1
    assert run("areas", "search", "65529")[0] == 0


def found_over_http(served, code: str) -> int:
    """How many municipalities a running hub finds by a postal code, over both interfaces."""
    ours = served.get("/hub/v1/areas", params={"q": code}).json()["total"]
    theirs = served.get("/v1/areas", params={"areaSearchexpression": code}).json()["totalCount"]
    assert ours == theirs
    return int(ours)


def test_a_running_hub_takes_up_an_imported_list_without_a_restart(served, run, tmp_path):
    assert found_over_http(served, "65529") == 0
    (tmp_path / "list.csv").write_text(LIST, encoding="utf-8")
    assert run("areas", "import-postal-codes", str(tmp_path / "list.csv"))[0] == 0
    last = time.monotonic() + 10
    while served.get("/hub/v1/areas", params={"q": "65529"}).json()["total"] == 0 and time.monotonic() < last:
        time.sleep(0.2)
    assert found_over_http(served, "65529") == 2


def test_the_list_is_looked_at_once_a_second_and_only_a_good_one_counts(gazetteer, tmp_path):
    moment, kept = [0.0], tmp_path / "codes.csv"
    book = GazetteerBook(gazetteer, kept, monotonic=lambda: moment[0])

    def found(*, later: float = 1.0) -> int:
        moment[0] += later
        return len(book().by_postal_code("65232"))

    assert found() == 0
    kept.write_text(f"plz;ars\n65232;{TAUNUSSTEIN}\n")
    assert found(later=0.5) == 0
    assert found(later=0.5) == 1
    assert book() is book()
    kept.write_text("plz;ars\n65232;064399999999\n")
    assert found() == 1
    kept.unlink()
    assert found() == 0


def test_codes_that_do_not_fit_the_areas_any_more_do_not_stop_the_start(run, stage):
    kept = stage.data / "areas" / "postal_codes.csv"
    kept.parent.mkdir()
    kept.write_text("plz;ars\n65232;064399999999\n")
    assert run("areas", "search", "taunusstein")[0] == 0


def test_the_api_finds_areas(served):
    said = served.get("/hub/v1/areas", params={"q": "hanau"}).json()
    assert (said["total"], said["choice"]) == (2, False)
    new, old = said["areas"]
    assert (new["ars"], new["ags"], new["validFrom"]) == (HANAU_2026, "06415000", "2026-01-01")
    assert old["became"] == [{"ars": HANAU_2026, "name": "Hanau, Brüder-Grimm-Stadt", "on": "2026-01-01"}]
    assert new["cameFrom"][0]["ars"] == HANAU_2025
    paged = served.get("/hub/v1/areas", params={"q": "hanau", "offset": 1, "limit": 1}).json()
    assert (paged["total"], [each["ars"] for each in paged["areas"]]) == (2, [HANAU_2025])
    for wrong, status in (({}, 400), ({"q": ""}, 400), ({"q": "a"}, 400), ({"q": "ab " * 11}, 413)):
        assert served.get("/hub/v1/areas", params=wrong).status_code == status, wrong


# Who is responsible where


@pytest.fixture(scope="module")
def table(gazetteer):
    return RoutingTable.load(RULES, gazetteer)


def test_services_with_the_same_rules_are_alike(table):
    groups = table.alike()
    assert sorted(service for group in groups for service in group) == list(table.routed_services)
    assert len(groups) < len(table.routed_services)


def test_one_service_is_surveyed_as_the_table_answers(table):
    looked = survey(table, NOW, service=BAUEN)
    assert len(looked.covers) == 421
    for cover in looked.covers:
        found = table.find(cover.place.area, BAUEN, NOW)
        assert cover.destinations == tuple(rule.destination for rule in found)
        assert cover.state is (CoverState.COVERED if found else CoverState.GAP)
    assert looked.missing == {BAUEN: sum(cover.state is CoverState.GAP for cover in looked.covers)}


def test_all_services_are_surveyed_as_each_of_them(table):
    looked = survey(table, NOW, prefixes=["06439"])
    assert [district.ars for district in looked.districts] == ["06439"]
    for cover in looked.covers:
        lacking = sum(not table.find(cover.place.area, service, NOW) for service in table.routed_services)
        assert (cover.asked, cover.lacking) == (len(table.routed_services), lacking)


def test_a_service_without_rules_is_a_gap_everywhere(table):
    looked = survey(table, NOW, service="urn:de:fim:leika:leistung:99999999999999")
    assert {district.state for district in looked.districts} == {CoverState.GAP}
    assert {district.share for district in looked.districts} == {0}


def test_two_authorities_at_once_are_no_cover(gazetteer, table):
    from dataclasses import replace
    from uuid import uuid4

    rule = next(rule for rule in table if rule.area.ars == "06439" and BAUEN in rule.services)
    twice = RoutingTable(
        [*table, replace(rule, id="twice", destination=uuid4())], gazetteer=gazetteer, services=table.services
    )
    (district,) = survey(twice, NOW, service=BAUEN, prefixes=["06439"]).districts
    assert (district.state, district.open) == (CoverState.CONTESTED, 17)


def test_every_district_has_a_tile_of_its_own(table):
    drawn = tile_map(survey(table, NOW).districts)
    assert len(drawn.tiles) == 27
    assert len({(tile.x, tile.y) for tile in drawn.tiles}) == 27
    assert all(tile.label != tile.district.ars for tile in drawn.tiles)
    assert [(tile.y, tile.x) for tile in drawn.tiles] == sorted((tile.y, tile.x) for tile in drawn.tiles)


def test_a_district_that_the_map_does_not_know_is_drawn_below_it(table):
    from dataclasses import replace

    districts = survey(table, NOW).districts
    strange = [replace(districts[0], ars="06499"), replace(districts[0], ars="07131")]
    drawn = tile_map([*districts, *strange])
    lowest = max(tile.y for tile in drawn.tiles if tile.district not in strange)
    assert all(tile.y > lowest for tile in drawn.tiles if tile.district in strange)
    assert drawn.height > tile_map(districts).height
    assert tile_map([]).tiles == ()


# The page


def test_a_gap_stands_at_the_top_on_the_map_and_in_the_tree(pages):
    person = pages.as_("viktor")
    text = person.get("/routing/areas", params={"service": BAUEN}).text
    assert "401 von 421 Gemeinden haben eine Lücke" in text
    assert text.count('class="tile tile--gap"') == 23
    assert text.count('class="tile tile--covered"') == 4
    assert 'aria-label="Main-Taunus-Kreis: 12 von 12 Gemeinden mit Lücke"' in text
    assert "Landeshauptstadt Wiesbaden" in text
    everywhere = person.get("/routing/areas", params={"service": "99041006017000"}).text
    assert "Jede der 421 Gemeinden ist versorgt" in everywhere
    assert "tile--gap" not in everywhere


def test_without_a_service_the_page_tells_which_services_lack_most(pages):
    text = pages.as_("viktor").get("/routing/areas").text
    assert "Leistungen mit Lücken" in text
    assert re.search(r"Hundesteuer Festsetzung</a> <span class=\"small\">418", text)


def test_an_area_is_shown_with_its_story(pages):
    text = pages.as_("viktor").get("/routing/areas", params={"below": HANAU_2025}).text
    assert "besteht nur bis 2025-12-31" in text
    assert f"below={HANAU_2026}" in text
    assert "Entstanden aus" in pages.as_("viktor").get("/routing/areas", params={"below": HANAU_2026}).text


@pytest.fixture
def pages_with(pages):
    """The pages with another gazetteer or other tools."""
    from dataclasses import replace

    from admin_pages import nothing, serve, tools_of

    from hub.admin import Mounted, build

    stops = []

    def open_(name, *, most_in_tree=1_500, **parts):
        tools = tools_of(altered(pages.stage.hub, **parts), pages.accounts, "http://127.0.0.1")
        made = replace(tools, most_in_tree=most_in_tree)
        base, stop = serve(Mounted(build(made), nothing))
        stops.append(stop)
        browser = replace(pages.browser(name), base=base)
        assert browser.log_in().status_code == 303
        return browser

    yield open_
    for stop in stops:
        stop()


def test_one_postal_code_of_several_municipalities_is_a_choice_on_the_page(pages_with, with_codes):
    text = pages_with("viktor", gazetteers=lambda: with_codes).get("/routing/areas", params={"q": "65529"}).text
    assert "Diese Postleitzahl haben mehrere Gemeinden. Wählen Sie eine:" in text
    assert f'href="/admin/routing/areas?below={TAUNUSSTEIN}#area"' in text
    shown = (
        pages_with("viktor", gazetteers=lambda: with_codes).get("/routing/areas", params={"below": TAUNUSSTEIN}).text
    )
    assert "65232 65529" in shown


def test_a_tree_of_a_whole_country_opens_where_it_is_asked_to(pages_with):
    viktor = pages_with("viktor", most_in_tree=400)
    closed = viktor.get("/routing/areas").text
    assert "17 Gemeinden zeigen" in closed
    assert "Taunusstein" not in closed
    assert "Taunusstein" in viktor.get("/routing/areas", params={"below": "06439"}).text


def test_a_district_sees_the_cover_of_its_own_municipalities_only(pages):
    text = pages.as_("walter").get("/routing/areas", params={"service": BAUEN}).text
    assert "Jede der 1 Gemeinden ist versorgt" in text
    assert text.count('class="tile tile--') == 1
    assert "Rheingau-Taunus-Kreis, Bauaufsicht" not in text
    outside = pages.as_("walter").get("/routing/areas", params={"service": "99041006017000"}).text
    assert "Stelle außerhalb Ihres Bereichs" in outside
    assert "Land Hessen" not in outside


@pytest.mark.parametrize("query", [{"below": "x"}, {"below": "99"}, {"q": "a"}, {"q": "*"}])
def test_what_is_not_understood_does_no_harm(pages, query):
    assert pages.as_("viktor").get("/routing/areas", params=query).status_code == 200


def test_a_service_that_is_none_is_refused(pages):
    answer = pages.as_("viktor").get("/routing/areas", params={"service": "nonsense"})
    assert answer.status_code == 400
    assert "Zur Übersicht" in answer.text
