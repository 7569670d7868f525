"""Attacks by what is drawn as PDF: fetching, reading files, acting, and text that pretends to be PDF."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from io import BytesIO

import pytest

from hub.forms.pdf import missing_for_pdf, render_pdf

pytestmark = pytest.mark.skipif(bool(missing_for_pdf()), reason=f"PDF needs {', '.join(missing_for_pdf())}")
#: Keys by which a PDF acts, or holds what nobody gave it.
ACTING = {
    *(
        "/OpenAction",
        "/AA",
        "/JS",
        "/JavaScript",
        "/Launch",
        "/SubmitForm",
        "/ImportData",
        "/GoToR",
        "/GoToE",
        "/RichMedia",
    ),
    *("/AcroForm", "/XFA", "/EmbeddedFiles", "/Rendition", "/Movie"),
}
INJECTED = ") >> endobj 1 0 obj << /OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >> >> %%EOF"
PAGE = """<!doctype html><html onload="x()"><head><base href="file:///"><title>{injected}</title>
<meta http-equiv="refresh" content="0;url={remote}/refresh"><link rel="stylesheet" href="{remote}/style.css">
<link rel="attachment" href="file:///etc/passwd"><link rel="attachment" href="data:text/plain,attached">
<style>@import "{remote}/import.css";@font-face{{font-family:a;src:url({remote}/font.woff2)}}
body{{background:url({remote}/background.png)}}li{{list-style:url(file:///etc/passwd)}}p::after{{content:url(FILE:///etc/passwd)}}
</style></head><body style="background-image:url('{remote}/inline.png')"><h1>{injected}</h1>
<script>fetch("{remote}/script")</script><img src="{remote}/image.png"><img src="//127.0.0.1:{port}/relative.png">
<img srcset="{remote}/set.png 2x" src="file:///etc/passwd"><iframe src="{remote}/frame"></iframe>
<object data="file:///etc/passwd"></object><embed src="{remote}/embed">
<video src="{remote}/video" poster="{remote}/poster"></video>
<form action="{remote}/form"><input name="a" value="b"></form>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="10" height="10"><image xlink:href="{remote}/svg.png"/>
<use href="{remote}/use.svg#a"/><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>
<img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'
%3E%3Cimage xlink:href='{remote}/nested.png'/%3E%3C/svg%3E">
<a href="javascript:alert(1)">a</a><a href=" jAvAsCrIpT:alert(1)">b</a><a href="file:///etc/passwd">c</a>
<a href="data:text/html,x">d</a><a rel="attachment" href="data:text/plain,attached">e</a><a href="\\\\host\\share">f</a>
<a href="https://example.org/">kept</a><p>end</p></body></html>"""


@pytest.fixture(scope="module")
def attacked():
    """The PDF of a page full of attacks, and how many connections it made."""
    import pikepdf

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        html = PAGE.format(injected=INJECTED, remote=f"http://127.0.0.1:{port}", port=port)
        now = datetime(2026, 11, 30, tzinfo=UTC)
        pdf = render_pdf(html, title=INJECTED, identifier=INJECTED.encode(), now=now)
        try:
            server.accept()
            connected = True
        except BlockingIOError:
            connected = False
    with pikepdf.open(BytesIO(pdf)) as document:
        yield document, connected


def test_nothing_is_fetched_from_anywhere(attacked):
    assert not attacked[1]


def test_no_file_of_the_host_comes_into_the_document(attacked):
    import pikepdf

    document, _ = attacked
    for each in document.objects:
        if isinstance(each, pikepdf.Stream):
            assert b"root:" not in each.read_bytes()


def test_nothing_in_the_document_acts(attacked):
    import pikepdf

    document, _ = attacked
    found = set()
    for each in document.objects:
        if isinstance(each, pikepdf.Dictionary | pikepdf.Stream):
            found |= set(each.keys()) & ACTING
            assert str(each.get("/S", "")) not in ACTING
    assert found == set()


def test_links_lead_to_pages_alone(attacked):
    document, _ = attacked
    links = [str(note.A.URI) for page in document.pages for note in page.get("/Annots", []) if "/A" in note]
    assert links == ["https://example.org/"]


def test_text_that_looks_like_pdf_stays_text(attacked):
    document, _ = attacked
    assert str(document.docinfo["/Title"]) == INJECTED
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 reads text of PDF")
    out = BytesIO()
    document.save(out)
    said = "".join(page.get_textpage().get_text_range() for page in pdfium.PdfDocument(out.getvalue()))
    assert "/OpenAction" in said
    assert "end" in said
