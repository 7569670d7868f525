"""The bench of the family ``xta``: an XTA 2.1.1 server as an author sees it, managementPort and sendPort.

It gives each message id to one message: a second one under the same id is refused with 9024, as XTA's list of errors has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from hub.adapter_kit.cases import SAID, Trouble, Workshop
from hub.adapter_kit.http import Fault, Heard, StagedAnswer, WebBench, answer_in, says_yes
from hub.model import Package
from hub.soap.xta import ADDRESSING, META, SOAP, XTA

_ACTION = re.compile(r'action="http://www\.xta\.de/XTA/([A-Za-z]+)"')
_SENT_ID = re.compile(rb"MsgIdentification>\s*<[^<>]*MessageID[^<>]*>([^<>]+)<")
_ASKED_ID = re.compile(rb"Body>\s*<[^<>]*MessageID[^<>]*>([^<>]+)<")
#: What the server says in XTA's own words; every other trouble is told by HTTP.
_REFUSALS: Mapping[Trouble, tuple[str, str]] = {
    Trouble.PAYLOAD_REFUSED: ("MessageSchemaViolation", "9050"),
    Trouble.TOO_LARGE: ("ParameterIsNotValid", "9023"),
    Trouble.BAD_CREDENTIALS: ("PermissionDenied", "9012"),
    Trouble.BROKEN: ("XTAWSTechnicalProblem", "9030"),
}


class XtaBench(WebBench):
    """Ids, accounts, services, reports and messages; a trouble meets the sending."""

    def __init__(self, workshop: Workshop) -> None:
        self._held: dict[str, bytes] = {}
        super().__init__(workshop)

    def play(self, heard: Heard) -> StagedAnswer | Fault:
        """Answer as the server does."""
        action = _ACTION.search(heard.headers["Content-Type"] or "")
        if heard.path == "/elsewhere":
            return StagedAnswer()
        match action and action[1]:
            case "GetTransportReport":
                return self._report(heard)
            case "SendMessage":
                return self._take(heard)
            case "CreateMessageID":
                return said(f"<a:MessageID>urn:de:xta:messageid:bench:{uuid4()}</a:MessageID>")
            case "CheckAccountActive" | "IsServiceAvailable" as asked:
                return said("<x:LookupServiceResponse/>" if asked == "IsServiceAvailable" else "")
        return StagedAnswer(status=500)

    def copies(self, package: Package) -> int:
        """Count the messages that name the delivery and hold all its contents."""
        wanted = [sealed.jwe or b"" for _name, sealed in package.submission.contents.parts()]
        own = str(package.delivery_id).encode()
        return sum(own in body and all(content in body for content in wanted) for body in self._held.values())

    def strangers(self, packages: list[Package]) -> int:
        """Count the other messages."""
        return len(self._held) - sum(self.copies(package) for package in packages)

    def _take(self, heard: Heard) -> StagedAnswer | Fault:
        named = _SENT_ID.search(heard.body[:16_384])
        if named is None:
            return refused("ParameterIsNotValid", "9020")
        message_id = named[1].decode(errors="replace")
        if self.trouble in _REFUSALS:
            return refused(*_REFUSALS[self.trouble])
        outcome = answer_in(self.trouble)
        # A reset or a hang comes after the server has done its work.
        if says_yes(outcome) or outcome is Fault.RESET or outcome is Fault.HANG:
            if message_id in self._held:
                return refused("ParameterIsNotValid", "9024")
            self._held[message_id] = heard.body
        return said("") if outcome == StagedAnswer() else outcome

    def _report(self, heard: Heard) -> StagedAnswer:
        named = _ASKED_ID.search(heard.body)
        message_id = "" if named is None else named[1].decode(errors="replace")
        if message_id not in self._held:
            return refused("InvalidMessageID", "9070")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")  # A server has a clock.
        return said(
            f"<x:TransportReport><m:MessageMetaData><m:MsgIdentification><a:MessageID>{message_id}</a:MessageID>"
            f"</m:MsgIdentification></m:MessageMetaData><x:ReportTime>{now}</x:ReportTime>"
            "<x:XTAServerIdentity>bench</x:XTAServerIdentity><x:MessageStatus><x:Status>0</x:Status></x:MessageStatus>"
            "</x:TransportReport>"
        )


def said(body: str, status: int = 200) -> StagedAnswer:
    """Return an answer with this in its body, in multipart as CXF wraps each."""
    envelope = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:m="{META}" xmlns:x="{XTA}">'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )
    marker = f"uuid:{uuid4()}"
    kind = f'multipart/related; type="application/xop+xml"; boundary="{marker}"; start-info="application/soap+xml"'
    content = f"\r\n--{marker}\r\nContent-Type: application/xop+xml\r\n\r\n{envelope}\r\n--{marker}--".encode()
    return StagedAnswer(status=status, headers={"Content-Type": kind}, body=content)


def refused(name: str, code: str) -> StagedAnswer:
    """Return one of XTA's exceptions, by its name without ``Exception``, with a number of its list."""
    return said(
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code>"
        f'<s:Reason><s:Text xml:lang="de">{SAID}</s:Text></s:Reason><s:Detail><x:{name}Exception><x:errorCode>'
        f"<code>{code}</code><name>{SAID}</name></x:errorCode></x:{name}Exception></s:Detail></s:Fault>",
        status=500,
    )
