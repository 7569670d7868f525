"""Attacks on the citizens' portal: by other sites, by whoever sits in between, by what is typed and by who guesses."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from contextlib import ExitStack
from datetime import timedelta
from select import select as readable

import pytest
from people import answered, typed_on
from portal_pages import portal_before
from requests.adapters import HTTPAdapter
from stage import BAUEN, NOW, TAUNUSSTEIN, staged

from hub.errors import Malformed, TooMany
from hub.portal.visits import BegunForms, BodiesAtOnce, StoredShares, VisitCounts, paced

PAGE = f"/leistung/{BAUEN[-14:]}?ars={TAUNUSSTEIN}"
CANARY = "Zwitscherlinde"
HOUR = timedelta(hours=1)


@pytest.fixture
def visitor(portal_site):
    return portal_site.visitor()


def begin(visitor, **more):
    return visitor.post("/antrag", at=PAGE, service=BAUEN, ars=TAUNUSSTEIN, allow_redirects=False, **more)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_cannot_begin_an_application_or_end_one(visitor, headers):
    assert begin(visitor).status_code == 303
    kept = next(iter(visitor.http.cookies)).value
    foreign = begin(visitor, ersetzen="ja", headers=headers)
    assert foreign.status_code == 403
    assert "Set-Cookie" not in foreign.headers
    assert next(iter(visitor.http.cookies)).value == kept
    assert "Sie haben einen Antrag angefangen" in visitor.get("/").text


def test_a_form_without_this_sessions_token_changes_nothing(visitor, portal_site):
    assert begin(visitor).status_code == 303
    other = portal_site.visitor()
    begin(other)
    theirs = re.search(r'name="csrf" value="([^"]+)"', other.get(PAGE).text)[1]
    for token in ("", "x", theirs):
        answer = visitor.post(
            "/antrag", csrf=token, service=BAUEN, ars=TAUNUSSTEIN, ersetzen="ja", allow_redirects=False
        )
        assert answer.status_code == 403, token
    mine = re.search(r'name="csrf" value="([^"]+)"', visitor.get(PAGE).text)[1]
    assert mine != theirs
    assert mine not in next(iter(visitor.http.cookies)).value


def test_no_page_can_be_framed_and_none_has_anything_inline_or_from_elsewhere(visitor):
    for path in ("/", "/orte?q=Neu", "/leistungen", PAGE, "/impressum", "/nichts"):
        page = visitor.get(path)
        policy = dict(each.split(" ", 1) for each in page.headers["content-security-policy"].split("; "))
        assert policy["frame-ancestors"] == policy["default-src"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["form-action"] == "'self'"
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] in {"same-origin", "no-referrer"}
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|javascript:", page.text), path
        assert re.findall(r'(?:src|href|action)="(?:[a-z]+:)?//', page.text) == []


def test_a_session_cannot_be_fixed_in_advance(visitor, portal_site):
    name = portal_site.portal.sessions.cookie
    planted = "A" * 22 + "." + "B" * 43
    visitor.http.cookies.set(name, planted, domain="127.0.0.1")
    assert "Sie haben einen Antrag" not in visitor.get("/").text
    answer = begin(visitor)
    assert answer.status_code == 303
    assert planted not in answer.headers["Set-Cookie"]
    theirs = next(each.value for each in visitor.http.cookies if each.value != planted).partition(".")[0]
    for made_up in (planted, f"{theirs}.{'B' * 43}"):
        other = portal_site.visitor()
        other.http.cookies.set(name, made_up, domain="127.0.0.1")
        page = other.get("/")
        assert page.status_code == 200
        assert "Sie haben einen Antrag" not in page.text


@pytest.mark.parametrize("cookie", ["x", "A" * 5000, "..", "A" * 22 + "." + "ä" * 43, "../../etc/passwd"])
def test_a_cookie_that_is_none_is_no_session(visitor, portal_site, cookie):
    page = visitor.get("/", headers={"Cookie": f"{portal_site.portal.sessions.cookie}={cookie}".encode()})
    assert page.status_code == 200
    assert "Sie haben einen Antrag" not in page.text


def test_cookies_travel_by_https_alone_from_this_host_alone_and_no_script_reads_them(made_once, tmp_path):
    from starlette.responses import Response

    from hub.portal.session import Sessions

    key = type("Key", (), {"text": lambda self: "key", "key": b"k"})()
    for secure in (True, False):
        response = Response()
        sessions = Sessions(None, secure=secure, idle=HOUR, unanswered=HOUR)
        sessions.give(response, key)
        (said,) = response.headers.getlist("set-cookie")
        assert ("Secure" in said) == said.startswith("__Host-") == secure
        assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(said.split("; "))
        assert "Domain" not in said
        assert "Max-Age" not in said


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost@evil.example", ""])
def test_another_host_than_ours_gets_nothing_that_says_who_asked(visitor, host):
    answer = visitor.get(f"/orte?q={CANARY}", headers={"Host": host}, allow_redirects=False)
    assert answer.status_code in {400, 421}
    assert CANARY not in answer.text
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "/orte?q=Taunusstein&lang=//evil.example",
        "/leistungen?ort=//evil.example",
        "/leistungen?ort=Taunusstein&q=%0d%0aX:1",
    ],
)
def test_no_redirect_leads_elsewhere(visitor, path):
    answer = visitor.get(path, allow_redirects=False)
    where = answer.headers.get("location", "/")
    assert where.startswith("/")
    assert not where.startswith("//")
    assert "X" not in answer.headers


SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}${7*7}"


@pytest.mark.parametrize("path", ["/orte", "/leistungen", f"/leistung/{BAUEN[-14:]}", "/"])
@pytest.mark.parametrize("name", ["q", "was", "ort", "note", "lang", "ab", "ars"])
def test_what_is_typed_is_shown_as_text(visitor, path, name):
    page = visitor.get(path, params={name: SCRIPT})
    assert page.status_code < 500
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert not re.search(r"\b49\b", page.text)


def test_nothing_that_a_hub_says_is_markup(portal_site, visitor, monkeypatch):
    service = dict(portal_site.portal.doors.service(BAUEN, TAUNUSSTEIN, "de"))
    hostile = dict.fromkeys(("name", "official", "summary", "duration", "authority", "facts", "reviewed"), SCRIPT)
    service |= hostile | {"needs": [SCRIPT], "law": [SCRIPT], "fee": {"text": SCRIPT}}
    doors = portal_site.portal.doors
    monkeypatch.setattr(type(doors), "service", lambda *_: service)
    monkeypatch.setattr(type(doors), "ai_notice", lambda *_: SCRIPT)
    page = visitor.get(PAGE)
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text


def test_who_asks_too_often_waits_and_costs_nobody_else_anything(made_once, tmp_path):
    with (
        staged(made_once, tmp_path) as stage,
        portal_before(stage, tmp_path, limits={"requests_per_minute": 10}) as site,
    ):
        visitor = site.visitor()
        statuses = [visitor.get("/").status_code for _ in range(12)]
        assert statuses == [200] * 10 + [429] * 2
        refused = visitor.get("/")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert visitor.get("/static/portal.css").status_code == 200
        # The server believes the proxy on this machine who asked; each has a count of their own.
        assert visitor.get("/", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 200
        site.clock.pass_(minutes=1)
        assert visitor.get("/").status_code == 200


def test_a_body_over_a_doors_cap_is_not_read(visitor):
    answer = visitor.post("/antrag", csrf="", service="x" * 40_000, ars=TAUNUSSTEIN)
    assert answer.status_code == 413
    files = visitor.http.post(
        f"{visitor.base}/antrag", files={"service": ("a.exe", b"MZ")}, headers={"Origin": visitor.base}, timeout=30
    )
    assert files.status_code == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_methods_that_no_page_has_do_nothing(visitor, method):
    answer = visitor.http.request(method, f"{visitor.base}/antrag", timeout=30)
    assert answer.status_code in {403, 404, 405}


@pytest.mark.parametrize(
    "path", ["/static/../settings.py", "/static/%2e%2e/frame.py", "/static/..%2fframe.py", "/static/portal.css.gz"]
)
def test_static_files_are_those_and_no_others(visitor, path):
    answer = visitor.http.send(_raw(visitor, path), timeout=30)
    assert answer.status_code == 404
    assert "dataclass" not in answer.text


def _raw(visitor, path):
    import requests

    request = requests.Request("GET", visitor.base).prepare()
    request.url = visitor.base + path
    return request


def test_nothing_that_somebody_looks_for_or_enters_stands_in_the_log(portal_site, visitor, caplog):
    caplog.set_level(logging.DEBUG)
    visitor.get("/orte", params={"q": CANARY})
    visitor.get("/leistungen", params={"q": CANARY, "ars": TAUNUSSTEIN})
    visitor.get(f"/leistung/{CANARY}")
    begin(visitor)
    key = next(iter(visitor.http.cookies)).value
    ours = [each.getMessage() for each in caplog.records if each.name.startswith(("hub.portal", "uvicorn"))]
    assert not any(CANARY in line or key in line for line in ours)


def test_an_svg_as_logo_can_do_nothing(made_once, tmp_path):
    (tmp_path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    with staged(made_once, tmp_path) as stage, portal_before(stage, tmp_path, look={"logo": "logo.svg"}) as site:
        logo = site.visitor().get("/static/logo")
        assert logo.headers["content-type"] == "image/svg+xml"
        assert "sandbox" in logo.headers["content-security-policy"]
        assert "default-src 'none'" in logo.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["//evil.example", "//evil.example/x", "/%2f/evil.example", "///evil.example"])
def test_no_link_of_a_page_that_is_not_there_leads_to_another_host(visitor, path):
    answer = visitor.http.send(_raw(visitor, path), timeout=30, allow_redirects=False)
    assert answer.status_code == 404
    links = re.findall(r'(?:href|action|src)="([^"]*)"', answer.text)
    assert [each for each in links if each.startswith(("//", "/\\")) or ":" in each.partition("?")[0]] == []
    assert any("evil" in each for each in links)


def test_those_who_come_by_ipv4_through_a_listener_for_both_are_counted_apart():
    counts = VisitCounts(1)
    for address in ("::ffff:192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "::ffff:192.0.2.3"):
        counts.require_room(address, NOW)
    for same in ("192.0.2.1", "::ffff:192.0.2.2", "2001:db8:0:1:ffff::2"):
        with pytest.raises(TooMany):
            counts.require_room(same, NOW)


@pytest.mark.parametrize("body", [b"&" * 262_000, b"a&" * 131_000, b"a=b&" * 65_000])
def test_a_form_of_many_separators_holds_nobody_up(visitor, monkeypatch, body):
    from starlette import formparsers

    monkeypatch.setattr(formparsers.FormParser, "parse", None)  # It looks at every byte: most of a second for these.
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = visitor.http.post(f"{visitor.base}/stand", data=body, headers=kind, timeout=30)
    assert answer.status_code == 400


def test_slow_files_of_some_keep_nobody_from_their_own(portal_site):
    """Whoever drips files holds a thread for each, and one address no more of them than it may: others go on."""
    most = portal_site.portal.settings.limits.bodies_at_once
    with ExitStack() as stack:
        for _ in range(4):
            slow = portal_site.visitor()
            begin(slow)
            page = slow.get("/antrag/anlagen")
            lines = [drip(stack, slow, page.text) for _ in range(most // 4)]
        beyond = drip(stack, slow, page.text)
        beyond.settimeout(10)
        assert beyond.recv(4_096).startswith(b"HTTP/1.1 429 ")
        assert all(not readable([line], [], [], 0)[0] for line in lines), "what came in before comes in still"
        mine = from_elsewhere(portal_site.visitor())
        begin(mine)
        token = ("csrf", (None, re.search(r'name="csrf" value="([^"]+)"', mine.get("/antrag/anlagen").text)[1]))
        file = ("datei", ("plan.pdf", b"%PDF-1.4 " + b"x" * 9_000, "application/pdf"))
        sent = mine.http.post(f"{mine.base}/antrag/anlagen", files=[token, file], timeout=10, allow_redirects=False)
        assert sent.status_code == 303
        got = mine.http.get(f"{mine.base}/antrag/anlagen/1", timeout=10)
        assert got.content.startswith(b"%PDF-1.4 x")
    # Whoever let go is counted no more, as soon as the portal sees it.
    while begin(portal_site.visitor()).status_code == 429:
        time.sleep(0.05)


def test_a_thief_of_disk_and_log_finds_nothing_of_a_form_on_its_way(portal_site, visitor, caplog):
    """From its beginning over files, a refusal, saving and going on elsewhere to its end."""
    caplog.set_level(logging.DEBUG)
    begin(visitor)
    token = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/antrag/anlagen").text)[1]
    for content in (b"%PDF-1.4 " + CANARY.encode() * 1_000, CANARY.encode()):
        file = ("datei", (f"{CANARY}.pdf", content, "application/pdf"))
        visitor.http.post(f"{visitor.base}/antrag/anlagen", files=[("csrf", (None, token)), file], timeout=30)
    answered(portal_site, visitor, answers={"name": CANARY})
    assert CANARY in visitor.get("/antrag/anlagen").text
    typed = typed_on(visitor.post("/antrag/speichern", at="/antrag/speichern").text)
    other = portal_site.visitor()
    other.post("/weiter", csrf="", **typed, allow_redirects=False)
    assert CANARY in other.get("/antrag/anlagen").text
    keys = [next(iter(each.http.cookies)).value.partition(".")[2] for each in (visitor, other)]
    secrets = [CANARY, token, typed["code"], typed["code"].replace("-", ""), *keys]
    other.post("/antrag/beenden", at="/antrag/anlagen", allow_redirects=False)
    kept = portal_site.portal.settings.storage.folder
    disk = b"".join(path.read_bytes() for path in kept.rglob("*") if path.is_file())
    log = "".join(
        each.getMessage() for each in caplog.records if each.name.startswith(("hub", "uvicorn", "sqlalchemy"))
    )
    assert len(disk) > len(CANARY) * 1_000
    assert [each for each in secrets if each.encode() in disk or each in log] == []


def drip(stack, slow, page):
    """Begin to send a file, and leave it at that."""
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
    cookie = "; ".join(f"{each.name}={each.value}" for each in slow.http.cookies)
    host = slow.base.removeprefix("http://")
    body = (
        f'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n'
        '--b\r\nContent-Disposition: form-data; name="datei"; filename="a.pdf"\r\n\r\n%PDF-1.4 and no more'
    )
    head = (
        f"POST /antrag/anlagen HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    line = stack.enter_context(socket.create_connection(tuple(host.split(":"))))
    line.sendall((head + body).encode())
    return line


def from_elsewhere(visitor, address="127.0.0.2"):
    """Have somebody's browser come from another address of this machine."""
    adapter = HTTPAdapter()
    adapter.init_poolmanager(10, 10, source_address=(address, 0))
    visitor.http.mount("http://", adapter)
    return visitor


