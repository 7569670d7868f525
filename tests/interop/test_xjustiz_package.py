"""XJustiz as it is published, from a wheel of PyPI that carries it whole: a file name with a blank, two versions in force.

Messages made from it, and mutants of them, are judged by Xerces too; ``make compare`` does the same with thousands.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from benchmarks.compare import compared, kind_of
from hub.errors import UnknownSchema
from hub.model import MediaType, is_uri
from hub.validation.batch import FileVerdict
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.manifest import Manifest

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


@pytest.fixture(scope="module")
def imported(published, tmp_path_factory) -> tuple[Path, list[Manifest]]:
    """Two versions brought in whole: the catalogue's folder, and their manifests."""
    target = tmp_path_factory.mktemp("schemas")
    return target, [
        import_standard(
            published / f"XJustiz_{version.replace('.', '_')}_XSD", target, standard="xjustiz", version=version
        )
        for version in ("3.5.1", "3.6.2")
    ]


def test_xjustiz_is_brought_in_whole_and_each_message_judged_by_the_version_that_it_states(imported):
    target, manifests = imported
    for manifest in manifests:
        assert len(manifest.schemas) > 20
        assert all(is_uri(item.uri) for item in manifest.schemas)
        assert manifest.uri == f"urn:xoev-de:blk-ag-it-standards:standard:xjustiz_{manifest.version}"
    assert f"{manifest.uri}#xjustiz_3500_klaver%20_1_0" in {item.uri for item in manifest.schemas}
    catalog = SchemaCatalog.load(target)

    def chosen(version: str) -> str:
        data = MESSAGE.format(version).encode()
        entry = catalog.find(media_type=MediaType.XML, data=data, schema=None, service=None, on=date(2026, 11, 2))
        return entry.manifest.version

    assert [chosen(version) for version in ("3.5.1", "3.6.2")] == ["3.5.1", "3.6.2"]
    with pytest.raises(UnknownSchema, match="ambiguous"):
        chosen("3.3.1")


@pytest.mark.skipif(not shutil.which("javac"), reason="no JDK on this machine")
def test_xerces_says_the_same_of_messages_and_their_mutants(imported, jars):
    target, _ = imported
    found = compared([target], ("xjustiz", "3.6.2"), number=200, seed=7, folders=[jars], files=4)
    assert [made.how for made, each in found if each.differs and kind_of(each, made.data) is None] == []
    verdicts = Counter((each.by_schema, each.second.verdict) for _, each in found if not each.differs)
    both = {verdict: verdicts[verdict, verdict] for verdict in (FileVerdict.VALID, FileVerdict.INVALID)}
    assert min(both.values()) >= 60
    assert sum(both.values()) >= 195
    assert len({made.how for made, _ in found}) >= 12
