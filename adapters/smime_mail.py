"""Mail each delivery to the authority, sealed as CMS to its certificate (S/MIME, RFC 8551).

Inside lie the manifest and the sealed contents as files, each still a JWE; attachments that would make the mail too large
are offered by URL in the manifest. The way is SMTP with STARTTLS (RFC 3207) and a login, never without either. The
Message-ID follows from the delivery id, so a repeat can be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.encoders import encode_base64
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from hub.crypto import cms
from hub.crypto.keys import KeyPolicy
from hub.delivery import Adapter
from hub.envelope import MANIFEST, MixedUp, file_name, linked_attachments, manifest, not_readable, whole
from hub.errors import KeyRefused, Unavailable
from hub.options import insist, read_file, read_options, read_secret, unusable
from hub.submission import DeadCause, Outcome, OutcomeKind, Package
from hub.wire.http import client_tls, insist_on_timeout
from hub.wire.line import Line
from hub.wire.mail import Envelope, Login, post

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
#: A content travels as base64 within base64; the rest is head and manifest.
_GROWTH = 1.95
_NOTICE = (
    "Diese Nachricht enthält eine Zustellung des Rathaus-Hubs: manifest.json beschreibt sie, die JWE-Dateien öffnet\n"
    "der private Schlüssel des Zustellpunkts.\n\n"
    "This message holds a delivery of Rathaus-Hub: manifest.json describes it, the destination's private key opens\n"
    "the JWE files.\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """``timeout``: seconds for a whole attempt; ``size_limit``: bytes of the largest mail that the receiver takes.

    ``recipient_certificate_file`` is PEM with RSA, at least 4096 bits; where it is not self-signed, ``anchors_file`` holds
    the authorities that it must lead to.
    """

    host: str
    user: str
    password_file: str
    sender: str
    recipient: str
    recipient_certificate_file: str
    port: int = 587
    anchors_file: str | None = None
    ca_file: str | None = None
    timeout: float = 120.0
    size_limit: int = 20 * 1024 * 1024
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for option, address in (("sender", self.sender), ("recipient", self.recipient)):
            fits = _ADDRESS.fullmatch(address)
            insist("smime_mail", fits, f"braucht in {option} eine Mailadresse", f"needs a mail address in {option}")
        insist_on_timeout("smime_mail", self.timeout, 3600)  # An hour for a large mail on a slow line.
        port = 0 < self.port < 65536  # noqa: PLR2004  # TCP's own number
        insist("smime_mail", port, "braucht 0 < port < 65536", "needs 0 < port < 65536")
        insist("smime_mail", self.size_limit > 0, "braucht size_limit > 0", "needs size_limit > 0")


class SmimeMail:
    """Deliver by mail."""

    name = "smime_mail"
    options = Options

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, Options, config)

    def open(self) -> None:
        """Read password and certificates; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        self._tls = client_tls(self.name, options.ca_file)
        password = read_secret(self.name, "password_file", options.password_file)
        insist(self.name, password.isascii(), "braucht ein Passwort aus ASCII", "needs a password of ASCII")
        self._login = Login(user=options.user, password=password)
        anchors = [] if options.anchors_file is None else [Path(options.anchors_file)]
        try:
            self._policy = KeyPolicy.from_files(anchors, allow_self_signed=options.anchors_file is None)
        except OSError as exc:
            raise unusable(self.name, "kann anchors_file nicht lesen", "cannot read anchors_file") from exc
        self._certificate = read_file(self.name, "recipient_certificate_file", options.recipient_certificate_file)
        try:
            self._recipient()
        except KeyRefused as exc:
            raise unusable(
                self.name,
                f"kann für dieses Zertifikat nicht versiegeln. {exc.detail.de.rstrip('.')}",
                f"cannot seal for this certificate. {exc.detail.en.rstrip('.')}",
            ) from exc

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        try:
            mail = self._mail(package)
        except (MixedUp, Unavailable) as exc:
            return not_readable(exc)
        except KeyRefused:
            note = "recipient's certificate cannot be used any more"
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.CONFIGURATION)
        if len(mail) > options.size_limit:
            note = "larger than any mail that the receiver takes"
            return Outcome(kind=OutcomeKind.REFUSED, note=note, cause=DeadCause.PAYLOAD)
        envelope = Envelope(sender=options.sender, recipient=options.recipient, mail=mail)
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            return post(line, self._tls, (options.host, options.port), self._login, envelope)

    def close(self) -> None:
        """Hold no connection between attempts."""

    def _recipient(self) -> Any:
        # A certificate runs out while the hub runs, so it is judged for every mail.
        return cms.judge_recipient(self._certificate, now=datetime.now(UTC), policy=self._policy)

    def _mail(self, package: Package) -> bytes:
        """Return the whole mail with CRLF line ends; nothing of it in the clear but who writes to whom about which id."""
        recipient = self._recipient()
        room = int(self._options.size_limit / _GROWTH) - 32 * 1024
        sealed = cms.seal(recipient, _content(package, room))
        mail = Message(policy=SMTP)
        mail["From"] = self._options.sender
        mail["To"] = self._options.recipient
        mail["Subject"] = f"Zustellung / delivery {package.delivery_id}"
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = f"<{package.delivery_id}@{self._options.sender.partition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office replies stay away.
        mail["MIME-Version"] = "1.0"
        mail.add_header("Content-Type", "application/pkcs7-mime", smime_type="enveloped-data", name="smime.p7m")
        mail.add_header("Content-Disposition", "attachment", filename="smime.p7m")
        mail.set_payload(sealed)
        encode_base64(mail)
        return mail.as_bytes(policy=SMTP)


def _content(package: Package, room: int) -> bytes:
    """Return what is sealed: a MIME entity of notice, manifest and JWE files."""
    linked = linked_attachments(package, room)
    entity = EmailMessage(policy=SMTP)
    entity.set_content(_NOTICE, cte="base64")
    entity.add_attachment(manifest(package, linked=linked), maintype="application", subtype="json", filename=MANIFEST)
    contents = package.submission.contents
    for part, sealed in contents.parts():
        if part.partition(":")[2] in map(str, linked):
            continue
        name = file_name(part).replace("/", "-")
        entity.add_attachment(whole(package, sealed), maintype="application", subtype="jose", filename=name)
    return entity.as_bytes(policy=SMTP)


_: type[Adapter] = SmimeMail
