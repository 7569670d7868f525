"""The HTTP edge: one module per API, and the guards, contract checks and problem texts around them.

Named here is what handlers need, here and in the rooms below: the request that is handled (``visit``), work that waits in
threads, answers.
"""

import hub.api.framework  # noqa: F401  # before connexion, which all the others import
from hub.api.contract import schema_violation, strict_json, violation
from hub.api.guards import RequestLimits, arrival
from hub.api.operations import (
    FRESH,
    Identify,
    area_of,
    caller,
    caller_address,
    etag,
    ids,
    json_answer,
    known_state,
    known_states,
    listed,
    moment_of,
    note,
    nothing,
    paged,
    reservation,
    visit,
    visitor,
)
from hub.api.threads import in_thread, over, until_stored

__all__ = [
    "FRESH",
    "Identify",
    "RequestLimits",
    "area_of",
    "arrival",
    "caller",
    "caller_address",
    "etag",
    "ids",
    "in_thread",
    "json_answer",
    "known_state",
    "known_states",
    "listed",
    "moment_of",
    "note",
    "nothing",
    "over",
    "paged",
    "reservation",
    "schema_violation",
    "strict_json",
    "until_stored",
    "violation",
    "visit",
    "visitor",
]
