"""A page of HTML as PDF/A-3a and PDF/UA-1 (ISO 19005-3, ISO 14289-1): for records, with what came with it inside.

What stands on the page was written by strangers. So it is drawn in a process of its own, with limits of memory, time and pages,
that fetches nothing but images as ``data:``, and knows our fonts alone as long as there are any. Links lead to ``https:``,
``http:``, ``mailto:`` or a place of the page itself; what acts (scripts, frames, forms, attached files) is taken out. Nothing
asks the clock or chance: the same page with the same identifier and time makes the same bytes.

The extra ``portal`` brings the libraries (WeasyPrint, pikepdf); they need Pango and HarfBuzz of the system.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hub.errors import ConfigurationError, Text, TooLarge
from hub.validation.report import MIB
from hub.validation.sandbox import Bounds, ask, question_of

#: A page takes some hundredths of a second; the libraries and the fonts a second and 300 MB of addresses.
BOUNDS = Bounds(memory=1_500 * MIB, cpu=30, seconds=60)
#: Bytes of a page, bytes of all attachments, pages of a document.
_HTML, _ATTACHED, PAGES = 4 * MIB, 50 * MIB, 300
_PACKAGES = ("weasyprint", "pikepdf")
#: By what the loader of Linux calls them, and Debian.
_LIBRARIES = {
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libpangoft2-1.0.so.0": "libpangoft2-1.0-0",
    "libharfbuzz-subset.so.0": "libharfbuzz-subset0",
}
#: Unpacked at build (``make pages``). Fira lacks 45 letters of DIN 91379, Noto none.
FONTS = Path(__file__).parent / "fonts"
_HOST_FONTS = Path("/usr/share/fonts")
_FAMILIES = ("Fira Sans", "Noto Sans")
_ACTING = frozenset(
    (
        "script",
        "iframe",
        "frame",
        "object",
        "embed",
        "applet",
        "form",
        "input",
        "button",
        "base",
        "link",
        "audio",
        "video",
    )
)
_LINK = re.compile(r"(?:https?://|mailto:|#)[^\s]*", re.IGNORECASE)
_OK = b"pdf\n"
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+\-]{0,100}")
_UNSAFE_NAME = re.compile(r"[^\w.\- ]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class PdfAttachment:
    """A file that goes into the PDF."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    description: str = ""


def missing_for_pdf() -> tuple[str, ...]:
    """Return the names of packages, system libraries and fonts that PDF needs and that are not there."""
    packages = [name for name in _PACKAGES if find_spec(name) is None]
    libraries = [package for library, package in _LIBRARIES.items() if not _is_there(library)]
    # Drawn without any font, the libraries break down.
    return (*packages, *libraries, *(() if _has_fonts() else ("fonts-dejavu-core",)))


@cache
def _has_fonts() -> bool:
    return any(any(folder.rglob("*.[to]tf")) for folder in (FONTS, _HOST_FONTS))


@cache
def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def can_render_pdf() -> bool:
    """Whether :func:`render_pdf` has what it needs."""
    return not missing_for_pdf()


def render_pdf(
    html: str,
    *,
    title: str,
    language: str = "de",
    identifier: bytes,
    now: datetime,
    attachments: Sequence[PdfAttachment] = (),
    pages: int = PAGES,
    bounds: Bounds = BOUNDS,
) -> bytes:
    """Return a page as PDF; ``identifier`` and ``now`` are all that is not on it.

    It takes a second or two and blocks; call it where that may be.

    Raises:
        ConfigurationError: A package or library is missing (:func:`missing_for_pdf`), or the page cannot be drawn.
        TooLarge: The page or its attachments are over a cap, or drawing took more than ``bounds`` or too many pages.
    """
    if missing := missing_for_pdf():
        raise _not_installed(missing)
    if len(html) > _HTML or sum(len(each.content) for each in attachments) > _ATTACHED:
        raise _too_large(pages)
    question = {
        "html": html,
        "title": title,
        "language": language,
        "identifier": identifier.hex(),
        "pages": pages,
        "now": now.astimezone(UTC).isoformat(timespec="seconds"),
        "attachments": [[each.name, each.media_type, each.description, len(each.content)] for each in attachments],
    }
    ended = ask("hub.forms.pdf", question, b"".join(each.content for each in attachments), bounds=bounds)
    if ended.code == 0 and ended.answer.startswith(_OK):
        return ended.answer[len(_OK) :]
    if ended.out_of_time or ended.answer in (b"pages\n", b"memory\n") or ended.code < 0:
        raise _too_large(pages)
    raise ConfigurationError(
        Text("Die Seite ließ sich nicht als PDF zeichnen.", "The page could not be drawn as PDF."),
        cause=ended.answer[:200].decode("utf-8", "replace"),
    )


def _not_installed(missing: Sequence[str]) -> ConfigurationError:
    names = ", ".join(missing)
    return ConfigurationError(
        Text(
            f"Für PDF fehlen {names}. Installieren Sie rathaus-hub[portal] und diese Pakete des Systems.",
            f"PDF needs {names}. Install rathaus-hub[portal] and these packages of the system.",
        )
    )


def _too_large(pages: int) -> TooLarge:
    return TooLarge(
        Text(
            f"Die Seite ist zu groß für ein PDF (höchstens {pages} Seiten, {_ATTACHED // MIB} MiB Anlagen).",
            f"The page is too large for a PDF (at most {pages} pages, {_ATTACHED // MIB} MiB of attachments).",
        )
    )


# What follows runs in the child.


