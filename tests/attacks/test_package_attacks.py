"""Packages that would take the hub's memory, its time or its files: refused by name, in a process that may be lost."""

from __future__ import annotations

import io
import os
import resource
import struct
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.errors import ConfigurationError, Malformed, Refused, TooLarge
from hub.validation.arrivals import Arrivals, Upload, Wish
from hub.validation.catalog import CatalogBook, SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.report import MIB
from hub.validation.sandbox import Bounds

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
TIGHT = Bounds(memory=300 * MIB, cpu=20, seconds=100)
HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t">'
MESSAGE = (HEAD + '<xs:element name="m" type="xs:string"/></xs:schema>').encode()
LIST = """<gc:CodeList xmlns:gc="http://docs.oasis-open.org/codelist/ns/genericode/1.0/"><Identification>
<Version>1</Version><CanonicalUri>{}</CanonicalUri></Identification><ColumnSet><Column Id="c"/>
<Key Id="k"><ColumnRef Ref="c"/></Key></ColumnSet><SimpleCodeList><Row><Value ColumnRef="c"><SimpleValue>1</SimpleValue>
</Value></Row></SimpleCodeList></gc:CodeList>"""


def doubled(steps: int, width: int = 2) -> str:
    """A schema of a few kilobytes whose content model has ``width`` to the power of ``steps`` elements."""
    groups = "".join(
        f'<xs:group name="g{n}"><xs:sequence>' + f'<xs:group ref="g{n - 1}"/>' * width + "</xs:sequence></xs:group>"
        for n in range(1, steps + 1)
    )
    first = '<xs:group name="g0"><xs:sequence><xs:element name="a" type="xs:string"/></xs:sequence></xs:group>'
    root = f'<xs:element name="m"><xs:complexType><xs:group ref="g{steps}"/></xs:complexType></xs:element>'
    return f"{HEAD}{first}{groups}{root}</xs:schema>"


def zipped(*members, **files) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*members, *files.items()]:
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def arrivals(tmp_path):
    return Arrivals(tmp_path / "arrivals", tmp_path / "schemas", catalog=CatalogBook(tmp_path / "schemas"))


def hand_in(arrivals, *uploads):
    return arrivals.receive(uploads, Wish(standard="test", version="1"), by="otto", now=NOW)


def bring(tmp_path, content, name="m.xsd", *, bounds=TIGHT):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "a.json" if name.endswith("json") else folder / "z.xsd").write_bytes(
        b"{}" if name.endswith("json") else MESSAGE.replace(b"urn:t", b"urn:other")
    )
    (folder / name).write_text(content)
    return import_standard(folder, tmp_path / "schemas", standard="test", version="1", bounds=bounds)


def nothing_left(folder: Path) -> bool:
    return not folder.exists() or not any(folder.iterdir())


def test_a_schema_that_takes_gigabytes_ends_its_own_process_and_is_named(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLarge, match=r"m\.xsd: it took more than 300 MiB of memory") as refused:
        bring(tmp_path, doubled(26))
    assert (refused.value.members["file"], refused.value.members["limit"]) == ("m.xsd", "memory")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert nothing_left(tmp_path / "schemas")


@pytest.mark.parametrize(
    "bounds", [Bounds(memory=4096 * MIB, cpu=2, seconds=100), Bounds(memory=4096 * MIB, cpu=90, seconds=3)]
)
def test_a_schema_that_takes_hours_is_given_up_and_named(tmp_path, bounds):
    with pytest.raises(TooLarge, match=r"m\.xsd: it took more than .* of processor time") as refused:
        bring(tmp_path, doubled(40), bounds=bounds)
    assert (refused.value.members["file"], refused.value.members["limit"]) == ("m.xsd", "time")
    assert nothing_left(tmp_path / "schemas")


def test_xsd_1_1_is_compiled_within_the_same_limits(tmp_path):
    conditions = (
        '<xs:element name="n"><xs:complexType><xs:assert test="true()"/></xs:complexType></xs:element></xs:schema>'
    )
    with pytest.raises(TooLarge) as refused:
        bring(
            tmp_path,
            doubled(8, 20).replace("</xs:schema>", conditions),
            bounds=Bounds(memory=300 * MIB, cpu=5, seconds=60),
        )
    assert refused.value.members["file"] == "m.xsd"


def test_a_json_schema_is_compiled_within_the_same_limits(tmp_path):
    text = '{"$schema": "https://json-schema.org/draft/2020-12/schema", "enum": [' + "[]," * 4_000_000 + "[]]}"
    with pytest.raises(TooLarge, match=r"m\.json: it took more than") as refused:
        bring(tmp_path, text, "m.json")
    assert refused.value.members["file"] == "m.json"
    assert nothing_left(tmp_path / "schemas")


