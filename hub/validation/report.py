"""Reports: which rules a payload breaks and where, every rule that can be named, and what a check may cost.

The answer of a check: which rules a payload breaks, and where.

A report can be shown to the sender, logged and stored: its texts are built from rule ids, ``expected`` comes from the
schema alone, and locations hold no name that the sender chose.

Every rule that a report can name: its stable id and its words.

Ids never change once published. The words never depend on the payload; what the schema demands stands beside them in
``Violation.expected``. JSON rules carry the keyword's name, XML rules the matter (XML Schema 1.0, parts 1 and 2).

How much a document may cost before it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from hub.errors import Text
from hub.model import SchemaRef

Severity = Literal["error", "warning"]
PathKind = Literal["xpath", "json-pointer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One broken rule.

    ``rule`` is a stable id (see :mod:`hub.validation.report`). ``path`` is an XPath 1.0 expression whose prefixes are
    those of the report's ``namespaces``, or a JSON Pointer (RFC 6901). ``line`` counts from 1.
    """

    rule: str
    severity: Severity = "error"
    path: str
    path_kind: PathKind
    line: int | None = None
    expected: str | None = None
    text: Text

    def as_json(self) -> dict[str, Any]:
        """Return the violation as it stands in problem details and reports."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "path": self.path,
            "pathKind": self.path_kind,
            "line": self.line,
            "expected": self.expected,
            "text": {"de": self.text.de, "en": self.text.en},
        }


class Check(StrEnum):
    """What a standard asks of a document, and what may be left undone."""

    #: Every element and every attribute keeps its declaration.
    SCHEMA = "schema"
    #: The values of coded elements are those of their code lists.
    CODE_LISTS = "code-lists"
    #: The rules in Schematron hold.
    BUSINESS_RULES = "business-rules"
    #: The attachments that the document names were sent with it.
    ATTACHMENTS = "attachments"
    #: A scanner looked at every part, and knows nothing in it.
    MALWARE = "malware"


class Cause(StrEnum):
    """Why a check was left undone."""

    #: The document is larger than the check can bear.
    TOO_LARGE = "too-large"
    #: This installation lacks what the check needs.
    NOT_INSTALLED = "not-installed"
    #: The catalogue lacks what the document names: a code list, or that version of it.
    NOT_KNOWN = "not-known"
    #: The document holds elements or attributes that a wildcard lets in and no schema of the standard declares.
    NOT_DECLARED = "not-declared"
    #: Some of the rules cannot be evaluated on this document; each counts as broken.
    NOT_EVALUATED = "not-evaluated"
    #: The document breaks its schema, on which the check relies.
    SCHEMA_BROKEN = "schema-broken"
    #: The document was handed in alone, where no attachments can come with it.
    NO_ATTACHMENTS = "no-attachments"
    #: The scanner was not there, or did not look at all of a part.
    NOT_SCANNED = "not-scanned"
    #: The scanner found something, and policy lets the part pass all the same.
    INFECTED = "infected"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchecked:
    """One check that was not done, or not wholly, and why. The texts are the hub's own: nothing of the document is in them."""

    check: Check
    cause: Cause
    text: Text

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in reports and receipts."""
        return {"check": self.check, "cause": self.cause, "text": {"de": self.text.de, "en": self.text.en}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What came of checking one document against one schema.

    ``violations`` are capped, ``total`` is not. ``unchecked`` says which checks of the standard were not done.
    ``namespaces`` maps the prefixes of XPath locations to namespace names.
    """

    schema: SchemaRef
    violations: tuple[Violation, ...] = ()
    total: int = 0
    remarks: tuple[Text, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    #: How often the document names an attachment that was not sent; they are among the violations.
    missing_attachments: int = 0
    namespaces: tuple[tuple[str, str], ...] = ()

    @property
    def valid(self) -> bool:
        """Whether no rule of severity ``error`` is broken."""
        return not any(violation.severity == "error" for violation in self.violations)

    @property
    def complete(self) -> bool:
        """Whether every check of the standard was done."""
        return not self.unchecked

    @property
    def notes(self) -> tuple[Text, ...]:
        """Return what is to be said of the report as a whole: remarks, and what was not checked."""
        return (*self.remarks, *(each.text for each in self.unchecked))

    def as_json(self) -> dict[str, Any]:
        """Return the report as the validation interface answers it."""
        return {
            "valid": self.valid,
            "complete": self.complete,
            "schema": {
                "uri": self.schema.uri,
                "standard": self.schema.standard,
                "version": self.schema.version,
                "sha256": self.schema.sha256,
                "mediaType": str(self.schema.media_type),
            },
            "total": self.total,
            "violations": [violation.as_json() for violation in self.violations],
            "notes": [{"de": note.de, "en": note.en} for note in self.notes],
            "unchecked": [each.as_json() for each in self.unchecked],
            "namespaces": dict(self.namespaces),
        }

    def extended(self, violations: Iterable[Violation], *, cap: int) -> Report:
        """Return the report with the findings of a further judge; errors are named before warnings."""
        found = tuple(violations)
        merged = sorted((*self.violations, *found), key=lambda violation: violation.severity)
        return replace(self, violations=tuple(merged[:cap]), total=self.total + len(found))


RULES: dict[str, Text] = {
    # Characters (DIN 91379 and other repertoires); a report puts code point and position in place of these words.
    "character.not-allowed": Text(
        "Der Text enthält ein Zeichen, das nicht zum erlaubten Zeichenvorrat gehört. Ersetzen Sie es.",
        "The text holds a character that is not in the allowed repertoire. Replace it.",
    ),
    "character.decomposed": Text(
        "Der Text enthält zerlegte Zeichen. Senden Sie ihn in der Unicode-Normalform NFC.",
        "The text holds decomposed characters. Send it in Unicode normal form NFC.",
    ),
    # XML: structure (XML Schema part 1, sections 3.3.4 and 3.4.4).
    "xml.root": Text(
        "Das Wurzelelement gehört nicht zu diesem Schema. Senden Sie eine der erwarteten Nachrichten.",
        "The root element does not belong to this schema. Send one of the expected messages.",
    ),
    "xml.element-undeclared": Text(
        "Hier darf jedes Element stehen, das die Schemata deklarieren; dieses deklarieren sie nicht. Prüfen Sie Namen und "
        "Namensraum, oder entfernen Sie es.",
        "Any element that the schemas declare may stand here; this one they do not declare. Check its name and namespace, or "
        "remove it.",
    ),
    "xml.element-unexpected": Text(
        "Dieses Element ist hier nicht vorgesehen. Entfernen Sie es, oder setzen Sie hierher, was erwartet wird.",
        "This element is not allowed here. Remove it, or put what is expected in its place.",
    ),
    "xml.element-missing": Text(
        "In diesem Element fehlt ein Kindelement. Ergänzen Sie, was erwartet wird.",
        "A child element is missing here. Add what is expected.",
    ),
    "xml.attribute-missing": Text(
        "Ein Pflichtattribut fehlt. Ergänzen Sie es.", "A required attribute is missing. Add it."
    ),
    "xml.attribute-unexpected": Text(
        "Dieses Element trägt ein Attribut, das nicht vorgesehen ist. Entfernen Sie es.",
        "This element carries an attribute that is not allowed. Remove it.",
    ),
    "xml.text-unexpected": Text(
        "Hier darf kein Text stehen, nur Elemente. Entfernen Sie den Text.",
        "No text is allowed here, only elements. Remove the text.",
    ),
    "xml.children-unexpected": Text(
        "Dieses Element darf nur Text enthalten. Entfernen Sie die Kindelemente.",
        "This element may hold text only. Remove its child elements.",
    ),
    "xml.content-unexpected": Text(
        "Dieses Element muss leer sein. Entfernen Sie seinen Inhalt.", "This element must be empty. Remove its content."
    ),
    "xml.abstract": Text(
        "Hier steht ein abstraktes Element oder ein abstrakter Typ. Verwenden Sie eine der konkreten Formen.",
        "An abstract element or type stands here. Use one of its concrete forms.",
    ),
    "xml.nil": Text(
        "xsi:nil ist hier nicht erlaubt oder widerspricht dem Inhalt. Entfernen Sie xsi:nil oder den Inhalt.",
        "xsi:nil is not allowed here or contradicts the content. Remove xsi:nil or the content.",
    ),
    "xml.type": Text(
        "xsi:type nennt einen Typ, den das Schema hier nicht zulässt. Nennen Sie einen zulässigen Typ.",
        "xsi:type names a type that the schema does not allow here. Name an allowed one.",
    ),
    "xml.fixed": Text(
        "Der Wert ist im Schema fest vorgegeben. Verwenden Sie genau den vorgegebenen Wert.",
        "The schema fixes this value. Use exactly the given value.",
    ),
    "xml.wildcard": Text(
        "Für dieses Element fehlt eine Deklaration. Senden Sie an dieser Stelle nur Elemente, die das Schema kennt.",
        "There is no declaration for this element. Send only elements that the schema knows.",
    ),
    "xml.identity": Text(
        "Ein Schlüssel kommt doppelt vor, fehlt, oder ein Verweis läuft ins Leere. Prüfen Sie Schlüssel und Verweise.",
        "A key is repeated or missing, or a reference leads nowhere. Check keys and references.",
    ),
    "xml.assertion": Text(
        "Das Dokument erfüllt an dieser Stelle eine Bedingung des Schemas nicht. Prüfen Sie die genannten Angaben zusammen.",
        "The document does not meet a condition of the schema at this place. Check the values it names together.",
    ),
    "xml.id-repeated": Text(
        "Diese ID (xs:ID) ist im Dokument schon vergeben. Vergeben Sie jede ID nur einmal.",
        "This id (xs:ID) is already taken in the document. Give each id only once.",
    ),
    "xml.idref-dangling": Text(
        "Der Verweis (xs:IDREF) zeigt auf keine ID des Dokuments. Verweisen Sie auf eine vorhandene ID.",
        "The reference (xs:IDREF) points at no id of the document. Refer to an id that exists.",
    ),
    # XML: values (XML Schema part 2, section 4.3).
    "xml.datatype": Text(
        "Der Wert hat nicht den verlangten Datentyp. Schreiben Sie ihn in der Form dieses Typs.",
        "The value is not of the required data type. Write it in the form of that type.",
    ),
    "xml.pattern": Text(
        "Der Wert hat nicht die verlangte Form. Passen Sie ihn an das Muster an.",
        "The value does not have the required form. Make it match the pattern.",
    ),
    "xml.enumeration": Text(
        "Der Wert steht nicht in der Liste der erlaubten Werte. Wählen Sie einen davon.",
        "The value is not one of the allowed values. Choose one of them.",
    ),
    "xml.length": Text("Der Wert hat nicht die verlangte Länge.", "The value does not have the required length."),
    "xml.min-length": Text("Der Wert ist zu kurz. Verlängern Sie ihn.", "The value is too short. Lengthen it."),
    "xml.max-length": Text("Der Wert ist zu lang. Kürzen Sie ihn.", "The value is too long. Shorten it."),
    "xml.minimum": Text("Der Wert liegt unter der Grenze.", "The value is below the limit."),
    "xml.maximum": Text("Der Wert liegt über der Grenze.", "The value is above the limit."),
    "xml.digits": Text(
        "Die Zahl hat zu viele Stellen. Runden oder kürzen Sie sie.", "The number has too many digits. Round it."
    ),
    "xml.schema-rule": Text(
        "Das Dokument verletzt an dieser Stelle eine Regel des Schemas.",
        "The document breaks a rule of the schema at this place.",
    ),
    # Code lists.
    "codelist.code": Text(
        "Dieser Code steht nicht in der genannten Version der Codeliste. Verwenden Sie einen Code dieser Liste.",
        "This code is not in the named version of the code list. Use a code of that list.",
    ),
    "codelist.version": Text(
        "Diese Version der Codeliste ist hier nicht bekannt, der Code wurde nicht geprüft. Nennen Sie eine bekannte Version.",
        "This version of the code list is not known here, the code was not checked. Name a known version.",
    ),
    # Attachments, where the schema's entry in the catalogue declares where documents name them.
    "attachment.missing": Text(
        "Hier wird eine Anlage genannt, die nicht mitgesendet wurde. Senden Sie sie mit, unter genau diesem Dateinamen.",
        "An attachment is named here that was not sent. Send it along, under exactly this file name.",
    ),
    # Business rules (Schematron): the ids are `schematron.` and that of the rule in its standard.
    "schematron": Text(
        "Das Dokument verletzt an dieser Stelle eine Geschäftsregel des Standards. Prüfen Sie die Angaben, die sie nennt.",
        "The document breaks a business rule of its standard at this place. Check the values that the rule names.",
    ),
    "schematron.not-evaluated": Text(
        "Die genannten Geschäftsregeln ließen sich hier nicht auswerten und gelten deshalb als nicht erfüllt. Prüfen Sie Form "
        "und Vollständigkeit der Angaben; stimmen sie, melden Sie die Regel dem Betreiber.",
        "The named business rules could not be evaluated here and therefore count as broken. Check form and completeness of "
        "the values; if they are right, report the rule to the operator.",
    ),
    # JSON: by keyword (JSON Schema 2020-12, validation and applicator vocabularies; older names beside them).
    "json.required": Text(
        "In diesem Objekt fehlt ein Pflichtfeld. Ergänzen Sie es.",
        "A required field is missing in this object. Add it.",
    ),
    "json.type": Text(
        "Der Wert hat nicht den verlangten JSON-Typ. Senden Sie den erwarteten Typ.",
        "The value is not of the required JSON type. Send the expected type.",
    ),
    "json.enum": Text(
        "Der Wert steht nicht in der Liste der erlaubten Werte. Wählen Sie einen davon.",
        "The value is not one of the allowed values. Choose one of them.",
    ),
    "json.const": Text(
        "Hier ist nur ein einziger Wert erlaubt. Verwenden Sie genau diesen.",
        "Only one value is allowed here. Use exactly that one.",
    ),
    "json.pattern": Text(
        "Der Text hat nicht die verlangte Form. Passen Sie ihn an das Muster an.",
        "The text does not have the required form. Make it match the pattern.",
    ),
    "json.format": Text(
        "Der Text hat nicht das verlangte Format. Schreiben Sie ihn in diesem Format.",
        "The text is not in the required format. Write it in that format.",
    ),
    "json.minLength": Text("Der Text ist zu kurz. Verlängern Sie ihn.", "The text is too short. Lengthen it."),
    "json.maxLength": Text("Der Text ist zu lang. Kürzen Sie ihn.", "The text is too long. Shorten it."),
    "json.minimum": Text("Die Zahl liegt unter der Grenze.", "The number is below the limit."),
    "json.maximum": Text("Die Zahl liegt über der Grenze.", "The number is above the limit."),
    "json.exclusiveMinimum": Text(
        "Die Zahl muss größer als die Grenze sein.", "The number must be greater than the limit."
    ),
    "json.exclusiveMaximum": Text(
        "Die Zahl muss kleiner als die Grenze sein.", "The number must be less than the limit."
    ),
    "json.multipleOf": Text(
        "Die Zahl muss ein Vielfaches der Vorgabe sein. Runden Sie sie.",
        "The number must be a multiple of the given step. Round it.",
    ),
    "json.minItems": Text("Die Liste hat zu wenige Einträge.", "The list has too few entries."),
    "json.maxItems": Text("Die Liste hat zu viele Einträge.", "The list has too many entries."),
    "json.uniqueItems": Text(
        "Die Liste enthält einen Eintrag mehrfach. Entfernen Sie die Wiederholung.",
        "The list holds an entry more than once. Remove the repetition.",
    ),
    "json.contains": Text(
        "Der Liste fehlt ein Eintrag, den das Schema verlangt, oder sie hat zu viele davon.",
        "The list lacks an entry that the schema demands, or has too many of them.",
    ),
    "json.minProperties": Text("Das Objekt hat zu wenige Felder.", "The object has too few fields."),
    "json.maxProperties": Text("Das Objekt hat zu viele Felder.", "The object has too many fields."),
    "json.additionalProperties": Text(
        "Das Objekt enthält ein Feld, das nicht vorgesehen ist. Entfernen Sie es, oder prüfen Sie seine Schreibweise.",
        "The object holds a field that is not allowed. Remove it, or check its spelling.",
    ),
    "json.unevaluatedProperties": Text(
        "Das Objekt enthält ein Feld, das in dieser Fassung nicht vorgesehen ist. Entfernen Sie es.",
        "The object holds a field that is not allowed in this variant. Remove it.",
    ),
    "json.additionalItems": Text(
        "Die Liste enthält Einträge, die nicht vorgesehen sind. Entfernen Sie sie.",
        "The list holds entries that are not allowed. Remove them.",
    ),
    "json.unevaluatedItems": Text(
        "Die Liste enthält Einträge, die in dieser Fassung nicht vorgesehen sind. Entfernen Sie sie.",
        "The list holds entries that are not allowed in this variant. Remove them.",
    ),
    "json.propertyNames": Text(
        "Ein Feldname dieses Objekts hat nicht die verlangte Form.",
        "A field name of this object does not have the required form.",
    ),
    "json.dependentRequired": Text(
        "Zu einem vorhandenen Feld fehlt ein weiteres, das dann Pflicht ist. Ergänzen Sie es.",
        "A field that becomes required by another one is missing. Add it.",
    ),
    "json.anyOf": Text(
        "Der Wert passt zu keiner der erlaubten Fassungen. Wählen Sie eine und erfüllen Sie sie ganz.",
        "The value fits none of the allowed variants. Choose one and fulfil it.",
    ),
    "json.oneOf": Text(
        "Der Wert muss zu genau einer der erlaubten Fassungen passen.",
        "The value must fit exactly one of the allowed variants.",
    ),
    "json.not": Text(
        "Diesen Wert schließt das Schema aus. Ändern Sie ihn.", "The schema excludes this value. Change it."
    ),
    "json.falseSchema": Text(
        "An dieser Stelle ist kein Wert erlaubt. Entfernen Sie ihn.", "No value is allowed here. Remove it."
    ),
    "json.contentEncoding": Text(
        "Der Inhalt ist nicht wie verlangt kodiert (meist base64). Kodieren Sie ihn neu.",
        "The content is not encoded as required (base64 as a rule). Encode it again.",
    ),
    "json.contentMediaType": Text(
        "Der Inhalt hat nicht den verlangten Medientyp.", "The content is not of the required media type."
    ),
    "json.regex-limit": Text(
        "Die Prüfung eines Musters wurde abgebrochen, weil sie zu lange dauerte. Kürzen Sie den Text.",
        "Checking a pattern was stopped because it took too long. Shorten the text.",
    ),
    "json.schema-rule": Text(
        "Das Dokument verletzt an dieser Stelle eine Regel des Schemas.",
        "The document breaks a rule of the schema at this place.",
    ),
}


def text_of(rule: str) -> Text:
    """Return the words of a rule."""
    return RULES[rule]


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
