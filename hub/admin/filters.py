"""How values are written for people: times, ids, states, and the colour that a state has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from hub.administration.adapters import shown
from hub.administration.trials import TrialStage
from hub.errors import Text
from hub.model import DeadCause, OutcomeKind, Role, State, reason_for_people, reason_of
from hub.routing import legal_day
from hub.store import ChangeState, DeliveryState, KeyStep, NoticeKind, VersionState
from hub.validation.manifest import Status

_WORDS: Mapping[str, Text] = {
    State.INCOMPLETE.value: Text("angekündigt", "announced"),
    State.SUBMITTED.value: Text("eingereicht", "submitted"),
    State.FORWARDED.value: Text("weitergegeben", "forwarded"),
    State.ACCEPTED.value: Text("angenommen", "accepted"),
    State.REJECTED.value: Text("zurückgewiesen", "rejected"),
    State.DELETED.value: Text("gelöscht", "deleted"),
    DeliveryState.QUEUED.value: Text("in Zustellung", "queued"),
    DeliveryState.WAITING.value: Text("wartet im Postfach", "waits in mailbox"),
    DeliveryState.DELIVERED.value: Text("zugestellt", "delivered"),
    DeliveryState.DEAD.value: Text("gescheitert", "failed for good"),
    OutcomeKind.REFUSED.value: Text("abgelehnt", "refused"),
    OutcomeKind.UNREACHABLE.value: Text("nicht erreichbar", "unreachable"),
    OutcomeKind.UNKNOWN.value: Text("keine Antwort", "no answer"),
    DeadCause.PAYLOAD.value: Text("Inhalt", "payload"),
    DeadCause.CONFIGURATION.value: Text("Einstellung", "configuration"),
    DeadCause.RECEIVER.value: Text("Empfänger", "receiver"),
    DeadCause.HUB.value: Text("Hub", "hub"),
    NoticeKind.UNCOLLECTED.value: Text("nicht abgeholt", "not collected"),
    NoticeKind.OVERDUE.value: Text("kommt nicht an", "does not arrive"),
    NoticeKind.GIVEN_UP.value: Text("Zustellung aufgegeben", "delivery given up"),
    NoticeKind.CALLBACK_UNREACHABLE.value: Text("Rückrufadresse antwortet nicht", "callback address does not answer"),
    NoticeKind.DIGEST.value: Text("Tagesübersicht", "daily digest"),
    VersionState.DRAFT.value: Text("Entwurf", "draft"),
    VersionState.APPROVED.value: Text("freigegeben", "approved"),
    VersionState.DISCARDED.value: Text("verworfen", "discarded"),
    "create": Text("Vorgang angelegt", "case created"),
    "submit": Text("eingereicht", "submitted"),
    "notify": Text("dem Empfänger mitgeteilt", "made known to the receiver"),
    "forward": Text("weitergegeben", "forwarded"),
    "accept": Text("angenommen", "accepted"),
    "reject": Text("zurückgewiesen", "rejected"),
    "delete": Text("Inhalte gelöscht", "contents deleted"),
    "active": Text("aktiv", "active"),
    "inactive": Text("inaktiv", "inactive"),
    "created": Text("angelegt", "created"),
    "decommissioned": Text("stillgelegt", "decommissioned"),
    KeyStep.ADD.value: Text("hinterlegen", "put on record"),
    KeyStep.ACTIVATE.value: Text("verwenden", "use"),
    KeyStep.RETIRE.value: Text("zurückziehen", "retire"),
    ChangeState.OPEN.value: Text("wartet auf zweite Person", "waits for a second person"),
    ChangeState.REFUSED.value: Text("abgelehnt", "refused"),
    ChangeState.WITHDRAWN.value: Text("zurückgenommen", "taken back"),
    Status.ANNOUNCED.value: Text("angekündigt", "announced"),
    Status.VALID.value: Text("gültig", "valid"),
    Status.WITHDRAWN.value: Text("zurückgezogen", "withdrawn"),
    TrialStage.KEY.value: Text("Schlüssel geprüft", "Key judged"),
    TrialStage.SEAL.value: Text("Testinhalt versiegelt", "Test content sealed"),
    TrialStage.SETTINGS.value: Text("Einstellungen gelesen", "Settings read"),
    TrialStage.DELIVER.value: Text("Zustellung versucht", "Delivery attempted"),
    TrialStage.OPEN.value: Text("Adapter geöffnet", "Adapter opened"),
    Role.VIEWER.value: Text("Einsicht", "viewer"),
    Role.EDITOR.value: Text("Bearbeitung", "editor"),
    Role.APPROVER.value: Text("Freigabe", "approver"),
    Role.OPERATOR.value: Text("Betrieb", "operator"),
    "closed": Text("geschlossen", "closed"),
    "error": Text("Fehler", "error"),
    "warning": Text("Warnung", "warning"),
}
_COLOURS: Mapping[str, str] = {
    State.ACCEPTED.value: "success",
    "accept": "success",
    "reject": "danger",
    DeliveryState.DELIVERED.value: "success",
    "active": "success",
    VersionState.APPROVED.value: "success",
    State.REJECTED.value: "danger",
    DeliveryState.DEAD.value: "danger",
    OutcomeKind.REFUSED.value: "danger",
    OutcomeKind.UNREACHABLE.value: "danger",
    "decommissioned": "danger",
    "error": "danger",
    ChangeState.OPEN.value: "warning",
    Status.ANNOUNCED.value: "info",
    Status.VALID.value: "success",
    "inactive": "warning",
    NoticeKind.UNCOLLECTED.value: "warning",
    NoticeKind.OVERDUE.value: "warning",
    NoticeKind.GIVEN_UP.value: "danger",
    NoticeKind.CALLBACK_UNREACHABLE.value: "danger",
    OutcomeKind.UNKNOWN.value: "warning",
    "warning": "warning",
    VersionState.DRAFT.value: "warning",
}
_KIB = 1024
#: Beyond so many days an end is none: keys without a certificate have one in the year 9999.
_ENDLESS = 36_500
_UUID_LENGTH = 36


def _when(moment: datetime | None) -> str:
    """Write a moment in UTC: what stands in logs and tokens."""
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _day(moment: datetime | None) -> str:
    if moment is None:
        return "–"
    return "∞" if moment.year > 9000 else legal_day(moment).isoformat()  # noqa: PLR2004  # the end of time


def _word(value: Any, language: str) -> str:
    key = str(getattr(value, "value", value))
    text = _WORDS.get(key)
    if text is None:
        return key
    return text.de if language == "de" else text.en


def _colour(value: Any) -> str:
    return _COLOURS.get(str(getattr(value, "value", value)), "info")


def _short(value: Any) -> str:
    """Shorten a digest to its beginning, an id to its end: ids begin with their time and are alike there."""
    text = str(value)
    return text[-8:] if len(text) == _UUID_LENGTH else text[:8]


def _bytes(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < _KIB:
            return f"{amount:.0f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} GiB"


def _moment(moment: datetime | None) -> str:
    """Write a moment without seconds: what is compared at a glance."""
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _number(value: int, language: str) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,}".replace(",", "\u202f" if language == "de" else ",")


def _days(days: int | None, language: str) -> str:
    if days is None:
        return "–"
    if days > _ENDLESS:
        return "ohne Ablauf" if language == "de" else "no end"
    if language == "de":
        return f"noch {days} Tage" if days != 1 else "noch 1 Tag"
    return f"{days} days left" if days != 1 else "1 day left"


def _said(value: Any, language: str) -> str:
    """Write a value of the audit log for people."""
    if isinstance(value, bool):
        return {("de", True): "ja", ("de", False): "nein", ("en", True): "yes", ("en", False): "no"}[language, value]
    if value is None or value == "":
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_said(each, language)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(each, language) for each in value) or "–"
    return str(value)


def _reason(note: str, language: str) -> str:
    """Write what is recorded of an attempt."""
    return reason_for_people(note, german=language == "de") if note else "–"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "options_shown": lambda options: shown(options).items(),
    "said": _said,
    "reason": _reason,
    "reason_code": lambda note: reason_of(note).code,
    "zip": zip,
    "moment": _moment,
    "number": _number,
    "days": _days,
    "when": _when,
    "day": _day,
    "word": _word,
    "colour": _colour,
    "short": _short,
    "bytes": _bytes,
}
