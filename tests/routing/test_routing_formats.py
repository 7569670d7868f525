"""Rules as CSV and YAML: exact round trips, strict readers, spreadsheets that cannot be turned into a weapon."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.areas import Area, Gazetteer
from hub.errors import ConfigurationError, Invalid, InvalidSettings, Malformed, Refused, TooLarge
from hub.routing import (
    RoutingTable,
    Rule,
    from_csv,
    from_file,
    from_yaml,
    load_destinations,
    service_urn,
    to_csv,
    to_yaml,
)

ROOT = Path(__file__).parents[2] / "routing_rules"
BUILDING = service_urn("99012008001000")
TRADE = service_urn("99050012104000")
ONE = UUID("0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439")
HEADER = "id;area;services;destination;valid_from;valid_until;note\n"


def rule(**change):
    parts = {"id": "a", "area": Area("06439"), "services": (BUILDING,), "destination": ONE} | change
    return Rule(**parts)


def csv_row(**change):
    cells = {"id": "a", "area": "06439", "services": "99012008001000", "destination": str(ONE)}
    cells |= {"valid_from": "", "valid_until": "", "note": ""} | change
    return (HEADER + ";".join(cells.values()) + "\n").encode()


# --- refusals


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "first line"),
        (b"id,area,services,destination,valid_from,valid_until,note\n", "semicolon"),
        ((HEADER.strip() + ";extra\n").encode(), "first line"),
        ((HEADER + "a;06439\n").encode(), "Line 2 has 2 columns"),
        ((HEADER + 'a;06439;"99012008001000;x\n').encode(), "not valid CSV"),
        (b"\x81\x8d\xff", "neither UTF-8 nor Windows-1252"),
        (HEADER.encode("utf-16"), "neither UTF-8 nor Windows-1252"),
    ],
)
def test_what_is_no_rule_csv_is_refused(content, says):
    with pytest.raises(Malformed, match=says):
        from_csv(content)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": ""}, "id:"),
        ({"area": "6439"}, "leading zero"),
        ({"area": "6,4415E+10"}, "digits only"),
        ({"services": ""}, "services:"),
        ({"services": "99012008001000,99050012104000"}, "LeiKa"),
        ({"destination": "Wiesbaden"}, "destination:"),
        ({"destination": "{0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439}"}, "destination:"),
        ({"valid_from": "2026-13-01"}, "valid_from"),
        ({"valid_from": "31.02.2026"}, "valid_from"),
        ({"valid_from": "2026-01-01T12:00:00"}, "valid_from"),
        ({"valid_from": "2026-01-02", "valid_until": "2026-01-01"}, "valid_until"),
        ({"note": " blank"}, "note:"),
    ],
)
def test_a_bad_cell_names_line_and_field(change, says):
    with pytest.raises(InvalidSettings) as caught:
        from_csv(csv_row(**change))
    assert caught.value.detail.en.startswith("Line 2: ")
    assert says in caught.value.detail.en


def test_every_bad_row_is_reported_not_only_the_first():
    content = csv_row(id="!") + csv_row(area="x").split(b"\n", 1)[1] + csv_row(id="good").split(b"\n", 1)[1]
    with pytest.raises(InvalidSettings) as caught:
        from_csv(content)
    assert [problem["line"] for problem in caught.value.members["problems"]] == [2, 3]
    assert "1 more" in caught.value.detail.en


def test_a_name_given_twice_is_refused():
    with pytest.raises(InvalidSettings, match="taken already"):
        from_csv(csv_row() + csv_row().split(b"\n", 1)[1])


def test_a_huge_file_is_refused_before_it_is_read():
    with pytest.raises(TooLarge):
        from_csv(b"x" * (64 * 2**20 + 1))
    with pytest.raises(TooLarge):
        from_yaml(b"x" * (16 * 2**20 + 1))


GOOD_YAML = f"rules:\n- id: a\n  area: 06439\n  service: {BUILDING}\n  destination: {ONE}\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("[]", "Keys and values"),
        ("rules: {}", "Expected one key"),
        ("rules: []\nmore: 1", "Expected one key"),
        (GOOD_YAML + "  color: red\n", "Line 2: A rule has these keys only"),
        (GOOD_YAML + "  id: b\n", "Line 6: The key stands twice"),
        (GOOD_YAML.replace("  area: 06439\n", ""), "Missing: area"),
        (GOOD_YAML + f"  services: [{BUILDING}]\n", "keys only"),
        (GOOD_YAML.replace("id: a", "id: [a]"), "single value"),
        (GOOD_YAML.replace("id: a", "id: &x a"), "valid YAML|not allowed|Line"),
        ("rules: [&x a, *x]", "not allowed"),
        ("rules: !!python/object/apply:os.system ['true']", "not allowed"),
        ("rules: [[[[[[[[[[1]]]]]]]]]]", "not allowed"),
        ("rules: [" * 5000, "not allowed"),
        ("rules: [", "not valid YAML"),
        ("rules:\n- id: \x00", "not valid YAML"),
    ],
)
def test_what_is_no_rule_yaml_is_refused_with_its_line(content, says):
    if "&x a" in content and "*x" not in content:
        assert from_yaml(content.encode())[0].id == "a"
        return
    with pytest.raises(Refused, match=says):
        from_yaml(content.encode())


def test_an_alias_bomb_is_refused_before_it_is_built():
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    with pytest.raises(Malformed, match="not allowed"):
        from_yaml("\n".join(lines).encode())


def test_a_folder_without_rules_does_not_start(tmp_path):
    (tmp_path / "services.csv").write_text("key;name;source\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds no rules"):
        RoutingTable.load(tmp_path, Gazetteer.load(ROOT / "areas"))


def test_a_bad_rule_file_stops_the_start_and_is_named(tmp_path):
    (tmp_path / "services.csv").write_text("key;name;source\n", encoding="utf-8")
    (tmp_path / "rules-x.yaml").write_text(GOOD_YAML.replace("06439", "6439"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"rules-x\.yaml: Line 2"):
        RoutingTable.load(tmp_path, Gazetteer.load(ROOT / "areas"))


@pytest.mark.parametrize(
    "content",
    [
        "name;key\n",
        "key;name;source\n99012008001000;x\n",
        "key;name;source\n1;x;y\n",
        "key;name;source\n99012008001000;;y\n",
        'key;name;source\n99012008001000;"x;y\n' + "99012008001000;x;y\n" * 10_000,
        '"key;name;source\n' + "x" * 200_000,
    ],
    ids=["columns", "cells", "key", "name", "quote", "header"],
)
def test_a_bad_service_register_stops_the_start(tmp_path, content):
    (tmp_path / "services.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"services\.csv, row"):
        RoutingTable.load(tmp_path, Gazetteer.load(ROOT / "areas"))


def test_a_missing_service_register_stops_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match="missing"):
        RoutingTable.load(tmp_path, Gazetteer.load(ROOT / "areas"))


GOOD_DESTINATION = f"""destinations:
- destination_id: {ONE}
  name: Test
  ars: 06439
  adapter: mailbox
  contact: {{legalName: Test}}
  schema_uris: []
  services: [{BUILDING}]
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("destinations", "places", "Expected one list"),
        ("  name: Test\n", "", "Exactly these keys"),
        ("adapter", "adaptor", "Exactly these keys"),
        (str(ONE), "x", "not a UUID"),
        ("ars: 06439", "ars: 6439", "leading zeros"),
        (BUILDING, "building", "LeiKa"),
        ("{legalName: Test}", "Test", "Keys and values"),
    ],
)
def test_a_bad_destination_file_stops_the_start_and_names_the_line(tmp_path, old, new, says):
    path = tmp_path / "destinations.yaml"
    path.write_text(GOOD_DESTINATION, encoding="utf-8")
    assert load_destinations(path)[0].ars == "06439"
    path.write_text(GOOD_DESTINATION.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=says):
        load_destinations(path)