def _draw(question: Mapping[str, Any], data: bytes) -> bytes:
    """Return the answer: the PDF, or why there is none."""
    from weasyprint import CSS, HTML
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    fonts = FontConfiguration()
    # What it refuses is left out of the page.
    fetcher = URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    page = HTML(string=question["html"], url_fetcher=fetcher, base_url=None)
    _disarm(page.etree_element)
    page.etree_element.set("lang", question["language"])
    style = CSS(string=_style(), font_config=fonts, url_fetcher=fetcher)
    document = page.render(font_config=fonts, stylesheets=[style])
    if len(document.pages) > question["pages"]:
        return b"pages\n"
    _describe(document.metadata, question, data)
    identifier = bytes.fromhex(question["identifier"])
    drawn = document.write_pdf(pdf_variant="pdf/a-3a", pdf_tags=True, pdf_identifier=identifier)
    return _OK + _as_ua(drawn, [each[1] for each in question["attachments"]])


def _describe(about: Any, question: Mapping[str, Any], data: bytes) -> None:
    about.title, about.generator, about.authors, about.keywords = question["title"], "Rathaus-Hub", [], []
    about.description = None
    about.created = about.modified = question["now"]
    about.lang = question["language"]
    about.attachments = list(_attached(question, data))


def _style() -> str:
    families = ", ".join(f"'{family}'" for family in _FAMILIES) + ", sans-serif"
    # What stands in a page's margin does not inherit its font.
    return (
        f"@page{{size:A4;margin:20mm 18mm;font-family:{families};font-size:9pt;"
        "@bottom-right{content:counter(page) ' / ' counter(pages)}}"
        f"*{{font-family:{families} !important}}html{{font-size:10.5pt}}"
    )


def _disarm(root: Any) -> None:
    """Take out of a page what acts, and links that lead elsewhere than pages and mail."""
    for above in list(root.iter()):
        for child in list(above):
            name = str(child.tag).rpartition("}")[2].lower()
            refresh = name == "meta" and (child.get("http-equiv") or "").lower() == "refresh"
            if name in _ACTING or refresh:
                kept = child.tail or ""
                position = list(above).index(child)
                above.remove(child)
                if position:
                    above[position - 1].tail = (above[position - 1].tail or "") + kept
                else:
                    above.text = (above.text or "") + kept
    for node in root.iter():
        for name in list(node.attrib):
            local = str(name).rpartition("}")[2].lower()
            value = node.get(name) or ""
            unsafe = local == "href" and not _LINK.fullmatch(value.strip())
            if unsafe or local in ("rel", "srcset", "action", "formaction", "download") or local.startswith("on"):
                del node.attrib[name]


def _attached(question: Mapping[str, Any], data: bytes) -> Iterator[Any]:
    from weasyprint import Attachment

    moment = datetime.fromisoformat(question["now"])
    at = 0
    for name, _, description, size in question["attachments"]:
        content = data[at : at + size]
        at += size
        yield Attachment(
            string=content,
            name=_UNSAFE_NAME.sub("_", name).strip(". ")[:100] or "datei",
            description=description or name,
            created=moment,
            modified=moment,
            relationship="Supplement",
        )


def _as_ua(pdf: bytes, media_types: Sequence[str]) -> bytes:
    """Say in the metadata that a PDF/A is a PDF/UA-1, too, by the extension schema that PDF/A demands for that."""
    import pikepdf

    with pikepdf.open(BytesIO(pdf)) as document:
        stream = document.Root.Metadata
        xmp = stream.read_bytes()
        end = xmp.rindex(b"</rdf:RDF>")
        stream.write(xmp[:end] + _UA + xmp[end:])
        if media_types:
            files = list(document.Root.Names.EmbeddedFiles.Names)[1::2]
            # The library names each twice, and guesses kinds by what the host knows of names.
            document.Root.AF = pikepdf.Array(files)
            for said, file in zip(media_types, files, strict=True):
                if _MEDIA_TYPE.fullmatch(said):
                    file.EF.F.Subtype = pikepdf.Name(f"/{said}")
        out = BytesIO()
        document.save(out, deterministic_id=True)
    return out.getvalue()


_UA = b"""<rdf:Description rdf:about="" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/" pdfuaid:part="1"/>
<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"
 xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>PDF/UA Universal Accessibility Schema</pdfaSchema:schema>
<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>
<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">
<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>
<pdfaProperty:category>internal</pdfaProperty:category>
<pdfaProperty:description>Indicates, which part of ISO 14289 standard is followed</pdfaProperty:description>
</rdf:li></rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>
"""
#: No host's fonts, and nothing kept between processes but in a folder that ends with this one.
_FONTCONFIG = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>{folders}<cachedir>{cache}</cachedir>
</fontconfig>"""


def _loads() -> bool:
    """Whether the libraries, which are there, find the memory that they need."""
    try:
        for name in _PACKAGES:
            import_module(name)
    except (ImportError, MemoryError, OSError, SystemError):
        return False
    return True


def _main() -> None:
    question, data = question_of()
    with TemporaryDirectory(prefix="hub-pdf-") as scratch:
        # Without fonts of our own those of the host are better than none.
        ours = any(FONTS.glob("*.ttf"))
        folders = f"<dir>{escape(str(FONTS))}</dir>" if ours else f"<dir>{_HOST_FONTS}</dir>"
        settings = Path(scratch) / "fonts.conf"
        settings.write_text(_FONTCONFIG.format(folders=folders, cache=scratch), encoding="utf-8")
        os.environ |= {"FONTCONFIG_FILE": str(settings), "HOME": scratch, "SOURCE_DATE_EPOCH": "0"}
        try:
            answer = _draw(question, data) if _loads() else b"memory\n"
        except MemoryError:
            answer = b"memory\n"
        except Exception as error:  # noqa: BLE001  # Whatever a library stumbles over, the page cannot be drawn.
            answer = type(error).__name__.encode() + b"\n"
        sys.stdout.buffer.write(answer)
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
