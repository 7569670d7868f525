"""XML Schema 1.1 (assertions, alternatives), by xmlschema in a process of its own that can be killed.

libxml2 knows XML Schema 1.0 only. xmlschema runs patterns and assertions in Python, which no thread can stop: so each document
is judged in a child process with limits on time and memory. That costs about a second, and is meant for the few standards
that need it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson

from hub.errors import ConfigurationError, Text, TooLarge
from hub.validation.comparison import Outline, outline_of_xsd
from hub.validation.report import MIB, Limits, Violation, text_of
from hub.validation.sandbox import Bounds, ask, question_of
from hub.validation.xml.documents import XmlDocument, parse_tree
from hub.validation.xml.places import PlaceTable
from hub.validation.xml.prepared import Made, prepared
from hub.validation.xml.report import Vocabulary, document_path
from hub.validation.xml.walk import CodedElement, PlaceWalk
from hub.validation.xml.xsd import (
    CHOOSES_TYPE,
    XmlFindings,
    XsdSource,
    judged_whole,
    locating,
    parse_schema_document,
    require_closure,
    tables_of,
)

# It takes longer to load than everything else here together, and only a child and an import need it.
if TYPE_CHECKING:
    import xmlschema

#: The largest document that a child judges, and its limits.
DOCUMENT_BYTES = 4 * MIB
BOUNDS = Bounds(memory=1024 * MIB, cpu=20, seconds=20)


class Xsd11Schema:
    """A schema that judges documents in child processes. Thread-safe."""

    def __init__(
        self,
        source: XsdSource,
        *,
        folder: Path,
        roots: tuple[str, ...],
        places: Callable[[], PlaceTable] | None = None,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """Take a schema; ``places`` gives its table of places, which is derived from the documents otherwise."""
        self.source = source
        self._places = places or (lambda: tables_of([source.file], source)[source.file])
        self._look: PlaceWalk | None = None
        self._folder = folder
        self._roots = roots
        self._bounds = bounds
        self._lock = Lock()
        self._vocabulary: Vocabulary | None = None

    def check(self, document: XmlDocument, limits: Limits) -> XmlFindings:
        """Judge a document.

        Raises:
            TooLarge: It is over the cap of XML Schema 1.1, or judging it took too long or too much memory.
        """
        words = self.words()
        if document.root not in self._roots:
            expected = ", ".join(words.shown(root) for root in self._roots[: limits.violations])
            return _findings([_violation("xml.root", "/*", None, expected)], 1, words)
        if len(document.data) > DOCUMENT_BYTES:
            raise TooLarge(_LARGE)
        answer = self._ask(document.data, limits.violations)
        tree = document.whole_tree()
        unjudged = self._walk(tree, typed=CHOOSES_TYPE in document.data).unjudged
        found = [
            _violation(item["rule"], item["path"], item["line"], item["expected"]) for item in answer["violations"]
        ]
        return _findings(found, int(answer["total"]), words, unjudged=unjudged)

    def compile(self) -> None:
        """Compile the schema in a child process.

        Raises:
            ConfigurationError: It is wrong.
        """
        self._ask(b"", 0)

    def outline(self) -> Outline:
        """Return what a sender sees of the schema."""
        return outline_of_xsd(self._documents(), self._roots)

    def codes(self, tree: Any, *, typed: bool) -> Iterator[CodedElement]:
        """Yield every element of a tree that holds a code, with the list that the message or the schema names for it.

        ``typed`` says that some of its elements may have another type than the schema gives them, or none.
        """
        return self._walk.codes(tree, typed=typed)

    @property
    def _walk(self) -> PlaceWalk:
        if self._look is None:
            self._look = PlaceWalk(self._places())
        return self._look

    def words(self) -> Vocabulary:
        """Return what the schema itself declares: the only names that a report uses."""
        if self._vocabulary is None:
            with self._lock:
                self._vocabulary = Vocabulary.of(self._documents())
        return self._vocabulary

    def _documents(self) -> Iterator[Any]:
        return (parse_schema_document(self.source.read(name), name) for name in self.source.closure)

    def _ask(self, data: bytes, cap: int) -> Any:
        question = {
            "folder": str(self._folder.resolve()),
            "file": self.source.file,
            "closure": list(self.source.closure),
            "locations": dict(self.source.locations),
            "cap": cap,
        }
        # The child reads the files anew each time; nobody has looked at them since the catalogue was loaded.
        require_closure(self.source)
        ended = ask("hub.validation.xml.xsd11", question, data, bounds=self._bounds)
        if ended.code == _WRONG_SCHEMA:
            raise _wrong(self.source)
        if ended.code != 0:
            raise TooLarge(_GIVEN_UP)
        return orjson.loads(ended.answer)


def compiled_xsd11(source: XsdSource, folder: Path) -> xmlschema.XMLSchema11:
    """Compile a schema whose documents lie in ``folder``, in this process: only where it may be lost.

    Raises:
        ConfigurationError: It is wrong.
    """
    import xmlschema

    with TemporaryDirectory() as made:
        # Of a namespace xmlschema reads one document, too, and some classes of patterns otherwise than part 2.
        scratch = Path(made)
        documents = prepared(
            source.file,
            source.closure,
            source.read,
            locating(source),
            lambda name: (scratch / name).as_uri(),
            made=Made(),
            apart=False,
        )
        written = {name: documents.read(name) for name in (*source.closure, *documents.generated)}
        if documents.generated or any(content != source.read(name) for name, content in written.items()):
            folder = scratch
            for name, content in written.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        places = {address: (folder / name).as_uri() for address, name in source.locations.items()}
        try:
            return xmlschema.XMLSchema11(
                str(folder / documents.root),
                defuse="always",
                allow="local",
                uri_mapper=lambda uri: places.get(uri, uri),
            )
        except (xmlschema.XMLSchemaException, OSError, ValueError) as error:
            raise _wrong(source, documents.gathered) from error


def _wrong(source: XsdSource, gathered: Mapping[str, Sequence[str]] | None = None) -> ConfigurationError:
    german, english = f"Das Schema {source.file} ist fehlerhaft.", f"The schema {source.file} is wrong."
    for namespace, names in (gathered or {}).items():
        several = ", ".join(names)
        german += f" Zum Namensraum {namespace} gehören mehrere Dateien, die zusammen gelesen werden: {several}."
        english += f" Several files belong to the namespace {namespace} and are read together: {several}."
    return ConfigurationError(Text(german, english), file=source.file)


def _violation(rule: str, path: str, line: int | None, expected: str | None) -> Violation:
    return Violation(rule=rule, path=path, path_kind="xpath", line=line, expected=expected, text=text_of(rule))


def _findings(found: list[Violation], total: int, words: Vocabulary, *, unjudged: int = 0) -> XmlFindings:
    namespaces = words.namespaces if found else ()
    whole = judged_whole(each.rule for each in found) and total == len(found)
    return XmlFindings(violations=tuple(found), total=total, unjudged=unjudged, whole=whole, namespaces=namespaces)


# What follows runs in the child.

_WRONG_SCHEMA = 3

#: Name of the part of the schema that objects (xmlschema's class) -> rule.
_RULES = {
    "XsdAssert": "xml.assertion",
    "XsdAssertionFacet": "xml.assertion",
    "XsdPatternFacets": "xml.pattern",
    "XsdEnumerationFacets": "xml.enumeration",
    "XsdLengthFacet": "xml.length",
    "XsdMinLengthFacet": "xml.min-length",
    "XsdMaxLengthFacet": "xml.max-length",
    "XsdMinInclusiveFacet": "xml.minimum",
    "XsdMinExclusiveFacet": "xml.minimum",
    "XsdMaxInclusiveFacet": "xml.maximum",
    "XsdMaxExclusiveFacet": "xml.maximum",
    "XsdTotalDigitsFacet": "xml.digits",
    "XsdFractionDigitsFacet": "xml.digits",
    "Xsd11AttributeGroup": "xml.attribute-unexpected",
    "XsdAttributeGroup": "xml.attribute-unexpected",
}


def _serve(question: dict[str, Any], data: bytes) -> bytes:
    folder = Path(question["folder"])

    def read(name: str) -> bytes:
        return (folder / name).read_bytes()

    closure = tuple(question["closure"])
    source = XsdSource(file=question["file"], closure=closure, read=read, locations=question["locations"])
    try:
        words = Vocabulary.of(parse_schema_document(read(name), "") for name in closure)
        schema = compiled_xsd11(source, folder)
    except (ConfigurationError, OSError):
        sys.exit(_WRONG_SCHEMA)
    if not data:
        return orjson.dumps({"violations": [], "total": 0})
    found: list[dict[str, Any]] = []
    total = 0
    for error in schema.iter_errors(parse_tree(data)):
        total += 1
        if len(found) < question["cap"]:
            found.append(_described(error, words))
    return orjson.dumps({"violations": found, "total": total})


def _described(error: Any, words: Vocabulary) -> dict[str, Any]:
    element, validator = error.elem, error.validator
    rule = _RULES.get(type(validator).__name__, "xml.schema-rule")
    if type(error).__name__ == "XMLSchemaChildrenValidationError":
        rule = "xml.element-missing" if error.invalid_child is None else "xml.element-unexpected"
    elif type(error).__name__ == "XMLSchemaDecodeError":
        rule = "xml.datatype"
    return {
        "rule": rule,
        "path": document_path(element, words) if element is not None else "/*",
        "line": getattr(element, "sourceline", None),
        # An assertion's test is the schema's own expression.
        "expected": str(validator.path)[:400] if rule == "xml.assertion" else None,
    }


_LARGE = Text(
    f"Dokumente dieses Standards (XML Schema 1.1) dürfen höchstens {DOCUMENT_BYTES // MIB} MiB groß sein.",
    f"Documents of this standard (XML Schema 1.1) may have at most {DOCUMENT_BYTES // MIB} MiB.",
)
_GIVEN_UP = Text(
    "Die Prüfung wurde abgebrochen, weil sie zu lange dauerte oder zu viel Speicher brauchte. Kürzen Sie das Dokument.",
    "Checking was given up because it took too long or too much memory. Shorten the document.",
)

if __name__ == "__main__":
    sys.stdout.buffer.write(_serve(*question_of()))
