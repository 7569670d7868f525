"""The conformance kit: packages with what is expected, verdicts, reports that anybody checks, looks at destinations."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import requests
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from stage import BAUANTRAG, BAUEN, NOW, TAUNUSSTEIN, serving

from hub.adapter_kit.partner import MisbehavingPartner, Misbehaviour
from hub.cli import main
from hub.crypto import certificates, decrypt, read_decryption_key
from hub.crypto.revocation import RevocationState, by_answer, by_list, judged_by
from hub.errors import HubError, Invalid
from hub.model import EVERYTHING


def hub(stage, *arguments, code=0):
    done = CliRunner().invoke(main, ["conformance", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def package(stage, tmp_path):
    """A package of both halves, for the key of one of the demo's authorities."""
    private = stage.cast["destinations"][0]["private_decryption_jwk"]
    key = tmp_path / "key.json"
    public = {name: private[name] for name in ("kty", "n", "e", "kid", "alg")} | {"key_ops": ["wrapKey"]}
    key.write_text(json.dumps(public))
    folder = tmp_path / "package"
    hub(stage, "package", "bauantrag", "1.0", folder, "--key", key, "--data", stage.data)
    return folder, read_decryption_key(private)


def cases(folder):
    return {each["case"]: each["expected"] for each in json.loads((folder / "cases.json").read_text())["cases"]}


def as_expected(folder, **changes):
    said = {}
    for name, expected in cases(folder).items():
        problem = f":{expected['problems'][0]}" if expected["problems"] else ""
        said[name] = expected["answer"] + problem
    (folder / "answers.json").write_text(json.dumps(said | {f"receive/{k}": v for k, v in changes.items()}))


def opened(folder, name, key):
    """What a receiver makes of a case: accept, or reject and why; written from FIT-Connect's rules alone."""
    sent = json.loads((folder / f"{name}.json").read_text())
    if "encryptedData" not in sent:
        return "reject:missing-data"
    try:
        metadata = json.loads(decrypt(sent["encryptedMetadata"].encode(), [key], max_output=10**6))
        data = decrypt(sent["encryptedData"].encode(), [key], max_output=10**6)
    except HubError:
        return "reject:encryption-issue"
    import hashlib

    if hashlib.sha512(data).hexdigest() != metadata["contentStructure"]["data"]["hash"]["content"]:
        return "reject:hash-mismatch"
    return "accept" if b"<bau:" in data and data.startswith(b"<") else "reject:schema-violation"


def test_a_receiver_that_opens_and_compares_answers_as_the_package_expects(package):
    folder, key = package
    expected = cases(folder)
    received = [name for name in expected if name.startswith("receive/")]
    assert len(received) == 7
    for name in received:
        answer, _, problem = opened(folder, name, key).partition(":")
        if "schema-violation" in expected[name]["problems"]:
            continue  # It takes the schema to see that.
        assert answer == expected[name]["answer"], name
        assert answer == "accept" or problem in expected[name]["problems"], name
    first, again = ((folder / f"receive/{name}.json").read_bytes() for name in ("01-good", "02-again"))
    assert first == again


def test_a_report_counts_what_was_as_expected_and_proves_it_offline(stage, package, tmp_path):
    folder, _ = package
    as_expected(folder)
    judge = ("judge", folder, "--vendor", "Werk <GmbH>", "--product", "Netz/4.2", "--data", stage.data)
    total = len(cases(folder))
    assert f"{total} / {total}" in hub(stage, *judge)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(stage.hub.keys.hub_jwks()))
    for name in ("report.json", "report.html"):
        said = hub(stage, "verify", folder / name, "--jwks", jwks, "--data", tmp_path / "nothing")
        report = json.loads(said.partition("genuine")[2])
        assert (report["good"], report["cases"]) == (total, total)
        assert report["software"] == {"vendor": "Werk <GmbH>", "product": "Netz", "version": "4.2"}
    assert "Werk &lt;GmbH&gt;" in (folder / "report.html").read_text()
    as_expected(folder, **{"05-tag": "accept", "06-key": "reject:hash-mismatch"})
    printed = hub(stage, *judge, code=1)
    assert "!! receive/05-tag: accept" in printed
    assert f"{total - 2} / {total}" in printed


