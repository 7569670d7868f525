"""AS4 against access points that nobody here wrote: phase4 (Java) both ways, and PyPI's ``as4`` both ways."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from as4_parties import CONTENT, Side, make, replaced, side, signed_anew, written_agreement
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from cryptography.x509 import load_pem_x509_certificate
from mail_server import free_port
from maven import NOT_HAD
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, serving, staged

from adapters.as4 import As4
from hub.adapter_kit.http import Heard, Receiver, StagedAnswer
from hub.adapter_kit.packages import again, make_package
from hub.model import DeadCause, Outcome, OutcomeKind, Package
from hub.soap.as4 import write_receipt
from hub.soap.as4_reader import read_envelope
from hub.soap.ebms import INITIATOR, RESPONDER, Agent, ReceiptSignal

PROJECT = Path(__file__).parent / "as4_peer"
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Phase4:
    """phase4, compiled: the folder of its keys, and the command that runs it."""

    folder: Path
    command: list[str]

    def run(self, *words: str, service: str = "urn:example:service") -> str:
        java, *others = self.command
        done = subprocess.run(
            [java, f"-Dservice={service}", *others, words[0], str(self.folder), *words[1:]],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def phase4(tmp_path_factory: pytest.TempPathFactory) -> Phase4:
    if not shutil.which("javac") or not shutil.which("mvn"):
        pytest.skip("no JDK 17 and Maven on this machine")
    project = tmp_path_factory.mktemp("as4") / "peer"
    shutil.copytree(PROJECT, project)
    paths = project / "paths.txt"
    done = subprocess.run(
        ["mvn", "-B", "-q", "compile", "dependency:build-classpath", f"-Dmdep.outputFile={paths}"],
        cwd=project, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    if done.returncode and NOT_HAD.search(done.stdout):
        pytest.skip("phase4 cannot be had from the repository")
    assert done.returncode == 0, done.stdout[-3000:]
    own = side("bauamt")
    (project / "hub.pem").write_bytes(side("hub").pem)
    (project / "peer.pem").write_bytes(own.pem)
    key, certificate = load_pem_private_key(own.key_pem, None), load_pem_x509_certificate(own.pem)
    secret = BestAvailableEncryption(b"secret")
    (project / "peer.p12").write_bytes(pkcs12.serialize_key_and_certificates(b"peer", key, certificate, None, secret))  # type: ignore[arg-type]
    classes = os.pathsep.join([str(project / "target" / "classes"), paths.read_text().strip()])
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return Phase4(
        project, ["java", "-Xmx300m", "-XX:TieredStopAtLevel=1", quiet, "-cp", classes, "hub.interop.As4Peer"]
    )


@dataclass(frozen=True)
class Serving:
    """phase4 as a receiver; ``parts`` is what it took of a message."""

    url: str
    said: Path

    def parts(self, package: Package) -> list[tuple[int, str]]:
        lines = [line.split() for line in self.said.read_text().splitlines() if line.startswith("PART ")]
        return sorted((int(size), digest) for _word, name, size, digest in lines if str(package.delivery_id) in name)


@pytest.fixture(scope="module")
def listening(phase4: Phase4) -> Iterator[Serving]:
    port, said = free_port(), phase4.folder / "said.txt"
    command = [*phase4.command, "serve", str(phase4.folder), str(port)]
    with (
        said.open("w") as output,
        subprocess.Popen(command, cwd=phase4.folder, stdout=output, stderr=subprocess.STDOUT) as running,
    ):
        try:
            for _ in range(600):
                if "SERVES" in said.read_text():
                    break
                assert running.poll() is None, said.read_text()[-3000:]
                time.sleep(0.2)
            yield Serving(f"http://127.0.0.1:{port}/as4", said)
        finally:
            running.terminate()


def delivered(url: str, package: Package, folder: Path, *, own: Side, peer: Side) -> Outcome:
    for name, content in (("own.key", own.key_pem), ("own.pem", own.pem), ("peer.pem", peer.pem)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
    agreed = folder / "pmode.toml"
    agreed.write_text(
        'profile = "edelivery-1.15"\nagreement = "urn:example:agreement"\naction = "submit"\n'
        '[own]\nparty = "hub"\nkey_file = "own.key"\ncertificate_file = "own.pem"\n'
        '[peer]\nparty = "bauamt"\ncertificate_file = "peer.pem"\n'
    )
    options = {"url": url, "pmode_file": str(agreed), "domain": "hub.example", "allow_http": True}
    adapter = As4({**options, "allow_private_addresses": True, "timeout": 120})
    adapter.open()
    try:
        return adapter.deliver(package)
    finally:
        adapter.close()


def test_phase4_takes_every_part_and_signs_a_receipt_that_counts(listening: Serving, tmp_path: Path) -> None:
    package = make_package()
    outcome = delivered(listening.url, package, tmp_path, own=side("hub"), peer=side("bauamt"))
    assert outcome.kind is OutcomeKind.DELIVERED, outcome.note
    wanted = sorted((sealed.size, sealed.sha512) for _name, sealed in package.submission.contents.parts())
    taken = listening.parts(package)
    assert [each for each in taken if each in wanted] == wanted
    assert len(taken) == len(wanted) + 1  # the manifest
    assert f"TAKEN {package.delivery_id}@hub.example signed=true decrypted=true" in listening.said.read_text()
    assert outcome.proof is not None
    proven = read_envelope(outcome.proof).signal(side("bauamt").peer, now=datetime.now(UTC))
    assert proven.refers_to == f"{package.delivery_id}@hub.example"
    # Once more: phase4 knows the id, says so in an error of its own kind, and takes nothing twice.
    repeated = delivered(listening.url, again(package), tmp_path, own=side("hub"), peer=side("bauamt"))
    assert (repeated.kind, repeated.note) == (OutcomeKind.DELIVERED, f"was already there as {proven.refers_to}")
    assert b"was already handled (this is a duplicate)" in (repeated.proof or b"")
    assert listening.parts(package) == taken


def test_phase4_refuses_somebody_else(listening: Serving, tmp_path: Path) -> None:
    package = make_package()
    outcome = delivered(listening.url, package, tmp_path, own=side("eve"), peer=side("bauamt"))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION), outcome.note
    assert listening.parts(package) == []


def split(boundary: str, body: bytes) -> list[tuple[str, bytes]]:
    """Return head and content of each part."""
    marker = f"\r\n--{boundary}".encode()
    pieces = [piece.partition(b"\r\n\r\n") for piece in (b"\r\n" + body).split(marker)[1:-1]]
    return [(head.decode("latin-1"), content) for head, _blank, content in pieces]


def content_id(head: str) -> str:
    found = re.search(r"(?i)content-id: <([^>]+)>", head)
    assert found is not None
    return found[1]


def test_what_phase4_sends_is_read_and_its_receipt_verified(phase4: Phase4, tmp_path: Path) -> None:
    files = []
    for number, content in enumerate((CONTENT, os.urandom(200_000))):
        files.append(tmp_path / f"{number}.xml")
        files[-1].write_bytes(content)
    taken: list[bytes] = []

    def play(heard: Heard) -> StagedAnswer:
        boundary = re.search(r'boundary="([^"]+)"', heard.headers["Content-Type"])
        assert boundary is not None
        (_head, envelope), *others = split(boundary[1], heard.body)
        message = read_envelope(envelope).message(side("bauamt").peer, now=datetime.now(UTC))
        parts = message.open(side("hub").key, limit=10**6)
        for head, sealed in others:
            reader = parts.reader(content_id(head))
            taken.append(b"".join([*reader.write(sealed), *reader.finish()]))
        parts.finish()
        receipt = write_receipt(
            "receipt@hub.example", datetime.now(UTC), refers_to=message.message.message_id,
            references=message.references, key=side("hub").key,
        )  # fmt: skip
        return StagedAnswer(headers={"Content-Type": "application/soap+xml;charset=UTF-8"}, body=receipt)

    receiver = Receiver(play, None)
    try:
        said = phase4.run("send", f"http://127.0.0.1:{receiver.port}/", *map(str, files))
    finally:
        receiver.close()
    assert "VERIFIED true" in said, said[-2000:]
    assert taken == [file.read_bytes() for file in files]


def test_phase4_hands_in_an_application_at_the_door_and_counts_its_receipt(
    phase4: Phase4, made_once: Path, tmp_path: Path
) -> None:
    files = [tmp_path / "antrag.xml", tmp_path / "plan.xml"]
    files[0].write_bytes(BAUANTRAG)
    files[1].write_bytes(os.urandom(300_000))
    folder = written_agreement(tmp_path / "as4")
    with staged(made_once, tmp_path, as4_folder=str(folder)) as stage:
        stage.clock.now = datetime.now(UTC)
        agreed = folder / "bauamt.toml"
        agreed.write_text(agreed.read_text().replace("CLIENT", stage.sender) + f'area = "{TAUNUSSTEIN}"\n')
        with serving(stage) as served:
            said = phase4.run("send", f"{served.base_url}/as4", *map(str, files), service=BAUEN)
            assert "VERIFIED true" in said, said[-3000:]
            assert "HTTP 200" in said
            (listed,) = served.get("/hub/v1/applications").json()["applications"]
        assert (listed["service"], listed["ars"]) == (BAUEN, TAUNUSSTEIN)
        message = stage.hub.store.submissions.message(UUID(listed["submissionId"]))
        assert len(message.contents.attachments) == 1
    answer = (phase4.folder / "answer.xml").read_bytes()
    assert isinstance(read_envelope(answer).signal(side("hub").peer, now=datetime.now(UTC)), ReceiptSignal)


#: Runs in an environment of its own: builds a message; then judges the hub's receipt for it, and takes a message of the hub's.
_AS4 = """
import json, sys
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from as4 import AS4LocalPrivateKey, SecurityPolicy, pinned_certificates
from as4 import peppol

