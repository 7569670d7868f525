"""A pilot by invitation for people: a code begins the application, and nothing but its hash is kept."""

from __future__ import annotations

import logging
import re
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner
from portal_pages import portal_before, portal_document
from sqlalchemy import text
from stage import BAUEN, NOW, TAUNUSSTEIN, WIESBADEN, staged

from hub.areas import Area
from hub.cli import main
from hub.errors import Invalid, NotFound, TooMany
from hub.files.settings import as_toml
from hub.identity import Person
from hub.model import Role
from hub.portal.database import PortalDatabase, invitations
from hub.portal.invitations import PortalInvitations
from hub.routing import RuleAccess

HERE, THERE = "192.0.2.1", "198.51.100.2"
EDITOR = Person(name="anna", full_name="anna", roles=(Role.EDITOR,))
APPROVER = Person(name="ben", full_name="ben", roles=(Role.APPROVER,))
SIMPLIFIED = "urn:de:fim:leika:leistung:99012008001001"


@pytest.fixture
def database(tmp_path):
    with closing(PortalDatabase(f"sqlite:///{tmp_path}/portal.sqlite")) as opened:
        yield opened


@pytest.fixture
def book(database):
    return PortalInvitations(database)


def made(book, **changes):
    said = {
        "service": BAUEN,
        "area": "06439",
        "note": "Probe",
        "now": NOW,
        "ends_at": NOW + timedelta(days=7),
        **changes,
    }
    return book.make(**said)


def admits(book, code, **changes):
    said = {"service": BAUEN, "area": TAUNUSSTEIN, "address": HERE, "now": NOW, **changes}
    return book.admits(code, **said)


def test_a_code_lets_in_for_its_service_its_area_and_its_days_alone(book):
    one = made(book)
    assert admits(book, f" {one.code.lower()} ")
    assert not admits(book, one.code, service=SIMPLIFIED)
    assert not admits(book, one.code, area=WIESBADEN)
    assert not admits(book, one.code, now=NOW + timedelta(days=7))
    assert not admits(book, "kein Code")
    book.end(one.invitation.id, NOW)
    assert not admits(book, one.code)
    (kept,) = book.all()
    assert (kept.holds(NOW), kept.ended_at, book.end(kept.id, NOW + timedelta(days=1)).ended_at) == (False, NOW, NOW)


def test_only_its_hash_is_kept(book, database):
    one = made(book)
    plain = one.code.replace("-", "")
    assert len(plain) == 16
    assert plain not in repr(one)
    with database.reading() as connection:
        (row,) = connection.execute(invitations.select()).all()
    assert plain not in repr(row)
    assert len(row.hash) == 64
    assert one.invitation.id == row.hash[:12]
    assert not admits(book, one.invitation.id)


def test_attack_guessing_codes_is_counted_by_address_in_the_database(book, database):
    one = made(book)
    other = PortalInvitations(database)
    for number in range(5):
        assert not admits((book, other)[number % 2], "ABCD-EFGH-JKMN-PQRS")
    with pytest.raises(TooMany):
        admits(other, one.code)
    assert admits(other, one.code, address=THERE)
    assert admits(other, one.code, now=NOW + timedelta(minutes=16))


@pytest.mark.parametrize(
    "change",
    [{"ends_at": NOW}, {"area": "DE06"}, {"area": "6"}, {"area": ""}, {"note": "x" * 81}, {"note": "a\nb"}],
)
def test_what_makes_no_sense_is_not_made(book, change):
    with pytest.raises(Invalid):
        made(book, **change)
    assert book.all() == []


def test_what_is_over_goes_with_the_next_one_and_a_beginning_of_an_id_names_nothing(book):
    made(book)
    kept = made(book, now=NOW + timedelta(days=8), ends_at=NOW + timedelta(days=9)).invitation
    assert book.all() == [kept]
    for name in (kept.id[:8], "%", "", "000000000000"):
        with pytest.raises(NotFound):
            book.end(name, NOW)


