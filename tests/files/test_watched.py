"""What is read anew from files goes on with the last good state, whatever its reader dies of."""

from __future__ import annotations

import pytest

from hub.errors import ConfigurationError, Text
from hub.files.watched import WatchedFile


class File:
    """A file that changes, and cannot be read as told."""

    def __init__(self):
        self.stamp = 0
        self.fault = None

    def look(self):
        if isinstance(self.fault, OSError):
            raise self.fault
        return self.stamp

    def read(self):
        if self.fault is not None:
            raise self.fault
        return self.stamp


@pytest.mark.parametrize(
    "fault", [ConfigurationError(Text("x", "x")), ValueError("x"), PermissionError("x"), RecursionError()]
)
def test_the_last_good_state_counts_on_whatever_reading_dies_of(fault):
    file, ticks = File(), [0.0]
    watched = WatchedFile(file.look, file.read, what="the file", monotonic=lambda: ticks[0])
    file.stamp, file.fault = 1, fault
    ticks[0] += 2
    assert watched() == 0
    file.stamp, file.fault = 2, None
    ticks[0] += 2
    assert watched() == 2
