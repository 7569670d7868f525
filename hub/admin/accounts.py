"""Accounts of those who administer the hub: list, invite, lock, roles, second factors, sessions.

Taking an invitation: the one page besides the log-in that needs no session, for whoever holds the link. Its secret comes
behind the # of the address, goes into a form, and from there into a cookie: no address that a proxy may note has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from hub.admin.login import begin_session, invitation_cookie_name, set_cookie
from hub.admin.request import ROOT, ROWS, Visit
from hub.administration.accounts import SentInvitation
from hub.errors import Conflict, Forbidden, HubError, Invalid, NotFound, Refused, Text, TooMany
from hub.identity import Person, Right
from hub.identity.invitations import INVITATION_STEP, InvitationWish
from hub.identity.persons import HeldRole, rights_of_role
from hub.model import Role
from hub.web.responses import status_of

_FIELDS = ("name", "full_name", "email", "tenant")
#: Invitations that the list shows; more are open at the same time nowhere.
_MOST_INVITATIONS = 200
#: What each right lets a person do.
RIGHTS: Mapping[Right, Text] = {
    Right.SEE: Text(
        "sehen, was im eigenen Bereich geschieht (nie Inhalte)", "see what happens within the own area (never contents)"
    ),
    Right.EDIT: Text(
        "Entwürfe von Zuständigkeiten und Leistungen schreiben", "write drafts of routing tables and services"
    ),
    Right.APPROVE: Text(
        "freigeben und aktivieren, was andere entworfen oder vorgeschlagen haben",
        "approve and activate what others drafted or proposed",
    ),
    Right.OPERATE: Text(
        "Clients, Zustellpunkte, Konten und Gescheitertes verwalten; Schlüssel vorschlagen",
        "manage clients, destinations, accounts and dead letters; propose keys",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RightShown:
    """One right, which roles of the account give it, and which would."""

    right: Right
    text: Text
    by: Sequence[HeldRole]
    would: Sequence[Role]


def index(visit: Visit) -> Response:
    """List accounts and open invitations."""
    return _list(visit)


def invite(visit: Visit) -> Response:
    """Invite somebody; what cannot be comes back with what was entered."""
    form = visit.form
    entered = {name: form.text(name, longest=200) for name in _FIELDS}
    roles = _chosen(visit)
    try:
        wish = InvitationWish(
            name=entered["name"],
            full_name=entered["full_name"],
            email=entered["email"],
            roles=roles,
            tenant=entered["tenant"],
        )
        sent = visit.hub.account_service.invite(wish, visit.person, now=visit.now)
    except Refused as refused:
        return _list(visit, entered=entered, roles=roles, error=refused)
    return _list(visit, sent=sent)


def withdraw(visit: Visit) -> Response:
    """Take an invitation back."""
    visit.hub.account_service.withdraw(visit.form.text("name", longest=64), visit.person, now=visit.now)
    return visit.to("/accounts", note="withdrawn")


def show(visit: Visit) -> Response:
    """Show one account: what it may and why, its second factors and sessions."""
    return _one(visit)


def set_roles(visit: Visit) -> Response:
    """Give an account other roles."""
    desk, person = visit.hub.account_service, visit.person
    return _changed(visit, "saved", lambda name: desk.set_roles(name, _chosen(visit), person, now=visit.now))


def lock(visit: Visit) -> Response:
    """Lock an account; its sessions end."""
    desk, person = visit.hub.account_service, visit.person
    return _changed(visit, "locked", lambda name: desk.lock(name, person, now=visit.now))


def unlock(visit: Visit) -> Response:
    """Let a locked account in again."""
    desk, person = visit.hub.account_service, visit.person
    return _changed(visit, "unlocked", lambda name: desk.unlock(name, person, now=visit.now))


def reset_factors(visit: Visit) -> Response:
    """Take somebody's second factors away who lost them."""
    desk, person = visit.hub.account_service, visit.person
    return _changed(visit, "reset", lambda name: desk.reset_factors(name, person, now=visit.now))


def vouch(visit: Visit) -> Response:
    """Say as a third person that an account is a human of its own."""
    desk, person = visit.hub.account_service, visit.person
    return _changed(visit, "vouched", lambda name: desk.vouch(name, person, now=visit.now))


def end_sessions(visit: Visit) -> Response:
    """End one session of an account, or all where none is named."""
    desk, person = visit.hub.account_service, visit.person
    wanted = visit.form.text("session", longest=64)

    def ended(name: str) -> None:
        if wanted:
            desk.end_session(name, wanted, person, now=visit.now)
        else:
            desk.end_sessions(name, person, now=visit.now)

    return _changed(visit, "ended", ended)


def invited(visit: Visit) -> Response:
    """Show what the invitation that was handed in is to, or ask for one. Looking uses nothing up."""
    if not visit.invitation:
        return visit.page("invitation.html", invitation=None, error=None)
    try:
        invitation = visit.hub.invitations.look(visit.invitation, address=visit.address, now=visit.now)
    except (NotFound, TooMany) as error:
        return _not_invited(visit, error)
    return visit.page("invitation.html", invitation=invitation, error=None)


