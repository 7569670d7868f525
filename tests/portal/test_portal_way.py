"""The way of an application through the portal, as a browser without scripts walks it: what arrives, and what is never lost."""

from __future__ import annotations

import gc
import json
import re
import secrets
import unicodedata
from io import BytesIO
from random import Random
from uuid import UUID

import pytest
from lxml import etree
from people import follow_on, key_on, typed_on
from portal_way import BARE, BUILDING, DOG_TAX, HANAU, PDF, RESIDENCE, TAUNUSSTEIN, WIESBADEN, portal_on, texts_of
from stage import SCHEMAS

from hub.client.plain import Receipt
from hub.forms.pdf import can_render_pdf, missing_for_pdf
from hub.forms.samples import completed
from hub.validation.editions import load_version
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml

DOG = "https://schema.rathaus-hub.example/fim-hundesteuer/1.2/anmeldung.schema.json"
HOUSE = "https://schema.rathaus-hub.example/bauantrag/1.2#bauantrag"
HOME = "https://schema.rathaus-hub.example/fim-wohnsitz/1.2/anmeldung.schema.json"
#: As somebody types it whose keyboard composes: the portal sends it in NFC.
NAME = unicodedata.normalize("NFD", "Đặng-Müller ẞ")


def answers_for(asked, *, seed=3, optional=0.0, **forced):
    return completed(asked.form, Random(seed), optional=optional, forced=forced)


def sent(person) -> str:
    assert person.path == "/antrag/quittung", (person.path, person.errors, person.page.status_code)
    return re.search(r'id="reference">([0-9a-f-]{36})<', person.page.text)[1]


@pytest.fixture(scope="module")
def dog(way):
    """A dog that was registered: the person, and what the authority reads."""
    asked = way.asked(DOG)
    answers = answers_for(asked, **{"/halter/familienname": NAME, "/hunde/*/gefaehrlich": False})
    person = way.someone()
    way.filled(person, DOG_TAX, WIESBADEN, answers, named=DOG)
    review = person.page.text
    person.declare()
    return person, review, answers, sent(person)


def test_what_was_typed_arrives_where_the_schema_wants_it(way, dog):
    _, _, answers, submission = dog
    metadata, data, files = way.arrived(submission)
    document = json.loads(data)
    assert document["halter"]["familienname"] == unicodedata.normalize("NFC", NAME)
    assert document["halter"]["anschrift"] == answers["halter"]["anschrift"]
    assert document["$schema"] == DOG
    assert files == {}
    assert metadata["contentStructure"]["data"]["submissionSchema"]["schemaUri"] == DOG


def test_the_metadata_say_that_nobody_was_authenticated_and_lead_back(way, dog):
    metadata, _, _ = way.arrived(dog[3])
    assert "not authenticated" in metadata["author"]["description"]
    key = metadata["replyChannel"]["fitConnect"]["encryptionPublicKey"]
    assert key["key_ops"] == ["wrapKey"]
    assert "d" not in key
    assert metadata["additionalReferenceInfo"]["applicationDate"] == "2026-11-20"


def test_the_summary_shows_every_answer_and_a_way_to_change_it(dog):
    _, review, answers, _ = dog
    for value in (unicodedata.normalize("NFC", NAME), answers["hunde"][0]["rasse"], answers["halter"]["vornamen"]):
        assert value.replace("&", "&amp;").replace("'", "&#39;").replace('"', "&#34;") in review
    assert 'href="/antrag/schritt/dogs?von=pruefen"' in review


