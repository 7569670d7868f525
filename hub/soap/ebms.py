"""ebMS 3 in words, as AS4 narrows it (OASIS ebXML Messaging 3.0 Core, AS4 Profile 1.0): user messages, receipts and errors.

What is sent is written in exclusive canonical form at once (XML-Exc-C14N 1.0): what is hashed is what stands in the message.
What varies is escaped, and nothing else varies. Nothing here signs, reads or connects: see :mod:`hub.soap.as4`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from hub.errors import Text

SOAP = "http://www.w3.org/2003/05/soap-envelope"
EBMS = "http://docs.oasis-open.org/ebxml-msg/ebms/v3.0/ns/core/200704/"
SIGNALS = "http://docs.oasis-open.org/ebxml-bp/ebbp-signals-2.0"
UTILITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
GZIP = "application/gzip"
INITIATOR, RESPONDER = f"{EBMS}initiator", f"{EBMS}responder"
#: Parts of one message, and characters of one text in it: more than any that is meant well.
MOST_PARTS, LONGEST_TEXT = 110, 1024
#: RFC 2822's ``msg-id`` without angle brackets, of characters that need no quotes.
_MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.:-]{1,200}@[A-Za-z0-9.-]{1,100}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$&'*+=?^_`{|}~.@:-]{1,300}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]{1,1024}")


class Flaw(Enum):
    """Why a message is not taken: ebMS's number and short description, and a sentence that repeats nothing of it."""

    UNREADABLE = (
        "EBMS:0009",
        "InvalidHeader",
        Text("Die Nachricht ist kein AS4 der vereinbarten Form.", "The message is no AS4 of the agreed form."),
    )
    TOO_LARGE = (
        "EBMS:0009",
        "InvalidHeader",
        Text(
            "Der Umschlag ist größer oder tiefer, als einer sein darf.",
            "The envelope is larger or deeper than any may be.",
        ),
    )
    FORBIDDEN_XML = (
        "EBMS:0009",
        "InvalidHeader",
        Text(
            "Dokumenttypen, Kommentare, CDATA und Verarbeitungsanweisungen sind nicht erlaubt.",
            "Document types, comments, CDATA and processing instructions are not allowed.",
        ),
    )
    ID_TWICE = (
        "EBMS:0103",
        "PolicyNoncompliance",
        Text("Eine Id kommt zweimal vor.", "An Id occurs twice."),
    )
    UNSIGNED = (
        "EBMS:0103",
        "PolicyNoncompliance",
        Text(
            "Nicht genau Messaging, Body und jeder Teil ist unterschrieben.",
            "Not exactly Messaging, Body and every part are signed.",
        ),
    )
    ALGORITHM = (
        "EBMS:0103",
        "PolicyNoncompliance",
        Text("Ein Verfahren ist nicht das des Profils.", "An algorithm is not the profile's."),
    )
    TRANSFORM = (
        "EBMS:0103",
        "PolicyNoncompliance",
        Text("Eine Umformung ist nicht die eine erlaubte.", "A transform is not the one that is allowed."),
    )
    UNENCRYPTED = (
        "EBMS:0103",
        "PolicyNoncompliance",
        Text("Nicht jeder Teil ist verschlüsselt.", "Not every part is encrypted."),
    )
    WRONG_CERTIFICATE = (
        "EBMS:0101",
        "FailedAuthentication",
        Text(
            "Das Zertifikat ist nicht das vereinbarte oder nicht gültig.",
            "The certificate is not the agreed one, or not valid.",
        ),
    )
    WRONG_SIGNATURE = (
        "EBMS:0101",
        "FailedAuthentication",
        Text("Die Unterschrift stimmt nicht.", "The signature is wrong."),
    )
    WRONG_DIGEST = (
        "EBMS:0101",
        "FailedAuthentication",
        Text("Eine Prüfsumme stimmt nicht.", "A digest is wrong."),
    )
    NOT_DECRYPTED = (
        "EBMS:0102",
        "FailedDecryption",
        Text("Ein Teil lässt sich nicht entschlüsseln.", "A part cannot be decrypted."),
    )
    NOT_DECOMPRESSED = (
        "EBMS:0303",
        "DecompressionFailure",
        Text(
            "Ein Teil lässt sich nicht entpacken oder ist zu groß.", "A part cannot be decompressed, or is too large."
        ),
    )
    PARTS = (
        "EBMS:0007",
        "MimeInconsistency",
        Text("Teile und Verzeichnis stimmen nicht überein.", "Parts and their list do not agree."),
    )
    CONTENT = (
        "EBMS:0004",
        "Other",
        Text("Der Inhalt wird nicht angenommen.", "The contents are not taken."),
    )
    USED_ID = (
        "EBMS:0004",
        "Other",
        Text(
            "Unter dieser MessageId kam schon eine andere Nachricht.",
            "Another message came under this MessageId already.",
        ),
    )
    PROCESSING_MODE = (
        "EBMS:0010",
        "ProcessingModeMismatch",
        Text(
            "Für diese Parteien und diesen Dienst ist nichts vereinbart.",
            "Nothing is agreed for these parties and this service.",
        ),
    )

    def __init__(self, code: str, short: str, text: Text) -> None:
        self.code = code
        self.short = short
        self.text = text


