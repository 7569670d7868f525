"""Proof of a case for its parties: the signed checkpoint that holds it, and the way there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from connexion.lifecycle import ConnexionResponse

from hub.api.answers import json_answer
from hub.api.threads import in_thread
from hub.fit_connect.collection import Cases
from hub.identity.clients import Caller
from hub.proof.checkpoints import Checkpoints


class Proofs:
    """Handler of ``/hub/v1/cases/{caseId}/proof``."""

    def __init__(self, *, cases: Cases, checkpoints: Checkpoints, caller: Callable[[], Caller]) -> None:
        self._cases = cases
        self._checkpoints = checkpoints
        self._caller = caller

    async def show(self, caseId: str) -> ConnexionResponse:  # noqa: N803  # the parameter's name in openapi.yaml
        """Return the proof as JSON."""
        return json_answer(await in_thread(self._proof, UUID(caseId), self._caller()))

    def _proof(self, case_id: UUID, caller: Caller) -> dict[str, Any]:
        self._cases.show(case_id, caller=caller)  # Refuses whoever is no party.
        return self._checkpoints.proof(case_id)
