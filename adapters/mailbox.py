"""Leave the submission in the mailbox: the receiver collects it over the Submission API whenever it likes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.errors import ConfigurationError, Text
from hub.model import Adapter, Outcome, OutcomeKind, Package


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxOptions:
    """There are none."""


class Mailbox:
    """Nothing is sent: the store already holds the submission, and collecting it is the receiver's move.

    No options; ``ConfigurationError`` if there are any.
    """

    name = "mailbox"
    options = MailboxOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        if config:
            names = ", ".join(sorted(config))
            raise ConfigurationError(
                Text(
                    f"Der Adapter mailbox kennt keine Optionen. Entfernen Sie: {names}.",
                    f"The adapter mailbox has no options. Remove: {names}.",
                )
            )

    def open(self) -> None:
        """Need nothing."""

    def deliver(self, package: Package) -> Outcome:  # noqa: ARG002  # The contract hands the package over.
        """Report that the submission waits for collection."""
        return Outcome(kind=OutcomeKind.WAITING, note="waits for collection over the Submission API")

    def close(self) -> None:
        """Hold nothing."""


_: type[Adapter] = Mailbox
