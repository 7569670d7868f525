"""The answer of a check: which rules a payload breaks, and where.

A report can be shown to the sender, logged and stored: its texts are built from rule ids, ``expected`` comes from the
schema alone, and locations hold no name that the sender chose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from hub.errors import Text
from hub.model.submission import SchemaRef

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


class Check(StrEnum):
    """What a standard asks of a document beside its schema, and what may therefore be left undone."""

    #: The values of coded elements are those of their code lists.
    CODE_LISTS = "code-lists"
    #: The rules in Schematron hold.
    BUSINESS_RULES = "business-rules"
    #: The attachments that the document names were sent with it.
    ATTACHMENTS = "attachments"


class Cause(StrEnum):
    """Why a check was left undone."""

    #: The document is larger than the check can bear.
    TOO_LARGE = "too-large"
    #: This installation lacks what the check needs.
    NOT_INSTALLED = "not-installed"
    #: Some of the rules cannot be evaluated on this document; each counts as broken.
    NOT_EVALUATED = "not-evaluated"
    #: The document breaks its schema, on which the check relies.
    SCHEMA_BROKEN = "schema-broken"
    #: The document was handed in alone, where no attachments can come with it.
    NO_ATTACHMENTS = "no-attachments"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchecked:
    """One check that was not done, or not wholly, and why. The texts are the hub's own: nothing of the document is in them."""

    check: Check
    cause: Cause
    text: Text

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in reports and receipts."""
        return {"check": self.check, "cause": self.cause, "text": {"de": self.text.de, "en": self.text.en}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What came of checking one document against one schema.

    ``violations`` are capped, ``total`` is not. ``unchecked`` says which checks of the standard were not done.
    ``namespaces`` maps the prefixes of XPath locations to namespace names.
    """

    schema: SchemaRef
    violations: tuple[Violation, ...] = ()
    total: int = 0
    remarks: tuple[Text, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    #: How often the document names an attachment that was not sent; they are among the violations.
    missing_attachments: int = 0
    namespaces: tuple[tuple[str, str], ...] = ()

    @property
    def valid(self) -> bool:
        """Whether no rule of severity ``error`` is broken."""
        return not any(violation.severity == "error" for violation in self.violations)

    @property
    def complete(self) -> bool:
        """Whether every check of the standard was done."""
        return not self.unchecked

    @property
    def notes(self) -> tuple[Text, ...]:
        """Return what is to be said of the report as a whole: remarks, and what was not checked."""
        return (*self.remarks, *(each.text for each in self.unchecked))

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
            "unchecked": [each.as_json() for each in self.unchecked],
            "namespaces": dict(self.namespaces),
        }

    def extended(self, violations: Iterable[Violation], *, cap: int) -> Report:
        """Return the report with the findings of a further judge; errors are named before warnings."""
        found = tuple(violations)
        merged = sorted((*self.violations, *found), key=lambda violation: violation.severity)
        return replace(self, violations=tuple(merged[:cap]), total=self.total + len(found))
