"""``hub conformance``: which messages of a standard a sender can produce, by the proof of files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from hub.cli.options import data_option, settings_for
from hub.errors import Refused
from hub.model import MediaType, utc_now
from hub.resources import shipped
from hub.validation.catalog import SchemaCatalog, SchemaEntry
from hub.validation.report import Limits, Violation
from hub.validation.xml.documents import read_xml

#: Where the score is kept, in the sender's folder.
SCORE = "conformance.json"
_SUFFIXES = {".xml": MediaType.XML, ".json": MediaType.JSON}
#: Violations of one file that are told; the rest is told by ``hub validate``.
_SAID = 3
#: Files of one folder that are looked at.
_FILES = 10_000
#: ``Antragsnetz/4.2.1``: a product as RFC 9110 section 10.1.5 writes it, in fewer signs, with its version.
_PRODUCT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]{0,59})/([A-Za-z0-9][A-Za-z0-9._+-]{0,39})")
_VENDOR_LIMIT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """One file: the message that it is (None: none of this standard), and how many rules it breaks."""

    file: str
    message: str | None
    valid: bool
    broken: tuple[Violation, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Software:
    """Whose software wrote the files, as whoever runs the command declares it; nothing is allowed because of it."""

    vendor: str
    product: str
    version: str


@click.group()
def conformance() -> None:
    """Konformität von Absendern / conformance of senders."""


@conformance.command()
@click.argument("standard")
@click.argument("version")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"The sender's messages; the score is kept there in {SCORE}.",
)
@click.option("--vendor", help="Whose software wrote the messages; stands in the score, together with --product.")
@click.option("--product", help="That software and its version, as in Antragsnetz/4.2.1.")
@data_option
def sender(
    standard: str, version: str, folder: Path | None, vendor: str | None, product: str | None, data: Path
) -> None:
    """List the messages of STANDARD VERSION and, with a folder, which of them it proves; exit 1 unless all files are valid."""
    software = _software(vendor, product)
    if software is not None and folder is None:
        raise click.UsageError("--vendor und --product gehören zu --folder / --vendor and --product belong to --folder")
    whole = SchemaCatalog.load(shipped("schemas"), settings_for(data).data / "schemas")
    # A vendor prepares for a version before it is in force.
    catalog = whole.as_if_in_force(standard, version)
    messages = _messages(catalog.entries())
    now = utc_now()
    tried = [] if folder is None else [_try(path, folder, catalog, now) for path in _files(folder)]
    _print(messages, tried)
    if folder is None:
        return
    score = _score(standard, version, messages, tried, now) | _said_of(software)
    for message in _lost(folder, score):
        click.echo(f"nicht mehr nachgewiesen / no longer proven: {message.rpartition('}')[2]}")
    (folder / SCORE).write_text(json.dumps(score, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if not tried or not all(one.valid for one in tried):
        raise SystemExit(1)


def _software(vendor: str | None, product: str | None) -> Software | None:
    if vendor is None and product is None:
        return None
    written = _PRODUCT.fullmatch(product or "")
    if written is None:
        raise click.UsageError("--product: NAME/VERSION, etwa / such as Antragsnetz/4.2.1")
    if vendor is None or vendor != vendor.strip() or not 0 < len(vendor) <= _VENDOR_LIMIT or not vendor.isprintable():
        raise click.UsageError(
            f"--vendor: 1 bis {_VENDOR_LIMIT} sichtbare Zeichen in einer Zeile / "
            f"1 to {_VENDOR_LIMIT} visible characters in one line"
        )
    return Software(vendor=vendor, product=written[1], version=written[2])


def _said_of(software: Software | None) -> dict[str, Any]:
    if software is None:
        return {}
    return {"software": {"vendor": software.vendor, "product": software.product, "version": software.version}}


def _messages(entries: tuple[SchemaEntry, ...]) -> tuple[str, ...]:
    """Return what a sender may send: the roots of XML schemas, the URIs of JSON schemas."""
    return tuple(sorted({message for entry in entries for message in entry.item.roots or (entry.uri,)}))


def _files(folder: Path) -> list[Path]:
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES and path.name != SCORE)
    return [path for path in found if path.is_file() and not path.is_symlink()][:_FILES]


def _try(path: Path, folder: Path, catalog: SchemaCatalog, now: datetime) -> StepResult:
    name, kind = path.relative_to(folder).as_posix(), _SUFFIXES[path.suffix.lower()]
    try:
        content = path.read_bytes()
        only = catalog.uris()[0] if kind is MediaType.JSON and len(catalog.uris()) == 1 else None
        entry = catalog.find(media_type=kind, data=content, schema=only, service=None, on=now.date())
        message = read_xml(content, Limits()).root if kind is MediaType.XML else entry.uri
        report = catalog.check(media_type=kind, data=content, schema=only, service=None, on=now.date())
    except Refused as error:
        return StepResult(file=name, message=None, valid=False, reason=f"{error.detail.de} / {error.detail.en}")
    return StepResult(file=name, message=message, valid=report.valid, broken=report.violations)


def _score(
    standard: str, version: str, messages: tuple[str, ...], tried: list[StepResult], now: datetime
) -> dict[str, Any]:
    proven = sorted({one.message for one in tried if one.valid and one.message})
    return {
        "standard": standard,
        "version": version,
        "at": now.isoformat(timespec="seconds"),
        "messages": len(messages),
        "proven": proven,
        "missing": [message for message in messages if message not in proven],
        "files": [
            {
                "file": one.file,
                "message": one.message,
                "valid": one.valid,
                "rules": list(dict.fromkeys(violation.rule for violation in one.broken)),
                "reason": one.reason,
            }
            for one in tried
        ],
    }


def _lost(folder: Path, score: dict[str, Any]) -> list[str]:
    """Return the messages that the score before this one of the same version counted as proven and this one does not."""
    try:
        before = json.loads((folder / SCORE).read_bytes())
        same = _subject(before) == _subject(score)
        return sorted(map(str, set(before["proven"]) - set(score["proven"]))) if same else []
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        # There is none yet, or it is not ours.
        return []


def _subject(score: dict[str, Any]) -> tuple[Any, ...]:
    """Return what two scores must share to be compared; a newer version of a product is held to what the older proved."""
    software = score.get("software") or {}
    return (score["standard"], score["version"], software.get("vendor"), software.get("product"))


def _print(messages: tuple[str, ...], tried: list[StepResult]) -> None:
    for line in _table(messages, tried):
        click.echo(line)
    for one in tried:
        if not one.valid:
            click.echo(f"  {one.file}: {one.reason}" if one.reason else f"  {one.file}:")
            for violation in one.broken[:_SAID]:
                place = f"Zeile / line {violation.line}" if violation.line is not None else violation.path
                click.echo(f"    {place} [{violation.rule}] {violation.text.de} / {violation.text.en}")
            if len(one.broken) > _SAID:
                click.echo(f"    … hub validate {one.file}")
    proven = {one.message for one in tried if one.valid}
    click.echo(f"{sum(message in proven for message in messages)} / {len(messages)} Nachrichten / messages")


def _table(messages: tuple[str, ...], tried: list[StepResult]) -> Iterator[str]:
    for message in messages:
        own = [one for one in tried if one.message == message]
        good = sum(one.valid for one in own)
        mark = "ok " if good else ("!! " if own else "   ")
        yield f"{mark} {good:>4} / {len(own):<4} {message.rpartition('}')[2]}"


COMMANDS = (conformance,)
