"""Schemas, code lists and business rules that vanish or break while the hub serves: no sender is told that it is at fault."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stage import Served, serving, staged
from test_validation_codelists import LIST, ROW
from test_validation_schematron import files, needs_saxon, pattern

from hub.validation.importing import import_standard
from hub.validation.manifest import NAME, read_manifest, write_manifest
from hub.validation.packages import sha256_of

CODES = "urn:t:list"
PARTS = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:p" elementFormDefault="qualified">
  <xs:simpleType name="line"><xs:restriction base="xs:string"><xs:maxLength value="9"/></xs:restriction></xs:simpleType>
  <xs:element name="note" type="xs:integer"/></xs:schema>"""
#: What is imported only judges what a lax wildcard lets in: left out in silence, the schema would accept more.
ORDER = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" elementFormDefault="qualified">
  <xs:import namespace="urn:p" schemaLocation="parts.xsd"/>
  <xs:element name="{root}"><xs:complexType><xs:sequence><xs:element name="art"><xs:complexType><xs:sequence>
    <xs:element name="code" type="xs:string" form="unqualified"/></xs:sequence>
    <xs:attribute name="listURI"/><xs:attribute name="listVersionID"/></xs:complexType></xs:element>
    <xs:any namespace="urn:p" processContents="lax"/></xs:sequence>{more}</xs:complexType></xs:element></xs:schema>"""
TOWN = (
    '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://t.example/town.json", "maxLength": 9}'
)
HOUSE = """{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://t.example/house.json",
  "type": "object", "properties": {"town": {"$ref": "https://t.example/town.json"}}}"""

JSON_HOUSE = {"schema": "https://t.example/house.json"}


def message(root: str, code: str = "A", note: str = "1") -> bytes:
    return (
        f'<t:{root} xmlns:t="urn:t" xmlns:p="urn:p"><t:art listURI="{CODES}" listVersionID="1"><code>{code}</code></t:art>'
        f"<p:note>{note}</p:note></t:{root}>"
    ).encode()


def bring_in(schemas: Path, standard: str, package: dict[str, str | bytes]) -> None:
    source = schemas.parent.parent / standard
    source.mkdir()
    for name, content in package.items():
        (source / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    import_standard(source, schemas, standard=standard, version="1")


@pytest.fixture(scope="module")
def made_with_standards(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a standard of each kind."""
    data = tmp_path_factory.mktemp("standards") / "data"
    shutil.copytree(made_once, data)
    schemas = data / "schemas"
    bring_in(schemas, "old", {"order.xsd": ORDER.format(root="order", more=""), "parts.xsd": PARTS})
    asserted = '<xs:assert test="true()"/>'
    bring_in(schemas, "new", {"order.xsd": ORDER.format(root="novel", more=asserted), "parts.xsd": PARTS})
    bring_in(schemas, "json", {"house.json": HOUSE, "town.json": TOWN})
    bring_in(schemas, "lists", {"list.xml": LIST.format(uri=CODES, version="1", rows=ROW.format("A"))})
    rules = files(
        pattern('<sch:assert id="R-1" test="art/code = \'B\'">B</sch:assert>', "t:ruled").replace("art/", "t:art/")
    )
    bring_in(schemas, "ruled", {"order.xsd": ORDER.format(root="ruled", more=""), "parts.xsd": PARTS, **rules})
    return data


@pytest.fixture
def there(made_with_standards: Path, tmp_path: Path) -> Iterator[Served]:
    with staged(made_with_standards, tmp_path) as stage, serving(stage) as served:
        yield served


def judged(served: Served, data: bytes, **where: str) -> tuple[int, dict[str, Any]]:
    kind = "application/xml" if data.startswith(b"<") else "application/json"
    answer = served.post("/hub/v1/validations", params=where, data=data, headers={"Content-Type": kind})
    return answer.status_code, answer.json()


def is_a_fault_of_the_hub(served: Served, answer: tuple[int, dict[str, Any]], *, faults: int) -> bool:
    status, problem = answer
    # Requests are counted once they are over, which the client may hear of first.
    line, until = f"hub_configuration_faults_total {faults}.0", time.monotonic() + 10
    while not (counted := line in served.stage.hub.meters.text().decode()) and time.monotonic() < until:
        time.sleep(0.01)
    return status == 503 and problem["type"] == "urn:rathaus-hub:problem:configuration" and counted


