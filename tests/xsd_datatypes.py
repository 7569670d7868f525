"""XML Schema 1.0 part 2 (second edition, W3C 28 October 2004) as a table: which texts are values of the types that XÖV uses.

Written down from the recommendation's lexical spaces, by hand; ``part`` names the section. The values of a type are compared
by an enumeration in the schema: of ``same`` any text is the enumerated value, of ``other`` none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Datatype:
    name: str
    part: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    #: First the value, then other texts of it.
    same: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


TABLE = (
    Datatype(
        name="boolean",
        part="3.2.2",
        good=("true", "false", "1", "0", " true ", "\n1\t"),
        bad=("", "TRUE", "True", "yes", "01", "2", "-1", "true false", "wahr"),
    ),
    Datatype(
        name="decimal",
        part="3.2.3",
        good=("0", "-0", "+1", "1.", ".5", "-.5", "00012.3400", " 1 ", "123456789012345678", "0.000000000000000001"),
        bad=("", ".", "+", "-", "1e3", "1E3", "1,5", "INF", "NaN", "1 2", "--1", "+-1", "1.2.3", "0x1", "１"),
        same=("1.50", "1.5", "+1.5", "01.500"),
        other=("1.51", "-1.5", "15"),
    ),
    Datatype(
        name="integer",
        part="3.3.13",
        good=("0", "-0", "+7", "007", "-123456789012345678", " 5 "),
        bad=("", "1.0", "1.", ".0", "1e1", "+", "a", "1_000", "1 000"),
        same=("7", "+7", "007"),
        other=("8", "-7"),
    ),
    Datatype(name="nonNegativeInteger", part="3.3.20", good=("0", "-0", "+0", "99"), bad=("-1", "", "0.0")),
    Datatype(name="positiveInteger", part="3.3.25", good=("1", "+1", "001"), bad=("0", "-0", "-1", "")),
    Datatype(name="nonPositiveInteger", part="3.3.14", good=("0", "-0", "+0", "-5"), bad=("1", "+1")),
    Datatype(name="negativeInteger", part="3.3.15", good=("-1", "-001"), bad=("0", "-0", "1")),
    Datatype(
        name="long",
        part="3.3.16",
        good=("9223372036854775807", "-9223372036854775808", "+1", "0"),
        bad=("9223372036854775808", "-9223372036854775809", "1.0"),
    ),
    Datatype(
        name="int",
        part="3.3.17",
        good=("2147483647", "-2147483648", "0002147483647"),
        bad=("2147483648", "-2147483649"),
    ),
    Datatype(name="short", part="3.3.18", good=("32767", "-32768"), bad=("32768", "-32769")),
    Datatype(name="byte", part="3.3.19", good=("127", "-128", "+0"), bad=("128", "-129")),
    Datatype(
        name="unsignedLong",
        part="3.3.21",
        good=("18446744073709551615", "0", "-0"),
        bad=("18446744073709551616", "-1"),
    ),
    Datatype(name="unsignedInt", part="3.3.22", good=("4294967295", "0"), bad=("4294967296", "-1")),
    Datatype(name="unsignedShort", part="3.3.23", good=("65535", "+1"), bad=("65536", "-1")),
    Datatype(name="unsignedByte", part="3.3.24", good=("255", "0"), bad=("256", "-1")),
    Datatype(
        name="double",
        part="3.2.5",
        good=("1", "-1.5E10", "1e-3", ".5", "5.", "INF", "-INF", "NaN", "-0", "12.78e-2", "+1", " 1 "),
        bad=("", "+INF", "inf", "Infinity", "nan", "1e", "e5", "1e1.5", "0x1p3", "1 e5", "."),
        same=("100", "1e2", "1.0E+2", "100.0"),
        other=("101", "INF"),
    ),
    Datatype(name="float", part="3.2.4", good=("1", "-1E4", "INF", "-INF", "NaN"), bad=("+INF", "1f", "", "1d")),
    Datatype(
        name="date",
        part="3.2.9",
        good=(
            *("2024-02-29", "2023-12-31", "2000-02-29", "2026-11-29Z", "2026-11-29+14:00", "2026-11-29-14:00"),
            *("-0044-03-15", "12026-01-01", " 2026-11-29 ", "2026-11-29+00:00"),
        ),
        bad=(
            *("", "2023-02-29", "1900-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "2026-01-32", "2026-04-31"),
            *("26-01-01", "2026-1-1", "2026/01/01", "01.02.2026", "0000-01-01", "2026-11-29+14:01", "2026-11-29+15:00"),
            *("2026-11-29T00:00:00", "02026-01-01", "+2026-01-01", "2026-11-29z", "2026-11-29+1:00", "20261129"),
            *("2026-11-29+01:60", "2026-11-29 Z"),
        ),
        same=("2026-11-29Z", "2026-11-29+00:00", "2026-11-29-00:00"),
        other=("2026-11-29+01:00", "2026-11-28Z"),
    ),
    Datatype(
        name="dateTime",
        part="3.2.7",
        good=(
            *("2026-11-29T19:40:00", "2026-11-29T19:40:00Z", "2026-11-29T19:40:00.123456+01:00", "2024-02-29T00:00:00"),
            *("2026-11-29T24:00:00", "2026-12-31T24:00:00Z", "2026-11-29T23:59:59.999", "-0001-01-01T00:00:00"),
            *("2026-11-29T24:00:00.000", "\n2026-11-29T19:40:00Z "),
        ),
        bad=(
            *("2026-11-29", "2026-11-29T19:40", "2026-11-29 19:40:00", "2026-11-29t19:40:00", "2026-11-29T25:00:00"),
            *("2026-11-29T24:00:01", "2026-11-29T24:01:00", "2026-11-29T19:60:00", "2026-11-29T19:40:60"),
            *("2026-11-29T19:40:00.", "2026-11-29T19:40:00+14:30", "2026-02-30T00:00:00", "0000-01-01T00:00:00"),
            *("2026-11-29T9:40:00", "2026-11-29T19:40:00+0100", "2026-11-29T19:40:00,5", "20261129T194000Z"),
        ),
        same=(
            "2026-11-29T12:00:00Z",
            "2026-11-29T13:00:00+01:00",
            "2026-11-29T12:00:00.000Z",
            "2026-11-29T07:00:00-05:00",
        ),
        other=("2026-11-29T12:00:01Z", "2026-11-29T12:00:00+01:00"),
    ),
    Datatype(
        name="dateTime",
        part="3.2.7.1 (24:00:00 is the first moment of the next day)",
        good=(),
        bad=(),
        same=("2026-12-01T00:00:00Z", "2026-11-30T24:00:00Z"),
        other=("2026-11-30T00:00:00Z",),
    ),
    Datatype(
        name="time",
        part="3.2.8",
        good=(
            "00:00:00",
            "23:59:59",
            "12:00:00.5",
            "12:00:00Z",
            "12:00:00+02:00",
            "24:00:00",
            "24:00:00Z",
            " 12:00:00 ",
        ),
        bad=(
            "",
            "12:00",
            "24:00:01",
            "24:30:00",
            "25:00:00",
            "12:60:00",
            "12:00:60",
            "1:00:00",
            "12:00:00+15:00",
            "120000",
        ),
        same=("12:00:00Z", "14:00:00+02:00", "12:00:00.0Z"),
        other=("12:00:00+02:00", "12:00:01Z"),
    ),
    Datatype(
        name="time",
        part="3.2.8 (24:00:00 and 00:00:00 are one value)",
        good=(),
        bad=(),
        same=("00:00:00", "24:00:00"),
        other=("12:00:00",),
    ),
    Datatype(
        name="gYear",
        part="3.2.11",
        good=("2026", "-0044", "12026", "2026Z", "2026+01:00", "0001", " 2026 "),
        bad=("26", "0000", "02026", "+2026", "2026-01", "", "2026+1"),
        same=("2026Z", "2026+00:00"),
        other=("2027Z",),
    ),
    Datatype(
        name="gYearMonth",
        part="3.2.10",
        good=("2026-11", "2026-01Z", "-0001-12", " 2026-11 "),
        bad=("2026-13", "2026-00", "2026", "2026-1", "11-2026"),
    ),
    Datatype(
        name="gMonth",
        part="3.2.14",
        good=("--11", "--01Z", "--12+01:00", " --11 "),
        bad=("--13", "--00", "11", "--1", "--11--"),
    ),
    Datatype(
        name="gMonthDay",
        part="3.2.12",
        good=("--11-29", "--02-29", "--12-31Z", " --11-29 "),
        bad=("--02-30", "--11-31", "--13-01", "11-29", "--1-1"),
    ),
    Datatype(
        name="gDay",
        part="3.2.13",
        good=("---01", "---31", "---29Z", " ---01 "),
        bad=("---32", "---00", "--01", "31", "---1"),
    ),
    Datatype(
        name="duration",
        part="3.2.6",
        good=("P1Y", "P1Y2M3DT4H5M6S", "PT0S", "-P1D", "P0D", "PT1.5S", "P400D", "PT36H", "P1M", " P1Y\n"),
        bad=(
            "",
            "P",
            "PT",
            "P1YT",
            "P-1Y",
            "1Y",
            "P1S",
            "PT1D",
            "P1H",
            "P1.5Y",
            "P1M1Y",
            "p1y",
            "P1Y1D1M",
            "PT1.S",
            "+P1D",
        ),
        same=("P1Y", "P12M", "P0Y12M"),
        other=("P11M", "P13M"),
    ),
    Datatype(
        name="anyURI",
        part="3.2.17",
        good=(
            "",
            "https://example.org/a?b=c#d",
            "urn:xoev-de:xta",
            "a/b",
            "../x",
            "#id",
            "https://münchen.example/straße",
        ),
        bad=(),
        same=("urn:a:b", " urn:a:b "),
        other=("urn:A:b", "urn:a:B"),
    ),
    Datatype(
        name="base64Binary",
        part="3.2.16",
        good=("", "AAAA", "AA==", "AAA=", "A A A A", "QUJD REVG", "+/+/", "Zm9v\nYmFy"),
        bad=("A", "AA", "AAA", "AAAA=", "====", "AB==", "AAB=", "-_-_", "AA=A", "AA==AA==", "AAAAA", "A*AA"),
        same=("QUJD", "Q U J D"),
        other=("QUJE",),
    ),
    Datatype(
        name="hexBinary",
        part="3.2.15",
        good=("", "00", "0fB7", "DEADBEEF", " 0a "),
        bad=("0", "0g", "0x00", "00 11", "000"),
        same=("0fb7", "0FB7"),
        other=("0fb8",),
    ),
    Datatype(
        name="string",
        part="3.2.1 (white space is kept)",
        good=("", " a ", "a\nb", "ä€𝄞"),
        bad=(),
        same=("a b",),
        other=(" a b", "a  b", "a b ", "a\tb"),
    ),
    Datatype(
        name="normalizedString",
        part="3.3.1 (tabs and line ends become blanks)",
        good=("", " a ", "a\tb"),
        bad=(),
        same=("a b", "a\tb", "a\nb"),
        other=("a  b", " a b"),
    ),
    Datatype(
        name="token",
        part="3.3.2 (blanks are collapsed)",
        good=("", "a", "  a  b  "),
        bad=(),
        same=("a b", " a  b ", "a\n\tb"),
        other=("ab", "a b c", "a\u00a0b"),
    ),
    Datatype(
        name="language",
        part="3.3.3",
        good=("de", "de-DE", "en-GB-oed", "x-klingon", "i-navajo", " de ", "de-1996", "abcdefgh-12345678"),
        bad=("", "de_DE", "abcdefghi", "de-", "-de", "de--DE", "d1", "1a", "de-123456789", "dé"),
    ),
    Datatype(
        name="NMTOKEN",
        part="3.3.4",
        good=("a", "1", "-a", ".", "a:b", "ä1", " x "),
        bad=("", "a b", "a,b", "a/b", "a×"),
    ),
    Datatype(
        name="Name", part="3.3.6", good=("a", "_a", ":a", "a:b", "a-1.2", "ä"), bad=("", "1a", "-a", ".a", "a b", "a/b")
    ),
    Datatype(
        name="NCName",
        part="3.3.7",
        good=("a", "_a", "a-1.2", "äöü", " a ", "a·"),
        bad=("", "1a", "-a", "a:b", ":a", "a b", "·a", "a/b"),
    ),
    Datatype(name="ID", part="3.3.8", good=("a", "_1", " a "), bad=("", "1", "a:b", "a b", "-a")),
    Datatype(name="QName", part="3.2.18", good=("a", "xs:a", " a "), bad=("", "unbound:a", "a:b:c", ":a", "1", "xs:1")),
)
