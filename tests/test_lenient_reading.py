"""What real clients send beside the letter of FIT-Connect: taken where it harms nobody. Each test names its source."""

from __future__ import annotations

import pytest
from sealed_door import EVENTS, Door, kinds, movable_door, shared_door

__all__ = ["movable_door", "shared_door"]


def _bare(door: Door, sent, kind: str, payload=None) -> str:
    claims = door.claims(kind, sent, payload if payload is not None else {})
    del claims["$schema"]
    return door.sign(claims)


# FIT-Connect, section 9.1: "an event without payload may be sent only if $schema is left out"; FITKO's own example of an
# event and a public Java connector send accept-submission so.


@pytest.mark.parametrize("kind", ["accept-submission", "reject-submission", "forward-submission"])
def test_version_1_takes_an_event_without_schema_and_without_payload(door: Door, kind: str):
    sent = door.send(version="v1")
    token = _bare(door, sent, kind)
    assert door.post_event(sent, token, version="v1").status == 204
    assert door.log(sent)[-1] == token
    assert kinds(door.log(sent))[-1] == kind


@pytest.mark.parametrize("kind", ["accept-submission", "reject-submission"])
def test_version_2_wants_the_payload_with_or_without_schema(door: Door, kind: str):
    sent = door.send()
    before = door.log(sent)
    assert door.refused(door.post_event(sent, _bare(door, sent, kind)), 422)
    assert door.refused(door.post_event(sent, door.token(kind, sent, {})), 422)
    assert door.log(sent) == before


def test_version_1_compares_whatever_tags_are_sent(door: Door):
    sent = door.send(version="v1")
    wrong = {"authenticationTags": {**sent.tags, "data": "x" * 22}}
    empty: dict = {"authenticationTags": {}}
    for token in (
        _bare(door, sent, "accept-submission", wrong),
        _bare(door, sent, "accept-submission", empty),
        door.token("accept-submission", sent, {}),
    ):
        assert door.refused(door.post_event(sent, token, version="v1"), 422)
    assert f"{EVENTS}accept-submission" not in str(kinds(door.log(sent)))


def test_a_bare_event_is_signed_by_the_destination_all_the_same(door: Door):
    sent = door.send(version="v1")
    claims = door.claims("accept-submission", sent, {}, iss=door.hub.settings.canonical_url)
    del claims["$schema"]
    assert door.post_event(sent, door.sign(claims), version="v1").status == 403
