"""The one rule of four eyes, for keys and for ways of delivery, on pages, API and command line.

An *operator* proposes, an *approver* approves, and the two are never one human, whatever roles and accounts they have.
"""

from __future__ import annotations

from hub.errors import Forbidden, Text
from hub.identity.persons import Person, Right, may_be_one_human
from hub.store import Store


def insist_on_proposer(person: Person) -> None:
    """Raise ``Forbidden`` for somebody who may not propose."""
    person.insist(Right.OPERATE)


def insist_on_a_say(person: Person) -> None:
    """Raise ``Forbidden`` for a person who can neither propose nor approve, whatever it is about."""
    if not person.may(Right.OPERATE):
        person.insist(Right.APPROVE)


def insist_on_approver(store: Store, person: Person, proposed_by: str) -> None:
    """Raise ``Forbidden`` for whoever may be the human who proposed (slug ``second-person``), or may not approve."""
    if may_be_one_human(store, person.name, [proposed_by]):
        raise second_person()
    person.insist(Right.APPROVE)


def second_person() -> Forbidden:
    """Return the refusal of an approval by whoever proposed."""
    return Forbidden(
        Text(
            "Diese Änderung haben Sie selbst vorgeschlagen. Freigeben muss sie eine zweite Person.",
            "You proposed this change yourself. A second person has to approve it.",
        ),
        slug="second-person",
    )
