"""A table becomes active only if it agrees with itself and a second person agrees with it."""

from __future__ import annotations

import itertools
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from routing_book import APPROVER, BAUEN, BOTH, DISTRICT, EDITOR, HUNDE, KREIS, NOW, RULES, STADT, VIEWER, book, rule
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from store_values import accepted, known_destination

from hub.administration.routing_tables import RoutingTableVersions
from hub.areas import Area
from hub.errors import ConfigurationError, Conflict, Forbidden, Invalid, NoRoute, NotFound
from hub.model import EVERYTHING, Scope
from hub.routing import from_csv, from_yaml, to_csv, to_yaml
from hub.store.routing_versions import VersionState

LATER = NOW + timedelta(hours=1)
IDSTEIN = rule("idstein-bau", "064390008008", [BAUEN], to=STADT)


@pytest.fixture
def tables(store) -> RoutingTableVersions:
    return book(store)


def _changed(tables: RoutingTableVersions, *rules, person=EDITOR, now=NOW):
    draft = tables.draft(person, title="Änderung", now=now)
    for each in rules:
        draft = tables.put_rule(draft.number, each, person, revision=draft.revision, now=now)
    return draft


def _live(tables: RoutingTableVersions, *rules, now=NOW, editor=EDITOR, approver=APPROVER):
    draft = _changed(tables, *rules, person=editor, now=now)
    tables.approve(draft.number, approver, revision=draft.revision, now=now, text="geprüft")
    tables.activate(draft.number, approver, now=now)
    return draft.number


def _actions(store):
    return [record.entry.action for record in store.audit.entries(scope=EVERYTHING).items]


def test_whoever_edited_a_draft_cannot_approve_it(tables):
    draft = _changed(tables, IDSTEIN, person=BOTH)
    with pytest.raises(Forbidden) as refused:
        tables.approve(draft.number, BOTH, revision=draft.revision, now=NOW, text="passt")
    assert refused.value.slug == "second-person"
    draft = tables.put_rule(draft.number, rule("x", "064390015015", [BAUEN]), EDITOR, revision=draft.revision, now=NOW)
    with pytest.raises(Forbidden):  # also not after somebody else touched it last
        tables.approve(draft.number, BOTH, revision=draft.revision, now=NOW, text="passt")


def test_a_draft_goes_nowhere_without_approval(tables):
    draft = _changed(tables, IDSTEIN)
    with pytest.raises(Invalid) as refused:
        tables.activate(draft.number, APPROVER, now=NOW)
    assert refused.value.slug == "not-approved"


def test_a_contradiction_cannot_be_approved(tables):
    draft = _changed(tables, rule("kreis-2", to=STADT))
    with pytest.raises(Invalid) as refused:
        tables.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="trotzdem")
    assert refused.value.slug == "table-unfit"
    assert {"code": "contradiction", "rows": ["kreis", "kreis-2"]} in refused.value.members["findings"]
    assert tables.version(draft.number).state is VersionState.DRAFT


def test_a_warning_needs_a_word(tables):
    ending = replace(RULES[1], valid_until=NOW + timedelta(days=3))
    draft = tables.draft(EDITOR, title="", now=NOW, rules=[RULES[0], ending, rule("doppelt", "06439", [BAUEN])])
    with pytest.raises(Invalid) as refused:
        tables.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="  ")
    assert refused.value.slug == "word-needed"
    approved = tables.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="ist gewollt")
    assert approved.approval_text == "ist gewollt"


def test_what_was_seen_is_what_is_approved(tables):
    draft = _changed(tables, IDSTEIN)
    tables.drop_rule(draft.number, "idstein-bau", EDITOR, revision=draft.revision, now=NOW)
    with pytest.raises(Conflict) as refused:
        tables.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="ja")
    assert refused.value.slug == "overtaken"


