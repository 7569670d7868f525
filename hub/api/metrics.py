"""``/metrics``: the hub's numbers for Prometheus, for whom the operator allows it."""

from __future__ import annotations

from ipaddress import ip_address

from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.api.threads import in_thread
from hub.errors import NotFound, Text
from hub.jobs.gauges import Gauges
from hub.observability.metrics import Meters

#: The format that every version of Prometheus reads.
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
#: Header fields by which a proxy says that somebody else asks.
_FORWARDED = ("forwarded", "x-forwarded-for")


class Metrics:
    """Handler of ``/metrics``. ``allowed`` is ``on``, ``loopback`` or ``off``."""

    def __init__(self, *, meters: Meters, gauges: Gauges, allowed: str) -> None:
        self._meters = meters
        self._gauges = gauges
        self._allowed = allowed

    async def show(self) -> ConnexionResponse:
        """Show all metrics.

        Raises:
            NotFound: not for this caller; nothing tells that there are any.
        """
        if self._allowed == "off" or (self._allowed == "loopback" and not _is_local()):
            raise NotFound(
                Text(
                    "Diese Adresse gibt es nicht. Alle Adressen stehen in /openapi.json.",
                    "There is no such address. All of them stand in /openapi.json.",
                )
            )
        text = await in_thread(self._meters.text, self._gauges)
        return ConnexionResponse(
            status_code=200, body=text, content_type=_TEXT_FORMAT, headers={"Cache-Control": "no-store"}
        )


def _is_local() -> bool:
    """Tell whether this machine asks for itself; behind a proxy on it, that is never certain."""
    request = context.request
    client = request.scope.get("client")
    if client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False
