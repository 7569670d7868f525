"""What a public body must be able to say of its processing (GDPR): in general, and about one application.

The record of processing activities (Article 30): drawn from settings, the register of services and the destinations, so that
it says what this hub does and not what one like it might. Who is responsible, and on what legal ground, no setting knows: those
lines are left for people to fill in.

The answer to a request for access (Article 15): everything that the hub holds about a submission or a case, by its id, as a
document and as text. Contents are sealed for their authority, so the answer names each part with size and hash, and who can
open it. That somebody asked stands in the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hub.errors import Text, not_found
from hub.jobs.retention import Periods
from hub.model import EVERYTHING, Destination, Event, Subject, canonical_service
from hub.notifications.callbacks import host_of
from hub.store import AuditEntry, AuditRecord, CallbackView, Case, DeliveryView, Store, StoredMessage, all_items

ACTION = "disclosure.access"
_PAGE = 200
_DAY = timedelta(days=1)

PURPOSES = (
    Text(
        "Anträge annehmen, prüfen, der zuständigen Stelle zuordnen, für sie versiegeln und ihr zustellen",
        "take applications in, check them, find the responsible authority, seal for it and deliver to it",
    ),
    Text(
        "Eingang und Zustellung beweisbar machen: Eingangsbestätigung, verkettetes Ereignisprotokoll, Prüfpunkte",
        "make receipt and delivery provable: signed receipt, chained event log, checkpoints",
    ),
    Text(
        "Absender und Behörden über den Fortgang benachrichtigen",
        "tell senders and authorities how things stand",
    ),
    Text(
        "Den Hub verwalten: Konten, Rechte, Prüfprotokoll, Abwehr von Angriffen",
        "administer the hub: accounts, rights, audit log, defence against attacks",
    ),
)
#: Whose data, which, and how the hub holds them.
CATEGORIES = (
    (
        Text("Antragstellende und Menschen, die in Anträgen vorkommen", "applicants, and people named in applications"),
        Text(
            "Inhalte von Anträgen und Anlagen: bei der Annahme im Arbeitsspeicher geprüft, gespeichert nur als Chiffrat, "
            "das allein die Behörde öffnen kann; dazu Kennungen, Leistung, Gebiet, Zeiten, Größen, Prüfsummen",
            "contents of applications and attachments: checked in memory on arrival, stored as ciphertext only, which the "
            "authority alone can open; with ids, service, area, times, sizes, hashes",
        ),
    ),
    (
        Text("Menschen, die den Hub verwalten", "people who administer the hub"),
        Text(
            "Name, Rechte, Kennwort-Hash, zweiter Faktor (verschlüsselt), Sitzungen, Einträge im Prüfprotokoll",
            "name, rights, password hash, second factor (encrypted), sessions, entries of the audit log",
        ),
    ),
    (
        Text("Ansprechstellen von Behörden und Onlinediensten", "contacts of authorities and online services"),
        Text(
            "Name der Stelle, Anschrift, Mailadresse, Netzadresse für Rückrufe",
            "name of the office, address, mail address, network address of callbacks",
        ),
    ),
    (
        Text("Alle, die sich anmelden", "everybody who logs in"),
        Text(
            "Fehlversuche je Konto und Netzadresse, beides nur als Prüfsumme",
            "failed attempts by account and network address, both as a hash only",
        ),
    ),
)
MEASURES = (
    Text(
        "Verschlüsselung der Inhalte für die Behörde (RSA-OAEP-256 mit A256GCM, oder CMS); der Hub hat keinen Schlüssel dazu",
        "contents are encrypted for the authority (RSA-OAEP-256 with A256GCM, or CMS); the hub has no key to them",
    ),
    Text("Transport nur über TLS; Rückrufe mit HMAC", "transport over TLS only; callbacks with HMAC"),
    Text(
        "Signierte Eingangsbestätigungen (Ed25519), verkettete Protokolle und Prüfpunkte gegen nachträgliche Änderung",
        "signed receipts (Ed25519), chained logs and checkpoints against later change",
    ),
    Text(
        "Rechte nach Rolle und Mandant, Vier-Augen-Prinzip bei Schlüsseln und Zuständigkeiten, zweiter Faktor, Sperre nach "
        "Fehlversuchen",
        "rights by role and tenant, two persons for keys and responsibilities, second factor, throttle of failed log-ins",
    ),
    Text(
        "Protokollzeilen und Messwerte ohne Inhalte und Personendaten; keine Speicherabbilder",
        "log lines and metrics without contents and personal data; no core dumps",
    ),
    Text("Löschung nach Frist durch einen regelmäßigen Dienst", "deletion in time by a periodic duty"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """What settings say of this hub, as far as the record of processing names it."""

    base_url: str
    environment: str
    operators: str
    database: str
    contents: str
    periods: Periods
    idempotency: timedelta


def processing(store: Store, services: Mapping[str, str], operation: Operation, *, now: datetime) -> dict[str, Any]:
    """Return the record of processing activities (Article 30 (1) GDPR) as a document.

    ``services`` are the names of the services by their URNs. What people have to fill in is an empty text.
    """
    destinations = list(
        all_items(lambda start: store.parties.destinations(scope=EVERYTHING, offset=start, limit=_PAGE))
    )
    offered = _offered(destinations)
    periods = operation.periods
    return {
        "record": "GDPR Article 30 (1)",
        "madeAt": now.isoformat(timespec="seconds"),
        "hub": {"address": operation.base_url, "environment": operation.environment},
        "controller": {"name": "", "representative": "", "dataProtectionOfficer": "", "contact": operation.operators},
        "legalBasis": "",
        "purposes": [_said(each) for each in PURPOSES],
        "categories": [{"subjects": _said(subjects), "data": _said(data)} for subjects, data in CATEGORIES],
        "recipients": [_recipient(one) for one in destinations],
        "activities": [
            {
                "service": urn,
                "name": services.get(urn, ""),
                "recipients": offered.get(urn, []),
                "contentsKeptDays": _days(periods.finished_for(urn)),
            }
            for urn in sorted({*services, *offered})
        ],
        "thirdCountries": _said(
            Text("keine Übermittlung durch den Hub selbst", "no transfer by the hub itself"),
        ),
        "retentionDays": _retention(periods, operation.idempotency),
        "storage": {"database": operation.database, "contents": operation.contents},
        "measures": [_said(each) for each in MEASURES],
    }


def _offered(destinations: Iterable[Destination]) -> dict[str, list[dict[str, Any]]]:
    offered: dict[str, list[dict[str, Any]]] = {}
    for one in destinations:
        recipient = {"destinationId": str(one.destination_id), "name": one.name, "adapter": one.adapter}
        for service in one.services:
            offered.setdefault(canonical_service(service.identifier), []).append(recipient)
    return offered


def _recipient(one: Destination) -> dict[str, Any]:
    return {
        "destinationId": str(one.destination_id),
        "name": one.name,
        "status": one.status,
        "adapter": one.adapter,
        "services": len(one.services),
    }


def _retention(periods: Periods, idempotency: timedelta) -> dict[str, float]:
    return {
        "incomplete": _days(periods.incomplete),
        "contentsAfterTheEnd": _days(periods.finished),
        "unansweredInMailbox": _days(periods.unanswered),
        "eventLogOfCase": _days(periods.case),
        "callbacksAndMails": _days(periods.outboxes),
        "fingerprintsOfRequests": _days(idempotency),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Who asks on behalf of a person, when, and under which reference of the office's own."""

    actor: str
    now: datetime
    reference: str = ""


