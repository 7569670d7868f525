"""AS4 in the profile ``edelivery-1.15``: envelopes signed, and parts compressed and sealed, in one fixed shape.

WS-Security 1.1.1 with its SOAP messages with attachments profile 1.1, XML Signature, XML Encryption 1.1. Written as text in
canonical form, so that what is hashed is what goes out. Parts go through in pieces, and come out in pieces
(:class:`PartReader`). Envelopes are read by :mod:`hub.soap.as4_reader`.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn
from uuid import uuid4

from hub.crypto.messages import MessageKey, MessagePeer, NotGenuine, PartOpener, PartSealer
from hub.soap import ebms
from hub.soap.ebms import GZIP, SOAP, UTILITY, Flaw, SignedReference, Unacceptable, UserMessage

PROFILE = "edelivery-1.15"
_PIECE = 64 * 1024
#: zlib's sign for one gzip member with its head and check sum.
_GZIP_WINDOW = 31

WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
XENC, XENC11 = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#"
C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
DIGEST = f"{XENC}sha256"
SIGNATURE = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
KEY_TRANSPORT, MASK, CIPHER = f"{XENC11}rsa-oaep", f"{XENC11}mgf1sha256", f"{XENC11}aes128-gcm"
_SWA = "http://docs.oasis-open.org/wss/oasis-wss-SwAProfile-1.1#"
CONTENT_SIGNED, CONTENT_SEALED = (
    f"{_SWA}Attachment-Content-Signature-Transform",
    f"{_SWA}Attachment-Ciphertext-Transform",
)
CONTENT_ONLY = f"{_SWA}Attachment-Content-Only"
BASE64_BINARY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
X509_V3 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
KEY_TOKEN = "http://docs.oasis-open.org/wss/oasis-wss-soap-message-security-1.1#EncryptedKey"  # noqa: S105  # a name


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedEnvelope:
    """What goes out, and what its signature covers: a receipt repeats it."""

    content: bytes = field(repr=False)
    digests: Mapping[str, str]


class PartWriter:
    """Compresses, hashes and seals one part: what ``write`` and ``finish`` return belongs behind each other."""

    def __init__(self, key: bytes) -> None:
        self._sealer = PartSealer(key)
        # Sealed contents gain little: base64 of random bytes.
        self._gzip = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
        self._digest = hashlib.sha256()
        self._head = self._sealer.head

    def write(self, content: bytes) -> bytes:
        """Take the next piece."""
        return self._sealed(self._gzip.compress(content))

    def finish(self) -> bytes:
        """Return what comes last; ``digest`` is known then."""
        return self._sealed(self._gzip.flush()) + self._sealer.finish()

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the compressed part, which is what is signed."""
        return self._digest.digest()

    def _sealed(self, compressed: bytes) -> bytes:
        self._digest.update(compressed)
        head, self._head = self._head, b""
        return head + self._sealer.write(compressed)


def write_message(
    message: UserMessage, digests: Mapping[str, bytes], *, part_key: bytes, key: MessageKey, peer: MessagePeer
) -> SignedEnvelope:
    """Return the envelope of a message whose parts were sealed under ``part_key``; ``digests`` are theirs by content id."""
    about, encrypted = ebms.user_message(message), _encrypted(message, part_key, peer)
    return _envelope(message.message_id, about, key, encrypted=encrypted, parts=digests)


def write_receipt(
    message_id: str, at: datetime, *, refers_to: str, references: Iterable[SignedReference], key: MessageKey
) -> bytes:
    """Return the signed receipt of a message: it repeats what that message's signature covered."""
    repeated = [
        _reference(
            each.uri,
            base64.b64decode(each.digest),
            CONTENT_SIGNED if each.uri.startswith("cid:") else C14N,
            each.prefixes,
            apart=True,
        )
        for each in references
    ]
    return _envelope(message_id, ebms.receipt_signal(message_id, at, refers_to, repeated), key).content


def write_error(message_id: str, at: datetime, *, refers_to: str, flaw: Flaw, key: MessageKey, said: str = "") -> bytes:
    """Return a signed error; ``said`` adds what is wrong to what the flaw says."""
    return _envelope(message_id, ebms.error_signal(message_id, at, refers_to, flaw, said), key).content


def write_unsigned_error(message_id: str, at: datetime, *, flaw: Flaw) -> bytes:
    """Return an error for somebody unknown: nothing of the message is repeated, and nobody's key is used."""
    text = (
        f'<S12:Envelope xmlns:S12="{SOAP}"><S12:Header>'
        f"{ebms.messaging(f'M-{uuid4().hex}', ebms.error_signal(message_id, at, '', flaw))}</S12:Header>"
        "<S12:Body></S12:Body></S12:Envelope>"
    )
    return text.encode()


