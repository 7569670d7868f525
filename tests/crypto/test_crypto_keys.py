"""The key policy: every check has a key that fails it alone; and what leaves and enters as JWK."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jwcrypto import jwk as oracle

from hub.crypto import certificates, keys
from hub.crypto.development import InsecureDevelopmentAuthority
from hub.errors import ConfigurationError, KeyRefused

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
Jwk = dict[str, Any]
Pair = tuple[Jwk, Jwk]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> InsecureDevelopmentAuthority:
    return InsecureDevelopmentAuthority.load_or_create(tmp_path_factory.mktemp("pki"), now=NOW, production=False)


@pytest.fixture(scope="module")
def policy(authority: InsecureDevelopmentAuthority) -> keys.KeyPolicy:
    return keys.KeyPolicy(trust_anchors=(authority.certificate,))


@pytest.fixture(scope="module")
def certified(authority: InsecureDevelopmentAuthority, rsa_pair: Pair) -> Jwk:
    return authority.issue(rsa_pair[0], subject="Stadt Hanau", now=NOW, days=30)


def refusal(jwk: Jwk, policy: keys.KeyPolicy, *, now: datetime = NOW, require_x5c: bool = True) -> int:
    with pytest.raises(KeyRefused) as refused:
        keys.judge_encryption_key(jwk, now=now, policy=policy, require_x5c=require_x5c)
    detail = refused.value.detail
    assert len(detail.de) > 20
    assert detail.de != detail.en
    check: int = refused.value.members["check"]
    return check


@pytest.mark.parametrize("missing", ["kty", "key_ops", "alg", "kid", "n", "e", "x5c"])
def test_check_1_refuses_a_key_that_lacks_a_member(certified: Jwk, policy: keys.KeyPolicy, missing: str) -> None:
    assert refusal({name: value for name, value in certified.items() if name != missing}, policy) == 1


@pytest.mark.parametrize("private", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_check_2_refuses_private_members_without_repeating_them(
    certified: Jwk, policy: keys.KeyPolicy, private: str
) -> None:
    jwk = certified | {private: "GEHEIM"}
    assert refusal(jwk, policy) == 2
    with pytest.raises(KeyRefused) as refused:
        keys.judge_encryption_key(jwk, now=NOW, policy=policy)
    assert "GEHEIM" not in f"{refused.value.detail!r} {refused.value.members}"


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (3, {"kty": "EC"}),
        (3, {"kty": "oct"}),
        (3, {"kty": None}),
        (4, {"kid": "short"}),
        (4, {"kid": "x" * 65}),
        (4, {"kid": "has/slash"}),
        (4, {"kid": "hat-ümlaut"}),
        (4, {"kid": "zeile\numbruch"}),
        (4, {"kid": 12345678}),
        (5, {"key_ops": ["verify"]}),
        (5, {"key_ops": ["wrapKey", "encrypt"]}),
        (5, {"key_ops": ["wrapKey", "wrapKey"]}),
        (5, {"key_ops": "wrapKey"}),
        (5, {"key_ops": []}),
        (6, {"alg": "RSA-OAEP"}),
        (6, {"alg": "PS512"}),
        (7, {"n": "AQAB"}),
        (7, {"n": 65537}),
        (7, {"n": ""}),
        (7, {"n": "x" * 20_000}),
        (8, {"e": "Aw"}),
        (8, {"e": "AQAC"}),
        (9, {"x5c": []}),
        (9, {"x5c": "MIIB"}),
        (9, {"x5c": ["no certificate"]}),
        (9, {"x5c": ["AAAA"]}),
        (9, {"x5c": [7]}),
    ],
)
def test_a_member_of_the_wrong_value_is_refused_by_its_own_check(
    certified: Jwk, policy: keys.KeyPolicy, check: int, change: Jwk
) -> None:
    assert refusal(certified | change, policy) == check


def test_check_7_refuses_other_spellings_of_the_same_modulus(certified: Jwk, policy: keys.KeyPolicy) -> None:
    modulus = certified["n"]
    for other in (modulus + "=", modulus + "\n", f"AA{modulus}", modulus[:-1] + "_"):
        assert refusal(certified | {"n": other}, policy) == 7


def test_check_7_refuses_rsa_2048_and_3072(policy: keys.KeyPolicy) -> None:
    for bits in (2048, 3072):
        public, _ = keys.make_rsa_pair("encryption", kid_prefix="weak-", bits=bits)
        assert refusal(public, policy, require_x5c=False) == 7


def test_check_9_refuses_somebody_elses_certificate(
    certified: Jwk, other_rsa_pair: Pair, policy: keys.KeyPolicy
) -> None:
    assert refusal(other_rsa_pair[0] | {"x5c": certified["x5c"]}, policy) == 9
    assert refusal(certified | {"x5c": certified["x5c"][::-1]}, policy) == 9


def test_check_10_refuses_before_and_after_the_certificates_validity(certified: Jwk, policy: keys.KeyPolicy) -> None:
    assert refusal(certified, policy, now=NOW - timedelta(hours=1)) == 10
    assert refusal(certified, policy, now=NOW + timedelta(days=31)) == 10
    keys.judge_encryption_key(certified, now=NOW + timedelta(days=29), policy=policy)


def test_check_11_refuses_what_leads_to_no_anchor(certified: Jwk, tmp_path: Path) -> None:
    foreign = InsecureDevelopmentAuthority.load_or_create(tmp_path / "other", now=NOW, production=False)
    assert refusal(certified, keys.KeyPolicy()) == 11
    assert refusal(certified, keys.KeyPolicy(allow_self_signed=True)) == 11
    assert refusal(certified, keys.KeyPolicy(trust_anchors=(foreign.certificate,))) == 11


def test_a_root_sent_along_is_not_trusted_for_that(certified: Jwk) -> None:
    assert len(certified["x5c"]) == 2
    assert refusal(certified, keys.KeyPolicy()) == 11


CertificateMaker = Callable[..., x509.Certificate]


@pytest.fixture
def make_certificate(rsa_pair: Pair) -> CertificateMaker:
    """Certificates of the destination's key, signed by a small key of the test, honest but for what the test asks."""
    own = keys.read_decryption_key(rsa_pair[1], written_by_us=True).private_key

    def made(
        *,
        issuer_key: Any = own,
        issuer: str = "leaf",
        subject: str = "leaf",
        public_key: Any = None,
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public_key or own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(issuer_key, hashes.SHA256())

    return made


def usage(**wanted: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**dict.fromkeys(names, False) | wanted)


def test_a_self_signed_certificate_passes_only_where_the_policy_says_so(
    rsa_pair: Pair, make_certificate: CertificateMaker
) -> None:
    jwk = rsa_pair[0] | {"x5c": certificates.write_chain([make_certificate()])}
    assert refusal(jwk, keys.KeyPolicy()) == 11
    assert keys.judge_encryption_key(jwk, now=NOW, policy=keys.KeyPolicy(allow_self_signed=True)).kid == jwk["kid"]


def test_a_certificate_that_names_itself_but_was_signed_by_another_is_not_self_signed(
    rsa_pair: Pair, make_certificate: CertificateMaker
) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    jwk = rsa_pair[0] | {"x5c": certificates.write_chain([make_certificate(issuer_key=stranger)])}
    assert refusal(jwk, keys.KeyPolicy(allow_self_signed=True)) == 11


def test_a_leaf_cannot_act_as_an_authority(rsa_pair: Pair, make_certificate: CertificateMaker) -> None:
    root_key, middle_key = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
    authority = ((x509.BasicConstraints(ca=True, path_length=None), True), (usage(key_cert_sign=True), True))
    root = make_certificate(
        subject="root", issuer="root", issuer_key=root_key, public_key=root_key.public_key(), extensions=authority
    )
    leaf = make_certificate(issuer="middle", issuer_key=middle_key)
    policy = keys.KeyPolicy(trust_anchors=(root,))

    def chain_over(*extensions: tuple[x509.ExtensionType, bool]) -> Jwk:
        middle = make_certificate(
            subject="middle",
            issuer="root",
            issuer_key=root_key,
            public_key=middle_key.public_key(),
            extensions=extensions,
        )
        return rsa_pair[0] | {"x5c": certificates.write_chain([leaf, middle])}

    assert refusal(chain_over(), policy) == 11
    assert refusal(chain_over((x509.BasicConstraints(ca=False, path_length=None), True)), policy) == 11
    assert refusal(chain_over(authority[0], (usage(digital_signature=True), True)), policy) == 11
    assert keys.judge_encryption_key(chain_over(*authority), now=NOW, policy=policy).kid == rsa_pair[0]["kid"]


def test_check_12_refuses_a_certificate_for_another_use(rsa_pair: Pair, make_certificate: CertificateMaker) -> None:
    policy = keys.KeyPolicy(allow_self_signed=True)
    for wrong in (usage(digital_signature=True), usage(data_encipherment=True)):
        certificate = make_certificate(extensions=((wrong, True),))
        assert refusal(rsa_pair[0] | {"x5c": certificates.write_chain([certificate])}, policy) == 12
    right = make_certificate(extensions=((usage(key_encipherment=True), True),))
    keys.judge_encryption_key(rsa_pair[0] | {"x5c": certificates.write_chain([right])}, now=NOW, policy=policy)


def test_an_encryption_key_is_no_signature_key_and_the_other_way_round(
    rsa_pair: Pair, signature_pair: Pair, policy: keys.KeyPolicy
) -> None:
    with pytest.raises(KeyRefused):
        keys.judge_signature_key(rsa_pair[0], now=NOW, policy=policy, require_x5c=False)
    assert refusal(signature_pair[0], policy, require_x5c=False) == 5


def test_a_certified_key_is_good_until_its_certificate_ends(
    certified: Jwk, signature_pair: Pair, authority: InsecureDevelopmentAuthority, policy: keys.KeyPolicy
) -> None:
    key = keys.judge_encryption_key(certified, now=NOW, policy=policy)
    assert key.expires_at == keys.expires_at(certified) == NOW + timedelta(days=30)
    signing = authority.issue(signature_pair[0], subject="Stadt Hanau", now=NOW, days=30)
    assert keys.judge_signature_key(signing, now=NOW, policy=policy).alg == "PS512"


def test_a_reply_key_needs_no_certificate_but_a_given_one_is_judged(
    certified: Jwk, rsa_pair: Pair, policy: keys.KeyPolicy
) -> None:
    assert refusal(certified, policy, now=NOW + timedelta(days=99), require_x5c=False) == 10
    key = keys.judge_encryption_key(rsa_pair[0], now=NOW, policy=policy, require_x5c=False)
    assert key.expires_at is None


def test_old_signatures_stay_verifiable_after_the_certificate_ended(
    signature_pair: Pair, ed25519_pair: Pair, authority: InsecureDevelopmentAuthority
) -> None:
    signing = authority.issue(signature_pair[0], subject="Stadt Hanau", now=NOW - timedelta(days=4), days=1)
    assert keys.verification_key(signing).alg == "PS512"
    assert keys.verification_key(ed25519_pair[0]).alg == "EdDSA"


def test_private_keys_for_another_use_or_of_broken_numbers_are_refused(rsa_pair: Pair, signature_pair: Pair) -> None:
    _, private = rsa_pair
    for bad in (rsa_pair[0], signature_pair[1], private | {"alg": "RSA-OAEP"}, private | {"kid": "x"}):
        with pytest.raises(KeyRefused):
            keys.read_decryption_key(bad)
    swapped = private | {"p": private["q"]}
    with pytest.raises(KeyRefused):
        keys.read_decryption_key(swapped)
    with pytest.raises(KeyRefused):
        keys.read_decryption_key({name: value for name, value in private.items() if name != "qi"})
    with pytest.raises(KeyRefused):
        keys.read_signing_key(private)


def test_private_keys_of_other_tools_with_a_second_operation_are_taken(rsa_pair: Pair) -> None:
    jwk = rsa_pair[1] | {"key_ops": ["unwrapKey", "decrypt"]}
    assert keys.read_decryption_key(jwk, written_by_us=True).kid == rsa_pair[0]["kid"]


@pytest.mark.parametrize(
    "change",
    [
        {"crv": "X25519"},
        {"kty": "RSA"},
        {"x": "AAAA"},
        {"x": None},
        {"alg": "PS512"},
        {"key_ops": ["sign"]},
        {"d": "AA"},
        {"kid": None},
    ],
)
def test_an_ed25519_key_of_another_form_is_refused(ed25519_pair: Pair, change: Jwk) -> None:
    with pytest.raises(KeyRefused):
        keys.ed25519_verification_key(ed25519_pair[0] | change)


def test_no_key_prints_its_material(
    rsa_pair: Pair,
    decryption_key: keys.DecryptionKey,
    signing_key: keys.SigningKey,
    encryption_key: keys.EncryptionKey,
) -> None:
    printed = repr([decryption_key, signing_key, encryption_key])
    assert rsa_pair[1]["d"][:20] not in printed
    assert rsa_pair[0]["n"][:20] not in printed


def test_a_signing_key_gives_away_its_public_half_only(signature_pair: Pair, signing_key: keys.SigningKey) -> None:
    assert signing_key.public_jwk() == signature_pair[0]


def test_thumbprints_equal_those_of_the_oracle(rsa_pair: Pair, ed25519_pair: Pair) -> None:
    for public in (rsa_pair[0], ed25519_pair[0]):
        assert keys.thumbprint(public) == oracle.JWK(**public).thumbprint()
    # RFC 8037 appendix A.3.
    example = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert keys.thumbprint(example) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    with pytest.raises(KeyRefused):
        keys.thumbprint({"kty": "oct", "k": "AA"})


def test_trust_anchors_are_read_from_pem_and_der_files(authority: InsecureDevelopmentAuthority, tmp_path: Path) -> None:
    pem, der, broken = tmp_path / "a.pem", tmp_path / "b.der", tmp_path / "c.pem"
    pem.write_bytes(authority.certificate.public_bytes(Encoding.PEM) * 2)
    der.write_bytes(authority.certificate.public_bytes(Encoding.DER))
    broken.write_text("not a certificate")
    assert len(keys.KeyPolicy.from_files([pem, der], allow_self_signed=False).trust_anchors) == 3
    with pytest.raises(ConfigurationError):
        keys.KeyPolicy.from_files([broken], allow_self_signed=False)


def test_the_development_authority_refuses_production_and_foreign_keys(
    tmp_path: Path, rsa_pair: Pair, authority: InsecureDevelopmentAuthority
) -> None:
    with pytest.raises(ConfigurationError):
        InsecureDevelopmentAuthority.load_or_create(tmp_path / "pki", now=NOW, production=True)
    assert not (tmp_path / "pki").exists()
    for jwk in (rsa_pair[1], rsa_pair[0] | {"key_ops": ["encrypt"]}):
        with pytest.raises(KeyRefused):
            authority.issue(jwk, subject="x", now=NOW)


def test_the_development_authority_is_found_again_and_keeps_its_key_private(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    first = InsecureDevelopmentAuthority.load_or_create(folder, now=NOW, production=False)
    again = InsecureDevelopmentAuthority.load_or_create(folder, now=NOW, production=False)
    assert first.certificate == again.certificate
    assert "INSECURE" in first.certificate.subject.rfc4514_string()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    (folder / "insecure-development-ca.key.pem").unlink()
    with pytest.raises(ConfigurationError):
        InsecureDevelopmentAuthority.load_or_create(folder, now=NOW, production=False)


def test_a_certificate_never_outlives_its_authority(authority: InsecureDevelopmentAuthority, rsa_pair: Pair) -> None:
    jwk = authority.issue(rsa_pair[0], subject="x" * 100, now=NOW, days=100_000)
    assert keys.expires_at(jwk) == authority.certificate.not_valid_after_utc


def test_certificates_without_keys_that_fit_say_so() -> None:
    assert not certificates.certifies(
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key((key := ed25519.Ed25519PrivateKey.generate()).public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .sign(key, None),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    )
