"""Regular expressions of schemas (XML Schema part 2 appendix F, ECMA-262) as position automata, to be judged, not run.

Every character of a pattern becomes a position; ``follow`` says which positions may come after which (Glushkov). Sets of
characters are sorted, disjoint intervals of code points. A count of ten or more is as good as endless; a smaller one is
unrolled to at most two copies, which is enough to see whether a match can be found in several ways.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby

Chars = tuple[tuple[int, int], ...]

_LAST = 0x10FFFF
ANY: Chars = ((0, _LAST),)
_DIGITS: Chars = ((0x30, 0x39),)
_SPACE: Chars = ((9, 10), (13, 13), (32, 32))
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_CLASSES = frozenset("dDwWsSiIcC")
_ENDLESS = 10
_COPIES = 2
_POSITIONS = 20_000
_DEPTH = 60


class PatternError(ValueError):
    """A pattern that cannot be read, or uses what no judge can follow (back references)."""


class UnreadableError(PatternError):
    """A pattern that breaks the grammar, so that every compiler refuses it."""


@dataclass(slots=True)
class Automaton:
    """Positions with their characters; ``follow[p]`` are the positions after ``p``, ``doubled`` edges met twice.

    A text starts at one of ``first`` and ends at one of ``last``.
    """

    chars: list[Chars] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)
    doubled: set[tuple[int, int]] = field(default_factory=set)
    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Part:
    nullable: bool
    first: frozenset[int]
    last: frozenset[int]


_EMPTY = _Part(nullable=True, first=frozenset(), last=frozenset())


def automaton_of(pattern: str) -> Automaton:
    """Read a pattern.

    Raises:
        PatternError: It cannot be read or is too large.
    """
    reader = _Reader(pattern)
    whole = reader.alternatives(0)
    if reader.rest:
        raise PatternError("unbalanced parenthesis")
    reader.automaton.first, reader.automaton.last = whole.first, whole.last
    return reader.automaton


def overlap(one: Chars, other: Chars) -> bool:
    """Whether two sets share a character."""
    i = j = 0
    while i < len(one) and j < len(other):
        if one[i][1] < other[j][0]:
            i += 1
        elif other[j][1] < one[i][0]:
            j += 1
        else:
            return True
    return False


def union(*sets: Chars) -> Chars:
    """Return the union of sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(interval for chars in sets for interval in chars):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(chars: Chars) -> Chars:
    """Return every character that is not in a set."""
    found, start = [], 0
    for low, high in chars:
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start <= _LAST:
        found.append((start, _LAST))
    return tuple(found)


#: Planes that hold nothing but code points of one category, so that they need not be asked one by one.
_UNIFORM = (
    *((0x34000, 0xDFFFF, "Cn"), (0xE1000, 0xEFFFF, "Cn"), (0xF0000, 0xFFFFD, "Co"), (0xFFFFE, 0xFFFFF, "Cn")),
    *((0x100000, 0x10FFFD, "Co"), (0x10FFFE, 0x10FFFF, "Cn")),
)


@lru_cache(maxsize=1)
def _categories() -> dict[str, Chars]:
    """Return the characters of every general category, of two letters and of one."""
    runs = list(_UNIFORM)
    for start, end in ((0, 0x34000), (0xE0000, 0xE1000)):
        at = start
        for category, members in groupby(map(unicodedata.category, map(chr, range(start, end)))):
            low, at = at, at + sum(1 for _ in members)
            runs.append((low, at - 1, category))
    found: dict[str, list[tuple[int, int]]] = {}
    for low, high, category in runs:
        for name in (category, category[0]):
            found.setdefault(name, []).append((low, high))
    return {name: union(tuple(intervals)) for name, intervals in found.items()}


