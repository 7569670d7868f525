"""Destinations on the pages: the list, one with everything known of it, its services, its keys, its test delivery.

A key says how long it is good and who has to act; it changes with a second person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from hub.admin.charts import PLOT_HEIGHT, PLOT_WIDTH, STRIP, Activities
from hub.admin.request import ROWS, Visit
from hub.administration.adapters import shown
from hub.administration.destinations import Draft, KeyChange, unseen_from
from hub.administration.offers import Offers, without
from hub.administration.routing_tables import key_valid_until
from hub.administration.trials import TrialReport
from hub.crypto import expires_at, read_deposit
from hub.errors import Forbidden, HubError, Invalid, Malformed, NotFound, Refused, Text, TooMany
from hub.identity import require_a_say
from hub.model import ClientKind, Destination, OfferedService
from hub.routing import service_urn
from hub.store import ChangeState, DeliveryState, KeyStep, StoredKey
from hub.web.responses import status_of

#: Notices that the page shows; the audit log has them all.
_NOTICES = 20
_CONTACT = ("legalName", "address", "phone", "email")
_METADATA_VERSIONS = ("1.0.0", "1.3.0", "2.0.0", "2.1.0")
_EMAIL = re.compile(r"[^@\s<>\"]{1,64}@[^@\s<>\"]{1,190}")
_LONGEST_CONTACT = 300
#: How far back "last collected" looks.
_COLLECTED_WITHIN = timedelta(days=30)
_STEPS = {"created": ("active",), "active": ("inactive",), "inactive": ("active", "decommissioned")}


def index(visit: Visit) -> Response:
    """List the destinations whose name or id holds the words of the search."""
    words = visit.query.text("q", longest=100).casefold().split()
    found = [
        each
        for each in visit.scope.destinations()
        if all(word in f"{each.name} {each.destination_id} {each.tenant} {each.adapter}".casefold() for word in words)
    ]
    start = visit.offset()
    rows = [(each, ladder(visit, each)) for each in found[start : start + ROWS]]
    return visit.page("destinations.html", found=rows, total=len(found), rows=ROWS, searched=bool(words))


def show(visit: Visit, *, report: TrialReport | None = None, error: HubError | None = None) -> Response:
    """Show one destination; ``report`` is of a test delivery that was just made."""
    scope = visit.scope
    destination = scope.destination(visit.id("id"))
    dossier = scope.dossier(destination, since=visit.now - _COLLECTED_WITHIN)
    in_force = visit.hub.book.in_force(visit.now)
    activities, here = Activities(visit), destination.destination_id
    backlog = scope.backlog(destination)
    open_now = sum(backlog.get(state, 0) for state in (DeliveryState.QUEUED, DeliveryState.WAITING))
    return visit.page(
        "destination.html",
        status=200 if error is None else 422,
        destination=destination,
        unseen=unseen_from(destination),
        ladder=ladder(visit, destination),
        bars=bars(visit, destination),
        changes=visit.hub.key_approval.of(destination),
        ways=visit.hub.adapter_approval.of(destination),
        circuit=scope.circuit(destination),
        dossier=dossier,
        dead_callbacks=dossier.callback_states.get(DeliveryState.DEAD, 0),
        settings=shown(destination.adapter_config),
        backlog=backlog,
        notices=scope.notices(destination, limit=_NOTICES),
        services=visit.hub.book.services,
        rules=None if in_force is None else [rule for rule in in_force[1] if rule.destination == here],
        next_states=_STEPS.get(destination.status, ()),
        day=activities.day(open_now, here),
        month=activities.month(open_now, here),
        width=PLOT_WIDTH,
        height=PLOT_HEIGHT,
        strip=STRIP,
        report=report,
        error=error,
    )


def new(visit: Visit) -> Response:
    """Show the empty form for a new destination."""
    return _form(visit, {"tenant": visit.person.tenant})


def create(visit: Visit) -> Response:
    """Create a destination with its first keys, within the person's scope; it takes nothing until a second person says so."""
    entered = _entered(visit)
    try:
        draft = _draft(entered)
        sealing = read_key(visit, "encryption", operation="wrapKey")
        signing = read_key(visit, "signature", operation="verify")
        made = visit.hub.destination_service.create(
            replace(draft, metadata_versions=_METADATA_VERSIONS, encryption_kid=sealing.get("kid")),
            visit.person,
            encryption_key=sealing,
            signature_key=signing,
            owner=entered["owner"],
            tenant=entered["tenant"],
            now=visit.now,
        )
    except Refused as refused:
        return _form(visit, entered, error=refused)
    return visit.to(f"/destinations/{made.destination_id}", note="created")


