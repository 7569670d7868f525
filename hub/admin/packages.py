"""Schema packages: handing one in, seeing what the checks say, and taking it into the catalogue or not."""

from __future__ import annotations

from starlette.responses import Response

from hub.admin.request import Visit
from hub.admin.schemas import day_of
from hub.errors import HubError, Malformed, Refused, Text, TooMany
from hub.validation.arrivals import MOST_BYTES, MOST_FILES, Arrival, Upload, Wish
from hub.validation.manifest import Status

#: Bytes of the whole form: the files, and what stands between them.
LARGEST = MOST_BYTES + 2 * 1024 * 1024
_FIELDS = ("standard", "version", "status", "valid_from", "valid_until", "provenance", "licence", "messages")

__all__ = ["LARGEST", "MOST_FILES", "admit", "discard", "form", "receive", "show"]


def form(visit: Visit, *, error: HubError | None = None) -> Response:
    """Show the form; the catalogue is everybody's, so people of one tenant do not change it."""
    visit.scope.insist_on_everything()
    return visit.page(
        "schema_import.html",
        status=200 if error is None else 422,
        entered={name: visit.form.text(name, longest=300) for name in _FIELDS},
        states=list(Status),
        largest=MOST_BYTES,
        most=MOST_FILES,
        error=error,
    )


def receive(visit: Visit) -> Response:
    """Check a package; what does not pass leaves nothing behind but its reason."""
    visit.scope.insist_on_everything()
    uploads = [Upload(name=name, content=content) for name, content in visit.form.uploads if content]
    try:
        arrival = visit.tools.arrivals.receive(uploads, _wish(visit), by=visit.person.name, now=visit.now)
    except (Refused, TooMany) as error:
        visit.tools.store.append_audit(
            visit.audit("schema.refuse", f"schema:{_name(visit)}", slug=error.slug, files=len(uploads))
        )
        return form(visit, error=error)
    visit.tools.store.append_audit(visit.audit("schema.receive", _target(arrival), **_facts(arrival)))
    return visit.to(f"/schemas/import/{arrival.arrival_id}")


def show(visit: Visit) -> Response:
    """Show what the checks say of a package that waits."""
    visit.scope.insist_on_everything()
    return visit.page("schema_arrival.html", arrival=visit.tools.arrivals.arrival(visit.parts["id"]))


def admit(visit: Visit) -> Response:
    """Take a package into the catalogue."""
    visit.scope.insist_on_everything()
    arrival = visit.tools.arrivals.admit(visit.parts["id"])
    visit.tools.store.append_audit(visit.audit("schema.admit", _target(arrival), **_facts(arrival)))
    return visit.to("/schemas", note="admitted", q=arrival.manifest.standard)


def discard(visit: Visit) -> Response:
    """Drop a package."""
    visit.scope.insist_on_everything()
    arrival = visit.tools.arrivals.discard(visit.parts["id"])
    visit.tools.store.append_audit(visit.audit("schema.discard", _target(arrival)))
    return visit.to("/schemas", note="discarded")


def _wish(visit: Visit) -> Wish:
    entered = {name: visit.form.text(name, longest=300) for name in _FIELDS}
    if entered["status"] not in set(Status):
        raise Malformed(Text("Diesen Status gibt es nicht.", "There is no such status."))
    return Wish(
        standard=entered["standard"],
        version=entered["version"],
        valid_from=day_of(entered["valid_from"]),
        valid_until=day_of(entered["valid_until"]),
        status=Status(entered["status"]),
        provenance=entered["provenance"],
        licence=entered["licence"],
        messages=entered["messages"],
    )


def _name(visit: Visit) -> str:
    return f"{visit.form.text('standard', longest=300)}/{visit.form.text('version', longest=300)}"


def _target(arrival: Arrival) -> str:
    return f"schema:{arrival.manifest.standard}/{arrival.manifest.version}"


def _facts(arrival: Arrival) -> dict[str, int | str]:
    manifest = arrival.manifest
    return {"schemas": len(manifest.schemas), "files": len(manifest.files), "status": manifest.status.value}
