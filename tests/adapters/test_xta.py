"""XTA 2.1.1 as a way out: what the kit's bench holds it to, what XTA's refusals mean, and that nothing goes twice."""

from __future__ import annotations

import re
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from contract import hold, make_package, opened, sentences_for, trial_of, workshop  # noqa: F401
from lxml import etree
from shared_data import SHARED, needs_shared_data

from adapters.xta import Xta
from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.http import Receiver, StagedAnswer
from hub.adapter_kit.packages import again
from hub.adapter_kit.xta import XtaBench, refused, said
from hub.errors import ConfigurationError, StoreUnavailable, Text
from hub.model.reasons import reason_of
from hub.model.submission import DeadCause, OutcomeKind
from hub.soap import xta

D, R, U = OutcomeKind.DELIVERED, OutcomeKind.REFUSED, OutcomeKind.UNREACHABLE


@pytest.fixture
def bench(workshop):  # noqa: F811
    bench = XtaBench(workshop)
    yield bench
    bench.close()


@pytest.fixture
def config(bench):
    return trial_of(Xta).filled(bench.arrange(Trouble.NONE, make_package()))


class Scripted(XtaBench):
    """A server whose answers to single operations are given; ``heard`` holds the operations in their order."""

    def __init__(self, workshop):  # noqa: F811
        self.answers, self.heard = {}, []
        super().__init__(workshop)

    def play(self, heard):
        action = re.search(r'XTA/(\w+)"', heard.headers["Content-Type"])[1]
        self.heard.append(action)
        return self.answers.get(action) or super().play(heard)


@pytest.fixture
def scripted(workshop):  # noqa: F811
    bench = Scripted(workshop)
    yield bench
    bench.close()


def adapter_for(bench, **options):
    return opened(Xta, trial_of(Xta).filled(bench.arrange(Trouble.NONE, make_package())) | options)


@pytest.mark.parametrize("sentence", sentences_for(Xta))
def test_xta(sentence, workshop):  # noqa: F811
    hold(sentence, Xta, workshop)


@pytest.mark.parametrize(
    "change",
    {
        "plain http": {"send_url": "http://xta.example/send"},
        "plain http for the management": {"management_url": "http://xta.example/manage"},
        "no certificate": {"client_cert_file": None},
        "nobody to be": {"author": ""},
        "a line break in the reader": {"reader": "bau:1\nbau:2"},
        "a service that is no URI": {"service": "Bauantrag"},
        "half a code": {"scenario_list": "urn:example:scenarios"},
        "a schema that is no URI": {"payload_schema": "antrag"},
        "a prefix that is no URN": {"message_id_prefix": "hub-"},
        "a prefix that leaves no room": {"message_id_prefix": "urn:" + "x" * 100},
        "no time": {"timeout": 0},
        "another envelope": {"envelope": 3},
        "another version of XTA": {"version": "3.1"},
    }.values(),
    ids=str,
)
def test_xta_refuses(change, config):
    with pytest.raises(ConfigurationError):
        Xta({**config, **change})


def test_the_client_certificate_is_shown(workshop):  # noqa: F811
    tls = workshop.tls(Trouble.CLIENT_CERTIFICATE_WANTED)
    assert tls.verify_mode is ssl.CERT_REQUIRED
    bench = XtaBench(workshop)
    receiver = Receiver(bench.play, tls)
    address = f"https://127.0.0.1:{receiver.port}"
    try:
        adapter = adapter_for(bench, send_url=f"{address}/s", management_url=f"{address}/m")
        package = make_package()
        assert (adapter.deliver(package).kind, bench.copies(package)) == (D, 1)
    finally:
        receiver.close()
        bench.close()