def test_the_receipt_is_the_hubs_and_can_be_checked_by_anybody(way, dog):
    person, _, _, submission = dog
    page = person.page.text
    token = person.http.get(f"{way.base}/antrag/quittung.jws", timeout=30)
    assert token.headers["content-disposition"].startswith("attachment")
    receipt = Receipt.verified(token.text, way.served.get("/hub/v1/jwks.json").json())
    assert str(receipt.submission_id) == submission
    assert "Wie es weitergeht" in page
    # What somebody notes down here is called as the page calls it that asks for it.
    asked = re.findall(
        r'<label class="kern-label" for="[^"]+">(\w+)</label>', person.http.get(f"{way.base}/stand").text
    )
    noted = re.findall(r'<dt>(\w+)</dt><dd class="mono" id="follow-(?:reference|code)">', page)
    assert asked == noted == ["Nummer", "Code"]
    summary = person.http.get(f"{way.base}/antrag/quittung.html", timeout=30)
    assert unicodedata.normalize("NFC", NAME) in summary.text
    assert submission in summary.text
    assert "script" not in summary.text


@pytest.mark.skipif(not can_render_pdf(), reason=f"PDF needs {missing_for_pdf()}")
def test_what_was_sent_is_a_pdf_with_the_receipt_inside(way, dog):
    from pikepdf import Pdf

    person = dog[0]
    assert "quittung.pdf" in person.page.text
    found = person.http.get(f"{way.base}/antrag/quittung.pdf", timeout=60)
    assert found.headers["content-type"] == "application/pdf"
    token = person.http.get(f"{way.base}/antrag/quittung.jws", timeout=30).content
    with Pdf.open(BytesIO(found.content)) as pdf:
        held = {each.filename: each.get_file().read_bytes() for name, each in pdf.attachments.items()}
        (jws,) = (content for name, content in held.items() if name.endswith(".jws"))
        (proof,) = (content for name, content in held.items() if name.endswith("-nachweis.json"))
        shown = json.loads(proof)
        assert jws == token
        assert shown["receipt"].encode() == token
        document = person.http.get(f"{way.base}/antrag/quittung.data", timeout=30).content
        receipt = Receipt.verified(shown["receipt"], way.stage.hub.keys.hub_jwks(), content_salt=shown["contentSalt"])
        assert document in held.values()
        assert receipt.parts_with(document) == ["data"], "the citizen shows what was received"
        assert pdf.Root.MarkInfo.Marked
    assert person.http.get(f"{way.base}/antrag/quittung.pdf", timeout=60).content == found.content


def test_a_building_application_is_xml_that_keeps_its_schema_with_its_plans(way):
    asked = way.asked(HOUSE)
    answers = answers_for(asked, seed=5, optional=0.6)
    answers["anlage"] = [{"@art": "lageplan", "bezeichnung": "Lageplan", "dateiname": "Läge plan.PDF"}]
    answers["vorhaben"] |= {"gebaeudeklasse": {"code": "1"}, "bruttogrundflaeche": "184.5", "wohneinheiten": "1"}
    answers["vorhaben"]["geplanterBaubeginn"] = "2026-11-01"  # Before the day of the application.
    answers["grundstueck"]["flurstueck"] = answers["grundstueck"]["flurstueck"][:1]
    answers = completed(asked.form, Random(5), answers, optional=0)
    person = way.someone()
    way.filled(person, BUILDING, TAUNUSSTEIN, answers, named=HOUSE)
    # A broken rule of the Schematron is told at its field, in the form's words.
    words = "Der Bau kann frühestens heute beginnen. Geben Sie einen späteren Tag an."
    assert person.errors == {"/vorhaben/geplanterBaubeginn": words}
    page = person.get("/antrag/schritt/project?von=pruefen")
    assert f'role="alert"><span class="kern-body">{words}' in page.text
    answers["vorhaben"]["geplanterBaubeginn"] = "2027-04-01"
    step = next(each for each in asked.form.steps if each.id == "project")
    person.answer(*texts_of(asked, step, answers)[0])
    assert person.errors == {}
    person.declare()
    metadata, data, files = way.arrived(sent(person))
    entry = load_version(SCHEMAS / "bauantrag/1.2").entries[0]
    read = read_xml(data, Limits())
    judged = entry.judge.check(read, Limits())
    assert judged.violations == ()
    assert entry.rules.check(read, entry.judge.words(), Limits()).violations == ()
    document = etree.fromstring(data)
    assert document.xpath("string(//*[local-name()='gemeindeschluessel'])") == "06439015"
    assert document.xpath("string(//*[local-name()='dateiname'])") == "Läge plan.PDF"
    assert files == {"Läge plan.PDF": PDF}
    assert metadata["contentStructure"]["data"]["submissionSchema"]["mimeType"] == "application/xml"


