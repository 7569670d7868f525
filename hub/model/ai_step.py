"""A step of an AI system in a case, as its authority puts it into the case's log: which system, for what, and who decided.

It is a house event (``ai-step``): chained, in checkpoints and proofs beside FIT-Connect's events, and never in FIT-Connect's
lists. What it says is public to both sides of the case and holds nothing of what people sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

#: Characters of the purpose, and of a system's version.
LONGEST_PURPOSE, LONGEST_VERSION = 300, 40
_SYSTEM = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
#: One line of text as people write it: no control or format characters, no line breaks.
_PRINTED = re.compile(r"[^\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]+")


class AiOutput(StrEnum):
    """What kind of output a step made."""

    TEXT = "text"
    EXTRACTION = "extraction"
    CLASSIFICATION = "classification"
    TRANSLATION = "translation"
    RECOMMENDATION = "recommendation"
    DECISION = "decision"
    OTHER = "other"


class AiDecider(StrEnum):
    """Who decided by that output."""

    #: A person decided, and was free to decide otherwise.
    PERSON = "person"
    #: The system's output is the decision.
    SYSTEM = "system"
    #: Nothing was decided by it.
    NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True, slots=True)
class AiStep:
    """One step."""

    system: str
    version: str
    purpose: str
    output: AiOutput
    decided: AiDecider

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """Return a step as an event's payload says it; raise ``ValueError`` with the name of the member that is wrong."""
        for name in said:
            if name not in {"system", "version", "purpose", "output", "decided"}:
                raise ValueError("unknown")
        try:
            output = AiOutput(said.get("output"))  # type: ignore[arg-type]  # what is none is refused here
        except ValueError:
            raise ValueError("output") from None
        try:
            decided = AiDecider(said.get("decided"))  # type: ignore[arg-type]  # what is none is refused here
        except ValueError:
            raise ValueError("decided") from None
        system = said.get("system")
        if not isinstance(system, str) or not _SYSTEM.fullmatch(system):
            raise ValueError("system")
        return cls(
            system=system,
            version=_line(said.get("version"), "version", LONGEST_VERSION),
            purpose=_line(said.get("purpose"), "purpose", LONGEST_PURPOSE),
            output=output,
            decided=decided,
        )

    def payload(self) -> dict[str, str]:
        """Return it as an event's payload has it."""
        return {
            "system": self.system,
            "version": self.version,
            "purpose": self.purpose,
            "output": self.output.value,
            "decided": self.decided.value,
        }


def _line(text: Any, name: str, most: int) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= most or text != text.strip() or not _PRINTED.fullmatch(text):
        raise ValueError(name)
    return text
