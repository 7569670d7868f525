"""Two access points and a message between them, for tests: with keys, as it is, and signed anew after somebody changed it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from hub.crypto.messages import MessageKey, MessagePeer, new_part_key, read_message_key, read_message_peer
from hub.soap.as4 import PartWriter, SignedEnvelope, write_message
from hub.soap.ebms import INITIATOR, RESPONDER, Agent, PartInfo, UserMessage

NOW = datetime.now(UTC)
CONTENT = b'{"antrag": "J\xc3\xbcrgen"}' * 40
_DS = "http://www.w3.org/2000/09/xmldsig#"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One access point: what it signs and opens with, what others pin of it, and both as files hold them."""

    key: MessageKey
    peer: MessagePeer
    key_pem: bytes
    pem: bytes


@cache
def side(name: str, *, ended: bool = False) -> Side:
    """Make an access point; ``ended``: its certificate has expired."""
    private = rsa.generate_private_key(65537, 2048)
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    until = NOW - timedelta(days=1) if ended else NOW + timedelta(days=30)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=2))
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
                key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    key_pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = certificate.public_bytes(Encoding.PEM)
    return Side(key=read_message_key(key_pem, pem), peer=read_message_peer(pem), key_pem=key_pem, pem=pem)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A message as it goes out: envelope, and sealed parts by content id."""

    message: UserMessage
    envelope: SignedEnvelope
    sealed: dict[str, bytes]


def make(
    contents: dict[str, bytes] | None = None,
    *,
    sender: str = "hub",
    receiver: str = "bauamt",
    by: Agent | None = None,
    to: Agent | None = None,
    compressed: bool = False,
    **changes,
) -> Made:
    """Return a message from one access point to another; ``compressed``: contents are gzip already, whatever they hold."""
    contents = {"one@hub": CONTENT} if contents is None else contents
    part_key, digests, sealed = new_part_key(), {}, {}
    for cid, content in contents.items():
        writer = PartWriter(part_key)
        if compressed:
            sealed[cid] = writer._sealed(content) + writer._sealer.finish()
        else:
            sealed[cid] = writer.write(content) + writer.finish()
        digests[cid] = writer.digest
    parts = tuple(
        PartInfo(cid=cid, media_type="application/json", properties={"FileName": "a&b.json"}) for cid in contents
    )
    message = UserMessage(**{
        "message_id": "11111111-2222-3333-4444-555555555555@hub.example",
        "sent_at": NOW.replace(microsecond=0),
        "sender": by or Agent(party=sender, kind="urn:example:parties", role=INITIATOR),
        "receiver": to or Agent(party=receiver, role=RESPONDER),
        "agreement": "urn:example:agreement",
        "service": 'urn:example:<&">service',
        "service_kind": 'a "kind" <&>',
        "action": "submit",
        "conversation": "conversation-1",
        "properties": {"finalRecipient": "Bau & Co <1>"},
        "parts": parts,
        **changes,
    })  # fmt: skip
    envelope = write_message(message, digests, part_key=part_key, key=side(sender).key, peer=side(receiver).peer)
    return Made(message=message, envelope=envelope, sealed=sealed)


def related(envelope: bytes, sealed: dict[str, bytes]) -> tuple[bytes, str]:
    """Return the body of a message as it goes over HTTP, and its Content-Type."""
    root = b"--hub-marker\r\nContent-Type: application/soap+xml; charset=UTF-8\r\n\r\n" + envelope
    parts = b"".join(
        f"\r\n--hub-marker\r\nContent-Type: application/octet-stream\r\nContent-ID: <{cid}>\r\n\r\n".encode() + content
        for cid, content in sealed.items()
    )
    return (
        root + parts + b"\r\n--hub-marker--\r\n",
        'multipart/related; type="application/soap+xml"; boundary="hub-marker"',
    )


def written_agreement(folder: Path) -> Path:
    """Write what the hub agreed on with the access point ``bauamt``, which sends as the client CLIENT; return the folder."""
    folder.mkdir(parents=True)
    own, peer = side("hub"), side("bauamt")
    for name, content in (("hub.key", own.key_pem), ("hub.pem", own.pem), ("bauamt.pem", peer.pem)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
    (folder / "bauamt.toml").write_text(
        'profile = "edelivery-1.15"\nagreement = "urn:example:agreement"\naction = "submit"\n'
        '[own]\nparty = "hub"\nkey_file = "hub.key"\ncertificate_file = "hub.pem"\n'
        '[peer]\nparty = "bauamt"\ncertificate_file = "bauamt.pem"\nclient = "CLIENT"\n'
    )
    return folder


def signed_anew(envelope: bytes, key: MessageKey, *, digests: bool = True) -> bytes:
    """Return a changed envelope as its own signer would have made it: digests of what has an Id, then the signature, anew."""
    root = etree.fromstring(envelope)
    info = root.find(f".//{{{_DS}}}SignedInfo")
    for reference in info.iter(f"{{{_DS}}}Reference") if digests else ():
        name = reference.get("URI", "").removeprefix("#")
        target = [each for each in root.iter() if name in {value for key, value in each.items() if key.endswith("}Id")}]
        if target:
            digest = hashlib.sha256(etree.tostring(target[0], method="c14n", exclusive=True)).digest()
            reference.find(f"{{{_DS}}}DigestValue").text = base64.b64encode(digest).decode()
    signature = key.sign(etree.tostring(info, method="c14n", exclusive=True))
    root.find(f".//{{{_DS}}}SignatureValue").text = base64.b64encode(signature).decode()
    return etree.tostring(root)


def replaced(envelope: bytes, pattern: str, by: str, *, count: int = 1) -> bytes:
    """Return an envelope with what a pattern finds put in another way; it has to find something."""
    text, number = re.subn(pattern, by, envelope.decode(), count=count, flags=re.DOTALL)
    assert number, pattern
    return text.encode()
