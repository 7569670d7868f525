"""The mailbox over XTA with a stage behind it, and somebody who asks it by hand: envelopes as bytes, answers by lxml."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from lxml import etree
from stage import Stage

from hub.api.xta_mailbox import XtaMailbox, XtaServer, server_tls
from hub.crypto.development import InsecureThrowawayAuthority
from hub.fit_connect.boxes import MessageBoxes
from hub.identity.certificates import CertificateHolders
from hub.soap.mailbox import OSCI, BoxOperation
from hub.soap.xta import ADDRESSING, META, SOAP, XTA
from hub.supervision import Supervisor

READER = "bau:064390000000"
SPACES = {"s": SOAP, "a": ADDRESSING, "m": META, "x": XTA, "o": OSCI}


@dataclass
class Answer:
    """What came back: its status, its header fields, the envelope, and the parts behind it by their content id."""

    status: int
    headers: dict[str, str]
    envelope: Any
    parts: dict[str, bytes] = field(default_factory=dict)

    def text(self, path: str) -> str:
        return self.envelope.findtext(path, default="", namespaces=SPACES)

    def all(self, path: str) -> list[Any]:
        return self.envelope.findall(path, namespaces=SPACES)

    @property
    def exception(self) -> str:
        found = self.all("s:Body/s:Fault/s:Detail/*")
        return etree.QName(found[0]).localname.removesuffix("Exception") if found else ""

    @property
    def ids(self) -> list[str]:
        return [each.text for each in self.all("s:Body/o:MsgStatusList//m:MsgIdentification/a:MessageID")]


class Asker:
    """An authority with a certificate, and the mailbox at ``port`` that it asks."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.authority = InsecureThrowawayAuthority(folder, now=datetime.now(UTC))
        self.server_pair = self.authority.issue("127.0.0.1")
        self.pair = self.authority.issue("127.0.0.2")
        self.port = port

    @property
    def settings(self) -> dict[str, str]:
        """What a hub of its own is told, as its environment."""
        certificate, key = map(str, self.server_pair)
        files = {"HUB_XTA_CERTIFICATE_FILE": certificate, "HUB_XTA_KEY_FILE": key}
        return files | {"HUB_XTA_PORT": str(self.port), "HUB_XTA_CLIENTS_FILE": str(self.authority.ca_file)}

    def dial(self, pair: tuple[Path, Path] | None = None) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        context.load_cert_chain(*(pair or self.pair))
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)

    def send(self, path: str, body: bytes, *, pair: tuple[Path, Path] | None = None, **headers: str) -> Answer:
        line = self.dial(pair)
        fields = {"Content-Type": "application/soap+xml; charset=UTF-8"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            line.request("POST", path, body=body, headers=fields)
            response = line.getresponse()
            return _answer(response.status, dict(response.headers.items()), response.read())
        finally:
            line.close()

    def ask(self, operation: BoxOperation, body: str = "", *, author: str | None = READER, **more: Any) -> Answer:
        path = f"/services/XTAService/{operation.port.value}"
        return self.send(path, envelope(operation.action, body, author=author), **more)

    def list(self, attributes: str = 'ListForm="MessageMetaData"', selector: str = "") -> Answer:
        return self.ask(
            BoxOperation.LIST, f"<o:MsgBoxStatusListRequest {attributes}>{selector}</o:MsgBoxStatusListRequest>"
        )

    @staticmethod
    def fetching(message_id: str = "", *, author: str | None = READER) -> bytes:
        """The request for a message, or for the next one."""
        named = f"<o:MsgSelector><a:MessageID>{message_id}</a:MessageID></o:MsgSelector>" if message_id else ""
        return envelope(BoxOperation.GET.action, f"<o:MsgBoxFetchRequest>{named}</o:MsgBoxFetchRequest>", author=author)

    def get(self, message_id: str = "", *, author: str | None = READER, **more: Any) -> Answer:
        return self.send("/services/XTAService/MsgBoxPort", self.fetching(message_id, author=author), **more)

    def close_message(self, *message_ids: str, **more: Any) -> Answer:
        named = "".join(f"<o:LastMsgReceived>{each}</o:LastMsgReceived>" for each in message_ids)
        body = f'<o:MsgBoxCloseRequest MsgBoxRequestID="1">{named}</o:MsgBoxCloseRequest>'
        return self.ask(BoxOperation.CLOSE, body, **more)


class Box(Asker):
    """A mailbox that is served by this process, of the demo's building authority in the Rheingau."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        super().__init__(folder, port=0)
        self.stage = stage
        self.destination_id = stage.destination_id("Rheingau")
        give(stage, self.destination_id, self.pair[0], READER)
        tls = server_tls(str(self.server_pair[0]), str(self.server_pair[1]), str(self.authority.ca_file))
        hub = stage.hub
        application = XtaMailbox(boxes=MessageBoxes(hub), holders=CertificateHolders(hub.store), clock=stage.clock)
        self._server = XtaServer(application, host="127.0.0.1", port=0, tls=tls, supervisor=Supervisor())
        self.port = self._server.port

    def close(self) -> None:
        self._server.close()

    @property
    def server(self) -> Any:
        """What serves at the moment."""
        return self._server._server

    def accepted(self) -> str:
        """Have an application accepted for it; return the id of its message."""
        self.stage.clock.pass_(seconds=1)
        return message_id(self.stage.accept())


def message_id(accepted: Any) -> str:
    return f"urn:de:xta:messageid:rathaus-hub:{submission_id(accepted)}"


def submission_id(accepted: Any) -> UUID:
    return UUID(accepted.claims["sub"].removeprefix("submission:"))


def give(stage: Stage, destination_id: UUID, certificate: Path, identifier: str) -> None:
    """Have a destination's mailbox name a certificate."""
    stored = stage.hub.store.parties.destination(destination_id)
    options = {"xta_certificate": fingerprint(certificate), "xta_identifier": identifier}
    stage.hub.store.parties.replace_destination(replace(stored, adapter="mailbox", adapter_config=options))


def fingerprint(certificate: Path) -> str:
    return sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def envelope(action: str, body: str, *, author: str | None = READER, header: str = "", before: str = "") -> bytes:
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in SPACES.items())
    who = "" if author is None else f'<m:Author><m:Identifier type="xoev">{author}</m:Identifier></m:Author>'
    return (
        f"{before}<s:Envelope {spaces}><s:Header><a:Action>{action}</a:Action><a:MessageID>urn:uuid:1</a:MessageID>"
        f"{who}{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _answer(status: int, headers: dict[str, str], content: bytes) -> Answer:
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/related"):
        parsed = etree.fromstring(content) if "xml" in kind else None
        return Answer(status=status, headers=headers, envelope=parsed)
    marker = kind.partition('boundary="')[2].partition('"')[0]
    parts: dict[str, bytes] = {}
    for piece in content.split(f"--{marker}".encode())[1:-1]:
        head, _blank, inside = piece.partition(b"\r\n\r\n")
        name = head.partition(b"Content-ID: <")[2].partition(b">")[0].decode()
        parts[name] = inside.removesuffix(b"\r\n")
    return Answer(status=status, headers=headers, envelope=etree.fromstring(parts.pop("root@hub")), parts=parts)


@contextmanager
def serving_boxes(stage: Stage, folder: Path) -> Iterator[Box]:
    box = Box(stage, folder / "xta-authority")
    try:
        yield box
    finally:
        box.close()
