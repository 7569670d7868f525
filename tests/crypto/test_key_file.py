"""Private keys as a PKI hands them out become the connector's, under the name that the hub gives their certificate."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from click.testing import CliRunner
from stage import NOW

from hub.cli import main
from hub.connector.opening import load_keys
from hub.connector.settings import Address
from hub.crypto import KeyPolicy, judge_encryption_key, read_decryption_key
from hub.crypto.key_file import make_new_key, read_private, read_public, rounds_of
from hub.errors import ConfigurationError, KeyRefused

PASSWORD = "geheim-4711"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One RSA key as OpenSSL writes it: plain and encrypted PEM, PKCS#12, and its certificate."""
    folder = tmp_path_factory.mktemp("keys")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=100)

    made = "req -x509 -newkey rsa:4096 -nodes -keyout plain.pem -out cert.pem -subj /CN=Musterstadt -days 9"
    openssl(*made.split())
    openssl(*f"pkey -in plain.pem -aes256 -passout pass:{PASSWORD} -out locked.pem".split())
    openssl(*f"pkcs12 -export -inkey plain.pem -in cert.pem -passout pass:{PASSWORD} -out key.p12".split())
    (folder / "both.pem").write_bytes((folder / "plain.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    (folder / "password").write_text(PASSWORD + "\n")
    for file in folder.iterdir():
        file.chmod(0o600)
    return folder


def jwk(*arguments):
    return CliRunner().invoke(main, ["keys", "jwk", *map(str, arguments)])


def test_pem_and_pkcs12_become_the_private_half_of_the_certificates_jwk(files):
    public = json.loads(jwk(files / "cert.pem").stdout)
    for name in ("both.pem", "key.p12"):
        ran = jwk(files / name, "--private", "--password-file", files / "password")
        assert ran.exit_code == 0, ran.output
        private = json.loads(ran.stdout)
        assert (private["kid"], private["n"], private["key_ops"]) == (public["kid"], public["n"], ["unwrapKey"])
        assert read_decryption_key(private).kid == public["kid"]
        # The public half comes from the same file as well.
        assert json.loads(jwk(files / name, "--password-file", files / "password").stdout) == public
    assert (
        json.loads(jwk(files / "locked.pem", "--private", "--password-file", files / "password").stdout)["d"]
        == private["d"]
    )


def test_a_wrong_or_missing_password_and_what_is_no_key_are_said(files):
    for name in ("locked.pem", "key.p12"):
        for password in (None, b"wrong"):
            with pytest.raises(KeyRefused, match="password"):
                read_private((files / name).read_bytes(), use="signing", password=password)
    for content in (b"hello", b"{}x", b"[]", (files / "cert.pem").read_bytes()):
        with pytest.raises(KeyRefused):
            read_private(content, use="signing")
    assert jwk(files / "plain.pem").exit_code == 1  # Without a certificate there is no public half.


def test_the_connector_takes_them_and_names_all_files_that_it_cannot(files, tmp_path):
    one = Address(
        destination_id=uuid4(),
        decryption_key_files=(files / "key.p12", files / "locked.pem"),
        signing_key_file=files / "both.pem",
        key_password_file=files / "password",
        signing_key_id="deposited-4711",
    )
    (keys,) = load_keys([one]).values()
    assert keys.signing.kid == "deposited-4711"
    assert {key.thumbprint for key in keys.decryption} == {keys.decryption[0].thumbprint}
    broken = tmp_path / "broken.jwk"
    broken.touch(mode=0o600)
    bad = Address(
        destination_id=one.destination_id,
        decryption_key_files=(broken, files / "key.p12"),
        signing_key_file=tmp_path / "none.pem",
    )
    with pytest.raises(ConfigurationError) as caught:
        load_keys([bad])
    for name in ("broken.jwk", "key.p12", "none.pem"):
        assert name in caught.value.detail.de


def test_a_new_key_is_one_that_the_key_policy_takes_and_comes_with_a_request_for_the_pki():
    new = make_new_key("encryption", subject="Musterstadt", now=NOW, validity=timedelta(days=9))
    judged = judge_encryption_key(new.public, now=NOW, policy=KeyPolicy(allow_self_signed=True))
    assert judged.kid == read_decryption_key(new.private).kid
    assert new.request.startswith(b"-----BEGIN CERTIFICATE REQUEST-----")
    assert "d" not in new.public
    assert orjson.dumps(new.private)
    assert new.private["d"] not in repr(new)


def exported(files, name: str, *how: str) -> bytes:
    """A PKCS#12 file as OpenSSL writes it."""
    command = ["openssl", "pkcs12", "-export", "-inkey", "plain.pem", "-in", "cert.pem", "-out", name, *how]
    subprocess.run([*command, "-passout", f"pass:{PASSWORD}"], cwd=files, check=True, capture_output=True)
    return (files / name).read_bytes()


def test_rounds_are_counted_over_all_parts_whatever_derives_them(files):
    """One for the certificate, one for the key, one for the MAC."""
    assert rounds_of(exported(files, "usual.p12")) == 3 * 2048
    assert rounds_of(exported(files, "more.p12", "-iter", "5000")) == 3 * 5000
    assert rounds_of(exported(files, "old.p12", "-legacy", "-iter", "700")) == 3 * 700
    assert rounds_of(exported(files, "open.p12", "-keypbe", "NONE", "-certpbe", "NONE", "-nomac")) == 0
    assert rounds_of(exported(files, "few.p12", "-iter", "700", "-nomaciter")) == 2 * 700  # One is not written.


def test_attack_rounds_that_would_take_an_hour_are_refused_before_the_first(files):
    """The count of a small file is raised in place, in each part by itself: nothing derives so many to write it."""
    written = exported(files, "small.p12", "-iter", "1193046")  # 0x123456, three bytes that stand nowhere else.
    usual = exported(files, "first.p12", "-iter", "2048")
    assert written.count(b"\x02\x03\x12\x34\x56") == 3
    assert read_public(usual, use="encryption", password=PASSWORD.encode())
    for place in range(3):
        parts = written.split(b"\x02\x03\x12\x34\x56")
        counts = [b"\x02\x03\x00\x00\x01"] * 3
        counts[place] = b"\x02\x03\x7f\xff\xff"
        raised = parts[0] + b"".join(count + part for count, part in zip(counts, parts[1:], strict=True))
        with pytest.raises(KeyRefused, match="2 million rounds"):
            read_public(raised, use="encryption", password=PASSWORD.encode())


def test_attack_of_a_length_that_is_not_said_or_a_nest_without_end_nothing_is_derived(files):
    usual = exported(files, "other.p12")
    nested = b""
    for _ in range(60):
        nested = b"\x30\x82" + len(nested).to_bytes(2, "big") + nested
    for content in (
        b"\x30\x80" + usual[4:] + b"\0\0",
        nested,
        usual[:-9],
        b"\x30\x05\x24\x03\x04\x01a",
        b"\x30",
    ):
        with pytest.raises(KeyRefused, match="not written in DER"):
            read_public(content, use="encryption", password=PASSWORD.encode())