def edit(visit: Visit) -> Response:
    """Show the form for name and contact."""
    destination = visit.scope.destination(visit.id("id"))
    contact = {name: str(destination.contact.get(name, "")) for name in _CONTACT}
    return _form(visit, {"name": destination.name, **contact}, of=True)


def change(visit: Visit) -> Response:
    """Change name and contact; whatever else the contact holds stays."""
    destination = visit.scope.destination(visit.id("id"))
    entered = _entered(visit)
    try:
        draft = _draft(entered)
        kept = {name: value for name, value in destination.contact.items() if name not in _CONTACT}
        draft = replace(draft, contact={**kept, **(draft.contact or {})})
        visit.hub.destination_service.change(
            destination.destination_id, draft, visit.person, now=visit.now, expected=visit.form.text("revision")
        )
    except Refused as refused:
        return _form(visit, entered, of=True, error=refused)
    return visit.to(f"/destinations/{destination.destination_id}", note="saved")


def set_status(visit: Visit) -> Response:
    """Let a destination take submissions, or none; the first time a second person has to."""
    destination = visit.scope.destination(visit.id("id"))
    status = visit.form.text("status", longest=20)
    if status not in _STEPS.get(destination.status, ()):
        raise Invalid(Text("Diesen Schritt gibt es hier nicht.", "There is no such step here."))
    if status == "decommissioned" and visit.form.text("sure") != "yes":
        raise Invalid(
            Text(
                "Stilllegen ist endgültig. Bestätigen Sie es mit dem Häkchen.",
                "Decommissioning is for good. Confirm it with the check mark.",
            )
        )
    try:
        visit.hub.destination_service.change(
            destination.destination_id, Draft(status=status), visit.person, now=visit.now
        )
    except Refused as refused:
        return show(visit, error=refused)
    return visit.to(f"/destinations/{destination.destination_id}", note="saved")


def close_circuit(visit: Visit) -> Response:
    """Close a circuit breaker, so that deliveries are attempted at once."""
    destination_id = visit.id("id")
    text = visit.form.text("text", longest=500)
    visit.hub.destination_service.close_circuit(destination_id, visit.person, text=text, now=visit.now)
    return visit.to(f"/destinations/{destination_id}", note="closed")


def redrive_callback(visit: Visit) -> Response:
    """Send the callbacks of a destination that were given up again."""
    destination = visit.scope.destination(visit.id("id"))
    for each in visit.scope.dead_callbacks(destination):
        if visit.hub.store.callbacks.redrive(each.callback_id, visit.now):
            target = f"callback:{each.callback_id}"
            visit.hub.store.audit.append(
                visit.audit("callback.redrive", target, destination=str(destination.destination_id))
            )
    return visit.to(f"/destinations/{destination.destination_id}", note="redriven")


def _form(visit: Visit, entered: dict[str, str], *, of: bool = False, error: HubError | None = None) -> Response:
    """Show the form, with what was entered; ``of`` an existing destination."""
    subscribers = [
        each for each in visit.scope.clients() if each.kind is ClientKind.SUBSCRIBER and each.disabled_at is None
    ]
    destination = visit.scope.destination(visit.id("id")) if of else None
    return visit.page(
        "destination_form.html",
        status=200 if error is None else 422,
        destination=destination,
        revision=visit.form.text("revision") or (destination.revision if destination else ""),
        entered=dict.fromkeys(("name", "owner", "tenant", *_CONTACT), "") | entered,
        subscribers=subscribers,
        error=error,
    )


