"""From libxml2's complaints to violations: stable rule ids, places of our own, and nothing that the sender wrote.

A complaint's message quotes values and names of the document. Only what the schema itself declares (its vocabulary) is taken
from it; the place is found in the tree and written anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hub.validation.report import Violation, text_of
from hub.validation.xml.met import Overlooked, text_in
from hub.validation.xml.patterns import is_din_91379, offence
from hub.validation.xml.places import XSI_NIL, PlaceTable, is_nil
from hub.validation.xml.prepared import rewritten, usual_bound
from hub.validation.xml.values import equal

#: libxml2's name of a complaint (without ``SCHEMAV_``) -> rule.
_RULES = {
    "ELEMENT_CONTENT": "xml.element-unexpected",
    # The root was looked at before.
    "CVC_ELT_1": "xml.element-undeclared",
    "CVC_ELT_2": "xml.abstract",
    "CVC_ELT_3_1": "xml.nil",
    "CVC_ELT_3_2_1": "xml.nil",
    "CVC_ELT_3_2_2": "xml.nil",
    "CVC_ELT_4_1": "xml.type",
    "CVC_ELT_4_2": "xml.type",
    "CVC_ELT_4_3": "xml.type",
    "CVC_ELT_5_2_2_1": "xml.fixed",
    "CVC_ELT_5_2_2_2_1": "xml.fixed",
    "CVC_ELT_5_2_2_2_2": "xml.fixed",
    "CVC_AU": "xml.fixed",
    "CVC_TYPE_2": "xml.abstract",
    "CVC_TYPE_3_1_1": "xml.attribute-unexpected",
    "CVC_TYPE_3_1_2": "xml.children-unexpected",
    "CVC_COMPLEX_TYPE_1": "xml.abstract",
    "CVC_COMPLEX_TYPE_2_1": "xml.content-unexpected",
    "CVC_COMPLEX_TYPE_2_2": "xml.children-unexpected",
    "CVC_COMPLEX_TYPE_2_3": "xml.text-unexpected",
    "CVC_COMPLEX_TYPE_2_4": "xml.element-unexpected",
    "CVC_COMPLEX_TYPE_3_1": "xml.attribute-unexpected",
    "CVC_COMPLEX_TYPE_3_2_1": "xml.attribute-unexpected",
    "CVC_COMPLEX_TYPE_3_2_2": "xml.attribute-unexpected",
    "CVC_COMPLEX_TYPE_4": "xml.attribute-missing",
    "CVC_WILDCARD": "xml.wildcard",
    "CVC_IDC": "xml.identity",
    "CVC_DATATYPE_VALID_1_2_1": "xml.datatype",
    "CVC_DATATYPE_VALID_1_2_2": "xml.datatype",
    "CVC_DATATYPE_VALID_1_2_3": "xml.datatype",
    "CVC_PATTERN_VALID": "xml.pattern",
    "CVC_ENUMERATION_VALID": "xml.enumeration",
    "CVC_LENGTH_VALID": "xml.length",
    "CVC_MINLENGTH_VALID": "xml.min-length",
    "CVC_MAXLENGTH_VALID": "xml.max-length",
    "CVC_MININCLUSIVE_VALID": "xml.minimum",
    "CVC_MINEXCLUSIVE_VALID": "xml.minimum",
    "CVC_MAXINCLUSIVE_VALID": "xml.maximum",
    "CVC_MAXEXCLUSIVE_VALID": "xml.maximum",
    "CVC_TOTALDIGITS_VALID": "xml.digits",
    "CVC_FRACTIONDIGITS_VALID": "xml.digits",
}
_FACETS = frozenset(
    {
        "xml.pattern",
        "xml.enumeration",
        "xml.length",
        "xml.min-length",
        "xml.max-length",
        "xml.minimum",
        "xml.maximum",
        "xml.digits",
    }
)
#: A message this long may have been cut off by libxml2, so its end is not trusted to be the schema's.
_TRUSTED_MESSAGE = 30_000
_MISSING_CHILD = re.compile(r"Element '[^']*': Missing child element")
_EXPECTED_NAMES = re.compile(r" Expected is (?:one of )?\( ([^()]*) \)\.$")
_EXPECTED_TYPE = re.compile(r" is not a valid value of the (?:atomic|list|union) type '([^']*)'\.$")
_EXPECTED_ATTRIBUTE = re.compile(r"The attribute '([^']*)' is required but missing\.$")
_LAST_QUOTED = re.compile(r"'([^']*)'\)?\.$")
_ABOUT_ATTRIBUTE = re.compile(r"Element '[^']*', attribute '([^']*)': ")
_NOT_AN_ID = "is not a valid value of the atomic type 'xs:ID'."
_NO_VALUE = "No precomputed value available"
_SET = " is not an element of the set {"
_PATTERN = " is not accepted by the pattern '"
_STEP = re.compile(r"(@?)([^\[\]]+)(?:\[(\d+)\])?$")


@dataclass(frozen=True, kw_only=True, slots=True)
class XmlFinding:
    """One complaint: rule, libxml2's path or None, line or 0, and the message, which is not shown to anyone."""

    rule: str
    path: str | None
    line: int
    message: str