#: The blocks of Unicode 17, and those of 3.1 that have other names or places since (part 2, appendix F.1.1).
_BLOCKS = (
    "BasicLatin=0-7F Latin-1Supplement=80-FF LatinExtended-A=100-17F LatinExtended-B=180-24F IPAExtensions=250-2AF "
    "SpacingModifierLetters=2B0-2FF CombiningDiacriticalMarks=300-36F Greek=370-3FF GreekandCoptic=370-3FF "
    "Cyrillic=400-4FF CyrillicSupplement=500-52F CyrillicSupplementary=500-52F Armenian=530-58F Hebrew=590-5FF "
    "Arabic=600-6FF Syriac=700-74F ArabicSupplement=750-77F Thaana=780-7BF NKo=7C0-7FF Samaritan=800-83F Mandaic=840-85F "
    "SyriacSupplement=860-86F ArabicExtended-B=870-89F ArabicExtended-A=8A0-8FF Devanagari=900-97F Bengali=980-9FF "
    "Gurmukhi=A00-A7F Gujarati=A80-AFF Oriya=B00-B7F Tamil=B80-BFF Telugu=C00-C7F Kannada=C80-CFF Malayalam=D00-D7F "
    "Sinhala=D80-DFF Thai=E00-E7F Lao=E80-EFF Tibetan=F00-FFF Myanmar=1000-109F Georgian=10A0-10FF HangulJamo=1100-11FF "
    "Ethiopic=1200-137F EthiopicSupplement=1380-139F Cherokee=13A0-13FF UnifiedCanadianAboriginalSyllabics=1400-167F "
    "Ogham=1680-169F Runic=16A0-16FF Tagalog=1700-171F Hanunoo=1720-173F Buhid=1740-175F Tagbanwa=1760-177F "
    "Khmer=1780-17FF Mongolian=1800-18AF UnifiedCanadianAboriginalSyllabicsExtended=18B0-18FF Limbu=1900-194F "
    "TaiLe=1950-197F NewTaiLue=1980-19DF KhmerSymbols=19E0-19FF Buginese=1A00-1A1F TaiTham=1A20-1AAF "
    "CombiningDiacriticalMarksExtended=1AB0-1AFF Balinese=1B00-1B7F Sundanese=1B80-1BBF Batak=1BC0-1BFF Lepcha=1C00-1C4F "
    "OlChiki=1C50-1C7F CyrillicExtended-C=1C80-1C8F GeorgianExtended=1C90-1CBF SundaneseSupplement=1CC0-1CCF "
    "VedicExtensions=1CD0-1CFF PhoneticExtensions=1D00-1D7F PhoneticExtensionsSupplement=1D80-1DBF "
    "CombiningDiacriticalMarksSupplement=1DC0-1DFF LatinExtendedAdditional=1E00-1EFF GreekExtended=1F00-1FFF "
    "GeneralPunctuation=2000-206F SuperscriptsandSubscripts=2070-209F CurrencySymbols=20A0-20CF "
    "CombiningDiacriticalMarksforSymbols=20D0-20FF CombiningMarksforSymbols=20D0-20FF LetterlikeSymbols=2100-214F "
    "NumberForms=2150-218F Arrows=2190-21FF MathematicalOperators=2200-22FF MiscellaneousTechnical=2300-23FF "
    "ControlPictures=2400-243F OpticalCharacterRecognition=2440-245F EnclosedAlphanumerics=2460-24FF BoxDrawing=2500-257F "
    "BlockElements=2580-259F GeometricShapes=25A0-25FF MiscellaneousSymbols=2600-26FF Dingbats=2700-27BF "
    "MiscellaneousMathematicalSymbols-A=27C0-27EF SupplementalArrows-A=27F0-27FF BraillePatterns=2800-28FF "
    "SupplementalArrows-B=2900-297F MiscellaneousMathematicalSymbols-B=2980-29FF "
    "SupplementalMathematicalOperators=2A00-2AFF MiscellaneousSymbolsandArrows=2B00-2BFF Glagolitic=2C00-2C5F "
    "LatinExtended-C=2C60-2C7F Coptic=2C80-2CFF GeorgianSupplement=2D00-2D2F Tifinagh=2D30-2D7F EthiopicExtended=2D80-2DDF "
    "CyrillicExtended-A=2DE0-2DFF SupplementalPunctuation=2E00-2E7F CJKRadicalsSupplement=2E80-2EFF "
    "KangxiRadicals=2F00-2FDF IdeographicDescriptionCharacters=2FF0-2FFF CJKSymbolsandPunctuation=3000-303F "
    "Hiragana=3040-309F Katakana=30A0-30FF Bopomofo=3100-312F HangulCompatibilityJamo=3130-318F Kanbun=3190-319F "
    "BopomofoExtended=31A0-31BF CJKStrokes=31C0-31EF KatakanaPhoneticExtensions=31F0-31FF "
    "EnclosedCJKLettersandMonths=3200-32FF CJKCompatibility=3300-33FF CJKUnifiedIdeographsExtensionA=3400-4DBF "
    "YijingHexagramSymbols=4DC0-4DFF CJKUnifiedIdeographs=4E00-9FFF YiSyllables=A000-A48F YiRadicals=A490-A4CF "
    "Lisu=A4D0-A4FF Vai=A500-A63F CyrillicExtended-B=A640-A69F Bamum=A6A0-A6FF ModifierToneLetters=A700-A71F "
    "LatinExtended-D=A720-A7FF SylotiNagri=A800-A82F CommonIndicNumberForms=A830-A83F Phags-pa=A840-A87F "
    "Saurashtra=A880-A8DF DevanagariExtended=A8E0-A8FF KayahLi=A900-A92F Rejang=A930-A95F HangulJamoExtended-A=A960-A97F "
    "Javanese=A980-A9DF MyanmarExtended-B=A9E0-A9FF Cham=AA00-AA5F MyanmarExtended-A=AA60-AA7F TaiViet=AA80-AADF "
    "MeeteiMayekExtensions=AAE0-AAFF EthiopicExtended-A=AB00-AB2F LatinExtended-E=AB30-AB6F CherokeeSupplement=AB70-ABBF "
    "MeeteiMayek=ABC0-ABFF HangulSyllables=AC00-D7AF HangulJamoExtended-B=D7B0-D7FF HighSurrogates= "
    "HighPrivateUseSurrogates= LowSurrogates= PrivateUseArea=E000-F8FF PrivateUse=E000-F8FF,F0000-FFFFD,100000-10FFFD "
    "CJKCompatibilityIdeographs=F900-FAFF AlphabeticPresentationForms=FB00-FB4F ArabicPresentationForms-A=FB50-FDFF "
    "VariationSelectors=FE00-FE0F VerticalForms=FE10-FE1F CombiningHalfMarks=FE20-FE2F CJKCompatibilityForms=FE30-FE4F "
    "SmallFormVariants=FE50-FE6F ArabicPresentationForms-B=FE70-FEFF Specials=FEFF-FEFF,FFF0-FFFD "
    "HalfwidthandFullwidthForms=FF00-FFEF LinearBSyllabary=10000-1007F LinearBIdeograms=10080-100FF "
    "AegeanNumbers=10100-1013F AncientGreekNumbers=10140-1018F AncientSymbols=10190-101CF PhaistosDisc=101D0-101FF "
    "Lycian=10280-1029F Carian=102A0-102DF CopticEpactNumbers=102E0-102FF OldItalic=10300-1032F Gothic=10330-1034F "
    "OldPermic=10350-1037F Ugaritic=10380-1039F OldPersian=103A0-103DF Deseret=10400-1044F Shavian=10450-1047F "
    "Osmanya=10480-104AF Osage=104B0-104FF Elbasan=10500-1052F CaucasianAlbanian=10530-1056F Vithkuqi=10570-105BF "
    "Todhri=105C0-105FF LinearA=10600-1077F LatinExtended-F=10780-107BF CypriotSyllabary=10800-1083F "
    "ImperialAramaic=10840-1085F Palmyrene=10860-1087F Nabataean=10880-108AF Hatran=108E0-108FF Phoenician=10900-1091F "
    "Lydian=10920-1093F Sidetic=10940-1095F MeroiticHieroglyphs=10980-1099F MeroiticCursive=109A0-109FF "
    "Kharoshthi=10A00-10A5F OldSouthArabian=10A60-10A7F OldNorthArabian=10A80-10A9F Manichaean=10AC0-10AFF "
    "Avestan=10B00-10B3F InscriptionalParthian=10B40-10B5F InscriptionalPahlavi=10B60-10B7F PsalterPahlavi=10B80-10BAF "
    "OldTurkic=10C00-10C4F OldHungarian=10C80-10CFF HanifiRohingya=10D00-10D3F Garay=10D40-10D8F "
    "RumiNumeralSymbols=10E60-10E7F Yezidi=10E80-10EBF ArabicExtended-C=10EC0-10EFF OldSogdian=10F00-10F2F "
    "Sogdian=10F30-10F6F OldUyghur=10F70-10FAF Chorasmian=10FB0-10FDF Elymaic=10FE0-10FFF Brahmi=11000-1107F "
    "Kaithi=11080-110CF SoraSompeng=110D0-110FF Chakma=11100-1114F Mahajani=11150-1117F Sharada=11180-111DF "
    "SinhalaArchaicNumbers=111E0-111FF Khojki=11200-1124F Multani=11280-112AF Khudawadi=112B0-112FF Grantha=11300-1137F "
    "Tulu-Tigalari=11380-113FF Newa=11400-1147F Tirhuta=11480-114DF Siddham=11580-115FF Modi=11600-1165F "
    "MongolianSupplement=11660-1167F Takri=11680-116CF MyanmarExtended-C=116D0-116FF Ahom=11700-1174F Dogra=11800-1184F "
    "WarangCiti=118A0-118FF DivesAkuru=11900-1195F Nandinagari=119A0-119FF ZanabazarSquare=11A00-11A4F Soyombo=11A50-11AAF "
    "UnifiedCanadianAboriginalSyllabicsExtended-A=11AB0-11ABF PauCinHau=11AC0-11AFF DevanagariExtended-A=11B00-11B5F "
    "SharadaSupplement=11B60-11B7F Sunuwar=11BC0-11BFF Bhaiksuki=11C00-11C6F Marchen=11C70-11CBF MasaramGondi=11D00-11D5F "
    "GunjalaGondi=11D60-11DAF TolongSiki=11DB0-11DEF Makasar=11EE0-11EFF Kawi=11F00-11F5F LisuSupplement=11FB0-11FBF "
    "TamilSupplement=11FC0-11FFF Cuneiform=12000-123FF CuneiformNumbersandPunctuation=12400-1247F "
    "EarlyDynasticCuneiform=12480-1254F Cypro-Minoan=12F90-12FFF EgyptianHieroglyphs=13000-1342F "
    "EgyptianHieroglyphFormatControls=13430-1345F EgyptianHieroglyphsExtended-A=13460-143FF "
    "AnatolianHieroglyphs=14400-1467F GurungKhema=16100-1613F BamumSupplement=16800-16A3F Mro=16A40-16A6F "
    "Tangsa=16A70-16ACF BassaVah=16AD0-16AFF PahawhHmong=16B00-16B8F KiratRai=16D40-16D7F Medefaidrin=16E40-16E9F "
    "BeriaErfe=16EA0-16EDF Miao=16F00-16F9F IdeographicSymbolsandPunctuation=16FE0-16FFF Tangut=17000-187FF "
    "TangutComponents=18800-18AFF KhitanSmallScript=18B00-18CFF TangutSupplement=18D00-18D7F "
    "TangutComponentsSupplement=18D80-18DFF KanaExtended-B=1AFF0-1AFFF KanaSupplement=1B000-1B0FF "
    "KanaExtended-A=1B100-1B12F SmallKanaExtension=1B130-1B16F Nushu=1B170-1B2FF Duployan=1BC00-1BC9F "
    "ShorthandFormatControls=1BCA0-1BCAF SymbolsforLegacyComputingSupplement=1CC00-1CEBF "
    "MiscellaneousSymbolsSupplement=1CEC0-1CEFF ZnamennyMusicalNotation=1CF00-1CFCF ByzantineMusicalSymbols=1D000-1D0FF "
    "MusicalSymbols=1D100-1D1FF AncientGreekMusicalNotation=1D200-1D24F KaktovikNumerals=1D2C0-1D2DF "
    "MayanNumerals=1D2E0-1D2FF TaiXuanJingSymbols=1D300-1D35F CountingRodNumerals=1D360-1D37F "
    "MathematicalAlphanumericSymbols=1D400-1D7FF SuttonSignWriting=1D800-1DAAF LatinExtended-G=1DF00-1DFFF "
    "GlagoliticSupplement=1E000-1E02F CyrillicExtended-D=1E030-1E08F NyiakengPuachueHmong=1E100-1E14F Toto=1E290-1E2BF "
    "Wancho=1E2C0-1E2FF NagMundari=1E4D0-1E4FF OlOnal=1E5D0-1E5FF TaiYo=1E6C0-1E6FF EthiopicExtended-B=1E7E0-1E7FF "
    "MendeKikakui=1E800-1E8DF Adlam=1E900-1E95F IndicSiyaqNumbers=1EC70-1ECBF OttomanSiyaqNumbers=1ED00-1ED4F "
    "ArabicMathematicalAlphabeticSymbols=1EE00-1EEFF MahjongTiles=1F000-1F02F DominoTiles=1F030-1F09F "
    "PlayingCards=1F0A0-1F0FF EnclosedAlphanumericSupplement=1F100-1F1FF EnclosedIdeographicSupplement=1F200-1F2FF "
    "MiscellaneousSymbolsAndPictographs=1F300-1F5FF MiscellaneousSymbolsandPictographs=1F300-1F5FF Emoticons=1F600-1F64F "
    "OrnamentalDingbats=1F650-1F67F TransportAndMapSymbols=1F680-1F6FF TransportandMapSymbols=1F680-1F6FF "
    "AlchemicalSymbols=1F700-1F77F GeometricShapesExtended=1F780-1F7FF SupplementalArrows-C=1F800-1F8FF "
    "SupplementalSymbolsandPictographs=1F900-1F9FF ChessSymbols=1FA00-1FA6F SymbolsandPictographsExtended-A=1FA70-1FAFF "
    "SymbolsforLegacyComputing=1FB00-1FBFF CJKUnifiedIdeographsExtensionB=20000-2A6DF "
    "CJKUnifiedIdeographsExtensionC=2A700-2B73F CJKUnifiedIdeographsExtensionD=2B740-2B81F "
    "CJKUnifiedIdeographsExtensionE=2B820-2CEAF CJKUnifiedIdeographsExtensionF=2CEB0-2EBEF "
    "CJKUnifiedIdeographsExtensionI=2EBF0-2EE5F CJKCompatibilityIdeographsSupplement=2F800-2FA1F "
    "CJKUnifiedIdeographsExtensionG=30000-3134F CJKUnifiedIdeographsExtensionH=31350-323AF "
    "CJKUnifiedIdeographsExtensionJ=323B0-3347F Tags=E0000-E007F VariationSelectorsSupplement=E0100-E01EF "
    "SupplementaryPrivateUseArea-A=F0000-FFFFF SupplementaryPrivateUseArea-B=100000-10FFFF "
)


