"""The kit itself: it finds what is wrong with an adapter, also with a stranger's, and says so on the command line."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner
from contract import make_package, workshop  # noqa: F401

from adapters.folder import Folder
from hub.adapter_kit.cases import CASES, STALLING, Family, Trouble, sentences
from hub.adapter_kit.check import STRICT, check_one, find_trial, read_trial
from hub.cli.destinations import adapters
from hub.delivery.attempt import AdapterPool
from hub.errors import ConfigurationError
from hub.model.adapter import PLAIN, read_options
from hub.model.submission import DeadCause, Outcome, OutcomeKind

EXAMPLE = Path(__file__).parents[1] / "example_adapter"
FOLDER = read_trial('family: file\noptions:\n  path: "{folder}"\n')
HTTP = read_trial('family: http\noptions:\n  url: "{url}"\n')


class Stub:
    """Takes any options and does nothing; the adapters below err in one thing each."""

    name = "stub"

    def __init__(self, config):
        self.config = config

    def open(self): ...

    def close(self): ...


class Liar(Stub):
    def deliver(self, _package):
        return Outcome(kind=OutcomeKind.DELIVERED, note="trust me")


class Raises(Stub):
    def deliver(self, _package):
        raise OSError("Erika Mustermann")


class Gossip(Stub):
    def deliver(self, package):
        data = package.submission.contents.data
        return Outcome(kind=OutcomeKind.UNREACHABLE, note=f"could not send {data.jwe.decode()}", cause=DeadCause.HUB)


class Pessimist(Stub):
    def deliver(self, _package):
        return Outcome(kind=OutcomeKind.UNREACHABLE, note="no", cause=DeadCause.CONFIGURATION)


class Copier(Folder):
    """Makes a second copy of a repeat."""

    def deliver(self, package):
        if package.repeat:
            first = self._root / str(package.delivery_id)
            first.rename(first.with_name(first.name + "-1"))
        return super().deliver(package)


class Hasty(Folder):
    """Leaves the manifest of a delivery that it could not write."""

    def deliver(self, package):
        outcome = super().deliver(package)
        if outcome.kind is not OutcomeKind.DELIVERED:
            place = self._root / str(package.delivery_id)
            place.mkdir()
            (place / "manifest.json").write_bytes(b"{}")
        return outcome


class Trusting(Folder):
    """Delivers whatever the store hands out."""

    def deliver(self, package):
        contents = package.submission.contents
        handed_out = {id(sealed): b"".join(package.read(sealed)) for _, sealed in contents.parts()}
        named = {
            key: replace(sealed, jwe=handed_out[id(sealed)], sha512=hashlib.sha512(handed_out[id(sealed)]).hexdigest())
            for key, sealed in contents.attachments.items()
        }
        submission = replace(package.submission, contents=replace(contents, attachments=named))
        return super().deliver(replace(package, submission=submission, read=lambda sealed: iter([sealed.jwe])))


class Sweeper(Folder):
    """Clears away what others are writing."""

    def deliver(self, package):
        for half in self._root.glob(".*.part"):
            shutil.rmtree(half, ignore_errors=True)
        return super().deliver(package)


class Pushy(Folder):
    """Makes room for itself."""

    def deliver(self, package):
        shutil.rmtree(self._root / str(package.delivery_id), ignore_errors=True)
        return super().deliver(package)


@pytest.mark.parametrize(
    ("adapter", "trial", "sentence", "complaint"),
    [
        (Liar, HTTP, "a delivery arrives once", "holds 0 whole copies"),
        (Liar, HTTP, "a receiver that is down is unreachable", "not unreachable"),
        (Raises, HTTP, "a delivery arrives once", "raises OSError"),
        (Gossip, HTTP, "a store that is away delays", "repeats content"),
        (Pessimist, HTTP, "a receiver that is down is unreachable", "cause is configuration"),
        (Liar, HTTP, STRICT, "cannot know"),
        (Copier, FOLDER, "the same delivery twice makes one place", "holds 2 whole copies"),
        (Trusting, FOLDER, "one wrong bit in the last attachment is never delivered", "not refused"),
        (Trusting, FOLDER, "a content that lacks its end is never delivered", "not refused"),
        (Sweeper, FOLDER, "what others are writing is left alone", "cannot be told"),
        (Pushy, FOLDER, "a folder that has the delivery's name is not taken for it", "not unreachable"),
        (Hasty, FOLDER, "no space is unreachable and leaves nothing whole", "cannot be told"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_kit_finds_an_adapter_that_errs(adapter, trial, sentence, complaint, workshop):  # noqa: F811
    complaints = check_one(sentence, adapter, trial, workshop)
    assert any(complaint in each for each in complaints), complaints


def test_what_an_adapter_raises_is_named_without_its_text(workshop):  # noqa: F811
    assert "Erika" not in str(check_one("a delivery arrives once", Raises, HTTP, workshop))


def test_there_are_thirty_cases_and_more_for_each_family_that_is_sent_anything():
    for family in set(Family) - {Family.NONE}:
        assert len(sentences(family)) >= 30, family
    assert len(CASES) >= 80


def test_every_trouble_has_a_case():
    assert {case.trouble for case in CASES.values()} == set(Trouble)
    assert set(Trouble) >= STALLING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "family: pigeon",
        "family: http\nsurprise: 1",
        "family: http\noptions: 7",
        "options: {}",
        "a: [",
        "family: {}",
    ],
)
def test_a_trial_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigurationError):
        read_trial(text)


def test_a_place_that_the_bench_does_not_have_is_named(workshop):  # noqa: F811
    trial = read_trial('family: file\noptions:\n  path: "{cellar}"\n')
    with pytest.raises(ConfigurationError, match="cellar"):
        check_one(STRICT, Folder, trial, workshop)


def test_an_adapter_without_a_trial_is_told_where_to_put_one():
    with pytest.raises(ConfigurationError, match="trials/stub"):
        find_trial("stub", Stub, None)


def test_a_number_stays_a_number():
    trial = read_trial('family: sftp\noptions:\n  port: "{port}"\n  host: "{host}:{port}"\n  timeout: 3\n')
    assert trial.filled({"port": 22, "host": "h"}) == {"port": 22, "host": "h:22", "timeout": 3}


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_command_passes_a_good_adapter():
    shown = CliRunner().invoke(adapters, ["check", "folder"])
    assert shown.exit_code == 0, shown.output
    total = len(sentences(Family.FILE)) + 1
    assert shown.output.endswith(f"folder: {total} / {total}\n")


def test_the_command_fails_where_nothing_fits():
    assert CliRunner().invoke(adapters, ["check", "folder", "--only", "no such sentence"]).exit_code == 1


def test_the_command_fails_a_bad_trial(tmp_path):
    (tmp_path / "trial.yaml").write_text('family: http\noptions:\n  path: "{url}"\n')
    shown = CliRunner().invoke(
        adapters, ["check", "folder", "--config", str(tmp_path / "trial.yaml"), "--only", STRICT]
    )
    assert shown.exit_code == 1
    assert "refuses its own trial" in shown.output


def test_an_unknown_adapter_is_refused_with_those_that_are_known():
    refused = CliRunner().invoke(adapters, ["check", "pigeon"]).exception
    assert "folder" in str(refused)


# --- an adapter from another package --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example package, built and installed as anybody's would be."""
    target = tmp_path_factory.mktemp("site")
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed beside this Python")
    command = [uv, "pip", "install", "--python", sys.executable, "--no-build-isolation", "--no-deps", "--offline"]
    done = subprocess.run(
        [*map(str, command), "--target", str(target), str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the example cannot be built here: {done.stderr[-300:]}")
    return target


@dataclass(frozen=True, kw_only=True, slots=True)
class Careless:
    url: str = field(metadata=PLAIN)
    token_file: str
    timeout: float = field(default=1.0, metadata=PLAIN)


class Forgetful(Stub):
    """Says of its address that it is none, so that stored secrets would go to another one."""

    options = Careless

    def __init__(self, config):
        self._options = read_options("forgetful", Careless, config)


def test_an_address_that_is_declared_plain_is_complained_of(workshop):  # noqa: F811
    trial = read_trial('family: http\noptions:\n  url: "{url}/in"\n  token_file: "{secret_file}"\n')
    (complaint,) = check_one(STRICT, Forgetful, trial, workshop)
    assert "the option url says where it delivers" in complaint


def test_an_installed_adapter_is_listed_and_held_to_the_same_cases(installed, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    assert "town-adapter" in CliRunner().invoke(adapters, ["list"]).output
    shown = CliRunner().invoke(adapters, ["check", "put"])
    total = len(sentences(Family.HTTP)) + 1
    assert shown.exit_code == 0, shown.output
    assert shown.output.endswith(f"put: {total} / {total}\n")


def test_the_hub_finds_an_installed_adapter_by_the_name_in_a_destination(installed, monkeypatch, workshop):  # noqa: F811
    monkeypatch.syspath_prepend(str(installed))
    known = {entry.name: entry.load() for entry in entry_points(group="hub.adapters", name="put")}
    config = {"url": "https://receiver.invalid/in", "token_file": str(workshop.secret_file)}
    destination = replace(make_package().destination, adapter="put", adapter_config=config)
    pool = AdapterPool(known)
    assert pool.of(destination).deliver(make_package()).kind is OutcomeKind.UNREACHABLE
    pool.close()
