"""All that the portal says stands in one catalogue, in both languages, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub import portal
from hub.errors import ConfigurationError
from hub.portal.texts import PortalTexts, shipped_texts

FOLDER = Path(portal.__file__).parent
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))
#: What templates draw by a name that is put together.
_COMPOSED = re.compile(r'\bt\(\s*"([a-z-]+\.[a-z0-9.-]*)"\s*~')


def test_templates_hold_no_text_of_their_own():
    for path in TEMPLATES:
        bare = re.sub(r"\{[{%#].*?[}%#]\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        between = re.sub(r"<[^>]*>", "", bare)
        assert not re.search(r"[A-Za-zÄÖÜäöüß]", between), f"{path.name}: {between.split()}"
        for attribute in ("alt", "title", "placeholder", "aria-label"):
            assert not re.search(rf'\s{attribute}="[^"{{]+"', bare), path.name


def test_what_templates_and_code_say_is_written_and_what_is_written_is_said():
    sources = [path.read_text(encoding="utf-8") for path in (*TEMPLATES, *FOLDER.glob("*.py"))]
    keys = set(shipped_texts())
    said = {key for source in sources for key in re.findall(r"""["']([a-z]+(?:[.][a-z0-9-]+)+)["']""", source)}
    begun = {
        start for source in sources for start in re.findall(r"""["']([a-z]+[.](?:[a-z0-9-]+[.-])*)(?=["'{])""", source)
    }
    used = {key for key in keys if key in said or any(key.startswith(start) for start in begun)}
    assert sorted(keys - used) == []
    direct = {
        key
        for source in sources
        for key in re.findall(r"""\b(?:t|say|text)\(\s*(?:request, )?["']([a-z]+\.[a-z0-9.-]+)["']\s*[,)]""", source)
    }
    assert sorted(direct - keys) == []


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("a.b: {de: ja}", "needs de and en"),
        ("a.b: {de: '{x}', en: '{y}'}", "fills in"),
        ("a.b: {de: '', en: b}", "needs"),
    ],
)
def test_a_text_that_lacks_a_language_stops_the_start(tmp_path, written, fault):
    file = tmp_path / "texts.yaml"
    file.write_text(written, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=fault):
        PortalTexts.load([file])


def test_what_is_filled_in_is_filled_in_once():
    texts = PortalTexts.load()
    assert texts.say("place.none", "de", words="{total}") == "„{total}“ haben wir nicht gefunden."
    assert texts.say("start.claim", "easy") == texts.say("start.claim", "de")