def vanish(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def break_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def let_all_pass(path: Path) -> None:
    """Another schema, which would let everything pass."""
    path.write_bytes(b"true" if path.suffix == ".json" else PARTS.replace("xs:integer", "xs:string").encode())


FAULTS = [vanish, become_a_folder, break_off, let_all_pass]
#: A file, what needs it, and how its schema is named.
NEEDED: list[tuple[str, bytes, dict[str, str]]] = [
    ("old/1/order.xsd", message("order"), {}),
    ("old/1/parts.xsd", message("order"), {}),
    ("new/1/order.xsd", message("novel"), {}),
    ("new/1/parts.xsd", message("novel"), {}),
    ("json/1/town.json", b'{"town": "T"}', JSON_HOUSE),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_schema_that_is_gone_or_another_when_it_is_needed_is_a_fault_of_the_hub(
    there: Served, fault: Callable[[Path], None]
) -> None:
    for number, (file, data, where) in enumerate(NEEDED, start=1):
        path = there.stage.data / "schemas" / file
        kept = path.rename(path.with_suffix(".kept"))
        shutil.copy(kept, path)
        fault(path)
        answer = judged(there, data, **where)
        assert is_a_fault_of_the_hub(there, answer, faults=number), (file, answer)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        kept.rename(path)
    for _, data, where in NEEDED:
        status, report = judged(there, data, **where)
        assert (status, report.get("valid")) == (200, True), report


@pytest.mark.parametrize("fault", FAULTS)
def test_a_schema_in_use_that_breaks_goes_on_judging_or_is_a_fault_of_the_hub(
    there: Served, fault: Callable[[Path], None]
) -> None:
    for _, data, where in NEEDED:
        assert judged(there, data, **where)[0] == 200
    for path in (there.stage.data / "schemas").rglob("*.*"):
        if path.suffix in (".xsd", ".json", ".xml", ".sch"):
            fault(path)
    wrong = [(message("order", note="x"), {}), (message("novel", note="x"), {}), (message("order", code="Z"), {})]
    for data, where in [*wrong, (b'{"town": "too long a name"}', JSON_HOUSE)]:
        status, body = judged(there, data, **where)
        assert (status == 200 and not body["valid"]) or (status == 503 and body["type"].endswith(":configuration")), (
            body
        )


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("lists/1/list.xml", break_off),
        ("ruled/1/rules.sch", vanish),
        (f"lists/1/{NAME}", vanish),
        (f"ruled/1/{NAME}", break_off),
    ],
)
def test_lists_and_rules_that_break_count_on_as_they_were_though_the_catalogue_is_read_anew(
    made_with_standards: Path, tmp_path: Path, file: str, fault: Callable[[Path], None]
) -> None:
    with staged(made_with_standards, tmp_path) as stage, serving(stage) as served:
        path = stage.data / "schemas" / file
        fault(path)
        # What makes the hub read its catalogue anew.
        manifest = stage.data / "schemas" / "old" / "1" / NAME
        manifest.write_bytes(manifest.read_bytes() + b"\n")
        time.sleep(1.1)  # Two looks at the catalogue are a second apart.
        status, report = judged(served, message("order", code="Z"))
        assert (status, [each["rule"] for each in report["violations"]]) == (200, ["codelist.code"])
        assert judged(served, message("ruled"))[0] == 200


@needs_saxon
@pytest.mark.parametrize(
    "rules", [b"<no", files(pattern("<sch:assert test='(('>x</sch:assert>", "t:ruled"))["rules.sch"]]
)
def test_rules_that_do_not_compile_are_a_fault_of_the_hub(
    made_with_standards: Path, tmp_path: Path, rules: bytes
) -> None:
    made = Path(shutil.copytree(made_with_standards, tmp_path / "made"))
    folder = made / "schemas" / "ruled" / "1"
    (folder / "rules.sch").write_bytes(rules)
    manifest = read_manifest(folder)
    pinned = replace(manifest, files={**manifest.files, "rules.sch": sha256_of(rules)}).pinned()
    (folder / NAME).write_text(write_manifest(pinned))
    with staged(made, tmp_path / "run") as stage, serving(stage) as served:
        assert is_a_fault_of_the_hub(served, judged(served, message("ruled")), faults=1)
        assert is_a_fault_of_the_hub(served, judged(served, message("ruled")), faults=2)
