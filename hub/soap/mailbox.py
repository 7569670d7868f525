"""XTA 2.1.1 in words from the other side: what a mailbox is asked (managementPort, msgBoxPort), and what it answers.

A request is one envelope, by itself or as the first part of ``multipart/related``; nothing that it could bring along is read.
Which operation it is stands in three places: its addressing header, its body's element, and HTTP. All that are there must
agree, so that nobody along the way sees another request than the one that is answered. Each header and each element counts
at its absolute path alone, and once.

Lists are gone through with a request's id that names the message after which to go on: nothing of it is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID, uuid4
from xml.sax.saxutils import escape, quoteattr

from hub.soap.xta import (
    ADDRESSING,
    META,
    SOAP,
    XTA,
    Element,
    Party,
    Unreadable,
    XtaMessage,
    XtaPart,
    XtaRequest,
    container,
    elements,
    is_message_id,
    meta_data,
    moment,
    with_contents,
)

OSCI = "http://www.osci.eu/ws/2008/05/transport"
#: Bytes of a request: none that is answered here brings contents.
REQUEST_LIMIT = 64 * 1024
#: Messages that one list names, and that one request closes.
LONGEST_LIST = 100
_XTA_ACTIONS, _BOX_ACTIONS = "http://www.xta.de/XTA/", f"{OSCI}/urn/messageTypes/"
_REASONS = f"{OSCI}/MsgBox/reasons/"
_CURSOR = "urn:rathaus-hub:xta:after:"
_BEGINNING = f"{_CURSOR}beginning"
_IN_HTTP = re.compile(r'action="([^"\\]{1,200})"')
_RELATED = re.compile(r"urn:[!-;=?-~]{1,120}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_LONGEST_IDENTIFIER = 200
_ENVELOPE, _HEADER, _BODY = (f"{SOAP} {name}" for name in ("Envelope", "Header", "Body"))
_MOST = 2**31 - 1


class Port(Enum):
    """Where an operation is asked for."""

    MANAGEMENT = "ManagementPort"
    BOX = "MsgBoxPort"


class BoxOperation(Enum):
    """What may be asked: its port, its action as the WSDL has it, and the element of its body (None: the body is empty)."""

    ACTIVE = (Port.MANAGEMENT, f"{_XTA_ACTIONS}CheckAccountActive", None)
    SERVICES = (Port.MANAGEMENT, f"{_XTA_ACTIONS}IsServiceAvailable", f"{XTA} LookupServiceRequest")
    REPORT = (Port.MANAGEMENT, f"{_XTA_ACTIONS}GetTransportReport", f"{ADDRESSING} MessageID")
    CANCEL = (Port.MANAGEMENT, f"{_XTA_ACTIONS}CancelMessage", f"{ADDRESSING} MessageID")
    NEW_ID = (Port.MANAGEMENT, f"{_XTA_ACTIONS}CreateMessageID", None)
    GET = (Port.BOX, f"{_BOX_ACTIONS}MsgBoxFetchRequest", f"{OSCI} MsgBoxFetchRequest")
    LIST = (Port.BOX, f"{_BOX_ACTIONS}MsgBoxStatusListRequest", f"{OSCI} MsgBoxStatusListRequest")
    NEXT = (Port.BOX, f"{_BOX_ACTIONS}MsgBoxGetNextMsgRequest", f"{OSCI} MsgBoxGetNextRequest")
    NEXT_LIST = (Port.BOX, f"{_BOX_ACTIONS}MsgBoxGetNextListRequest", f"{OSCI} MsgBoxGetNextRequest")
    CLOSE = (Port.BOX, f"{_BOX_ACTIONS}MsgBoxCloseRequest", f"{OSCI} MsgBoxCloseRequest")

    @property
    def port(self) -> Port:
        """Where it is asked for."""
        port: Port = self.value[0]
        return port

    @property
    def action(self) -> str:
        """How the WSDL calls it."""
        action: str = self.value[1]
        return action


_BY_ACTION = {operation.action: operation for operation in BoxOperation}


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxRequest:
    """What is asked, and as whom.

    ``message_ids`` are those that it names. ``after`` is the message after which a list goes on, None at its beginning;
    ``strange``: it wants to go on at a place that is none, or to choose by what this mailbox does not know. ``most`` bounds a
    list, ``fresh`` asks for what was never collected, ``attributes`` for the short form of a list. ``services`` are what is
    asked about, each with its reader.
    """

    operation: BoxOperation
    author: Party | None
    related: str
    message_ids: tuple[str, ...] = ()
    after: UUID | None = None
    strange: bool = False
    most: int = LONGEST_LIST
    fresh: bool = False
    attributes: bool = False
    services: tuple[tuple[str, str], ...] = ()


def read_box_request(body: bytes, port: Port, *, content_type: str, soap_action: str) -> BoxRequest:
    """Return what is asked.

    Raises:
        Unreadable: no envelope of XTA 2.1.1, none for this port, or one that says two things.
    """
    found = elements(body)
    if (
        not found
        or found[0].path != (_ENVELOPE,)
        or any(len(each.path) > 1 and each.path[0] != _ENVELOPE for each in found)
    ):
        raise Unreadable("Envelope")
    operation = _operation(found, port, content_type, soap_action)
    inside = _inside(found, operation)
    author = _author(found)
    related = _only(found, (_ENVELOPE, _HEADER, f"{ADDRESSING} MessageID"))
    common = {
        "operation": operation,
        "author": author,
        "related": related.text if related is not None and _RELATED.fullmatch(related.text) else "",
    }
    return BoxRequest(**common, **_wanted(operation, inside))  # type: ignore[arg-type]  # as the operation has them


def _operation(found: Sequence[Element], port: Port, content_type: str, soap_action: str) -> BoxOperation:
    named = _only(found, (_ENVELOPE, _HEADER, f"{ADDRESSING} Action"))
    operation = None if named is None else _BY_ACTION.get(named.text)
    if operation is None or operation.port is not port:
        raise Unreadable("Action")
    said = {*_IN_HTTP.findall(content_type.replace('\\"', '"')), soap_action.strip('"')} - {""}
    if said - {operation.action}:
        raise Unreadable("Action")
    return operation


def _inside(found: Sequence[Element], operation: BoxOperation) -> list[Element]:
    """Return the body's element and what is in it; an operation without one has an empty body."""
    wanted = operation.value[2]
    if sum(each.path == (_ENVELOPE, _BODY) for each in found) != 1:
        raise Unreadable("Body")
    inside = [each for each in found if each.path[:2] == (_ENVELOPE, _BODY) and each.path[2:]]
    roots = [each.path[2] for each in inside if not each.path[3:]]
    if roots != ([] if wanted is None else [wanted]):
        raise Unreadable("Body")
    return inside