def test_who_begins_forms_without_end_is_stopped_and_others_are_not(made_once, tmp_path):
    """Ten addresses of a block fill no more than ten of its bound, however many addresses it has."""
    with staged(made_once, tmp_path) as stage, portal_before(stage, tmp_path, limits={"begun_per_address": 2}) as site:
        for _ in range(2):
            assert begin(site.visitor()).status_code == 303
        refused = begin(site.visitor())
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) <= 15 * 60
        assert "sehr viele Anträge angefangen" in refused.text
        assert "Set-Cookie" not in refused.headers
        assert begin(from_elsewhere(site.visitor())).status_code == 303
        counts = BegunForms(site.portal.storage.database, 2)
        # Four came by the pages, the refused one among them.
        for number in range(3, 19):
            counts.require_room(f"127.0.0.{number}", NOW)
        with pytest.raises(TooMany):
            counts.require_room("127.0.0.99", NOW)
        counts.require_room("127.0.1.1", NOW)


def test_who_fills_the_storage_stops_at_a_share_of_it_and_others_go_on(made_once, tmp_path):
    """One address cannot take all that the portal keeps: not by files, by pages, nor by copies of what it saved."""
    limits = {"stored_megabytes_per_address": 2}
    with staged(made_once, tmp_path) as stage, portal_before(stage, tmp_path, limits=limits) as site:
        greedy = site.visitor()
        begin(greedy)
        plan = b"%PDF-1.4 " + b"x" * 1_200_000
        assert attach(greedy, plan).status_code == 303
        refused = attach(greedy, plan)
        assert refused.status_code == 422
        assert "sehr viele Dateien" in refused.text
        assert "Was Sie bisher angegeben haben, bleibt" in refused.text
        assert len(re.findall(r'name="entfernen"', refused.text)) == 1, "what came in before stays"
        # Copies of what lies there already take room, too.
        token = re.search(r'name="csrf" value="([^"]+)"', refused.text)[1]
        saved = greedy.http.post(f"{greedy.base}/antrag/speichern", data={"csrf": token}, timeout=10)
        assert saved.status_code == 429
        mine = from_elsewhere(site.visitor())
        begin(mine)
        assert attach(mine, plan).status_code == 303
        site.clock.pass_(minutes=24 * 60 + 1)
        later = site.visitor()
        begin(later)
        assert attach(later, plan).status_code == 303


