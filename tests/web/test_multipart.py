"""The streaming multipart parser: what it yields, what it refuses, and how little it holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Malformed, Refused, TooLarge
from hub.web.multipart import parts

TYPE = "multipart/form-data; boundary=b0undary"


def part(content: bytes, disposition: str = 'form-data; name="a"', *lines: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: {disposition}", *lines])
    return b"--b0undary\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def body(*each: bytes) -> bytes:
    return b"".join(each) + b"--b0undary--\r\n"


async def _stream(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
    yield b""


def read(data: bytes, content_type: str = TYPE, *, size: int = 65536, **caps: int) -> list[tuple]:
    async def run() -> list[tuple]:
        found = []
        async for each in parts(_stream(data, size), content_type, **caps):
            content = b"".join([chunk async for chunk in each.chunks()])
            found.append((each.name, each.filename, each.content_type, content))
        return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=a; boundary=b0undary",
        'multipart/form-data; boundary="a\r\nb"',
        "multipart/form-data; boundary=b<0>",
        "multipart/form-data; boundary*=utf-8''b0undary",
        "multipart/mixed; boundary=b0undary",
        "",
    ],
)
def test_a_boundary_that_is_missing_doubtful_or_too_long_is_refused(content_type: str):
    with pytest.raises(Malformed):
        read(body(part(b"x")), content_type)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--",
        part(b"x"),
        part(b"x") + b"--b0undary",
        part(b"x") + b"--b0undary-",
        body(part(b"x"))[:-10],
        b"--b0undary\r\nContent-Disposition: form-data; name=",
    ],
)
def test_a_body_that_breaks_off_is_refused(data: bytes):
    with pytest.raises(Malformed):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"--other\r\n\r\nx\r\n--other--\r\n",
        b"--b0undary\nContent-Disposition: form-data; name=a\n\nx\n--b0undary--\n",
        b"--b0undaryX\r\n\r\n",
        b"--b0undary\r\n\r\nno header\r\n--b0undary--\r\n",
        b"--b0undary\r\nContent-Disposition form-data\r\n\r\nx\r\n--b0undary--\r\n",
        b"--b0undary\r\n: x\r\n\r\nx\r\n--b0undary--\r\n",
        body(part(b"x", "form-data")),
        body(part(b"x", 'form-data; name=""')),
        body(part(b"x", 'attachment; name="a"')),
        body(part(b"x", 'form-data; name="a"; name="b"')),
        body(part(b"x", 'form-data; name="a"; filename="x"; filename="y"')),
        body(part(b"x", 'form-data; name="a" filename="x"')),
        body(part(b"x", 'form-data; name="a')),
        body(part(b"x", 'form-data; name="a\x00"')),
        body(part(b"x", 'form-data; name="a"', 'Content-Disposition: form-data; name="b"')),
        body(b"--b0undary\r\nContent-Disposition: form-data; name=\xff\r\n\r\nx\r\n"),
        body(part(b"x", 'form-data; name="a"', "Content-Transfer-Encoding: base64")),
    ],
)
def test_what_two_readers_could_understand_in_two_ways_is_refused(data: bytes):
    with pytest.raises(Malformed):
        read(data)


def test_nested_multipart_is_refused():
    inner = b"--i\r\nContent-Disposition: attachment; filename=x\r\n\r\nx\r\n--i--\r\n"
    with pytest.raises(Malformed):
        read(body(part(inner, 'form-data; name="files"', "Content-Type: multipart/mixed; boundary=i")))


def test_huge_and_many_headers_are_refused():
    with pytest.raises(Malformed):
        read(body(part(b"x", 'form-data; name="a"', f"X-Long: {'x' * 5000}")))
    with pytest.raises(Malformed):
        read(body(part(b"x", 'form-data; name="a"', *(f"X-{number}: 1" for number in range(9)))))
    with pytest.raises(Malformed):
        read(b"--b0undary\r\n" + b"x" * 1_000_000)
    with pytest.raises(Malformed):
        read(body(part(b"x", f'form-data; name="{"n" * 300}"')))


def test_the_part_after_the_last_allowed_one_is_refused():
    hundred = [part(b"x", f'form-data; name="{number}"') for number in range(100)]
    data = [part(b"d", 'form-data; name="data"'), part(b"m", 'form-data; name="metadata"')]
    assert len(read(body(*data, *hundred))) == 102
    with pytest.raises(TooLarge):
        read(body(*data, *hundred, part(b"one more")))
    with pytest.raises(TooLarge):
        read(body(part(b"x"), part(b"y")), cap=1)


def test_parts_come_in_order_with_their_names_types_and_contents():
    data = body(
        part(b"<a/>", 'form-data; name="data"', "Content-Type: application/xml"),
        part(b"", 'form-data; name="empty"; filename="leer.pdf"'),
        part(b"\r\n--b0undar\r\n-", "form-data; name=odd"),
    )
    assert read(data) == [
        ("data", None, "application/xml", b"<a/>"),
        ("empty", "leer.pdf", "", b""),
        ("odd", None, "", b"\r\n--b0undar\r\n-"),
    ]


def test_preamble_lines_and_padding_are_no_parts():
    assert [name for name, *_ in read(b"\r\n" + body(part(b"x")))] == ["a"]
    padded = part(b"x").replace(b"--b0undary\r\n", b"--b0undary\r\n") + b"--b0undary  \r\n" + part(b"y")[12:]
    assert [content for *_, content in read(body(padded))] == [b"x", b"y"]


def test_a_body_without_any_part_has_no_parts():
    assert read(b"--b0undary--\r\n") == []


@given(contents=st.lists(st.binary(max_size=300), max_size=4), size=st.integers(1, 400))
def test_contents_survive_any_slicing(contents: list[bytes], size: int):
    contents = [content.replace(b"b0undary", b"") for content in contents]
    assert [content for *_, content in read(body(*map(part, contents)), size=size)] == contents


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes):
    for sent in (data, body(part(data[:50]), data), b"--b0undary\r\n" + data):
        slices, whole = outcome(sent, size=7), outcome(sent, size=65536)
        assert slices == whole, "how a body arrives is nothing that a sender says"
        assert slices is Refused or all(content in sent for *_, content in slices)


def outcome(sent: bytes, *, size: int) -> list[tuple] | type[Refused]:
    try:
        return read(sent, size=size)
    except Refused:
        return Refused


@pytest.mark.parametrize(
    ("given_name", "safe"),
    [
        ('filename="Lageplan.pdf"', "Lageplan.pdf"),
        ("filename=plain.pdf", "plain.pdf"),
        (r'filename="a\"b.pdf"', 'a"b.pdf'),
        ('filename="Straße.pdf"', "Straße.pdf"),
        ('filename="Stra\u0073\u0323.pdf"', "Stra\u1e63.pdf"),
        ('filename="../../etc/passwd"', "passwd"),
        (r'filename="C:\\Users\\Erika\\plan.pdf"', "plan.pdf"),
        (r'filename="C:\Users\plan.pdf"', "plan.pdf"),
        ('filename=".htaccess"', "htaccess"),
        ('filename=".."', None),
        ('filename=""', None),
        ('filename="a/"', None),
        ('filename="\u202efdp.exe"', "fdp.exe"),
        ('filename="a\u0085b\tc.pdf"', "abc.pdf"),
        ("filename*=UTF-8''Antr%C3%A4ge%20%E2%82%AC.pdf", "Anträge €.pdf"),
        ("filename*=utf-8'de'a%2Fb%2F..%2Fc.pdf", "c.pdf"),
        ("filename*=ISO-8859-1''Grundri%DF%20M%FCller.pdf", "Grundriß Müller.pdf"),
        ("filename=\"fallback.pdf\"; filename*=UTF-8''echt.pdf", "echt.pdf"),
        (f'filename="{"x" * 300}.pdf"', "x" * 251 + ".pdf"),
        (f'filename="{"x" * 300}"', "x" * 255),
    ],
)
def test_a_file_name_becomes_safe(given_name: str, safe: str | None):
    assert read(body(part(b"x", f'form-data; name="a"; {given_name}')))[0][1] == safe


@pytest.mark.parametrize(
    "given_name",
    [
        "filename*=iso-8859-15''a%A4.pdf",
        "filename*=UTF-8''%ff.pdf",
        "filename*=plain.pdf",
        "filename*0=a; filename*1=.pdf",
        "filename*0*=UTF-8''a",
    ],
)
def test_a_file_name_in_a_form_that_readers_dispute_is_refused(given_name: str):
    with pytest.raises(Malformed):
        read(body(part(b"x", f'form-data; name="a"; {given_name}')))


def test_a_file_name_of_an_older_client_is_read_as_it_was_meant():
    raw = body(part(b"x", 'form-data; name="a"; filename="GR.pdf"')).replace(b"GR", "Grundriß €".encode("windows-1252"))
    assert read(raw)[0][1] == "Grundriß €.pdf"


@pytest.mark.parametrize(
    "name", [b'filename="a\x81.pdf"', b"filename*=iso-8859-15''a%A4.pdf", b"filename*=UTF-8''%ff.pdf"]
)
def test_a_file_name_that_nobody_can_read_is_refused_with_the_right_word(name: bytes):
    raw = body(part(b"x", 'form-data; name="a"; NAME')).replace(b"NAME", name)
    with pytest.raises(Malformed) as refused:
        read(raw)
    assert "Name einer Datei" in refused.value.detail.de
    assert "filename*=UTF-8''" in refused.value.detail.de


def test_a_part_that_nobody_reads_is_skipped():
    async def names() -> list[str]:
        data = body(part(b"x" * 200_000, 'form-data; name="one"'), part(b"y", 'form-data; name="two"'))
        return [each.name async for each in parts(_stream(data, 1000), TYPE)]

    assert asyncio.run(names()) == ["one", "two"]


def test_a_part_ends_where_it_ends_even_if_it_is_asked_again():
    async def run() -> tuple[list[bytes], list[bytes]]:
        data = body(part(b"x", 'form-data; name="one"'), part(b"y", 'form-data; name="two"'))
        each = [each async for each in parts(_stream(data, 1000), TYPE)]
        return [chunk async for chunk in each[0].chunks()], [chunk async for chunk in each[1].chunks()]

    assert asyncio.run(run()) == ([], [])


def test_only_a_slice_is_held_however_large_the_pieces_are():
    async def run() -> int:
        largest = 0
        async for each in parts(_stream(body(part(b"x" * 10_000_000)), 10_000_000), TYPE):
            async for chunk in each.chunks():
                largest = max(largest, len(chunk))
        return largest

    assert asyncio.run(run()) <= 64 * 1024


def test_the_stream_is_asked_only_for_what_is_needed():
    asked = 0

    async def counting() -> AsyncIterator[bytes]:
        nonlocal asked
        for piece in (part(b"x", 'form-data; name="one"'), part(b"y" * 10, 'form-data; name="two"'), body()):
            asked += 1
            yield piece

    async def first() -> str:
        async for each in parts(counting(), TYPE):
            return each.name
        return ""

    assert asyncio.run(first()) == "one"
    assert asked == 1


@pytest.mark.parametrize("rest", [b"", b"\r\n", b" \t\r\n", b"\r\n\r\n  \r\n", b"\n"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_blanks_behind_the_final_boundary_are_nothing(rest: bytes, size: int):
    assert [each[0] for each in read(part(b"x") + b"--b0undary--" + rest, size=size)] == ["a"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_follows_the_final_boundary_is_refused(size: int):
    more = part(b"y", 'form-data; name="b"')
    for rest in (b"\r\n" + more, more, b"\r\n" + body(more), b"\r\nepilogue", b"x", b"-", b"\r\n" * 9 + b"\0"):
        with pytest.raises(Malformed):
            read(part(b"x") + b"--b0undary--" + rest, size=size)
    with pytest.raises(Malformed):
        read(b"--b0undary--\r\n" + body(more), size=size)
