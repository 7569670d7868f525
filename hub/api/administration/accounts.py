"""Accounts of administrators over the API: list, invite, lock, reset, and end sessions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.accounts import AccountService, AccountView
from hub.api import FRESH, in_thread, json_answer, listed, nothing
from hub.identity import Person
from hub.identity.invitations import InvitationWish
from hub.identity.sessions import ListedSession
from hub.model import Role
from hub.store import Account, Invitation

_NEVER_KEPT = {"Cache-Control": "no-store"}


class AccountAdmin:
    """Handlers of ``/hub/v1/accounts`` and ``/hub/v1/invitations``."""

    def __init__(self, *, desk: AccountService, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
        self._desk = desk
        self._person = person
        self._clock = clock

    async def list(self, q: str = "", offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the accounts in the person's scope."""
        person = self._person()
        page, views = await in_thread(self._listed, person, search=q, offset=offset, limit=limit)
        return json_answer(listed("accounts", page, [_json(each) for each in views]), headers=FRESH)

    async def show(self, accountName: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Show one account."""
        view = await in_thread(self._desk.show, accountName, self._person(), now=self._clock())
        return json_answer(_json(view), headers=FRESH)

    async def lock(self, accountName: str) -> ConnexionResponse:  # noqa: N803
        """Lock an account; its sessions end."""
        return await self._changed(self._desk.lock, accountName)

    async def unlock(self, accountName: str) -> ConnexionResponse:  # noqa: N803
        """Let a locked account in again."""
        return await self._changed(self._desk.unlock, accountName)

    async def reset_factors(self, accountName: str) -> ConnexionResponse:  # noqa: N803
        """Take somebody else's second factors away."""
        return await self._changed(self._desk.reset_factors, accountName)

    async def vouch(self, accountName: str) -> ConnexionResponse:  # noqa: N803
        """Say as a third person that an account is a human of its own."""
        return await self._changed(self._desk.vouch, accountName)

    async def set_roles(self, accountName: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Give an account other roles; with fewer of them its sessions end."""
        roles = tuple(map(Role, body["roles"]))
        return await self._changed(partial(self._with_roles, roles), accountName)

    async def sessions(self, accountName: str) -> ConnexionResponse:  # noqa: N803
        """List the live sessions and tokens of an account: one's own, or with the right to operate another's."""
        found = await in_thread(self._desk.sessions, accountName, self._person(), now=self._clock())
        return json_answer({"sessions": [_session_json(each) for each in found]}, headers=FRESH)

    async def end_sessions(self, accountName: str) -> ConnexionResponse:  # noqa: N803
        """End all sessions and tokens of an account: 204."""
        await in_thread(self._desk.end_sessions, accountName, self._person(), now=self._clock())
        return nothing(headers=_NEVER_KEPT)

    async def end_session(self, accountName: str, sessionId: str) -> ConnexionResponse:  # noqa: N803
        """End one session or token of an account: 204."""
        await in_thread(self._desk.end_session, accountName, sessionId, self._person(), now=self._clock())
        return nothing(headers=_NEVER_KEPT)

    async def invitations(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the open invitations in the person's scope."""
        page = await in_thread(self._desk.invitations, self._person(), offset=offset, limit=limit)
        return json_answer(listed("invitations", page, [_invitation_json(each) for each in page.items]), headers=FRESH)

    async def invite(self, body: dict[str, Any]) -> ConnexionResponse:
        """Invite somebody: 201, with the link where no mail carries it."""
        person = self._person()
        wish = InvitationWish(
            name=body["name"],
            full_name=body.get("fullName", ""),
            email=body.get("email", ""),
            roles=tuple(map(Role, body["roles"])),
            tenant=body.get("tenant", ""),
        )
        sent = await in_thread(self._desk.invite, wish, person, now=self._clock())
        answer = _invitation_json(sent.invitation) | {"mailed": sent.mailed, "link": sent.link or None}
        return json_answer(answer, 201, _NEVER_KEPT)

    async def withdraw(self, accountName: str) -> ConnexionResponse:  # noqa: N803
        """Take an invitation back: 204."""
        await in_thread(self._desk.withdraw, accountName, self._person(), now=self._clock())
        return nothing(headers=_NEVER_KEPT)

    async def _changed(self, change: Callable[..., Account], name: str) -> ConnexionResponse:
        person = self._person()

        def changed() -> AccountView:
            change(name, person, now=self._clock())
            return self._desk.show(name, person, now=self._clock())

        return json_answer(_json(await in_thread(changed)), headers=FRESH)

    def _with_roles(self, roles: tuple[Role, ...], name: str, person: Person, *, now: datetime) -> Account:
        return self._desk.set_roles(name, roles, person, now=now)

    def _listed(self, person: Person, *, search: str, offset: int, limit: int) -> Any:
        page = self._desk.list(person, search=search, offset=offset, limit=limit)
        return page, [self._desk.view(each, now=self._clock()) for each in page.items]


def _json(view: AccountView) -> dict[str, Any]:
    account = view.account
    return {
        "name": account.name,
        "fullName": account.full_name,
        "roles": list(account.roles),
        "tenant": account.tenant,
        "local": account.is_local,
        "secondFactor": view.factors.any,
        "secondFactorMissing": view.lacks_factor,
        "countsAsOneWith": list(view.handed_by),
        "vouchedBy": account.vouched_by,
        "createdAt": _moment(account.created_at),
        "disabledAt": None if account.disabled_at is None else _moment(account.disabled_at),
    }


def _invitation_json(invitation: Invitation) -> dict[str, Any]:
    return {
        "name": invitation.name,
        "fullName": invitation.full_name,
        "roles": list(invitation.roles),
        "tenant": invitation.tenant,
        "invitedBy": invitation.invited_by,
        "createdAt": _moment(invitation.created_at),
        "expiresAt": _moment(invitation.expires_at),
    }


def _session_json(session: ListedSession) -> dict[str, Any]:
    return {
        "sessionId": session.session_id,
        "kind": "token" if session.is_token else "page",
        "address": session.address,
        "device": session.device,
        "begunAt": _moment(session.begun_at),
        "lastUsedAt": _moment(session.seen_at),
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
