"""Dead letters over HTTP, for those who manage destinations: their own ones only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from connexion.lifecycle import ConnexionResponse

from hub.administration.dead_letters import By, DeadLetters
from hub.api.answers import json_answer, listed
from hub.api.threads import in_thread
from hub.errors import NotFound, Text
from hub.identity.access import reach
from hub.identity.clients import Caller
from hub.model.reasons import for_people, reason_of
from hub.model.submission import DeadCause
from hub.store import DeliveryView, Store


class DeadLetterDesk:
    """Handlers of ``/hub/v1/dead-letters``."""

    def __init__(
        self, *, letters: DeadLetters, store: Store, caller: Callable[[], Caller], clock: Callable[[], datetime]
    ) -> None:
        self._letters = letters
        self._store = store
        self._caller = caller
        self._clock = clock

    async def list(
        self,
        cause: str | None = None,
        destinationId: str | None = None,  # noqa: N803  # the contract's name
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """List dead letters of the caller's destinations."""
        within = await in_thread(self._within, self._caller(), destinationId)
        page = await in_thread(self._letters.list, _cause(cause), within=within, offset=offset, limit=limit)
        reasons = await in_thread(self._letters.reasons, page)
        rows = [_row(each) | {"reason": _reason(reasons.get(each.delivery_id))} for each in page.items]
        return json_answer(listed("deadLetters", page, rows))

    async def redrive(self, deliveryId: str, body: dict[str, Any] | None = None) -> ConnexionResponse:  # noqa: N803
        """Send one dead letter again."""
        caller = self._caller()
        within = await in_thread(self._within, caller, None)
        again = await in_thread(
            self._letters.redrive, UUID(deliveryId), within=within, by=self._person(caller, body or {})
        )
        return json_answer({"redriven": int(again)}, 202)

    async def redrive_all(self, body: dict[str, Any]) -> ConnexionResponse:
        """Send all dead letters of a cause again."""
        caller = self._caller()
        within = await in_thread(self._within, caller, body.get("destinationId"))
        number = await in_thread(
            self._letters.redrive_all, _cause(body["cause"]), within=within, by=self._person(caller, body)
        )
        return json_answer({"redriven": number}, 202)

    def _person(self, caller: Caller, body: dict[str, Any]) -> By:
        return By(actor=f"client:{caller.client_id}", now=self._clock(), reason=body.get("reason", ""))

    def _within(self, caller: Caller, destination_id: str | None) -> frozenset[UUID]:
        """Return the caller's destinations inside its tenant, or the one that it names."""
        client = self._store.client(caller.client_id)
        tenant = client.tenant if client is not None else ""
        own = self._store.destination_ids(owner=caller.client_id, tenant=tenant, among=reach(caller))
        if destination_id is None:
            return own
        wanted = frozenset({UUID(destination_id)})
        if not wanted <= own:
            raise NotFound(
                Text(
                    "Ein solcher Zustellpunkt gehört nicht zu Ihrem Client. Prüfen Sie die destinationId.",
                    "No such destination belongs to your client. Check the destinationId.",
                ),
                slug="destination-not-found",
            )
        return wanted


def _cause(text: str | None) -> DeadCause | None:
    return None if text is None else DeadCause(text)


def _reason(note: str | None) -> dict[str, str] | None:
    """Return what a note says: a code that never changes, and its text in both languages."""
    if note is None:
        return None
    return {"code": reason_of(note).code, "de": for_people(note, german=True), "en": for_people(note, german=False)}


def _row(view: DeliveryView) -> dict[str, Any]:
    ended = view.finished_at
    return {
        "deliveryId": str(view.delivery_id),
        "submissionId": str(view.submission_id),
        "destinationId": str(view.destination_id),
        "cause": view.cause.value if view.cause is not None else DeadCause.HUB.value,
        "acceptedAt": view.accepted_at.isoformat(timespec="milliseconds"),
        "endedAt": None if ended is None else ended.isoformat(timespec="milliseconds"),
    }
