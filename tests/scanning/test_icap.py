"""ICAP: that clean is 204 to all of a part and nothing else, and what each other answer means (RFC 3507)."""

from __future__ import annotations

import tracemalloc

import pytest
from scanner_servers import FOUND, MARKER, OFFER, offering, rogue
from test_clamd import packed, scanned, scanner

from hub.scanning import Gap, ScanVerdict

LARGE = b"x" * 300_000
PAGE = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n0\r\n\r\n"
SAME = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n0\r\n\r\n"


def test_clean_is_clean_and_names_the_signatures_by_istag(icap):
    found = scanned(icap, b"ein Antrag")
    assert found.verdict is ScanVerdict.CLEAN
    assert found.version is not None
    assert found.version.startswith("C-ICAP/")
    assert " CI0001-" in found.version


@pytest.mark.parametrize("size", [1, 1_023, 1_024, 1_025, 65_536, 1_000_000], ids=str)
def test_a_marker_is_found_wherever_the_chunks_are_cut(icap, size):
    content = LARGE + MARKER + LARGE if size > 1 else MARKER
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    assert scanned(icap, *chunks).as_json() == {"verdict": "infected", "signature": FOUND}


@pytest.mark.parametrize("length", [1_023, 1_024, 1_025], ids=str)
def test_a_part_as_long_as_the_preview_is_looked_at_whole(icap, length):
    padded = MARKER.rjust(length, b"x")
    assert scanned(icap, padded).verdict is ScanVerdict.INFECTED
    assert scanned(icap, b"x" * length).verdict is ScanVerdict.CLEAN


def test_limits_and_archives_are_told_as_by_clamd(icap):
    assert scanned(icap, packed(b"clean", MARKER, depth=2)).verdict is ScanVerdict.INFECTED
    assert scanned(icap, packed(MARKER, depth=8)).as_json() == {"verdict": "limits-exceeded", "limit": "MaxRecursion"}


def test_what_the_server_lets_pass_by_its_beginning_is_not_scanned(icap):
    """c-icap says 204 to the preview of a kind that it is not set to look at; that is not "clean"."""
    picture = b"\x89PNG\r\n\x1a\n" + b"\0" * 3_000 + MARKER
    assert scanned(icap, picture).as_json() == {"verdict": "not-scanned", "reason": "skipped"}


def test_nothing_at_all_is_clean(icap):
    assert scanned(icap).verdict is ScanVerdict.CLEAN


def test_a_service_that_does_not_exist_is_a_scanner_that_is_down(icap):
    found = scanned(icap.replace("avscan", "nosuch"), b"part")
    assert (found.verdict, found.is_trouble) == (ScanVerdict.NOT_SCANNED, True)
    assert scanner(icap.replace("avscan", "nosuch")).version() is None


