"""Pages for everybody: the landing page, and what each kind of refusal means.

The landing page shows what this is as one picture, and where each of its three kinds of users goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path

from connexion.lifecycle import ConnexionResponse

import hub
from hub.api.problems import OWN_TYPES, titles
from hub.errors import NOT_FOUND, Text, not_found
from hub.files.strict_yaml import load_yaml

_AROUND = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="/admin/static/icon.svg">
<link rel="stylesheet" href="/admin/static/hub.css">
</head>
<body>
<header class="top"><div class="top__row"><a class="brand" href="/">Rathaus-Hub</a></div><p></p></header>
<main>
{content}
</main>
<footer class="bottom">EUPL-1.2</footer>
</body>
</html>
"""
_HOME = """<h1>Prüfen, zuordnen, versiegeln, beweisen, zustellen</h1>
<p>Der Hub prüft Anträge gegen ihr Schema, findet die zuständige Stelle, verschlüsselt für sie und stellt
nachweisbar zu.<br>
<span class="small" lang="en">The hub checks applications against their schema, finds the responsible authority, seals
for it, and delivers with proof.</span></p>
{picture}
{groups}"""
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
            ("/docs", "Schnittstellen nachschlagen", "browse the interfaces"),
            ("/openapi.yaml", "Vertrag als OpenAPI (YAML)", "the contract as OpenAPI (YAML)"),
            ("/openapi.json", "derselbe als JSON", "the same as JSON"),
            ("/problems", "Was Ablehnungen bedeuten", "what refusals mean"),
            ("/hub/v1/schemas", "Schemata", "schemas"),
            ("/ai", "KI-Register", "register of AI systems"),
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
            ("/figures", "Zahlen", "figures"),
        ),
    ),
)


#: For citizens, where a portal is in front of the hub.
_CITIZENS = (("Für Bürgerinnen und Bürger", "for citizens"), ("Bürgerportal", "the citizens' portal"))


class Pages:
    """Handler of ``/``. ``closed`` are addresses that this hub does not serve; ``portal``: where citizens go, if anywhere."""

    def __init__(self, *, closed: Collection[str] = (), portal: str = "") -> None:
        citizens = ((_CITIZENS[0], ((portal, *_CITIZENS[1]),)),) if portal else ()
        groups = "\n".join(
            _group(title, [link for link in links if link[0] not in closed]) for title, links in (*citizens, *_GROUPS)
        )
        self._page = page("Rathaus-Hub", _HOME.format(picture=_picture(), groups=groups))

    async def home(self) -> ConnexionResponse:
        """Show the landing page."""
        return self._page

    async def problems(self) -> ConnexionResponse:
        """List every kind of refusal."""
        return _problem_list()

    async def problem(self, slug: str) -> ConnexionResponse:
        """Tell what one kind of refusal means, and what to do.

        Raises:
            NotFound: there is no such kind.
        """
        if slug not in titles():
            raise not_found("problem-not-found")
        return _problem_page(slug)


def page(title: str, content: str, lang: str = "de") -> ConnexionResponse:
    """Return a page for everybody in the hub's look; ``content`` is HTML, the title is not."""
    body = _AROUND.format(title=escape(title), content=content, lang=lang)
    return ConnexionResponse(status_code=200, body=body, content_type="text/html; charset=utf-8")


@cache
def explanations() -> Mapping[str, tuple[Text, Text]]:
    """Return of each kind of problem, by slug, what it means and what to do."""
    written = load_yaml((Path(hub.__file__).with_name("problems.yaml")).read_bytes())
    found = {
        slug: (Text(each["de"][0], each["en"][0]), Text(each["de"][1], each["en"][1])) for slug, each in written.items()
    }
    for slug, text in NOT_FOUND.items():
        german, english = (one.format(key="").partition(". ") for one in (text.de, text.en))
        found[slug] = (Text(f"{german[0]}.", f"{english[0]}."), Text(german[2], english[2]))
    return found


@cache
def _problem_list() -> ConnexionResponse:
    rows = "\n".join(
        f'<tr><td><a href="/problems/{slug}"><code>{slug}</code></a></td><td>{escape(title.de)}</td>'
        f'<td lang="en">{escape(title.en)}</td></tr>'
        for slug, title in sorted(titles().items())
    )
    return page(
        "Ablehnungen – Rathaus-Hub",
        "<h1>Was Ablehnungen bedeuten</h1>\n<p>Jede Ablehnung des Hubs ist ein Problemdokument (RFC 9457); ihr "
        "<code>type</code> endet mit einem dieser Namen, die sich nie ändern.<br>"
        '<span class="small" lang="en">Each refusal of the hub is a problem document (RFC 9457); its <code>type</code> ends '
        "with one of these names, which never change.</span></p>\n"
        '<table><thead><tr><th scope="col">Name</th><th scope="col">Titel</th><th scope="col" lang="en">Title</th></tr></thead>'
        f"\n<tbody>\n{rows}\n</tbody></table>",
    )


@cache
def _problem_page(slug: str) -> ConnexionResponse:
    title, (meaning, remedy) = titles()[slug], explanations()[slug]
    return page(
        f"{title.de} – Rathaus-Hub",
        f"<h1>{escape(title.de)}</h1>\n<p><code>{OWN_TYPES}{slug}</code></p>\n"
        f"<h2>Was es heißt</h2>\n<p>{escape(meaning.de)}</p>\n<h2>Was zu tun ist</h2>\n<p>{escape(remedy.de)}</p>\n"
        f'<section lang="en"><h2>{escape(title.en)}</h2>\n<h3>What it means</h3>\n<p>{escape(meaning.en)}</p>\n'
        f"<h3>What to do</h3>\n<p>{escape(remedy.en)}</p></section>\n"
        '<p><a href="/problems">Alle Ablehnungen</a> <span class="small" lang="en">all refusals</span></p>',
    )


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
    steps = _walked()
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


def _walked() -> str:
    return "".join(
        f'<rect x="{261 + 110 * place}" y="52" width="100" height="56" rx="4" class="walk__step"/>'
        + _label(311 + 110 * place, 76, de, 16)
        + _label(311 + 110 * place, 97, en, 13)
        for place, (de, en) in enumerate(_STEPS)
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
