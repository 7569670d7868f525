"""Logging in and out, and what people may change of their own account."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from hub.admin.request import ROOT, Visit, inside
from hub.errors import HubError, Refused, TooMany, Unauthenticated
from hub.identity.accounts import LONGEST


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
        openid=tools.openid,
        passwords=tools.passwords,
    )


def log_in(visit: Visit) -> Response:
    """Check the credentials and begin a session with a new token, whatever cookie came along."""
    sent = visit.form
    name, next_page = sent.text("name", longest=100), inside(sent.text("next"))
    try:
        token, _ = visit.tools.accounts.log_in(
            name,
            sent.fields.get("password", ""),
            sent.text("code", longest=20),
            address=visit.address,
            now=visit.now,
        )
    except (Unauthenticated, TooMany) as error:
        status = 401 if isinstance(error, Refused) else 429
        return form(visit, status=status, error=error, name=name, next_page=next_page)
    response = RedirectResponse(next_page, status_code=303)
    set_cookie(visit, response, token)
    return response


def set_cookie(visit: Visit, response: Response, token: str) -> None:
    """Hand a session's token to the browser."""
    response.set_cookie(
        cookie_name(secure=visit.secure),
        token,
        max_age=int(LONGEST.total_seconds()),
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
    form, accounts, name = visit.form, visit.tools.accounts, visit.person.name
    try:
        _insist_on_owner(visit)
        accounts.set_password(name, form.fields.get("new", ""), actor=name, now=visit.now)
    except Refused as error:
        return visit.page("account.html", status=422, address=None, error=error)
    return visit.to("/login", note="password")


def change_factor(visit: Visit) -> Response:
    """Give one's own account a new second factor and show its address, once; all sessions of the account end."""
    name = visit.person.name
    try:
        _insist_on_owner(visit)
    except Refused as error:
        return visit.page("account.html", status=422, address=None, error=error)
    address = visit.tools.accounts.set_totp(name, actor=name, now=visit.now)
    return visit.page("account.html", address=address, error=None)


def _insist_on_owner(visit: Visit) -> None:
    """Ask for the credentials again: an open browser alone must not be enough to take an account over."""
    form = visit.form
    visit.tools.accounts.check(
        visit.person.name,
        form.fields.get("password", ""),
        form.text("code", longest=20),
        address=visit.address,
        now=visit.now,
    )


def log_out(visit: Visit) -> Response:
    """End the session."""
    visit.tools.accounts.log_out(visit.token)
    response = visit.to("/login", note="logged-out")
    response.delete_cookie(cookie_name(secure=visit.secure), path="/" if visit.secure else ROOT)
    return response
