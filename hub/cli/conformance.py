"""``hub conformance``: which messages of a standard a sender can produce, by the proof of files."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from hub.cli.options import Login, acting, data_option, may_name_person, opened, settings_for
from hub.errors import Refused
from hub.model import MediaType, utc_now
from hub.resources import shipped
from hub.validation.catalog import SchemaCatalog, SchemaEntry
from hub.validation.report import Limits, Violation
from hub.validation.xml.documents import read_xml

if TYPE_CHECKING:
    from hub.administration.conformance import CaseVerdict
    from hub.store import ConformanceScore

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
    """Konformität von Software / conformance of software."""


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
        "files": [_file_json(one) for one in tried],
    }


def _file_json(one: StepResult) -> dict[str, Any]:
    return {
        "file": one.file,
        "message": one.message,
        "valid": one.valid,
        "rules": list(dict.fromkeys(violation.rule for violation in one.broken)),
        "reason": one.reason,
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


@conformance.command()
@click.argument("standard")
@click.argument("version")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The receiver's public key (JWK or certificate): makes the half to receive, too.",
)
@data_option
def package(standard: str, version: str, target: Path, key: Path | None, data: Path) -> None:
    """Write messages to send and to receive into the new folder TARGET, with what is expected of each (cases.json)."""
    from hub.administration.conformance import ANSWERS, CASES, examples, write_package
    from hub.crypto import KeyPolicy, judge_encryption_key, read_deposit

    own = settings_for(data).data / "schemas"
    found = examples([own, shipped("schemas")], standard, version)
    catalog = SchemaCatalog.load(shipped("schemas"), own).as_if_in_force(standard, version)
    recipient = None
    if key is not None:
        jwk = read_deposit(key.read_bytes(), operation="wrapKey")
        recipient = judge_encryption_key(
            jwk, now=utc_now(), policy=KeyPolicy(allow_self_signed=True), require_x5c=False
        )
    cases = write_package(target, found, standard=standard, version=version, schema=catalog.uris()[0], key=recipient)
    click.echo(f"{len(cases)} Fälle / cases: {target / CASES}; Antworten nach / answers into {target / ANSWERS}")


@conformance.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--vendor", required=True, help="Whose software answered: a name, or with --record the vendor's id.")
@click.option("--product", required=True, help="That software and its version, as in Antragsnetz/4.2.1.")
@click.option("--record", is_flag=True, help="Keep the score: the vendor's page shows it.")
@may_name_person
@data_option
def judge(folder: Path, vendor: str, product: str, record: bool, login: Login, data: Path) -> None:
    """Judge answers.json of a package and write report.json and report.html, signed; exit 1 unless all is as expected."""
    from hub.administration import conformance as kit

    software = _software(vendor, product)
    if software is None:
        raise click.UsageError("--vendor, --product")
    with opened(data) as hub:
        named, verdicts = kit.judge(folder)
        person, now = acting(hub, login), hub.clock()
        name = hub.vendor_service.show(vendor, person).vendor.name if record else software.vendor
        said = {"vendor": name, "product": software.product, "version": software.version}
        report = kit.report_of(named, verdicts, software=said, issuer=hub.base_url, now=now)
        token = kit.signed(report, hub.keys.receipt)
        if record:
            score = _score_of(vendor, software, named, report, token, now)
            hub.vendor_service.record_score(score, person)
    (folder / "report.json").write_text(kit.as_json(report, token), encoding="utf-8")
    (folder / "report.html").write_text(kit.as_html(report, token), encoding="utf-8")
    _say_verdicts(verdicts, report)


def _score_of(
    vendor: str, software: Software, named: Mapping[str, Any], report: Mapping[str, Any], token: str, now: datetime
) -> ConformanceScore:
    from hub.store import ConformanceScore

    return ConformanceScore(
        vendor_id=vendor,
        product=software.product,
        version=software.version,
        standard=named["standard"],
        standard_version=named["version"],
        good=report["good"],
        cases=report["cases"],
        at=now,
        token=token,
    )


def _say_verdicts(verdicts: Sequence[CaseVerdict], report: Mapping[str, Any]) -> None:
    for each in verdicts:
        if not each.good:
            problems = f" ({', '.join(each.problems)})" if each.problems else ""
            click.echo(f"!! {each.case.name}: {each.answered or '-'}, erwartet / expected {each.case.answer}{problems}")
    click.echo(f"{report['good']} / {report['cases']} wie erwartet / as expected")
    if report["good"] != report["cases"]:
        raise SystemExit(1)


@conformance.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The hub's published keys; without, those of the data folder.",
)
@data_option
def verify(file: Path, jwks: Path | None, data: Path) -> None:
    """Verify a signed report (JSON or HTML) offline, and print what is signed."""
    from hub.administration.conformance import verified
    from hub.crypto import HubKeys

    if jwks is not None:
        published = json.loads(jwks.read_bytes())
    else:
        published = HubKeys.load_or_create(settings_for(data).data / "pki", utc_now(), create=False).hub_jwks()
    report = verified(file.read_text(encoding="utf-8", errors="replace"), published)
    click.secho("echt / genuine", fg="green")
    click.echo(json.dumps(report, ensure_ascii=False, indent=2))


@conformance.command()
@click.argument("destination_id", type=click.UUID)
@click.option("--crl", "lists", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ocsp", "answers", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@may_name_person
@data_option
def inspect(destination_id: UUID, lists: tuple[Path, ...], answers: tuple[Path, ...], login: Login, data: Path) -> None:
    """Look at a destination's keys, chains, revocation (by files), offers and addressing signature; exit 1 for a fault."""
    from hub.administration.inspection import DestinationInspector

    with opened(data) as hub:
        inspector = DestinationInspector(store=hub.store, keys=hub.keys, policy=hub.policy, base_url=hub.base_url)
        found = inspector.inspect(
            destination_id,
            acting(hub, login),
            lists=[each.read_bytes() for each in lists],
            answers=[each.read_bytes() for each in answers],
            now=hub.clock(),
        )
    for each in found:
        mark = {True: "ok", False: "!!", None: "--"}[each.good]
        click.echo(f"{mark}  {each.piece}: {each.text.de} / {each.text.en}")
    if any(each.good is False for each in found):
        raise SystemExit(1)


@conformance.command()
@click.argument("hub_url")
@click.option("--fault", type=click.Choice(["slow", "500", "lost"]), required=True, help="What happens to every n-th.")
@click.option("--every", type=click.IntRange(1, 1000), default=2, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True, help="How slow slow is.")
def partner(hub_url: str, fault: str, every: int, seconds: float) -> None:
    """Stand before the hub at HUB_URL (this machine, http) and misbehave, until interrupted: slow, 500, or lost answers."""
    from hub.adapter_kit.partner import MisbehavingPartner, Misbehaviour

    standing = MisbehavingPartner(hub_url, Misbehaviour(fault), every=every, seconds=seconds)
    click.echo(f"{standing.base_url}  (Strg-C beendet / Ctrl-C ends)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        standing.close()


COMMANDS = (conformance,)
