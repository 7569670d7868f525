"""Adapter settings: a form made from the options that an adapter declares; a secret is the name of a file, never shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from hub.admin.request import SentForm, Visit
from hub.administration.destinations import Draft
from hub.errors import HubError, Invalid, Refused, Text, handed_in
from hub.identity import require_a_say
from hub.model import Destination
from hub.model.adapter import Option

_LONGEST = 8_000
#: What the usual options mean; an adapter of somebody else's may have others, which stand there by their name alone.
_HINTS: Mapping[str, Text] = {
    "url": Text("Adresse, an die zugestellt wird (https)", "address to deliver to (https)"),
    "token_url": Text("Adresse des Token-Endpunkts", "address of the token endpoint"),
    "submission_api": Text("Basisadresse ohne Version", "base address without version"),
    "endpoint": Text("Adresse des Speicherdienstes", "address of the storage service"),
    "bucket": Text("Name des Eimers", "name of the bucket"),
    "prefix": Text("Anfang aller Objektnamen", "beginning of all object names"),
    "region": Text("Region des Speicherdienstes", "region of the storage service"),
    "host": Text("Name des Servers", "name of the server"),
    "port": Text("Port", "port"),
    "user": Text("Anmeldename", "user name"),
    "host_key": Text(
        "öffentlicher Schlüssel des Servers, je Zeile einer", "the server's public key or keys, one a line"
    ),
    "folder": Text("Ordner auf dem Server", "folder on the server"),
    "path": Text("absoluter Ordner auf der Maschine des Hubs", "absolute folder on the hub's machine"),
    "sender": Text("Absenderadresse", "sender's mail address"),
    "recipient": Text("Empfängeradresse", "receiver's mail address"),
    "client_id": Text("Kennung beim Token-Endpunkt", "id at the token endpoint"),
    "destination_id": Text("Kennung des Zustellpunkts dort", "the destination's id over there"),
    "timeout": Text("Sekunden für einen ganzen Versuch", "seconds for a whole attempt"),
    "inline_limit": Text(
        "Bytes, ab denen Anlagen als Adresse gehen", "bytes above which attachments go by their address"
    ),
    "envelope": Text(
        "Umschlag: 2 mit Eingangsbestätigung, 1 mit Ereignistoken", "envelope: 2 with the receipt, 1 with event tokens"
    ),
    "size_limit": Text("Bytes der größten Mail", "bytes of the largest mail"),
    "allow_http": Text(
        "erlaubt unverschlüsselte Verbindungen: nur im eigenen Netz", "allows plain connections: own network only"
    ),
    "allow_private_addresses": Text(
        "erlaubt Ziele im eigenen Netz des Hubs", "allows receivers inside the hub's own network"
    ),
}
_FILE = Text(
    "Name einer Datei auf der Maschine des Hubs; ihr Inhalt wird nie gezeigt",
    "name of a file on the hub's machine; its content is never shown",
)


def edit(visit: Visit) -> Response:
    """Show the form of the destination's adapter, or of the one that is to replace it."""
    destination = _destination(visit)
    name = visit.query.text("name", longest=60) or destination.adapter
    config = destination.adapter_config if name == destination.adapter else {}
    return _form(visit, destination, name, {option: str(value) for option, value in config.items()})


def put(visit: Visit) -> Response:
    """Propose the settings if the adapter takes them; else they come back with the reason."""
    destination = _destination(visit)
    name = visit.form.text("name", longest=60)
    try:
        with handed_in():
            options = visit.tools.adapters.options(name)
        config = _config(visit.form, options or ())
        _propose(visit, destination, Draft(adapter=name, adapter_config=config))
    except Refused as refused:
        entered = {option: visit.form.text(f"o-{option}", longest=_LONGEST) for option in _names(visit, name)}
        return _form(visit, destination, name, entered, error=refused)
    waits = visit.hub.destination_service.waiting_way(destination.destination_id, visit.person) is not None
    return _back(visit, destination, "way-proposed" if waits else "way-approved")


def _propose(visit: Visit, destination: Destination, draft: Draft) -> None:
    visit.hub.destination_service.change(
        destination.destination_id,
        draft,
        visit.person,
        now=visit.now,
        expected=visit.form.text("revision"),
        text=visit.form.text("text", longest=500),
    )


def approve(visit: Visit) -> Response:
    """Approve somebody else's proposal."""
    return _decided(visit, approve=True)


def refuse(visit: Visit) -> Response:
    """Turn a proposal down, or take one's own back."""
    return _decided(visit, approve=False)


def _decided(visit: Visit, *, approve: bool) -> Response:
    require_a_say(visit.person)
    destination = _destination(visit)
    require_a_say(visit.person, destination)
    change, text = visit.form.number("change"), visit.form.text("text", longest=500)
    visit.hub.destination_service.decide_way(
        destination.destination_id, change, visit.person, approve=approve, text=text, now=visit.now
    )
    return _back(visit, destination, "way-approved" if approve else "way-refused")


def _back(visit: Visit, destination: Destination, note: str) -> Response:
    return visit.to(f"/destinations/{destination.destination_id}", note=note)


def _destination(visit: Visit) -> Destination:
    """Return the destination; settings name files and networks of the hub, so people of one tenant do not write them."""
    destination = visit.scope.destination(visit.id("id"))
    visit.scope.require_no_tenant()
    return destination


def _names(visit: Visit, name: str) -> list[str]:
    known = visit.tools.adapters.names()
    return [option.name for option in visit.tools.adapters.options(name) or ()] if name in known else []


def _config(form: SentForm, options: tuple[Option, ...]) -> dict[str, Any]:
    """Return what was entered as options: what was left empty, or is as usual anyway, is left out."""
    found: dict[str, Any] = {}
    for option in options:
        text = form.text(f"o-{option.name}", longest=_LONGEST)
        value: Any = text == "yes" if option.kind is bool else text
        if value in ("", option.default):
            continue
        found[option.name] = _number(option, text) if option.kind in (int, float) else value
    return {name: value for name, value in found.items() if value is not None}


def _number(option: Option, text: str) -> float | None:
    try:
        number = option.kind(text.replace(",", "."))
    except ValueError as exc:
        raise Invalid(
            Text(f"Die Option {option.name} ist eine Zahl.", f"The option {option.name} is a number.")
        ) from exc
    return None if number == option.default else number


def _form(
    visit: Visit, destination: Destination, name: str, values: Mapping[str, str], *, error: HubError | None = None
) -> Response:
    adapters = visit.tools.adapters
    installed = name in adapters.names()
    return visit.page(
        "adapter.html",
        status=200 if error is None else 422,
        destination=destination,
        revision=visit.form.text("revision") or destination.revision,
        name=name,
        names=adapters.names(),
        installed=installed,
        options=adapters.options(name) if installed else (),
        values=values,
        hints=_HINTS,
        file_hint=_FILE,
        error=error,
    )
