"""The register of AI systems in public: ``/hub/v1/ai-systems`` for portals, ``/ai`` for people, and what it said before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

import anyio.to_thread
import orjson
from connexion.lifecycle import ConnexionResponse

from hub.administration.ai_versions import AiVersions
from hub.api import etag, known_states, nothing
from hub.api.pages import page
from hub.errors import Text
from hub.model.usage import ZONE
from hub.services.ai_publication import STANDARD, as_publication
from hub.services.ai_systems import ADDRESSES, AiRegister, AiSystem, SystemKind, SystemStatus, as_json, compared

#: For so long a browser may go on with an answer; a change is published by people.
_FRESH = "public, max-age=60"
#: What the page calls the members that it shows.
_LABELS = {
    "organization": Text("Stelle", "Organisation"),
    "goal": Text("Zweck", "Purpose"),
    "notice": Text("Hinweis (Artikel 50 KI-Verordnung)", "Notice (Article 50 AI Act)"),
    "human_intervention": Text("Aufsicht durch Menschen", "Human oversight"),
    "proportionality": Text("Abwägung", "Proportionality"),
    "risks": Text("Risiken", "Risks"),
    "lawful_basis": Text("Rechtsgrundlage", "Legal basis"),
    "source_data": Text("Daten", "Data"),
    "methods_and_models": Text("Verfahren", "Methods"),
    "provider": Text("Anbieter", "Supplier"),
    "begin_date": Text("In Gebrauch seit", "In use since"),
    "end_date": Text("Zurückgezogen", "Withdrawn"),
    "contact_email": Text("Kontakt", "Contact"),
    "website": Text("Mehr darüber", "More about it"),
    "url": Text("Ursprünglicher Eintrag", "Original entry"),
    "process_index_url": Text("Verarbeitungsverzeichnis", "Record of processing"),
    "publiccode": Text("Quelltext", "Source code"),
    "tags": Text("Schlagworte", "Tags"),
}
#: Lists of things that may be read elsewhere.
_GROUPS = {
    "impacttoetsen_grouping": Text("Folgenabschätzung", "Impact assessment"),
    "lawful_basis_grouping": Text("Rechtsgrundlage im Wortlaut", "Wording of the legal basis"),
    "source_data_grouping": Text("Datenquelle", "Source of data"),
}
_CATEGORIES = {
    "high-risk-ai-system": Text("Hochrisiko-KI-System", "High-risk AI system"),
    "impactful-algorithm": Text("Algorithmus mit Wirkung auf Menschen", "Algorithm with an impact on people"),
    "other-algorithm": Text("Sonstiger Algorithmus", "Other algorithm"),
}
#: Changes of one version, and versions, that the page names.
_MOST_CHANGES, _MOST_VERSIONS = 10, 50
_KINDS = {
    "ai-system": Text("KI-System", "AI system"),
    "rule-engine": Text("Regelwerk, kein KI-System", "Rule engine, no AI system"),
}
_STATUS = {
    "in-development": Text("in Entwicklung", "in development"),
    "in-use": Text("in Gebrauch", "in use"),
    "out-of-use": Text("außer Gebrauch", "out of use"),
}
_ROLES = {
    "provider": Text("Anbieter", "provider"),
    "deployer": Text("Betreiber", "deployer"),
    "provider-and-deployer": Text("Anbieter und Betreiber", "provider and deployer"),
    "none": Text("keine", "none"),
}
_RISKS = {
    "high": Text("hoch", "high"),
    "limited": Text("begrenzt", "limited"),
    "minimal": Text("minimal", "minimal"),
    "none": Text("keine", "none"),
}


class AiSystems:
    """Handlers of the register's public read. ``page_url`` is where people ask, where an entry names no contact of its own."""

    def __init__(self, book: AiVersions, *, clock: Callable[[], datetime], base_url: str) -> None:
        self._book = book
        self._clock = clock
        self._base_url = base_url

    async def list(
        self, service: str | None = None, lang: str = "de", register: int | None = None
    ) -> ConnexionResponse:
        """List the systems, those that take part in a service if one is named."""
        shown = await self._register(register)
        found = [as_json(each, lang) for each in shown.taking_part(service)]
        return _answer({"total": len(found), "lang": lang, "version": shown.version, "systems": found})

    async def publication(self, lang: str = "de") -> ConnexionResponse:
        """Return the register as the publication standard has it."""
        shown = await self._register(None)
        found = as_publication(shown, lang, contact=f"{self._base_url}/ai")
        return _answer({"standard_version": STANDARD, "version": shown.version, "algorithms": found})

    async def versions(self, lang: str = "de") -> ConnexionResponse:
        """List what was published when, the latest first, and what each changed."""
        past = await anyio.to_thread.run_sync(self._history)
        found = [
            {
                "register": number,
                "since": since.isoformat(timespec="seconds"),
                "version": version,
                "changes": [_said(line, lang) for line in lines],
            }
            for number, since, version, lines in past
        ]
        return _answer({"total": len(found), "lang": lang, "registers": found})

    async def page(self, lang: str = "de", register: int | None = None) -> ConnexionResponse:
        """Show the register to people, as it is or as it was."""
        shown, past = await self._register(register), await anyio.to_thread.run_sync(self._history)
        return page(_said(_TITLE, lang), "\n".join(_page(shown, past, register, lang)), lang)

    async def _register(self, number: int | None) -> AiRegister:
        """Return what is published, or what was; raise ``NotFound`` for what never was."""
        now = self._clock()
        if number is None:
            return self._book.active(now)
        return await anyio.to_thread.run_sync(self._book.as_published, number, now)

    def _history(self) -> Sequence[_Publication]:
        """Return of each publication number, beginning, hash and what it changed, the latest first."""
        begun = self._book.published(self._clock(), limit=_MOST_VERSIONS + 1)
        before = [*(self._book.content(each.number) for each in begun[1:]), None]
        past = []
        for each, earlier in zip(begun, before, strict=True):
            content = self._book.content(each.number)
            lines = [] if earlier is None else compared(earlier, content)[:_MOST_CHANGES]
            past.append((each.number, each.since, content.version, lines))
        return past[:_MOST_VERSIONS]


