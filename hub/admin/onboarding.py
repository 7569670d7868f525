"""Taking authorities in: how all of them stand, a wizard for one, a table for many, and what a second person says of it.

The wizard's steps are forms that carry what was entered before, so they work without a script and on several nodes. Keys come
in the last one and are kept nowhere but in what is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.administration.onboarding_sheet import COLUMNS, LARGEST, CellFault, Sheet, SheetRow, read_sheet, write_sheet
from hub.administration.onboarding_standing import RowChange, Stage
from hub.administration.trials import TrialReport
from hub.errors import HubError, Invalid, NotFound, Refused, Text
from hub.identity import Right

#: Bytes of a table with its files, and how many may come: two keys and a password for each of some hundreds.
LARGEST_TABLE = 16 * 1024 * 1024
MOST_FILES = 1_500
_LONGEST = 1_000
#: Which columns each step of the wizard asks for, in their order; the last one hands in.
STEPS: Sequence[tuple[str, ...]] = (
    ("ars", "name", "contact"),
    ("template",),
    ("adapter", "address", "options"),
    ("encryption_key", "signing_key", "password_file"),
)
_ENTERED = tuple(column for step in STEPS[:-1] for column in step)
_UPLOADS = STEPS[-1]
#: Faults and changes that a page shows; it counts all.
_MOST_SHOWN = 200


def index(visit: Visit) -> Response:
    """Show how all authorities stand, searched and filtered, and the latest runs."""
    desk, person = visit.hub.onboarding, visit.person
    text = visit.query.text("q", longest=100)
    said = visit.query.text("stage", longest=20)
    stage = Stage(said) if said in set(Stage) else None
    page = desk.standings(person, text=text, stage=stage, offset=visit.offset(), limit=ROWS, now=visit.now)
    return visit.page(
        "onboarding.html",
        page=page,
        rows=ROWS,
        counts=desk.counts(person, now=visit.now),
        runs=desk.runs(person, limit=10).items,
        stage=stage,
        stages=STAGES,
        searched=bool(text or stage),
        may=_may_hand_in(visit),
    )


def sample(_: Visit) -> Response:
    """Give an empty table with its columns, as spreadsheets open it."""
    content = write_sheet([{"name": "Musterstadt", "ars": "DE06…", "contact": "amt@musterstadt.example"}])
    return Response(
        content,
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="aufnahme.csv"', "cache-control": "no-store"},
    )


def new(visit: Visit) -> Response:
    """Show the first step of the wizard; ``ars`` in the address fills the area in."""
    _require_hand_in(visit)
    return _step(visit, 0, {**dict.fromkeys(_ENTERED, ""), "ars": visit.query.text("ars", longest=20)}, [])


def step(visit: Visit) -> Response:
    """Judge what was entered so far, and show the next step, or this one with its faults; the last one hands in."""
    _require_hand_in(visit)
    here = min(visit.form.number("step"), len(STEPS) - 1)
    entered = {name: visit.form.text(name, longest=_LONGEST) for name in _ENTERED}
    if visit.form.text("back"):
        return _step(visit, max(here - 1, 0), entered, [])
    if here == len(STEPS) - 1:
        return _handed_in(visit, entered)
    asked = {column for columns in STEPS[: here + 1] for column in columns}
    faults = [each for each in _faults(visit, entered) if each.column in asked]
    if faults:
        wrong = next(place for place, columns in enumerate(STEPS) if faults[0].column in columns)
        return _step(visit, wrong, entered, faults)
    return _step(visit, here + 1, entered, [])


def table(visit: Visit) -> Response:
    """Take a table with its files: say what is wrong or would change, and hand it in unless it is only to be checked."""
    desk, person, only_check = visit.hub.onboarding, visit.person, visit.form.text("check") == "yes"
    _, content = visit.form.files.get("table", ("", b""))
    try:
        if len(content) > LARGEST or not content:
            raise Invalid(Text("Wählen Sie eine Tabelle bis 2 MiB.", "Choose a table of up to 2 MiB."))
        sheet, read = read_sheet(content), _uploaded(visit)
        if only_check:
            changes = desk.check(sheet, read, person, now=visit.now)
            return _result(visit, changes=changes)
        done = desk.hand_in(sheet, read, person, title=visit.form.text("title", longest=200), now=visit.now)
    except Refused as refused:
        return _result(visit, error=refused)
    if done.run is None:
        return _result(visit, changes=done.changes)
    return visit.to(f"/onboarding/runs/{done.run.run_id}", note="handed-in")


def run(visit: Visit) -> Response:
    """Show one run: what its rows change, and what a second person may say of it."""
    return _run(visit)


def release(visit: Visit) -> Response:
    """Release a run as a second person."""
    text = visit.form.text("text", longest=500)
    try:
        visit.hub.onboarding.release(_number(visit), visit.person, text=text, now=visit.now)
    except NotFound:
        raise
    except Refused as refused:
        return _run(visit, error=refused)
    return visit.to(f"/onboarding/runs/{_number(visit)}", note="approved")


def refuse(visit: Visit) -> Response:
    """Turn a run down, or take one's own back."""
    if not visit.person.may(
        Right.OPERATE
    ):  # Who hands in may take back; nobody else but an approver says anything here.
        visit.person.require(Right.APPROVE)
    text = visit.form.text("text", longest=500)
    visit.hub.onboarding.refuse(_number(visit), visit.person, text=text, now=visit.now)
    return visit.to(f"/onboarding/runs/{_number(visit)}", note="discarded")