def test_a_schema_that_nobody_wrote_a_form_for_makes_a_form(way):
    asked = way.asked(BARE)
    assert not asked.form.written
    person = way.someone()
    way.filled(person, DOG_TAX, "064120000000", answers_for(asked), named=BARE)
    person.declare()
    assert json.loads(way.arrived(sent(person))[1])["erklaerungRichtig"] is True


def test_what_is_wrong_is_said_at_its_field_and_stays_there(way):
    person = way.someone()
    person.begin(DOG_TAX, WIESBADEN)
    page = person.answer(("/halter/familienname", "Müll\u0400er"), ("/halter/anschrift/postleitzahl", "651"))
    assert page.status_code == 422
    assert "U+0400" in person.errors["/halter/familienname"]
    assert person.errors["/halter/anschrift/postleitzahl"] == "Eine Postleitzahl hat fünf Ziffern."
    assert (
        'id="f/halter/anschrift/postleitzahl" name="/halter/anschrift/postleitzahl" type="text" value="651"'
        in page.text
    )
    assert 'aria-invalid="true"' in page.text
    # It is kept although it is wrong: whoever comes back finds it.
    assert 'value="651"' in person.get("/antrag/schritt/keeper").text


def test_lists_grow_and_shrink_by_buttons(way):
    person = way.someone()
    person.begin(DOG_TAX, WIESBADEN)
    person.get("/antrag/schritt/dogs")
    grown = person.answer(("/hunde/0/name", "Bello"), ("add", "/hunde"))
    assert grown.status_code == 200
    assert 'name="/hunde/1/name"' in grown.text
    assert 'value="Bello"' in grown.text
    shrunk = person.answer(("/hunde/1/name", "Hasso"), ("remove", "/hunde/0"))
    assert 'value="Hasso"' in shrunk.text
    assert 'name="/hunde/1/name"' not in shrunk.text


def test_the_summary_names_what_is_missing_and_leads_there(way):
    person = way.someone()
    person.begin(DOG_TAX, WIESBADEN)
    page = person.get("/antrag/pruefen")
    assert page.status_code == 422
    link = re.search(r'<a href="(/antrag/schritt/keeper[^"]*#f/halter/familienname)"', page.text)[1]
    mended = person.get(link.partition("#")[0])
    assert "/halter/familienname" in person.errors
    assert "Übernehmen" in mended.text
    # Nobody gets around the summary.
    assert person.post("/antrag/senden", [("stand", "1"), ("erklaerung", "ja")]).status_code == 422
    assert person.path == "/antrag/pruefen"


@pytest.fixture(scope="module")
def home(way):
    return answers_for(way.asked(HOME), seed=2)


def test_a_hub_that_is_away_while_sending_loses_nothing(way, dog, home):  # The dog's portal has fetched keys and token.
    person = way.someone()
    way.filled(person, RESIDENCE, HANAU, home, named=HOME)
    before = way.stage.hub.store.submissions.cases().total
    way.wire.cut()
    try:
        assert person.get("/antrag/pruefen").status_code == 200
        assert "noch da" in person.page.text
        way.wire.mend()
        person.get("/antrag/pruefen")
        way.wire.cut(after_sending=True)
        page = person.declare()
        assert page.status_code == 503
        assert "nichts ist verloren" in page.text
        assert person.get("/antrag/schritt/contact").status_code == 200
        assert person.answer(("/kontakt/email", "other@example.org")).status_code == 409
        assert "Noch einmal senden" in person.get("/antrag/pruefen").text
    finally:
        way.wire.mend()
    # The hub had it, and the portal did not hear so: the same once more is the same application.
    assert way.stage.hub.store.submissions.cases().total == before + 1
    token = person.csrf
    person.post("/antrag/senden", [])
    submission = sent(person)
    assert json.loads(way.arrived(submission)[1])["personen"] == home["personen"]
    # The same again, by an impatient finger, or from the page before.
    person.post("/antrag/senden", [("erklaerung", "ja")], csrf=token)
    assert sent(person) == submission
    assert way.stage.hub.store.submissions.cases().total == before + 1


