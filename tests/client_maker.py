"""What makes clients of the contract for Python: an environment of its own, made once for a checkout, whoever comes first."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

#: What makes one client, and what the clients of two generators stand on.
PINS = ("openapi-python-client==0.29.1", "urllib3==2.8.0", "python-dateutil==4.0.0", "pydantic==2.14.4")
ENVIRONMENT = Path(__file__).parents[1] / "build" / ".venv-generators"
NOT_HAD = (
    "ENOTFOUND",
    "ECONNREFUSED",
    "E403",
    "E404",
    "EAI_AGAIN",
    "error sending request",
    "dns error",
    "No solution",
)


def run(*command: str | Path, folder: Path | None = None, said: str = "", optional: bool = False) -> str:
    """Run a program and return what it printed; ``optional``: skip where it could not fetch what it wanted."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    printed = done.stdout + done.stderr
    if done.returncode and optional and any(word in printed for word in NOT_HAD):
        pytest.skip(f"{Path(command[0]).name} could not fetch what it needs")
    assert done.returncode == 0, printed[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def client_maker() -> Path:
    """The interpreter of an environment with openapi-python-client and what made clients import."""
    interpreter, marker = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "pins"
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (marker.exists() and marker.read_text() == "\n".join(PINS)):
            uv = Path(sys.executable).with_name("uv")
            run(uv, "venv", "-q", "--clear", ENVIRONMENT)
            run(uv, "pip", "install", "-q", "--python", interpreter, *PINS, optional=True)
            marker.write_text("\n".join(PINS))
    return interpreter
