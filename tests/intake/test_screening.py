"""The plain door looks at what it seals: what is refused, kept back or marked, and what receipt and authority are reported."""

from __future__ import annotations

import base64
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import requests
from scanner_servers import FOUND, MARKER, read_instream, rogue, saying, settings_of
from stage import ANMELDEN, ANMELDUNG, BAUANTRAG, BAUEN, WIESBADEN, serving, staged
from test_kinds import archive
from test_uploads import PLAN, Uploading

from hub.crypto import claims_of, verify_receipt
from hub.errors import ConfigurationError, Invalid, Unavailable
from hub.model import ROOT, Application, MediaType
from hub.scanning import Policies, policies_by_owner, scanner_address
from hub.scanning.kinds import DOCX
from hub.services import ServiceCatalogue

PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture
def scanning(made_once, tmp_path, clamd):
    with staged(made_once, tmp_path, **settings_of(clamd, scan_limits="MaxScanSize=16M")) as stage:
        yield stage


def send(stage, *attachments: bytes, data: bytes = BAUANTRAG, kind: str = "application/pdf"):
    """Send an application with attachments through the plain door, as the API does."""
    with stage.hub.intake.open(stage.cover(), now=stage.clock()) as reception:
        reception.take(len(data))
        for number, content in enumerate(attachments):
            part = reception.attach(name=f"a{number}", filename="Erika Mustermann.pdf", media_type=kind)
            for at in range(0, len(content), 700_000):
                part.write(content[at : at + 700_000])
            part.finish()
        application = Application(cover=stage.cover(), media_type=MediaType.XML, data=data)
        return reception.accept(application, now=stage.clock()).result(timeout=10)


def test_a_receipt_says_what_was_scanned_by_which_version_and_within_which_limits(scanning):
    accepted = send(scanning, PDF, b"plan")
    claims = verify_receipt(accepted.receipt, scanning.hub.keys.hub_jwks())
    assert re.fullmatch(r"ClamAV [0-9.]+.*", claims["scan"].pop("version"))
    assert claims["scan"] == {"verdict": "clean", "scanner": "clamd", "parts": 3, "limits": "MaxScanSize=16M"}
    assert "validation" not in claims


def test_a_scanner_with_icap_is_named_with_its_tag_and_refuses_alike(made_once, tmp_path, icap):
    with staged(made_once, tmp_path, **settings_of(icap)) as stage:
        said = send(stage, PDF).claims["scan"]
        assert (said["verdict"], said["scanner"], said["parts"]) == ("clean", "icap", 2)
        assert re.fullmatch(r"C-ICAP/[0-9.]+ .* CI0001-.+", said["version"])
        with pytest.raises(Invalid) as caught:
            send(stage, b"x" * 1_000_000 + MARKER)
        assert caught.value.members == {"part": "attachment-1", "verdict": "infected", "signature": FOUND}
        picture = b"\x89PNG\r\n\x1a\n" + b"\0" * 3_000
        reported = send(stage, picture).claims["validation"]
        assert [(each["check"], each["cause"]) for each in reported["unchecked"]] == [("malware", "not-scanned")]


def test_a_small_application_is_scanned_too(scanning):
    assert claims_of(scanning.accept().receipt)["scan"]["parts"] == 1


def test_without_a_scanner_receipts_say_nothing_of_scans(stage):
    assert "scan" not in claims_of(stage.accept().receipt)


def test_malware_in_the_second_attachment_is_refused_by_its_place_and_nothing_is_stored(scanning):
    before = scanning.hub.store.submissions.cases(limit=1).total
    with pytest.raises(Invalid) as caught:
        send(scanning, PDF, b"x" * 1_000_000 + MARKER + b"y" * 1_000_000, PDF)
    assert caught.value.slug == "malware-found"
    assert caught.value.members == {"part": "attachment-2", "verdict": "infected", "signature": FOUND}
    assert "Mustermann" not in caught.value.detail.de + caught.value.detail.en
    assert scanning.hub.store.submissions.cases(limit=1).total == before
    until = time.monotonic() + 30  # What was begun is taken away beside the answer.
    while (
        left := [path for path in (scanning.data / "blobs").rglob("*") if path.is_file()]
    ) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


def test_malware_in_the_data_is_refused(scanning):
    with pytest.raises(Invalid) as caught:
        send(scanning, data=BAUANTRAG.replace(b"?>", b"?><!-- " + MARKER + b" -->", 1))
    assert caught.value.members["part"] == "data"


