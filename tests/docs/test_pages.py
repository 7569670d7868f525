"""Every fence of the manual is done, written and read, or compared by somebody, and every link leads somewhere."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import test_first_application
import test_new_operator
import test_upgrade_commands
from lxml import etree
from manual_reader import OUTPUT, ROOT, RUN, WRITTEN, Fence, fences, marks, pages

from hub.config import load_settings
from hub.crypto.development import InsecureThrowawayAuthority
from hub.identity.openid.login import Grants
from hub.model import MediaType, utc_now
from hub.portal.settings import PortalSettings
from hub.resources import shipped
from hub.routing import from_file
from hub.soap.pmode import read_pmode
from hub.validation.catalog import SchemaCatalog

#: Pages that say in English what another says in German; what is done is the same, and done once.
BESIDE = {
    "docs/administer.md": "docs/verwalten.md",
    "docs/first-application.md": "docs/erster-antrag.md",
    "docs/install.md": "docs/installieren.md",
    "docs/operate.md": "docs/betreiben.md",
    "docs/proof.md": "docs/nachweis.md",
    "docs/receive-cases.md": "docs/vorgaenge-empfangen.md",
}
#: Drawings, and help that ``tests/cli/test_cli.py`` compares.
SHOWN = {"README.md": 1, "docs/reference/commands.md": 1}
_TAUNUSSTEIN = "7b1c9e04-2d58-4c7a-8f31-5a9e0c406439"


def test_every_fence_is_known_and_none_is_overlooked():
    for page in pages():
        found = fences(page)
        assert marks(page) == 2 * len(found), f"{page}: a fence is indented, or written otherwise"
        strange = [each.place for each in found if each.language not in RUN | WRITTEN | {"text", "make"}]
        assert strange == []
        assert [each.place for each in found if each.language in WRITTEN | {"python"} and not each.title] == []


def test_whatever_a_page_says_to_do_is_done_by_a_story():
    belonging = {*test_first_application.PAGES, *test_new_operator.PAGES, *test_upgrade_commands.PAGES}
    run = {page for page in pages() if any(each.language in RUN for each in fences(page))}
    assert run - belonging - set(BESIDE) == set()
    outputs = {page for page in pages() if any(each.title == OUTPUT for each in fences(page))}
    assert outputs <= run
    shown = {page: sum(each.language == "text" and not each.title for each in fences(page)) for page in pages()}
    assert {page: number for page, number in shown.items() if number} == SHOWN


@pytest.mark.parametrize(("english", "german"), BESIDE.items())
def test_both_languages_do_the_same(english: str, german: str):
    assert [_said(each) for each in fences(english)] == [_said(each) for each in fences(german)]


def _said(fence: Fence) -> tuple[str, str, str]:
    return fence.language, fence.title, fence.text


def test_every_file_that_a_page_shows_is_one(tmp_path: Path):
    judged = 0
    for fence in (each for page in pages() for each in fences(page) if each.language in WRITTEN):
        name = Path(fence.title).name
        judge = next((judge for ending, judge in _JUDGES.items() if name.endswith(ending)), None)
        assert judge is not None, f"{fence.place}: nobody reads {name}"
        judge(fence, tmp_path)
        judged += 1
    assert judged == sum(each.language in WRITTEN for page in pages() for each in fences(page)) > 8


def _settings(fence: Fence, folder: Path) -> None:
    (folder / "hub.toml").write_text(fence.text, encoding="utf-8")
    assert load_settings(folder, {}).production


def _agreement(fence: Fence, folder: Path) -> None:
    authority = InsecureThrowawayAuthority(folder / "as4", now=utc_now())
    (own, key), (peer, _key) = (authority.issue("127.0.0.1", rsa_bits=2048) for _ in range(2))
    for name, made in (("hub.key.pem", key), ("hub.pem", own), ("bauamt.pem", peer)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(made.read_bytes())
    (folder / "bauamt.toml").write_text(fence.text, encoding="utf-8")
    assert read_pmode(folder / "bauamt.toml").action == "submit"


def _roles(fence: Fence, folder: Path) -> None:
    (folder / "roles.toml").write_text(fence.text, encoding="utf-8")
    assert Grants.load(folder / "roles.toml", "roles")
    assert len(tomllib.loads(fence.text)) > 1


def _rules(fence: Fence, _: Path) -> None:
    assert from_file(fence.text.replace("DESTINATION", _TAUNUSSTEIN).encode(), fence.title)


def _application(fence: Fence, _: Path) -> None:
    document = json.loads(fence.text)
    report = SchemaCatalog.load(shipped("schemas")).check(
        media_type=MediaType.JSON,
        data=fence.text.encode(),
        schema=document["$schema"],
        service=None,
        on=utc_now().date(),
    )
    assert report.valid


def _locations(fence: Fence, _: Path) -> None:
    """A catalogue of locations: well-formed, and of the namespace that the importer reads."""
    root = etree.fromstring(fence.text.encode())
    assert etree.QName(root).namespace == "urn:oasis:names:tc:entity:xmlns:xml:catalog"


def _portal(fence: Fence, folder: Path) -> None:
    document = tomllib.loads(fence.text)
    for name in document["pages"].values():
        (folder / name).touch()
    assert PortalSettings.parse(document, folder).production


_JUDGES: dict[str, Callable[[Fence, Path], None]] = {
    "hub.toml": _settings,
    "portal.toml": _portal,
    "roles.toml": _roles,
    "bauamt.toml": _agreement,
    "rules.yaml": _rules,
    "application.json": _application,
    "catalog.xml": _locations,
}


def test_a_file_with_a_slip_is_found(tmp_path: Path):
    slip = next(each for each in fences("docs/installieren.md") if each.title == "hub.toml")
    with pytest.raises(Exception, match="datenbank"):
        _settings(replace(slip, text=slip.text + 'datenbank = "x"\n'), tmp_path)


def test_the_targets_that_readme_names_are_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = next(each for each in fences("README.md") if each.language == "make")
    targets = re.findall(r"(?m)^make (\S+)", shown.text)
    assert len(targets) == len(shown.text.splitlines())
    assert all(re.search(rf"(?m)^{target}:.* ## ", makefile) for target in targets)


def test_readme_and_contributing_lead_to_files_and_headings_that_are_there():
    for paper in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = re.sub(r"```.*?```", "", (ROOT / paper).read_text(encoding="utf-8"), flags=re.DOTALL)
        for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]+)(?:#([^)\s]+))?\)", text):
            place = ROOT / target
            assert place.exists(), f"{paper} -> {target}"
            if anchor:
                assert anchor in _anchors(place), f"{paper} -> {target}#{anchor}"


def _anchors(paper: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", paper.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"(?m)^#+ (.*)", text)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_readme_can_be_read_in_two_minutes():
    words = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL).split()
    assert len(words) < 600
