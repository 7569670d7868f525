"""What a person reads of a document: one page of HTML that stands alone, for clerks, for the applicant's records, for print.

Everything that stands in the document stands on the page: what the form asks in the form's order and words, everything else
below. Nothing of the document becomes anything but text: values are escaped, what steers the direction of text or cannot be
seen is written out as its code point, and the page's own policy allows neither scripts nor anything from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import escape

from hub.errors import Text
from hub.forms.form_file import Questionnaire, said
from hub.forms.outline import ATTRIBUTE, CONTENT, OWN, Field, FieldKind, from_name, is_given
from hub.forms.values import shown_value
from hub.model import MediaType
from hub.validation.json.documents import read_json
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml

#: Columns of a table; items with more values are shown one below the other.
_MOST_COLUMNS = 8
#: Levels of headings; what lies deeper has no heading of its own.
_DEEPEST_HEADING = 6
_WORDS = {
    "rest": Text("Weitere Angaben", "Further details"),
    "files": Text("Anlagen", "Attachments"),
    "empty": Text("Das Dokument enthält keine Angaben.", "The document holds no details."),
    "number": Text("Nr.", "No."),
}
STYLE = (
    "body{margin:0;color:#1a1a1a;background:#fff;font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "main{max-width:50rem;margin:0 auto;padding:1rem}h1{font-size:1.5rem;line-height:1.2}"
    "h2{font-size:1.2rem;margin:1.5rem 0 .5rem;"
    "border-bottom:1px solid #767676}h3,h4,h5,h6{font-size:1rem;margin:1rem 0 .25rem}dl{margin:0;display:grid;"
    "grid-template-columns:minmax(8rem,1fr) 2fr;gap:.25rem 1rem}dt{color:#4a4a4a}dd{margin:0;white-space:pre-wrap}"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #767676;padding:.25rem .5rem;text-align:left;"
    "vertical-align:top;white-space:pre-wrap}caption{text-align:left;font-weight:bold;padding:.5rem 0}"
    "@media(max-width:30rem){dl{grid-template-columns:1fr}dt{margin-top:.5rem}}@media print{main{max-width:none}}"
)
#: For policies of those who serve the page.
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
_KEPT = "\n\t"
#: What stands where the schema has nothing.
_UNKNOWN = Field(name="", kind=FieldKind.TEXT, title=Text("", ""))


def readable(
    form: Questionnaire, content: bytes, media_type: MediaType, *, language: str, attachments: Sequence[str] = ()
) -> str:
    """Return the page of a document (``language``: de, en, easy); ``attachments`` are the names of what came with it.

    Raises:
        Malformed: The document cannot be read.
        TooLarge: It is over a cap.
    """
    value = _value_of(form, content, media_type)
    drawn = _Page(language)
    for step in form.steps:
        drawn.section(step.title, step.root, value)
    drawn.rest(form.known, value)
    drawn.files(attachments)
    title = drawn.words(form.title)
    body = "".join(drawn.out) or f"<p>{drawn.words(_WORDS['empty'])}</p>"
    return _framed(title, body, language)


def _value_of(form: Questionnaire, content: bytes, media_type: MediaType) -> Any:
    limits = Limits()
    if media_type is MediaType.XML:
        document = read_xml(content, limits)
        root = document.whole_tree()
        value = _of_element(root, form.known)
    else:
        value = read_json(content, limits)
    return value


def _framed(title: str, body: str, language: str) -> str:
    return (
        f'<!doctype html>\n<html lang="{"en" if language == "en" else "de"}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )


def visible(text: str) -> str:
    """Return a text as HTML, what cannot be seen or turns the direction of others written out (``U+202E``)."""
    shown = "".join(
        f"⟨U+{ord(one):04X}⟩"
        if unicodedata.category(one) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") and one not in _KEPT
        else one
        for one in text.replace("\r\n", "\n")
    )
    return str(escape(shown))


class _Page:
    def __init__(self, language: str) -> None:
        self.out: list[str] = []
        self._language = language
        self._shown: set[tuple[Any, ...]] = set()

    def words(self, text: Text) -> str:
        return visible(said(text, self._language))

    def section(self, title: Text, root: Field, value: Any) -> None:
        """Write what a step's fields hold; nothing where they hold nothing."""
        inner: list[str] = []
        self._members(root, value, (), 3, inner)
        if inner:
            self.out.append(f"<section><h2>{self.words(title)}</h2>{''.join(inner)}</section>")

    def rest(self, known: Field, value: Any) -> None:
        """Write everything that no step has shown."""
        rows = [
            (self._path(known, path), visible(shown))
            for path, field, leaf in _leaves(known, value, ())
            if path not in self._shown
            for shown in [shown_value(field or _UNKNOWN, leaf, self._language)]
        ]
        if rows:
            self.out.append(f"<section><h2>{self.words(_WORDS['rest'])}</h2>{_list(rows)}</section>")

    def files(self, names: Sequence[str]) -> None:
        if names:
            items = "".join(f"<li><bdi>{visible(name)}</bdi></li>" for name in names)
            self.out.append(f"<section><h2>{self.words(_WORDS['files'])}</h2><ul>{items}</ul></section>")

    def _path(self, known: Field, path: Sequence[Any]) -> str:
        words: list[str] = []
        current: Field | None = known
        for token in path:
            if isinstance(token, int):
                words.append(str(token + 1))
                current = current.members[0] if current is not None and current.members else None
                continue
            current = next((one for one in current.members if one.name == token), None) if current else None
            words.append(self.words(current.title if current is not None else from_name(token)) or visible(token))
        return " › ".join(words)

    def _members(self, group: Field, value: Any, path: tuple[Any, ...], level: int, out: list[str]) -> None:
        given = value if isinstance(value, Mapping) else {}
        rows: list[tuple[str, str]] = []
        for member in _known_members(group, given):
            below = given.get(member.name)
            if not is_given(below) or member.name.startswith(OWN) or (*path, member.name) in self._shown:
                continue
            where = (*path, member.name)
            if _is_one_value(member, below):
                rows.append(self._row(member, below, where))
                continue
            if rows:
                out.append(_list(rows))
                rows = []
            self._nested(member, below, where, level, out)
        if rows:
            out.append(_list(rows))

    def _nested(self, member: Field, value: Any, path: tuple[Any, ...], level: int, out: list[str]) -> None:
        inner: list[str] = []
        if member.kind is FieldKind.GROUP:
            self._members(member, value, path, level + 1, inner)
            if inner:
                out.append(f"{self._heading(self.words(member.title), level)}{''.join(inner)}")
            return
        items = value if isinstance(value, list) else []
        field = member.members[0] if member.members else None
        if field is None or member.kind is not FieldKind.LIST:
            return
        if field.is_leaf:
            entries = "".join(f"<li>{self._value(field, one, (*path, n))}</li>" for n, one in enumerate(items))
            out.append(f"{self._heading(self.words(member.title), level)}<ul>{entries}</ul>")
            return
        columns = _columns(field, items)
        if columns is not None:
            out.append(self._table(member, columns, items, path))
            return
        name = self.words(member.item_title or member.title)
        for number, item in enumerate(items):
            self._numbered(f"{name} {number + 1}", field, item, (*path, number), level, out)

    def _heading(self, words: str, level: int) -> str:
        return f"<h{level}>{words}</h{level}>" if level <= _DEEPEST_HEADING else f"<p><strong>{words}</strong></p>"

    def _numbered(  # noqa: PLR0917  # as the others that draw
        self, name: str, field: Field, item: Any, path: tuple[Any, ...], level: int, out: list[str]
    ) -> None:
        inner: list[str] = []
        self._members(field, item, path, level + 1, inner)
        if inner:
            out.append(f"{self._heading(name, level)}{''.join(inner)}")

    def _table(
        self,
        member: Field,
        columns: Sequence[tuple[Field, tuple[str, ...]]],
        items: Sequence[Any],
        path: tuple[Any, ...],
    ) -> str:
        head = "".join(f'<th scope="col">{self.words(field.title)}</th>' for field, _ in columns)
        rows = []
        for number, item in enumerate(items):
            cells = []
            for field, steps in columns:
                found = item
                for step in steps:
                    found = found.get(step) if isinstance(found, Mapping) else None
                shown = self._value(field, found, (*path, number, *steps)) if is_given(found) else ""
                cells.append(f"<td>{shown}</td>")
            rows.append(f'<tr><th scope="row">{number + 1}</th>{"".join(cells)}</tr>')
        return (
            f"<table><caption>{self.words(member.title)}</caption><thead><tr>"
            f'<th scope="col">{self.words(_WORDS["number"])}</th>'
            f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )

    def _row(self, member: Field, value: Any, path: tuple[Any, ...]) -> tuple[str, str]:
        field, step = _one_value(member)
        return self.words(field.title), self._value(
            field, value[step] if step else value, (*path, *([step] if step else []))
        )

    def _value(self, field: Field, value: Any, path: tuple[Any, ...]) -> str:
        if isinstance(value, Mapping | list):
            return ""  # Not what the schema has here: it stands among the rest.
        self._shown.add(path)
        label = next((one.label for one in field.choices if _same(one.value, value)), None)
        if label is not None:
            return f"<bdi>{self.words(label)}</bdi>"
        return f"<bdi>{visible(shown_value(field, value, self._language))}</bdi>"


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _known_members(group: Field, given: Mapping[str, Any]) -> Iterator[Field]:
    """Yield a member of each name: where variants have several, the one whose kind fits what is there."""
    names: dict[str, list[Field]] = {}
    for member in group.members:
        names.setdefault(member.name, []).append(member)
    for name, members in names.items():
        value = given.get(name)
        yield next((one for one in members if _fits(one, value)), members[0])


