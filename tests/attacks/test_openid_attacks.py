"""Attacks on logging in by a provider: forged, foreign, stale and repeated answers, stolen steps, planted sessions."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from jwcrypto import jwk
from openid_provider import SECRET, make_key, session_cookie, sign
from stage import NOW

from hub.errors import Unauthenticated
from hub.model import EVERYTHING
from hub.openid.provider import Expected, verified


def _segment(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _refused(entrance, answer, status=401):
    assert answer.status_code == status, answer.text
    assert session_cookie(answer) is None
    added = [each for each in entrance.pages.accounts.list(scope=EVERYTHING).items if not each.is_local]
    assert added == []


# Forged tokens


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(entrance, alg):
    entrance.provider.forge = lambda claims: f"{_segment({'alg': alg, 'kid': 'k1'})}.{_segment(claims)}."
    _refused(entrance, entrance.walk())


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(entrance):
    public = entrance.provider.keys[0].export_to_pem()
    key = jwk.JWK(kty="oct", k=base64.urlsafe_b64encode(public).decode().rstrip("="))
    entrance.provider.forge = lambda claims: sign(key, {"alg": "HS256", "kid": "k1"}, claims)
    _refused(entrance, entrance.walk())


def test_a_token_signed_with_the_clients_secret_is_refused(entrance):
    key = jwk.JWK(kty="oct", k=base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="))
    entrance.provider.forge = lambda claims: sign(key, {"alg": "HS256"}, claims)
    _refused(entrance, entrance.walk())


def test_a_token_signed_by_somebody_else_is_refused(entrance):
    other = make_key("k1")
    entrance.provider.forge = lambda claims: sign(other, {"alg": "RS256", "kid": "k1"}, claims)
    _refused(entrance, entrance.walk())


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "crit"])
def test_a_token_that_brings_its_own_key_is_refused(entrance, member):
    other = make_key("k1")
    values = {"jwk": json.loads(other.export_public()), "jku": "http://127.0.0.1/keys", "x5u": "http://127.0.0.1/c"}
    header = {"alg": "RS256", "kid": "k1", member: values.get(member, ["exp"])}
    segments = sign(other, {"alg": "RS256", "kid": "k1"}, {}).split(".")
    entrance.provider.forge = lambda claims: f"{_segment(header)}.{_segment(claims)}.{segments[2]}"
    _refused(entrance, entrance.walk())


def test_a_key_too_weak_to_trust_is_not_trusted(entrance):
    entrance.provider.keys = [make_key("k1", kty="RSA", size=1024)]
    _refused(entrance, entrance.walk())


def test_changed_claims_break_the_signature(entrance):
    def forge(claims):
        head, _, signature = sign(entrance.provider.keys[0], {"alg": "RS256", "kid": "k1"}, claims).split(".")
        return f"{head}.{_segment({**claims, 'roles': ['hub-freigabe']})}.{signature}"

    entrance.provider.forge = forge
    _refused(entrance, entrance.walk())


# Tokens that say something else

LIES = {
    "for another client": {"aud": "another-client"},
    "for this and another client, on behalf of the other": {"aud": ["rathaus-hub", "other"], "azp": "other"},
    "for several clients, on nobody's behalf": {"aud": ["rathaus-hub", "other"]},
    "for nobody": {"aud": []},
    "by another issuer": {"iss": "https://evil.example"},
    "by an issuer with a slash more": {"iss": lambda issuer: issuer + "/"},
    "by several issuers": {"iss": lambda issuer: [issuer]},
    "with another log-in's nonce": {"nonce": "x" * 43},
    "with a nonce of another type": {"nonce": ["x"]},
    "without a nonce": {"nonce": None},
    "expired": {"exp": 1_700_000_000},
    "with an end that is no number": {"exp": "9999999999"},
    "with an end that is true": {"exp": True},
    "without an end": {"exp": None},
    "made long ago": {"iat": 1_700_000_000},
    "made in the future": {"iat": 4_000_000_000},
    "not good yet": {"nbf": 4_000_000_000},
    "of nobody": {"sub": None},
    "of an empty name": {"sub": ""},
    "of a number": {"sub": 7},
    "of an endless name": {"sub": "x" * 300},
}


def _changed(claims, changes):
    """The claims with these changes; None takes one out, a function makes a new value of the old one."""
    made = {name: change(claims[name]) if callable(change) else change for name, change in changes.items()}
    return {name: value for name, value in {**claims, **made}.items() if value is not None}


def test_no_lie_of_a_token_gets_anybody_in(entrance):
    for name, changes in LIES.items():
        entrance.provider.forge = lambda claims, changes=changes: sign(
            entrance.provider.keys[0], {"alg": "RS256", "kid": "k1"}, _changed(claims, changes)
        )
        answer = entrance.walk()
        assert (answer.status_code, session_cookie(answer)) == (401, None), name


@pytest.mark.parametrize("changes", LIES.values(), ids=LIES)
def test_a_token_is_refused(provider_key, changes):
    expected = Expected(issuer="https://id.example.org", client_id="rathaus-hub", nonce="n" * 43)
    now = int(NOW.timestamp())
    true = {"iss": expected.issuer, "aud": "rathaus-hub", "sub": "s", "iat": now, "exp": now + 60, "nonce": "n" * 43}
    keys = [json.loads(provider_key.export_public())]
    tokens = [sign(provider_key, {"alg": "RS256", "kid": "k1"}, claims) for claims in (true, _changed(true, changes))]
    assert verified(tokens[0], keys, expected, now=NOW)["sub"] == "s"
    with pytest.raises(Unauthenticated):
        verified(tokens[1], keys, expected, now=NOW)


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c.d", "ä.b.c", "." * 70_000, "e30.e30.e30"])
def test_what_is_no_token_is_refused(provider_key, token):
    expected = Expected(issuer="https://id.example.org", client_id="rathaus-hub", nonce="n" * 43)
    with pytest.raises(Unauthenticated):
        verified(token, [json.loads(provider_key.export_public())], expected, now=NOW)


# Answers of somebody else


def test_another_providers_answer_is_refused(entrance):
    entrance.provider.answer = lambda answer: answer.update(iss="https://evil.example")
    _refused(entrance, entrance.walk())
    assert "/token" not in entrance.provider.requests, "the code was not handed over"


def test_an_answer_that_hides_its_issuer_is_refused(entrance):
    entrance.provider.answer = lambda answer: answer.pop("iss")
    _refused(entrance, entrance.walk())


@pytest.mark.parametrize("state", ["", "x" * 43, "ä", None])
def test_a_wrong_state_is_refused(entrance, state):
    entrance.provider.answer = lambda answer: answer.pop("state") if state is None else answer.update(state=state)
    _refused(entrance, entrance.walk())
    assert "/token" not in entrance.provider.requests


def test_an_attackers_answer_does_not_log_a_victim_in_as_the_attacker(entrance):
    attacker, victim = entrance.pages.browser(""), entrance.pages.browser("")
    stolen = entrance.at_the_provider(entrance.begin(attacker))
    _refused(entrance, entrance.back(victim, stolen))
    entrance.begin(victim)
    _refused(entrance, entrance.back(victim, stolen))


def test_a_cookie_that_the_hub_did_not_seal_is_refused(entrance):
    browser = entrance.pages.browser("")
    back = entrance.at_the_provider(entrance.begin(browser))
    for value in ("x", "1.k.AAAA", "x" * 8_000, browser.http.cookies["hub-openid"][:-2] + "AA"):
        thief = requests.get(back, cookies={"hub-openid": value}, timeout=10, allow_redirects=False)
        _refused(entrance, thief)


def test_a_cookie_sealed_for_another_purpose_is_refused(entrance):
    browser = entrance.pages.browser("")
    back = entrance.at_the_provider(entrance.begin(browser))
    state = dict(parse_qsl(urlsplit(back).query))["state"]
    content = json.dumps({"state": state, "nonce": "n", "verifier": "v", "next": "/admin/", "at": 1}).encode()
    foreign = entrance.pages.stage.hub.keys.seal_secret(content, context="totp:erika")
    _refused(entrance, requests.get(back, cookies={"hub-openid": foreign}, timeout=10, allow_redirects=False))


# Repeated and late answers


def test_an_answer_is_good_once(entrance):
    browser = entrance.pages.browser("")
    back = entrance.at_the_provider(entrance.begin(browser))
    ticket = browser.http.cookies["hub-openid"]
    assert session_cookie(entrance.back(browser, back))
    assert "hub-openid" not in browser.http.cookies
    asked = entrance.provider.requests.count("/token")
    again = requests.get(back, cookies={"hub-openid": ticket}, timeout=10, allow_redirects=False)
    assert again.status_code == 401
    assert session_cookie(again) is None
    assert entrance.provider.requests.count("/token") == asked


def test_a_code_of_an_earlier_log_in_is_refused(entrance):
    browser = entrance.pages.browser("")
    first = entrance.at_the_provider(entrance.begin(browser))
    code = dict(parse_qsl(urlsplit(first).query))["code"]
    second = entrance.at_the_provider(entrance.begin(browser))
    parts = dict(parse_qsl(urlsplit(second).query)) | {"code": code}
    # PKCE: the verifier of the second log-in does not open the first one's code.
    _refused(entrance, entrance.back(browser, f"{second.partition('?')[0]}?{urlencode(parts)}"))


def test_an_answer_comes_too_late_after_ten_minutes(entrance):
    browser = entrance.pages.browser("")
    back = entrance.at_the_provider(entrance.begin(browser))
    entrance.pages.stage.clock.pass_(minutes=11)
    _refused(entrance, entrance.back(browser, back))


# Sessions, redirects, throttle


def test_a_planted_session_is_never_adopted(entrance):
    browser = entrance.pages.browser("")
    browser.http.cookies.set("hub-session", "planted-by-attacker", path="/admin")
    answer = entrance.walk(browser)
    assert session_cookie(answer) not in {None, "planted-by-attacker"}
    assert entrance.pages.accounts.session("planted-by-attacker", now=entrance.pages.stage.clock()) is None


def test_each_log_in_has_secrets_of_its_own(entrance):
    asked = [entrance.asked(entrance.begin(entrance.pages.browser(""))) for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({one[name] for one in asked}) == 3


def test_the_cookies_are_closed_to_scripts(entrance):
    browser = entrance.pages.browser("")
    begun = browser.get("/oidc/login", allow_redirects=False)
    ticket = begun.headers["set-cookie"].lower()
    assert "httponly" in ticket
    assert "samesite=lax" in ticket
    given = entrance.back(browser, entrance.at_the_provider(begun.headers["location"])).headers["set-cookie"].lower()
    assert "hub-session" in given
    assert "samesite=strict" in given


def test_the_ticket_tells_nothing(entrance):
    browser = entrance.pages.browser("")
    asked = entrance.asked(entrance.begin(browser))
    ticket = browser.http.cookies["hub-openid"]
    for name in ("state", "nonce"):
        assert asked[name] not in ticket
        assert base64.urlsafe_b64encode(asked[name].encode()).decode()[:20] not in ticket


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/admin//evil.example",
        '/admin/" http-equiv="x',
        "/admin/oidc/login",
        "/admin/oidc/callback",
        "javascript:alert(1)",
    ],
)
def test_the_log_in_leads_nowhere_else(entrance, target):
    text = entrance.walk(next=target).text
    assert 'content="0;url=/admin/"' in text
    assert "evil" not in text


def test_the_redirect_address_is_the_configured_one_whatever_the_host_header(entrance):
    answer = requests.get(
        f"{entrance.pages.base}/oidc/login",
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
        timeout=10,
        allow_redirects=False,
    )
    assert entrance.asked(answer.headers["location"])["redirect_uri"] == entrance.provider.redirect_uri


def test_an_account_cannot_be_taken_over_by_choosing_its_name_or_address(entrance):
    entrance.provider.person = {"sub": "evil", "preferred_username": "anton", "name": "anton", "email": "anton@x"}
    assert session_cookie(entrance.walk())
    anton, taken = (
        each for each in entrance.pages.accounts.list(scope=EVERYTHING).items if each.name.startswith("anton")
    )
    assert (anton.name, anton.roles, anton.is_local) == ("anton", ("approver",), True)
    assert taken.name.startswith("anton~")


def test_a_script_in_a_name_stays_text(entrance):
    entrance.provider.person = {"sub": "s", "preferred_username": "<script>", "name": "<script>alert(1)</script>"}
    browser = entrance.pages.browser("")
    assert "<script>alert" not in entrance.walk(browser).text
    assert "<script>alert" not in browser.get("/account").text


def test_thirty_failures_lock_the_address(entrance):
    back = entrance.provider.redirect_uri
    for _ in range(30):
        assert requests.get(f"{back}?code=x&state=y", timeout=10).status_code == 401
    assert requests.get(f"{back}?code=x&state=y", timeout=10).status_code == 429
    assert entrance.pages.browser("").get("/oidc/login", allow_redirects=False).status_code == 429


def test_a_silent_provider_does_not_take_all_threads(entrance):
    """The threads are those of all pages and interfaces; whoever presses the button must not queue behind a dead provider."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event
    from time import monotonic, sleep

    from hub.errors import Unavailable
    from hub.openid.provider import Provider
    from hub.transport.connection import Outbound, Posted

    asked, answer = [], Event()

    class Silent(Outbound):
        """The network, in which nobody answers."""

        def get(self, url, headers):
            asked.append(url)
            answer.wait(20)
            return Posted(status=None, note="no answer in time")

    provider, now = (
        Provider(registration=entrance.login.provider.registration, outbound=Silent()),
        entrance.provider.clock(),
    )

    def press(_):
        with pytest.raises(Unavailable):
            provider.way_out("x", now=now)

    with ThreadPoolExecutor(max_workers=30) as people:
        waits = [people.submit(press, number) for number in range(30)]
        deadline = monotonic() + 15
        while sum(wait.done() for wait in waits) < 26 and monotonic() < deadline:
            sleep(0.05)
        refused_meanwhile = sum(wait.done() for wait in waits)
        answer.set()
        for wait in waits:
            wait.result(timeout=10)
    assert refused_meanwhile == 26
    assert len(asked) == 4
    press(0)
    assert len(asked) == 4, "for a while nobody asks again"


def test_a_document_that_leads_inward_or_in_clear_is_not_followed(entrance):
    from dataclasses import replace

    from hub.errors import Unavailable
    from hub.openid.provider import Provider
    from hub.transport.connection import Outbound, Posted

    registration = replace(entrance.login.provider.registration, issuer="https://id.example.org")

    class Document(Outbound):
        """The network, as far as the document; addresses are judged by the real guard."""

        def get(self, url, headers):
            sure = dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), "https://id.example.org/x")
            document = {"issuer": registration.issuer, **sure, **changes}
            return Posted(status=200, note="", content=json.dumps(document).encode())

    now = entrance.pages.stage.clock()
    for place in (
        "https://127.0.0.1/x",
        "https://169.254.169.254/",
        "http://id.example.org/x",
        "javascript:alert(1)",
        None,
    ):
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            changes = {name: place}
            for guard in (Document(), Document(allow_private_addresses=True)):
                if guard.allow_private_addresses and str(place).startswith("https://1"):
                    continue
                provider = Provider(registration=registration, outbound=guard)
                with pytest.raises(Unavailable):
                    provider.way_out("x", now=now)
