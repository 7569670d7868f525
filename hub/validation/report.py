"""The answer of a check: which rules a payload breaks, and where.

A report can be shown to the sender, logged and stored: its texts are built from rule ids, ``expected`` comes from the
schema alone, and locations hold no name that the sender chose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from hub.errors import Text
from hub.submission import SchemaRef

Severity = Literal["error", "warning"]
PathKind = Literal["xpath", "json-pointer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One broken rule.

    ``rule`` is a stable id (see :mod:`hub.validation.rules`). ``path`` is an XPath 1.0 expression whose prefixes are
    those of the report's ``namespaces``, or a JSON Pointer (RFC 6901). ``line`` counts from 1.
    """

    rule: str
    severity: Severity = "error"
    path: str
    path_kind: PathKind
    line: int | None = None
    expected: str | None = None
    text: Text

    def as_json(self) -> dict[str, Any]:
        """Return the violation as it stands in problem details and reports."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "path": self.path,
            "pathKind": self.path_kind,
            "line": self.line,
            "expected": self.expected,
            "text": {"de": self.text.de, "en": self.text.en},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What came of checking one document against one schema.

    ``violations`` are capped, ``total`` is not. ``complete`` is False where a rule of the standard was not run; ``notes`` say
    which, and why. ``namespaces`` maps the prefixes of XPath locations to namespace names.
    """

    schema: SchemaRef
    violations: tuple[Violation, ...] = ()
    total: int = 0
    notes: tuple[Text, ...] = ()
    namespaces: tuple[tuple[str, str], ...] = ()
    complete: bool = True

    @property
    def valid(self) -> bool:
        """Whether no rule of severity ``error`` is broken."""
        return not any(violation.severity == "error" for violation in self.violations)

    def as_json(self) -> dict[str, Any]:
        """Return the report as the validation interface answers it."""
        return {
            "valid": self.valid,
            "complete": self.complete,
            "schema": {
                "uri": self.schema.uri,
                "standard": self.schema.standard,
                "version": self.schema.version,
                "sha256": self.schema.sha256,
                "mediaType": str(self.schema.media_type),
            },
            "total": self.total,
            "violations": [violation.as_json() for violation in self.violations],
            "notes": [{"de": note.de, "en": note.en} for note in self.notes],
            "namespaces": dict(self.namespaces),
        }

    def extended(self, violations: Iterable[Violation], *, notes: Iterable[Text] = (), cap: int) -> Report:
        """Return the report with the findings of a further judge; errors are named before warnings."""
        found = tuple(violations)
        merged = sorted((*self.violations, *found), key=lambda violation: violation.severity)
        return replace(self, violations=tuple(merged[:cap]), total=self.total + len(found), notes=(*self.notes, *notes))