def _envelope(
    message_id: str,
    content: str,
    key: MessageKey,
    *,
    encrypted: str = "",
    parts: Mapping[str, bytes] | None = None,
) -> SignedEnvelope:
    attached = {f"cid:{cid}": digest for cid, digest in (parts or {}).items()}
    token = f"X509-{uuid4()}"
    # The same at each attempt: an access point may answer a repeat with the receipt of the first.
    stem = hashlib.sha256(message_id.encode()).hexdigest()[:32]
    head, body = f"M-{stem}", f"B-{stem}"
    messaging = ebms.messaging(head, content)
    emptied = f'<S12:Body xmlns:S12="{SOAP}" xmlns:wsu="{UTILITY}" wsu:Id="{body}"></S12:Body>'
    own = {f"#{name}": hashlib.sha256(text.encode()).digest() for name, text in ((head, messaging), (body, emptied))}
    covered = [_reference(uri, digest, CONTENT_SIGNED) for uri, digest in attached.items()]
    references = "".join([*(_reference(uri, digest, C14N) for uri, digest in own.items()), *covered])
    signed = (
        f'<ds:SignedInfo xmlns:ds="{DSIG}">{_algorithm("ds:CanonicalizationMethod", C14N)}'
        f"{_algorithm('ds:SignatureMethod', SIGNATURE)}{references}</ds:SignedInfo>"
    )
    security = (
        f'<wsse:Security xmlns:wsse="{WSSE}" S12:mustUnderstand="true">{encrypted}{_token(token, key.der)}'
        f'<ds:Signature xmlns:ds="{DSIG}">{signed}'
        f"<ds:SignatureValue>{in_base64(key.sign(signed.encode()))}</ds:SignatureValue>"
        f"<ds:KeyInfo>{_token_reference(token)}</ds:KeyInfo></ds:Signature></wsse:Security>"
    )
    text = f'<S12:Envelope xmlns:S12="{SOAP}"><S12:Header>{security}{messaging}</S12:Header>{emptied}</S12:Envelope>'
    digests = {uri: in_base64(digest) for uri, digest in (own | attached).items()}
    return SignedEnvelope(content=text.encode(), digests=digests)


def _encrypted(message: UserMessage, part_key: bytes, peer: MessagePeer) -> str:
    token, key = f"X509-{uuid4()}", f"EK-{uuid4()}"
    data = [(f"ED-{uuid4()}", part.cid) for part in message.parts]
    listed = "".join(f'<xenc:DataReference URI="#{identifier}"/>' for identifier, _cid in data)
    wrapped = (
        f'<xenc:EncryptedKey xmlns:xenc="{XENC}" Id="{key}"><xenc:EncryptionMethod Algorithm="{KEY_TRANSPORT}">'
        f'<ds:DigestMethod xmlns:ds="{DSIG}" Algorithm="{DIGEST}"/>'
        f'<xenc11:MGF xmlns:xenc11="{XENC11}" Algorithm="{MASK}"/></xenc:EncryptionMethod>'
        f'<ds:KeyInfo xmlns:ds="{DSIG}">{_token_reference(token)}</ds:KeyInfo><xenc:CipherData>'
        f"<xenc:CipherValue>{in_base64(peer.wrap(part_key))}</xenc:CipherValue></xenc:CipherData>"
        f"<xenc:ReferenceList>{listed}</xenc:ReferenceList></xenc:EncryptedKey>"
    )
    sealed = "".join(
        f'<xenc:EncryptedData xmlns:xenc="{XENC}" Id="{identifier}" MimeType="{GZIP}" Type="{CONTENT_ONLY}">'
        f'<xenc:EncryptionMethod Algorithm="{CIPHER}"/><ds:KeyInfo xmlns:ds="{DSIG}"><wsse:SecurityTokenReference '
        f'xmlns:wsse11="{WSSE11}" wsse11:TokenType="{KEY_TOKEN}"><wsse:Reference URI="#{key}"/>'
        f"</wsse:SecurityTokenReference></ds:KeyInfo><xenc:CipherData>"
        f'<xenc:CipherReference URI="cid:{ebms.in_attribute(cid)}"><xenc:Transforms>'
        f'<ds:Transform xmlns:ds="{DSIG}" Algorithm="{CONTENT_SEALED}"/></xenc:Transforms></xenc:CipherReference>'
        "</xenc:CipherData></xenc:EncryptedData>"
        for identifier, cid in data
    )
    return _token(token, peer.der) + wrapped + sealed


