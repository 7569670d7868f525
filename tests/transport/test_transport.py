"""The way out: which addresses may be reached, what can be a server's name, look-ups within bounds, one deadline."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time

import pytest
from partner import Partner

from hub.errors import Invalid
from hub.model import reasons
from hub.transport.addresses import SPECIAL_IPV4, SPECIAL_IPV6, host_fault, is_own, is_public, may_reach, url_parts
from hub.transport.connection import Inward, Line, LookUpLate, NoHost, Outbound, Resolver, reason_for

#: Addresses that their registry's row does not decide: what they embed does.
_EMBEDDING = {"::ffff:0:0/96", "64:ff9b::/96", "2002::/16"}

#: IANA's special-purpose registries for IPv4 and IPv6, last updated 2025-10-09, fetched 2026-07-18: block, "Globally Reachable"
#: ("-" for an empty field), and an address that no narrower block holds.
_REGISTERED = """
0.0.0.0/8 False 0.1.2.3
0.0.0.0/32 False 0.0.0.0
10.0.0.0/8 False 10.1.2.3
100.64.0.0/10 False 100.64.0.1
127.0.0.0/8 False 127.0.0.53
169.254.0.0/16 False 169.254.169.254
172.16.0.0/12 False 172.31.255.1
192.0.0.0/24 False 192.0.0.128
192.0.0.0/29 False 192.0.0.7
192.0.0.8/32 False 192.0.0.8
192.0.0.9/32 True 192.0.0.9
192.0.0.10/32 True 192.0.0.10
192.0.0.170/32 False 192.0.0.170
192.0.0.171/32 False 192.0.0.171
192.0.2.0/24 False 192.0.2.1
192.31.196.0/24 True 192.31.196.1
192.52.193.0/24 True 192.52.193.1
192.88.99.0/24 - 192.88.99.1
192.88.99.2/32 False 192.88.99.2
192.168.0.0/16 False 192.168.178.1
192.175.48.0/24 True 192.175.48.6
198.18.0.0/15 False 198.19.1.1
198.51.100.0/24 False 198.51.100.7
203.0.113.0/24 False 203.0.113.7
240.0.0.0/4 False 250.1.2.3
255.255.255.255/32 False 255.255.255.255
::1/128 False ::1
::/128 False ::
::ffff:0:0/96 False ::ffff:10.0.0.1
64:ff9b::/96 True 64:ff9b::8.8.8.8
64:ff9b:1::/48 False 64:ff9b:1::808:808
100::/64 False 100::1
100:0:0:1::/64 False 100:0:0:1::1
2001::/23 False 2001:100::1
2001::/32 N/A 2001:0:808:808::1
2001:1::1/128 True 2001:1::1
2001:1::2/128 True 2001:1::2
2001:1::3/128 True 2001:1::3
2001:2::/48 False 2001:2::1
2001:3::/32 True 2001:3::1
2001:4:112::/48 True 2001:4:112::1
2001:10::/28 - 2001:1f::1
2001:20::/28 True 2001:2f::1
2001:30::/28 True 2001:3f::1
2001:db8::/32 False 2001:db8::1
2002::/16 N/A 2002:a00:1::1
2620:4f:8000::/48 True 2620:4f:8000::1
3fff::/20 False 3fff:fff::1
5f00::/16 False 5f00::1
fc00::/7 False fd12:3456::1
fe80::/10 False fe80::1
"""


def _ends(prefix: str) -> list[str]:
    network = ipaddress.ip_network(prefix)
    return [str(network[0]), str(network[-1])]


def _deciding(table: tuple[tuple[str, bool], ...], address: str) -> bool:
    inside = [(p, yes) for p, yes in table if ipaddress.ip_address(address) in ipaddress.ip_network(p)]
    return max(inside, key=lambda row: ipaddress.ip_network(row[0]).prefixlen)[1]


def test_the_tables_are_the_registries():
    rows = [line.split() for line in _REGISTERED.split("\n") if line]
    assert {block: said == "True" for block, said, _ in rows} == dict((*SPECIAL_IPV4, *SPECIAL_IPV6))
    judged = {address: is_public(ipaddress.ip_address(address)) for _, _, address in rows}
    assert judged == {address: said == "True" for _, said, address in rows}


@pytest.mark.parametrize(
    ("address", "table"),
    [
        (address, table)
        for table in (SPECIAL_IPV4, SPECIAL_IPV6)
        for prefix, _ in table
        if prefix not in _EMBEDDING
        for address in _ends(prefix)
    ],
)
def test_both_ends_of_each_special_range_are_judged_as_its_registry_says(address: str, table):
    # The end of a range may lie in a smaller one with a row of its own, or be kept for a cloud's metadata.
    assert is_public(ipaddress.ip_address(address)) == _deciding(table, address)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("192.0.0.9", True),
        ("192.0.0.11", False),
        ("192.0.1.0", True),
        ("100.63.255.255", True),
        ("100.128.0.0", True),
        ("198.17.255.255", True),
        ("198.20.0.0", True),
        ("223.255.255.255", True),
        ("224.0.0.0", False),
        ("239.255.255.255", False),
        ("239.255.255.256".replace("256", "0"), False),
        ("2a00::1", True),
        ("2001:200::1", True),
        ("2001:1::4", False),
        ("2001:40::1", False),
        ("4000::1", False),
        ("ff0e::1", False),
        ("fec0::1", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::169.254.169.254", False),
        ("64:ff9b:1::808:808", False),
        ("2002:808:808::1", True),
        ("2002:c0a8:101::1", False),
        ("2001:0:808:808::1", False),
        ("::8.8.8.8", False),
        ("168.63.129.16", False),
    ],
)
def test_an_address_is_public_as_the_registries_say_and_by_what_it_embeds(address: str, public: bool):
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.31.0.1", "192.168.0.1", "127.0.0.1", "::1", "fd12::1", "100.64.0.1", "::ffff:10.0.0.1"]
)
def test_the_switch_opens_the_own_network(address: str):
    judged = ipaddress.ip_address(address)
    assert is_own(judged)
    assert may_reach(judged, private=True)
    assert not may_reach(judged, private=False)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "64:ff9b:1::a9fe:a9fe",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
    ],
)
def test_no_switch_opens_link_local_metadata_or_what_is_no_host(address: str):
    assert not may_reach(ipaddress.ip_address(address), private=True)
    with Line(timeout=1, public_only=False) as line, pytest.raises(Inward):
        line.dial(address, 9)
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(Invalid):
        Outbound(allow_private_addresses=True).require_url(f"http://{shown}/latest/meta-data")


IMPOSSIBLE = {
    "an empty label": "a..example.org",
    "an empty label at the start": ".example.org",
    "a full stop at the end": "example.org.",
    "a label of 64": f"{'a' * 64}.example.org",
    "a name of 254": ".".join(["a" * 49] * 5 + ["abcd"]),
    "a hyphen at the start": "-a.example.org",
    "a hyphen at the end": "a-.example.org",
    "a blank": "exa mple.org",
    "another letter": "müller.example.org",
    "a letter that looks alike": "ex\u0430mple.org",
    "a full-width stop": "example\uff0eorg",
    "no encoded name": "xn--a-\u0660.example.org",
    "an encoded name of nothing": "xn--.example.org",
    "an encoded name beyond all letters": "xn--99999999999.example.org",
    "a decimal address": "2130706433",
    "a short address": "127.1",
    "an octal address": "0177.0.0.1",
    "a hexadecimal address": "0x7f000001",
    "a hexadecimal part": "0x7f.0.0.1",
    "five numbers": "1.2.3.4.5",
    "a number too large": "256.1.1.1",
    "a zone": "fe80::1%eth0",
    "a zone behind a public address": "2001:4860:4860::8888%1",
    "a mapped address": "::ffff:8.8.8.8",
    "a port": "example.org:443",
    "a slash": "example.org/x",
    "a zero byte": "example.org\0",
    "a line": "example.org\n",
    "nothing": "",
}


@pytest.mark.parametrize("host", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_can_be_no_server_is_refused_at_the_door_and_when_dialled(host: str):
    fault = host_fault(host)
    assert fault is not None
    assert fault.de.endswith(".")
    with Line(timeout=1, public_only=False) as line, pytest.raises((NoHost, Inward)):
        line.addresses(host, 443)


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "EXAMPLE.org",
        "xn--mller-kva.example",
        "localhost",
        "sftp_server",
        "a" * 63 + ".example",
        ".".join(["a" * 49] * 5 + ["abc"]),
        "1.example",
        "10.0.0.1",
        "2001:db8::1",
    ],
)
def test_what_can_be_a_server_passes(host: str):
    assert host_fault(host) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org:443:443/",
        "https://example.org:/",
        "https://example.org:0443/",
        "https://example.org:+443/",
        "https://[::1]x/",
        "https://[example.org]/",
        "https:example.org",
        "https:///example.org",
        "https://example.org\t/",
        " https://example.org/",
        "https://exam\nple.org/",
        "https://@example.org/",
        "https://example.org/#x",
        "https:\\\\example.org/",
    ],
)
def test_a_url_that_two_readers_may_read_in_two_ways_is_refused(url: str):
    with pytest.raises(Invalid):
        url_parts(url, {"https"})


def test_callbacks_go_to_443_and_to_ports_of_no_system_service():
    out = Outbound()
    for port in (443, 1024, 8443, 65535):
        out.require_url(f"https://example.org:{port}/")
    for port in (22, 25, 80, 1023):
        with pytest.raises(Invalid):
            out.require_url(f"https://example.org:{port}/")
    Outbound(any_port=True).require_url("https://example.org:444/")
    Outbound(allow_private_addresses=True).require_url("http://127.0.0.1:81/")


# --- look-ups ---------------------------------------------------------------------------------------------------------


class Silent:
    """A name server that answers for nobody until it is told, but for the names that are ``quick``."""

    def __init__(self, *quick: str) -> None:
        self.quick = quick
        self.asked: list[str] = []
        self.answer = threading.Event()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if host not in self.quick:
            self.answer.wait(30)
        return ["127.0.0.1"]


@pytest.fixture
def silent():
    made = Silent("good.example")
    yield made
    made.answer.set()


def test_a_look_up_that_hangs_ends_with_the_attempts_time(silent: Silent):
    resolver, began = Resolver(silent), time.monotonic()
    with Line(timeout=0.2, public_only=False, resolver=resolver) as line, pytest.raises(LookUpLate):
        line.dial("hung.example", 443)
    assert time.monotonic() - began < 10  # The look-up itself would take thirty seconds.


def test_a_callback_to_a_name_without_an_answer_ends_with_its_reason(silent: Silent):
    out = Outbound(timeout=0.2, resolver=Resolver(silent))
    assert out.post("https://hung.example/cb", b"{}", {}).note == reasons.LOOKUP_LATE.note


def test_threads_of_hung_look_ups_do_not_pile_up(silent: Silent):
    resolver = Resolver(silent, most=4, most_of_domain=2)
    for number in range(40):
        with pytest.raises(LookUpLate):
            resolver.addresses(f"n{number}.example{number}", within=0.01)
    assert resolver.under_way() == 4
    assert sum(thread.name == "resolve" and thread.is_alive() for thread in threading.enumerate()) <= 4 + 2
    silent.answer.set()


def test_who_asks_after_an_answer_is_not_given_that_answer_again():
    """A name that turns to the own network is judged at the next dial, whatever the look-up's thread still has to do."""
    answers = iter(range(200))
    resolver = Resolver(lambda _: [f"192.0.2.{next(answers)}"])
    for number in range(200):
        assert resolver.addresses("turning.example", within=5) == [f"192.0.2.{number}"]
        assert resolver.under_way() == 0


