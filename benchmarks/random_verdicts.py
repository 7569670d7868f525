"""Verdicts of the hub beside those of Xerces on schemas and documents drawn by chance (``make compare ARGS=--random``).

What the hub takes and Xerces refuses is a fault, unless the report says that not all was judged. What the hub alone refuses
must be of a kind that docs/xml-schema.md names; the rule and the mark in schema or document that each kind needs stand here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.random_schemas import RandomSchema
from hub.errors import ConfigurationError, TooLarge
from hub.validation.batch import FileVerdict, Second
from hub.validation.manifest import Kind
from hub.validation.report import Limits
from hub.validation.xerces import Xerces
from hub.validation.xml.documents import read_xml
from hub.validation.xml.xsd import XsdSchema, XsdSource

ACCEPTED, REFUSED = "WRONGLY ACCEPTED", "WRONGLY REFUSED"
UNDECIDED = "not refused, and said to be unchecked"
_ADDRESS = "s.xsd"
_ROOT = "{urn:b}r"


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One document, what both said of it, and of what kind that is."""

    seed: int
    outcome: str
    rules: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    schema: str = field(default="", repr=False)
    document: str = field(default="", repr=False)

    @property
    def is_fault(self) -> bool:
        """Whether nothing explains a difference."""
        return self.outcome in (ACCEPTED, REFUSED)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """A row of the table of what libxml2 alone refuses: the rules it breaks, and what must be there."""

    rules: frozenset[str]
    fits: Callable[[str, str], bool]


def _row(*rules: str, fits: Callable[[str, str], bool]) -> _Kind:
    return _Kind(rules=frozenset(rules), fits=fits)


def _has(pattern: str) -> Callable[[str, str], bool]:
    found = re.compile(pattern)
    return lambda _schema, document: found.search(document) is not None


def _names(pattern: str) -> Callable[[str, str], bool]:
    found = re.compile(pattern)
    return lambda schema, _document: found.search(schema) is not None


def _both(*each: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda schema, document: all(fits(schema, document) for fits in each)


#: What the hub may refuse though Xerces takes it, by the name of its row.
REFUSED_BY_NAME: Mapping[str, _Kind] = {
    "a field whose value is an empty list": _row(
        "xml.identity", fits=_both(_names("<xs:(?:list|union) |NMTOKENS|IDREFS"), _names("<xs:(?:unique|key) "))
    ),
    "fixed names with other prefixes": _row("xml.fixed", fits=_names("QName|<xs:union")),
    "xsi:type with members of a union": _row(
        "xml.type", "xml.datatype", fits=_both(_has("xsi:type"), _names("<xs:union"))
    ),
    "times spelt otherwise": _row(
        "xml.enumeration", "xml.fixed", "xml.identity", fits=_names("xs:(?:time|date|g[YMD]|duration)")
    ),
    "lists of names that a restriction lets be empty, which Xerces does not hold against its base": _row(
        "xml.min-length", fits=_names("NMTOKENS|IDREFS")
    ),
}
#: What Xerces may refuse though it is valid.
REFUSED_BY_XERCES: Mapping[str, _Kind] = {
    "a reference by a member of a union that a facet rules out": _row(
        "cvc-id.1", fits=_both(_names("<xs:union "), _names("IDREF"))
    ),
    "the very text that is fixed, in a union": _row("cvc-elt.5.2.2.2.2", fits=_names("<xs:union (?!.*QName).* fixed=")),
}


def drawn(seeds: Iterable[int], documents: int, jars: Sequence[Path]) -> Iterator[Drawn]:
    """Yield what came of so many documents for the schema of each seed; schemas that only one of both takes have none.

    Raises:
        ConfigurationError: Java or the archive of Xerces is missing.
    """
    with closing(Xerces(Kind.XSD, jars)) as xerces:
        for seed in seeds:
            yield from _of_one(seed, documents, xerces)


def _of_one(seed: int, documents: int, xerces: Xerces) -> Iterator[Drawn]:
    made = RandomSchema(seed)
    content = made.text.encode()
    source = XsdSource(file=_ADDRESS, closure=(_ADDRESS,), read={_ADDRESS: content}.__getitem__, locations={})
    ours = XsdSchema(source, roots=(_ROOT,))
    for document in dict.fromkeys(made.document() for _ in range(documents)):
        theirs = xerces.judge(f"urn:{seed}", source, document.encode())
        if theirs.verdict is FileVerdict.NOT_JUDGED:
            yield Drawn(seed=seed, outcome="a schema that Xerces does not take")
            return
        try:
            outcome, rules = _verdict(ours, document, theirs, made.text)
        except ConfigurationError:
            yield Drawn(seed=seed, outcome="a schema that the hub refuses")
            return
        second = tuple(rule for rule, _ in theirs.rules)
        yield Drawn(seed=seed, outcome=outcome, rules=rules, second=second, schema=made.text, document=document)


def _verdict(ours: XsdSchema, document: str, theirs: Second, schema: str) -> tuple[str, tuple[str, ...]]:
    limits, valid = Limits(), theirs.verdict is FileVerdict.VALID
    try:
        found = ours.check(read_xml(document.encode(), limits), limits)
    except TooLarge:
        return "given up, and said so", ()
    rules = tuple(violation.rule for violation in found.violations)
    if valid == (found.total == 0):
        return f"{'valid' if valid else 'invalid'} by both", rules
    if not valid and (found.unjudged or not found.whole):
        return UNDECIDED, rules
    table, broken = (REFUSED_BY_NAME, rules) if valid else (REFUSED_BY_XERCES, [rule for rule, _ in theirs.rules])
    kinds = {kind for kind, row in table.items() if row.fits(schema, document) and row.rules.issuperset(broken)}
    if kinds:
        return f"explained: {min(kinds)}", rules
    return (REFUSED if valid else ACCEPTED), rules


def compare_at_random(first: int, schemas: int, documents: int, jars: Sequence[Path], kept: Path) -> bool:
    """Print what came of schemas and documents, keep what nothing explains; tell whether all is explained."""
    numbers: Counter[str] = Counter()
    for each in drawn(range(first, first + schemas), documents, jars):
        numbers[each.outcome] += 1
        if each.is_fault:
            kept.mkdir(parents=True, exist_ok=True)
            name = kept / f"{each.seed}-{numbers[each.outcome]}"
            name.with_suffix(".xsd").write_text(each.schema)
            name.with_suffix(".xml").write_text(each.document)
            print(f"  {name}.xml: {each.outcome}, {each.rules[:3]} by us, {each.second[:3]} by Xerces", flush=True)
    for word, count in sorted(numbers.items()):
        print(f"{count:8}  {word}")
    return not (numbers[ACCEPTED] or numbers[REFUSED])