def _entered(visit: Visit) -> dict[str, str]:
    form = visit.form
    short = {name: form.text(name, longest=200) for name in ("name", "owner", "tenant")}
    return short | {name: form.text(name, longest=_LONGEST_CONTACT) for name in _CONTACT}


def _draft(entered: dict[str, str]) -> Draft:
    if not entered["name"] or not _EMAIL.fullmatch(entered["email"]):
        raise Invalid(
            Text(
                "Ein Zustellpunkt braucht einen Namen und eine Mailadresse, unter der die Behörde erreichbar ist.",
                "A destination needs a name and a mail address under which the authority is reached.",
            )
        )
    contact = {name: entered[name] for name in _CONTACT if entered[name]}
    return Draft(name=entered["name"], contact={"legalName": entered["name"], **contact})


_LONGEST = 20_000


def edit_offer(visit: Visit) -> Response:
    """Show the form for one service, or for a new one."""
    destination = visit.scope.destination(visit.id("id"))
    wanted = visit.query.text("service", longest=200)
    row = {"service": wanted, "regions": f"DE{destination.tenant}" if destination.tenant else "", "schemas": ""}
    if wanted:
        found = _offered(destination, wanted)
        row["regions"] = " ".join(found.regions)
        row["schemas"] = "\n".join(uri for uri, _ in found.schemas)
    return _offer_form(visit, destination, row, replaces=wanted)


def put(visit: Visit) -> Response:
    """Keep one service; what cannot be kept comes back with what was entered."""
    destination = visit.scope.destination(visit.id("id"))
    row = {name: visit.form.text(name, longest=_LONGEST) for name in ("service", "regions", "schemas")}
    replaces = visit.form.text("replaces", longest=200)
    try:
        offers = _offers(visit)
        regions = row["regions"].replace(",", " ").split()
        made = offers.offer(
            # People may write less than machines: a bare key, and an area without the country.
            service_urn(row["service"]),
            [f"DE{region}" if region[:1].isdigit() else region for region in regions],
            [(uri, None) for uri in row["schemas"].split()],
        )
        others = without(without(destination.services, made.identifier), replaces)
        _keep(visit, destination, (*others, made))
    except Refused as refused:
        return _offer_form(visit, destination, row, replaces=replaces, error=refused)
    return visit.to(f"/destinations/{destination.destination_id}", note="saved")


def _offers(visit: Visit) -> Offers:
    return Offers(
        register=visit.hub.book.services,
        gazetteer=visit.hub.gazetteers(),
        catalog=visit.hub.catalogs(),
        on=visit.now.date(),
    )


def drop(visit: Visit) -> Response:
    """Take one service away."""
    destination = visit.scope.destination(visit.id("id"))
    gone = _offered(destination, visit.form.text("service", longest=200))
    _keep(visit, destination, [each for each in destination.services if each is not gone])
    return visit.to(f"/destinations/{destination.destination_id}", note="saved")


def _keep(visit: Visit, destination: Destination, services: Iterable[OfferedService]) -> None:
    """Keep the services, in the state that the person saw: they are replaced as a whole."""
    draft = Draft(services=tuple(sorted(services, key=lambda each: each.identifier)))
    visit.hub.destination_service.change(
        destination.destination_id, draft, visit.person, now=visit.now, expected=visit.form.text("revision")
    )


def _offered(destination: Destination, identifier: str) -> OfferedService:
    found = next((each for each in destination.services if each.identifier == identifier), None)
    if found is None:
        raise NotFound(
            Text("Diese Leistung nimmt der Zustellpunkt nicht.", "The destination does not take this service.")
        )
    return found


def _offer_form(
    visit: Visit, destination: Destination, row: dict[str, str], *, replaces: str, error: HubError | None = None
) -> Response:
    services = visit.hub.book.services
    return visit.page(
        "offer.html",
        status=200 if error is None else 422,
        destination=destination,
        revision=visit.form.text("revision") or destination.revision,
        row=row,
        replaces=replaces,
        services=[(urn, services.name(urn)) for urn in services],
        entries=visit.hub.catalogs().entries(),
        day=visit.now.date(),
        error=error,
    )


