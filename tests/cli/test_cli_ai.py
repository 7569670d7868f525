"""``hub ai``: a file becomes a draft, and people read it when a second person said so; what is withdrawn stays."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from stage import staged
from test_ai_systems import CHAT

from hub.cli import main
from hub.model import Role

PASSWORD = "korrekt pferd batterie"


@pytest.fixture(scope="module")
def data(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli-ai")
    with staged(made_once, folder) as stage:
        secret = folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(PASSWORD)
        for name, roles in (("erika", Role.EDITOR), ("anton", Role.APPROVER)):
            stage.hub.accounts.add(name, PASSWORD, roles=(roles,), actor="test", now=stage.clock())
        yield stage.data, secret


def test_a_system_is_drafted_published_and_withdrawn_by_two(data, tmp_path):
    folder, secret = data

    def ai(*words, person=None):
        login = () if person is None else ("--as", person, "--password-file", str(secret))
        done = CliRunner().invoke(main, ["ai", *words, *login, "--data", str(folder)])
        return done.exit_code, done.output

    file = tmp_path / "neu.yaml"
    file.write_text(CHAT.replace("2026-10\n", '"2026-10"\n'), encoding="utf-8")
    assert ai("check", str(file))[1].startswith("1 ")
    code, said = ai("import", str(file), person="erika")
    assert (code, "neu: Hundesteuer-Vorprüfung" in said) == (0, True), said
    assert ai("approve", "2", person="erika")[0] != 0
    assert ai("approve", "2", person="anton")[0] == 0
    assert "dog-tax-check" not in ai("list")[1]
    assert ai("publish", "2", person="anton")[0] == 0
    assert "dog-tax-check" in ai("list")[1]
    assert "zurückgezogen" in ai("withdraw", "dog-tax-check", person="erika")[1]
    assert ai("approve", "3", person="anton")[0] == 0
    assert ai("publish", "3", person="anton")[0] == 0
    assert "out-of-use" in ai("show", "dog-tax-check")[1]
    assert "in-use" in ai("show", "dog-tax-check", "--version", "2")[1]
    assert ai("show", "nobody")[0] == 1
    assert "*   3" in ai("versions")[1]
    assert "rathaus-hub" in ai("export")[1]
    assert ai("check")[0] == 0
