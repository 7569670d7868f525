"""Business rules in ISO Schematron (ISO/IEC 19757-3), run by Saxon and reported.

An author's words are shown only where they are constant. A rule that could not be evaluated counts as broken: nobody knows
whether the document keeps it, and an error that nobody looked for must not pass for none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from hub.errors import Text
from hub.validation.report import MIB, Cause, Check, Limits, Severity, Unchecked, Violation, text_of
from hub.validation.schematron.saxon import StylesheetError, Transformer, installed
from hub.validation.schematron.translation import Assertion, RuleSet, needed_files, translated
from hub.validation.xml.documents import XmlDocument
from hub.validation.xml.report import Vocabulary, document_path

#: The largest document whose business rules are run: they need a tree in Saxon.
DOCUMENT_BYTES = 4 * MIB
#: Rules that are named where none of a whole pattern could be evaluated.
_NAMED = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleFindings:
    """What business rules have to say of a document."""

    violations: tuple[Violation, ...] = ()
    total: int = 0
    #: Rules that were not run, or could not be evaluated.
    unchecked: tuple[Unchecked, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """Assertions that fail at one place (positions among sibling elements), or that could not be evaluated."""

    assertions: tuple[Assertion, ...]
    evaluated: bool
    place: str = ""

    @property
    def severity(self) -> Severity:
        return "error" if any(one.severity == "error" for one in self.assertions) else "warning"


class BusinessRules:
    """The business rules of one version of a standard. Thread-safe; translated when first needed."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._lock = Lock()
        self._ready: tuple[Transformer, RuleSet] | None = None

    def check(self, document: XmlDocument, words: Vocabulary, limits: Limits) -> RuleFindings:
        """Run the rules on a document that keeps its schema.

        Raises:
            TooLarge: They took too long or too much memory.
            ConfigurationError: The rules are wrong.
        """
        if not installed():
            return RuleFindings(unchecked=(_NOT_INSTALLED,))
        if len(document.data) > DOCUMENT_BYTES:
            return RuleFindings(unchecked=(_TOO_LARGE,))
        transformer, rules = self._translated()
        try:
            answers = transformer.run(document.data)
        except StylesheetError as error:
            raise rules.refused(error.number, error.message) from error
        found = sorted(_findings(answers, rules), key=_severity)
        if not found:
            return RuleFindings()
        tree = document.whole_tree()
        named = sorted((_violation(one, tree, words) for one in found[: limits.violations]), key=_order)
        unchecked = () if all(one.evaluated for one in found) else (_PARTLY,)
        return RuleFindings(violations=tuple(named), total=len(found), unchecked=unchecked)

    def compile(self) -> None:
        """Translate the rules, and compile them if Saxon is there.

        Raises:
            ConfigurationError: They are wrong, or reach outside the document.
        """
        transformer, rules = self._translated()
        if not installed():
            return
        try:
            transformer.compile()
        except StylesheetError as error:
            raise rules.refused(error.number, error.message) from error

    def _translated(self) -> tuple[Transformer, RuleSet]:
        if self._ready is None:
            with self._lock:
                if self._ready is None:
                    rules = translated(self._files)
                    self._ready = (Transformer(rules.stylesheets), rules)
        return self._ready


def _findings(answers: list[str | None], rules: RuleSet) -> Iterator[_Finding]:
    for answer, (first, after) in zip(answers, rules.patterns, strict=True):
        if answer is None and first < after:
            yield _Finding(assertions=rules.assertions[first:after], evaluated=False)
        for line in (answer or "").split("\n"):
            if line:
                yield _finding(line, rules)


def _finding(line: str, rules: RuleSet) -> _Finding:
    number, state, rest = line.split(" ", 2)
    if state == "C":
        return _Finding(assertions=rules.assertions[int(number) : int(rest)], evaluated=False)
    return _Finding(assertions=(rules.assertions[int(number)],), evaluated=state == "F", place=rest)


def _violation(found: _Finding, tree: Any, words: Vocabulary) -> Violation:
    element = _element(tree, found.place)
    assertion = found.assertions[0]
    expected = assertion.words
    if not found.evaluated:
        expected = ", ".join(dict.fromkeys(one.rule for one in found.assertions[:_NAMED]))
    return Violation(
        rule=assertion.rule if found.evaluated else "schematron.not-evaluated",
        severity=found.severity,
        path=document_path(element, words),
        path_kind="xpath",
        line=element.sourceline,
        expected=expected or None,
        text=text_of("schematron" if found.evaluated else "schematron.not-evaluated"),
    )


def _element(tree: Any, place: str) -> Any:
    """Follow positions among sibling elements; the first is the root's own."""
    element = tree
    for step in place.split("/")[1:]:
        element = next(child for number, child in enumerate(element.iterchildren("*"), start=1) if number == int(step))
    return element


def _severity(found: _Finding) -> Severity:
    return found.severity


def _order(violation: Violation) -> tuple[str, int]:
    return violation.severity, violation.line or 0


def rule_files(package: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the names of a package's Schematron schemas and of what they include, sorted; empty if it has none.

    Raises:
        ConfigurationError: One cannot be read, or includes what the package does not hold.
    """
    named = {name: content for name, content in package.items() if name.lower().endswith(".sch")}
    return needed_files(named, package) if named else ()


def _unchecked(cause: Cause, de: str, en: str) -> Unchecked:
    return Unchecked(check=Check.BUSINESS_RULES, cause=cause, text=Text(de, en))


_NOT_INSTALLED = _unchecked(
    Cause.NOT_INSTALLED,
    "Die Geschäftsregeln (Schematron) wurden nicht geprüft: dazu fehlt die Erweiterung „schematron“ dieser Installation.",
    "The business rules (Schematron) were not run: this installation lacks the extra 'schematron'.",
)
_PARTLY = _unchecked(
    Cause.NOT_EVALUATED,
    "Ein Teil der Geschäftsregeln (Schematron) ließ sich auf dieses Dokument nicht anwenden; was nicht geprüft werden "
    "konnte, gilt als nicht erfüllt.",
    "Some of the business rules (Schematron) could not be applied to this document; what could not be checked counts as "
    "broken.",
)
_TOO_LARGE = _unchecked(
    Cause.TOO_LARGE,
    f"Das Dokument ist größer als {DOCUMENT_BYTES // MIB} MiB; seine Geschäftsregeln (Schematron) wurden nicht geprüft.",
    f"The document is larger than {DOCUMENT_BYTES // MIB} MiB; its business rules (Schematron) were not run.",
)
#: Of a document that breaks its schema rules would say what is not so: they rely on it.
RULES_LATER = _unchecked(
    Cause.SCHEMA_BROKEN,
    "Die Geschäftsregeln (Schematron) wurden nicht geprüft, weil das Dokument sein Schema verletzt.",
    "The business rules (Schematron) were not run because the document breaks its schema.",
)
