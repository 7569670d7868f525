"""Authorities taken in: by a table, all or nothing; released by a second person; tested; put into service."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tomllib
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from stage import NOW, staged
from store_servers import empty
from test_commit_faults import account

from hub import app
from hub.administration.client_secrets import new_secrets
from hub.administration.onboarding import OnboardingService
from hub.administration.onboarding_sheet import LARGEST, MOST_ROWS, read_sheet
from hub.administration.onboarding_standing import Stage
from hub.administration.onboarding_templates import Templates
from hub.config import load_settings
from hub.crypto.certificates import USAGES, self_signed
from hub.crypto.key_file import make_new_key, read_private
from hub.errors import ConfigurationError, Conflict, Forbidden, Invalid, NotFound, StoreUnavailable, Text
from hub.identity.persons import person_of
from hub.model import EVERYTHING, Role
from hub.routing import RoutingTable
from hub.store import AuditEntry, ChangeState, tables

HEAD = "name;ars;kontakt;vorlage;adapter;adresse;schluessel_verschluesselung;schluessel_signatur"
IDSTEIN, TAUNUSSTEIN, FULDA, FRANKFURT = "064390008008", "064390015015", "066310009009", "064120000000"
A_YEAR_OF_DAYS = 365
KEY_CELLS = {"schluessel_verschluesselung", "schluessel_signatur"}


@pytest.fixture(scope="module")
def stage(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("onboarding")) as made:
        for name, roles in (("anna", (Role.OPERATOR, Role.EDITOR)), ("bert", (Role.OPERATOR, Role.APPROVER))):
            entry = AuditEntry(at=made.clock(), actor="x", action="account.add", target=f"account:{name}")
            made.hub.store.accounts.add(account(name, roles=roles, tenant="", created_at=made.clock()), audit=entry)
        yield made


@pytest.fixture(scope="module")
def keys(stage) -> dict[str, bytes]:
    """The two public keys of a demo authority, by the names of files."""
    kept = stage.hub.store.parties.keys(stage.destination_id("Rheingau-Taunus-Kreis, Bauaufsicht"))
    return {("enc.jwk" if each.use == "wrapKey" else "sig.jwk"): json.dumps(dict(each.jwk)).encode() for each in kept}


def person_called(stage, name: str):
    return person_of(stage.hub.store.accounts.account(name), stage.hub.store.tenants)


def _reader(files: dict[str, bytes]):
    def read(name: str) -> bytes:
        if name not in files:
            raise Invalid(Text("Diese Datei fehlt.", "This file is missing."))
        return files[name]

    return read


def _table(*rows: str) -> bytes:
    return "\r\n".join([HEAD, *rows]).encode("utf-8-sig")


def sheet_row(ars: str, name: str = "Stadt", **cells: str) -> str:
    said = {
        "vorlage": "",
        "adapter": "",
        "adresse": "",
        "enc": "enc.jwk",
        "sig": "sig.jwk",
        "kontakt": "amt@example.org",
    }
    said |= cells
    return ";".join([name, ars, *(said[each] for each in ("kontakt", "vorlage", "adapter", "adresse", "enc", "sig"))])


def hand_in(stage, keys, *rows: str, title: str = ""):
    sheet = read_sheet(_table(*rows))
    return stage.hub.onboarding.hand_in(
        sheet, _reader(keys), person_called(stage, "anna"), title=title, now=stage.clock()
    )


def test_one_is_taken_in_from_the_table_to_the_rules_in_force(stage, keys):
    desk = stage.hub.onboarding
    anna, bert = person_called(stage, "anna"), person_called(stage, "bert")
    done = hand_in(
        stage, keys, sheet_row(IDSTEIN, "Stadt Idstein", adapter="folder", adresse=str(stage.data / "secrets" / "in"))
    )
    run = done.run
    assert (run.rows, run.state) == (1, ChangeState.OPEN)
    assert desk.standing(IDSTEIN, anna, now=stage.clock()).stage is Stage.RELEASE
    with pytest.raises(Forbidden):
        desk.release(run.run_id, anna, text="", now=stage.clock())
    (stage.data / "secrets" / "in").mkdir(parents=True)
    desk.release(run.run_id, bert, text="geprüft", now=stage.clock())
    standing = desk.standing(IDSTEIN, anna, now=stage.clock())
    made = stage.hub.store.parties.destination(standing.destination.destination_id)
    assert (standing.stage, made.status, made.adapter, made.tenant) == (Stage.TEST, "created", "folder", IDSTEIN)
    with pytest.raises(Invalid) as refused:
        desk.go_live(run.run_id, bert, now=stage.clock())
    assert refused.value.slug == "onboarding-not-ready"
    report = desk.test(IDSTEIN, anna, now=stage.clock())
    assert report.good, report
    assert list((stage.data / "secrets" / "in").iterdir())
    assert desk.go_live(run.run_id, bert, now=stage.clock()) == [IDSTEIN]
    assert desk.standing(IDSTEIN, anna, now=stage.clock()).stage is Stage.LIVE


def test_a_second_time_changes_nothing_and_a_changed_row_shows_the_difference(stage, keys):
    desk = stage.hub.onboarding
    if desk.standing(IDSTEIN, person_called(stage, "anna"), now=stage.clock()).stage is not Stage.LIVE:
        test_one_is_taken_in_from_the_table_to_the_rules_in_force(stage, keys)
    before = stage.hub.store.onboarding.runs(scope=EVERYTHING).total
    row = sheet_row(IDSTEIN, "Stadt Idstein", adapter="folder", adresse=str(stage.data / "secrets" / "in"))
    again = hand_in(stage, keys, row)
    assert (again.run, [each.is_none for each in again.changes]) == (None, [True])
    assert stage.hub.store.onboarding.runs(scope=EVERYTHING).total == before
    moved = hand_in(stage, keys, row.replace("amt@example.org", "neu@example.org").replace("Stadt Idstein", "Idstein"))
    said = [(each.part.en, each.before, each.after) for each in moved.changes[0].differences]
    assert said == [("Name", "Stadt Idstein", "Idstein"), ("Contact", "amt@example.org", "neu@example.org")]
    with pytest.raises(Invalid) as refused:  # What waits already is not overtaken by another wish.
        hand_in(stage, keys, row.replace("amt@example.org", "anders@example.org"))
    assert [each["column"] for each in refused.value.members["faults"]] == ["ars"]
    desk.release(moved.run.run_id, person_called(stage, "bert"), text="", now=stage.clock())
    standing = desk.standing(IDSTEIN, person_called(stage, "anna"), now=stage.clock())
    made = stage.hub.store.parties.destination(standing.destination.destination_id)
    assert (made.name, made.contact["email"], standing.stage) == ("Idstein", "neu@example.org", Stage.LIVE)
    client = stage.hub.store.parties.client(made.owner)
    assert client.kind == "subscriber"


def some_towns(stage, number: int) -> list[str]:
    """Municipalities that nobody has taken in yet."""
    found = stage.hub.onboarding.standings(
        person_called(stage, "anna"), stage=Stage.ABSENT, limit=1000, now=stage.clock()
    ).items
    return [each.place.area.ars for each in found if each.place.is_municipality and len(each.place.area.ars) == 12][
        :number
    ]


def test_of_four_hundred_rows_seven_are_wrong_so_all_faults_are_told_and_nothing_is_done(stage, keys):
    store = stage.hub.store
    rows = [sheet_row(f"DE{ars}", f"Gemeinde {place}") for place, ars in enumerate(some_towns(stage, 400))]
    assert len(rows) == 400
    wrong = {
        3: sheet_row("64390008008"),
        17: sheet_row("064399999999"),
        40: sheet_row(FULDA, kontakt="=cmd|' /C calc'!A0"),
        123: rows[123].replace(";amt@example.org;;", ";amt@example.org;landkreis;"),
        200: rows[200].replace("enc.jwk", "fehlt.pem"),
        311: rows[311].replace(";amt@example.org;;;;", ";amt@example.org;;brieftaube;;"),
        399: rows[5],
    }
    known = [store.tenants.tree(scope=EVERYTHING), store.parties.clients(scope=EVERYTHING, limit=500).total]
    with pytest.raises(Invalid) as refused:
        hand_in(stage, keys, *(wrong.get(place, row) for place, row in enumerate(rows)))
    faults = refused.value.members["faults"]
    assert [(each["row"], each["column"]) for each in faults] == [
        (5, "ars"),
        (19, "ars"),
        (42, "kontakt"),
        (125, "vorlage"),
        (202, "schluessel_verschluesselung"),
        (313, "adapter"),
        (401, "ars"),
    ]
    assert "Null" in faults[0]["text"]["de"]
    assert not any("calc" in json.dumps(each) for each in faults)
    assert store.onboarding.waiting(scope=EVERYTHING) == {}
    assert known == [store.tenants.tree(scope=EVERYTHING), store.parties.clients(scope=EVERYTHING, limit=500).total]


def test_a_release_that_breaks_off_goes_on_and_makes_nothing_twice(stage, keys, monkeypatch):
    desk, store, bert = stage.hub.onboarding, stage.hub.store, person_called(stage, "bert")
    towns = some_towns(stage, 4)
    run = hand_in(stage, keys, *(sheet_row(ars, f"Gemeinde {ars}") for ars in towns)).run
    made, broken = store.parties.add_destination, []

    def breaks(*given, **named):
        if len(broken) < 1:
            broken.append(given)
            raise StoreUnavailable(Text("Gerade nicht.", "Not now."), retry_after=1)
        return made(*given, **named)

    monkeypatch.setattr(store.parties, "add_destination", breaks)
    with pytest.raises(StoreUnavailable):
        desk.release(run.run_id, bert, text="", now=stage.clock())
    assert [desk.standing(ars, bert, now=stage.clock()).stage for ars in towns] == [Stage.MAKING] * 4
    assert desk.release(run.run_id, bert, text="", now=stage.clock()).made == 4
    for ars in towns:
        tenant = store.tenants.standing_for(ars)
        held = store.tenants.own_holdings(tenant)
        assert (len(held.destinations), len(held.clients)) == (1, 1)
    assert desk.release(run.run_id, bert, text="", now=stage.clock()).made == 4
    with pytest.raises(Conflict):
        desk.refuse(run.run_id, bert, text="", now=stage.clock())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_what_spreadsheets_save_is_read_and_no_cell_is_a_formula(encoding):
    rows = [["'=Müller & Söhne", "064390008008"], ["", ""], ["Größenwahn", "DE064390015015"]]
    sink = io.StringIO()
    csv.writer(sink, delimiter=";").writerows([["Name", "ARS", "Kontakt", *HEAD.split(";")[-2:]], *rows])
    sheet = read_sheet(sink.getvalue().encode(encoding))
    assert [(each.number, each["name"]) for each in sheet.rows] == [(2, "=Müller & Söhne"), (4, "Größenwahn")]


@pytest.mark.parametrize(
    ("content", "row", "column"),
    [
        (b"", 1, ""),
        (b"PK\x03\x04xl/", 1, ""),
        (b"name;ars\n", 1, ""),
        (f"{HEAD};=HYPERLINK(1)\n".encode(), 1, ""),
        (f"{HEAD}\nA;\x07;a@b.de;;;;x;y\n".encode(), 2, "ars"),
        (f"{HEAD}\nA;06;a@b.de;;;;x;y;zu;viel\n".encode(), 2, ""),
        (f"{HEAD}\n{'A' * 1001};06;a@b.de;;;;x;y\n".encode(), 2, "name"),
        (f'{HEAD}\n"A;06;a@b.de;;;;x;y\n'.encode(), 2, ""),
        (HEAD.encode() + b"\n" + b"A;06\n" * (MOST_ROWS + 1), 1, ""),
        (HEAD.encode() + b"\n" + b"A" * LARGEST, 1, ""),
        (HEAD.encode() + b"\n\x81;06\n", 1, ""),
    ],
    ids=["empty", "workbook", "columns", "formula", "control", "wide", "long", "quote", "rows", "bytes", "neither"],
)
def test_a_table_of_no_use_is_refused_by_its_place(content, row, column):
    with pytest.raises(Invalid) as refused:
        read_sheet(content)
    assert [(each["row"], each["column"]) for each in refused.value.members["faults"]] == [(row, column)]
    assert "HYPERLINK" not in str(refused.value.members["faults"]) or "'=HYPERLINK" in str(refused.value.members)


def test_a_request_for_a_certificate_is_certified_where_it_is_tested_and_waits_in_production(stage, keys):
    desk, bert = stage.hub.onboarding, person_called(stage, "bert")
    request = make_new_key(
        "encryption", subject="Gemeinde", now=stage.clock(), validity=timedelta(days=A_YEAR_OF_DAYS)
    ).request
    files = {**keys, "antrag.csr": request}
    first, second = some_towns(stage, 2)
    run = hand_in(stage, files, sheet_row(first, enc="antrag.csr")).run
    desk.release(run.run_id, bert, text="", now=stage.clock())
    assert desk.standing(first, bert, now=stage.clock()).stage is Stage.TEST
    assert hand_in(stage, files, sheet_row(first, enc="antrag.csr")).run is None
    production = OnboardingService(replace(desk.owners, certify=None))
    sheet = read_sheet(_table(sheet_row(second, enc="antrag.csr")))
    waits = production.hand_in(sheet, _reader(files), person_called(stage, "anna"), title="", now=stage.clock()).run
    production.release(waits.run_id, bert, text="", now=stage.clock())
    standing = production.standing(second, bert, now=stage.clock())
    assert (standing.stage, standing.destination) == (Stage.CERTIFICATE, None)
    certified = hand_in(stage, keys, sheet_row(second)).run
    desk.release(certified.run_id, bert, text="", now=stage.clock())
    assert desk.standing(second, bert, now=stage.clock()).stage is Stage.TEST


def test_a_pack_holds_settings_and_words_and_no_secret(stage, keys):
    desk, anna = stage.hub.onboarding, person_called(stage, "anna")
    (town,) = some_towns(stage, 1)
    desk.release(
        hand_in(stage, keys, sheet_row(town)).run.run_id, person_called(stage, "bert"), text="", now=stage.clock()
    )
    content = desk.pack(town, anna, now=stage.clock())
    assert content == desk.pack(town, anna, now=stage.clock())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["connector.toml", "LIESMICH.txt"]
        settings = tomllib.loads(archive.read("connector.toml").decode())
        words = archive.read("LIESMICH.txt").decode()
    made = stage.hub.store.parties.destination(desk.standing(town, anna, now=stage.clock()).destination.destination_id)
    assert settings["hub"]["client_id"] == made.owner
    assert settings["destinations"][0]["destination_id"] == str(made.destination_id)
    assert settings["destinations"][0]["signing_key_id"]
    assert "TESTZUSTELLUNG" in words
    with pytest.raises(NotFound):
        desk.pack(some_towns(stage, 1)[0], anna, now=stage.clock())


def test_the_rules_of_templates_are_those_of_the_demo_where_the_law_is_the_same(stage):
    """Of a city, a town and a district of the demo: the same services in the same areas."""
    hub = stage.hub
    templates = {each.template_id: each for each in hub.onboarding.owners.templates()}
    demo: dict[str, set[str]] = {}
    for rule in RoutingTable.load(hub.settings.rules, hub.gazetteer):
        demo.setdefault(rule.area.ars, set()).update(rule.services)
    for ars, template in {
        "064140000000": "kreisfreie-stadt",
        "064120000000": "kreisfreie-stadt",
        "064150000000": "kreisfreie-stadt",
        "06439": "landkreis",
    }.items():
        place = hub.gazetteer.find(ars)
        made = templates[template].rules(place, "X", stage.destination_id("Landeshauptstadt Wiesbaden"))
        assert {urn for rule in made for urn in rule.services} == demo[ars], ars
    town = hub.gazetteer.find(TAUNUSSTEIN)
    assert [each.template_id for each in hub.onboarding.templates_for(TAUNUSSTEIN)] == ["gemeinde"]
    assert [each.template_id for each in hub.onboarding.templates_for(FULDA)] == ["sonderstatusstadt", "gemeinde"]
    # What the demo gives to the district is none of its towns' business.
    assert not set(templates["gemeinde"].services) & demo["06439"]
    assert not templates["landkreis"].fits(town)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('land = "06"', 'land = "06"\nmehr = 1'),
        ('"99102013000000"', '"99999999999999"'),
        ('levels = ["district"]', 'levels = ["municipality"]'),
        ('kinds = ["district"]', 'kinds = ["planet"]'),
        ('groups = ["bauaufsicht", "strassenverkehr", "jagd"]', 'groups = ["keine"]'),
        ('"064340001001"', '"064349999999"'),
        ('land = "06"', "land = "),
    ],
)
def test_a_template_that_the_catalogue_contradicts_is_not_used(stage, tmp_path, old, new):
    shipped = (Path(__file__).parents[2] / "routing_rules/templates/hessen.toml").read_text()
    assert old in shipped
    (tmp_path / "hessen.toml").write_text(shipped.replace(old, new))
    with pytest.raises(ConfigurationError):
        Templates.load(tmp_path, stage.hub.services(), stage.hub.gazetteer)


def test_who_approves_for_one_district_releases_nothing_beyond_it(stage, keys):
    hub, here = stage.hub, "06431"
    entry = AuditEntry(at=stage.clock(), actor="x", action="account.add", target="account:dora")
    roles = (Role.OPERATOR, Role.EDITOR, Role.APPROVER)
    hub.store.accounts.add(account("dora", roles=roles, tenant=here, created_at=stage.clock()), audit=entry)
    dora = person_called(stage, "dora")
    mine = next(each for each in some_towns(stage, 421) if each.startswith(here))
    beside = next(each for each in some_towns(stage, 421) if not each.startswith(here))
    run = hand_in(stage, keys, sheet_row(mine), sheet_row(beside)).run
    with pytest.raises(Forbidden):
        hub.onboarding.release(run.run_id, dora, text="", now=stage.clock())
    assert [each.ars for each in hub.onboarding.show(run.run_id, dora)[1]] == [mine]
    with pytest.raises(NotFound):
        hub.onboarding.standing(beside, dora, now=stage.clock())
    seen = hub.onboarding.standings(dora, limit=500, now=stage.clock()).items
    assert all(each.place.area.ars.startswith(here) for each in seen)
    sheet = read_sheet(_table(sheet_row(beside)))
    with pytest.raises(Invalid) as refused:
        hub.onboarding.check(sheet, _reader(keys), dora, now=stage.clock())
    assert {each["column"] for each in refused.value.members["faults"]} == {"ars"}
    hub.onboarding.refuse(run.run_id, person_called(stage, "anna"), text="", now=stage.clock())
    assert hub.store.onboarding.run(run.run_id).state is ChangeState.WITHDRAWN


def test_what_leaves_the_folder_of_secrets_and_rules_that_others_have_are_faults_of_the_row(stage, keys):
    desk, anna, city = stage.hub.onboarding, person_called(stage, "anna"), "064140000000"
    for row, column in (
        (sheet_row(city, adapter="folder", adresse="/etc"), "adresse"),
        (sheet_row(city), "vorlage"),  # The demo's Wiesbaden has rules that name another destination.
    ):
        with pytest.raises(Invalid) as refused:
            desk.check(read_sheet(_table(row)), _reader(keys), anna, now=stage.clock())
        assert column in {each["column"] for each in refused.value.members["faults"]}


def test_who_is_there_already_is_changed_and_not_made_a_second_time(stage, keys):
    done = hand_in(stage, keys, sheet_row("064120000000"))
    assert (done.changes[0].is_new, len(done.changes[0].differences) > 0) == (False, True)
    stage.hub.onboarding.refuse(done.run.run_id, person_called(stage, "anna"), text="", now=stage.clock())


@pytest.fixture
def frankfurt_above(stage):
    """Frankfurt's destination, as if it were the whole hub's."""
    (row,) = [
        each for ars, each in stage.hub.store.onboarding.destinations(scope=EVERYTHING).items() if ars == FRANKFURT
    ]
    mine = tables.destinations.c.destination_id == str(row.destination_id)
    before = stage.hub.store.parties.destination(row.destination_id)

    def belong(tenant: str, tenant_id: str | None) -> None:
        values = {"tenant": tenant, "tenant_id": tenant_id}
        stage.hub.store.database.write(
            lambda connection: connection.execute(tables.destinations.update().where(mine).values(values)).rowcount
        )

    belong("", None)
    yield before
    belong(before.tenant, before.tenant_id)


def test_nobody_changes_the_keys_of_a_destination_above_by_taking_its_area_in(stage, keys, frankfurt_above):
    hub = stage.hub
    for name in ("emil", "eva"):
        entry = AuditEntry(at=stage.clock(), actor="x", action="account.add", target=f"account:{name}")
        roles = (Role.OPERATOR, Role.EDITOR, Role.APPROVER)
        hub.store.accounts.add(account(name, roles=roles, tenant="06412", created_at=stage.clock()), audit=entry)
    kids = {each.kid for each in hub.store.parties.keys(frankfurt_above.destination_id)}
    sheet = read_sheet(_table(sheet_row(FRANKFURT)))
    with pytest.raises(Invalid) as refused:
        hub.onboarding.hand_in(sheet, _reader(keys), person_called(stage, "emil"), title="", now=stage.clock())
    assert [(each["row"], each["column"]) for each in refused.value.members["faults"]] == [(2, "ars")]
    assert frankfurt_above.name not in str(refused.value.members)
    run = hand_in(stage, keys, sheet_row(FRANKFURT)).run
    shown = hub.onboarding.changes_of(run.run_id, person_called(stage, "eva"), now=stage.clock())
    assert [each.differences for each in shown] == [()], "what stands above is nobody's to read here"
    with pytest.raises(Invalid):
        hub.onboarding.release(run.run_id, person_called(stage, "eva"), text="", now=stage.clock())
    assert {each.kid for each in hub.store.parties.keys(frankfurt_above.destination_id)} == kids
    assert hub.store.onboarding.run(run.run_id).state is ChangeState.OPEN
    hub.onboarding.refuse(run.run_id, person_called(stage, "anna"), text="", now=stage.clock())


def test_two_releases_at_once_make_nothing_twice(stage, keys, monkeypatch):
    desk, store, bert = stage.hub.onboarding, stage.hub.store, person_called(stage, "bert")
    (town,) = some_towns(stage, 1)
    run = hand_in(stage, keys, sheet_row(town, f"Gemeinde {town}")).run
    made, said = store.tenants.standing_for, []

    def meanwhile(ars):
        found = made(ars)
        if not said:  # The first looked and saw nothing; now another node releases the run.
            said.append(None)
            with pytest.raises(Conflict) as refused:
                desk.release(run.run_id, bert, text="", now=stage.clock())
            said.append(refused.value.slug)
        return found

    monkeypatch.setattr(store.tenants, "standing_for", meanwhile)
    assert desk.release(run.run_id, bert, text="", now=stage.clock()).made == 1
    assert said == [None, "invalid-state-transition"]
    held = store.tenants.own_holdings(store.tenants.standing_for(town))
    assert (len(held.destinations), len(held.clients)) == (1, 1)


def test_whose_node_died_while_releasing_holds_up_nobody_for_longer_than_a_minute(stage, keys):
    desk, store, bert = stage.hub.onboarding, stage.hub.store, person_called(stage, "bert")
    (town,) = some_towns(stage, 1)
    run = hand_in(stage, keys, sheet_row(town, f"Gemeinde {town}")).run
    lease = timedelta(minutes=1)
    assert store.duties.hold(f"onboarding-{run.run_id}", node="dead", now=stage.clock(), lease=lease)
    with pytest.raises(Conflict):
        desk.release(run.run_id, bert, text="", now=stage.clock() + lease / 2)
    assert desk.release(run.run_id, bert, text="", now=stage.clock() + lease).made == 1


def test_a_release_that_takes_long_holds_on_and_one_that_slept_makes_no_more_beside_another(stage, keys, monkeypatch):
    desk, store, bert = stage.hub.onboarding, stage.hub.store, person_called(stage, "bert")
    first, second, third = some_towns(stage, 3)
    run = hand_in(stage, keys, *(sheet_row(town, f"Gemeinde {town}") for town in (first, second, third))).run
    name, made, passed = f"onboarding-{run.run_id}", store.tenants.standing_for, [0.0]
    monkeypatch.setattr("hub.administration.onboarding.monotonic", lambda: passed[0])

    def meanwhile(ars):
        found = made(ars)
        if ars == first and not found and not passed[0]:
            passed[0] = 40.0
        elif ars == second and not found and passed[0] == 40.0:
            later = stage.clock() + timedelta(seconds=80)  # Of a lease that was not renewed nothing would be left.
            assert store.duties.hold(name, node="other", now=later, lease=timedelta(minutes=1)) is None
            asleep = stage.clock() + timedelta(seconds=101)
            assert store.duties.hold(name, node="other", now=asleep, lease=timedelta(minutes=1))
            passed[0] = 120.0
        return found

    with monkeypatch.context() as patched:
        patched.setattr(store.tenants, "standing_for", meanwhile)
        with pytest.raises(Conflict):
            desk.release(run.run_id, bert, text="", now=stage.clock())
    assert store.onboarding.run(run.run_id).made == 2
    assert desk.release(run.run_id, bert, text="", now=stage.clock() + timedelta(minutes=4)).made == 3


def test_what_is_missing_begins_with_the_next_step(stage):
    (absent,) = stage.hub.onboarding.standings(
        person_called(stage, "anna"), stage=Stage.ABSENT, limit=1, now=stage.clock()
    ).items
    assert absent.missing == (Stage.RELEASE, Stage.TEST, Stage.READY)


@pytest.fixture(scope="module")
def packed() -> dict[str, bytes]:
    """Two PKCS#12 files as a PKI hands them out, and the file with their password as an editor saves it."""
    files = {"passwort.txt": b"geheim-4711\r\n", "falsch.txt": b"geheim-4712"}
    for use, name in (("encryption", "enc.p12"), ("signing", "sig.p12")):
        key = generate_private_key(65537, 4096)
        usage = USAGES["wrapKey" if use == "encryption" else "verify"]
        own = self_signed(key, subject="Musterstadt", usage=usage, now=NOW, validity=timedelta(days=A_YEAR_OF_DAYS))
        lock = BestAvailableEncryption(b"geheim-4711")
        files[name] = pkcs12.serialize_key_and_certificates(b"", key, own, None, lock)
    return files


