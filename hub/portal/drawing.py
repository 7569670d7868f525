"""The portal's templates, compiled once for each language: what they say without a hole stands in them as it is.

A page says some thirty texts of the catalogue. Looked up and called for each page anew they cost as much as reading the form;
so each language has templates of its own, in which ``t("key")`` has become the text when they were compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, nodes
from jinja2.visitor import NodeTransformer

from hub.forms.form_file import said
from hub.portal.texts import LANGUAGES, Language, PortalTexts

_TEMPLATES = Path(__file__).parent / "templates"


class PageTemplates:
    """The templates in all languages. Thread-safe once everything is known."""

    def __init__(self, texts: PortalTexts) -> None:
        self._environments: dict[Language, _Environment] = {each: _Environment(texts, each) for each in LANGUAGES}

    def know(self, **values: Any) -> None:
        """Let all templates know some values; before the first page is drawn."""
        for each in self._environments.values():
            each.globals.update(values)

    def draw(self, template: str, language: Language, values: Mapping[str, Any]) -> str:
        """Return a page in a language; ``jinja2.UndefinedError`` where it lacks a value."""
        return self._environments[language].get_template(template).render(values)


class _Environment(Environment):
    """Templates in one language: texts by ``t(key)``, pairs of words by ``said(text)``."""

    def __init__(self, texts: PortalTexts, language: Language) -> None:
        super().__init__(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            # Templates are the program's: none changes while it runs, and each page would ask the disk for each of its own.
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._in_place = _SaidInPlace(texts, language)
        self.globals.update(
            t=partial(texts.escaped, language=language),
            said=partial(said, language=language),
            language=language,
            lang="en" if language == "en" else "de",
        )

    def compile(self, source: str | nodes.Template, *arguments: Any, **named: Any) -> Any:
        """Compile a template with its texts in place."""
        if isinstance(source, str):
            source = self.parse(source, *arguments[:2])
        return super().compile(self._in_place.visit(source), *arguments, **named)


class _SaidInPlace(NodeTransformer):
    """Puts texts in the place of the calls that would look them up; those with holes are filled for each page."""

    def __init__(self, texts: PortalTexts, language: Language) -> None:
        self._texts = texts
        self._language = language

    def visit_Call(self, call: nodes.Call) -> nodes.Node:  # noqa: N802  # as the visitor names them
        """Return the text of a call that names it and nothing else."""
        self.generic_visit(call)
        if not (isinstance(call.node, nodes.Name) and call.node.name == "t") or call.kwargs or len(call.args) != 1:
            return call
        (key,) = call.args
        if not isinstance(key, nodes.Const) or key.value not in self._texts:
            return call
        # As it is shown: a template's own data is not escaped again.
        return nodes.TemplateData(str(self._texts.escaped(key.value, self._language)), lineno=call.lineno)
