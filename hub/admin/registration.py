"""Self-registration of vendors on a page without a log-in, at a test instance alone; elsewhere there is no such page."""

from __future__ import annotations

import orjson
from starlette.responses import Response

from hub.admin.request import Visit
from hub.administration.registration import RegistrationWish, SelfRegistration
from hub.errors import HubError, NotFound, Refused, Text, TooMany
from hub.web.responses import status_of

_FIELDS = ("name", "email", "product")


def show(visit: Visit) -> Response:
    """Show the form."""
    _desk(visit)
    return _form(visit)


def begin(visit: Visit) -> Response:
    """Take the form, and mail the link or show it."""
    entered = {name: visit.form.text(name, longest=200) for name in _FIELDS}
    try:
        link = _desk(visit).begin(RegistrationWish(**entered), address=visit.address, now=visit.now)
    except NotFound:
        raise
    except (Refused, TooMany) as error:
        return _form(visit, entered=entered, error=error)
    return _form(visit, sent=True, link=link)


def complete(visit: Visit) -> Response:
    """Take the link, by script or pasted, and show once what was made."""
    secret = visit.form.text("code", longest=2_000).rpartition("#")[2].strip()
    desk = _desk(visit)
    try:
        made = desk.complete(secret, address=visit.address, now=visit.now)
    except (Refused, TooMany) as error:
        return _form(visit, error=error)
    document = orjson.dumps(made.as_document(visit.hub.base_url), option=orjson.OPT_INDENT_2).decode()
    return _form(visit, document=document)


def _desk(visit: Visit) -> SelfRegistration:
    desk = visit.hub.registration
    if desk is None:
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return desk


def _form(
    visit: Visit,
    *,
    entered: dict[str, str] | None = None,
    sent: bool = False,
    link: str = "",
    document: str = "",
    error: HubError | None = None,
) -> Response:
    return visit.page(
        "register.html",
        status=200 if error is None else status_of(error),
        entered=entered or dict.fromkeys(_FIELDS, ""),
        sent=sent,
        link=link,
        document=document,
        error=error,
    )