def _fits(member: Field, value: Any) -> bool:
    if isinstance(value, Mapping):
        return member.kind is FieldKind.GROUP
    return (member.kind is FieldKind.LIST) if isinstance(value, list) else member.is_leaf


def _one_value(member: Field) -> tuple[Field, str]:
    """Return the field of the one value that a member is shown as, and the name below it: a code is one value."""
    if member.kind is FieldKind.GROUP and member.widget == "code":
        return next(one for one in member.members if one.name == "code"), "code"
    return member, ""


def _is_one_value(member: Field, value: Any) -> bool:
    field, step = _one_value(member)
    if step:
        return isinstance(value, Mapping) and is_given(value.get(step))
    return field.is_leaf and not isinstance(value, Mapping | list)


def _columns(field: Field, items: Sequence[Any]) -> list[tuple[Field, tuple[str, ...]]] | None:
    """Return the values that items have, as columns; None where they are too many, or lists."""
    columns: list[tuple[Field, tuple[str, ...]]] = []
    for path, leaf in _values_below(field, ()):
        if leaf.kind is FieldKind.LIST:
            if any(is_given(_at(item, path)) for item in items):
                return None
        elif any(is_given(_at(item, path)) for item in items):
            columns.append((leaf, path))
    return columns if len(columns) <= _MOST_COLUMNS else None