def attach(visitor, content):
    token = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/antrag/anlagen").text)[1]
    parts = [("csrf", (None, token)), ("datei", ("plan.pdf", content, "application/pdf")), ("mehr", (None, "1"))]
    return visitor.http.post(f"{visitor.base}/antrag/anlagen", files=parts, timeout=20, allow_redirects=False)


def test_a_block_of_addresses_takes_no_more_than_half_of_the_storage(made_once, tmp_path):
    with staged(made_once, tmp_path) as stage, portal_before(stage, tmp_path) as site:
        shares = StoredShares(site.portal.storage.database, 1024**2, all_of_it=6 * 1024**2)
        for number in range(1, 4):
            shares.require_room(f"203.0.113.{number}", 1024**2, NOW)
        with pytest.raises(TooMany):
            shares.require_room("203.0.113.77", 1024, NOW)
        shares.require_room("198.51.100.1", 1024**2, NOW)


def test_forms_that_nobody_answers_make_room_for_those_of_others(made_once, tmp_path):
    with staged(made_once, tmp_path) as stage, portal_before(stage, tmp_path, limits={"forms": 100}) as site:
        answering = site.visitor()
        begin(answering)
        answered(site, answering, answers={"name": CANARY})
        for _ in range(99):
            begin(site.visitor())
        assert begin(site.visitor()).status_code == 503, "nobody is pushed out at once"
        site.clock.pass_(minutes=6)
        late = site.visitor()
        assert begin(late).status_code == 303
        assert [late.get("/antrag").status_code, answering.get("/antrag").status_code] == [200, 200]