def findings(log: Iterable[Any]) -> list[XmlFinding]:
    """Return the complaints of an error log, each value's once.

    A value that breaks a facet draws a second complaint, that it is not of its type: only the first tells anything.
    """
    found: list[XmlFinding] = []
    for entry in log:
        finding = _finding(entry)
        if finding.rule == "xml.datatype" and found and _same_value(found[-1], finding):
            continue
        found.append(finding)
    return found


def without_repeated_ids(
    found: list[XmlFinding], tree: Any, repeated: Iterable[tuple[Any, str | None]]
) -> list[XmlFinding]:
    """Leave out what libxml2 says of repeated ids: the walk over the identifiers names them better.

    libxml2 calls a repeated id a wrong value of xs:ID, and only in attributes of a tree.
    """
    places = {(element, attribute) for element, attribute in repeated}
    return [
        finding
        for finding in found
        if not (
            finding.rule == "xml.datatype"
            and finding.message.endswith(_NOT_AN_ID)
            and place_of(tree, finding) in places
        )
    ]


def without_same_values(found: list[XmlFinding], tree: Any, table: PlaceTable) -> list[XmlFinding]:
    """Leave out that an element has not its fixed value where it has, in other words: libxml2 compares texts."""

    def is_same(finding: XmlFinding) -> bool:
        if finding.rule != "xml.fixed":
            return False
        element, attribute = place_of(tree, finding)
        place = table.type_of(element) if element is not None and attribute is None else None
        text = "" if element is None else text_in(element)
        return place is not None and place.fixed is not None and bool(equal(place.fixed.kind, place.fixed.value, text))

    return [finding for finding in found if not is_same(finding)]


def without_nil(found: list[XmlFinding], tree: Any) -> list[XmlFinding]:
    """Leave out that an element which is nil gives a constraint no value: ``xs:unique`` and ``xs:keyref`` pass it over.

    What may be nil in a field of ``xs:key`` is refused wherever it stands (XML Schema 1.0 part 1, 3.11.4).
    """

    def is_passed(finding: XmlFinding) -> bool:
        if finding.rule != "xml.identity" or _NO_VALUE not in finding.message:
            return False
        element, attribute = place_of(tree, finding)
        return attribute is None and element is not None and is_nil(element.get(XSI_NIL))

    return [finding for finding in found if not is_passed(finding)]


def without_same_count(found: list[XmlFinding], same: int) -> list[XmlFinding]:
    """Leave out as many complaints of fixed values as elements were found to have theirs in other words."""
    left = same
    kept = []
    for finding in found:
        if left and finding.rule == "xml.fixed" and not _ABOUT_ATTRIBUTE.match(finding.message):
            left -= 1
        else:
            kept.append(finding)
    return kept