def _values_below(field: Field, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Field]]:
    for member in field.members:
        where = (*path, member.name)
        if member.kind is FieldKind.GROUP:
            yield from _values_below(member, where)
        elif member.kind is not FieldKind.FIXED:
            yield where, member


def _at(item: Any, path: Sequence[str]) -> Any:
    for step in path:
        item = item.get(step) if isinstance(item, Mapping) else None
    return item


def _list(rows: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def _leaves(
    field: Field | None, value: Any, path: tuple[Any, ...]
) -> Iterator[tuple[tuple[Any, ...], Field | None, Any]]:
    """Yield every value of a document with its path, and its field where the schema has one."""
    if isinstance(value, Mapping):
        members = {one.name: one for one in _known_members(field, value)} if field is not None else {}
        for name, below in value.items():
            yield from _leaves(members.get(name), below, (*path, name))
    elif isinstance(value, list):
        item = field.members[0] if field is not None and field.kind is FieldKind.LIST else None
        for number, below in enumerate(value):
            yield from _leaves(item, below, (*path, number))
    else:
        yield path, field if field is not None and field.is_leaf else None, "" if value is None else value


def _of_element(element: Any, field: Field | None) -> Any:
    """Return an element of a document in the shape of answers."""
    children = [child for child in element if isinstance(child.tag, str)]
    attributes = {
        f"{ATTRIBUTE}{_local(name)}": value for name, value in element.attrib.items() if not name.startswith(_XSI)
    }
    text = (element.text or "").strip() if children else element.text or ""
    if not children and not attributes:
        return text
    found: dict[str, Any] = dict(attributes)
    if text:
        found[CONTENT] = text
    members = {member.name: member for member in field.members} if field is not None else {}
    for child in children:
        name = _local(child.tag)
        member = members.get(name)
        listed = member is not None and member.kind is FieldKind.LIST
        below = _of_element(child, member.members[0] if member is not None and listed else member)
        if listed or name in found:
            before = found.get(name, [])
            found[name] = [*(before if isinstance(before, list) else [before]), below]
        else:
            found[name] = below
    tails = " ".join(filter(None, ((child.tail or "").strip() for child in element)))
    if tails:
        found[CONTENT] = f"{found.get(CONTENT, '')} {tails}".strip()
    return found


_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


def _local(tag: str) -> str:
    return re.sub(r"^\{[^}]*\}", "", tag)
