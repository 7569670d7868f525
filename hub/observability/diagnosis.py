"""What a self-check found, one line each: well, doubtful, faulty, or not to be reached now; and what to do next.

A check is bounded in time: one that hangs is told as not to be reached, and costs the others nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hub.errors import HubError, Text, Unavailable

#: Header field in which a self-check of the hub asks with a word that lies in the data folder's file ``MARK``: the answer
#: says in the same field how the request arrived.
SELF_CHECK = "Hub-Self-Check"
MARK = ".self-check"
_FAULTY, _LATER = 1, 3


class Condition(StrEnum):
    """How something is."""

    OK = "ok"
    #: It works, and somebody should look at it.
    WARNING = "warning"
    #: It does not work until somebody mends it.
    FAULT = "fault"
    #: It does not answer now; waiting may mend it.
    AWAY = "away"


_WORDS = {
    Condition.OK: Text("gut", "ok"),
    Condition.WARNING: Text("Warnung", "warning"),
    Condition.FAULT: Text("Fehler", "fault"),
    Condition.AWAY: Text("nicht erreichbar", "not reachable"),
}
_NOTHING = Text("", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """One line: what was looked at (``about``, a word for programs), how it is, and, if not well, what to do next."""

    about: str
    condition: Condition
    text: Text
    todo: Text = _NOTHING

    def line(self, *, english: bool) -> str:
        """Return it for people, in one language."""
        word, text, todo = (
            (each.en if english else each.de) for each in (_WORDS[self.condition], self.text, self.todo)
        )
        return f"{word:<{16 if not english else 13}}  {self.about:<12}  {text}" + (f" → {todo}" if todo else "")

    def as_json(self) -> dict[str, str]:
        """Return it for programs."""
        return {
            "about": self.about,
            "condition": str(self.condition),
            "de": self.text.de,
            "en": self.text.en,
            "nextDe": self.todo.de,
            "nextEn": self.todo.en,
        }


def well(about: str, de: str, en: str) -> Diagnosis:
    """Say that something is well."""
    return Diagnosis(about=about, condition=Condition.OK, text=Text(de, en))


def doubtful(about: str, text: Text, todo: Text = _NOTHING) -> Diagnosis:
    """Say that somebody should look at something."""
    return Diagnosis(about=about, condition=Condition.WARNING, text=text, todo=todo)


def faulty(about: str, text: Text, todo: Text = _NOTHING) -> Diagnosis:
    """Say that something has to be mended."""
    return Diagnosis(about=about, condition=Condition.FAULT, text=text, todo=todo)


def away(about: str, text: Text, todo: Text = _NOTHING) -> Diagnosis:
    """Say that something does not answer now."""
    return Diagnosis(about=about, condition=Condition.AWAY, text=text, todo=todo)


def of_error(about: str, error: HubError) -> Diagnosis:
    """Say what an error of ours means: what passes by itself is away, everything else a fault."""
    return (away if isinstance(error, Unavailable) else faulty)(about, error.detail)


#: Returns what it found.
Check = Callable[[], Iterable[Diagnosis]]


def bounded(about: str, check: Check, *, seconds: float) -> Sequence[Diagnosis]:
    """Return what ``check`` finds within so many seconds; what it raises of ours is a finding, of a library's only its name."""
    found: list[Diagnosis] = []

    def failed(error: Exception) -> Diagnosis:
        name = type(error).__name__
        return faulty(about, Text(f"ließ sich nicht prüfen ({name})", f"could not be checked ({name})"))

    def run() -> None:
        try:
            found.extend(check())
        except HubError as error:
            found.append(of_error(about, error))
        except Exception as error:  # noqa: BLE001  # a check must not end the others, and a library's words may hold secrets
            found.append(failed(error))

    thread = threading.Thread(target=run, name=f"check-{about}", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # No thread to be had.
        return [failed(error)]
    thread.join(seconds)
    if thread.is_alive():
        return [
            *found,
            away(about, Text(f"keine Antwort in {seconds:g} s", f"no answer within {seconds:g} s")),
        ]
    return found


def exit_code(found: Iterable[Diagnosis]) -> int:
    """Return 1 where there are faults, else 3 where something cannot be reached now, else 0."""
    conditions = {each.condition for each in found}
    if Condition.FAULT in conditions:
        return _FAULTY
    return _LATER if Condition.AWAY in conditions else 0
