"""One XSD 1.0 schema: compiled offline when first needed, then shared by all threads.

Two compiled instances exist: one gives verdicts and is shared (its verdicts are right under concurrency, its error
log is not), one writes reports under a lock and is compiled at the first refused document.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, cast
from urllib.parse import quote, unquote

from lxml import etree

from hub.errors import ConfigurationError, Text, TooLarge
from hub.validation.comparison import Outline, outline_of_xsd
from hub.validation.report import Limits, Violation, text_of
from hub.validation.xml.derivation import derive_tables
from hub.validation.xml.documents import ElementListener, XmlDocument, parse_tree, stream
from hub.validation.xml.met import Met, Overlooked, Respelt, respelt
from hub.validation.xml.places import LOOKED_AT, XSI_TYPE, PlaceTable, PlaceTables
from hub.validation.xml.prepared import GATHERED, Made, Prepared, prepared
from hub.validation.xml.report import (
    Vocabulary,
    XmlFinding,
    document_path,
    faults_beside,
    findings,
    place_of,
    violations_of,
    without_nil,
    without_repeated_ids,
    without_same_count,
    without_same_values,
)
from hub.validation.xml.walk import CodedElement, PlaceListener, PlaceWalk

#: Schema documents carry these addresses while they are compiled, so that relative locations resolve among them.
BASE = "hub:///"
XSD = "{http://www.w3.org/2001/XMLSchema}"
#: What names another document in a schema document.
REFERENCES = tuple(f"{XSD}{name}" for name in ("import", "include", "redefine", "override"))
#: The first bytes of a document, of which one is zero where it is in UTF-16.
_START = 4
#: Locations that every library reads alike.
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
#: Where an annotation, or what is called so within one, begins and ends; and a comment that speaks of one.
_ANNOTATION = re.compile(rb"<(/?)(?:[\w.-]+:)?annotation\b[^<>]*>")
_COMMENTED = re.compile(rb"<!--(?:(?!-->).)*annotation", re.DOTALL)
#: Without these bytes no element of a document chooses its type by xsi:type.
CHOOSES_TYPE = b":type"
#: The types that it may choose: local names, and what may be one once references to characters are read.
_CHOSEN = re.compile(rb""":type\s*=\s*(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True, kw_only=True, slots=True)
class XsdSource:
    """The documents of one standard: ``read`` gives a file's bytes, ``locations`` maps foreign addresses to files."""

    file: str
    closure: tuple[str, ...]
    read: Callable[[str], bytes] = field(repr=False)
    locations: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class XmlFindings:
    """What an XSD has to say of a document; ``unjudged`` elements and attributes have no declaration that judges them.

    ``whole`` says that the judge came to the end, and to all that has a declaration; ``typed`` False that every element
    surely has the type that the schema gives it where it stands.
    """

    violations: tuple[Violation, ...] = ()
    total: int = 0
    unjudged: int = 0
    whole: bool = True
    typed: bool = True
    notes: tuple[Text, ...] = ()
    namespaces: tuple[tuple[str, str], ...] = ()


_NOTHING = XmlFindings()
_NOTHING_CHOSEN = XmlFindings(typed=False)
#: Rules of a document's structure: what stands in such an element, or behind it in its parent, is not judged any more.
_STOPS = frozenset(
    (
        *(
            "xml.root",
            "xml.element-undeclared",
            "xml.element-unexpected",
            "xml.children-unexpected",
            "xml.content-unexpected",
        ),
        *("xml.abstract", "xml.nil", "xml.type", "xml.wildcard"),
    )
)
#: What is said of values that are compared with others.
_SAID_OF_VALUES = frozenset({"xml.enumeration", "xml.fixed"})
#: How often a schema is compiled before it counts as wrong.
_TRIES = 3
#: Complaints of a stream for each violation that a report names; more where some of them may turn out to be none.
_ENOUGH, _ENOUGH_IF_FIXED = 10, 200


