"""AS4 in the profile ``edelivery-1.15``: envelopes read, in one fixed shape.

A strict reader, for what it reads decides who is believed. In this order, cheap refusals first:

1. size; no document type, comment, CDATA or processing instruction; well-formed; depth, number of elements and attributes;
2. each Id once in the document;
3. the shape: every element by its absolute path, in its order, with the attributes that belong there and no others;
4. the certificate is the pinned one and valid now; it alone verifies, whatever the message encloses;
5. the signature over ``SignedInfo``, with the profile's algorithms;
6. exactly ``Messaging``, ``Body`` and each part are signed, each under one allowed transform, and the digests are right.

What is believed then are the very elements whose digests were compared, so that nothing can be wrapped. Parts are opened as
they come: tag, digest and the end of the compression are compared at each part's end (:class:`hub.soap.as4.PartReader`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lxml import etree

from hub.crypto.messages import MessageKey, MessagePeer, NotGenuine
from hub.soap import ebms
from hub.soap.as4 import (
    BASE64_BINARY,
    C14N,
    CIPHER,
    CONTENT_ONLY,
    CONTENT_SEALED,
    CONTENT_SIGNED,
    DIGEST,
    DSIG,
    KEY_TRANSPORT,
    MASK,
    SIGNATURE,
    WSSE,
    WSSE11,
    X509_V3,
    XENC,
    XENC11,
    MessageParts,
    in_base64,
    refuse,
)
from hub.soap.ebms import (
    EBMS,
    GZIP,
    SIGNALS,
    SOAP,
    UTILITY,
    Agent,
    Claims,
    ErrorSignal,
    Flaw,
    PartInfo,
    ReceiptSignal,
    SignedReference,
    Unacceptable,
    UserMessage,
)

#: Bytes of an envelope: a message of a hundred parts takes about 100 KB.
ENVELOPE_LIMIT = 256 * 1024
_DEEPEST, _MOST_ELEMENTS, _MOST_ATTRIBUTES = 16, 6000, 8
_HEAD = re.compile(
    rb"<\?xml version=[\"']1\.0[\"'](?: encoding=[\"'](?i:utf-8)[\"'])?"
    rb"(?: standalone=[\"'](?:no|yes)[\"'])?\s*\?>\s*"
)
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")
_MOST_PREFIXES = 16
_CODE = re.compile(r"EBMS:[0-9]{4}")
#: What phase4 says of a message that it took before, without the words that are about that message.
_DUPLICATE = re.compile(r"already (?:handled|received|processed)\b.*\bduplicate\b", re.DOTALL)
_ID = f"{{{UTILITY}}}Id"
_NAMES = {"S12": SOAP, "eb": EBMS, "ebbp": SIGNALS, "wsu": UTILITY, "wsse": WSSE, "wsse11": WSSE11, "ds": DSIG}
_NAMES |= {"xenc": XENC, "xenc11": XENC11, "ec": C14N}


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedMessage:
    """A user message whose signature, coverage and digests hold; its parts are still to come."""

    message: UserMessage
    references: tuple[SignedReference, ...]
    _wrapped: bytes = field(repr=False)
    _recipient: bytes = field(repr=False)

    def open(self, key: MessageKey, *, limit: int) -> MessageParts:
        """Unwrap the key of the parts, each of at most ``limit`` bytes once it is decompressed.

        Raises:
            Unacceptable: they are sealed for somebody else.
        """
        if self._recipient != key.der:
            refuse(Flaw.NOT_DECRYPTED)
        try:
            part_key = key.unwrap(self._wrapped)
        except NotGenuine as exc:
            raise Unacceptable(Flaw.NOT_DECRYPTED) from exc
        digests = {
            each.uri.removeprefix("cid:"): each.digest for each in self.references if each.uri.startswith("cid:")
        }
        return MessageParts(part_key, digests, limit)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UnprovenEnvelope:
    """An envelope of the right shape, unproven."""

    _messaging: etree._Element = field(repr=False)
    _body: etree._Element = field(repr=False)
    _security: etree._Element | None = field(repr=False)

    def claims(self) -> Claims:
        """Return what it says of itself.

        Raises:
            Unacceptable: it is no user message of the shape.
        """
        said = _user_message(self._messaging)
        return Claims(
            message_id=said.message_id,
            sender=said.sender,
            receiver=said.receiver,
            agreement=said.agreement,
            service=said.service,
            service_kind=said.service_kind,
            action=said.action,
        )

    def message(self, peer: MessagePeer, *, now: datetime) -> SignedMessage:
        """Return the user message, proven by ``peer``'s certificate.

        Raises:
            Unacceptable: a step of this module's list fails.
        """
        if self._security is None:
            refuse(Flaw.UNSIGNED)
        message = _user_message(self._messaging)
        header = _read_security(self._security)
        cids = [part.cid for part in message.parts]
        references = self._proven(header, peer, now, cids)
        if sorted(header.sealed) != sorted(cids) or header.recipient is None:
            refuse(Flaw.UNENCRYPTED)
        return SignedMessage(
            message=message, references=references, _wrapped=header.wrapped, _recipient=header.recipient
        )

    def signal(self, peer: MessagePeer, *, now: datetime) -> ReceiptSignal | ErrorSignal:
        """Return the receipt, proven by ``peer``'s certificate, or the error, which need not be.

        Raises:
            Unacceptable: neither; or a receipt for which a step of this module's list fails.
        """
        signal = _only(self._messaging, "eb:SignalMessage")
        proven = self._security is not None
        if self._security is not None:
            self._proven(_read_security(self._security), peer, now, [])
        kinds = [each.tag for each in list(signal)[1:]]
        if kinds and set(kinds) == {_name("eb:Error")}:
            return _error(signal, signed=proven)
        if not proven:
            refuse(Flaw.UNSIGNED)
        return _receipt(signal)

    def _proven(
        self, header: _Security, peer: MessagePeer, now: datetime, cids: Sequence[str]
    ) -> tuple[SignedReference, ...]:
        """Take steps 4 to 6."""
        if header.signer != peer.der or not peer.is_valid(now):
            refuse(Flaw.WRONG_CERTIFICATE)
        try:
            peer.verify(header.signature, _canonical(header.signed_info, header.prefixes))
        except NotGenuine as exc:
            raise Unacceptable(Flaw.WRONG_SIGNATURE) from exc
        own = {f"#{each.get(_ID)}": each for each in (self._messaging, self._body)}
        wanted = sorted([*own, *(f"cid:{cid}" for cid in cids)])
        if sorted(each.uri for each in header.references) != wanted:
            refuse(Flaw.UNSIGNED)
        for reference in header.references:
            element = own.get(reference.uri)
            if element is None:
                continue
            if in_base64(hashlib.sha256(_canonical(element, reference.prefixes)).digest()) != reference.digest:
                refuse(Flaw.WRONG_DIGEST)
        return header.references


def read_envelope(content: bytes) -> UnprovenEnvelope:
    """Take steps 1 to 3 for what stands around the message.

    Raises:
        Unacceptable: it is no envelope of the shape.
    """
    envelope = _parsed(content)
    if envelope.tag != _name("S12:Envelope"):
        refuse(Flaw.UNREADABLE)
    header, body = _children(envelope, "S12:Header", "S12:Body")
    security = [each for each in header if each.tag == _name("wsse:Security")]
    messaging = [each for each in header if each.tag == _name("eb:Messaging")]
    if len(messaging) != 1 or len(security) > 1 or len(header) != len(security) + 1 or _texts(header):
        refuse(Flaw.UNREADABLE)
    for each in security:
        _attributes(each, optional=("S12:mustUnderstand",))
    if not security:
        return UnprovenEnvelope(_messaging=messaging[0], _body=body, _security=None)
    _attributes(messaging[0], "wsu:Id", optional=("S12:mustUnderstand",))
    _attributes(body, "wsu:Id")
    if len(body) or (body.text or "").strip():
        refuse(Flaw.UNREADABLE)
    return UnprovenEnvelope(_messaging=messaging[0], _body=body, _security=security[0])


def _parsed(content: bytes) -> etree._Element:
    if len(content) > ENVELOPE_LIMIT:
        refuse(Flaw.TOO_LARGE)
    head = _HEAD.match(content)
    text = content[head.end() :] if head else content
    # In well-formed XML a "<" begins markup and nothing else.
    if b"<!" in text or b"<?" in text:
        refuse(Flaw.FORBIDDEN_XML)
    # A parser for each: it belongs to one thread.
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, collect_ids=False
    )
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as exc:
        raise Unacceptable(Flaw.UNREADABLE) from exc
    _bound(root)
    return root


def _bound(root: etree._Element) -> None:
    """Refuse what is too deep or too much, and an Id that occurs twice, however it is spelled."""
    known: set[str] = set()
    number = 0
    level = [root]
    for _depth in range(_DEEPEST):
        for element in level:
            number += 1
            if number > _MOST_ELEMENTS or len(element.keys()) > _MOST_ATTRIBUTES:
                refuse(Flaw.TOO_LARGE)
            for name, value in element.items():
                if str(name).rpartition("}")[2].lower() == "id":
                    if value in known:
                        refuse(Flaw.ID_TWICE)
                    known.add(str(value))
        level = [child for element in level for child in element]
        if not level:
            return
    refuse(Flaw.TOO_LARGE)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Security:
    """What the security header holds: the signer's certificate and signature, and who can open which parts."""

    signed_info: etree._Element
    prefixes: tuple[str, ...]
    references: tuple[SignedReference, ...]
    signature: bytes
    signer: bytes
    sealed: tuple[str, ...]
    wrapped: bytes
    recipient: bytes | None


