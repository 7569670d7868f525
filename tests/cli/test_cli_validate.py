"""``hub validate`` on a build server: many files and folders, one exit code, reports in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from lxml import etree

from hub.cli import main
from hub.resources import shipped

EXAMPLES = shipped("schemas") / "bauantrag" / "1.0" / "examples"
GOOD = EXAMPLES / "good-einfamilienhaus.xml"
BAD = EXAMPLES / "bad-ohne-flurstueck.xml.element-missing.xml"


@pytest.fixture
def hub(tmp_path):
    """Run ``hub validate``; return its exit code, what it printed, and what it said beside."""

    def run(*arguments: object, stdin: bytes | None = None) -> tuple[int, str, str]:
        words = ["validate", *map(str, arguments), "--data", str(tmp_path / "data")]
        done = CliRunner().invoke(main, words, input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "documents"
    (made / "more").mkdir(parents=True)
    (made / "a.xml").write_bytes(GOOD.read_bytes())
    (made / "more" / "b.xml").write_bytes(GOOD.read_bytes())
    return made


def test_all_valid_is_0_and_one_invalid_is_1_and_named(hub, folder):
    code, said, _ = hub(folder)
    assert (code, said.splitlines()[-1]) == (0, "2 Dateien: 2 gültig, 0 ungültig / 2 files: 2 valid, 0 invalid")
    (folder / "c.xml").write_bytes(BAD.read_bytes())
    code, said, _ = hub(folder, GOOD, "--jobs", "2")
    assert code == 1
    assert f"{folder / 'c.xml'}: ungültig / invalid" in said
    assert said.splitlines()[-1].endswith("/ 4 files: 3 valid, 1 invalid")


#: A file that is there and cannot be read, whoever asks.
UNREADABLE = Path("/proc/self/mem")


@pytest.mark.skipif(not UNREADABLE.exists(), reason="the system has no file that nobody can read")
def test_what_could_not_be_judged_is_3_where_nothing_is_wrong(hub, folder):
    code, said, _ = hub(folder, UNREADABLE)
    assert (code, "nicht geprüft / not judged" in said) == (3, True)
    (folder / "b.xml").write_bytes(b"")
    assert hub(folder, UNREADABLE)[0] == 1


@pytest.mark.parametrize("form", ["json", "junit", "html"])
def test_a_report_lands_in_a_file_and_the_sum_beside(hub, folder, tmp_path, form):
    target = tmp_path / "report"
    code, said, beside = hub(folder, "--format", form, "--output", target)
    assert (code, said) == (0, "")
    assert "2 Dateien: 2 gültig" in beside
    written = target.read_text(encoding="utf-8")
    assert {"json": '"valid": 2', "junit": 'tests="2"', "html": "2 gültig"}[form] in written
    assert hub(folder, "--format", form)[1].count("\n") == written.count("\n")


def test_one_file_as_junit_is_a_suite_of_one(hub):
    code, said, _ = hub(GOOD, "--format", "junit")
    assert (code, etree.fromstring(said.encode()).get("tests")) == (0, "1")


def test_one_file_and_standard_input_are_reported_by_themselves(hub, tmp_path):
    assert json.loads(hub(GOOD, "--json")[1])["valid"] is True
    code, said, _ = hub("-", "--json", stdin=GOOD.read_bytes())
    assert (code, json.loads(said)["valid"]) == (0, True)
    assert hub(GOOD, "--format", "html", "--output", tmp_path / "one.html")[0] == 0
    assert '<section class="report"' in (tmp_path / "one.html").read_text()


@pytest.mark.parametrize(
    "given",
    [["-", GOOD], [GOOD, GOOD.parent, "--format", "xml"], ["/no/such/file"], [GOOD, "--output", "/no/such/place"]],
)
def test_what_makes_no_sense_is_wrong_usage(hub, given):
    assert hub(*given)[0] == 2


def test_a_folder_without_a_document_is_wrong_usage_and_never_a_success(hub, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").touch()
    code, _, beside = hub(tmp_path / "empty")
    assert code == 2
    assert "keine Datei" in beside
    assert "no file" in beside


def test_without_the_archives_of_xerces_a_comparison_is_refused_with_their_names(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("hub.validation.xerces.find_java", lambda: "/usr/bin/java")
    code, _, beside = hub(GOOD, "--compare", "xerces", "--jars", tmp_path)
    assert code == 2
    assert "xerces:xercesImpl:2.12.2 (Maven), und der Hub lädt nichts herunter" in beside
    assert str(tmp_path) in beside


def test_without_java_a_comparison_is_refused(hub, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, beside = hub(GOOD, "--compare", "xerces")
    assert (code, "JDK" in beside) == (2, True)
