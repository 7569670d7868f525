"""Logging in and out: by password or by an OpenID Connect provider.

Logging in and out by the OpenID Connect provider: the browser's side of ``hub.identity.openid``.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from hub.admin.request import CALLBACK, ROOT, Visit, inside
from hub.errors import Forbidden, HubError, NotFound, Text, TooMany, Unauthenticated, Unavailable
from hub.identity import LONGEST_SESSION, Person, PersonSession
from hub.identity.accounts import STEP_LIFE
from hub.identity.openid.login import COOKIE_LIFE, OpenIdLogin
from hub.identity.two_steps import Waiting
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
    """Check name and password and begin a session, or ask for the second factor; whatever cookie came along counts nothing."""
    sent = visit.form
    name, next_page = sent.text("name", longest=100), inside(sent.text("next"))
    try:
        outcome = visit.hub.two_steps.begin(
            name,
            sent.fields.get("password", ""),
            sent.text("code", longest=20),
            address=visit.address,
            device=visit.device,
            now=visit.now,
        )
    except (Unauthenticated, TooMany) as error:
        return form(visit, status=status_of(error), error=error, name=name, next_page=next_page)
    if isinstance(outcome, Waiting):
        return second_step(visit, outcome, next_page=next_page)
    return _let_in(visit, outcome.token, next_page)


def second_step(
    visit: Visit, waiting: Waiting, *, next_page: str, status: int = 200, error: HubError | None = None
) -> Response:
    """Ask for the second factor; the step's secret goes into a cookie of its own."""
    response = visit.page(
        "second_step.html",
        status=status,
        error=error,
        next=next_page,
        factors=visit.hub.accounts.factors.of(waiting.account),
        options=visit.hub.passkeys.ask(waiting.token, waiting.account),
    )
    _set_step(visit, response, waiting.token)
    return response


def finish(visit: Visit) -> Response:
    """Take the code of the second factor and begin a session with a new token."""
    next_page = inside(visit.form.text("next"))
    try:
        code = visit.form.text("code", longest=20)
        admitted = visit.hub.two_steps.finish(
            visit.step, code, address=visit.address, device=visit.device, now=visit.now
        )
    except (Unauthenticated, TooMany) as error:
        return _once_more(visit, error, next_page)
    return _let_in(visit, admitted.token, next_page)


def finish_with_key(visit: Visit) -> Response:
    """Take what a key signed and begin a session with a new token."""
    next_page, answer, keys = inside(visit.form.text("next")), visit.form.fields.get("answer", ""), visit.hub.passkeys
    try:
        admitted = visit.hub.two_steps.finish_with_key(
            visit.step,
            lambda step, account: keys.signed(step, account, answer, now=visit.now),
            address=visit.address,
            device=visit.device,
            now=visit.now,
        )
    except (Unauthenticated, TooMany) as error:
        return _once_more(visit, error, next_page)
    return _let_in(visit, admitted.token, next_page)


def _once_more(visit: Visit, error: HubError, next_page: str) -> Response:
    """Ask for the second factor again, or for name and password where the step is over."""
    try:
        waiting = visit.hub.two_steps.waiting(visit.step, now=visit.now)
    except Unauthenticated as over:
        return _without_step(visit, form(visit, status=status_of(over), error=over, next_page=next_page))
    return second_step(visit, waiting, next_page=next_page, status=status_of(error), error=error)


def _let_in(visit: Visit, token: str, next_page: str) -> Response:
    response = RedirectResponse(next_page, status_code=303)
    set_cookie(visit, response, token)
    return _without_step(visit, response)


def step_cookie_name(*, secure: bool) -> str:
    """Return the name of the cookie of a log-in that waits for its second factor."""
    return "__Host-hub-step" if secure else "hub-step"


def invitation_cookie_name(*, secure: bool) -> str:
    """Return the name of the cookie of somebody who is invited and chooses a password."""
    return "__Host-hub-invitation" if secure else "hub-invitation"


def _set_step(visit: Visit, response: Response, token: str) -> None:
    response.set_cookie(
        step_cookie_name(secure=visit.secure),
        token,
        max_age=int(STEP_LIFE.total_seconds()),
        path="/" if visit.secure else ROOT,
        secure=visit.secure,
        httponly=True,
        samesite="strict",
    )


def _without_step(visit: Visit, response: Response) -> Response:
    if visit.step:
        response.delete_cookie(
            step_cookie_name(secure=visit.secure), path="/" if visit.secure else ROOT, secure=visit.secure
        )
    return response


def begin_session(visit: Visit, person: Person) -> tuple[str, PersonSession]:
    """Begin a session of somebody who proved who they are on this very page; the caller sets its cookie."""
    return visit.hub.accounts.begin_session(
        person, by="password", address=visit.address, device=visit.device, now=visit.now
    )


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
        arrival = provider.arrive(
            visit.query.fields, visit.ticket, address=visit.address, device=visit.device, now=visit.now
        )
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