class Unacceptable(ValueError):
    """A message that is not taken; ``flaw`` says why."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.text.en)
        self.flaw = flaw


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """A party with the role that it plays; ``kind`` is the list that its identifier comes from, "" for a URI of its own."""

    party: str
    kind: str = ""
    role: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PartInfo:
    """What a message says of one of its parts. Every part is compressed (eDelivery AS4 1.15, 3.2.4)."""

    cid: str
    media_type: str
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class UserMessage:
    """What stands around contents: ids, parties, what it is about, and the list of its parts."""

    message_id: str
    sent_at: datetime
    sender: Agent
    receiver: Agent
    agreement: str = ""
    service: str
    service_kind: str = ""
    action: str
    conversation: str
    properties: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[PartInfo, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a message says before anything of it is proven: enough to look up whose certificate has to prove it."""

    message_id: str
    sender: Agent
    receiver: Agent
    agreement: str
    service: str
    service_kind: str
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedReference:
    """What a signature covers under ``uri``: its digest in base64; ``prefixes`` are those that stay in canonical form."""

    uri: str
    digest: str
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptSignal:
    """The other side's word that it has a message: the digests of what it got, by URI."""

    refers_to: str
    digests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorSignal:
    """The other side's word that it has not: ebMS's numbers (``EBMS:0101``); nothing else of it is passed on.

    One that is not ``signed`` may come from anybody who can answer: it proves nothing. ``duplicate``: its one fault is that the
    message was taken before, for which ebMS has no number; receivers say it in words beside EBMS:0004.
    """

    refers_to: str
    codes: tuple[str, ...]
    signed: bool
    duplicate: bool = False


def is_message_id(value: str) -> bool:
    """Tell whether a text can be a message id: ``…@…`` of plain characters."""
    return _MESSAGE_ID.fullmatch(value) is not None


def is_content_id(value: str) -> bool:
    """Tell whether a text can name a part."""
    return _CONTENT_ID.fullmatch(value) is not None


def is_text(value: str) -> bool:
    """Tell whether a text can stand in a message: 1 to 1024 characters without control characters."""
    return _TEXT.fullmatch(value) is not None


def written(element: str, text: str, **attributes: str) -> str:
    """Return an element with a text in canonical form; an attribute without value is left out."""
    given = "".join(f' {name}="{in_attribute(value)}"' for name, value in sorted(attributes.items()) if value)
    return f"<{element}{given}>{in_text(text)}</{element}>"


def in_text(value: str) -> str:
    """Escape a text as canonical XML does (section 1.3.2)."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")


def in_attribute(value: str) -> str:
    """Escape an attribute's value as canonical XML does."""
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return value.replace("\t", "&#x9;").replace("\n", "&#xA;").replace("\r", "&#xD;")


