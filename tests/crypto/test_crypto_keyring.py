"""The hub's own keys: made once, shared by all nodes, rotated without losing old proof."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub import crypto
from hub.crypto import HubKeys, claims_of, keys, make_receipt, verify_receipt
from hub.crypto.keyring import FRESH
from hub.errors import ConfigurationError, KeyRefused, SealBroken

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keyring") / "pki"
    HubKeys.load_or_create(folder, now=NOW, create=True)
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "pki"))


@pytest.fixture
def ring(folder: Path) -> HubKeys:
    return HubKeys.load_or_create(folder, now=NOW, create=False)


def test_without_leave_to_create_an_absent_keyring_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        HubKeys.load_or_create(tmp_path / "none", now=NOW, create=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"keys": [{}]}', '{"keys": [{"kind": "x"}]}', "[]", '{"keys": []}'])
def test_a_broken_list_of_keys_is_an_error_and_never_a_new_keyring(folder: Path, content: str) -> None:
    (folder / "keyring.json").write_text(content)
    with pytest.raises(ConfigurationError):
        _ = HubKeys.load_or_create(folder, now=NOW, create=True).signing


def relisted(folder: Path, **kinds: str) -> dict[str, str]:
    """List keys for other purposes, by the purpose that they had; return the kid of each purpose as it was."""
    path = folder / "keyring.json"
    document = json.loads(path.read_text())
    was = {entry["kind"]: entry["kid"] for entry in document["keys"]}
    for entry in document["keys"]:
        entry["kind"] = kinds.get(entry["kind"], entry["kind"])
    path.write_text(json.dumps(document))
    return was


@pytest.mark.parametrize(("one", "other"), [("signing", "portal"), ("idempotency", "secrets"), ("receipt", "signing")])
def test_keys_listed_for_each_others_purpose_stop_the_start_by_kind_and_name(
    folder: Path, ring: HubKeys, one: str, other: str
) -> None:
    was = relisted(folder, **{one: other, other: one})
    with pytest.raises(ConfigurationError) as refused:
        HubKeys.load_or_create(folder, now=NOW, create=True)
    for text in (refused.value.detail.de, refused.value.detail.en):
        assert any(was[kind] in text for kind in (one, other))
        assert one in text
        assert other in text
    # A node that serves already refuses what it would sign or open, and says so.
    assert [fault.detail for fault in ring.faults()] == [refused.value.detail]


def test_a_retired_key_listed_for_another_purpose_stops_the_start_too(folder: Path, ring: HubKeys) -> None:
    """Its public half would verify tokens that it was never made for."""
    ring.rotate("portal", NOW)
    path = folder / "keyring.json"
    document = json.loads(path.read_text())
    (retired,) = (entry for entry in document["keys"] if entry["retired_at"])
    retired["kind"] = "signing"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match=retired["kid"]):
        HubKeys.load_or_create(folder, now=NOW, create=False)


@pytest.mark.parametrize("kid", ["k1", "2024-portal-signing", "hub-key", "hub-signing", "hub-test-1", "HUB-PORTAL-1"])
def test_a_key_whose_name_tells_no_purpose_is_taken_for_what_it_is_listed(folder: Path, kid: str) -> None:
    path = folder / "keyring.json"
    document = json.loads(path.read_text())
    (secret,) = (entry for entry in document["keys"] if entry["kind"] == "secrets")
    file = folder / f"{secret['kid']}.json"
    renamed = folder / f"{kid}.json"
    renamed.write_text(json.dumps({**json.loads(file.read_text()), "kid": kid}))
    renamed.chmod(0o600)
    file.unlink()
    secret["kid"] = kid
    path.write_text(json.dumps(document))
    found = HubKeys.load_or_create(folder, now=NOW, create=False)
    found.require()
    assert found.open_secret(found.seal_secret(b"s", context="c"), context="c") == b"s"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620, 0o601])
def test_key_files_open_to_others_are_refused(folder: Path, ring: HubKeys, mode: int) -> None:
    for path in folder.glob("hub-*.json"):
        path.chmod(mode)
    with pytest.raises(ConfigurationError):
        _ = ring.signing
    with pytest.raises(ConfigurationError):
        _ = ring.idempotency
    (folder / "keyring.json").chmod(mode)
    with pytest.raises(ConfigurationError):
        HubKeys.load_or_create(folder, now=NOW, create=False)


def test_a_lost_private_key_is_an_error(folder: Path, ring: HubKeys) -> None:
    for path in folder.glob("hub-*.json"):
        path.unlink()
    for broken in (lambda: ring.signing, lambda: ring.idempotency, lambda: ring.seal_secret(b"x", context="y")):
        with pytest.raises(ConfigurationError):
            broken()
    assert len(ring.hub_jwks()["keys"]) == 2


def test_everything_lies_in_private_files_of_a_private_folder(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len([name for name in modes if name.startswith("hub-")]) == 5
    assert '"d"' not in (folder / "keyring.json").read_text()


def test_a_key_once_made_is_found_again_by_every_node(folder: Path, ring: HubKeys) -> None:
    other = HubKeys.load_or_create(folder, now=NOW + timedelta(days=1), create=True)
    assert other.signing.kid == ring.signing.kid
    assert other.idempotency == ring.idempotency
    assert len(ring.idempotency) == 32
    assert other.hub_jwks() == ring.hub_jwks()


def test_nodes_that_start_together_agree_on_one_keyring(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as nodes:
        rings = list(nodes.map(lambda _: HubKeys.load_or_create(tmp_path / "pki", now=NOW, create=True), range(3)))
    assert len({ring.signing.kid for ring in rings}) == 1
    assert len({ring.idempotency for ring in rings}) == 1


def test_published_keys_have_all_seven_members_and_their_own_certificate(ring: HubKeys) -> None:
    policy = keys.KeyPolicy(allow_self_signed=True)
    for published in (ring.fit_connect_jwks(), ring.portal_jwks()):
        (jwk,) = published["keys"]
        assert set(jwk) == {"kty", "key_ops", "alg", "x5c", "kid", "n", "e"}
        assert keys.judge_signature_key(jwk, now=NOW, policy=policy).kid == jwk["kid"]
        assert keys.expires_at(jwk) == NOW + timedelta(days=1095)
    kinds = [(jwk["kty"], jwk["alg"]) for jwk in ring.hub_jwks()["keys"]]
    assert kinds == [("OKP", "EdDSA"), ("RSA", "PS512")]
    assert not {"d", "p", "q", "k"}.intersection(*(ring.hub_jwks()["keys"]))


@pytest.mark.parametrize("kind", ["idempotency", "unknown", ""])
def test_what_cannot_be_rotated_is_refused(ring: HubKeys, kind: str) -> None:
    with pytest.raises(ConfigurationError):
        ring.rotate(kind, NOW)


def test_another_node_follows_a_rotation_and_old_tokens_still_verify(folder: Path, ring: HubKeys) -> None:
    ticks = [0.0]
    other = HubKeys(folder, ticks=lambda: ticks[0])
    token = crypto.sign_ps512(other.signing, b"{}", typ="x")
    old = other.signing.kid
    ring.rotate("signing", NOW + timedelta(days=1))
    ticks[0] = FRESH
    assert other.signing.kid == ring.signing.kid != old
    assert [jwk["kid"] for jwk in other.fit_connect_jwks()["keys"]] == [ring.signing.kid, old]
    assert crypto.verify_ps512(token, other.verification_key(old), typ="x") == b"{}"
    assert not (folder / f"{old}.json").exists()
    again = HubKeys.load_or_create(folder, now=NOW, create=False)
    assert again.signing.kid == ring.signing.kid


def test_what_another_node_made_a_moment_ago_is_known_where_it_is_met(folder: Path, ring: HubKeys) -> None:
    other = HubKeys(folder, ticks=lambda: 0.0)
    old = other.signing.kid
    ring.rotate("signing", NOW)
    ring.rotate("secrets", NOW)
    token, secret = crypto.sign_ps512(ring.signing, b"{}", typ="x"), ring.seal_secret(b"s", context="c")
    assert other.signing.kid == old  # It has not looked again; the old key is in its memory and still published.
    assert crypto.verify_ps512(token, other.verification_key(ring.signing.kid), typ="x") == b"{}"
    assert other.open_secret(secret, context="c") == b"s"
    assert other.signing.kid == ring.signing.kid


def test_published_keys_are_never_of_a_moment_ago(folder: Path, ring: HubKeys) -> None:
    other = HubKeys(folder, ticks=lambda: 0.0)
    assert other.signing.kid == ring.signing.kid
    ring.rotate("signing", NOW)
    assert other.fit_connect_jwks() == ring.fit_connect_jwks()


def test_a_node_that_lags_behind_a_rotation_finds_the_new_key(folder: Path) -> None:
    # The list was read, but no private key yet; the other node takes the old one away in between.
    ring = HubKeys(folder, ticks=lambda: 0.0)
    ring.hub_jwks()
    other = HubKeys.load_or_create(folder, now=NOW, create=False)
    other.rotate("receipt", NOW)
    assert ring.receipt.kid == other.receipt.kid


def test_a_receipt_verifies_with_the_published_keys_alone_also_after_rotation(ring: HubKeys) -> None:
    claims = {"sub": "submission:1", "iat": SECONDS, "acceptedAt": NOW.isoformat()}
    receipt = make_receipt(ring.receipt, claims)
    ring.rotate("receipt", NOW)
    assert verify_receipt(receipt, json.loads(json.dumps(ring.hub_jwks()))) == claims
    assert claims_of(receipt) == claims
    assert make_receipt(ring.receipt, {}) != receipt


def test_a_receipt_counts_only_from_the_time_in_which_its_key_was_used(ring: HubKeys) -> None:
    retired, hour = ring.receipt, timedelta(hours=1)
    ring.rotate("receipt", NOW + hour)
    jwks = ring.hub_jwks()
    (published,) = [jwk for jwk in jwks["keys"] if jwk["kid"] == retired.kid]
    assert (published["nbf"], published["exp"]) == (SECONDS, SECONDS + 3600)
    assert "exp" not in jwks["keys"][0], "the current one has no end yet"
    for seconds, taken in ((0, NOW), (3600, NOW + hour), (1800, NOW - 9 * hour)):
        receipt = make_receipt(retired, {"iat": SECONDS + seconds, "acceptedAt": taken.isoformat()})
        assert verify_receipt(receipt, jwks)["iat"] == SECONDS + seconds
    for claims in (
        {"iat": SECONDS - 3600, "acceptedAt": NOW.isoformat()},
        {"iat": SECONDS + 7200, "acceptedAt": NOW.isoformat()},
        {"iat": SECONDS, "acceptedAt": (NOW + 2 * hour).isoformat()},
        {"iat": "then", "acceptedAt": NOW.isoformat()},
        {"iat": SECONDS, "acceptedAt": "then"},
        {"acceptedAt": NOW.isoformat()},
        {"iat": 1e300},
    ):
        with pytest.raises(SealBroken):
            verify_receipt(make_receipt(retired, claims), jwks)


@pytest.mark.parametrize("version", [0, 3, "2", None, True, [2]])
def test_a_receipt_of_a_version_that_nobody_knows_is_refused(ring: HubKeys, version: object) -> None:
    receipt = make_receipt(ring.receipt, {"iat": SECONDS, "ver": version})
    with pytest.raises(SealBroken) as caught:
        verify_receipt(receipt, ring.hub_jwks())
    assert caught.value.slug == "receipt-version-unknown"


@pytest.mark.parametrize("claims", [{}, {"ver": 1}, {"ver": 2, "later": {"any": "thing"}}])
def test_a_receipt_of_an_earlier_version_and_members_of_a_later_release_are_taken(ring: HubKeys, claims) -> None:
    receipt = make_receipt(ring.receipt, {"iat": SECONDS} | claims)
    assert verify_receipt(receipt, ring.hub_jwks()) == {"iat": SECONDS} | claims


def test_a_changed_foreign_or_other_token_is_no_receipt(ring: HubKeys, receipt_key: keys.SigningKey) -> None:
    with pytest.raises(SealBroken):
        claims_of("no receipt")
    receipt = make_receipt(ring.receipt, {"iat": SECONDS})
    head, _, signature = receipt.split(".")
    jwks = ring.hub_jwks()
    for bad in (
        f"{head}.{make_receipt(ring.receipt, {'iat': SECONDS, 'n': 2}).split('.')[1]}.{signature}",
        make_receipt(receipt_key, {"n": 1}),
        crypto.sign_eddsa(ring.receipt, b'{"n":1}', typ="JWT"),
        crypto.sign_eddsa(ring.receipt, b"[1]", typ="receipt+jwt"),
        crypto.sign_eddsa(ring.receipt, b"no json", typ="receipt+jwt"),
        "",
    ):
        with pytest.raises(SealBroken):
            verify_receipt(bad, jwks)
    for published in ({}, {"keys": []}, {"keys": None}, {"keys": ["x"]}):
        with pytest.raises(SealBroken):
            verify_receipt(receipt, published)
    with pytest.raises((SealBroken, KeyRefused)):
        verify_receipt(crypto.sign_ps512(ring.signing, b"{}", typ="receipt+jwt"), jwks)


def test_a_secret_opens_only_where_it_belongs_and_unchanged(ring: HubKeys) -> None:
    sealed = ring.seal_secret(b"callback secret", context="client:a")
    version, kid, text = sealed.split(".")
    swapped = "A" if text[-2] != "A" else "B"
    for bad in (
        f"{version}.{kid}.{text[:-2]}{swapped}{text[-1]}",
        f"s2.{kid}.{text}",
        f"{version}.another-kid.{text}",
        f"{version}.{ring.signing.kid}.{text}",
        f"{version}.{kid}.",
        f"{version}.{kid}.AAAA",
        f"{version}.{kid}.ä",
        "",
        "plain",
    ):
        with pytest.raises(SealBroken):
            ring.open_secret(bad, context="client:a")
    with pytest.raises(SealBroken):
        ring.open_secret(sealed, context="client:b")


def test_a_secret_stays_readable_after_rotation_and_is_never_sealed_alike(folder: Path, ring: HubKeys) -> None:
    sealed = ring.seal_secret(b"s", context="c")
    assert ring.seal_secret(b"s", context="c") != sealed
    ring.rotate("secrets", NOW)
    other = HubKeys.load_or_create(folder, now=NOW, create=False)
    assert other.open_secret(sealed, context="c") == b"s"
    assert other.seal_secret(b"s", context="c").split(".")[1] != sealed.split(".")[1]


def test_the_hub_knows_its_own_signing_keys_only(ring: HubKeys) -> None:
    assert ring.verification_key(ring.signing.kid).alg == "PS512"
    for foreign in ("unknown", ring.portal.kid, ring.receipt.kid, ""):
        with pytest.raises(SealBroken):
            ring.verification_key(foreign)


def test_a_keyring_does_not_print_its_keys(folder: Path, ring: HubKeys) -> None:
    assert ring.idempotency.hex() not in repr(ring)
    assert json.loads(next(folder.glob("hub-signing-*.json")).read_text())["d"] not in repr(ring.signing)


def test_an_announced_key_is_published_and_signs_nothing_until_it_takes_over(folder: Path, ring: HubKeys) -> None:
    current = ring.receipt.kid
    announced = ring.announce("receipt", NOW)
    assert ring.announce("receipt", NOW) == announced != current
    assert [jwk["kid"] for jwk in ring.hub_jwks()["keys"]][:2] == [current, announced]
    assert ring.receipt.kid == current
    assert ring.faults() == []
    pinned = ring.hub_jwks()  # Whoever keeps a list takes it in now.
    week = timedelta(days=7)
    assert ring.rotate("receipt", NOW + week) == announced == ring.receipt.kid
    claims = {"iat": SECONDS + week.total_seconds() + 5}
    assert verify_receipt(make_receipt(ring.receipt, claims), pinned) == claims
    published = ring.hub_jwks()["keys"][0]
    assert (published["kid"], published["nbf"]) == (announced, SECONDS + week.total_seconds())
    assert not (folder / f"{current}.json").exists()
    assert ring.faults() == []


@pytest.mark.parametrize("kind", ["idempotency", "secrets", "unknown"])
def test_what_is_not_published_is_not_announced(ring: HubKeys, kind: str) -> None:
    with pytest.raises(ConfigurationError):
        ring.announce(kind, NOW)