def _read_security(security: etree._Element) -> _Security:
    """Take step 3 for the security header."""
    kinds = ("wsse:BinarySecurityToken", "xenc:EncryptedKey", "xenc:EncryptedData", "ds:Signature")
    found: dict[str, list[etree._Element]] = {_name(kind): [] for kind in kinds}
    for child in security:
        if child.tag not in found:
            refuse(Flaw.UNREADABLE)
        found[str(child.tag)].append(child)
    tokens, keys, data, signatures = found.values()
    if len(signatures) != 1:
        refuse(Flaw.UNSIGNED)
    if len(keys) > 1 or len(data) > ebms.MOST_PARTS or bool(keys) != bool(data):
        refuse(Flaw.UNREADABLE)
    certificates = dict(map(_certificate, tokens))
    signed_info, prefixes, references, signature, signer = _signature(signatures[0])
    sealed, wrapped, recipient = _sealed(keys[0], data) if keys else ((), b"", "")
    used = {signer, recipient} - {""}
    if used != certificates.keys():
        refuse(Flaw.UNREADABLE)
    return _Security(
        signed_info=signed_info,
        prefixes=prefixes,
        references=references,
        signature=signature,
        signer=certificates[signer],
        sealed=sealed,
        wrapped=wrapped,
        recipient=certificates.get(recipient),
    )


