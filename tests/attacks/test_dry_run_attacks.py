"""Attacks on the page for trying messages: what it echoes, what it costs, what it reads."""

from __future__ import annotations

import lxml.html
import pytest
import requests
from stage import CANARY

SCRIPTS = {
    "in an element": "<a><script>alert(1)</script></a>",
    "in an attribute": "<a x='\"><img src=x onerror=alert(1)>'/>",
    "that closes the cell": "<a></code></td></tr></table><svg onload=alert(1)></a>",
    "in broken XML": "<a><script>alert(1)</script>",
    "in JSON": '{"a": "</code><script>alert(1)</script>"}',
    "as a name": "<script xmlns='urn:x'>alert(1)</script>",
}
BOMBS = {
    "a document type": "<!DOCTYPE a><a/>",
    "an external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "an entity bomb": '<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a>&y;</a>',
    "a depth bomb": "<a>" * 5000 + "</a>" * 5000,
    "a JSON depth bomb": "[" * 5000 + "]" * 5000,
}


def tried(served, **fields) -> requests.Response:
    return requests.post(
        f"{served.base_url}/validate", files={name: (None, value) for name, value in fields.items()}, timeout=20
    )


@pytest.mark.parametrize("document", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_in_a_document_is_shown_and_never_markup(served, document):
    answer = tried(served, text=document, schema='"><script>alert(2)</script>')
    assert answer.status_code == 200
    page = lxml.html.document_fromstring(answer.text)
    assert [element.tag for element in page.iter() if element.tag in {"script", "img", "svg"}] == []
    assert [name for element in page.iter() for name in element.attrib if name.startswith("on")] == []
    assert "&lt;" in answer.text


def test_the_policy_allows_no_script_no_foreign_asset_and_no_frame(served):
    for answer in (tried(served, text="<a/>"), requests.get(f"{served.base_url}/validate", timeout=20)):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; font-src 'self'; style-src 'self' 'sha256-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("document", BOMBS.values(), ids=BOMBS)
def test_bombs_and_entities_are_refused_on_the_page(served, document):
    answer = tried(served, text=document)
    assert answer.status_code == 200
    assert "Nicht geprüft" in answer.text
    assert "root:" not in answer.text


def test_a_huge_upload_is_refused(served):
    assert tried(served, file=b"<a>" + b"x" * 1_100_000).status_code == 413


def test_a_huge_upload_without_a_length_is_refused(served):
    def body():
        yield b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n'
        for _ in range(20):
            yield b"x" * 100_000
        yield b"\r\n--b--\r\n"

    try:
        answer = requests.post(
            f"{served.base_url}/validate",
            data=body(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
            timeout=20,
        )
    except requests.ConnectionError:
        return  # The hub has hung up on the sender: refused as well.
    assert answer.status_code == 413


def test_many_parts_and_a_long_schema_name_are_refused(served):
    assert tried(served, **{f"p{number}": "x" for number in range(9)}).status_code == 413
    assert tried(served, text="<a/>", schema="x" * 3000).status_code == 413


def test_control_and_direction_characters_are_made_visible(served):
    answer = tried(served, text='{"a": "\u202egnirts\u200b\x07"}')
    assert not set("\u202e\u200b\x07") & set(answer.text)


def test_what_is_tried_is_stored_nowhere(served):
    tried(served, text=f"<a>{CANARY}</a>")
    for path in served.stage.data.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()
