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
from hub.crypto.key_file import make_new_key, read_private
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