def test_a_hung_name_is_asked_once_however_often_it_is_wanted(silent: Silent):
    resolver = Resolver(silent)
    for _ in range(5):
        with pytest.raises(LookUpLate):
            resolver.addresses("hung.example", within=0.01)
    assert silent.asked == ["hung.example"]


def test_one_domain_whose_name_server_hangs_leaves_room_for_others(silent: Silent):
    resolver = Resolver(silent, most=4, most_of_domain=2)
    for number in range(20):
        with pytest.raises(LookUpLate):
            resolver.addresses(f"n{number}.evil.test", within=0.01)
    assert resolver.addresses("good.example", within=5) == ["127.0.0.1"]
    assert resolver.under_way() <= 3


def test_after_hung_look_ups_end_there_is_room_again(silent: Silent):
    resolver = Resolver(silent, most=1)
    with pytest.raises(LookUpLate):
        resolver.addresses("hung.example", within=0.01)
    waiting: list[object] = []
    thread = threading.Thread(target=lambda: waiting.append(resolver.addresses("good.example", within=30)))
    thread.start()
    silent.answer.set()
    thread.join(30)
    assert waiting == [["127.0.0.1"]]


@pytest.mark.parametrize("error", [UnicodeError("label"), ValueError("null"), OSError("no"), RuntimeError("odd")])
def test_whatever_a_resolver_raises_a_callback_has_an_outcome(error: Exception):
    def look_up(_host: str) -> list[str]:
        raise error

    posted = Outbound(timeout=1, resolver=Resolver(look_up)).post("https://receiver.example/cb", b"{}", {})
    assert posted.status is None
    assert posted.note