def _certificate(token: etree._Element) -> tuple[str, bytes]:
    _attributes(token, "wsu:Id", EncodingType=BASE64_BINARY, ValueType=X509_V3)
    return f"#{token.get(_ID)}", _bytes(token)


def _signature(
    signature: etree._Element,
) -> tuple[etree._Element, tuple[str, ...], tuple[SignedReference, ...], bytes, str]:
    _attributes(signature, optional=("Id",))
    signed_info, value, key_info = _children(signature, "ds:SignedInfo", "ds:SignatureValue", "ds:KeyInfo")
    _attributes(signed_info)
    _attributes(value)
    _attributes(key_info, optional=("Id",))
    if len(signed_info) < 3 or _texts(signed_info):  # noqa: PLR2004  # both methods and one reference
        refuse(Flaw.UNSIGNED)
    prefixes = _method(signed_info[0], "ds:CanonicalizationMethod", C14N, Flaw.ALGORITHM)
    if _method(signed_info[1], "ds:SignatureMethod", SIGNATURE, Flaw.ALGORITHM):
        refuse(Flaw.ALGORITHM)
    references = tuple(_read_reference(each) for each in list(signed_info)[2:])
    return signed_info, prefixes, references, _bytes(value), _token_uri(key_info)


def _read_reference(reference: etree._Element) -> SignedReference:
    if reference.tag != _name("ds:Reference"):
        refuse(Flaw.UNREADABLE)
    _attributes(reference, "URI")
    transforms, method, value = _children(reference, "ds:Transforms", "ds:DigestMethod", "ds:DigestValue")
    if len(transforms) != 1:
        refuse(Flaw.TRANSFORM)
    uri = str(reference.get("URI"))
    attached = uri.startswith("cid:")
    prefixes = _method(transforms[0], "ds:Transform", CONTENT_SIGNED if attached else C14N, Flaw.TRANSFORM)
    if attached and prefixes:
        refuse(Flaw.TRANSFORM)
    if _method(method, "ds:DigestMethod", DIGEST, Flaw.ALGORITHM):
        refuse(Flaw.ALGORITHM)
    return SignedReference(uri=uri, digest=in_base64(_bytes(value)), prefixes=prefixes)


