"""Code lists (OASIS Genericode 1.0): whether a code that a message names stands in the version that it names.

XÖV messages name list and version at the element (``listURI``, ``listVersionID``) and put the code into a child ``code``. A
code that a closed list lacks is an error, one that an open list lacks a warning; a version that is not in the catalogue of
a list that is, is a warning too: the code could not be checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.validation.report import Severity, Violation, text_of
from hub.validation.xml.report import document_path
from hub.validation.xml.vocabulary import Vocabulary
from hub.validation.xml.xsd import parse_schema_document

_URI, _VERSION = "listURI", "listVersionID"
_CODED = etree.XPath(f"descendant-or-self::*[@{_URI}]")
_EXPECTED_CODES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeList:
    """One version of one list: its canonical URI, its version, and its codes."""

    uri: str
    version: str
    codes: frozenset[str] = field(repr=False)
    closed: bool = True
    #: Of the document that it was read from, lower-case hex.
    sha256: str = ""


def read_code_list(content: bytes, name: str, *, closed: bool = True) -> CodeList:
    """Read a Genericode document; the codes are those of its recommended key column, else of its first key.

    Raises:
        ConfigurationError: It is no Genericode, or names no list, version or key.
    """
    root = parse_schema_document(content, name)
    uri = root.findtext("Identification/CanonicalUri", "").strip()
    version = root.findtext("Identification/Version", "").strip()
    column = _key_column(root)
    if etree.QName(root).localname != "CodeList" or not uri or not version or column is None:
        raise ConfigurationError(
            Text(f"{name} ist keine Genericode-Codeliste.", f"{name} is not a Genericode code list."), file=name
        )
    sha256 = hashlib.sha256(content).hexdigest()
    return CodeList(uri=uri, version=version, codes=frozenset(_values(root, column)), closed=closed, sha256=sha256)


class CodeLists:
    """Every code list of a catalogue. Thread-safe."""

    def __init__(self, lists: Iterable[CodeList]) -> None:
        self._lists: dict[str, Mapping[str, CodeList]] = {}
        for one in lists:
            self._lists[one.uri] = {**self._lists.get(one.uri, {}), one.version: one}

    @property
    def sha256(self) -> str | None:
        """The SHA-256 over the sorted lines ``<sha256> <uri>_<version> closed|open`` of all lists; None if there is none."""
        lists = [one for versions in self._lists.values() for one in versions.values()]
        lines = sorted(f"{one.sha256} {one.uri}_{one.version} {'closed' if one.closed else 'open'}\n" for one in lists)
        return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None

    def __bool__(self) -> bool:
        return bool(self._lists)

    def check(self, tree: Any, words: Vocabulary) -> list[Violation]:
        """Return what the codes of a message (its lxml root) break."""
        found = []
        elements: Any = _CODED(tree)
        for element in elements:
            versions = self._lists.get(element.get(_URI))
            if versions is not None and (violation := _judged(element, versions, words)) is not None:
                found.append(violation)
        return found


def _judged(element: Any, versions: Mapping[str, CodeList], words: Vocabulary) -> Violation | None:
    code = next((child for child in element.iterchildren("{*}code")), None)
    if code is None:
        return None
    known = versions.get((element.get(_VERSION) or "").strip())
    if known is None:
        return _violation("codelist.version", element, words, ", ".join(sorted(versions)), "warning")
    if "".join((code.text or "").split()) in known.codes or (code.text or "").strip() in known.codes:
        return None
    expected = ", ".join(sorted(known.codes)) if len(known.codes) <= _EXPECTED_CODES else f"{known.uri}_{known.version}"
    return _violation("codelist.code", code, words, expected, "error" if known.closed else "warning")


def _violation(rule: str, element: Any, words: Vocabulary, expected: str, severity: Severity) -> Violation:
    return Violation(
        rule=rule,
        severity=severity,
        path=document_path(element, words),
        path_kind="xpath",
        line=element.sourceline,
        expected=expected,
        text=text_of(rule),
    )


def _key_column(root: Any) -> str | None:
    keys = root.findall("ColumnSet/Key")
    recommended = [key for key in keys if _is_recommended(key)]
    reference = next((key.find("ColumnRef") for key in (*recommended, *keys)), None)
    return reference.get("Ref") if reference is not None else None


def _is_recommended(key: Any) -> bool:
    """Whether a key is marked as the one for messages (XÖV handbook: recommendedKeyColumn, formerly xoev-code)."""
    marks = (etree.QName(mark).localname for mark in key.iterfind("Annotation/AppInfo/*"))
    return any(mark in ("recommendedKeyColumn", "xoev-code") for mark in marks)


def _values(root: Any, column: str) -> Iterable[str]:
    columns = [node.get("Id") for node in root.iterfind("ColumnSet/Column")]
    for row in root.iterfind("SimpleCodeList/Row"):
        position = 0
        for value in row.iterfind("Value"):
            # A value without a reference stands in the column after the one before it (Genericode, section 3.5).
            reference = value.get("ColumnRef")
            position = columns.index(reference) if reference in columns else position
            if columns[position : position + 1] == [column]:
                yield (value.findtext("SimpleValue") or "").strip()
            position += 1
