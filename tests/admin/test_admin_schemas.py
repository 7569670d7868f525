"""Schemas, the overview's numbers and the audit search on the pages."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
import yaml
from admin_pages import PASSWORD
from stage import NOW, TAUNUSSTEIN, WIESBADEN

from hub.admin.charts import PLOT_WIDTH, STRIP, by_destination, plot_of, whole_spans
from hub.model import EVERYTHING, Role
from hub.store.reports import Activity, Tally

SCHEMA = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t">'
    '<xs:element name="m" type="{}"/></xs:schema>'
)
WISH = {"standard": "probe", "version": "1.0", "status": "valid", "valid_from": "", "valid_until": ""}


def _zip(content: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m.xsd", content)
    return packed.getvalue()


def _bring(person, content="", **wish):
    packed = _zip(content or SCHEMA.format("xs:string"))
    return person.post("/schemas/import", files={"archive": ("p.zip", packed)}, **{**WISH, **wish})


def declare(pages, version, places):
    """Write where documents name attachments into a version's entry, as an operator does."""
    entry = pages.stage.data / "schemas" / version / "catalog.yaml"
    document = yaml.safe_load(entry.read_text("utf-8"))
    document["schemas"][0]["attachments"] = places
    entry.write_text(yaml.safe_dump(document), "utf-8")
    pages.stage.hub.catalogs.looked -= 10


def _actions(pages):
    return [each.entry.action for each in pages.store.audit.entries(action="schema.", scope=EVERYTHING).items]


#: A data schema of FIM with one field.
FIM = """<x:xdatenfelder.stammdatenschema.0102 xmlns:x="urn:xoev-de:fim:standard:xdatenfelder_2"><x:stammdatenschema>
<x:identifikation><x:id>S7</x:id><x:version>1.2</x:version></x:identifikation><x:name>Antrag</x:name>
<x:regel><x:identifikation><x:id>R1</x:id></x:identifikation><x:name>Alter</x:name><x:definition>Ab 18.</x:definition></x:regel>
<x:struktur><x:anzahl>{}</x:anzahl><x:enthaelt><x:datenfeld><x:identifikation><x:id>F1</x:id><x:version>1.0</x:version>
</x:identifikation><x:name>Name</x:name><x:feldart><code>input</code></x:feldart><x:datentyp><code>text</code></x:datentyp>
</x:datenfeld></x:enthaelt></x:struktur></x:stammdatenschema></x:xdatenfelder.stammdatenschema.0102>"""


@pytest.mark.parametrize("packed", [False, True], ids=["a file", "a ZIP"])
def test_a_data_schema_of_fim_becomes_a_schema_with_a_form_once_somebody_takes_it(pages, packed):
    otto, standard = pages.as_("otto"), f"fim-probe-{packed}".lower()
    content = FIM.format("0:1").encode()
    if packed:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("fim/S1.xml", content)
            made.writestr("fim/liesmich.txt", "Ein Text daneben.")
        content = archive.getvalue()
    sent = {"archive": ("S1.zip" if packed else "S1.xml", content)}
    page = otto.post("/schemas/import", files=sent, **{**WISH, "standard": standard, "version": ""})
    assert "noch nicht im Katalog" in page.text, page.text
    assert f"{standard} 1" in page.text
    arrival = re.search(r"/schemas/import/([0-9a-f]{32})", page.url)[1]
    assert "Das Paket steht im Katalog." in pages.as_("anton").post(f"/schemas/import/{arrival}/admit").text
    (folder,) = (pages.stage.data / "schemas" / standard).iterdir()
    assert {"catalog.yaml", "form.yaml"} <= {each.name for each in folder.iterdir()}
    with_rules = {**sent, "rules": ("own.sch", b"<x/>")}
    refused = otto.post("/schemas/import", files=with_rules, **{**WISH, "standard": f"{standard}-2", "version": ""})
    assert refused.status_code == 422
    assert "Zu einer XDatenfelder-Datei gehört das nicht." in refused.text


