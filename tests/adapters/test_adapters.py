# ruff: noqa: E402  # The folder of shared test code must be known before it is imported.
from __future__ import annotations

import hashlib
import hmac
import resource
import ssl
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar
from uuid import UUID, uuid4

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from contract import NOON, Trouble, bulky, check, check_repeat, check_strictness, make_package, sentences, without
from partner import RESET_EARLY, Answer, Fault, Partner, always

from adapters.folder import Folder
from adapters.https import Https
from hub.envelope import message as envelope
from adapters.mailbox import Mailbox
from hub.delivery import Adapter
from hub.errors import ConfigurationError
from hub.submission import OutcomeKind

SECRET = "0123456789abcdef0123456789abcdef"


# --- rigs -----------------------------------------------------------------------------------------------------------


class HttpsRig:
    troubles = frozenset(Trouble) - {Trouble.NO_SPACE, Trouble.CUT_MID_WRITE}
    ANSWERS: ClassVar = {
        Trouble.PAYLOAD_REFUSED: Answer(status=422, body=b'{"detail":"Erika Mustermann"}'),
        Trouble.TOO_LARGE: Answer(status=413),
        Trouble.WRONG_MEDIA: Answer(status=415),
        Trouble.MALFORMED: Answer(status=400),
        Trouble.METHOD_REFUSED: Answer(status=405),
        Trouble.BAD_CREDENTIALS: Answer(status=401),
        Trouble.FORBIDDEN: Answer(status=403),
        Trouble.WRONG_PATH: Answer(status=404),
        Trouble.IN_PROGRESS: Answer(status=409),
        Trouble.CLOSED_FOR_GOOD: Answer(status=410),
        Trouble.TOO_MANY_SECONDS: Answer(status=429, headers={"Retry-After": "120"}),
        Trouble.TOO_MANY_NONSENSE: Answer(status=429, headers={"Retry-After": "-1e9; soon"}),
        Trouble.TOO_MANY_FOREVER: Answer(status=429, headers={"Retry-After": "9" * 400}),
        Trouble.MAINTENANCE: Answer(status=503, headers={"Retry-After": "7"}),
        Trouble.BROKEN: Answer(status=500),
        Trouble.GATEWAY_TIMEOUT: Answer(status=504),
    }
    FAULTS: ClassVar = {
        Trouble.HANG: Fault.HANG,
        Trouble.DRIP: Fault.DRIP,
        Trouble.DRIP_AFTER_YES: Fault.DRIP_BODY,
        Trouble.RESET_LATE: Fault.RESET_AFTER_BODY,
        Trouble.SILENT_CLOSE: Fault.SILENT_CLOSE,
        Trouble.HALF_ANSWER: Fault.HALF_ANSWER,
        Trouble.NOISE: Fault.NOISE,
        Trouble.HUGE_BODY: Fault.HUGE_BODY,
        Trouble.HUGE_HEADER: Fault.HUGE_HEADER,
    }

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.pki = pki
        self.secret = folder / "secret"
        self.secret.write_text(SECRET + "\n")
        self.partner = Partner(tls=pki.server("127.0.0.1"))
        self.partners = [self.partner]

    def arrange(self, trouble: Trouble) -> Adapter:
        options = {}
        if trouble in self.ANSWERS:
            self.partner.play = always(self.ANSWERS[trouble])
        elif trouble in self.FAULTS:
            self.partner.play = always(self.FAULTS[trouble])
            options["timeout"] = 0.6
        elif trouble is not Trouble.NONE:
            options = self._prepare(trouble)
        return self.adapter(**options)

    def _prepare(self, trouble: Trouble) -> dict:
        match trouble:
            case Trouble.GONE:
                self.partner.close()
            case Trouble.NO_SUCH_NAME:
                return {"url": "https://receiver.invalid/in"}
            case Trouble.RESET_EARLY:
                self.partner.play = RESET_EARLY
            case Trouble.REDIRECT:
                target = self._another(self.pki.server("127.0.0.1"))
                self.partner.play = always(Answer(status=307, headers={"Location": target.url + "/elsewhere"}))
            case Trouble.TOO_MANY_DATE:
                later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
                self.partner.play = always(Answer(status=429, headers={"Retry-After": later}))
            case Trouble.UNTRUSTED_CERTIFICATE:
                self.partner = self._another(Pki(self.secret.parent / "foreign").server("127.0.0.1"))
            case Trouble.WRONG_NAME_IN_CERTIFICATE:
                self.partner = self._another(self.pki.server("192.0.2.7"))
            case Trouble.NO_TLS:
                self.partner = self._another(None)
                return {"url": self.partner.url.replace("http://", "https://") + "/in"}
            case Trouble.CLIENT_CERTIFICATE_WANTED:
                self.partner = self._another(self.pki.server("127.0.0.1", client_certificate=True))
        return {}

    def _another(self, tls: ssl.SSLContext | None) -> Partner:
        self.partners.append(Partner(tls=tls))
        return self.partners[-1]

    def adapter(self, **options) -> Https:
        adapter = Https(self.config(**options))
        adapter.open()
        return adapter

    def config(self, **options) -> dict:
        return {
            "url": self.partner.url + "/in",
            "secret_file": str(self.secret),
            "ca_file": str(self.pki.ca_file),
            "allow_private_addresses": True,
            "timeout": 5,
            **options,
        }

    def held(self) -> list[UUID]:
        taken = []
        for partner in self.partners:
            for heard in partner.heard:
                answer = partner.play(heard)
                if answer in (Fault.DRIP_BODY, Fault.HUGE_BODY) or getattr(answer, "status", 0) == 200:
                    taken.append(UUID(heard.headers["Idempotency-Key"]))
        return taken

    def close(self) -> None:
        for partner in self.partners:
            if not partner.released.is_set():
                partner.close()


