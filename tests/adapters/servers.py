"""Real receiving systems on loopback, started by the tests from what is installed: OpenSSH, moto."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest
from mail_server import free_port


class Daemon:
    """A program that listens on ``port`` and is ended by its handle."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self._command = command

    def __enter__(self) -> Self:
        self._output = self.log.open("ab")
        self._process = subprocess.Popen(self._command, stdout=self._output, stderr=self._output)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        self.__exit__()
        pytest.skip(f"the server does not start: {self.log.read_text()[-500:]}")

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=20)
        self._output.close()


class OpenSsh(Daemon):
    """OpenSSH's server for the account that runs the tests, with internal-sftp and one key.

    ``denied`` are requests that the account may not make, by their names in sftp-server(8), commas between them.
    """

    def __init__(self, folder: Path, *, more: str = "", denied: str = "") -> None:
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        if not Path(program).exists():
            pytest.skip("OpenSSH's server is not installed (openssh-server)")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # The server insists on it, and makes it nowhere itself.
        self.user = getpass.getuser()
        self.drop = folder / "in"
        self.drop.mkdir()
        self.key_file, self.host_key_file = folder / "client", folder / "host"
        for file in (self.key_file, self.host_key_file):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
        self.host_key = self.host_key_file.with_suffix(".pub").read_text()
        port = free_port()
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {self.host_key_file}\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.key_file}.pub\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            f"Subsystem sftp internal-sftp\nForceCommand internal-sftp{f' -P {denied}' if denied else ''}\n{more}\n"
        )
        super().__init__([program, "-D", "-e", "-f", str(config)], port, folder / "sshd.log")

    def config(self, **options: Any) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "host_key": self.host_key,
            "key_file": str(self.key_file),
            "folder": str(self.drop),
            "allow_private_addresses": True,
            "timeout": 20,
            **options,
        }


class Moto(Daemon):
    """moto's S3 server, over plain HTTP, with one bucket."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("moto.server", reason="moto's server is not installed")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, folder / "moto.log"
        )
