"""What every adapter has to get right, for pytest: the table that ``hub adapters check`` runs, one test for each sentence.

An adapter that lives elsewhere joins with its class, its trial and the same few lines as the files beside this one.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hub.adapter_kit.cases import Workshop, sentences
from hub.adapter_kit.check import STRICT, Trial, check_one, find_trial
from hub.adapter_kit.packages import make_package
from hub.model.delivery import Adapter


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Certificates and secrets for benches."""
    return Workshop(tmp_path_factory.mktemp("workshop"), now=datetime.now(UTC))


def trial_of(adapter: type[Adapter]) -> Trial:
    return find_trial(adapter.name, adapter, None)


def sentences_for(adapter: type[Adapter]) -> list[str]:
    return [STRICT, *sentences(trial_of(adapter).family)]


def hold(sentence: str, adapter: type[Adapter], workshop: Workshop) -> None:
    """Fail with the complaints about one sentence, if there are any."""
    assert check_one(sentence, adapter, trial_of(adapter), workshop) == []


def opened(adapter: type[Adapter], config: dict) -> Adapter:
    instance = adapter(config)
    instance.open()
    return instance


__all__ = ["hold", "make_package", "opened", "sentences_for", "trial_of", "workshop"]
