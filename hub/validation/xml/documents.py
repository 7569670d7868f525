"""Reading XML from strangers and judging it by an XSD 1.0 schema, hardened and offline.

A document is refused before it is parsed if it is too large, in an encoding outside the allow-list, or has a document
type declaration (so no entity, no external subset and no default attribute is ever declared). libxml2 then parses with
entities, network and huge trees off: nesting over 256 and single texts over 10 MB are refused. XInclude and
xsi:schemaLocation are never acted upon.

Small documents become a tree once and are judged on it; large ones are streamed, so the verdict needs bounded memory.

Threads of their own for documents that would leave too much behind.

lxml keeps every name that a thread has parsed in a dictionary of that thread, which is freed when the thread ends and not
before. A sender who invents names could fill it, a little with each document. So large documents are judged in a thread that
ends with them; and a thread that has judged many bytes of strange small ones hands all further ones to such threads too.
"""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lxml import etree

from hub.errors import Malformed, Overloaded, Text, TooLarge
from hub.validation.report import MIB, Limits

#: Declared encodings that are read, and the codec that reads each. Everything is handed to libxml2 as UTF-8.
_ENCODINGS = {
    "utf-8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
    "windows-1252": "cp1252",
}
_UTF16_NAMES = frozenset({"utf-16", "utf-16le", "utf-16be"})
_DECLARED = re.compile(rb"""<\?xml\s[^>?]*?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
#: What may stand before the root element, and its name as it is written; possessive, so that it runs in linear time.
_PROLOG = re.compile(rb"(?:\s|<\?.*?\?>|<!--.*?-->)*+<(!|[^\s/>]{1,200})", re.DOTALL)
#: Bytes fed to libxml2 at a time: small enough that other threads run, large enough to be fast.
_CHUNK = 64 * 1024
#: Bytes fed at a time while only the root's tag is wanted.
_HEAD = 4096
#: Larger documents are parsed as all are: a parser that notices holds its last document until the next one comes.
_NOTICED_BYTES = 64 * 1024
#: Heads of documents that a thread keeps parsers for.
_MOST_HEADS = 16
_HARDENED: dict[str, Any] = {
    "encoding": "UTF-8",
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "attribute_defaults": False,
    "huge_tree": False,
    "collect_ids": False,
}
#: libxml2's XML_ERR_RESOURCE_LIMIT.
_RESOURCE_LIMIT = 114


class Noticed(NamedTuple):
    """What a parser noticed on its way: every element that has one of some names, in their order."""

    names: tuple[str, ...]
    elements: list[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class XmlDocument:
    """A readable XML document: UTF-8 bytes, and its tree if it is small. ``root`` is ``{namespace}local``.

    ``head`` is the root's name as the document writes it, ``noticed`` what :func:`notice` asked for, if it did: blanks
    between elements are left out of such a tree.
    """

    root: str
    data: bytes = field(repr=False)
    tree: Any | None = field(repr=False)
    head: bytes = field(default=b"", repr=False)
    noticed: Noticed | None = field(default=None, repr=False)

    def whole_tree(self) -> Any:
        """Return the tree with all that the document holds, made where need be."""
        return parse_tree(self.data) if self.tree is None or self.noticed is not None else self.tree


def read_xml(data: bytes, limits: Limits) -> XmlDocument:
    """Read a document without trusting it.

    Raises:
        Malformed: It is not well-formed, has a document type declaration or is in an encoding that is not read.
        TooLarge: It is over a cap.
    """
    if len(data) > limits.xml_bytes:
        raise TooLarge(_too_large(limits.xml_bytes))
    text = _as_utf8(data)
    head = _head_of(text)
    if len(text) > limits.tree_bytes:
        return XmlDocument(root=_first_tag(text), data=text, tree=None)
    if head not in _TREES.wanted or len(text) > _NOTICED_BYTES or not is_plain(text) or b"\r" in text:
        tree = parse_tree(text)
        return XmlDocument(root=tree.tag, data=text, tree=tree, head=head)
    tree, noticed = _parse_noticing(text, head)
    return XmlDocument(root=tree.tag, data=text, tree=tree, head=head, noticed=noticed)


def notice(head: bytes, names: tuple[str, ...]) -> None:
    """Have this thread's next small documents whose root is written as ``head`` parsed with an eye for elements of some names.

    To find them among others afterwards, lxml takes down every name anew for each document. Blanks between elements are left
    out, a third of many trees: XML Schema knows none there. libxml2 keeps those in elements that hold nothing else, if no
    comment, instruction or carriage return stands beside them; documents with such are parsed as all others.
    """
    wanted = _TREES.wanted
    if len(wanted) >= _MOST_HEADS:
        wanted.pop(next(iter(wanted)))
    wanted[head] = _Wanted(names)


def is_plain(text: bytes) -> bool:
    """Whether UTF-8 bytes surely hold no comment, no CDATA section and no processing instruction.

    One character is found much faster than two: rather a look too many than a comment overlooked.
    """
    return b"!" not in text and not may_instruct(text)


def may_instruct(text: bytes) -> bool:
    """Whether UTF-8 bytes may hold a processing instruction; an XML declaration is none."""
    declared = text.find(b"?>") + 2 if text.startswith(b"<?xml") and text[5:6].isspace() else 0
    return text.find(b"?", declared) >= 0


def parse_tree(text: bytes) -> Any:
    """Parse UTF-8 bytes into a tree (its root element)."""
    try:
        root = etree.fromstring(text, _TREES.parser)
    except etree.XMLSyntaxError as error:
        raise _unreadable(error) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed(_DOCTYPE)
    return root


def _parse_noticing(text: bytes, head: bytes) -> tuple[Any, Noticed | None]:
    # A parser that stumbled is not used again.
    wanted = _TREES.wanted.pop(head)
    parser = wanted.parser
    try:
        parser.feed(text)
        root = parser.close()
    except etree.XMLSyntaxError:
        # What is wrong, and where, is said by the parser that says it of all documents.
        return parse_tree(text), None
    elements = [element for _, element in parser.read_events()]
    _TREES.wanted[head] = wanted
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed(_DOCTYPE)
    return root, Noticed(wanted.names, elements)


class ElementListener:
    """What a stream tells along the way: nothing. A subclass with ``start``, ``data`` or ``end`` is told of those."""

    def pi(self, _target: str, _data: str | None) -> None:
        """Ignore processing instructions; lxml demands at least one method."""

    def close(self) -> None:
        """Nothing is built, so nothing is returned."""


def stream(text: bytes, schema: etree.XMLSchema, listener: ElementListener, *, enough: int) -> list[Any]:
    """Validate UTF-8 bytes in one pass and bounded memory, without a tree.

    Returns the schema's complaints (lxml log entries without places), which may end early after ``enough`` of them. The
    complaints belong to this parse alone, so a schema may be shared between threads.

    Raises:
        Malformed: The document is not well-formed.
        TooLarge: It is nested too deeply or holds too long a text.
    """
    parser = _parser(target=listener, schema=schema)
    try:
        _feed(parser, text, enough)
    except etree.XMLSyntaxError as error:
        if len(parser.feed_error_log) > 0:
            # The error speaks of the schema; parsed without one, the document says where it is broken.
            refuse_if_malformed(text)
        raise _unreadable(error) from error
    return list(parser.feed_error_log)


def refuse_if_malformed(text: bytes) -> None:
    """Parse UTF-8 bytes in bounded memory and raise what is wrong with them.

    Raises:
        Malformed: The document is not well-formed.
        TooLarge: It is nested too deeply or holds too long a text.
    """
    try:
        _feed(_parser(target=ElementListener()), text, 0)
    except etree.XMLSyntaxError as error:
        raise _unreadable(error) from error


def _feed(parser: etree.XMLParser, text: bytes, enough: int) -> None:
    for start in range(0, len(text), _CHUNK):
        parser.feed(text[start : start + _CHUNK])
        if len(parser.feed_error_log) > enough:
            return
    parser.close()


def _parser(*, target: Any = None, schema: etree.XMLSchema | None = None) -> etree.XMLParser:
    return etree.XMLParser(target=target, schema=schema, **_HARDENED)


class _Wanted:
    """A parser that notices elements of some names on its way."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.parser = etree.XMLPullParser(events=("start",), tag=names, remove_blank_text=True, **_HARDENED)


class _Trees(threading.local):
    """Each thread's parsers of trees: one locks while it is in use, and its buffers cost a twentieth of a small document.

    ``wanted`` are those that notice something, by the head of the documents that they are for.
    """

    def __init__(self) -> None:
        self.parser = _parser()
        self.wanted: dict[bytes, _Wanted] = {}


_TREES = _Trees()


def _first_tag(text: bytes) -> str:
    parser = etree.XMLPullParser(events=("start",), encoding="UTF-8", resolve_entities=False, no_network=True)
    try:
        for start in range(0, len(text), _HEAD):
            parser.feed(text[start : start + _HEAD])
            events: Any = parser.read_events()
            for _event, element in events:
                return str(element.tag)
        parser.close()
    except etree.XMLSyntaxError as error:
        raise _unreadable(error) from error
    raise Malformed(_EMPTY)


def _as_utf8(data: bytes) -> bytes:
    head = data[:4]
    if head.startswith(codecs.BOM_UTF8):
        # libxml2 skips the mark itself, but the prolog is read here first.
        return _declared_as(data[3:], allowed=frozenset({"utf-8"}))
    if head in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise Malformed(_ENCODING)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _declared_as(_transcoded(data, "utf-16"), allowed=_UTF16_NAMES)
    if b"\0" in head:
        raise Malformed(_ENCODING)
    declared = _declared(data)
    codec = _ENCODINGS.get(declared)
    if codec is None:
        raise Malformed(_ENCODING)
    return data if codec == "utf-8" else _transcoded(data, codec)


def _declared(data: bytes) -> str:
    match = _DECLARED.match(data, 0, 200) if data.startswith(b"<?xml") else None
    return match.group(1).decode("ascii").lower() if match else "utf-8"


def _declared_as(data: bytes, *, allowed: frozenset[str]) -> bytes:
    if data.startswith(b"<?xml") and _DECLARED.match(data, 0, 200) and _declared(data) not in allowed:
        raise Malformed(_ENCODING)
    return data


def _transcoded(data: bytes, codec: str) -> bytes:
    try:
        return data.decode(codec).encode("utf-8")
    except UnicodeError as error:
        raise Malformed(_ENCODING_BROKEN) from error


def _head_of(text: bytes) -> bytes:
    """Return the name of the root element as it is written, cut short; refuse a document type declaration before it."""
    match = _PROLOG.match(text)
    head = b"" if match is None else match.group(1)
    if head == b"!":
        raise Malformed(_DOCTYPE)
    return head


def _unreadable(error: etree.XMLSyntaxError) -> Malformed | TooLarge:
    line, column = max(int(error.lineno or 1), 1), max(int(error.offset or 0), 0)
    if getattr(error, "code", None) == _RESOURCE_LIMIT:
        return _beyond_limits(line)
    return Malformed(
        Text(
            f"Das Dokument ist kein wohlgeformtes XML: Fehler in Zeile {line}, Spalte {column}. "
            "Prüfen Sie diese Stelle mit einem XML-Werkzeug.",
            f"The document is not well-formed XML: error in line {line}, column {column}. "
            "Check that place with an XML tool.",
        ),
        line=line,
        column=column,
    )


def _beyond_limits(line: int) -> TooLarge:
    return TooLarge(
        Text(
            f"Das XML ist in Zeile {line} zu tief geschachtelt (über 256) oder enthält einen Text von über 10 MB. "
            "Senden Sie große Inhalte als Anlage.",
            f"The XML is nested too deeply (over 256) or holds a text of over 10 MB in line {line}. "
            "Send large contents as attachments.",
        ),
        line=line,
    )


def _too_large(limit: int) -> Text:
    return Text(
        f"Das Dokument ist größer als {limit // MIB} MiB. Senden Sie große Inhalte als Anlage.",
        f"The document is larger than {limit // MIB} MiB. Send large contents as attachments.",
    )


_DOCTYPE = Text(
    "Das Dokument enthält eine Dokumenttyp-Deklaration (<!DOCTYPE …>). Entfernen Sie sie; DTD und Entitäten werden "
    "nicht angenommen.",
    "The document has a document type declaration (<!DOCTYPE …>). Remove it; DTDs and entities are not accepted.",
)
_ENCODING = Text(
    "Diese Zeichenkodierung wird nicht angenommen. Senden Sie UTF-8 (auch möglich: UTF-16 mit BOM, ISO-8859-1, "
    "ISO-8859-15, Windows-1252), und nennen Sie in der XML-Deklaration die wirkliche Kodierung.",
    "This character encoding is not accepted. Send UTF-8 (also possible: UTF-16 with BOM, ISO-8859-1, ISO-8859-15, "
    "windows-1252), and name the real encoding in the XML declaration.",
)
_ENCODING_BROKEN = Text(
    "Das Dokument enthält Bytes, die es in seiner Zeichenkodierung nicht gibt. Senden Sie UTF-8.",
    "The document holds bytes that do not exist in its character encoding. Send UTF-8.",
)
_NO_THREAD = Text(
    "Der Hub kann das Dokument gerade nicht prüfen, weil ihm Threads fehlen. Bitte gleich noch einmal versuchen.",
    "The hub cannot check the document at the moment, for it is short of threads. Please try again shortly.",
)
_EMPTY = Text("Das Dokument ist leer.", "The document is empty.")


T = TypeVar("T")

#: Bytes of strange documents after which a thread is not used for parsing any more.
_ALLOWANCE = 4 * 1024 * 1024


class _Spent(threading.local):
    strange_bytes = 0


_spent = _Spent()


def note_strange(size: int) -> None:
    """Take down that this thread has parsed a document of ``size`` bytes which may hold names of its sender's own."""
    _spent.strange_bytes += size


def is_worn() -> bool:
    """Whether this thread has parsed enough strange names."""
    return _spent.strange_bytes > _ALLOWANCE


def in_own_thread(work: Callable[[], T]) -> T:
    """Do some work in a thread that ends with it, and return or raise what it returns or raises.

    Raises:
        Overloaded: The machine gives no thread.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  # It is raised again, in the caller's thread.
            errors.append(error)

    thread = threading.Thread(target=run, name="validation", daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:
        raise Overloaded(_NO_THREAD) from exc
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