def _method(element: etree._Element, kind: str, algorithm: str, flaw: Flaw) -> tuple[str, ...]:
    """Require an algorithm; return the prefixes that exclusive canonicalisation treats inclusively, if any."""
    if element.tag != _name(kind) or dict(element.items()) != {"Algorithm": algorithm} or _texts(element):
        refuse(flaw)
    if not len(element):
        return ()
    inner = _only(element, "ec:InclusiveNamespaces")
    _attributes(inner, "PrefixList")
    prefixes = tuple(str(inner.get("PrefixList")).split())
    if algorithm != C14N or len(inner) or len(prefixes) > _MOST_PREFIXES or not all(map(_PREFIX.fullmatch, prefixes)):
        refuse(flaw)
    return prefixes


def _sealed(key: etree._Element, data: Sequence[etree._Element]) -> tuple[tuple[str, ...], bytes, str]:
    """Return the content ids of the parts that are sealed under a key, that key, wrapped, and whose certificate opens it."""
    _attributes(key, "Id")
    method, key_info, cipher, listed = _children(
        key, "xenc:EncryptionMethod", "ds:KeyInfo", "xenc:CipherData", "xenc:ReferenceList"
    )
    digest, generator = _children(method, "ds:DigestMethod", "xenc11:MGF")
    for element, algorithm in ((method, KEY_TRANSPORT), (digest, DIGEST), (generator, MASK)):
        if dict(element.items()) != {"Algorithm": algorithm}:
            refuse(Flaw.ALGORITHM)
    named = [str(each.get("URI")) for each in listed if each.tag == _name("xenc:DataReference")]
    if len(named) != len(listed) or sorted(named) != sorted(f"#{each.get('Id')}" for each in data):
        refuse(Flaw.UNENCRYPTED)
    cids = tuple(_sealed_part(each, f"#{key.get('Id')}") for each in data)
    return cids, _bytes(_only(cipher, "xenc:CipherValue")), _token_uri(key_info)


def _sealed_part(data: etree._Element, key: str) -> str:
    _attributes(data, "Id", MimeType=GZIP, Type=CONTENT_ONLY)
    method, key_info, cipher = _children(data, "xenc:EncryptionMethod", "ds:KeyInfo", "xenc:CipherData")
    if _method(method, "xenc:EncryptionMethod", CIPHER, Flaw.ALGORITHM):
        refuse(Flaw.ALGORITHM)
    token = _only(key_info, "wsse:SecurityTokenReference")
    _attributes(token, optional=("wsse11:TokenType", "wsu:Id"))
    reference = _only(token, "wsse:Reference")
    _attributes(reference, "URI", optional=("ValueType",))
    if reference.get("URI") != key:
        refuse(Flaw.UNENCRYPTED)
    place = _only(cipher, "xenc:CipherReference")
    _attributes(place, "URI")
    _method(_only(_only(place, "xenc:Transforms"), "ds:Transform"), "ds:Transform", CONTENT_SEALED, Flaw.TRANSFORM)
    return _cid(str(place.get("URI")))


def _token_uri(key_info: etree._Element) -> str:
    token = _only(key_info, "wsse:SecurityTokenReference")
    _attributes(token, optional=("wsu:Id",))
    reference = _only(token, "wsse:Reference")
    _attributes(reference, "URI", ValueType=X509_V3)
    return str(reference.get("URI"))


# What a message says.


