"""Attacks with packages and schemas that somebody brings in: nothing leaves the package, nothing hangs, nothing is fetched."""

from __future__ import annotations

import contextlib
import socket
import stat
import time
import zipfile
from datetime import date
from pathlib import Path

import pytest

from hub.errors import ConfigurationError, HubError, Malformed, TooLarge
from hub.model import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.xml.patterns import is_dangerous
from hub.validation.xml.regex import PatternError

HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t">'
MESSAGE = HEAD + '<xs:element name="m" type="xs:string"/></xs:schema>'


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("an import touched the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def bring(source: Path, target: Path):
    return import_standard(source, target, standard="test", version="1")


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def one_schema(tmp_path: Path, content: str, name: str = "m.xsd") -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize("name", ["../evil.xsd", "/etc/evil.xsd", "a/../../evil.xsd", "..\\evil.xsd", "C:evil.xsd"])
def test_a_name_that_leaves_the_archive_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("m.xsd", MESSAGE)
        archive.writestr(name, MESSAGE)
    with pytest.raises(Malformed, match="leaves"):
        bring(tmp_path / "p.zip", tmp_path / "schemas")
    assert not list(tmp_path.rglob("evil.xsd"))


def test_a_link_in_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        link = zipfile.ZipInfo("m.xsd")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(Malformed, match="link"):
        bring(tmp_path / "p.zip", tmp_path / "schemas")


def test_a_link_in_a_folder_is_refused(tmp_path):
    folder = one_schema(tmp_path, MESSAGE)
    (folder / "n.xsd").symlink_to("/etc/passwd")
    with pytest.raises(Malformed, match="link"):
        bring(folder, tmp_path / "schemas")


def test_a_zip_bomb_is_refused(tmp_path):
    source = zipped(tmp_path / "p.zip", **{f"{number}.xsd": b" " * 19 * 1024 * 1024 for number in range(12)})
    with pytest.raises(TooLarge):
        bring(source, tmp_path / "schemas")


def test_an_archive_of_very_many_files_is_refused(tmp_path):
    source = zipped(tmp_path / "p.zip", **{f"{number}.xsd": b"" for number in range(5_001)})
    with pytest.raises(TooLarge):
        bring(source, tmp_path / "schemas")


@pytest.mark.parametrize(
    "location",
    ["../../../../etc/passwd", "file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:9/x.xsd", "//host/x.xsd"],
)
def test_an_include_outside_the_package_is_refused(tmp_path, location):
    folder = one_schema(
        tmp_path, MESSAGE.replace("<xs:element", f'<xs:include schemaLocation="{location}"/><xs:element')
    )
    with pytest.raises(ConfigurationError, match="missing"):
        bring(folder, tmp_path / "schemas")


def test_an_entity_in_a_schema_is_not_resolved(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("Kanarienvogel")
    doctype = f'<!DOCTYPE xs:schema [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
    element = (
        '<xs:element name="m"><xs:annotation><xs:documentation>&x;</xs:documentation></xs:annotation></xs:element>'
    )
    folder = one_schema(tmp_path, f"{doctype}{HEAD}{element}</xs:schema>")
    bring(folder, tmp_path / "schemas")
    SchemaCatalog.load(tmp_path / "schemas").entries()[0].judge.compile()
    assert not [path for path in (tmp_path / "schemas").rglob("*.*") if "Kanarienvogel" in path.read_text()]


def test_billion_laughs_in_a_schema_costs_nothing(tmp_path):
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    folder = one_schema(tmp_path, f'<!DOCTYPE s [<!ENTITY e0 "lol">{entities}]><s>&e9;</s>')
    started = time.perf_counter()
    with pytest.raises(HubError):
        bring(folder, tmp_path / "schemas")
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a|aa)+b",
        "(a|a)*b",
        "(a*)*b",
        "([a-z]+ ?)+!",
        "(x+x+)+y",
        "(.*a){20}",
        "(a{1,20}b?){1,50}",
        "(a|b|ab)*",
        r"(\w|\d)+x",
        "((ab)*|(ab)*)*c",
        r"(\p{L}|[a-z])+!",
    ],
)
def test_a_pattern_that_can_take_exponential_time_takes_none_and_is_refused_where_an_engine_goes_back(
    tmp_path, pattern
):
    """By XML Schema 1.0 it is judged in one pass over the text; by 1.1 another engine would run it."""
    kind = f'<xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="{pattern}"/></xs:restriction></xs:simpleType>'
    content = f'{HEAD}<xs:element name="m">{kind}</xs:element></xs:schema>'
    bring(one_schema(tmp_path, content), tmp_path / "schemas")
    catalog = SchemaCatalog.load(tmp_path / "schemas")
    for text in ("a" * 5_000 + "?", "ab" * 2_500 + "?", "x " * 2_000 + "?"):
        data = f'<m xmlns="urn:t">{text}</m>'.encode()
        with contextlib.suppress(TooLarge):
            report = catalog.check(media_type=MediaType.XML, data=data, schema=None, service=None, on=date(2026, 11, 2))
            assert [violation.rule for violation in report.violations] == ["xml.pattern"]
    newer = content.replace(
        "</xs:schema>", '<xs:complexType name="T"><xs:assert test="true()"/></xs:complexType></xs:schema>'
    )
    (tmp_path / "newer").mkdir()
    with pytest.raises(ConfigurationError, match="pattern"):
        bring(one_schema(tmp_path / "newer", newer), tmp_path / "others")


def test_a_dangerous_pattern_in_a_json_schema_is_refused(tmp_path):
    # Look-around needs backtracking; what does without runs in linear time here.
    text = '{"$schema": "https://json-schema.org/draft/2020-12/schema", "patternProperties": {"^(?=a)(a+)+$": {}}}'
    with pytest.raises(ConfigurationError, match="linear time"):
        bring(one_schema(tmp_path, text, "s.json"), tmp_path / "schemas")


@pytest.mark.parametrize("pattern", ["(", ")", "[", "a{", "(a", r"\p{L", r"(a)\1", "(" * 5_000 + ")" * 5_000, "[z-a]"])
def test_a_pattern_that_cannot_be_read_is_an_error_or_harmless(pattern):
    with contextlib.suppress(PatternError):
        assert is_dangerous(pattern) is False


@pytest.mark.parametrize(
    "pattern",
    ["(((((a?){9}){9}){9}){9}){9}", "(a|b|c|d|e|f)*" * 500, "[a-z]{1,300}" * 300, "(a?b?c?d?e?f?g?){1,9}" * 60],
)
def test_judging_a_large_pattern_ends(pattern):
    started = time.perf_counter()
    with contextlib.suppress(PatternError):
        is_dangerous(pattern)
    assert time.perf_counter() - started < 30


# What stays allowed.


@pytest.mark.parametrize(
    "pattern",
    [
        "[0-9]{5}",
        "([0-9a-f]{8}-)*",
        r"\S(.*\S)?",
        "([a-z]+ )*[a-z]+",
        r"[^@\s]+@[^@\s]+",
        "(ab|a)*",
        r"([a-z]([a-z0-9-]*[a-z0-9])?\.)*[a-z]+",
        "[a-z-[aeiou]]+",
        r"(\p{L}|\d)+x",
        "^(?:[A-Z]{2})?$",
        r"(?=.*\d)[a-z\d]+",
    ],
)
def test_an_honest_pattern_is_taken(pattern):
    assert is_dangerous(pattern) is False
