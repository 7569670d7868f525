"""``make bench-validate``: ``hub validate`` for a vendor's build server, beside another build and beside bare libxml2.

Three figures, by turns: a thousand files of 15 KB by one command against the other build's command file by file; ten
thousand against two processes that do nothing but parse and validate with libxml2; and what a document of 100 MB takes of
memory, over a command that waits for its document. The other build is given by its path, and judges a sample of the files.
Times are those of a clock, which neighbours on the machine lengthen, and of the processor.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.commands import LAUNCH
from benchmarks.payload import CATALOG, Message, message

_ROOT = Path(__file__).parents[1]
_KIB = 1024
_LARGE = 100 * _KIB * _KIB
#: What two processes do at the least for a verdict: read, parse, validate.
_BARE = """
import sys, time
from pathlib import Path
from lxml import etree
from benchmarks.payload import message
schema = message().compiled(Path(sys.argv[1]))
files = sys.argv[2:]
print("ready", flush=True)
sys.stdin.readline()
began = time.process_time()
assert all(schema.validate(etree.fromstring(Path(file).read_bytes())) for file in files)
print(time.process_time() - began)
"""


class Spent(NamedTuple):
    """Seconds by the clock, and of the processor by all processes together."""

    clock: float
    cpu: float

    def over(self, other: Spent) -> Spent:
        """Return what this one took more than another."""
        return Spent(self.clock - other.clock, self.cpu - other.cpu)


def _files(folder: Path, content: bytes, number: int) -> Path:
    folder.mkdir()
    for each in range(number):
        (folder / f"{each:05}.xml").write_bytes(content)
    return folder


def _took(arguments: list[str | Path]) -> Spent:
    began, cpu = time.perf_counter(), _cpu_of_ended()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Spent(time.perf_counter() - began, _cpu_of_ended() - cpu)


def _cpu_of_ended() -> float:
    """Return what processes that have ended, and those that they waited for, took of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _bare(files: Path, schemas: Path) -> Spent:
    """Return what two processes take for a folder, from when both have their schema."""
    named = sorted(map(str, files.iterdir()))
    command = [sys.executable, "-W", "ignore", "-c", _BARE, schemas]
    pair = [
        subprocess.Popen([*command, *half], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for half in (named[::2], named[1::2])
    ]
    for each in pair:
        assert each.stdout is not None  # It is a pipe.
        each.stdout.readline()
    began = time.perf_counter()
    for each in pair:
        assert each.stdin is not None  # It is a pipe.
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [each.communicate()[0] for each in pair]
    took = time.perf_counter() - began
    if any(each.returncode for each in pair):
        raise RuntimeError("the bare library found a file invalid")
    return Spent(took, sum(map(float, said)))


def _highest(arguments: list[str | Path], given: Path | None = None) -> float:
    """Return the MiB that a command held at the highest."""
    with (given or Path(os.devnull)).open("rb") as source:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-c", LAUNCH, *arguments],
            stdin=source,
            capture_output=True,
            text=True,
            check=True,
        )
    code, _, memory = ended.stdout.split()
    if code != "0":
        raise RuntimeError(f"{arguments} ended with {code}")
    return float(memory) / _KIB


def _imported(command: Path, sent: Message, data: Path) -> list[str | Path]:
    """Have another build bring the schema in as it does itself; return how it is told of its data folder."""
    where: list[str | Path] = ["--data", data]
    if sent.package is not None:
        named = ["--standard", sent.standard, "--version", "1.0", "--catalog", CATALOG]
        _took([command, "schemas", "import", sent.package, *named, *where])
    return where


def _large(file: Path, content: bytes) -> Path:
    """Write a document of 100 MB: the message, with comments before its end."""
    end = content.rindex(b"</")
    comment = b"<!-- " + b"x" * 1000 + b" -->\n"
    with file.open("wb") as target:
        target.write(content[:end])
        for _ in range((_LARGE - len(content)) // len(comment)):
            target.write(comment)
        target.write(content[end:])
    return file


def _middle(values: list[Spent]) -> Spent:
    return Spent(median(each.clock for each in values), median(each.cpu for each in values))


def _measure(ours: Path, base: Path | None, sent: Message, folder: Path, *, rounds: int, sample: int) -> None:
    data = folder / "data"
    sent.install(data / "schemas", "urn:example:service")
    where: list[str | Path] = ["--data", data]
    theirs = [] if base is None else _imported(base, sent, folder / "theirs")
    thousand, more = _files(folder / "1000", sent.data, 1_000), _files(folder / "10000", sent.data, 10_000)
    one = thousand / "00000.xml"
    turns: dict[str, list[Spent]] = {"1000": [], "each": [], "10000": [], "first": [], "bare": []}
    for _ in range(rounds):
        turns["1000"].append(_took([ours, "validate", thousand, *where]))
        if base is not None:
            each = [_took([base, "validate", file, *theirs]) for file in sorted(thousand.iterdir())[:sample]]
            turns["each"].append(_middle(each))
        turns["first"].append(_took([ours, "validate", one, "--format", "junit", *where]))
        turns["10000"].append(_took([ours, "validate", more, *where]))
        turns["bare"].append(_bare(more, data / "schemas"))
    found = {name: _middle(values) for name, values in turns.items() if values}
    print(f"1,000 files, one command   {found['1000'].clock:8.2f} s, CPU {found['1000'].cpu:.2f} s")
    if base is not None:
        times = found["each"].clock * 1_000 / found["1000"].clock
        cpu = found["each"].cpu * 1_000
        print(
            f"the same, file by file     {found['each'].clock * 1_000:8.0f} s  {times:.0f} times (aim: 20; sample of {sample})"
            f", CPU {cpu:.0f} s, {cpu / found['1000'].cpu:.0f} times"
        )
    ours_after = [whole.over(first) for whole, first in zip(turns["10000"], turns["first"], strict=True)]
    ratios = [
        Spent(bare.clock / ours.clock, bare.cpu / ours.cpu)
        for bare, ours in zip(turns["bare"], ours_after, strict=True)
    ]
    after, bare, ratio = _middle(ours_after), found["bare"], _middle(ratios)
    print(f"10,000 files, after the first {10_000 / after.clock:5.0f} /s, CPU {after.cpu / 10:.3f} ms each")
    print(
        f"bare libxml2, two processes   {10_000 / bare.clock:5.0f} /s, CPU {bare.cpu / 10:.3f} ms each  "
        f"{ratio.clock:.2f} by the clock (aim: 0.5), {ratio.cpu:.2f} by CPU"
    )
    large, kept = _large(folder / "large.xml", sent.data), _highest([ours, "validate", one, *where])
    print(
        f"a document of 100 MB       {_highest([ours, 'validate', large, *where]):8.0f} MiB, one of 15 KB {kept:.0f} MiB"
    )
    if base is not None:
        print(f"the same, base             {_highest([base, 'validate', large, *theirs]):8.0f} MiB")


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="make bench-validate", description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument(
        "--venv", type=Path, default=Path(".venv"), help="our environment to measure, within this checkout"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=10, help="files that the other build judges in each round")
    options = parser.parse_args()
    base = options.base and options.base.resolve() / ".venv/bin/hub"
    with tempfile.TemporaryDirectory() as folder:
        sent = message()
        print(f"{sent.name}, {len(sent.data)} bytes")
        _measure(
            _ROOT / options.venv / "bin/hub", base, sent, Path(folder), rounds=options.rounds, sample=options.sample
        )
    print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores at the end")


if __name__ == "__main__":
    sys.exit(main())
