"""XTA 2.1.1 in words (its WSDL, namespace ``…/xta/211``; OSCI's message meta data 2.02): requests out, answers in.

What is sent is written by hand, in one shape for each operation: what varies is escaped, and nothing else varies. Contents
do not stand in the envelope but behind it, as parts of one ``multipart/related`` (XOP, MTOM), so that they are streamed.

What is answered is read by expat within bounds of size, depth and number; a document type is refused, and with it every
entity. Who answers in ``multipart/related`` too, as CXF always does, is understood by the first part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pyexpat import ErrorString, ExpatError, ParserCreate
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
META = "http://www.osci.eu/ws/2014/10/transport"
XTA = "http://xoev.de/transport/xta/211"
XOP = "http://www.w3.org/2004/08/xop/include"
#: Bytes of an answer that are looked at: none that is read here holds contents.
ANSWER_LIMIT = 64 * 1024
_DEEPEST, _MOST_ELEMENTS = 24, 2000
_ACTIONS = "http://www.xta.de/XTA/"
#: What XTA's own error list calls a message id that is taken, and a message that is too large.
ID_TAKEN, TOO_LARGE = "9024", "9023"
_CODE = re.compile(r"9[0-9]{3}")
#: What a message id can be that the hub passes on: XTA wants a URN, and it lands in notes.
_MESSAGE_ID = re.compile(r"urn:[A-Za-z0-9][A-Za-z0-9:._-]{1,120}")


class Unreadable(ValueError):
    """An answer that is none of XTA's."""


def is_message_id(value: str) -> bool:
    """Tell whether a text can be a message id: a short URN of plain characters."""
    return _MESSAGE_ID.fullmatch(value) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Party:
    """Somebody by their identifier; ``kind`` is the list that it comes from (``xoev``), ``category`` what they are."""

    identifier: str
    kind: str = "xoev"
    category: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class XtaCode:
    """A code with its list; without a list it is a word that both sides agreed on."""

    code: str
    list_uri: str = ""
    list_version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class XtaMessage:
    """What stands around a message: ids, parties and what it is about (``MessageMetaData``)."""

    message_id: str
    author: Party
    reader: Party
    service: str
    scenario: XtaCode
    message_type: XtaCode
    payload_schema: str
    initial_send: datetime
    delivered: datetime | None = None
    fetched: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class XtaPart:
    """A content of ``size`` bytes; ``chunks`` is read once, when it is its turn."""

    name: str
    media_type: str
    size: int
    chunks: Iterable[bytes] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class XtaRequest:
    """A request: its header fields, its body in pieces, and the body's length in bytes."""

    headers: Mapping[str, str]
    content: Iterable[bytes] = field(repr=False)
    length: int


def check_account(url: str, author: Party) -> XtaRequest:
    """Ask whether the account may be used (``checkAccountActive``)."""
    return _plain(url, "CheckAccountActive", _author(author), "")


def create_message_id(url: str, author: Party) -> XtaRequest:
    """Ask for a message id (``createMessageId``)."""
    return _plain(url, "CreateMessageID", _author(author), "")


def look_up_service(url: str, author: Party, reader: Party, service: str) -> XtaRequest:
    """Ask whether a reader takes a service (``lookupService``; its action is ``IsServiceAvailable``)."""
    asked = (
        "<x:LookupServiceRequest><x:LookupServiceRequestList><x:LookupService>"
        f"{_party('Reader', reader)}<x:ServiceType>{escape(service)}</x:ServiceType>"
        "</x:LookupService></x:LookupServiceRequestList></x:LookupServiceRequest>"
    )
    return _plain(url, "IsServiceAvailable", _author(author), asked)


def transport_report(url: str, author: Party, message_id: str) -> XtaRequest:
    """Ask what became of a message (``getTransportReport``)."""
    return _plain(url, "GetTransportReport", _author(author), f"<a:MessageID>{escape(message_id)}</a:MessageID>")


def send_message(url: str, message: XtaMessage, parts: Sequence[XtaPart]) -> XtaRequest:
    """Send a message (``sendMessage``): the first part is the message, the others are its attachments.

    The envelope goes first and each content behind it as it is, so that nothing is held and the length is known ahead.
    """
    action = f"{_ACTIONS}SendMessage"
    return with_contents(action, _envelope(url, action, meta_data(message), container(parts)), parts)


def container(parts: Sequence[XtaPart]) -> str:
    """Return the body that names the contents behind it (``GenericContentContainer``)."""
    contents = "".join(
        _content("Attachment" if number else "Message", number, part) for number, part in enumerate(parts)
    )
    return f"<x:GenericContentContainer><x:ContentContainer>{contents}</x:ContentContainer></x:GenericContentContainer>"


