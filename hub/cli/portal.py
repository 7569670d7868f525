"""``hub portal``: the citizens' portal, an online service of its own in front of a hub; nothing of the hub itself is opened."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.model import LEIKA_PREFIX, utc_now
from hub.observability import logs

if TYPE_CHECKING:
    from hub.portal.frame import Portal
    from hub.portal.invitations import PortalInvitations
    from hub.portal.settings import PortalSettings

_NOT_STARTED = 3
_DEVELOPMENT = (
    "Entwicklungsmodus: Cookies gehen auch ohne https, nichts hier ist für echte Anträge. Für den Betrieb "
    "environment = production setzen. / Development mode: cookies travel without https, too; nothing here is for real "
    "applications. Set environment = production to operate."
)


_CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("portal.toml"),
    show_default=True,
    help="Settings file of the portal.",
)


@click.group(invoke_without_command=True, short_help="Bürgerportal bedienen / serve the citizens' portal.")
@_CONFIG
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.pass_context
def portal(context: click.Context, config: Path, host: str | None, port: int | None) -> None:
    """Serve the citizens' portal: forms for all services of a hub, which it asks and submits to like any online service.

    With a command nothing is served: invitations of people to what an authority has on trial are made, listed or ended.

    Exit codes: 0 ended as it was told to, 1 refused, 3 not available now.
    """
    if context.invoked_subcommand is not None:
        return
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


@portal.command()
@click.option("--service", required=True, help="Service identifier (LeiKa URN, or its key alone).")
@click.option("--ars", required=True, help="Area: beginning of an ARS, of a municipality 12 digits.")
@click.option("--days", type=click.IntRange(1, 730), default=90, show_default=True, help="How long it holds.")
@click.option("--note", default="", help="What it is for; name no person.")
@_CONFIG
def invite(service: str, ars: str, days: int, note: str, config: Path) -> None:
    """Make an invitation to a service that is on trial, and show its code once.

    The rule of the routing table has to say access = pilot, and name this portal's client among its senders (invited).
    """
    now = utc_now()
    key = f"{LEIKA_PREFIX}{service}" if service.isdigit() else service
    with _invitations(config) as book:
        made = book.make(service=key, area=ars, note=note, now=now, ends_at=now + timedelta(days=days))
    click.echo(f"{made.invitation.id}  {made.invitation.service}  {made.invitation.area}")
    click.echo(f"Code, nur jetzt zu sehen / shown only now: {made.code}")
    click.echo(f"gilt bis / holds until {made.invitation.ends_at:%Y-%m-%d}")


@portal.command("invitations")
@_CONFIG
def list_invitations(config: Path) -> None:
    """List invitations, the newest first; codes are kept nowhere."""
    now = utc_now()
    with _invitations(config) as book:
        for each in book.all():
            standing = "gilt / holds" if each.holds(now) else "beendet / ended"
            click.echo(
                f"{each.id}  {standing}  {each.ends_at:%Y-%m-%d}  {each.service}  {each.area}  {each.note}".rstrip()
            )


@portal.command()
@click.argument("invitation_id")
@_CONFIG
def uninvite(invitation_id: str, config: Path) -> None:
    """End an invitation: its code begins nothing any more. Applications that were begun with it go on."""
    with _invitations(config) as book:
        ended = book.end(invitation_id, utc_now())
    click.echo(f"{ended.id}  beendet / ended")


@contextmanager
def _invitations(config: Path) -> Iterator[PortalInvitations]:
    from hub.portal.composition import opened_database
    from hub.portal.invitations import PortalInvitations
    from hub.portal.settings import PortalSettings

    with opened_database(PortalSettings.read(config)) as database:
        yield PortalInvitations(database)


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