def faults_beside(found: Iterable[XmlFinding], tree: Any, faults: Iterable[Overlooked]) -> list[Overlooked]:
    """Return the faults at places of which libxml2 has said nothing."""
    faults = list(faults)
    places = {place_of(tree, finding) for finding in found} if faults else set()
    return [fault for fault in faults if (fault.element, fault.attribute) not in places]


def violations_of(found: Iterable[XmlFinding], tree: Any | None, words: Vocabulary) -> list[Violation]:
    """Return complaints as violations; without a tree they stand at the root and have no line."""
    violations = []
    for finding in found:
        element, attribute = place_of(tree, finding)
        violation = Violation(
            rule=finding.rule,
            path="/*" if element is None else document_path(element, words, attribute=attribute),
            path_kind="xpath",
            line=None if element is None else element.sourceline,
            expected=_expected(finding, words),
            text=text_of(finding.rule),
        )
        if finding.rule == "xml.pattern" and element is not None:
            violation = _with_character(violation, finding, element, attribute, words)
        violations.append(violation)
    return violations


def document_path(element: Any, words: Vocabulary, *, attribute: str | None = None) -> str:
    """Return an XPath to an element or attribute; names that the schema does not declare appear as ``*``."""
    steps = []
    node = element
    while node is not None:
        steps.append(_step(node, words))
        node = node.getparent()
    if attribute is not None and (name := words.attribute_name(attribute)) is not None:
        steps.insert(0, f"@{name}")
    return "/" + "/".join(reversed(steps))


def _finding(entry: Any) -> XmlFinding:
    rule = _RULES.get(entry.type_name.removeprefix("SCHEMAV_"), "xml.schema-rule")
    if rule == "xml.element-unexpected" and _MISSING_CHILD.match(entry.message):
        rule = "xml.element-missing"
    return XmlFinding(rule=rule, path=entry.path, line=entry.line, message=entry.message)


def _same_value(before: XmlFinding, finding: XmlFinding) -> bool:
    if before.rule not in _FACETS:
        return False
    # Both messages start with the element and, if one is meant, the attribute.
    return before.path == finding.path and before.line == finding.line and _subject(before) == _subject(finding)


def _subject(finding: XmlFinding) -> str:
    return finding.message.partition(": ")[0]


def _step(node: Any, words: Vocabulary) -> str:
    parent = node.getparent()
    name = words.element_name(node.tag) or "*"
    if parent is None:
        return name
    alike = (child for child in parent.iterchildren(node.tag if name != "*" else "*"))
    position = next(number for number, child in enumerate(alike, start=1) if child is node)
    return f"{name}[{position}]"


def _locate(tree: Any, path: str) -> tuple[Any, str | None]:
    """Follow libxml2's path; it names elements by the document's prefixes, or ``*`` where there is none."""
    node = tree
    for step in path.strip("/").split("/")[1:]:
        match = _STEP.match(step)
        if match is None:
            return node, None
        attribute, name, position = match.groups()
        if attribute:
            return node, _attribute_tag(node, name)
        below = _child(node, name, int(position or 1))
        if below is None:
            return node, None
        node = below
    return node, None


def place_of(tree: Any | None, finding: XmlFinding) -> tuple[Any | None, str | None]:
    """Return the element and attribute that a complaint is about; None where it names none."""
    if tree is None or not finding.path:
        return None, None
    element, attribute = _locate(tree, finding.path)
    if attribute is None and (match := _ABOUT_ATTRIBUTE.match(finding.message)) is not None:
        attribute = match.group(1)
    return element, attribute


def _child(parent: Any, name: str, position: int) -> Any | None:
    prefix, _, local = name.rpartition(":")
    seen = 0
    for child in parent.iterchildren("*"):
        if name == "*" or (split(child.tag)[1] == local and (child.prefix or "") == prefix):
            seen += 1
            if seen == position:
                return child
    return None


