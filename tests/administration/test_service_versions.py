"""What citizens read changes as routing tables do: drafted, compared, approved by a second person, published, taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from routing_book import APPROVER, BOTH, DISTRICT, EDITOR, NOW, VIEWER

from hub.administration.service_versions import ServiceVersions
from hub.errors import Conflict, Forbidden, Invalid, NotFound, Text, TooLarge
from hub.model import EVERYTHING
from hub.services import ServiceCatalogue
from hub.store import VersionState

SHIPPED = ServiceCatalogue.load(Path(__file__).parents[2] / "routing_rules")
DOGS = SHIPPED.service("99102013000000")
RULED = {SHIPPED.service("99012008001000").key}
LATER = NOW + timedelta(minutes=1)


def services(store) -> ServiceVersions:
    made = ServiceVersions(store=store, ruled=lambda _: RULED)
    made.begin_with(SHIPPED, now=NOW)
    return made


@pytest.fixture
def book(store) -> ServiceVersions:
    return services(store)


def renamed(name="Hund an- und abmelden"):
    return replace(DOGS, name=Text(name, DOGS.name.en))


def drafted(book, *changed, person=EDITOR):
    draft = book.draft(person, title="Änderung", now=NOW)
    return book.add(draft.number, changed, person, revision=draft.revision, now=NOW) if changed else draft


def published(book, *changed, now=NOW):
    draft = drafted(book, *changed)
    book.approve(draft.number, APPROVER, revision=draft.revision, now=now, text="geprüft")
    book.activate(draft.number, APPROVER, now=now)
    return draft.number


def actions(store):
    return [each.entry.action for each in store.audit.entries(action="services.", scope=EVERYTHING).items]


def test_files_seed_the_first_version_and_nothing_after(store, book):
    assert book.active(NOW) == SHIPPED
    number = published(book, renamed())
    book.begin_with(SHIPPED, now=LATER)
    assert (book.base(LATER), book.active(LATER).service(DOGS.key).name.de) == (number, "Hund an- und abmelden")


def test_what_is_stored_is_read_back_to_the_same(store, book):
    assert services(store).active(LATER).version == SHIPPED.version


def test_a_change_that_citizens_see_takes_a_second_person(book):
    draft = drafted(book, renamed(), person=BOTH)
    with pytest.raises(Forbidden) as refused:
        book.approve(draft.number, BOTH, revision=draft.revision, now=NOW)
    assert refused.value.slug == "second-person"
    approved = book.approve(draft.number, APPROVER, revision=draft.revision, now=NOW)
    assert (approved.state, approved.approved_by) == (VersionState.APPROVED, "anton")


def test_the_day_of_review_alone_takes_one(book):
    draft = drafted(book, replace(DOGS, reviewed=date(2026, 11, 19), source="LeiKa"), person=BOTH)
    assert book.approve(draft.number, BOTH, revision=draft.revision, now=NOW).approved_by == "berta"


def test_nothing_changes_for_citizens_before_it_is_published(book):
    draft = drafted(book, renamed())
    book.approve(draft.number, APPROVER, revision=draft.revision, now=NOW)
    assert book.at(NOW) == SHIPPED
    book.activate(draft.number, APPROVER, now=NOW)
    assert book.at(NOW).service(DOGS.key).name.de == "Hund an- und abmelden"


def test_what_citizens_would_read_otherwise_is_said_in_words(book):
    draft = drafted(book, renamed())
    assert [each.de for each in book.compare(draft.number, now=NOW)] == [
        f"{renamed().name.de}, der Name: {DOGS.name.de} → Hund an- und abmelden"
    ]


def test_a_service_that_rules_name_does_not_go(book):
    (ruled,) = RULED
    draft = drafted(book)
    draft = book.drop(draft.number, ruled, EDITOR, revision=draft.revision, now=NOW)
    with pytest.raises(Invalid, match="There are rules"):
        book.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="weg damit")
    with pytest.raises(NotFound):
        book.drop(draft.number, ruled, EDITOR, revision=draft.revision, now=NOW)


def test_an_entry_that_lacks_something_new_needs_a_word(book):
    draft = drafted(book, replace(DOGS, duration=None))
    with pytest.raises(Invalid) as refused:
        book.approve(draft.number, APPROVER, revision=draft.revision, now=NOW)
    assert refused.value.slug == "word-needed"
    book.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="Dauer ist offen")


def test_whoever_is_bound_to_an_area_or_may_not_edit_changes_nothing(book):
    for person in (DISTRICT, VIEWER):
        with pytest.raises(Forbidden):
            drafted(book, renamed(), person=person)


def test_two_drafts_are_brought_together_unless_both_changed_one_service(book):
    mine, same = drafted(book, replace(SHIPPED.service("99042001012000"), source="x")), drafted(book, renamed("Hunde"))
    published(book, renamed())
    refreshed = book.refresh(mine.number, EDITOR, revision=mine.revision, now=NOW)
    assert book.content(mine.number).service(DOGS.key).name.de == "Hund an- und abmelden"
    assert refreshed.based_on == book.base(NOW)
    with pytest.raises(Conflict) as refused:
        book.refresh(same.number, EDITOR, revision=same.revision, now=NOW)
    assert refused.value.slug == "overtaken"


def test_a_rollback_brings_back_what_was_and_says_why(store, book):
    published(book, renamed())
    with pytest.raises(Invalid):
        book.rollback(APPROVER, now=LATER, text=" ")
    book.rollback(APPROVER, now=LATER, text="falscher Name")
    assert book.at(LATER) == SHIPPED
    assert actions(store)[-2:] == ["services.activate", "services.rollback"]


def test_every_step_is_in_the_audit_log_with_what_changed(store, book):
    published(book, renamed())
    assert sorted(actions(store)) == sorted(
        f"services.{each}" for each in ("activate", "approve", "begin", "change", "draft")
    )
    (change,) = store.audit.entries(action="services.change", scope=EVERYTHING).items
    assert change.entry.after["changed"] == [DOGS.key]
    assert change.entry.target == "services:2"


def test_two_nodes_read_the_same_within_a_second(store, book):
    other = services(store)
    assert other.active(NOW) == SHIPPED
    published(book, renamed())
    assert other.active(NOW + timedelta(seconds=1)).service(DOGS.key).name.de == "Hund an- und abmelden"


def test_more_than_a_country_has_is_refused(book):
    many = (replace(DOGS, key=f"urn:de:x:{number}") for number in range(20_001))
    with pytest.raises(TooLarge):
        book.draft(EDITOR, title="", now=NOW, services=many)
