"""What opening a submission found: nothing wrong, or problems in FIT-Connect's words.

Problems go to the sender in a reject event and into the journal, so their details are built from rules and never repeat
a value of the payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

_PREFIX = "https://schema.fitko.de/fit-connect/events/problems/"

#: FIT-Connect's problem slugs that the connector uses, with their titles.
TITLES: Mapping[str, str] = {
    "attachments-mismatch": "Attachments mismatch",
    "encryption-issue": "Encryption issue",
    "hash-mismatch": "Hash mismatch",
    "incorrect-authentication-tag": "Incorrect authentication tag",
    "missing-attachment": "Missing attachment",
    "missing-authentication-tags": "Missing authentication tags",
    "missing-data": "Missing data",
    "missing-schema": "Missing schema",
    "schema-violation": "Schema violation",
    "size-limit-exceeded": "Size limit exceeded",
    "syntax-violation": "Syntax violation",
    "unsupported-schema": "Unsupported schema",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One reason to turn a submission down. ``instance`` is metadata, data, submission or attachment:<id>."""

    slug: str
    instance: str
    detail: str

    def __post_init__(self) -> None:
        if self.slug not in TITLES:
            raise ValueError(self.slug)

    def as_event(self) -> dict[str, str]:
        """Return the problem as it stands in a reject event."""
        return {
            "type": _PREFIX + self.slug,
            "title": TITLES[self.slug],
            "detail": self.detail,
            "instance": self.instance,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Every problem found; ``tags`` are the authentication tags of what was opened, to be confirmed on acceptance."""

    problems: tuple[Problem, ...] = ()
    tags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def acceptable(self) -> bool:
        """Whether nothing stands against acceptance."""
        return not self.problems

    def dumps(self) -> str:
        """Return the verdict for the journal."""
        problems = [
            {"slug": problem.slug, "instance": problem.instance, "detail": problem.detail} for problem in self.problems
        ]
        return orjson.dumps({"problems": problems, "tags": dict(self.tags)}).decode()

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read a verdict back from the journal."""
        document = orjson.loads(text)
        return cls(problems=tuple(Problem(**problem) for problem in document["problems"]), tags=document["tags"])
