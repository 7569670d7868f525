"""Leave the submission in the mailbox: the receiver collects it over the Submission API, or by XTA, whenever it likes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.model import Adapter, Outcome, OutcomeKind, Package
from hub.model.adapter import ADDRESS, PLAIN, read_options, require, require_readable

#: SHA-256 of certificates, more than one while an old one is being replaced.
_FINGERPRINTS = re.compile(r"[0-9a-f]{64}(?:,[0-9a-f]{64}){0,3}")
_IDENTIFIER = re.compile(r"[!-;=?-~](?:[ -;=?-~]{0,198}[!-;=?-~])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxOptions:
    """``readable``: html has a page that people can read sealed in at the plain door.

    Who collects by XTA is known by ``xta_certificate``, the SHA-256 of the client certificate (DER, hexadecimal in small
    letters; up to four, with commas between), and asks as ``xta_identifier``.
    """

    readable: str = field(default="", metadata=PLAIN)
    xta_certificate: str = field(default="", metadata=ADDRESS)
    xta_identifier: str = field(default="", metadata=ADDRESS)

    def __post_init__(self) -> None:
        require_readable("mailbox", self.readable)
        both = bool(self.xta_certificate) == bool(self.xta_identifier)
        names = "xta_certificate, xta_identifier"
        require("mailbox", both, f"braucht {names} zusammen", f"needs {names} together")
        require(
            "mailbox",
            not self.xta_certificate or _FINGERPRINTS.fullmatch(self.xta_certificate),
            "braucht in xta_certificate das SHA-256 des Zertifikats, 64 kleine Hexziffern; mehrere mit Komma",
            "needs in xta_certificate the SHA-256 of the certificate, 64 small hexadecimal digits; several with commas",
        )
        require(
            "mailbox",
            not self.xta_identifier or _IDENTIFIER.fullmatch(self.xta_identifier),
            "braucht in xta_identifier eine Kennung wie bau:064390015015",
            "needs in xta_identifier an identifier like bau:064390015015",
        )


class Mailbox:
    """Nothing is sent: the store already holds the submission, and collecting it is the receiver's move."""

    name = "mailbox"
    options = MailboxOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        read_options(self.name, MailboxOptions, config)

    def open(self) -> None:
        """Need nothing."""

    def deliver(self, package: Package) -> Outcome:  # noqa: ARG002  # The contract hands the package over.
        """Report that the submission waits for collection."""
        return Outcome(kind=OutcomeKind.WAITING, note="waits for collection over the Submission API")

    def close(self) -> None:
        """Hold nothing."""


_: type[Adapter] = Mailbox
