from __future__ import annotations

import pytest
from contract import hold, make_package, opened, sentences_for, trial_of, workshop  # noqa: F401

from adapters.fit_connect import FitConnect
from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.http import FitBench
from hub.adapter_kit.packages import again
from hub.errors import ConfigurationError
from hub.model.submission import OutcomeKind


@pytest.fixture
def bench(workshop):  # noqa: F811
    bench = FitBench(workshop)
    yield bench
    bench.close()


@pytest.fixture
def config(bench):
    return trial_of(FitConnect).filled(bench.arrange(Trouble.NONE, make_package()))


@pytest.mark.parametrize("sentence", sentences_for(FitConnect))
def test_fit_connect(sentence, workshop):  # noqa: F811
    hold(sentence, FitConnect, workshop)


@pytest.mark.parametrize(
    "change",
    {
        "plain http": {"submission_api": "http://service.example"},
        "plain http for the token": {"token_url": "http://service.example/token"},
        "no destination": {"destination_id": "bauamt"},
        "no time": {"timeout": 0},
    }.values(),
    ids=str,
)
def test_fit_connect_refuses(change, config):
    with pytest.raises(ConfigurationError):
        FitConnect({**config, **change})


def test_a_repeat_after_a_restart_says_that_it_may_be_the_second(bench, config):
    package = make_package()
    bench.arrange(Trouble.RESET_LATE, package)
    assert opened(FitConnect, config).deliver(package).kind is OutcomeKind.UNKNOWN
    bench.arrange(Trouble.NONE, package)
    outcome = opened(FitConnect, config).deliver(again(package))
    assert "possibly for the second time" in outcome.note
    assert bench.copies(package) == 2


def test_what_was_deleted_over_there_is_announced_anew(bench, config):
    adapter, package = opened(FitConnect, config), make_package()
    bench.arrange(Trouble.MAINTENANCE, package)
    assert adapter.deliver(package).kind is OutcomeKind.UNREACHABLE
    bench.arrange(Trouble.WRONG_PATH, package)
    assert adapter.deliver(package).note == "HTTP 404"
    bench.arrange(Trouble.NONE, package)
    assert adapter.deliver(package).kind is OutcomeKind.DELIVERED
    assert bench.copies(package) == 1