def test_two_editors_do_not_overwrite_each_other(tables):
    draft = tables.draft(EDITOR, title="", now=NOW)
    tables.put_rule(draft.number, IDSTEIN, EDITOR, revision=draft.revision, now=NOW)
    with pytest.raises(Conflict):
        tables.drop_rule(draft.number, "stadt", BOTH, revision=draft.revision, now=NOW)


def test_an_approved_table_never_changes(tables):
    number = _live(tables, IDSTEIN)
    version = tables.version(number)
    for attempt in (
        lambda: tables.drop_rule(number, "stadt", EDITOR, revision=version.revision, now=NOW),
        lambda: tables.discard(number, EDITOR, revision=version.revision, now=NOW),
        lambda: tables.approve(number, APPROVER, revision=version.revision, now=NOW, text="ja"),
    ):
        with pytest.raises(Conflict):
            attempt()


@pytest.mark.parametrize("person", [VIEWER, APPROVER])
def test_only_an_editor_drafts(tables, person):
    with pytest.raises(Forbidden):
        tables.draft(person, title="", now=NOW)


@pytest.mark.parametrize("person", [VIEWER, EDITOR])
def test_only_an_approver_approves_activates_and_rolls_back(tables, person):
    draft = _changed(tables, IDSTEIN, person=BOTH)
    for attempt in (
        lambda: tables.approve(draft.number, person, revision=draft.revision, now=NOW, text="ja"),
        lambda: tables.activate(1, person, now=NOW),
        lambda: tables.rollback(person, now=NOW, text="weil"),
    ):
        with pytest.raises(Forbidden):
            attempt()


def test_a_district_changes_only_its_own_rules(tables):
    draft = _changed(tables, IDSTEIN, person=DISTRICT)
    with pytest.raises(Forbidden) as refused:
        tables.drop_rule(draft.number, "stadt", DISTRICT, revision=draft.revision, now=NOW)
    assert refused.value.slug == "outside-tenant"
    foreign = _changed(tables, rule("hessen", "06", [HUNDE], to=STADT), person=EDITOR)
    with pytest.raises(Forbidden):
        tables.approve(foreign.number, DISTRICT, revision=foreign.revision, now=NOW, text="ja")


def test_a_table_made_before_another_became_active_is_refused(tables):
    stale = _changed(tables, rule("taunusstein", "064390015015", [BAUEN], to=STADT))
    _live(tables, IDSTEIN)
    with pytest.raises(Conflict) as refused:
        tables.approve(stale.number, APPROVER, revision=stale.revision, now=NOW, text="ja")
    assert refused.value.slug == "outdated"
    fresh = tables.refresh(stale.number, EDITOR, revision=stale.revision, now=NOW)
    assert {each.id for each in tables.table(fresh.number)} == {"kreis", "stadt", "idstein-bau", "taunusstein"}
    tables.approve(fresh.number, APPROVER, revision=fresh.revision, now=NOW, text="ja")


def test_a_refresh_refuses_a_rule_that_both_changed(tables):
    stale = tables.draft(EDITOR, title="", now=NOW)
    changed = replace(RULES[0], note="von Erika")
    stale = tables.put_rule(stale.number, changed, EDITOR, revision=1, now=NOW, replaces="kreis")
    other = tables.draft(BOTH, title="", now=NOW)
    other = tables.put_rule(
        other.number, replace(RULES[0], note="von Berta"), BOTH, revision=1, now=NOW, replaces="kreis"
    )
    tables.approve(other.number, APPROVER, revision=other.revision, now=NOW, text="ja")
    tables.activate(other.number, APPROVER, now=NOW)
    with pytest.raises(Conflict):
        tables.refresh(stale.number, EDITOR, revision=stale.revision, now=NOW)


def test_the_first_table_comes_from_files_and_once_only(store):
    tables = book(store)
    book(store, [IDSTEIN])
    assert tables.versions().total == 1
    assert tables.active(NOW).rules == RULES
    assert tables.version(1).created_by == "hub"


