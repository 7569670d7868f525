"""Readiness for what is announced over the API: what of the real traffic would be refused, and who uses what will end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connexion.lifecycle import ConnexionResponse

from hub.administration.readiness import ReadinessDesk, report_document, uses_document
from hub.api import FRESH, in_thread, json_answer
from hub.identity import Person


class ReadinessAdmin:
    """Handlers of ``/hub/v1/readiness``."""

    def __init__(self, *, desk: ReadinessDesk, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
        self._desk = desk
        self._person = person
        self._clock = clock

    async def show(self, standard: str, version: str) -> ConnexionResponse:
        """Say what of a month's traffic to the person's destinations a version would refuse."""
        scope = self._person().scope
        report = await in_thread(self._desk.report, standard, version, scope=scope, now=self._clock())
        return json_answer(report_document(report), headers=FRESH)

    async def uses(self) -> ConnexionResponse:
        """Say who within the person's scope uses what will end."""
        scope, now = self._person().scope, self._clock()
        uses = await in_thread(self._desk.uses, scope=scope, now=now)
        destinations = await in_thread(self._desk.old_metadata, scope=scope)
        return json_answer(uses_document(uses, destinations), headers=FRESH)