def live(visit: Visit) -> Response:
    """Put those of a run that are ready into service, or the one that is named."""
    area, text = visit.form.text("ars", longest=12), visit.form.text("text", longest=500)
    try:
        visit.hub.onboarding.go_live(
            _number(visit), visit.person, areas=[area] if area else [], text=text, now=visit.now
        )
    except NotFound:
        raise
    except Refused as refused:
        return _run(visit, error=refused)
    return visit.to(f"/onboarding/runs/{_number(visit)}", note="activated")


def show(visit: Visit) -> Response:
    """Show one authority: what is done, what is missing, and what can be done next."""
    return _one(visit)


def test(visit: Visit) -> Response:
    """Send an authority a marked test delivery by its real adapter, and show what came of it."""
    try:
        report = visit.hub.onboarding.test(visit.parts["id"], visit.person, now=visit.now)
    except NotFound:
        raise
    except Refused as refused:
        return _one(visit, error=refused)
    return _one(visit, report=report)


def pack(visit: Visit) -> Response:
    """Give what an authority gets to begin with."""
    ars = visit.parts["id"]
    content = visit.hub.onboarding.pack(ars, visit.person, now=visit.now)
    return Response(
        content,
        media_type="application/zip",
        headers={"content-disposition": f'attachment; filename="aufnahme-{ars}.zip"', "cache-control": "no-store"},
    )


def _step(visit: Visit, number: int, entered: Mapping[str, str], faults: Sequence[CellFault]) -> Response:
    desk = visit.hub.onboarding
    fitting = desk.templates_for(entered["ars"]) if number == 1 else ()
    return visit.page(
        "onboarding_new.html",
        status=422 if faults else 200,
        step=number,
        steps=_STEP_WORDS,
        entered=entered,
        columns=STEPS[number],
        fitting=[(each.template_id, visit.say(each.name), len(each.services)) for each in fitting],
        adapters=[(name, name) for name in visit.tools.adapters.names()],
        wrong={each.column: visit.say(each.text) for each in faults},
    )


def _faults(visit: Visit, entered: Mapping[str, str], cells: Mapping[str, str] | None = None) -> Sequence[CellFault]:
    sheet = _sheet({**entered, **(cells or {})})
    return visit.hub.onboarding.faults(sheet, _uploaded(visit), visit.person, now=visit.now)


def _handed_in(visit: Visit, entered: Mapping[str, str]) -> Response:
    cells = {name: name for name in _UPLOADS if visit.form.files.get(name, ("", b""))[1]}
    desk = visit.hub.onboarding

    def read(name: str) -> bytes:
        return visit.form.files[name][1]

    try:
        done = desk.hand_in(_sheet({**entered, **cells}), read, visit.person, title=entered["name"], now=visit.now)
    except Invalid as refused:
        said = refused.members.get("faults")
        if said is None:
            raise
        faults = _faults_in(said)
        return _step(visit, len(STEPS) - 1, entered, faults)
    if done.run is None:
        area = done.changes[0].plan.ars
        return visit.to(f"/onboarding/{area}", note="unchanged")
    return visit.to(f"/onboarding/runs/{done.run.run_id}", note="handed-in")


def _faults_in(said: Sequence[Mapping[str, Any]]) -> list[CellFault]:
    return [
        CellFault(row=each["row"], column=each["column"], text=Text(each["text"]["de"], each["text"]["en"]))
        for each in said
    ]


def _sheet(cells: Mapping[str, str]) -> Sheet:
    return Sheet(rows=[SheetRow(number=1, cells=cells)], words={})


def _uploaded(visit: Visit) -> _Uploads:
    return _Uploads({name.rpartition("/")[2]: content for name, content in visit.form.uploads.get("files", ())})


