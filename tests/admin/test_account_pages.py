"""Accounts on pages: invited, set up with a second factor, locked, and their sessions ended, without a script."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pyotp
import pytest
from admin_pages import PASSWORD, Browser, Pages

from hub.identity.second_factors import FactorDemand, FactorRule
from hub.model import Role

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
HALF_A_MINUTE = timedelta(seconds=30)


def _at(page: str, mark: str) -> str:
    """Return the text of the element with an id."""
    return unescape(re.search(rf'id="{mark}">([^<]+)', page)[1])


def _value(page: str, name: str) -> str:
    return unescape(re.search(rf'name="{name}" value="([^"]+)"', page)[1])


def _csrf(person: Browser) -> str:
    return _value(person.get("/account").text, "csrf")


def _codes(page: str) -> list[str]:
    return re.findall(r"<li>([a-z0-9]{5}-[a-z0-9]{5})</li>", page)


def _session(person: Browser) -> str | None:
    return person.http.cookies.get("hub-session")


def invited(pages: Pages, **wish: str) -> str:
    """Have somebody invited and return the link's secret."""
    fields = {"name": "ida", "full_name": "Ida Muster", "role-viewer": "yes", **wish}
    page = pages.as_("otto").post("/accounts", **fields)
    assert page.status_code == 200, page.text
    path, _, secret = _at(page.text, "link").partition("/admin")[2].partition("#")
    assert path == "/invitation"
    return secret


def set_up(pages: Pages, person: Browser, page: str) -> tuple[str, list[str]]:
    """Confirm the authenticator that a page offers; return its address and the recovery codes."""
    address = _at(page, "address")
    code = pyotp.parse_uri(address).at(pages.stage.clock())
    done = person.post("/account/factor/confirm", csrf=_value(page, "csrf"), offer=_value(page, "offer"), code=code)
    assert done.status_code == 200, done.text
    return address, _codes(done.text)


def finish(person: Browser, code: str):
    return person.http.post(
        f"{person.base}/login/factor", data={"code": code, "next": ""}, timeout=20, allow_redirects=False
    )


@pytest.fixture
def strict(pages: Pages) -> Pages:
    """Pages of a hub where approvers and operators must have a second factor."""
    rule = FactorRule(demand=FactorDemand.ROLES, roles=frozenset({Role.APPROVER, Role.OPERATOR}))
    pages.accounts.factors.rule = rule
    return pages


def test_somebody_is_invited_chooses_a_password_and_is_led_to_the_second_factor(pages):
    secret = invited(pages)
    ida = pages.browser("ida")
    assert "Ida Muster" not in ida.get("/invitation").text
    # Whoever has no script pastes the link, or what stands behind its #.
    shown = ida.post("/invitation", csrf="", code=f" https://hub.example/admin/invitation#{secret} ")
    assert (shown.status_code, "Ida Muster" in shown.text) == (200, True)
    addresses = [each.url for each in (*shown.history, shown)]
    wrong = ida.post("/invitation/accept", csrf="", password=PASSWORD, again="etwas anderes")
    assert (wrong.status_code, "nicht gleich" in wrong.text) == (422, True)
    page = ida.post("/invitation/accept", csrf="", password=PASSWORD, again=PASSWORD)
    assert "Richten Sie jetzt den zweiten Faktor ein" in page.text
    assert "Ida Muster" in page.text
    addresses += [each.url for each in (*page.history, page)]
    assert [each for each in addresses if secret in each] == [], "a proxy notes addresses"
    assert secret not in shown.text + wrong.text + page.text
    assert ida.http.cookies.get("hub-invitation") is None
    assert ida.post("/invitation", csrf="", code=secret).status_code == 404
    assert "Einladung zurückgenommen" not in pages.as_("otto").get("/accounts").text
    assert ida.log_in().status_code == 303


