"""The self-check says what is wrong, names host and cause, says what to do next, and ends."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import spoiling
from click.testing import CliRunner
from mail_server import MailServer, free_port
from scanner_servers import rogue, saying, settings_of
from sqlalchemy import create_engine, text
from stage import NOW, serving, staged

from hub.adapter_kit.cases import SECRET, Trouble, Workshop
from hub.app.doctor import Doctor
from hub.cli import main
from hub.config import load_settings
from hub.model import EVERYTHING
from hub.observability.diagnosis import Condition, bounded, exit_code, well
from hub.observability.legal_time import NOT_KNOWN, ClockReading, ClockState
from hub.store import AuditEntry, Store

NOW_REALLY = datetime.now(UTC)


@pytest.fixture(scope="module")
def played(made_once, tmp_path_factory):
    """A hub behind a real server, and its data folder."""
    with staged(made_once, tmp_path_factory.mktemp("doctor")) as stage, serving(stage) as served:
        yield served


def doctor(played, now=NOW, **settings) -> Doctor:
    chosen = {"base_url": played.base_url, "disk_watermark_bytes": 0, **settings}
    return Doctor(load_settings(played.stage.data, {}, **chosen), now=now if callable(now) else lambda: now)


def of(found, about):
    return [(each.condition, each.text.en) for each in found if each.about == about]


def test_a_hub_in_order_is_well_in_every_part(played):
    ran = CliRunner(env={"HUB_BASE_URL": played.base_url, "HUB_DISK_WATERMARK_BYTES": "0", "LANG": "C"}).invoke(
        main, ["doctor", "--data", str(played.stage.data), "--json"]
    )
    found = json.loads(ran.stdout)
    assert ran.exit_code == 0, ran.output
    assert {each["condition"] for each in found} == {"ok", "warning"}
    about = {each["about"]: each["condition"] for each in found if each["condition"] == "ok"}
    assert {
        *("files", "disk", "database", "tables", "clock", "keys", "proxy", "adapters", "libraries", "certificates")
    } <= set(about)
    assert not (played.stage.data / ".self-check").exists()
    for secret in (played.stage.cast["subscriber"]["client_secret"], played.stage.cast["sender"]["client_secret"]):
        assert secret not in ran.output


def test_lines_are_german_and_english_where_asked(played):
    lines = {}
    for language in ("--deutsch", "--english"):
        ran = CliRunner(env={"HUB_BASE_URL": played.base_url, "HUB_DISK_WATERMARK_BYTES": str(1 << 62)}).invoke(
            main, ["doctor", "--data", str(played.stage.data), language]
        )
        assert ran.exit_code == 1  # No disk has so much room.
        (lines[language],) = [line for line in ran.stdout.splitlines() if "disk" in line]
    assert lines["--deutsch"].startswith("Fehler")
    assert "→ Platz schaffen" in lines["--deutsch"]
    assert lines["--english"].startswith("fault")
    assert "→ make room" in lines["--english"]


def test_a_stranger_learns_nothing_of_how_his_request_arrived(played):
    answer = played.session.get(f"{played.base_url}/health/live", headers={"Hub-Self-Check": "x" * 32}, timeout=30)
    assert answer.json() == {"status": "ok"}
    assert "Hub-Self-Check" not in answer.headers


def test_a_hub_that_does_not_answer_is_away_and_another_program_is_a_fault(played):
    from partner import Partner

    found = list(doctor(played, base_url=f"http://127.0.0.1:{free_port()}").examine())
    (gone,) = [each for each in found if each.about == "own address"]
    assert gone.condition is Condition.AWAY
    assert "hub serve" in gone.todo.en
    assert exit_code(found) == 3
    with Partner() as other:
        found = list(doctor(played, base_url=other.url).examine("own address"))
    assert [condition for condition, _ in of(found, "own address")] == [Condition.FAULT]


ARRIVALS = {
    "as it should": ({"client": "198.51.100.7", "x-forwarded-for": "198.51.100.7", "scheme": "https"}, "ok", ""),
    "no proxy says who asks": ({"client": "10.0.0.1", "scheme": "http"}, "fault", "X-Forwarded-For"),
    "a proxy that is not believed": (
        {"client": "10.0.0.1", "x-forwarded-for": "198.51.100.7", "scheme": "http"},
        "fault",
        "FORWARDED_ALLOW_IPS=10.0.0.1",
    ),
    "without the scheme": (
        {"client": "198.51.100.7", "x-forwarded-for": "198.51.100.7", "scheme": "http"},
        "fault",
        "X-Forwarded-Proto",
    ),
}


def test_what_a_proxy_leaves_out_is_named_with_what_to_set(played):
    judge = doctor(played, base_url="https://hub.example")
    for case, (seen, condition, todo) in ARRIVALS.items():
        (found,) = judge.forwarded(seen)
        assert (found.condition, todo in found.todo.en) == (condition, True), case


@contextmanager
def refusing_tls():
    """A server that answers PostgreSQL's request for TLS with no."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            taken, _ = listener.accept()
            with taken:
                taken.recv(8)
                taken.sendall(b"N")
                taken.recv(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_a_database_that_cannot_be_used_is_named_with_host_and_cause(played, postgresql_url, tmp_path):
    folder = postgresql_url.partition("host=")[2]
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        hba = connection.execute(text("SHOW hba_file")).scalar_one()
        rules = Path(hba)
        rules.write_text("local all locked scram-sha-256\n" + rules.read_text("utf-8"), "utf-8")
        connection.execute(text("CREATE ROLE locked LOGIN PASSWORD 'right'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    secret = tmp_path / "db.secret"
    secret.touch(mode=0o600)
    secret.write_text("canary-4711")
    port = free_port()
    with refusing_tls() as plain:
        cases = {
            "the host is unknown": ("postgresql://hub@nowhere.invalid/hub", "nowhere.invalid", "no host of this name"),
            "nobody listens": (
                f"postgresql://hub@127.0.0.1:{port}/hub",
                f"127.0.0.1:{port}",
                "no PostgreSQL runs there",
            ),
            "no such database": (f"postgresql://hub@/elsewhere?host={folder}", "/elsewhere", "no such database there"),
            "no such user": (f"postgresql://nobody@/postgres?host={folder}", "nobody@", "no such user there"),
            "a wrong password": (
                f"postgresql://locked@/postgres?host={folder}",
                "locked:***@",
                "wrong user or password",
            ),
            "no TLS": (f"postgresql://hub@127.0.0.1:{plain}/hub?sslmode=require", f":{plain}", "no TLS connection"),
        }
        for case, (url, host, cause) in cases.items():
            more = {"database_password_file": str(secret)} if "password" in case else {}
            ((condition, said),) = of(examined(played, url, **more), "database")
            assert condition is Condition.AWAY, case
            assert host in said, case
            assert cause in said, case
            assert "canary" not in said
    with engine.connect() as connection:
        connection.execute(text("DROP ROLE locked"))
    engine.dispose()
    found = examined(played, postgresql_url)
    assert of(found, "database")[0][0] is Condition.OK
    (_, _, (condition, skew)) = of(found, "clock")
    assert (condition, "database: " in skew) == (Condition.OK, True)


@pytest.fixture(params=["clamd", "icap"])
def real_scanner(request):
    return request.getfixturevalue(request.param)


def test_a_scanner_that_answers_is_named_with_its_version(played, real_scanner):
    ((condition, said),) = of(doctor(played, **settings_of(real_scanner)).examine("scanner"), "scanner")
    assert condition is Condition.OK
    assert said.startswith(("ClamAV ", "C-ICAP/"))


def test_a_scanner_that_is_silent_offers_no_scan_or_has_old_signatures_is_told(played, icap):
    silent = doctor(played, **settings_of(f"clamd://127.0.0.1:{free_port()}"))
    nowhere = doctor(played, **settings_of(icap.replace("avscan", "nosuch")))
    for each in (silent, nowhere):
        ((condition, said),) = of(each.examine("scanner"), "scanner")
        assert (condition, said.endswith("does not answer")) == (Condition.AWAY, True)
    with rogue(saying(b"", version=b"ClamAV 1.4.2/27450/Mon Nov 30 08:33:00 2015\0")) as server:
        ((condition, said),) = of(doctor(played, **settings_of(server.clamd)).examine("scanner"), "scanner")
    assert (condition, said[-10:]) == (Condition.WARNING, "2015-11-30")


@pytest.mark.parametrize(
    ("reading", "condition", "said"),
    [
        (ClockReading(state=ClockState.SYNCHRONISED, maximal_error=12.4), Condition.OK, "synchronised (NTP) (± 12 ms)"),
        (ClockReading(state=ClockState.UNSYNCHRONISED), Condition.WARNING, "not synchronised"),
        (NOT_KNOWN, Condition.WARNING, "does not say"),
    ],
)
def test_a_clock_that_nothing_holds_is_warned_of(played, reading, condition, said):
    settings = load_settings(played.stage.data, {}, base_url="", disk_watermark_bytes=0)
    found = of(Doctor(settings, now=lambda: NOW, system_clock=lambda: reading).examine("clock"), "clock")
    assert [(each[0], said in each[1]) for each in found][1] == (condition, True), found


def examined(played, url, **more):
    one = doctor(played, lambda: datetime.now(UTC), base_url="", database_url=url, **more)
    return list(one.examine("database", "clock"))


def test_tables_of_another_version_are_told_apart(played, monkeypatch):
    versions = (
        ("9999", False, "warning", "hub migrate"),
        ("0001", False, "fault", "newer program"),
        ("0001", True, "ok", ""),
    )
    for head, carries, condition, todo in versions:
        monkeypatch.setattr("hub.app.doctor.head_revision", lambda head=head: head)
        monkeypatch.setattr(Store, "carries_this_version", lambda _, carries=carries: carries)
        found = list(doctor(played).examine("database", "tables"))[-1]
        assert (found.condition, todo in found.todo.en) == (condition, True)


def test_the_mail_server_is_greeted_and_logged_in_to_and_given_no_mail(played, tmp_path):
    workshop = Workshop(tmp_path / "workshop", now=NOW_REALLY)
    wrong = tmp_path / "wrong.secret"
    wrong.touch(mode=0o600)
    wrong.write_text("canary-4711")

    def found(port, secret=workshop.secret_file):
        one = doctor(
            played,
            smtp_host="127.0.0.1",
            smtp_port=port,
            smtp_user="hub",
            smtp_password_file=str(secret),
            smtp_ca_file=str(workshop.ca_file),
            mail_sender="hub@hub.example",
        )
        return one.examine("mail")

    with MailServer(workshop.tls(), user="hub", password=SECRET) as server:
        (right,), (locked_out,) = found(server.port), found(server.port, wrong)
        assert server.mails == []
    (gone,) = found(server.port)
    assert (right.condition, locked_out.condition, gone.condition) == ("ok", "fault", "away")
    assert "SMTP 535 at login" in locked_out.text.en
    assert f"127.0.0.1:{server.port}" in gone.text.en
    assert "canary" not in locked_out.line(english=True)


def test_what_ends_soon_is_warned_of_and_what_has_ended_is_a_fault(played):
    ends = NOW + timedelta(days=31)
    for days, condition in ((0, []), (10, ["warning"]), (40, ["fault"])):
        one = doctor(played, NOW + timedelta(days=days))
        assert [each.condition for each in one.ending("TLS", "x", ends)] == condition
    late = doctor(played, NOW + timedelta(days=2000))
    assert any(each.condition is Condition.FAULT and "kid" in each.text.en for each in late.examine("keys"))


def test_a_check_that_hangs_or_fails_costs_the_others_nothing_and_says_no_library_words():
    hang = threading.Event()

    def hanging():
        yield well("disk", "da", "there")
        hang.wait(30)

    began = time.monotonic()
    first, second = bounded("disk", hanging, seconds=0.2)
    assert time.monotonic() - began < 10
    hang.set()
    assert (first.condition, second.condition) == (Condition.OK, Condition.AWAY)

    def failing():
        raise RuntimeError("canary-4711")
        yield

    (failed,) = bounded("keys", failing, seconds=10)
    assert failed.condition is Condition.FAULT
    assert "RuntimeError" in failed.text.en
    assert "canary" not in failed.line(english=True)
    assert exit_code([first]) == 0
    assert exit_code([first, second]) == 3
    assert exit_code([first, second, failed]) == 1


def test_a_check_that_no_thread_is_to_be_had_for_costs_the_others_nothing(monkeypatch):
    refused = spoiling.give_no_thread(monkeypatch, "check-disk")
    (failed,) = bounded("disk", lambda: [well("disk", "da", "there")], seconds=10)
    assert (failed.condition, refused) == (Condition.FAULT, ["check-disk"])
    (other,) = bounded("keys", lambda: [well("keys", "da", "there")], seconds=10)
    assert other.condition is Condition.OK


def test_the_bucket_is_written_read_and_emptied_again_and_one_that_is_not_there_is_told(played, bucket, tmp_path):
    chosen = bucket.settings(tmp_path)
    for name in ("s3.id", "s3.secret"):
        (tmp_path / name).chmod(0o600)
    (right,) = doctor(played, **chosen).examine("bucket")
    assert right.condition is Condition.OK, right.text
    assert bucket.url in right.text.en
    assert bucket.objects() == []
    missing = chosen | {"blobs": bucket.url.replace("hub-blobs", "nobodys-blobs")}
    away = chosen | {"blobs_endpoint": f"http://127.0.0.1:{free_port()}"}
    for settings in (missing, away):
        (found,) = doctor(played, **settings).examine("bucket")
        assert found.condition in {Condition.FAULT, Condition.AWAY}, found
        assert exit_code([found]) != 0
        assert "test-secret" not in found.line(english=True)


@contextmanager
def speaking_tls(context: ssl.SSLContext):
    """A server that speaks TLS with whoever comes, and says nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        over = threading.Event()

        def answer():
            while not over.is_set():
                with suppress(OSError):
                    taken, _ = listener.accept()
                    with taken, context.wrap_socket(taken, server_side=True) as spoken:
                        spoken.settimeout(5)
                        spoken.recv(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join(10)


def test_peers_are_spoken_to_and_each_fault_of_their_certificates_has_its_name(made_once, tmp_path):
    workshop = Workshop(tmp_path / "workshop", now=NOW_REALLY)
    cases = {
        Trouble.NONE: (Condition.OK, ""),
        Trouble.EXPIRED_CERTIFICATE: (Condition.WARNING, "expired"),
        Trouble.WRONG_NAME_IN_CERTIFICATE: (Condition.WARNING, "issued to another address"),
        Trouble.UNTRUSTED_CERTIFICATE: (Condition.WARNING, "no authority that is trusted here"),
    }
    with staged(made_once, tmp_path) as stage:
        parties = stage.hub.store.parties
        there = parties.destinations(limit=1, scope=EVERYTHING).items[0].destination_id
        for trouble, (condition, word) in cases.items():
            with speaking_tls(workshop.tls(trouble)) as port:
                options = {"url": f"https://127.0.0.1:{port}/x", "ca_file": str(workshop.ca_file)}
                entry = AuditEntry(at=NOW, actor="test", action="destination.change", target=str(there))
                parties.change_destination(
                    there,
                    lambda before, options=options: replace(before, adapter="https", adapter_config=options),
                    audit=lambda *_, entry=entry: entry,
                )
                settings = load_settings(stage.data, {}, disk_watermark_bytes=0)
                found = list(Doctor(settings, now=lambda: NOW_REALLY).examine("database", "peers"))
            (said,) = [each for each in found if f":{port}" in each.text.en]
            assert said.condition is condition, (trouble, said)
            assert word in said.text.en, (trouble, said)
