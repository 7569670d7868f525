"""Attacks on the admin pages: forged requests, foreign tenants, planted sessions, stored scripts, open redirects, frames."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyotp
import pytest
import requests
from stage import TAUNUSSTEIN, WIESBADEN

from hub.admin.application import PAGES
from hub.admin.request import inside
from hub.errors import TooMany, Unauthenticated
from hub.identity.accounts import same_csrf
from hub.model import EVERYTHING, Role

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
ANY_ID = "00000000-0000-0000-0000-000000000001"


def _paths(method):
    """The paths of pages that take a session."""
    mine = [page.path for page in PAGES if page.method == method and page.right is not None]
    return [path.replace("{id}", ANY_ID).replace("{number}", "1").replace("{name}", "anton") for path in mine]


# Forged requests (CSRF)


@pytest.mark.parametrize("path", _paths("POST"))
def test_nothing_changes_without_the_forms_token(pages, path):
    person = pages.as_("doris")
    for csrf in ("", "x" * 32):
        assert person.post(path, csrf=csrf).status_code == 403
    assert person.get("/").status_code == 200


def test_another_sessions_token_is_no_good(pages):
    one, two = pages.as_("otto"), pages.as_("otto")
    answer = two.post("/clients", csrf=one.csrf(), name="x", kind="sender")
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "http://[", "Host": ""},
    ],
)
def test_requests_from_another_site_are_refused_even_with_the_token(pages, header):
    person = pages.as_("otto")
    person.http.headers.update(header)
    assert person.post("/clients", name="x", kind="sender").status_code == 403
    assert pages.browser("otto").http.post(f"{pages.base}/login", headers=header, timeout=5).status_code == 403


@pytest.mark.parametrize("name", ["note", "lang", "next", "q"])
def test_a_field_that_is_too_long_is_no_fault_of_the_hubs(pages, name):
    """The page that says so read the field once more, and failed at it like the one before."""
    for path in ("/login", "/nowhere", "/oidc/login"):
        answer = pages.browser("").get(path, params={name: "x" * 3_000}, allow_redirects=False)
        assert answer.status_code < 500, path


@pytest.mark.parametrize("at", ["0001-01-01", "9999-12-31T23:59:59-14:00"])
def test_a_moment_beyond_the_calendar_is_no_moment(pages, at):
    asked = {"ars": "064390015015", "service": "99012008001000", "at": at}
    answer = pages.as_("viktor").get("/routing/explain", params=asked)
    assert (answer.status_code, "2026-12-01T00:00" in answer.text) == (200, True)


def test_no_change_by_get(pages):
    person = pages.as_("doris")
    only_post = set(_paths("POST")) - set(_paths("GET"))
    for path in only_post:
        assert person.get(path).status_code in {404, 405}, path


# Cookies and sessions


def test_a_planted_session_is_never_adopted(pages):
    browser = pages.browser("viktor")
    browser.http.cookies.set("hub-session", "planted-by-attacker", path="/admin")
    answer = browser.log_in()
    given = answer.headers["set-cookie"]
    assert "planted-by-attacker" not in given
    assert pages.accounts.session("planted-by-attacker", now=pages.stage.clock()) is None


def test_a_new_log_in_is_a_new_session(pages):
    one, two = pages.as_("viktor"), pages.as_("viktor")
    tokens = {browser.http.cookies["hub-session"] for browser in (one, two)}
    assert len(tokens) == 2
    assert one.csrf() != two.csrf()


def test_the_cookie_is_closed_to_scripts_and_other_sites(pages):
    given = pages.browser("viktor").log_in().headers["set-cookie"].lower()
    for flag in ("httponly", "samesite=strict", "path=/admin"):
        assert flag in given


def test_over_https_the_cookie_is_bound_to_the_host(pages):
    from admin_pages import nothing, serve, tools_of

    from hub.admin import Mounted, build

    tools = tools_of(pages.stage.hub, pages.accounts, "https://hub.example.org")
    base, stop = serve(Mounted(build(tools), nothing))
    try:
        fields = {"name": "viktor", "password": "korrekt pferd batterie"}
        answer = requests.post(f"{base}/login", data=fields, timeout=5, allow_redirects=False)
    finally:
        stop()
    assert answer.headers["set-cookie"].startswith("__Host-hub-session=")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "max-age=" in answer.headers["strict-transport-security"]


def test_a_log_out_ends_the_session_on_the_server(pages):
    person = pages.as_("viktor")
    token = person.http.cookies["hub-session"]
    person.post("/logout")
    assert pages.accounts.session(token, now=pages.stage.clock()) is None


def test_a_session_that_is_used_all_day_ends_all_the_same(pages):
    person = pages.as_("viktor")
    for _ in range(29):
        pages.stage.clock.pass_(minutes=20)
        assert person.get("/").status_code == 200
        assert not person.get("/").url.endswith("/login")
    pages.stage.clock.pass_(minutes=21)
    assert person.get("/").url.endswith("/login")


# Guesses


def _guesses(pages, **more):
    """How many of thirty guesses at once were really tried."""

    def guess(number):
        try:
            pages.accounts.check("viktor", f"falsch geraten {number}", now=pages.stage.clock(), **more)
        except Unauthenticated:
            return 1
        except TooMany:
            return 0
        raise AssertionError

    with ThreadPoolExecutor(max_workers=30) as at_once:
        return sum(at_once.map(guess, range(30)))


def test_a_burst_of_guesses_is_no_way_round_the_throttle(pages):
    assert 5 <= _guesses(pages) <= 6, "five, and one that was tried beside the fifth"


def test_one_ipv6_network_is_one_address(pages):
    now = pages.stage.clock()
    for number in range(30):
        with pytest.raises(Unauthenticated):
            pages.accounts.check(f"n{number}", "falsch geraten!!", address=f"2001:db8:0:1::{number:x}", now=now)
    with pytest.raises(TooMany):
        pages.accounts.check("viktor", pages.password, address="2001:db8:0:1:ffff::1", now=now)
    pages.accounts.check("viktor", pages.password, address="2001:db8:0:2::1", now=now)


def test_an_ipv4_address_is_the_same_in_the_clothes_of_ipv6(pages):
    now = pages.stage.clock()
    for number in range(30):
        with pytest.raises(Unauthenticated):
            pages.accounts.check(f"n{number}", "falsch geraten!!", address="::ffff:192.0.2.1", now=now)
    with pytest.raises(TooMany):
        pages.accounts.check("viktor", pages.password, address="192.0.2.1", now=now)


def test_a_code_that_was_seen_over_a_shoulder_is_used_up(pages):
    address = pages.accounts.set_totp("viktor", actor="cli", now=pages.stage.clock())
    code = pyotp.parse_uri(address).at(pages.stage.clock())
    assert pages.browser("viktor").log_in(code=code).status_code == 303
    assert pages.browser("viktor").log_in(code=code).status_code == 401
    pages.stage.clock.pass_(seconds=20)
    assert pages.browser("viktor").log_in(code=code).status_code == 401


def test_codes_are_not_guessed_any_longer_than_passwords(pages):
    pages.accounts.set_totp("viktor", actor="cli", now=pages.stage.clock())
    answers = [pages.browser("viktor").log_in(code=f"{number:06}").status_code for number in range(7)]
    assert answers == [401] * 5 + [429] * 2


# Foreign tenants (IDOR)


def test_a_district_sees_nothing_of_another(pages):
    foreign = pages.dead_letter(area=TAUNUSSTEIN)
    name = "Rheingau-Taunus-Kreis, Bauaufsicht"
    walter = pages.as_("walter")
    submission, destination = foreign.submission.submission_id, foreign.destination.destination_id
    assert walter.get(f"/submissions/{submission}").status_code == 404
    assert walter.get(f"/destinations/{destination}").status_code == 404
    for path in ("/", "/submissions", "/dead", "/destinations", "/schemas", "/audit"):
        text = walter.get(path).text
        assert str(submission) not in text, path
        assert name not in text, path
    assert "0 Einreichungen" in walter.get("/submissions", params={"destination": str(destination)}).text
    assert "0 Einreichungen" in walter.get("/submissions", params={"q": str(submission)}).text
    assert walter.get("/health").status_code == 403
    assert pages.as_("doris").get(f"/submissions/{submission}").status_code == 200


def test_a_district_cannot_touch_anothers_things(pages):
    foreign = pages.dead_letter(area=TAUNUSSTEIN)
    walter = pages.as_("walter")
    assert walter.post("/dead", delivery=str(foreign.delivery_id)).status_code == 404
    walter.post("/dead", cause="receiver")
    assert pages.store.deliveries.dead(scope=EVERYTHING).total == 1
    here = foreign.destination.destination_id
    assert walter.post(f"/destinations/{here}/circuit").status_code == 404
    for action in ("rotate", "disable"):
        assert walter.post(f"/clients/{pages.stage.sender}/{action}").status_code == 404
    assert pages.store.parties.client(pages.stage.sender).disabled_at is None
    assert walter.post("/clients", name="x", kind="sender", tenant="06439").status_code == 403


def test_a_district_cannot_route_others_submissions_to_itself(pages):
    walter = pages.as_("walter")
    walter.post("/routing/versions", title="x")
    rule = {
        "id": "greedy",
        "area": TAUNUSSTEIN,
        "services": "99012008001000",
        "destination": "7b1c9e04-2d58-4c7a-8f31-5a9e0c406414",
    }
    assert walter.post("/routing/versions/2/rule", revision=1, **rule).status_code == 422
    assert walter.post("/routing/versions/2/rule", revision=1, **{**rule, "area": "06"}).status_code == 422
    own = walter.post("/routing/versions/2/rule", revision=1, **{**rule, "area": WIESBADEN})
    assert own.status_code == 200
    content = pages.as_("erika").get("/routing/versions/1/export", params={"format": "yaml"}).content
    stolen = content.replace(b"0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439", b"7b1c9e04-2d58-4c7a-8f31-5a9e0c406414")
    assert walter.post("/routing/versions", files={"file": ("t.yaml", stolen)}).status_code == 403


def test_wildcards_do_not_widen_a_search(pages):
    pages.stage.accept()
    walter = pages.as_("walter")
    for text in ("%", "_" * 36, "*"):
        assert "0 Einreichungen" in walter.get("/submissions", params={"q": text}).text


FOREIGN = ("Rheingau-Taunus-Kreis, Bauaufsicht", "0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439", "rtk-bau")


def _drafted(pages, **changes):
    """A draft of the neighbours, who point a rule of theirs elsewhere."""
    doris = pages.as_("doris")
    doris.post("/routing/versions", title="Umbau")
    rule = {"id": "rtk-neu", "area": "064390008008", "services": "99012008001000", "note": "intern: Frau X geht"}
    doris.post("/routing/versions/2/rule", revision=1, destination=FOREIGN[1], **{**rule, **changes})
    return doris


def test_no_page_tells_a_district_of_anothers_destinations_and_drafts(pages):
    pages.stage.clock.pass_(days=710)  # Keys end soon: the check has something to say of everybody.
    taken = pages.dead_letter(area=TAUNUSSTEIN)
    _drafted(pages)
    walter = pages.as_("walter")
    ids = (taken.submission.submission_id, taken.destination.destination_id, taken.delivery_id, pages.stage.sender)
    for page in PAGES:
        for each in ids:
            path = page.path.replace("{id}", str(each)).replace("{number}", "2")
            text = walter.get(path).text if page.method == "GET" else ""
            for said in (*FOREIGN, "rtk-neu", "Frau X", str(taken.submission.case_id)):
                # What somebody asked for by its id may be named in the refusal.
                assert said not in text or said in path, (path, said)
    for path in ("/routing/versions/2/rule?id=rtk-neu", "/routing/versions/2/rule?id=rtk-bau"):
        assert walter.get(path).status_code == 404
    for kind in ("csv", "yaml"):
        content = walter.get("/routing/versions/2/export", params={"format": kind}).text
        assert "wiesbaden" in content.lower()
        assert not any(said in content for said in (*FOREIGN, "rtk-neu", "Frau X"))


def test_a_district_sees_what_concerns_itself_in_a_draft(pages):
    pages.stage.clock.pass_(days=710)
    doris = _drafted(pages)
    text = doris.get("/routing/versions/2").text
    assert "rtk-neu" in text
    assert f"Der Schlüssel von {FOREIGN[0]}" in text
    assert "weitere Befunde betreffen andere Mandanten" in text
    assert "Der Schlüssel von Landeshauptstadt Wiesbaden" not in text
    assert "Der Schlüssel von Landeshauptstadt Wiesbaden" in pages.as_("viktor").get("/routing/versions/2").text


@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_a_districts_export_goes_back_without_the_others_rules(pages, kind):
    walter = pages.as_("walter")
    content = walter.get("/routing/versions/1/export", params={"format": kind}).content
    answer = walter.post("/routing/versions", files={"file": (f"t.{kind}", content)})
    assert "0 Änderungen" in answer.text
    assert pages.tables.table(2).version == pages.tables.table(1).version


def test_a_refused_approval_tells_a_district_nothing_of_others(pages):
    here, now = pages.store.parties.destination(pages.stage.destination_id("Rheingau")), pages.stage.clock()
    pages.store.parties.replace_destination(replace(here, status="inactive", updated_at=now))
    walter = pages.as_("walter")
    walter.post("/routing/versions", title="x")
    pages.accounts.add("wanda", pages.password, roles=(Role.APPROVER,), tenant="06414", actor="cli:test", now=now)
    answer = pages.as_("wanda").post("/routing/versions/2/approve", revision=1, text="gelesen")
    assert answer.status_code == 422
    assert "Sie betreffen andere Mandanten" in answer.text
    assert here.name not in answer.text


# A viewer who clicks anyway


@pytest.mark.parametrize(
    "path", [path for path in _paths("POST") if path != "/logout" and path.split("/")[1] != "account"]
)
def test_a_viewer_cannot_act(pages, path):
    assert pages.as_("viktor").post(path, revision=1, text="x").status_code == 403


# Stored scripts


def test_a_script_in_a_name_stays_text_everywhere(pages):
    store, now = pages.store, pages.stage.clock()
    here = store.parties.destination(pages.stage.destination_id("Rheingau"))
    store.parties.replace_destination(replace(here, name=SCRIPT, contact={"legalName": SCRIPT}, updated_at=now))
    otto, erika = pages.as_("otto"), pages.as_("erika")
    otto.post("/clients", name=SCRIPT, kind="sender")
    erika.post("/routing/versions", title=SCRIPT)
    rule = {"id": "x", "area": TAUNUSSTEIN, "services": "99012008001000", "destination": str(here.destination_id)}
    erika.post("/routing/versions/2/rule", revision=1, note=SCRIPT, **rule)
    pages.dead_letter()
    for path in (
        *("/", "/submissions", "/destinations", f"/destinations/{here.destination_id}", "/clients", "/dead", "/audit"),
        *(
            "/routing",
            "/routing/areas?service=99012008001000",
            f"/routing/explain?ars={TAUNUSSTEIN}&service=99012008001000",
            "/routing/versions",
            "/routing/versions/2",
            "/routing/versions/2/rule?id=x",
            "/schemas",
            "/health",
        ),
    ):
        person = erika if "/versions/2" in path else otto
        text = person.get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path


@pytest.mark.parametrize(
    "path", ["/submissions?q=", "/routing?q=", "/routing/areas?q=", "/routing/explain?service=x&ars="]
)
def test_a_script_in_the_address_stays_text(pages, path):
    text = pages.as_("viktor").get(f"{path}%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "<script>alert" not in text


# Redirects, frames, size


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/admin//evil.example",
        "/admin/\r\nSet-Cookie: x=1",
        "javascript:alert(1)",
        "/admin@evil.example",
        "/admin/../evil",
        "/elsewhere",
    ],
)
def test_the_log_in_leads_nowhere_else(pages, target):
    assert inside(target) == "/admin/"
    answer = pages.browser("viktor").log_in(next=target)
    assert answer.headers["location"] == "/admin/"


def test_the_log_in_leads_back_to_the_page_that_was_wanted(pages):
    assert pages.browser("viktor").log_in(next="/admin/submissions").headers["location"] == "/admin/submissions"


@pytest.mark.parametrize("path", ["/login", "/", "/static/hub.css", "/nowhere"])
def test_every_answer_forbids_frames_foreign_and_inline_code(pages, path):
    headers = pages.as_("viktor").get(path).headers
    policy = headers["content-security-policy"]
    page = ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'")
    for said in ("default-src 'none'", "frame-ancestors 'none'") if path.startswith("/static") else page:
        assert said in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/static/../visit.py", "/static/%2e%2e/visit.py", "/static/..%2fvisit.py"])
def test_static_files_are_all_that_is_served(pages, path):
    session = requests.Session()
    prepared = requests.Request("GET", pages.base + path).prepare()
    prepared.url = pages.base + path
    assert session.send(prepared, timeout=5).status_code == 404
    session.close()


def test_a_huge_form_is_refused_before_it_is_read(pages):
    answer = pages.browser("viktor").http.post(f"{pages.base}/login", data=b"a=" + b"x" * (17 * 2**20), timeout=20)
    assert answer.status_code == 413


def test_tokens_are_compared_whole(pages):
    _, session = pages.accounts.log_in("viktor", "korrekt pferd batterie", now=pages.stage.clock())
    assert not same_csrf(session, session.csrf[:-1])
    assert not same_csrf(session, "")


def test_a_slash_too_many_or_too_few_is_no_redirect_to_the_host_that_is_named(pages):
    for target in ("/login/", "/destinations/", "/static", "/nowhere/"):
        for method in ("GET", "POST"):
            answer = requests.request(
                method, pages.base + target, headers={"Host": "evil.example"}, timeout=10, allow_redirects=False
            )
            assert answer.status_code == 404, target
    bare = requests.get(pages.base, headers={"Host": "evil.example"}, timeout=10, allow_redirects=False)
    assert (bare.status_code, bare.headers["location"]) == (303, "/admin/login")