def test_the_address_of_an_invitation_alone_opens_nothing(pages):
    secret = invited(pages)
    stranger = pages.browser("niemand")
    assert stranger.get(f"/invitation/{secret}").status_code == 404
    assert "Ida Muster" not in stranger.get("/invitation", params={"code": secret}).text
    assert stranger.post("/invitation/accept", csrf="", password=PASSWORD, again=PASSWORD).status_code == 404
    handed_in = stranger.http.post(
        f"{stranger.base}/invitation", data={"code": secret}, timeout=20, allow_redirects=False
    )
    kept = handed_in.headers["set-cookie"]
    assert (handed_in.status_code, handed_in.headers["location"]) == (303, "/admin/invitation")
    assert all(word in kept for word in ("HttpOnly", "SameSite=strict", "Max-Age=1800"))


def test_an_authenticator_counts_with_its_first_code(pages):
    person = pages.as_("viktor")
    page = person.post("/account/factor", csrf=_csrf(person), password=PASSWORD).text
    assert 'src="data:image/svg+xml' in page
    # Whoever scanned nothing goes on with the password alone.
    assert pages.browser("viktor").log_in().status_code == 303
    before, wrong = _session(person), "000000"
    again = person.post("/account/factor/confirm", csrf=_value(page, "csrf"), offer=_value(page, "offer"), code=wrong)
    assert (again.status_code, _at(again.text, "address")) == (422, _at(page, "address"))
    other = pages.as_("viktor")
    address, codes = set_up(pages, person, page)
    assert len(set(codes)) == 10
    # The session goes on under a token that nobody held before; all others have ended.
    assert _session(person) != before
    assert person.get("/account").url.endswith("/account")
    assert other.get("/account").url.endswith("/login?next=/admin/account")
    # The first code is used up, and a log-in asks for the next one.
    later = pages.browser("viktor")
    step = later.log_in()
    assert (step.status_code, _session(later)) == (200, None)
    assert finish(later, pyotp.parse_uri(address).at(pages.stage.clock())).status_code == 401
    assert later.get("/account").url.endswith("/login?next=/admin/account")
    assert finish(later, codes[0]).status_code == 303
    assert later.get("/account").status_code == 200
    # A recovery code is good once.
    third = pages.browser("viktor")
    third.log_in()
    assert finish(third, codes[0]).status_code == 401
    assert finish(third, codes[1].upper().replace("-", " ")).status_code == 303
    assert "Unbenutzt: 8" in third.get("/account").text
    # New ones make the old ones void.
    fresh = _codes(third.post("/account/codes", csrf=_csrf(third), password=PASSWORD, code=codes[2]).text)
    assert third.post("/account/codes", csrf=_csrf(third), password=PASSWORD, code=codes[3]).status_code == 422
    assert len(set(fresh) - set(codes)) == 10


def test_the_secret_of_one_account_is_no_good_in_another(pages):
    one, two = pages.as_("viktor"), pages.as_("erika")
    page = one.post("/account/factor", csrf=_csrf(one), password=PASSWORD).text
    code = pyotp.parse_uri(_at(page, "address")).at(pages.stage.clock())
    answer = two.post("/account/factor/confirm", csrf=_csrf(two), offer=_value(page, "offer"), code=code)
    assert (answer.status_code, "gilt nicht mehr" in answer.text) == (422, True)
    assert pages.store.accounts.account("erika").totp is None


def test_an_open_browser_alone_sets_up_no_second_factor(pages):
    person = pages.as_("viktor")
    answer = person.post("/account/factor", csrf=_csrf(person), password="falsch geraten!!")
    assert answer.status_code == 422
    assert "otpauth" not in answer.text


