"""What several rooms refuse for one reason: each slug has one text, with what is particular filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from uuid import UUID

from hub.errors.tree import Conflict, Forbidden, Invalid, Malformed, NotFound, Refused, Text, TooLarge

_R = TypeVar("_R", bound=Refused)

#: What is said of something that is not there, or not for who asks, by slug; ``{key}`` is its identifier with a blank in front.
NOT_FOUND: Mapping[str, Text] = {
    "account-not-found": Text(
        "Das Konto{key} gibt es nicht. „hub accounts list“ zeigt alle.",
        "Account{key} does not exist. 'hub accounts list' shows all.",
    ),
    "adapter-change-not-found": Text(
        "Diese Änderung{key} eines Zustellwegs gibt es nicht. Laden Sie die Seite des Zustellpunkts neu.",
        "This change{key} of a way of delivery does not exist. Load the destination's page again.",
    ),
    "ai-register-not-found": Text(
        "Diese Fassung{key} des KI-Registers gibt es nicht, oder sie war nie veröffentlicht. /ai nennt alle.",
        "This version{key} of the register of AI systems does not exist, or was never published. /ai lists all.",
    ),
    "ai-system-not-found": Text(
        "Dieses System{key} steht nicht im KI-Register. /ai nennt alle.",
        "This system{key} does not stand in the register of AI systems. /ai lists all.",
    ),
    "attachment-not-found": Text(
        "Die Anlage{key} gehört nicht zur Einreichung. „attachments“ der Einreichung nennt alle.",
        "Attachment{key} is none of the submission's. Its 'attachments' lists all.",
    ),
    "callback-not-found": Text(
        "Den Rückruf{key} gibt es nicht. Prüfen Sie die Kennung.",
        "Callback{key} does not exist. Check the identifier.",
    ),
    "case-not-found": Text(
        "Den Vorgang{key} gibt es nicht. Prüfen Sie die caseId.", "Case{key} does not exist. Check the caseId."
    ),
    "catalogue-not-found": Text(
        "Dieses Leistungsverzeichnis{key} gibt es nicht, oder keines ist oder war aktiv. „hub services versions“ zeigt alle.",
        "This catalogue of services{key} does not exist, or none is or was active. 'hub services versions' shows all.",
    ),
    "checkpoint-not-found": Text(
        "Einen Prüfpunkt{key} gibt es noch nicht. Prüfpunkte entstehen alle paar Sekunden; versuchen Sie es gleich noch "
        "einmal.",
        "There is no checkpoint{key} yet. Checkpoints are made every few seconds; try again shortly.",
    ),
    "client-not-found": Text(
        "Den Client{key} gibt es nicht, oder nicht für diesen Zweck und in Ihrem Zuständigkeitsbereich. „hub clients list“ "
        "zeigt alle.",
        "Client{key} does not exist, or not for this purpose and within your scope. 'hub clients list' shows all.",
    ),
    "content-not-found": Text(
        "Den Inhalt{key} gibt es nicht oder nicht mehr. Prüfen Sie, ob er schon gelöscht wurde.",
        "There is no such content{key}, or not any more. Check whether it was deleted already.",
    ),
    "month-not-found": Text(
        "Für den Monat{key} gibt es noch keine Zahlen, er hat nicht begonnen. Wählen Sie einen früheren.",
        "There are no figures of month{key} yet, it has not begun. Choose an earlier one.",
    ),
    "delivery-not-found": Text(
        "Die Zustellung{key} gibt es nicht. Prüfen Sie die Kennung; „hub dead list“ nennt alle.",
        "Delivery{key} does not exist. Check the identifier; 'hub dead list' names all.",
    ),
    "destination-not-found": Text(
        "Den Zustellpunkt{key} gibt es nicht, oder nicht in Ihrem Zuständigkeitsbereich. Prüfen Sie die destinationId.",
        "Destination{key} does not exist, or not within your scope. Check the destinationId.",
    ),
    "event-not-found": Text(
        "Das Ereignis{key} gibt es nicht. Prüfen Sie die Kennung.", "Event{key} does not exist. Check the identifier."
    ),
    "invitation-not-found": Text(
        "Diese Einladung{key} gibt es nicht oder nicht mehr: Jeder Link gilt einmal und nur eine Zeit lang. Bitten Sie um eine "
        "neue.",
        "This invitation{key} does not exist, or not any more: each link is good once and for a while. Ask for a new one.",
    ),
    "key-change-not-found": Text(
        "Diese Änderung{key} eines Schlüssels gibt es nicht. Laden Sie die Seite des Zustellpunkts neu.",
        "This change{key} of a key does not exist. Load the destination's page again.",
    ),
    "key-not-found": Text(
        "Der Schlüssel{key} des Zustellpunkts ist nicht hinterlegt. encryptionKid des Zustellpunkts nennt den gültigen.",
        "The destination has no key{key} on record. Its encryptionKid names the current one.",
    ),
    "onboarding-not-found": Text(
        "Diese Aufnahme{key} gibt es nicht. Die Seite „Aufnahme“ zeigt alle.",
        "This onboarding{key} does not exist. The page 'Onboarding' shows all.",
    ),
    "passkey-not-found": Text(
        "Diesen Schlüssel{key} hat das Konto nicht. Laden Sie die Seite des Kontos neu.",
        "The account has no such key{key}. Load the account's page again.",
    ),
    "problem-not-found": Text(
        "Eine Ablehnung{key} dieses Namens gibt es nicht. /problems nennt alle.",
        "There is no refusal{key} of this name. /problems lists all.",
    ),
    "reply-not-found": Text(
        "Die Antwort{key} gibt es in diesem Vorgang nicht oder nicht für Sie. /hub/v1/cases/…/replies nennt alle.",
        "There is no reply{key} in this case, or not for you. /hub/v1/cases/…/replies lists all.",
    ),
    "rule-not-found": Text(
        "Die Regel{key} gibt es in dieser Tabelle nicht. Prüfen Sie ihren Namen.",
        "There is no rule{key} in this table. Check its name.",
    ),
    "schema-file-not-found": Text(
        "Diese Datei{key} gehört nicht zum Schema. Unter /hub/v1/schemas/entry stehen alle, die es gibt.",
        "This file{key} is none of the schema's. /hub/v1/schemas/entry lists all that there are.",
    ),
    "service-not-found": Text(
        "Die Leistung{key} steht nicht im Verzeichnis. Suchen Sie sie mit eigenen Worten (/hub/v1/services?q=…).",
        "The service{key} is not in the catalogue. Look for it in your own words (/hub/v1/services?q=…).",
    ),
    "session-not-found": Text(
        "Diese Sitzung{key} gibt es nicht, oder sie ist schon beendet. Laden Sie die Liste neu.",
        "This session{key} does not exist, or it has ended already. Load the list again.",
    ),
    "submission-not-found": Text(
        "Den Antrag{key} gibt es für Sie nicht: unbekannt, noch nicht eingereicht oder schon abgeschlossen. Prüfen Sie die "
        "submissionId.",
        "There is no submission{key} for you: unknown, not submitted yet, or finished already. Check the submissionId.",
    ),
    "table-not-found": Text(
        "Diese Zuständigkeitstabelle{key} gibt es nicht, oder keine ist oder war aktiv. „hub routes list“ zeigt alle.",
        "This routing table{key} does not exist, or none is or was active. 'hub routes list' shows all.",
    ),
    "tenant-not-found": Text(
        "Den Mandanten{key} gibt es nicht, oder nicht in Ihrem Zuständigkeitsbereich. „hub tenants list“ zeigt alle.",
        "Tenant{key} does not exist, or not within your scope. 'hub tenants list' shows all.",
    ),
    "vendor-not-found": Text(
        "Diesen Hersteller{key} gibt es nicht, oder nicht in Ihrem Zuständigkeitsbereich. „hub vendors list“ zeigt alle.",
        "Vendor{key} does not exist, or not within your scope. 'hub vendors list' shows all.",
    ),
    "delegation-not-found": Text(
        "Diese Vollmacht{key} gibt es nicht, oder sie ist schon entzogen. Die Seite des Herstellers zeigt alle.",
        "Delegation{key} does not exist, or was withdrawn already. The vendor's page shows all.",
    ),
    "vendor-key-not-found": Text(
        "Diesen Schlüssel{key} hat der Hersteller nicht, oder er wartet auf nichts mehr. Die Seite des Herstellers zeigt alle.",
        "The vendor has no such key{key}, or it waits for nothing any more. The vendor's page shows all.",
    ),
    "upload-not-found": Text(
        "Diesen Upload{key} gibt es nicht, oder nicht für Sie. Beginnen Sie einen neuen.",
        "There is no such upload{key}, or not for you. Begin a new one.",
    ),
}


def not_found(slug: str, key: UUID | str = "") -> NotFound:
    """Return the refusal of what is not there; ``key`` is an identifier that the caller gave, and no person's data."""
    said = f" {key}" if key else ""
    text = NOT_FOUND[slug]
    return NotFound(Text(text.de.format(key=said), text.en.format(key=said)), slug=slug)


