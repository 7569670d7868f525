"""The pages behind the links in mails: yes, this address is mine and I want to be told; no, end it.

A link alone does nothing (mail servers look at links before people do): the page behind it asks, and a button answers. Who
has the link can confirm or end this one subscription, and learns nothing else from it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.portal.frame import Portal
from hub.portal.notices import PAGE, MailNotices, notices_of


def routes(portal: Portal) -> list[Route]:
    """Return the addresses; none where the portal has no mail server."""
    notices = notices_of(portal)
    if notices is None:
        return []
    pages = _NoticePages(portal, notices)
    return [
        Route(PAGE + "/{token}", pages.ask, methods=["GET"]),
        Route(PAGE + "/{token}", pages.decide, methods=["POST"]),
    ]


class _NoticePages:
    def __init__(self, portal: Portal, notices: MailNotices) -> None:
        self._portal = portal
        self._notices = notices

    async def ask(self, request: Request) -> Response:
        """Ask what shall be; whether the link is still one is not told before somebody says so."""
        return self._shown(request, "ask")

    async def decide(self, request: Request) -> Response:
        """Confirm, or end."""
        fields = dict(await self._portal.fields(request))
        token, now = str(request.path_params["token"]), self._portal.clock()
        if fields.get("do") == "end":
            await self._portal.work(self._notices.end, token, now)
            return self._shown(request, "ended")
        known = await self._portal.work(self._notices.confirm, token, now)
        return self._shown(request, "confirmed" if known else "gone")

    def _shown(self, request: Request, standing: str) -> Response:
        token = str(request.path_params["token"])[:64]
        return self._portal.page(
            request, "benachrichtigung.html", standing=standing, token=token, status=404 if standing == "gone" else 200
        )