def with_contents(action: str, envelope: bytes, parts: Sequence[XtaPart]) -> XtaRequest:
    """Return an envelope with contents behind it, as a request or as an answer."""
    marker = f"hub-{uuid4().hex}"
    root = (
        f'--{marker}\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <root@hub>\r\n\r\n"
    ).encode() + envelope
    heads = [_part_head(marker, number, part) for number, part in enumerate(parts)]
    end = f"\r\n--{marker}--\r\n".encode()
    kind = (
        f'multipart/related; type="application/xop+xml"; start="<root@hub>"; start-info="application/soap+xml"; '
        f'action="{action}"; boundary="{marker}"'
    )
    return XtaRequest(
        headers={"Content-Type": kind, "MIME-Version": "1.0"},
        content=_joined(root, heads, parts, end),
        length=len(root) + sum(map(len, heads)) + sum(part.size for part in parts) + len(end),
    )


def _joined(root: bytes, heads: Sequence[bytes], parts: Sequence[XtaPart], end: bytes) -> Iterator[bytes]:
    yield root
    for head, part in zip(heads, parts, strict=True):
        yield head
        yield from part.chunks
    yield end


def _part_head(marker: str, number: int, part: XtaPart) -> bytes:
    return (
        f"\r\n--{marker}\r\nContent-Type: {part.media_type}\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <part-{number}@hub>\r\n\r\n"
    ).encode()


def _content(element: str, number: int, part: XtaPart) -> str:
    facts = f"contentType={quoteattr(part.media_type)} filename={quoteattr(part.name)} size={quoteattr(str(part.size))}"
    include = f'<i:Include xmlns:i="{XOP}" href="cid:part-{number}@hub"/>'
    return f"<x:{element} {facts}>{include}</x:{element}>"


def _plain(url: str, action: str, header: str, body: str) -> XtaRequest:
    action = f"{_ACTIONS}{action}"
    content = _envelope(url, action, header, body)
    kind = f'application/soap+xml; charset=UTF-8; action="{action}"'
    return XtaRequest(headers={"Content-Type": kind}, content=[content], length=len(content))