def already_exists(what: Text) -> Conflict:
    """Return the refusal of something new that is there; ``what`` begins the sentence (accusative in German)."""
    return Conflict(
        Text(
            f"{what.de} gibt es schon. Nehmen Sie das Vorhandene, oder eine andere Kennung.",
            f"{what.en} exists already. Use what is there, or another identifier.",
        ),
        slug="already-exists",
    )


def too_slow(what: Text) -> Malformed:
    """Return the refusal of a request that does not come on (RFC 9110 section 15.5.9); ``what`` is a whole sentence."""
    return Malformed(
        Text(f"{what.de} Senden Sie die Anfrage noch einmal.", f"{what.en} Send the request again."),
        slug="request-timeout",
    )


def overtaken(what: Text, way: Text | None = None) -> Conflict:
    """Return the refusal of a change that was made on an older state.

    ``what`` was changed (it begins the German sentence, in the accusative, and stands within the English one); ``way`` says
    what to do where loading it again is not all.
    """
    way = way or Text(
        "Laden Sie den neuen Stand und wiederholen Sie die Änderung.", "Load it again and repeat the change."
    )
    return Conflict(
        Text(
            f"{what.de} hat inzwischen jemand geändert. {way.de}", f"Somebody has changed {what.en} meanwhile. {way.en}"
        ),
        slug="overtaken",
    )