def _attribute_tag(node: Any, name: str) -> str:
    prefix, _, local = name.rpartition(":")
    namespace = node.nsmap.get(prefix) if prefix else None
    return f"{{{namespace}}}{local}" if namespace else local


def _expected(finding: XmlFinding, words: Vocabulary) -> str | None:
    if len(finding.message) > _TRUSTED_MESSAGE:
        return None
    message = finding.message.strip()
    for form in _FORMS.get(finding.rule, ()):
        expected = form(message, words)
        if expected is not None:
            return expected[:400]
    return None


def _expected_names(message: str, words: Vocabulary) -> str | None:
    match = _EXPECTED_NAMES.search(message)
    if match is None:
        return None
    names = [words.element_name(name.strip()) for name in match.group(1).split(", ")]
    shown = [name for name in names if name is not None]
    return ", ".join(shown) or None


def _expected_type(message: str, words: Vocabulary) -> str | None:
    match = _EXPECTED_TYPE.search(message)
    if match is None:
        return None
    name = match.group(1)
    if name.startswith("xs:"):
        return name
    local = split(name)[1]
    return local if local in words.types else None


def _expected_attribute(message: str, words: Vocabulary) -> str | None:
    match = _EXPECTED_ATTRIBUTE.search(message)
    return words.attribute_name(match.group(1)) if match else None


def _expected_pattern(message: str, words: Vocabulary) -> str | None:
    _, found, tail = message.rpartition(_PATTERN)
    pattern = tail.removesuffix("'.")
    pattern = words.originals.get(pattern, pattern)
    return pattern if found and pattern in words.facets else None


def _with_character(
    violation: Violation, finding: XmlFinding, element: Any, attribute: str | None, words: Vocabulary
) -> Violation:
    """Name the character that breaks a pattern, if the pattern is a repertoire of characters."""
    pattern = _expected_pattern(finding.message.strip(), words)
    value = element.get(attribute) if attribute is not None else element.text
    found = offence(pattern, value) if pattern is not None and value is not None else None
    if found is None or pattern is None:
        return violation
    return replace(violation, rule=found.rule, text=found.text, expected=words.patterns.get(pattern))


def _expected_set(message: str, words: Vocabulary) -> str | None:
    _, found, tail = message.rpartition(_SET)
    values = [value.strip("'") for value in tail.removesuffix("}.").split(", ")]
    shown = [value for value in values if value in words.facets]
    return ", ".join(shown) if found and shown else None


def _expected_limit(message: str, words: Vocabulary) -> str | None:
    # The limit is the last quoted word of the message; the sender's value, if quoted at all, stands before it.
    match = _LAST_QUOTED.search(message)
    if match is None:
        return None
    limit = words.originals.get(match.group(1), match.group(1))
    return limit if limit in words.facets else None


_FORMS = {
    "xml.element-unexpected": (_expected_names,),
    "xml.element-missing": (_expected_names,),
    "xml.attribute-missing": (_expected_attribute,),
    "xml.datatype": (_expected_type,),
    "xml.pattern": (_expected_pattern,),
    "xml.enumeration": (_expected_set,),
    **dict.fromkeys((_FACETS | {"xml.fixed"}) - {"xml.pattern", "xml.enumeration"}, (_expected_limit,)),
}


