"""One hub for all interoperability tests of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running_hub import RunningHub, running_hub


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """Give a hub that runs with demo clients and destinations, and nothing sent yet."""
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running
