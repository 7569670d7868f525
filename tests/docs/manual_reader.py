"""The fences of the manual, and a reader who does what they say.

A fence of a page is one of these, by its language and title:

- ``sh``: done in one shell, from the top of the story to its end; with a title that starts with "Fenster 1", in the background;
- ``python``: written into the file of its title and run;
- ``toml``, ``json``, ``yaml``, ``xml``: written into the file of its title;
- ``text`` with the title "Ausgabe": what the fence before printed, ``…`` standing for whatever comes there;
- ``text`` without one: a drawing, or help that a test of its own compares; ``make``: targets.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Self

from benchmarks.crash.nodes import BYTECODE

ROOT = Path(__file__).parents[2]
_DOCS = ROOT / "docs"
#: Languages that a reader runs, and that one writes into files.
RUN = {"sh", "python"}
WRITTEN = {"toml", "json", "yaml", "xml"}
OUTPUT = "Ausgabe"
_STAYS = "Fenster 1"
_PATIENCE = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """One fence: where it stands, what it is, and what is in it. ``section`` is the heading above, of any level."""

    page: str
    line: int
    section: str
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Return the papers whose fences are kept: the manual and README, relative to the repository."""
    return ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in _DOCS.rglob("*.md"))]


def fences(page: str) -> list[Fence]:
    """Read the fences of a page."""
    found: list[Fence] = []
    section, opened, lines = "", None, []
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        if opened is None and (match := re.fullmatch(r"```(\w+)(?: title=\"([^\"]+)\")?", line)):
            opened, lines = (number, match[1], match[2] or ""), []
        elif opened is not None and line == "```":
            start, language, title = opened
            text = "\n".join(lines) + "\n"
            found.append(Fence(page=page, line=start, section=section, language=language, title=title, text=text))
            opened = None
        elif opened is not None:
            lines.append(line)
        elif match := re.fullmatch(r"#+ (.*)", line):
            section = match[1]
    assert opened is None, f"{page}: a fence without end"
    return found


def marks(page: str) -> int:
    """Count the lines that begin or end a fence, however they are indented or written."""
    return len(re.findall(r"(?m)^[ >]*(?:```|~~~)", (ROOT / page).read_text(encoding="utf-8")))


@dataclass(kw_only=True)
class Reader:
    """Does what pages say, in a folder of its own. ``instead``: what is read otherwise than written (ports, addresses)."""

    folder: Path
    env: Mapping[str, str]
    instead: Mapping[str, str]
    done: list[Fence] = field(default_factory=list)
    said: str = ""
    _windows: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self._notes = self.folder / ".reader"
        self._notes.mkdir()
        self._numbers = count(1)
        self._env = {**os.environ, **BYTECODE, "HOME": str(self.folder), **self.env}
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            cwd=self.folder,
            env=self._env,
            start_new_session=True,
            text=True,
        )
        self._type("set -euo pipefail")
        return self

    def __exit__(self, *_: object) -> None:
        self.close_windows()
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._end(self._shell)

    def read(self, page: str, *sections: str) -> None:
        """Do all fences of the page in order, or of these sections alone."""
        chosen = [each for each in fences(page) if not sections or each.section in sections]
        assert {each.section for each in chosen} >= set(sections), f"{page} has no fences in one of {sections}"
        for fence in chosen:
            self._do(fence)
            self.done.append(fence)

    def do(self, command: str) -> None:
        """Do what no fence says; ``said`` is what it printed."""
        self._run(Fence(page="-", line=0, section="", language="sh", title="", text=command), f"{command}\n")

    def close_windows(self) -> None:
        """End what runs in the background."""
        for window in self._windows:
            self._end(window)
        self._windows.clear()

    def _do(self, fence: Fence) -> None:
        text = self._meant(fence.text)
        if fence.language in WRITTEN:
            target = self.folder / self._meant(fence.title)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        elif fence.language == "python":
            (self.folder / fence.title).write_text(text, encoding="utf-8")
            self._run(fence, f"python {fence.title}\n")
        elif fence.title.startswith(_STAYS):
            with (self._notes / f"window-{len(self._windows)}").open("wb") as output:
                window = subprocess.Popen(
                    ["bash", "-c", f"exec {text}"],
                    cwd=self.folder,
                    env={**self._env, **self._exported()},
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._windows.append(window)
        elif fence.language == "sh":
            self._run(fence, text)
        elif fence.title == OUTPUT:
            expected = ".*".join(re.escape(part) for part in text.strip().split("…"))
            assert re.fullmatch(expected, self.said.strip(), re.DOTALL), f"{fence.place}: it says\n{self.said}"
        else:
            assert fence.language in {"text", "make"}, fence.place

    def _run(self, fence: Fence, text: str) -> None:
        number = next(self._numbers)
        script, out, err, end = (self._notes / f"{number}.{kind}" for kind in ("sh", "out", "err", "end"))
        script.write_text(text, encoding="utf-8")
        self._type(f"source {script} >{out} 2>{err}", f"touch {end}")
        until = time.monotonic() + _PATIENCE
        while not end.exists():
            ended = self._shell.poll() is not None
            if ended or time.monotonic() > until:
                windows = "".join(each.read_text() for each in sorted(self._notes.glob("window-*")))[-4000:]
                why = "failed" if ended else "does not end"
                raise AssertionError(f"{fence.place} {why}:\n{text}\n{_text(out)}\n{_text(err)}\n{windows}")
            time.sleep(0.02)
        self.said = out.read_text(encoding="utf-8")

    def _exported(self) -> dict[str, str]:
        """Return what the shell exported meanwhile."""
        said = self._notes / "exported"
        said.unlink(missing_ok=True)
        self._type(f"env -0 > {said}.new; mv {said}.new {said}")
        while not said.exists():
            time.sleep(0.02)
        return dict(each.split("=", 1) for each in said.read_text(encoding="utf-8").split("\0") if each)

    def _meant(self, text: str) -> str:
        for written, meant in self.instead.items():
            text = text.replace(written, meant)
        return text

    def _type(self, *lines: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write("".join(f"{line}\n" for line in lines))
        self._shell.stdin.flush()

    def _end(self, process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")[-4000:] if path.exists() else ""
