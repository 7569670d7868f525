"""The gazetteer of the moment: with the postal codes that an operator brings while the hub runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hub.areas.gazetteer import Gazetteer
from hub.files.watched import Lookout, stamp_of


class GazetteerBook(Lookout[Gazetteer]):
    """Gives the areas with the postal codes of the list ``codes``, where there is one; areas never change while the hub runs.

    A list that does not fit the areas does not stop the start: then there are no codes.
    """

    def __init__(self, areas: Gazetteer, codes: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        def read() -> Gazetteer:
            return areas.with_postal_codes(codes) if codes.is_file() else areas

        what = "postal codes (hub areas import-postal-codes)"
        super().__init__(partial(stamp_of, codes), read, what=what, otherwise=areas, monotonic=monotonic)
