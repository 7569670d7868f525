"""Who keeps a sender out of the token endpoint by knowing its client id: nobody."""

from __future__ import annotations

import requests
from stage import Served

FORM = {"grant_type": "client_credentials"}


def _token(served: Served, client_id: str, secret: str) -> requests.Response:
    form = {**FORM, "client_id": client_id, "client_secret": secret}
    return requests.post(f"{served.base_url}/token", data=form, timeout=30)


def test_wrong_secrets_for_a_known_client_id_do_not_lock_its_owner_out(served: Served):
    sender = served.stage.cast["sender"]
    answers = [_token(served, sender["client_id"], "wrong").status_code for _ in range(12)]
    assert answers == [401] * 10 + [429] * 2
    refused = _token(served, sender["client_id"], "wrong")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert _token(served, sender["client_id"], sender["client_secret"]).status_code == 200


def test_guessing_client_ids_is_turned_away(served: Served):
    answers = [_token(served, f"guess-{number}", "wrong").status_code for number in range(62)]
    assert answers == [401] * 60 + [429] * 2
    sender = served.stage.cast["sender"]
    assert _token(served, sender["client_id"], sender["client_secret"]).status_code == 200


def test_failures_at_the_token_endpoint_leave_the_pages_open(served: Served):
    for number in range(61):
        _token(served, f"guess-{number}", "wrong")
    form = {"name": "nobody", "password": "wrong, and long enough"}
    answer = requests.post(f"{served.base_url}/hub/v1/persons/token", data=form, timeout=30)
    assert answer.status_code == 401
