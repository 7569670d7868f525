"""Where the real data lie that some tests read; they are skipped, saying so, in a clone that does not have them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"
XWASSER = SHARED / "xoev" / "xwasser-1.0"
XBAU = SHARED / "xoev" / "xbau-2.6"
CATALOG = SHARED / "xoev" / "catalog.json"

needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="real XÖV sets and messages are not here (../shared/data)"
)
