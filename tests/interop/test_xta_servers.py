"""The adapter for XTA against a server that nobody here wrote: Apache CXF makes it of the standard's own WSDL."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mail_server import free_port
from maven import NOT_HAD
from shared_data import SHARED, needs_shared_data

from adapters.xta import Xta
from hub.adapter_kit.cases import Workshop
from hub.adapter_kit.check import find_trial
from hub.adapter_kit.packages import again, make_package
from hub.crypto.development import InsecureThrowawayAuthority
from hub.model import DeadCause, Outcome, OutcomeKind, Package, Sealed

PROJECT = Path(__file__).parent / "xta_server"
#: Part of the policy in the WSDL: TLS with client certificates, which CXF would demand on loopback, too.
_POLICY = re.compile(r"<[a-z]+:PolicyReference\b[^>]*/>")
#: The large part, in MiB; ``make xta-full`` sends 300.
MEGABYTES = int(os.environ.get("XTA_MEGABYTES", "48"))
_MOST_GROWTH = 32 * 1024  # KiB

pytestmark = [needs_shared_data, pytest.mark.timeout(600)]


@dataclass(frozen=True, kw_only=True)
class Server:
    """One that runs; ``parts`` is what it took of a message, by name: size and SHA-512."""

    url: str
    said: Path
    ca_file: Path | None = None

    def parts(self, package: Package) -> dict[str, tuple[int, str]]:
        lines = [line.split() for line in self.said.read_text().splitlines() if line.startswith("PART ")]
        own = [words for words in lines if words[1].endswith(str(package.delivery_id))]
        assert len({words[2] for words in own}) == len(own), "something came twice"
        return {name: (int(size), digest) for _word, _id, name, size, digest in own}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not shutil.which("javac") or not shutil.which("mvn"):
        pytest.skip("no JDK 17 and Maven on this machine")
    project = tmp_path_factory.mktemp("xta") / "server"
    shutil.copytree(PROJECT, project)
    words = project / "src" / "main" / "resources" / "wsdl"
    shutil.copytree(SHARED / "xta", words)
    wsdl = words / "XTA.wsdl"
    wsdl.write_text(_POLICY.sub("", wsdl.read_text("utf-8")), "utf-8")
    paths = project / "paths.txt"
    done = subprocess.run(
        ["mvn", "-B", "-q", "compile", "dependency:build-classpath", f"-Dmdep.outputFile={paths}"],
        cwd=project, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    if done.returncode and NOT_HAD.search(done.stdout):
        pytest.skip("Apache CXF cannot be had from the repository")
    assert done.returncode == 0, done.stdout[-3000:]
    port, said = free_port(), project / "said.txt"
    classes = os.pathsep.join([str(project / "target" / "classes"), paths.read_text().strip()])
    command = ["java", "-Xmx300m", "-cp", classes, "hub.interop.XtaServer", str(port)]
    with said.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as running:
        try:
            for _ in range(600):
                if "SERVES" in said.read_text():
                    break
                assert running.poll() is None, said.read_text()[-3000:]
                time.sleep(0.2)
            yield Server(url=f"http://127.0.0.1:{port}", said=said)
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"), now=datetime.now(UTC))


def delivered(server: Server, workplace: Workshop, package: Package, **options: Any) -> Outcome:
    certificate, key = workplace.client
    files = {
        "client_cert_file": str(certificate),
        "client_key_file": str(key),
        "ca_file": str(server.ca_file or workplace.ca_file),
    }
    config = find_trial("xta", Xta, None).filled({"url": server.url, **files})
    adapter = Xta({**config, "allow_http": True, "ask_first": True, "timeout": 300, **options})
    adapter.open()
    try:
        return adapter.deliver(package)
    finally:
        adapter.close()


@pytest.fixture(scope="module")
def secured(server: Server, workplace: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same server behind TLS that asks for a client certificate."""
    authority = InsecureThrowawayAuthority(tmp_path_factory.mktemp("front"), now=datetime.now(UTC))
    certificate, key = authority.issue("127.0.0.1")
    command = [sys.executable, str(Path(__file__).with_name("tls_front.py"))]
    command += [str(certificate), str(key), str(workplace.ca_file), server.url.rpartition(":")[2]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield replace(
                server, url=f"https://127.0.0.1:{running.stdout.readline().strip()}", ca_file=authority.ca_file
            )
        finally:
            running.terminate()


def test_a_server_of_others_takes_every_part_once(server: Server, workplace: Workshop) -> None:
    package = make_package()
    outcome = delivered(server, workplace, package)
    assert (outcome.kind, "report green at" in outcome.note) == (OutcomeKind.DELIVERED, True)
    taken = server.parts(package)
    assert taken.pop("manifest.json")[0] > 0
    contents = package.submission.contents
    assert sorted(taken.values()) == sorted((sealed.size, sealed.sha512) for _name, sealed in contents.parts())
    for repeat in (again(package), package):
        outcome = delivered(server, workplace, repeat)
        assert (outcome.kind, outcome.note[:21]) == (OutcomeKind.DELIVERED, "was already there as ")
    assert len(server.parts(package)) == len(taken) + 1


def test_ids_are_made_by_a_server_of_others(server: Server, workplace: Workshop) -> None:
    outcome = delivered(server, workplace, make_package(), message_id_prefix="")
    assert outcome.note.startswith("submitted as urn:de:xta:messageid:cxf:")


@pytest.mark.parametrize(
    ("options", "kind", "cause"),
    [
        ({"author": "hub:locked"}, OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION),
        ({"service": "urn:none"}, OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION),
        ({"message_type": "broken"}, OutcomeKind.REFUSED, DeadCause.PAYLOAD),
    ],
    ids=["a locked account", "a service that is not taken", "a message against its schema"],
)
def test_refusals_of_a_server_of_others_are_understood(
    server: Server, workplace: Workshop, options: dict[str, Any], kind: OutcomeKind, cause: DeadCause
) -> None:
    package = make_package()
    outcome = delivered(server, workplace, package, **options)
    assert (outcome.kind, outcome.cause, server.parts(package)) == (kind, cause, {})


def resident() -> int:
    """Return what the process holds now, in KiB: an earlier peak would hide what is held later."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def test_a_large_part_is_streamed_over_tls(secured: Server, workplace: Workshop) -> None:
    delivered(secured, workplace, make_package())  # What any delivery takes is taken.
    piece, number = os.urandom(64 * 1024), MEGABYTES * 16
    digest = hashlib.sha512()
    for _ in range(number):
        digest.update(piece)
    large = Sealed(tag="x" * 22, sha512=digest.hexdigest(), size=number * len(piece), blob="large")
    small = make_package(attachments=0)
    contents = replace(small.submission.contents, attachments={uuid4(): large})
    package = replace(
        small,
        submission=replace(small.submission, contents=contents),
        # Each piece new, as a store reads it.
        read=lambda sealed: (bytes(bytearray(piece)) for _ in range(number)) if sealed is large else small.read(sealed),
    )
    before = resident()
    assert delivered(secured, workplace, package).kind is OutcomeKind.DELIVERED
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{MEGABYTES} MiB: {growth} KiB above what was held before", file=sys.stderr)
    assert growth <= _MOST_GROWTH
    assert (large.size, large.sha512) in secured.parts(package).values()
