"""How the portal of a municipality looks: its name, colours that everybody can read, a logo, and pages that the law asks for.

Contrast is WCAG 2.2's (relative luminance, success criterion 1.4.3): text of the colour on the ground, and the ground's text
on a button of the colour, are the same pair the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markupsafe import Markup

from hub.errors import Text

#: Colours of links and buttons where nobody sets others.
COLOUR, COLOUR_DARK = "#14347a", "#a9c1ff"
#: Pages that the law asks for.
PAGES = ("imprint", "privacy", "accessibility")
#: The grounds on which the colours stand (hub.css: --ground, --wash, --info-bg).
_LIGHT, _DARK = ("#ffffff", "#f3f4f8", "#e8edf9"), ("#11131c", "#1d2030", "#1a2747")
_LEAST_CONTRAST = 4.5
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_LARGEST_LOGO = 100 * 1024
#: Bytes of a page's text.
_LARGEST_PAGE = 200 * 1024
#: Images by how they begin; an SVG is text, and served so that nothing in it can act.
_IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"<svg": "image/svg+xml", b"<?xml": "image/svg+xml"}
#: What of WCAG's formula is a number of its own (relative luminance, sRGB).
_LINEAR, _OFFSET = 0.04045, 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantLook:
    """The look under one domain; ``pages`` are files by the names in :data:`PAGES`."""

    name: str
    colour: str
    colour_dark: str
    logo: Path | None
    pages: Mapping[str, Path | None]

    def style(self) -> str:
        """Return the sheet that goes over the common one."""
        return (
            f":root {{ --link: {self.colour}; --info: {self.colour}; }}\n"
            f"@media (prefers-color-scheme: dark) {{ :root {{ --link: {self.colour_dark}; --info: {self.colour_dark}; }} }}\n"
        )

    def image(self) -> tuple[bytes, str] | None:
        """Return the logo and its media type; None where there is none."""
        if self.logo is None:
            return None
        content = self.logo.read_bytes()[:_LARGEST_LOGO]
        return content, _kind(content) or "application/octet-stream"

    def page(self, name: str) -> Markup | None:
        """Return the text of a page as HTML; None where nobody wrote one."""
        path = self.pages.get(name)
        return None if path is None else written(path.read_bytes()[:_LARGEST_PAGE].decode("utf-8", "replace"))


def contrast(one: str, other: str) -> float:
    """Return how well two colours (#rrggbb) can be told apart, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + _OFFSET) / (low + _OFFSET)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= _LINEAR else ((part + 0.055) / 1.055) ** 2.4  # the formula's own numbers
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def colour_fault(colour: str, *, dark: bool) -> Text | None:
    """Return why a colour is of no use for links and buttons on light or ``dark`` grounds; None if it is."""
    if not _HEX.fullmatch(colour):
        return Text("eine Farbe als #rrggbb.", "a colour as #rrggbb.")
    worst = min(contrast(colour, ground) for ground in (_DARK if dark else _LIGHT))
    if worst >= _LEAST_CONTRAST:
        return None
    way = Text("heller", "lighter") if dark else Text("dunkler", "darker")
    said = f"{worst:.1f}"
    return Text(
        f"Der Kontrast zum Grund ist {said.replace('.', ',')} : 1; nötig ist 4,5 : 1. Nehmen Sie sie {way.de}.",
        f"its contrast with the ground is {said} : 1; needed is 4.5 : 1. Take it {way.en}.",
    )


def logo_fault(path: Path) -> Text | None:
    """Return why a file is of no use as a logo; None if it is."""
    with path.open("rb") as file:
        content = file.read(_LARGEST_LOGO + 1)
    if len(content) <= _LARGEST_LOGO and _kind(content) is not None:
        return None
    return Text("ein Bild als SVG oder PNG, höchstens 100 KiB.", "an image as SVG or PNG, 100 KiB at most.")


def _kind(content: bytes) -> str | None:
    start = content.lstrip()
    return next((kind for mark, kind in _IMAGES.items() if start.startswith(mark)), None)


def written(text: str) -> Markup:
    """Return a text as HTML: paragraphs between empty lines, headings behind ``#``, lists behind ``-``; the rest is as typed.

    No HTML passes through: who writes an imprint is not who answers for scripts.
    """
    out: list[str] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip()):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if not lines:
            continue
        heading = re.fullmatch(r"(#{1,3})\s+(.+)", lines[0])
        if heading is not None:
            level = len(heading[1]) + 1
            size = "medium" if level == 2 else "small"  # noqa: PLR2004  # a heading below the page's own
            out.append(f'<h{level} class="kern-heading-{size}">{escape(heading[2])}</h{level}>')
            lines = lines[1:]
        if lines and all(line.startswith("- ") for line in lines):
            out.append("<ul>" + "".join(f"<li>{escape(line[2:])}</li>" for line in lines) + "</ul>")
        elif lines:
            out.append("<p>" + "<br>".join(map(escape, lines)) + "</p>")
    return Markup("\n".join(out))  # noqa: S704  # each line was escaped
