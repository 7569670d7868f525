"""The sample settings of nginx in front of a port, by a real nginx; what is changed are ports and files, nothing else."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end.processes import free_port, wait_for

_SAMPLE = Path(__file__).parents[2] / "deploy/proxy/nginx.conf"
NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
#: What surrounds the sample in nginx's own file.
_AROUND = """
daemon off; pid {folder}/pid; error_log {folder}/error.log info;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/sample.conf;
}}
"""


@contextmanager
def nginx(folder: Path, certificate: tuple[Path, Path], upstream: int) -> Iterator[str]:
    """Run it with a certificate chain and its key; yield its address."""
    port, other = free_port(), free_port()
    text = _SAMPLE.read_text(encoding="utf-8")
    for said, here in (
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("listen 80;", f"listen 127.0.0.1:{other};"),
        ("/etc/ssl/rathaus-hub/fullchain.pem", str(certificate[0])),
        ("/etc/ssl/private/rathaus-hub.pem", str(certificate[1])),
    ):
        assert said in text
        text = text.replace(said, here)
    text = re.sub(r"\n *listen \[::\][^\n]*", "", text)
    folder.mkdir(exist_ok=True)
    (folder / "sample.conf").write_text(text, encoding="utf-8")
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder), encoding="utf-8")
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port), folder / "error.log", patience=20)
        yield f"https://localhost:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
