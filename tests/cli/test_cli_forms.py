"""Form files on the command line."""

from __future__ import annotations

import shutil

from click.testing import CliRunner
from stage import SCHEMAS

from hub.cli import main


def run(*arguments):
    result = CliRunner().invoke(main, ["forms", "check", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_good_form_is_said_to_be_good_and_a_broken_one_with_place_and_reason(tmp_path):
    data = ("--data", tmp_path / "data")
    folder = tmp_path / "fim-formloser-antrag" / "1.1"
    shutil.copytree(SCHEMAS / "fim-formloser-antrag" / "1.1", folder)
    code, said = run(tmp_path, *data)
    assert (code, "gut / good       fim-formloser-antrag 1.1" in said) == (0, True)
    path = folder / "form.yaml"
    good = path.read_text("utf-8")
    path.write_text(good.replace("/anliegen/betreff", "/anliegen/nein"), "utf-8")
    code, said = run(tmp_path, *data)
    assert (code, "the schema has no place /anliegen/nein" in said) == (1, True)
    path.write_text(good.replace("with: schema", "with: {value: x}"), "utf-8")
    code, said = run(tmp_path, *data)
    assert (code, "json.const" in said) == (1, True)


def test_a_form_of_a_message_that_the_version_does_not_have_is_told(tmp_path):
    folder = tmp_path / "bauantrag" / "1.1"
    shutil.copytree(SCHEMAS / "bauantrag" / "1.1", folder)
    path = folder / "form.yaml"
    path.write_text(path.read_text("utf-8").replace("bauantrag.antrag.0100", "bauantrag.nein"), "utf-8")
    code, said = run(tmp_path, "--data", tmp_path / "data")
    assert (code, "/root" in said, "No schema of this version" in said) == (1, True, True)


def test_a_folder_without_a_form_is_told(tmp_path):
    code, said = run(tmp_path, "--data", tmp_path / "data")
    assert (code, "form.yaml" in said) == (1, True)
