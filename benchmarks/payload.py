"""The message that is measured with: a real XWasser report of 15 KB with its dangling references mended, if it is here.

Without the real set, the project's own building application is taken; the printout says which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from tests.shared_data import CATALOG, XWASSER

_OWN = Path(__file__).parents[1] / "schemas" / "bauantrag" / "1.0"


class _Local(etree.Resolver):  # type: ignore[misc]  # lxml's stubs know no base class
    """Finds remote schema locations among the installed files."""

    def __init__(self, installed: Path) -> None:
        self._files = {path.name: path for path in installed.rglob("*.xsd")}

    def resolve(self, url: str, _: str, context: object) -> object:
        local = self._files.get(url.rpartition("/")[2])
        return None if local is None else self.resolve_filename(str(local), context)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A document, and the schema that it keeps."""

    name: str
    standard: str
    data: bytes = field(repr=False)
    package: Path | None

    def install(self, schemas: Path, service: str) -> None:
        """Bring the schema into a data folder, serving ``service``."""
        if self.package is not None:
            import_standard(
                self.package, schemas, standard=self.standard, version="1.0", catalog=CATALOG, services=[service]
            )

    def compiled(self, schemas: Path) -> etree.XMLSchema:
        """Return the bare libxml2 schema that judges the document, compiled from the same files."""
        if self.package is None:
            return etree.XMLSchema(etree.parse(str(_OWN / "bauantrag.xsd")))
        installed = schemas / self.standard / "1.0"
        parser = etree.XMLParser()
        parser.resolvers.add(_Local(installed))
        return etree.XMLSchema(etree.parse(str(installed / "xwasser.xsd"), parser))

    def schema_uri(self, catalog: SchemaCatalog) -> str:
        """Return the URI under which the catalogue knows the schema."""
        return next(entry.uri for entry in catalog.entries() if entry.manifest.standard == self.standard)


def message() -> Message:
    """Return the message to measure with."""
    if not XWASSER.is_dir():
        return Message(name="own building application", standard="bauantrag", data=building_application(), package=None)
    folder = XWASSER / "schemas" / "V1_0_0"
    report = (XWASSER / "tests" / "quality_report_minimal.xml").read_bytes()
    return Message(
        name="XWasser quality report, references mended",
        standard="xwasser",
        data=mended(report),
        package=folder,
    )


def building_application() -> bytes:
    """Return the shipped building application as it is sent alone: without the attachment that it names."""
    example = (_OWN / "examples" / "good-einfamilienhaus.xml").read_bytes()
    return re.sub(rb"  <bau:anlage .*</bau:anlage>\n", b"", example, flags=re.DOTALL)


def mended(report: bytes) -> bytes:
    """Point the report's two dangling references at the sampling point that it describes."""
    return re.sub(rb"(<xwas:(?:objektID|probennahmestelle)>)[^<]+(</)", rb"\1probennahmestelleid1\2", report)