def _user_message(messaging: etree._Element) -> UserMessage:
    message = _only(messaging, "eb:UserMessage")
    _attributes(message, optional=("mpc",))
    by_name = _once(
        message,
        "eb:MessageInfo",
        "eb:PartyInfo",
        "eb:CollaborationInfo",
        "eb:PayloadInfo",
        may=("eb:MessageProperties",),
    )
    about = _once(
        by_name["eb:CollaborationInfo"], "eb:Service", "eb:Action", "eb:ConversationId", may=("eb:AgreementRef",)
    )
    _attributes(about["eb:Service"], optional=("type",))
    if "eb:AgreementRef" in about:
        _attributes(about["eb:AgreementRef"], optional=("type", "pmode"))
    sender, receiver = _children(by_name["eb:PartyInfo"], "eb:From", "eb:To")
    message_id, sent_at, _refers_to = _message_info(by_name["eb:MessageInfo"])
    parts = tuple(map(_part, by_name["eb:PayloadInfo"]))
    cids = {part.cid for part in parts}
    if not 0 < len(parts) <= ebms.MOST_PARTS or len(cids) != len(parts):
        refuse(Flaw.PARTS)
    return UserMessage(
        message_id=message_id,
        sent_at=sent_at,
        sender=_read_agent(sender),
        receiver=_read_agent(receiver),
        agreement=_text(about["eb:AgreementRef"]) if "eb:AgreementRef" in about else "",
        service=_text(about["eb:Service"]),
        service_kind=about["eb:Service"].get("type", ""),
        action=_text(about["eb:Action"]),
        conversation=_text(about["eb:ConversationId"]),
        properties=_read_properties(by_name.get("eb:MessageProperties")),
        parts=parts,
    )


def _message_info(info: etree._Element) -> tuple[str, datetime, str]:
    """Return a message's id, its time, and the id that it refers to, "" for none."""
    by_name = _once(info, "eb:Timestamp", "eb:MessageId", may=("eb:RefToMessageId",))
    message_id = _text(by_name["eb:MessageId"])
    refers_to = _text(by_name["eb:RefToMessageId"]) if "eb:RefToMessageId" in by_name else ""
    try:
        at = datetime.fromisoformat(_text(by_name["eb:Timestamp"]))
    except ValueError as exc:
        raise Unacceptable(Flaw.UNREADABLE) from exc
    if not ebms.is_message_id(message_id) or not (ebms.is_message_id(refers_to) or not refers_to) or at.tzinfo is None:
        refuse(Flaw.UNREADABLE)
    return message_id, at, refers_to


def _read_agent(element: etree._Element) -> Agent:
    party, role = _children(element, "eb:PartyId", "eb:Role")
    _attributes(party, optional=("type",))
    return Agent(party=_text(party), kind=party.get("type", ""), role=_text(role))


def _part(element: etree._Element) -> PartInfo:
    if element.tag != _name("eb:PartInfo"):
        refuse(Flaw.UNREADABLE)
    _attributes(element, "href")
    properties = dict(_read_properties(_only(element, "eb:PartProperties")))
    if properties.pop("CompressionType", "") != GZIP or "MimeType" not in properties:
        refuse(Flaw.PARTS)
    return PartInfo(cid=_cid(str(element.get("href"))), media_type=properties.pop("MimeType"), properties=properties)


def _read_properties(element: etree._Element | None) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for each in () if element is None else element:
        _attributes(each, "name", optional=("type",))
        name = str(each.get("name"))
        if each.tag != _name("eb:Property") or name in found or not ebms.is_text(name):
            refuse(Flaw.UNREADABLE)
        found[name] = _text(each)
    return found


def _receipt(signal: etree._Element) -> ReceiptSignal:
    info, receipt = _children(signal, "eb:MessageInfo", "eb:Receipt")
    _message_id, _at, refers_to = _message_info(info)
    # Some programs sign their version number beside it.
    proof = [each for each in receipt if each.tag == _name("ebbp:NonRepudiationInformation")]
    if len(proof) != 1:
        refuse(Flaw.UNREADABLE)
    digests: dict[str, str] = {}
    for part in proof[0]:
        if part.tag != _name("ebbp:MessagePartNRInformation"):
            refuse(Flaw.UNREADABLE)
        reference = _read_reference(_only(part, "ds:Reference"))
        if reference.uri in digests:
            refuse(Flaw.UNREADABLE)
        digests[reference.uri] = reference.digest
    return ReceiptSignal(refers_to=refers_to, digests=digests)


