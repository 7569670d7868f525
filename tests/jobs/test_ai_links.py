"""Links of the register of AI systems: looked at by the one dialler, bounded, and broken only when they fail again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from routing_book import NOW
from test_ai_systems import CHAT

from hub.jobs.ai_links import LinkWatch
from hub.services.ai_systems import AiRegister, read_systems
from hub.transport.connection import Outbound

(DOGS,) = read_systems(CHAT.replace("2026-10\n", '"2026-10"\n').encode())
DAY = timedelta(days=1)


class Pages(BaseHTTPRequestHandler):
    """Answers by what the path says."""

    asked: list[str]

    def do_GET(self) -> None:  # the library's name
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Location", "http://169.254.169.254/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def watch(store, *urls, outbound=None, **more) -> LinkWatch:
    register = AiRegister([replace(DOGS, addresses={f"website{n}": url for n, url in enumerate(urls)})])
    return LinkWatch(
        links=store.ai_links,
        register=lambda: register,
        outbound=outbound or Outbound(allow_private_addresses=True),
        **more,
    )


def test_a_link_is_broken_when_it_fails_twice_in_a_row_and_mended_when_it_leads_somewhere(store, site):
    at = f"http://127.0.0.1:{site.server_port}"
    assert watch(store, f"{at}/404", f"{at}/200", f"{at}/301").run(NOW) == 3
    assert store.ai_links.broken() == {}
    assert watch(store, f"{at}/404", f"{at}/200", f"{at}/301").run(NOW + DAY) == 1
    assert store.ai_links.broken() == {f"{at}/404": "HTTP 404"}
    assert site.asked == ["/404", "/200", "/301", "/404"]
    store.ai_links.note([replace(store.ai_links.all()[f"{at}/404"], failures=0)], known=[f"{at}/404"])
    assert store.ai_links.broken() == {}
    assert list(store.ai_links.all()) == [f"{at}/404"], "what nobody links any more is forgotten"


def test_a_redirect_is_not_followed_and_a_run_looks_at_a_bounded_number(store, site):
    at = f"http://127.0.0.1:{site.server_port}"
    seen = watch(store, *(f"{at}/{n}/302" for n in range(5)), most=2)
    assert [seen.run(NOW), seen.run(NOW), seen.run(NOW), seen.run(NOW)] == [2, 2, 1, 0]
    assert len(site.asked) == 5
    assert seen.check(NOW, most=3) == []
    assert len(site.asked) == 8


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://[::1]:8443/"]
)
def test_a_link_into_the_own_network_is_never_dialled(store, url):
    dialled = watch(store, url, outbound=Outbound())
    (failed,) = dialled.check(NOW)
    assert (failed.url, failed.failures) == (url, 1)