def _only(found: Sequence[Element], path: tuple[str, ...]) -> Element | None:
    """Return the one element at a path; a second one is refused, for nobody could say which counts."""
    there = [each for each in found if each.path == path]
    if len(there) > 1:
        raise Unreadable(path[-1])
    return there[0] if there else None


def _author(found: Sequence[Element]) -> Party | None:
    author = _only(found, (_ENVELOPE, _HEADER, f"{META} Author"))
    named = _only(found, (_ENVELOPE, _HEADER, f"{META} Author", f"{META} Identifier"))
    if author is None:
        return None
    if named is None or not named.text or len(named.text) > _LONGEST_IDENTIFIER:
        raise Unreadable("Author")
    return Party(identifier=named.text, kind=named.attributes.get("type", ""))


def _wanted(operation: BoxOperation, inside: Sequence[Element]) -> dict[str, object]:
    """Return what an operation asks beside its name."""
    match operation:
        case BoxOperation.REPORT | BoxOperation.CANCEL:
            return {"message_ids": (_id_of(inside[0]),)}
        case BoxOperation.CLOSE:
            return {"message_ids": _ids(inside, f"{OSCI} LastMsgReceived")}
        case BoxOperation.NEXT | BoxOperation.NEXT_LIST:
            return _cursor(inside[0].attributes.get("MsgBoxRequestID", "")) | {
                "message_ids": _ids(inside, f"{OSCI} LastMsgReceived")
            }
        case BoxOperation.GET | BoxOperation.LIST:
            return _selected(inside)
        case BoxOperation.SERVICES:
            return {"services": _services(inside)}
    return {}


def _ids(inside: Sequence[Element], name: str) -> tuple[str, ...]:
    found = tuple(_id_of(each) for each in inside if each.path[3:] == (name,))
    if len(found) > LONGEST_LIST:
        raise Unreadable(name)
    return found


def _id_of(element: Element) -> str:
    if not is_message_id(element.text):
        raise Unreadable("MessageID")
    return element.text


