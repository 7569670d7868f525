"""Of each object that a process is built of there is one: walked from the built hub and from what it serves."""

from __future__ import annotations

import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from typing import Any

from hub import app

#: Of these there are several on purpose.
_SEVERAL = {
    "Admission",  # messages tried by strangers have a budget of their own
    "TableVersions",  # of routing tables, and of the catalogue of services
    "RefusalTally",  # of refusals, and of uses of what will end
    "Trim",  # each budget looks after what it gave back
    "Throttle",  # failed log-ins of people, and those of clients
    "Collection",  # what authorities collect is gone with it; replies stay readable for who opened the case
    "SafeHeaders",  # around the pages, and around the interfaces
    "SteadyClock",  # each loop takes its own looks at the clock
}
#: The edge has an object for each operation, and of some desks one for each version of the API; judges are a schema's.
_BY_THE_PIECE = ("hub.api.", "hub.validation.")


def _parts(thing: Any) -> Iterator[Any]:
    """Yield what an object holds; a function holds what it closes over, never its module."""
    if isinstance(thing, types.MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, types.FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or () if cell != types.CellType())
        yield from thing.__defaults__ or ()
        yield from (thing.__kwdefaults__ or {}).values()
    elif isinstance(thing, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, dict):
        yield from list(thing.values())
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from list(thing)
    else:
        yield from list(getattr(thing, "__dict__", {}).values())
        names = [name for each in type(thing).__mro__ for name in vars(each).get("__slots__", ())]
        yield from (getattr(thing, name) for name in names if hasattr(thing, name))


def _is_ours(thing: Any) -> bool:
    return type(thing).__module__.partition(".")[0] in {"hub", "connexion", "starlette"}


def reached(*roots: Any) -> dict[type, set[int]]:
    """Return the objects of our own classes that can be reached, by class; values (frozen, or of an enum) do not count."""
    found, seen, waiting = defaultdict(set), {}, list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | types.ModuleType | Enum | str | bytes | int | float):
            continue
        seen[id(thing)] = thing
        plain = isinstance(
            thing, types.MethodType | types.FunctionType | partial | dict | list | tuple | set | frozenset
        )
        if not plain and not _is_ours(thing):
            continue
        if type(thing).__module__.startswith("hub.") and not is_dataclass(thing):
            found[type(thing)].add(id(thing))
        waiting += _parts(thing)
    return found


def test_no_object_of_a_built_hub_is_made_twice(stage):
    found = reached(stage.hub, app.asgi(stage.hub, work=True))
    assert {"Intake", "Store", "Destinations", "Dispatcher", "Announcing", "RecentAnnouncements"} <= {
        kind.__name__ for kind in found
    }
    twice = {kind.__name__ for kind, ones in found.items() if len(ones) > 1 and not _by_the_piece(kind)}
    assert twice == _SEVERAL


def _by_the_piece(kind: type) -> bool:
    return kind.__module__.startswith(_BY_THE_PIECE)
