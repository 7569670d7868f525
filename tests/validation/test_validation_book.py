"""The catalogue of the moment: changes of its folders are seen, and nobody who checks is disturbed."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from hub.errors import UnknownSchema
from hub.model.submission import MediaType
from hub.validation.catalog import CatalogBook
from hub.validation.importing import import_standard
from hub.validation.manifest import NAME

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:{0}" xmlns="urn:{0}">
<xs:element name="m" type="xs:int"/></xs:schema>"""
MESSAGE = b'<m xmlns="urn:one">1</m>'
TODAY = date(2026, 11, 2)


class Watch:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "schemas"
    bring(folder, "one")
    return folder


def bring(root: Path, name: str) -> Path:
    package = root.parent / f"package-{name}"
    package.mkdir()
    (package / f"{name}.xsd").write_text(XSD.format(name))
    import_standard(package, root, standard=name, version="1")
    return root / name / "1" / NAME


def rewrite(path: Path, before: str, after: str) -> None:
    """Replace a manifest as an operator does: the new one in one go."""
    scratch = path.with_suffix(".new")
    scratch.write_text(path.read_text().replace(before, after))
    scratch.replace(path)


def check(catalog):
    return catalog.check(media_type=MediaType.XML, data=MESSAGE, schema=None, service=None, on=TODAY)


def test_a_broken_change_keeps_the_last_good_catalogue_and_is_logged_once(root, caplog):
    watch = Watch()
    book = CatalogBook(root, monotonic=watch)
    rewrite(root / "one/1" / NAME, "status: valid", "status: perhaps")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            watch.seconds += 2
            assert check(book()).valid
    assert len(caplog.records) == 1


def test_the_folders_are_looked_at_once_a_second_at_most(root):
    watch = Watch()
    book = CatalogBook(root, monotonic=watch)
    before = book()
    bring(root, "two")
    watch.seconds += 0.9
    assert book() is before
    watch.seconds += 0.2
    assert len(book().entries()) == 2


def test_without_a_change_the_catalogue_stays_and_with_it_what_is_compiled(root):
    watch = Watch()
    book = CatalogBook(root, monotonic=watch)
    before = book()
    watch.seconds += 5
    assert book() is before


def test_a_version_withdrawn_in_mid_flight_keeps_what_was_begun_and_refuses_what_comes(root):
    watch = Watch()
    book = CatalogBook(root, monotonic=watch)
    begun = book()
    accepted = check(begun).schema
    rewrite(root / "one/1" / NAME, "status: valid", "status: withdrawn")
    watch.seconds += 2
    with pytest.raises(UnknownSchema):
        check(book())
    assert check(begun).schema == accepted
    assert book().ref(accepted.uri) == accepted


def test_no_check_fails_while_the_catalogue_is_read_anew(root):
    watch = Watch()
    book = CatalogBook(root, monotonic=watch)
    stop = threading.Event()

    def checking() -> int:
        done = 0
        while not stop.is_set():
            assert check(book()).valid
            done += 1
        return done

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(checking) for _ in range(4)]
        try:
            for number in range(8):
                bring(root, f"more{number}")
                watch.seconds += 2
                book()
        finally:
            stop.set()
        assert all(one.result(timeout=10) > 0 for one in running)
    watch.seconds += 2
    assert len(book().entries()) == 9
