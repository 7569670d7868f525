"""The register of AI systems in public: ``/hub/v1/ai-systems`` for portals, ``/ai`` for people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api import etag, known_states, nothing
from hub.api.pages import page
from hub.errors import Text
from hub.services.ai_systems import AiRegister, SystemKind, as_json

#: For so long a browser may go on with an answer; the register is read at the start.
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
    "contact_email": Text("Kontakt", "Contact"),
}
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
    """Handlers of the register's public read."""

    def __init__(self, register: Callable[[], AiRegister]) -> None:
        self._register = register

    async def list(self, service: str | None = None, lang: str = "de") -> ConnexionResponse:
        """List the systems, those that take part in a service if one is named."""
        register = self._register()
        found = [as_json(each, lang) for each in register.taking_part(service)]
        body = orjson.dumps({"total": len(found), "lang": lang, "version": register.version, "systems": found})
        state = hashlib.sha256(body).hexdigest()
        headers = {**etag(state), "Cache-Control": _FRESH}
        if state in known_states():
            return nothing(304, headers)
        return ConnexionResponse(status_code=200, body=body, content_type="application/json", headers=headers)

    async def page(self, lang: str = "de") -> ConnexionResponse:
        """Show the register to people."""
        return page(_said(_TITLE, lang), "\n".join(_page(self._register(), lang)), lang)


_TITLE = Text("KI-Register – Rathaus-Hub", "Register of AI systems – Rathaus-Hub")


def _page(register: AiRegister, lang: str) -> Iterator[str]:
    systems = list(register)
    yield f"<h1>{_said(Text('KI-Register', 'Register of AI systems'), lang)}</h1>"
    other = Text('<a href="/ai?lang=en" lang="en">English</a>', '<a href="/ai?lang=de" lang="de">Deutsch</a>')
    yield f'<p>{_said(other, lang)} · <a href="/hub/v1/ai-systems?lang={lang}">JSON</a></p>'
    if not any(each.kind is SystemKind.AI_SYSTEM for each in systems):
        none = Text(
            "An den Leistungen dieses Hubs wirkt kein KI-System mit.", "No AI system takes part in this hub's services."
        )
        yield f"<p>{_said(none, lang)}</p>"
    for each in systems:
        yield from _section(as_json(each, lang), lang)


def _section(system: dict[str, Any], lang: str) -> Iterator[str]:
    """Yield one system; whatever a file says is text, never markup."""
    yield f'<section id="{escape(system["id"])}"><h2>{escape(system["name"])}</h2>'
    yield f"<p>{escape(system['description_short'])}</p><dl>"
    yield _entry(_said(Text("Art", "Kind"), lang), _said(_KINDS[system["kind"]], lang))
    yield _entry(_said(Text("Stand", "Status"), lang), _said(_STATUS[system["status"]], lang))
    yield _entry(
        _said(Text("Rolle nach der KI-Verordnung", "Role under the AI Act"), lang), _said(_ROLES[system["role"]], lang)
    )
    risk = system["riskClass"]
    yield _entry(
        _said(Text("Risikoklasse", "Risk class"), lang), f"{_said(_RISKS[risk['class']], lang)}: {risk['reason']}"
    )
    for name, label in _LABELS.items():
        if system[name]:
            yield _entry(_said(label, lang), system[name])
    for each in system["impacttoetsen"]:
        yield _entry(_said(Text("Folgenabschätzung", "Impact assessment"), lang), each)
    for each in system["versions"]:
        until = each["until"] or _said(Text("heute", "today"), lang)
        yield _entry(_said(Text("Version", "Version"), lang), f"{each['version']}: {each['since']} – {until}")
    for each in system["services"]:
        yield _entry(_said(Text("Leistung", "Service"), lang), each)
    yield "</dl></section>"


def _entry(label: str, value: str) -> str:
    return f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>"


def _said(text: Text, lang: str) -> str:
    return text.en if lang == "en" else text.de
