"""A few kilobytes that inflate to a municipality's whole disk: turned down for their size, and nobody else waits."""

from __future__ import annotations

from uuid import uuid4

import orjson
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from store_values import NOW
from test_connector_town import Town, catalog, good_data, town, town_keys

__all__ = ["catalog", "town", "town_keys"]
MIB = 1024 * 1024


def compressed(town: Town, content: bytes) -> bytes:
    key = town.hub.encryption_key
    head = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "zip": "DEF", "kid": key.kid, "cty": "application/pdf"}
    token = JWE(content, protected=orjson.dumps(head).decode(), recipient=JWK(**dict(key.jwk)))
    sealed: bytes = token.serialize(compact=True).encode()
    return sealed


def bomb(town: Town, *sizes: int) -> None:
    """Submit attachments that inflate to so many bytes each."""
    contents = {uuid4(): bytes(size) for size in sizes}
    plain, seal = town.hub.seal, town.hub.seal
    town.hub.seal = lambda content: compressed(town, content).decode() if content.count(0) else plain(content)
    town.submit(attachments=contents)
    town.hub.seal = seal


def test_parts_that_inflate_together_beyond_the_cap_are_turned_down_and_nothing_is_written(town: Town):
    bomb(town, *[MIB] * 8)
    connector = town.start(opening={"largest_megabytes": 4, "largest_ratio": 1_000, "free_megabytes": 1})
    connector.run_once(NOW)
    assert ("size-limit-exceeded", "submission") in town.reasons()
    assert town.handed() == []


def test_a_ratio_that_no_form_has_is_turned_down(town: Town):
    bomb(town, 6 * MIB)
    town.start(opening={"largest_ratio": 20, "free_megabytes": 1}).run_once(NOW)
    assert ("size-limit-exceeded", "submission") in town.reasons()
    assert town.handed() == []


def test_other_submissions_are_not_held_up(town: Town):
    bomb(town, 6 * MIB)
    good = town.submit(good_data())
    run = town.start(opening={"largest_ratio": 20, "free_megabytes": 1}).run_once(NOW)
    assert (run.handed, town.handed()) == (1, [str(good)])


def test_what_compresses_well_but_is_small_is_taken(town: Town):
    bomb(town, MIB)
    assert town.start().run_once(NOW).accepted == 1
