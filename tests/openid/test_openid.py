"""Logging in by an OpenID Connect provider: who gets in, as whom, with which rights, and what stays local."""

from __future__ import annotations

from dataclasses import replace

import pytest
from openid_provider import GROUPS, SECRET, make_key, session_cookie
from stage import altered

from hub.admin import Mounted, build
from hub.administration.keys import KeyApproval
from hub.config import load_settings
from hub.errors import ConfigurationError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from hub.identity import Person, Right
from hub.identity.openid.login import Grants, link
from hub.model import EVERYTHING, Role
from hub.openid.provider import Provider
from hub.store import AuditEntry
from hub.transport.connection import Outbound


def _accounts(entrance):
    return {each.name: each for each in entrance.pages.accounts.list(scope=EVERYTHING).items}


def _account(entrance, sub):
    return next((each for each in _accounts(entrance).values() if each.subject == sub), None)


def _actions(entrance):
    return [record.entry.action for record in entrance.pages.store.audit.entries(limit=500, scope=EVERYTHING).items]


# The button


def test_the_button_is_there_only_where_a_provider_is(entrance):
    from admin_pages import nothing, serve, tools_of

    assert "/admin/oidc/login" in entrance.pages.browser("").get("/login").text
    tools = tools_of(entrance.pages.stage.hub, entrance.pages.accounts, "http://127.0.0.1")
    base, stop = serve(Mounted(build(tools), nothing))
    browser = replace(entrance.pages.browser(""), base=base)
    try:
        assert "oidc" not in browser.get("/login").text
        for path in ("/oidc/login", "/oidc/callback?code=x&state=y", "/oidc/logout"):
            assert browser.get(path).status_code == 404
    finally:
        stop()


def test_the_wanted_page_goes_along(entrance):
    browser = entrance.pages.browser("")
    login_page = browser.get("/submissions").text
    assert "/admin/oidc/login?next=/admin/submissions" in login_page
    assert 'content="0;url=/admin/submissions"' in entrance.walk(browser, next="/admin/submissions").text


# Who gets in


def test_a_person_logs_in_with_what_their_groups_are_worth(entrance):
    browser = entrance.as_("p-9", "rtk", "some other group", preferred_username="Doris K", name="Doris Kaya")
    account = _account(entrance, "p-9")
    assert (account.full_name, account.roles, account.tenant) == ("Doris Kaya", ("editor", "viewer"), "06439")
    assert account.name.startswith("doris-k~")
    shown = browser.get("/account").text
    assert "Doris Kaya" in shown
    assert "Passwort ändern" not in shown
    assert browser.get("/health").status_code == 403
    assert _actions(entrance)[-2:] == ["account.add", "session.begin"]


def test_the_session_is_one_like_any_other(entrance):
    browser = entrance.as_("p-9", "hub-lesen")
    assert browser.get("/").status_code == 200
    entrance.pages.stage.clock.pass_(minutes=31)
    assert browser.get("/").url.endswith("/login")
    browser = entrance.as_("p-9", "hub-lesen")
    said = browser.post("/logout").text
    assert "Sie sind abgemeldet" in said
    assert "/admin/oidc/logout" in said
    assert browser.get("/").url.endswith("/login")


def test_the_provider_is_left_as_well_if_one_wants(entrance):
    answer = entrance.pages.browser("").get("/oidc/logout", allow_redirects=False)
    assert answer.headers["location"].startswith(f"{entrance.provider.issuer}/logout?client_id=rathaus-hub")


def test_an_account_is_known_by_its_subject_whatever_its_name(entrance):
    entrance.as_("p-9", "hub-lesen", preferred_username="maria.alt", name="Maria Alt")
    before = _account(entrance, "p-9")
    entrance.as_("p-9", "hub-lesen", preferred_username="maria.neu", name="Maria Neu")
    after = _account(entrance, "p-9")
    assert (after.name, after.full_name) == (before.name, "Maria Neu")
    entrance.as_("p-10", "hub-lesen", preferred_username="maria.alt", name="Maria Alt")
    assert _account(entrance, "p-10").name != before.name


