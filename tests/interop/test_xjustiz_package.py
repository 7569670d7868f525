"""XJustiz as it is published, from a wheel of PyPI that carries it whole: a file name with a blank, two versions in force."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from datetime import date
from pathlib import Path

import pytest

from hub.errors import UnknownSchema
from hub.model import MediaType, is_uri
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard

WHEEL = "openxjv==0.9.8"
_NOT_HAD = re.compile(
    r"No matching distribution|Connection refused|Name or service not known|Network is unreachable|403|404"
)
MESSAGE = (
    '<n:nachricht.gds.basisnachricht.0005006 xmlns:n="http://www.xjustiz.de"><n:nachrichtenkopf xjustizVersion="{}"/>'
    "</n:nachricht.gds.basisnachricht.0005006>"
)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The schemas of the wheel, unpacked; skip where it cannot be had."""
    pip = shutil.which("pip3")
    if pip is None:
        pytest.skip("no pip on this machine")
    folder = tmp_path_factory.mktemp("published")
    done = subprocess.run(
        [pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, WHEEL],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode and _NOT_HAD.search(done.stderr):
        pytest.skip(f"{WHEEL} cannot be had")
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(
            folder, [name for name in archive.namelist() if re.search(r"/XJustiz_3_(5_1|6_2)_XSD/", name)]
        )
    return next(folder.glob("**/schemata"))


def test_xjustiz_is_brought_in_whole_and_each_message_judged_by_the_version_that_it_states(published, tmp_path):
    for version in ("3.5.1", "3.6.2"):
        source = published / f"XJustiz_{version.replace('.', '_')}_XSD"
        manifest = import_standard(source, tmp_path, standard="xjustiz", version=version)
        assert len(manifest.schemas) > 20
        assert all(is_uri(item.uri) for item in manifest.schemas)
        assert manifest.uri == f"urn:xoev-de:blk-ag-it-standards:standard:xjustiz_{version}"
    assert f"{manifest.uri}#xjustiz_3500_klaver%20_1_0" in {item.uri for item in manifest.schemas}
    catalog = SchemaCatalog.load(tmp_path)

    def chosen(version: str) -> str:
        data = MESSAGE.format(version).encode()
        entry = catalog.find(media_type=MediaType.XML, data=data, schema=None, service=None, on=date(2026, 11, 2))
        return entry.manifest.version

    assert [chosen(version) for version in ("3.5.1", "3.6.2")] == ["3.5.1", "3.6.2"]
    with pytest.raises(UnknownSchema, match="ambiguous"):
        chosen("3.3.1")