def test_whoever_must_have_a_second_factor_sees_nothing_else_before(strict):
    otto = strict.browser("otto")
    assert otto.log_in().status_code == 303
    for path in ("/", "/accounts", "/audit", "/destinations", "/submissions"):
        page = otto.get(path)
        assert page.url.endswith("/admin/account"), path
        assert "Hauptnavigation" not in page.text
        assert "anton" not in page.text
    page = otto.get("/account").text
    for path in ("/clients", "/account/password", "/account/codes", "/accounts/anton/lock"):
        refused = otto.post(path, csrf=_value(page, "csrf"), name="x", kind="sender")
        assert refused.status_code == 403, path
    set_up(strict, otto, page)
    assert "Hauptnavigation" in otto.get("/accounts").text
    # And does not get rid of it again.
    code = pyotp.parse_uri(_at(page, "address")).at(strict.stage.clock() + HALF_A_MINUTE)
    strict.stage.clock.pass_(seconds=30)
    kept = otto.post("/account/factor/drop", csrf=_csrf(otto), password=PASSWORD, code=code)
    assert kept.status_code == 403
    # Whose roles do not ask for one goes on as before.
    assert "Hauptnavigation" in strict.as_("viktor").get("/").text


def test_a_second_person_resets_a_lost_second_factor(strict):
    otto = strict.browser("otto")
    otto.log_in()
    set_up(strict, otto, otto.get("/account").text)
    strict.accounts.add("olga", PASSWORD, roles=(Role.OPERATOR,), actor="cli:test", now=strict.stage.clock())
    olga = strict.browser("olga")
    olga.log_in()
    set_up(strict, olga, olga.get("/account").text)
    mine = otto.post("/accounts/otto/factor-reset", csrf=_csrf(otto))
    assert (mine.status_code, "zweite Person" in mine.text) == (403, True)
    done = olga.post("/accounts/otto/factor-reset", csrf=_csrf(olga))
    assert "Die zweiten Faktoren sind entfernt" in done.text
    assert otto.get("/").url.endswith("/login")
    assert otto.log_in().status_code == 303
    assert "Richten Sie ihn jetzt ein" in otto.get("/").text


def test_roles_and_lock_act_at_the_next_request(pages):
    pages.accounts.add("ida", PASSWORD, roles=(Role.OPERATOR, Role.VIEWER), actor="cli:test", now=pages.stage.clock())
    ida, otto = pages.as_("ida"), pages.as_("otto")
    assert ida.get("/accounts").status_code == 200
    page = otto.get("/accounts/ida").text
    assert "durch die Rolle Betrieb" in page
    assert "keine Rolle gibt es; das täte" in page
    otto.post("/accounts/ida/roles", **{"role-viewer": "yes"})
    assert ida.get("/accounts").url.endswith("/login?next=/admin/accounts")
    ida.log_in()
    assert ida.get("/accounts").status_code == 403
    assert "Gesperrt; die Sitzungen" in otto.post("/accounts/ida/lock").text
    assert ida.get("/").url.endswith("/login")
    assert ida.log_in().status_code == 401
    otto.post("/accounts/ida/unlock")
    assert ida.log_in().status_code == 303
    assert otto.post("/accounts/otto/lock").status_code == 403


def test_a_person_ends_the_sessions_that_are_not_theirs(pages):
    here, there = pages.browser("viktor"), pages.browser("viktor")
    there.http.headers["User-Agent"] = f"Mozilla/5.0 (Windows NT 10.0) Firefox/140.0 {SCRIPT}"
    here.log_in()
    there.log_in()
    page = here.get("/account").text
    assert "Firefox, Windows" in page
    assert SCRIPT not in page
    assert "Meine Sitzungen" in here.post("/account/sessions", csrf=_csrf(here)).text
    assert there.get("/account").url.endswith("/login?next=/admin/account")
    assert here.get("/account").url.endswith("/account")


def test_accounts_of_a_provider_have_their_factors_there(pages):
    known = pages.store.accounts.account("viktor")
    linked = replace(known, issuer="https://idp.example", subject="1", password_hash="")
    from hub.store import AuditEntry

    audit = AuditEntry(at=pages.stage.clock(), actor="cli:test", action="account.link", target="account:viktor")
    pages.store.accounts.change(linked, before=known, audit=audit)
    otto = pages.as_("otto")
    page = otto.get("/accounts/viktor").text
    assert "Passwort und zweiter Faktor liegen dort, und nur dort" in page
    assert "factor-reset" not in page
    assert otto.post("/accounts/viktor/factor-reset").status_code == 422
    assert otto.post("/accounts/viktor/roles", **{"role-viewer": "yes"}).status_code == 422


