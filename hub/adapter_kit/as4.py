"""The bench of the family ``as4``: an access point that verifies, opens, eliminates duplicates and signs its receipts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from hub.adapter_kit.cases import Places, Trouble, Workshop
from hub.adapter_kit.http import Fault, Heard, StagedAnswer, WebBench, answer_in, says_yes
from hub.crypto.messages import read_message_key, read_message_peer
from hub.model import Package
from hub.soap.as4 import write_error, write_receipt
from hub.soap.as4_reader import SignedMessage, read_envelope
from hub.soap.ebms import Flaw, Unacceptable

_BOUNDARY = re.compile(r'boundary="([^"]+)"')
_CONTENT_ID = re.compile(rb"Content-ID: <([^>]+)>")
_LARGEST = 64 * 1024 * 1024
#: What the access point says in ebMS's own words; every other trouble is told by HTTP.
_ERRORS: Mapping[Trouble, tuple[Flaw, int]] = {
    Trouble.PAYLOAD_REFUSED: (Flaw.NOT_DECOMPRESSED, 200),
    Trouble.BAD_CREDENTIALS: (Flaw.WRONG_CERTIFICATE, 200),
    Trouble.FORBIDDEN: (Flaw.PROCESSING_MODE, 500),
}


class As4Bench(WebBench):
    """The other access point of one agreement."""

    def __init__(self, workshop: Workshop) -> None:
        (own_certificate, _own_key), (certificate, key) = workshop.access_points
        self.key = read_message_key(key.read_bytes(), certificate.read_bytes())
        self.certificate = read_message_peer(certificate.read_bytes())
        self.peer = read_message_peer(own_certificate.read_bytes())
        self._held: dict[str, dict[str, bytes]] = {}
        super().__init__(workshop)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the access point into a trouble."""
        return {**super().arrange(trouble, package), "pmode_file": str(written_pmode(self.workshop))}

    def play(self, heard: Heard) -> StagedAnswer | Fault:
        """Answer as the access point does."""
        if heard.path == "/elsewhere":
            return StagedAnswer()
        try:
            message, contents = self._taken(heard)
        except Unacceptable as exc:
            return self._said(write_error(_new_id(), _now(), refers_to="", flaw=exc.flaw, key=self.key))
        message_id = message.message.message_id
        if self.trouble in _ERRORS:
            flaw, status = _ERRORS[self.trouble]
            error = write_error(_new_id(), _now(), refers_to=message_id, flaw=flaw, key=self.key)
            return self._said(error, status)
        outcome = answer_in(self.trouble)
        # A reset or a hang comes after the access point has done its work; what it has already it takes no second time.
        if says_yes(outcome) or outcome is Fault.RESET or outcome is Fault.HANG:
            self._held.setdefault(message_id, contents)
        if outcome != StagedAnswer():
            return outcome
        return self._said(self.receipt(message))

    def receipt(self, message: SignedMessage) -> bytes:
        """Return the signed receipt of a message."""
        return write_receipt(
            _new_id(),
            _now(),
            refers_to=message.message.message_id,
            references=message.references,
            key=self.key,
        )

    def copies(self, package: Package) -> int:
        """Count the messages that name the delivery and hold all its contents."""
        wanted = {sealed.jwe or b"" for _name, sealed in package.submission.contents.parts()}
        own = str(package.delivery_id)
        return sum(own in message_id and wanted <= set(held.values()) for message_id, held in self._held.items())

    def strangers(self, packages: list[Package]) -> int:
        """Count the other messages."""
        return len(self._held) - sum(self.copies(package) for package in packages)

    def _taken(self, heard: Heard) -> tuple[SignedMessage, dict[str, bytes]]:
        first, *others = _parts(heard)
        message = read_envelope(first[1]).message(self.peer, now=_now())
        parts = message.open(self.key, limit=_LARGEST)
        contents: dict[str, bytes] = {}
        for head, sealed in others:
            named = _CONTENT_ID.search(head)
            reader = parts.reader("" if named is None else named[1].decode())
            contents[str(len(contents))] = b"".join([*reader.write(sealed), *reader.finish()])
        parts.finish()
        return message, contents

    @staticmethod
    def _said(content: bytes, status: int = 200) -> StagedAnswer:
        return StagedAnswer(status=status, headers={"Content-Type": "application/soap+xml;charset=UTF-8"}, body=content)


def written_pmode(workshop: Workshop, **changes: str) -> Path:
    """Return the file of the hub's side of the agreement, in a folder of its own; ``changes`` are whole lines by their key."""
    (own_certificate, own_key), (certificate, _key) = workshop.access_points
    top = {"profile": '"edelivery-1.15"', "action": '"submit"', "agreement": '"urn:example:agreement"'}
    own = {"party": '"hub"', "key_file": f'"{own_key}"', "certificate_file": f'"{own_certificate}"'}
    peer = {"party": '"bauamt"', "certificate_file": f'"{certificate}"'}
    tables: Iterable[tuple[str, dict[str, str]]] = (("", top), ("own", own), ("peer", peer))
    return workshop.written("pmode.toml", "\n".join(_lines(tables, changes)))


def _lines(tables: Iterable[tuple[str, dict[str, str]]], changes: Mapping[str, str]) -> Iterator[str]:
    for name, table in tables:
        if name:
            yield f"[{name}]"
        place = f"{name}_" if name else ""
        added = {key.removeprefix(place): value for key, value in changes.items() if _belongs(key, name)}
        yield from (f"{key} = {value}" for key, value in {**table, **added}.items() if value)


def _belongs(key: str, table: str) -> bool:
    return key.startswith(f"{table}_") if table else not key.startswith(("own_", "peer_"))


def _parts(heard: Heard) -> list[tuple[bytes, bytes]]:
    """Return head and content of each part of a body that came whole."""
    named = _BOUNDARY.search(heard.headers["Content-Type"] or "")
    if named is None:
        raise Unacceptable(Flaw.PARTS)
    marker = f"\r\n--{named[1]}".encode()
    split = [piece.partition(b"\r\n\r\n") for piece in (b"\r\n" + heard.body).split(marker)[1:-1]]
    return [(head, content) for head, _blank, content in split]


def _now() -> datetime:
    return datetime.now(UTC)  # An access point has a clock.


def _new_id() -> str:
    return f"{uuid4()}@bench.example"
