"""Code lists: whether a code that a message names stands in the version of the list that it names.

They are read as OASIS Genericode 1.0, or as the JSON that the XRepository gives of the same lists.

XÖV messages name list and version at the element (``listURI``, ``listVersionID``), or the schema does for them, and put the
code into a child ``code``. A code that a closed list lacks is an error, one that an open list lacks a warning; a version that
is not in the catalogue of a list that is, is a warning too: the code could not be checked.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import orjson
from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.validation.report import Severity, Violation, text_of
from hub.validation.xml.report import Vocabulary, document_path
from hub.validation.xml.walk import CodedElement
from hub.validation.xml.xsd import parse_schema_document

_EXPECTED_CODES = 30
_RECOMMENDED = frozenset({"recommendedKeyColumn", "xoev-code", "empfohleneCodeSpalte"})
#: How code lists are called, and what stands near the beginning of one: Genericode, its error file, JSON.
_SUFFIXES = (".xml", ".gc", ".json")
_MARKS = (b"docs.oasis-open.org/codelist/ns/genericode", b"/xrepository/", b'"kennungInhalt"')
_START = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeList:
    """One version of one list: its canonical URI, its version, and its codes."""

    uri: str
    version: str
    codes: frozenset[str] = field(repr=False)
    closed: bool = True
    #: Of the document that it was read from, lower-case hex.
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundLists:
    """The code lists among the files of a package, by file name, and the files that stand for a list and hold none."""

    lists: Mapping[str, CodeList]
    left_out: tuple[str, ...]


def lists_among(package: Mapping[str, bytes], *, alone: bool, open_ones: Iterable[str] = ()) -> FoundLists:
    """Return the code lists of a package; ``alone`` says that it holds nothing else.

    The XRepository puts a small file with an error message in the place of a list that is not published. ``open_ones`` are
    patterns of URIs (with or without version) and file names of lists that allow other codes than theirs.
    """
    found: dict[str, CodeList] = {}
    left_out: list[str] = []
    patterns = tuple(open_ones)
    for name, content in sorted(package.items()):
        if not name.lower().endswith(_SUFFIXES) or not (alone or _stands_for_list(content)):
            continue
        try:
            one = read_code_list(content, name)
        except ConfigurationError:
            left_out.append(name)
            continue
        names = (one.uri, f"{one.uri}_{one.version}", name, name.rpartition("/")[2])
        is_open = any(fnmatchcase(each, pattern) for each in names for pattern in patterns)
        found[name] = replace(one, closed=not is_open)
    return FoundLists(lists=found, left_out=tuple(left_out))


def _stands_for_list(content: bytes) -> bool:
    """Whether a file beside schemas is meant to be a code list: what is looked for stands at its beginning."""
    start = content[:_START].replace(b"\0", b"")
    return any(mark in start for mark in _MARKS)


def read_code_list(content: bytes, name: str, *, closed: bool = True) -> CodeList:
    """Read a code list; its codes are those of the column that it recommends, else of its first key.

    Raises:
        ConfigurationError: It is none, or names no list, version or key.
    """
    is_json = name.lower().endswith(".json")
    uri, version, codes = _from_json(content) if is_json else _from_genericode(content, name)
    if not uri or not version or codes is None:
        raise ConfigurationError(
            Text(
                f"{name} ist keine Codeliste (Genericode, oder JSON des XRepository).",
                f"{name} is not a code list (Genericode, or the XRepository's JSON).",
            ),
            file=name,
        )
    sha256 = hashlib.sha256(content).hexdigest()
    return CodeList(uri=uri, version=version, codes=codes, closed=closed, sha256=sha256)


def named_codes(content: bytes, name: str) -> Mapping[str, str]:
    """Return the codes of a list in its order, each with what people read of it: the first other column that has a text.

    Raises:
        ConfigurationError: It is no code list.
    """
    known = read_code_list(content, name).codes
    rows = _rows_of_json(content) if name.lower().endswith(".json") else _rows_of_genericode(content, name)
    found: dict[str, str] = {}
    for code, *others in rows:
        if code in known:
            found.setdefault(code, next((text for text in others if text), code))
    return found


def _rows_of_genericode(content: bytes, name: str) -> Iterator[list[str]]:
    """Yield the rows of a list, the code first and then what the other columns say."""
    root = parse_schema_document(content, name)
    key = _key_column(root)
    columns = [node.get("Id") for node in root.iterfind("ColumnSet/Column")]
    order = [column for column in columns if column == key] + [column for column in columns if column != key]
    for row in zip(*(list(_cells(root, column)) for column in order), strict=True):
        yield list(row)


def _cells(root: Any, column: str) -> Iterator[str]:
    """Yield what a column says in each row, an empty text where it says nothing."""
    columns = [node.get("Id") for node in root.iterfind("ColumnSet/Column")]
    for row in root.iterfind("SimpleCodeList/Row"):
        yield next(iter(_values_of_row(row, columns, column)), "")


def _rows_of_json(content: bytes) -> Iterator[list[str]]:
    document = orjson.loads(content)
    number = _code_column(document["spalten"])
    for row in document["daten"]:
        texts = [" ".join(cell.split()) if isinstance(cell, str) else "" for cell in row]
        yield [texts[number or 0], *texts[: number or 0], *texts[(number or 0) + 1 :]]


def _from_genericode(content: bytes, name: str) -> tuple[str, str, frozenset[str] | None]:
    root = parse_schema_document(content, name)
    if etree.QName(root).localname != "CodeList":
        return "", "", None
    column = _key_column(root)
    codes = None if column is None else frozenset(_values(root, column))
    uri, version = (root.findtext(f"Identification/{each}", "").strip() for each in ("CanonicalUri", "Version"))
    return uri, version, codes


def _from_json(content: bytes) -> tuple[str, str, frozenset[str] | None]:
    """Read the XRepository's JSON: ``metadaten`` (the list's URI and version), ``spalten``, and ``daten`` as rows of them."""
    try:
        document = orjson.loads(content)
        about, columns, rows = document["metadaten"], document["spalten"], document["daten"]
        number = _code_column(columns)
        if number is None:
            return "", "", None
        codes = frozenset(" ".join(row[number].split()) for row in rows if isinstance(row[number], str))
        return str(about["kennungInhalt"]).strip(), str(about["version"]).strip(), codes
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError, ValueError):
        return "", "", None


def _code_column(columns: list[Any]) -> int | None:
    """Return the number of the column of codes of the XRepository's JSON, None where none is marked as one."""
    marks = [(column.get("empfohleneCodeSpalte") is True, column.get("codeSpalte") is True) for column in columns]
    number = marks.index(max(marks))
    return number if any(marks[number]) else None


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

    def check(self, codes: Iterable[CodedElement], words: Vocabulary, *, cap: int) -> tuple[list[Violation], bool]:
        """Return what the codes of a message break, and whether every one of them was judged, here or by the schema.

        Of each severity so many have their place, which takes a look at all elements beside; what comes after is counted alone.
        """
        found: list[_Wrong] = []
        judged = True
        for coded in codes:
            versions = self._lists.get(coded.uri or "")
            known = None if versions is None else versions.get((coded.version or "").strip())
            if known is not None:
                found += _judged(coded, known)
            elif not coded.enumerated:
                judged = False
                if versions is not None:
                    expected = ", ".join(sorted(versions))
                    found.append(_Wrong("codelist.version", coded.element, expected, "warning"))
                elif not self._lists:
                    break  # Nothing more can come to light.
        placed = Counter[str]()
        violations = []
        for wrong in found:
            placed[wrong.severity] += 1
            violations.append(_violation(wrong, words, placed=placed[wrong.severity] <= cap))
        return violations, judged


