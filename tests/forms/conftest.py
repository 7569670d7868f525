"""The shipped schemas with their forms, loaded once for a module."""

from __future__ import annotations

import pytest
from shared_data import CATALOG, SHARED
from stage import SCHEMAS

from hub.forms.checking import form_of
from hub.validation.editions import load_version


@pytest.fixture(scope="session")
def dog_entry():
    return load_version(SCHEMAS / "fim-hundesteuer/1.2").entries[0]


@pytest.fixture(scope="session")
def dog(dog_entry):
    return form_of(dog_entry)


@pytest.fixture(scope="session")
def house_entry():
    return load_version(SCHEMAS / "bauantrag/1.2").entries[0]


@pytest.fixture(scope="session")
def house(house_entry):
    return form_of(house_entry)


@pytest.fixture(scope="session")
def xbau(tmp_path_factory):
    """The entries of a real standard's largest messages."""
    from hub.validation.importing import import_standard

    folder = tmp_path_factory.mktemp("xbau")
    source = SHARED / "xoev" / "xbau-2.6" / "xsd"
    import_standard(source, folder, standard="xbau", version="2.6", catalog=CATALOG, messages="*-baugenehmigung.xsd")
    return load_version(folder / "xbau" / "2.6").entries