def test_what_was_sent_at_one_device_is_sent_at_another_only_by_who_was_told(way, home):
    person, other = way.someone(), way.someone()
    way.filled(person, RESIDENCE, HANAU, home, named=HOME)
    person.get("/antrag/speichern")
    typed = typed_on(person.post("/antrag/speichern", []).text)
    other.get("/weiter")
    other.post("/weiter", list(typed.items()))
    before = way.stage.hub.store.submissions.cases().total
    person.get("/antrag/pruefen")
    person.declare()
    assert sent(person)
    other.get("/antrag/schritt/contact")
    other.answer(("/kontakt/email", "other@example.org"))
    other.get("/antrag/pruefen")
    assert other.declare().status_code == 422
    assert "schon gesendet" in other.page.text
    assert way.stage.hub.store.submissions.cases().total == before + 1
    other.declare()
    assert sent(other)
    assert way.stage.hub.store.submissions.cases().total == before + 2


def test_two_tabs_neither_overwrite_each_other_nor_send_what_was_not_seen(way, home):
    person = way.someone()
    way.filled(person, RESIDENCE, HANAU, home, named=HOME)
    first = person.page
    person.get("/antrag/schritt/contact")
    person.answer(("/kontakt/email", "neu@example.org"))
    person.page = first
    page = person.declare()
    assert page.status_code == 409
    assert "inzwischen" in page.text.lower()
    assert "neu@example.org" in page.text
    assert person.declare().url.endswith("/antrag/quittung")


def test_nothing_goes_out_that_was_not_declared(way, home):
    person = way.someone()
    way.filled(person, RESIDENCE, HANAU, home, named=HOME)
    stand = re.search(r'name="stand" value="(\d+)"', person.page.text)[1]
    page = person.post("/antrag/senden", [("stand", stand)])
    assert page.status_code == 422
    assert "erklaerung" in person.errors
    assert person.post("/antrag/senden", [("stand", stand), ("erklaerung", "ja")], csrf="x").status_code == 403


FILE = "/wohnungsgeber/bestaetigungDatei"


def test_files_are_judged_by_what_they_are_and_named_without_paths(way):
    person = way.someone()
    person.begin(RESIDENCE, HANAU)
    person.get("/antrag/schritt/landlord")
    page = person.answer(files=[(FILE, ("x.pdf", b"MZ\x90\x00 program", "application/pdf"))])
    assert "PDF, JPEG oder PNG" in person.errors[FILE]
    page = person.answer(files=[(FILE, ("x.pdf", b"", "application/pdf"))])
    assert "leer" in person.errors[FILE]
    name = '../../etc/pass"wd<b>\u202e😀.exe'
    page = person.answer(("/wohnungsgeber/name", "Meier"), files=[(FILE, (name, PDF, "text/html"))])
    assert person.path == "/antrag/schritt/contact", person.errors
    page = person.get("/antrag/anlagen")
    assert "etc" not in page.text
    assert "pass_22wd_b__.exe.pdf" in page.text, re.findall("<bdi>.*?</bdi>", page.text)
    shown = person.http.get(f"{way.base}/antrag/anlagen/1", timeout=30)
    assert (shown.content, shown.headers["content-type"]) == (PDF, "application/pdf")
    assert shown.headers["content-security-policy"].startswith("sandbox;")
    assert shown.headers["x-content-type-options"] == "nosniff"
    # Taken away at its question it is gone, for nobody and for good.
    person.get("/antrag/schritt/landlord")
    person.answer(("detach", FILE))
    assert person.http.get(f"{way.base}/antrag/anlagen/1", timeout=30).status_code == 404


