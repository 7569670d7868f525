"""The bench of the family ``http``, and what the benches on top of HTTP share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hub.adapter_kit.cases import SAID, Trouble
from hub.adapter_kit.gate import Gate, Mode
from hub.adapter_kit.receiver import Answer, Fault, Heard, Receiver
from hub.adapter_kit.workshop import HOST, Places, Workshop
from hub.model.submission import Package

#: How a web receiver answers what would complete a delivery.
ANSWERS: Mapping[Trouble, Answer] = {
    Trouble.REDIRECT: Answer(status=307, headers={"Location": "/elsewhere"}),
    Trouble.PAYLOAD_REFUSED: Answer(status=422, body=SAID.encode()),
    Trouble.TOO_LARGE: Answer(status=413),
    Trouble.WRONG_MEDIA: Answer(status=415),
    Trouble.MALFORMED: Answer(status=400),
    Trouble.METHOD_REFUSED: Answer(status=405),
    Trouble.BAD_CREDENTIALS: Answer(status=401),
    Trouble.FORBIDDEN: Answer(status=403),
    Trouble.WRONG_PATH: Answer(status=404),
    Trouble.IN_PROGRESS: Answer(status=409),
    Trouble.CLOSED_FOR_GOOD: Answer(status=410),
    Trouble.TOO_MANY_SECONDS: Answer(status=429, headers={"Retry-After": "120"}),
    Trouble.TOO_MANY_NONSENSE: Answer(status=429, headers={"Retry-After": "-1e9; soon"}),
    Trouble.TOO_MANY_FOREVER: Answer(status=429, headers={"Retry-After": "9" * 400}),
    Trouble.MAINTENANCE: Answer(status=503, headers={"Retry-After": "7"}),
    Trouble.BROKEN: Answer(status=500),
    Trouble.GATEWAY_TIMEOUT: Answer(status=504),
}
FAULTS: Mapping[Trouble, Fault] = {
    Trouble.HANG: Fault.HANG,
    Trouble.DRIP: Fault.DRIP,
    Trouble.DRIP_AFTER_YES: Fault.DRIP_BODY,
    Trouble.RESET_LATE: Fault.RESET,
    Trouble.SILENT_CLOSE: Fault.SILENT_CLOSE,
    Trouble.HALF_ANSWER: Fault.HALF_ANSWER,
    Trouble.NOISE: Fault.NOISE,
    Trouble.HUGE_BODY: Fault.HUGE_BODY,
    Trouble.HUGE_HEADER: Fault.HUGE_HEADER,
}
#: Faults that say yes first.
_TAKEN = frozenset({Fault.DRIP_BODY, Fault.HUGE_BODY})
#: What the gate does in which trouble.
MODES: Mapping[Trouble, Mode] = {
    Trouble.MUTE: Mode.MUTE,
    Trouble.DRIP_EARLY: Mode.DRIP,
    Trouble.NOISE_EARLY: Mode.NOISE,
    Trouble.FLOOD_EARLY: Mode.FLOOD,
    Trouble.STALL: Mode.STALL,
    Trouble.RESET_EARLY: Mode.CUT,
}
CERTIFICATES = frozenset(
    {
        Trouble.UNTRUSTED_CERTIFICATE,
        Trouble.EXPIRED_CERTIFICATE,
        Trouble.WRONG_NAME_IN_CERTIFICATE,
        Trouble.CLIENT_CERTIFICATE_WANTED,
    }
)


def answer_in(trouble: Trouble) -> Answer | Fault:
    """Return what a web receiver in trouble says to the request that would complete a delivery."""
    if trouble is Trouble.TOO_MANY_DATE:
        later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)  # A server has a clock.
        return Answer(status=429, headers={"Retry-After": later})
    return ANSWERS.get(trouble) or FAULTS.get(trouble) or Answer()


def says_yes(outcome: Answer | Fault) -> bool:
    """Tell whether the other side learns that the delivery was taken."""
    return outcome in _TAKEN if isinstance(outcome, Fault) else outcome.status == Answer().status


class WebBench:
    """A receiver behind TLS and a gate; families on HTTP say what it answers (``play``) and what it holds."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.trouble = Trouble.NONE
        self._receivers = [Receiver(self.play, workshop.tls())]
        self._gate = Gate(self._receivers[0].port)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the receiver into a trouble."""
        self.trouble = trouble
        self._gate.mode = MODES.get(trouble, Mode.PASS)
        if trouble in CERTIFICATES or trouble is Trouble.NO_TLS:
            tls = None if trouble is Trouble.NO_TLS else self.workshop.tls(trouble)
            self._receivers.append(Receiver(self.play, tls))
            self._gate.target = self._receivers[-1].port
        if trouble is Trouble.GONE:
            self._gate.close()
        if trouble is Trouble.CUT_MID_WRITE:
            self.leave_half(package)
        host = "receiver.invalid" if trouble is Trouble.NO_SUCH_NAME else f"{HOST}:{self._gate.port}"
        certificate, key = self.workshop.client
        return {
            "url": f"https://{host}",
            "ca_file": str(self.workshop.ca_file),
            "secret_file": str(self.workshop.secret_file),
            "client_cert_file": str(certificate),
            "client_key_file": str(key),
        }

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do nothing more: everything is arranged."""

    def play(self, heard: Heard) -> Answer | Fault:
        """Answer a request."""
        raise NotImplementedError

    def leave_half(self, package: Package) -> None:
        """Hold what an attempt that crashed left behind."""

    def close(self) -> None:
        """Stop everything."""
        self._gate.close()
        for receiver in self._receivers:
            receiver.close()


class HttpBench(WebBench):
    """Any receiver that takes a delivery in one request and knows it by its id, in a header, the path or the body."""

    def __init__(self, workshop: Workshop) -> None:
        self._taken: list[str] = []
        super().__init__(workshop)

    def play(self, heard: Heard) -> Answer | Fault:
        """Hold what is said yes to; a redirect's target would say yes as well."""
        outcome = Answer() if heard.path.endswith("/elsewhere") else answer_in(self.trouble)
        if says_yes(outcome):
            head = "\n".join(heard.headers.values())
            self._taken.append(f"{heard.path}\n{head}\n{heard.body[:4096].decode(errors='replace')}")
        return outcome

    def copies(self, package: Package) -> int:
        """Count the requests that name the delivery."""
        return sum(str(package.delivery_id) in taken for taken in self._taken)

    def strangers(self, packages: list[Package]) -> int:
        """Count the requests that name none of the deliveries."""
        ids = [str(package.delivery_id) for package in packages]
        return sum(not any(one in taken for one in ids) for taken in self._taken)