class XsdSchema:
    """A schema that judges documents. Thread-safe."""

    def __init__(
        self, source: XsdSource, *, roots: tuple[str, ...], places: Callable[[], PlaceTable] | None = None
    ) -> None:
        """Take a schema; ``places`` gives its table of places, which is derived from the documents otherwise."""
        self.source = source
        self._roots = roots
        self._known_roots = frozenset(roots)
        self._places = places or (lambda: tables_of([source.file], source)[source.file])
        self._lock = Lock()
        self._verdict: etree.XMLSchema | None = None
        self._report: etree.XMLSchema | None = None
        self._vocabulary: Vocabulary | None = None
        self._look_again: PlaceWalk | None = None
        self._look_at_all: PlaceWalk | None = None

    def check(self, document: XmlDocument, limits: Limits) -> XmlFindings:
        """Judge a document.

        Raises:
            Malformed: A streamed document is not well-formed.
            TooLarge: A streamed document is nested too deeply or holds too long a text.
        """
        if document.root not in self._known_roots:
            return self._wrong_root(limits)
        if document.tree is not None:
            return self._check_tree(document, limits)
        return self._check_stream(document.data, limits)

    def compile(self) -> None:
        """Compile the verdict's schema now.

        Raises:
            ConfigurationError: The schema is wrong or needs a document outside its closure.
        """
        if self._verdict is None:
            with self._lock:
                if self._verdict is None:
                    self._verdict = compiled(self.source)

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
        walk = self._look_again
        if walk is None:
            walk = self._look_again = PlaceWalk(self._places())
        return walk

    def walk_of(self, data: bytes) -> PlaceWalk:
        """Return the walk that knows every place of a document, which may choose the type of any by xsi:type."""
        if CHOOSES_TYPE not in data or self._walk.chosen.isdisjoint(_chosen(data)):
            return self._walk
        walk = self._look_at_all
        if walk is None:
            file = self.source.file
            walk = self._look_at_all = PlaceWalk(tables_of([file], self.source, whole=True)[file])
        return walk

    def _check_tree(self, document: XmlDocument, limits: Limits) -> XmlFindings:
        data = document.data
        valid = _verdict(self.compiled(), document.tree)
        # From the end it is found to be absent in half the time: few texts hold a colon, many a word's last letter.
        if valid and data.rfind(CHOOSES_TYPE) < 0 and self._walk.surely_whole(document.tree, document):
            return _NOTHING_CHOSEN
        tree = document.whole_tree()
        met = self._met(tree, data)
        if valid and not met.is_wrong and not self._compares(met):
            return XmlFindings(unjudged=met.unjudged) if met.unjudged else _NOTHING
        return self._described(tree, met, limits, valid=valid)

    def _check_stream(self, data: bytes, limits: Limits) -> XmlFindings:
        table = self.walk_of(data).table
        listener = ElementListener() if len(data) <= limits.walk_bytes else PlaceListener(table)
        enough = (_ENOUGH_IF_FIXED if table.fixes else _ENOUGH) * limits.violations
        complaints = stream(data, self.compiled(), listener, enough=enough)
        if any(entry.type_name == "SCHEMAV_INTERNAL" for entry in complaints):
            raise TooLarge(_given_up(complaints))
        met = listener.met if isinstance(listener, PlaceListener) else self._met(None, data)
        if not complaints and not met.is_wrong and not self._compares(met):
            return XmlFindings(unjudged=met.unjudged) if met.unjudged else _NOTHING
        if len(data) <= limits.report_bytes:
            tree = parse_tree(data)
            if len(complaints) * _widest(tree) <= limits.report_steps:
                return self._described(tree, self._met(tree, data), limits, valid=not complaints)
        return self._without_places(complaints, met, limits, whole=len(complaints) <= enough)

    def _met(self, tree: Any | None, data: bytes) -> Met:
        return self.walk_of(data)(parse_tree(data) if tree is None else tree, typed=CHOOSES_TYPE in data)

    def _compares(self, met: Met) -> bool:
        """Whether keys must be compared anew, because libxml2 takes spellings of one value (-0, hour 24) for two."""
        return self._walk.table.keyed and bool(met.respelt)

    def _described(self, tree: Any, met: Met, limits: Limits, *, valid: bool) -> XmlFindings:
        words = self.words()
        compares = self._compares(met)
        found: list[XmlFinding] = []
        if compares or not valid:
            _collapse_chosen(tree)
            found = self._complaints(respelt(tree, met.respelt))
            found = self._beside_what_is_written(found, tree, met)
            found = without_repeated_ids(found, tree, met.repeated)
            found = without_same_values(found, tree, self._walk.table)
            found = without_nil(found, tree)
        faults = faults_beside(found, tree, met.faults)
        violations = violations_of(found[: limits.violations], tree, words)
        violations += _fault_violations(faults[: limits.violations - len(violations)], words)
        violations += _identifier_violations(met, words, limits.violations - len(violations))
        total = len(found) + len(faults) + len(met.repeated) + sum(1 for _ in met.dangling())
        if not total:
            return XmlFindings(unjudged=met.unjudged) if met.unjudged else _NOTHING
        return XmlFindings(
            violations=tuple(violations),
            total=total,
            unjudged=met.unjudged,
            whole=judged_whole(each.rule for each in found),
            namespaces=words.namespaces,
        )

    def _beside_what_is_written(self, found: list[XmlFinding], tree: Any, met: Met) -> list[XmlFinding]:
        """Return complaints of a tree with values spelt otherwise, held against the tree with the texts as they are written.

        A pattern is about the text. A value is one that is enumerated or fixed if it is so in either spelling: libxml2
        compares some values as texts. Where only the written one is, it stays, and with which keys it is one is not told.
        """
        written = [Respelt(each.element, each.attribute, each.written) for each in met.respelt]
        if written == met.respelt:
            return found
        changed = {(each.element, each.attribute) for each in met.respelt}
        said = [each for each in self._complaints(respelt(tree, written)) if place_of(tree, each) in changed]
        refused = {(place_of(tree, each), each.rule) for each in said}
        mistaken = {
            place
            for each in found
            if each.rule in _SAID_OF_VALUES
            and (place := place_of(tree, each)) in changed
            and (place, each.rule) not in refused
        }
        if mistaken:
            met.unjudged += len(mistaken)
            spelt = zip(met.respelt, written, strict=True)
            chosen = [own if (new.element, new.attribute) in mistaken else new for new, own in spelt]
            found = self._complaints(respelt(tree, chosen))
        return found + [each for each in said if each.rule == "xml.pattern"]

    def _complaints(self, tree: Any) -> list[XmlFinding]:
        with self._lock:
            if self._report is None:
                self._report = compiled(self.source)
            _verdict(self._report, tree)
            return findings(cast("Iterable[Any]", self._report.error_log))

    def _without_places(self, complaints: list[Any], met: Met, limits: Limits, *, whole: bool) -> XmlFindings:
        words = self.words()
        # Elements that have their fixed value in other words draw one complaint each. What was not read wholly stays refused.
        found = without_same_count(findings(complaints), met.same if whole else 0)
        violations = violations_of(found[: limits.violations], None, words)
        repeated, lost = len(met.repeated), sum(1 for _ in met.dangling())
        counts = [(fault.rule, 1) for fault in met.faults]
        for rule, count in (*counts, ("xml.id-repeated", repeated), ("xml.idref-dangling", lost)):
            violations += [_placeless(rule)] * min(count, limits.violations - len(violations))
        total = len(found) + len(met.faults) + repeated + lost
        if not total and not self._compares(met):
            return XmlFindings(unjudged=met.unjudged) if met.unjudged else _NOTHING
        if not total:
            raise TooLarge(_KEYS)
        return XmlFindings(
            violations=tuple(violations),
            total=total,
            unjudged=met.unjudged,
            whole=whole and judged_whole(each.rule for each in found),
            notes=(_NO_PLACES,),
            namespaces=words.namespaces,
        )

    def _wrong_root(self, limits: Limits) -> XmlFindings:
        words = self.words()
        expected = ", ".join(words.shown(root) for root in self._roots[: limits.violations])
        violation = Violation(
            rule="xml.root", path="/*", path_kind="xpath", line=None, expected=expected, text=text_of("xml.root")
        )
        return XmlFindings(violations=(violation,), total=1, whole=False, namespaces=words.namespaces)

    def compiled(self) -> etree.XMLSchema:
        """Return the instance that gives verdicts, compiled when first asked for."""
        self.compile()
        assert self._verdict is not None  # noqa: S101  # compile() has just set it or raised
        return self._verdict

    def words(self) -> Vocabulary:
        """Return what the schema itself declares: the only names that a report uses."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary.of(self._documents())
        return self._vocabulary

    def _documents(self) -> Iterator[Any]:
        return (parse_schema_document(self.source.read(name), name) for name in self.source.closure)


def judged_whole(rules: Iterable[str]) -> bool:
    """Whether a document that breaks some rules was judged to its end all the same."""
    return _STOPS.isdisjoint(rules)


def tables_of(files: Iterable[str], source: XsdSource, *, whole: bool = False) -> PlaceTables:
    """Return the tables of places of schema files that share their documents, once they were found to compile.

    ``whole`` tables know every place, those too that only xsi:type makes one.

    Raises:
        ConfigurationError: A document cannot be read.
    """
    trees: dict[str, Any] = {}

    def tree(name: str) -> Any:
        if name not in trees:
            trees[name] = parse_schema_document(source.read(name), name)
        return trees[name]

    return derive_tables(files, tree, locating(source), whole=whole)


def compiled(source: XsdSource, made: Made | None = None) -> etree.XMLSchema:
    """Compile a schema from its closure alone; ``made`` keeps what was made of documents for schemas that share them.

    libxml2 has one loader of included documents for the whole process, which lxml sets and sets back. Under load, and once in
    many starts, a part of a good schema was not found at the first try; the next one found it.

    Raises:
        ConfigurationError: It is wrong, or needs a document outside the closure.
        MemoryError: There is none left, which says nothing of the schema.
    """
    kept = Made() if made is None else made
    for _ in range(_TRIES - 1):
        with suppress(ConfigurationError):
            return _compiled_once(source, kept)
    return _compiled_once(source, kept)


def _compiled_once(source: XsdSource, made: Made) -> etree.XMLSchema:
    gathered: Mapping[str, Sequence[str]] = {}

    def located(name: str) -> bytes:
        if name not in made.located:
            made.located[name] = _located(source, name)
        return made.located[name]

    try:
        # An import that fails to load is only a warning to libxml2, which would judge by what is left.
        require_closure(source)
        documents = prepared(source.file, source.closure, located, locating(source), address_of, made=made)
        gathered = documents.gathered
        parser = _schema_parser()
        parser.resolvers.add(_Closure(source, documents))
        root = etree.fromstring(documents.read(documents.root), parser, base_url=address_of(documents.root))
        return etree.XMLSchema(root)
    except (etree.XMLSyntaxError, etree.XMLSchemaParseError, LookupError) as error:
        _tell_memory(error)
        raise _does_not_compile(source.file, error, gathered) from error


def _does_not_compile(file: str, error: Exception, gathered: Mapping[str, Sequence[str]]) -> ConfigurationError:
    german = f"Das Schema {file} lässt sich nicht übersetzen. Prüfen Sie es mit einem XSD-Werkzeug: {error}"
    english = f"The schema {file} does not compile. Check it with an XSD tool: {error}"
    for namespace, names in gathered.items():
        several = ", ".join(names)
        german += f" Zum Namensraum {namespace} gehören mehrere Dateien, die zusammen gelesen werden: {several}."
        english += f" Several files belong to the namespace {namespace} and are read together: {several}."
    return ConfigurationError(Text(german, english), file=file)


def locating(source: XsdSource) -> Callable[[str, str], str | None]:
    """Return what tells the file of a closure that a location in one of its files means."""
    known = frozenset(source.closure)

    def locate(location: str, base: str) -> str | None:
        name = resolved(location, base, known.__contains__, source.locations)
        return name if name in known else None

    return locate


def require_closure(source: XsdSource) -> None:
    """Read every document of a schema, so that none of them is left out in silence by who follows references alone.

    Raises:
        ConfigurationError: One of them is missing or changed.
    """
    for name in source.closure:
        source.read(name)


def parse_schema_document(content: bytes, name: str) -> Any:
    """Parse one schema document into a tree (its root element).

    Raises:
        ConfigurationError: It is not well-formed or has a document type declaration that declares anything.
        MemoryError: There is none left, which says nothing of the document.
    """
    try:
        root = etree.fromstring(content, _schema_parser(), base_url=address_of(name))
    except etree.XMLSyntaxError as error:
        _tell_memory(error)
        raise ConfigurationError(
            Text(f"{name} ist kein wohlgeformtes XML.", f"{name} is not well-formed XML."), file=name
        ) from error
    return root


def _tell_memory(error: Exception) -> None:
    """Raise ``MemoryError`` where libxml2 had none left: it tells of that as of a mistake in the document."""
    if any(entry.type_name == "ERR_NO_MEMORY" for entry in getattr(error, "error_log", ())):
        raise MemoryError from error


def resolved(location: str, base: str, known: Callable[[str], bool], locations: Mapping[str, str]) -> str | None:
    """Return the file that a schemaLocation in ``base`` means, or None if it is not among the known ones.

    Packages write file names with blanks, umlauts and backslashes as they are, and percent-encoded ones, as a URI demands.
    """
    location = location.strip()
    if "://" in location and not location.startswith(BASE):
        return locations.get(location)
    for path in _paths(location, base):
        if known(path):
            return path
    return next((locations[path] for path in _paths(location, base) if path in locations), None)


def _paths(location: str, base: str) -> Iterator[str]:
    """Yield the names below the package that a location can mean: as it is written first, then decoded."""
    if location.startswith(BASE):
        yield posixpath.normpath(unquote(location.removeprefix(BASE).partition("#")[0]))
        return
    plain = location.partition("#")[0]
    for written in (location, plain, unquote(plain), " ".join(plain.split())):
        for path in (written, written.replace("\\", "/")):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(base), path))


def address_of(name: str) -> str:
    """Return the address under which a file of a closure is compiled: a URI, whatever the name is."""
    return BASE + quote(name)


def _located(source: XsdSource, name: str) -> bytes:
    """Return a document as it is compiled: locations that libxml2 takes for no URI are put as addresses of what they mean."""
    content = source.read(name)
    root = parse_schema_document(content, name)
    # What comes after looks for words in bytes, and writes UTF-8.
    changed = b"\0" in content[:_START]
    for node in root.iterchildren(*REFERENCES):
        location = node.get("schemaLocation", "")
        if location and _PLAIN.fullmatch(location) is None:
            meant = resolved(location, name, source.closure.__contains__, source.locations)
            if meant is not None:
                node.set("schemaLocation", address_of(meant))
                changed = True
    return _without_annotations(etree.tostring(root.getroottree(), encoding="utf-8") if changed else content)


def _without_annotations(content: bytes) -> bytes:
    """Return a schema document without its annotations, half of many: they judge nothing, and each schema would hold them.

    Lines stay where they were: the compiler names them.
    """
    if b"<![CDATA[" in content or _COMMENTED.search(content) is not None:
        return content
    kept: list[bytes] = []
    end = depth = 0
    for tag in _ANNOTATION.finditer(content):
        if tag[0].endswith(b"/>"):
            continue
        if depth == 0:
            kept.append(content[end : tag.start()])
            end = tag.start()
        depth += -1 if tag[1] else 1
        if depth == 0:
            kept.append(b"\n" * content.count(b"\n", end, tag.end()))
            end = tag.end()
    return content if depth else b"".join((*kept, content[end:]))


class _Closure(etree.Resolver):
    """Serves the documents of one closure and refuses every other address, files and networks alike."""

    def __init__(self, source: XsdSource, documents: Prepared) -> None:
        super().__init__()
        self.source = source
        self._documents = documents
        self._files = frozenset(source.closure)

    def resolve(self, system_url: str, _public_id: str, context: Any) -> Any:  # type: ignore[override]
        name = resolved(system_url, "", self._files.__contains__, self.source.locations)
        if system_url.startswith(BASE + GATHERED):
            name = system_url.removeprefix(BASE)
        elif name is None or name not in self._files:
            raise LookupError(f"{system_url} is outside the closure")
        return self.resolve_string(self._documents.read(name), context, base_url=address_of(name))


def _schema_parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def _verdict(schema: etree.XMLSchema, tree: Any) -> bool:
    try:
        return bool(schema.validate(tree))
    except etree.XMLSchemaValidateError as error:
        # libxml2 gives up when a pattern needs too many steps on a value, and at what it has not made ready.
        raise TooLarge(_given_up(error.error_log)) from error


def _given_up(log: Iterable[Any]) -> Text:
    return _DEFAULT_IN_KEY if any(_NOT_READY in entry.message for entry in log) else _GIVEN_UP


def _collapse_chosen(tree: Any) -> None:
    """Collapse the white space around types that a document chooses (part 2, 4.3.6): libxml2 does not."""
    for element in tree.iter("*"):
        chosen = element.get(XSI_TYPE)
        if chosen is not None and chosen != chosen.strip():
            element.set(XSI_TYPE, chosen.strip())


def _fault_violations(faults: Iterable[Overlooked], words: Vocabulary) -> list[Violation]:
    return [
        Violation(
            rule=fault.rule,
            path=document_path(fault.element, words, attribute=fault.attribute),
            path_kind="xpath",
            line=fault.element.sourceline,
            expected=fault.expected,
            text=text_of(fault.rule),
        )
        for fault in faults
    ]


def _identifier_violations(met: Met, words: Vocabulary, room: int) -> list[Violation]:
    places = [("xml.id-repeated", place) for place in met.repeated]
    places += [("xml.idref-dangling", place) for place in met.dangling()]
    return [
        Violation(
            rule=rule,
            path=document_path(element, words, attribute=attribute),
            path_kind="xpath",
            line=element.sourceline,
            text=text_of(rule),
        )
        for rule, (element, attribute) in places[: max(room, 0)]
    ]


def _chosen(data: bytes) -> set[str]:
    """Return the local names of the types that a document chooses by xsi:type, and of what may be one."""
    named = {name for pair in _CHOSEN.findall(data) for name in pair if name}
    if any(b"&" in name for name in named):
        return {*LOOKED_AT}
    return {name.strip().rpartition(b":")[2].decode("utf-8", "replace") for name in named}


def _placeless(rule: str) -> Violation:
    return Violation(rule=rule, path="/*", path_kind="xpath", line=None, text=text_of(rule))


def _widest(tree: Any) -> int:
    return max(len(element) for element in tree.iter())


_GIVEN_UP = Text(
    "Die Prüfung eines Musters wurde abgebrochen, weil sie an einem langen Wert zu lange dauerte. Kürzen Sie lange Texte.",
    "Checking a pattern was given up because it took too long on a long value. Shorten long texts.",
)
#: What libxml2 says where it meets the default value of a use of a global attribute while it gathers keys.
_NOT_READY = "default/fixed value on an attribute use was not precomputed"
_DEFAULT_IN_KEY = Text(
    "Die Prüfung wurde abgebrochen: Ein Schlüssel des Schemas umfasst ein Attribut, dem das Schema einen Vorgabewert gibt, und "
    "im Dokument fehlt es. Schreiben Sie dieses Attribut mit seinem Wert aus.",
    "The check was given up: a key of the schema covers an attribute to which the schema gives a default value, and which the "
    "document leaves out. Write that attribute out with its value.",
)
_KEYS = Text(
    "Das Dokument ist zu groß, um Schlüssel zu vergleichen, unter denen ein Wert in ungewöhnlicher Schreibweise steht (-0 oder "
    "die Stunde 24). Schreiben Sie 0 und 00:00:00.",
    "The document is too large to compare keys among which a value is spelt in an unusual way (-0, or the hour 24). Write 0 "
    "and 00:00:00.",
)
_NO_PLACES = Text(
    "Das Dokument ist zu groß oder enthält zu viele Verstöße, um jede Stelle zu nennen; die Regeln stehen im Bericht, "
    "die Gesamtzahl ist eine Mindestzahl.",
    "The document is too large, or breaks too many rules, to name each place; the rules stand in the report, and the "
    "total is a lower bound.",
)