class Access:
    """Answers requests for access."""

    def __init__(self, store: Store, periods: Periods) -> None:
        self._store = store
        self._periods = periods

    def about(self, wanted: UUID, by: Asked) -> dict[str, Any]:
        """Return all that is held about a submission, a reply or a case; the audit log has it before anybody sees it.

        Raises:
            NotFound: there is nothing of that id.
        """
        message = self._store.submissions.message(wanted)
        case = self._store.submissions.case(wanted if message is None else message.case_id)
        if case is None:
            raise not_found("submission-not-found", wanted)
        ids = [wanted] if message is not None else self._ids(case)
        audited = [*self._audited([*ids, case.case_id])]
        entry = AuditEntry(
            at=by.now,
            actor=by.actor,
            action=ACTION,
            target=f"{'case' if message is None else message.kind.value}:{wanted}",
            after={"reference": by.reference} if by.reference else {},
        )
        self._store.audit.append(entry)
        return {
            "answer": "GDPR Article 15",
            "about": str(wanted),
            "answeredAt": by.now.isoformat(timespec="seconds"),
            "case": _case(case),
            "messages": [self._message(each) for each in ids],
            "events": [_event(each) for each in self._events(case, None if message is None else wanted)],
            "callbacks": [
                _callback(each)
                for each in self._store.callbacks.of_case(case.case_id)
                if message is None or str(wanted) in each.callback.body
            ],
            "audit": [_audit(each) for each in audited],
            "sealed": _said(
                Text(
                    "Die Inhalte sind für die Behörde versiegelt, der Hub kann sie nicht lesen. Auskunft über sie gibt der "
                    "genannte Zustellpunkt.",
                    "The contents are sealed for the authority, the hub cannot read them. The destination named here can "
                    "tell what they say.",
                )
            ),
        }

    def _ids(self, case: Case) -> list[UUID]:
        found = all_items(
            lambda start: self._store.submissions.messages(case_id=case.case_id, offset=start, limit=_PAGE)
        )
        return [each.id for each in found]

    def _events(self, case: Case, subject: UUID | None) -> Iterator[Event]:
        return all_items(
            lambda start: self._store.event_log.events(case.case_id, subject_id=subject, offset=start, limit=_PAGE)
        )

    def _audited(self, ids: Iterable[UUID]) -> Iterator[AuditRecord]:
        for each in dict.fromkeys(ids):
            target = str(each)
            yield from all_items(
                lambda start, target=target: self._store.audit.entries(
                    scope=EVERYTHING,  # type: ignore[misc]  # a default is its value now
                    target=target,
                    offset=start,
                    limit=_PAGE,
                )
            )

    def _message(self, message_id: UUID) -> dict[str, Any]:
        message = self._store.submissions.message(message_id)
        if message is None:
            raise not_found("submission-not-found", message_id)
        destination = self._store.parties.destination(message.destination_id)
        client = self._store.parties.client(message.sender)
        delivery = self._store.deliveries.of(message_id) if message.kind is Subject.SUBMISSION else None
        return {
            "kind": message.kind.value,
            "id": str(message.id),
            "state": message.state.value,
            "door": message.door.value,
            "sender": {"clientId": message.sender, "name": "" if client is None else client.name},
            "addressee": message.addressee,
            "destination": {
                "destinationId": str(message.destination_id),
                "name": "" if destination is None else destination.name,
            },
            "service": {"identifier": message.service.identifier, "name": message.service.name},
            "area": message.area,
            "schema": None if message.schema is None else message.schema.uri,
            "routingTable": message.table_version,
            "times": _times(message),
            "callbackHost": None if message.callback is None else host_of(message.callback.url),
            "announcedAttachments": [str(each) for each in message.announced],
            "parts": _parts(message),
            "receipt": message.receipt,
            "delivery": None if delivery is None else _delivery(delivery),
            "fingerprints": [
                {"at": at.isoformat(), "sender": sender}
                for sender, at in self._store.submissions.fingerprints(message_id)
            ],
            "reads": [
                {"at": each.at.isoformat(), "client": each.client, "what": each.what}
                for each in all_items(lambda start: self._store.audit.reads(message_id, offset=start, limit=_PAGE))
            ],
            "contentsKeptDays": _days(self._periods.finished_for(message.service.identifier)),
        }