def test_large_and_many_files_end_at_their_bounds_and_answers_stay(way, tmp_path):
    limits = {"attachment_megabytes": 1, "attachments": 2}
    with portal_on(way.stage, way.served.base_url, tmp_path / "portal", **limits) as (_, _, base):
        person = way.someone()
        person.base = base
        person.begin(RESIDENCE, HANAU)
        person.get("/antrag/schritt/landlord")
        bomb = PDF + b"0" * (1024 * 1024)
        page = person.answer(("/wohnungsgeber/name", "Meier"), files=[(FILE, ("a.pdf", bomb, "application/pdf"))])
        assert page.status_code == 422
        assert "1 MB" in person.errors[FILE]
        assert 'value="Meier"' in page.text
        # Beyond what any page takes the body is not read to its end.
        assert person.answer(files=[(FILE, ("a.pdf", bomb * 5, "application/pdf"))]).status_code == 413
        for number in range(3):
            person.get("/antrag/anlagen")
            person.answer(("mehr", "1"), files=[("datei", (f"{number}.pdf", PDF, "application/pdf"))])
        assert person.page.status_code == 422
        assert "zu viele" in person.errors["datei"]
        assert person.get("/antrag/anlagen").text.count('class="card"') == 2
        person.answer(("entfernen", "1"))
        assert person.page.text.count('class="card"') == 1


def test_attack_copies_for_others_to_release_count_as_their_addresss_share(way, dog, tmp_path):
    limits = {"stored_megabytes_per_address": 1}
    with portal_on(way.stage, way.served.base_url, tmp_path / "portal", **limits) as (_, _, base):
        person = way.someone()
        person.base = base
        way.filled(person, DOG_TAX, WIESBADEN, dog[2], named=DOG)
        person.get("/antrag/anlagen")
        person.answer(("mehr", "1"), files=[("datei", ("plan.pdf", PDF + b"0" * 600_000, "application/pdf"))])
        assert person.errors == {}
        person.get("/freigabe/personen")
        person.post("/freigabe/personen", [("role", "Miteigentümerin")])
        assert person.path == "/antrag/pruefen"
        page = person.declare()
        assert page.status_code == 429
        assert "sehr viele Dateien" in page.text
        # Nothing is frozen: a smaller form goes out to the others.
        person.get("/antrag/anlagen")
        person.answer(("entfernen", "1"))
        person.get("/antrag/pruefen")
        assert person.declare().url.endswith("/freigabe/links")


def test_a_file_that_was_not_asked_for_and_a_question_of_another_page_are_refused(way):
    person = way.someone()
    person.begin(RESIDENCE, HANAU)
    person.get("/antrag/schritt/landlord")
    assert person.answer(files=[("/wohnungsgeber/name", ("a.pdf", PDF, "application/pdf"))]).status_code == 400
    person.get("/antrag/schritt/landlord")
    assert person.answer(("/personen/0/familienname", "Fremd")).status_code == 400
    # A name that is only said is no file.
    person.get("/antrag/schritt/landlord")
    person.answer(("/wohnungsgeber/name", "Meier"), (FILE, "gelogen.pdf"))
    assert "gelogen" not in person.get("/antrag/schritt/landlord").text


def test_without_a_form_the_pages_say_so(way):
    person = way.someone()
    for path in ("/antrag", "/antrag/schritt/keeper", "/antrag/anlagen", "/antrag/pruefen", "/antrag/quittung"):
        page = person.get(path)
        assert page.status_code == 404
        assert "von vorn" in page.text


def status_of(way, typed):
    """The status page of an application, and the key in its forms."""
    person = way.someone()
    person.get("/stand")
    page = person.post("/stand", list(typed.items())).text
    return person, page, key_on(page)


