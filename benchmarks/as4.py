"""``make bench-as4``: the CPU of an accept beside that of PyPI's ``as4`` receiving the same message in memory.

``as4`` verifies the signature, decrypts, unpacks and signs its receipt, in one process, without HTTP, store, schema or a next
step; the keys are as long as the hub's. The hub does all that it does for a 202, over HTTP, its dispatcher on. They take turns
in one run; a ratio is that of a turn's two medians. ``as4`` lives in an environment of its own and never meets the hub.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import load, payload
from benchmarks.accept import request
from benchmarks.served import prepare_data, serving

_OTHER = Path(sys.prefix) / "as4" / "bin" / "python"
_CONNECTIONS = 16
_MOST_TURNS, _MOST_SECONDS, _MESSAGES = 15, 20.0, 60

#: Runs in its environment: makes keys and messages, receives a batch for each line that it reads, says ms of CPU for one.
_RECEIVE = """
import datetime, sys, time
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from as4 import AS4LocalPrivateKey, SecurityPolicy, pinned_certificates
from as4 import peppol

document, number = sys.stdin.buffer.read(int(sys.argv[1])), int(sys.argv[2])

def party(name):
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(named).issuer_name(named).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    return made.not_valid_after(now + datetime.timedelta(days=30)).sign(key, hashes.SHA256()), AS4LocalPrivateKey(key)

(here, key), (there, other) = party("PTE000001"), party("PTE000002")
sender = peppol.create_peppol_internal_party("PTE000002", there, other)
receiver = peppol.create_peppol_internal_party("PTE000001", here, key)
policy = SecurityPolicy(signer_resolver=pinned_certificates(there))

def message():
    made = peppol.build_peppol_message(
        document, local_party=sender, remote_party=peppol.create_peppol_external_party("PTE000001", here),
        sender="9932:9999999999", recipient="9932:1111111111", sender_country_id="DE",
        document_type_identifier_scheme="busdox-docid-qns",
        document_type_identifier_value="urn:benchmark::Bericht##benchmark::1.0",
        process_identifier="urn:benchmark:report:1.0")
    body, boundary = made.get_request_data()
    return made.get_http_headers(boundary), body

messages = [message() for _ in range(number)]
for line in sys.stdin.buffer:
    begun = time.process_time()
    for headers, body in messages:
        taken = peppol.parse_peppol_message(headers, body, receiver, security_policy=policy)
        taken.build_signal()
        assert taken.successful, taken.errors
    print(1000 * (time.process_time() - begun) / number, flush=True)
"""


def main() -> None:
    """Print the medians and their ratio, and keep them in ``benchmarks/out/as4.json``."""
    parser = argparse.ArgumentParser(prog="make bench-as4", description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="in which the hub accepts, each turn")
    options = parser.parse_args()
    message, seconds = payload.message(), min(options.seconds, _MOST_SECONDS)
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        prepare_data(Path(folder) / "data", message)
        with serving(Path(folder) / "data") as served, _receiver(message.data) as receiver:
            post = request(served, message)
            for number in range(min(options.turns, _MOST_TURNS) + 1):
                theirs.append(_received(receiver))
                before = served.cpu_seconds()
                seen = load.post(served.port, post, connections=_CONNECTIONS, seconds=seconds)
                assert set(seen.statuses) == {202}, seen.statuses
                ours.append(1000 * (served.cpu_seconds() - before) / seen.statuses[202])
                if number == 0:  # The first turn warms up.
                    theirs.clear()
                    ours.clear()
            receiver.stdin.close()
    as4, hub = statistics.median(theirs), statistics.median(ours)
    ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    print(f"{message.name}, {len(message.data)} bytes, RSA-4096, load {os.getloadavg()[0]:.1f}, {len(ours)} turns")
    print(
        f"as4 0.2.0 receives, in memory: {as4:.2f} ms; hub accepts, over HTTP: {hub:.2f} ms; {ratio:.2f}x    (aim: 2.5)"
    )
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "as4.json").write_text(json.dumps({"as4_ms": theirs, "hub_ms": ours, "ratio": ratio}, indent=1))


def _receiver(document: bytes) -> subprocess.Popen[bytes]:
    command = [str(_OTHER), "-W", "ignore", "-c", _RECEIVE, str(len(document)), str(_MESSAGES)]
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert made.stdin is not None
    made.stdin.write(document)
    made.stdin.flush()
    return made


def _received(receiver: subprocess.Popen[bytes]) -> float:
    """Have it receive its messages once; return ms of CPU for one."""
    assert receiver.stdin is not None
    assert receiver.stdout is not None
    receiver.stdin.write(b"\n")
    receiver.stdin.flush()
    return float(receiver.stdout.readline())


if __name__ == "__main__":
    main()
