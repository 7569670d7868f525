"""Start an unpacked image as its own configuration says, on a root file system that cannot be written, and ask for its health.

``start.py ROOT IMAGE.json``, in mount and process namespaces of its own (``check.sh``); prints what was found, and ends with 0
only if the hub lived, was ready, and ended when it was told to.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PATIENCE = 200.0
#: What has no place in an image that only runs.
_TOOLS = ("pip", "pip3", "gcc", "cc", "make", "git", "curl", "wget")


def main(root: Path, image: Path) -> int:
    """Return the exit code."""
    config = json.loads(image.read_text())["Docker"]["config"]
    _require("no tool that builds", not [each for each in _TOOLS if _there(root, each)])
    user = config["User"]
    _require(f"a number as user: {user}", user.replace(":", "").isdigit() and not user.startswith("0"))
    _require("labels", config["Labels"]["org.opencontainers.image.licenses"] == "EUPL-1.2")
    _confine(root, config)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    for each in ("pg_dump", "pg_restore"):
        _require(f"{each} runs", _well(_within(root, config, [each, "--version"]), {"PATH": "/usr/bin"}))
    given = {"HUB_BASE_URL": "https://hub.example.org", "HUB_PORT": port, "HUB_HOST": "127.0.0.1", "HUB_PROCESSES": "2"}
    environment = dict(each.split("=", 1) for each in config["Env"]) | given
    hub = subprocess.Popen(
        _within(root, config, [*config["Entrypoint"], *config["Cmd"]]),
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    test = config["Healthcheck"]["Test"]
    question = test[1:] if test[0] == "CMD" else shlex.split(test[1])
    began = time.monotonic()
    while not _well(_within(root, config, [*question, port, "ready"]), environment):
        if hub.poll() is not None or time.monotonic() - began > _PATIENCE:
            hub.kill()
            _require(f"ready; it said {hub.communicate()[1]}", holds=False)
        time.sleep(0.3)
    print(f"ready after {time.monotonic() - began:.1f} s")
    _require("it lives, says the image's own question", _well(_within(root, config, [*question, port]), environment))
    hub.send_signal(getattr(signal, config.get("StopSignal") or "SIGTERM"))
    said = hub.communicate(timeout=60)[1]
    _require(f"an orderly end: {hub.returncode}; it said {said}", hub.returncode in {0, -signal.SIGTERM})
    return 0


def _require(what: str, holds: bool) -> None:  # noqa: FBT001  # reads as a claim
    if not holds:
        sys.exit(f"image-check: not so: {what}")
    print(f"so it is: {what.partition(';')[0]}")


def _there(root: Path, name: str) -> bool:
    return any((root / place / name).exists() for place in ("usr/bin", "usr/local/bin", "opt/rathaus-hub/bin"))


def _confine(root: Path, config: dict[str, object]) -> None:
    """Make the image's files unwritable, but for its volumes and /tmp, in this mount namespace alone."""
    uid, gid = str(config["User"]).split(":")
    _run("mount", "--make-rprivate", "/")
    _run("mount", "--bind", str(root), str(root))
    for volume in config["Volumes"]:  # type: ignore[attr-defined]  # a mapping of paths
        inside = Path(tempfile.mkdtemp())
        os.chown(inside, int(uid), int(gid))
        _run("mount", "--bind", str(inside), f"{root}{volume}")
    _run("mount", "-t", "tmpfs", "-o", "mode=1777,size=256m", "tmpfs", f"{root}/tmp")
    _run("mount", "--bind", "/dev", f"{root}/dev")
    _run("mount", "-t", "proc", "proc", f"{root}/proc")
    _run("mount", "-o", "remount,bind,ro", str(root))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=20)


def _within(root: Path, config: dict[str, object], command: list[str]) -> list[str]:
    uid, gid = str(config["User"]).split(":")
    lessen = ["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--ambient-caps=-all"]
    inner = ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", *lessen]
    return [
        shutil.which("chroot") or "/usr/sbin/chroot",
        str(root),
        *inner,
        "/usr/bin/env",
        "-C",
        str(config["WorkingDir"]),
        *command,
    ]


def _well(command: list[str], environment: dict[str, str]) -> bool:
    return subprocess.run(command, env=environment, check=False, capture_output=True, timeout=20).returncode == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
