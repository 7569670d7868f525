"""A stored secret goes to the address that it was entered for, whoever changes settings on pages or API, and nobody alone."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from stage import altered, staged

from hub.administration.adapters import AdapterApproval, Way, canonical
from hub.administration.destinations import DestinationService, Draft
from hub.app import unconfined
from hub.errors import Conflict, Forbidden, HubError
from hub.identity import Person
from hub.model import EVERYTHING, Role
from hub.model.adapter import declared

OTTO = Person(name="otto", full_name="Otto", roles=(Role.OPERATOR,))
ANTON = Person(name="anton", full_name="Anton", roles=(Role.APPROVER,))
OLGA = Person(name="olga", full_name="Olga", roles=(Role.OPERATOR, Role.APPROVER))
MACHINE = Person(name="cli:root", full_name="root", roles=(Role.OPERATOR,), is_named=False)
_KEYS = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X",
]
_WAYS = {
    "fit_connect": {
        "submission_api": "https://fit.example/submission-api",
        "token_url": "https://auth.example/token",
        "client_id": "hub",
        "client_secret_file": "{secret}",
        "destination_id": "879ee109-a690-4db8-ab32-424284184d7d",
    },
    "https": {"url": "https://in.example/x", "secret_file": "{secret}"},
    "sftp": {
        "host": "sftp.example",
        "user": "hub",
        "host_key": _KEYS[0],
        "folder": "/in",
        "password_file": "{secret}",
    },
    "smime_mail": {
        "host": "mail.example",
        "user": "hub",
        "password_file": "{secret}",
        "sender": "hub@hub.example",
        "recipient": "amt@amt.example",
    },
    "s3_drop": {
        "endpoint": "https://s3.example",
        "bucket": "amt-bucket",
        "access_key_id_file": "{secret}",
        "secret_access_key_file": "{secret}",
    },
    "xta": {
        "send_url": "https://xta.example/send",
        "management_url": "https://xta.example/manage",
        "client_cert_file": "{secret}",
        "author": "hub:1",
        "reader": "bau:1",
        "scenario": "Antrag",
        "message_type": "antrag",
        "message_type_list": "urn:example:messages",
        "message_type_version": "1",
        "payload_schema": "urn:example:antrag",
    },
}


def options(stage, adapter, **changes):
    secret = str(stage.data / "secrets" / "old")
    filled = {name: value.replace("{secret}", secret) for name, value in _WAYS[adapter].items()}
    return {name: value for name, value in {**filled, **changes}.items() if value is not None}


@pytest.fixture
def secrets(stage):
    folder = stage.data / "secrets"
    folder.mkdir(exist_ok=True)
    for name in ("old", "new"):
        (folder / name).write_text("0123456789abcdef0123456789abcdef")
        (folder / name).chmod(0o600)
    return folder


@pytest.fixture
def desk(stage, secrets):
    """Who changes destinations on pages and API."""
    return stage.hub.destination_service


def here(stage):
    return stage.destination_id("Wiesbaden")


def settled(stage, adapter, where=None, **changes):
    """What the command line has set for a destination."""
    draft = Draft(adapter=adapter, adapter_config=options(stage, adapter, **changes))
    return unconfined(stage.hub).change(where or here(stage), draft, MACHINE, now=stage.clock())


def proposed(stage, desk, adapter, person=OTTO, where=None, **changes):
    draft = Draft(adapter=adapter, adapter_config=options(stage, adapter, **changes))
    return desk.change(where or here(stage), draft, person, now=stage.clock())


def config(stage, where=None):
    return dict(stage.hub.store.parties.destination(where or here(stage)).adapter_config)


_ELSEWHERE = [
    ("fit_connect", {"token_url": "https://evil.example/token"}),
    ("fit_connect", {"submission_api": "https://evil.example/submission-api"}),
    ("fit_connect", {"token_url": "https://auth.example:8443/token"}),
    ("fit_connect", {"ca_file": "{folder}/ca"}),
    ("https", {"url": "https://in.example.evil.example/x"}),
    ("https", {"url": "https://in.example@evil.example/x"}),
    ("sftp", {"host": "evil.example"}),
    ("sftp", {"port": 2222}),
    ("sftp", {"host_key": _KEYS[1]}),
    ("smime_mail", {"host": "evil.example"}),
    ("smime_mail", {"port": 465}),
    ("smime_mail", {"recipient": "evil@evil.example"}),
    ("s3_drop", {"endpoint": "https://evil.example"}),
    ("xta", {"send_url": "https://evil.example/send"}),
    ("xta", {"management_url": "https://evil.example/manage"}),
    ("xta", {"reader": "evil:1"}),
]


@pytest.mark.parametrize(("adapter", "change"), _ELSEWHERE, ids=[f"{a} {next(iter(c))}" for a, c in _ELSEWHERE])
def test_a_kept_secret_is_not_sent_to_another_address(stage, desk, secrets, adapter, change):
    before = settled(stage, adapter).adapter_config
    change = {name: str(value).format(folder=secrets) if name == "ca_file" else value for name, value in change.items()}
    with pytest.raises(Forbidden) as refusal:
        proposed(stage, desk, adapter, **change)
    assert refusal.value.slug == "secret-of-another-address"
    assert config(stage) == dict(before)
    assert desk.waiting_way(here(stage), OTTO) is None


@pytest.mark.parametrize(("adapter", "change"), _ELSEWHERE, ids=[f"{a} {next(iter(c))}" for a, c in _ELSEWHERE])
def test_another_destinations_secret_is_not_named_with_ones_own_address(stage, desk, secrets, adapter, change):
    settled(stage, adapter, where=stage.destination_id("Frankfurt"))
    change = {name: str(value).format(folder=secrets) if name == "ca_file" else value for name, value in change.items()}
    with pytest.raises(Forbidden) as refusal:
        proposed(stage, desk, adapter, **change)
    assert refusal.value.slug == "secret-of-another-address"


def test_the_hubs_own_password_is_not_named_with_somebodys_address(made_once, tmp_path):
    """It lies where people put secrets, and no destination has named it yet, so that it looked like a new one."""
    before, folder = tmp_path / "before", tmp_path / "data" / "secrets"
    shutil.copytree(made_once, before)
    (before / "secrets").mkdir(exist_ok=True)
    for name in ("own", "old"):
        (before / "secrets" / name).write_text("0123456789abcdef0123456789abcdef")
        (before / "secrets" / name).chmod(0o600)
    own = before / "secrets" / "own"
    mail = {"smtp_host": "mail.hub.example", "mail_sender": "hub@hub.example", "smtp_user": "hub"}
    with staged(before, tmp_path, **mail, smtp_password_file=str(own)) as stage:
        hub = altered(stage.hub, settings=replace(stage.hub.settings, smtp_password_file=str(folder / "own")))
        ways = AdapterApproval(store=hub.store, adapters=hub.installed, files=folder, own=hub.settings.named_files)
        desk = DestinationService(
            store=hub.store, policy=hub.policy, destinations=hub.destinations, keys=hub.key_approval, ways=ways
        )
        with pytest.raises(Forbidden) as refusal:
            proposed(stage, desk, "smime_mail", host="evil.example", password_file=f"{folder}/./own")
        assert refusal.value.slug == "secret-of-another-address"
        assert proposed(stage, desk, "smime_mail").adapter == "mailbox", "another file is proposed"
        assert desk.waiting_way(here(stage), OTTO) is not None


_SAME = [
    ("https", {"url": "HTTPS://IN.Example:443/x"}),
    ("https", {"url": "https://in.example/another/path"}),
    ("https", {"timeout": 12.5}),
    ("fit_connect", {"token_url": "https://auth.example:443/token"}),
    ("sftp", {"port": 22}),
    ("sftp", {"host": "SFTP.Example"}),
    ("sftp", {"host_key": f"{_KEYS[0]} comment"}),
    ("sftp", {"folder": "/other"}),
    ("smime_mail", {"recipient": "amt@AMT.example", "size_limit": 1_000_000}),
    ("s3_drop", {"endpoint": "https://s3.example:443/", "prefix": "in"}),
]


@pytest.mark.parametrize(("adapter", "change"), _SAME, ids=[f"{a} {next(iter(c))}" for a, c in _SAME])
def test_the_same_address_in_another_spelling_keeps_its_secret_and_takes_two_people(stage, desk, adapter, change):
    before = settled(stage, adapter).adapter_config
    proposed(stage, desk, adapter, **change)
    assert config(stage) == dict(before)
    proposed(stage, desk, adapter, ANTON, **change)
    assert config(stage) == options(stage, adapter, **change)


def test_a_new_secret_goes_with_a_new_address_once_a_second_person_agrees(stage, desk, secrets):
    before = settled(stage, "https").adapter_config
    wish = {"url": "https://new.example/", "secret_file": str(secrets / "new")}
    proposed(stage, desk, "https", **wish)
    assert config(stage) == dict(before)
    for person, slug in ((OTTO, "second-person"), (replace(OTTO, name="else"), None)):
        with pytest.raises(Forbidden) as refusal:
            proposed(stage, desk, "https", person, **wish)
        assert slug in {None, refusal.value.slug}
    proposed(stage, desk, "https", ANTON, **wish)
    assert config(stage)["url"] == "https://new.example/"
    actions = [each.entry.action for each in stage.hub.store.audit.entries(action="adapter.", scope=EVERYTHING).items]
    assert actions == ["adapter.propose", "adapter.approve"]


def test_whoever_has_both_roles_does_not_approve_an_own_proposal(stage, desk, secrets):
    settled(stage, "https")
    wish = {"url": "https://new.example/", "secret_file": str(secrets / "new")}
    proposed(stage, desk, "https", OLGA, **wish)
    with pytest.raises(Forbidden) as refusal:
        proposed(stage, desk, "https", OLGA, **wish)
    assert refusal.value.slug == "second-person"


def test_a_secret_that_was_left_behind_still_belongs_to_its_address(stage, desk, secrets):
    settled(stage, "https")
    wish = {"url": "https://new.example/", "secret_file": str(secrets / "new")}
    proposed(stage, desk, "https", **wish)
    proposed(stage, desk, "https", ANTON, **wish)
    with pytest.raises(Forbidden):
        proposed(stage, desk, "https", url="https://evil.example/")
    proposed(stage, desk, "https")
    proposed(stage, desk, "https", ANTON)
    assert config(stage) == options(stage, "https")


def test_the_same_file_in_another_spelling_or_by_a_link_is_the_same_secret(stage, desk, secrets):
    settled(stage, "https")
    (secrets / "link").symlink_to(secrets / "old")
    for name in (f"{secrets}/../secrets/old", f"{secrets}/./old", str(secrets / "link")):
        with pytest.raises(Forbidden) as refusal:
            proposed(stage, desk, "https", url="https://evil.example/", secret_file=name)
        assert refusal.value.slug == "secret-of-another-address", name


def test_another_adapter_or_option_does_not_launder_a_secret(stage, desk):
    settled(stage, "sftp")
    with pytest.raises(Forbidden):
        proposed(stage, desk, "https", url="https://sftp.example/")
    with pytest.raises(Forbidden):
        proposed(stage, desk, "smime_mail", host="sftp.example")


def test_of_two_proposals_with_one_unused_secret_only_the_first_is_approved(stage, desk, secrets):
    there = stage.destination_id("Frankfurt")
    one = {"url": "https://one.example/", "secret_file": str(secrets / "new")}
    two = {"url": "https://two.example/", "secret_file": str(secrets / "new")}
    proposed(stage, desk, "https", **one)
    proposed(stage, desk, "https", where=there, **two)
    proposed(stage, desk, "https", ANTON, **one)
    with pytest.raises(Forbidden):
        proposed(stage, desk, "https", ANTON, where=there, **two)
    change = desk.waiting_way(there, ANTON)
    with pytest.raises(Forbidden):
        desk.decide_way(there, change.change_id, ANTON, approve=True, text="", now=stage.clock())


def test_switches_fall_with_the_address_and_stay_without(stage, desk, secrets):
    settled(stage, "https", allow_private_addresses=True, allow_http=True)
    proposed(stage, desk, "https", timeout=5.0, allow_private_addresses=True, allow_http=True)
    proposed(stage, desk, "https", ANTON, timeout=5.0, allow_private_addresses=True, allow_http=True)
    assert config(stage)["allow_private_addresses"] is True
    wish = {
        "url": "https://new.example/",
        "secret_file": str(secrets / "new"),
        "allow_private_addresses": True,
        "allow_http": True,
    }
    proposed(stage, desk, "https", **wish)
    proposed(stage, desk, "https", ANTON, **wish)
    assert config(stage) == {"url": "https://new.example/", "secret_file": str(secrets / "new")}


def test_a_switch_is_not_turned_on_beside_an_address_that_stays(stage, desk):
    settled(stage, "https")
    with pytest.raises(Forbidden) as refusal:
        proposed(stage, desk, "https", allow_private_addresses=True)
    assert refusal.value.slug == "option-not-allowed"


def test_the_command_line_confirms_a_secret_for_a_new_address(stage, desk):
    settled(stage, "https")
    settled(stage, "https", url="https://new.example/")
    assert config(stage)["url"] == "https://new.example/"
    proposed(stage, desk, "https")  # The old address still has its secret.
    (entry,) = stage.hub.store.audit.entries(action="destination.change", scope=EVERYTHING).items[-1:]
    assert entry.entry.actor == "cli:root"


def test_a_change_made_meanwhile_on_the_command_line_voids_a_proposal(stage, desk, secrets):
    settled(stage, "https", allow_private_addresses=True)
    proposed(stage, desk, "https", timeout=5.0, allow_private_addresses=True)
    change = desk.waiting_way(here(stage), ANTON)
    settled(stage, "https", url="https://new.example/", secret_file=str(secrets / "new"))
    with pytest.raises((Forbidden, Conflict)):
        desk.decide_way(here(stage), change.change_id, ANTON, approve=True, text="", now=stage.clock())
    assert config(stage)["url"] == "https://new.example/"


def test_an_adapter_that_does_not_say_what_its_options_are_is_safe(stage):
    class Silent:
        def __init__(self, config): ...

    way = Way.of("silent", None, {"where": "a", "x": "b", "token_file": "/s", "allow_x": True})
    for changes in ({"where": "c"}, {"x": "c"}):
        assert Way.of("silent", None, {"where": "a", "x": "b", **changes}).address != way.address
    assert (dict(way.secrets), way.switches) == ({"token_file": "/s"}, frozenset({"allow_x"}))


def test_every_option_of_the_shipped_adapters_that_names_a_server_counts(stage):
    from hub.app import installed_adapters

    names = {
        name: {option.name for option in declared(kind.options) if option.role == "address"}
        for name, kind in installed_adapters().items()
    }
    assert names["https"] == {"url", "token_url", "ca_file"}
    assert names["fit_connect"] == {"submission_api", "token_url", "ca_file"}
    assert names["sftp"] == {"host", "port", "host_key"}
    assert names["smime_mail"] == {"host", "port", "recipient", "ca_file"}
    assert names["s3_drop"] == {"endpoint", "ca_file"}
    assert names["xta"] == {"send_url", "management_url", "reader", "reader_type", "ca_file"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example/x", "HTTPS://A.EXAMPLE.:443/y", True),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example:444", False),
        ("https://bücher.example/", "https://xn--bcher-kva.example/", True),
        ("https://[::1]/", "https://[0:0:0:0:0:0:0:1]:443/", True),
        ("https://a.example/", "https://u@a.example/", False),
        ("https://a.example:99999/", "https://a.example:99999/x", False),
        ("A.Example", "a.example.", True),
        ("/In", "/in", False),
        ("amt@A.example", "amt@a.example", True),
        ("Amt@a.example", "amt@a.example", False),
    ],
)
def test_addresses_are_one_if_they_name_the_same_host_and_port(one, other, same):
    assert (canonical(one) == canonical(other)) is same


def test_one_operator_does_not_get_a_secret_sent_by_a_test_delivery(office, secrets):
    """What a foreign server receives while one person changes only ``token_url`` and presses test delivery: nothing."""
    received = []

    class Thief(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_error(500)

        def log_message(self, *_): ...

    server = HTTPServer(("127.0.0.1", 0), Thief)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        stage, otto = office.stage, office.as_("otto")
        settled(stage, "fit_connect", allow_private_addresses=True, allow_http=True)
        path = f"/destinations/{here(stage)}"
        evil = f"http://127.0.0.1:{server.server_port}/token"
        stolen = options(stage, "fit_connect", token_url=evil, allow_private_addresses=True, allow_http=True)
        answer = otto.amend(path, adapter={"name": "fit_connect", "options": stolen})
        assert answer.status_code in {403, 422}, answer.text
        assert json.loads(json.dumps(config(stage)))["token_url"] == "https://auth.example/token"
        town = {"name": "fit_connect", "options": stolen}
        fresh = otto.amend(f"/destinations/{stage.destination_id('Frankfurt')}", adapter=town)
        assert fresh.status_code in {403, 422}, fresh.text
        report = stage_trial(stage)
        assert report.outcome is None or report.outcome.kind.value != "delivered"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert received == []


def stage_trial(stage):
    from hub.app import admin_desks

    trials = admin_desks(stage.hub).trials
    return trials.run(stage.hub.store.parties.destination(here(stage)), actor="otto", now=stage.clock())


def test_a_new_destination_with_an_adapter_waits_for_a_second_person(stage, desk, secrets):
    store = stage.hub.store
    keys = {key.use: dict(key.jwk) for key in store.parties.keys(here(stage))}
    draft = Draft(
        name="Neu",
        contact={},
        services=(),
        metadata_versions=("1.0.0",),
        encryption_kid=keys["wrapKey"]["kid"],
        adapter="https",
        adapter_config=options(stage, "https", secret_file=str(secrets / "new")),
    )

    def create(draft):
        return desk.create(
            draft,
            OTTO,
            encryption_key=keys["wrapKey"],
            signature_key=keys["verify"],
            owner=stage.cast["subscriber"]["client_id"],
            now=stage.clock(),
        )

    made = create(draft)
    assert (made.adapter, dict(made.adapter_config)) == ("mailbox", {})
    assert desk.waiting_way(made.destination_id, ANTON).adapter == "https"
    settled(stage, "https")
    with pytest.raises(HubError):
        create(replace(draft, adapter_config=options(stage, "https", url="https://evil.example/")))


def test_what_a_secret_belongs_to_is_noted_once(stage, secrets):
    changes = stage.hub.store.adapter_changes
    for _ in range(2):
        changes.bind(["/s/a", "/s/b"], "address", stage.clock())
    assert changes.bound("/s/a") == {"address"}
    assert changes.bound("/s/c") == frozenset()