def delivery_overtaken() -> Conflict:
    """Return the refusal of a proposal for a way of delivery that was made on an older one."""
    return overtaken(
        Text("Den Zustellweg", "the way of delivery"),
        Text("Lehnen Sie diese Änderung ab, und schlagen Sie sie neu vor.", "Refuse this change, and propose it anew."),
    )


def state_forbids(state: Text, way: Text) -> Conflict:
    """Return the refusal of a step that the state does not allow: two whole sentences, how it stands and what to do."""
    return Conflict(
        Text(
            f"Der jetzige Stand lässt das nicht zu. {state.de} {way.de}",
            f"The present state does not allow this. {state.en} {way.en}",
        ),
        slug="invalid-state-transition",
    )


def outside_scope(what: Text) -> Forbidden:
    """Return the refusal of what lies outside a person's scope; ``what`` begins the sentence, its verb included."""
    return Forbidden(
        Text(
            f"{what.de} außerhalb Ihres Zuständigkeitsbereichs. Das muss jemand tun, dessen Konto dafür zuständig ist.",
            f"{what.en} outside your scope. Somebody whose account is for it has to do this.",
        ),
        slug="outside-tenant",
    )


def needs_second_person(kind: type[_R], why: Text) -> _R:
    """Return the refusal of what one person may not do alone; ``why`` are whole sentences."""
    return kind(
        Text(f"Das braucht eine zweite Person. {why.de}", f"This takes a second person. {why.en}"), slug="second-person"
    )


def destination_state(kind: type[_R], why: Text) -> _R:
    """Return the refusal of what a destination's status, or what it is set to, does not allow; ``why``: whole sentences."""
    return kind(
        Text(f"Der Zustellpunkt lässt das nicht zu. {why.de}", f"The destination does not allow this. {why.en}"),
        slug="destination-state-invalid",
    )


def too_large_for_destination(parts: Text, most: int, way: Text) -> TooLarge:
    """Return the refusal of what a mail to the authority cannot carry: which parts, how many bytes, what to do."""
    return TooLarge(
        Text(
            f"Diese Behörde empfängt Mails: {parts.de} dürfen zusammen {most} Byte nicht überschreiten. {way.de}",
            f"This authority receives mails: {parts.en} together must not exceed {most} bytes. {way.en}",
        ),
        slug="too-large-for-destination",
        limit=most,
    )


def attachment_not_announced(attachment_id: UUID) -> Invalid:
    """Return the refusal of an attachment that its announcement does not name."""
    return Invalid(
        Text(
            f"Die Anlage {attachment_id} wurde nicht angekündigt. Nennen Sie alle beim Anlegen in announcedAttachments.",
            f"Attachment {attachment_id} was not announced. Name all of them in announcedAttachments when you announce.",
        ),
        slug="attachment-not-announced",
    )


def already_submitted() -> Conflict:
    """Return the refusal of more for a submission that is complete."""
    return state_forbids(
        Text(
            "Die Einreichung ist schon abgeschlossen und nimmt nichts mehr auf.",
            "The submission is complete already and takes nothing more.",
        ),
        Text("Kündigen Sie eine neue an.", "Announce a new one."),
    )


def not_approved(named: Text) -> Invalid:
    """Return the refusal of a version that nobody approved, by its name."""
    return Invalid(
        Text(
            f"{named.de} ist nicht freigegeben. Das muss erst eine zweite Person tun.",
            f"{named.en} is not approved. A second person has to approve it first.",
        ),
        slug="not-approved",
    )


def forwarded_already() -> Conflict:
    """Return the refusal of handing on what was handed on."""
    return Conflict(
        Text(
            "Dieser Vorgang ist schon abgegeben. Wohin, steht in seinem Protokoll.",
            "This case was handed on already. Its log says where to.",
        ),
        slug="forwarded-already",
    )


def case_goes_on(case_id: UUID) -> Invalid:
    """Return the refusal of what comes in a case that goes on as another one, ``case_id``."""
    return Invalid(
        Text(
            f"Dieser Vorgang ist an eine andere Stelle abgegeben; hier liest ihn niemand mehr. Er geht als {case_id} weiter: "
            "Schreiben Sie dorthin.",
            f"This case was handed on to another authority; nobody reads it here any more. It goes on as {case_id}: write "
            "there.",
        ),
        slug="case-goes-on",
        caseId=str(case_id),
    )
