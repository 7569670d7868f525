"""clamd: what each of its answers means, and what becomes of a part when it does not answer as it should."""

from __future__ import annotations

import io
import socket
import time
import tracemalloc
import zipfile
from datetime import UTC, datetime

import pytest
from scanner_servers import FOUND, MARKER, STREAM_LIMIT, read_instream, rogue, saying

from hub.errors import ConfigurationError
from hub.scanning import Gap, ScanResult, ScanVerdict, Times, open_scanner, scanner_address, signatures_made
from hub.scanning.verdict import plain
from hub.transport.connection import dial_own


def scanner(address: str, *, most: int = 2**40, **times: float):
    return open_scanner(scanner_address(address), dial=dial_own, times=Times(**{"answer": 5.0, **times}), most=most)


def scanned(address: str, *chunks: bytes, **more) -> ScanResult:
    scan = scanner(address, **more).scan()
    for chunk in chunks:
        scan.write(chunk)
    return scan.finish()


def packed(*contents: bytes, depth: int = 1) -> bytes:
    for _ in range(depth):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, content in enumerate(contents):
                archive.writestr(f"{number}.bin", content)
        contents = (file.getvalue(),)
    return contents[0]


def test_clean_is_clean_and_says_by_which_version(clamd):
    found = scanned(clamd, b"ein Antrag")
    assert found.verdict is ScanVerdict.CLEAN
    assert found.version is not None
    assert found.version.startswith("ClamAV ")


def test_nothing_at_all_is_clean(clamd):
    assert scanned(clamd).verdict is ScanVerdict.CLEAN


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 1_000_000], ids=str)
def test_a_marker_is_found_wherever_the_chunks_are_cut(clamd, size):
    content = b"x" * 100_000 + MARKER + b"y" * 100_000 if size > 1 else MARKER
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    assert scanned(clamd, *chunks).as_json() == {"verdict": "infected", "signature": FOUND}


def test_a_marker_inside_an_archive_is_found(clamd):
    assert scanned(clamd, packed(b"clean", MARKER, depth=2)).verdict is ScanVerdict.INFECTED


def test_an_archive_that_goes_too_deep_is_not_called_clean(clamd):
    found = scanned(clamd, packed(MARKER, depth=8))
    assert found.verdict is ScanVerdict.LIMITED
    assert found.as_json()["limit"] == "MaxRecursion"


def test_a_zip_bomb_ends_at_the_scanners_limits(clamd):
    bomb = packed(*[b"\0" * 3_900_000] * 10)
    assert len(bomb) < 100_000
    assert scanned(clamd, bomb).as_json() == {"verdict": "limits-exceeded", "limit": "MaxScanSize"}
    assert scanned(clamd, packed(*[b"x"] * 60)).as_json()["limit"] == "MaxFiles"


