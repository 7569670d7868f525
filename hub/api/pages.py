"""The landing page: what this is, and where to go."""

from __future__ import annotations

from connexion.lifecycle import ConnexionResponse

_PAGE = """<!doctype html>
<html lang="de"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rathaus-Hub</title>
<h1>Rathaus-Hub</h1>
<p>Der Hub prüft Anträge gegen ihr Schema, findet die zuständige Stelle, verschlüsselt für sie und stellt
nachweisbar zu.</p>
<p lang="en">The hub checks applications against their schema, finds the responsible authority, seals for it, and
delivers with proof.</p>
<ul>
{links}
</ul>
</html>
"""
_LINKS = (
    ("/admin", "Verwaltung / administration"),
    ("/docs", "Schnittstellen ausprobieren / try the interfaces"),
    ("/openapi.json", "OpenAPI"),
    ("/validate", "Antrag prüfen, ohne ihn einzureichen / check an application without submitting it"),
    ("/hub/v1/schemas", "Schemata / schemas"),
    ("/health/ready", "Betriebszustand / health"),
)


class Pages:
    """Handler of ``/``."""

    def __init__(self, *, docs: bool) -> None:
        links = [link for link in _LINKS if docs or link[0] not in {"/docs", "/openapi.json"}]
        self._page = _PAGE.format(links="\n".join(f'<li><a href="{path}">{text}</a></li>' for path, text in links))

    async def home(self) -> ConnexionResponse:
        """Show the landing page."""
        return ConnexionResponse(status_code=200, body=self._page, content_type="text/html; charset=utf-8")