def _cursor(request_id: str) -> dict[str, object]:
    if request_id == _BEGINNING:
        return {}
    try:
        after = UUID(request_id.removeprefix(_CURSOR)) if request_id.startswith(_CURSOR) else None
    except ValueError:
        after = None
    return {"after": after, "strange": after is None}


def _selected(inside: Sequence[Element]) -> dict[str, object]:
    selector, message_id = f"{OSCI} MsgSelector", f"{ADDRESSING} MessageID"
    named = [each for each in inside if each.path[3:4] == (selector,) and each.path[4:] and not each.path[5:]]
    ids = tuple(_id_of(each) for each in named if each.path[4] == message_id)
    chosen = _only(inside, (_ENVELOPE, _BODY, inside[0].path[2], selector))
    asked = inside[0].attributes
    most = asked.get("maxListItems", str(LONGEST_LIST))
    if not _NUMBER.fullmatch(most) or len(ids) > LONGEST_LIST:
        raise Unreadable("maxListItems")
    return {
        "message_ids": ids,
        "strange": any(each.path[4] != message_id for each in named),
        "most": min(int(most), LONGEST_LIST),
        "fresh": chosen is not None and chosen.attributes.get("newEntry", "") in {"true", "1"},
        # The schema's own spelling.
        "attributes": asked.get("ListForm", "").startswith("MsgAt"),
    }


def _services(inside: Sequence[Element]) -> tuple[tuple[str, str], ...]:
    """Return readers and services that are asked about, in order."""
    asked: list[tuple[str, str]] = []
    reader = ""
    for each in inside:
        if each.path[-2:] == (f"{META} Reader", f"{META} Identifier"):
            reader = each.text
        elif each.path[5:] == (f"{XTA} ServiceType",):
            asked.append((reader, each.text))
    if not asked or len(asked) > LONGEST_LIST:
        raise Unreadable("LookupService")
    return tuple(asked)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxAnswer:
    """An answer: its status in HTTP, its header fields, and its body in pieces of ``length`` bytes together."""

    status: int
    message: XtaRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A message in a list, and its size in bytes."""

    message: XtaMessage
    size: int


def nothing(asked: BoxRequest) -> BoxAnswer:
    """Answer with an empty body: it is done."""
    return _answer(asked, "", "")


def services(asked: BoxRequest, available: Sequence[bool], kind: str) -> BoxAnswer:
    """Say of each reader and service that were asked about whether it is taken here."""
    results = "".join(
        f"<x:LookupServiceResult><m:Reader><m:Identifier type={quoteattr(kind)}>{escape(reader)}</m:Identifier></m:Reader>"
        f"<x:ServiceType>{escape(service)}</x:ServiceType><x:IsServiceAvailableValue>"
        f"<x:ServiceIsAvailable>{str(yes).lower()}</x:ServiceIsAvailable>"
        "</x:IsServiceAvailableValue></x:LookupServiceResult>"
        for yes, (reader, service) in zip(available, asked.services, strict=True)
    )
    listed = f"<x:LookupServiceResultList>{results}</x:LookupServiceResultList>"
    return _answer(asked, "", f"<x:LookupServiceResponse>{listed}</x:LookupServiceResponse>")


def status_list(asked: BoxRequest, listed: Sequence[Listed], *, pending: int, last: UUID | None) -> BoxAnswer:
    """List messages; ``pending`` are left after them, ``last`` is the last of them."""
    items = "".join(_attributes(each) if asked.attributes else meta_data(each.message) for each in listed)
    state = f"<o:ItemsPending>{pending}</o:ItemsPending>" if listed else _none(asked)
    return _answer(asked, _box_response(state, last), f"<o:MsgStatusList>{items}</o:MsgStatusList>")


def handed_out(
    asked: BoxRequest, message: XtaMessage, parts: Sequence[XtaPart], *, pending: int, last: UUID
) -> BoxAnswer:
    """Hand out a message: the first part is the message, the others are its attachments, streamed behind the envelope."""
    state = f"<o:ItemsPending>{pending}</o:ItemsPending>"
    head = _box_response(state, last) + meta_data(message)
    envelope = _envelope(asked, head, container(parts))
    return BoxAnswer(status=200, message=with_contents(asked.operation.action, envelope, parts))


def report(asked: BoxRequest, message: XtaMessage, *, status: int, at: datetime, server: str) -> BoxAnswer:
    """Say what became of a message; ``status`` as :class:`~hub.soap.xta.TransportReport` has it."""
    said = (
        f"<x:TransportReport>{meta_data(message)}<x:ReportTime>{moment(at)}</x:ReportTime>"
        f"<x:XTAServerIdentity>{escape(server)}</x:XTAServerIdentity>"
        f"<x:MessageStatus><x:Status>{status}</x:Status></x:MessageStatus></x:TransportReport>"
    )
    return _answer(asked, "", said)


#: The exceptions that are raised here: their number, and whether it is the one who asks that has to change something.
REFUSALS: Mapping[str, tuple[str, bool, str]] = {
    "PermissionDenied": ("9012", True, "Zertifikat und Kennung gehören hier zu keinem Postfach."),
    "ParameterIsNotValid": ("9020", True, "Die Anfrage ist nicht lesbar oder widerspricht sich."),
    "InvalidMessageID": ("9070", True, "Unter dieser Nummer liegt hier nichts, das sich abholen oder schließen lässt."),
    "CancelDenied": ("9080", True, "Was im Postfach liegt, zieht nur zurück, wer es gesendet hat."),
    "XTAWSTechnicalProblem": ("9030", False, "Das geht gerade nicht. Bitte später noch einmal versuchen."),
}


def refusal(name: str, *, status: int = 500, related: str = "") -> BoxAnswer:
    """Refuse with one of XTA's exceptions, by its name without ``Exception``."""
    number, by_asker, text = REFUSALS[name]
    fault = (
        f"<s:Fault><s:Code><s:Value>s:{'Sender' if by_asker else 'Receiver'}</s:Value></s:Code>"
        f'<s:Reason><s:Text xml:lang="de">{text}</s:Text></s:Reason><s:Detail><x:{name}Exception><x:errorCode>'
        f"<code>{number}</code><name>{name}</name></x:errorCode></x:{name}Exception></s:Detail></s:Fault>"
    )
    header = f"<a:Action>{ADDRESSING}/soap/fault</a:Action>{_relates(related)}"
    content = _wrapped(header, fault)
    kind = {"Content-Type": "application/soap+xml; charset=UTF-8"}
    return BoxAnswer(status=status, message=XtaRequest(headers=kind, content=[content], length=len(content)))


