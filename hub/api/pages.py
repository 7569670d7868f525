"""The landing page: what this is as one picture, and where each of its three kinds of users goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from html import escape

from connexion.lifecycle import ConnexionResponse

_PAGE = """<!doctype html>
<html lang="de">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rathaus-Hub</title>
<link rel="stylesheet" href="/admin/static/hub.css">
</head>
<body>
<header class="top"><div class="top__row"><span class="brand">Rathaus-Hub</span></div><p></p></header>
<main>
<h1>Prüfen, zuordnen, versiegeln, beweisen, zustellen</h1>
<p>Der Hub prüft Anträge gegen ihr Schema, findet die zuständige Stelle, verschlüsselt für sie und stellt
nachweisbar zu.<br>
<span class="small" lang="en">The hub checks applications against their schema, finds the responsible authority, seals
for it, and delivers with proof.</span></p>
{picture}
{groups}
</main>
<footer class="bottom">EUPL-1.2</footer>
</body>
</html>
"""
_STEPS = (
    ("prüfen", "validate"),
    ("zuordnen", "route"),
    ("versiegeln", "seal"),
    ("beweisen", "prove"),
    ("zustellen", "deliver"),
)
#: For whom, then (address, German, English) of each link.
_GROUPS = (
    (
        ("Für Onlinedienste", "for online services"),
        (
            ("/validate", "Antrag prüfen, ohne ihn einzureichen", "check an application without submitting it"),
            ("/docs", "Schnittstellen ausprobieren", "try the interfaces"),
            ("/openapi.json", "Vertrag als OpenAPI", "the contract as OpenAPI"),
            ("/hub/v1/schemas", "Schemata", "schemas"),
        ),
    ),
    (
        ("Für Fachverfahren", "for specialist systems"),
        (
            ("/v2/info", "FIT-Connect, Version 2", "FIT-Connect, version 2"),
            ("/.well-known/jwks.json", "Öffentliche Schlüssel des Hubs", "the hub's public keys"),
        ),
    ),
    (
        ("Für die Verwaltung", "for administrators"),
        (
            ("/admin", "Verwaltungsseiten", "administration pages"),
            ("/health/ready", "Betriebszustand", "health"),
        ),
    ),
)


class Pages:
    """Handler of ``/``. ``closed`` are addresses that this hub does not serve, so nothing leads there."""

    def __init__(self, *, closed: Collection[str] = ()) -> None:
        groups = "\n".join(_group(title, [link for link in links if link[0] not in closed]) for title, links in _GROUPS)
        self._page = _PAGE.format(picture=_picture(), groups=groups)

    async def home(self) -> ConnexionResponse:
        """Show the landing page."""
        return ConnexionResponse(status_code=200, body=self._page, content_type="text/html; charset=utf-8")


def _group(title: tuple[str, str], links: Iterable[tuple[str, str, str]]) -> str:
    items = "\n".join(
        f'<li><a href="{escape(path)}">{escape(de)}</a> <span class="small" lang="en">{escape(en)}</span></li>'
        for path, de, en in links
    )
    return (
        f'<section><h2>{escape(title[0])} <span class="small" lang="en">{escape(title[1])}</span></h2>\n'
        f"<ul>\n{items}\n</ul></section>"
    )


def _picture() -> str:
    """Draw the walk of an application; the style sheet colours it, in light and in dark."""
    steps = "".join(
        f'<rect x="{261 + 110 * place}" y="52" width="100" height="56" rx="4" class="walk__step"/>'
        + _label(311 + 110 * place, 76, de, 16)
        + _label(311 + 110 * place, 97, en, 13)
        for place, (de, en) in enumerate(_STEPS)
    )
    return (
        '<svg class="walk" viewBox="0 0 1060 172" role="img" aria-labelledby="walk" font-family="inherit">'
        '<title id="walk">Ein Onlinedienst reicht einen Antrag ein; der Hub prüft, ordnet zu, versiegelt, beweist und stellt '
        "dem Fachverfahren der Kommune zu; dessen Annahme oder Ablehnung kommt auf demselben Weg zurück.</title>"
        + _box(2, 172, "Onlinedienst", "online service")
        + '<rect x="240" y="14" width="582" height="146" rx="6" class="walk__hub"/>'
        + _label(531, 38, "Rathaus-Hub", 16)
        + steps
        + _box(886, 172, "Fachverfahren", "specialist system")
        + _arrow("M174 80 H238 m-8 -5 l8 5 l-8 5")
        + _arrow("M822 80 H884 m-8 -5 l8 5 l-8 5")
        + _arrow("M972 116 V130 H88 V118 m-5 8 l5 -8 l5 8")
        + _label(531, 150, "angenommen oder abgelehnt, signiert / accepted or rejected, signed", 13)
        + "</svg>"
    )


def _box(x: int, width: int, de: str, en: str) -> str:
    return (
        f'<rect x="{x}" y="44" width="{width}" height="72" rx="6" class="walk__box"/>'
        + _label(x + width // 2, 76, de, 17)
        + _label(x + width // 2, 99, en, 13)
    )


def _label(x: int, y: int, text: str, size: int) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(text)}</text>'


def _arrow(way: str) -> str:
    return f'<path d="{way}" class="walk__way"/>'
