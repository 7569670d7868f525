"""Onboarding on pages, over the API and by commands: a wizard without a script, a table with its files, a drill to the end."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import zipfile
from html import unescape

import pytest
from admin_pages import PASSWORD, Browser, Pages, paged
from click.testing import CliRunner
from stage import ANMELDEN, ANMELDUNG, staged

from hub import app
from hub.administration.onboarding_standing import Stage
from hub.cli import main
from hub.identity.persons import person_of
from hub.model import MediaType, Role, utc_now

IDSTEIN, ESCHBORN, WALLUF = "064390008008", "064360003003", "064390016016"


@pytest.fixture(scope="module")
def stage(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("onboarding-pages")) as made:
        yield made


@pytest.fixture(scope="module")
def pages(stage):
    with paged(stage) as served:
        yield served


@pytest.fixture(scope="module")
def files(stage) -> dict[str, bytes]:
    kept = stage.hub.store.parties.keys(stage.destination_id("Rheingau-Taunus-Kreis, Bauaufsicht"))
    return {("enc.jwk" if each.use == "wrapKey" else "sig.jwk"): json.dumps(dict(each.jwk)).encode() for each in kept}


@pytest.fixture(scope="module")
def pair(pages: Pages) -> tuple[Browser, Browser]:
    """Somebody who operates and edits, and somebody else who operates and approves."""
    for name, roles in (("maria", (Role.OPERATOR, Role.EDITOR)), ("paul", (Role.OPERATOR, Role.APPROVER))):
        pages.accounts.add(name, PASSWORD, roles=roles, tenant="", actor="cli:test", now=pages.stage.clock())
    return pages.as_("maria"), pages.as_("paul")


def _said(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", page))


def _hidden(page: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)}


def test_the_wizard_goes_step_by_step_without_a_script_and_comes_back_with_what_was_entered(pages, pair, files):
    maria, _ = pair
    first = maria.get("/onboarding/new").text
    fields = _hidden(first) | {"ars": IDSTEIN, "name": "<b>Stadt</b> Idstein", "contact": "kein Postfach"}
    wrong = maria.post("/onboarding/new", **fields)
    assert (wrong.status_code, "Das ist keine E-Mail-Adresse." in _said(wrong.text)) == (422, True)
    assert "&lt;b&gt;Stadt&lt;/b&gt; Idstein" in wrong.text
    fields |= {"name": "Stadt Idstein", "contact": "amt@idstein.example"}
    second = maria.post("/onboarding/new", **fields)
    assert "Kreisangehörige Gemeinde oder Stadt: 30 Leistungen" in _said(second.text)
    third = maria.post("/onboarding/new", **_hidden(second.text), template="gemeinde")
    fourth = maria.post("/onboarding/new", **_hidden(third.text), adapter="mailbox", address="", options="")
    assert "Schritt 4 von 4" in " ".join(_said(fourth.text).split())
    assert _hidden(fourth.text)["contact"] == "amt@idstein.example"
    back = maria.post("/onboarding/new", **_hidden(fourth.text), back="yes")
    assert "Schritt 3 von 4" in " ".join(_said(back.text).split())
    uploaded = {
        "encryption_key": ("a.jwk", files["enc.jwk"]),
        "signing_key": ("b.jwk", b"-----BEGIN PRIVATE KEY-----"),
    }
    refused = maria.post("/onboarding/new", **_hidden(fourth.text), files=uploaded)
    assert (refused.status_code, "privaten Schlüssel" in _said(refused.text)) == (422, True)
    uploaded["signing_key"] = ("b.jwk", files["sig.jwk"])
    done = maria.post("/onboarding/new", **_hidden(fourth.text), files=uploaded)
    assert "Eine zweite Person muss freigeben" in _said(done.text)
    assert (
        pages.stage.hub.onboarding.standing(IDSTEIN, maria_person(pages), now=pages.stage.clock()).stage
        is Stage.RELEASE
    )


def maria_person(pages: Pages):
    return person_of(pages.store.accounts.account("maria"), pages.store.tenants)


def test_a_table_with_its_files_shows_all_faults_and_is_handed_in_once_it_has_none(pages, pair, files):
    maria, paul = pair
    head = "name;ars;kontakt;schluessel_verschluesselung;schluessel_signatur\r\n"
    row = "Gemeinde {};{};amt@example.org;enc.jwk;sig.jwk\r\n"
    sent = [("files", (name, content)) for name, content in files.items()]
    bad = head + row.format("Eschborn", ESCHBORN) + row.format("=1+1", "064399999999").replace("sig.jwk", "weg.jwk")
    answer = maria.post("/onboarding/table", files=[("table", ("t.csv", bad.encode("cp1252"))), *sent])
    assert answer.status_code == 422
    said = " ".join(_said(answer.text).split())
    assert "hat 2 Fehler" in said
    assert "3 ars Das ist kein Regionalschlüssel" in said
    assert "3 schluessel_signatur Diese Datei kam nicht mit" in said
    good = (head + row.format("Eschborn", ESCHBORN)).encode("utf-8-sig")
    looked = maria.post("/onboarding/table", check="yes", files=[("table", ("t.csv", good)), *sent])
    assert (looked.status_code, "Gemeinde Eschborn" in looked.text, "neu" in _said(looked.text)) == (200, True, True)
    handed = maria.post("/onboarding/table", title="Main-Taunus", files=[("table", ("t.csv", good)), *sent])
    run = handed.url.partition("?")[0].rpartition("/")[2]
    own = maria.post(f"/onboarding/runs/{run}/release")
    assert (own.status_code, "die Rolle „Freigabe“" in _said(own.text)) == (403, True)
    released = paul.post(f"/onboarding/runs/{run}/release", text="geprüft")
    assert "1 von 1" in " ".join(_said(released.text).split())
    tested = maria.post(f"/onboarding/{ESCHBORN}/test")
    assert (tested.status_code, "bereit" in _said(tested.text)) == (200, True)
    pack = maria.get(f"/onboarding/{ESCHBORN}/pack")
    assert zipfile.ZipFile(io.BytesIO(pack.content)).namelist() == ["connector.toml", "LIESMICH.txt"]
    live = paul.post(f"/onboarding/runs/{run}/live", text="los")
    assert "in Betrieb" in _said(live.text)
    listed = _said(maria.get("/onboarding", params={"stage": "live", "q": "eschborn"}).text)
    assert "Gemeinde Eschborn" in listed
    assert pages.as_("viktor").get("/onboarding/new").status_code == 403
    sheet = list(csv.reader(io.StringIO(maria.get("/onboarding/sample").content.decode("utf-8-sig")), delimiter=";"))
    assert sheet[0][:2] == ["name", "ars"]


def test_from_the_table_to_the_first_delivered_application_by_commands_and_the_real_adapter(
    stage, pair, files, tmp_path
):
    """CSV, released, test delivery, in service, and an application that arrives in the authority's folder."""
    run = CliRunner()
    inbox = stage.data / "secrets" / "walluf"
    inbox.mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    table = tmp_path / "kommunen.csv"
    head = "name;ars;kontakt;adapter;adresse;schluessel_verschluesselung;schluessel_signatur\r\n"
    table.write_text(f"{head}Gemeinde Walluf;{WALLUF};amt@walluf.example;folder;{inbox};enc.jwk;sig.jwk\r\n", "cp1252")

    def hub(*words: str, who: str) -> str:
        given = [*words, "--as", who, "--password-file", str(password), "--data", str(stage.data)]
        answer = run.invoke(main, given, catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "neu / new: 1" in hub("onboard", str(table), "--check", who="maria")
    said = hub("onboard", str(table), "--title", "Walluf", who="maria")
    number = re.search(r"onboarding (\d+):", said)[1]
    assert "neu / new: 0" not in said
    assert "1 von / of 1" in hub("onboarding", "release", number, who="paul")
    assert "deliver" in hub("onboarding", "test", WALLUF, who="maria")
    assert WALLUF in hub("onboarding", "live", number, who="paul")
    assert "unverändert / unchanged: 1" in hub("onboard", str(table), who="maria")
    assert "live" in hub("onboarding", "list", "--search", "walluf", who="paul")
    assert "approved" in hub("onboarding", "show", number, who="paul")
    hub("onboarding", "pack", WALLUF, str(tmp_path / "pack.zip"), who="maria")
    before = set(inbox.iterdir())
    stage.clock.now = utc_now()  # Commands have no other clock than the machine's.
    stage.accept(ANMELDUNG, media_type=MediaType.JSON, service=ANMELDEN, area=WALLUF)
    with app.working(stage.hub):
        until(lambda: set(inbox.iterdir()) - before)
    (arrived,) = set(inbox.iterdir()) - before
    assert arrived.is_dir()


def until(found, *, patience: float = 60.0) -> None:
    end = time.monotonic() + patience
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)