class FolderRig:
    troubles = frozenset({Trouble.NONE, Trouble.GONE, Trouble.NO_SPACE, Trouble.CUT_MID_WRITE})

    def __init__(self, folder: Path) -> None:
        self.root = folder / "in"
        self.root.mkdir()
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def arrange(self, trouble: Trouble) -> Adapter:
        adapter = Folder(self.config())
        adapter.open()
        match trouble:
            case Trouble.NONE:
                pass
            case Trouble.GONE:
                self.root.rmdir()
            case Trouble.NO_SPACE:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, self.limits[1]))
            case Trouble.CUT_MID_WRITE:
                (self.root / f".{uuid4()}.0.part" / "attachments").mkdir(parents=True)
        return adapter

    def config(self) -> dict:
        return {"path": str(self.root)}

    def held(self) -> list[UUID]:
        if not self.root.exists():
            return []
        return [UUID(entry.name) for entry in self.root.iterdir() if not entry.name.startswith(".")]

    def close(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


class Pki:
    """A certification authority and certificates for one test run (EC, so that it costs nothing)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self.ca_file = folder / "ca.pem"
        self.ca = self._certificate(self.name, self.key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
        self.ca_file.write_bytes(self.ca.public_bytes(serialization.Encoding.PEM))

    def _certificate(self, subject, public_key, *extensions) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256())

    def files(self, address: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        certificate = self._certificate(subject, key.public_key(), names)
        stem = self.folder / uuid4().hex
        paths = stem.with_suffix(".pem"), stem.with_suffix(".key")
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pkcs8, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, clear))
        return paths

    def server(self, address: str, *, client_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(address))
        if client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def https(tmp_path, pki):
    rig = HttpsRig(tmp_path, pki)
    yield rig
    rig.close()


@pytest.fixture
def folder(tmp_path):
    rig = FolderRig(tmp_path)
    yield rig
    rig.close()


# --- the contract, for each adapter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sentence", sentences(HttpsRig.troubles))
def test_https(sentence, https):
    check(sentence, https)


@pytest.mark.parametrize("sentence", sentences(FolderRig.troubles))
def test_folder(sentence, folder):
    check(sentence, folder)


def test_https_repeats_under_the_same_delivery_id(https):
    check_repeat(https)
    first, second = (heard.json() for heard in https.partner.heard)
    assert (first["attempt"], first["repeat"]) == (1, False)
    assert (second["attempt"], second["repeat"]) == (2, True)


def test_folder_makes_no_second_copy(folder):
    check_repeat(folder)
    assert len(folder.held()) == 1


def test_every_adapter_refuses_an_unknown_option(https, folder):
    check_strictness(Https, https.config())
    check_strictness(Folder, folder.config())
    check_strictness(Mailbox, {})


# --- mailbox --------------------------------------------------------------------------------------------------------


def test_the_mailbox_waits():
    adapter = Mailbox({})
    adapter.open()
    assert adapter.deliver(make_package()).kind is OutcomeKind.WAITING
    adapter.close()


# --- folder ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [{}, {"path": 7}, {"path": "relative/place"}])
def test_a_folder_needs_an_absolute_path(config):
    with pytest.raises(ConfigurationError, match="path"):
        Folder(config)


def test_a_folder_that_is_missing_stops_the_start(tmp_path):
    with pytest.raises(ConfigurationError):
        Folder({"path": str(tmp_path / "nowhere")}).open()


def test_nothing_half_is_left_after_no_space(folder):
    adapter = folder.arrange(Trouble.NO_SPACE)
    adapter.deliver(make_package())
    folder.close()
    assert list(folder.root.iterdir()) == []


def test_a_retry_clears_what_its_own_crash_left(folder):
    adapter, package = folder.arrange(Trouble.NONE), make_package()
    (folder.root / f".{package.delivery_id}.dead.part").mkdir()
    adapter.deliver(package)
    assert [entry.name for entry in folder.root.iterdir()] == [str(package.delivery_id)]


def test_the_manifest_names_every_file_with_its_hash(folder):
    adapter, package = folder.arrange(Trouble.NONE), make_package(attachments=3)
    adapter.deliver(package)
    delivered = folder.root / str(package.delivery_id)
    manifest = orjson.loads((delivered / "manifest.json").read_bytes())
    found = {str(path.relative_to(delivered)) for path in delivered.rglob("*.jwe")}
    assert found == set(manifest["files"])
    assert len(found) == 5
    for name, facts in manifest["files"].items():
        content = (delivered / name).read_bytes()
        assert (hashlib.sha512(content).hexdigest(), len(content)) == (facts["sha512"], facts["size"])


def test_two_attempts_at_once_make_one_delivery(folder):
    adapter, package = folder.arrange(Trouble.NONE), make_package(attachments=5)
    kinds = []
    threads = [threading.Thread(target=lambda: kinds.append(adapter.deliver(package).kind)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # An attempt whose half was swept by a faster one may say "unreachable"; nobody may lie, nothing may be left.
    assert OutcomeKind.DELIVERED in kinds
    assert set(kinds) <= {OutcomeKind.DELIVERED, OutcomeKind.UNREACHABLE}
    assert [entry.name for entry in folder.root.iterdir()] == [str(package.delivery_id)]


# --- https ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "change"),
    {
        "plain http": {"url": "http://receiver.example/in"},
        "another scheme": {"url": "ftp://receiver.example/in"},
        "no host": {"url": "https:///in"},
        "credentials in the address": {"url": "https://user:pass@receiver.example/in"},
        "a secret in the query": {"url": "https://receiver.example/in?token=1"},
        "no time": {"timeout": 0},
        "too much time": {"timeout": 3600},
        "a wrong type": {"timeout": "soon"},
        "a negative limit": {"inline_limit": -1},
    }.items(),
)
def test_https_refuses(reason, change, https):
    with pytest.raises(ConfigurationError):
        Https(https.config(**change))


@pytest.mark.parametrize("content", [b"short", b"x" * 513, b"\xff" * 40])
def test_a_secret_must_be_usable(content, https):
    https.secret.write_bytes(content)
    with pytest.raises(ConfigurationError):
        https.adapter()


def test_missing_files_stop_the_start(https):
    for option in ("secret_file", "ca_file", "client_cert_file"):
        with pytest.raises(ConfigurationError):
            https.adapter(**{option: "/nowhere/at/all"})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"]
)
def test_an_inward_address_is_not_connected_to(host, https):
    adapter = https.adapter(url=f"https://{host}:{https.partner.port}/in", allow_private_addresses=False)
    outcome = adapter.deliver(make_package())
    assert (outcome.kind, outcome.note) == (OutcomeKind.UNREACHABLE, "address is not public")
    assert https.partner.heard == []


def test_a_proxy_of_the_environment_is_not_used(https, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert https.adapter().deliver(make_package()).kind is OutcomeKind.DELIVERED


def test_the_deadline_holds_whatever_the_receiver_does(https):
    for fault in (Fault.HANG, Fault.DRIP):
        https.partner.play = always(fault)
        start = time.monotonic()
        https.adapter(timeout=0.4).deliver(make_package())
        assert time.monotonic() - start < 1.5


def test_a_client_certificate_opens_the_door(https, pki):
    https.partner = https._another(pki.server("127.0.0.1", client_certificate=True))
    certificate, key = pki.files("127.0.0.1")
    adapter = https.adapter(client_cert_file=str(certificate), client_key_file=str(key))
    assert adapter.deliver(make_package()).kind is OutcomeKind.DELIVERED


def test_the_signature_covers_timestamp_and_body(https):
    https.adapter().deliver(make_package())
    (heard,) = https.partner.heard
    timestamp = heard.headers["Callback-Timestamp"]
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + heard.body, hashlib.sha512).hexdigest()
    assert heard.headers["Callback-Authentication"] == expected
    assert abs(int(timestamp) - time.time()) < 60
    assert b"\n" not in heard.body


def test_the_envelope_says_everything_the_receiver_needs():
    package = make_package(attachments=1)
    submission = package.submission
    contents = submission.contents
    ((attachment_id, attachment),) = contents.attachments.items()
    assert orjson.loads(envelope(package, 1_000_000)) == {
        "version": 1,
        "deliveryId": str(package.delivery_id),
        "attempt": 1,
        "repeat": False,
        "submissionId": str(submission.submission_id),
        "caseId": str(submission.case_id),
        "destinationId": str(submission.destination_id),
        "publicService": {"identifier": submission.service.identifier, "name": "Bauantrag"},
        "submittedAt": NOON.isoformat(),
        "eventLog": ["e30.e30.c2ln"],
        "encryptedMetadata": contents.metadata.jwe.decode(),
        "encryptedData": contents.data.jwe.decode(),
        "attachments": [
            {
                "attachmentId": str(attachment_id),
                "sha512": attachment.sha512,
                "size": attachment.size,
                "jwe": attachment.jwe.decode(),
            }
        ],
    }


def test_attachments_past_the_limit_are_offered_by_url():
    package = make_package(attachments=2)
    contents = package.submission.contents
    room_for_one = contents.metadata.size + contents.data.size + next(iter(contents.attachments.values())).size + 10
    first, second = orjson.loads(envelope(package, room_for_one))["attachments"]
    assert "jwe" in first
    assert "url" not in first
    assert second["url"] == (
        f"https://hub.example.org/submission-api/v2/submissions/{package.submission.submission_id}"
        f"/attachments/{second['attachmentId']}"
    )
    assert second["sha512"] == contents.attachments[UUID(second["attachmentId"])].sha512


def test_a_submission_without_data_says_null():
    assert orjson.loads(envelope(without(make_package(), data=True), 1000))["encryptedData"] is None


def test_a_large_delivery_arrives_whole(https):
    package = bulky(make_package())
    assert https.adapter().deliver(package).kind is OutcomeKind.DELIVERED
    assert https.partner.heard[0].json()["encryptedData"] == package.submission.contents.data.jwe.decode()
