"""Hand submissions to an access point of AS4: one message each, signed, and encrypted once more for that access point.

The message's parts are the delivery's manifest, as folders have it, and the sealed contents. What was agreed with the other
side, keys included, is a P-Mode (:mod:`hub.soap.pmode`). The message's id follows from the delivery's, so that it is the same
at each attempt, from each node and after each restart: an access point that has it says so again, and takes it once.

Delivered is what a signed receipt speaks for: it has to repeat the digest of everything that was signed. The receipt is the
attempt's proof. A yes without one is unknown. Errors are told apart by ebMS's numbers; one that nobody signed ends nothing.
Some access points answer a repeat with an error that says so instead of the first receipt: where an answer was lost before, and
this one is signed, it is delivered, and the error is the proof.

The envelope, which comes first, names the parts' digests: contents are sealed into a spool before, and streamed from there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from hub.crypto.messages import new_part_key
from hub.errors import ConfigurationError, Unavailable
from hub.model import Adapter, DeadCause, Outcome, OutcomeKind, Package
from hub.model.adapter import (
    ADDRESS,
    MANIFEST,
    PLAIN,
    MixedUp,
    checked,
    file_name,
    manifest,
    not_readable,
    read_options,
    require,
    require_envelope,
    require_readable,
    unusable,
)
from hub.soap.as4 import PartWriter, SignedEnvelope, write_message
from hub.soap.as4_reader import ENVELOPE_LIMIT, read_envelope
from hub.soap.ebms import (
    INITIATOR,
    RESPONDER,
    ErrorSignal,
    PartInfo,
    ReceiptSignal,
    Unacceptable,
    UserMessage,
    is_message_id,
)
from hub.soap.pmode import PMode, read_pmode
from hub.transport.connection import Line
from hub.transport.http import Answer, Silence, client_tls, judge, request, require_address, require_timeout

#: Bytes of a spool that stay in memory; what is beyond goes to a file without a name. Both hold ciphertext.
_IN_MEMORY = 1024 * 1024
_PIECE = 64 * 1024
_CONFIGURATION, _PAYLOAD = DeadCause.CONFIGURATION, DeadCause.PAYLOAD
_Meaning = tuple[OutcomeKind, DeadCause | None]
_HEALS: _Meaning = (OutcomeKind.UNREACHABLE, _CONFIGURATION)
_WRONG: _Meaning = (OutcomeKind.REFUSED, _CONFIGURATION)
_CONTENT: _Meaning = (OutcomeKind.REFUSED, _PAYLOAD)
#: What ebMS's numbers mean for a delivery (Core 3.0, 6.7; AS4, 2.1.3); every other one passes.
_MEANINGS: Mapping[str, _Meaning] = {
    # What one side does not know of the other heals once somebody corrects it.
    **dict.fromkeys(("EBMS:0001", "EBMS:0003", "EBMS:0010", "EBMS:0101", "EBMS:0102", "EBMS:0103"), _HEALS),
    **dict.fromkeys(("EBMS:0002", "EBMS:0008", "EBMS:0009"), _WRONG),
    **dict.fromkeys(("EBMS:0007", "EBMS:0011", "EBMS:0303"), _CONTENT),
}
_PASSES: _Meaning = (OutcomeKind.UNREACHABLE, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class As4Options:
    """``url``: the other access point's address. ``pmode_file``: what was agreed with it, as TOML, and where the keys lie.

    ``domain`` stands behind the ``@`` of message ids; it never changes while something is under way. ``timeout``: seconds for
    a whole attempt. The two permissions are for tests and for access points in the hub's own network.
    """

    url: str
    pmode_file: str
    domain: str = field(default="rathaus-hub", metadata=PLAIN)
    client_cert_file: str | None = None
    client_key_file: str | None = None
    ca_file: str | None = field(default=None, metadata=ADDRESS)
    timeout: float = field(default=300.0, metadata=PLAIN)
    envelope: int = field(default=1, metadata=PLAIN)
    readable: str = field(default="", metadata=PLAIN)
    allow_http: bool = False
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        require_address("as4", "url", self.url, allow_http=self.allow_http)
        require_timeout("as4", self.timeout, 3600)  # An hour for large attachments on a slow line.
        require_envelope("as4", self.envelope)
        require_readable("as4", self.readable)
        known = is_message_id(f"{uuid4()}@{self.domain}")
        require(
            "as4",
            known,
            "braucht in domain einen Namen wie hub.example.org",
            "needs a name like hub.example.org in domain",
        )


class As4:
    """Deliver as messages of AS4."""

    name = "as4"
    options = As4Options

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, As4Options, config)

    def open(self) -> None:
        """Read the P-Mode, its keys and the TLS files; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        self._tls = client_tls(
            self.name, options.ca_file, certificate=options.client_cert_file, key=options.client_key_file
        )
        try:
            self._pmode: PMode = read_pmode(Path(options.pmode_file))
        except ConfigurationError as exc:
            fault_de, fault_en = (text.removesuffix(".") for text in (exc.detail.de, exc.detail.en))
            raise unusable(self.name, f"hat kein P-Mode: {fault_de}", f"has no P-Mode: {fault_en}") from exc

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        if not self._pmode.certificate.is_valid(datetime.now(UTC)):
            return _outcome("AS4: the certificate of the other side is not valid now", _HEALS)
        with (
            Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line,
            tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool,
        ):
            try:
                sent = self._sealed(package, spool)
            except (MixedUp, Unavailable) as exc:
                return not_readable(exc)
            except OSError:
                return Outcome(kind=OutcomeKind.UNREACHABLE, note="spool cannot be written", cause=DeadCause.HUB)
            try:
                answer = self._request(line, sent, spool)
            except Silence as silence:
                return silence.outcome()
        return self._judged(answer, sent, repeat=package.repeat)

    def close(self) -> None:
        """Hold no connection between attempts."""

    def _sealed(self, package: Package, spool: IO[bytes]) -> _Sent:
        """Seal the parts into the spool, and write the envelope that names them."""
        part_key = new_part_key()
        digests: dict[str, bytes] = {}
        infos: list[PartInfo] = []
        heads: list[tuple[bytes, int]] = []
        for cid, media_type, name, chunks in self._parts(package):
            writer = PartWriter(part_key)
            begun = spool.tell()
            for chunk in chunks:
                spool.write(writer.write(chunk))
            spool.write(writer.finish())
            digests[cid] = writer.digest
            infos.append(PartInfo(cid=cid, media_type=media_type, properties={"FileName": name}))
            heads.append((_head(cid), spool.tell() - begun))
        message = self._message(package, tuple(infos))
        envelope = write_message(message, digests, part_key=part_key, key=self._pmode.key, peer=self._pmode.certificate)
        return _Sent(message_id=message.message_id, envelope=envelope, heads=tuple(heads))

    def _parts(self, package: Package) -> Iterator[tuple[str, str, str, Iterable[bytes]]]:
        """Yield content id, media type, file name and content of each part, the manifest first."""
        contents = package.submission.contents
        # The same at each attempt, too.
        first = manifest(replace(package, attempt=1, repeat=False), version=self._options.envelope)
        yield self._cid(package, "manifest"), "application/json", MANIFEST, [first]
        for number, (part, sealed) in enumerate(contents.parts()):
            name = file_name(part, form=contents.form)
            yield self._cid(package, f"part-{number}"), "application/jose", name, checked(package, sealed)

    def _cid(self, package: Package, name: str) -> str:
        return f"{name}.{package.delivery_id}@{self._options.domain}"

    def _message(self, package: Package, parts: tuple[PartInfo, ...]) -> UserMessage:
        pmode, submission = self._pmode, package.submission
        return UserMessage(
            message_id=f"{package.delivery_id}@{self._options.domain}",
            # Not the clock's: a repeat is the same message, and a receipt for the first counts for it.
            sent_at=submission.submitted_at,
            sender=pmode.own.agent(INITIATOR),
            receiver=pmode.peer.agent(RESPONDER),
            agreement=pmode.agreement,
            service=pmode.service or submission.service.identifier,
            service_kind=pmode.service_kind,
            action=pmode.action,
            conversation=str(submission.case_id),
            parts=parts,
        )

    def _request(self, line: Line, sent: _Sent, spool: IO[bytes]) -> Answer:
        marker = f"hub-{uuid4().hex}"
        root = b"Content-Type: application/soap+xml; charset=UTF-8\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        first = f"--{marker}\r\n".encode() + root + sent.envelope.content
        between, end = f"\r\n--{marker}\r\n".encode(), f"\r\n--{marker}--\r\n".encode()
        length = len(first) + sum(len(between) + len(head) + size for head, size in sent.heads) + len(end)
        return request(
            line,
            self._tls,
            "POST",
            self._options.url,
            {
                "Content-Type": f'multipart/related; type="application/soap+xml"; boundary="{marker}"',
                "MIME-Version": "1.0",
            },
            _joined(first, between, sent.heads, spool, end),
            length=length,
            answer_limit=ENVELOPE_LIMIT,
            fault_limit=ENVELOPE_LIMIT,
        )

    def _judged(self, answer: Answer, sent: _Sent, *, repeat: bool) -> Outcome:
        """Say what an answer means: a receipt or an error by what it says, everything else by the status of HTTP."""
        now = datetime.now(UTC)
        by_status = judge(answer, now)
        try:
            signal = read_envelope(answer.body).signal(self._pmode.certificate, now=now)
        except Unacceptable as exc:
            if by_status.kind is not OutcomeKind.DELIVERED:
                return by_status
            said = f"receipt does not count: {exc.flaw.name.lower()}" if answer.body else "no receipt"
            return Outcome(kind=OutcomeKind.UNKNOWN, note=f"AS4: {said}")
        if signal.refers_to != sent.message_id:
            return Outcome(kind=OutcomeKind.UNKNOWN, note="AS4: the answer is about another message")
        if isinstance(signal, ErrorSignal):
            if repeat and signal.signed and signal.duplicate:
                return _delivered(f"was already there as {sent.message_id}", answer.body)
            return _refusal(signal, by_status)
        return _proven(signal, sent, answer.body)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sent:
    """A message that is ready: its envelope, and of each part in the spool its head and its size."""

    message_id: str
    envelope: SignedEnvelope
    heads: tuple[tuple[bytes, int], ...]