def test_roles_are_those_of_the_latest_log_in(entrance):
    browser = entrance.as_("p-9", "hub-redaktion")
    assert browser.get("/routing/versions/1/rule").status_code == 200
    entrance.as_("p-9", "hub-lesen")
    assert browser.get("/").url.endswith("/login"), "a session with more rights has ended"
    assert _account(entrance, "p-9").roles == ("viewer",)
    assert _actions(entrance)[-2:] == ["account.roles", "session.begin"]


def test_without_a_mapped_role_nobody_gets_in_and_nobody_stays(entrance):
    browser = entrance.as_("p-9", "hub-redaktion")
    for groups in ([], ["fremde Gruppe"], [["hub-lesen"]], "fremd"):
        entrance.provider.groups = groups
        answer = entrance.walk()
        assert answer.status_code == 403
        assert session_cookie(answer) is None
        assert "keine Ihrer Gruppen hat hier eine Rolle" in answer.text
    assert browser.get("/").url.endswith("/login")
    assert _account(entrance, "p-9").roles == ()
    assert _actions(entrance)[-1] == "session.refused"


def test_groups_of_two_tenants_are_not_added_up(entrance):
    entrance.provider.groups = ["rtk", "hub-redaktion"]
    answer = entrance.walk()
    assert answer.status_code == 403
    assert "verschiedene Gebiete" in answer.text
    assert _account(entrance, "p-1") is None


def test_a_disabled_account_stays_out_though_the_provider_says_yes(entrance):
    browser = entrance.as_("p-9", "hub-lesen")
    entrance.pages.accounts.disable(_account(entrance, "p-9").name, actor="cli", now=entrance.pages.stage.clock())
    assert browser.get("/").url.endswith("/login")
    answer = entrance.walk()
    assert answer.status_code == 403
    assert "gesperrt" in answer.text


def test_a_no_of_the_provider_is_told(entrance):
    browser = entrance.pages.browser("")
    state = entrance.asked(entrance.begin(browser))["state"]
    answer = browser.get(f"/oidc/callback?error=access_denied&error_description=<b>x&state={state}")
    assert answer.status_code == 401
    assert "Beginnen Sie noch einmal" in answer.text
    assert "<b>x" not in answer.text


# The provider


def test_a_provider_that_is_away_is_no_fault_of_the_persons(entrance):
    entrance.provider.metadata = {"issuer": "http://elsewhere"}
    answer = entrance.pages.browser("").get("/oidc/login", allow_redirects=False)
    assert answer.status_code == 503
    assert "Versuchen Sie es später" in answer.text
    entrance.provider.metadata = {}
    assert session_cookie(entrance.walk())


def test_its_document_and_keys_are_asked_for_once(entrance):
    for _ in range(3):
        assert session_cookie(entrance.walk())
    asked = entrance.provider.requests
    assert (asked.count("/.well-known/openid-configuration"), asked.count("/keys")) == (1, 1)


def test_a_new_key_is_fetched_when_a_token_names_it(entrance):
    assert session_cookie(entrance.walk())
    entrance.provider.keys = [make_key("k2", kty="EC", crv="P-256")]
    assert entrance.walk().status_code == 401, "just asked: anybody may invent a key id"
    entrance.pages.stage.clock.pass_(seconds=31)
    assert session_cookie(entrance.walk())
    assert entrance.provider.requests.count("/keys") == 2


def test_a_provider_that_wants_the_secret_in_the_form_gets_it_there(entrance):
    entrance.provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    said = {}
    entrance.provider.token = lambda form, authorization: said.update(form, authorization=authorization) or (400, {})
    assert entrance.walk().status_code == 401
    assert (said["client_id"], said["authorization"]) == ("rathaus-hub", "")
    assert said["client_secret"] == SECRET


