"""``hub keys jwk``: from an authority's certificate to the key of its destination."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result
from openssl_cms import opened

from hub.cli import main
from hub.crypto.cms import CmsWriter
from hub.crypto.keys import KeyPolicy, judge_encryption_key


def certificate(folder: Path, *options: str) -> Path:
    """Let openssl make a certificate, as an authority would get it."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-keyout",
        "key",
        "-out",
        "pem",
        "-subj",
        "/CN=Muster",
        "-days",
        "9",
    ]
    subprocess.run([*command, *options], cwd=folder, check=True, capture_output=True, timeout=100)
    return folder / "pem"


def jwk(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["keys", "jwk", str(path), *options])


def test_a_certificate_without_rsa_is_refused_in_words(tmp_path):
    refused = jwk(certificate(tmp_path, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
    assert refused.exit_code == 1
    assert "Das Zertifikat enthält keinen RSA-Schlüssel" in refused.output


def test_a_certificate_becomes_a_key_that_the_hub_seals_for_and_its_owner_opens(tmp_path):
    path = certificate(tmp_path, "-newkey", "rsa:4096", "-addext", "keyUsage=critical,keyEncipherment")
    document = json.loads(jwk(path).output)
    now = datetime.now(UTC) + timedelta(minutes=1)
    key = judge_encryption_key(document, now=now, policy=KeyPolicy(allow_self_signed=True))
    out: list[bytes] = []
    writer = CmsWriter(key, content_type="text/plain", filename="gruß.txt", sink=out.append)
    writer.write("Grüße".encode())
    writer.finish()
    found = opened(out[0], (tmp_path / "key").read_bytes(), tmp_path, inform="DER")
    assert (found.filename, found.body.decode()) == ("gruß.txt", "Grüße")
    signing = json.loads(jwk(path, "--use", "signing").output)
    assert (signing["key_ops"], signing["alg"]) == (["verify"], "PS512")
