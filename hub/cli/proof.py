"""``hub receipt`` and ``hub log``: giving and checking proof, offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from hub.cli.options import data_option, opened, settings_for, verdict
from hub.errors import not_found
from hub.model import utc_now

# A receipt is checked without the hub, and without what the hub alone needs.
if TYPE_CHECKING:
    from hub.errors import UnreadableRow
    from hub.proof.checkpoints import CheckpointReport, Discrepancy
    from hub.proof.evidence import LogReport
    from hub.store import Page

_PAGE = 500


@click.group()
def receipt() -> None:
    """Eingangsbestätigungen / receipts."""


@receipt.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The hub's published keys (/hub/v1/jwks.json), saved before; else the data folder's own.",
)
@click.option(
    "--proof",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The proof of its case (/hub/v1/cases/ID/proof): also verify that the receipt stands in the signed log.",
)
@click.option(
    "--tsa-roots",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Root certificates (PEM) of the time-stamping authority: also verify the time stamp in the proof (RFC 3161).",
)
@click.option(
    "--content",
    "contents",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that was sent, data or attachment: also verify that the hub received exactly this. May be repeated.",
)
@click.option("--salt", default=None, help="The salt that came with the receipt (contentSalt), unless FILE holds it.")
@data_option
def verify_file(  # what may be checked at once
    file: Path,
    jwks: Path | None,
    proof: Path | None,
    tsa_roots: Path | None,
    contents: tuple[Path, ...],
    salt: str | None,
    data: Path,
) -> None:
    """Verify the signed receipt in FILE (alone, or the whole answer that brought it) and print what it says."""
    from hub.client.plain import Receipt

    published = _published(jwks, data)
    claims = Receipt.verified(_receipt_in(file), published).claims
    if proof is not None:
        _prove(claims, _json(proof), published, tsa_roots)
    click.echo(f"Eingang / received  {claims.get('acceptedAt', '?')}  {_clock_in(claims)}")
    _say_contents(file, claims, contents, salt)
    _say_genuine(claims)


def _say_contents(file: Path, claims: Mapping[str, Any], contents: Sequence[Path], salt: str | None) -> None:
    from hub.crypto import proven_parts

    for path in contents:
        parts = proven_parts(claims, salt or _salt_in(file), path.read_bytes())
        click.echo(f"empfangen / received  {path.name}: {', '.join(parts)}")


def _published(jwks: Path | None, data: Path) -> Mapping[str, Any]:
    published: Mapping[str, Any]
    if jwks is not None:
        published = _json(jwks)
    else:
        from hub.crypto import HubKeys

        published = HubKeys.load_or_create(settings_for(data).data / "pki", utc_now(), create=False).hub_jwks()
    return published


def _say_genuine(claims: Mapping[str, Any]) -> None:
    click.secho("echt / genuine", fg="green")
    for line in verdict(claims):
        click.secho(line, fg="yellow")
    click.echo(json.dumps(claims, ensure_ascii=False, indent=2))


@receipt.command("delivered")
@click.argument("submission_id", type=click.UUID)
@data_option
def delivered(submission_id: UUID, data: Path) -> None:
    """Print what the receiver signed when it took SUBMISSION_ID (the receipt of an AS4 access point, XML)."""
    with opened(data) as hub:
        view = hub.store.deliveries.of(submission_id)
    if view is None:
        raise not_found("submission-not-found")
    proofs = [attempt.proof for attempt in view.attempts if attempt.proof is not None]
    if not proofs:
        said = "Für diese Zustellung hat der Empfänger nichts unterschrieben. / The receiver signed nothing for this delivery."
        click.secho(said, fg="yellow", err=True)
        raise SystemExit(1)
    click.echo(proofs[-1], nl=False)


def _prove(claims: Mapping[str, Any], proof: Any, published: Any, tsa_roots: Path | None) -> None:
    """Verify that a receipt stands in the signed log by the proof of its case, and print what that says."""
    from hub.proof.checkpoints import require_receipt, verify_proof

    found = verify_proof(proof, published, stamps_by=[] if tsa_roots is None else _roots(tsa_roots))
    require_receipt(found, claims)
    click.echo(f"Prüfpunkt / checkpoint {found.number}, {found.at.isoformat()}")
    if found.stamped is not None:
        click.echo(f"Zeitstempel / time stamp  {found.stamped.at.isoformat()}, {found.stamped.policy}")
    elif isinstance(proof, dict) and "timestamp" in proof:
        click.echo("Zeitstempel ungeprüft: --tsa-roots fehlt / time stamp not verified: --tsa-roots is missing")
    if found.ai_steps is not None:
        none = "kein KI-Schritt aufgezeichnet / no AI step recorded"
        click.echo(f"{found.ai_steps} KI-Schritte / AI steps" if found.ai_steps else none)


@click.group()
def log() -> None:
    """Ereignisprotokolle / event logs."""


@log.command()
@click.argument("case_ids", nargs=-1, type=click.UUID)
@click.option(
    "--checkpoints/--no-checkpoints",
    default=True,
    show_default=True,
    help="Also verify all checkpoints, and every case and the audit log against them.",
)
@click.option(
    "--anchor",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint kept elsewhere (hub log checkpoint): shows a history that was rewritten or set back.",
)
@data_option
def verify(case_ids: tuple[UUID, ...], checkpoints: bool, anchor: Path | None, data: Path) -> None:
    """Verify hash chains and signatures of all cases, or of the given ones. Exit 1 if anything is wrong."""
    from hub.store import all_pages

    with opened(data) as hub:
        pages = (
            [] if case_ids else list(all_pages(lambda start: hub.store.submissions.cases(offset=start, limit=_PAGE)))
        )
        wanted = list(case_ids) or [case.case_id for page in pages for case in page.items]
        with click.progressbar(wanted, label="Vorgänge / cases", show_pos=True) as progress:
            report = hub.notary.verify(progress)
        kept = None if anchor is None else anchor.read_text(encoding="ascii").strip()
        covered = hub.checkpoints.verify(anchor=kept) if checkpoints or anchor else None
    _say_report(report)
    unreadable = _say_unreadable(pages)
    if covered is not None:
        _say_covered(covered)
    if report.findings or unreadable or (covered is not None and covered.findings):
        raise SystemExit(1)
    click.secho("unversehrt / intact", fg="green")


def _say_report(report: LogReport) -> None:
    click.echo(
        f"{report.cases} Vorgänge / cases, {report.events} Ereignisse / events, "
        f"{report.signatures} Signaturen / signatures, {report.unsigned} noch unsigniert / not yet signed"
    )
    for finding in report.findings:
        click.secho(f"{finding.case_id} #{finding.seq}: {finding.text.de} / {finding.text.en}", fg="red", err=True)


def _say_unreadable(pages: Sequence[Page[Any]]) -> Sequence[UnreadableRow]:
    unreadable = [error for page in pages for error in page.unreadable]
    for error in unreadable:
        click.secho(f"{error.detail.de} / {error.detail.en}", fg="red", err=True)
    return unreadable


def _say_covered(covered: CheckpointReport) -> None:
    click.echo(f"{covered.checkpoints} Prüfpunkte / checkpoints, {covered.leaves} Blätter / leaves")
    click.echo(f"{covered.audit.checked} Einträge im Prüfprotokoll / records in the audit log")
    for wrong in covered.findings:
        click.secho(f"{_where(wrong)}: {wrong.text.de} / {wrong.text.en}", fg="red", err=True)


@log.command()
@click.argument("case_id", type=click.UUID)
@data_option
def proof(case_id: UUID, data: Path) -> None:
    """Print the proof (JSON) that CASE_ID stood in the log as it does, for "hub receipt verify --proof"."""
    with opened(data) as hub:
        click.echo(json.dumps(hub.checkpoints.proof(case_id), ensure_ascii=False, indent=1))


@log.command()
@data_option
def checkpoint(data: Path) -> None:
    """Print the newest signed checkpoint. Keep it elsewhere: it shows a rewritten history."""
    with opened(data) as hub:
        newest = hub.checkpoints.newest()
    if newest is None:
        raise not_found("checkpoint-not-found")
    click.echo(newest.token)


def _receipt_in(file: Path) -> str:
    """Return the receipt, also where it stands as the member ``receipt`` of the answer 202."""
    document = _json(file)
    if isinstance(document, dict) and isinstance(document.get("receipt"), str):
        return str(document["receipt"]).strip()
    return file.read_bytes().decode("ascii", errors="replace").strip()


def _clock_in(claims: Mapping[str, Any]) -> str:
    """Say whose clock a receipt's time is by, and whether it was held to a reference."""
    clock = claims.get("clock")
    state = clock.get("state") if isinstance(clock, dict) else None
    said = {
        "synchronised": "Uhr des Hubs, nachgeführt / the hub's clock, synchronised",
        "unsynchronised": "Uhr des Hubs, nicht nachgeführt / the hub's clock, not synchronised",
    }.get(str(state), "Uhr des Hubs, Stand nicht bekannt / the hub's clock, state not known")
    error = clock.get("maxErrorMs") if isinstance(clock, dict) else None
    return f"{said}, ± {error} ms" if isinstance(error, int | float) else said


def _roots(file: Path) -> list[Any]:
    from hub.crypto.timestamps import read_roots

    return list(read_roots(file.read_bytes()))


def _salt_in(file: Path) -> str:
    """Return the salt beside the receipt, as the answer 202 and the portal's file have it; empty where there is none."""
    document = _json(file)
    return str(document.get("contentSalt", "")) if isinstance(document, dict) else ""


def _json(file: Path) -> Any:
    """Read a JSON file; what is no JSON is no proof either."""
    try:
        document: Any = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None
    return document


def _where(wrong: Discrepancy) -> str:
    from hub.store import AUDIT_LOG

    if wrong.case_id == AUDIT_LOG:
        return f"Prüfprotokoll / audit log #{wrong.number}"
    return f"Prüfpunkt / checkpoint {wrong.number} {wrong.case_id or ''}".rstrip()


COMMANDS = (receipt, log)