def hand_in(visit: Visit) -> Response:
    """Take a link's secret, by script or pasted, and keep it in a cookie for the next pages: no address ever has it."""
    secret = visit.form.text("code", longest=400).rpartition("#")[2].strip()
    try:
        visit.hub.invitations.look(secret, address=visit.address, now=visit.now)
    except (NotFound, TooMany) as error:
        return _not_invited(visit, error)
    response = visit.to("/invitation")
    response.set_cookie(
        invitation_cookie_name(secure=visit.secure),
        secret,
        max_age=int(INVITATION_STEP.total_seconds()),
        path="/" if visit.secure else ROOT,
        secure=visit.secure,
        httponly=True,
        samesite="strict",
    )
    return response


def accept(visit: Visit) -> Response:
    """Make the account with the password that its owner chose, log them in, and lead on to the second factor."""
    secret, desk = visit.invitation, visit.hub.invitations
    try:
        person = desk.accept(secret, _new_password(visit), address=visit.address, now=visit.now)
    except Invalid as error:
        try:
            invitation = desk.look(secret, address=visit.address, now=visit.now)
        except (NotFound, TooMany) as over:
            return _not_invited(visit, over)
        return visit.page("invitation.html", status=422, invitation=invitation, error=error)
    except (NotFound, TooMany) as error:
        return _not_invited(visit, error)
    session_token, _ = begin_session(visit, person)
    response = visit.to("/account", note="welcome")
    set_cookie(visit, response, session_token)
    return _without_invitation(visit, response)


def _not_invited(visit: Visit, error: HubError) -> Response:
    response = visit.page("invitation.html", status=status_of(error), invitation=None, error=error)
    return response if isinstance(error, TooMany) else _without_invitation(visit, response)


def _without_invitation(visit: Visit, response: Response) -> Response:
    name = invitation_cookie_name(secure=visit.secure)
    response.delete_cookie(name, path="/" if visit.secure else ROOT, secure=visit.secure, httponly=True)
    return response


def _new_password(visit: Visit) -> str:
    password = visit.form.fields.get("password", "")
    if password != visit.form.fields.get("again", ""):
        raise Invalid(Text("Die beiden Passwörter sind nicht gleich.", "The two passwords are not the same."))
    return password


def _changed(visit: Visit, note: str, change: Callable[[str], object]) -> Response:
    name = visit.parts["name"]
    try:
        change(name)
    except (Forbidden, Invalid, Conflict) as error:
        return _one(visit, error=error)
    return visit.to(f"/accounts/{name}", note=note)


def _chosen(visit: Visit) -> tuple[Role, ...]:
    return tuple(role for role in Role if visit.form.fields.get(f"role-{role}") == "yes")


def _list(
    visit: Visit,
    *,
    sent: SentInvitation | None = None,
    entered: Mapping[str, str] | None = None,
    roles: Sequence[Role] = (),
    error: HubError | None = None,
) -> Response:
    desk, person = visit.hub.account_service, visit.person
    search = visit.query.text("q", longest=100)
    page = desk.list(person, search=search, offset=visit.offset(), limit=ROWS)
    factors = visit.hub.accounts.factors
    return visit.page(
        "accounts.html",
        status=200 if error is None else status_of(error),
        accounts=[(each, factors.has_one(each), factors.missing(each)) for each in page.items],
        total=page.total,
        rows=ROWS,
        searched=bool(search.split()),
        invitations=desk.invitations(person, limit=_MOST_INVITATIONS).items,
        grantable=[role for role in Role if person.holds(role)],
        others=[role for role in Role if not person.holds(role)],
        sent=sent,
        entered=entered or {**dict.fromkeys(_FIELDS, ""), "tenant": person.tenant},
        roles=roles,
        error=error,
    )


def _one(visit: Visit, *, error: HubError | None = None) -> Response:
    desk, person = visit.hub.account_service, visit.person
    view = desk.show(visit.parts["name"], person, now=visit.now)
    return visit.page(
        "account_of.html",
        status=200 if error is None else status_of(error),
        view=view,
        account=view.account,
        sessions=desk.sessions(view.account.name, person, token=visit.token, now=visit.now),
        reasons=reasons(view.person),
        mine=view.account.name == person.name,
        manageable=all(person.holds(each.role, each.scope) for each in view.person.held),
        grantable=[role for role in Role if person.holds(role)],
        error=error,
    )


def reasons(person: Person) -> list[RightShown]:
    """Return for each right whether the person has it, and by which roles."""
    return [
        RightShown(
            right=right,
            text=text,
            by=person.given_by(right),
            would=[role for role in Role if right in rights_of_role(role)],
        )
        for right, text in RIGHTS.items()
    ]
