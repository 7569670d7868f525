"""Our steps in a building procedure as messages of XBau 2.6, by a table (``xbau.yaml``): each has one, or a reason why none.

What comes and goes is of the hub's own schemas unless somebody sends XBau itself. Whoever takes a case along into a system
that speaks XBau reads in the export's manifest which message each part is there; the parts themselves are not rewritten, for
most of what XBau's messages demand (codes, findings, references of files) nobody has said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hub.errors import Text
from hub.files.strict_yaml import load_yaml
from hub.model import LEIKA_PREFIX, REPLY_KINDS, CaseMessageKind, canonical_service

_FILE = Path(__file__).with_name("xbau.yaml")
#: What happens in a case besides messages: it is taken, and handed on.
ACCEPTANCE, HAND_ON = "acceptance", "hand-on"


@dataclass(frozen=True, kw_only=True, slots=True)
class XBauStep:
    """One step: ``message`` by its name within ``namespace``, both empty where ``why_none`` says why there is none."""

    message: str = ""
    namespace: str = ""
    why_none: Text | None = None

    def as_document(self) -> dict[str, Any]:
        """Return it as an export's manifest has it."""
        if self.why_none is not None:
            return {"message": None, "why": {"de": self.why_none.de, "en": self.why_none.en}}
        return {"message": self.message, "namespace": self.namespace}


@dataclass(frozen=True, kw_only=True, slots=True)
class XBauTable:
    """The table: steps by procedure, procedures by service (URN); ``standard`` is the version of XBau."""

    standard: str
    procedures: Mapping[str, str]
    steps: Mapping[str, Mapping[str, XBauStep]]

    def step(self, service: str, name: str) -> XBauStep | None:
        """Return what a step of a service is; None of a service that is no building procedure."""
        procedure = self.procedures.get(canonical_service(service))
        return None if procedure is None else self.steps[procedure][name]


def step_names() -> frozenset[str]:
    """Return every step that the table has to name: each message of ours, and what an answer answers."""
    sent = {each.value for each in CaseMessageKind if each is not CaseMessageKind.ANSWER}
    answers = {answer_to(each.name) for each in REPLY_KINDS if each.asks}
    return frozenset(sent | answers | {each.name for each in REPLY_KINDS} | {ACCEPTANCE, HAND_ON})


def answer_to(kind: str) -> str:
    """Return the name of the step by which a reply of a kind is answered."""
    return f"answer-to-{kind}"


@cache
def xbau_table() -> XBauTable:
    """Return the table that ships; read once."""
    said = load_yaml(_FILE.read_bytes())
    spaces, always = said["namespaces"], said["always"]
    return XBauTable(
        standard=said["standard"],
        procedures={LEIKA_PREFIX + key: name for key, name in said["procedures"].items()},
        steps={
            procedure: {name: _step(each, spaces) for name, each in (always | own).items()}
            for procedure, own in said["steps"].items()
        },
    )


def _step(said: str | Mapping[str, str], spaces: Mapping[str, str]) -> XBauStep:
    if not isinstance(said, str):
        return XBauStep(why_none=Text(said["de"], said["en"]))
    space, message = said.split(" ")
    return XBauStep(message=message, namespace=spaces[space])