@lru_cache(maxsize=1)
def _blocks() -> dict[str, Chars]:
    """Return the characters of every block, by its name without blanks."""
    found: dict[str, Chars] = {}
    for block in _BLOCKS.split():
        name, _, ranges = block.partition("=")
        bounds = (each.split("-") for each in ranges.split(",") if each)
        found[name] = tuple((int(low, 16), int(high, 16)) for low, high in bounds)
    return found


def _category(name: str) -> Chars:
    # Blocks (IsBasicLatin) and scripts are taken for everything: too cautious rather than too trusting.
    return _categories().get(name, ANY)


def _class(character: str) -> Chars:
    lower = character.lower()
    if lower == "d":
        chars = union(_DIGITS, _category("Nd"))
    elif lower == "s":
        chars = _SPACE
    elif lower == "i":
        chars = union(_category("L"), ((0x3A, 0x3A), (0x5F, 0x5F)))
    elif lower == "c":
        chars = union(_category("L"), _category("N"), _category("M"), ((0x2D, 0x2E), (0x3A, 0x3A), (0x5F, 0x5F)))
    else:
        chars = union(_category("L"), _category("N"), _category("M"), _category("S"), ((0x5F, 0x5F),))
    return complement(chars) if character.isupper() else chars


#: Escapes inside a class after which libxml2 still reads it right: of one character, of white space and names.
_READ_RIGHT = re.compile(r"\\[nrt\\|.\-^?*+{}()\[\]sic]")
#: What it reads otherwise: subtractions, ranges that an escape begins or ends, hyphens behind ranges or at a negated end.
_READ_WRONG = re.compile(r"-\[|\\.-(?!\])|-\\|\[\^.*-\]|-[^\[\]]-", re.DOTALL)