def test_a_forged_report_proves_nothing(stage, package, tmp_path):
    folder, _ = package
    as_expected(folder, **{"05-tag": "accept"})
    hub(stage, "judge", folder, "--vendor", "W", "--product", "N/1", "--data", stage.data, code=1)
    file = folder / "report.json"
    head, payload, signature = json.loads(file.read_text())["token"].split(".")
    for forged in (f"{head}.{payload[:-6]}AAAAAA.{signature}", f"{head}.{payload}.{'A' * 86}", "nothing at all"):
        file.write_text(json.dumps({"token": forged}))
        hub(stage, "verify", file, "--data", stage.data, code=1)
    # A receipt of the same key is no report.
    file.write_text(json.dumps({"token": stage.accept().receipt}))
    hub(stage, "verify", file, "--data", stage.data, code=1)


def test_answers_that_are_none_are_named_and_what_is_missing_counts_as_wrong(stage, package):
    folder, _ = package
    judge = ("judge", folder, "--vendor", "W", "--product", "N/1", "--data", stage.data)
    hub(stage, *judge, code=1)
    (folder / "answers.json").write_text(json.dumps({"receive/01-good": "maybe"}))
    assert "receive/01-good" in hub(stage, *judge, code=1)
    (folder / "answers.json").write_text(json.dumps({"receive/01-good": "accept"}))
    assert f"1 / {len(cases(folder))}" in hub(stage, *judge, code=1)
    assert "schon" in hub(stage, "package", "bauantrag", "1.0", folder, "--data", stage.data, code=1)
    hub(stage, "package", "..", "x", folder / "new", "--data", stage.data, code=1)


def test_a_recorded_score_stands_on_the_vendors_page_by_product_and_version(pages, tmp_path):
    stage, otto = pages.stage, pages.as_("otto")
    vendor = otto.post("/vendors", name="Werk").url.rpartition("/")[2].partition("?")[0]
    folder = tmp_path / "package"
    hub(stage, "package", "bauantrag", "1.0", folder, "--data", stage.data)
    as_expected(folder)
    for product in ("Netz/1", "Netz/2"):
        hub(stage, "judge", folder, "--vendor", vendor, "--product", product, "--record", "--data", stage.data)
    page = otto.get(f"/vendors/{vendor}").text
    assert "Netz 1" in page
    assert "Netz 2" in page
    assert f"{len(cases(folder))} / {len(cases(folder))}" in page
    hub(stage, "judge", folder, "--vendor", "x", "--product", "N/1", "--record", "--data", stage.data, code=1)


def test_a_destination_is_looked_at_piece_by_piece(stage):
    there = stage.cast["destinations"][0]["destination_id"]
    shown = hub(stage, "inspect", there, "--data", stage.data)
    for piece in ("status", "services", "encryption-key", "signature-key", "addressing-signature"):
        assert f"ok  {piece}:" in shown, piece
    assert "--  encryption-key.revocation" in shown
    stray = stage.data / "stray.crl"
    stray.write_bytes(b"no list")
    assert "!!  encryption-key.revocation" in hub(stage, "inspect", there, "--crl", stray, "--data", stage.data, code=1)
    hub(stage, "inspect", "00000000-0000-0000-0000-000000000001", "--data", stage.data, code=1)
    assert stage.hub.store.parties.destinations(scope=EVERYTHING, limit=1).total


@pytest.fixture(scope="module")
def chain():
    """A leaf and its issuer, with the issuer's private key and a stranger's."""
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]
    year = timedelta(days=365)
    issuer = certificates.authority(keys[0], subject="CN=CA", now=NOW, validity=year)
    stranger = certificates.authority(keys[2], subject="CN=CA", now=NOW, validity=year)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "amt")]))
        .issuer_name(issuer.subject)
        .public_key(keys[1].public_key())
        .serial_number(4711)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + year)
        .sign(keys[0], SHA256())
    )
    return leaf, issuer, keys[0], stranger, keys[2]