def test_a_repeat_goes_once_also_from_another_node_and_after_a_restart(bench, config):
    package = make_package()
    bench.arrange(Trouble.RESET_LATE, package)
    assert opened(Xta, config).deliver(package).kind is OutcomeKind.UNKNOWN
    bench.arrange(Trouble.NONE, package)
    outcome = opened(Xta, config).deliver(again(package))
    assert (outcome.kind, bench.copies(package)) == (D, 1)
    assert outcome.note.startswith(
        f"was already there as urn:de:xta:messageid:hub:{package.delivery_id}, report open at 2"
    )


def test_what_arrived_without_the_hubs_knowing_is_not_sent_again(scripted):
    """A node died after sending and before writing that down: its attempt is no repeat."""
    adapter, package = adapter_for(scripted), make_package()
    adapter.deliver(package)
    outcome = adapter.deliver(package)
    assert (outcome.kind, scripted.copies(package)) == (D, 1)
    assert outcome.note.startswith("was already there as ")


def test_an_id_of_the_servers_own_is_used_again_also_from_another_node_and_after_a_restart(scripted):
    package = make_package()
    first, second = (adapter_for(scripted, message_id_prefix="") for _ in range(2))
    scripted.arrange(Trouble.RESET_LATE, package)
    assert first.deliver(package).kind is OutcomeKind.UNKNOWN
    scripted.arrange(Trouble.NONE, package)
    outcome = second.deliver(again(package))
    assert (outcome.kind, outcome.note.startswith("was already there as urn:de:xta:messageid:bench:")) == (D, True)
    assert (scripted.heard.count("CreateMessageID"), scripted.copies(package)) == (1, 1)


def test_an_id_is_kept_before_anything_is_sent_under_it(scripted):
    def refuse(_known_as):
        raise StoreUnavailable(Text("Nein.", "No."))

    package = replace(make_package(), keep=refuse)
    outcome = adapter_for(scripted, message_id_prefix="").deliver(package)
    assert (outcome.kind, outcome.cause, scripted.heard) == (U, DeadCause.HUB, ["CreateMessageID"])
    assert outcome.note.startswith("not attempted: ")


def test_another_prefix_makes_no_second_message_of_what_was_begun(scripted):
    package = make_package()
    adapter_for(scripted).deliver(package)
    adapter_for(scripted, message_id_prefix="urn:example:other:").deliver(again(package))
    assert (scripted.copies(package), scripted.heard.count("SendMessage")) == (1, 1)


def test_what_was_refused_goes_under_a_new_id_once_somebody_sends_it_again(scripted):
    adapter, package = adapter_for(scripted, message_id_prefix=""), make_package()
    scripted.answers["SendMessage"] = refused("MessageSchemaViolation", "9050")
    assert adapter.deliver(package).kind is R
    scripted.answers.clear()
    outcome = adapter.deliver(replace(again(package), repeat=False))
    assert (outcome.kind, scripted.heard.count("CreateMessageID"), scripted.copies(package)) == (D, 2, 1)


def test_the_transport_report_is_kept_as_it_came(scripted):
    outcome = adapter_for(scripted).deliver(make_package())
    assert xta.read_report(outcome.proof).message_id == outcome.note.split()[2].rstrip(",")
    assert etree.fromstring(outcome.proof).find(f".//{{{xta.XTA}}}TransportReport") is not None


@pytest.mark.parametrize(
    ("refusal", "kind", "cause", "reason"),
    [
        (("PermissionDenied", "9011"), U, DeadCause.CONFIGURATION, "login-refused"),
        (("ParameterIsNotValid", "9022"), R, DeadCause.CONFIGURATION, "xta-parameters"),
        (("ParameterIsNotValid", "9023"), R, DeadCause.PAYLOAD, "xta-message-refused"),
        (("SyncAsync", "9081"), R, DeadCause.CONFIGURATION, "xta-parameters"),
        (("MessageSchemaViolation", "9050"), R, DeadCause.PAYLOAD, "xta-message-refused"),
        (("MessageVirusDetection", "9060"), R, DeadCause.PAYLOAD, "xta-message-refused"),
        (("XTAWSTechnicalProblem", "9030"), U, None, "xta-trouble"),
        (("SomethingElse", "9000"), U, None, "http-500"),
    ],
)
def test_business_exceptions_and_technical_ones_are_told_apart(scripted, refusal, kind, cause, reason):
    scripted.answers["SendMessage"] = refused(*refusal)
    outcome = adapter_for(scripted).deliver(make_package())
    assert (outcome.kind, outcome.cause, reason_of(outcome.note).code) == (kind, cause, reason)


