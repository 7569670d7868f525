"""The register of AI systems changes as routing tables do, and nothing vanishes from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from routing_book import APPROVER, BOTH, DISTRICT, EDITOR, NOW
from test_ai_systems import CHAT, SHIPPED

from hub.administration.ai_versions import AiVersions, require_nothing_lost
from hub.errors import Conflict, Forbidden, Invalid, NotFound, Text
from hub.model import EVERYTHING
from hub.services.ai_systems import AiRegister, SystemStatus, SystemVersion, read_systems, to_yaml

SEED = AiRegister.load(SHIPPED)
(DOGS,) = read_systems(CHAT.replace("2026-10\n", '"2026-10"\n').encode())
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(name="links")
def links_that_lead_nowhere() -> dict[str, str]:
    return {}


@pytest.fixture
def book(store, links) -> AiVersions:
    made = AiVersions(store=store, broken=lambda: links)
    made.begin_with(SEED, now=NOW)
    return made


def published(book, *systems, now=NOW):
    draft = book.draft(EDITOR, title="KI", now=now, systems=systems)
    book.approve(draft.number, APPROVER, revision=draft.revision, now=now)
    book.activate(draft.number, APPROVER, now=now)
    return draft.number


def test_files_seed_the_first_version_and_nothing_after(book):
    published(book, DOGS)
    book.begin_with(SEED, now=LATER)
    assert [each.id for each in book.active(LATER)] == ["dog-tax-check", "rathaus-hub"]


def test_every_change_takes_a_second_person_and_people_of_an_area_change_nothing(book):
    draft = book.draft(BOTH, title="KI", now=NOW, systems=[DOGS])
    with pytest.raises(Forbidden) as refused:
        book.approve(draft.number, BOTH, revision=draft.revision, now=NOW)
    assert refused.value.slug == "second-person"
    assert book.active(NOW) == SEED
    with pytest.raises(Forbidden):
        book.draft(DISTRICT, title="meins", now=NOW, systems=[DOGS])


def test_what_was_withdrawn_stays_to_be_read_with_its_versions_and_takes_part_in_nothing(book):
    published(book, DOGS)
    draft = book.draft(EDITOR, title="weg", now=NOW)
    book.withdraw(draft.number, DOGS.id, EDITOR, revision=draft.revision, now=NOW)
    book.approve(draft.number, APPROVER, revision=2, now=NOW)
    book.activate(draft.number, APPROVER, now=NOW)
    gone = book.active(LATER).system(DOGS.id)
    assert (gone.status, gone.ends, gone.versions[0].until) == (SystemStatus.OUT_OF_USE, "2026-11", date(2026, 11, 20))
    assert [each.id for each in book.active(LATER).taking_part("99102013002000")] == ["rathaus-hub"]
    assert book.compare(draft.number, now=LATER, with_number=2)[0].de.startswith("zurückgezogen: ")
    again = book.draft(EDITOR, title="noch einmal", now=LATER)
    with pytest.raises(Conflict):
        book.withdraw(again.number, DOGS.id, EDITOR, revision=again.revision, now=LATER)


def test_nothing_vanishes_by_draft_version_or_rollback(book):
    first = published(book, DOGS)
    draft = book.draft(EDITOR, title="streichen", now=NOW)
    with pytest.raises(Invalid, match="missing"):
        book.take_out(draft.number, DOGS.id, EDITOR, revision=draft.revision, now=NOW)
    shorter = replace(DOGS, versions=(SystemVersion(version="3", since=date(2026, 11, 1), until=None),))
    dropped = book.draft(EDITOR, title="ohne alte Version", now=NOW, systems=[shorter])
    with pytest.raises(Invalid) as refused:
        book.approve(dropped.number, APPROVER, revision=dropped.revision, now=NOW)
    assert refused.value.members["systems"] == ["dog-tax-check, 2.1"]
    with pytest.raises(Invalid):
        book.rollback(APPROVER, now=LATER, text="zurück")
    assert book.base(LATER) == first


def test_a_system_that_was_never_published_may_be_taken_out_of_its_draft(book):
    draft = book.draft(EDITOR, title="Irrtum", now=NOW, systems=[DOGS])
    book.take_out(draft.number, DOGS.id, EDITOR, revision=draft.revision, now=NOW)
    assert book.content(draft.number) == SEED


def test_an_earlier_wording_may_be_brought_back(book):
    first = published(book, DOGS)
    published(book, replace(DOGS, contact="neu@wiesbaden.example"))
    book.rollback(APPROVER, now=LATER, text="doch die alte Adresse")
    assert (book.base(LATER), book.active(LATER).system(DOGS.id).contact) == (first, DOGS.contact)


def test_a_register_with_links_that_lead_nowhere_needs_a_word(book, links):
    linked = replace(DOGS, addresses={"website": "https://weg.example/ki"})
    links["https://weg.example/ki"] = "HTTP 404"
    draft = book.draft(EDITOR, title="KI", now=NOW, systems=[linked])
    with pytest.raises(Invalid) as refused:
        book.approve(draft.number, APPROVER, revision=draft.revision, now=NOW)
    assert (refused.value.slug, "https://weg.example/ki" in refused.value.members["remarks"]) == ("word-needed", True)
    assert book.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="folgt").approved_by == "anton"


def test_two_drafts_come_together_unless_both_changed_one_system(book):
    mine = book.draft(EDITOR, title="mein", now=NOW, systems=[DOGS])
    rival = book.draft(EDITOR, title="auch", now=NOW, systems=[replace(DOGS, contact="b@wiesbaden.example")])
    other = published(book, replace(DOGS, id="cat-check"))
    book.refresh(mine.number, EDITOR, revision=mine.revision, now=NOW)
    assert {each.id for each in book.content(mine.number)} == {"cat-check", "dog-tax-check", "rathaus-hub"}
    assert book.version(mine.number).based_on == other
    book.approve(mine.number, APPROVER, revision=2, now=NOW)
    book.activate(mine.number, APPROVER, now=NOW)
    with pytest.raises(Conflict):
        book.refresh(rival.number, EDITOR, revision=rival.revision, now=NOW)


def test_only_what_was_published_is_told_to_everybody(book):
    number = published(book, DOGS)
    draft = book.draft(EDITOR, title="geheim", now=NOW, systems=[replace(DOGS, id="secret-check")])
    assert len(book.as_published(number, NOW)) == 2
    for unknown in (draft.number, 0, 99):
        with pytest.raises(NotFound):
            book.as_published(unknown, NOW)


def test_who_did_what_stands_in_the_audit_log(store, book):
    published(book, DOGS)
    said = [each.entry.action for each in store.audit.entries(action="ai.", scope=EVERYTHING).items]
    assert sorted(said) == ["ai.activate", "ai.approve", "ai.begin", "ai.draft"]


TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_characters="\x7f\x80\x85"), min_size=1, max_size=60
)


@given(
    names=st.lists(TEXTS.filter(lambda text: text == text.strip() and text.isprintable()), min_size=1, max_size=4),
    left=st.sets(st.integers(0, 3)),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_register_reads_back_to_the_same_and_whatever_is_left_out_is_noticed(names, left):
    systems = [
        replace(DOGS, id=f"system-{n}", texts=DOGS.texts | {"name": Text(name, name)}) for n, name in enumerate(names)
    ]
    register = AiRegister.of(systems)
    assert AiRegister.of(read_systems(to_yaml(register))) == register
    after = AiRegister(each for n, each in enumerate(systems) if n not in left)
    lost = register.lost(after)
    assert lost == [each.id for n, each in enumerate(systems) if n in left]
    if lost:
        with pytest.raises(Invalid):
            require_nothing_lost(register, after)
