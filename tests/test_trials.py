"""Test deliveries go the real way, say what came of each step, and are nobody's toy."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from hub.crypto.keys import read_decryption_key
from hub.crypto.opening import decrypt
from hub.delivery import Adapter
from hub.errors import ConfigurationError, Text, TooMany
from hub.exchange.adapter_settings import AdapterSettings, shown
from hub.exchange.trials import CONTENT, SERVICE, Trials, TrialStage
from hub.submission import Outcome, OutcomeKind


class Recorder:
    """Keeps what it is given."""

    name = "recorder"
    packages: list = []  # noqa: RUF012

    def __init__(self, config):
        self._outcome = OutcomeKind(config.get("outcome", "delivered"))
        if "broken" in config:
            raise ConfigurationError(Text("kaputt", "broken"))
        self._closed = "closed" in config
        self._bug = "bug" in config

    def open(self):
        if self._closed:
            raise ConfigurationError(Text("Datei fehlt", "file is missing"))

    def deliver(self, package):
        if self._bug:
            raise RuntimeError("secret in a message")
        Recorder.packages.append(package)
        return Outcome(kind=self._outcome, note="HTTP 201")

    def close(self): ...


_: type[Adapter] = Recorder


@pytest.fixture
def trials(stage):
    Recorder.packages.clear()
    from adapters.mailbox import Mailbox

    known = AdapterSettings({"recorder": Recorder, "mailbox": Mailbox})
    return Trials(store=stage.hub.store, policy=stage.hub.policy, adapters=known, base_url="https://hub.example")


def place(stage, **config):
    found = stage.hub.store.destination(stage.destination_id("Wiesbaden"))
    return replace(found, adapter="recorder", adapter_config=config)


def stages(report):
    return [(step.stage, step.good) for step in report.steps]


def test_the_content_is_a_marked_test_sealed_to_the_destinations_key(stage, trials):
    report = trials.run(place(stage), actor="otto", now=stage.clock())
    assert report.good
    assert [step.stage for step in report.steps] == list(TrialStage)
    (package,) = Recorder.packages
    assert package.submission.service == SERVICE
    assert "TESTZUSTELLUNG" in package.submission.service.name
    key = read_decryption_key(stage.destination("Wiesbaden")["private_decryption_jwk"], written_by_us=True)
    data = decrypt(package.submission.contents.data.jwe, [key], max_output=10_000)
    assert json.loads(data) == CONTENT


def test_nothing_is_stored_but_the_audit_entry(stage, trials):
    before = stage.hub.store.cases().total
    trials.run(place(stage), actor="otto", now=stage.clock())
    assert stage.hub.store.cases().total == before
    (record,) = stage.hub.store.audit(action="destination.trial").items
    assert record.entry.actor == "otto"
    assert record.entry.after["outcome"] == "delivered"
    assert record.entry.after["steps"]["deliver"] == "good"


def test_a_destination_is_tested_once_a_minute(stage, trials):
    trials.run(place(stage), actor="otto", now=stage.clock())
    stage.clock.pass_(seconds=59)
    with pytest.raises(TooMany):
        trials.run(place(stage), actor="anton", now=stage.clock())
    stage.clock.pass_(seconds=2)
    assert trials.run(place(stage), actor="anton", now=stage.clock()).good
    assert len(Recorder.packages) == 2


@pytest.mark.parametrize(
    ("config", "last", "sent"),
    [
        ({"broken": 1}, TrialStage.SETTINGS, 0),
        ({"closed": 1}, TrialStage.OPEN, 0),
        ({"bug": 1}, TrialStage.DELIVER, 0),
        ({"outcome": "refused"}, TrialStage.DELIVER, 1),
        ({"outcome": "unreachable"}, TrialStage.DELIVER, 1),
        ({"outcome": "unknown"}, TrialStage.DELIVER, 1),
    ],
)
def test_the_step_that_fails_ends_the_test_and_says_why(stage, trials, config, last, sent):
    report = trials.run(place(stage, **config), actor="otto", now=stage.clock())
    assert stages(report)[-1] == (last, False)
    assert all(good for _, good in stages(report)[:-1])
    assert len(Recorder.packages) == sent
    assert "secret in a message" not in str(report)


def test_without_a_good_key_nothing_is_sealed(stage, trials):
    report = trials.run(replace(place(stage), encryption_kid="no-such-key"), actor="otto", now=stage.clock())
    assert stages(report) == [(TrialStage.KEY, False)]
    stage.clock.pass_(days=800)
    report = trials.run(place(stage), actor="otto", now=stage.clock())
    assert stages(report) == [(TrialStage.KEY, False)]
    assert Recorder.packages == []


def test_a_mailbox_says_that_nothing_was_sent(stage, trials):
    mailbox = replace(place(stage), adapter="mailbox")
    report = trials.run(mailbox, actor="otto", now=stage.clock())
    assert report.outcome.kind is OutcomeKind.WAITING
    assert "Bei einem Postfach schickt der Hub nichts" in report.meaning.de
    assert stage.hub.store.messages(destination_ids=[mailbox.destination_id]).total == 0


def test_nobody_waits_for_a_receiver_that_hangs(stage):
    import threading

    hang = threading.Event()

    class Hanging(Recorder):
        def deliver(self, package):
            hang.wait(20)
            return super().deliver(package)

    trials = Trials(
        store=stage.hub.store,
        policy=stage.hub.policy,
        adapters=AdapterSettings({"recorder": Hanging}),
        base_url="https://hub.example",
        patience=timedelta(milliseconds=50),
    )
    try:
        report = trials.run(place(stage), actor="otto", now=stage.clock())
    finally:
        hang.set()
    assert report.outcome.kind is OutcomeKind.UNKNOWN


def test_the_form_knows_each_shipped_adapters_options(stage):
    from hub.app import installed_adapters

    settings = AdapterSettings(installed_adapters())
    options = {option.name: option for option in settings.options("https")}
    assert (options["url"].required, options["url"].kind) == (True, str)
    assert (options["timeout"].required, options["timeout"].kind, options["timeout"].default) == (False, float, 30.0)
    assert options["secret_file"].is_file
    assert options["allow_http"].kind is bool
    assert settings.options("mailbox") == ()
    assert all(settings.options(name) is not None for name in settings.names())


def test_a_secret_in_a_wrong_place_is_not_shown():
    told = shown({"secret": "x", "password": "x", "secret_file": "/etc/s", "token_url": "https://t", "port": 22})
    assert told == {
        "password": "•••",
        "port": "22",
        "secret": "•••",
        "secret_file": "/etc/s",
        "token_url": "https://t",
    }