def test_a_correction_takes_the_place_of_what_was_sent_and_all_sides_see_it(way):
    asked = way.asked(DOG)
    answers = answers_for(asked, **{"/halter/familienname": "Falsch", "/hunde/*/gefaehrlich": False})
    person = way.someone()
    way.filled(person, DOG_TAX, WIESBADEN, answers, named=DOG)
    person.declare()
    first, typed = sent(person), follow_on(person.page.text)

    person, page, key = status_of(way, typed)
    assert 'action="/stand/berichtigen"' in page
    assert person.post("/stand/berichtigen", [("key", key)]).status_code == 200
    assert person.path == "/antrag/pruefen"
    assert "Falsch" in person.page.text
    person.get("/antrag/schritt/keeper")
    corrected = {**answers, "halter": {**answers["halter"], "familienname": "Richtig"}}
    person.answer(*texts_of(asked, asked.open_steps(answers)[0], corrected)[0])
    person.get("/antrag/pruefen")
    person.declare()
    second, new = sent(person), follow_on(person.page.text)

    # The authority has both, and beside the second the hub's word which one it replaces.
    assert json.loads(way.arrived(first)[1])["halter"]["familienname"] == "Falsch"
    metadata, data, files = way.arrived(second)
    assert json.loads(data)["halter"]["familienname"] == "Richtig"
    note = json.loads(files["nachricht.json"])
    assert (note["kind"], note["about"]) == ("correction", first)
    assert "not authenticated" in metadata["author"]["description"]
    messages = [way.stage.hub.store.submissions.message(UUID(each)) for each in (first, second)]
    assert messages[0].case_id == messages[1].case_id

    # Whoever looks at the old one hears that another counts now, and changes nothing of it any more.
    _, page, key = status_of(way, typed)
    assert "Sie haben Ihren Antrag berichtigt" in page
    assert "Es gilt der berichtigte Antrag" in page
    assert 'action="/stand/berichtigen"' not in page
    assert 'action="/stand/zuruecknehmen"' not in page

    # The new one is withdrawn; the authority reads that, and both pages say so.
    person, page, key = status_of(way, new)
    assert "Ihr Antrag ist eingegangen" in page
    person.post("/stand/zuruecknehmen", [("key", key), ("do", "yes"), ("text", "Umzug")])
    assert "Sie haben Ihren Antrag zurückgenommen" in person.page.text
    case = way.served.get(f"/hub/v1/cases/{messages[0].case_id}").json()["submissions"]
    (withdrawal,) = [each for each in case if (each["inCase"] or {}).get("kind") == "withdrawal"]
    said = json.loads(way.arrived(withdrawal["submissionId"])[1])
    assert (said["kind"], said["about"], said["text"]) == ("withdrawal", second, "Umzug")
    assert "Sie haben Ihren Antrag zurückgenommen" in status_of(way, typed)[1]


def test_nothing_of_a_session_that_ended_stays_in_memory(way):
    _fill_and_leave(way)
    gc.collect()
    held = ["Zz" + secrets.token_hex(8) + "zZ"]
    assert [each for each in _texts_in_memory() if re.search(_MARK, each)] == held  # It looks, and finds what is held.


_MARK = "Zz[0-9a-f]{16}zZ"


def _fill_and_leave(way) -> None:
    """Answer, upload, save and end, with a name that nobody but the portal keeps hold of."""
    mark = "Zz" + secrets.token_hex(8) + "zZ"
    person = way.someone()
    person.begin(RESIDENCE, HANAU)
    person.get("/antrag/schritt/landlord")
    person.answer(
        ("/wohnungsgeber/name", mark), files=[(FILE, (f"{mark}.pdf", PDF + mark.encode(), "application/pdf"))]
    )
    assert mark in person.get("/antrag/anlagen").text
    person.get("/antrag/pruefen")
    person.get("/antrag/speichern")
    person.post("/antrag/speichern", [])
    person.post("/antrag/beenden", [])
    person.http.close()
    way.people.remove(person)


def _texts_in_memory():
    """Yield every text and byte string that something in this process holds."""
    seen = set()
    for holder in gc.get_objects():
        for each in gc.get_referents(holder):
            if isinstance(each, str | bytes) and id(each) not in seen:
                seen.add(id(each))
                yield each if isinstance(each, str) else each.decode("latin-1")
