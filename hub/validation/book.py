"""The catalogue of the moment: read anew when its folders change, without anybody waiting for it.

A check holds the catalogue that it began with. What was accepted under a version keeps that version's reference, whatever
becomes of the version later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hub.files.watched import Lookout, stamp_of
from hub.validation.catalog import SchemaCatalog
from hub.validation.limits import Limits
from hub.validation.manifest import NAME
from hub.validation.standing import NAME as STANDING


class CatalogBook(Lookout[SchemaCatalog]):
    """Gives the catalogue; it looks at each version's manifest, and at what operators decided on them."""

    def __init__(
        self, *roots: Path, limits: Limits | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Load the catalogue.

        Raises:
            ConfigurationError: A manifest is unusable, a file is changed, or two schemas share a URI.
        """
        read = partial(SchemaCatalog.load, *roots, limits=limits)
        super().__init__(partial(_stamp, roots), read, what="the catalogue", monotonic=monotonic)


def _stamp(roots: tuple[Path, ...]) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    paths = (path for root in roots for path in [root / STANDING, *sorted(root.glob(f"*/*/{NAME}"))])
    return tuple((str(path), stamp) for path in paths if (stamp := stamp_of(path)) is not None)
