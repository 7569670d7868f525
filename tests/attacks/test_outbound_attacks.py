"""Server-side request forgery: callbacks must not lead the hub into anybody's private network."""

from __future__ import annotations

import pytest
from partner import Answer, Partner, always

from hub.errors import Invalid
from hub.transport.connection import Outbound

OUT = Outbound(timeout=1)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/cb",
        "ftp://example.org/cb",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://",
        "https:///cb",
        "https://user:password@example.org/",
        "https://example.org@127.0.0.1/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://[ff02::1]/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org/#fragment",
        "https://example.org\\@127.0.0.1/",
        "https://exa mple.org/",
        "https://example.org/\r\nHost: evil",
        "https://ex\u0430mple.org/",
        "https://-bad.example/",
        "https://example.org/" + "a" * 3000,
    ],
)
def test_an_address_that_leads_inward_or_is_ambiguous_is_refused(url: str):
    with pytest.raises(Invalid):
        OUT.require_url(url)
    assert OUT.post(url, b"{}", {}).status is None
    assert OUT.get(url, {}).status is None


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_a_name_or_a_spelling_that_resolves_inward_is_not_called(host: str):
    with Partner() as partner:
        posted = OUT.post(f"https://{host}:{partner.port}/cb", b"{}", {})
        assert (posted.status, partner.heard) == (None, [])
        assert posted.note in {"address refused", "name not found"}


def test_public_addresses_are_let_through():
    urls = ["https://example.org/cb?a=1", "https://example.org:8443/", "https://[2001:4860:4860::8888]/x"]
    assert [url for url in [*urls, "https://10.0.0.1/"] if _lets_through(url)] == urls


def _lets_through(url: str) -> bool:
    try:
        OUT.require_url(url)
    except Invalid:
        return False
    return True


def test_a_redirect_is_not_followed():
    with Partner() as inner, Partner(play=always(Answer(status=302, headers={"Location": inner.url}))) as outer:
        posted = Outbound(allow_private_addresses=True, timeout=2).post(f"{outer.url}/cb", b"{}", {})
        assert (posted.status, posted.taken, inner.heard) == (302, False, [])


def test_header_values_cannot_smuggle_lines():
    with Partner() as partner:
        outbound = Outbound(allow_private_addresses=True, timeout=2)
        with pytest.raises(ValueError, match="header"):
            outbound.post(f"{partner.url}/cb", b"{}", {"X-A": "1\r\nX-B: 2"})


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch):
    with Partner() as proxy, Partner() as target:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert Outbound(allow_private_addresses=True, timeout=2).post(f"{target.url}/cb", b"{}", {}).taken
        assert (proxy.heard, len(target.heard)) == ([], 1)


def test_an_untrusted_certificate_is_refused(tmp_path):
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with Partner(tls=context) as partner:
        posted = Outbound(allow_private_addresses=True, timeout=2).post(f"{partner.url}/cb", b"{}", {})
    assert posted.status is None


@pytest.mark.parametrize(
    "host",
    [
        "a..example.org",
        f"{'a' * 64}.example.org",
        f"{'a.' * 127}example",
        "xn--.example.org",
        "example.org.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[fe80::1%25eth0]",
        "[::ffff:8.8.8.8]",
    ],
)
def test_a_name_that_nothing_can_have_is_refused_when_it_is_entered_and_ends_an_attempt_when_it_is_not(host: str):
    with pytest.raises(Invalid) as refused:
        OUT.require_url(f"https://{host}/cb")
    assert refused.value.detail.de
    assert OUT.post(f"https://{host}/cb", b"{}", {}).note == "address refused"


def test_the_metadata_of_a_cloud_stays_shut_also_where_private_addresses_are_open():
    wide = Outbound(allow_private_addresses=True, timeout=1)
    for host in ("169.254.169.254", "[fe80::a9fe:a9fe]", "[fd00:ec2::254]", "100.100.100.200", "[64:ff9b::a9fe:a9fe]"):
        with pytest.raises(Invalid):
            wide.require_url(f"http://{host}/latest/meta-data/iam")
        assert wide.get(f"http://{host}/latest/meta-data/iam", {}).status is None


def test_a_name_that_leads_to_the_metadata_of_a_cloud_is_not_called():
    from hub.transport.connection import Resolver

    wide = Outbound(allow_private_addresses=True, timeout=1, resolver=Resolver(lambda _host: ["169.254.169.254"]))
    assert wide.get("http://metadata.example/latest", {}).note == "address refused"


def test_a_mail_port_is_no_callback_address():
    with pytest.raises(Invalid):
        OUT.require_url("https://mail.example.org:25/")