class _Uploads:
    """The files that came with a table, by the names that its cells say."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def __call__(self, name: str) -> bytes:
        found = self._files.get(name.replace("\\", "/").rpartition("/")[2])
        if found is None:
            raise Invalid(
                Text(
                    "Diese Datei kam nicht mit. Wählen Sie unter „Dateien“ alle, die die Tabelle nennt.",
                    "This file did not come along. Choose all files that the table names.",
                )
            )
        return found


def _result(visit: Visit, *, changes: Sequence[RowChange] = (), error: HubError | None = None) -> Response:
    faults = [] if error is None else list(error.members.get("faults", ()))
    return visit.page(
        "onboarding_table.html",
        status=200 if error is None else 422,
        error=error,
        faults=faults[:_MOST_SHOWN],
        changes=[each for each in changes if not each.is_none][:_MOST_SHOWN],
        unchanged=sum(each.is_none for each in changes),
    )


def _run(visit: Visit, *, error: HubError | None = None) -> Response:
    desk, number = visit.hub.onboarding, _number(visit)
    found, rows = desk.show(number, visit.person)
    start = visit.offset()
    shown = rows[start : start + ROWS]
    waits = found.state.value == "open"
    changes = {each.plan.ars: each for each in desk.changes_of(number, visit.person, now=visit.now)} if waits else {}
    standings = {} if waits else desk.stages(visit.person, now=visit.now)
    return visit.page(
        "onboarding_run.html",
        status=200 if error is None else 422,
        run=found,
        shown=shown,
        total=len(rows),
        rows=ROWS,
        changes=changes,
        standings=standings,
        ready=sum(standings.get(each.ars) is Stage.READY for each in rows),
        stages=STAGES,
        error=error,
        own=found.proposed_by == visit.person.name,
    )


def _one(visit: Visit, *, report: TrialReport | None = None, error: HubError | None = None) -> Response:
    ars = visit.parts["id"]
    standing = visit.hub.onboarding.standing(ars, visit.person, now=visit.now)
    order = [each for each in Stage if each is not Stage.ABSENT]
    reached = len(order) if standing.stage is Stage.ABSENT else order.index(standing.stage)
    return visit.page(
        "onboarding_one.html",
        status=200 if error is None else 422,
        standing=standing,
        ars=ars,
        order=[(each, standing.stage is not Stage.ABSENT and place < reached) for place, each in enumerate(order)],
        stages=STAGES,
        report=report,
        error=error,
        may=_may_hand_in(visit),
    )


def _number(visit: Visit) -> int:
    said = visit.parts["number"]
    if not said.isascii() or not said.isdigit() or len(said) > 9:  # noqa: PLR2004  # fits every database
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return int(said)


def _may_hand_in(visit: Visit) -> bool:
    return visit.person.may(Right.OPERATE) and visit.person.may(Right.EDIT)


def _require_hand_in(visit: Visit) -> None:
    visit.person.require(Right.OPERATE)
    visit.person.require(Right.EDIT)


#: What each stage is called, and what is to be done at it.
STAGES: Mapping[Stage, tuple[Text, Text]] = {
    Stage.ABSENT: (
        Text("nicht begonnen", "not begun"),
        Text("Mit dem Assistenten oder einer Tabelle aufnehmen.", "Take it in by the wizard or a table."),
    ),
    Stage.RELEASE: (
        Text("wartet auf Freigabe", "waits for release"),
        Text("Eine zweite Person gibt die Aufnahme frei.", "A second person releases the onboarding."),
    ),
    Stage.MAKING: (
        Text("Anlage unvollständig", "not all made"),
        Text("Die Freigabe brach ab: Freigeben setzt sie fort.", "The release broke off: releasing goes on with it."),
    ),
    Stage.CERTIFICATE: (
        Text("Zertifikat fehlt", "certificate missing"),
        Text(
            "Den Zertifikatsantrag von der PKI bescheinigen lassen und mit dem Zertifikat noch einmal einreichen.",
            "Have the PKI certify the request, and hand it in once more with the certificate.",
        ),
    ),
    Stage.TEST: (
        Text("Testzustellung fehlt", "test delivery missing"),
        Text("Eine gekennzeichnete Testzustellung schicken.", "Send a marked test delivery."),
    ),
    Stage.READY: (
        Text("bereit", "ready"),
        Text("Eine zweite Person nimmt sie in Betrieb.", "A second person puts it into service."),
    ),
    Stage.LIVE: (Text("in Betrieb", "in service"), Text("Nichts.", "Nothing.")),
}
_STEP_WORDS = (
    Text("Behörde", "Authority"),
    Text("Leistungen", "Services"),
    Text("Zustellweg", "Way of delivery"),
    Text("Schlüssel", "Keys"),
)
__all__ = ["COLUMNS", "LARGEST_TABLE", "MOST_FILES", "STAGES"]
