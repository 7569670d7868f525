"""JSON: strict reading by the public suite, schemas by the public suite, and reports whose places exist."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_data import SHARED, needs_shared_data

from hub.errors import ConfigurationError, Malformed, Refused, TooLarge
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.json.documents import JsonSchema, compiled, read_json
from hub.validation.json.report import lines_of, pointer
from hub.validation.report import Limits

SCHEMAS = Path(__file__).parents[2] / "schemas"
LIMITS = Limits()
PARSING = SHARED / "suites" / "JSONTestSuite" / "test_parsing"
SUITE = SHARED / "suites" / "JSON-Schema-Test-Suite"
DRAFTS = {
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
GOOD = {
    path.parts[-4]: orjson.loads(path.read_bytes())
    for path in sorted(SCHEMAS.glob("fim-*/1.0/examples/good-*.json"), reverse=True)
}
#: Values that a mutation puts anywhere.
STRANGERS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**6), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9),
    st.lists(st.integers(-9, 9), max_size=3), st.dictionaries(st.text(max_size=5), st.booleans(), max_size=3),
)  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> SchemaCatalog:
    return SchemaCatalog.load(SCHEMAS)


def taken(path: Path) -> bool:
    try:
        read_json(path.read_bytes(), LIMITS)
    except Refused:
        return False
    return True


def places(node: Any, path: tuple = ()):
    yield path
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in members:
        yield from places(value, (*path, key))


def follow(document: Any, location: str) -> Any:
    for token in location.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


@st.composite
def mutants(draw) -> tuple[str, Any]:
    """A valid message in which up to four members are replaced, removed or joined by others."""
    name = draw(st.sampled_from(sorted(GOOD)))
    document = copy.deepcopy(GOOD[name])
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(sorted(places(document), key=str)[1:] or [()]))
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "remove", "join"]))
        if action == "remove":
            del parent[path[-1]]
        elif action == "join" and isinstance(parent, dict):
            parent[draw(st.text(max_size=6))] = draw(STRANGERS)
        else:
            parent[path[-1]] = draw(STRANGERS)
    return name, document


# Reading.


@needs_shared_data
def test_every_document_that_is_no_json_is_refused():
    bad = sorted(PARSING.glob("n_*.json"))
    assert len(bad) > 180
    assert [path.name for path in bad if taken(path)] == []


@needs_shared_data
def test_every_document_that_is_json_is_read_save_repeated_names():
    good = sorted(PARSING.glob("y_*.json"))
    assert len(good) > 90
    # RFC 8259 leaves repeated names open; here they are refused, because receivers disagree about what they mean.
    repeated = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
    assert {path.name for path in good if not taken(path)} == repeated


@needs_shared_data
def test_what_the_standard_leaves_open_is_refused_where_receivers_disagree():
    undecided = {path.name for path in PARSING.glob("i_*.json") if taken(path)}
    assert undecided <= {
        "i_number_double_huge_neg_exp.json",
        "i_number_real_underflow.json",
        "i_structure_500_nested_arrays.json",
    }


# Schemas.


@needs_shared_data
@pytest.mark.parametrize("draft", sorted(DRAFTS))
def test_no_case_of_the_public_suite_is_judged_worse_than_by_the_library(draft):
    ours = theirs = total = 0
    remotes = list(suite_remotes(draft))
    for path in sorted((SUITE / "tests" / draft).glob("*.json")):
        for group in orjson.loads(path.read_bytes()):
            schema = group["schema"]
            own = own_validator(schema, draft, remotes)
            library = library_validator(schema, draft, remotes)
            for case in group["tests"]:
                total += 1
                ours += own is not None and own.is_valid(case["data"]) == case["valid"]
                theirs += library is not None and library.is_valid(case["data"]) == case["valid"]
    assert total > 900
    # Formats are asserted here, as administrations expect; 2019-09 and 2020-12 only annotate them.
    assert ours >= theirs
    assert ours / total > 0.98


def suite_remotes(draft: str):
    for path in sorted((SUITE / "remotes").rglob("*.json")):
        name = path.relative_to(SUITE / "remotes").as_posix()
        if not name.startswith(("draft", "v1/")) or name.startswith(f"{draft}/"):
            yield f"http://localhost:1234/{name}", orjson.loads(path.read_bytes())


def metaschema(uri: str) -> Any:
    raise LookupError(uri)


def own_validator(schema: Any, draft: str, remotes: list) -> Any:
    document = schema if isinstance(schema, dict) else {"allOf": [schema]}
    try:
        return compiled({"$schema": DRAFTS[draft], **document}, remotes)
    except ConfigurationError:
        return None


def library_validator(schema: Any, draft: str, remotes: list) -> Any:
    kinds = {
        "draft7": jsonschema_rs.Draft7Validator,
        "draft2019-09": jsonschema_rs.Draft201909Validator,
        "draft2020-12": jsonschema_rs.Draft202012Validator,
    }
    try:
        registry = jsonschema_rs.Registry(
            remotes, draft=getattr(jsonschema_rs, draft.title().replace("-", "")), retriever=metaschema
        )
        return kinds[draft](schema, registry=registry, validate_formats=True)
    except (ValueError, jsonschema_rs.ReferencingError):
        return None


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("date", "2026-02-30"),
        ("date-time", "2026-01-01 10:00"),
        ("email", "x"),
        ("uuid", "1"),
        ("uri", "a b"),
        ("ipv4", "1"),
    ],
)
def test_formats_are_checked(kind, bad):
    for dialect in DRAFTS.values():
        schema = {"$schema": dialect, "format": kind}
        if (kind, dialect) != ("uuid", DRAFTS["draft7"]):
            assert not compiled(schema).is_valid(bad)


# Reports.


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutants())
def test_every_place_of_a_report_exists_in_the_document(catalog, mutant):
    name, document = mutant
    if not isinstance(document, dict):
        return
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    uri = next(entry.uri for entry in catalog.entries() if entry.manifest.standard == name)
    try:
        report = catalog.check(media_type=MediaType.JSON, data=data, schema=uri, service=None, on=date(2026, 11, 2))
    except Refused:
        return
    lines = data.count(b"\n") + 1
    for violation in report.violations:
        follow(document, violation.path)
        assert 1 <= violation.line <= lines
    assert report.total >= len(report.violations)
    assert report.valid == (report.total == 0)


@given(st.recursive(st.one_of(st.none(), st.text(max_size=4)), lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)), max_leaves=12))  # fmt: skip
def test_every_value_of_a_document_has_a_line(document):
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    wanted = set(places(document))
    assert set(lines_of(data, wanted)) == wanted


def test_lines_are_those_of_the_values():
    data = b'{\n "a": [1,\n 2,\n {"b": "x\\"y:[",\n "c": null}]\n}'
    found = lines_of(data, {("a",), ("a", 1), ("a", 2, "b"), ("a", 2, "c"), ()})
    assert found == {(): 1, ("a",): 2, ("a", 1): 3, ("a", 2, "b"): 4, ("a", 2, "c"): 5}


def test_a_pointer_escapes_what_rfc_6901_wants_escaped():
    assert pointer(("a/b", "m~n", 0, "")) == "/a~1b/m~0n/0/"


def judged(schema: dict, document, *, resources=()):
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    compiled = JsonSchema(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, resources=lambda: resources
    )
    return compiled.check(document, data, Limits())[0]


FIELDS = {"properties": {"rufname": {}, "rasse": {}, "chip": {}}}
DOG = {**FIELDS, "additionalProperties": False}


def test_a_field_that_is_not_allowed_is_named_by_its_object_and_those_that_are():
    (found,) = judged({"properties": {"hund": DOG}}, {"hund": {"rasse": "x", "rufnahme": "y"}})
    assert (found.rule, found.path, found.line) == ("json.additionalProperties", "/hund", 4)
    assert found.expected == "rufname, rasse, chip"
    assert "„rufnahme“" in found.text.de
    assert "Meinten Sie „rufname“?" in found.text.de
    assert "Did you mean 'rufname'?" in found.text.en


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"hund": {"$ref": "#/$defs/dog"}}, "$defs": {"dog": DOG}},
        {"properties": {"hund": {"$ref": "https://example.org/dog"}}},
        {"properties": {"hund": {"allOf": [FIELDS], "unevaluatedProperties": False}}},
        {"properties": {"hund": {"$ref": "#/$defs/d", "unevaluatedProperties": False}}, "$defs": {"d": FIELDS}},
        {"anyOf": [{"properties": {"hund": DOG}}]},
    ],
    ids=["reference", "another document", "unevaluated", "unevaluated behind a reference", "variant"],
)  # fmt: skip
def test_the_allowed_fields_are_found_wherever_the_schema_declares_them(schema):
    resources = [("https://example.org/dog", {"$id": "https://example.org/dog", **DOG})]
    found = judged(schema, {"hund": {"farbe": "x"}}, resources=resources)
    assert [one.expected for one in found if one.path == "/hund"][-1:] == ["rufname, rasse, chip"]


@pytest.mark.parametrize(
    "name", ["Kanarienvogel", "max mustermann", "a" * 300, "steuernummer12345678901", "x\n<b>", "Ä. Ö."]
)
def test_a_name_that_may_say_something_of_a_person_is_not_said(name):
    (found,) = judged(DOG, {name: 1})
    assert name not in str(found.as_json())
    assert found.expected == "rufname, rasse, chip"


def test_a_long_list_of_allowed_fields_is_bounded():
    (found,) = judged(
        {"properties": {f"feld{n}": {} for n in range(900)}, "additionalProperties": False}, {"x": 1, "y": 2}
    )
    assert len(found.expected) == 400
    assert "und 1 weitere" in found.text.de


@pytest.mark.parametrize(
    ("data", "line", "column", "path"),
    [
        (b'{"a":1,\n "a":2}', 2, 2, ""),
        (b'{"hunde": [{"x": 1},\n  {"name": 1, "n": {"name": 1}, "name": 2}]}', 2, 33, "/hunde/1"),
        ('{"ü": "ä", "b": {"c": 1, "\\u0063": 2}}'.encode(), 1, 26, "/b"),
        (b'{"Max Muster": {"a": 1, "a": 2}}', 1, 25, ""),
    ],
)
def test_a_repeated_name_is_told_by_line_column_and_object(data, line, column, path):
    with pytest.raises(Malformed) as refused:
        read_json(data, Limits())
    facts = refused.value.members
    assert (facts["line"], facts["column"], facts["path"]) == (line, column, path)
    assert f"Zeile {line}, Spalte {column}" in refused.value.detail.de
    assert "Muster" not in refused.value.detail.de


MANY = [0] * 30_000


def judged_whole(schema: dict, document):
    compiled = JsonSchema({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, resources=list)
    return compiled.check(document, orjson.dumps(document), Limits())


def test_of_a_huge_document_the_first_violation_alone_is_named_and_the_report_says_so():
    violations, total, remarks = judged_whole({"items": {"type": "string"}}, MANY)
    assert ([(one.rule, one.path) for one in violations], total) == ([("json.type", "/0")], 1)
    assert "first" in remarks[0].en
    assert judged_whole({"items": {"type": "string"}}, MANY[:300])[1:] == (300, ())
    assert judged_whole({"items": {"type": "integer"}}, MANY) == ((), 0, ())


def test_of_a_huge_document_nobody_asks_what_is_wrong_with_every_alternative():
    alternatives = {"oneOf": [{"items": {"type": "string"}}, {"items": {"type": "boolean"}}]}
    violations, total, remarks = judged_whole({"properties": {"a": alternatives}}, {"a": MANY})
    assert ([(one.rule, one.path) for one in violations], total) == ([("json.schema-rule", "")], 1)
    assert remarks


def test_a_document_of_more_values_than_the_cap_is_refused_before_it_is_read():
    limits = replace(Limits(), json_values=1_000)
    read_json(orjson.dumps([[]] * 499), limits)
    read_json(orjson.dumps({"text": "eins, zwei, drei [" * 1_000}), limits)  # Commas within a text are no values.
    with pytest.raises(TooLarge, match="1000 values"):
        read_json(orjson.dumps([[]] * 1_001), limits)


def test_lines_far_down_a_huge_document_are_left_out():
    data = b"[" + b"0,\n" * 500_000 + b"0]"
    assert lines_of(data, {(3,), (499_999,)}) == {(3,): 4}


@pytest.mark.parametrize("before", ["", '{\n "ä": 1,\n "ü', "{}\n" * 3])
def test_where_a_document_is_no_utf8_is_told(before):
    with pytest.raises(Malformed, match="UTF-8") as caught:
        read_json(before.encode() + b'M\xfcller"}', Limits())
    lines = before.split("\n")
    assert (caught.value.members["line"], caught.value.members["column"]) == (len(lines), len(lines[-1]) + 2)
    assert "ller" not in caught.value.detail.de
