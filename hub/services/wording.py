"""What people read of a catalogue: what it lacks, and what differs from one to another, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from hub.errors import Text
from hub.services.catalogue import ServiceCatalogue
from hub.services.entry import FeeKind, PublicService

#: After this, somebody should look at an entry again.
_STALE = timedelta(days=365)
#: What a complete entry has, in words.
_WANTED: dict[str, Text] = {
    "summary": Text("was die Leistung ist", "what the service is"),
    "situation": Text("wann man sie braucht", "when one needs it"),
    "needs": Text("was man braucht", "what one needs"),
    "fee": Text("was sie kostet", "what it costs"),
    "duration": Text("wie lange sie dauert", "how long it takes"),
    "law": Text("die Rechtsgrundlage", "the legal basis"),
    "responsible": Text("wer zuständig ist", "who is responsible"),
    "authority": Text("wie die Stelle heißt", "what the office is called"),
    "ways": Text("wie man sie erhält", "how it can be had"),
    "synonyms": Text("wie Bürger sie nennen", "what citizens call it"),
    "reviewed": Text("wann jemand die Angaben durchgesehen hat", "when somebody reviewed the entry"),
    "facts": Text("woher die Angaben stammen", "where the facts come from"),
}
#: Members in words, for differences.
_MEMBERS: dict[str, Text] = _WANTED | {
    "official": Text("die amtliche Bezeichnung", "the official name"),
    "name": Text("der Name", "the name"),
    "topic": Text("das Thema", "the topic"),
    "source": Text("die Quelle des Schlüssels", "the source of the key"),
    "assurance": Text("welche Anmeldung nötig ist", "which log-in is needed"),
}


def complaints(catalogue: ServiceCatalogue, *, on: date) -> list[tuple[PublicService, Text]]:
    """Return what entries lack, or what is due: warnings, none of which makes a catalogue unusable."""
    return [(service, text) for service in catalogue for text in _lacking(service, on)]


def _lacking(service: PublicService, on: date) -> Iterator[Text]:
    missing = [words for name, words in _WANTED.items() if not getattr(service, name)]
    if missing:
        yield Text(
            f"Es fehlt: {', '.join(each.de for each in missing)}.",
            f"Missing: {', '.join(each.en for each in missing)}.",
        )
    for language in ("de", "en"):
        if service.synonyms and language not in service.synonyms:
            yield Text(f"Synonyme fehlen ({language}).", f"Synonyms are missing ({language}).")
    if service.fee is not None and service.fee.kind in (FeeKind.FIXED, FeeKind.RANGE) and not service.fee.law:
        yield Text("Die Gebühr nennt keine Rechtsgrundlage.", "The fee names no legal basis.")
    if service.reviewed is not None and on - service.reviewed > _STALE:
        yield Text(
            f"Zuletzt durchgesehen am {service.reviewed:%d.%m.%Y}. Sehen Sie die Angaben wieder durch.",
            f"Last reviewed on {service.reviewed}. Review the entry again.",
        )


def compared(before: ServiceCatalogue, after: ServiceCatalogue) -> list[Text]:
    """Return what differs, in words: services that are new, gone or changed, and each changed member with both wordings."""
    keys = sorted({each.key for each in before} | {each.key for each in after})
    return [line for key in keys for line in _changes(before.find(key), after.find(key))]


def _changes(old: PublicService | None, new: PublicService | None) -> Iterator[Text]:
    if old is None and new is not None:
        yield Text(f"neu: {new.name.de} ({new.key})", f"new: {new.name.en} ({new.key})")
    elif new is None and old is not None:
        yield Text(f"entfällt: {old.name.de} ({old.key})", f"dropped: {old.name.en} ({old.key})")
    elif old is not None and new is not None and old != new:
        was, becomes = old.as_document(), new.as_document()
        for name, words in _MEMBERS.items():
            if was.get(name) != becomes.get(name):
                yield Text(
                    f"{new.name.de}, {words.de}: {_said(was.get(name), 'de')} → {_said(becomes.get(name), 'de')}",
                    f"{new.name.en}, {words.en}: {_said(was.get(name), 'en')} → {_said(becomes.get(name), 'en')}",
                )


def _said(value: Any, language: str) -> str:
    """Return a member of a document in one line of one language."""
    if value is None:
        return "–"
    if isinstance(value, dict) and language in value:
        amounts = [str(value[name]) for name in ("from", "to") if name in value]
        words = value[language]
        said = "; ".join(words) if isinstance(words, list) else str(words)
        return f"{said} ({' – '.join(amounts)} €)" if amounts else said
    if isinstance(value, list):
        return "; ".join(_said(each, language) for each in value)
    return str(value)