@pytest.mark.parametrize(("status", "kind", "word"), [(0, D, "open"), (1, D, "green"), (2, D, "yellow"), (3, R, "red")])
def test_the_transport_report_says_what_became_of_it(scripted, status, kind, word):
    adapter, package = adapter_for(scripted), make_package()
    first = adapter.deliver(package)
    assert "report open" in first.note
    scripted.answers["GetTransportReport"] = report_about(f"urn:de:xta:messageid:hub:{package.delivery_id}", status)
    outcome = adapter.deliver(again(package))
    assert (outcome.kind, f"report {word} at " in outcome.note) == (kind, True)
    assert outcome.cause is (DeadCause.RECEIVER if kind is R else None)


def report_about(message_id, status):
    return said(
        f"<x:TransportReport><m:MessageMetaData><m:MsgIdentification><a:MessageID>{message_id}</a:MessageID>"
        f"</m:MsgIdentification></m:MessageMetaData><x:ReportTime>{datetime.now(UTC).isoformat()}</x:ReportTime>"
        f"<x:MessageStatus><x:Status>{status}</x:Status></x:MessageStatus></x:TransportReport>"
    )


@pytest.mark.parametrize(
    "answer",
    [StagedAnswer(status=500), said("<x:TransportReport/>"), refused("XTAWSTechnicalProblem", "9030")],
    ids=["broken", "empty", "technical"],
)
def test_what_was_taken_is_delivered_though_no_report_is_to_be_had(scripted, answer):
    scripted.answers["GetTransportReport"] = answer
    outcome = adapter_for(scripted).deliver(make_package())
    assert (outcome.kind, outcome.note.endswith(", no report yet")) == (D, True)


def test_a_repeat_waits_while_nobody_can_say_whether_it_is_there(scripted):
    scripted.answers["GetTransportReport"] = refused("XTAWSTechnicalProblem", "9030")
    outcome = adapter_for(scripted).deliver(again(make_package()))
    assert (outcome.kind, scripted.heard) == (U, ["GetTransportReport"])


def test_a_report_about_another_message_proves_nothing(scripted):
    scripted.answers["GetTransportReport"] = report_about("urn:de:xta:messageid:hub:another", 1)
    package = make_package()
    outcome = adapter_for(scripted).deliver(again(package))
    assert (outcome.note.endswith("no report yet"), scripted.copies(package)) == (True, 1)


@pytest.mark.parametrize(
    ("operation", "answer", "kind", "cause"),
    [
        ("CheckAccountActive", refused("PermissionDenied", "9011"), U, DeadCause.CONFIGURATION),
        ("CheckAccountActive", StagedAnswer(status=400), U, DeadCause.CONFIGURATION),
        ("IsServiceAvailable", refused("XTAWSTechnicalProblem", "9031"), U, None),
        (
            "IsServiceAvailable",
            said(
                "<x:LookupServiceResponse><x:LookupServiceResultList><x:LookupServiceResult><x:IsServiceAvailableValue>"
                "<x:ServiceIsAvailable>false</x:ServiceIsAvailable></x:IsServiceAvailableValue></x:LookupServiceResult>"
                "</x:LookupServiceResultList></x:LookupServiceResponse>"
            ),
            U,
            DeadCause.CONFIGURATION,
        ),
    ],
)
def test_who_asks_first_sends_nothing_where_it_would_not_be_taken(scripted, operation, answer, kind, cause):
    scripted.answers[operation] = answer
    package = make_package()
    outcome = adapter_for(scripted, ask_first=True).deliver(package)
    assert (outcome.kind, outcome.cause, scripted.copies(package)) == (kind, cause, 0)
    assert "SendMessage" not in scripted.heard