def test_a_database_of_the_version_before_gets_the_table_and_stays_one_of_that_version(tmp_path):
    place = f"sqlite:///{tmp_path}/portal.sqlite"
    with closing(PortalDatabase(place)) as old, old.writing() as connection:
        connection.execute(text("DROP TABLE portal_invitations"))
    with closing(PortalDatabase(place)) as new:
        assert PortalInvitations(new).all() == []


@pytest.fixture(scope="module")
def trial(made_once, tmp_path_factory):
    """A portal that is invited to try the building permit of a district, and where its settings lie."""
    folder = tmp_path_factory.mktemp("trial")
    with staged(made_once, folder, listens=False) as stage, portal_before(stage, folder) as site:
        hub, now = stage.hub, stage.clock()
        deciding = hub.table().responsible(Area(TAUNUSSTEIN), BAUEN, now).rule
        pilot = replace(deciding, access=RuleAccess.PILOT, invited=(stage.cast["sender"]["client_id"],))
        rules = [pilot if each.id == pilot.id else each for each in hub.table()]
        draft = hub.book.draft(EDITOR, title="Erprobung", rules=rules, now=now)
        hub.book.approve(draft.number, APPROVER, revision=draft.revision, now=now, text="Probe")
        hub.book.activate(draft.number, APPROVER, now=now, text="Probe")
        settings = folder / "portal.toml"
        document = portal_document(stage, site.portal.settings.hub.base_url, 1, folder)
        document |= {"storage": {"folder": str(site.portal.settings.storage.folder)}}
        lines = [
            f"[{name}]\n" + "".join(f"{k} = {as_toml(v)}\n" for k, v in table.items())
            for name, table in document.items()
        ]
        settings.write_text("".join(lines))
        settings.chmod(0o600)
        yield site, settings


def hub(*arguments):
    result = CliRunner().invoke(main, ["portal", *map(str, arguments)])
    return result.exit_code, result.output


def test_who_has_a_code_begins_what_is_on_trial_and_nobody_else(trial, caplog):
    caplog.set_level(logging.DEBUG)
    site, settings = trial
    key = BAUEN[-14:]
    visitor, page = site.visitor(), f"/leistung/{key}?ars={TAUNUSSTEIN}"
    shown = visitor.get(page)
    assert "vorerst nur auf Einladung" in shown.text
    assert 'name="einladung"' in shown.text
    code, said = hub("invite", "--service", key, "--ars", "06439", "--note", "Probe", "--config", settings)
    assert code == 0, said
    typed = re.search(r"shown only now: (\S+)", said)[1]

    without = visitor.post("/antrag", at=page, service=key, ars=TAUNUSSTEIN)
    wrong = visitor.post("/antrag", at=page, service=key, ars=TAUNUSSTEIN, einladung="ABCD-EFGH-JKMN-PQRS")
    assert [(each.status_code, "gilt hier nicht" in each.text) for each in (without, wrong)] == [(422, True)] * 2
    assert "ABCD-EFGH" not in wrong.text
    begun = visitor.post("/antrag", at=page, service=key, ars=TAUNUSSTEIN, einladung=typed, allow_redirects=False)
    assert (begun.status_code, begun.headers["location"]) == (303, "/antrag")
    assert visitor.get("/antrag").status_code == 200

    (listed,) = hub("invitations", "--config", settings)[1].splitlines()
    assert ("gilt / holds" in listed, "Probe" in listed, typed in listed) == (True, True, False)
    assert hub("uninvite", listed.split()[0], "--config", settings)[0] == 0
    late = site.visitor().post("/antrag", at=page, service=key, ars=TAUNUSSTEIN, einladung=typed)
    assert late.status_code == 422
    assert hub("uninvite", "000000000000", "--config", settings)[0] == 1
    logged = caplog.text + "".join(str(each.args) for each in caplog.records)
    assert typed not in logged
    assert typed.replace("-", "") not in logged