# --- answers


def test_the_calendars_last_day_means_that_there_is_no_end():
    """As many systems write it. A moment of that day was taken, and failed wherever it was turned into German time."""
    for forever in ("9999-12-31", "31.12.9999", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"):
        (rule,) = from_csv(csv_row(valid_until=forever))
        assert rule.valid_until is None, forever
        assert from_csv(to_csv([rule])) == (rule,)
    (late,) = from_csv(csv_row(valid_from="9999-12-31T23:59:59Z"))
    assert from_csv(to_csv([late])) == (late,)


def test_a_day_in_a_file_counts_whole_in_german_time():
    (read,) = from_csv(csv_row(valid_from="2026-01-01", valid_until="31.12.2026"))
    assert read.valid_from == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert read.valid_until == datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert read.as_row()["valid_until"] == "2026-12-31"


def test_a_spreadsheet_in_windows_1252_reads_like_one_in_utf_8():
    (read,) = from_csv(csv_row(note="Büro für Straßen – Höchst").decode().encode("cp1252"))
    assert read.note == "Büro für Straßen – Höchst"
    assert from_csv(b"\xef\xbb\xbf" + csv_row()) == from_csv(csv_row()) == from_csv(csv_row().replace(b"\n", b"\r\n"))


def test_empty_lines_at_the_end_do_not_matter():
    assert from_csv(csv_row() + b"\r\n;;;;;;\r\n") == from_csv(csv_row())


@pytest.mark.parametrize("note", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "'=1", "'quoted'", "a;b", 'say "x"'])
def test_no_exported_cell_is_a_formula_and_the_note_comes_back(note):
    exported = to_csv([rule(note=note)])
    cell = exported.decode("utf-8-sig").splitlines()[1].split(";", 6)[6].strip('"')
    assert not cell.startswith(("=", "+", "-", "@"))
    assert from_csv(exported)[0].note == note


def test_areas_survive_a_spreadsheet_because_they_are_text():
    assert ";DE06439;" in to_csv([rule()]).decode("utf-8-sig")