def test_who_asks_first_delivers_where_it_is_taken(scripted):
    package = make_package()
    assert adapter_for(scripted, ask_first=True).deliver(package).kind is D
    assert scripted.heard == ["CheckAccountActive", "IsServiceAvailable", "SendMessage", "GetTransportReport"]


def test_no_content_is_read_before_its_turn_and_none_is_held():
    read = []

    def chunks(name):
        for number in range(3):
            read.append((name, number))
            yield b"x" * 10

    parts = [xta.XtaPart(name=name, media_type="a/b", size=30, chunks=chunks(name)) for name in ("one", "two")]
    asked = xta.send_message("https://xta.example/send", made_message(), parts)
    pieces = iter(asked.content)
    lengths = [len(next(pieces)), len(next(pieces))]
    assert read == []
    lengths.append(len(next(pieces)))
    assert read == [("one", 0)]
    assert sum(lengths) + sum(len(piece) for piece in pieces) == asked.length


def made_message(**changes):
    party = xta.Party(identifier='bau:<&"1>', category="Bau & Co")
    made = xta.XtaMessage(
        message_id="urn:de:xta:messageid:hub:1",
        author=party,
        reader=party,
        service="urn:de:fim:leika:leistung:99012008001000",
        scenario=xta.XtaCode(code="Antrag"),
        message_type=xta.XtaCode(code="antrag", list_uri="urn:example:messages", list_version="1"),
        payload_schema="urn:example:antrag",
        initial_send=datetime.now(UTC),
    )
    return replace(made, **changes)


def envelope_of(asked):
    content = b"".join(asked.content)
    return etree.fromstring(xta.envelope_in(content))


@needs_shared_data
@pytest.mark.parametrize("listed", [False, True], ids=["a word as scenario", "a code as scenario"])
def test_what_is_sent_is_valid_by_the_schemas_of_the_standard(listed):
    meta = etree.XMLSchema(file=str(SHARED / "xta" / "OSCI_MessageMetaData_V2.02.xsd"))
    elements = etree.XMLSchema(file=str(SHARED / "xta" / "XTA-Webservice-Globale-Elemente.xsd"))
    code = xta.XtaCode(code="Antrag", list_uri="urn:example:scenarios", list_version="2")
    message = made_message(**({"scenario": code} if listed else {}))
    parts = [xta.XtaPart(name='<"&>.json', media_type="a/b", size=1, chunks=[b"x"])] * 2
    sent = envelope_of(xta.send_message("https://xta.example/?a&b", message, parts))
    head = sent.find(f".//{{{xta.META}}}MessageMetaData")
    meta.assertValid(etree.ElementTree(head))
    assert head.find(f".//{{{xta.META}}}Reader/{{{xta.META}}}Identifier").text == 'bau:<&"1>'
    for include in sent.iter(f"{{{xta.XOP}}}Include"):  # What stands behind the envelope counts as standing here.
        include.getparent().text = "eA=="
    for include in list(sent.iter(f"{{{xta.XOP}}}Include")):
        include.getparent().remove(include)
    elements.assertValid(etree.ElementTree(sent.find(f".//{{{xta.XTA}}}GenericContentContainer")))
    party = message.reader
    asked = envelope_of(xta.look_up_service("https://xta.example/", party, party, message.service))
    elements.assertValid(etree.ElementTree(asked.find(f".//{{{xta.XTA}}}LookupServiceRequest")))
    meta.assertValid(etree.ElementTree(asked.find(f".//{{{xta.META}}}Author")))
