"""Builds and runs the program under ``java/`` against one of the two pinned lines of FIT-Connect's Java SDK."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running_hub import RunningHub

PROJECT = Path(__file__).with_name("java")
SDK = "dev.fitko.fitconnect.sdk:client"
#: As pinned in the project's description.
_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
#: Maven's words for "the repository has no such thing"; anything else that goes wrong is a failure, not a skip.
_ABSENT = re.compile(r"Could not find artifact " + re.escape(SDK) + r"|" + re.escape(SDK) + r"\S* was not found in")
#: Maven's words for "no repository can be reached".
_UNREACHABLE = re.compile(r"Unknown host|Network is unreachable|Connection refused|No route to host")


@dataclass(frozen=True, kw_only=True, slots=True)
class JavaSdk:
    """A compiled program and the class path of one SDK line."""

    line: str
    class_path: str

    def run(self, steps: Iterable[Mapping[str, Any]], folder: Path) -> Facts:
        """Take ``steps`` (each with ``step`` and its values) in one Java process and give what it printed."""
        plan = folder / "steps.txt"
        plan.write_text("".join(_line(step) for step in steps))
        done = subprocess.run(
            ["java", "-Xmx1g", "-cp", self.class_path, "interop.Run", plan],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Facts(lines=[json.loads(line) for line in done.stdout.splitlines()], log=done.stderr[-6000:])


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the steps of one run told, in order, and the end of the SDK's log."""

    lines: list[dict[str, Any]]
    log: str

    def of(self, step: str, number: int = 0) -> dict[str, Any]:
        """Give the facts of the n-th step of that kind; where it failed or never came, fail in the SDK's own words."""
        of_step = [line for line in self.lines if line["step"] == step]
        if len(of_step) <= number or "error" in of_step[number]:
            pytest.fail(f"step {step} #{number}: {self.lines[-1:]}\n{self.log}")
        return of_step[number]


def _line(step: Mapping[str, Any]) -> str:
    values = [f"{name}={value}" for name, value in step.items() if name != "step"]
    return "\t".join([step["step"], *values]) + "\n"


def build(line: str) -> JavaSdk:
    """Compile against SDK line ``sdk2`` or ``sdk3``; skip where no JDK, no Maven or no such artifact can be had."""
    if not shutil.which("javac") or not shutil.which("mvn"):
        pytest.skip("no JDK 17 and Maven on this machine")
    target = PROJECT / "target" / line
    target.mkdir(parents=True, exist_ok=True)
    paths = target / "class-path.txt"
    done = subprocess.run(
        ["mvn", "-B", "-U", f"-P{line}", "compile", "dependency:build-classpath", f"-Dmdep.outputFile={paths}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    if done.returncode and _ABSENT.search(done.stdout):
        assert not _has_another_version(target), f"{SDK} is there, but not as pinned for {line}: pin what is"
        pytest.skip(f"the package repository in reach does not have {SDK} as pinned for {line}")
    if done.returncode and _UNREACHABLE.search(done.stdout):
        pytest.skip(f"no package repository can be reached for {SDK}")
    assert done.returncode == 0, done.stdout[-6000:]
    return JavaSdk(line=line, class_path=os.pathsep.join([str(target / "classes"), paths.read_text().strip()]))


def _has_another_version(folder: Path) -> bool:
    """Whether the repository in reach has any version at all; then a pin is wrong, which is no reason to skip."""
    wanted = f"-Dartifact={SDK}:RELEASE"
    command = ["mvn", "-B", "-U", f"{_DEPENDENCY_PLUGIN}:get", wanted, "-Dtransitive=false"]
    # Away from the project's own description, which needs a line to be chosen.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode == 0


#: The lines are pointed at the hub's two mounts: the old one at the root, the new one below the prefixes.
_SUBMISSION_PREFIX = {"sdk2": "", "sdk3": "/submission-api"}


def configuration(sdk: JavaSdk, hub: RunningHub, folder: Path, keys: Mapping[str, Mapping[str, Any]] | None) -> Path:
    """Write the SDK's configuration (JSON is YAML); ``keys``: a destination's ``decryption`` and ``signing`` key."""
    environment = {
        "authBaseUrl": hub.token_url.removesuffix("/token"),
        "submissionBaseUrls": [hub.base_url + _SUBMISSION_PREFIX[sdk.line]],
        "routingBaseUrl": hub.url("/routing-api"),
        "selfServicePortalBaseUrl": hub.url("/portal"),
        "allowInsecurePublicKey": True,
        "skipSubmissionDataValidation": True,
        "enableAutoReject": False,
    }
    if sdk.line == "sdk3":
        environment["destinationBaseUrl"] = hub.url("/destination-api")
    settings: dict[str, Any] = {"activeEnvironment": "TEST", "environments": {"TEST": environment}}
    settings["senderConfig"] = _camel_case(hub.credentials("sender"))
    if keys:
        settings["subscriberConfig"] = _camel_case(hub.credentials("subscriber")) | {
            "privateDecryptionKeyPaths": [str(_written(folder / "decryption.json", keys["decryption"]))],
            "privateSigningKeyPath": str(_written(folder / "signing.json", keys["signing"])),
        }
    return _written(folder / "config.yml", settings)


def _camel_case(credentials: Mapping[str, str]) -> dict[str, str]:
    return {"clientId": credentials["client_id"], "clientSecret": credentials["client_secret"]}


def _written(file: Path, content: Mapping[str, Any]) -> Path:
    file.write_text(json.dumps(content, indent=1))
    return file
