"""One's own account: password, second factors, recovery codes, sessions.

Whatever lets somebody in later asks for the password, and for the code where there is one: an open browser alone must not be
enough to take an account over. Whoever must have a second factor and has none comes here first, fresh from the log-in, and is
not asked again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from hub.admin.accounts import reasons
from hub.admin.login import begin_session, set_cookie
from hub.admin.request import Visit
from hub.errors import HubError, NotFound, Refused, Text
from hub.identity.second_factors import TotpOffer
from hub.store import Account
from hub.web.responses import status_of


def show(visit: Visit) -> Response:
    """Show one's own account; whoever must set up a second factor gets it offered."""
    account = _account(visit)
    offer = visit.hub.accounts.factors.offer(account, now=visit.now) if visit.lacks_factor else None
    return _page(visit, account, offer=offer)


def change_password(visit: Visit) -> Response:
    """Replace one's own password; all sessions of the account end."""
    name = visit.person.name
    try:
        _require_owner(visit)
        visit.hub.accounts.set_password(name, visit.form.fields.get("new", ""), actor=name, now=visit.now)
    except Refused as error:
        return _page(visit, _account(visit), error=error)
    return visit.to("/login", note="password")


def offer_totp(visit: Visit) -> Response:
    """Show the picture of a new secret; it counts once its first code was entered."""
    account = _account(visit)
    try:
        if not visit.lacks_factor:
            _require_owner(visit)
    except Refused as error:
        return _page(visit, account, error=error)
    return _page(visit, account, offer=visit.hub.accounts.factors.offer(account, now=visit.now))


def confirm_totp(visit: Visit) -> Response:
    """Put the secret in force by its first code. All sessions end, and this one begins anew with another token."""
    accounts, account, form = visit.hub.accounts, _account(visit), visit.form
    sealed = form.text("offer")
    try:
        code = form.text("code", longest=20)
        accounts.confirm_totp(account.name, sealed, code, actor=account.name, now=visit.now)
    except Refused as error:
        try:
            offer = accounts.factors.offered(account, sealed, now=visit.now)
        except Refused as stale:
            return _page(visit, account, error=stale)
        return _page(visit, account, offer=offer, error=error)
    return renewed(visit)


def renewed(visit: Visit) -> Response:
    """Begin the session anew, after a second factor was added, and show recovery codes to whoever had none."""
    token, session = begin_session(visit, visit.person)
    visit = replace(visit, session=session, token=token)
    account, factors = _account(visit), visit.hub.accounts.factors
    codes: tuple[str, ...] = ()
    if not factors.of(account).codes_left:
        codes = factors.new_codes(account, actor=account.name, now=visit.now)
    response = _page(visit, account, codes=codes, added=True)
    set_cookie(visit, response, token)
    return response


def offer_key(visit: Visit) -> Response:
    """Have the browser make a key; what it answers counts once it is confirmed."""
    account = _account(visit)
    try:
        if not visit.lacks_factor:
            _require_owner(visit)
    except Refused as error:
        return _page(visit, account, error=error)
    return _page(visit, account, options=visit.hub.passkeys.offer(account, now=visit.now))


def confirm_key(visit: Visit) -> Response:
    """Take the key that the browser made. All sessions end, and this one begins anew with another token."""
    account = _account(visit)
    try:
        label = visit.form.text("label", longest=100)
        visit.hub.passkeys.add(account, label, visit.form.fields.get("answer", ""), now=visit.now)
    except Refused as error:
        return _page(visit, account, error=error)
    return renewed(visit)


def remove_key(visit: Visit) -> Response:
    """Take one of one's own keys away."""
    account = _account(visit)
    try:
        _require_owner(visit)
        visit.hub.passkeys.remove(account, visit.form.text("key"), now=visit.now)
    except Refused as error:
        return _page(visit, account, error=error)
    return visit.to("/account", note="key-removed")


def drop_totp(visit: Visit) -> Response:
    """Take one's own authenticator away, where it may be missing; the session begins anew."""
    accounts, name = visit.hub.accounts, visit.person.name
    try:
        _require_owner(visit)
        accounts.drop_totp(name, actor=name, now=visit.now)
    except Refused as error:
        return _page(visit, _account(visit), error=error)
    token, _ = begin_session(visit, visit.person)
    response = visit.to("/account", note="factor-off")
    set_cookie(visit, response, token)
    return response


def renew_codes(visit: Visit) -> Response:
    """Make new recovery codes and show them, once; the old ones are good no more."""
    account, factors = _account(visit), visit.hub.accounts.factors
    try:
        _require_owner(visit)
        codes = factors.new_codes(account, actor=account.name, now=visit.now)
    except Refused as error:
        return _page(visit, account, error=error)
    return _page(visit, account, codes=codes)


def end_sessions(visit: Visit) -> Response:
    """End one of one's own sessions, or all but this one where none is named."""
    desk, person = visit.hub.account_service, visit.person
    wanted = visit.form.text("session", longest=64)
    try:
        if wanted:
            desk.end_session(person.name, wanted, person, now=visit.now)
        else:
            desk.end_sessions(person.name, person, but=visit.token, now=visit.now)
    except NotFound as error:
        return _page(visit, _account(visit), error=error)
    return visit.to("/account", note="ended")


def _account(visit: Visit) -> Account:
    found = visit.hub.store.accounts.account(visit.person.name)
    if found is None:
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return found


def _require_owner(visit: Visit) -> None:
    form = visit.form
    visit.hub.accounts.require_owner(
        visit.person.name,
        form.fields.get("password", ""),
        form.text("code", longest=20),
        address=visit.address,
        now=visit.now,
    )


def _page(
    visit: Visit,
    account: Account,
    *,
    offer: TotpOffer | None = None,
    options: str | None = None,
    codes: tuple[str, ...] = (),
    added: bool = False,
    error: HubError | None = None,
) -> Response:
    accounts, person = visit.hub.accounts, visit.person
    more: dict[str, Any] = {"status": status_of(error)} if error is not None else {}
    if more.get("status") == 401:  # noqa: PLR2004  # the browser is logged in; what is wrong is the form
        more["status"] = 422
    return visit.page(
        "account.html",
        offer=offer,
        options=options,
        keys=visit.hub.passkeys.party is not None,
        codes=codes,
        added=added,
        error=error,
        factors=accounts.factors.of(account),
        demanded=accounts.factors.demands(account),
        sessions=visit.hub.account_service.sessions(person.name, person, token=visit.token, now=visit.now),
        reasons=reasons(person),
        **more,
    )