def test_pkcs12_is_taken_by_its_password_file_and_only_its_certificates_are_kept(stage, packed):
    hub, anna, bert = stage.hub, person_called(stage, "anna"), person_called(stage, "bert")
    (town,) = some_towns(stage, 1)
    head = HEAD + ";passwortdatei"

    def table(password: str):
        row = sheet_row(town, "Musterstadt", enc="enc.p12", sig="sig.p12")
        return read_sheet("\r\n".join([head, f"{row};{password}"]).encode())

    for password, columns in (("falsch.txt", KEY_CELLS), ("", KEY_CELLS), ("fehlt.txt", KEY_CELLS | {"passwortdatei"})):
        with pytest.raises(Invalid) as refused:
            hub.onboarding.check(table(password), _reader(packed), anna, now=stage.clock())
        assert {each["column"] for each in refused.value.members["faults"]} == columns
        assert "geheim" not in str(refused.value.members)
    run = hub.onboarding.hand_in(table("passwort.txt"), _reader(packed), anna, title="", now=stage.clock()).run
    (row,) = hub.store.onboarding.rows(run.run_id, scope=EVERYTHING)
    assert "geheim" not in json.dumps(row.plan)
    assert {name for key in row.plan["keys"].values() for name in key} <= {
        "kty",
        "key_ops",
        "alg",
        "kid",
        "n",
        "e",
        "x5c",
    }
    hub.onboarding.release(run.run_id, bert, text="", now=stage.clock())
    made = hub.onboarding.standing(town, anna, now=stage.clock()).destination
    kept = {each.use: each.kid for each in hub.store.parties.keys(made.destination_id)}
    for use, operation, name in (("encryption", "wrapKey", "enc.p12"), ("signing", "verify", "sig.p12")):
        private = read_private(packed[name], use=use, password=b"geheim-4711")
        assert private["kid"] == kept[operation], "the connector calls it as the hub does"


