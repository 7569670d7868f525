"""``hub services``: what is published is listed; a file becomes a draft, and citizens read it when a second person said so."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from stage import staged

from hub.cli import main
from hub.model import Role

PASSWORD = "korrekt pferd batterie"
ONE = 'services:\n- key: "99999999999999"\n  official: Neu\n  name: {de: Neues, en: New thing}\n'


@pytest.fixture(scope="module")
def data(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli-services")
    with staged(made_once, folder) as stage:
        secret = folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(PASSWORD)
        for name, roles in (("erika", Role.EDITOR), ("anton", Role.APPROVER)):
            stage.hub.accounts.add(name, PASSWORD, roles=(roles,), actor="test", now=stage.clock())
        yield stage.data, secret


def test_before_a_first_start_what_files_hold_is_listed(tmp_path):
    listed = CliRunner().invoke(main, ["services", "list", "--data", str(tmp_path / "data")])
    assert (listed.exit_code, "Hund anmelden" in listed.output) == (0, True), listed.output


def test_a_file_is_drafted_and_published_by_two(data, tmp_path):
    folder, secret = data

    def services(*words, person=None):
        login = () if person is None else ("--as", person, "--password-file", str(secret))
        done = CliRunner().invoke(main, ["services", *words, *login, "--data", str(folder)])
        return done.exit_code, done.output

    (tmp_path / "neu.yaml").write_text(ONE)
    code, said = services("import", str(tmp_path / "neu.yaml"), person="erika")
    assert (code, "neu: Neues" in said, "Es fehlt" in said) == (0, True, True), said
    assert services("approve", "2", "--text", "x", person="erika")[0] != 0
    assert services("approve", "2", person="anton")[0] != 0
    assert services("approve", "2", "--text", "noch unvollständig", person="anton")[0] == 0
    assert "Neues" not in services("list")[1]
    assert services("publish", "2", person="anton")[0] == 0
    assert "Neues" in services("search", "Neues")[1]
    assert "entfällt: Neues" in services("diff", "1")[1]
    assert services("rollback", "--text", "doch nicht", person="anton")[0] == 0
    assert "Neues" not in services("export")[1]
    assert "Neues" in services("export", "--version", "2")[1]
    assert "*   1" in services("versions")[1]
