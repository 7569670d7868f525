"""Writing CMS EnvelopedData (RFC 5652) around a MIME entity, as S/MIME (RFC 8551) wants it: AES-256-CBC, RSA key transport.

It is for receivers that read mail but no JWE, and for them alone. CBC is not authenticated and the key transport is
RSAES-PKCS1-v1_5: that is what their programs understand, and what the library makes. The hash in the receipt proves the
content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from email import policy
from email.message import EmailMessage
from typing import Any

from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7EnvelopeBuilder, PKCS7Options

from hub.crypto import certificates
from hub.crypto.jwe import Seal, require_media_type
from hub.crypto.keys import EncryptionKey
from hub.errors import KeyRefused, Text

#: How often the plaintext lies in memory while it is sealed: its pieces, the entity of them, its padded form, the result.
COPIES = 4
#: Bytes that a part takes besides its content: the head inside, the wrapped key (16384 bits at most), issuer and serial.
OVERHEAD = 6 * 1024

_LONGEST_NAME = 120
#: What a file system, a mail program or a shell may stumble over.
_NO_NAME = re.compile(r"[^\w .()+,=@-]+")
#: A structure that the sender chose is no structure of the mail's: it is carried as a file.
_STRUCTURED = ("multipart/", "message/")


class CmsWriter:
    """Seals one file: ``write`` plaintext in any pieces, ``finish`` once, and ``sink`` gets the DER.

    The library takes a content whole, so all of it lies in memory (:data:`COPIES` times): cap it before.

    Raises:
        UnsupportedMedia: ``content_type`` is no media type.
        KeyRefused: the key has no certificate.
    """

    def __init__(
        self, key: EncryptionKey, *, content_type: str, filename: str, sink: Callable[[bytes], object]
    ) -> None:
        require_media_type(content_type)
        self._recipient = recipient(key)
        self._pieces = [_head(content_type, filename)]
        self._hash, self._size = hashlib.sha512(), 0
        self._sink = sink

    def write(self, plaintext: bytes) -> None:
        """Take the next piece."""
        self._pieces.append(plaintext)
        self._hash.update(plaintext)
        self._size += len(plaintext)

    def finish(self) -> Seal:
        """Seal what was written; return the seal, whose tag is empty."""
        entity = b"".join(self._pieces)
        self._pieces.clear()
        sealed = (
            PKCS7EnvelopeBuilder()
            .set_data(entity)
            .add_recipient(self._recipient)
            .set_content_encryption_algorithm(AES256)
            .encrypt(Encoding.DER, [PKCS7Options.Binary])
        )
        self._sink(sealed)
        return Seal(
            tag="",
            sha512=hashlib.sha512(sealed).hexdigest(),
            size=len(sealed),
            plaintext_sha512=self._hash.hexdigest(),
            plaintext_size=self._size,
        )


def recipient(key: EncryptionKey) -> certificates.Certificate:
    """Return the certificate of a judged key: the policy has compared the two.

    Raises:
        KeyRefused: it has none.
    """
    if "x5c" not in key.jwk:
        raise KeyRefused(
            Text(
                "Für CMS braucht der Schlüssel ein Zertifikat. Hinterlegen Sie ihn mit x5c.",
                "For CMS the key needs a certificate. Register it with x5c.",
            )
        )
    return certificates.read_chain(key.jwk["x5c"])[0]


def is_recipient(sealed: bytes, jwk: Mapping[str, Any]) -> bool:
    """Say whether what begins with ``sealed`` is for a key: its certificate's issuer and serial stand there (RFC 5652, 10.2.4).

    Raises:
        KeyRefused: the key has no certificate, or one that cannot be read.
    """
    certificate = certificates.read_chain(jwk.get("x5c"))[0]
    number = certificate.serial_number
    serial = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    return certificate.issuer.public_bytes() + b"\x02" + bytes([len(serial)]) + serial in sealed


def _head(content_type: str, filename: str) -> bytes:
    """Return the head of a MIME entity that is a file; its body follows as it is (RFC 8551 section 3.1.2)."""
    structured = content_type.lower().startswith(_STRUCTURED)
    head = EmailMessage(policy=policy.SMTP)
    head["Content-Type"] = "application/octet-stream" if structured else content_type
    head.add_header("Content-Disposition", "attachment", filename=plain_name(filename))
    head["Content-Transfer-Encoding"] = "binary"
    return head.as_bytes()


def plain_name(filename: str) -> str:
    """Return a file name without folders, control characters and whatever else may mean something somewhere."""
    last = re.split(r"[/\\]", filename)[-1]
    return _NO_NAME.sub("_", last).strip(" .")[:_LONGEST_NAME] or "datei"