def is_read_right(atom: str) -> bool:
    """Whether libxml2 reads a class or an escape as XML Schema does, by current Unicode (its own is that of 2002)."""
    if atom[0] == "\\":
        return atom[1] not in "pPdDwW"
    return _READ_WRONG.search(atom) is None and "\\" not in _READ_RIGHT.sub("", atom)


def characters_of(pattern: str, at: int) -> tuple[Chars, int]:
    """Return the characters of the class or escape at a position, and where it ends.

    Unlike for judging, the characters are exactly those of XML Schema (part 2, appendix F).

    Raises:
        PatternError: It cannot be read, or names a block or a category that is unknown.
    """
    reader = _ExactReader(pattern, at)
    return reader.read(), reader.at


class _Reader:
    """Reads a pattern from left to right into an automaton."""

    def __init__(self, pattern: str) -> None:
        self.automaton = Automaton()
        self._pattern = pattern
        self._at = 0

    @property
    def rest(self) -> str:
        """What is not read yet."""
        return self._pattern[self._at :]

    def alternatives(self, depth: int) -> _Part:
        """Read ``a|b|…`` up to a closing parenthesis or the end."""
        if depth > _DEPTH:
            raise UnreadableError("nested too deeply")
        parts = [self._sequence(depth)]
        while self._take("|"):
            parts.append(self._sequence(depth))
        return _Part(
            nullable=any(part.nullable for part in parts),
            first=frozenset().union(*(part.first for part in parts)),
            last=frozenset().union(*(part.last for part in parts)),
        )

    def _sequence(self, depth: int) -> _Part:
        whole = _EMPTY
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            start = self._at
            part = self._atom(depth)
            whole = self._joined(whole, self._repeated(part, start, depth))
        return whole

    def _repeated(self, part: _Part, start: int, depth: int) -> _Part:
        end = self._at
        bounds = self._quantifier()
        if bounds is None:
            return part
        least, most = bounds
        after = self._at
        endless = most is None or most >= _ENDLESS
        copies = max(1, min(_COPIES, least if endless else most or 0))
        whole = part
        for number in range(1, copies):
            # The same characters once more, as positions of their own.
            self._at = start
            again = self._atom(depth)
            optional = not endless and number >= least
            whole = self._joined(whole, _optional(again) if optional else again)
            part = again
        if self._at != after:
            self._at = after
        if endless:
            self._connect(part.last, part.first)
        assert end <= after  # noqa: S101  # A quantifier is read forward.
        return _optional(whole) if least == 0 else whole

    def _quantifier(self) -> tuple[int, int | None] | None:
        bounds: tuple[int, int | None] | None = None
        for sign, meant in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                bounds = meant
                break
        if bounds is None and self.rest.startswith("{"):
            bounds = self._counts()
        if bounds is not None and not self._take("?"):
            self._take("+")
        return bounds

    def _counts(self) -> tuple[int, int | None] | None:
        inside, closed, _ = self.rest[1:].partition("}")
        least, comma, most = inside.partition(",")
        if not closed or not least.isdecimal() or (most and not most.isdecimal()):
            return None
        self._at += len(inside) + 2
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None

    def _atom(self, depth: int) -> _Part:
        sign = self._next()
        if sign == "(":
            return self._group(depth)
        if sign in "^$":
            return _EMPTY
        if sign == "[":
            return self._position(self._set(depth))
        if sign == ".":
            return self._position(ANY)
        if sign == "\\":
            escaped = self._escape(in_set=False)
            return _EMPTY if escaped is None else self._position(escaped)
        return self._position(((ord(sign), ord(sign)),))

    def _group(self, depth: int) -> _Part:
        looks = False
        if self._take("?"):
            if self._take("<"):
                looks = self.rest[:1] in ("=", "!")
                while self._next() not in "=!>":
                    pass
            else:
                looks = self._next() in "=!"
        part = self.alternatives(depth + 1)
        if not self._take(")"):
            raise PatternError("unbalanced parenthesis")
        # What only looks ahead or behind consumes nothing; its inside is judged all the same.
        return _EMPTY if looks else part

    def _set(self, depth: int) -> Chars:
        if depth > _DEPTH:
            raise UnreadableError("nested too deeply")
        negated = self._take("^")
        found: list[Chars] = []
        taken: Chars = ()
        while not self._take("]"):
            if self.rest.startswith("-["):
                self._at += 2
                taken = self._set(depth + 1)
                continue
            found.append(self._range())
        chars = union(*found)
        chars = complement(chars) if negated else chars
        return complement(union(complement(chars), taken)) if taken else chars

    def _range(self) -> Chars:
        low = self._member()
        if len(low) != 1 or low[0][0] != low[0][1] or not self.rest.startswith("-") or self.rest[1:2] in ("]", "["):
            return low
        self._at += 1
        high = self._member()
        if not high or high[-1][1] < low[0][0]:
            raise UnreadableError("a range that runs backwards")
        return ((low[0][0], high[-1][1]),)

    def _member(self) -> Chars:
        sign = self._next()
        if sign == "\\":
            return self._escape(in_set=True) or ()
        return ((ord(sign), ord(sign)),)

    def _escape(self, *, in_set: bool) -> Chars | None:
        character = self._next()
        if character in _CLASSES:
            return _class(character)
        if character in "pP":
            return self._property(negated=character == "P")
        if character in "bB" and not in_set:
            return None
        if character in "ux":
            return self._code_point(4 if character == "u" else 2)
        if character in _CONTROLS:
            return ((_CONTROLS[character], _CONTROLS[character]),)
        if character.isdecimal() or character == "k":
            raise PatternError("a back reference")
        return ((ord(character), ord(character)),)

    def _property(self, *, negated: bool) -> Chars:
        if not self._take("{"):
            raise UnreadableError("a property without a name")
        name, closed, _ = self.rest.partition("}")
        if not closed:
            raise UnreadableError("a property without an end")
        self._at += len(name) + 1
        chars = _category(name.rpartition("=")[2])
        return complement(chars) if negated and chars != ANY else chars

    def _code_point(self, digits: int) -> Chars:
        text = self.rest[:digits]
        self._at += digits
        try:
            point = int(text, 16)
        except ValueError as error:
            raise UnreadableError("a code point that is none") from error
        return ((point, point),)

    def _position(self, chars: Chars) -> _Part:
        number = len(self.automaton.chars)
        if number >= _POSITIONS:
            raise PatternError("too large")
        self.automaton.chars.append(chars)
        self.automaton.follow.append(set())
        return _Part(nullable=False, first=frozenset({number}), last=frozenset({number}))

    def _joined(self, one: _Part, other: _Part) -> _Part:
        self._connect(one.last, other.first)
        return _Part(
            nullable=one.nullable and other.nullable,
            first=one.first | other.first if one.nullable else one.first,
            last=one.last | other.last if other.nullable else other.last,
        )

    def _connect(self, before: frozenset[int], after: frozenset[int]) -> None:
        for position in before:
            follow = self.automaton.follow[position]
            if follow & after:
                self.automaton.doubled.update((position, next_one) for next_one in follow & after)
            follow |= after

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise UnreadableError("it ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _take(self, sign: str) -> bool:
        if self._pattern.startswith(sign, self._at):
            self._at += 1
            return True
        return False


def _optional(part: _Part) -> _Part:
    return _Part(nullable=True, first=part.first, last=part.last)


class _ExactReader(_Reader):
    """Reads one class or escape by XML Schema alone."""

    def __init__(self, pattern: str, at: int) -> None:
        super().__init__(pattern)
        self._at = at

    @property
    def at(self) -> int:
        """Where the reader stands."""
        return self._at

    def read(self) -> Chars:
        """Read the class or escape."""
        if self._next() == "[":
            return self._set(0)
        return self._escape(in_set=True) or ()

    def _escape(self, *, in_set: bool) -> Chars | None:
        escape = self.rest[:1]
        if escape in ("w", "W", "d", "D", "i", "I", "c", "C"):
            self._at += 1
            chars = _EXACT[escape.lower()]()
            return complement(chars) if escape.isupper() else chars
        return super()._escape(in_set=in_set)

    def _property(self, *, negated: bool) -> Chars:
        name = self.rest[1:].partition("}")[0]
        if not name.startswith("Is"):
            if name not in _categories():
                raise PatternError(f"an unknown category: {name}")
            return super()._property(negated=negated)
        chars = _blocks().get(name.removeprefix("Is"))
        if chars is None:
            raise PatternError(f"an unknown block: {name}")
        self._at += len(name) + 2
        return complement(chars) if negated else chars


def _name_start() -> Chars:
    return _NAME_START


def _name() -> Chars:
    return union(_NAME_START, _NAME_REST)


#: NameStartChar and what NameChar adds (XML 1.0, fifth edition, section 2.3), without what the second did not know at all.
_NAME_START: Chars = (
    *((0x3A, 0x3A), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x2FF)),
    *((0x370, 0x37D), (0x37F, 0x1FFF), (0x200C, 0x200D), (0x2070, 0x218F), (0x2C00, 0x2FEF), (0x3001, 0xD7FF)),
    *((0xF900, 0xFDCF), (0xFDF0, 0xFFFD)),
)
_NAME_REST: Chars = ((0x2D, 0x2E), (0x30, 0x39), (0xB7, 0xB7), (0x300, 0x36F), (0x203F, 0x2040))
_EXACT = {
    "d": lambda: _category("Nd"),
    "w": lambda: complement(union(_category("P"), _category("Z"), _category("C"))),
    "i": _name_start,
    "c": _name,
}
