"""Logging in and out: by password or by an OpenID Connect provider.

Logging in and out, and what people may change of their own account.

Logging in and out by the OpenID Connect provider: the browser's side of ``hub.identity.openid``.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from hub.admin.request import CALLBACK, ROOT, Visit, inside
from hub.errors import Forbidden, HubError, NotFound, Refused, Text, TooMany, Unauthenticated, Unavailable
from hub.identity import LONGEST_SESSION
from hub.identity.openid.login import COOKIE_LIFE, OpenIdLogin
from hub.web.responses import status_of


def cookie_name(*, secure: bool) -> str:
    """Return the session cookie's name; ``__Host-`` binds it to this host and to https (RFC 6265bis)."""
    return "__Host-hub-session" if secure else "hub-session"


def show(visit: Visit) -> Response:
    """Show the form."""
    return form(visit)


def form(
    visit: Visit, *, status: int = 200, error: HubError | None = None, name: str = "", next_page: str = ""
) -> Response:
    """Return the page on which people log in, in the ways that this hub offers."""
    tools = visit.tools
    return visit.page(
        "login.html",
        status=status,
        error=error,
        name=name,
        next=inside(next_page or visit.query.text("next")),
        openid=tools.hub.openid,
        passwords=tools.passwords,
    )


def log_in(visit: Visit) -> Response:
    """Check the credentials and begin a session with a new token, whatever cookie came along."""
    sent = visit.form
    name, next_page = sent.text("name", longest=100), inside(sent.text("next"))
    try:
        token, _ = visit.hub.accounts.log_in(
            name,
            sent.fields.get("password", ""),
            sent.text("code", longest=20),
            address=visit.address,
            now=visit.now,
        )
    except (Unauthenticated, TooMany) as error:
        return form(visit, status=status_of(error), error=error, name=name, next_page=next_page)
    response = RedirectResponse(next_page, status_code=303)
    set_cookie(visit, response, token)
    return response


def set_cookie(visit: Visit, response: Response, token: str) -> None:
    """Hand a session's token to the browser."""
    response.set_cookie(
        cookie_name(secure=visit.secure),
        token,
        max_age=int(LONGEST_SESSION.total_seconds()),
        path="/" if visit.secure else ROOT,
        secure=visit.secure,
        httponly=True,
        samesite="strict",
    )


def account(visit: Visit) -> Response:
    """Show one's own account."""
    return visit.page("account.html", address=None, error=None)


def change_password(visit: Visit) -> Response:
    """Replace one's own password; all sessions of the account end."""
    form, accounts, name = visit.form, visit.hub.accounts, visit.person.name
    try:
        _require_owner(visit)
        accounts.set_password(name, form.fields.get("new", ""), actor=name, now=visit.now)
    except Refused as error:
        return visit.page("account.html", status=422, address=None, error=error)
    return visit.to("/login", note="password")


def change_factor(visit: Visit) -> Response:
    """Give one's own account a new second factor and show its address, once; all sessions of the account end."""
    name = visit.person.name
    try:
        _require_owner(visit)
    except Refused as error:
        return visit.page("account.html", status=422, address=None, error=error)
    address = visit.hub.accounts.set_totp(name, actor=name, now=visit.now)
    return visit.page("account.html", address=address, error=None)


def _require_owner(visit: Visit) -> None:
    """Ask for the credentials again: an open browser alone must not be enough to take an account over."""
    form = visit.form
    visit.hub.accounts.check(
        visit.person.name,
        form.fields.get("password", ""),
        form.text("code", longest=20),
        address=visit.address,
        now=visit.now,
    )


def log_out(visit: Visit) -> Response:
    """End the session."""
    visit.hub.accounts.log_out(visit.token)
    response = visit.to("/login", note="logged-out")
    response.delete_cookie(cookie_name(secure=visit.secure), path="/" if visit.secure else ROOT)
    return response


def openid_cookie_name(*, secure: bool) -> str:
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
        openid_cookie_name(secure=visit.secure),
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
    set_cookie(visit, response, arrival.token)
    return _forget_ticket(visit, response)


def leave(visit: Visit) -> Response:
    """Send the browser to the provider's own log-out, or back to the form where there is none."""
    try:
        address = _login(visit).way_out(f"{visit.hub.base_url}{ROOT}/login", now=visit.now)
    except Unavailable as error:
        return _failed(visit, error)
    return RedirectResponse(address, status_code=303) if address is not None else visit.to("/login")


def _login(visit: Visit) -> OpenIdLogin:
    if visit.hub.openid is None:
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return visit.hub.openid


def _failed(visit: Visit, error: HubError) -> Response:
    return form(visit, status=status_of(error), error=error)


def _forget_ticket(visit: Visit, response: Response) -> Response:
    response.delete_cookie(
        openid_cookie_name(secure=visit.secure),
        path="/" if visit.secure else ROOT + CALLBACK,
        secure=visit.secure,
        httponly=True,
        samesite="lax",
    )
    return response
