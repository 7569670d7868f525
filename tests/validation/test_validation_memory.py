"""Large and strange documents in bounded memory, measured on processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hub.validation.importing import import_standard
from hub.validation.report import MIB

#: What a process may grow by while it judges: pieces of the document, names, libxml2's own state.
ROOM = 24
LARGE = 100 * MIB

TYPES = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence>
<xs:element name="p" maxOccurs="unbounded"><xs:complexType><xs:simpleContent><xs:extension base="xs:string">
<xs:attribute name="to" type="xs:IDREF"/><xs:attribute name="id" type="xs:ID"/>
</xs:extension></xs:simpleContent></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"""
CHILD = """
import resource, sys
from datetime import date
from pathlib import Path
from hub.errors import Refused
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) // 1024

def check(data):
    try:
        return catalog.check(media_type=MediaType.XML, data=data, schema=None, service=None, on=date(2026, 11, 2)).valid
    except Refused as refused:
        return type(refused).__name__

catalog = SchemaCatalog.load(Path(sys.argv[1]))
check(b"<r><p/></r>")
{body}
"""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory) -> Path:
    package, target = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("schemas")
    (package / "r.xsd").write_text(TYPES)
    import_standard(package, target, standard="r", version="1")
    return target


def child(schemas: Path, body: str, *more: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", CHILD.format(body=body), str(schemas), *more],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return run.stdout.split()


def large_document(path: Path, end: bytes) -> None:
    part = b"<p>" + b"Absatz " * 100 + b"</p>\n"
    with path.open("wb") as file:
        file.write(b"<r>")
        for _ in range((LARGE - 100) // len(part)):
            file.write(part)
        file.write(end)


JUDGED = """
data = Path(sys.argv[2]).read_bytes()
before = resident("VmRSS")
verdict = check(data)
print(verdict, resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what a process holds")
@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (b"<p></p></r>", "True"),
        (b"<q></q></r>", "False"),
        (b'<p to="nowhere"></p></r>', "False"),
        (b"<p></r>", "Malformed"),
    ],
    ids=["valid", "an unknown element at the end", "a dangling reference at the end", "malformed at the end"],
)
def test_a_document_of_100_mib_is_judged_in_bounded_memory(schemas, tmp_path, end, verdict):
    large_document(tmp_path / "large.xml", end)
    assert LARGE * 0.99 < (tmp_path / "large.xml").stat().st_size <= LARGE
    judged_as, growth = child(schemas, JUDGED, str(tmp_path / "large.xml"))
    assert judged_as == verdict
    assert int(growth) < ROOM


STRANGE = """
def strange(number, size):
    names = (b"<n%dabcdefghijklmnopqrstuvwxyz%d/>" % (number, k) for k in range(size // 45))
    return b"<r>" + b"".join(names) + b"</r>"

rounds, size = int(sys.argv[2]), int(sys.argv[3])
for number in range(rounds // 4):
    check(strange(number, size))
before = resident("VmRSS")
for number in range(rounds // 4, rounds):
    assert check(strange(number, size)) in (False, "UnknownSchema", "TooLarge", "Malformed")
print(resident("VmRSS") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what a process holds")
@pytest.mark.parametrize(("rounds", "size"), [(20, 2_000_000), (1_200, 60_000)], ids=["large", "small"])
def test_names_that_senders_invent_do_not_pile_up(schemas, rounds, size):
    # lxml would keep some 70 bytes for each name as long as the thread lives: more than 100 MB here.
    (growth,) = child(schemas, STRANGE, str(rounds), str(size))
    assert int(growth) < ROOM