def test_a_code_list_is_read_within_the_same_limits(tmp_path):
    source = tmp_path / "list.xml"
    source.write_text(LIST.format("urn:a").replace("<Row>", "<Row/>" * 1_500_000 + "<Row>"))
    with pytest.raises(TooLarge, match=r"list\.xml: it took more than") as refused:
        import_standard(
            source,
            tmp_path / "schemas",
            standard="t",
            version="1",
            bounds=Bounds(memory=200 * MIB, cpu=20, seconds=100),
        )
    assert refused.value.members["file"] == "list.xml"


def test_the_process_finds_no_environment_and_leaves_no_core(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'seen')!r}, 'w').close()")
    (tmp_path / "m.xsd").write_bytes(MESSAGE)
    import_standard(tmp_path / "m.xsd", tmp_path / "schemas", standard="t", version="1")
    assert not (tmp_path / "seen").exists()


ODD_NAMES = {
    "climbs": ["../m.xsd"],
    "climbs in the middle": ["a/../../m.xsd"],
    "is absolute": ["/m.xsd"],
    "has a drive": ["C:/m.xsd"],
    "has a drive and no folder": ["c:m.xsd"],
    "has a backslash": ["a\\m.xsd"],
    "has a line break": ["a\nb.xsd"],
    "has a carriage return in a folder": ["a\r/b.xsd"],
    "has a bell": ["a\x07.xsd"],
    "has an escape in a file that is passed over": ["a\x1b.pdf"],
    "has a line separator": ["a\u2028b.xsd"],
    "turns the direction of writing": ["a\u202edsx.xsd"],
    "is too long": ["a" * 252 + ".xsd"],
    "is too long in bytes": ["ä" * 126 + ".xsd"],
    "has a folder that is too long": ["a" * 256 + "/m.xsd"],
    "is too long as a whole": ["/".join(["a" * 200] * 6) + "/m.xsd"],
    "lies too deep": ["a/" * 2_000 + "m.xsd"],
    "lies a little too deep": ["a/" * 40 + "m.xsd"],
    "is a file and a folder": ["a.xsd", "a.xsd/b.xsd"],
    "is a folder and a file": ["a.xsd/b.xsd", "a.xsd"],
    "is a file and a folder further up": ["a.xsd/b/c/d.xsd", "a.xsd"],
    "is a file that is passed over and a folder": ["a", "a/b.xsd"],
    "is a file and a folder in another case": ["A.xsd", "a.XSD/b.xsd"],
    "stands there twice in another case": ["a.xsd", "A.xsd"],
    "stands there twice in another composition": ["\u00e4.xsd", "a\u0308.xsd"],
    "stands there twice by a dot": ["a/b.xsd", "a/./b.xsd"],
    "stands there twice by a slash": ["a/b.xsd", "a//b.xsd"],
    "takes the manifest's place": ["catalog.yaml/m.xsd"],
    "takes the place of the table of identifiers": ["identifiers.json/m.xsd"],
}
IDENTIFIED = MESSAGE.replace(b'type="xs:string"', b'type="xs:ID"')


def as_zip(names):
    return [Upload(name="p.zip", content=zipped(("m.xsd", MESSAGE), *((name, IDENTIFIED) for name in names)))]


def as_folder(names):
    return [Upload(name=name, content=IDENTIFIED) for name in ("m.xsd", *names)]


@pytest.mark.parametrize("how", [as_zip, as_folder])
@pytest.mark.parametrize("names", ODD_NAMES.values(), ids=ODD_NAMES)
def test_an_odd_name_is_refused_by_name_and_leaves_nothing(arrivals, tmp_path, names, how):
    with pytest.raises(Malformed) as refused:
        hand_in(arrivals, *how(names))
    assert "Benennen oder entfernen" in refused.value.detail.de
    assert "Rename or remove" in refused.value.detail.en
    assert "\n" not in refused.value.detail.de
    assert len(refused.value.detail.en) < 400
    assert nothing_left(tmp_path / "arrivals")
    assert nothing_left(tmp_path / "schemas")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(arrivals):
    with pytest.raises(Malformed, match="stands there twice"):
        hand_in(arrivals, Upload(name="p.zip", content=zipped(("m.xsd", MESSAGE), ("m.xsd", IDENTIFIED))))
    with pytest.raises(Malformed, match="stands there twice"):
        hand_in(arrivals, Upload(name="m.xsd", content=MESSAGE), Upload(name="m.xsd", content=IDENTIFIED))


def test_a_name_that_ends_in_the_middle_is_refused(arrivals):
    packed = zipped(("m.xsd", MESSAGE), ("n.xsd_x", MESSAGE)).replace(b"n.xsd_x", b"n.xsd\0x")
    with pytest.raises(Malformed, match="control characters"):
        hand_in(arrivals, Upload(name="p.zip", content=packed))