def _head(cid: str) -> bytes:
    return (
        f"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{cid}>\r\n\r\n"
    ).encode()


def _joined(
    first: bytes, between: bytes, heads: Iterable[tuple[bytes, int]], spool: IO[bytes], end: bytes
) -> Iterator[bytes]:
    yield first
    spool.seek(0)
    for head, size in heads:
        yield between + head
        left = size
        while left:
            piece = spool.read(min(_PIECE, left))
            left -= len(piece)
            yield piece
    yield end


def _proven(receipt: ReceiptSignal, sent: _Sent, body: bytes) -> Outcome:
    if dict(receipt.digests) != dict(sent.envelope.digests):
        return Outcome(kind=OutcomeKind.UNKNOWN, note="AS4: the receipt is about other contents")
    return _delivered(f"receipt for {sent.message_id}", body)


def _delivered(note: str, proof: bytes) -> Outcome:
    return Outcome(kind=OutcomeKind.DELIVERED, note=note, proof=proof)


def _refusal(error: ErrorSignal, by_status: Outcome) -> Outcome:
    """Return what an error means: the worst of its numbers counts. One without signature never ends a delivery."""
    found = [_MEANINGS.get(code, _PASSES) for code in error.codes]
    kind, cause = next((each for each in found if each[0] is OutcomeKind.REFUSED), found[0])
    if not error.signed and kind is OutcomeKind.REFUSED:
        kind, cause = OutcomeKind.UNREACHABLE, None if cause is _PAYLOAD else cause
    note = f"AS4: {' '.join(error.codes[:3])}{'' if error.signed else ', unsigned'}"
    wish = by_status.retry_after if kind is OutcomeKind.UNREACHABLE else None
    return Outcome(kind=kind, note=note, retry_after=wish, cause=cause)


def _outcome(note: str, meaning: _Meaning) -> Outcome:
    return Outcome(kind=meaning[0], note=note, cause=meaning[1])


_: type[Adapter] = As4
