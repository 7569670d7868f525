"""Tenants over the API: seen as far as one's own subtree, changed after a look, rights given from above."""

from __future__ import annotations

import pytest

ROOT = "root"


def slug(answer) -> str:
    return answer.json()["type"].rpartition(":")[2]


@pytest.fixture
def tree(office):
    """A district with the area of doris, and a town in it with an open delivery; made over the API."""
    otto = office.as_("otto")
    district = made(otto, "Kreis", "district", ROOT, areas=["06439"])
    town = made(otto, "Taunusstein", "municipality", district, areas=["064390015015"])
    return {"district": district, "town": town, "otto": otto}


def made(party, name: str, kind: str, parent: str, **more) -> str:
    answer = party.post("/tenants", json={"name": name, "kind": kind, "parent": parent, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/hub/v1/tenants/{answer.json()['tenantId']}"
    return answer.json()["tenantId"]


def audited(office) -> list[tuple[str, str]]:
    return [(action, actor) for action, actor, _ in office.audited() if action.startswith("tenant.")]


def test_the_tree_is_listed_found_and_shown_with_who_may_what(office, tree):
    otto = tree["otto"]
    found = otto.get("/tenants", params={"q": "taunus"}).json()
    assert [(each["tenantId"], each["kind"]) for each in found["tenants"]] == [(tree["town"], "municipality")]
    below = otto.get("/tenants", params={"parent": tree["district"]}).json()
    assert [each["name"] for each in below["tenants"]] == ["Taunusstein"]
    shown = otto.get(f"/tenants/{tree['town']}").json()
    assert [each["tenantId"] for each in shown["above"]] == [tree["district"], ROOT]
    district = otto.get(f"/tenants/{tree['district']}").json()
    assert [each["name"] for each in district["below"]] == ["Taunusstein"]
    # Whoever was bound to the area of the district is at home there since it stands for it.
    assert {"doris"} <= {each["account"] for each in district["holders"]}
    assert {each["grantedBy"] for each in district["holders"]} == {None}
    assert otto.get("/tenants/nirgends").status_code == 404


def test_a_district_sees_and_changes_its_own_alone(office, tree):
    doris = office.as_("doris")
    assert {each["tenantId"] for each in doris.get("/tenants").json()["tenants"]} == {tree["district"], tree["town"]}
    assert doris.get(f"/tenants/{ROOT}").status_code == 404
    assert doris.post("/tenants", json={"name": "X", "kind": "office", "parent": ROOT}).status_code == 404
    office_id = made(doris, "Bauamt", "office", tree["town"])
    path = f"/tenants/{office_id}"
    assert doris.change("POST", f"{path}/move", doris.tag(path), json={"parent": ROOT}).status_code == 404
    moved = doris.change("POST", f"{path}/move", doris.tag(path), json={"parent": tree["district"]})
    assert (moved.status_code, moved.json()["parent"]) == (200, tree["district"])
    assert office.as_("walter").get(path).status_code == 404
    viktor = office.as_("viktor")
    assert viktor.post("/tenants", json={"name": "X", "kind": "office", "parent": ROOT}).status_code == 403
    assert audited(office)[-2:] == [("tenant.add", "doris"), ("tenant.move", "doris")]


def test_a_name_is_changed_on_the_state_that_was_seen(office, tree):
    otto, path = tree["otto"], f"/tenants/{tree['town']}"
    seen = otto.tag(path)
    assert otto.change("PATCH", path, seen, json={"name": "Stadt Taunusstein"}).json()["name"] == "Stadt Taunusstein"
    late = otto.change("PATCH", path, seen, json={"name": "Anders"})
    assert (late.status_code, slug(late)) == (409, "overtaken")
    assert otto.change("PATCH", path, otto.tag(path), json={"name": "  "}).status_code == 422
    assert otto.call("PATCH", path, json={"name": "Anders"}).status_code == 400
    assert otto.get(path).json()["name"] == "Stadt Taunusstein"
    assert audited(office)[-1] == ("tenant.rename", "otto")


def test_a_look_tells_what_a_dissolution_leaves_open_and_nothing_is_orphaned(office, tree):
    otto, path = tree["otto"], f"/tenants/{tree['district']}"
    office.stage.accept(area="064390015015")
    look = {"target": ROOT, "step": "dissolve"}
    impact = otto.get(f"{path}/impact", params=look)
    assert impact.status_code == 200, impact.text
    said = impact.json()
    assert (said["holdings"]["destinations"]["totalCount"], said["holdings"]["openDeliveries"]) == (1, 1)
    assert {each["account"] for each in said["ending"]} == {"doris"}
    assert otto.get(path).json()["successor"] is None, "a look changes nothing"
    stale = otto.change("POST", f"{path}/dissolve", '"1"', json={"into": ROOT})
    assert (stale.status_code, slug(stale)) == (409, "overtaken")
    kept = otto.change("POST", f"{path}/dissolve", impact.headers["ETag"], json={"into": ROOT, "keepRights": True})
    assert kept.status_code == 422, "rights would count in the whole state"
    done = otto.change("POST", f"{path}/dissolve", impact.headers["ETag"], json={"into": ROOT})
    assert (done.status_code, done.json()["holdings"]["openDeliveries"]) == (200, 1)
    assert otto.get(path).json()["successor"] == ROOT
    assert otto.get(f"/tenants/{tree['town']}").json()["parent"] == ROOT


def test_rights_are_given_from_above_seen_and_taken_away(office, tree):
    doris, otto, viktor = office.as_("doris"), tree["otto"], office.as_("viktor")
    grants = f"/tenants/{tree['town']}/grants"

    def given(party, role):
        return party.post(grants, json={"account": "walter", "role": role})

    # Doris has all roles in the district, and walter is of another one: she does not even see him.
    assert given(doris, "viewer").status_code == 404
    # Otto operates everything, and gives no other role than his own.
    refused = given(otto, "approver")
    assert (refused.status_code, slug(refused)) == (403, "role-not-yours")
    assert given(viktor, "viewer").status_code == 403
    walter = office.as_("walter")
    assert walter.get(f"/tenants/{tree['town']}").status_code == 404
    made_now = given(otto, "operator")
    assert (made_now.status_code, made_now.json()["grantedBy"]) == (201, "otto")
    assert given(otto, "operator").status_code == 409
    why = walter.get(f"/tenants/{tree['town']}").json()["holders"]
    assert ("walter", "operator", "otto") in {(each["account"], each["role"], each["grantedBy"]) for each in why}
    assert otto.call("DELETE", f"{grants}/walter/operator").status_code == 204
    assert otto.call("DELETE", f"{grants}/walter/operator").status_code == 404
    assert walter.get(f"/tenants/{tree['town']}").status_code == 401, "whose role was taken away is logged out"
    assert audited(office)[-2:] == [("tenant.grant", "otto"), ("tenant.revoke", "otto")]