def test_a_part_beyond_the_scanners_stream_is_beyond_a_limit_and_not_an_outage(clamd):
    found = scanned(clamd, *[b"x" * 1_000_000] * (STREAM_LIMIT // 1_000_000 + 3))
    assert found.as_json() == {"verdict": "limits-exceeded", "limit": "StreamMaxLength"}


def test_a_part_beyond_the_hubs_own_bound_is_not_sent_further(clamd):
    found = scanned(clamd, b"x" * 100, MARKER, most=110)
    assert found.as_json() == {"verdict": "limits-exceeded", "limit": "scan_bytes"}


def test_memory_does_not_grow_with_the_part(clamd):
    chunk = b"x" * 262_144
    tracemalloc.start()
    scan = scanner(clamd).scan()
    for _ in range(15):
        scan.write(chunk)
    assert scan.finish().verdict is ScanVerdict.CLEAN
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


ANSWERS = {
    "clean": (b"stream: OK\0", {"verdict": "clean"}),
    "found": (b"stream: Win.Test FOUND\0", {"verdict": "infected", "signature": "Win.Test"}),
    "an encrypted archive": (
        b"stream: Heuristics.Encrypted.Zip FOUND\0",
        {"verdict": "not-scanned", "reason": "encrypted"},
    ),
    "a limit": (
        b"stream: Heuristics.Limits.Exceeded.MaxFiles FOUND\0",
        {"verdict": "limits-exceeded", "limit": "MaxFiles"},
    ),
    "an error": (b"stream: Can't allocate memory ERROR\0", {"verdict": "not-scanned", "reason": "broken-off"}),
    "nothing": (b"", {"verdict": "not-scanned", "reason": "broken-off"}),
    "garbage": (b"\xff\xfe\x00", {"verdict": "not-scanned", "reason": "garbled"}),
    "an answer without its end": (b"stream: OK", {"verdict": "not-scanned", "reason": "garbled"}),
    "an answer that never ends": (b"stream: " + b"x" * 9_000, {"verdict": "not-scanned", "reason": "garbled"}),
    "an answer to another stream": (b"instream(127.0.0.1@9): OK\0", {"verdict": "not-scanned", "reason": "garbled"}),
    "an answer of a session": (b"2: stream: OK\0", {"verdict": "not-scanned", "reason": "garbled"}),
    "two answers": (b"stream: OK\0stream: Win.Test FOUND\0", {"verdict": "not-scanned", "reason": "garbled"}),
    "clean behind a line": (b"stream: X\nstream: OK\0", {"verdict": "not-scanned", "reason": "garbled"}),
    "a name that is markup": (
        b"stream: <img src=x onerror=alert(1)>\r\nSet-Cookie: a FOUND\0",
        {"verdict": "infected", "signature": "_img src_x onerror_alert(1)_Set-Cookie: a"},
    ),
    "a name that turns round": (
        "stream: evil\u202eexe.\x1b[2J FOUND\0".encode(),
        {"verdict": "infected", "signature": "evil_exe._2J"},
    ),
}


@pytest.mark.parametrize(("answer", "meant"), ANSWERS.values(), ids=ANSWERS)
def test_each_answer_is_one_verdict_and_only_ok_is_clean(answer, meant):
    with rogue(saying(answer)) as server:
        assert scanned(server.clamd, b"part").as_json() == meant


def test_a_version_that_cannot_be_read_costs_no_verdict():
    with rogue(saying(b"stream: OK\0", version=b"UNKNOWN COMMAND\0")) as server:
        found = scanned(server.clamd, b"part")
    assert (found.verdict, found.version) == (ScanVerdict.CLEAN, None)


def test_a_version_is_asked_for_once_a_minute():
    with rogue(saying(b"stream: OK\0")) as server:
        asked = scanner(server.clamd)
        for _ in range(3):
            scan = asked.scan()
            scan.write(b"part")
            scan.finish()
        assert server.connections == 4


def test_a_scanner_that_dies_in_the_middle_is_no_clean_part():
    def dies(came: socket.socket) -> None:
        came.recv(1000)
        came.close()

    with rogue(dies) as server:
        found = scanned(server.clamd, *[b"x" * 1_000_000] * 8)
    assert found.gap is Gap.BROKEN_OFF


def test_a_scanner_that_hangs_is_given_up_and_spared_for_a_while():
    def hangs(came: socket.socket) -> None:
        read_instream(came)
        time.sleep(2)

    with rogue(hangs) as server:
        asked = scanner(server.clamd, answer=0.2)
        first, second = asked.scan(), asked.scan()
        first.write(b"part")
        assert first.finish().gap is Gap.LATE
        second.write(b"part")
        assert second.finish().gap is Gap.UNREACHABLE


def test_a_scanner_that_answers_late_byte_by_byte_has_no_longer():
    def trickles(came: socket.socket) -> None:
        read_instream(came)
        for each in b"stream: OK\0":
            time.sleep(0.1)
            came.sendall(bytes([each]))

    with rogue(trickles) as server:
        assert scanned(server.clamd, b"part", answer=0.4).gap is Gap.LATE


def test_a_scanner_that_begins_late_is_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    asked = scanner(f"clamd://127.0.0.1:{port}", wait=0.3).scan()
    begun = time.monotonic()
    asked.write(b"part")
    assert asked.finish().gap is Gap.UNREACHABLE
    assert time.monotonic() - begun >= 0.3


def test_a_socket_that_is_missing_is_a_scanner_that_is_down(tmp_path):
    assert scanned(f"clamd:{tmp_path}/no.ctl", b"part").gap is Gap.UNREACHABLE


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]"])
@pytest.mark.parametrize("place", ["clamd://{}:80", "icap://{}:80/latest"])
def test_a_scanner_is_never_where_clouds_give_credentials(place, host, monkeypatch):
    dialled = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: dialled.append(address))
    assert scanned(place.format(host), b"part").gap is Gap.UNREACHABLE
    assert not dialled


PLACES = {
    "clamd:/run/clamav/clamd.ctl": "clamd:/run/clamav/clamd.ctl",
    "clamd://[::1]:3310": "clamd://::1:3310",
    "icap://host/avscan": "icap://host:1344/avscan",
    "icap://[::1]:13/a?mode=simple": "icap://::1:13/a?mode=simple",
}
NO_PLACES = [
    "clamd",
    "clamd:relative",
    "clamd://host",
    "clamd://host:0",
    "clamd://host:99999",
    "http://host:1/x",
    "clamd://host:1/x",
]


@pytest.mark.parametrize(("said", "meant"), PLACES.items(), ids=PLACES)
def test_a_place_is_read(said, meant):
    assert str(scanner_address(said)) == meant


@pytest.mark.parametrize(
    "said",
    [*NO_PLACES, "clamd://user@host:3310", "icap://host:1344", "icap://host:0/a", "icap://h/a\r\nb", "clamd:/a\nb"],
)
def test_what_is_no_place_is_refused(said):
    with pytest.raises(ConfigurationError):
        scanner_address(said)


def test_the_age_of_signatures_is_read_where_it_is_said():
    said = "ClamAV 1.4.2/27450/Mon Nov 30 08:33:00 2026"
    assert signatures_made(said) == datetime(2026, 11, 30, 8, 33, tzinfo=UTC)
    assert signatures_made("ClamAV 1.4.6") is None
    assert signatures_made("ClamAV 1.4.2/27450/Xyz Nov 30 08:33:00 2026") is None


def test_what_a_scanner_says_is_shown_in_plain_characters_and_never_as_nothing():
    assert plain("\x00\x07") == "_"
    assert plain(" \n ") == "_"
    assert len(plain("x" * 1000)) == 120
