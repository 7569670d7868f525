"""XML Schema 1.1: judged in a child process that can be killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hub.errors import ConfigurationError, TooLarge
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.manifest import Kind
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml
from hub.validation.xml.xsd import XsdSource
from hub.validation.xml.xsd11 import BOUNDS, Xsd11Schema, compiled_xsd11

PERIOD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t"
  elementFormDefault="qualified">
  <xs:element name="zeitraum"><xs:complexType>
    <xs:sequence><xs:element name="von" type="xs:date"/><xs:element name="bis" type="xs:date"/></xs:sequence>
    <xs:assert test="von le bis"/>
  </xs:complexType></xs:element></xs:schema>"""
MESSAGE = '<z:zeitraum xmlns:z="urn:t">\n<z:von>2026-01-01</z:von>\n<z:bis>{}</z:bis></z:zeitraum>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("package")
    (source / "zeitraum.xsd").write_text(PERIOD.replace("von le bis", "xs:date(*[1]) le xs:date(*[2])"))
    target = tmp_path_factory.mktemp("schemas")
    manifest = import_standard(source, target, standard="zeitraum", version="1")
    assert manifest.kind is Kind.XSD11
    return target


def check(folder: Path, until: str):
    return SchemaCatalog.load(folder).check(
        media_type=MediaType.XML, data=MESSAGE.format(until).encode(), schema=None, service=None, on=date(2026, 11, 2)
    )


def test_a_broken_assertion_is_a_violation_with_its_place(folder):
    report = check(folder, "2025-12-31")
    assert [violation.rule for violation in report.violations] == ["xml.assertion"]
    violation = report.violations[0]
    assert (violation.line, violation.expected) == (1, "xs:date(*[1]) le xs:date(*[2])")
    assert "zeitraum" in violation.path


def test_a_wrong_value_is_a_violation_and_is_not_repeated(folder):
    report = check(folder, "Kanarienvogel")
    assert "xml.datatype" in {violation.rule for violation in report.violations}
    assert "Kanarienvogel" not in str(report.as_json())


def test_an_assertion_that_holds_is_valid(folder):
    assert check(folder, "2026-12-31").valid


def test_a_child_that_takes_too_long_is_killed(folder):
    entry = SchemaCatalog.load(folder).entries()[0]
    slow = Xsd11Schema(
        entry.judge.source, folder=entry.folder, roots=entry.item.roots, bounds=replace(BOUNDS, seconds=0.05)
    )
    started = time.perf_counter()
    with pytest.raises(TooLarge, match="took too long"):
        slow.check(read_xml(MESSAGE.format("2026-12-31").encode(), Limits()), Limits())
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize("limit", [{"seconds": 4.0, "cpu": 600}, {"seconds": 300.0, "cpu": 3}])
def test_a_value_that_takes_years_is_given_up_within_the_limit_and_leaves_no_process_and_no_core(tmp_path, limit):
    # No package brings such a pattern past the import; the child is what stands behind it.
    pattern = (
        '<xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="(a+)+b"/></xs:restriction></xs:simpleType>'
    )
    (tmp_path / "z.xsd").write_text(
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="z">{pattern}</xs:element></xs:schema>'
    )
    source = XsdSource(file="z.xsd", closure=("z.xsd",), read=lambda name: (tmp_path / name).read_bytes(), locations={})
    schema = Xsd11Schema(source, folder=tmp_path, roots=("z",), bounds=replace(BOUNDS, **limit))
    ends: list[type[BaseException]] = []

    def judge() -> None:
        try:
            schema.check(read_xml(b"<z>" + b"a" * 60 + b"</z>", Limits()), Limits())
        except Exception as error:  # noqa: BLE001  # Whatever it is, the test names it.
            ends.append(type(error))

    started = time.monotonic()
    judging = threading.Thread(target=judge)
    judging.start()
    limits = []
    while judging.is_alive():
        limits += [found for child in _children() if (found := _limits(child))]
        time.sleep(0.05)
    assert ends == [TooLarge], ends
    # Far from what it would take, however busy the machine is.
    assert time.monotonic() - started < 100
    assert limits
    assert all(
        found["Max core file size"][:2] == ["0", "0"] for found in limits if found["Max cpu time"][0] != "unlimited"
    )
    assert any(found["Max cpu time"][0] == str(limit["cpu"]) for found in limits)
    assert not _children()


def _children() -> list[str]:
    """Return the ids of the processes in which this one has documents judged."""
    ids = [each for task in Path("/proc/self/task").iterdir() for each in _read(task / "children").decode().split()]
    return [each for each in ids if b"hub.validation.xml.xsd11" in _read(Path("/proc") / each / "cmdline")]


def _limits(child: str) -> dict[str, list[str]]:
    """Return a process's limits by name, each soft and hard; nothing of one that is gone."""
    lines = _read(Path("/proc") / child / "limits").decode().splitlines()[1:]
    return {line[:26].strip(): line[26:].split() for line in lines}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    "confine",
    [
        "from hub.validation.sandbox import confine",
        "from hub.validation.schematron.saxon import _limit_memory as confine",
    ],
)
def test_a_process_that_runs_what_others_wrote_is_not_dumped_nor_looked_into(confine):
    says = "import ctypes, resource; print(ctypes.CDLL(None).prctl(3), *resource.getrlimit(resource.RLIMIT_CORE))"
    ended = subprocess.run(
        [sys.executable, "-c", f"{confine}; confine(); {says}"], capture_output=True, text=True, check=True, timeout=300
    )
    assert ended.stdout.split() == ["0", "0", "0"]


def test_several_documents_of_a_namespace_are_read_together_and_patterns_as_by_1_0(tmp_path):
    head = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:{0}" xmlns:p="urn:p">'
    one, two = (
        f'{head.format("p")}<xs:simpleType name="{name}"><xs:restriction base="xs:string"><xs:pattern value="{pattern}"/>'
        "</xs:restriction></xs:simpleType></xs:schema>"
        for name, pattern in (("A", r"\w+"), ("B", r"[^\P{IsGreek}]"))
    )
    main = (
        f'{head.format("b")}<xs:import namespace="urn:p" schemaLocation="one.xsd"/><xs:import namespace="urn:p"'
        ' schemaLocation="two.xsd"/><xs:element name="r"><xs:complexType><xs:sequence><xs:element name="a" type="p:A"/>'
        '<xs:element name="b" type="p:B"/></xs:sequence><xs:assert test="true()"/></xs:complexType></xs:element></xs:schema>'
    )
    for name, content in (("main", main), ("one", one), ("two", two)):
        (tmp_path / f"{name}.xsd").write_text(content)
    closure = ("main.xsd", "one.xsd", "two.xsd")
    source = XsdSource(file="main.xsd", closure=closure, read=lambda name: (tmp_path / name).read_bytes(), locations={})
    schema = compiled_xsd11(source, tmp_path)
    document = '<b:r xmlns:b="urn:b"><a>{}</a><b>{}</b></b:r>'
    assert [schema.is_valid(document.format(*values)) for values in (("a$", "α"), ("a b", "α"), ("a", "b"))] == [
        *(True, False, False)
    ]
    (tmp_path / "two.xsd").write_text(two.replace('"B"', '"A"'))
    with pytest.raises(ConfigurationError, match=r"one\.xsd, two\.xsd"):
        compiled_xsd11(source, tmp_path)


def test_a_wrong_schema_is_refused_at_import(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "z.xsd").write_text(PERIOD.replace("xs:date", "Unknown"))
    with pytest.raises(ConfigurationError, match="wrong"):
        import_standard(tmp_path / "package", tmp_path / "schemas", standard="z", version="1")
