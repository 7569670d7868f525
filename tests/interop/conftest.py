"""What interoperability tests of a run share: one hub, and the archive of Xerces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from maven import copied
from running_hub import RunningHub, running_hub

from hub.validation.manifest import Kind
from hub.validation.xerces import ARCHIVES


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """Give a hub that runs with demo clients and destinations, and nothing sent yet."""
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(scope="session")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with what Xerces consists of; skip where Maven or the archive cannot be had."""
    folder = tmp_path_factory.mktemp("jars")
    for archive in ARCHIVES[Kind.XSD]:
        copied(archive.coordinates, folder)
    return folder
