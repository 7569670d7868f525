from __future__ import annotations

import hashlib
import resource
import threading
from pathlib import Path

import orjson
import pytest
from contract import hold, make_package, opened, sentences_for, workshop  # noqa: F401

from adapters.folder import Folder
from hub.errors import ConfigurationError
from hub.model.submission import OutcomeKind


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("sentence", sentences_for(Folder))
def test_the_folder(sentence, workshop):  # noqa: F811
    hold(sentence, Folder, workshop)


@pytest.mark.parametrize("config", [{}, {"path": 7}, {"path": "relative/place"}, {"path": None}])
def test_a_folder_needs_an_absolute_path(config):
    with pytest.raises(ConfigurationError, match="path"):
        Folder(config)


def test_a_folder_that_is_missing_stops_the_start(tmp_path):
    with pytest.raises(ConfigurationError):
        opened(Folder, {"path": str(tmp_path / "nowhere")})


def test_nothing_half_is_left_after_no_space(folder):
    adapter = opened(Folder, {"path": str(folder)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        adapter.deliver(make_package())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(folder.iterdir()) == []


def test_a_retry_clears_what_its_own_crash_left(folder):
    package = make_package()
    (folder / f".{package.delivery_id}.dead.part").mkdir()
    opened(Folder, {"path": str(folder)}).deliver(package)
    assert [entry.name for entry in folder.iterdir()] == [str(package.delivery_id)]


def test_the_manifest_names_every_file_with_its_hash(folder):
    package = make_package(attachments=3)
    opened(Folder, {"path": str(folder)}).deliver(package)
    assert_manifest_fits(folder / str(package.delivery_id), files=5)


def test_two_attempts_at_once_make_one_delivery(folder):
    adapter, package, kinds = opened(Folder, {"path": str(folder)}), make_package(attachments=5), []
    threads = [threading.Thread(target=lambda: kinds.append(adapter.deliver(package).kind)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # An attempt whose half was swept by a faster one may say "unreachable"; nobody may lie, nothing may be left.
    assert OutcomeKind.DELIVERED in kinds
    assert set(kinds) <= {OutcomeKind.DELIVERED, OutcomeKind.UNREACHABLE}
    assert [entry.name for entry in folder.iterdir()] == [str(package.delivery_id)]


def assert_manifest_fits(place: Path, *, files: int) -> None:
    """Every file beside the manifest stands in it, with its hash and size."""
    manifest = orjson.loads((place / "manifest.json").read_bytes())
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file() and path.suffix != ".json"}
    assert found == set(manifest["files"])
    assert len(found) == files
    for name, facts in manifest["files"].items():
        content = (place / name).read_bytes()
        assert (hashlib.sha512(content).hexdigest(), len(content)) == (facts["sha512"], facts["size"])
