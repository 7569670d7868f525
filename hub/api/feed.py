"""``/feed``: what changes for those who build on the hub, as an Atom feed (RFC 4287).

The release that runs here, with what its changelog says of interfaces; the versions of the schema catalogue, with the days from
and until which they hold; the activations of routing tables, past and to come. So the feed is a calendar, too: what becomes
valid when. Who changed something and why is nobody's business here.

Anybody may ask, so it is made at most once a minute for each language, and it is bounded.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape

from connexion.lifecycle import ConnexionResponse

from hub.api.operations import etag, known_states, visit
from hub.api.problems import preferred_language
from hub.api.threads import in_thread
from hub.errors import Text
from hub.model import EVERYTHING
from hub.resources import shipped
from hub.store import Activation, Page, Store
from hub.validation.catalog import SchemaCatalog
from hub.validation.manifest import Manifest

MEDIA_TYPE = "application/atom+xml"
MOST_ENTRIES = 100
#: A feed is made anew after this …
_FRESH = timedelta(minutes=1)
#: … and readers may keep it for so many seconds.
_KEPT = 300
#: The setting of the store that says since when a release runs here; a changelog has no dates.
_SINCE = "release-since:"
#: A changelog speaks of interfaces in a section of one of these names, or in points that begin with one.
_OF_INTERFACES = frozenset({"API", "Contract", "Edge", "Interfaces", "Refusals", "Schnittstellen", "Wire"})
_POINT = re.compile(r"^- \*\*(?P<about>[^*]+)\*\*(?P<rest>.*?)(?=^- |^#|\Z)", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^### (?P<about>[^\n]+)(?P<rest>\n.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_RELEASE = re.compile(r"^## (?P<version>\S+).*?\n(?P<points>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
#: What XML 1.0 has no place for.
_NO_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_LONGEST = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedEntry:
    """One entry; ``name`` stays the same for as long as it is about the same thing, ``path`` is where it can be looked at."""

    name: str
    at: datetime
    title: Text
    text: Text
    path: str


class Feed:
    """Handler of ``/feed``."""

    def __init__(
        self,
        *,
        store: Store,
        catalog: Callable[[], SchemaCatalog],
        activations: Callable[..., Page[Activation]],
        clock: Callable[[], datetime],
        base_url: str,
        version: str,
        changelog: Path | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._activations = activations
        self._clock = clock
        self._base_url = base_url
        self._version = version
        self._changelog = changelog or shipped("CHANGELOG.md")
        self._lock = threading.Lock()
        self._made: dict[str, tuple[datetime, bytes]] = {}

    async def show(self, lang: str | None = None) -> ConnexionResponse:
        """Show the feed in the language that is asked for; 304 to who has it."""
        language = lang or preferred_language(visit().scope["headers"])
        body = await in_thread(self.body, language)
        state = sha256(body).hexdigest()[:32]
        headers = {**etag(state), "Cache-Control": f"public, max-age={_KEPT}", "Vary": "Accept-Language"}
        if state in known_states():
            return ConnexionResponse(status_code=304, headers=headers)
        headers["Content-Language"] = language
        return ConnexionResponse(status_code=200, body=body, content_type=MEDIA_TYPE, headers=headers)

    def body(self, language: str) -> bytes:
        """Return the Atom document (RFC 4287) in German (``de``) or English (``en``), made anew once a minute."""
        with self._lock:
            now = self._clock()
            known = self._made.get(language)
            if known is None or not timedelta() <= now - known[0] < _FRESH:
                changes = sorted(self.changes(now), key=lambda each: (each.at, each.name), reverse=True)[:MOST_ENTRIES]
                known = self._made[language] = (now, self._written(changes, language, now))
            return known[1]

    def changes(self, now: datetime) -> Iterator[FeedEntry]:
        """Yield everything there is to tell, in no order."""
        since = self._since(now)
        yield from self._release(since)
        manifests = {
            (each.manifest.standard, each.manifest.version): each.manifest for each in self._catalog().entries()
        }
        admitted = self._admitted()
        for key, manifest in manifests.items():
            yield _of_schema(manifest, admitted.get("/".join(key), since))
        for activation in self._activations(limit=MOST_ENTRIES).items:
            yield _of_table(activation)

    def _since(self, now: datetime) -> datetime:
        """Return since when this release runs here: since it was first asked."""
        name = f"{_SINCE}{self._version}"
        known = self._store.settings.value(name)
        if known is None:
            known = now.astimezone(UTC).isoformat(timespec="seconds")
            self._store.settings.set(name, known)
        return datetime.fromisoformat(known)

    def _release(self, since: datetime) -> Iterator[FeedEntry]:
        text = self._changelog.read_text(encoding="utf-8") if self._changelog.is_file() else ""
        found = next((each for each in _RELEASE.finditer(text) if each["version"] == self._version), None)
        said = "" if found is None else _of_interfaces(found["points"])
        yield FeedEntry(
            name=f"release:{self._version}",
            at=since,
            title=Text(f"Rathaus-Hub {self._version}", f"Rathaus-Hub {self._version}"),
            text=Text(
                f"Dieser Hub läuft mit Version {self._version}. {said}".strip(),
                f"This hub runs version {self._version}. {said}".strip(),
            ),
            path="/openapi.json",
        )

    def _admitted(self) -> dict[str, datetime]:
        """Return when versions of schemas came into the catalogue, or their standing changed, by ``STANDARD/VERSION``."""
        found = self._store.audit.entries(
            scope=EVERYTHING, action="schema.", limit=MOST_ENTRIES, newest_first=True
        ).items
        return {each.entry.target.removeprefix("schema:"): each.entry.at for each in reversed(found)}

    def _written(self, changes: list[FeedEntry], language: str, now: datetime) -> bytes:
        title = Text("Änderungen dieses Hubs", "Changes of this hub")
        updated = max((each.at for each in changes), default=now)
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="{language}">',
            f"<id>{_name(self._base_url, 'feed')}</id>",
            f"<title>{_plain(getattr(title, language))}</title>",
            f"<updated>{_moment(updated)}</updated>",
            f"<author><name>{_plain(self._base_url)}</name></author>",
            f'<link rel="self" type="{MEDIA_TYPE}" href="{_plain(self._base_url)}/feed"/>',
        ]
        for each in changes:
            lines += self._entry(each, language)
        return "\n".join([*lines, "</feed>", ""]).encode()

    def _entry(self, each: FeedEntry, language: str) -> list[str]:
        return [
            "<entry>",
            f"<id>{_name(self._base_url, each.name)}</id>",
            f"<title>{_plain(getattr(each.title, language))}</title>",
            f"<updated>{_moment(each.at)}</updated>",
            f'<link rel="alternate" href="{_plain(self._base_url + each.path)}"/>',
            f'<content type="text">{_plain(getattr(each.text, language))}</content>',
            "</entry>",
        ]


def _of_interfaces(points: str) -> str:
    """Return what a release's part of the changelog says of interfaces."""
    sections = [each for each in _SECTION.finditer(points) if each["about"].strip() in _OF_INTERFACES]
    beside = _SECTION.sub("", points)
    found = [*sections, *(each for each in _POINT.finditer(beside) if each["about"].strip(" :") in _OF_INTERFACES)]
    return "\n".join(f"{each['about']}{each['rest']}".strip() for each in found)[:_LONGEST]


