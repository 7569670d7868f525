from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.connector.envelope import safe_name, unique_names
from hub.model import suffix_of

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


@given(st.text())
def test_no_name_leaves_its_folder(wish):
    name = safe_name(wish, "fallback")
    assert name
    assert not set(name) & set('/\\:\0"<>|?*')
    assert name not in {".", ".."}
    assert name == name.strip(" .")
    assert not any(unicodedata.category(character) == "Cc" for character in name)


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
