"""Logging in and out."""

from __future__ import annotations

from starlette.responses import Response

from hub.connector.clerk.sessions import LONGEST
from hub.connector.clerk.visit import ClerkVisit
from hub.errors import HubError, TooMany, Unauthenticated
from hub.web.responses import status_of


def cookie_name(*, secure: bool) -> str:
    """Return the session cookie's name; ``__Host-`` binds it to this host and to https (RFC 6265bis)."""
    return "__Host-hub-clerk" if secure else "hub-clerk"


def show(visit: ClerkVisit) -> Response:
    """Show the form."""
    return visit.to("/") if visit.session is not None else _form(visit)


def _form(visit: ClerkVisit, *, error: HubError | None = None, name: str = "") -> Response:
    status = 200 if error is None else status_of(error)
    return visit.page("login.html", status=status, error=error, name=name, nobody=visit.tools.accounts.is_empty())


def log_in(visit: ClerkVisit) -> Response:
    """Check the credentials and begin a session with a new token, whatever cookie came along."""
    name = visit.form.text("name", longest=100)
    password = next((value for key, value in visit.form.fields if key == "password"), "")
    try:
        token = visit.tools.sessions.log_in(name, password, address=visit.address, now=visit.now)
    except (Unauthenticated, TooMany) as error:
        return _form(visit, error=error, name=name)
    if visit.session is not None:
        visit.tools.sessions.end(visit.token)
    response = visit.to("/")
    response.set_cookie(
        cookie_name(secure=visit.tools.secure),
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=visit.tools.secure,
        httponly=True,
        samesite="strict",
    )
    return response


def log_out(visit: ClerkVisit) -> Response:
    """End the session."""
    visit.tools.sessions.end(visit.token)
    response = visit.to("/login", note="logged-out")
    response.delete_cookie(cookie_name(secure=visit.tools.secure), path="/")
    return response
