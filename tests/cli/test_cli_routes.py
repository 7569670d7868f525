"""The way of a table on the command line, by two people."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from hub.cli import accounts, routing
from hub.cli.main import main

PASSWORD = "korrekt pferd batterie"
NEW_RULE = """\
- id: idstein-bau
  area: "064390008008"
  destination: 7b1c9e04-2d58-4c7a-8f31-5a9e0c406414
  services: [urn:de:fim:leika:leistung:99008001012000]
"""

for _module in (accounts, routing):
    for _command in _module.COMMANDS:
        main.add_command(_command)


@pytest.fixture
def run(stage, tmp_path):
    """Run ``hub …`` on the stage's folder, as Erika (editor) or Anton (approver)."""
    stage.hub.close()
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)

    def call(*words: str, ok: bool = True, by: str | None = None) -> str:
        person = ["--as", by, "--password-file", str(secret)] if by else []
        done = CliRunner().invoke(main, [*words, *person, "--data", str(stage.data)])
        assert (done.exit_code == 0) is ok, done.output
        return done.output

    for name, role in (("erika", "editor"), ("anton", "approver")):
        call("accounts", "add", name, "--role", role, "--password-file", str(secret))
    return call


def test_a_table_goes_from_file_to_active_by_two_people_and_back(run, tmp_path):
    file = tmp_path / "rules.yaml"
    run("routes", "export", "-o", str(file))
    assert "0 changes" in run("routes", "apply", str(file), by="erika")
    file.write_text(file.read_text().replace("note: ", "note: Neu. ", 1))
    assert "1 geänderte Regeln" in run("routes", "apply", str(file), by="erika")
    assert "Nicht erlaubt" in run("routes", "approve", "2", by="erika", ok=False)
    assert "Freigegeben" in run("routes", "approve", "2", "--text", "gelesen", by="anton")
    assert "Aktiv" in run("routes", "activate", "2", by="anton")
    assert "0 changes" in run("routes", "diff", "2")
    assert "Aktiv / active: 1" in run("routes", "rollback", "--text", "doch nicht", by="anton")
    assert len(run("routes", "history").splitlines()) == 3
    assert "* " not in run("routes", "list").splitlines()[0]


def test_csv_and_yaml_say_the_same(run, tmp_path):
    for kind in ("csv", "yaml"):
        file = tmp_path / f"rules.{kind}"
        run("routes", "export", "--format", kind, "-o", str(file))
        assert "Entwurf / draft" in run("routes", "import", str(file), by="erika")
        assert "0 changes" in run("routes", "diff", "--days", "30")


def test_a_table_that_contradicts_itself_is_not_applied(run, tmp_path):
    file = tmp_path / "rules.yaml"
    run("routes", "export", "-o", str(file))
    file.write_text(file.read_text() + NEW_RULE.replace('"064390008008"', '"06499"'))
    said = run("routes", "apply", str(file), by="erika", ok=False)
    assert "unknown-area" in said
    run("routes", "check", "2", ok=False)
    run("routes", "approve", "2", "--text", "egal", by="anton", ok=False)
    run("routes", "check")


def test_a_wrong_password_does_nothing(run, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("nicht das passwort")
    wrong.chmod(0o600)
    run("routes", "rollback", "--text", "x", "--as", "anton", "--password-file", str(wrong), ok=False)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660])
def test_a_file_with_a_password_that_others_can_read_is_refused_by_name(run, tmp_path, mode):
    open_ = tmp_path / "open"
    open_.write_text(PASSWORD)
    open_.chmod(mode)
    for command in (
        ("accounts", "add", "neu", "--role", "viewer"),
        ("accounts", "password", "erika"),
        ("routes", "rollback", "--text", "x", "--as", "anton"),
    ):
        said = run(*command, "--password-file", str(open_), ok=False)
        assert "The file open holds a secret and is open to other accounts" in said, said
        assert PASSWORD not in said


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 5000])
def test_a_file_without_a_password_is_refused_in_words(run, tmp_path, content):
    odd = tmp_path / "odd"
    odd.write_bytes(content)
    odd.chmod(0o600)
    assert "holds no password" in run("accounts", "password", "erika", "--password-file", str(odd), ok=False)


def test_accounts_are_listed_locked_and_given_a_second_factor(run):
    assert run("accounts", "totp", "anton").startswith("otpauth://totp/")
    assert "TOTP" in run("accounts", "list")
    run("routes", "rollback", "--text", "x", by="anton", ok=False)  # without a code
    run("accounts", "disable", "erika")
    assert "gesperrt" in run("accounts", "list")
    run("accounts", "disable", "niemand", ok=False)


def test_an_explanation_comes_from_the_active_table(run):
    said = run("route", "explain", "--service", "urn:de:fim:leika:leistung:99012008001000", "--ars", "064390015015")
    assert "rtk-bauaufsicht" in said


def test_people_are_invited_locked_and_their_sessions_ended(run):
    link = run("accounts", "invite", "ida", "--role", "viewer", "--full-name", "Ida Muster").splitlines()[0]
    assert "/admin/invitation#" in link
    assert "ida" in run("accounts", "invitations")
    assert link.rpartition("#")[2] not in run("accounts", "invitations")
    run("accounts", "withdraw", "ida")
    assert run("accounts", "invitations") == ""
    # Whoever is named needs the right, and gives no more than they have.
    run("accounts", "invite", "ida", "--role", "viewer", by="anton", ok=False)
    assert "gesperrt" in run("accounts", "lock", "erika")
    assert "gesperrt / disabled" in run("accounts", "list")
    assert "entsperrt" in run("accounts", "unlock", "erika")
    assert "gesperrt / disabled" not in run("accounts", "list")
    assert run("accounts", "totp", "erika").startswith("otpauth://")
    run("accounts", "factor-reset", "erika")
    assert "TOTP" not in run("accounts", "list")
    assert run("accounts", "sessions", "erika", "--end", "all") == ""
