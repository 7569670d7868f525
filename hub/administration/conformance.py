"""Conformance of vendors' software: packages of messages with what is expected of each, and a signed report of what came.

A package has two halves. ``send``: messages of a standard, good and bad, of which a sender's own check has to say which are
which. ``receive``: sealed submissions, good and spoiled, of which a receiver has to accept or reject each, and say why. What is
expected stands in ``cases.json``; the vendor's software writes ``answers.json`` beside it: case -> ``accept``, or
``reject:`` and the problem. Nothing in a package is anybody's data: messages are the schema's own examples.

The report is JSON within a signature by the hub's receipt key, like a receipt, so that anybody checks it offline; the page in
HTML carries the same token.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson

from hub.crypto import (
    EncryptionKey,
    SigningKey,
    encrypt,
    make_rsa_pair,
    read_jws_header,
    sign_eddsa,
    verification_key,
    verify_eddsa,
)
from hub.errors import Invalid, Malformed, NotFound, SealBroken, Text
from hub.model import MediaType

CASES, ANSWERS = "cases.json", "answers.json"
REPORT_TYPE = "conformance+jwt"
_LARGEST = 4 * 1024 * 1024
_MOST_CASES = 1_000
_KINDS = {".xml": MediaType.XML, ".json": MediaType.JSON}
_ANSWER = re.compile(r"accept|reject(:[a-z-]{1,60})?")
_METADATA = "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json"
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: Ids of a package follow from what it is made of, so that the same package is the same.
_SPACE = UUID("6d0f6f0c-3d8c-4c1e-9a53-1f4f3e0d7a11")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConformanceCase:
    """One message of a package. ``answer`` is accept or reject; ``problems`` are those that may be named (empty: any)."""

    name: str
    file: str
    answer: str
    problems: tuple[str, ...] = ()
    says: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseVerdict:
    """A case and what the vendor's software answered; None: nothing."""

    case: ConformanceCase
    answered: str | None

    @property
    def good(self) -> bool:
        """Whether that is what was expected."""
        if self.answered is None:
            return False
        answer, _, problem = self.answered.partition(":")
        return answer == self.case.answer and (answer == "accept" or not problem or problem in self.problems)

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems that may be named."""
        return self.case.problems


def examples(roots: Sequence[Path], standard: str, version: str) -> list[Path]:
    """Return the examples that a schema brings along, good and bad, sorted; raise ``NotFound`` where it has none."""
    for root in roots:
        folder = root / standard / version / "examples"
        if re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", f"{standard}/{version}") and folder.is_dir():
            found = [each for each in sorted(folder.iterdir()) if each.suffix in _KINDS and each.is_file()]
            if found:
                return found
    raise NotFound(
        Text(
            "Zu dieser Fassung gibt es keine Beispiele, aus denen ein Paket entstünde. „hub schemas list“ zeigt alle.",
            "This version has no examples that a package could be made of. 'hub schemas list' shows all versions.",
        )
    )


def write_package(
    target: Path, found: Sequence[Path], *, standard: str, version: str, schema: str, key: EncryptionKey | None
) -> list[ConformanceCase]:
    """Write a package into a new folder and return its cases; without a ``key`` there is no half to receive.

    Raises:
        Invalid: ``target`` is there already.
    """
    if target.exists():
        raise Invalid(Text(f"{target.name} gibt es schon.", f"{target.name} is there already."))
    (target / "send").mkdir(parents=True)
    cases = []
    for path in found:
        (target / "send" / path.name).write_bytes(path.read_bytes())
        cases.append(_to_send(path.name))
    if key is not None:
        (target / "receive").mkdir()
        for case, document in _sealed(found, schema, key, f"{standard}/{version}"):
            (target / case.file).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
            cases.append(case)
    said = {"standard": standard, "version": version, "cases": [_case_json(each) for each in cases]}
    (target / CASES).write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    return cases


def _to_send(name: str) -> ConformanceCase:
    good = name.startswith("good-")
    return ConformanceCase(
        name=f"send/{name}",
        file=f"send/{name}",
        answer="accept" if good else "reject",
        problems=() if good else ("schema-violation", "syntax-violation"),
    )


def _sealed(
    found: Sequence[Path], schema: str, key: EncryptionKey, what: str
) -> Iterator[tuple[ConformanceCase, dict[str, Any]]]:
    good = next(each for each in found if each.name.startswith("good-"))
    bad = next((each for each in found if each.name.startswith("bad-")), None)
    kind = _KINDS[good.suffix]
    first = _submission(good.read_bytes(), kind, schema, key, f"{what}/good")

    def case(name: str, answer: str, *problems: str, says: str) -> ConformanceCase:
        return ConformanceCase(
            name=f"receive/{name}", file=f"receive/{name}.json", answer=answer, problems=problems, says=says
        )

    yield case("01-good", "accept", says="gut / good"), first
    yield (
        case("02-again", "accept", says="dieselbe noch einmal: kein zweiter Vorgang / the same again: no second case"),
        first,
    )
    if bad is not None:
        broken = _submission(bad.read_bytes(), kind, schema, key, f"{what}/bad")
        yield (
            case(
                "03-invalid",
                "reject",
                "schema-violation",
                "syntax-violation",
                says="verletzt das Schema / breaks the schema",
            ),
            broken,
        )
    other = _submission(good.read_bytes(), kind, schema, key, f"{what}/hash", hashed=b"another")
    yield (
        case("04-hash", "reject", "hash-mismatch", says="Prüfsumme einer anderen Nachricht / another message's digest"),
        other,
    )
    tampered = dict(_submission(good.read_bytes(), kind, schema, key, f"{what}/tag"))
    tampered["encryptedData"] = _flipped(tampered["encryptedData"])
    yield (
        case("05-tag", "reject", "encryption-issue", "incorrect-authentication-tag", says="falscher Tag / wrong tag"),
        tampered,
    )
    stranger, _ = make_rsa_pair("encryption")
    foreign = EncryptionKey(kid=key.kid, jwk=stranger, public_key=_public(stranger))
    sealed_otherwise = _submission(good.read_bytes(), kind, schema, foreign, f"{what}/key")
    yield (
        case("06-key", "reject", "encryption-issue", says="für einen anderen Schlüssel / for another key"),
        sealed_otherwise,
    )
    lacking = dict(_submission(good.read_bytes(), kind, schema, key, f"{what}/data"))
    del lacking["encryptedData"]
    yield case("07-no-data", "reject", "missing-data", says="ohne Daten / without data"), lacking


def _public(jwk: Mapping[str, Any]) -> Any:
    from hub.crypto.keys import public_rsa_key

    return public_rsa_key(dict(jwk))


def _submission(
    data: bytes, kind: MediaType, schema: str, key: EncryptionKey, what: str, *, hashed: bytes | None = None
) -> dict[str, Any]:
    digest = hashlib.sha512(data if hashed is None else hashed).hexdigest()
    metadata = {
        "$schema": _METADATA,
        "contentStructure": {
            "data": {
                "hash": {"type": "sha512", "content": digest},
                "submissionSchema": {"schemaUri": schema, "mimeType": kind.value},
            },
            "attachments": [],
        },
    }
    return {
        "submissionId": str(uuid5(_SPACE, f"{what}/submission")),
        "caseId": str(uuid5(_SPACE, f"{what}/case")),
        "destinationId": str(uuid5(_SPACE, "destination")),
        "encryptedMetadata": encrypt(key, orjson.dumps(metadata), MediaType.JSON.value)[0].decode("ascii"),
        "encryptedData": encrypt(key, data, kind.value)[0].decode("ascii"),
    }


def _flipped(jwe: str) -> str:
    head, _, tag = jwe.rpartition(".")
    return f"{head}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"


def judge(folder: Path) -> tuple[dict[str, Any], list[CaseVerdict]]:
    """Return what a package says it is, and each of its cases with the answer of the vendor's software.

    Raises:
        Malformed: cases or answers cannot be read, or an answer is none.
    """
    said, answers = _document(folder / CASES), _document(folder / ANSWERS)
    try:
        cases = [_case(each) for each in said["cases"]][:_MOST_CASES]
        named = {"standard": str(said["standard"]), "version": str(said["version"])}
    except (KeyError, TypeError) as exc:
        raise _unreadable(CASES) from exc
    wrong = [name for name, each in answers.items() if not isinstance(each, str) or not _ANSWER.fullmatch(each)]
    if wrong:
        raise Malformed(
            Text(
                f"{ANSWERS}: Eine Antwort ist „accept“, „reject“ oder „reject:PROBLEM“. Anders: {', '.join(wrong[:5])}",
                f"{ANSWERS}: an answer is 'accept', 'reject', or 'reject:' with the problem. Others: {', '.join(wrong[:5])}",
            )
        )
    return named, [CaseVerdict(case=each, answered=answers.get(each.name)) for each in cases]


def report_of(
    named: Mapping[str, str],
    verdicts: Sequence[CaseVerdict],
    *,
    software: Mapping[str, str],
    issuer: str,
    now: datetime,
) -> dict[str, Any]:
    """Return a report: who, what, when, and how many of how many cases were as expected."""
    return {
        "ver": 1,
        "iss": issuer,
        "iat": int(now.timestamp()),
        "software": dict(software),
        **named,
        "good": sum(each.good for each in verdicts),
        "cases": len(verdicts),
        "verdicts": [
            {"case": each.case.name, "expected": each.case.answer, "answered": each.answered, "good": each.good}
            for each in verdicts
        ],
    }


def signed(report: Mapping[str, Any], key: SigningKey) -> str:
    """Return a report within its signature (JWS, Ed25519)."""
    return sign_eddsa(key, orjson.dumps(dict(report)), typ=REPORT_TYPE)


def verified(content: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of a file, JSON or HTML, that a key of ``jwks`` signed.

    Raises:
        SealBroken: it holds no token, a key that is not in the set signed it, or it was changed.
    """
    found = _TOKEN.search(content)
    if found is None:
        raise SealBroken(Text("Die Datei enthält keinen signierten Bericht.", "The file holds no signed report."))
    kid = read_jws_header(found[0]).kid
    jwk = next((each for each in jwks.get("keys", ()) if each.get("kid") == kid and each.get("kty") == "OKP"), None)
    if jwk is None:
        raise SealBroken(
            Text("Der Schlüssel des Berichts steht nicht in der Liste.", "The report's key is not in the list.")
        )
    report = orjson.loads(verify_eddsa(found[0], verification_key(jwk), typ=REPORT_TYPE))
    if not isinstance(report, dict) or report.get("ver") != 1:
        raise SealBroken(Text("Diese Fassung eines Berichts ist unbekannt.", "This version of a report is not known."))
    return report


