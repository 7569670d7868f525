"""What every adapter has to get right: one table of situations, and what may come of each.

A key is a sentence. ``families`` says to which kinds of receiving system a situation can happen; ``trouble`` is the state
that the receiving system is in.

What all benches of one run share: a scratch folder, certificates, secrets. And what a bench is.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from hub.adapter_kit.packages import (
    all_lost,
    away,
    bare,
    broken_off,
    bulky,
    crowded,
    cut_short,
    endless,
    flipped,
    lean,
    lost,
    lost_midway,
    mixed_up,
    swapped,
)
from hub.crypto.development import InsecureThrowawayAuthority
from hub.files import vault
from hub.model import (
    DeadCause,
    Outcome,
    OutcomeKind,
    Package,
)

D, R, U, X = OutcomeKind.DELIVERED, OutcomeKind.REFUSED, OutcomeKind.UNREACHABLE, OutcomeKind.UNKNOWN


class Family(StrEnum):
    """Kinds of receiving systems; a fault server stands for each."""

    #: Nothing is sent: the receiver collects from the hub.
    NONE = "none"
    #: A directory.
    FILE = "file"
    #: One POST over HTTPS for each delivery.
    HTTP = "http"
    #: FIT-Connect's Submission API, version 2.
    FIT_CONNECT = "fit_connect"
    #: An XTA 2.1.1 server, as an author sees it.
    XTA = "xta"
    #: An access point of AS4, as the side that sends sees it.
    AS4 = "as4"
    #: A mail server.
    SMTP = "smtp"
    #: An SFTP server.
    SFTP = "sftp"
    #: An S3-compatible object store.
    S3 = "s3"


class Trouble(Enum):
    """The state of the receiving system when the attempt is made; the cases say what each means."""

    NONE = auto()
    GONE = auto()
    NO_SUCH_NAME = auto()
    MUTE = auto()
    DRIP_EARLY = auto()
    NOISE_EARLY = auto()
    FLOOD_EARLY = auto()
    STALL = auto()
    RESET_EARLY = auto()
    HANG = auto()
    DRIP = auto()
    DRIP_AFTER_YES = auto()
    RESET_LATE = auto()
    SILENT_CLOSE = auto()
    HALF_ANSWER = auto()
    NOISE = auto()
    HUGE_BODY = auto()
    HUGE_HEADER = auto()
    REDIRECT = auto()
    PAYLOAD_REFUSED = auto()
    TOO_LARGE = auto()
    WRONG_MEDIA = auto()
    MALFORMED = auto()
    METHOD_REFUSED = auto()
    RECIPIENT_UNKNOWN = auto()
    RECIPIENT_CLOSED = auto()
    CLOSED_FOR_GOOD = auto()
    BAD_CREDENTIALS = auto()
    FORBIDDEN = auto()
    WRONG_PATH = auto()
    IN_PROGRESS = auto()
    ALREADY_TAKEN = auto()
    TOO_MANY_SECONDS = auto()
    TOO_MANY_DATE = auto()
    TOO_MANY_NONSENSE = auto()
    TOO_MANY_FOREVER = auto()
    GREYLISTED = auto()
    MAINTENANCE = auto()
    BROKEN = auto()
    GATEWAY_TIMEOUT = auto()
    UNTRUSTED_CERTIFICATE = auto()
    EXPIRED_CERTIFICATE = auto()
    WRONG_NAME_IN_CERTIFICATE = auto()
    NO_TLS = auto()
    CLIENT_CERTIFICATE_WANTED = auto()
    WRONG_HOST_KEY = auto()
    NO_SPACE = auto()
    NO_SPACE_LATE = auto()
    NO_HANDLES = auto()
    NOT_A_FOLDER = auto()
    LINK_LOOP = auto()
    NAME_TAKEN_BY_FILE = auto()
    NAME_TAKEN_BY_FOLDER = auto()
    NAME_TAKEN_EMPTY = auto()
    CUT_MID_WRITE = auto()
    CUT_INTO_A_FILE = auto()
    OTHERS_AT_WORK = auto()
    NO_OVERWRITE = auto()
    NO_FSYNC = auto()


#: Stands in answers that refuse; whatever a receiver says may be somebody's data.
SAID = "Erika Mustermann"
#: Troubles that end only by the adapter's own deadline.
STALLING = frozenset(
    {
        Trouble.MUTE,
        Trouble.DRIP_EARLY,
        Trouble.FLOOD_EARLY,
        Trouble.STALL,
        Trouble.HANG,
        Trouble.DRIP,
        Trouble.DRIP_AFTER_YES,
        Trouble.HUGE_BODY,
        Trouble.HUGE_HEADER,
    }
)


def _any_wish(_: timedelta | None) -> bool:
    return True


def _unchanged(package: Package) -> Package:
    return package


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialCase:
    """A situation and what may come of it.

    ``copies``: what the receiver durably holds afterwards (None: either is right). ``wish`` judges the outcome's
    ``retry_after``. ``change`` makes the package special. ``first``: an earlier attempt was made in that trouble, and this
    one is its repeat. ``at_once``: so many packages are delivered at the same time; ``same``: they are one delivery.
    """

    families: frozenset[Family]
    trouble: Trouble = Trouble.NONE
    kinds: frozenset[OutcomeKind]
    cause: DeadCause | None = None
    copies: int | None = None
    wish: Callable[[timedelta | None], bool] = _any_wish
    disable: bool = False
    change: Callable[[Package], Package] = _unchanged
    first: Trouble | None = None
    at_once: int = 1
    same: bool = False

    def complaints(self, outcome: Outcome, package: Package) -> list[str]:
        """Say what is wrong with an outcome; empty if nothing is."""
        kinds = " or ".join(sorted(kind.value for kind in self.kinds))
        cause = None if outcome.kind is X else self.cause
        secrets = [(sealed.jwe or b"-").decode("latin-1") for _name, sealed in package.submission.contents.parts()]
        wrong = {
            f"outcome is {outcome.kind.value} ({outcome.note}), not {kinds}": outcome.kind not in self.kinds,
            f"cause is {outcome.cause} ({outcome.note}), not {cause}": outcome.cause is not cause,
            f"disable is {outcome.disable}": outcome.disable is not self.disable,
            f"retry_after is {outcome.retry_after}": not self.wish(outcome.retry_after),
            "note is longer than 200 characters": len(outcome.note) > 200,  # noqa: PLR2004  # One line for operators.
            "note is not one printable line": not outcome.note.isprintable(),
            "note repeats what the other side said": SAID in outcome.note,
            "note repeats content": any(secret in outcome.note for secret in secrets),
        }
        return [complaint for complaint, applies in wrong.items() if applies]


_ALL = frozenset(Family) - {Family.NONE}
_NET = _ALL - {Family.FILE}
_WEB = frozenset({Family.HTTP, Family.FIT_CONNECT, Family.XTA, Family.AS4})
_TLS = _WEB | {Family.S3, Family.SMTP}
_PLACES = frozenset({Family.FILE, Family.SFTP, Family.S3})
_SINGLE = {family: frozenset({family}) for family in Family}
_HTTP, _FIT, _XTA = _SINGLE[Family.HTTP], _SINGLE[Family.FIT_CONNECT], _SINGLE[Family.XTA]
_AS4 = _SINGLE[Family.AS4]
_SMTP, _SFTP, _S3, _FILE = _SINGLE[Family.SMTP], _SINGLE[Family.SFTP], _SINGLE[Family.S3], _SINGLE[Family.FILE]
_CONFIGURATION, _PAYLOAD, _HUB = DeadCause.CONFIGURATION, DeadCause.PAYLOAD, DeadCause.HUB


def _case(families: frozenset[Family], trouble: Trouble, *kinds: OutcomeKind, **more: Any) -> TrialCase:
    return TrialCase(families=families, trouble=trouble, kinds=frozenset(kinds), **more)


def _exactly(**duration: float) -> Callable[[timedelta | None], bool]:
    return lambda wish: wish == timedelta(**duration)


def _about_five_minutes(wish: timedelta | None) -> bool:
    return wish is not None and timedelta(minutes=4) < wish <= timedelta(minutes=5)


CASES: Mapping[str, TrialCase] = {
    # Well.
    "what the receiver collects is left waiting": _case(frozenset({Family.NONE}), Trouble.NONE, OutcomeKind.WAITING),
    "a delivery arrives once": _case(_ALL, Trouble.NONE, D, copies=1),
    "an empty attachment list is fine": _case(_ALL, Trouble.NONE, D, copies=1, change=lean),
    "a submission without data is fine": _case(_ALL - _FIT, Trouble.NONE, D, copies=1, change=bare),
    "a large delivery arrives whole": _case(_ALL, Trouble.NONE, D, copies=1, change=bulky),
    "deliveries at the same time all arrive": _case(_ALL, Trouble.NONE, D, copies=1, at_once=4),
    "a hundred attachments arrive": _case(_ALL, Trouble.NONE, D, copies=1, change=crowded),
    # Once more.
    "the same delivery twice can be told by its id": _case(_ALL - _FIT, Trouble.NONE, D, first=Trouble.NONE),
    "the same delivery twice makes one place": _case(_PLACES, Trouble.NONE, D, copies=1, first=Trouble.NONE),
    "a repeat after a lost answer arrives": _case(_NET, Trouble.NONE, D, first=Trouble.RESET_LATE),
    "a repeat after a lost answer completes what was begun": _case(
        _FIT | _XTA | _AS4 | _SFTP | _S3, Trouble.NONE, D, copies=1, first=Trouble.RESET_LATE
    ),
    "a repeat after a cut in the middle arrives once": _case(
        _NET, Trouble.NONE, D, copies=1, first=Trouble.RESET_EARLY, change=bulky
    ),
    "what a crash left behind does not disturb": _case(_PLACES, Trouble.CUT_MID_WRITE, D, copies=1),
    "a server that never gives a taken name to another file gets it all": _case(
        _SFTP, Trouble.NO_OVERWRITE, D, copies=1
    ),
    "a server that offers fsync in vain gets it all": _case(_SFTP, Trouble.NO_FSYNC, D, copies=1),
    "a file that a crash left behind does not disturb": _case(_FILE, Trouble.CUT_INTO_A_FILE, D, copies=1),
    "what others are writing is left alone": _case(_FILE, Trouble.OTHERS_AT_WORK, D, copies=1),
    "one delivery from two sides at the same time makes one place": _case(
        _FILE, Trouble.NONE, D, U, copies=1, at_once=4, same=True
    ),
    "a repeat once there is space arrives": _case(_FILE, Trouble.NONE, D, copies=1, first=Trouble.NO_SPACE),
    "a repeat once the receiver is back arrives": _case(_FILE, Trouble.NONE, D, copies=1, first=Trouble.GONE),
    # Nobody there.
    "a receiver that is down is unreachable": _case(_ALL, Trouble.GONE, U, copies=0),
    "a name that does not resolve is unreachable": _case(_NET, Trouble.NO_SUCH_NAME, U, copies=0),
    # Somebody there who is no good from the start.
    "a server that never says a word is unreachable": _case(_NET - _HTTP, Trouble.MUTE, U, copies=0),
    "a greeting of one byte now and then does not outlast the deadline": _case(
        _SMTP | _SFTP, Trouble.DRIP_EARLY, U, copies=0
    ),
    "a greeting in another protocol is unreachable": _case(_SMTP | _SFTP, Trouble.NOISE_EARLY, U, copies=0),
    "a greeting without end is unreachable": _case(_SMTP | _SFTP, Trouble.FLOOD_EARLY, U, copies=0),
    "a receiver that stops listening in the middle is unreachable": _case(
        _NET, Trouble.STALL, U, copies=0, change=bulky
    ),
    "a reset in the middle is unreachable": _case(_NET, Trouble.RESET_EARLY, U, copies=0, change=bulky),
    # Answers that never come.
    "silence after the whole delivery is unknown": _case(_NET, Trouble.HANG, X),
    "an answer of one byte now and then does not outlast the deadline": _case(_WEB | _S3 | _SMTP, Trouble.DRIP, X),
    "a yes counts although its body drips": _case(_WEB - _AS4, Trouble.DRIP_AFTER_YES, D, copies=1),
    "a reset after the whole delivery is unknown": _case(_NET, Trouble.RESET_LATE, X),
    "a polite close without an answer is unknown": _case(_NET - _SFTP, Trouble.SILENT_CLOSE, X),
    "half an answer is unknown": _case(_WEB | _S3 | _SMTP, Trouble.HALF_ANSWER, X),
    "an answer in another protocol is unknown": _case(_WEB | _S3 | _SMTP, Trouble.NOISE, X),
    "a yes counts although its body is huge": _case(_WEB - _AS4, Trouble.HUGE_BODY, D, copies=1),
    "a yes whose receipt drips is unknown": _case(_AS4, Trouble.DRIP_AFTER_YES, X),
    "a yes with a huge body instead of a receipt is unknown": _case(_AS4, Trouble.HUGE_BODY, X),
    "an answer without end is unknown": _case(_WEB | _S3 | _SMTP, Trouble.HUGE_HEADER, X),
    # A clear no.
    "a redirect is not followed": _case(_WEB, Trouble.REDIRECT, R, cause=_CONFIGURATION, copies=0),
    "a redirect of a store is not followed": _case(_S3, Trouble.REDIRECT, U, copies=0),
    "a refused payload blames the payload": _case(_WEB | _SMTP, Trouble.PAYLOAD_REFUSED, R, cause=_PAYLOAD, copies=0),
    "too large blames the payload": _case(_WEB | _SMTP, Trouble.TOO_LARGE, R, cause=_PAYLOAD, copies=0),
    "a wrong media type blames the payload": _case(_WEB, Trouble.WRONG_MEDIA, R, cause=_PAYLOAD, copies=0),
    "malformed blames the payload": _case(_WEB, Trouble.MALFORMED, R, cause=_PAYLOAD, copies=0),
    "a method that is not taken blames the configuration": _case(
        _WEB, Trouble.METHOD_REFUSED, R, cause=_CONFIGURATION, copies=0
    ),
    "an unknown recipient blames the configuration": _case(
        _SMTP, Trouble.RECIPIENT_UNKNOWN, R, cause=_CONFIGURATION, copies=0
    ),
    "a destination that is closed for now may open again": _case(
        _FIT, Trouble.RECIPIENT_CLOSED, U, cause=_CONFIGURATION, copies=0
    ),
    "gone for good disables the destination": _case(
        _WEB, Trouble.CLOSED_FOR_GOOD, R, cause=DeadCause.RECEIVER, disable=True, copies=0
    ),
    # Not now.
    "bad credentials may heal": _case(_NET, Trouble.BAD_CREDENTIALS, U, cause=_CONFIGURATION, copies=0),
    "forbidden may heal": _case(_NET - _SMTP, Trouble.FORBIDDEN, U, cause=_CONFIGURATION, copies=0),
    "a wrong path may heal": _case(_NET - _SMTP, Trouble.WRONG_PATH, U, cause=_CONFIGURATION, copies=0),
    "work in progress is unknown": _case(_WEB, Trouble.IN_PROGRESS, X),
    "a conflict that names the delivery is a yes from before": _case(_HTTP, Trouble.ALREADY_TAKEN, D, copies=0),
    "a wish in seconds is heard": _case(_WEB, Trouble.TOO_MANY_SECONDS, U, wish=_exactly(seconds=120), copies=0),
    "a wish as a date is heard": _case(_WEB, Trouble.TOO_MANY_DATE, U, wish=_about_five_minutes, copies=0),
    "a nonsense wish is ignored": _case(_WEB, Trouble.TOO_MANY_NONSENSE, U, wish=lambda wish: wish is None, copies=0),
    "an endless wish is capped": _case(_WEB, Trouble.TOO_MANY_FOREVER, U, wish=_exactly(days=1), copies=0),
    "a mail server that asks to come back later is unreachable": _case(_SMTP, Trouble.GREYLISTED, U, copies=0),
    "maintenance with a wish is unreachable": _case(_WEB, Trouble.MAINTENANCE, U, wish=_exactly(seconds=7), copies=0),
    "maintenance is unreachable": _case(_S3 | _SMTP, Trouble.MAINTENANCE, U, copies=0),
    "a broken receiver is unreachable": _case(_NET, Trouble.BROKEN, U, copies=0),
    "a gateway timeout is unreachable": _case(_WEB, Trouble.GATEWAY_TIMEOUT, U, copies=0),
    "no space is unreachable and leaves nothing whole": _case(_PLACES | _SMTP, Trouble.NO_SPACE, U, copies=0),
    "space that ends in the middle leaves nothing whole": _case(
        _FILE, Trouble.NO_SPACE_LATE, U, copies=0, change=bulky
    ),
    "space that ends before the manifest leaves nothing whole": _case(_FILE, Trouble.NO_SPACE_LATE, U, copies=0),
    "a hub without a file handle to spare delays": _case(_FILE, Trouble.NO_HANDLES, U, copies=0),
    "a folder that became a file is unreachable": _case(_FILE, Trouble.NOT_A_FOLDER, U, copies=0),
    "a folder that became a link to itself is unreachable": _case(_FILE, Trouble.LINK_LOOP, U, copies=0),
    "a file that has the delivery's name is not overwritten": _case(_FILE, Trouble.NAME_TAKEN_BY_FILE, U, copies=0),
    "a folder that has the delivery's name is not taken for it": _case(
        _FILE, Trouble.NAME_TAKEN_BY_FOLDER, U, copies=0
    ),
    "an empty folder that has the delivery's name is made whole": _case(_FILE, Trouble.NAME_TAKEN_EMPTY, D, copies=1),
    # Trust.
    "an untrusted certificate gets nothing": _case(
        _TLS, Trouble.UNTRUSTED_CERTIFICATE, U, cause=_CONFIGURATION, copies=0
    ),
    "an expired certificate gets nothing": _case(_TLS, Trouble.EXPIRED_CERTIFICATE, U, cause=_CONFIGURATION, copies=0),
    "a certificate for another name gets nothing": _case(
        _TLS, Trouble.WRONG_NAME_IN_CERTIFICATE, U, cause=_CONFIGURATION, copies=0
    ),
    "a receiver without TLS gets nothing": _case(_WEB | _SMTP, Trouble.NO_TLS, U, cause=_CONFIGURATION, copies=0),
    "a store without TLS gets nothing": _case(_S3, Trouble.NO_TLS, U, copies=0),
    # With TLS 1.3 the refusal comes after the request, and a reset on its heels may swallow it.
    "a missing client certificate blames the configuration, if that can be told": _case(
        _HTTP, Trouble.CLIENT_CERTIFICATE_WANTED, U, X, cause=_CONFIGURATION, copies=0
    ),
    "a server with another host key gets nothing": _case(
        _SFTP, Trouble.WRONG_HOST_KEY, U, cause=_CONFIGURATION, copies=0
    ),
    # The hub's own side.
    "a mixed-up content is never delivered": _case(_ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=mixed_up),
    "contents that changed places are never delivered": _case(
        _ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=swapped
    ),
    "one wrong bit in the last attachment is never delivered": _case(
        _ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=flipped
    ),
    "a content that lacks its end is never delivered": _case(
        _ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=cut_short
    ),
    "a content that does not end is never delivered": _case(
        _ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=endless
    ),
    "a lost content is the hub's own dead letter": _case(_ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=all_lost),
    "a lost attachment is the hub's own dead letter": _case(_ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=lost),
    "an attachment that is lost midway is the hub's own dead letter": _case(
        _ALL, Trouble.NONE, R, cause=_HUB, copies=0, change=lost_midway
    ),
    "a store that is away delays": _case(_ALL, Trouble.NONE, U, cause=_HUB, copies=0, change=away),
    "a store that breaks off in the last attachment delays": _case(
        _ALL, Trouble.NONE, U, cause=_HUB, copies=0, change=broken_off
    ),
}


def sentences(family: Family) -> list[str]:
    """Return the sentences that apply to a family."""
    return [sentence for sentence, case in CASES.items() if family in case.families]


#: What stands for a place in a trial's options: ``{url}``, ``{port}``, ``{ca_file}`` …
Places = Mapping[str, str | int]
HOST = "127.0.0.1"
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  # For loopback alone.
#: The file that is written last and makes a delivery in files whole.
MARKER = "manifest.json"


class Workshop:
    """Makes what benches need in ``folder``, once."""

    def __init__(self, folder: Path, *, now: datetime) -> None:
        self._folder = folder
        self._now = now
        self._authority = InsecureThrowawayAuthority(folder / "authority", now=now)

    @property
    def ca_file(self) -> Path:
        """The authority that adapters are told to trust."""
        return self._authority.ca_file

    @cached_property
    def secret_file(self) -> Path:
        """A file of 32 characters."""
        return self.written("secret", SECRET)

    @cached_property
    def client(self) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        return self._authority.issue(HOST)

    @cached_property
    def access_points(self) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
        """Certificates and keys of two access points that sign and encrypt (RSA, 2048 bits): the hub's and the other."""
        return self._authority.issue(HOST, rsa_bits=2048), self._authority.issue(HOST, rsa_bits=2048)

    def scratch(self) -> Path:
        """Return a new empty folder."""
        folder = self._folder / uuid4().hex
        folder.mkdir()
        return folder

    def written(self, name: str, text: str) -> Path:
        """Return a new file of that content."""
        path = self.scratch() / name
        vault.write(path, f"{text}\n".encode())
        return path

    def tls(self, trouble: Trouble = Trouble.NONE) -> ssl.SSLContext:
        """Return a server's side of TLS, with the certificate that fits the trouble."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate(trouble))
        if trouble is Trouble.CLIENT_CERTIFICATE_WANTED:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context

    def _certificate(self, trouble: Trouble) -> tuple[Path, Path]:
        match trouble:
            case Trouble.UNTRUSTED_CERTIFICATE:
                return InsecureThrowawayAuthority(self.scratch(), now=self._now).issue(HOST)
            case Trouble.EXPIRED_CERTIFICATE:
                return self._authority.issue(HOST, expired=True)
            case Trouble.WRONG_NAME_IN_CERTIFICATE:
                return self._authority.issue("192.0.2.7")
        return self._server

    @cached_property
    def _server(self) -> tuple[Path, Path]:
        return self._authority.issue(HOST)


class Bench(Protocol):
    """One receiving system on loopback."""

    def __init__(self, workshop: Workshop) -> None: ...

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the system into a trouble and return its places; what it holds stays."""

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do what happens after the adapter has opened."""

    def copies(self, package: Package) -> int:
        """Return how many whole copies of a delivery the system durably holds."""

    def strangers(self, packages: list[Package]) -> int:
        """Return how many things it holds that cannot be told as one of these deliveries, or are half of one."""

    def close(self) -> None:
        """Stop everything."""


def whole_places(files: Mapping[str, bytes], package: Package) -> list[str]:
    """Return the places among ``files`` (by path) whose marker stands and that hold every part of a delivery."""
    complete = [path.removesuffix(MARKER) for path in files if path.rpartition("/")[2] == MARKER]
    own = [place for place in complete if str(package.delivery_id) in place]
    parts = {sealed.jwe or b"" for _name, sealed in package.submission.contents.parts()}
    return [place for place in own if parts <= {files[path] for path in files if path.startswith(place)}]
