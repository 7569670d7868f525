"""Four eyes are an operator's and an approver's: two operators get round the approver by no way in."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from hub.app import unconfined
from hub.cli import main
from hub.errors import Forbidden
from hub.identity.persons import Person
from hub.model import Role
from hub.store.proposals import ChangeState, KeyStep

OTTO = Person(name="otto", full_name="Otto", roles=(Role.OPERATOR,))
OLGA = Person(name="olga", full_name="Olga", roles=(Role.OPERATOR,))
ANTON = Person(name="anton", full_name="Anton", roles=(Role.APPROVER,))
BERTA = Person(name="berta", full_name="Berta", roles=(Role.OPERATOR, Role.APPROVER))


@pytest.fixture
def way(stage):
    """Say a word on the retirement of a signature key, on the pages' and the API's desk, or on the command line's."""
    here = stage.destination_id("Wiesbaden")
    kid = next(key.kid for key in stage.hub.store.parties.keys(here) if key.use == "verify")
    desks = {True: stage.hub.destination_service, False: unconfined(stage.hub)}

    def say(person, *, confined=True):
        return desks[confined].change_key(here, kid, KeyStep.RETIRE, person, now=stage.clock())

    say.decide = lambda person, change: desks[True].decide_key(
        here, change.change_id, person, approve=True, text="", now=stage.clock()
    )
    return say


@pytest.mark.parametrize("confined", [True, False], ids=["pages and API", "command line"])
def test_the_second_word_is_an_approvers(way, confined):
    with pytest.raises(Forbidden, match="operate"):
        way(ANTON, confined=confined)
    assert way(OTTO, confined=confined).state is ChangeState.OPEN
    with pytest.raises(Forbidden, match="approve"):
        way(OLGA, confined=confined)
    with pytest.raises(Forbidden) as own:
        way(OTTO, confined=confined)
    assert own.value.slug == "second-person"
    done = way(ANTON, confined=confined)
    assert (done.state, done.proposed_by, done.decided_by) == (ChangeState.APPROVED, "otto", "anton")


def test_every_way_in_refuses_in_the_same_words(way):
    change = way(BERTA)
    said = set()
    for refused in (lambda: way(BERTA), lambda: way(BERTA, confined=False), lambda: way.decide(BERTA, change)):
        with pytest.raises(Forbidden) as refusal:
            refused()
        said.add((refusal.value.slug, refusal.value.detail))
    assert len(said) == 1
    lacking = set()
    for refused in (lambda: way(OLGA), lambda: way(OLGA, confined=False), lambda: way.decide(OLGA, change)):
        with pytest.raises(Forbidden) as refusal:
            refused()
        lacking.add((refusal.value.slug, refusal.value.detail))
    assert len(lacking) == 1


def test_the_command_line_names_the_rule():
    shown = CliRunner().invoke(main, ["destinations", "key", "use", "--help"]).output
    assert "approver" in shown
