"""``hub receipt`` and ``hub log``: checking proof offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import click

from hub.cli.options import data_option, opened
from hub.crypto.receipts import verify_receipt
from hub.store import Store


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
@data_option
def verify_file(file: Path, jwks: Path | None, data: Path) -> None:
    """Verify the signed receipt in FILE and print what it says."""
    if jwks is not None:
        published = json.loads(jwks.read_text(encoding="utf-8"))
    else:
        with opened(data) as hub:
            published = hub.keys.hub_jwks()
    claims = verify_receipt(file.read_text(encoding="ascii").strip(), published)
    click.secho("echt / genuine", fg="green")
    click.echo(json.dumps(claims, ensure_ascii=False, indent=2))


@click.group()
def log() -> None:
    """Ereignisprotokolle / event logs."""


@log.command()
@click.argument("case_ids", nargs=-1, type=click.UUID)
@data_option
def verify(case_ids: tuple[UUID, ...], data: Path) -> None:
    """Verify hash chains and signatures of all cases, or of the given ones. Exit 1 on the first broken one found."""
    with opened(data) as hub:
        wanted = list(case_ids) or list(_all(hub.store))
        with click.progressbar(wanted, label="Vorgänge / cases", show_pos=True) as progress:
            report = hub.notary.verify(progress)
    click.echo(
        f"{report.cases} Vorgänge / cases, {report.events} Ereignisse / events, "
        f"{report.signatures} Signaturen / signatures, {report.unsigned} noch unsigniert / not yet signed"
    )
    for finding in report.findings:
        click.secho(f"{finding.case_id} #{finding.seq}: {finding.text.de} / {finding.text.en}", fg="red", err=True)
    if report.findings:
        raise SystemExit(1)
    click.secho("unversehrt / intact", fg="green")


def _all(store: Store) -> Iterator[UUID]:
    offset = 0
    while (page := store.cases(offset=offset, limit=500)).items:
        yield from (case.case_id for case in page.items)
        offset += len(page.items)


COMMANDS = (receipt, log)