def test_base64_inside_the_data_is_scanned_as_text_and_not_decoded(scanning):
    """A limit that is said: who sends files inside data has them looked at by nobody."""
    hidden = base64.b64encode(MARKER)
    accepted = send(scanning, data=BAUANTRAG.replace(b"?>", b"?><!-- " + hidden + b" -->", 1))
    assert claims_of(accepted.receipt)["scan"]["verdict"] == "clean"


def test_malware_that_is_kept_back_waits_sealed_for_an_operator(made_once, tmp_path, clamd):
    with staged(made_once, tmp_path, **settings_of(clamd, scan_infected="quarantine")) as stage:
        claims = send(stage, MARKER).claims
        assert claims["scan"]["verdict"] == "infected"
        assert claims["scan"]["notable"] == [{"part": "attachment-1", "verdict": "infected", "signature": FOUND}]
        submission_id = claims["sub"].removeprefix("submission:")
        assert stage.hub.store.deliveries.quarantined(submission_id)


def test_malware_that_is_delivered_marked_is_said_to_sender_and_authority(made_once, tmp_path, clamd):
    with staged(made_once, tmp_path, **settings_of(clamd, scan_infected="mark")) as stage:
        claims = send(stage, MARKER).claims
        reported = claims["validation"]
        assert reported["valid"]
        assert not reported["complete"]
        assert [(each["check"], each["cause"]) for each in reported["unchecked"]] == [("malware", "infected")]
        # The report goes along as an attachment of the hub's own, beside the sender's.
        assert len([part for part in claims["contents"] if part not in {"metadata", "data"}]) == 2


def test_one_service_may_have_a_policy_of_its_own(made_once, tmp_path, clamd):
    own = f"{ANMELDEN}=mark/mark/mark"
    with staged(made_once, tmp_path, **settings_of(clamd, scan_services=own)) as stage:
        spoiled = ANMELDUNG.replace(b"{", b"{ " + b" " * 3, 1)
        accepted = stage.accept(spoiled, media_type=MediaType.JSON, service=ANMELDEN, area=WIESBADEN)
        assert claims_of(accepted.receipt)["scan"]["verdict"] == "clean"
        assert stage.hub.settings.scan_policies.of(ANMELDEN).at(0).infected == "mark"
        with pytest.raises(Invalid):
            send(stage, MARKER)


def test_a_tenants_policy_counts_for_its_authorities_and_no_others(made_once, tmp_path, clamd):
    for owner, counts in [(ROOT, True), ("06439", True), ("06435", False)]:
        chosen = settings_of(clamd, scan_tenants=f"{owner}=quarantine/refuse/mark")
        with staged(made_once, tmp_path / owner, **chosen) as stage:
            if counts:
                submission_id = send(stage, MARKER).claims["sub"].removeprefix("submission:")
                assert stage.hub.store.deliveries.quarantined(submission_id)
            else:
                with pytest.raises(Invalid):
                    send(stage, MARKER)


def test_sizes_have_policies_and_a_services_own_counts_first(made_once, tmp_path, clamd):
    sizes = {"scan_sizes": "100000=mark/mark/mark", "scan_services": f"{ANMELDEN}@5=mark/mark/refuse"}
    with staged(made_once, tmp_path, **settings_of(clamd, **sizes)) as stage:
        assert send(stage, b"x" * 200_000 + MARKER).claims["scan"]["verdict"] == "infected"
        with pytest.raises(Invalid):
            send(stage, b"x" * 2_000 + MARKER)
        own = stage.hub.settings.scan_policies.of(ANMELDEN, ["06"])
        assert [own.at(size).unscannable for size in (4, 5, 200_000)] == ["mark", "refuse", "refuse"]
        assert [own.at(size).infected for size in (4, 5)] == ["refuse", "mark"]


def test_of_tenants_the_nearest_counts_and_a_size_that_it_does_not_name_is_the_next_ones():
    rules = Policies(by_tenant=policies_by_owner("06@10=mark/mark/mark 06435=quarantine/refuse/mark"))
    assert [rules.of("s", ["06435", "06"]).at(size).infected for size in (1, 99)] == ["quarantine", "quarantine"]
    assert [rules.of("s", ["06436", "06"]).at(size).infected for size in (1, 99)] == ["refuse", "mark"]