task = json.loads(sys.stdin.readline())
own, other = (x509.load_pem_x509_certificate(task[name].encode()) for name in ("own", "other"))
key = AS4LocalPrivateKey(load_pem_private_key(task["key"].encode(), None))
local = peppol.create_peppol_internal_party("PTE000001", own, key)
built = peppol.build_peppol_message(
    b"<Antrag xmlns='urn:example'>J\\xc3\\xbcrgen</Antrag>", local_party=local,
    remote_party=peppol.create_peppol_external_party("hub", other), sender="9932:9999999999", recipient="9932:1111111111",
    sender_country_id="DE", document_type_identifier_scheme="busdox-docid-qns",
    document_type_identifier_value="urn:example::Antrag##urn:example::1.0", process_identifier="urn:example:process:1.0")
body, boundary = built.get_request_data()
payload = next(iter(built.decrypted_data.values()))
print(json.dumps({"boundary": boundary, "body": body.decode("latin-1"), "payload": payload.decode("latin-1")}), flush=True)

task = json.loads(sys.stdin.readline())
receipt = peppol.parse_peppol_receipt(task["receipt"].encode("latin-1"), other)
receipt.verify_non_repudiation(built.signed_references)
policy = SecurityPolicy(signer_resolver=pinned_certificates(other))
taken = peppol.parse_peppol_message(
    request_headers=task["headers"], request_body=task["body"].encode("latin-1"), local_party=local, security_policy=policy)
