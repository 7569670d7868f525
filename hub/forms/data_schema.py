"""What an XDatenfelder file asks, as a tree of values: groups, fields, codes and rules, each with how often it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.validation.manifest import ImportRemark


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRule:
    """A rule of a file: prose, which names other elements by their ids, and often a script."""

    id: str
    version: str
    name: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataCode:
    """One code of a list with what people read of it."""

    code: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataElement:
    """What fields and groups have. ``at`` is the place in documents, ``name`` the property: the id, if it stands there once."""

    at: str
    name: str
    id: str
    version: str
    title: str
    help: str = ""
    description: str = ""
    least: int = 1
    #: None: as often as one likes.
    most: int | None = 1
    rules: tuple[DataRule, ...] = ()

    @property
    def is_list(self) -> bool:
        """Whether it may stand more than once."""
        return self.most is None or self.most > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class DataField(DataElement):
    """A field: ``art`` is how it is filled in (``input``, ``select``), ``datatype`` what stands there (``num_int``)."""

    art: str
    datatype: str
    #: ``minLength``, ``maxLength``, ``minValue``, ``maxValue``, ``pattern`` as they are written.
    bounds: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[DataCode, ...] = ()
    list_uri: str = ""
    content: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataGroup(DataElement):
    """A group. ``chooses``: one of its members is given, not all. ``notes`` are texts to be shown in it."""

    members: tuple[DataElement, ...]
    chooses: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSchema:
    """What a file says: the group of all that is asked, and what could not be taken over."""

    root: DataGroup
    #: 2 or 3.
    edition: int
    remarks: tuple[ImportRemark, ...]
