"""A sender lists its own applications, and nobody else's: by time, state, service and a reference of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update
from stage import ANMELDEN, ANMELDUNG, BAUANTRAG, BAUEN, TAUNUSSTEIN, WIESBADEN, Served

from hub.identity.clients import new_client
from hub.model import ClientKind
from hub.store import tables

LIST = "/hub/v1/applications"


def sent(served: Served, reference: str | None = None, *, building: bool = True) -> str:
    service, ars, data, kind = (
        (BAUEN, TAUNUSSTEIN, BAUANTRAG, "application/xml")
        if building
        else (ANMELDEN, WIESBADEN, ANMELDUNG, "application/json")
    )
    where = {"service": service, "ars": ars} | ({} if reference is None else {"externalReference": reference})
    answer = served.post(LIST, params=where, data=data, headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text
    served.stage.clock.pass_(seconds=10)
    return answer.json()["submissionId"]


def listed(served: Served, **query: str | int) -> list[str]:
    return [each["submissionId"] for each in served.get(LIST, params=query).json()["applications"]]


def test_own_applications_are_found_by_time_state_service_and_reference(served: Served):
    begun = served.stage.clock()
    first, second, third = sent(served, "OD-1"), sent(served, "OD-2", building=False), sent(served)
    assert listed(served) == [third, second, first]
    middle = (begun + timedelta(seconds=5)).isoformat()
    assert (listed(served, since=middle), listed(served, until=middle)) == ([third, second], [first])
    assert listed(served, service=BAUEN) == [third, first]
    assert listed(served, service=BAUEN.replace(":leika:", ":")) == [third, first]
    assert (listed(served, state="submitted"), listed(served, state="accepted")) == ([third, second, first], [])
    assert (listed(served, externalReference="OD-2"), listed(served, externalReference="OD-3")) == ([second], [])
    shown = served.get(LIST, params={"externalReference": "OD-1"}).json()["applications"][0]
    assert (shown["externalReference"], shown["ars"], shown["service"]) == ("OD-1", TAUNUSSTEIN, BAUEN)
    assert (
        served.get(shown["links"]["self"].replace(served.stage.hub.base_url, "")).json()["externalReference"] == "OD-1"
    )


def test_pages_follow_each_other_without_a_gap_also_within_one_moment(served: Served):
    all_of_them = []
    for number in range(7):
        all_of_them.append(sent(served, f"n-{number}"))
        if number % 3:
            served.stage.clock.pass_(seconds=-10)
    found, cursor, pages = [], None, 0
    while cursor is not None or not pages:
        page = served.get(LIST, params={"limit": 2} | ({} if cursor is None else {"cursor": cursor})).json()
        found += [each["submissionId"] for each in page["applications"]]
        cursor, pages = page["next"], pages + 1
    assert pages == 4
    assert sorted(found) == sorted(all_of_them)


def test_what_a_program_of_before_took_in_is_found_by_its_receipt_in_the_same_order(served: Served):
    all_of_them = [sent(served, "OD-1") for _ in range(5)]
    other = sent(served, "OD-2")
    older = [all_of_them[0], all_of_them[2], all_of_them[3], other]
    rows = update(tables.messages).where(tables.messages.c.message_id.in_(older)).values(reference=None)
    served.stage.hub.store.database.write(lambda connection: connection.execute(rows).rowcount)
    found, cursor, pages = [], None, 0
    while cursor is not None or not pages:
        query = {"externalReference": "OD-1", "limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = served.get(LIST, params=query).json()
        found += [each["submissionId"] for each in page["applications"]]
        cursor, pages = page["next"], pages + 1
    assert found == all_of_them[::-1]
    assert pages == 3
    assert listed(served, externalReference="OD-2") == [other]
    assert listed(served) == [other, *all_of_them[::-1]]


def test_another_sender_sees_none_of_them_whatever_it_asks(served: Served):
    sent(served, "OD-1")
    cursor = sent(served, "OD-1") and served.get(LIST, params={"limit": 1}).json()["next"]
    client, secret = new_client(ClientKind.SENDER, "another", now=served.stage.clock())
    served.stage.hub.store.parties.add_client(client)
    login = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": secret}
    token = served.post("/token", data=login).json()["access_token"]
    served.session.headers["Authorization"] = f"Bearer {token}"
    for query in ({}, {"externalReference": "OD-1"}, {"cursor": cursor}, {"service": BAUEN}):
        assert listed(served, **query) == []


def test_a_receiver_has_no_such_list(served: Served):
    served.session.headers["Authorization"] = f"Bearer {served.token('subscriber')}"
    assert served.get(LIST).status_code == 403


@pytest.mark.parametrize(
    "query", [{"cursor": "A" * 31}, {"cursor": "_" * 32}, {"since": "gestern"}, {"state": "incomplete"}]
)
def test_what_cannot_be_asked_is_refused_by_the_parameters_name(served: Served, query: dict[str, str]):
    answer = served.get(LIST, params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["violations"][0]["path"]


def test_a_reference_with_the_text_of_a_person_is_refused(served: Served):
    answer = served.post(LIST, params={"service": BAUEN, "ars": TAUNUSSTEIN, "externalReference": "Erika Muster"})
    assert answer.status_code == 400
    assert "Erika" not in answer.text
