"""The page as PDF: archivable and accessible by its own words, the page's text in it, the same bytes each time, and bounded."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html import unescape
from io import BytesIO

import pytest
from stage import SCHEMAS

from hub.errors import TooLarge
from hub.forms.pdf import BOUNDS, FONTS, PdfAttachment, missing_for_pdf, render_pdf
from hub.forms.readable import readable
from hub.model import MediaType
from hub.validation.sandbox import Bounds

pytestmark = pytest.mark.skipif(bool(missing_for_pdf()), reason=f"PDF needs {', '.join(missing_for_pdf())}")
NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
RECEIPT = PdfAttachment(name="../quittung.jws", media_type="application/jose", content=b"a.b.c", description="Quittung")


def drawn(html, **options):
    return render_pdf(html, title="Anmeldung eines Hundes", identifier=b"0123456789abcdef", now=NOW, **options)


@pytest.fixture(scope="module")
def page(dog):
    document = json.loads((SCHEMAS / "fim-hundesteuer/1.0/examples/good-gefaehrlicher-hund.json").read_text("utf-8"))
    document["halter"]["familienname"] = "Ḍ̦oğǎnu-Müller ) /OpenAction << ẞ"
    return readable(dog, json.dumps(document).encode(), MediaType.JSON, language="de", attachments=["Nachweis.pdf"])


@pytest.fixture(scope="module")
def pdf(page):
    return drawn(page, attachments=[RECEIPT])


def test_the_same_page_makes_the_same_bytes_and_another_identifier_others(page, pdf):
    assert drawn(page, attachments=[RECEIPT]) == pdf
    assert b"0123456789abcdef".hex().encode() in pdf or b"0123456789abcdef" in pdf


def test_it_is_pdf_a_3a_and_says_pdf_ua_1(pdf):
    import pikepdf
    from pikepdf import pdfa

    with pikepdf.open(BytesIO(pdf)) as document:
        report = pdfa.check(document, "3b")
        # The checker knows neither extension schemas, by which PDF/UA is said, nor the level a.
        unknown = ("6.6.2.3.1-1", "6.6.4-3", "[unsupported]")
        assert [each for each in map(str, report.findings) if not any(one in each for one in unknown)] == []
        # What a demands beyond b: tags and a language.
        assert document.Root.MarkInfo.Marked
        assert document.Root.StructTreeRoot is not None
        assert str(document.Root.Lang) == "de"
        metadata = document.Root.Metadata.read_bytes().decode()
        assert re.search(r'pdfaid:part="3" pdfaid:conformance="A"', metadata)
        assert 'pdfuaid:part="1"' in metadata
        assert bool(document.Root.ViewerPreferences.DisplayDocTitle)


def test_what_came_with_it_lies_inside_under_a_harmless_name(pdf):
    import pikepdf

    with pikepdf.open(BytesIO(pdf)) as document:
        (file,) = document.Root.AF
        assert str(file.UF) == "_quittung.jws"
        assert str(file.AFRelationship) == "/Supplement"
        assert str(file.EF.F.Subtype) == "/application/jose"
        assert file.EF.F.read_bytes() == b"a.b.c"


def test_every_font_is_ours_and_embedded(pdf):
    if not list(FONTS.glob("*.ttf")):
        pytest.skip("the fonts are not unpacked (make pages)")
    import pikepdf

    with pikepdf.open(BytesIO(pdf)) as document:
        fonts = [font for page in document.pages for font in page.resources.get("/Font", {}).values()]
        assert fonts
        for font in fonts:
            assert re.fullmatch(r"/[A-Z]{6}\+(Fira|Noto)-Sans(-Bold)?", str(font.BaseFont)), str(font.BaseFont)
            assert (
                "/FontFile2" in font.DescendantFonts[0].FontDescriptor
                or "/FontFile3" in font.DescendantFonts[0].FontDescriptor
            )


def test_its_text_is_the_pages_and_its_picture_has_it(page, pdf):
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 draws PDF to pictures")
    document = pdfium.PdfDocument(pdf)
    said = "".join("".join(one.get_textpage().get_text_range() for one in document).split())
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>", "", page, flags=re.DOTALL)
    words = [word for text in re.findall(r">([^<]+)<", body) for word in unescape(text).split()]
    assert len(words) > 40
    # Combining marks may be drawn as a glyph of their own, so the plain words are compared.
    assert [word for word in words if word.isascii() and word not in said] == []
    picture = document[0].render(scale=1).to_pil().convert("L")
    dark = sum(count for shade, count in enumerate(picture.histogram()) if shade < 128)
    assert dark > 1_000
    assert picture.size == (596, 842)
    # Nothing stands in the margins.
    assert picture.crop((0, 0, 40, 842)).getextrema()[0] > 200


def test_a_page_that_takes_too_much_is_refused():
    with pytest.raises(TooLarge, match="at most 2 pages"):
        drawn("<html><body>" + "<p style='break-after:page'>x</p>" * 3, pages=2)
    for bounds in (
        Bounds(memory=120 * 1024 * 1024, cpu=30, seconds=60),
        Bounds(memory=BOUNDS.memory, cpu=30, seconds=0.05),
    ):
        with pytest.raises(TooLarge):
            drawn("<html><body>x", bounds=bounds)
    with pytest.raises(TooLarge):
        drawn("x" * (4 * 1024 * 1024 + 1))
