"""All that the portal says to people: one catalogue of texts in German, English and, where it is there, *Leichte Sprache*.

``texts*.yaml``: a key, and below it ``de``, ``en`` and perhaps ``easy``. What stands in braces is filled in by who says it.
Templates and code hold no text of their own, so translators need nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup, escape

from hub.errors import ConfigurationError, Text
from hub.files.strict_yaml import load_yaml
from hub.forms.form_file import EasyText, said

Language = Literal["de", "en", "easy"]
LANGUAGES: tuple[Language, ...] = ("de", "en", "easy")
_FOLDER = Path(__file__).parent
_HOLE = re.compile(r"\{(\w+)\}")


class PortalTexts:
    """The texts by key. Immutable."""

    def __init__(self, texts: Mapping[str, Text]) -> None:
        self._texts = dict(texts)
        #: Texts without holes as pages have them, by key and language; one of each at most.
        self._escaped: dict[tuple[str, str], Markup] = {}

    @classmethod
    def load(cls, files: Iterable[Path] | None = None) -> PortalTexts:
        """Read the catalogue that ships, or ``files``.

        Raises:
            ConfigurationError: a text lacks a language, says something else in one (holes), or stands twice.
        """
        texts: dict[str, Text] = {}
        for path in sorted(_FOLDER.glob("texts*.yaml")) if files is None else files:
            for key, entry in (load_yaml(path.read_bytes()) or {}).items():
                if key in texts:
                    raise _unusable(path, key, "steht doppelt", "stands twice")
                texts[key] = _text(path, key, entry)
        return cls(texts)

    def __contains__(self, key: object) -> bool:
        return key in self._texts

    def __iter__(self) -> Any:
        return iter(self._texts)

    def text(self, key: str, **values: Any) -> Text:
        """Return a text in all its languages; KeyError where nobody wrote it."""
        found = self._texts[key]
        if not values:
            return found
        german, english = _filled(found.de, values), _filled(found.en, values)
        if isinstance(found, EasyText):
            return EasyText(german, english, easy=_filled(found.easy, values))
        return Text(german, english)

    def say(self, key: str, language: str, **values: Any) -> str:
        """Return a text in one language, German where it has no easy form."""
        return _filled(said(self._texts[key], language), values)

    def escaped(self, key: str, language: str, **values: Any) -> str:
        """Return a text for a page: what has no holes is escaped once, not for each page anew."""
        if values:
            return self.say(key, language, **values)
        found = self._escaped.get((key, language))
        if found is None:
            found = self._escaped[key, language] = escape(self.say(key, language))
        return found


@cache
def shipped_texts() -> PortalTexts:
    """Return the catalogue that ships, read once."""
    return PortalTexts.load()


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """Put values into the holes of a text; they are put in once, so that none of them can have holes of its own."""
    return _HOLE.sub(lambda hole: str(values.get(hole[1], hole[0])), text) if values else text


def _text(path: Path, key: str, entry: Any) -> Text:
    known = isinstance(entry, dict) and {"de", "en"} <= set(entry) <= set(LANGUAGES)
    if not known or not all(isinstance(each, str) and each.strip() for each in entry.values()):
        raise _unusable(path, key, "braucht de und en, dazu vielleicht easy", "needs de and en, and perhaps easy")
    holes = {language: set(_HOLE.findall(each)) for language, each in entry.items()}
    if holes["de"] != holes["en"] or not holes.get("easy", set()) <= holes["de"]:
        raise _unusable(
            path, key, "füllt nicht in jeder Sprache dasselbe ein", "fills in other things in some language"
        )
    pair = entry["de"].strip(), entry["en"].strip()
    return EasyText(*pair, easy=entry["easy"].strip()) if "easy" in entry else Text(*pair)


def _unusable(path: Path, key: str, de: str, en: str) -> ConfigurationError:
    return ConfigurationError(Text(f"{path.name}: {key}: {de}.", f"{path.name}: {key}: {en}."), file=path.name)
