"""Attacks on the pages of destinations, keys and schemas: other tenants, one person as two, files and addresses of the hub."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from stage import BAUEN, TAUNUSSTEIN

from hub.administration.keys import By
from hub.app import development_authority
from hub.crypto import make_rsa_pair
from hub.model import EVERYTHING

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def pair():
    return make_rsa_pair("encryption")[0]


@pytest.fixture
def key(pages, pair):
    now = pages.stage.clock()
    return development_authority(pages.stage.hub.settings, now=now).issue(pair, subject="X", now=now, days=99)


@pytest.fixture
def foreign(pages):
    """A destination that walter, bound to Wiesbaden, must not know of."""
    return pages.stage.destination_id("Rheingau")


def _proposed(pages, here, key, *, by="otto"):
    destination = pages.store.parties.destination(here)
    desk = pages.stage.hub.key_approval
    return desk.propose_new(destination, key, activate=True, by=By(actor=by, now=pages.stage.clock())).change_id


def test_a_district_cannot_see_or_change_anothers_destination(pages, foreign, key):
    walter = pages.as_("walter")
    change = _proposed(pages, foreign, key)
    for path in ("", "/edit", "/service", "/adapter", "/key"):
        assert walter.get(f"/destinations/{foreign}{path}").status_code == 404, path
    fields = {"name": "x", "email": "a@b.example", "service": BAUEN, "regions": "06414", "status": "inactive"}
    fields |= {"pasted": json.dumps(key), "use": "store", "step": "retire", "kid": key["kid"], "change": change}
    before = pages.store.parties.destination(foreign)
    actions = ("edit", "service", "service/drop", "status", "adapter", "key", "trial", "circuit", "callback")
    for action in (*actions, "key/propose", "key/approve", "key/refuse"):
        answer = walter.post(f"/destinations/{foreign}/{action}", **fields)
        assert answer.status_code == 404, action
    assert pages.store.parties.destination(foreign) == before
    assert str(foreign) not in walter.get("/destinations/keys").text
    assert key["kid"] not in walter.get("/destinations/keys").text
    assert pages.store.audit.entries(action="destination.", scope=EVERYTHING).total == 0


def test_a_proposal_is_not_decided_through_a_destination_of_ones_own(pages, foreign, key):
    change = _proposed(pages, foreign, key)
    own = pages.stage.destination_id("Wiesbaden")
    walter = pages.as_("walter")
    for action in ("approve", "refuse"):
        assert walter.post(f"/destinations/{own}/key/{action}", change=change).status_code == 404
    assert [each.change_id for each in pages.stage.hub.key_approval.open(scope=EVERYTHING)] == [change]


def test_a_district_offers_nothing_outside_its_area(pages):
    own = pages.stage.destination_id("Wiesbaden")
    walter = pages.as_("walter")
    for region in (TAUNUSSTEIN, "06", "06439"):
        page = walter.post(f"/destinations/{own}/service", service=BAUEN, regions=region, schemas="", replaces=BAUEN)
        assert page.status_code == 422, region
        assert "außerhalb Ihres Zuständigkeitsbereichs" in page.text


def test_a_district_creates_no_destination_for_others(pages, key):
    walter = pages.as_("walter")
    fields = {"name": "x", "email": "a@b.example", "owner": pages.stage.cast["subscriber"]["client_id"]}
    files = {"encryption": ("e", json.dumps(key)), "signature": ("s", json.dumps(key))}
    for tenant in ("06439", "06", ""):
        assert walter.post("/destinations/new", files=files, tenant=tenant, **fields).status_code == 422
    assert pages.store.audit.entries(action="destination.create", scope=EVERYTHING).total == 0


def test_a_district_cannot_point_the_hub_at_its_files_and_networks(pages):
    own = pages.stage.destination_id("Wiesbaden")
    walter = pages.as_("walter")
    fields = {"o-path": "/etc", "name": "folder"}
    assert walter.get(f"/destinations/{own}/adapter").status_code == 403
    assert walter.post(f"/destinations/{own}/adapter", **fields).status_code == 403
    assert pages.store.parties.destination(own).adapter == "mailbox"


def test_a_district_does_not_touch_the_catalogue_of_all(pages):
    walter = pages.as_("walter")
    assert walter.get("/schemas/import").status_code == 403
    assert walter.post("/schemas/import", standard="x", version="1").status_code == 403
    for action in ("admit", "discard"):
        assert walter.post(f"/schemas/import/{'0' * 32}/{action}").status_code == 403
    for act in ("", "/approve", "/refuse", "/rollback"):
        path = f"/schemas/bauantrag/1.0/standing{act}"
        assert walter.post(path, status="withdrawn", sure="yes", text="so", change="0" * 32).status_code == 403
    assert walter.get("/schemas/bauantrag/1.0").status_code == 200


def test_one_person_with_every_role_is_still_one_person(pages, foreign, key):
    doris = pages.as_("doris")
    doris.post(f"/destinations/{foreign}/key", pasted=json.dumps(key), use="activate")
    (change,) = pages.stage.hub.key_approval.open(scope=EVERYTHING)
    assert doris.post(f"/destinations/{foreign}/key/approve", change=change.change_id).status_code == 403
    assert pages.store.parties.destination(foreign).encryption_kid != key["kid"]


def test_an_operator_alone_does_not_approve_and_an_approver_alone_does_not_propose(pages, foreign, key):
    change = _proposed(pages, foreign, key, by="doris")
    assert pages.as_("otto").post(f"/destinations/{foreign}/key/approve", change=change).status_code == 403
    answer = pages.as_("anton").post(f"/destinations/{foreign}/key", pasted=json.dumps(key), use="store")
    assert answer.status_code == 403


def test_a_proposal_cannot_be_swapped_after_it_was_read(pages, foreign, key):
    change = _proposed(pages, foreign, key)
    other = {**key, "kid": "another-kid-1"}
    pages.as_("anton").post(f"/destinations/{foreign}/key/approve", change=change, pasted=json.dumps(other), kid="x")
    assert pages.store.parties.destination(foreign).encryption_kid == key["kid"]


@pytest.mark.parametrize("field", ["pasted", "text"])
def test_a_script_in_a_key_or_reason_stays_text(pages, foreign, key, field):
    otto = pages.as_("otto")
    fields = {"pasted": json.dumps(key), "text": "x", "use": "activate", field: SCRIPT}
    page = otto.post(f"/destinations/{foreign}/key", **fields)
    assert SCRIPT not in page.text
    assert SCRIPT not in otto.get("/destinations/keys").text
    assert SCRIPT not in otto.get("/audit").text


@pytest.mark.parametrize("name", ["standard", "version", "provenance", "licence"])
def test_a_script_in_what_is_said_of_a_package_stays_text(pages, name):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(
            "m.xsd",
            '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="m" type="xs:int"/></xs:schema>',
        )
    fields = {"standard": "probe", "version": "1", "status": "valid", name: SCRIPT}
    otto = pages.as_("otto")
    page = otto.post("/schemas/import", files={"archive": ("p.zip", packed.getvalue())}, **fields)
    assert SCRIPT not in page.text
    assert SCRIPT not in otto.get("/schemas").text
    assert SCRIPT not in otto.get("/audit").text


def test_a_name_of_a_standard_does_not_leave_the_folder(pages):
    otto = pages.as_("otto")
    for name in ("../../x", "..", ".hidden", "a/b"):
        answer = otto.post(
            "/schemas/import", files={"archive": ("m.xsd", b"<x/>")}, standard=name, version="1", status="valid"
        )
        assert answer.status_code == 422, name


def test_too_many_files_are_refused(pages):
    files = [("folder", (f"f{number}.xsd", b"x")) for number in range(2_001)]
    answer = pages.as_("otto").post("/schemas/import", files=files, standard="x", version="1", status="valid")
    assert answer.status_code == 400
    assert "mehr als 2000 Dateien" in answer.text


def test_a_tests_content_and_secret_stand_nowhere_in_the_page(pages):
    here = pages.stage.destination_id("Rheingau")
    secret = pages.stage.data / "demo" / "push.secret"
    text = pages.as_("otto").post(f"/destinations/{here}/trial").text
    assert "Bitte verwerfen" not in text
    if secret.is_file():
        assert secret.read_text() not in text
