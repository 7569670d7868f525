"""Clients that five generators make of the contract with their defaults: they compile, submit, read the state and validate.

What they need of registries is kept where their own tools keep it; of what a registry refuses, the test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import requests
from client_maker import run
from maven import copied
from running_hub import ANSWER_LIMIT, RunningHub

from hub.crypto import claims_of

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CLIENTS, MODULES = HERE / "clients", HERE / "node_modules"
CONTRACT, SCHEMAS = ROOT / "openapi.yaml", ROOT / "schemas"
GENERATOR = "org.openapitools:openapi-generator-cli:7.23.0"
#: Generators of openapi-generator: each its folder, and what it is told beside the contract.
MADE = {
    "python": {"additionalProperties": {"packageName": "openapi_generator_made"}},
    "java": {"globalProperties": {"apiTests": "false", "modelTests": "false"}},
    "typescript-fetch": {"additionalProperties": {"npmName": "typescript-fetch-made"}},
}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What openapi-generator makes, all in one process: a folder for each of its generators."""
    if not shutil.which("java"):
        pytest.skip("no Java on this machine")
    folder = tmp_path_factory.mktemp("made")
    copied(GENERATOR, folder)
    for name, options in MADE.items():
        settings = {"generatorName": name, "inputSpec": str(CONTRACT), "outputDir": str(folder / name), **options}
        (folder / f"{name}.json").write_text(json.dumps(settings))
    run("java", "-jar", next(folder.glob("*.jar")), "batch", *(f"{name}.json" for name in MADE), folder=folder)
    return folder


@pytest.fixture(scope="module")
def node() -> Path:
    """The folder of what npm installed, as the lock file says."""
    if not shutil.which("npm"):
        pytest.skip("no npm on this machine")
    if not (MODULES / "openapi-fetch").is_dir():
        run("npm", "ci", "--silent", folder=HERE, optional=True)
    return MODULES


@pytest.fixture(scope="module")
def plan(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each client is told: where the hub is, and two documents that ship."""
    plot = tmp_path_factory.mktemp("plot") / "lageplan.pdf"
    plot.write_bytes(b"%PDF-1.7\n")
    return {
        "base_url": hub.base_url,
        "token": hub.token("sender"),
        "dog": json.loads((SCHEMAS / "fim-hundesteuer/1.0/examples/good-ein-hund.json").read_bytes()),
        "dogService": "urn:de:fim:leika:leistung:99102013002000",
        "dogArs": "064140000000",
        "house": str(SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml"),
        "houseService": "urn:de:fim:leika:leistung:99012008001000",
        "houseArs": "064390015015",
        "plot": str(plot),
    }


def require_submitted(hub: RunningHub, printed: str, *kinds: str) -> None:
    """Look at what a client says it submitted: the hub has it, whole and by the sender's own token."""
    said = json.loads(printed.strip().splitlines()[-1])
    assert said["valid"] is True
    assert said["state"] in {"submitted", "accepted"}
    head = {"Authorization": f"Bearer {hub.token('sender')}"}
    for kind in kinds:
        path = f"/hub/v1/applications/{said[kind]}/receipt"
        answer = requests.get(hub.url(path), headers=head, timeout=ANSWER_LIMIT)
        assert answer.status_code == 200, answer.text
        claims = claims_of(answer.text)
        assert claims["schema"]["uri"].endswith(".json" if kind == "json" else ".xsd")
        attached = [part for part in claims["contents"] if part.startswith("attachment:")]
        # Where the plot did not come under the name that the application gives it, the hub encloses its report.
        reports = 1 if "validation" in claims else 0
        assert len(attached) - reports == (1 if kind == "parts" else 0), claims["contents"].keys()


def test_openapi_python_client(hub: RunningHub, plan: dict[str, Any], client_maker: Path, tmp_path: Path):
    target = tmp_path / "openapi_python_client_made"
    maker = client_maker.with_name("openapi-python-client")
    run(maker, "generate", "--path", CONTRACT, "--output-path", target, "--meta", "none", folder=tmp_path)
    asked = json.dumps(plan | {"made": str(tmp_path)})
    require_submitted(hub, run(client_maker, CLIENTS / "openapi_python_client.py", said=asked), "json", "parts")


def test_openapi_generator_python(hub: RunningHub, plan: dict[str, Any], client_maker: Path, made: Path):
    asked = json.dumps(plan | {"made": str(made / "python")})
    require_submitted(hub, run(client_maker, CLIENTS / "openapi_generator.py", said=asked), "json", "parts")


def test_openapi_generator_java(hub: RunningHub, plan: dict[str, Any], made: Path):
    if not shutil.which("javac") or not shutil.which("mvn"):
        pytest.skip("no JDK and Maven on this machine")
    project, classes = made / "java", made / "classes"
    paths = made / "class-path.txt"
    run("mvn", "-B", "-q", "dependency:build-classpath", f"-Dmdep.outputFile={paths}", folder=project)
    class_path = os.pathsep.join([str(classes), paths.read_text().strip()])
    compiled(sorted((project / "src/main").rglob("*.java")), classes, class_path)
    compiled([CLIENTS / "Send.java"], classes, class_path)
    require_submitted(hub, run("java", "-cp", class_path, "Send", said=json.dumps(plan)), "json", "parts")


def compiled(sources: Iterable[Path], classes: Path, class_path: str) -> None:
    named = classes.with_suffix(".sources")
    named.write_text("\n".join(map(str, sources)))
    run("javac", "-nowarn", "-proc:none", "-encoding", "UTF-8", "-d", classes, "-cp", class_path, f"@{named}")


def test_openapi_generator_typescript_fetch(hub: RunningHub, plan: dict[str, Any], made: Path, node: Path):
    project = made / "typescript-fetch"
    shutil.copy(CLIENTS / "fetch.ts", project)
    run(node / ".bin/tsc", "-p", "tsconfig.json", folder=project)
    require_submitted(hub, run("node", project / "dist/fetch.js", said=json.dumps(plan)), "json", "parts")


def test_openapi_typescript_and_openapi_fetch(hub: RunningHub, plan: dict[str, Any], node: Path, tmp_path: Path):
    (tmp_path / "node_modules").symlink_to(node)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(CLIENTS / "openapi-fetch.mts", tmp_path)
    run(node / ".bin/openapi-typescript", CONTRACT, "-o", tmp_path / "hub.d.ts", folder=tmp_path)
    options = ("--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--skipLibCheck")
    run(node / ".bin/tsc", *options, "openapi-fetch.mts", folder=tmp_path)
    done = run("node", tmp_path / "openapi-fetch.mjs", said=json.dumps(plan))
    require_submitted(hub, done, "json", "xml", "parts")