def _envelope(url: str, action: str, header: str, body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:m="{META}" xmlns:x="{XTA}"><s:Header>'
        f"<a:Action>{action}</a:Action><a:MessageID>urn:uuid:{uuid4()}</a:MessageID>"
        f"<a:ReplyTo><a:Address>{ADDRESSING}/anonymous</a:Address></a:ReplyTo><a:To>{escape(url)}</a:To>"
        f"{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _author(author: Party) -> str:
    return _party("Author", author)


def _party(element: str, party: Party) -> str:
    category = f" category={quoteattr(party.category)}" if party.category else ""
    identifier = f"<m:Identifier type={quoteattr(party.kind)}{category}>{escape(party.identifier)}</m:Identifier>"
    return f"<m:{element}>{identifier}</m:{element}>"


def meta_data(message: XtaMessage) -> str:
    """Return the header that says what stands around a message (``MessageMetaData``)."""
    scenario = message.scenario
    about = (
        f"<m:Defined{_list(scenario)}><code>{escape(scenario.code)}</code></m:Defined>"
        if scenario.list_uri
        else f"<m:Undefined>{escape(scenario.code)}</m:Undefined>"
    )
    kind = message.message_type
    times = {"InitialSend": message.initial_send, "Delivery": message.delivered, "InitialFetch": message.fetched}
    sent = "".join(f"<m:{name}>{moment(at)}</m:{name}>" for name, at in times.items() if at is not None)
    return (
        "<m:MessageMetaData>"
        f"<m:DeliveryAttributes>{sent}</m:DeliveryAttributes>"
        f"<m:Originators>{_author(message.author)}</m:Originators>"
        f"<m:Destinations>{_party('Reader', message.reader)}</m:Destinations>"
        f"<m:MsgIdentification><a:MessageID>{escape(message.message_id)}</a:MessageID></m:MsgIdentification>"
        f"<m:Qualifier><m:Service>{escape(message.service)}</m:Service>"
        f"<m:BusinessScenario>{about}</m:BusinessScenario>"
        f"<m:MessageType{_list(kind)} payloadSchema={quoteattr(message.payload_schema)}><code>{escape(kind.code)}</code>"
        "</m:MessageType></m:Qualifier></m:MessageMetaData>"
    )


def moment(at: datetime) -> str:
    """Return a time as XTA has it (``xs:dateTime``)."""
    return at.isoformat(timespec="milliseconds")


def _list(code: XtaCode) -> str:
    return f" listURI={quoteattr(code.list_uri)} listVersionID={quoteattr(code.list_version)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class XtaFault:
    """What XTA refused with: the exception's name without ``Exception``, and its number if it has a known form."""

    name: str
    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportReport:
    """What became of a message. ``status``: 0 open, 1 green, 2 yellow (warnings), 3 red (critical errors).

    ``document`` is the envelope with the report, as it came.
    """

    message_id: str
    status: int
    reported_at: datetime
    document: bytes = field(repr=False)


_BODY = (f"{SOAP} Envelope", f"{SOAP} Body")
_DETAIL = (*_BODY, f"{SOAP} Fault", f"{SOAP} Detail")
_REPORT = (*_BODY, f"{XTA} TransportReport")
_LOOKED_UP = (
    *_BODY,
    *(f"{XTA} {name}" for name in ("LookupServiceResponse", "LookupServiceResultList", "LookupServiceResult")),
    f"{XTA} IsServiceAvailableValue",
    f"{XTA} ServiceIsAvailable",
)


def read_fault(body: bytes) -> XtaFault | None:
    """Return the exception of XTA's that an answer holds in its fault's detail; None where it holds none."""
    try:
        found = _texts(body)
    except Unreadable:
        return None
    depth = len(_DETAIL)
    for path in found:
        if path[:depth] == _DETAIL and len(path) > depth:
            space, _blank, name = path[depth].rpartition(" ")
            if space == XTA and name.endswith("Exception"):
                code = found.get((*path[: depth + 1], f"{XTA} errorCode", "code"), "")
                return XtaFault(name=name.removesuffix("Exception"), code=code if _CODE.fullmatch(code) else "")
    return None


def read_message_id(body: bytes) -> str:
    """Return the message id that was made.

    Raises:
        Unreadable: the answer holds none, or one that is no plain URN.
    """
    found = _texts(body).get((*_BODY, f"{ADDRESSING} MessageID"), "")
    if not is_message_id(found):
        raise Unreadable
    return found


def read_availability(body: bytes) -> bool:
    """Tell whether the reader takes the service; also where the server does not know.

    Raises:
        Unreadable: the answer is no SOAP.
    """
    return _texts(body).get(_LOOKED_UP, "true") not in {"false", "0"}


def read_report(body: bytes) -> TransportReport:
    """Return the transport report.

    Raises:
        Unreadable: the answer is none.
    """
    found = _texts(body)
    named = found.get((*_REPORT, f"{META} MessageMetaData", f"{META} MsgIdentification", f"{ADDRESSING} MessageID"), "")
    try:
        status = ("0", "1", "2", "3").index(found.get((*_REPORT, f"{XTA} MessageStatus", f"{XTA} Status"), ""))
        reported_at = datetime.fromisoformat(found.get((*_REPORT, f"{XTA} ReportTime"), ""))
    except ValueError as exc:
        raise Unreadable from exc
    return TransportReport(message_id=named, status=status, reported_at=reported_at, document=envelope_in(body))


def _texts(body: bytes) -> dict[tuple[str, ...], str]:
    """Return the text of each element by its absolute path, the first of each path alone; errors as :func:`elements`."""
    found: dict[tuple[str, ...], str] = {}
    for element in elements(body):
        found.setdefault(element.path, element.text)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """An element by its absolute path (``namespace name`` each), with its attributes and its own text, stripped."""

    path: tuple[str, ...]
    attributes: Mapping[str, str]
    text: str


def elements(body: bytes) -> list[Element]:
    """Return the elements of an envelope in the order of their beginnings; ``body`` may be multipart, then its first part.

    Raises:
        Unreadable: no well-formed XML, a document type, deeper or more than any envelope of XTA's is.
    """
    reading = _Reading()
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = reading.refuse
    try:
        parser.Parse(envelope_in(body), True)  # noqa: FBT003  # expat's own sign of the end
    except ExpatError as exc:
        raise Unreadable(ErrorString(exc.code)) from exc
    return [
        Element(path=path, attributes=attributes, text="".join(texts).strip(" \t\r\n"))
        for path, attributes, texts in reading.found
    ]


class _Reading:
    """What expat tells of, in order."""

    def __init__(self) -> None:
        self.found: list[tuple[tuple[str, ...], Mapping[str, str], list[str]]] = []
        self._path: list[str] = []
        self._open: list[list[str]] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if len(self._path) >= _DEEPEST or len(self.found) >= _MOST_ELEMENTS:
            raise Unreadable
        self._path.append(name)
        texts: list[str] = []
        self.found.append((tuple(self._path), attributes, texts))
        self._open.append(texts)

    def end(self, _name: str) -> None:
        self._path.pop()
        self._open.pop()

    def text(self, data: str) -> None:
        self._open[-1].append(data)

    def refuse(self, *_: object) -> None:
        raise Unreadable


def envelope_in(body: bytes) -> bytes:
    """Return the envelope: the body, or the first part of a multipart one, whose marker is its own first line."""
    stripped = body.lstrip(b"\r\n")
    if not stripped.startswith(b"--"):
        return body
    marker, _line, rest = stripped.partition(b"\r\n")
    _head, blank, content = rest.partition(b"\r\n\r\n")
    envelope, found, _others = content.partition(b"\r\n" + marker)
    if not blank or not found:
        raise Unreadable
    return envelope