_XS = "{http://www.w3.org/2001/XMLSchema}"
_XML = "http://www.w3.org/XML/1998/namespace"
_PATTERN_FACET = f"{_XS}pattern"
_FACET_ELEMENTS = frozenset(
    f"{_XS}{name}"
    for name in (
        *("pattern", "enumeration", "length", "minLength", "maxLength", "totalDigits", "fractionDigits"),
        *("minInclusive", "maxInclusive", "minExclusive", "maxExclusive"),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Names are local names. ``namespaces`` are pairs of prefix and namespace name, each once."""

    elements: frozenset[str]
    attributes: frozenset[str]
    facets: frozenset[str]
    types: frozenset[str]
    #: The name of the type in which a pattern stands.
    patterns: Mapping[str, str]
    #: Patterns and bounds as the schema writes them, by what the compiler got in their place.
    originals: Mapping[str, str]
    namespaces: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, schemas: Iterable[Any]) -> Vocabulary:
        """Gather the words of schema documents (lxml root elements)."""
        names: dict[str, set[str]] = {"element": set(), "attribute": set(), "simpleType": set(), "complexType": set()}
        facets: set[str] = set()
        patterns: dict[str, str] = {}
        originals: dict[str, str] = {}
        prefixes: dict[str, str] = {}
        for schema in schemas:
            _gather_prefix(schema, prefixes)
            patterns.update(_named_patterns(schema))
            for node in schema.iter(f"{_XS}*"):
                local = node.tag.removeprefix(_XS)
                if local in names and (name := node.get("name")):
                    names[local].add(name)
                if node.tag in _FACET_ELEMENTS:
                    facets.add(value := node.get("value", ""))
                    if node.tag == _PATTERN_FACET and (compiled := rewritten(value)) != value:
                        originals[compiled] = value
                    elif node.tag != _PATTERN_FACET:
                        originals.setdefault(usual_bound(value), value)
                elif (fixed := node.get("fixed")) is not None:
                    facets.add(fixed)
        return cls(
            elements=frozenset(names["element"]),
            attributes=frozenset(names["attribute"]),
            facets=frozenset(facets),
            types=frozenset(names["simpleType"] | names["complexType"]),
            patterns=patterns,
            originals=originals,
            namespaces=tuple(sorted((prefix, namespace) for namespace, prefix in prefixes.items())),
        )

    def prefix_of(self, namespace: str) -> str | None:
        """Return the prefix of a namespace of the schema; "" for no namespace, None for a foreign one."""
        if not namespace:
            return ""
        return next((prefix for prefix, name in self.namespaces if name == namespace), None)

    def element_name(self, tag: str) -> str | None:
        """Return ``prefix:local`` of ``{namespace}local`` if the schema declares such an element, else None."""
        namespace, local = split(tag)
        prefix = self.prefix_of(namespace)
        if prefix is None or local not in self.elements:
            return None
        return f"{prefix}:{local}" if prefix else local

    def attribute_name(self, tag: str) -> str | None:
        """Return ``prefix:local`` of an attribute that the schema declares, else None."""
        namespace, local = split(tag)
        prefix = self.prefix_of(namespace)
        if prefix is None or local not in self.attributes:
            return None
        return f"{prefix}:{local}" if prefix else local

    def shown(self, tag: str) -> str:
        """Return a name of the schema with its prefix, or its local part."""
        return self.element_name(tag) or split(tag)[1]


def split(tag: str) -> tuple[str, str]:
    """Return namespace ("" for none) and local name of ``{namespace}local``."""
    if tag.startswith("{"):
        namespace, _, local = tag[1:].partition("}")
        return namespace, local
    return "", tag


def _named_patterns(schema: Any) -> Iterator[tuple[str, str]]:
    standard = "DIN 91379: " if is_din_91379(schema.get("targetNamespace", "")) else ""
    for kind in schema.iterchildren(f"{_XS}simpleType"):
        for node in kind.iter(f"{_XS}pattern"):
            yield node.get("value", ""), standard + kind.get("name", "")


def _gather_prefix(schema: Any, prefixes: dict[str, str]) -> None:
    namespace = schema.get("targetNamespace")
    if not namespace or namespace in prefixes or namespace == _XML:
        return
    own = [prefix for prefix, name in schema.nsmap.items() if name == namespace and prefix]
    wish = min(own) if own else "ns"
    taken = set(prefixes.values())
    prefixes[namespace] = (
        wish
        if wish not in taken
        else next(f"{wish}{number}" for number in range(2, len(taken) + 3) if f"{wish}{number}" not in taken)
    )
