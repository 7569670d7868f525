"""A scanner that is asked by ICAP (RFC 3507): ``OPTIONS`` for what it offers, then ``RESPMOD``, or ``REQMOD``, for each part.

A part goes as the body of an HTTP message that says nothing of it: neither a name nor a kind. The scanner may decide by the
first bytes (preview, section 4.5). One that lets a part pass by these alone, or sends it back instead of saying 204, has not
looked at all of it: that is *not scanned*, never clean. So clean is 204 to a part that went out whole, and nothing else.
Which signatures it looked with is its ``ISTag`` (section 4.7).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hub.scanning.scanner import PartTransfer, ScanBroken, Scanner, ScannerAddress, Wire
from hub.scanning.verdict import CLEAN, Gap, ScanResult, infected, limited, named, unscanned

#: Bytes of a head of the scanner's, and its lines.
_LONGEST, _MOST_LINES = 16_384, 100
#: Bytes of a preview that are kept until the scanner has decided; more is never shown at first.
_MOST_PREVIEW = 65_536
#: Bytes up to which chunks are gathered.
_SMALL = 65_536
_END, _WHOLE = b"0\r\n\r\n", b"0; ieof\r\n\r\n"
_STATUS = re.compile(rb"ICAP/1\.[0-9] (?P<code>[1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_HEADER = re.compile(rb"(?P<name>[A-Za-z0-9-]{1,60}):[ \t]*(?P<value>[^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_HTTP_STATUS = re.compile(rb"HTTP/1\.[01] (?P<code>[1-5][0-9]{2})[ \r]")
_THREAT = re.compile(r"Threat=(?P<name>[^;]+)")
#: ``X-Infection-Found``'s type for archives that are too deep, too many or too large.
_CONTAINER = re.compile(r"Type=2\b")
_OK, _CONTINUE, _UNMODIFIED, _REDIRECTED = 200, 100, 204, 300
#: What is found where the scanner puts a page of its own in a part's place, and does not say why.
BLOCKED = "blocked-by-scanner"
_REQUEST = (
    b"POST http://hub.invalid/part HTTP/1.1\r\nHost: hub.invalid\r\nContent-Type: application/octet-stream\r\n\r\n"
)
_ASKED = b"GET http://hub.invalid/part HTTP/1.1\r\nHost: hub.invalid\r\n\r\n"
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a service answers to ``OPTIONS``; ``preview`` is bytes to be seen first, None where all is to come at once."""

    method: str
    preview: int | None
    service: str
    tag: str

    def version(self, tag: str) -> str:
        """Return what receipts say of it: its name, and the ISTag that stands for its signatures."""
        return f"{self.service} {tag.strip(chr(34))}"


class IcapScanner(Scanner):
    """Asks a service of an ICAP server."""

    name = "icap"
    _offer: Offer | None = None

    def begin(self, line: Wire) -> PartTransfer:
        """Begin a part."""
        offer = self._offer
        if offer is None:
            with contextlib.closing(self.another()) as other:
                offer = self._asked(other)
        return _Exchange(line, self.place, offer)

    def ask_version(self, line: Wire) -> str:
        """Ask what it offers; ``ScanBroken`` where that is no scan that says 204 (section 4.10)."""
        offer = self._asked(line)
        return offer.version(offer.tag)

    def _asked(self, line: Wire) -> Offer:
        line.send(b"OPTIONS " + _target(self.place) + b"\r\n")
        answer = _answer(line, line.deadline())
        methods = {each.strip() for each in answer.headers.get("methods", "").split(",")}
        allowed = {each.strip() for each in answer.headers.get("allow", "").split(",")}
        method = next((each for each in ("RESPMOD", "REQMOD") if each in methods), None)
        tag = answer.headers.get("istag", "")
        if answer.code != _OK or method is None or "204" not in allowed or not tag:
            raise ScanBroken(Gap.GARBLED)
        preview = answer.headers.get("preview", "")
        self._offer = Offer(
            method=method,
            preview=min(int(preview[:9]), _MOST_PREVIEW) if preview.isascii() and preview.isdigit() else None,
            service=answer.headers.get("service", "ICAP"),
            tag=tag,
        )
        return self._offer


