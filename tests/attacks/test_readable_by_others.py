"""Another account on the machine reads nothing of what passes through: folders 0700 and files 0600, whatever the umask."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest
from stage import NOW
from test_connector_specialist import hand_over, system  # noqa: F401
from test_connector_town import catalog, signing_pair, town, town_keys  # noqa: F401

from hub.store import Store


@pytest.fixture(autouse=True)
def careless():
    """An account whose umask takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(root):
    return {(path.is_dir(), path.stat().st_mode & 0o777) for path in root.rglob("*") if not path.is_symlink()}


PRIVATE = {(True, 0o700), (False, 0o600)}


def test_the_connectors_handed_over_contents_are_private(town):  # noqa: F811
    town.submit(attachments={uuid4(): b"%PDF"})
    assert town.start().run_once(NOW).accepted == 1
    assert modes(town.inbox) == PRIVATE


def test_what_the_specialist_system_was_handed_is_private(system):  # noqa: F811
    assert hand_over(system, uuid4()).status_code < 300
    assert modes(system.folder) == PRIVATE
    assert system.folder.stat().st_mode & 0o777 == 0o700


def test_a_database_in_a_new_folder_is_private(tmp_path):
    Store(f"sqlite:///{tmp_path / 'new' / 'hub.sqlite'}").close()
    assert modes(tmp_path) == PRIVATE