def test_a_first_address_that_is_dead_does_not_use_up_the_time():
    with Partner() as partner:
        # Nobody listens at the other loopback address.
        resolver = Resolver(lambda _host: ["127.0.0.77", "127.0.0.1"])
        out = Outbound(allow_private_addresses=True, timeout=5, resolver=resolver)
        assert out.post(f"http://receiver.example:{partner.port}/cb", b"{}", {}).status == 200
        assert partner.heard[0].headers["Host"] == f"receiver.example:{partner.port}"


def test_a_name_is_looked_up_once_for_judging_and_dialling():
    asked: list[str] = []

    def turning(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.77"]

    with Partner() as partner:
        out = Outbound(allow_private_addresses=True, timeout=5, resolver=Resolver(turning))
        assert out.post(f"http://rebinding.example:{partner.port}/cb", b"{}", {}).taken
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Inward(), "address-not-public"),
        (NoHost(), "host-impossible"),
        (socket.gaierror(), "name-not-found"),
        (LookUpLate(), "name-lookup-late"),
        (ConnectionRefusedError(), "connection-refused"),
        (ConnectionResetError(), "connection-lost"),
        (TimeoutError(), "timed-out"),
        (ssl.SSLCertVerificationError(), "tls-not-trusted"),
        (ssl.SSLError(), "tls-refused"),
        (OSError(), "not-reachable"),
        (UnicodeError(), "host-impossible"),
    ],
)
def test_every_error_of_a_connection_has_a_reason(error: Exception, code: str):
    assert reason_for(error, late=False).code == code


def test_what_the_deadline_broke_is_late_whatever_the_library_calls_it():
    assert reason_for(ConnectionResetError(), late=True).code == "timed-out"
    assert reason_for(Inward(), late=True).code == "address-not-public"
