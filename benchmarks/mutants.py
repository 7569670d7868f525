"""Messages that are changed by chance: each mutation breaks one thing, or writes one thing in another way."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from lxml import etree

from benchmarks.made_messages import XSI

#: Values that one type or another takes, or seems to.
_ODD = (
    *(
        "",
        " ",
        "x",
        "-0",
        "0",
        "00",
        "+1",
        "1.0",
        "1e400",
        "INF",
        "NaN",
        "true",
        "1",
        "TRUE",
        "2026-02-30",
        "2026-02-28Z",
    ),
    *(
        "2026-11-02T24:00:00",
        "0000-01-01",
        "-0001-01-01",
        "12026-01-01",
        "25:00:00",
        "ä ö",
        "a\u0308",
        "😀",
        "a\tb",
        "a\nb",
    ),
    *(
        "9999999999999999999999",
        "0.1234567890123456789",
        "QUJD",
        "QUJ",
        "Q UJD",
        "abc",
        "0aF",
        "a:b",
        "urn:x y",
        "%zz",
        "P",
        "P1S",
    ),
)
#: By what a value looks like: others that its type takes or does not.
_ODD_BY_TYPE: Mapping[str, Sequence[str]] = {
    r"\d{4}-\d\d-\d\d": (
        *(
            "2026-02-29",
            "2024-02-29",
            "1900-02-29",
            "2000-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-1-1",
            "26-01-01",
        ),
        *(
            "2026-11-02+14:00",
            "2026-11-02+14:01",
            "2026-11-02-00:00",
            "2026-11-02Z",
            "0001-01-01",
            "-2026-11-02",
            "+2026-11-02",
        ),
    ),
    r"\d{4}-\d\d-\d\dT.*": (
        *(
            "2026-11-02T24:00:00",
            "2026-11-02T24:00:01",
            "2026-11-02T23:59:60",
            "2026-11-02T10:00",
            "2026-11-02 10:00:00",
        ),
        *(
            "2026-11-02T10:00:00.",
            "2026-11-02T10:00:00.000000000001",
            "2026-11-02T10:00:00+14:00",
            "2026-11-02t10:00:00z",
        ),
    ),
    r"\d\d:\d\d:\d\d.*": ("24:00:00", "24:00:01", "10:00", "10:00:00+01", "10:00:60", "1:00:00", "10:00:00.5Z"),
    r"[+-]?\d+(\.\d+)?": (
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.",
        ".5",
        "1,5",
        "1e3",
        "0x1",
        "٣",
        "-0",
        "1.00",
        "99999999999999999999999999",
        "",
    ),
    "true|false": ("1", "0", "TRUE", "yes", " true ", "True", ""),
}


#: Mutants: what is done to one place of a message that was valid. Each returns whether it found its place.


def _elements(root: Any) -> list[Any]:
    return [node for node in root.iter() if isinstance(node.tag, str)]


def _one(root: Any, chance: random.Random, fits: Callable[[Any], bool]) -> Any:
    found = [node for node in _elements(root) if fits(node)]
    return chance.choice(found) if found else None


def _inner(node: Any) -> bool:
    return node.getparent() is not None


def deleted(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, _inner)
    if node is not None:
        node.getparent().remove(node)
    return node is not None


def doubled(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, _inner)
    if node is not None:
        node.addnext(deepcopy(node))
    return node is not None


def reordered(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: _inner(each) and each.getnext() is not None)
    if node is not None:
        node.addprevious(node.getnext())
    return node is not None


def renamed(root: Any, chance: random.Random) -> bool:
    node, other = _one(root, chance, _inner), _one(root, chance, _inner)
    if node is None or node.tag == other.tag:
        return False
    node.tag = other.tag
    return True


def moved_namespace(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, _inner)
    if node is None:
        return False
    local = etree.QName(node).localname
    node.tag = f"{{urn:other}}{local}" if chance.random() < 0.5 or node.tag == local else local
    return True


def odd_value(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each))
    node.text = chance.choice(_ODD)
    return True


def odd_value_of_its_type(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each) and bool(each.text) and _looks(each.text) is not None)
    if node is not None:
        node.text = chance.choice(_ODD_BY_TYPE[_looks(node.text) or ""])
    return node is not None


def _looks(text: str) -> str | None:
    return next((kind for kind in _ODD_BY_TYPE if re.fullmatch(kind, text)), None)


def respelt_value(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each) and bool(each.text))
    if node is None:
        return False
    node.text = _respelt(node.text, chance)
    return True


def _respelt(text: str, chance: random.Random) -> str:
    same = {"true": "1", "1": "true", "false": "0", "0": "false"}.get(text)
    options = [
        f" {text}",
        f"{text}\n",
        f"0{text}",
        f"+{text}",
        f"{text}.0",
        text.upper(),
        f"{text}Z",
        f"{text}{text}",
        text[:-1],
    ]
    return chance.choice([*options, *([same] * 4 if same else [])])


def attribute_deleted(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: bool(each.attrib))
    if node is not None:
        del node.attrib[chance.choice(list(node.attrib))]
    return node is not None


def attribute_added(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda _: True)
    name = chance.choice(
        ["strange", "{urn:other}strange", "id", "version", "listURI", "{http://www.w3.org/XML/1998/namespace}lang"]
    )
    node.set(name, chance.choice(["x", "de", "1"]))
    return True


def attribute_changed(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: any(not name.startswith(f"{{{XSI}}}") for name in each.attrib))
    if node is None:
        return False
    name = chance.choice([name for name in node.attrib if not name.startswith(f"{{{XSI}}}")])
    node.set(name, chance.choice([*_ODD, _respelt(node.get(name), chance), _respelt(node.get(name), chance)]))
    return True


def nilled(root: Any, chance: random.Random) -> bool:
    _one(root, chance, lambda _: True).set(f"{{{XSI}}}nil", chance.choice(["true", "false", "1", "x"]))
    return True


def typed(root: Any, chance: random.Random, types: Sequence[str]) -> bool:
    names = ["xs:string", "xs:anyType", "n0:nothing", chance.choice(types or ["xs:date"])]
    _one(root, chance, lambda _: True).set(f"{{{XSI}}}type", chance.choice(names))
    return True


def texted(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: bool(len(each)))
    if node is not None:
        node[0].tail = chance.choice(["x", " ", "\u00a0", "\n"])
    return node is not None


def commented(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each) and bool(each.text))
    if node is None:
        return False
    made = etree.Comment("c") if chance.random() < 0.7 else etree.ProcessingInstruction("p", "d")
    made.tail, node.text = node.text[1:], node.text[:1]
    node.append(made)
    return True


def emptied(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: bool(len(each)))
    if node is not None:
        del node[:]
        node.text = chance.choice([None, "", " ", "x"])
    return node is not None


MUTATIONS: tuple[Callable[..., bool], ...] = (
    *(
        deleted,
        doubled,
        reordered,
        renamed,
        moved_namespace,
        odd_value,
        odd_value_of_its_type,
        odd_value_of_its_type,
        respelt_value,
        respelt_value,
    ),
    *(
        attribute_deleted,
        attribute_added,
        attribute_changed,
        attribute_changed,
        nilled,
        typed,
        texted,
        commented,
        emptied,
    ),
)
