from __future__ import annotations

import pytest
from contract import hold, sentences_for, workshop  # noqa: F401

from adapters.mailbox import Mailbox


@pytest.mark.parametrize("sentence", sentences_for(Mailbox))
def test_the_mailbox(sentence, workshop):  # noqa: F811
    hold(sentence, Mailbox, workshop)