def test_two_data_schemas_of_fim_in_one_package_are_refused_and_leave_nothing(pages):
    otto, archive = pages.as_("otto"), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("a.xml", "b.xml"):
            made.writestr(name, FIM.format("1:1"))
    page = otto.post("/schemas/import", files={"archive": ("p.zip", archive.getvalue())}, **WISH)
    assert page.status_code == 422
    assert "2 XDatenfelder-Dateien" in page.text
    assert list((pages.stage.data / "schema-arrivals").glob("*/*/*")) == []


def test_a_package_is_checked_shown_and_taken_over(pages):
    otto = pages.as_("otto")
    page = _bring(otto, provenance="https://example.org/probe", licence="CC0")
    assert "noch nicht im Katalog" in page.text
    assert page.text.count("bestanden") == 5
    assert "Kein Schema passt dazu" in otto.get("/schemas", params={"q": "probe 1.0 nirgends"}).text
    arrival = re.search(r"/schemas/import/([0-9a-f]{32})", page.url)[1]
    assert arrival in otto.get("/schemas").text
    # Whoever brought it in does not take it over; who may approve does, as with services and routing.
    assert "In den Katalog übernimmt es eine zweite Person" in page.text
    assert "/admit" not in page.text
    assert otto.post(f"/schemas/import/{arrival}/admit").status_code == 403
    anton = pages.as_("anton")
    assert arrival in anton.get("/schemas").text
    assert "/admit" in anton.get(f"/schemas/import/{arrival}").text
    admitted = anton.post(f"/schemas/import/{arrival}/admit").text
    assert "Das Paket steht im Katalog." in admitted
    assert "Kein Schema passt dazu" not in admitted  # It is seen at once.
    assert "/schemas/probe/1.0" in admitted
    declare(pages, "probe/1.0", [{"at": "/{urn:t}m", "required": True}])
    shown = otto.get("/schemas/probe/1.0").text
    for said in ("CC0", "https://example.org/probe", "Kein Zustellpunkt bietet diese Version an"):
        assert said in shown
    # Where its documents name attachments, as `hub schemas show` and the API say it.
    assert "<div>/{urn:t}m (nötig)</div>" in shown
    assert "<div>/ermaessigung/nachweisDatei</div>" in otto.get("/schemas/fim-hundesteuer/1.0").text
    assert _actions(pages) == ["schema.receive", "schema.admit"]


def test_attack_who_may_both_bring_in_and_approve_does_not_do_both_for_one_package(pages):
    both = (Role.OPERATOR, Role.APPROVER)
    pages.accounts.add("olga", PASSWORD, roles=both, actor="cli:test", now=pages.stage.clock())
    olga = pages.as_("olga")
    page = _bring(olga)
    arrival = re.search(r"/schemas/import/([0-9a-f]{32})", page.url)[1]
    assert "/admit" not in page.text
    refused = olga.post(f"/schemas/import/{arrival}/admit")
    assert refused.status_code == 403
    assert "Das braucht eine zweite Person. probe 1.0 haben Sie selbst bearbeitet." in refused.text
    seen = pages.as_("viktor").get(f"/schemas/import/{arrival}").text
    assert "/admit" not in seen
    assert "/discard" not in seen
    assert pages.as_("viktor").post(f"/schemas/import/{arrival}/discard").status_code == 403
    assert not (pages.stage.data / "schemas" / "probe").exists()
    assert _actions(pages) == ["schema.receive"]
    anton = pages.as_("anton")
    assert "Das Paket steht im Katalog." in anton.post(f"/schemas/import/{arrival}/admit").text
    (entry,) = [each.entry for each in pages.store.audit.entries(action="schema.admit", scope=EVERYTHING).items]
    assert (entry.actor, entry.after["brought_by"]) == ("anton", "olga")


