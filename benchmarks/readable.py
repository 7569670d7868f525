"""What a page for clerks costs at the plain door (``readable: html``): CPU of an accept without it and with it, by turns.

In one process, without HTTP: two hubs on databases of their own take the same application, so many in a row, in turns; CPU is
that of the whole process until all are stored.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from hub import app
from hub.app import Context
from hub.config import load_settings
from hub.demo.cast import prepare
from hub.model import Application, Cover, MediaType
from hub.resources import shipped

_SERVICE = "urn:de:fim:leika:leistung:99115005104000"
_WIESBADEN = "064140000000"
_CITY = UUID("7b1c9e04-2d58-4c7a-8f31-5a9e0c406414")
#: Of the version before, and read as the one that has a form.
_EXAMPLE = "schemas/fim-wohnsitz/1.0/examples/good-umzug.json"
_PAIRS, _EACH = 9, 40


def run() -> dict[str, Any]:
    """Measure and print; return the figures."""
    data = shipped(_EXAMPLE).read_bytes().replace(b"/fim-wohnsitz/1.0/", b"/fim-wohnsitz/1.2/")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bare, drawn = (
            stack.enter_context(_hub(Path(folder) / (name or "bare"), readable=name)) for name in ("", "html")
        )
        for hub in (bare, drawn):
            _cpu(hub, data, _EACH)  # Warm: schemas, keys, the questionnaire.
        pairs = [(_cpu(bare, data, _EACH), _cpu(drawn, data, _EACH)) for _ in range(_PAIRS)]
    off, on = (statistics.median(each) for each in zip(*pairs, strict=True))
    more = statistics.median(after - before for before, after in pairs)
    print(f"readable: {Path(_EXAMPLE).name}, {len(data)} bytes, in process, {_PAIRS} pairs of {_EACH}")
    print(f"  accept CPU each  without {off:.2f} ms, with a page {on:.2f} ms: {more:+.2f} ms\n")
    return {"accept_bare_cpu_ms": off, "accept_readable_cpu_ms": on}


@contextmanager
def _hub(data: Path, *, readable: str) -> Iterator[Context]:
    hub = app.build(load_settings(data, {}, disk_watermark_bytes=0))
    try:
        prepare(hub, say=lambda _: None)
        parties = hub.store.parties
        stored = parties.destination(_CITY)
        assert stored is not None
        wish = {"readable": readable} if readable else {}
        parties.replace_destination(replace(stored, adapter="mailbox", adapter_config=wish))
        yield hub
    finally:
        hub.close()


def _cpu(hub: Context, data: bytes, count: int) -> float:
    """Return the milliseconds of CPU that one accept takes, of ``count`` in a row."""
    cover = Cover(sender="bench", service=_SERVICE, area=_WIESBADEN)
    application = Application(cover=cover, media_type=MediaType.JSON, data=data)
    begun = time.process_time()
    accepted = [hub.intake.accept(application, now=hub.clock()) for _ in range(count)]
    for each in accepted:
        each.result(30)
    return (time.process_time() - begun) * 1000 / count