def messaging(identifier: str, content: str) -> str:
    """Return the header ``Messaging`` in exclusive canonical form."""
    return (
        f'<eb:Messaging xmlns:S12="{SOAP}" xmlns:eb="{EBMS}" xmlns:wsu="{UTILITY}" wsu:Id="{identifier}" '
        f'S12:mustUnderstand="true">{content}</eb:Messaging>'
    )


def user_message(message: UserMessage) -> str:
    """Return a user message in canonical form."""
    about = "".join(
        [
            written("eb:AgreementRef", message.agreement) if message.agreement else "",
            written("eb:Service", message.service, type=message.service_kind),
            written("eb:Action", message.action),
            written("eb:ConversationId", message.conversation),
        ]
    )
    listed = _properties("eb:MessageProperties", message.properties)
    parts = "".join(
        f'<eb:PartInfo href="cid:{in_attribute(part.cid)}">'
        + _properties("eb:PartProperties", {"MimeType": part.media_type, "CompressionType": GZIP, **part.properties})
        + "</eb:PartInfo>"
        for part in message.parts
    )
    return (
        f"<eb:UserMessage>{_message_info(message.message_id, message.sent_at)}"
        f"<eb:PartyInfo>{_agent('eb:From', message.sender)}{_agent('eb:To', message.receiver)}</eb:PartyInfo>"
        f"<eb:CollaborationInfo>{about}</eb:CollaborationInfo>{listed}<eb:PayloadInfo>{parts}</eb:PayloadInfo>"
        "</eb:UserMessage>"
    )


def receipt_signal(message_id: str, at: datetime, refers_to: str, references: Sequence[str]) -> str:
    """Return a receipt with what it does not deny (ebBP signals 2.0); ``references`` are written ``ds:Reference`` elements."""
    listed = "".join(
        f"<ebbp:MessagePartNRInformation>{reference}</ebbp:MessagePartNRInformation>" for reference in references
    )
    return (
        f"<eb:SignalMessage>{_message_info(message_id, at, refers_to)}<eb:Receipt>"
        f'<ebbp:NonRepudiationInformation xmlns:ebbp="{SIGNALS}">{listed}</ebbp:NonRepudiationInformation>'
        "</eb:Receipt></eb:SignalMessage>"
    )


def error_signal(message_id: str, at: datetime, refers_to: str, flaw: Flaw, said: str = "") -> str:
    """Return an error; ``refers_to`` is "" where the message could not even be read. ``said`` goes into its detail."""
    detail = f"<eb:ErrorDetail>{in_text(said)}</eb:ErrorDetail>" if said else ""
    named = f' refToMessageInError="{in_attribute(refers_to)}"' if refers_to else ""
    return (
        f"<eb:SignalMessage>{_message_info(message_id, at, refers_to)}"
        f'<eb:Error category="Processing" errorCode="{flaw.code}"{named} severity="failure" '
        f'shortDescription="{flaw.short}"><eb:Description xml:lang="en">{in_text(flaw.text.en)}'
        f"</eb:Description>{detail}</eb:Error></eb:SignalMessage>"
    )


def _message_info(message_id: str, at: datetime, refers_to: str = "") -> str:
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    earlier = written("eb:RefToMessageId", refers_to) if refers_to else ""
    return f"<eb:MessageInfo>{written('eb:Timestamp', stamp)}{written('eb:MessageId', message_id)}{earlier}</eb:MessageInfo>"


def _agent(element: str, agent: Agent) -> str:
    return (
        f"<{element}>{written('eb:PartyId', agent.party, type=agent.kind)}{written('eb:Role', agent.role)}</{element}>"
    )


def _properties(element: str, properties: Mapping[str, str]) -> str:
    listed = "".join(written("eb:Property", value, name=name) for name, value in properties.items())
    return f"<{element}>{listed}</{element}>" if listed else ""