def test_a_package_that_does_not_pass_says_why_and_is_audited(pages):
    otto = pages.as_("otto")
    page = _bring(otto, SCHEMA.format("nowhere"))
    assert page.status_code == 422
    assert "besteht die Prüfung nicht" in page.text
    assert 'value="probe"' in page.text
    assert _actions(pages) == ["schema.refuse"]
    assert list((pages.stage.data / "schema-arrivals").iterdir()) == []


def test_a_package_can_be_dropped(pages):
    otto = pages.as_("otto")
    arrival = re.search(r"/schemas/import/([0-9a-f]{32})", _bring(otto).url)[1]
    otto.post(f"/schemas/import/{arrival}/discard")
    assert otto.get(f"/schemas/import/{arrival}").status_code == 404
    assert _actions(pages) == ["schema.receive", "schema.discard"]


PART = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:p"/>'
NEEDS_PART = SCHEMA.format("xs:string").replace(
    "<xs:element", '<xs:import namespace="urn:p" schemaLocation="http://schemas.example/p.xsd"/><xs:element'
)
CATALOG = (
    '<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">'
    '<rewriteURI uriStartString="http://schemas.example/" rewritePrefix="./fremd/"/></catalog>'
)
ISO = 'xmlns:sch="http://purl.oclc.org/dsdl/schematron"'
INCLUDING = f'<sch:schema {ISO}><sch:include href="teil.part"/></sch:schema>'
INCLUDED = f'<sch:pattern {ISO}><sch:rule context="*"><sch:assert test="true()"/></sch:rule></sch:pattern>'
LIST = '{"metadaten": {"kennungInhalt": "urn:l", "version": "1"}, "spalten": [{"codeSpalte": true}], "daten": [["A"]]}'


def _bring_folder(person, *beside, **wish):
    """Hand in a folder as a browser does, each file by its path, and files beside it."""
    package = {
        "Paket/m.xsd": NEEDS_PART, "Paket/fremd/p.xsd": PART, "Paket/l.json": LIST, "Paket/other.xsd": "kein XSD",
        "Paket/x_fehlerhaft.xml": '<F xmlns="http://www.xoev.de/de/xrepository/framework/1/basisdatentypen"/>',
    }  # fmt: skip
    files = [("folder", (name, content.encode())) for name, content in package.items()]
    return person.post("/schemas/import", files=[*files, *beside], **{**WISH, "messages": "m.xsd", **wish})


def test_all_that_the_command_line_asks_can_be_said_on_the_page(pages):
    otto = pages.as_("otto")
    beside = [
        ("catalog", ("catalog.xml", CATALOG.encode())),
        ("rules", ("own.sch", INCLUDING.encode())),
        ("rules", ("teil.part", INCLUDED.encode())),
        ("attachments", ("places.yaml", b"Paket/m.xsd: [{at: '/{urn:t}m'}]")),
    ]
    page = _bring_folder(otto, *beside, open_lists="urn:l\r\n", services="urn:de:fim:leika:leistung:99012008001000\r\n")
    assert page.status_code == 200, page.text
    assert "Codelisten übernommen: 1, davon offen: 1" in page.text
    assert "x_fehlerhaft.xml" in page.text
    manifest = next((pages.stage.data / "schema-arrivals").glob("*/probe/1.0/catalog.yaml"))
    said = yaml.safe_load(manifest.read_text("utf-8"))
    assert said["rules"] == ["own-rules/own.sch", "own-rules/teil.part"]
    assert said["locations"] == {"http://schemas.example/p.xsd": "Paket/fremd/p.xsd"}
    (item,) = said["schemas"]
    assert (item["services"], len(item["attachments"])) == (["urn:de:fim:leika:leistung:99012008001000"], 1)
    assert said["code_lists"] == [{"uri": "urn:l_1", "file": "Paket/l.json", "closed": False}]


#: What is wrong, and at which field that stands.
AT_FIELDS = {
    "standard": {"standard": "a b"},
    "valid_until": {"valid_until": "morgen"},
    "services": {"services": "Wohngeld"},
    "messages": {"messages": "nichts*"},
    "catalog": {"file": ("catalog", ("ort.xml", b"<a/>"))},
    "rules": {"file": ("rules", ("own.sch", INCLUDING.encode()))},
    "attachments": {"file": ("attachments", ("places.yaml", b"m.xsd: 1"))},
    "archive": {},
}


