"""All that the portal says stands in one catalogue, in both languages, and nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hub import portal
from hub.errors import ConfigurationError, Text
from hub.forms.form_file import EasyText, FormStep
from hub.forms.outline import Field, FieldKind
from hub.forms.page import draw, page_of
from hub.portal.texts import LANGUAGES, PortalTexts, shipped_texts

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


def _is_easy(german: str) -> bool:
    """Tell whether a text is short enough to be its own easy form: a few short words, no clause within another."""
    words = re.findall(r"[\w-]+", re.sub(r"\{\w+\}", "", german))
    return len(words) <= 6 and all(len(part) <= 13 for word in words for part in word.split("-"))


def test_nothing_general_falls_back_to_ordinary_german_in_leichte_sprache():
    texts = shipped_texts()
    lacking = [key for key in texts if not isinstance(texts.text(key), EasyText) and not _is_easy(texts.say(key, "de"))]
    assert lacking == []


def test_what_is_easy_is_short_and_says_one_thing_at_a_time():
    texts = shipped_texts()
    for key in texts:
        if isinstance(texts.text(key), EasyText):
            # As it is said: what is filled in by others is theirs.
            for sentence in re.split(r"[.?!:](?:\s|$)|\n\n", re.sub(r"\{\w+\}", "x", texts.say(key, "easy"))):
                assert ";" not in sentence, key
                # One word for one thing.
                assert "ehörde" not in sentence, key
                assert len(sentence.split()) <= 15, (key, sentence)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_page_says_of_optional_fields_is_what_stands_at_them(language):
    field = Field(name="a", kind=FieldKind.TEXT, title=Text("A", "A"))
    step = FormStep(
        id="s", title=Text("S", "S"), root=Field(name="", kind=FieldKind.GROUP, title=Text("", ""), members=(field,))
    )
    word = re.search(r"optional\">\(([^)]+)\)<", draw(page_of(step, {}), language))[1]
    assert word in shipped_texts().say("form.required-unless", language)


#: Rooms whose refusals people read as they are said there.
_REFUSING = (
    *("portal/visits.py", "portal/codes.py", "portal/storage.py", "portal/doors.py", "portal/receiving.py"),
    *("portal/enclosures.py", "portal/followed.py", "forms/faults.py", "forms/answers.py"),
)


@pytest.mark.parametrize("file", _REFUSING)
def test_what_is_refused_is_refused_in_leichte_sprache_too(file):
    tree = ast.parse((FOLDER.parent / file).read_text(encoding="utf-8"))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Text":
            (words, *_) = call.args
            # What is passed on was written elsewhere.
            assert not isinstance(words, ast.JoinedStr), (file, call.lineno)
            assert not isinstance(words, ast.Constant) or _is_easy(str(words.value)), (file, call.lineno)
