"""Attacks by a table of authorities: its cells name files, and whoever wrote it is not who runs the command."""

from __future__ import annotations

import os

import pytest

from hub.administration.onboarding_plans import LARGEST_FILE
from hub.cli.onboarding import files_of
from hub.errors import Invalid


@pytest.fixture
def read(tmp_path):
    (tmp_path / "table").mkdir()
    (tmp_path / "secret.key").write_bytes(b"secret")
    (tmp_path / "table/keys").mkdir()
    (tmp_path / "table/keys/own.jwk").write_bytes(b"{}")
    return files_of(tmp_path / "table")


def test_files_beside_the_table_and_below_it_are_read(read, tmp_path):
    (tmp_path / "table/other.jwk").symlink_to(tmp_path / "table/keys/own.jwk")
    assert [read(name) for name in ("keys/own.jwk", "./keys/../keys/own.jwk", "other.jwk")] == [b"{}"] * 3


@pytest.mark.parametrize(
    "name", ["../secret.key", "keys/../../secret.key", "link.jwk", "", ".", "keys", "gone.jwk", "a\0b"]
)
def test_attack_of_a_cell_that_leads_out_of_the_tables_folder_nothing_is_read(read, tmp_path, name):
    (tmp_path / "table/link.jwk").symlink_to(tmp_path / "secret.key")
    with pytest.raises(Invalid, match="table's folder"):
        read(name)


def test_attack_of_a_cell_with_a_whole_path_nothing_is_read(read, tmp_path):
    for name in (str(tmp_path / "secret.key"), "/etc/passwd", "/dev/zero", "/proc/self/environ"):
        with pytest.raises(Invalid, match="table's folder"):
            read(name)


def test_attack_of_a_pipe_in_the_folder_nobody_waits_for_it(read, tmp_path):
    os.mkfifo(tmp_path / "table/pipe.jwk")
    with pytest.raises(Invalid, match="table's folder"):
        read("pipe.jwk")


def test_attack_of_a_file_without_end_no_more_is_read_than_tells_that_it_is_too_large(read, tmp_path):
    with (tmp_path / "table/large.jwk").open("wb") as stream:
        stream.truncate(1 << 40)
    assert len(read("large.jwk")) == LARGEST_FILE + 1
