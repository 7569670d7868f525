"""``hub portal``: the citizens' portal, an online service of its own in front of a hub; nothing of the hub itself is opened."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.model import utc_now
from hub.observability import logs

if TYPE_CHECKING:
    from hub.portal.frame import Portal
    from hub.portal.settings import PortalSettings

_NOT_STARTED = 3
_DEVELOPMENT = (
    "Entwicklungsmodus: Cookies gehen auch ohne https, nichts hier ist für echte Anträge. Für den Betrieb "
    "environment = production setzen. / Development mode: cookies travel without https, too; nothing here is for real "
    "applications. Set environment = production to operate."
)


@click.command(short_help="Bürgerportal bedienen / serve the citizens' portal.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("portal.toml"),
    show_default=True,
    help="Settings file of the portal.",
)
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
def portal(config: Path, host: str | None, port: int | None) -> None:
    """Serve the citizens' portal: forms for all services of a hub, which it asks and submits to like any online service.

    Exit codes: 0 ended as it was told to, 1 refused, 3 not available now.
    """
    from hub.portal.composition import opened
    from hub.portal.settings import PortalSettings
    from hub.web.listening import require_free_port

    settings = PortalSettings.read(config, host=host, port=port)
    level = min(logging.getLogger().level, logging.INFO if settings.log_format == "json" else logging.WARNING)
    logs.set_up(as_json=settings.log_format == "json", level=level)
    require_free_port(settings.host, settings.port)
    with opened(settings, clock=utc_now) as made:
        _announce(settings)
        _serve(settings, made)


def _announce(settings: PortalSettings) -> None:
    log = logs.starting()
    facts = {
        "hub": "portal",
        "Modus / mode": settings.environment,
        "Adresse / address": settings.public_url,
        "lauscht / listens": f"{settings.host}:{settings.port}",
        "Hub / hub": settings.hub.base_url,
    }
    log.info("%s", logs.what_runs(facts))
    if not settings.production:
        log.warning("%s", _DEVELOPMENT)


def _serve(settings: PortalSettings, made: Portal) -> None:
    import uvicorn

    from hub.api.guards import RequestLimits, Unhurried
    from hub.portal.application import build
    from hub.web.protocol import ConnectionBounds, SteadyServer, server_options

    options: dict[str, Any] = {**server_options(ConnectionBounds()), "lifespan": "on"}
    app = Unhurried(build(made), limits=RequestLimits())
    server = SteadyServer(uvicorn.Config(app, host=settings.host, port=settings.port, **options))
    # The library passes the signal on once all is over; then this process goes on to its orderly end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run()
    if not server.started:
        raise SystemExit(_NOT_STARTED)


COMMANDS = (portal,)