def test_a_provider_that_writes_null_for_what_it_does_not_say_is_one_that_says_nothing(entrance):
    entrance.provider.metadata = {
        "token_endpoint_auth_methods_supported": None,
        "code_challenge_methods_supported": None,
    }
    assert session_cookie(entrance.walk())


def test_a_provider_in_a_private_network_needs_the_settings_word(entrance):
    registration = entrance.login.provider.registration
    shut = Provider(registration=registration, outbound=Outbound())
    with pytest.raises(Unavailable):
        shut.way_out("x", now=entrance.pages.stage.clock())
    assert entrance.provider.requests == []


# One human, two accounts


def _drafted_by(entrance, browser):
    answer = browser.post("/routing/versions", title="Entwurf")
    number = int(answer.url.partition("/versions/")[2].partition("?")[0])
    rule = {"id": "idstein", "area": "064390008008", "services": "99012008001000"}
    rule["destination"] = "0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439"
    browser.post(f"/routing/versions/{number}/rule", revision=1, **rule)
    return number


def _local(entrance, name):
    browser = entrance.pages.browser(name)
    assert browser.log_in().status_code == 303
    return browser


def test_two_people_of_the_provider_are_two_people(entrance):
    number = _drafted_by(entrance, entrance.as_("p-1", "hub-redaktion"))
    approver = entrance.as_("p-2", "hub-freigabe")
    assert "Freigegeben" in approver.post(f"/routing/versions/{number}/approve", revision=2, text="gelesen").text


def test_one_account_does_not_approve_its_own_draft(entrance):
    both = entrance.as_("p-1", "hub-redaktion", "hub-freigabe")
    number = _drafted_by(entrance, both)
    assert both.post(f"/routing/versions/{number}/approve", revision=2, text="selbst").status_code == 403


@pytest.mark.parametrize("way", ["drafted at the provider, approved locally", "the other way round"])
def test_a_local_account_is_no_second_person_beside_one_of_the_provider(entrance, way):
    if way.startswith("drafted"):
        number, approver = _drafted_by(entrance, entrance.as_("p-1", "hub-redaktion")), _local(entrance, "anton")
    else:
        number, approver = _drafted_by(entrance, _local(entrance, "lokal")), entrance.as_("p-2", "hub-freigabe")
    refused = approver.post(f"/routing/versions/{number}/approve", revision=2, text="gelesen")
    assert refused.status_code == 403
    assert "hub accounts link" in refused.text
    assert entrance.pages.tables.version(number).approved_by is None


def test_a_local_account_is_no_second_person_for_a_first_start_either(entrance):
    """Who created a destination with its keys at the provider's account may have a password beside it."""
    entrance.as_("p-1", "hub-redaktion")
    _local(entrance, "anton")
    stage, creator = entrance.pages.stage, _account(entrance, "p-1").name
    store, place = stage.hub.store, stage.hub.store.parties.destination(stage.destination_id("Wiesbaden"))
    target = str(place.destination_id)
    store.audit.append(AuditEntry(at=stage.clock(), actor=creator, action="destination.create", target=target))
    desk = KeyApproval(store=store, policy=stage.hub.policy)
    with pytest.raises(Forbidden) as refusal:
        desk.require_second_person(replace(place, status="created"), actor="anton", now=stage.clock())
    assert refusal.value.slug == "second-person"


def test_a_linked_account_keeps_its_name_and_counts_as_the_providers(entrance):
    store, now = entrance.pages.store, entrance.pages.stage.clock()
    browser = _local(entrance, "anton")
    link(store, "Anton", issuer=entrance.provider.issuer, subject="p-7", actor="cli:root", now=now)
    assert browser.get("/").url.endswith("/login")
    assert entrance.pages.browser("anton").log_in().status_code == 401, "the password is gone"
    number = _drafted_by(entrance, entrance.as_("p-1", "hub-redaktion"))
    approver = entrance.as_("p-7", "hub-freigabe")
    assert "Freigegeben" in approver.post(f"/routing/versions/{number}/approve", revision=2, text="gelesen").text
    assert entrance.pages.tables.version(number).approved_by == "anton"
    link_entry = next(
        one.entry
        for one in store.audit.entries(limit=500, scope=EVERYTHING).items
        if one.entry.action == "account.link"
    )
    assert (link_entry.actor, link_entry.after["subject"]) == ("cli:root", "p-7")