def test_the_shipped_rules_round_trip_in_both_formats():
    table = RoutingTable.load(ROOT, Gazetteer.load(ROOT / "areas"))
    assert from_csv(to_csv(table)) == table.rules
    assert from_yaml(to_yaml(table)) == table.rules
    assert to_yaml(from_csv(to_csv(table))) == to_yaml(table)
    assert to_csv(from_yaml(to_yaml(table))) == to_csv(table)


moments = st.one_of(
    st.none(),
    st.integers(0, 4000).map(lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
    st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
printable = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn", "Co"], exclude_characters="\ufeff"), max_size=40
)
some_rules = st.builds(
    lambda area, services, destination, span, note: rule(
        area=Area(area),
        services=tuple(services),
        destination=destination,
        valid_from=span[0],
        valid_until=span[1],
        note=note.strip(),
    ),
    st.sampled_from(["06", "064", "06439", "064390015", "064390015015"]),
    st.sets(st.sampled_from([BUILDING, TRADE, "urn:de:fim:leistung:17"]), min_size=1),
    st.uuids(),
    st.tuples(moments, moments).map(lambda s: s if None in s or s[0] < s[1] else (s[0], None)),
    printable,
)


@settings(max_examples=200, deadline=None)
@given(some_rules)
def test_every_rule_round_trips_through_csv_and_yaml(one):
    assert from_csv(to_csv([one])) == (one,)
    assert from_yaml(to_yaml([one])) == (one,)
    assert to_csv(from_csv(to_csv([one]))) == to_csv([one])


def sayable(text: str) -> bool:
    """Whether Windows-1252 has all characters, and its bytes are not what UTF-8 has for another text."""
    try:
        content = text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    try:
        return content.decode() == text
    except UnicodeDecodeError:
        return True


western = st.text(st.characters(codec="cp1252", exclude_categories=["Cc"]), max_size=20)


@settings(max_examples=200, deadline=None)
@given(st.lists(some_rules, max_size=3), st.one_of(western, printable))
def test_what_windows_1252_can_say_round_trips_and_what_it_cannot_is_refused(many, note):
    named = [replace(one, id=f"r{at}", note=note.strip()) for at, one in enumerate(many)]
    if sayable(to_csv(named).decode("utf-8-sig")):
        assert from_csv(to_csv(named, encoding="windows-1252")) == tuple(named)
    else:
        with pytest.raises(Invalid):
            to_csv(named, encoding="windows-1252")


def test_text_that_windows_1252_would_turn_into_other_text_is_refused():
    misread = replace(rule(), note="Ã¤")  # the bytes that UTF-8 has for ä
    with pytest.raises(Invalid):
        to_csv([misread], encoding="windows-1252")
    assert from_csv(to_csv([misread])) == (misread,)


def test_umlauts_and_dashes_survive_windows_1252():
    one = replace(rule(), note="Straße „Überall“ – 5 €")
    content = to_csv([one], encoding="windows-1252")
    assert "Straße".encode("cp1252") in content
    assert from_csv(content) == (one,)


def _zip_of(name: str, content: bytes = b"x") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


FOREIGN = {
    "an Excel workbook": _zip_of("xl/workbook.xml"),
    "an old Office file": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
    "an OpenDocument spreadsheet": _zip_of("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
    "a ZIP archive": _zip_of("rules.csv"),
    "a PDF": b"%PDF-1.7\n",
    "a packed archive": b"\x1f\x8b\x08\x00",
    "a picture": b"\x89PNG\r\n",
    "a text in UTF-16": "id;area".encode("utf-16"),
    "a web page": b"<!DOCTYPE html><html>",
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("name", ["regeln.csv", "regeln.xlsx", "regeln.yaml", "regeln"])
def test_another_file_is_told_by_what_it_is(what, name):
    with pytest.raises(Malformed, match=f"This is {what}") as refused:
        from_file(FOREIGN[what], name)
    assert "CSV UTF-8" in refused.value.detail.de
    assert "YAML" not in refused.value.detail.de


@pytest.mark.parametrize("what", FOREIGN)
def test_both_readers_tell_another_file_by_what_it_is(what):
    for read in (from_csv, from_yaml):
        with pytest.raises(Malformed, match=f"This is {what}"):
            read(FOREIGN[what])


def test_a_file_that_is_no_text_is_not_called_yaml():
    with pytest.raises(Malformed, match="neither UTF-8 nor Windows-1252"):
        from_file(b"\x01\x00\x02", "regeln.dat")


def test_csv_is_known_by_its_first_line_whatever_its_name():
    content = to_csv([rule()])
    assert from_file(content, "regeln.txt") == from_csv(content)
    with pytest.raises(Malformed, match="This is CSV where YAML is expected"):
        from_yaml(content)
    with pytest.raises(Malformed, match="first line must read"):
        from_file(content.replace(b";", b","), "regeln")
    assert from_file(to_yaml([rule()]), "regeln.txt") == from_csv(content)
