"""Mail each delivery to the authority: S/MIME (RFC 8551), which a mail program opens with the destination's certificate.

The plain door has sealed every part as CMS to that certificate. A mail holds each as a message of its own (RFC 8551 section
3.3), attached under a neutral name; the real names of files lie inside the seals. In the clear stand who writes to whom, ids,
hashes and sizes. With ``accepts_jwe`` the sealed door is open as well: what comes in by it is mailed as JWE files, and
attachments that would make such a mail too large are offered by URL in the manifest. The way is SMTP with STARTTLS (RFC
3207) and a login, never without either. The Message-ID follows from the delivery id, so a repeat can be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.encoders import encode_base64
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from hub.errors import Unavailable
from hub.model import Adapter, DeadCause, Form, Outcome, OutcomeKind, Package, Particular, Sealing
from hub.model.adapter import (
    ADDRESS,
    MANIFEST,
    PLAIN,
    MixedUp,
    file_name,
    linked_attachments,
    manifest,
    not_readable,
    read_options,
    read_secret,
    require,
    require_readable,
    whole,
)
from hub.transport.connection import Line
from hub.transport.http import client_tls, require_host, require_timeout
from hub.transport.smtp import MailEnvelope, MailLogin, is_address, post

#: A content travels as base64 in lines of 76; each part has a head and an entry in the manifest, counted when it is sealed.
_GROWTH = 1.4
#: Bytes of the mail's own head, notice and manifest.
_FRAME = 32 * 1024
_SMALLEST = 128 * 1024
_NOTICES = {
    Form.CMS: (
        "Diese Mail ist eine Zustellung des Rathaus-Hubs. Jede angehängte Nachricht ist für das Zertifikat Ihrer Behörde\n"
        "verschlüsselt (S/MIME): Öffnen Sie sie in Ihrem Mailprogramm, oder mit „openssl cms -decrypt“.\n\n"
        "This mail is a delivery of Rathaus-Hub. Each message attached is encrypted to your authority's certificate\n"
        '(S/MIME): open it in your mail program, or by "openssl cms -decrypt".\n'
    ),
    Form.JOSE: (
        "Diese Mail ist eine Zustellung des Rathaus-Hubs: manifest.json beschreibt sie, die JWE-Dateien öffnet\n"
        "der private Schlüssel des Zustellpunkts.\n\n"
        "This mail is a delivery of Rathaus-Hub: manifest.json describes it, the destination's private key opens\n"
        "the JWE files.\n"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SmimeMailOptions:
    """``timeout``: seconds for a whole attempt; ``size_limit``: bytes of the largest mail that the receiver takes.

    ``accepts_jwe``: the receiver can open JWEs besides, so that the sealed door may send to it.
    """

    host: str
    user: str = field(metadata=PLAIN)
    password_file: str
    sender: str = field(metadata=PLAIN)
    recipient: str
    accepts_jwe: bool = field(default=False, metadata=PLAIN)
    port: int = 587
    ca_file: str | None = field(default=None, metadata=ADDRESS)
    timeout: float = field(default=120.0, metadata=PLAIN)
    size_limit: int = field(default=20 * 1024 * 1024, metadata=PLAIN)
    readable: str = field(default="", metadata=PLAIN)
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for option, address in (("sender", self.sender), ("recipient", self.recipient)):
            fits = is_address(address)
            require("smime_mail", fits, f"braucht in {option} eine Mailadresse", f"needs a mail address in {option}")
        require_timeout("smime_mail", self.timeout, 3600)  # An hour for a large mail on a slow line.
        require_host("smime_mail", self.host)
        require_readable("smime_mail", self.readable)
        port = 0 < self.port < 65536  # noqa: PLR2004  # TCP's own number
        require("smime_mail", port, "braucht 0 < port < 65536", "needs 0 < port < 65536")
        room = self.size_limit >= _SMALLEST
        require("smime_mail", room, f"braucht size_limit ≥ {_SMALLEST}", f"needs size_limit >= {_SMALLEST}")

    @property
    def room(self) -> int:
        """Bytes of sealed contents that fit into one mail."""
        return int((self.size_limit - _FRAME) / _GROWTH)


class SmimeMail:
    """Deliver by mail."""

    name = "smime_mail"
    options = SmimeMailOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, SmimeMailOptions, config)

    @classmethod
    def sealing(cls, config: Mapping[str, Any]) -> Sealing:
        """Ask for CMS, no larger than a mail; for JWEs only if the options say so."""
        options = read_options(cls.name, SmimeMailOptions, config)
        takes = {Form.CMS, Form.JOSE} if options.accepts_jwe else {Form.CMS}
        return Sealing(form=Form.CMS, takes=frozenset(takes), most=options.room)

    def open(self) -> None:
        """Read password and certificate; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        self._tls = client_tls(self.name, options.ca_file)
        password = read_secret(self.name, "password_file", options.password_file)
        require(self.name, password.isascii(), "braucht ein Passwort aus ASCII", "needs a password of ASCII")
        self._login = MailLogin(user=options.user, password=password)

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        try:
            mail = self._mail(package)
        except (MixedUp, Unavailable) as exc:
            return not_readable(exc)
        if len(mail) > options.size_limit:
            note = "larger than any mail that the receiver takes"
            return Outcome(kind=OutcomeKind.REFUSED, note=note, cause=DeadCause.PAYLOAD)
        envelope = MailEnvelope(sender=options.sender, recipient=options.recipient, mail=mail)
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            return post(line, self._tls, (options.host, options.port), self._login, envelope)

    def close(self) -> None:
        """Hold no connection between attempts."""

    def _mail(self, package: Package) -> bytes:
        """Return the whole mail with CRLF line ends."""
        contents = package.submission.contents
        sealed_as_jwe = contents.form is Form.JOSE
        linked = linked_attachments(package, self._options.room) if sealed_as_jwe else frozenset()
        mail = EmailMessage(policy=SMTP)
        self._address(mail, f"Zustellung / delivery {package.delivery_id}")
        mail["Message-ID"] = f"<{package.delivery_id}@{self._options.sender.partition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office replies stay away.
        mail.set_content(_NOTICES[contents.form], cte="base64")
        note = manifest(package, linked=linked, terse=True)
        mail.add_attachment(note, maintype="application", subtype="json", filename=MANIFEST)
        for part, sealed in contents.parts():
            if part.partition(":")[2] in map(str, linked):
                continue
            name = file_name(part, form=contents.form).replace("/", "-")
            content = whole(package, sealed)
            if sealed_as_jwe:
                mail.add_attachment(content, maintype="application", subtype="jose", filename=name)
            else:
                message = self._enveloped(content, name)
                mail.add_attachment(message, filename=f"{name.removesuffix('.p7m')}.eml", cte="7bit")
        return mail.as_bytes()

    def _enveloped(self, content: bytes, name: str) -> Message:
        """Return CMS as a message of its own, as whole as a mail program wants to find one."""
        message = Message(policy=SMTP)
        self._address(message, name.removesuffix(".p7m"))
        message["MIME-Version"] = "1.0"
        message.add_header("Content-Type", "application/pkcs7-mime", smime_type="enveloped-data", name=name)
        message.add_header("Content-Disposition", "attachment", filename=name)
        message.set_payload(content)
        encode_base64(message)
        return message

    def _address(self, message: Message, subject: str) -> None:
        message["From"] = self._options.sender
        message["To"] = self._options.recipient
        message["Subject"] = subject
        message["Date"] = format_datetime(datetime.now(UTC))


_particular: type[Particular] = SmimeMail
_: type[Adapter] = SmimeMail
