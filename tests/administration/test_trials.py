"""Test deliveries go the real way, say what came of each step, and are nobody's toy."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from openssl_cms import opened, pem_key

from hub.administration.adapters import AdapterSettings, shown
from hub.administration.trials import CONTENT, SERVICE, TestDelivery, TrialStage, trial_contents
from hub.crypto.jwe_reader import decrypt
from hub.crypto.keys import read_decryption_key
from hub.errors import ConfigurationError, KeyRefused, Text, TooMany
from hub.model import EVERYTHING
from hub.model.delivery import Adapter, Sealing
from hub.model.submission import Form, Outcome, OutcomeKind


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
    return TestDelivery(store=stage.hub.store, policy=stage.hub.policy, adapters=known, base_url="https://hub.example")


def place(stage, **config):
    found = stage.hub.store.parties.destination(stage.destination_id("Wiesbaden"))
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
    before = stage.hub.store.submissions.cases().total
    trials.run(place(stage), actor="otto", now=stage.clock())
    assert stage.hub.store.submissions.cases().total == before
    (record,) = stage.hub.store.audit.entries(action="destination.trial", scope=EVERYTHING).items
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


class Wild:
    """Does what no adapter should: fails to be built, ends its thread, says nothing that is an outcome."""

    name = "wild"

    def __init__(self, config):
        if config["does"] == "build":
            raise KeyError("secret in a message")
        self._does = config["does"]

    def open(self): ...

    def deliver(self, package):
        if self._does == "exit":
            raise SystemExit

    def close(self): ...


@pytest.mark.parametrize(
    ("does", "last", "said"),
    [
        ("build", TrialStage.SETTINGS, "KeyError"),
        ("exit", TrialStage.DELIVER, "adapter failed: SystemExit"),
        ("silence", TrialStage.DELIVER, "adapter reports no outcome"),
    ],
)
def test_whatever_an_adapter_does_is_a_step_that_failed(stage, does, last, said):
    trials = TestDelivery(
        store=stage.hub.store, policy=stage.hub.policy, adapters=AdapterSettings({"wild": Wild}), base_url="https://h"
    )
    report = trials.run(replace(place(stage, does=does), adapter="wild"), actor="otto", now=stage.clock())
    assert stages(report)[-1] == (last, False)
    assert said in report.steps[-1].text.en
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
    assert stage.hub.store.submissions.messages(destination_ids=[mailbox.destination_id]).total == 0


def test_nobody_waits_for_a_receiver_that_hangs(stage):
    import threading

    hang = threading.Event()

    class Hanging(Recorder):
        def deliver(self, package):
            hang.wait(20)
            return super().deliver(package)

    trials = TestDelivery(
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


def hanging_trials(stage, until):
    """Test deliveries by an adapter that comes back when told to."""

    class Hanging(Recorder):
        def deliver(self, package):
            until.wait(60)
            return super().deliver(package)

    return TestDelivery(
        store=stage.hub.store,
        policy=stage.hub.policy,
        adapters=AdapterSettings({"recorder": Hanging}),
        base_url="https://hub.example",
        patience=timedelta(milliseconds=20),
    )


def wait_for_threads(name):
    for thread in [each for each in threading.enumerate() if each.name.startswith(name)]:
        thread.join(60)
        assert not thread.is_alive()


def test_a_hung_test_keeps_its_place_until_its_thread_ends(stage):
    hang, here = threading.Event(), place(stage)
    trials = hanging_trials(stage, hang)
    trials.run(here, actor="otto", now=stage.clock())
    stage.clock.pass_(minutes=5)
    with pytest.raises(TooMany, match="still runs"):
        trials.run(here, actor="otto", now=stage.clock())
    assert sum(each.name.startswith("trial ") for each in threading.enumerate()) == 1
    hang.set()
    wait_for_threads("trial ")
    assert trials.run(here, actor="otto", now=stage.clock()).outcome.kind is not None
    wait_for_threads("trial ")


def test_hung_tests_hold_a_bounded_number_of_threads_in_all(stage):
    hang, model = threading.Event(), place(stage)
    trials = hanging_trials(stage, hang)
    refused = 0
    for _ in range(12):
        there = replace(model, destination_id=uuid4())
        keys = [(key.use, key.jwk) for key in stage.hub.store.parties.keys(model.destination_id)]
        stage.hub.store.parties.add_destination(there, keys)
        try:
            trials.run(there, actor="otto", now=stage.clock())
        except TooMany:
            refused += 1
    alive = sum(each.name.startswith("trial ") for each in threading.enumerate())
    assert (alive, refused) == (4, 8)
    hang.set()
    wait_for_threads("trial ")
    assert trials.run(model, actor="otto", now=stage.clock()).outcome is not None
    wait_for_threads("trial ")


class MailOnly(Recorder):
    """Takes CMS, and JWEs where its options say so."""

    name = "mail_only"

    @classmethod
    def sealing(cls, config):
        takes = {Form.CMS, Form.JOSE} if config.get("accepts_jwe") else {Form.CMS}
        return Sealing(form=Form.CMS, takes=frozenset(takes), most=1000)


def mail_trials(stage):
    Recorder.packages.clear()
    adapters = AdapterSettings({"mail_only": MailOnly})
    return TestDelivery(
        store=stage.hub.store, policy=stage.hub.policy, adapters=adapters, base_url="https://hub.example"
    )


@pytest.mark.parametrize(("options", "said"), [({}, "cms: "), ({"accepts_jwe": True}, "cms, jose: ")])
def test_a_destination_that_reads_mail_is_tested_with_cms(stage, tmp_path, options, said):
    there = replace(place(stage), adapter="mail_only", adapter_config=options)
    report = mail_trials(stage).run(there, actor="otto", now=stage.clock())
    assert report.good
    assert next(step for step in report.steps if step.stage is TrialStage.SEAL).text.en.startswith(said)
    (package,) = Recorder.packages
    assert package.submission.contents.form is Form.CMS
    private = pem_key(stage.destination("Wiesbaden")["private_decryption_jwk"])
    file = opened(package.submission.contents.data.jwe, private, tmp_path, inform="DER")
    assert json.loads(file.body) == CONTENT


def test_a_key_without_a_certificate_fails_the_test_of_a_destination_that_reads_mail(stage):
    there = replace(place(stage), adapter="mail_only")
    jwk = dict(stage.hub.store.parties.key(there.destination_id, there.encryption_kid))
    bare = {name: value for name, value in jwk.items() if name != "x5c"} | {"kid": "without-certificate"}
    stage.hub.store.parties.add_key(there.destination_id, bare, stage.clock())
    trials = mail_trials(stage)
    report = trials.run(replace(there, encryption_kid="without-certificate"), actor="otto", now=stage.clock())
    assert stages(report) == [(TrialStage.KEY, False)]
    assert "x5c" in report.steps[-1].text.en
    assert (report.outcome, Recorder.packages) == (None, [])


def test_what_cannot_be_sealed_to_as_cms_is_a_step_of_its_own(stage):
    """The key policy wants a certificate, so only a key that it never saw gets this far: the seal says so by itself."""
    there = place(stage)
    key = stage.hub.directory.encryption_key(there, now=stage.clock())
    bare = replace(key, jwk={name: value for name, value in key.jwk.items() if name != "x5c"})
    assert trial_contents(bare, Form.JOSE).form is Form.JOSE
    with pytest.raises(KeyRefused, match="certificate"):
        trial_contents(bare, Form.CMS)


def test_the_form_knows_each_shipped_adapters_options(stage):
    from hub.app import installed_adapters

    settings = AdapterSettings(installed_adapters())
    options = {option.name: option for option in settings.options("https")}
    assert (options["url"].required, options["url"].kind) == (True, str)
    assert (options["timeout"].required, options["timeout"].kind, options["timeout"].default) == (False, float, 30.0)
    assert options["secret_file"].is_file
    assert options["allow_http"].kind is bool
    assert [option.name for option in settings.options("mailbox")] == ["readable", "xta_certificate", "xta_identifier"]
    assert all(settings.options(name) is not None for name in settings.names())


def test_a_secret_in_a_wrong_place_is_not_shown():
    visible = shown({"secret": "x", "password": "x", "secret_file": "/etc/s", "token_url": "https://t", "port": 22})
    assert visible == {
        "password": "•••",
        "port": "22",
        "secret": "•••",
        "secret_file": "/etc/s",
        "token_url": "https://t",
    }
