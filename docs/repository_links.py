"""Bring what the manual links to in the repository into the built site, and say which pages are English.

A page links to a file of the repository as for a reader on a forge: ``../CONTRIBUTING.md#measured``. In the site, Markdown
becomes a page below ``repository/``, so that its anchors are checked as well, and everything else a text to be read. A link to
what is not there fails the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

_ROOT = Path(__file__).parents[1]
_DOCS = "docs"
_SHOWN = "repository"
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")


def on_files(files: Any, config: Any) -> Any:
    """Add every file of the repository that a page leads to, over however many others."""
    waiting = [page.relative_to(_ROOT).as_posix() for page in sorted((_ROOT / _DOCS).rglob("*.md"))]
    known = set(waiting)
    while waiting:
        source = waiting.pop()
        for match in _LINK.finditer((_ROOT / source).read_text(encoding="utf-8")):
            target = _target(source, match[1])
            if target in known or _is_of_the_manual(target):
                continue
            if not (_ROOT / target).is_file():
                raise PluginError(f"{source}: a dead link into the repository: {match[1]}")
            known.add(target)
            content = (_ROOT / target).read_text(encoding="utf-8")
            files.append(File.generated(config, _place(target), content=content))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links into the repository into links to what :func:`on_files` added."""
    shown = page.file.src_uri
    source = shown.removeprefix(f"{_SHOWN}/") if shown.startswith(f"{_SHOWN}/") else f"{_DOCS}/{shown}"

    def led(match: re.Match[str]) -> str:
        target = _target(source, match[1])
        place = target.removeprefix(f"{_DOCS}/") if _is_of_the_manual(target) else _place(target)
        anchor = match[2] if match[2] and place.endswith(".md") else ""
        return posixpath.relpath(place, posixpath.dirname(shown) or ".") + anchor

    return _LINK.sub(led, markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Say the language of a page where it is not German (WCAG 2.2, 3.1.1)."""
    english = page.file.src_uri.startswith(tuple(config.extra["english"]))
    return output.replace('<html lang="de"', '<html lang="en"', 1) if english else output


def _target(source: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _is_of_the_manual(target: str) -> bool:
    return target.startswith(f"{_DOCS}/")


def _place(target: str) -> str:
    """Return where a file of the repository stands in the site; what is no Markdown is shown as text by every browser."""
    return f"{_SHOWN}/{target}" if target.endswith(".md") else f"{_SHOWN}/{target}.txt"