def test_on_postgresql_an_authority_is_taken_in_as_well(made_once, tmp_path, postgresql_url, keys):
    empty(postgresql_url)
    settings = load_settings(
        tmp_path / "data", {}, allow_private_addresses=True, disk_watermark_bytes=0, database_url=postgresql_url
    )
    shutil.copytree(made_once, tmp_path / "data")
    hub = app.build(settings, clock=lambda: NOW)
    try:
        for name, roles in (("anna", (Role.OPERATOR, Role.EDITOR)), ("bert", (Role.OPERATOR, Role.APPROVER))):
            entry = AuditEntry(at=NOW, actor="x", action="account.add", target=f"account:{name}")
            hub.store.accounts.add(account(name, roles=roles, tenant="", created_at=NOW), audit=entry)
        anna, bert = (person_of(hub.store.accounts.account(name), hub.store.tenants) for name in ("anna", "bert"))
        desk, sheet = hub.onboarding, read_sheet(_table(sheet_row(FULDA, "Fulda")))
        # The demo's destinations are not in this database, so its rules are not to be either.
        bare = desk.owners.book.draft(anna, title="Leer", now=NOW, rules=())
        desk.owners.book.approve(bare.number, bert, revision=bare.revision, now=NOW, text="leer")
        desk.owners.book.activate(bare.number, bert, now=NOW, text="leer")
        run = desk.hand_in(sheet, _reader(keys), anna, title="", now=NOW).run
        with pytest.raises(Invalid):  # It waits with other contents.
            desk.check(read_sheet(_table(sheet_row(FULDA, "Stadt Fulda"))), _reader(keys), anna, now=NOW)
        assert desk.release(run.run_id, bert, text="", now=NOW).made == 1
        assert desk.test(FULDA, anna, now=NOW).good
        assert desk.go_live(run.run_id, bert, now=NOW) == [FULDA]
        assert desk.standing(FULDA, anna, now=NOW).stage is Stage.LIVE
        assert desk.hand_in(sheet, _reader(keys), anna, title="", now=NOW).run is None
    finally:
        hub.close()