# Attacks


def test_a_script_in_an_accounts_name_stays_text(pages):
    secret = invited(pages, full_name=SCRIPT)
    ida, otto = pages.browser("ida"), pages.as_("otto")
    shown = [ida.post("/invitation", csrf="", code=secret), ida.get("/invitation"), otto.get("/accounts")]
    shown.append(ida.post("/invitation/accept", csrf="", password=PASSWORD, again=PASSWORD))
    shown += [otto.get("/accounts/ida"), otto.get("/accounts"), otto.get("/audit"), ida.get("/account")]
    for page in shown:
        assert page.status_code == 200
        assert "&lt;script&gt;alert(1)" in page.text
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


def test_a_planted_cookie_becomes_neither_session_nor_second_step(pages):
    victim = pages.browser("viktor")
    for name in ("hub-session", "hub-step"):
        victim.http.cookies.set(name, "planted", path="/admin")
    assert victim.log_in().status_code == 303
    held = [each.value for each in victim.http.cookies if each.name == "hub-session"]
    assert pages.accounts.session("planted", now=pages.stage.clock()) is None
    assert any(pages.accounts.session(each, now=pages.stage.clock()) for each in held)
    assert finish(pages.browser("viktor"), "000000").status_code == 401


def test_the_first_step_alone_opens_nothing_and_ends_with_its_log_in(pages):
    person = pages.as_("viktor")
    address, codes = set_up(pages, person, person.post("/account/factor", csrf=_csrf(person), password=PASSWORD).text)
    half = pages.browser("viktor")
    half.log_in()
    step = half.http.cookies.get("hub-step")
    half.http.cookies.set("hub-session", step, path="/admin")
    assert half.get("/account").url.endswith("/login?next=/admin/account")
    assert finish(half, codes[0]).status_code == 303
    thief = pages.browser("viktor")
    thief.http.cookies.set("hub-step", step, path="/admin")
    assert finish(thief, codes[1]).status_code == 401
    # A code that was seen in passing is no good in the window in which it was used.
    pages.stage.clock.pass_(seconds=30)
    code = pyotp.parse_uri(address).at(pages.stage.clock())
    for expected in (303, 401):
        browser = pages.browser("viktor")
        browser.log_in()
        assert finish(browser, code).status_code == expected


@pytest.mark.parametrize("kind", ["codes", "recovery codes"])
def test_guessing_the_second_factor_is_turned_away_whatever_password_is_known(pages, kind):
    person = pages.as_("viktor")
    _, codes = set_up(pages, person, person.post("/account/factor", csrf=_csrf(person), password=PASSWORD).text)
    thief = pages.browser("viktor")
    guesses = [f"{number:06}" if kind == "codes" else f"aaaaa-aaa{number + 22}" for number in range(5)]
    thief.log_in()
    assert [finish(thief, each).status_code for each in guesses] == [401] * 5
    assert finish(thief, codes[0]).status_code == 429
    # Beginning anew gives no more guesses.
    assert pages.browser("viktor").log_in().status_code == 429


def test_the_form_of_an_invitation_takes_nothing_from_another_site(pages):
    secret = invited(pages)
    victim = pages.browser("ida")
    victim.post("/invitation", csrf="", code=secret)
    victim.http.headers["Sec-Fetch-Site"] = "cross-site"
    assert victim.post("/invitation", csrf="", code=secret).status_code == 403
    assert victim.post("/invitation/accept", csrf="", password=PASSWORD, again=PASSWORD).status_code == 403
    assert finish(victim, "000000").status_code == 403
    assert pages.store.accounts.account("ida") is None
