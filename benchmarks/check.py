"""Validation beside the bare libraries: the same message, the same schema, in one run."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jsonschema_rs
from lxml import etree

from benchmarks import payload
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml
from hub.validation.xml.xsd import XsdSchema, XsdSource

_SCHEMAS = Path(__file__).parents[1] / "schemas"
_ROUNDS = 100
#: A schema of which every element needs a second look: references, binary data, numbers, fixed values, a wildcard.
_LOOKED_AT = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence>
<xs:element name="e" maxOccurs="unbounded"><xs:complexType><xs:sequence><xs:element name="to" type="xs:IDREF"/>
<xs:element name="data" type="xs:base64Binary"/><xs:element name="number" type="xs:double"/>
<xs:element name="on" type="xs:boolean" fixed="1"/><xs:any namespace="##other" processContents="lax" minOccurs="0"/>
</xs:sequence><xs:attribute name="id" type="xs:ID"/></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
_LOOKED_AT_ELEMENT = '<e id="i{0}"><to>i{0}</to><data>YWJjZA==</data><number>{0}.5</number><on>1</on></e>'


def run() -> dict[str, float]:
    """Measure and print; return the ratios."""
    message = payload.message()
    today = datetime.now(UTC).date()
    with tempfile.TemporaryDirectory() as folder:
        message.install(Path(folder), "urn:de:fim:leika:leistung:99012008001000")
        catalog = SchemaCatalog.load(_SCHEMAS, Path(folder))
        bare = message.compiled(Path(folder))

        def bare_xml() -> None:
            assert bare.validate(etree.fromstring(message.data))

        def hub_xml() -> None:
            report = catalog.check(media_type=MediaType.XML, data=message.data, schema=None, service=None, on=today)
            assert report.valid, report.violations

        xml = _ratio("XML", message.name, hub_xml, bare_xml, count=2_000)
    second = _second_look()
    json_ratio = _json(catalog, today)
    print()
    return {"xml_ratio": xml, "second_look_ratio": second, "json_ratio": json_ratio}


def _second_look() -> float:
    data = f"<r>{''.join(map(_LOOKED_AT_ELEMENT.format, range(120)))}</r>".encode()
    bare = etree.XMLSchema(etree.fromstring(_LOOKED_AT))
    source = XsdSource(file="r.xsd", closure=("r.xsd",), read=lambda _: _LOOKED_AT.encode(), locations={})
    schema, limits = XsdSchema(source, roots=("r",)), Limits()

    def bare_xml() -> None:
        assert bare.validate(etree.fromstring(data))

    def hub_xml() -> None:
        assert schema.check(read_xml(data, limits), limits).total == 0

    return _ratio("XML", f"a second look at every element, {len(data)} bytes", hub_xml, bare_xml, count=1_000)


def _json(catalog: SchemaCatalog, today: object) -> float:
    data = (_SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json").read_bytes()
    schema = json.loads((_SCHEMAS / "fim-wohnsitz/1.0/anmeldung.schema.json").read_bytes())
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)

    def bare_json() -> None:
        assert validator.is_valid(json.loads(data))

    def hub_json() -> None:
        assert catalog.check(media_type=MediaType.JSON, data=data, schema=None, service=None, on=today).valid  # type: ignore[arg-type]

    return _ratio("JSON", f"residence registration, {len(data)} bytes", hub_json, bare_json, count=20_000)


def _ratio(kind: str, what: str, ours: Callable[[], None], bare: Callable[[], None], *, count: int) -> float:
    """Time both in many short turns, by the thread's own CPU time, and compare their best ones: a busy machine hits both."""
    best = {ours: float("inf"), bare: float("inf")}
    for _ in range(_ROUNDS):
        for work in (bare, ours):
            started = time.thread_time()
            for _ in range(count // _ROUNDS):
                work()
            best[work] = min(best[work], (time.thread_time() - started) / (count // _ROUNDS))
    ratio = best[ours] / best[bare]
    print(
        f"check {kind}: {what}: bare {best[bare] * 1e6:.0f} µs, hub {best[ours] * 1e6:.0f} µs of CPU, ratio {ratio:.2f}"
    )
    return ratio
