"""Nothing is kept for ever: whatever grows with what is sent, asked or changed has an end."""

from __future__ import annotations

import json
from datetime import date, timedelta
from types import SimpleNamespace
from uuid import uuid4

from stage import NOW

from hub.api.fit_connect import destinations
from hub.api.fit_connect.destinations import Quota
from hub.fit_connect import addressing
from hub.fit_connect.addressing import AddressBook
from hub.model.submission import MediaType
from hub.observability.metrics import Meters


def test_callers_beyond_a_number_share_one_count_until_the_window_ends():
    quota = Quota(limit=3)
    for number in range(destinations.MOST_CALLERS + 100):
        quota.take(f"2001:db8::{number:x}", NOW)
    assert len(quota.counts) <= destinations.MOST_CALLERS + 1
    assert quota.take("2001:db8::0", NOW).remaining == 1
    assert quota.take("another", NOW).remaining < 0
    assert quota.take("another", NOW + timedelta(minutes=1)).remaining == 2


def test_signatures_of_destinations_that_come_and_go_are_not_kept_for_ever(stage):
    class Signing:
        def __getattr__(self, name):
            return getattr(stage.hub.keys, name)

    settings: dict[str, str] = {}

    class Settings:
        def value(self, name):
            return settings.get(name)

        def set(self, name, value):
            settings[name] = value

    book = AddressBook(store=SimpleNamespace(settings=Settings()), keys=Signing(), base_url="https://hub.example.org")
    for _ in range(addressing.MOST_KEPT + 10):
        book._once(str(uuid4()), {"a": 1}, lambda: "signature")
    assert len(book.kept) <= addressing.MOST_KEPT


def test_what_payloads_say_of_themselves_at_length_is_not_remembered(stage):
    catalog = stage.hub.catalog
    uri = next(uri for uri in catalog.uris() if "wohnsitz" in uri)
    before = len(catalog.chosen)
    for number in range(50):
        data = json.dumps({"$schema": f"urn:{number}:" + "x" * 100_000}).encode()
        catalog.check(media_type=MediaType.JSON, data=data, schema=uri, service=None, on=date(2026, 11, 20))
    assert len(catalog.chosen) == before


def test_labels_of_a_meter_end():
    meters = Meters()
    for number in range(5_000):
        meters.refused(f"slug-{number}")
        meters.attempted(adapter=f"adapter-{number}", outcome="delivered", took=timedelta(seconds=1))
    assert len(meters.text().splitlines()) < 6_000