def as_json(report: Mapping[str, Any], token: str) -> str:
    """Return the file in JSON: the report to read, and the token that counts."""
    return json.dumps({"token": token, "report": dict(report)}, ensure_ascii=False, indent=2) + "\n"


def as_html(report: Mapping[str, Any], token: str) -> str:
    """Return the file in HTML, German and English, which needs nothing else."""
    software = report["software"]
    rows = "".join(
        f"<tr><th scope=row>{html.escape(each['case'])}<td>{html.escape(each['expected'])}"
        f"<td>{html.escape(each['answered'] or '–')}<td>{'✓' if each['good'] else '✗'}"
        for each in report["verdicts"]
    )
    title = html.escape(f"{software['vendor']}, {software['product']} {software['version']}")
    what = html.escape(f"{report['standard']} {report['version']}")
    day = f"{datetime.fromtimestamp(report['iat'], tz=UTC):%Y-%m-%d}"
    return (
        f'<!doctype html><html lang="de"><meta charset="utf-8"><title>{title}</title><style>body{{font:1rem/1.5 sans-serif;'
        "max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}td,th{text-align:left;padding:.2rem .6rem}"
        "pre{white-space:pre-wrap;word-break:break-all}</style>"
        f"<h1>{title}</h1><p>{what}: {report['good']} / {report['cases']} wie erwartet / as expected, {day}, "
        f"{html.escape(report['iss'])}<table><thead><tr><th>Fall / case<th>erwartet / expected<th>geantwortet / answered"
        f"<th></thead><tbody>{rows}</tbody></table>"
        "<h2>Signatur / signature</h2><p>Es zählt, was signiert ist / what is signed counts: hub conformance verify"
        f"<pre>{token}</pre></html>\n"
    )


def _case_json(case: ConformanceCase) -> dict[str, Any]:
    expected = {"answer": case.answer, "problems": list(case.problems)}
    return {"case": case.name, "file": case.file, "expected": expected, "says": case.says}


def _case(said: Mapping[str, Any]) -> ConformanceCase:
    return ConformanceCase(
        name=str(said["case"]),
        file=str(said["file"]),
        answer=str(said["expected"]["answer"]),
        problems=tuple(map(str, said["expected"]["problems"])),
        says=str(said["says"]),
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        found = orjson.loads(content) if len(content) <= _LARGEST else None
    except (OSError, ValueError) as exc:
        raise _unreadable(path.name) from exc
    if not isinstance(found, dict):
        raise _unreadable(path.name)
    return found


def _unreadable(name: str) -> Malformed:
    return Malformed(
        Text(
            f"{name} fehlt oder ist nicht das JSON, das dort stehen soll.",
            f"{name} is missing, or not the JSON it should be.",
        )
    )
