"""How much a document may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Caps on documents and reports. Sizes are bytes."""

    #: The largest XML document: the data part of an application.
    xml_bytes: int = 100 * MIB
    #: The largest JSON document. Unlike XML it is always held as a whole, at several times its size.
    json_bytes: int = 16 * MIB
    #: Up to here XML becomes a tree; above, the verdict is streamed in bounded memory. Kept low because libxml2 counts
    #: siblings for every violation on a tree, which is quadratic in a document full of them.
    tree_bytes: int = 64 * 1024
    #: Up to here references are checked on a tree even if the verdict was streamed: twice as fast, at more memory.
    walk_bytes: int = 1 * MIB
    #: Siblings counted (violations x most children) before a report does without places.
    report_steps: int = 200_000_000
    #: Up to here a refused XML document is read once more as a tree, to say where it is wrong.
    report_bytes: int = 16 * MIB
    #: Nesting of JSON arrays and objects, as orjson writes it. (XML: 256, fixed in libxml2.)
    json_depth: int = 254
    #: Characters of one JSON number: more say nothing that a double or a 64-bit integer could hold.
    json_number: int = 100
    #: Values of one JSON document, containers included: the smallest take fifty times their text in memory.
    json_values: int = 1_000_000
    #: Values up to which every violation of a JSON document is listed: the library makes all of them at once, at some kilobytes
    #: each, and those inside ``oneOf`` in quadratic time. Forms of public administration have some thousands of fields.
    json_listed: int = 20_000
    #: Violations named in a report; the total is always counted.
    violations: int = 100