def crl(chain, *, key=None, serials=(), age=timedelta(hours=1)):
    issuer = chain[1]
    made = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    made = made.last_update(NOW - age).next_update(NOW - age + timedelta(days=1))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - age).build()
        made = made.add_revoked_certificate(entry)
    return made.sign(key or chain[2], SHA256()).public_bytes(Encoding.DER)


def answer(chain, status=ocsp.OCSPCertStatus.GOOD, *, key=None, signer=None, age=timedelta(hours=1)):
    leaf, issuer, own = chain[:3]
    gone = status is ocsp.OCSPCertStatus.REVOKED
    made = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf,
        issuer=issuer,
        algorithm=SHA256(),
        cert_status=status,
        this_update=NOW - age,
        next_update=NOW - age + timedelta(days=1),
        revocation_time=NOW - age if gone else None,
        revocation_reason=None,
    )
    made = made.responder_id(ocsp.OCSPResponderEncoding.HASH, signer or issuer)
    return made.sign(key or own, SHA256()).public_bytes(Encoding.DER)


def test_lists_and_answers_count_only_where_the_issuer_signed_them_lately(chain):
    leaf, issuer, _, stranger, foreign = chain
    good, gone, unknown = RevocationState.GOOD, RevocationState.REVOKED, RevocationState.UNKNOWN
    old = timedelta(days=3)
    for content, said in (
        (crl(chain), good),
        (crl(chain, serials=[4711]), gone),
        (crl(chain, serials=[4712]), good),
        (crl(chain, key=foreign, serials=[4711]), unknown),
        (crl(chain, age=old), unknown),
        (b"", unknown),
    ):
        assert by_list(content, leaf, issuer, now=NOW) is said
    for content, said in (
        (answer(chain), good),
        (answer(chain, ocsp.OCSPCertStatus.REVOKED), gone),
        (answer(chain, ocsp.OCSPCertStatus.UNKNOWN), unknown),
        (answer(chain, key=foreign, signer=stranger), unknown),
        (answer(chain, age=old), unknown),
        (b"\x30\x03\x0a\x01\x06", unknown),
    ):
        assert by_answer(content, leaf, issuer, now=NOW) is said
    assert judged_by([leaf, issuer], [crl(chain)], [answer(chain, ocsp.OCSPCertStatus.REVOKED)], now=NOW) is gone
    assert judged_by([leaf], [crl(chain)], [], now=NOW) is unknown
    assert by_answer(answer(chain), issuer, issuer, now=NOW) is unknown, "it speaks of another certificate"


def test_a_partner_that_misbehaves_loses_what_the_hub_has_taken_or_keeps_it_back(stage):
    with serving(stage) as served:
        headers = {**served.session.headers, "Content-Type": "application/xml"}
        where = {"service": BAUEN, "ars": TAUNUSSTEIN}

        def submit(base, key):
            return requests.post(
                f"{base}/hub/v1/applications",
                params=where,
                data=BAUANTRAG,
                headers={**headers, "Idempotency-Key": key},
                timeout=30,
            )

        lossy = MisbehavingPartner(served.base_url, Misbehaviour.LOST)
        assert submit(lossy.base_url, "eins").status_code == 202
        with pytest.raises(requests.ConnectionError):
            submit(lossy.base_url, "zwei")
        # The hub has it: a repeat is answered with the receipt of then.
        assert submit(lossy.base_url, "zwei").status_code == 202
        lossy.close()
        broken = MisbehavingPartner(served.base_url, Misbehaviour.BROKEN, every=1)
        assert submit(broken.base_url, "drei").status_code == 500
        broken.close()
        slow = MisbehavingPartner(served.base_url, Misbehaviour.SLOW, every=1, seconds=0.1)
        assert submit(slow.base_url, "drei").status_code == 202
        slow.close()
    with pytest.raises(Invalid):
        MisbehavingPartner("http://hub.example.org", Misbehaviour.SLOW)
