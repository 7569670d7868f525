"""Files in YAML: what other languages' readers refuse, the hub's own reader refuses, too."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hub.files.strict_yaml import load_yaml

ROOT = Path(__file__).parents[2]
SHIPPED = [
    *(ROOT / name for name in ("openapi.yaml", "hub/alerts.yaml")),
    *sorted((ROOT / "schemas").rglob("*.yaml")),
    *sorted((ROOT / "routing_rules").rglob("*.yaml")),
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_file_is_strict_yaml(path: Path):
    assert load_yaml(path.read_bytes())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' stands twice"),
        ("outer:\n  - {x: 1, x: 1}\n", "the key 'x' stands twice"),
        ("base: &base {a: 1}\nmore: {<<: *base, b: 2}\n", "merge keys are not allowed"),
        ("? [a, b]\n: 1\n", "a key must be a single value"),
        ("a: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("1: a\n0x1: b\n", "the key '0x1' stands twice"),
        ("a: *nobody\n", "nothing is called 'nobody'"),
        ("a: &a [*a]\n", "nothing is called 'a'"),
        ("a: &a 1\nb: &a 2\n", "two values are called 'a'"),
        ("--- a\n--- b\n", "more than one document"),
        ("a: !!timestamp noon\n", "the value is no"),
        ("[" * 101 + "]" * 101, "nested deeper than 100"),
    ],
)
def test_what_readers_disagree_about_is_refused_with_its_line(text: str, complaint: str):
    with pytest.raises(yaml.YAMLError, match=complaint) as caught:
        load_yaml(text)
    assert caught.value.problem_mark is not None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_strict_values_are_those_of_the_safe_loader(path: Path):
    assert load_yaml(path.read_bytes()) == yaml.safe_load(path.read_bytes())


@pytest.mark.parametrize(
    "text",
    ["", "a", "a: &x [1, {b: ~}]\nb: *x\n", "d: 2020-01-01\nx: !!str 1\ny: !!binary aGk=\nz: 1.5e3\n", "- !!map {}\n"],
)
def test_harmless_notations_mean_what_they_always_mean(text: str):
    assert load_yaml(text) == yaml.safe_load(text)


def test_equal_names_in_different_mappings_are_no_repetition():
    assert load_yaml("a: {x: 1}\nb: {x: 2}\n'1': text\n1: number\n") == {
        "a": {"x": 1},
        "b": {"x": 2},
        "1": "text",
        1: "number",
    }


def test_a_null_in_the_contract_always_says_of_which_type():
    """OpenAPI 3.0.3, Schema Object: ``nullable`` takes effect only where ``type`` stands beside it."""

    def silent(node: object, place: str) -> list[str]:
        if isinstance(node, list):
            return [found for number, child in enumerate(node) for found in silent(child, f"{place}/{number}")]
        if not isinstance(node, dict):
            return []
        here = [place] if node.get("nullable") is True and "type" not in node else []
        return here + [found for name, child in node.items() for found in silent(child, f"{place}/{name}")]

    assert silent(load_yaml((ROOT / "openapi.yaml").read_bytes()), "") == []