@pytest.mark.parametrize("name", AT_FIELDS)
def test_what_is_wrong_stands_at_its_field(pages, name):
    wish = dict(AT_FIELDS[name])
    beside = [wish.pop("file")] if "file" in wish else []
    if name not in ("catalog", "archive"):
        beside.append(("catalog", ("catalog.xml", CATALOG.encode())))
    page = _bring_folder(pages.as_("otto"), *beside, **wish)
    assert page.status_code == 422
    (field,) = re.findall(r'<(?:input|textarea)[^>]*aria-invalid="true"[^>]*>', page.text)
    assert f'name="{name}"' in field
    described = re.search(r'aria-describedby="([^"]+)"', field)[1].split()
    assert described[-1] == f"e-{name}"
    assert page.text.count(f'id="e-{name}"') == 1
    assert list((pages.stage.data / "schema-arrivals").glob("*")) == []


STANDING = "/schemas/bauantrag/1.0/standing"
WITHDRAWN = {"status": "withdrawn", "valid_from": "", "valid_until": "", "sure": "yes", "text": "Fehler im Schema"}


def _change_on(page):
    return re.search(r'name="change" value="([0-9a-f]{32})"', page.text)[1]


def _shown(pages, person):
    pages.stage.hub.catalogs.looked -= 10
    return person.get("/schemas/bauantrag/1.0").text


def test_withdrawing_what_is_offered_takes_a_second_thought_and_a_second_person(pages):
    otto, anton = pages.as_("otto"), pages.as_("anton")
    refused = otto.post(STANDING, **{**WITHDRAWN, "sure": ""})
    assert refused.status_code == 422
    assert "bieten diese Version an" in refused.text
    proposed = otto.post(STANDING, **WITHDRAWN)
    assert "Vorgeschlagen. Eine zweite Person muss zustimmen" in proposed.text
    assert "/standing/approve" not in proposed.text
    assert "zurückgezogen</span>" not in _shown(pages, otto), "nothing has changed for citizens yet"
    assert "bauantrag 1.0: zurückgezogen" in anton.get("/schemas").text
    assert "Schemapakete und Änderungen an Versionen warten" in anton.get("/").text
    assert "Schemapakete und Änderungen an Versionen warten" not in otto.get("/").text
    change = _change_on(anton.get("/schemas/bauantrag/1.0"))
    assert otto.post(STANDING, **WITHDRAWN).status_code == 409
    assert otto.post(f"{STANDING}/approve", change=change, sure="yes").status_code == 403
    assert anton.post(f"{STANDING}/approve", change="0" * 32, sure="yes").status_code == 404
    assert anton.post(f"{STANDING}/approve", change=change).status_code == 422
    assert "Freigegeben" in anton.post(f"{STANDING}/approve", change=change, sure="yes").text
    assert "zurückgezogen</span>" in _shown(pages, otto)
    assert anton.post(f"{STANDING}/approve", change=change, sure="yes").status_code == 404
    (entry,) = [each.entry for each in pages.store.audit.entries(action="schema.standing", scope=EVERYTHING).items][1:]
    assert (entry.actor, entry.before["status"]) == ("anton", "valid")
    assert (entry.after["status"], entry.after["text"]) == ("withdrawn", "Fehler im Schema")
    assert entry.after["proposed_by"] == "otto"