def test_what_cannot_be_linked_is_refused(entrance):
    store, now, issuer = entrance.pages.store, entrance.pages.stage.clock(), entrance.provider.issuer
    entrance.as_("p-1", "hub-lesen")
    for name, subject, error in (("niemand", "p-5", NotFound), ("anton", "p-1", Conflict)):
        with pytest.raises(error):
            link(store, name, issuer=issuer, subject=subject, actor="cli", now=now)
    link(store, "anton", issuer=issuer, subject="p-5", actor="cli", now=now)
    with pytest.raises(Conflict):
        link(store, "anton", issuer=issuer, subject="p-6", actor="cli", now=now)


def test_the_providers_accounts_get_no_password_here(entrance):
    entrance.as_("p-1", "hub-lesen")
    name, now = _account(entrance, "p-1").name, entrance.pages.stage.clock()
    with pytest.raises(Invalid):
        entrance.pages.accounts.set_password(name, entrance.pages.password, actor="cli", now=now)
    with pytest.raises(Invalid):
        entrance.pages.accounts.set_totp(name, actor="cli", now=now)
    for password in ("", entrance.pages.password):
        assert entrance.pages.browser(name).log_in(password).status_code == 401


# Without passwords


def test_passwords_can_be_turned_off(entrance):
    from admin_pages import nothing, serve, tools_of

    from hub.identity import Accounts

    hub = entrance.pages.stage.hub
    accounts = Accounts(store=hub.store, box=hub.keys, passwords=False)
    tools = replace(tools_of(altered(hub, openid=entrance.login), accounts, "http://127.0.0.1"), passwords=False)
    base, stop = serve(Mounted(build(tools), nothing))
    browser = replace(entrance.pages.browser("anton"), base=base)
    try:
        page = browser.get("/login").text
        assert 'name="password"' not in page
        assert "/admin/oidc/login" in page
        answer = browser.log_in()
        assert answer.status_code == 403
        assert session_cookie(answer) is None
    finally:
        stop()
    with pytest.raises(Forbidden):
        accounts.check("anton", entrance.pages.password, now=entrance.pages.stage.clock())


