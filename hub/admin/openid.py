"""Logging in and out by the OpenID Connect provider: the browser's side of ``hub.identity.openid``."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from hub.admin import login
from hub.admin.request import CALLBACK, ROOT, Visit, inside
from hub.errors import Forbidden, HubError, NotFound, Text, TooMany, Unauthenticated, Unavailable
from hub.identity.openid.login import COOKIE_LIFE, OpenIdLogin


def cookie_name(*, secure: bool) -> str:
    """Return the name of the cookie that a log-in under way is tied to."""
    return "__Host-hub-openid" if secure else "hub-openid"


def depart(visit: Visit) -> Response:
    """Send the browser to the provider. A link, not a form: the content security policy lets no form lead elsewhere."""
    try:
        departure = _login(visit).depart(inside(visit.query.text("next")), address=visit.address, now=visit.now)
    except Unavailable as error:
        return _failed(visit, error)
    response = RedirectResponse(departure.address, status_code=303)
    response.set_cookie(
        cookie_name(secure=visit.secure),
        departure.cookie,
        max_age=int(COOKIE_LIFE.total_seconds()),
        path="/" if visit.secure else ROOT + CALLBACK,
        secure=visit.secure,
        httponly=True,
        # The provider's redirect comes from another site; "strict" would withhold the cookie then.
        samesite="lax",
    )
    return response


def arrive(visit: Visit) -> Response:
    """Take the provider's answer; the page that follows leads on by itself.

    No redirect: it would belong to a navigation from another site, to which browsers give no "strict" session cookie.
    """
    provider = _login(visit)
    try:
        arrival = provider.arrive(visit.query.fields, visit.ticket, address=visit.address, now=visit.now)
    except (Unauthenticated, Forbidden, Unavailable) as error:
        return _forget_ticket(visit, _failed(visit, error))
    response = visit.page("openid.html", next=inside(arrival.next_page), who=arrival.person.full_name)
    login.set_cookie(visit, response, arrival.token)
    return _forget_ticket(visit, response)


def leave(visit: Visit) -> Response:
    """Send the browser to the provider's own log-out, or back to the form where there is none."""
    try:
        address = _login(visit).way_out(f"{visit.tools.base_url}{ROOT}/login", now=visit.now)
    except Unavailable as error:
        return _failed(visit, error)
    return RedirectResponse(address, status_code=303) if address is not None else visit.to("/login")


def _login(visit: Visit) -> OpenIdLogin:
    if visit.tools.openid is None:
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return visit.tools.openid


def _failed(visit: Visit, error: HubError) -> Response:
    status = {Unauthenticated: 401, Forbidden: 403, TooMany: 429}.get(type(error), 503)
    return login.form(visit, status=status, error=error)


def _forget_ticket(visit: Visit, response: Response) -> Response:
    response.delete_cookie(
        cookie_name(secure=visit.secure),
        path="/" if visit.secure else ROOT + CALLBACK,
        secure=visit.secure,
        httponly=True,
        samesite="lax",
    )
    return response