class _Exchange:
    """One part."""

    def __init__(self, line: Wire, place: ScannerAddress, offer: Offer) -> None:
        self._line = line
        self._offer = offer
        self._head = _head(place, offer)
        self._waiting: list[bytes] = []
        self._gathered = 0
        self._total = 0
        #: How many bytes are kept for the preview; None once it has gone, or where there is none.
        self._preview = offer.preview
        self._answer: IcapAnswer | None = None
        self._broken = False

    def write(self, chunk: bytes) -> None:
        self._total += len(chunk)
        if self._answer is not None or self._broken:
            return  # What it said is read at the end.
        self._waiting.append(chunk)
        self._gathered += len(chunk)
        if self._preview is not None:
            if self._gathered > self._preview:
                self._show(self._preview)
        elif self._gathered > _SMALL:
            self._pass_on()

    def finish(self) -> ScanResult:
        if not self._total:
            return CLEAN  # Servers say nothing of nothing.
        whole = True
        if self._answer is None:
            end = _END if self._preview is None else _WHOLE
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._flush(end)
            self._answer = _answer(self._line, self._line.deadline())
        elif self._answer.code == _UNMODIFIED:
            whole = False
        tag = self._answer.headers.get("istag", self._offer.tag)
        return replace(self._meant(self._answer, whole=whole), version=self._offer.version(tag))

    def _show(self, size: int) -> None:
        """Send the first bytes, and wait for whether the scanner wants the others."""
        known = b"".join(self._waiting)
        self._waiting, self._gathered = [known[:size]] if size else [], size
        self._flush(_END)
        self._preview = None
        answer = _answer(self._line, self._line.deadline())
        if answer.code != _CONTINUE:
            self._answer = answer
            return
        if answer.rest:
            raise ScanBroken(Gap.GARBLED)  # It has nothing to answer yet.
        self._waiting, self._gathered = [known[size:]], len(known) - size
        if self._gathered > _SMALL:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._line.ahead():  # Before the line is reset, which may take the answer along.
            self._broken = True
            return
        try:
            self._flush(b"")
        except (BrokenPipeError, ConnectionResetError):
            self._broken = True

    def _flush(self, end: bytes) -> None:
        """Send what waits as one chunk, and its end."""
        waiting, gathered = self._waiting, self._gathered
        self._waiting, self._gathered = [], 0
        head, self._head = self._head, b""
        if self._broken:
            return
        framed = [b"%x\r\n" % gathered, *waiting, b"\r\n"] if gathered else []
        self._line.send(head, *framed, end)

    def _meant(self, answer: IcapAnswer, *, whole: bool) -> ScanResult:
        if answer.code == _UNMODIFIED:
            if answer.rest:
                return unscanned(Gap.GARBLED)
            return CLEAN if whole and not self._broken else unscanned(Gap.SKIPPED)
        if answer.code != _OK:
            return unscanned(Gap.GARBLED if answer.code < _REDIRECTED else Gap.BROKEN_OFF)
        found = _found(answer.headers)
        if found is not None:
            return found
        return infected(BLOCKED) if self._replaced(answer) else unscanned(Gap.SKIPPED)

    def _replaced(self, answer: IcapAnswer) -> bool:
        """Whether the answer is something else than the part: a page of the scanner's, or the way to one."""
        until, begun = self._line.deadline(), answer.rest
        while b"\r\n" not in begun and len(begun) < _LONGEST:
            more = self._line.receive(until)
            if not more:
                raise ScanBroken(Gap.GARBLED)
            begun += more
        status = _HTTP_STATUS.match(begun)
        if self._offer.method == "REQMOD":
            return status is not None
        if status is None:
            raise ScanBroken(Gap.GARBLED)
        return int(status["code"]) >= _REDIRECTED


@dataclass(frozen=True, kw_only=True, slots=True)
class IcapAnswer:
    """The head of an answer, names in lower case; ``rest`` is what came behind it."""

    code: int
    headers: Mapping[str, str]
    rest: bytes


def _answer(line: Wire, until: float) -> IcapAnswer:
    """Return the next answer; raises ``ScanBroken`` for what is none."""
    said = b""
    while b"\r\n\r\n" not in said:
        more = line.receive(until)
        if not more:
            raise ScanBroken(Gap.BROKEN_OFF if not said else Gap.GARBLED)
        said += more
        if len(said) > _LONGEST and b"\r\n\r\n" not in said[:_LONGEST]:
            raise ScanBroken(Gap.GARBLED)
    head, _, rest = said.partition(b"\r\n\r\n")
    # Some headers go on in the next line (RFC 822, section 3.1.1), one value a line.
    first, *lines = re.sub(rb"\r\n[ \t]+", b"\t", head).split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None or len(lines) > _MOST_LINES:
        raise ScanBroken(Gap.GARBLED)
    headers: dict[str, str] = {}
    for each in lines:
        found = _HEADER.fullmatch(each)
        if found is None:
            raise ScanBroken(Gap.GARBLED)
        headers.setdefault(found["name"].decode("ascii").lower(), found["value"].decode("utf-8", errors="replace"))
    return IcapAnswer(code=int(status["code"]), headers=headers, rest=rest)


def _found(headers: Mapping[str, str]) -> ScanResult | None:
    """Return what a scanner says that it found; None where it says nothing of that.

    No standard has these headers; they are what servers send (draft-stecher-icap-subid-00, sections 3.1 and 3.2).
    """
    said = headers.get("x-infection-found")
    if said is not None:
        threat = _THREAT.search(said)
        name = threat["name"] if threat else BLOCKED
        return limited(name) if _CONTAINER.search(said) else named(name)
    virus = headers.get("x-virus-id")
    if virus is not None:
        return named(virus)
    violations = headers.get("x-violations-found")
    if violations is None or violations.strip() == "0":
        return None
    lines = violations.split("\t")
    return named(lines[2] if len(lines) > 2 else BLOCKED)  # noqa: PLR2004  # count, file, threat


def _target(place: ScannerAddress) -> bytes:
    """Return what follows a method: the service and the lines that every request has."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    said = f"icap://{host}:{place.port}{place.service} ICAP/1.0\r\nHost: {host}:{place.port}\r\nConnection: close\r\n"
    return said.encode("ascii")


def _head(place: ScannerAddress, offer: Offer) -> bytes:
    """Return the head of a request for one part, with the HTTP message that stands for it (section 4.4)."""
    if offer.method == "RESPMOD":
        answered = len(_ASKED) + len(_RESPONSE)
        encapsulated, message = f"req-hdr=0, res-hdr={len(_ASKED)}, res-body={answered}", _ASKED + _RESPONSE
    else:
        encapsulated, message = f"req-hdr=0, req-body={len(_REQUEST)}", _REQUEST
    preview = "" if offer.preview is None else f"Preview: {offer.preview}\r\n"
    lines = f"Allow: 204\r\n{preview}Encapsulated: {encapsulated}\r\n\r\n"
    return offer.method.encode("ascii") + b" " + _target(place) + lines.encode("ascii") + message