def _callback(each: CallbackView) -> dict[str, Any]:
    return {
        "at": each.callback.created_at.isoformat(),
        "to": each.callback.party,
        "host": host_of(each.callback.url),
        "body": each.callback.body,
        "state": each.state.value,
        "attempts": each.attempts,
        "note": each.note,
    }


def as_text(document: Mapping[str, Any]) -> str:
    """Return a document of this module as text: one fact a line, what belongs together indented."""
    return "\n".join(_lines(document, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    for name, each in value.items():
        if isinstance(each, Mapping) and set(each) == {"de", "en"}:
            yield f"{indent}{name}: {each['de']} / {each['en']}"
        elif isinstance(each, Mapping):
            yield f"{indent}{name}:"
            yield from _lines(each, indent + "  ")
        elif isinstance(each, list):
            yield f"{indent}{name}: {len(each)}"
            yield from _listed(each, indent + "  ")
        else:
            yield f"{indent}{name}: {'–' if each in _NOTHING else each}"


_NOTHING: tuple[Any, ...] = (None, "")


def _listed(values: Sequence[Any], indent: str) -> Iterator[str]:
    for each in values:
        if isinstance(each, Mapping) and set(each) == {"de", "en"}:
            yield f"{indent}- {each['de']} / {each['en']}"
        elif isinstance(each, Mapping):
            first, *others = _lines(each, "")
            yield f"{indent}- {first}"
            yield from (f"{indent}  {line}" for line in others)
        else:
            yield f"{indent}- {each}"


def _said(text: Text) -> dict[str, str]:
    return {"de": text.de, "en": text.en}


def _days(period: timedelta) -> float:
    days = period / _DAY
    return int(days) if days == int(days) else round(days, 2)


def _case(case: Case) -> dict[str, Any]:
    return {
        "caseId": str(case.case_id),
        "createdAt": case.created_at.isoformat(),
        "lastEventAt": case.last_event_at.isoformat(),
        "events": case.seq,
        "head": case.head,
        "tombstone": case.tombstone,
    }


def _times(message: StoredMessage) -> dict[str, str | None]:
    times = {
        "created": message.created_at,
        "submitted": message.submitted_at,
        "collected": message.collected_at,
        "finished": message.finished_at,
        "contentsDeleted": message.deleted_at,
    }
    return {name: None if at is None else at.isoformat() for name, at in times.items()}


def _parts(message: StoredMessage) -> list[dict[str, Any]]:
    parts = [] if message.contents is None else list(message.contents.parts())
    parts += [(f"attachment:{each}", sealed) for each, sealed in message.uploaded.items() if message.contents is None]
    return [
        {"part": name, "sealedAs": message.form.value, "bytes": sealed.size, "sha512": sealed.sha512}
        for name, sealed in parts
    ]


def _event(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.issued_at.isoformat(),
        "event": event.kind.value,
        "about": f"{event.subject.value}:{event.subject_id}",
        "by": event.issuer,
        "payload": dict(event.payload),
        "hash": event.hash,
        "token": event.jws,
    }


def _delivery(delivery: DeliveryView) -> dict[str, Any]:
    return {
        "deliveryId": str(delivery.delivery_id),
        "state": delivery.state.value,
        "cause": None if delivery.cause is None else delivery.cause.value,
        "attempts": [
            {
                "n": each.n,
                "startedAt": each.started_at.isoformat(),
                "endedAt": each.ended_at.isoformat(),
                "outcome": each.outcome.value,
                "note": each.note,
            }
            for each in delivery.attempts
        ],
    }


def _audit(record: AuditRecord) -> dict[str, Any]:
    entry = record.entry
    return {
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "before": dict(entry.before),
        "after": dict(entry.after),
    }
