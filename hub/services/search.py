"""Finding services by citizens' words: synonyms first, without regard to case, umlauts, beginnings and one wrong letter.

An index is made once of a catalogue. A word of the question is looked for in the vocabulary of all services: as it is, as a
beginning, within a word (German runs words together), else with one letter wrong; each way counts less than the one before.
Words that nearly all services have count little (inverse document frequency). So a search costs a pass over the vocabulary
for each of at most ten words, whatever the number of services.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain

from hub.areas import one_spelling
from hub.services.entry import PublicService

_WORDS = re.compile(r"\w+")
#: Words of a question that are looked at.
_MOST_WORDS = 10
#: What everybody says and nothing is found by, folded.
_STOP = frozenset(
    """
    ich will mochte muss kann wie wo was der die das den dem des ein eine einen einem einer mein meine meinen meiner und oder
    fur von im in am an auf zu zum zur mit bei ist sind habe haben wer wann
    i want to my the a an and or for of in on at with how where do does can need is are get have please bitte
    """.split()  # noqa: SIM905  # a list of words reads better so
)
#: How much a word counts by where it stands.
_NAME, _OFFICIAL, _TEXT = 3.0, 2.0, 1.0
#: How much it counts by how it was found.
_EXACT, _BEGINS, _WITHIN, _TYPO = 1.0, 0.8, 0.6, 0.5
#: Letters from which on a beginning, a part, a word with a wrong letter counts.
_LONG_BEGINNING, _LONG_PART, _LONG_TYPO = 3, 4, 4
#: Added where the whole question is a name or synonym.
_WHOLE = 10.0
#: Share of the question's weight that has to be found.
_ENOUGH = 0.5


def _words(text: str) -> list[str]:
    return _WORDS.findall(one_spelling(text))


class ServiceIndex:
    """The words of a catalogue's services, by language. Immutable; thread-safe."""

    def __init__(self, services: Iterable[PublicService]) -> None:
        listed = list(services)
        self._by_language = {language: _Vocabulary(listed, language) for language in ("de", "en")}

    def search(self, text: str, language: str) -> list[tuple[str, float]]:
        """Return (URN, score) of the services that a question fits, best first.

        Names in the other language are found where those of the asked one are not: people write what they read.
        """
        languages = ("en", "de") if language == "en" else ("de", "en")
        return next(filter(None, (self._by_language[each].search(text) for each in languages)), [])


class _Vocabulary:
    def __init__(self, services: list[PublicService], language: str) -> None:
        #: By word: what it counts for each service that has it.
        self._weights: dict[str, dict[str, float]] = defaultdict(dict)
        #: By whole name or synonym: the services.
        self._whole: dict[str, set[str]] = defaultdict(set)
        for each in services:
            for weight, said in _said(each, language):
                if weight == _NAME:
                    self._whole[" ".join(_words(said))].add(each.key)
                for word in _words(said):
                    counted = self._weights[word]
                    counted[each.key] = max(weight, counted.get(each.key, 0.0))
        self._count = len(services)
        self._sorted = sorted(self._weights)
        self._shortened: dict[str, list[str]] = defaultdict(list)
        for word in self._sorted:
            if len(word) >= _LONG_TYPO:
                for short in _shortenings(word):
                    self._shortened[short].append(word)

    def search(self, text: str) -> list[tuple[str, float]]:
        asked = _words(text)[:_MOST_WORDS]
        words = list(dict.fromkeys(word for word in asked if word not in _STOP)) or asked
        scores: dict[str, float] = defaultdict(float)
        covered: dict[str, float] = defaultdict(float)
        total = 0.0
        for word in words:
            found = self._found(word)
            rarity = self._rarity(len(found))
            total += rarity
            for key, value in found.items():
                scores[key] += rarity * value
                covered[key] += rarity
        for key in self._whole.get(" ".join(asked), ()):
            scores[key] += _WHOLE
        enough = [key for key in scores if covered[key] >= _ENOUGH * total]
        return [(key, round(scores[key], 4)) for key in sorted(enough, key=lambda each: (-scores[each], each))]

    def _found(self, word: str) -> dict[str, float]:
        """Return what a word of the question counts for each service: the best of all ways that it is found by."""
        best: dict[str, float] = {}
        for factor, known in chain(self._nearby(word), self._mistyped(word)):
            for key, weight in self._weights[known].items():
                best[key] = max(best.get(key, 0.0), factor * weight)
        return best

    def _nearby(self, word: str) -> Iterator[tuple[float, str]]:
        if word in self._weights:
            yield _EXACT, word
        if len(word) >= _LONG_BEGINNING:
            start = bisect_left(self._sorted, word)
            for known in self._sorted[start:]:
                if not known.startswith(word):
                    break
                yield _BEGINS, known
        if len(word) >= _LONG_PART:
            yield from ((_WITHIN, known) for known in self._sorted if word in known)

    def _mistyped(self, word: str) -> Iterator[tuple[float, str]]:
        if len(word) < _LONG_TYPO or word in self._weights:
            return
        near = {known for short in _shortenings(word) for known in self._shortened.get(short, ())}
        yield from ((_TYPO, known) for known in near if _one_apart(word, known))

    def _rarity(self, services: int) -> float:
        return math.log(1 + self._count / services) if services else math.log(1 + self._count)


def _said(service: PublicService, language: str) -> Iterator[tuple[float, str]]:
    for text in (service.name, service.topic, service.situation, service.summary):
        if text is not None:
            weight = _NAME if text is service.name else _TEXT
            yield weight, text.en if language == "en" else text.de
    for word in service.synonyms.get(language, ()):
        yield _NAME, word
    yield _OFFICIAL, service.official


def _shortenings(word: str) -> Iterator[str]:
    """Yield a word, and it without one of its letters: two words with one letter wrong have one of these in common."""
    yield word
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter is too many, missing, another one, or two neighbours are swapped (Damerau, 1964)."""
    at = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    rest, others = one[at:], other[at:]
    swapped = rest[:2] == others[1::-1] and rest[2:] == others[2:]
    return rest[1:] == others or rest == others[1:] or rest[1:] == others[1:] or swapped