def test_secrets_of_all_its_clients_are_handed_over_in_a_file_that_its_recipient_alone_opens(stage, keys, tmp_path):
    pyrage = pytest.importorskip("pyrage", reason="the extra package for encrypted files is not installed")
    desk, anna, bert = stage.hub.onboarding, person_called(stage, "anna"), person_called(stage, "bert")
    areas = ("064390010010", "064390011011")
    run = hand_in(stage, keys, *(sheet_row(each, f"=Stadt {each}") for each in areas)).run
    desk.release(run.run_id, bert, text="", now=stage.clock())
    identity = pyrage.x25519.Identity.generate()
    _, rows = desk.show(run.run_id, anna)
    given = {
        "clients": stage.hub.client_service,
        "store": stage.hub.store,
        "recipients": [identity.to_public()],
        "now": stage.clock(),
    }
    sealed = new_secrets(rows, anna, **given)
    opened = list(
        csv.DictReader(io.StringIO(pyrage.decrypt(sealed.content, [identity]).decode("utf-8-sig")), delimiter=";")
    )
    assert [each["ars"] for each in opened] == list(areas)
    assert all(each["name"].startswith("'=") for each in opened)
    first = opened[0]
    assert stage.hub.clients.authenticate(first["client_id"], first["client_secret"], now=stage.clock())
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed.content, [pyrage.x25519.Identity.generate()])
    # Who logs in with a secret keeps it; the other one gets another. Nobody waits for the note of a log-in but this test.
    stage.hub.store.logins.forget(stage.clock())
    again = new_secrets(rows, anna, **given)
    assert (again.number, again.in_use) == (1, (areas[0],))
    assert stage.hub.clients.authenticate(first["client_id"], first["client_secret"], now=stage.clock())
    with pytest.raises(Conflict):
        new_secrets([], anna, **given)
