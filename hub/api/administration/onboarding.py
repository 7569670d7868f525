"""Taking authorities in over the API: handed in, released by a second person, tested, put into service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.onboarding import OnboardingService
from hub.administration.onboarding_sheet import Sheet, SheetRow
from hub.administration.onboarding_standing import AuthorityStanding, RowChange, Stage
from hub.api import FRESH, in_thread, json_answer, listed
from hub.errors import Invalid, Text
from hub.identity import Person
from hub.store import OnboardingRow, OnboardingRun

#: Members of a row that hold a public key as text, by the column that names a file in a table.
_KEYS = {"encryption_key": "encryptionKey", "signing_key": "signingKey"}


class OnboardingAdmin:
    """Handlers of ``/hub/v1/onboarding``."""

    def __init__(self, *, desk: OnboardingService, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
        self._desk = desk
        self._person = person
        self._clock = clock

    async def list(self, q: str = "", stage: str | None = None, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List how the authorities in the person's scope stand."""
        wanted = None if stage is None else Stage(stage)
        page = await in_thread(
            self._desk.standings,
            self._person(),
            text=q,
            stage=wanted,
            offset=offset,
            limit=limit,
            now=self._clock(),
        )
        return json_answer(listed("authorities", page, [_standing_json(each) for each in page.items]), headers=FRESH)

    async def show(self, areaCode: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Show how one authority stands."""
        found = await in_thread(self._desk.standing, areaCode, self._person(), now=self._clock())
        return json_answer(_standing_json(found), headers=FRESH)

    async def hand_in(self, body: dict[str, Any]) -> ConnexionResponse:
        """Hand authorities in, or only check: 200 where nothing waits for it, 201 with the run that does."""
        rows, texts = _rows(body["rows"])

        def read(name: str) -> bytes:
            return texts[name].encode("utf-8")

        sheet, person, now = Sheet(rows=rows, words=_WORDS), self._person(), self._clock()
        if body.get("checkOnly", False):
            changes = await in_thread(self._desk.check, sheet, read, person, now=now)
            run = None
        else:
            done = await in_thread(self._desk.hand_in, sheet, read, person, title=body.get("title", ""), now=now)
            changes, run = done.changes, done.run
        document: dict[str, Any] = {"rows": [_change_json(each) for each in changes]}
        if run is not None:
            document["run"] = _run_json(run)
        return json_answer(document, status=200 if run is None else 201, headers=FRESH)

    async def runs(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the runs that concern the person's scope, newest first."""
        page = await in_thread(self._desk.runs, self._person(), offset=offset, limit=limit)
        return json_answer(listed("runs", page, [_run_json(each) for each in page.items]), headers=FRESH)

    async def run(self, number: int) -> ConnexionResponse:
        """Show a run and its rows."""
        found, rows = await in_thread(self._desk.show, number, self._person())
        return json_answer(_run_json(found) | {"rows": [_row_json(each) for each in rows]}, headers=FRESH)

    async def release(self, number: int, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Release a run as a second person."""
        found = await in_thread(
            self._desk.release, number, self._person(), text=(body or {}).get("text", ""), now=self._clock()
        )
        return json_answer(_run_json(found), headers=FRESH)

    async def refuse(self, number: int, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Turn a run down, or take one's own back."""
        found = await in_thread(
            self._desk.refuse, number, self._person(), text=(body or {}).get("text", ""), now=self._clock()
        )
        return json_answer(_run_json(found), headers=FRESH)

    async def go_live(self, number: int, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Put those of a run that are ready into service, or those that are named."""
        said = body or {}
        done = await in_thread(
            self._desk.go_live,
            number,
            self._person(),
            areas=said.get("areas", ()),
            text=said.get("text", ""),
            now=self._clock(),
        )
        return json_answer({"areas": [*done]}, headers=FRESH)

    async def test(self, areaCode: str, body: dict[str, Any] | None = None) -> ConnexionResponse:  # noqa: N803, ARG002
        """Send an authority a marked test delivery."""
        report = await in_thread(self._desk.test, areaCode, self._person(), now=self._clock())
        steps = [{"step": each.stage.value, "good": each.good, "text": _text_json(each.text)} for each in report.steps]
        return json_answer({"good": report.good, "meaning": _text_json(report.meaning), "steps": steps}, headers=FRESH)

    async def pack(self, areaCode: str) -> ConnexionResponse:  # noqa: N803
        """Give what an authority gets to begin with, as a ZIP."""
        content = await in_thread(self._desk.pack, areaCode, self._person(), now=self._clock())
        name = f'attachment; filename="aufnahme-{areaCode}.zip"'
        return ConnexionResponse(
            status_code=200, body=content, mimetype="application/zip", headers={**FRESH, "Content-Disposition": name}
        )


def _rows(said: list[dict[str, Any]]) -> tuple[list[SheetRow], Mapping[str, str]]:
    """Return rows as a table has them; their keys are texts by names that nobody but this request knows."""
    rows, texts = [], {}
    for number, each in enumerate(said, start=1):
        cells = {column: str(each.get(name, "")) for column, name in _WORDS.items() if column not in _KEYS}
        for column, name in _KEYS.items():
            text = each[name]
            if "PRIVATE KEY" in text:
                raise Invalid(
                    Text(
                        "Ein privater Schlüssel gehört nicht hierher. Behandeln Sie ihn als offengelegt.",
                        "A private key does not belong here. Treat it as disclosed.",
                    )
                )
            cells[column] = f"{number}-{column}"
            texts[cells[column]] = text
        rows.append(SheetRow(number=number, cells=cells))
    return rows, texts


def _standing_json(each: AuthorityStanding) -> dict[str, Any]:
    row = each.row
    return {
        "ars": each.place.area.ars,
        "name": each.name,
        "stage": each.stage.value,
        "missing": [one.value for one in each.missing],
        "run": None if row is None else row.run_id,
        "waitingRun": None if each.waiting is None else each.waiting.run_id,
        "destinationId": None if each.destination is None else str(each.destination.destination_id),
        "clientId": None if row is None else row.client_id,
        "testedAt": None if row is None else _moment(row.tested_at),
        "testedWell": row is not None and row.tested_well,
    }


def _run_json(run: OnboardingRun) -> dict[str, Any]:
    return {
        "run": run.run_id,
        "title": run.title,
        "state": run.state.value,
        "proposedBy": run.proposed_by,
        "proposedAt": _moment(run.proposed_at),
        "settledBy": run.decided_by,
        "settledAt": _moment(run.decided_at),
        "count": run.rows,
        "made": run.made,
    }


def _row_json(row: OnboardingRow) -> dict[str, Any]:
    return {"ars": row.ars, "name": row.name, "row": row.number, "madeAt": _moment(row.made_at)}


def _change_json(each: RowChange) -> dict[str, Any]:
    return {
        "ars": each.plan.ars,
        "name": each.plan.name,
        "new": each.is_new,
        "differences": [one.as_json() for one in each.differences],
    }


def _text_json(text: Text) -> dict[str, str]:
    return {"de": text.de, "en": text.en}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


#: What the interface calls the columns of a table.
_WORDS: Mapping[str, str] = {
    "name": "name",
    "ars": "ars",
    "contact": "contact",
    "template": "template",
    "adapter": "adapter",
    "address": "address",
    "options": "options",
    **_KEYS,
}
