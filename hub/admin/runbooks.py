"""Alerts and their runbooks: what each alert means, where to look and what to do, on the pages where operators are anyway."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.responses import Response

from hub.admin.request import Visit
from hub.files.strict_yaml import load_yaml
from hub.resources import shipped

ALERTS = Path(__file__).parents[1] / "alerts.yaml"
_SECTION = re.compile(r"^##+ (?P<name>Hub\w+)\n(?P<text>.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
#: What a runbook's text is made of: code, an emphasis, a link (of which the words are shown), and all the rest.
_PIECE = re.compile(
    r"`(?P<code>[^`]+)`|\*(?P<em>[^*]+)\*|\[(?P<link>[^\]]+)\]\([^)]*\)|(?P<plain>[^`*\[]+|.)", re.DOTALL
)

#: Pieces of one paragraph: of what kind (``code``, ``em``, ``link``, ``plain``), and their text.
Paragraph = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Runbook:
    """One alert, and what to do about it; ``anchor`` as the manual has it."""

    name: str
    severity: str
    summary: str
    paragraphs: Sequence[Paragraph]

    @property
    def anchor(self) -> str:
        """The id of its section."""
        return self.name.lower()


@cache
def read(alerts: Path, book: Path) -> tuple[Runbook, ...]:
    """Return all alerts in their order; one whose runbook does not lie here has no paragraphs."""
    text = book.read_text(encoding="utf-8") if book.is_file() else ""
    sections = {each["name"]: each["text"] for each in _SECTION.finditer(text)}
    return tuple(
        Runbook(
            name=rule["alert"],
            severity=rule["labels"]["severity"],
            summary=rule["annotations"]["summary"],
            paragraphs=tuple(_paragraphs(sections.get(rule["alert"], ""))),
        )
        for group in load_yaml(alerts.read_bytes())["groups"]
        for rule in group["rules"]
    )


def index(visit: Visit) -> Response:
    """Show all alerts with their runbooks."""
    return visit.page("runbooks.html", runbooks=read(ALERTS, shipped("docs/runbooks.md")))


def _paragraphs(text: str) -> Iterator[Paragraph]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        pieces = [(str(found.lastgroup), " ".join(found[0].split("\n"))) for found in _PIECE.finditer(paragraph)]
        yield [(kind, _inner(kind, piece)) for kind, piece in pieces]


def _inner(kind: str, piece: str) -> str:
    if kind == "link":
        return piece[1 : piece.index("]")]
    return piece if kind == "plain" else piece[1:-1]