@pytest.mark.parametrize(
    "name",
    [
        "urn:beispiel:kanal_1.xsd",
        "Schemata (gültig)/m.xsd",
        "a b.xsd",
        "straße.xsd",
        "強.xsd",
        "a/b/c/d/e/f.xsd",
        "it's.xsd",
    ],
)
def test_names_with_colons_blanks_and_letters_of_any_script_are_taken(arrivals, name):
    arrival = hand_in(arrivals, Upload(name="p.zip", content=zipped((name, MESSAGE))))
    assert list(arrival.manifest.files) == [name]
    arrivals.admit(arrival.arrival_id)


def test_an_encrypted_member_is_refused_by_name(arrivals):
    packed = bytearray(zipped(("m.xsd", MESSAGE)))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.find(mark) + offset] |= 1
    with pytest.raises(Malformed, match=r"encrypted: 'm\.xsd'"):
        hand_in(arrivals, Upload(name="p.zip", content=bytes(packed)))


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_packed_by_what_cannot_be_bounded_is_refused_by_name(arrivals, packing):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        archive.writestr("m.xsd", MESSAGE)
    with pytest.raises(Malformed, match=r"packed otherwise than by Deflate: 'm\.xsd'"):
        hand_in(arrivals, Upload(name="p.zip", content=packed.getvalue()))


def test_a_small_member_that_unpacks_to_megabytes_is_refused_by_name(arrivals):
    packed = zipped(("m.xsd", MESSAGE), ("n.xsd", b" " * 8 * MIB))
    with pytest.raises(TooLarge, match=r"'n\.xsd' unpacks to more than"):
        hand_in(arrivals, Upload(name="p.zip", content=packed))


def test_what_unpacks_to_more_than_it_says_is_refused(arrivals, tmp_path):
    packed = bytearray(zipped(("m.xsd", MESSAGE), ("n.xsd", os.urandom(1000) * 3)))
    at = packed.rfind(b"PK\x01\x02")
    packed[at + 24 : at + 28] = struct.pack("<I", 1000)
    with pytest.raises(Malformed, match="not a readable ZIP"):
        hand_in(arrivals, Upload(name="p.zip", content=bytes(packed)))
    assert nothing_left(tmp_path / "arrivals")


def test_an_archive_of_very_many_members_is_refused_whatever_they_are(arrivals):
    packed = zipped(("m.xsd", MESSAGE), *((f"{number}.pdf", b"") for number in range(20_001)))
    with pytest.raises(TooLarge, match="too large"):
        hand_in(arrivals, Upload(name="p.zip", content=packed))


@pytest.mark.parametrize("cut", [10, 100, -30, -1])
def test_a_broken_archive_is_refused(arrivals, tmp_path, cut):
    with pytest.raises(Malformed, match="not a readable ZIP"):
        hand_in(arrivals, Upload(name="p.zip", content=zipped(("m.xsd", MESSAGE))[:cut]))
    assert nothing_left(tmp_path / "arrivals")


def test_a_link_to_a_folder_is_refused(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "m.xsd").write_bytes(MESSAGE)
    (tmp_path / "package" / "more").symlink_to("/etc")
    with pytest.raises(Malformed, match="link: 'more'"):
        import_standard(tmp_path / "package", tmp_path / "schemas", standard="t", version="1")


@pytest.mark.parametrize(
    "text",
    [
        '{"$schema": "https://json-schema.org/draft/2020-12/schema", "not": ' + '{"not": ' * 600 + "{}" + "}" * 601,
        '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#"}',
        '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "http://127.0.0.1:9/x"}',
        "[" * 100_000,
    ],
    ids=["deep", "itself", "elsewhere", "brackets"],
)
def test_a_hostile_json_schema_is_a_refusal_or_a_schema(tmp_path, text):
    with suppress(Refused, ConfigurationError):
        bring(tmp_path, text, "m.json")
    assert nothing_left(tmp_path / "schemas") or SchemaCatalog.load(tmp_path / "schemas").entries()


def test_rules_of_the_operators_own_do_not_replace_those_of_the_package(tmp_path):
    rules = '<schema xmlns="http://purl.oclc.org/dsdl/schematron" queryBinding="xslt2"/>'
    folder = tmp_path / "package"
    (folder / "own-rules").mkdir(parents=True)
    (folder / "m.xsd").write_bytes(MESSAGE)
    (folder / "own-rules" / "r.sch").write_text(rules)
    (tmp_path / "r.sch").write_text(rules)
    with pytest.raises(Malformed, match="twice"):
        import_standard(folder, tmp_path / "schemas", standard="t", version="1", rules=[tmp_path / "r.sch"])