def test_a_hub_without_a_table_has_an_empty_one_and_no_default(store):
    from routing_book import SERVICES, WORLD, facts

    from hub.administration.routing_tables import Sources

    empty = RoutingTableVersions(
        store=store, sources=Sources(gazetteer=WORLD, services=SERVICES, facts=facts, schemas=list)
    )
    assert empty.active(NOW).rules == ()
    with pytest.raises(NoRoute):
        empty.active(NOW).route(Area("064390008008"), BAUEN, NOW)
    with pytest.raises(NotFound):
        empty.activation(NOW)


def test_an_activated_table_decides_at_once_and_the_old_one_stays_known(tables):
    idstein = Area("064390008008")
    assert tables.active(NOW).route(idstein, BAUEN, NOW).destination_id == KREIS
    number = _live(tables, IDSTEIN, now=LATER)
    assert tables.active(LATER).route(idstein, BAUEN, LATER).destination_id == STADT
    assert tables.at(NOW).route(idstein, BAUEN, NOW).destination_id == KREIS
    assert [each.number for each in tables.history().items] == [number, 1]


def test_a_table_can_be_activated_at_a_time(tables):
    draft = _changed(tables, IDSTEIN)
    tables.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="ja")
    tables.activate(draft.number, APPROVER, now=NOW, at=LATER)
    assert len(tables.active(NOW)) == 2
    assert len(tables.active(LATER - timedelta(seconds=1))) == 2
    assert len(tables.active(LATER)) == 3
    with pytest.raises(Conflict):
        tables.activate(draft.number, APPROVER, now=NOW, at=LATER)


def test_an_activation_to_come_can_be_cancelled(tables):
    draft = _changed(tables, IDSTEIN)
    tables.approve(draft.number, APPROVER, revision=draft.revision, now=NOW, text="ja")
    coming = tables.activate(draft.number, APPROVER, now=NOW, at=LATER)
    tables.cancel(coming.seq, APPROVER, now=NOW)
    assert len(tables.active(LATER + timedelta(days=1))) == 2
    with pytest.raises(Conflict):
        tables.cancel(coming.seq, APPROVER, now=NOW)


def test_a_rollback_brings_the_version_before_back(tables):
    number = _live(tables, IDSTEIN)
    with pytest.raises(Invalid):
        tables.rollback(APPROVER, now=LATER, text=" ")
    assert tables.rollback(APPROVER, now=LATER, text="falsch zugestellt").number == 1
    assert tables.active(LATER).version == tables.table(1).version
    assert tables.rollback(APPROVER, now=LATER, text="doch richtig", number=number).number == number
    with pytest.raises(NotFound):
        tables.rollback(APPROVER, now=LATER, text="nie aktiv", number=99)


def test_other_nodes_follow_within_a_second(open_store):
    here, there = book(open_store()), book(open_store())
    assert len(there.active(NOW)) == 2
    _live(here, IDSTEIN)
    assert len(there.active(NOW + timedelta(milliseconds=900))) == 2
    assert len(there.active(NOW + timedelta(seconds=1))) == 3


