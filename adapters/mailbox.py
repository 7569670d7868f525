"""Leave the submission in the mailbox: the receiver collects it over the Submission API whenever it likes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.model import Adapter, Outcome, OutcomeKind, Package
from hub.model.adapter import PLAIN, read_options, require_readable


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxOptions:
    """``readable``: html has a page that people can read sealed in at the plain door."""

    readable: str = field(default="", metadata=PLAIN)

    def __post_init__(self) -> None:
        require_readable("mailbox", self.readable)


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