@pytest.mark.parametrize(
    "said",
    [
        "06",
        "06=mark",
        "06@x=mark/mark/mark",
        "06=mark/quarantine/mark",
        "06=mark/mark/mark 06=mark/mark/mark",
        "@5=mark/mark/mark",
    ],
)
def test_a_policy_that_is_none_is_refused(said):
    with pytest.raises(ConfigurationError):
        policies_by_owner(said)


def test_while_the_scanner_is_down_senders_are_told_when_to_come_again(made_once, tmp_path):
    with staged(made_once, tmp_path, **settings_of(f"clamd:{tmp_path}/no.ctl")) as stage:
        with pytest.raises(Unavailable) as caught:
            stage.accept()
        assert caught.value.slug == "scan-unavailable"
        assert caught.value.retry_after.total_seconds() > 0
        # The same key later is a new application, and not a repeat of what was never taken.
        assert stage.hub.store.submissions.cases(limit=1).total == 0


def test_while_the_scanner_is_down_what_passes_is_marked(made_once, tmp_path):
    with staged(made_once, tmp_path, **settings_of(f"clamd:{tmp_path}/no.ctl", scan_down="mark")) as stage:
        claims = send(stage, PDF).claims
        assert claims["scan"]["version"] is None
        assert claims["scan"]["notable"] == [
            {"part": "attachment-1", "verdict": "not-scanned", "reason": "unreachable"},
            {"part": "data", "verdict": "not-scanned", "reason": "unreachable"},
        ]
        assert {each["cause"] for each in claims["validation"]["unchecked"]} == {"not-scanned"}


@pytest.mark.parametrize(("policy", "taken"), [("mark", True), ("refuse", False)])
def test_what_is_beyond_the_bound_is_as_policy_says(made_once, tmp_path, clamd, policy, taken):
    with staged(made_once, tmp_path, **settings_of(clamd, scan_bytes=100_000, scan_unscannable=policy)) as stage:
        if taken:
            assert send(stage, b"x" * 200_000).claims["scan"]["verdict"] == "limits-exceeded"
        else:
            with pytest.raises(Invalid) as caught:
                send(stage, b"x" * 200_000)
            assert (caught.value.slug, caught.value.members["limit"]) == ("not-scannable", "scan_bytes")


def test_a_scanner_that_dies_between_two_attachments_is_no_pass(made_once, tmp_path):
    answers = [b"stream: OK\0"]

    def once(came):
        if read_instream(came) == b"zVERSION\0":
            came.sendall(b"ClamAV 1\0")
        elif answers:
            came.sendall(answers.pop())
        came.close()

    with rogue(once) as server, staged(made_once, tmp_path, **settings_of(server.clamd)) as stage:
        with pytest.raises(Unavailable):
            send(stage, PDF, PDF)
        assert stage.hub.store.submissions.cases(limit=1).total == 0


def test_an_answer_of_the_scanner_reaches_nobody_as_markup(made_once, tmp_path):
    with (
        rogue(saying(b"stream: <script>alert(1)</script>\n\x1b[31m FOUND\0")) as server,
        staged(made_once, tmp_path, **settings_of(server.clamd)) as stage,
        pytest.raises(Invalid) as caught,
    ):
        send(stage, PDF)
    assert not set("<>\n\x1b\0") & set(caught.value.detail.de + caught.value.members["signature"])


def test_a_request_that_ends_meanwhile_lets_go_of_the_scanner(made_once, tmp_path):
    hung = threading.Event()

    def until_hung_up(came):
        came.settimeout(5)
        while came.recv(65_536):
            pass
        hung.set()

    with rogue(until_hung_up) as server, staged(made_once, tmp_path, **settings_of(server.clamd)) as stage:
        with stage.hub.intake.open(stage.cover(), now=stage.clock()) as reception:
            part = reception.attach(name="a", filename=None, media_type="application/pdf")
            part.write(b"x" * 700_000)
        assert hung.wait(30)


def test_a_repeat_is_known_while_the_scanner_is_down(made_once, tmp_path, clamd):
    gone = f"clamd:{tmp_path}/no.ctl"
    with staged(made_once, tmp_path / "a", **settings_of(clamd)) as stage:
        first = stage.accept(idempotency_key="k" * 20)
        stage.hub.screening.scanner.place = scanner_address(gone)
        assert stage.accept(idempotency_key="k" * 20).receipt == first.receipt
        with pytest.raises(Unavailable):
            stage.accept(idempotency_key="l" * 20)