def _attributes(listed: Listed) -> str:
    about = listed.message
    fetched = "" if about.fetched is None else f"<o:InitialFetchedTime>{moment(about.fetched)}</o:InitialFetchedTime>"
    return (
        f"<o:MsgAttributes><a:MessageID>{escape(about.message_id)}</a:MessageID>"
        f"<o:TypeOfBusinessScenario>{escape(about.service)}</o:TypeOfBusinessScenario>"
        f"<o:MsgSize>{min(listed.size, _MOST)}</o:MsgSize>"
        f"<o:DeliveryTime>{moment(about.delivered or about.initial_send)}</o:DeliveryTime>{fetched}</o:MsgAttributes>"
    )


def _none(asked: BoxRequest) -> str:
    reason = "NoMatch"
    if asked.strange:
        going_on = asked.operation in {BoxOperation.NEXT, BoxOperation.NEXT_LIST}
        reason = "RequestIdInvalid" if going_on else "SearchArgsInvalid"
    return f'<o:NoMessageAvailable reason="{_REASONS}{reason}"/>'


def _box_response(state: str, last: UUID | None) -> str:
    here = _BEGINNING if last is None else f"{_CURSOR}{last}"
    return f'<o:MsgBoxResponse MsgBoxRequestID="{here}">{state}</o:MsgBoxResponse>'


def _answer(asked: BoxRequest, header: str, body: str) -> BoxAnswer:
    content = _envelope(asked, header, body)
    kind = {"Content-Type": f'application/soap+xml; charset=UTF-8; action="{asked.operation.action}"'}
    return BoxAnswer(status=200, message=XtaRequest(headers=kind, content=[content], length=len(content)))


def _envelope(asked: BoxRequest, header: str, body: str) -> bytes:
    return _wrapped(f"<a:Action>{asked.operation.action}</a:Action>{_relates(asked.related)}{header}", body)


def _relates(related: str) -> str:
    return f"<a:RelatesTo>{escape(related)}</a:RelatesTo>" if related else ""


def _wrapped(header: str, body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:m="{META}" xmlns:x="{XTA}" xmlns:o="{OSCI}"><s:Header>'
        f"<a:MessageID>urn:uuid:{uuid4()}</a:MessageID>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()
