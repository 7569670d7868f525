"""Versions of the register of AI systems, for administrators: the same book as the pages and the command line use.

What people read of it is public (:mod:`hub.api.ai_register`); here it is changed: a draft, a second person's word, publication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.ai_versions import AiVersions
from hub.api import FRESH, etag, in_thread, json_answer, known_state, listed
from hub.api.administration.routing_tables import activation_json, version_json
from hub.errors import handed_in
from hub.identity import Person, Right
from hub.services.ai_systems import AiSystem, system_from
from hub.store import TableVersion

_VERSIONS = "/hub/v1/ai-register/versions"


class AiRegisterAdmin:
    """Handlers of ``/hub/v1/ai-register/versions``."""

    def __init__(self, *, book: AiVersions, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
        self._book = book
        self._person = person
        self._clock = clock

    async def list(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List versions, newest first; drafts included."""
        page = await in_thread(self._book.versions, offset=offset, limit=limit)
        return json_answer(listed("versions", page, [version_json(each) for each in page.items]), headers=FRESH)

    async def show(self, number: int) -> ConnexionResponse:
        """Show a version without its systems; ``ETag`` is what a change has to repeat."""
        return _answer(await in_thread(self._book.version, number))

    async def systems(self, number: int) -> ConnexionResponse:
        """Show a version's systems as files write them, and what they change of what is published."""
        content = await in_thread(self._book.content, number)
        changes = await in_thread(self._book.compare, number, now=self._clock())
        answer = {
            "number": number,
            "systems": [each.as_document() for each in content],
            "changes": [{"de": each.de, "en": each.en} for each in changes],
        }
        return json_answer(answer, headers=FRESH)

    async def create(self, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Make a draft of what is published, with systems put in if some are named: 201."""
        said, person = body or {}, self._person()
        made = await in_thread(self._drafted, said.get("systems", ()), person, said.get("title", ""))
        return _answer(made, 201, {"Location": f"{_VERSIONS}/{made.number}"})

    async def put_systems(self, number: int, body: dict[str, Any]) -> ConnexionResponse:
        """Put systems into a draft, in the place of those with their ids."""
        person, revision = self._person(), _revision()
        return _answer(await in_thread(self._put, number, body["systems"], person, revision))

    async def withdraw(self, number: int, systemId: str) -> ConnexionResponse:  # noqa: N803  # the parameter's name in openapi.yaml
        """Withdraw a system in a draft: it stays to be read."""
        person, revision = self._person(), _revision()
        changed = await in_thread(self._book.withdraw, number, systemId, person, revision=revision, now=self._clock())
        return _answer(changed)

    async def approve(self, number: int, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Approve a draft at exactly this revision, as the second person."""
        person, revision, text = self._person(), _revision(), (body or {}).get("text", "")
        return _answer(
            await in_thread(self._book.approve, number, person, revision=revision, now=self._clock(), text=text)
        )

    async def publish(self, number: int, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Publish an approved version, at once."""
        text = (body or {}).get("text", "")
        begun = await in_thread(self._book.activate, number, self._person(), now=self._clock(), text=text)
        return json_answer(activation_json(begun), headers=FRESH)

    def _drafted(self, given: Iterable[Mapping[str, Any]], person: Person, title: str) -> TableVersion:
        person.require(Right.EDIT)
        return self._book.draft(person, title=title, now=self._clock(), systems=_read(given))

    def _put(self, number: int, given: Iterable[Mapping[str, Any]], person: Person, revision: int) -> TableVersion:
        person.require(Right.EDIT)
        return self._book.add(number, _read(given), person, revision=revision, now=self._clock())


def _read(given: Iterable[Mapping[str, Any]]) -> list[AiSystem]:
    with handed_in():
        return [system_from(dict(each)) for each in given]


def _answer(version: TableVersion, status: int = 200, headers: Mapping[str, str] | None = None) -> ConnexionResponse:
    tag = etag(f"{version.revision}-{version.state.value}")
    return json_answer(version_json(version), status, {**FRESH, **tag, **(headers or {})})


def _revision() -> int:
    """Return the revision that the request was made on."""
    return int(known_state().partition("-")[0])