def test_a_begun_form_lives_on_by_being_answered_and_not_by_being_looked_at(made_once, tmp_path):
    with staged(made_once, tmp_path) as stage, portal_before(stage, tmp_path) as site:
        looking, answering = site.visitor(), site.visitor()
        for each in (looking, answering):
            begin(each)
        answered(site, answering, answers={"name": CANARY})
        for _ in range(3):
            site.clock.pass_(minutes=11)
            looking.get("/antrag")
            assert answering.get("/antrag").status_code == 200
        assert looking.get("/antrag").status_code == 404


def test_bodies_of_a_block_of_addresses_count_together_and_are_forgotten_with_their_ends():
    bodies = BodiesAtOnce(2)
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context(bodies.one(f"2001:db8:7:{number}::1"))
        with pytest.raises(TooMany), bodies.one("2001:db8:7:ffff::1"):
            pass
        for same in ("2001:db8:8::1", "2001:db8:8:0:1::1"):
            stack.enter_context(bodies.one(same))
        with pytest.raises(TooMany), bodies.one("2001:db8:8:0:2::1"):
            pass
    assert bodies.counts == {}


@pytest.mark.parametrize(("chunk", "seconds"), [(b"x", 20.0), (b"x" * 30_000, 20.0)])
def test_a_body_that_drips_is_ended_and_a_slow_line_is_not(chunk, seconds):
    passed = [0.0]

    async def slow():
        passed[0] += seconds
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def read():
        receive = paced(slow, clock=lambda: passed[0])
        for _ in range(30):
            await receive()

    if len(chunk) == 1:
        with pytest.raises(Malformed) as refused:
            asyncio.run(read())
        assert refused.value.slug == "request-timeout"
    else:
        asyncio.run(read())


def test_a_body_that_stops_is_ended():
    async def read():
        await paced(asyncio.Event().wait, pause=0.01)()

    with pytest.raises(Malformed) as refused:
        asyncio.run(read())
    assert refused.value.slug == "request-timeout"
