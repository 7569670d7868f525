"""Foreign event tokens are read strictly: whatever comes, it is a value or one of the hub's own refusals."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import NOW

from hub.client.event_tokens import read_token
from hub.crypto import base64url
from hub.errors import Refused
from hub.model.events import HOUSE_KINDS, Event, EventKind, Subject

SCHEMA = Path(__file__).parents[3] / "shared" / "data" / "fit-connect" / "set-payload-reconstructed.schema.json"
HEADER = b'{"alg":"PS512","typ":"secevent+jwt","kid":"key-0001"}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def token(payload: bytes, header: bytes = HEADER) -> str:
    return ".".join(base64url.encode(part).decode() for part in (header, payload, b"signature"))


def claims(**more: Any) -> dict[str, Any]:
    event = Event(
        case_id=uuid4(),
        seq=1,
        jti=uuid4(),
        subject=Subject.SUBMISSION,
        subject_id=uuid4(),
        kind=EventKind.ACCEPT,
        issuer=str(uuid4()),
        by_hub=False,
        issued_at=NOW,
    )
    return event.claims() | more


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_as_payload_are_refused_in_our_own_words(payload: bytes):
    with pytest.raises(Refused):
        read_token(token(payload))


@given(st.sampled_from(["$schema", "jti", "iss", "iat", "sub", "txn", "events"]), JSON)
@settings(max_examples=150, deadline=None)
def test_any_value_of_any_claim_is_read_or_refused(name: str, value: Any):
    payload = json.dumps(claims(**{name: value})).encode()
    with suppress(Refused):
        assert read_token(token(payload)).kid == "key-0001"


def test_a_good_token_gives_its_claims():
    said = claims()
    claimed = read_token(token(orjson.dumps(said)))
    assert (claimed.kid, claimed.kind, claimed.subject) == ("key-0001", EventKind.ACCEPT, Subject.SUBMISSION)
    assert claimed.jti == UUID(said["jti"])
    assert claimed.case_id == UUID(said["txn"].removeprefix("case:"))


def test_a_token_without_schema_or_with_any_1_x_is_read():
    without = {name: value for name, value in claims().items() if name != "$schema"}
    old = "https://schema.fitko.de/fit-connect/set-payload/1.0.0/set-payload.schema.json"
    for said in (without, {**without, "$schema": old}):
        assert read_token(token(orjson.dumps(said))).kind is EventKind.ACCEPT


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the reconstructed SET schema is not here (../shared/data)")
@pytest.mark.parametrize("kind", sorted(set(EventKind) - HOUSE_KINDS))
def test_what_the_hub_writes_fits_the_set_schema(kind: EventKind):
    import jsonschema_rs

    payloads: dict[EventKind, dict[str, Any]] = {
        EventKind.SUBMIT: {"authenticationTags": {"metadata": "A" * 22, "data": "B" * 22}},
        EventKind.ACCEPT: {"authenticationTags": {"metadata": "A" * 22, "data": "B" * 22}},
        EventKind.REJECT: {
            "problems": [{"type": "https://x.example/y", "title": "t", "detail": "d", "instance": "other"}]
        },
    }
    event = Event(
        case_id=uuid4(),
        seq=1,
        jti=uuid4(),
        subject=Subject.SUBMISSION,
        subject_id=uuid4(),
        kind=kind,
        issuer="https://hub.example",
        by_hub=True,
        issued_at=NOW,
        payload=payloads.get(kind, {}),
    )
    validator = jsonschema_rs.validator_for(orjson.loads(SCHEMA.read_bytes()))
    assert [error.message for error in validator.iter_errors(event.claims())] == []
