"""The feed of changes: what becomes valid when, for whoever builds on the hub."""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from stage import serving

import hub
from hub.api.feed import MOST_ENTRIES, Feed

ATOM = "{http://www.w3.org/2005/Atom}"
CHANGELOG = """# Changelog

## 9.9.9

### Contract

- Numbers are numbers.

### Install

- Of interest elsewhere.

### Interfaces

- Paths end <here> & nowhere else.

## 9.9.8

- **Edge**: of before.
"""


def titles(body: bytes) -> list[str]:
    return [each.findtext(f"{ATOM}title") for each in ET.fromstring(body).iter(f"{ATOM}entry")]


@pytest.fixture
def feed(stage, tmp_path) -> Feed:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(CHANGELOG)
    return Feed(
        store=stage.hub.store,
        catalog=stage.hub.catalogs,
        activations=stage.hub.book.history,
        clock=stage.clock,
        base_url=stage.hub.base_url,
        version="9.9.9",
        changelog=changelog,
    )


def test_anybody_reads_it_in_their_language_and_again_only_if_it_changed(stage):
    with serving(stage) as served:
        del served.session.headers["Authorization"]
        german = served.get("/feed")
        assert german.status_code == 200
        assert german.headers["content-type"].startswith("application/atom+xml")
        assert "max-age" in german.headers["cache-control"]
        english = served.get("/feed", headers={"Accept-Language": "en"})
        assert served.get("/feed?lang=en").content == english.content != german.content
        unchanged = served.get("/feed", headers={"If-None-Match": german.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert served.get("/feed?lang=fr").status_code == 400
    assert any("gilt ab" in title for title in titles(german.content))
    assert any("in force from" in title for title in titles(english.content))
    assert f"Rathaus-Hub {hub.__version__}" in titles(german.content)


def test_it_tells_what_becomes_valid_when(feed, stage):
    said = {change.name: change for change in feed.changes(stage.clock())}
    for entry in stage.hub.catalog.entries():
        change = said[f"schema:{entry.manifest.standard}/{entry.manifest.version}"]
        if entry.manifest.valid_from is not None:
            assert entry.manifest.valid_from.isoformat() in change.title.en
    activation = stage.hub.book.history().items[0]
    table = said[f"table:{activation.seq}"]
    assert activation.since.isoformat()[:10] in table.title.en
    everything = " ".join(f"{each.title} {each.text}" for each in said.values())
    assert activation.reason not in everything or not activation.reason


def test_of_a_release_it_tells_what_concerns_interfaces(feed, stage):
    (release,) = [each for each in feed.changes(stage.clock()) if each.name.startswith("release:")]
    assert "Paths end <here> & nowhere else." in release.text.en
    assert "Numbers are numbers." in release.text.en
    assert "elsewhere" not in release.text.en
    assert "before" not in release.text.en
    # Since when it runs here is remembered.
    stage.clock.pass_(days=3)
    (later,) = [each for each in feed.changes(stage.clock()) if each.name.startswith("release:")]
    assert later.at == release.at


def test_it_is_made_once_a_minute_and_bounded(feed, stage, monkeypatch):
    looks = []
    plain = feed.changes

    def counted(now):
        looks.append(now)
        return [each for each in plain(now) for _ in range(MOST_ENTRIES)]

    monkeypatch.setattr(feed, "changes", counted)
    first = feed.body("de")
    assert feed.body("de") is first
    assert len(looks) == 1
    assert len(titles(first)) == MOST_ENTRIES
    stage.clock.pass_(minutes=2)
    feed.body("de")
    assert len(looks) == 2
    assert stage.clock() - looks[0] == timedelta(minutes=2)
