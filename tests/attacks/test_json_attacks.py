"""Attacks with JSON documents: each is refused, quickly, and what is said of it never repeats the sender."""

from __future__ import annotations

import contextlib
import time
from datetime import date
from pathlib import Path

import orjson
import pytest

from hub.errors import ConfigurationError, Malformed, TooLarge
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.json.documents import JsonSchema, compiled, read_json
from hub.validation.report import Limits

SCHEMAS = Path(__file__).parents[2] / "schemas"
GOOD = orjson.loads((SCHEMAS / "fim-hundesteuer/1.0/examples/good-ein-hund.json").read_bytes())
DIALECT = "https://json-schema.org/draft/2020-12/schema"
LIMITS = Limits()
CANARY = "Kanarienvogel"


@pytest.fixture(scope="module")
def catalog() -> SchemaCatalog:
    return SchemaCatalog.load(SCHEMAS)


def check(catalog, document):
    return catalog.check(
        media_type=MediaType.JSON, data=orjson.dumps(document), schema=None, service=None, on=date(2026, 11, 2)
    )


@pytest.mark.parametrize(
    "data",
    {
        "NaN": b"[NaN]",
        "Infinity": b"[-Infinity]",
        "byte order mark": b"\xef\xbb\xbf{}",
        "utf-16": "{}".encode("utf-16"),
        "invalid utf-8": b'["\xff"]',
        "overlong utf-8": b'["\xc0\xaf"]',
        "surrogate in utf-8": b'["\xed\xa0\x80"]',
        "lone high surrogate": b'["\\ud800"]',
        "lone low surrogate": b'["\\udc00"]',
        "wrong pair": b'["\\ud800\\u0041"]',
        "comment": b"{/* */}",
        "trailing comma": b"[1,]",
        "single quotes": b"{'a':1}",
        "two documents": b"{}{}",
        "control character": b'["\n"]',
        "nul at the end": b"{}\x00",
        "repeated name": b'{"a":1,"a":1}',
        "repeated name, deep": b'[{"x":{"a":1,"b":2,"a":3}}]',
        "repeated name, escaped": b'{"a":1,"\\u0061":2}',
        "repeated name, masked by an escaped colon": b'{"a":1,"a":"\\u003a"}',
        "repeated empty name": b'{"":1,"":2}',
        "empty": b"",
        "infinite": b"[1e999]",
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_not_strict_json_is_refused(data):
    with pytest.raises(Malformed):
        read_json(data[1], LIMITS)


@pytest.mark.parametrize(
    "data",
    {
        "integer over 64 bits": b"[18446744073709551616]",
        "integer under 64 bits": b"[-9223372036854775809]",
        "integer of a million digits": b"[" + b"9" * 1_000_000 + b"]",
        "fraction of a million digits": b"[0." + b"1" * 1_000_000 + b"]",
        "exponent of a million zeros": b"[1e" + b"0" * 1_000_000 + b"]",
        "bare": b"99999999999999999999",
        "after white space": b'{"a": \n 99999999999999999999}',
    }.items(),
    ids=lambda item: item[0],
)
def test_numbers_too_large_are_refused_quickly(data):
    started = time.perf_counter()
    with pytest.raises((TooLarge, Malformed)):
        read_json(data[1], LIMITS)
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("depth", [255, 1_000, 1_025, 100_000, 4_000_000])
@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_bombs_are_refused_quickly(depth, opened, closed):
    started = time.perf_counter()
    with pytest.raises(TooLarge):
        read_json((opened * depth + b"1" + closed * depth)[: LIMITS.json_bytes], LIMITS)
    assert time.perf_counter() - started < 20


def test_a_document_over_the_cap_is_refused_before_it_is_read():
    with pytest.raises(TooLarge, match="1 MiB"):
        read_json(b" " * (1024 * 1024 + 1), Limits(json_bytes=1024 * 1024))


def test_many_names_with_equal_hashes_do_no_harm():
    data = orjson.dumps({f"key{number}": number for number in range(200_000)})
    started = time.perf_counter()
    read_json(data, LIMITS)
    assert time.perf_counter() - started < 20


def test_names_and_values_of_the_sender_are_not_repeated(catalog):
    document = {**GOOD, CANARY: CANARY, "hunde": [{**GOOD["hunde"][0], "name": {CANARY: CANARY}, CANARY: [CANARY]}]}
    report = check(catalog, document)
    assert not report.valid
    assert CANARY not in str(report.as_json())
    assert {violation.path for violation in report.violations} == {"", "/hunde/0", "/hunde/0/name"}


def test_many_violations_are_counted_and_capped(catalog):
    report = check(catalog, {**GOOD, "hunde": [{"name": 1}] * 20, **{f"x{i}": 1 for i in range(10)}})
    assert len(report.violations) == 100
    assert report.total > 100


def test_a_pattern_that_backtracks_is_stopped():
    schema = JsonSchema({"$schema": DIALECT, "pattern": "^(?=a)(a+)+(?!b)c$"}, resources=lambda: ())
    value = "a" * 50_000
    started = time.perf_counter()
    violations, *_ = schema.check(value, orjson.dumps(value), LIMITS)
    assert time.perf_counter() - started < 20
    assert violations


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:9/x.json", "file:///etc/passwd", "https://example.org/x", "other.json"]
)
def test_references_outside_the_catalogue_are_refused(reference):
    with pytest.raises(ConfigurationError):
        compiled({"$schema": DIALECT, "$id": "https://example.org/a/b.json", "$ref": reference})


def test_a_loop_of_references_ends():
    loop = {"$schema": DIALECT, "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    started = time.perf_counter()
    with contextlib.suppress(ConfigurationError):
        compiled(loop).is_valid({})
    assert time.perf_counter() - started < 20


# What stays allowed.


@pytest.mark.parametrize(
    "data",
    {
        "largest integer": b"[18446744073709551615, -9223372036854775808]",
        "long fraction": b"[0." + b"1" * 90 + b"]",
        "digits in a text": b'["DE02120300000000202051", "' + b"1" * 500 + b'"]',
        "the same name in two objects": b'[{"a":1},{"a":1}]',
        "escaped colon": b'{"a":"\\u003a","b":"::"}',
        "surrogate pair": b'["\\ud83d\\ude00"]',
        "the deepest": b"[" * 254 + b"]" * 254,
        "scalar": b"null",
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_strict_json_is_read(data):
    assert read_json(data[1], LIMITS) == orjson.loads(data[1])