def test_nobody_waits_while_a_new_table_is_read(tables, store, monkeypatch):
    here, soon = book(store), NOW + timedelta(seconds=5)
    old, read, reading, go_on = here.active(NOW), here.content_of, Event(), Event()
    _live(tables, IDSTEIN)

    def slowly(rows):
        reading.set()
        assert go_on.wait(20)
        return read(rows)

    monkeypatch.setattr(here, "content_of", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(here.active, soon)
        try:
            assert reading.wait(20)
            assert pool.submit(here.active, soon).result(20) is old
        finally:
            go_on.set()
        assert len(first.result(20)) == 3
    assert len(old) == 2


def test_look_ups_go_on_while_tables_are_activated_and_rolled_back(tables):
    idstein, moments, answers, stop = Area("064390008008"), itertools.count(), [], Event()

    def ask():
        while not stop.is_set():
            now = NOW + timedelta(seconds=next(moments))
            answers.append(tables.active(now).route(idstein, BAUEN, now).destination_id)
            stop.wait(0.001)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for turn in range(5):
                _live(tables, replace(IDSTEIN, id=f"idstein-{turn}"), now=NOW + timedelta(seconds=next(moments)))
                tables.rollback(APPROVER, now=NOW + timedelta(seconds=next(moments)), text="zurück")
        finally:
            stop.set()
    assert [each.result() for each in asking] == [None] * 4
    assert len(answers) > 100
    assert set(answers) <= {KREIS, STADT}


def test_every_action_stands_in_the_audit_log(tables, store):
    number = _live(tables, IDSTEIN)
    tables.rollback(APPROVER, now=LATER, text="zurück")
    assert _actions(store) == [
        "routes.begin",
        "routes.draft",
        "routes.change",
        "routes.approve",
        "routes.activate",
        "routes.rollback",
    ]
    change, approval = (
        store.audit.entries(scope=EVERYTHING).items[2].entry,
        store.audit.entries(scope=EVERYTHING).items[3].entry,
    )
    assert (change.actor, change.target, change.after["added"]) == ("erika", f"routing-table:{number}", ["idstein-bau"])
    assert (approval.actor, approval.after["text"]) == ("anton", "geprüft")
    assert store.audit.entries(scope=EVERYTHING).items[-1].entry.before == {"number": number}


def test_a_table_imported_as_it_was_exported_changes_nothing(tables):
    active = tables.active(NOW)
    for write, read in ((to_csv, from_csv), (to_yaml, from_yaml)):
        draft = tables.draft(EDITOR, title="Import", now=NOW, rules=read(write(active)))
        assert draft.content_version == active.version
        assert tables.compare(draft.number, now=NOW, scope=EVERYTHING).lines("en") == ["0 changes"]


def test_a_comparison_counts_municipalities_and_services(tables):
    draft = _changed(tables, IDSTEIN)
    found = tables.compare(draft.number, now=NOW, scope=EVERYTHING)
    assert [change.id for change in found.rules] == ["idstein-bau"]
    assert [(change.area.ars, change.before, change.after) for change in found.routes] == [
        ("064390008008", (KREIS,), (STADT,))
    ]


def test_a_dry_run_names_real_submissions_by_id_only(tables, store):
    for destination_id, tenant in ((KREIS, "06439"), (STADT, "06414")):
        known_destination(store, destination_id=destination_id, tenant=tenant)
    moved = accepted(store, KREIS, area="064390008008")
    accepted(store, KREIS, area="064390015015")
    accepted(store, STADT, area="064140000000")
    accepted(store, KREIS, area="064390008008", submitted_at=NOW - timedelta(days=40))
    draft = _changed(tables, IDSTEIN)
    found = tables.dry_run(draft.number, days=30, now=NOW, scope=EVERYTHING)
    assert found.total == 3
    (shift,) = found.shifts
    assert (shift.submission_id, shift.before, shift.after) == (moved.submission_id, KREIS, STADT)
    assert tables.dry_run(draft.number, days=30, now=NOW, scope=Scope.of_area("06414")).total == 1


def test_discarding_keeps_the_record(tables):
    draft = _changed(tables, IDSTEIN)
    gone = tables.discard(draft.number, EDITOR, revision=draft.revision, now=NOW)
    assert gone.state is VersionState.DISCARDED
    assert len(tables.table(draft.number)) == 3


def test_an_activation_of_a_table_that_is_not_there_is_the_hubs_own_fault(store_url, tables, store):
    if not store_url.startswith("sqlite"):
        with pytest.raises(IntegrityError):  # The database itself lets nobody get there.
            store.database.write(lambda connection: connection.execute(text(_ASTRAY)))
        return
    with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"))) as damage:
        damage.execute(_ASTRAY)
        damage.commit()
    anew = RoutingTableVersions(store=store, sources=tables.sources)
    with pytest.raises(ConfigurationError, match="-5"):
        anew.active(NOW)


_ASTRAY = "UPDATE routing_activations SET number = -5"