def run(visit: Visit) -> Response:
    """Make a test delivery and show its steps on the destination's page."""
    destination = visit.scope.destination(visit.id("id"))
    try:
        report = visit.tools.trials.run(destination, actor=visit.person.name, now=visit.now)
    except TooMany as error:
        return show(visit, error=error)
    return show(visit, report=report)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """Fewer ``days`` than this left: the colour that says so, and who has to do what."""

    days: int
    colour: str
    duty: Text


#: The ladder, the most urgent first.
RUNGS = (
    Rung(
        days=7,
        colour="danger",
        duty=Text(
            "Betrieb des Hubs: heute anrufen, eine zweite Person zur Freigabe bereithalten.",
            "Operators of the hub: call today, have a second person ready to approve.",
        ),
    ),
    Rung(
        days=30,
        colour="warning",
        duty=Text(
            "Betrieb des Hubs: bei der Behörde nachfragen, Termin für den Wechsel vereinbaren.",
            "Operators of the hub: ask the authority, agree on a day for the change.",
        ),
    ),
    Rung(
        days=90,
        colour="info",
        duty=Text("Behörde: neues Zertifikat beantragen.", "Authority: apply for a new certificate."),
    ),
)
_GONE = Text(
    "Betrieb des Hubs und Behörde: Der offene Eingang weist ab. Sofort einen neuen Schlüssel hinterlegen.",
    "Operators and authority: the plain door turns applications away. Deposit a new key at once.",
)
_NOTHING = Text("Niemand muss etwas tun.", "Nobody has to do anything.")
#: Days that the picture spans; a longer bar ends in an arrow.
SPAN = 400
_LONGEST_KEY = 128 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """How long a key is good: days left (None: not good now), the colour of that, and who has to act."""

    until: datetime | None
    days: int | None
    colour: str
    duty: Text

    @property
    def length(self) -> int:
        """The bar's length in the picture."""
        return min(self.days or 0, SPAN)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyBar:
    """One key of a destination and how long it is good; ``in_use`` for the one that is sealed to."""

    key: StoredKey
    ladder: Ladder
    in_use: bool


def ladder(visit: Visit, destination: Destination) -> Ladder:
    """Return how urgent a destination's encryption key is."""
    return _ladder(key_valid_until(visit.hub.store, visit.hub.policy, destination, visit.now), visit.now)


def bars(visit: Visit, destination: Destination) -> list[KeyBar]:
    """Return a destination's keys as bars, the one in use first."""
    return [
        KeyBar(key=key, ladder=_of_key(key, visit.now), in_use=key.kid == destination.encryption_kid)
        for key in visit.scope.keys(destination)
    ]


def list_keys(visit: Visit) -> Response:
    """Show the ladder of all destinations, the most urgent first, and the changes that wait for a second person."""
    rows = [(each, ladder(visit, each)) for each in visit.scope.destinations() if each.status != "decommissioned"]
    rows.sort(key=lambda row: (row[1].days is not None, row[1].days or 0, row[0].name))
    start = visit.offset()
    names = {each.destination_id: each.name for each in visit.scope.destinations()}
    return visit.page(
        "keys.html",
        keys=rows[start : start + ROWS],
        total=len(rows),
        rows=ROWS,
        rungs=RUNGS,
        span=SPAN,
        changes=[
            *visit.hub.key_approval.open(scope=visit.person.scope),
            *visit.hub.adapter_approval.open(scope=visit.person.scope),
        ],
        names=names,
    )


def new_key(visit: Visit, *, error: HubError | None = None) -> Response:
    """Show the form for a key."""
    destination = visit.scope.destination(visit.id("id"))
    form = visit.form
    return visit.page(
        "key_form.html",
        status=200 if error is None else status_of(error),
        destination=destination,
        pasted=form.text("pasted", longest=_LONGEST_KEY),
        use=form.text("use", longest=20) or "activate",
        text=form.text("text", longest=500),
        error=error,
    )


