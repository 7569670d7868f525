"""One judge of names: what strangers call a file is shown as it is, and leads nowhere."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import suffix_of
from hub.web.filenames import is_seen, safe_name, seen, unique_names

TABLE = {
    "a plain name stays": ("Lageplan.pdf", "Lageplan.pdf"),
    "umlauts stay": ("Größe.pdf", "Größe.pdf"),
    "decomposed letters are composed": ("Gro\u0308ße.pdf", "Größe.pdf"),
    "a path is cut": ("../../etc/passwd", "passwd"),
    "a Windows path is cut": ("C:\\Windows\\system.ini", "system.ini"),
    "a drive is no drive": ("C:secret.txt", "C_secret.txt"),
    "a stream is no stream": ("a.pdf:hidden", "a.pdf_hidden"),
    "dots alone are nothing": ("..", "fallback"),
    "a hidden file is shown": (".bashrc", "bashrc"),
    "trailing dots go": ("a.pdf. . ", "a.pdf"),
    "a reserved name is not used": ("CON", "fallback"),
    "nor with a suffix": ("lpt1.txt", "fallback"),
    "a turned name is shown as it is": ("gpj.\u202eexe", "gpj.exe"),
    "control characters go": ("a\x00b\r\nc", "abc"),
    "quotes cannot end a header": ('a"; name="data', "a_; name=_data"),
    "nothing is nothing": (None, "fallback"),
    "empty is nothing": ("", "fallback"),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_safe_name(sentence):
    wish, expected = TABLE[sentence]
    assert safe_name(wish, "fallback") == expected


def test_a_long_name_keeps_its_suffix():
    name = safe_name("ä" * 300 + ".pdf", "fallback")
    assert name.endswith(".pdf")
    assert len(name.encode()) <= 120


def test_a_long_suffix_is_no_suffix():
    assert len(safe_name("a." + "b" * 300, "fallback").encode()) <= 120


#: Nothing of this is seen where a name is shown; each once passed somewhere.
UNSEEN = (
    "\u061c\u2028\u2029\ufeff\u00ad\u200b\u200f\u202e\u2066\u034f\u3164\u115f\uffa0\u2800\ufe0f"
    "\U000e0041\U000e0100\ue000\u0378"
)


@pytest.mark.parametrize("character", UNSEEN, ids=lambda each: f"U+{ord(each):04X}")
def test_what_cannot_be_seen_is_in_no_name(character):
    assert safe_name(f"Be{character}scheid.pdf", "fallback") == "Bescheid.pdf"
    assert safe_name(character * 3, "fallback") == "fallback"
    assert not is_seen(f"a{character}")


def test_what_people_write_is_seen():
    for name in (
        "Zeugnis – Łódź (1).pdf",
        "Ђорђе’s Плаn №5.pdf",
        "Ελληνικά & Đặng.png",
        "家族.jpg",
        "صورة.jpg",
        "☎ 1+1=2.txt",
    ):
        assert seen(name) == name == safe_name(name, "fallback")
    assert seen("a\u00a0b\u3000c") == "a b c"


@given(st.text())
def test_no_name_leaves_its_folder(wish):
    name = safe_name(wish, "fallback")
    assert name
    assert not set(name) & set('/\\:\0"<>|?*')
    assert name not in {".", ".."}
    assert name == name.strip(" .")
    assert is_seen(name)
    assert unicodedata.normalize("NFC", name) == name


@given(st.lists(st.sampled_from(["a.pdf", "A.PDF", "b", "2-a.pdf"])))
def test_no_two_names_are_one_on_any_file_system(names):
    made = list(unique_names(names))
    assert len({name.casefold() for name in made}) == len(names)


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [
        ("application/pdf", ".pdf"),
        ("Image/JPEG", ".jpg"),
        ("text/plain; charset=utf-8", ".txt"),
        ("application/xml", ".xml"),
        ("text/html", ".bin"),
        ("application/x-msdownload", ".bin"),
        ("", ".bin"),
    ],
)
def test_only_a_well_known_media_type_gives_a_suffix(media_type, suffix):
    assert suffix_of(media_type) == suffix