def test_accounts_are_linked_and_listed_by_command(stage, provider, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from hub.cli import main

    (tmp_path / "secret").write_text("geheim\n")
    (tmp_path / "groups.toml").write_text(GROUPS)
    monkeypatch.setenv("HUB_DATA", str(stage.data))
    stage.hub.accounts.add("vera", "korrekt pferd batterie", roles=(Role.VIEWER,), actor="cli", now=stage.clock())

    def run(*arguments):
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        return result.exit_code, result.output

    assert run("accounts", "link", "vera", "--subject", "p-1")[0] == 1, "no provider is configured"
    for name, value in (
        ("ISSUER", provider.issuer),
        ("CLIENT_ID", "rathaus-hub"),
        ("CLIENT_SECRET_FILE", str(tmp_path / "secret")),
        ("ROLES_FILE", str(tmp_path / "groups.toml")),
    ):
        monkeypatch.setenv(f"HUB_OPENID_{name}", value)
    assert run("accounts", "link", "vera", "--subject", "p-1") == (0, "Konto verbunden / account linked: vera\n")
    assert run("accounts", "link", "vera", "--subject", "p-2")[0] == 1
    (listed,) = (line for line in run("accounts", "list")[1].splitlines() if line.startswith("vera"))
    assert "OIDC" in listed


WRONG_SETTINGS = {
    "an issuer alone": {"openid_issuer": "https://id.example.org"},
    "no way in at all": {"passwords": "off"},
    "an unknown word": {"passwords": "maybe"},
    "a provider without TLS in production": {
        "environment": "production",
        "base_url": "https://hub.example.org",
        "openid_issuer": "http://id.example.org",
        "openid_client_id": "hub",
        "openid_client_secret_file": "s",
        "openid_roles_file": "r",
    },
}


@pytest.mark.parametrize("settings", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_half_a_configuration_stops_the_start(tmp_path, settings):
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, {}, **settings)


def test_the_hub_is_built_with_its_provider(stage, provider, tmp_path):
    from hub import app

    (tmp_path / "secret").write_text("geheim\n")
    (tmp_path / "groups.toml").write_text(GROUPS)
    settings = load_settings(
        stage.data,
        {},
        openid_issuer=provider.issuer,
        openid_client_id="rathaus-hub",
        openid_client_secret_file=str(tmp_path / "secret"),
        openid_roles_file=str(tmp_path / "groups.toml"),
        passwords="off",
        base_url="https://hub.example.org",
        allow_private_addresses=True,
    )
    hub = app.build(settings, clock=stage.clock)
    try:
        departure = hub.openid.depart("/admin/", address="", now=stage.clock())
        with pytest.raises(Forbidden):
            hub.accounts.check("x", "korrekt pferd batterie", now=stage.clock())
        with pytest.raises(ConfigurationError, match="openid_client_secret_file"):
            app.build(replace(settings, openid_client_secret_file=str(tmp_path / "none")), clock=stage.clock)
    finally:
        hub.close()
    assert "redirect_uri=https%3A%2F%2Fhub.example.org%2Fadmin%2Foidc%2Fcallback" in departure.address


# Grants

WRONG_GRANTS = {
    "no file": None,
    "no TOML": "[",
    "nothing": "",
    "no tenant": '[a]\nroles = ["viewer"]',
    "an empty tenant": '[a]\nroles = ["viewer"]\ntenant = ""',
    "a tenant that is none": '[a]\nroles = ["viewer"]\ntenant = "06%"',
    "no role": '[a]\nroles = []\ntenant = "*"',
    "an unknown role": '[a]\nroles = ["root"]\ntenant = "*"',
    "an unknown key": '[a]\nroles = ["viewer"]\ntenant = "*"\nadmin = true',
}


@pytest.mark.parametrize("text", WRONG_GRANTS.values(), ids=WRONG_GRANTS)
def test_a_mapping_that_is_not_understood_stops_the_start(tmp_path, text):
    if text is not None:
        (tmp_path / "g.toml").write_text(text)
    with pytest.raises(ConfigurationError):
        Grants.load(tmp_path / "g.toml", "roles")


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("groups", {"groups": ["rtk"]}),
        ("groups", {"groups": "rtk"}),
        ("https://example.org/roles", {"https://example.org/roles": ["x", "rtk"]}),
        ("/realm_access/roles", {"realm_access": {"roles": ["rtk"]}}),
    ],
)
def test_the_claim_is_found_by_name_or_pointer(tmp_path, claim, claims):
    (tmp_path / "g.toml").write_text(GROUPS)
    grant = Grants.load(tmp_path / "g.toml", claim).of(claims)
    assert (grant.roles, grant.tenant) == ((Role.EDITOR, Role.VIEWER), "06439")


@pytest.mark.parametrize("claims", [{}, {"realm_access": "roles"}, {"realm_access": {"roles": {"rtk": 1}}}])
def test_a_claim_of_another_shape_is_worth_nothing(tmp_path, claims):
    (tmp_path / "g.toml").write_text(GROUPS)
    with pytest.raises(Forbidden):
        Grants.load(tmp_path / "g.toml", "/realm_access/roles").of(claims)


def test_a_person_without_roles_may_nothing():
    assert not any(Person(name="x", full_name="x", roles=()).may(right) for right in Right)