def _error(signal: etree._Element, *, signed: bool) -> ErrorSignal:
    _message_id, _at, refers_to = _message_info(signal[0])
    codes = tuple(str(each.get("errorCode", "")) for each in list(signal)[1:])
    if not all(map(_CODE.fullmatch, codes)):
        refuse(Flaw.UNREADABLE)
    return ErrorSignal(refers_to=refers_to, codes=codes, signed=signed, duplicate=_says_duplicate(signal, refers_to))


def _says_duplicate(signal: etree._Element, refers_to: str) -> bool:
    errors = list(signal)[1:]
    if len(errors) != 1 or errors[0].get("errorCode") != "EBMS:0004":
        return False
    said = errors[0].findtext(_name("eb:ErrorDetail")) or ""
    return errors[0].get("refToMessageInError") == refers_to and _DUPLICATE.search(said) is not None


# Shapes.


def _name(qualified: str) -> str:
    """Return ``prefix:local`` as lxml spells it; a name without prefix stays."""
    prefix, colon, local = qualified.partition(":")
    return f"{{{_NAMES[prefix]}}}{local}" if colon else qualified


def _children(element: etree._Element, *kinds: str) -> list[etree._Element]:
    """Return an element's children, which are exactly these in this order."""
    if [child.tag for child in element] != [_name(kind) for kind in kinds] or _texts(element):
        refuse(Flaw.UNREADABLE)
    return list(element)


def _only(element: etree._Element, kind: str) -> etree._Element:
    return _children(element, kind)[0]


def _once(element: etree._Element, *kinds: str, may: Sequence[str] = ()) -> dict[str, etree._Element]:
    """Return an element's children by name: each of ``kinds`` once, each of ``may`` at most once, in any order."""
    spelled = {_name(kind): kind for kind in (*kinds, *may)}
    found = {spelled.get(str(child.tag), ""): child for child in element}
    if len(found) != len(element) or "" in found or set(kinds) - found.keys() or _texts(element):
        refuse(Flaw.UNREADABLE)
    return found


def _attributes(element: etree._Element, *kinds: str, optional: Sequence[str] = (), **fixed: str) -> None:
    """Require an element's attributes: these, those that it may have, and those of one fixed value."""
    given = dict(element.items())
    for name, value in fixed.items():
        if given.pop(name, None) != value:
            refuse(Flaw.ALGORITHM)
    needed, allowed = set(map(_name, kinds)), set(map(_name, (*kinds, *optional)))
    if not needed <= given.keys() <= allowed or not all(given.values()):
        refuse(Flaw.UNREADABLE)


def _texts(element: etree._Element) -> bool:
    """Tell whether text stands between an element's children."""
    between = [element.text, *(child.tail for child in element)]
    return any(text and text.strip() for text in between)


def _text(element: etree._Element) -> str:
    """Return the text of an element that holds nothing else."""
    text = (element.text or "").strip()
    if len(element) or not ebms.is_text(text):
        refuse(Flaw.UNREADABLE)
    return text


def _bytes(element: etree._Element) -> bytes:
    """Return what an element holds in base64, line breaks allowed."""
    try:
        if len(element):
            refuse(Flaw.UNREADABLE)
        return base64.b64decode("".join((element.text or "").split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Unacceptable(Flaw.UNREADABLE) from exc


def _cid(uri: str) -> str:
    cid = uri.removeprefix("cid:")
    if cid == uri or not ebms.is_content_id(cid):
        refuse(Flaw.PARTS)
    return cid


def _canonical(element: etree._Element, prefixes: Sequence[str]) -> bytes:
    """Return the exclusive canonical form (XML-Exc-C14N 1.0), without comments."""
    return bytes(
        etree.tostring(
            element, method="c14n", exclusive=True, with_comments=False, inclusive_ns_prefixes=list(prefixes) or None
        )
    )