def test_one_person_takes_the_last_change_of_a_version_back_with_a_reason(pages):
    otto, anton = pages.as_("otto"), pages.as_("anton")
    assert anton.post(f"{STANDING}/rollback", text="so").status_code == 404
    change = _change_on(otto.post(STANDING, **WITHDRAWN))
    anton.post(f"{STANDING}/approve", change=change, sure="yes")
    assert "zurückgezogen</span>" in _shown(pages, anton)
    assert anton.post(f"{STANDING}/rollback", text="").status_code == 422
    assert otto.post(f"{STANDING}/rollback", text="so").status_code == 403
    assert "steht wieder, wie sie davor stand" in anton.post(f"{STANDING}/rollback", text="Irrtum").text
    assert "zurückgezogen</span>" not in _shown(pages, anton)
    assert anton.post(f"{STANDING}/rollback", text="so").status_code == 404
    assert _actions(pages) == ["schema.standing-propose", "schema.standing", "schema.standing-rollback"]


def test_attack_who_may_both_propose_and_approve_a_standing_does_not_do_both_for_one(pages):
    both = (Role.OPERATOR, Role.APPROVER)
    pages.accounts.add("olga", PASSWORD, roles=both, actor="cli:test", now=pages.stage.clock())
    olga = pages.as_("olga")
    change = _change_on(olga.post(STANDING, **WITHDRAWN))
    refused = olga.post(f"{STANDING}/approve", change=change, sure="yes")
    assert refused.status_code == 403
    assert "Das braucht eine zweite Person. bauantrag 1.0 haben Sie selbst bearbeitet." in refused.text
    viktor = pages.as_("viktor")
    assert change not in viktor.get("/schemas/bauantrag/1.0").text
    for act in ("approve", "refuse", "rollback"):
        assert viktor.post(f"{STANDING}/{act}", change=change, sure="yes", text="so").status_code == 403
    assert "Die Änderung ist verworfen" in olga.post(f"{STANDING}/refuse", change=change).text
    assert "zurückgezogen</span>" not in _shown(pages, olga)
    assert _actions(pages) == ["schema.standing-propose", "schema.standing-refuse"]


@pytest.mark.parametrize("fields", [{"status": "great"}, {"status": "valid", "valid_from": "tomorrow"}])
def test_a_standing_that_makes_no_sense_is_refused(pages, fields):
    page = pages.as_("otto").post("/schemas/bauantrag/1.0/standing", **{"valid_from": "", "valid_until": "", **fields})
    assert page.status_code == 422
    assert pages.store.audit.entries(action="schema.", scope=EVERYTHING).total == 0


def test_where_a_schema_is_used_is_counted_by_submissions(pages):
    pages.stage.accept()
    pages.stage.accept(area=WIESBADEN)
    text = pages.as_("viktor").get("/schemas/bauantrag/1.0").text
    assert "2 Einreichungen der letzten" in text
    assert "Landeshauptstadt Wiesbaden" in text
    assert "1 Einreichungen der letzten" in pages.as_("doris").get("/schemas/bauantrag/1.0").text


def test_two_versions_are_compared_in_the_page(pages):
    otto = pages.as_("otto")
    for version, kind in (("1.0", "xs:string"), ("2.0", "xs:int")):
        page = _bring(otto, SCHEMA.format(kind).replace("urn:t", f"urn:t:{version}"), version=version)
        pages.as_("anton").post(f"/schemas/import/{re.search(r'import/([0-9a-f]{32})', page.url)[1]}/admit")
        pages.stage.hub.catalogs.looked -= 10
        otto.get("/schemas")
    text = otto.get("/schemas/diff", params={"standard": "probe", "old": "1.0", "new": "2.0"}).text
    assert "<strong>1</strong> Änderungen" in text
    assert "Hat einen anderen Typ: int statt string." in text
    assert otto.get("/schemas/diff", params={"standard": "probe", "old": "1.0", "new": "9"}).status_code == 422


def test_the_audit_log_is_searched(pages):
    otto = pages.as_("otto")
    here = pages.stage.destination_id("Rheingau")
    otto.post(f"/destinations/{here}/status", status="inactive")
    found = otto.get("/audit", params={"action": "destination.", "actor": "otto", "target": str(here)[:8]}).text
    assert "1 Einträge" in found
    assert "Kein Eintrag passt dazu" in otto.get("/audit", params={"actor": "nobody"}).text