#: A publication: number, since when, the SHA-256 of its content, what it changed.
_Publication = tuple[int, datetime, str, Sequence[Text]]
_TITLE = Text("KI-Register – Rathaus-Hub", "Register of AI systems – Rathaus-Hub")


def _answer(document: dict[str, Any]) -> ConnexionResponse:
    body = orjson.dumps(document)
    state = hashlib.sha256(body).hexdigest()
    headers = {**etag(state), "Cache-Control": _FRESH}
    if state in known_states():
        return nothing(304, headers)
    return ConnexionResponse(status_code=200, body=body, content_type="application/json", headers=headers)


def _page(register: AiRegister, past: Sequence[_Publication], number: int | None, lang: str) -> Iterator[str]:
    yield f"<h1>{_said(Text('KI-Register', 'Register of AI systems'), lang)}</h1>"
    kept = "" if number is None else f"&amp;register={number}"
    yield _links(kept, lang)
    if number is not None:
        yield f'<p class="kern-alert kern-alert--warning">{_said(_EARLIER, lang).format(number=number)}</p>'
    used = [each for each in register if each.status is not SystemStatus.OUT_OF_USE]
    if not any(each.kind is SystemKind.AI_SYSTEM and each.status is SystemStatus.IN_USE for each in used):
        none = Text(
            "An den Leistungen dieses Hubs wirkt kein KI-System mit.", "No AI system takes part in this hub's services."
        )
        yield f"<p>{_said(none, lang)}</p>"
    for each in used:
        yield from _section(each, lang)
    withdrawn = [each for each in register if each.status is SystemStatus.OUT_OF_USE]
    if withdrawn:
        yield f"<h2>{_said(Text('Zurückgezogen', 'Withdrawn'), lang)}</h2>"
        yield f"<p>{_said(_STAYS, lang)}</p>"
    for each in withdrawn:
        yield from _section(each, lang)
    yield from _publications(past, lang)


def _links(kept: str, lang: str) -> str:
    other = Text(
        f'<a href="/ai?lang=en{kept}" lang="en">English</a>', f'<a href="/ai?lang=de{kept}" lang="de">Deutsch</a>'
    )
    return (
        f'<p>{_said(other, lang)} · <a href="/hub/v1/ai-systems?lang={lang}{kept}">JSON</a> · '
        f'<a href="/hub/v1/ai-systems/publication?lang={lang}">{_said(_STANDARD, lang)}</a></p>'
    )