signal = taken.build_signal()[1]
contents = [each.decode("latin-1") for each in taken.message.decrypted_data.values()]
print(json.dumps({"error": str(receipt.error or ""), "faults": [str(each) for each in taken.errors], "contents": contents,
                  "signal": signal.decode("latin-1")}), flush=True)
"""
_AP = "urn:fdc:peppol.eu:2017:identifiers:ap"


@pytest.fixture(scope="module")
def as4_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that holds PyPI's ``as4``: its pins are not the hub's."""
    kept = Path(sys.prefix) / "as4" / "bin" / "python"
    if kept.exists():
        return kept
    python, uv = tmp_path_factory.mktemp("as4") / "bin" / "python", Path(sys.executable).with_name("uv")
    lock = PROJECT.parents[2] / "benchmarks" / "as4.lock"
    for command in (
        [str(uv), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(python.parents[1])],
        [str(uv), "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(lock)],
    ):
        if not uv.exists() or subprocess.run(command, capture_output=True, check=False, timeout=300).returncode:
            pytest.skip("PyPI's as4 cannot be had from the registry")
    return python


def test_pypis_as4_and_the_hub_take_each_others_messages_and_receipts(as4_python: Path) -> None:
    own, other = side("hub"), side("bauamt")
    with subprocess.Popen(
        [str(as4_python), "-W", "ignore", "-c", _AS4], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        keys = {"own": other.pem.decode(), "key": other.key_pem.decode(), "other": own.pem.decode()}
        print(json.dumps(keys), file=running.stdin, flush=True)
        built = json.loads(running.stdout.readline())
        (_head, envelope), (head, sealed) = split(built["boundary"], built["body"].encode("latin-1"))
        message = read_envelope(envelope).message(other.peer, now=datetime.now(UTC))
        reader = message.open(own.key, limit=10**6).reader(content_id(head))
        assert b"".join([*reader.write(sealed), *reader.finish()]) == built["payload"].encode("latin-1")
        receipt = write_receipt(
            "receipt@hub.example", datetime.now(UTC), refers_to=message.message.message_id,
            references=message.references, key=own.key,
        )  # fmt: skip
        by, to = Agent(party="hub", kind=_AP, role=INITIATOR), Agent(party="PTE000001", kind=_AP, role=RESPONDER)
        named = {"originalSender": "9932:9999999999", "finalRecipient": "9932:1111111111"}
        made = make({"payload@hub.example": built["payload"].encode("latin-1")}, by=by, to=to, properties=named)
        # Peppol's own rule, which is no part of AS4: these two properties name the list that they come from.
        typed = replaced(
            made.envelope.content,
            '(name="(?:originalSender|finalRecipient)")',
            r'\1 type="iso6523-actorid-upis"',
            count=2,
        )
        sent = signed_anew(typed, own.key)
        marker = "hub-marker"
        body = b"".join([
            f"--{marker}\r\nContent-Type: application/soap+xml; charset=UTF-8\r\n\r\n".encode(), sent,
            f"\r\n--{marker}\r\nContent-Type: application/octet-stream\r\n"
            "Content-ID: <payload@hub.example>\r\n\r\n".encode(),
            made.sealed["payload@hub.example"], f"\r\n--{marker}--\r\n".encode(),
        ])  # fmt: skip
        task = {
            "receipt": receipt.decode("latin-1"),
            "headers": {"Content-Type": f'multipart/related; type="application/soap+xml"; boundary="{marker}"'},
            "body": body.decode("latin-1"),
        }
        print(json.dumps(task), file=running.stdin, flush=True)
        said = json.loads(running.stdout.readline())
    assert (said["error"], said["faults"], said["contents"]) == ("", [], [built["payload"]])
    signal = read_envelope(said["signal"].encode("latin-1")).signal(other.peer, now=datetime.now(UTC))
    assert isinstance(signal, ReceiptSignal)
    signed = read_envelope(sent).message(own.peer, now=datetime.now(UTC)).references
    assert (signal.refers_to, signal.digests) == (made.message.message_id, {each.uri: each.digest for each in signed})