# The numbers of the overview


def _activity(since, here, **counts):
    def tallies(name):
        return tuple(Tally(destination_id=here, bucket=at, count=n) for at, n in enumerate(counts.get(name, ())) if n)

    names = ("accepted", "delivered", "ended", "failed")
    return Activity(since=since, span=timedelta(hours=1), **{name: tallies(name) for name in names})


def test_what_is_open_is_reckoned_back_from_now():
    now, here = NOW, uuid4()
    activity = _activity(now, here, accepted=[5, 0, 2], delivered=[1, 3, 0], ended=[1, 3, 0])
    plot = plot_of(activity, buckets=3, open_now=3)
    assert [row.waiting for row in plot.rows] == [4, 1, 3]
    assert plot.sums == {"accepted": 7, "delivered": 4, "failed": 0}


def test_nothing_makes_an_empty_plot():
    plot = plot_of(_activity(NOW, uuid4()), buckets=24, open_now=0)
    assert plot.empty
    assert (plot.outline, plot.most_waiting, len(plot.rows)) == ("", 0, 24)


def test_large_numbers_stay_inside_the_drawing_and_small_ones_stay_visible():
    here = uuid4()
    activity = _activity(NOW, here, accepted=[1_000_000] * 23 + [1], failed=[0, 1])
    plot = plot_of(activity, buckets=24, open_now=10**9)
    for bar in plot.bars:
        assert bar.height >= 2
        assert bar.x >= 0
        assert bar.x + bar.width <= PLOT_WIDTH
    for point in plot.outline.split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= PLOT_WIDTH
        assert 0 <= y <= STRIP


def test_each_destination_has_its_own_part():
    here, there = uuid4(), uuid4()
    now = NOW
    one, two = _activity(now, here, accepted=[1, 2]), _activity(now, there, failed=[9])
    parts = by_destination(replace(one, failed=two.failed))
    assert plot_of(parts[here], buckets=2, open_now=0).sums == {"accepted": 3, "delivered": 0, "failed": 0}
    assert plot_of(parts[there], buckets=2, open_now=0).sums == {"accepted": 0, "delivered": 0, "failed": 9}


def test_the_last_span_holds_now():
    now = NOW
    for span, buckets in ((timedelta(hours=1), 24), (timedelta(days=1), 30)):
        since = whole_spans(now, span, buckets)
        assert since + (buckets - 1) * span <= now < since + buckets * span


def test_the_overview_counts_what_the_store_holds_and_puts_trouble_first(pages):
    from store_values import claim, record

    for area in (TAUNUSSTEIN, TAUNUSSTEIN, WIESBADEN):
        pages.stage.accept(area=area)
    for taken in claim(pages.store, now=pages.stage.clock()):
        if "Wiesbaden" not in taken.destination.name:
            record(pages.store, taken, started_at=pages.stage.clock(), ended_at=pages.stage.clock())
    pages.stage.clock.pass_(hours=2)
    text = pages.as_("viktor").get("/").text
    assert re.search(r"3 angenommen</span>\s*·\s*<span class=\"nowrap\">2 zugestellt", text)
    assert text.index("Landeshauptstadt Wiesbaden</a>") < text.index("Brüder-Grimm-Stadt Hanau</a>")
    assert ">gestört<" in text
    assert "Zahlen" in text


@pytest.mark.parametrize("name", ["a\nb.xsd", "a" * 300 + ".xsd", "d/" * 2_000 + "m.xsd", "m.xsd/m.xsd"])
def test_a_package_with_an_odd_name_is_refused_on_the_page(pages, name):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m.xsd", SCHEMA.format("xs:string"))
        archive.writestr(name, SCHEMA.format("xs:string"))
    page = pages.as_("otto").post("/schemas/import", files={"archive": ("p.zip", packed.getvalue())}, **WISH)
    assert page.status_code == 422
    assert "Ein Name im Paket" in page.text
    assert list((pages.stage.data / "schema-arrivals").iterdir()) == []