class _Wrong(NamedTuple):
    """What is wrong with a code: the rule, the element where it shows, and what is expected."""

    rule: str
    element: Any
    expected: str
    severity: Severity


def _judged(coded: CodedElement, known: CodeList) -> Iterator[_Wrong]:
    if coded.value not in known.codes:
        few = len(known.codes) <= _EXPECTED_CODES
        expected = ", ".join(sorted(known.codes)) if few else f"{known.uri}_{known.version}"
        yield _Wrong("codelist.code", coded.code, expected, "error" if known.closed else "warning")


def _violation(wrong: _Wrong, words: Vocabulary, *, placed: bool) -> Violation:
    return Violation(
        rule=wrong.rule,
        severity=wrong.severity,
        path=document_path(wrong.element, words) if placed else "/*",
        path_kind="xpath",
        line=wrong.element.sourceline if placed else None,
        expected=wrong.expected,
        text=text_of(wrong.rule),
    )


def _key_column(root: Any) -> str | None:
    keys = root.findall("ColumnSet/Key")
    recommended = [key for key in keys if _is_recommended(key)]
    reference = next((key.find("ColumnRef") for key in (*recommended, *keys)), None)
    return reference.get("Ref") if reference is not None else None


def _is_recommended(key: Any) -> bool:
    """Whether a key is marked as the one for messages, by one of the three generations of the XÖV handbook's marks."""
    marks = (etree.QName(mark).localname for mark in key.iterfind("Annotation/AppInfo/*"))
    return any(mark in _RECOMMENDED for mark in marks)


def _values(root: Any, column: str) -> Iterable[str]:
    columns = [node.get("Id") for node in root.iterfind("ColumnSet/Column")]
    for row in root.iterfind("SimpleCodeList/Row"):
        yield from _values_of_row(row, columns, column)


def _values_of_row(row: Any, columns: list[str | None], column: str) -> Iterator[str]:
    position = 0
    for value in row.iterfind("Value"):
        # A value without a reference stands in the column after the one before it (Genericode, section 3.5).
        reference = value.get("ColumnRef")
        position = columns.index(reference) if reference in columns else position
        if columns[position : position + 1] == [column]:
            # As the code of a message is read: white space collapsed.
            yield " ".join((value.findtext("SimpleValue") or "").split())
        position += 1
