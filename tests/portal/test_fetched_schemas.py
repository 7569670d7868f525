"""Forms of schemas that only the hub has: fetched once, held to their hashes, there whole or not at all."""

from __future__ import annotations

import shutil

import pytest

from hub.errors import Unavailable
from hub.forms.checking import form_of
from hub.forms.form_file import NAME
from hub.portal.schemas import FormSchemas
from hub.resources import shipped
from hub.validation.editions import FORM_FILE

DOG = "https://schema.rathaus-hub.example/fim-hundesteuer/1.2/anmeldung.schema.json"
BUILDING = "https://schema.rathaus-hub.example/bauantrag/1.2#bauantrag"


class Counted:
    """The hub's public door, which counts, and spoils what it is told to."""

    def __init__(self, session):
        self.session, self.calls, self.spoilt = session, 0, b""

    def call(self, method, path, **more):
        from contextlib import contextmanager
        from dataclasses import replace

        @contextmanager
        def called():
            self.calls += 1
            with self.session.call(method, path, **more) as response:
                yield replace(response, chunks=iter([*response.chunks, self.spoilt])) if self.spoilt else response

        return called()


@pytest.fixture
def hub(portal_site):
    return Counted(portal_site.portal.doors._public)


@pytest.mark.parametrize("uri", [DOG, BUILDING])
def test_a_schema_of_the_hub_is_the_same_schema_here_with_the_same_form(portal_site, hub, tmp_path, uri):
    facts = portal_site.portal.doors.schema_facts(uri)
    fetched = FormSchemas(hub=hub, folder=tmp_path / "schemas").entry(uri, facts)
    own = portal_site.hub.hub.catalog.entry(uri)
    assert fetched.ref == own.ref
    assert [step.id for step in form_of(fetched).steps] == [step.id for step in form_of(own).steps]
    assert form_of(fetched).written
    calls = hub.calls
    again = FormSchemas(hub=hub, folder=tmp_path / "schemas").entry(uri, facts)
    assert (again.ref, hub.calls) == (own.ref, calls)


def test_what_ships_is_not_fetched_unless_the_hub_has_another_form(portal_site, hub, tmp_path):
    facts = portal_site.portal.doors.schema_facts(DOG)
    schemas = FormSchemas(shipped("schemas"), hub=hub, folder=tmp_path / "schemas")
    assert schemas.entry(DOG, facts).folder.is_relative_to(shipped("schemas"))
    assert hub.calls == 0
    mine = tmp_path / "mine/fim-hundesteuer/1.2"
    shutil.copytree(shipped("schemas") / "fim-hundesteuer/1.2", mine)
    with (mine / FORM_FILE).open("a") as form:
        form.write("\n# changed\n")
    other = FormSchemas(tmp_path / "mine", hub=hub, folder=tmp_path / "schemas")
    assert not other.entry(DOG, facts).folder.is_relative_to(tmp_path / "mine")
    assert hub.calls > 0


def test_a_file_that_is_not_what_the_hub_said_is_no_form(portal_site, hub, tmp_path):
    facts, folder = portal_site.portal.doors.schema_facts(DOG), tmp_path / "schemas"
    hub.spoilt = b" "
    with pytest.raises(Unavailable):
        FormSchemas(hub=hub, folder=folder).entry(DOG, facts)
    assert list(folder.iterdir()) == []
    hub.spoilt = b""
    place = FormSchemas(hub=hub, folder=folder).entry(DOG, facts).folder
    (place / "anmeldung.schema.json").write_text("{}")
    with pytest.raises(Unavailable):  # What somebody put there instead is not believed …
        FormSchemas(hub=hub, folder=folder).entry(DOG, facts)
    assert FormSchemas(hub=hub, folder=folder).entry(DOG, facts).ref.uri == DOG  # … and fetched again.


@pytest.mark.parametrize("name", ["../../../etc/cron.d/x", "/etc/passwd", "a/../../b", "..\\b"])
def test_a_hub_cannot_have_files_written_elsewhere(portal_site, hub, tmp_path, name):
    facts = dict(portal_site.portal.doors.schema_facts(DOG))
    facts["documents"] = [*facts["documents"], {"file": name, "role": "part", "sha256": "0" * 64}]
    with pytest.raises(Unavailable):
        FormSchemas(hub=hub, folder=tmp_path / "schemas").entry(DOG, facts)
    assert hub.calls == 0


def test_the_form_beside_a_schema_has_one_name():
    assert FORM_FILE == NAME
