"""Routing tables over the API: the same book as pages and command line, by persons, on the state that they saw."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest
import requests
from stage import BAUEN, TAUNUSSTEIN, WIESBADEN

from hub.crypto.receipts import claims_of
from hub.routing import from_csv, from_yaml, to_csv, to_yaml

IDSTEIN = "064390008008"
TOWN = "7b1c9e04-2d58-4c7a-8f31-5a9e0c406414"
DISTRICT = "0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439"


def rule(area: str = IDSTEIN, to: str = DISTRICT, **more: Any) -> dict[str, Any]:
    return {"area": area, "services": [BAUEN], "destination": to, **more}


def drafted(person: Any, **more: Any) -> tuple[str, str]:
    """Make a draft; return its path and its tag."""
    made = person.post("/routes/versions", **({"json": {"title": "Versuch"}} | more))
    assert made.status_code == 201, made.text
    return f"/routes/versions/{made.json()['number']}", made.headers["ETag"]


def slug(answer: Any) -> str:
    return answer.json()["type"].rpartition(":")[2]


def approved(office: Any, path: str, tag: str, by: str = "anton") -> Any:
    return office.as_(by).change("POST", f"{path}/approve", tag, json={"text": "gelesen"})


# --- refusals


def test_a_change_without_the_state_that_it_was_made_on_is_refused(office):
    erika = office.as_("erika")
    path, _ = drafted(erika)
    for wrong in ({}, {"If-Match": "*"}, {"If-Match": "1"}):
        answer = erika.call("PUT", f"{path}/rules/neu", json=rule(), headers=wrong)
        assert answer.status_code == 400, wrong


def test_two_editors_do_not_overwrite_each_other(office):
    erika, berta = office.as_("erika"), office.as_("berta")
    path, seen = drafted(erika)
    assert erika.change("PUT", f"{path}/rules/eins", seen, json=rule()).status_code == 200
    late = berta.change("PUT", f"{path}/rules/zwei", seen, json=rule(WIESBADEN))
    assert (late.status_code, slug(late)) == (409, "overtaken")
    assert "Load it again" in late.json()["detailEn"]
    fresh = berta.get(path).headers["ETag"]
    assert berta.change("PUT", f"{path}/rules/zwei", fresh, json=rule("06414")).status_code == 200


def test_a_contradiction_cannot_be_approved_and_names_its_rows(office):
    erika = office.as_("erika")
    path, tag = drafted(erika)
    standing = erika.get(f"{path}/rules", params={"limit": 500}).json()["rules"]
    other = next(each for each in standing if BAUEN in each["services"] and each["area"] == "06439")
    tag = erika.change("PUT", f"{path}/rules/dagegen", tag, json=rule("06439", TOWN)).headers["ETag"]
    found = erika.get(f"{path}/findings").json()
    contradiction = next(each for each in found["findings"] if each["code"] == "contradiction")
    assert set(contradiction["rows"]) == {"dagegen", other["id"]}
    assert contradiction["remedy"]["de"]
    refused = approved(office, path, tag)
    assert (refused.status_code, slug(refused)) == (422, "table-unfit")
    assert any("dagegen" in each["rows"] for each in refused.json()["findings"])


def test_warnings_need_a_word(office):
    erika = office.as_("erika")
    path, tag = drafted(erika)
    assert erika.get(f"{path}/findings").json()["errors"] == 0
    silent = office.as_("anton").change("POST", f"{path}/approve", tag)
    assert (silent.status_code, slug(silent)) == (422, "word-needed")
    assert silent.json()["findings"]
    assert approved(office, path, tag).json()["approvalText"] == "gelesen"


def test_nobody_approves_their_own_draft_and_nobody_activates_an_unapproved_one(office):
    berta = office.as_("berta")
    path, tag = drafted(berta)
    own = berta.change("POST", f"{path}/approve", tag, json={"text": "passt"})
    assert (own.status_code, slug(own)) == (403, "second-person")
    early = berta.post(f"{path}/activate")
    assert (early.status_code, slug(early)) == (422, "not-approved")


def test_a_machine_drafts_and_checks_and_never_approves(office):
    machine = office.machine()
    path, tag = drafted(machine)
    assert machine.get(f"{path}/findings").status_code == 200
    assert machine.get(f"{path}/diff").json()["count"] == 0
    for verb in ("approve", "activate"):
        assert machine.change("POST", f"{path}/{verb}", tag, json={"text": "x"}).status_code == 403
    assert machine.post("/routes/rollback", json={"text": "x"}).status_code == 403
    assert machine.post("/clients", json={"kind": "sender", "name": "x"}).status_code == 403
    version = machine.get(path).json()
    assert version["editors"][0].startswith("client:")
    assert approved(office, path, tag).status_code == 200


@pytest.mark.parametrize(("person", "allowed"), [("viktor", False), ("otto", False), ("anton", False), ("erika", True)])
def test_only_editors_draft(office, person, allowed):
    assert (office.as_(person).post("/routes/versions").status_code == 201) is allowed


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"\xff\xfe\x00", "text/csv", "Windows-1252"),
        (b"id;area\r\n", "text/csv", "first line"),
        (b"rules: [", "application/yaml", "not valid YAML"),
        (b"rules: &a [*a]", "application/yaml", ""),
    ],
)
def test_what_is_no_file_of_rules_is_refused_in_words(office, content, kind, says):
    answer = office.as_("erika").post("/routes/versions", data=content, headers={"Content-Type": kind})
    assert answer.status_code in {400, 422}
    assert says in answer.json()["detailEn"]


def test_every_bad_row_of_an_upload_is_named(office):
    table = {"rules": [rule(id="a", area="99"), rule(id="b"), rule(id="c", to="nowhere")]}
    answer = office.as_("erika").post("/routes/versions", json=table)
    assert answer.status_code == 422
    assert [each["line"] for each in answer.json()["problems"]] == [1, 3]


def test_what_does_not_exist_is_not_found(office):
    erika = office.as_("erika")
    path, tag = drafted(erika)
    for missing in ("/routes/versions/999", "/routes/versions/999999999/diff", "/routes/versions/999/findings"):
        assert erika.get(missing).status_code == 404, missing
    assert slug(erika.change("DELETE", f"{path}/rules/gibt-es-nicht", tag)) == "rule-not-found"
    assert erika.get("/routes/active", params={"at": "2001-01-01T00:00:00Z"}).status_code == 404
    assert erika.get("/routes/active", params={"at": "gestern"}).status_code == 400


# --- the way of a change


def test_a_change_goes_from_draft_to_active_by_two_people_and_back(office):
    erika, anton = office.as_("erika"), office.as_("anton")
    path, tag = drafted(erika)
    tag = erika.change("PUT", f"{path}/rules/idstein-bau", tag, json=rule(to=TOWN)).headers["ETag"]
    tag = erika.change("DELETE", f"{path}/rules/idstein-bau", tag).headers["ETag"]
    assert erika.get(f"{path}/diff").json()["count"] == 0
    tag = erika.change("PUT", f"{path}/rules/idstein-bau", tag, json=rule(note="Eigene Bauaufsicht")).headers["ETag"]
    diff = erika.get(f"{path}/diff").json()
    assert [each["id"] for each in diff["rules"]] == ["idstein-bau"]
    assert approved(office, path, tag).json()["state"] == "approved"
    assert anton.post(f"{path}/activate", json={"text": "ab jetzt"}).json()["reason"] == "ab jetzt"
    number = erika.get(path).json()["number"]
    assert erika.get("/routes/active").json()["version"]["number"] == number
    back = anton.post("/routes/rollback", json={"text": "doch nicht"})
    assert back.json()["number"] == 1
    assert [each["number"] for each in erika.get("/routes/history").json()["activations"]] == [1, number, 1]
    actions = [action for action, _, target in office.audited() if target == f"routing-table:{number}"]
    assert actions[0] == "routes.draft"
    assert actions[-2:] == ["routes.approve", "routes.activate"]


def test_a_table_can_be_activated_at_a_time_and_the_activation_cancelled(office):
    erika, anton = office.as_("erika"), office.as_("anton")
    path, tag = drafted(erika)
    tag = erika.change("PUT", f"{path}/rules/neu", tag, json=rule()).headers["ETag"]
    approved(office, path, tag)
    then = office.stage.clock() + timedelta(days=3)
    coming = anton.post(f"{path}/activate", json={"at": then.isoformat()}).json()
    assert erika.get("/routes/active").json()["version"]["number"] == 1
    at = {"at": (then + timedelta(hours=1)).isoformat()}
    assert erika.get("/routes/active", params=at).json()["version"]["number"] == coming["number"]
    assert anton.post(f"/routes/history/{coming['seq']}/cancel").json()["cancelled"] is True
    assert erika.get("/routes/active", params=at).json()["version"]["number"] == 1
    assert anton.post(f"/routes/history/{coming['seq']}/cancel").status_code == 409


def test_a_draft_can_be_refreshed_or_discarded(office):
    erika = office.as_("erika")
    old, old_tag = drafted(erika)
    path, tag = drafted(erika)
    tag = erika.change("PUT", f"{path}/rules/neu", tag, json=rule()).headers["ETag"]
    approved(office, path, tag)
    office.as_("anton").post(f"{path}/activate")
    assert slug(approved(office, old, old_tag)) == "outdated"
    refreshed = erika.change("POST", f"{old}/refresh", old_tag)
    assert refreshed.json()["basedOn"] == erika.get(path).json()["number"]
    gone = erika.change("POST", f"{old}/discard", refreshed.headers["ETag"])
    assert gone.json()["state"] == "discarded"
    assert slug(erika.change("PUT", f"{old}/rules/x", gone.headers["ETag"], json=rule())) == "invalid-state-transition"


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
def test_a_table_comes_back_exactly_as_csv_in_both_character_sets(office, encoding):
    erika = office.as_("erika")
    path, tag = drafted(erika)
    tag = erika.change("PUT", f"{path}/rules/neu", tag, json=rule(note="Straße „Überall“ – 5 €")).headers["ETag"]
    file = erika.get(f"{path}/export", params={"format": "csv", "encoding": encoding})
    assert file.headers["Content-Type"] == f"text/csv; charset={encoding}"
    kind = {"Content-Type": file.headers["Content-Type"], "If-Match": tag}
    again = erika.call("PUT", f"{path}/rules", data=file.content, headers=kind)
    assert again.status_code == 200, again.text
    assert again.json()["contentVersion"] == erika.get(path).json()["contentVersion"]
    assert from_csv(file.content) == from_yaml(erika.get(f"{path}/export").content)


def test_a_draft_of_an_exported_file_changes_nothing(office):
    erika = office.as_("erika")
    for form, kind in (("csv", "text/csv"), ("yaml", "application/yaml")):
        content = erika.get("/routes/versions/1/export", params={"format": form}).content
        path, _ = drafted(erika, json=None, data=content, headers={"Content-Type": kind}, params={"title": form})
        assert erika.get(f"{path}/diff").json()["count"] == 0
        assert erika.get(path).json()["title"] == form


def test_a_diff_tells_which_real_submissions_would_go_elsewhere_by_id_only(office):
    made = office.stage.accept()
    submission_id = claims_of(made.receipt)["sub"].removeprefix("submission:")
    erika = office.as_("erika")
    path, tag = drafted(erika)
    assert erika.get(f"{path}/diff", params={"days": 30}).json()["submissions"]["changed"] == 0
    erika.change("PUT", f"{path}/rules/neu", tag, json=rule(TAUNUSSTEIN, TOWN))
    found = erika.get(f"{path}/diff", params={"days": 30}).json()["submissions"]
    assert (found["total"], found["changed"]) == (1, 1)
    assert found["shifts"][0]["submissionId"] == submission_id
    assert set(found["shifts"][0]) == {"submissionId", "before", "after"}


def test_routes_are_explained_as_they_were_at_any_moment(office):
    erika = office.as_("erika")
    before = office.stage.clock()
    office.stage.clock.pass_(minutes=5)
    path, tag = drafted(erika)
    tag = erika.change("PUT", f"{path}/rules/neu", tag, json=rule(TAUNUSSTEIN)).headers["ETag"]
    approved(office, path, tag)
    office.as_("anton").post(f"{path}/activate")
    office.stage.clock.pass_(seconds=2)
    asked = {"service": BAUEN, "ars": TAUNUSSTEIN}
    assert erika.get("/routes/explain", params=asked).json()["rule"] == "neu"
    assert erika.get("/routes/explain", params=asked | {"at": before.isoformat()}).json()["rule"] != "neu"


def test_the_files_say_what_the_book_says(office):
    erika = office.as_("erika")
    table = office.stage.hub.book.table(1)
    assert erika.get("/routes/versions/1/export", params={"format": "csv"}).content == to_csv(table)
    assert erika.get("/routes/versions/1/export").content == to_yaml(table)
    listed = erika.get("/routes/versions/1/rules", params={"limit": 500}).json()
    assert [each["id"] for each in listed["rules"]] == [each.id for each in table]


def test_loading_a_new_table_drops_no_request(office):
    erika, anton = office.as_("erika"), office.as_("anton")
    asked, answers, stop = {"service": BAUEN, "ars": TAUNUSSTEIN}, [], Event()

    def ask():
        with requests.Session() as http:
            while not stop.is_set():
                answer = http.get(f"{office.base}/hub/v1/routes/explain", params=asked, timeout=30)
                answers.append((answer.status_code, answer.json()["rule"]))

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            for turn in range(3):
                office.stage.clock.pass_(seconds=2)
                path, tag = drafted(erika)
                tag = erika.change("PUT", f"{path}/rules/neu-{turn}", tag, json=rule(TAUNUSSTEIN)).headers["ETag"]
                assert anton.change("POST", f"{path}/approve", tag, json={"text": "gelesen"}).status_code == 200
                assert anton.post(f"{path}/activate").status_code == 200
                office.stage.clock.pass_(seconds=2)
                anton.post("/routes/rollback", json={"text": "zurück"})
        finally:
            stop.set()
    assert [each.result() for each in asking] == [None] * 3
    assert {status for status, _ in answers} == {200}
    assert {"rtk-bauaufsicht"} <= {name for _, name in answers} <= {"rtk-bauaufsicht", "neu-0", "neu-1", "neu-2"}


def test_a_submission_keeps_the_version_that_it_was_routed_by(office):
    hub, erika = office.stage.hub, office.as_("erika")
    first = claims_of(office.stage.accept().receipt)
    path, tag = drafted(erika)
    tag = erika.change("PUT", f"{path}/rules/neu", tag, json=rule(TAUNUSSTEIN)).headers["ETag"]
    approved(office, path, tag)
    office.as_("anton").post(f"{path}/activate")
    office.stage.clock.pass_(seconds=2)
    second = claims_of(office.stage.accept().receipt)
    numbers = [1, int(path.rpartition("/")[2])]
    for number, receipt in zip(numbers, (first, second), strict=True):
        submission_id = UUID(receipt["sub"].removeprefix("submission:"))
        content = erika.get(f"/routes/versions/{number}").json()["contentVersion"]
        assert hub.store.submissions.message(submission_id).table_version == content
        assert receipt["route"]["table"] == content