def test_memory_does_not_grow_with_the_part(icap):
    chunk = b"x" * 262_144
    tracemalloc.start()
    scan = scanner(icap).scan()
    for _ in range(15):
        scan.write(chunk)
    assert scan.finish().verdict is ScanVerdict.CLEAN
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def head(status: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([b"ICAP/1.0 " + status, *lines, b"", b""])


ANSWERS = {
    "unmodified": (head(b"204 No Content"), {"verdict": "clean"}),
    "found": (
        head(b"200 OK", b"X-Infection-Found: Type=0; Resolution=2; Threat=Win.Test;") + PAGE,
        {"verdict": "infected", "signature": "Win.Test"},
    ),
    "found by another header": (
        head(b"200 OK", b"X-Virus-ID: Win.Test") + PAGE,
        {"verdict": "infected", "signature": "Win.Test"},
    ),
    "violations, one value a line": (
        head(b"200 OK", b"X-Violations-Found: 1\r\n\ta.zip\r\n\tWin.Test\r\n\t0\r\n\t0") + PAGE,
        {"verdict": "infected", "signature": "Win.Test"},
    ),
    "found, and repaired": (
        head(b"200 OK", b"X-Infection-Found: Type=0; Resolution=1; Threat=Win.Test;") + SAME,
        {"verdict": "infected", "signature": "Win.Test"},
    ),
    "an archive that goes too deep": (
        head(b"200 OK", b"X-Infection-Found: Type=2; Resolution=2; Threat=Nested too deep;") + PAGE,
        {"verdict": "limits-exceeded", "limit": "Nested too deep"},
    ),
    "a page in its place": (head(b"200 OK") + PAGE, {"verdict": "infected", "signature": "blocked-by-scanner"}),
    "the part itself": (head(b"200 OK") + SAME, {"verdict": "not-scanned", "reason": "skipped"}),
    "nothing behind its head": (head(b"200 OK"), {"verdict": "not-scanned", "reason": "garbled"}),
    "overloaded": (head(b"503 Overloaded"), {"verdict": "not-scanned", "reason": "broken-off"}),
    "a redirection": (head(b"307 Elsewhere"), {"verdict": "not-scanned", "reason": "broken-off"}),
    "go on, when nothing is left": (head(b"100 Continue"), {"verdict": "not-scanned", "reason": "garbled"}),
    "nothing": (b"", {"verdict": "not-scanned", "reason": "broken-off"}),
    "half a head": (b"ICAP/1.0 204 No Content\r\nISTag", {"verdict": "not-scanned", "reason": "garbled"}),
    "a head that never ends": (head(b"204 N", b"A: " + b"x" * 20_000), {"verdict": "not-scanned", "reason": "garbled"}),
    "another protocol": (b"HTTP/1.1 204 No Content\r\n\r\n", {"verdict": "not-scanned", "reason": "garbled"}),
    "two answers": (head(b"204 N") + head(b"200 OK"), {"verdict": "not-scanned", "reason": "garbled"}),
    "a line that is no header": (head(b"204 N", b"no header"), {"verdict": "not-scanned", "reason": "garbled"}),
    "a name that is markup": (
        head(b"200 OK", b"X-Infection-Found: Threat=<img onerror=a>\xe2\x80\xaeexe;") + PAGE,
        {"verdict": "infected", "signature": "_img onerror_a_exe"},
    ),
}


@pytest.mark.parametrize(("answer", "meant"), ANSWERS.values(), ids=ANSWERS)
def test_each_answer_is_one_verdict_and_only_204_is_clean(answer, meant):
    with rogue(offering(answer)) as server:
        assert scanned(server.icap, b"part").as_json() == meant


NO_OFFERS = {
    "no method": OFFER.replace(b"RESPMOD", b"LOGMOD"),
    "no 204": OFFER.replace(b"Allow: 204\r\n", b""),
    "no tag of its signatures": OFFER.replace(b'ISTag: "t1"\r\n', b""),
    "no such service": OFFER.replace(b"200 OK", b"404 Not Found"),
}


@pytest.mark.parametrize("offer", NO_OFFERS.values(), ids=NO_OFFERS)
def test_a_service_that_offers_no_scan_is_a_scanner_that_is_down(offer):
    with rogue(offering(head(b"204 N"), offer=offer)) as server:
        assert scanned(server.icap, b"part").gap is Gap.GARBLED


def test_a_service_that_judges_requests_alone_is_asked_so():
    with rogue(offering(head(b"204 N"), offer=OFFER.replace(b"RESPMOD", b"REQMOD"))) as server:
        assert scanned(server.icap, LARGE).verdict is ScanVerdict.CLEAN
    blocked = head(b"200 OK", b"Encapsulated: res-hdr=0, null-body=49") + PAGE
    with rogue(offering(blocked, offer=OFFER.replace(b"RESPMOD", b"REQMOD"))) as server:
        assert scanned(server.icap, b"part").signature == "blocked-by-scanner"


def test_the_tag_of_an_answer_counts_before_that_of_the_offer():
    with rogue(offering(head(b"204 N", b'ISTag: "t2"'))) as server:
        assert scanned(server.icap, b"part").version == "Rogue t2"


PREVIEW = OFFER + b"Preview: 10\r\n"


def test_what_answers_the_beginning_alone_has_seen_no_more_of_it():
    with rogue(offering(head(b"204 N"), offer=PREVIEW, preview=head(b"204 N"))) as server:
        assert scanned(server.icap, LARGE).gap is Gap.SKIPPED
        assert scanned(server.icap, b"short").verdict is ScanVerdict.CLEAN
    with rogue(offering(head(b"204 N"), offer=PREVIEW, preview=head(b"100 Continue"))) as server:
        assert scanned(server.icap, LARGE).verdict is ScanVerdict.CLEAN
    with rogue(offering(head(b"204 N"), offer=PREVIEW, preview=head(b"100 Continue") + head(b"204 N"))) as server:
        assert scanned(server.icap, LARGE).gap is Gap.GARBLED


def test_a_scanner_that_never_wants_the_rest_is_given_up():
    with rogue(offering(b"", offer=PREVIEW, preview=b"ICAP/1.0 100 Cont")) as server:
        assert scanned(server.icap, LARGE, answer=0.3).gap in {Gap.LATE, Gap.GARBLED}


def test_a_scanner_that_dies_in_the_middle_is_no_clean_part():
    def dies(came):
        said = came.recv(1_000)
        came.sendall(OFFER + b"\r\n" if said.startswith(b"OPTIONS") else b"")
        came.close()

    with rogue(dies) as server:
        assert scanned(server.icap, *[LARGE] * 20).gap is Gap.BROKEN_OFF