def propose_new_key(visit: Visit) -> Response:
    """Record a key for sealing and, if asked, propose its use; propose one for signatures, or approve it by the same word.

    What the policy refuses comes back with its reason.
    """
    require_a_say(visit.person)
    destination, desk = visit.scope.destination(visit.id("id")), visit.hub.destination_service
    here, word = destination.destination_id, visit.form.text("text", longest=500)
    use = visit.form.text("use", longest=20)
    try:
        jwk = read_key(visit, "key", operation="verify" if use == "signature" else "wrapKey")
        made = desk.add_key(here, jwk, visit.person, now=visit.now, text=word)
        change = made.change
        if use == "activate":
            change = desk.change_key(here, str(jwk["kid"]), KeyStep.ACTIVATE, visit.person, now=visit.now, text=word)
    except Forbidden:
        raise
    except Refused as refused:
        return new_key(visit, error=refused)
    return _back(visit, destination, "key-stored" if change is None else _note_of(change))


def propose_key(visit: Visit) -> Response:
    """Propose to activate or retire a key that is on record; whoever may approve does so by the same word."""
    require_a_say(visit.person)
    destination = visit.scope.destination(visit.id("id"))
    step, kid = visit.form.text("step", longest=20), visit.form.text("kid", longest=64)
    if step not in {KeyStep.ACTIVATE, KeyStep.RETIRE}:
        raise Malformed(Text("Diesen Schritt gibt es nicht.", "There is no such step."))
    change = visit.hub.destination_service.change_key(
        destination.destination_id,
        kid,
        KeyStep(step),
        visit.person,
        now=visit.now,
        text=visit.form.text("text", longest=500),
    )
    return _back(visit, destination, _note_of(change))


def _note_of(change: KeyChange) -> str:
    return "key-proposed" if change.state is ChangeState.OPEN else "key-approved"


def approve_key(visit: Visit) -> Response:
    """Approve somebody else's proposal."""
    return _decided(visit, approve=True)


def refuse_key(visit: Visit) -> Response:
    """Turn a proposal down, or take one's own back."""
    return _decided(visit, approve=False)


def _decided(visit: Visit, *, approve: bool) -> Response:
    require_a_say(visit.person)
    destination = visit.scope.destination(visit.id("id"))
    require_a_say(visit.person, destination)
    change, text = visit.form.number("change"), visit.form.text("text", longest=500)
    visit.hub.destination_service.decide_key(
        destination.destination_id, change, visit.person, approve=approve, text=text, now=visit.now
    )
    return _back(visit, destination, "key-approved" if approve else "key-refused")


def read_key(visit: Visit, name: str, *, operation: str) -> Mapping[str, Any]:
    """Return the key that was uploaded as file ``name``, or else pasted as ``pasted``.

    Raises:
        Invalid: neither was sent. KeyRefused: it cannot be read.
    """
    _, content = visit.form.files.get(name, ("", b""))
    content = content or visit.form.text("pasted", longest=_LONGEST_KEY).encode()
    if not content:
        raise Invalid(
            Text(
                "Laden Sie einen Schlüssel hoch: einen öffentlichen JWK (JSON) oder ein Zertifikat (PEM, DER).",
                "Upload a key: a public JWK (JSON) or a certificate (PEM, DER).",
            )
        )
    return read_deposit(content, operation=operation)


def _of_key(key: StoredKey, now: datetime) -> Ladder:
    if key.retired_at is not None:
        return Ladder(until=expires_at(key.jwk), days=0, colour="info", duty=_NOTHING)
    end = expires_at(key.jwk)
    return _ladder(datetime.max.replace(tzinfo=now.tzinfo) if end is None else end if end > now else None, now)


def _ladder(until: datetime | None, now: datetime) -> Ladder:
    if until is None:
        return Ladder(until=None, days=None, colour="danger", duty=_GONE)
    days = (until - now) // timedelta(days=1)
    rung = next((each for each in RUNGS if days < each.days), None)
    if rung is None:
        return Ladder(until=until, days=days, colour="success", duty=_NOTHING)
    return Ladder(until=until, days=days, colour=rung.colour, duty=rung.duty)


def _back(visit: Visit, destination: Destination, note: str) -> Response:
    return visit.to(f"/destinations/{destination.destination_id}", note=note)