def _of_schema(manifest: Manifest, at: datetime) -> FeedEntry:
    name = f"{manifest.standard} {manifest.version}"
    de, en = [f"Status {manifest.status.value}"], [f"status {manifest.status.value}"]
    if manifest.valid_from is not None:
        de.append(f"gilt ab {manifest.valid_from:%d.%m.%Y}")
        en.append(f"valid from {manifest.valid_from.isoformat()}")
    if manifest.valid_until is not None:
        de.append(f"gilt bis {manifest.valid_until:%d.%m.%Y}")
        en.append(f"valid until {manifest.valid_until.isoformat()}")
    return FeedEntry(
        name=f"schema:{manifest.standard}/{manifest.version}",
        at=at,
        title=Text(f"Schema {name}: {', '.join(de)}", f"Schema {name}: {', '.join(en)}"),
        text=Text(f"Im Katalog: {name}, {', '.join(de)}.", f"In the catalogue: {name}, {', '.join(en)}."),
        path=f"/hub/v1/schemas?standard={manifest.standard}",
    )


def _of_table(activation: Activation) -> FeedEntry:
    called_off, since = activation.cancelled_at, activation.since.astimezone(UTC)
    at = called_off or activation.made_at
    when_de = f"{since:%d.%m.%Y %H:%M} UTC" if since.time() != time() else f"{since:%d.%m.%Y}"
    when_en = since.isoformat(timespec="minutes")
    de = f"Zuständigkeitstabelle {activation.number} gilt ab {when_de}"
    en = f"Routing table {activation.number} is in force from {when_en}"
    if called_off is not None:
        de, en = f"Abgesagt: {de}", f"Called off: {en}"
    return FeedEntry(
        name=f"table:{activation.seq}",
        at=at,
        title=Text(de, en),
        text=Text(f"{de}.", f"{en}."),
        path="/hub/v1/areas",
    )


def _name(base_url: str, name: str) -> str:
    """Return an entry's id: the same for all nodes, and for as long as the hub has its address (RFC 4287, section 4.2.6)."""
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{base_url}/feed#{name}')}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(text: str) -> str:
    return escape(_NO_XML.sub(" ", text), {'"': "&quot;"})
