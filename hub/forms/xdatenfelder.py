"""XDatenfelder 2.0 and 3.0.0, in which FIM publishes what forms ask for: a file as a tree of values, read strictly.

A file is one message: a whole schema (``stammdatenschema.0102``), a group (``datenfeldgruppe.0103``) or a field
(``datenfeld.0104``). What stands in a group, and how often, is said by its ``struktur``; an element's identity is its path, for
the same group stands in many places. Version 2 writes a field's limits as JSON whose numbers are texts, version 3 as
attributes. ``code`` has no namespace of its own.

What is wrong is refused with its line; what is understood and has no equal in a JSON Schema, and what is not understood, is
named (:class:`~hub.validation.manifest.ImportRemark`). Nothing is passed over but descriptions of the file itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from hub.errors import ConfigurationError, Text, TooLarge
from hub.forms.data_schema import DataCode, DataElement, DataField, DataGroup, DataRule, DataSchema
from hub.forms.outline import DEEPEST, ITEM
from hub.validation.manifest import ImportRemark
from hub.validation.report import MIB, Limits
from hub.validation.xml.documents import read_xml

#: What shows that a file means to be one, of whatever version.
_SHOWS = re.compile(rb"urn:xoev-de:fim:standard:xdatenfelder|<(?:[\w.\-]+:)?xdatenfelder\.[a-z]")
_SPACES = {"urn:xoev-de:fim:standard:xdatenfelder_2": 2, "urn:xoev-de:fim:standard:xdatenfelder_3.0.0": 3}
_MESSAGES = {
    "xdatenfelder.stammdatenschema.0102": "stammdatenschema",
    "xdatenfelder.datenfeldgruppe.0103": "datenfeldgruppe",
    "xdatenfelder.datenfeld.0104": "datenfeld",
}
_CAPS = Limits(xml_bytes=16 * MIB, tree_bytes=16 * MIB)
#: Elements of a file; fields and groups of all paths; codes of all lists; remarks. The largest have some thousand fields.
_ELEMENTS, _FIELDS, _CODES, _REMARKS = 400_000, 3_000, 20_000, 5_000
#: Questions that must be answered, repetitions counted: more nobody answers, and a page would draw them all.
_COMPULSORY = 5_000
#: Codes of one list that a person can choose from.
MOST_CHOICES = 2_000
#: Characters of a title or code, of a help text, of limits.
_TITLE, _HELP, _LIMITS = 300, 4_000, 20_000
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._\-]{0,39}|")
_TIMES = re.compile(r"(\d{1,9}):(\d{1,9}|\*|n)")
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))
_BOUNDS = ("minLength", "maxLength", "minValue", "maxValue", "pattern")

#: What describes an element and no data.
_DESCRIBING = frozenset(
    (
        *(
            "bezeichnungAusgabe",
            "definition",
            "bezug",
            "status",
            "fachlicherErsteller",
            "versionshinweis",
            "freigabedatum",
        ),
        *("veroeffentlichungsdatum", "schemaelementart", "hilfetextAusgabe", "freigabestatus", "statusGesetztAm"),
        *("statusGesetztDurch", "letzteAenderung", "stichwort", "relation", "gueltigAb", "gueltigBis"),
        *("ableitungsmodifikationenStruktur", "ableitungsmodifikationenRepraesentation", "dokumentsteckbrief"),
    )
)
_COMMON = frozenset(
    (
        "identifikation",
        "name",
        "bezeichnung",
        "bezeichnungEingabe",
        "beschreibung",
        "hilfetext",
        "hilfetextEingabe",
        "regel",
    )
)
_OF_FIELDS = frozenset(
    (
        *("feldart", "datentyp", "praezisierung", "inhalt", "vorbefuellung", "codelisteReferenz", "werte", "codeKey"),
        *("nameKey", "helpKey", "maxSize", "mediaType"),
    )
)
_MANY = frozenset(("regel", "struktur", "stichwort", "relation", "bezug", "mediaType", "dokumentsteckbrief"))


def is_xdatenfelder(content: bytes) -> bool:
    """Whether a file means to be XDatenfelder of whatever version; both UTF-8 and UTF-16 are looked at."""
    return _SHOWS.search(content[:4096].replace(b"\0", b"")) is not None


def bytes_of(path: Path) -> bytes:
    """Read a file of the operator's.

    Raises:
        TooLarge: It is over the cap on bytes.
    """
    with path.open("rb") as stream:
        content = stream.read(_CAPS.xml_bytes + 1)
    if len(content) > _CAPS.xml_bytes:
        raise _over(f"{_CAPS.xml_bytes // MIB} MiB", f"{_CAPS.xml_bytes // MIB} MiB")
    return content


def read_xdatenfelder(content: bytes) -> DataSchema:
    """Read a file.

    Raises:
        Malformed: It is not well-formed XML, or has a document type declaration.
        TooLarge: It is over a cap on bytes, elements, depth, fields, codes or repetitions.
        ConfigurationError: It is no message of these versions, or contradicts itself; ``line`` says where.
    """
    if content.count(b"<") > _ELEMENTS:
        raise _over(f"{_ELEMENTS} Elemente", f"{_ELEMENTS} elements")
    tree = read_xml(content, _CAPS).tree
    space, name = _tag(tree)
    edition = _SPACES.get(space)
    if edition is None or name not in _MESSAGES:
        raise _foreign(tree)
    kind = _MESSAGES[name]
    message = [node for node in _elements(tree) if _tag(node) == (space, kind)]
    if len(message) != 1:
        raise _wrong(tree, f"{name} braucht genau ein {kind}.", f"{name} needs exactly one {kind}.")
    reading = _Reading(space, edition)
    reading.index(message[0])
    reading.leftovers(tree, "/", {"header", kind})
    root = reading.whole(message[0], kind)
    _require_answerable(root)
    return DataSchema(root=root, edition=edition, remarks=tuple(reading.remarks))


class _Often(NamedTuple):
    """How often something stands, at least and at most."""

    least: int
    most: int | None


class _Within(NamedTuple):
    """Where elements are gathered: the place, the groups that led there, and what was found there so far."""

    at: str
    chain: tuple[tuple[str, str], ...]
    found: dict[str, DataElement]
    notes: list[str]


class _Reading:
    """Takes a message apart, and remembers what it could not take over."""

    def __init__(self, space: str, edition: int) -> None:
        self.remarks: list[ImportRemark] = []
        self._space = space
        self._edition = edition
        self._count = self._codes = 0
        self._defined: dict[tuple[str, str, str], Any] = {}

    def index(self, message: Any) -> None:
        """Remember every element that is defined, for those that only name it."""
        for node in message.iter("{*}datenfeld", "{*}datenfeldgruppe"):
            if not _only_names(node):
                self._defined.setdefault((_tag(node)[1], *_identity(node)), node)

    def remark(self, at: str, german: str, english: str) -> None:
        """Name something that is not taken over, once."""
        found = ImportRemark(at=at, text=Text(german, english))
        if found in self.remarks[-50:]:
            return
        if len(self.remarks) >= _REMARKS:
            raise _over(f"{_REMARKS} Anmerkungen", f"{_REMARKS} remarks")
        self.remarks.append(found)

    def leftovers(self, node: Any, at: str, known: set[str] | frozenset[str]) -> None:
        """Name the children of an element that nobody reads, and those that stand more often than once and differ."""
        seen: dict[str, str] = {}
        for child in _elements(node):
            space, name = _tag(child)
            if space not in (self._space, "") or name not in known:
                shown = name[:_TITLE]
                self.remark(at, f"Das Element {shown} ist hier unbekannt.", f"the element {shown} is not known here.")
                continue
            text = "" if name in _MANY or len(child) else _text(child)
            if text and seen.setdefault(name, text) != text:
                self.remark(
                    at,
                    f"{name} steht mehrmals mit verschiedenem Inhalt; übernommen ist der erste.",
                    f"{name} stands more than once with different contents; the first one is taken.",
                )

    def whole(self, node: Any, kind: str) -> DataGroup:
        """Return all that a message asks."""
        if kind == "datenfeld":
            id_, version = _identity(node)
            notes: list[str] = []
            alone = self._inside(node, _Often(1, 1), _Within("", (), {}, notes))
            members = () if alone is None else (alone,)
            title = members[0].title if members else id_
            root = DataGroup(at="", name="", id=id_, version=version, title=title, members=members, notes=tuple(notes))
        else:
            root = self._group(node, "", (_identity(node),), _Often(1, 1), "")
        for each in ("gueltigAb", "gueltigBis"):
            if day := _child_text(node, each):
                self.remark(
                    "/",
                    f"{each} {day[:40]}: Gültigkeit ist Sache des Katalogs (--valid-from, --valid-until).",
                    f"{each} {day[:40]}: validity is the catalogue's to say (--valid-from, --valid-until).",
                )
        if not root.members:
            self.remark("/", "Die Datei hat keine Felder.", "the file has no fields.")
        return root

    def _members(self, node: Any, at: str, chain: tuple[tuple[str, str], ...]) -> tuple[list[DataElement], list[str]]:
        """Return what the structure of an element holds, and the texts that are to be shown there."""
        inside = _Within(at, chain, {}, [])
        for structure in _children(node, "struktur"):
            place = at or "/"
            self.leftovers(structure, place, {"anzahl", "bezug", "enthaelt"})
            often = _times(structure)
            inner = self._inner(structure)
            for holder in _children(structure, "enthaelt"):
                self.leftovers(holder, place, {"datenfeld", "datenfeldgruppe"})
            if len(inner) != 1:
                self._missing(structure, place, often, "enthaelt")
                continue
            target = self._resolved(inner[0], place, often)
            member = None if target is None else self._inside(target, often, inside)
            if member is not None:
                inside.found[member.name] = member
        return list(inside.found.values()), inside.notes

    def _inner(self, structure: Any) -> list[Any]:
        return [
            each
            for holder in _children(structure, "enthaelt")
            for each in _elements(holder)
            if _tag(each) in ((self._space, "datenfeld"), (self._space, "datenfeldgruppe"))
        ]

    def _inside(self, node: Any, often: _Often, inside: _Within) -> DataElement | None:
        """Return a field or group with how often it stands; None, and it is named, where it cannot, or is a text to show."""
        if _tag(node)[1] == "datenfeld" and _code(node, "feldart") == "label":
            self._note(node, inside.at or "/", inside.notes)
            return None
        identity = _identity(node)
        name = self._name(identity, inside)
        place = f"{inside.at}/{name}"
        self._count += 1
        if self._count > _FIELDS:
            raise _over(f"{_FIELDS} Felder", f"{_FIELDS} fields")
        if often.most == 0:
            self.remark(place, "Darf nie vorkommen (0:0) und entfällt.", "may never stand there (0:0) and is left out.")
            return None
        if _tag(node)[1] == "datenfeld":
            return self._field(node, place, name, often)
        if identity in inside.chain:
            self._note_circle(node, identity[0], place, often)
            return None
        group = self._group(node, place, (*inside.chain, identity), often, name)
        if group.members:
            return group
        inside.notes.extend(group.notes)
        self.remark(
            place,
            "Die Gruppe hat nichts, was gefragt werden kann, und entfällt.",
            "the group holds nothing that can be asked and is left out.",
        )
        return None

    def _note_circle(self, node: Any, name: str, place: str, often: _Often) -> None:
        if often.least:
            raise _wrong(
                node,
                f"{name} muss sich selbst enthalten ({place}).",
                f"{name} must contain itself ({place}).",
                place=place,
            )
        self.remark(
            place,
            f"{name} enthält sich selbst; die innere Gruppe entfällt.",
            f"{name} contains itself; the inner group is left out.",
        )

    def _name(self, identity: tuple[str, str], inside: _Within) -> str:
        """Return the property of an element: its id, and what tells it from another that stands beside it."""
        id_, version = identity
        beside = inside.found
        if id_ not in beside:
            return id_
        name = f"{id_}V{version}" if version and beside[id_].version != version else f"{id_}_2"
        number = 2
        while name in beside:
            number += 1
            name = f"{id_}_{number}"
        self.remark(
            f"{inside.at}/{name}",
            f"{id_} steht in dieser Gruppe schon; dieses heißt {name}.",
            f"{id_} stands in this group already; this one is called {name}.",
        )
        return name

    def _group(self, node: Any, at: str, chain: tuple[tuple[str, str], ...], often: _Often, name: str) -> DataGroup:
        place = at or "/"
        self.leftovers(node, place, _COMMON | _DESCRIBING | {"struktur", "art"})
        art = _code(node, "art")
        self._remark_group(art, place)
        inside = f"{at}/{ITEM}" if often.most is None or often.most > 1 else at
        if inside.count("/") >= DEEPEST:
            raise _over(f"{DEEPEST} Ebenen", f"{DEEPEST} levels")
        facts = self._facts(node, place)
        members, notes = self._members(node, inside, chain)
        return DataGroup(
            at=at,
            name=name,
            least=often.least,
            most=often.most,
            members=tuple(members),
            notes=tuple(notes),
            chooses=art == "X" and len(members) > 1,
            **facts,
        )

    def _remark_group(self, art: str, place: str) -> None:
        if art not in ("", "X"):
            self.remark(
                place, f"Die Gruppenart {art[:40]} ist unbekannt.", f"the kind of group {art[:40]} is not known."
            )

    def _field(self, node: Any, place: str, name: str, often: _Often) -> DataField:
        self.leftovers(node, place, _COMMON | _DESCRIBING | _OF_FIELDS)
        art, datatype = _code(node, "feldart"), _code(node, "datentyp")
        codes = self._listed(node, place)
        self._unheard(node, place)
        return DataField(
            at=place,
            name=name,
            least=often.least,
            most=often.most,
            art=art,
            datatype=datatype,
            bounds=self._bounds(node, place),
            codes=codes,
            list_uri=_list_uri(node)[:_TITLE],
            content=_child_text(node, "inhalt")[:_HELP],
            **self._facts(node, place),
        )

    def _facts(self, node: Any, place: str) -> dict[str, Any]:
        id_, version = _identity(node)
        titles = (_child_text(node, each) for each in ("bezeichnungEingabe", "bezeichnung", "name"))
        title = next((each for each in titles if each), id_)
        helps = (_child_text(node, each) for each in ("hilfetextEingabe", "hilfetext"))
        return {
            "id": id_,
            "version": version,
            "title": self._cut(title, _TITLE, place, "der Titel", "the title"),
            "help": self._cut(
                next((each for each in helps if each), ""), _HELP, place, "der Hilfetext", "the help text"
            ),
            "description": _child_text(node, "beschreibung")[:_HELP],
            "rules": tuple(self._rules(node, place)),
        }

    def _cut(self, text: str, most: int, place: str, german: str, english: str) -> str:
        if len(text) > most:
            self.remark(
                place,
                f"{german[:1].upper()}{german[1:]} ist auf {most} Zeichen gekürzt.",
                f"{english} is cut to {most} characters.",
            )
        return text[:most]

    def _rules(self, node: Any, place: str) -> Iterator[DataRule]:
        for rule in _children(node, "regel"):
            holder = next(iter(_children(rule, "identifikation")), rule)
            id_, version = _child_text(holder, "id")[:64] or "?", _child_text(holder, "version")[:40]
            prose = (
                _child_text(rule, "freitextRegel")
                or _child_text(rule, "definition")
                or _child_text(rule, "beschreibung")
            )
            name = (_child_text(rule, "bezeichnungEingabe") or _child_text(rule, "name"))[:_TITLE]
            script = bool(_child_text(rule, "script") or _child_text(rule, "skript"))
            self.remark(
                place,
                f"Die Regel {id_} ({name}) steht als Text im Schema und wird nicht geprüft"
                f"{'; ihr Skript ist nicht übernommen' if script else ''}.",
                f"the rule {id_} ({name}) stands in the schema as text and is not judged"
                f"{'; its script is not taken over' if script else ''}.",
            )
            yield DataRule(id=id_, version=version, name=name, text=prose[:_HELP])

    def _bounds(self, node: Any, place: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in _children(node, "praezisierung"):
            text = _text(each)
            if len(text) > _LIMITS:
                self.remark(place, "Die Präzisierung ist zu lang.", "the restriction is too long.")
                continue
            said: Any = dict(each.attrib)
            if not said and text:
                said, text = _json_object(text), "" if _json_object(text) is not None else text
            if text:
                self._remark_prose(place, text)
            for name, value in (said or {}).items():
                if name in _BOUNDS and isinstance(value, str | int | float) and not isinstance(value, bool):
                    if str(value).strip():
                        found.setdefault(name, str(value).strip())
                elif value not in ("", None):
                    self._remark_unjudged(place, name, value)
        return found

    def _remark_prose(self, place: str, text: str) -> None:
        self.remark(
            place,
            f"Die Präzisierung ist Prosa und wird nicht geprüft: {text[:_TITLE]}",
            f"the restriction is prose and is not judged: {text[:_TITLE]}",
        )

    def _remark_unjudged(self, place: str, name: str, value: Any) -> None:
        self.remark(
            place,
            f"Die Präzisierung {_seen(name)[:40]} wird nicht geprüft: {_seen(str(value))[:_TITLE]}",
            f"the restriction {_seen(name)[:40]} is not judged: {_seen(str(value))[:_TITLE]}",
        )

    def _listed(self, node: Any, place: str) -> tuple[DataCode, ...]:
        """Return the codes that a field lists itself (version 3); lists that it only names have none."""
        found: dict[str, DataCode] = {}
        helped = False
        values = [value for holder in _children(node, "werte") for value in _elements(holder)]
        self._codes += len(values)
        if self._codes > _CODES:
            raise _over(f"{_CODES} Codes", f"{_CODES} codes")
        if len(values) > MOST_CHOICES:
            self._remark_too_many(place, values)
            return ()
        for value in values:
            code, name = _child_text(value, "code")[:_TITLE], _child_text(value, "name")[:_TITLE]
            helped = helped or bool(_child_text(value, "hilfe"))
            if not code or code in found:
                self._remark_code(place, code, name)
                continue
            found[code] = DataCode(code=code, name=name or code)
        if helped:
            self.remark(place, "Hilfen zu einzelnen Werten entfallen.", "help for single values is left out.")
        return tuple(found.values())

    def _remark_too_many(self, place: str, values: Sequence[Any]) -> None:
        self.remark(
            place,
            f"Die Liste hat {len(values)} Werte, mehr als {MOST_CHOICES}, aus denen niemand wählen kann; jeder Text gilt.",
            f"the list has {len(values)} values, more than {MOST_CHOICES} to choose from; any text is taken.",
        )

    def _remark_code(self, place: str, code: str, name: str) -> None:
        self.remark(
            place,
            f"Ein Code der Liste fehlt oder steht zweimal: {code or name or '?'}",
            f"a code of the list is missing or stands twice: {code or name or '?'}",
        )

    def _unheard(self, node: Any, place: str) -> None:
        """Name what a field says that neither schema nor form can."""
        filling = _code(node, "vorbefuellung")
        if filling not in ("", "keine"):
            self.remark(
                place, f"Vorbefüllung ({filling[:40]}) gibt es nicht.", f"there is no filling in ({filling[:40]})."
            )
        for name, german, english in (
            ("maxSize", "Die Größe der Datei wird hier nicht geprüft", "the file's size is not judged here"),
            ("mediaType", "Das Format der Datei wird hier nicht geprüft", "the file's format is not judged here"),
            ("codeKey", "Die Codespalte bleibt ungenutzt", "the column of codes is not used"),
            ("nameKey", "Die Namensspalte bleibt ungenutzt", "the column of names is not used"),
            ("helpKey", "Die Hilfespalte bleibt ungenutzt", "the column of help is not used"),
        ):
            if said := ", ".join(filter(None, map(_text, _children(node, name))))[:_TITLE]:
                self.remark(place, f"{german}: {said}", f"{english}: {said}")

    def _note(self, node: Any, place: str, notes: list[str]) -> None:
        said = _child_text(node, "inhalt") or _child_text(node, "hilfetextEingabe")
        title = _child_text(node, "bezeichnungEingabe") or _child_text(node, "name")
        notes.append((said or title)[:_HELP])
        id_, _ = _identity(node)
        for _ in self._rules(node, place):
            pass
        if not notes[-1]:
            notes.pop()
            self.remark(place, f"Der Hinweis {id_} hat keinen Text.", f"the label {id_} has no text.")

    def _resolved(self, node: Any, place: str, often: _Often) -> Any | None:
        """Return an element, or the definition of one that is only named; None where it is nowhere defined."""
        if not _only_names(node):
            return node
        kind, identity = _tag(node)[1], _identity(node)
        found = self._defined.get((kind, *identity))
        if found is None:
            self._missing(node, f"{place.rstrip('/')}/{identity[0]}", often, identity[0])
        return found

    def _missing(self, node: Any, place: str, often: _Often, name: str) -> None:
        if often.least:
            raise _wrong(
                node,
                f"{name} wird verlangt und ist in dieser Datei nicht beschrieben ({place}).",
                f"{name} is demanded and not described in this file ({place}).",
                place=place,
            )
        self.remark(
            place,
            f"{name} ist in dieser Datei nicht beschrieben und entfällt.",
            f"{name} is not described in this file and is left out.",
        )


def _require_answerable(root: DataGroup) -> None:
    if _compulsory(root) > _COMPULSORY:
        raise _over(f"{_COMPULSORY} Pflichtangaben", f"{_COMPULSORY} compulsory answers")


def _compulsory(element: DataElement) -> int:
    """Return how many fields a page shows at least."""
    inner = 1 + sum(map(_compulsory, element.members)) if isinstance(element, DataGroup) else 1
    return inner * max(element.least, 1)


def _tag(node: Any) -> tuple[str, str]:
    space, _, name = str(node.tag).rpartition("}")
    return space[1:], name


def _elements(node: Any) -> Iterator[Any]:
    """Yield the children that are elements: neither comments nor processing instructions."""
    return (child for child in node if isinstance(child.tag, str))


def _children(node: Any, name: str) -> list[Any]:
    return [child for child in _elements(node) if _tag(child)[1] == name]


def _text(node: Any) -> str:
    return _seen(str(node.xpath("string()")) if len(node) else node.text or "")


def _seen(text: str) -> str:
    """Return a text on one line, without what nobody sees."""
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(each for each in plain if unicodedata.category(each) not in _UNSEEN)


def _child_text(node: Any, name: str) -> str:
    return next((text for child in _children(node, name) if (text := _text(child))), "")


def _code(node: Any, name: str) -> str:
    """Return a coded value: ``<feldart><code>input</code></feldart>``."""
    return next((code for child in _children(node, name) if (code := _child_text(child, "code"))), "")


def _identity(node: Any) -> tuple[str, str]:
    """Return id and version of an element; the version may be missing, the id may not.

    Raises:
        ConfigurationError: It has none, or two, or an odd one.
    """
    holders = _children(node, "identifikation")
    ids = [_text(each) for holder in holders for each in _children(holder, "id")]
    versions = [_text(each) for holder in holders for each in _children(holder, "version")]
    if len(holders) != 1 or len(ids) != 1 or not _ID.fullmatch(ids[0]):
        raise _wrong(
            node,
            "Hier muss genau eine Identifikation mit id stehen.",
            "exactly one identification with an id must stand here.",
        )
    version = versions[0] if versions else ""
    if len(versions) > 1 or not _VERSION.fullmatch(version):
        raise _wrong(node, f"Die Version von {ids[0]} ist keine.", f"the version of {ids[0]} is none.")
    return ids[0], version


def _only_names(node: Any) -> bool:
    """Whether an element only names one that is described elsewhere."""
    return all(_tag(child)[1] == "identifikation" for child in _elements(node))


def _times(structure: Any) -> _Often:
    """Return how often something may stand (``0:1``, ``1:*``, ``2:n``).

    Raises:
        ConfigurationError: It is not said, said twice, or the most is below the least.
    """
    said = [_text(each) for each in _children(structure, "anzahl")]
    found = _TIMES.fullmatch(said[0]) if len(said) == 1 else None
    if found is None:
        raise _wrong(
            structure,
            "Die Anzahl muss einmal als 0:1, 1:1, 1:* stehen.",
            "the number must stand once, as 0:1, 1:1, 1:*.",
        )
    least, most = int(found[1]), None if found[2] in ("*", "n") else int(found[2])
    if most is not None and most < least:
        raise _wrong(
            structure, f"Die Anzahl {said[0]} endet vor ihrem Anfang.", f"the number {said[0]} ends before it begins."
        )
    return _Often(least, most)


def _list_uri(node: Any) -> str:
    for reference in _children(node, "codelisteReferenz"):
        for name in ("canonicalVersionUri", "canonicalIdentification", "id"):
            for each in reference.iter(f"{{*}}{name}"):
                if said := _text(each):
                    return said
    return ""


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _wrong(node: Any, german: str, english: str, **members: Any) -> ConfigurationError:
    line = node.sourceline
    return ConfigurationError(Text(f"Zeile {line}: {german}", f"Line {line}: {english}"), line=line, **members)


def _foreign(tree: Any) -> ConfigurationError:
    shown = _seen(str(tree.tag))[:_TITLE]
    return ConfigurationError(
        Text(
            f"{shown} ist keine Nachricht von XDatenfelder 2 oder 3.0.0. Bekannt sind {', '.join(_MESSAGES)} in den "
            f"Namensräumen {', '.join(_SPACES)}.",
            f"{shown} is no message of XDatenfelder 2 or 3.0.0. Known are {', '.join(_MESSAGES)} in the namespaces "
            f"{', '.join(_SPACES)}.",
        )
    )


def _over(german: str, english: str) -> TooLarge:
    return TooLarge(
        Text(
            f"Die XDatenfelder-Datei hat mehr als {german}. Teilen Sie sie, oder fragen Sie ihren Herausgeber.",
            f"The XDatenfelder file has more than {english}. Split it, or ask its publisher.",
        )
    )