_STANDARD = Text("Veröffentlichungsstandard 1.0", "Publication standard 1.0")
_EARLIER = Text(
    'So stand das Register in Fassung {number}. <a href="/ai?lang=de">Zur geltenden Fassung</a>',
    'This is how the register stood in version {number}. <a href="/ai?lang=en">To the present version</a>',
)
_STAYS = Text(
    "Was nicht mehr gebraucht wird, bleibt hier nachlesbar.", "What is not used any more can still be read here."
)


def _publications(past: Sequence[_Publication], lang: str) -> Iterator[str]:
    """Yield what was published when; who did it is nobody's business here."""
    yield f'<h2 id="versions">{_said(Text("Fassungen", "Versions"), lang)}</h2><ol class="trace" reversed>'
    for number, since, _, lines in past:
        at = since.astimezone(ZONE)
        named = f"{_said(Text('Fassung', 'Version'), lang)} {number}"
        yield (
            f'<li><span class="trace__at">{at:%d.%m.%Y %H:%M}</span> '
            f'<a href="/ai?lang={lang}&amp;register={number}">{named}</a>'
        )
        if lines:
            yield f'<ul class="small">{"".join(f"<li>{escape(_said(line, lang))}</li>" for line in lines)}</ul>'
        yield "</li>"
    yield "</ol>"


def _section(system: AiSystem, lang: str) -> Iterator[str]:
    """Yield one system; whatever people wrote is text, never markup."""
    said, name = as_json(system, lang), escape(system.id)
    yield f'<section id="{name}" class="card" aria-labelledby="h-{name}"><h2 id="h-{name}">{escape(said["name"])}</h2>'
    yield f'<p>{escape(said["description_short"])}</p><dl class="facts">'
    yield from _standing_of(said, lang)
    for member, label in _LABELS.items():
        if said[member]:
            yield _entry(_said(label, lang), _linked(said[member]) if member in _LINKED else escape(said[member]))
    for member, label in _GROUPS.items():
        for each in said[member]:
            yield _entry(_said(label, lang), _titled(each))
    for each in said["versions"]:
        until = each["until"] or _said(Text("heute", "today"), lang)
        yield _entry(_said(Text("Version", "Version"), lang), escape(f"{each['version']}: {each['since']} – {until}"))
    for each in said["services"]:
        yield _entry(_said(Text("Leistung", "Service"), lang), escape(each))
    yield "</dl></section>"


def _standing_of(said: Mapping[str, Any], lang: str) -> Iterator[str]:
    yield _entry(_said(Text("Art", "Kind"), lang), escape(_said(_KINDS[said["kind"]], lang)))
    yield _entry(_said(Text("Stand", "Status"), lang), escape(_said(_STATUS[said["status"]], lang)))
    yield _entry(
        _said(Text("Einordnung", "Category"), lang), escape(_said(_CATEGORIES[said["publication_category"]], lang))
    )
    yield _entry(
        _said(Text("Rolle nach der KI-Verordnung", "Role under the AI Act"), lang),
        escape(_said(_ROLES[said["role"]], lang)),
    )
    risk = said["riskClass"]
    yield _entry(
        _said(Text("Risikoklasse", "Risk class"), lang),
        escape(f"{_said(_RISKS[risk['class']], lang)}: {risk['reason']}"),
    )


_LINKED = frozenset({*ADDRESSES, "contact_email"})


def _linked(address: str) -> str:
    """Return an address as a link; only https and mail are let in where entries are read."""
    target = address if address.startswith("https:") else f"mailto:{address}"
    return f'<a href="{escape(target)}" rel="noopener noreferrer">{escape(address)}</a>'


def _titled(referred: dict[str, Any]) -> str:
    title = escape(referred["title"])
    link = referred["link"]
    return f'<a href="{escape(link)}" rel="noopener noreferrer">{title}</a>' if link else title


def _entry(label: str, value: str) -> str:
    return f"<div><dt>{escape(label)}</dt><dd>{value}</dd></div>"


def _said(text: Text, lang: str) -> str:
    return text.en if lang == "en" else text.de
