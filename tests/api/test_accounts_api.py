"""Accounts over the API: by operators, within their area, and everybody's own sessions."""

from __future__ import annotations

import pytest

WISH = {"name": "ida", "fullName": "Ida Muster", "roles": ["viewer"]}


def test_accounts_are_found_locked_and_let_in_again(office):
    otto, viktor = office.as_("otto"), office.as_("viktor")
    found = otto.get("/accounts", params={"q": "VIK"}).json()
    assert [each["name"] for each in found["accounts"]] == ["viktor"]
    assert otto.get("/accounts/viktor").json()["roles"] == ["viewer"]
    locked = otto.post("/accounts/viktor/lock")
    assert locked.json()["disabledAt"] is not None
    # It acts at the next request, and whoever is locked out learns nothing else.
    assert viktor.get("/clients").status_code == 401
    assert office.log_in("viktor").status_code == 401
    assert otto.post("/accounts/viktor/unlock").json()["disabledAt"] is None
    assert office.log_in("viktor").status_code == 200
    assert otto.post("/accounts/otto/lock").status_code == 403
    assert otto.get("/accounts/niemand").status_code == 404


@pytest.mark.parametrize("person", ["viktor", "anton", "erika"])
def test_only_operators_administer_accounts(office, person):
    somebody = office.as_(person)
    assert somebody.get("/accounts").status_code == 403
    assert somebody.get("/invitations").status_code == 403
    assert somebody.post("/invitations", json=WISH).status_code == 403
    for what in ("lock", "unlock", "factor-reset"):
        assert somebody.post(f"/accounts/otto/{what}").status_code == 403
    assert somebody.get("/accounts/otto/sessions").status_code == 403
    assert somebody.call("DELETE", "/accounts/otto/sessions").status_code == 403
    assert office.machine().get("/accounts").status_code == 403


def test_an_invitation_is_answered_with_its_link_once(office):
    otto = office.as_("otto")
    made = otto.post("/invitations", json=WISH)
    assert (made.status_code, made.json()["mailed"]) == (201, False)
    token = made.json()["link"].rpartition("#")[2]
    listed = otto.get("/invitations")
    assert [each["name"] for each in listed.json()["invitations"]] == ["ida"]
    assert token not in listed.text
    assert otto.post("/invitations", json=WISH).status_code == 409
    assert otto.post("/invitations", json={**WISH, "name": "ivo", "roles": ["approver"]}).status_code == 403
    assert otto.call("DELETE", "/invitations/ida").status_code == 204
    assert otto.call("DELETE", "/invitations/ida").status_code == 404


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"name": "ida"}, 400),
        ({"name": "ida", "roles": []}, 400),
        ({"name": "ida", "roles": ["emperor"]}, 400),
        ({"name": "a b", "roles": ["viewer"]}, 422),
        ({"name": "ida", "roles": ["viewer"], "email": "kein at"}, 422),
        ({"name": "ida", "roles": ["viewer"], "password": "x"}, 400),
    ],
)
def test_what_is_no_account_is_not_invited(office, wish, status):
    assert office.as_("otto").post("/invitations", json=wish).status_code == status


def test_roles_are_changed_by_who_has_them_and_never_ones_own(office):
    otto, path = office.as_("otto"), "/accounts/olga/roles"
    viktor = office.as_("viktor")
    refused = otto.call("PUT", "/accounts/viktor/roles", json={"roles": ["viewer", "approver"]})
    assert (refused.status_code, office.as_("viktor").get("/clients").status_code) == (403, 200)
    own = otto.call("PUT", "/accounts/otto/roles", json={"roles": ["viewer"]})
    assert (own.status_code, own.json()["type"].rpartition(":")[2]) == (403, "second-person")
    assert viktor.call("PUT", path, json={"roles": ["viewer"]}).status_code == 403
    for wrong in ({"roles": []}, {"roles": ["emperor"]}, {}, {"roles": ["viewer"], "tenant": ""}):
        assert otto.call("PUT", path, json=wrong).status_code == 400, wrong
    olga = office.as_("olga")
    berta = office.as_("berta")
    less = berta.call("PUT", path, json={"roles": ["editor"]})
    assert (less.status_code, less.json()["roles"]) == (200, ["editor"])
    assert olga.get("/clients").status_code == 401, "whose roles became fewer logs in again"


def test_people_see_and_end_their_own_tokens_and_operators_those_of_others(office):
    one, two, otto = office.as_("viktor"), office.as_("viktor"), office.as_("otto")
    mine = one.get("/accounts/viktor/sessions").json()["sessions"]
    assert [(each["kind"], each["device"]) for each in mine] == [("token", "python-requests")] * 2
    assert one.call("DELETE", f"/accounts/viktor/sessions/{mine[0]['sessionId']}").status_code == 204
    left = [each for each in (one, two) if each.get("/accounts/viktor/sessions").status_code == 200]
    assert len(left) == 1
    assert one.call("DELETE", "/accounts/otto/sessions/0123456789abcdef").status_code in {401, 403}
    assert otto.call("DELETE", "/accounts/viktor/sessions").status_code == 204
    assert left[0].get("/accounts/viktor/sessions").status_code == 401
