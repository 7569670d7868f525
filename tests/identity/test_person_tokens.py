"""Persons at the API: a token is theirs, short-lived, and gone with the account."""

from __future__ import annotations

import pyotp
import pytest

from hub.errors import Unauthenticated
from hub.identity.accounts import PersonTokens


def test_wrong_credentials_get_no_token_and_the_answer_does_not_say_why(office):
    answers = [office.log_in("erika", "nicht das passwort"), office.log_in("niemand")]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert office.log_in("", "").status_code == 400


def test_failures_lock_the_name_here_and_at_the_pages(office):
    for _ in range(5):
        assert office.log_in("erika", "falsch, falsch, falsch").status_code == 401
    locked = office.log_in("erika")
    assert locked.status_code == 429
    assert int(locked.headers["Retry-After"]) > 60
    with pytest.raises(Exception, match="Too many"):
        office.accounts.log_in("erika", office.password, address="127.0.0.1", now=office.stage.clock())


def test_a_second_factor_is_asked_for_and_each_code_is_good_once(office):
    address = office.accounts.set_totp("erika", actor="cli:test", now=office.stage.clock())
    code = pyotp.parse_uri(address).at(office.stage.clock())
    assert office.log_in("erika").status_code == 401
    assert office.log_in("erika", code=code).status_code == 200
    assert office.log_in("erika", code=code).status_code == 401


def test_a_token_says_what_its_person_may(office):
    answer = office.log_in("erika")
    said = answer.json()
    assert (said["scope"], said["name"], said["tenant"], said["expires_in"]) == ("see edit", "erika", "", 1800)
    assert answer.headers["Cache-Control"] == "no-store"
    assert office.as_("erika").get("/routes/versions").status_code == 200


def test_a_token_ends_after_half_an_hour(office):
    erika = office.as_("erika")
    office.stage.clock.pass_(minutes=29)
    assert erika.get("/routes/versions").status_code == 200
    office.stage.clock.pass_(minutes=1)
    assert erika.get("/routes/versions").status_code == 401


def test_a_token_ends_when_its_person_says_so(office):
    erika = office.as_("erika")
    assert erika.call("DELETE", "/persons/token").status_code == 204
    assert erika.get("/routes/versions").status_code == 401


@pytest.mark.parametrize("end", ["disable", "set_password"])
def test_a_token_ends_with_its_account_and_with_a_new_password(office, end):
    erika = office.as_("erika")
    more = ["ein neues, langes passwort"] if end == "set_password" else []
    getattr(office.accounts, end)("erika", *more, actor="cli:test", now=office.stage.clock())
    assert erika.get("/routes/versions").status_code == 401


def test_log_in_and_log_out_are_audited_and_the_store_holds_no_token(office):
    erika = office.as_("erika")
    erika.call("DELETE", "/persons/token")
    assert ("token.issue", "erika", "account:erika") in office.audited()
    assert ("token.revoke", "erika", "account:erika") in office.audited()
    at_rest = b"".join(path.read_bytes() for path in office.stage.data.rglob("*") if path.is_file())
    assert b"account:erika" in at_rest
    assert erika.token.encode() not in at_rest


def test_a_cookie_is_no_bearer_token_and_a_bearer_token_no_cookie(office):
    now = office.stage.clock()
    cookie, _ = office.accounts.log_in("erika", office.password, now=now)
    person_tokens = PersonTokens(store=office.stage.hub.store, accounts=office.accounts)
    for forged in (cookie, f"rhp_{cookie}"):
        assert office.with_(forged).get("/routes/versions").status_code == 401
        with pytest.raises(Unauthenticated):
            person_tokens.recognise(forged, now=now)
    token, _, _ = person_tokens.issue("erika", office.password, now=now)
    assert office.accounts.session(token, now=now) is None


def test_a_persons_token_sends_no_application_and_a_senders_token_administers_nothing(office, served):
    erika = office.as_("erika")
    assert erika.get("/applications/ce75a6b8-d72f-4b94-b09e-af6be35bc2ae").status_code == 403
    sender = office.with_(served.token("sender"))
    for path in ("/routes/versions", "/clients", "/destinations"):
        assert sender.get(path).status_code == 403