def _token(identifier: str, der: bytes) -> str:
    return (
        f'<wsse:BinarySecurityToken xmlns:wsu="{UTILITY}" EncodingType="{BASE64_BINARY}" ValueType="{X509_V3}" '
        f'wsu:Id="{identifier}">{in_base64(der)}</wsse:BinarySecurityToken>'
    )


def _token_reference(identifier: str) -> str:
    return (
        f'<wsse:SecurityTokenReference><wsse:Reference URI="#{identifier}" ValueType="{X509_V3}"/>'
        "</wsse:SecurityTokenReference>"
    )


def _algorithm(element: str, algorithm: str, prefixes: Sequence[str] = ()) -> str:
    listed = " ".join(prefixes)
    inner = (
        f'<ec:InclusiveNamespaces xmlns:ec="{C14N}" PrefixList="{listed}"></ec:InclusiveNamespaces>' if listed else ""
    )
    return f'<{element} Algorithm="{algorithm}">{inner}</{element}>'


def _reference(uri: str, digest: bytes, transform: str, prefixes: Sequence[str] = (), *, apart: bool = False) -> str:
    """Return a reference in canonical form: inside ``SignedInfo``, or ``apart`` from it, where it declares its prefix."""
    space = f' xmlns:ds="{DSIG}"' if apart else ""
    return (
        f'<ds:Reference{space} URI="{ebms.in_attribute(uri)}"><ds:Transforms>'
        f"{_algorithm('ds:Transform', transform, prefixes)}</ds:Transforms>{_algorithm('ds:DigestMethod', DIGEST)}"
        f"<ds:DigestValue>{in_base64(digest)}</ds:DigestValue></ds:Reference>"
    )


def in_base64(content: bytes) -> str:
    """Return standard base64 without line breaks."""
    return base64.b64encode(content).decode("ascii")


class MessageParts:
    """Opens the parts of one message, each once."""

    def __init__(self, part_key: bytes, digests: Mapping[str, str], limit: int) -> None:
        self._key = part_key
        self._left = dict(digests)
        self._limit = limit

    def reader(self, cid: str) -> PartReader:
        """Begin a part.

        Raises:
            Unacceptable: nobody announced it, or it was there already.
        """
        digest = self._left.pop(cid, None)
        if digest is None:
            refuse(Flaw.PARTS)
        return PartReader(self._key, digest, self._limit)

    def finish(self) -> None:
        """Require that all parts came.

        Raises:
            Unacceptable: one did not.
        """
        if self._left:
            refuse(Flaw.PARTS)


class PartReader:
    """Opens, hashes and decompresses one part. What ``write`` yields is proven by ``finish`` alone: keep it apart till then."""

    def __init__(self, key: bytes, digest: str, limit: int) -> None:
        self._opener = PartOpener(key)
        self._digest, self._wanted = hashlib.sha256(), digest
        self._gzip = zlib.decompressobj(_GZIP_WINDOW)
        self._left = limit

    def write(self, sealed: bytes) -> Iterator[bytes]:
        """Take the next sealed piece; yield what it comes to, in pieces of at most 64 KiB.

        Raises:
            Unacceptable: no gzip, more than one member, or more bytes than a part may have.
        """
        waiting = self._opener.write(sealed)
        self._digest.update(waiting)
        while waiting:
            if self._gzip.eof:
                refuse(Flaw.NOT_DECOMPRESSED)
            try:
                content = self._gzip.decompress(waiting, _PIECE)
            except zlib.error as exc:
                raise Unacceptable(Flaw.NOT_DECOMPRESSED) from exc
            waiting = self._gzip.unconsumed_tail or self._gzip.unused_data
            self._left -= len(content)
            if self._left < 0:
                refuse(Flaw.NOT_DECOMPRESSED)
            if content:
                yield content

    def finish(self) -> Iterator[bytes]:
        """Yield what is left, and require that the part is genuine, the one that was signed, and whole.

        Raises:
            Unacceptable: it is not.
        """
        try:
            self._opener.finish()
        except NotGenuine as exc:
            raise Unacceptable(Flaw.NOT_DECRYPTED) from exc
        if in_base64(self._digest.digest()) != self._wanted:
            refuse(Flaw.WRONG_DIGEST)
        while not self._gzip.eof:
            content = self._gzip.decompress(b"", _PIECE)
            self._left -= len(content)
            if not content or self._left < 0:
                refuse(Flaw.NOT_DECOMPRESSED)
            yield content


def refuse(flaw: Flaw) -> NoReturn:
    """Raise the refusal."""
    raise Unacceptable(flaw)
