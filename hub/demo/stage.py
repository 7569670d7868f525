"""Puts the demo on stage: hub in this process, specialist system in another, then the walk.

The walk: sends applications as an online service would, and shows what became of each, step by step.

Everything is asked for from outside (HTTP, published keys) where a sender could ask it; only what a sender never sees
(adapter, attempts) is read from the hub itself. A step that did not happen is shown as such and decides the exit code.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import requests

from hub import __version__, app
from hub.app import Context
from hub.client.contents import Attachment
from hub.client.plain import Application, PlainDoor, Receipt
from hub.client.session import log_in
from hub.client.transport import Direct, Retrying
from hub.config import Settings
from hub.demo.authorities import plant, settle
from hub.demo.cast import Cast, adapter_config, prepare, roles, write_config, write_portal_settings
from hub.demo.citizen import apply
from hub.errors import HubError, StoreUnavailable, Text
from hub.model import MediaType
from hub.resources import shipped

_PATIENCE_SECONDS = 60.0
_LOOK = 0.2
#: The smallest file that PDF readers open; the demo's attachment.
_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\nxref\n0 4\n0000000000 65535 f \n"
    b"0000000009 00000 n \n0000000052 00000 n \n0000000101 00000 n \ntrailer<</Size 4/Root 1 0 R>>\nstartxref\n163\n%%EOF\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One application to send. ``file`` is relative to the shipped schemas; ``pdf`` is the file name of an attachment."""

    title: str
    file: str
    media_type: MediaType
    service: str
    ars: str
    pdf: str = ""
    good: bool = True

    @property
    def content(self) -> bytes:
        """The document itself."""
        return (shipped("schemas") / self.file).read_bytes()


EXAMPLES = (
    Example(
        title="Bauantrag in Taunusstein (XML, mit PDF) / building application in Taunusstein (XML, with PDF)",
        file="bauantrag/1.2/examples/good-einfamilienhaus.xml",
        media_type=MediaType.XML,
        service="urn:de:fim:leika:leistung:99012008001000",
        ars="064390015015",
        pdf="lageplan.pdf",
    ),
    Example(
        title="Wohnsitz-Anmeldung in Wiesbaden (JSON, mit PDF) / registering a residence in Wiesbaden (JSON, with PDF)",
        file="fim-wohnsitz/1.2/examples/good-umzug.json",
        media_type=MediaType.JSON,
        service="urn:de:fim:leika:leistung:99115005104000",
        ars="064140000000",
        pdf="bestaetigung.pdf",
    ),
    Example(
        title="Ein fehlerhafter Bauantrag / a broken building application",
        file="bauantrag/1.2/examples/bad-ohne-flurstueck.xml.element-missing.xml",
        media_type=MediaType.XML,
        service="urn:de:fim:leika:leistung:99012008001000",
        ars="064390015015",
        good=False,
    ),
)