@contextmanager
def http(made_once, tmp_path, **settings):
    with staged(made_once, tmp_path, listens=True, **settings) as stage, serving(stage) as served:
        yield served


def multipart(*attachments: tuple[str, bytes, str]):
    return [("data", ("antrag.xml", BAUANTRAG, "application/xml")), *(("a", each) for each in attachments)]


def posted(served, *attachments):
    where = {"service": "urn:de:fim:leika:leistung:99012008001000", "ars": "064390015015"}
    return served.post("/hub/v1/applications", params=where, files=multipart(*attachments))


def test_over_http_kinds_are_told_by_content_and_a_name_decides_nothing(made_once, tmp_path, clamd):
    settings = settings_of(clamd, attachment_kinds="standard")
    with http(made_once, tmp_path, **settings) as served:
        taken = posted(served, ("rechnung.exe", PDF, "application/pdf"), ("notiz", b"Guten Tag", "text/plain"))
        assert taken.status_code == requests.codes.accepted, taken.text
        assert claims_of(taken.json()["receipt"])["scan"]["verdict"] == "clean"
        for name, content, kind, slug in [
            ("rechnung.pdf.exe", b"MZ\x90\0" + b"\0" * 600, "application/pdf", "attachment-kind-refused"),
            ("rechnung\u202efdp.exe", b"MZ\x90\0" + b"\0" * 600, "application/pdf", "attachment-kind-refused"),
            ("bild.png", PDF, "image/png", "attachment-kind-contradicted"),
            ("seite.txt", b"<html><script>1</script></html>", "text/plain", "attachment-kind-refused"),
        ]:
            answer = posted(served, (name, content, kind))
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (415, slug)
            assert "rechnung" not in answer.text
        found = posted(served, ("a.txt", MARKER, "text/plain"))
        assert (found.status_code, found.json()["part"]) == (422, "attachment-1")
        shown = served.get("/metrics").text
        assert 'hub_scans_total{verdict="infected"} 1.0' in shown


def test_a_services_own_kinds_count_at_the_plain_door_and_an_office_file_is_no_zip(made_once, tmp_path):
    """``kinds`` of the catalogue: by content, so neither a name nor a declared type makes an archive an office document."""
    office = archive("[Content_Types].xml", "_rels/.rels", "word/document.xml")
    with http(made_once, tmp_path) as served:
        screening, services = served.stage.hub.screening, served.stage.hub.services()
        own = [replace(each, kinds=(DOCX,)) if each.key == BAUEN else each for each in services]
        object.__setattr__(screening, "services", lambda: ServiceCatalogue(own))
        for content, declared, status in [
            (office, DOCX, requests.codes.accepted),
            (office, "application/octet-stream", requests.codes.accepted),
            (archive("plan.txt"), DOCX, requests.codes.unsupported_media_type),
            (archive("plan.txt"), "application/zip", requests.codes.unsupported_media_type),
            (office, "application/zip", requests.codes.unsupported_media_type),
            (archive("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"), DOCX, 415),
            (PDF, "application/pdf", requests.codes.unsupported_media_type),
        ]:
            answer = posted(served, ("brief.docx", content, declared))
            assert answer.status_code == status, (declared, answer.text)
            assert "brief" not in answer.text


def test_malware_in_a_resumable_upload_is_found_when_an_application_takes_it(made_once, tmp_path, clamd):
    with http(made_once, tmp_path, **settings_of(clamd)) as served:
        tus = Uploading(served)
        url = tus.whole(b"x" * 500_000 + MARKER, Upload_Metadata=PLAN)
        answer = tus.apply(url)
        assert (answer.status_code, answer.json()["part"]) == (422, "attachment-1")
        clean = tus.apply(tus.whole(b"clean", Upload_Metadata=PLAN))
        assert claims_of(clean.json()["receipt"])["scan"]["parts"] == 2


def test_an_outage_of_the_scanner_is_503_with_retry_after(made_once, tmp_path):
    with http(made_once, tmp_path, **settings_of(f"clamd:{tmp_path}/no.ctl")) as served:
        answer = served.submit()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert answer.json()["type"].endswith("scan-unavailable")
