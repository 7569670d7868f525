"""A real mail server on loopback: aiosmtpd, with STARTTLS and login or without."""

from __future__ import annotations

import socket
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

import pytest

#: An answer that never comes: the mail was taken, and then the line broke.
LOST = "lost"


class MailServer:
    """``mails`` are the envelopes that it took. ``answers`` are given in turn at the end of a mail, then "250 taken"."""

    def __init__(
        self, tls: Any, *, user: str | None = None, password: str = "", answers: tuple[str, ...] = (), port: int = 0
    ) -> None:
        controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
        smtp = pytest.importorskip("aiosmtpd.smtp")
        self.mails: list[Any] = []
        self.port = port or free_port()
        left = list(answers)

        class Handler:
            async def handle_DATA(handler, server, _session, envelope):  # noqa: N802, N805  # aiosmtpd's own hook
                answer = left.pop(0) if left else "250 taken"
                if answer.startswith("2") or answer == LOST:
                    self.mails.append(envelope)
                if answer == LOST:
                    server.transport.abort()
                return answer

        def authenticate(_server, _session, _envelope, _mechanism, data):
            right = (data.login, data.password) == ((user or "").encode(), password.encode())
            return smtp.AuthResult(success=right, handled=False)

        login = {} if user is None else {"auth_required": True, "authenticator": authenticate}
        self._controller = controller.Controller(
            Handler(),
            hostname="127.0.0.1",
            port=self.port,
            tls_context=tls,
            require_starttls=tls is not None,
            data_size_limit=50_000_000,
            **login,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def read(self) -> list[EmailMessage]:
        """The mails that it took, parsed."""
        return [message_from_bytes(each.original_content or each.content, policy=policy.SMTP) for each in self.mails]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
