"""The manual as a site: it builds without a warning, leads nowhere dead, asks nobody else for anything, and can be read."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from manual_reader import ROOT

OUT = ROOT / "tests" / "out"
#: Without what the theme says of its own future.
_ENV = {**os.environ, "NO_COLOR": "1", "NO_MKDOCS_2_WARNING": "1"}
_SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
#: What a browser loads by itself, as opposed to where people may go.
_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=_ENV, capture_output=True, text=True, timeout=200, check=False)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


class _Page(HTMLParser):
    """The ids of a page, where it leads, what it loads, and its language."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.language = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.ids |= {said[name] for name in ("id", "name") if name in said}
        if tag == "html":
            self.language = said.get("lang", "")
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        if tag in _LOADED and said.get("rel") != "canonical" and _LOADED[tag] in said:
            self.loaded.append(said[_LOADED[tag]])


@pytest.fixture(scope="module")
def read(site: Path) -> dict[str, _Page]:
    return {path.relative_to(site).as_posix(): _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_no_link_is_dead(site: Path, read: dict[str, _Page]):
    dead, followed = [], 0
    for name, page in read.items():
        if name == "404.html":
            continue  # Its links count from the site's root, wherever that is.
        for link in [*page.links, *page.loaded]:
            target = urlsplit(urljoin(f"/{name}", link))
            if target.scheme or target.netloc or not link:
                continue
            path = unquote(target.path).lstrip("/")
            path = f"{path}index.html" if not path or path.endswith("/") else path
            followed += 1
            if not (site / path).is_file() or (
                target.fragment and path in read and unquote(target.fragment) not in {*read[path].ids, "__top"}
            ):
                dead.append(f"{name} -> {link}")
    assert dead == []
    assert followed > 500


def test_the_repositorys_files_that_pages_name_are_in_the_site(read: dict[str, _Page], site: Path):
    assert "repository/CONTRIBUTING.html" in read
    assert (site / "repository/openapi.yaml.txt").read_bytes() == (ROOT / "openapi.yaml").read_bytes()


def test_nothing_is_asked_of_another_host(read: dict[str, _Page], site: Path):
    foreign = [each for page in read.values() for each in page.loaded if urlsplit(each).netloc]
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    foreign += re.findall(r"(?:@import\s+|url\(\s*)[\"']?(?:https?:)?//[^)\"']*", styles)
    assert foreign == []


def test_pages_say_their_language(read: dict[str, _Page]):
    assert read["betreiben.html"].language == read["index.html"].language == "de"
    assert read["proof.html"].language == read["operate.html"].language == read["repository/CHANGELOG.html"].language
    assert read["proof.html"].language == "en"


def test_a_dead_link_into_the_repository_fails_the_build(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    for name in ("docs/repository_links.py", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "docs" / "index.md").write_text("[gone](../nowhere.md)\n", encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, env=_ENV, capture_output=True, text=True, timeout=200, check=False)
    assert built.returncode != 0
    assert "nowhere.md" in built.stderr


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's browser, started once for this module."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    OUT.mkdir(exist_ok=True)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_SWITCHES, env={**os.environ, "HOME": "/tmp"})
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_wide_and_narrow(chromium: Any, served: str, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    foreign, faults = [], {}
    for width in (1280, 360):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, locale="de-DE", color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(served) else None)
        for name in ("index", "vorgaenge-empfangen"):
            page.goto(f"{served}/{name}.html")
            page.screenshot(path=OUT / f"manual-{name}-{width}-{scheme}.png", full_page=name == "index")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} at {width}"
            if width == 1280:
                found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
                faults |= {f"{name} {each['id']}": [node["html"][:200] for node in each["nodes"]] for each in found}
        context.close()
    assert foreign == []
    assert faults == {}