class Walk:
    """One showing of all examples."""

    def __init__(
        self, *, hub: Context, cast: Cast, specialist_url: str, portal_url: str, stop: threading.Event
    ) -> None:
        self._hub = hub
        self._cast = cast
        self._specialist_url = specialist_url
        self._portal_url = portal_url
        self._stop = stop
        base_url: str = cast.document["base_url"]
        # The demo's own address, which somebody may have set to one of his own network.
        transport = Retrying(Direct(allow_http=True))
        self._door = PlainDoor(log_in(base_url, **cast.document["sender"], transport=transport))
        self._failed = 0

    def run(self) -> int:
        """Show every example; return 0 only if every step happened."""
        for number, example in enumerate(EXAMPLES, start=1):
            click.secho(f"\n{number} · {example.title}", bold=True)
            if example.good:
                self._show_good(example)
            else:
                self._show_refused(example)
        self._show_citizen(len(EXAMPLES) + 1)
        self._show_summary()
        return 1 if self._failed else 0

    def _show_citizen(self, number: int) -> None:
        """Have a citizen fill in a form at the portal, by nothing but its pages, and follow it to the authority's desk."""
        click.secho(
            f"\n{number} · Hundesteuer in Wiesbaden, im Bürgerportal ausgefüllt / dog tax in Wiesbaden, by the portal's form",
            bold=True,
        )
        try:
            sent = apply(self._portal_url, _PDF)
            receipt = Receipt.verified(sent.token, self._door.published_keys())
        except HubError as error:
            self._step("gesendet", "sent", False, f"{error.detail.de} / {error.detail.en}")  # noqa: FBT003
            return
        said = f"{sent.pages} Seiten / pages, submissionId {receipt.submission_id}"
        self._step("gesendet", "sent", str(receipt.submission_id) == sent.submission_id, said)
        self._step("zugeordnet", "routed", True, receipt.destination)  # noqa: FBT003
        case = self._wait_for_case(receipt.submission_id)
        self._step("geöffnet", "opened", case is not None and bool(case.get("attachments")), _opened(case))
        self._show_proof(receipt.case_id)
        click.echo(f"      Bürgerportal / citizens' portal: {self._portal_url}/")

    def _wait_for_case(self, submission_id: UUID) -> Mapping[str, Any] | None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        case = None
        while case is None and time.monotonic() < deadline and not self._stop.is_set():
            case = self._specialist_case(submission_id)
            time.sleep(_LOOK)
        return case

    def _show_good(self, example: Example) -> None:
        try:
            receipt = self._door.submit(_application(example))
        except HubError as error:
            facts = f"{_refusal(error)}: {error.detail.de} / {error.detail.en}"
            self._step("angenommen", "accepted", False, facts)  # noqa: FBT003  # the step's result
            return
        said = f"HTTP 202, submissionId {receipt.submission_id}, signierte Eingangsbestätigung / signed receipt"
        self._step("angenommen", "accepted", True, said)  # noqa: FBT003
        schema = receipt.claims["schema"]
        whole = receipt.validation is None  # Else it says of some check that something is missing.
        self._step("geprüft", "validated", whole, f"{schema['uri']}, Version {schema['version']}")
        self._show_route(example, receipt)
        self._step("versiegelt", "sealed", bool(receipt.claims.get("encryptionKid")), _sealing(receipt.claims))
        state = self._wait_for_end(receipt.submission_id)
        self._show_delivery(receipt.submission_id)
        case = self._specialist_case(receipt.submission_id)
        self._step("geöffnet", "opened", case is not None, _opened(case))
        self._step("bestätigt", "acknowledged", state == "accepted", f"accept-submission, Zustand / state: {state}")
        self._show_proof(receipt.case_id)

    def _show_refused(self, example: Example) -> None:
        try:
            receipt = self._door.submit(_application(example))
        except HubError as error:
            violations = error.members.get("violations", [])
            self._step("abgelehnt", "refused", bool(violations), _refusal(error))
        else:
            self._step("abgelehnt", "refused", False, f"HTTP 202, submissionId {receipt.submission_id}")  # noqa: FBT003
            return
        for violation in violations:
            line = f", Zeile / line {violation['line']}" if violation.get("line") else ""
            click.echo(f"      {violation['path']}{line}  [{violation['rule']}]")
            click.echo(f"      {violation['text']['de']}")
            click.secho(f"      {violation['text']['en']}", dim=True)

    def _show_route(self, example: Example, receipt: Receipt) -> None:
        explained = self._door.responsible(example.service, ars=example.ars)
        right = explained.get("destinationId") == str(receipt.destination_id)
        self._step("zugeordnet", "routed", right, f"{receipt.destination} ({receipt.destination_id})")
        for language in ("de", "en"):
            taken = [line for line in explained.get("lines", {}).get(language, []) if "->" in line]
            click.secho("\n".join(f"      {line.strip()}" for line in taken), dim=language == "en")

    def _show_delivery(self, submission_id: UUID) -> None:
        view = self._hub.store.deliveries.of(submission_id)
        message = self._hub.store.submissions.message(submission_id)
        destination = self._hub.store.parties.destination(message.destination_id) if message is not None else None
        done = view is not None and view.state.value in {"delivered", "waiting"} and bool(view.attempts)
        how = ""
        if view is not None and view.attempts and destination is not None:
            attempts, last = len(view.attempts), view.attempts[-1]
            how = f"Adapter {destination.adapter}, {attempts} Versuch(e) / attempt(s), {last.outcome.value}"
        self._step("zugestellt", "delivered", done, how)

    def _show_proof(self, case_id: UUID) -> None:
        report = self._hub.notary.verify([case_id])
        intact = report.events > 0 and not report.findings
        self._step(
            "bewiesen",
            "proven",
            intact,
            f"Eingangsbestätigung echt, {report.events} Ereignisse unversehrt / receipt genuine, {report.events} "
            "events intact",
        )

    def _wait_for_end(self, submission_id: UUID) -> str:
        state = ""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and not self._stop.is_set():
            state = self._door.progress(submission_id).state
            if state in {"accepted", "rejected", "deleted"}:
                break
            time.sleep(_LOOK)
        return state

    def _specialist_case(self, submission_id: UUID) -> Mapping[str, Any] | None:
        cases = requests.get(f"{self._specialist_url}/cases.json", timeout=30).json()["cases"]
        return next((case for case in cases if case["submissionId"] == str(submission_id)), None)

    def _step(self, german: str, english: str, happened: bool, facts: str) -> bool:  # noqa: FBT001  # the step's result
        mark = click.style("✓", fg="green") if happened else click.style("✗", fg="red")
        self._failed += not happened
        click.echo(f"  {mark} {german:<11} {english:<13} {facts}")
        return happened

    def _show_summary(self) -> None:
        if self._failed:
            click.secho(f"\n{self._failed} Schritt(e) fehlen. / {self._failed} step(s) did not happen.", fg="red")
        else:
            click.secho("\nAlles ist geschehen wie gezeigt. / Everything happened as shown.", fg="green")


