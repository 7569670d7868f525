"""Keys of destinations: how long each is good, who has to act, and changing them with a second person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.administration.routing_tables import key_valid_until
from hub.crypto import expires_at, read_deposit
from hub.errors import HubError, Invalid, Malformed, Refused, Text
from hub.identity import require_a_say
from hub.model import Destination
from hub.store import KeyStep, StoredKey


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


def index(visit: Visit) -> Response:
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
            *visit.hub.key_approval.open(tenant=visit.person.tenant),
            *visit.hub.adapter_approval.open(tenant=visit.person.tenant),
        ],
        names=names,
    )


def new(visit: Visit, *, error: HubError | None = None) -> Response:
    """Show the form for a key."""
    destination = visit.scope.destination(visit.id("id"))
    form = visit.form
    return visit.page(
        "key_form.html",
        status=200 if error is None else 422,
        destination=destination,
        pasted=form.text("pasted", longest=_LONGEST_KEY),
        use=form.text("use", longest=20) or "activate",
        text=form.text("text", longest=500),
        error=error,
    )


def propose_new(visit: Visit) -> Response:
    """Propose a key; what the policy refuses comes back with its reason."""
    destination = visit.scope.destination(visit.id("id"))
    use = visit.form.text("use", longest=20)
    try:
        jwk = read_key(visit, "key", operation="verify" if use == "signature" else "wrapKey")
        visit.hub.key_approval.propose_new(destination, jwk, activate=use == "activate", by=visit.by())
    except Refused as refused:
        return new(visit, error=refused)
    return _back(visit, destination, "key-proposed")


def propose(visit: Visit) -> Response:
    """Propose to activate or retire a key that is on record."""
    destination = visit.scope.destination(visit.id("id"))
    step, kid = visit.form.text("step", longest=20), visit.form.text("kid", longest=64)
    if step not in {KeyStep.ACTIVATE, KeyStep.RETIRE}:
        raise Malformed(Text("Diesen Schritt gibt es nicht.", "There is no such step."))
    visit.hub.key_approval.propose(destination, KeyStep(step), kid, by=visit.by())
    return _back(visit, destination, "key-proposed")


def approve(visit: Visit) -> Response:
    """Approve somebody else's proposal."""
    return _decided(visit, approve=True)


def refuse(visit: Visit) -> Response:
    """Turn a proposal down, or take one's own back."""
    return _decided(visit, approve=False)


def _decided(visit: Visit, *, approve: bool) -> Response:
    require_a_say(visit.person)
    destination = visit.scope.destination(visit.id("id"))
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