def _application(example: Example) -> Application:
    attachment = Attachment(
        open=lambda: BytesIO(_PDF),
        filename=example.pdf,
        media_type="application/pdf",
        description="Anlage der Vorführung",
    )
    return Application(
        data=example.content,
        media_type=example.media_type,
        service=example.service,
        ars=example.ars,
        attachments=[attachment] if example.pdf else [],
        metadata={"additionalReferenceInfo": {"senderReference": "DEMO-0001"}} if example.pdf else {},
    )


def _refusal(error: HubError) -> str:
    return f"HTTP {error.members.get('status', '-')}, {error.members.get('problem', {}).get('type', error.slug)}"


def _sealing(claims: Mapping[str, Any]) -> str:
    parts = claims.get("contents", {})
    return f"RSA-OAEP-256 + A256GCM, Schlüssel / key {claims.get('encryptionKid')}, {len(parts)} Teile / parts"


def _opened(case: Mapping[str, Any] | None) -> str:
    if case is None:
        return "nicht angekommen / did not arrive"
    return f"im Fachverfahren / in the specialist system, {len(case.get('attachments', []))} Anlage(n) / attachment(s)"


#: A busy machine takes its time to start three processes.
_START_SECONDS = 90
_TICK = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo:
    """What to show.

    ``once`` stops after the walk. ``traffic`` plays the other sides: sends applications, collects and answers them; without
    it the mailboxes are left to whoever is pointed at the demo.
    """

    settings: Settings
    once: bool
    traffic: bool


def run_demo(demo: Demo) -> int:
    """Run the demo; return the exit code: 0 only if everything that was shown really happened."""
    stop = _stopping()
    portal_port = _free_port(demo.settings.port + 1)
    settings = replace(demo.settings, portal_url=f"http://127.0.0.1:{portal_port}")
    first_start = _greet(settings)
    hub = app.build(settings, listens=True)
    app.announce(hub, "run")
    cast = settle(hub, prepare(hub, say=click.echo), say=click.echo)
    plant(hub, cast)
    with ExitStack() as stack:
        specialist_url = _prepare_municipality(hub, cast)
        stack.enter_context(_serving(hub))
        _begin_beside(stack, demo, cast, settings, specialist_url, portal_port)
        code = 0
        if demo.once or (first_start and demo.traffic):
            walk = Walk(hub=hub, cast=cast, specialist_url=specialist_url, portal_url=settings.portal_url, stop=stop)
            code = walk.run()
        if not demo.once:
            _say_what_next(settings, specialist_url)
            stop.wait()
            click.echo("\nBeendet. / Stopped.")
    return code


def _stopping() -> threading.Event:
    """Return what a signal to end sets."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _greet(settings: Settings) -> bool:
    """Say where it begins; return whether it is for the first time."""
    click.secho(f"\nRathaus-Hub {__version__} · Vorführung / demo", bold=True)
    click.echo(f"  Daten / data        {settings.data}")
    click.echo(f"  Adresse / address   {settings.canonical_url}\n")
    first_start = not (settings.data / "demo.json").is_file()
    if first_start:
        click.echo(
            "Erster Start: Schlüssel und Zustellpunkte werden angelegt. / First start: making keys and destinations."
        )
    return first_start


def _begin_beside(  # noqa: PLR0917  # the parties, in their order
    stack: ExitStack, demo: Demo, cast: Cast, settings: Settings, specialist_url: str, portal_port: int
) -> None:
    """Start connector and portal, and wait until all of them answer."""
    if demo.traffic:
        command = ["-v", "connector", "run", "--config", str(cast.folder / "connector.toml")]
        stack.enter_context(_beside(command, cast.folder / "connector.log"))
    portal = write_portal_settings(cast, settings, port=portal_port)
    stack.enter_context(_beside(["-v", "portal", "--config", str(portal)], cast.folder / "portal.log"))
    _wait_for(f"{settings.canonical_url}/health/ready")
    if demo.traffic:
        _wait_for(f"{specialist_url}/cases.json")
    _wait_for(f"{settings.portal_url}/healthz")


def _prepare_municipality(hub: app.Context, cast: Cast) -> str:
    """Choose ports, point the pushing destinations at them and write the connector's configuration."""
    listen, desk = _free_port(hub.settings.port + 2), _free_port(hub.settings.port + 3)
    for role in roles():
        stored = hub.store.parties.destination(role.destination_id)
        if stored is not None and stored.adapter == "https":
            config = adapter_config(role, cast.folder, push_url=f"http://127.0.0.1:{listen}/deliveries")
            hub.store.parties.replace_destination(replace(stored, adapter_config=config, updated_at=hub.clock()))
    write_config(cast, hub.settings, listen_port=listen, desk_port=desk)
    return f"http://127.0.0.1:{desk}"


@contextmanager
def _serving(hub: app.Context) -> Iterator[None]:
    """Serve in a thread; leaving stops the server, which stops dispatcher and clock and closes the hub."""
    server = app.server(app.asgi(hub, work=True), hub.settings)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _beside(command: list[str], log: Path) -> Iterator[None]:
    """Run connector and demo specialist system, or the citizens' portal, as a process of its own, reached over HTTP only."""
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-m", "hub.cli", *command], stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=_START_SECONDS)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(_TICK)
    raise StoreUnavailable(
        Text(
            f"{url} antwortet nach {_START_SECONDS} Sekunden nicht. Ist der Port frei?",
            f"{url} does not answer after {_START_SECONDS} seconds. Is the port free?",
        )
    )


def _free_port(wish: int) -> int:
    for port in (wish, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise AssertionError("the system has no free port")


def _say_what_next(settings: Settings, specialist_url: str) -> None:
    data = "" if settings.data == Path("data").absolute() else f" --data {settings.data}"
    click.secho("\nWie weiter / what next", bold=True)
    for what, how in _ways(settings, specialist_url, data):
        click.echo(f"  {what:<36} {how}")
    click.echo("  Strg-C beendet. / Ctrl-C stops.")


def _ways(settings: Settings, specialist_url: str, data: str) -> Sequence[tuple[str, str]]:
    """Return what somebody may do next, and by which address or command."""
    return (
        ("Bürgerportal / citizens' portal", f"{settings.portal_url}/"),
        ("Schnittstellen / interfaces", f"{settings.canonical_url}/docs"),
        ("Verwaltung / administration", f"{settings.canonical_url}/admin"),
        ("  Konten / accounts", str(settings.data / "demo" / "accounts.json")),
        ("Fachverfahren / specialist system", f"{specialist_url}/"),
        ("  Seite für Menschen / clerks' page", "docs/receive-cases.md: Who decides (hub connector init, clerk add)"),
        ("Betriebszustand / health", f"{settings.canonical_url}/health/ready"),
        (
            "Zuständigkeit / responsibility",
            f".venv/bin/hub route explain --service urn:de:fim:leika:leistung:99012008001000 --ars 064390001001{data}",
        ),
        ("Prüfen / validate", f".venv/bin/hub validate schemas/bauantrag/1.2/examples/good-einfamilienhaus.xml{data}"),
        ("Protokolle prüfen / verify logs", f".venv/bin/hub log verify{data}"),
        ("Zugangsdaten / credentials", str(settings.data / "demo.json")),
        ("  eigener Client / a client of your own", "reserved_for_tests"),
    )
