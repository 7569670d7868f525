"""AS4 as a way out: what the kit's bench holds it to, which receipts count, and what ebMS's errors mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from as4_parties import side, signed_anew
from contract import hold, make_package, opened, sentences_for, trial_of, workshop  # noqa: F401

from adapters.as4 import As4
from hub.adapter_kit.as4 import As4Bench, written_pmode
from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.packages import again
from hub.errors import ConfigurationError
from hub.model.reasons import reason_of
from hub.model.submission import DeadCause, OutcomeKind
from hub.soap.as4 import write_error, write_receipt
from hub.soap.as4_reader import read_envelope
from hub.soap.ebms import Flaw


@pytest.mark.parametrize("sentence", sentences_for(As4))
def test_as4(sentence, workshop):  # noqa: F811
    hold(sentence, As4, workshop)


D, R, U, X = OutcomeKind.DELIVERED, OutcomeKind.REFUSED, OutcomeKind.UNREACHABLE, OutcomeKind.UNKNOWN


class Scripted(As4Bench):
    """An access point whose receipts go through ``spoil`` before they are sent; ``heard`` holds the requests."""

    def __init__(self, workshop):  # noqa: F811
        self.spoil, self.heard = None, []
        super().__init__(workshop)

    def play(self, heard):
        self.heard.append(heard)
        return super().play(heard)

    def receipt(self, message):
        made = super().receipt(message)
        return made if self.spoil is None else self.spoil(made, message)


@pytest.fixture
def bench(workshop):  # noqa: F811
    bench = Scripted(workshop)
    yield bench
    bench.close()


def config_for(bench, **options):
    return trial_of(As4).filled(bench.arrange(Trouble.NONE, make_package())) | options


@pytest.mark.parametrize(
    "change",
    {
        "plain http": {"url": "http://as4.example/in"},
        "no agreement": {"pmode_file": None},
        "a domain with a blank": {"domain": "hub example"},
        "no time": {"timeout": 0},
        "another envelope": {"envelope": 3},
        "a page that nobody makes": {"readable": "pdf"},
        "a profile beside the agreement": {"profile": "edelivery-1.15"},
    }.values(),
    ids=str,
)
def test_as4_refuses(change, bench):
    with pytest.raises(ConfigurationError):
        As4({**config_for(bench), **change})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"profile": '"edelivery-2.0"'}, "profile"),
        ({"profile": ""}, "profile"),
        ({"surprise": "1"}, "surprise"),
        ({"own_surprise": "1"}, "own.surprise"),
        ({"peer_url": '"https://x.example"'}, "peer.url"),
        ({"action": "3"}, "action"),
        ({"action": '""'}, "action"),
        ({"own_party": '"a\\nb"'}, "own.party"),
        ({"own_key_file": '"missing.pem"'}, "key_file"),
        ({"peer_certificate_file": '"missing.pem"'}, "certificate_file"),
        ({"action": "'"}, "TOML"),
    ],
    ids=str,
)
def test_an_agreement_that_is_not_wholly_understood_stops_the_start(change, word, bench, workshop):  # noqa: F811
    adapter = As4({**config_for(bench), "pmode_file": str(written_pmode(workshop, **change))})
    with pytest.raises(ConfigurationError, match=word):
        adapter.open()


def test_a_key_that_others_can_read_stops_the_start(bench, workshop):  # noqa: F811
    (certificate, key), _other = workshop.access_points
    loose = workshop.written("key.pem", key.read_text())
    loose.chmod(0o644)
    changed = written_pmode(workshop, own_key_file=f'"{loose}"', own_certificate_file=f'"{certificate}"')
    with pytest.raises(ConfigurationError):
        As4({**config_for(bench), "pmode_file": str(changed)}).open()


def test_the_receipt_is_the_proof(bench):
    package = make_package()
    outcome = opened(As4, config_for(bench)).deliver(package)
    assert (outcome.kind, outcome.note) == (D, f"receipt for {package.delivery_id}@hub.example.org")
    signal = read_envelope(outcome.proof).signal(bench.certificate, now=datetime.now(UTC))
    assert (signal.refers_to, len(signal.digests)) == (f"{package.delivery_id}@hub.example.org", 7)


def test_a_repeat_is_the_same_message_so_the_first_receipt_counts(bench):
    adapter, package, kept = opened(As4, config_for(bench)), make_package(), []
    bench.spoil = lambda made, _message: kept.append(made) or made
    assert adapter.deliver(package).kind is D
    bench.spoil = lambda _made, _message: kept[0]
    assert adapter.deliver(again(package)).kind is D
    assert bench.copies(package) == 1


def _replayed(bench):
    """Have the receipt of another delivery sent."""
    kept = []
    bench.spoil = lambda made, _message: kept.append(made) or made
    opened(As4, config_for(bench)).deliver(make_package())
    bench.spoil = lambda _made, _message: kept[0]


def test_a_receipt_for_another_delivery_is_replayed(bench):
    _replayed(bench)
    outcome = opened(As4, config_for(bench)).deliver(make_package())
    assert (outcome.kind, outcome.proof, reason_of(outcome.note).code) == (X, None, "as4-no-receipt")


def test_a_receipt_about_other_contents_does_not_count(bench):
    bench.spoil = lambda _made, message: write_receipt(
        "r@bench.example", datetime.now(UTC), refers_to=message.message.message_id, references=message.references[:-1],
        key=bench.key,
    )  # fmt: skip
    outcome = opened(As4, config_for(bench)).deliver(make_package())
    assert (outcome.kind, outcome.note) == (X, "AS4: the receipt is about other contents")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: b"",
        lambda made: b"<html>thank you</html>",
        lambda made: made.replace(b"Receipt>", b"Receipts>"),
        lambda made: re.sub(rb"<wsse:Security .*</wsse:Security>", b"", made, flags=re.DOTALL),
        lambda made: made[:-20],
    ],
    ids=["nothing", "a page", "changed", "unsigned", "cut short"],
)
def test_a_yes_without_a_receipt_that_counts_is_unknown(spoil, bench):
    bench.spoil = lambda made, _message: spoil(made)
    outcome = opened(As4, config_for(bench)).deliver(make_package())
    assert (outcome.kind, reason_of(outcome.note).code) == (X, "as4-no-receipt")


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("EBMS:0001", (U, DeadCause.CONFIGURATION, "as4-agreement")),
        ("EBMS:0004", (U, None, "as4-trouble")),
        ("EBMS:0005", (U, None, "as4-trouble")),
        ("EBMS:0008", (R, DeadCause.CONFIGURATION, "as4-message-refused")),
        ("EBMS:0010", (U, DeadCause.CONFIGURATION, "as4-agreement")),
        ("EBMS:0011", (R, DeadCause.PAYLOAD, "as4-message-refused")),
        ("EBMS:0101", (U, DeadCause.CONFIGURATION, "as4-agreement")),
        ("EBMS:0202", (U, None, "as4-trouble")),
        ("EBMS:0303", (R, DeadCause.PAYLOAD, "as4-message-refused")),
        ("EBMS:9999", (U, None, "as4-trouble")),
    ],
)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_errors_mean_what_their_numbers_say_and_without_signature_they_end_nothing(code, meaning, signed, bench):
    kind, cause, reason = meaning

    def error(_made, message):
        flaw = Flaw.NOT_DECRYPTED
        said = write_error("e@b", datetime.now(UTC), refers_to=message.message.message_id, flaw=flaw, key=bench.key)
        changed = said.replace(flaw.code.encode(), code.encode())
        return (
            signed_anew(changed, bench.key) if signed else re.sub(rb"<wsse:Security .*</wsse:Security>", b"", changed)
        )

    bench.spoil = error
    outcome = opened(As4, config_for(bench)).deliver(make_package())
    expected = kind if signed or kind is not R else U
    assert (outcome.kind, reason_of(outcome.note).code) == (expected, reason)
    assert outcome.cause is (cause if signed or cause is not DeadCause.PAYLOAD else None)
    assert outcome.note == f"AS4: {code}{'' if signed else ', unsigned'}"


@pytest.mark.parametrize(
    ("signed", "repeat", "detail", "kind"),
    [
        (True, True, "message {} was already handled (this is a duplicate)", D),
        (True, False, "message {} was already handled (this is a duplicate)", U),
        (False, True, "message {} was already handled (this is a duplicate)", U),
        (True, True, "message {} cannot be handled", U),
    ],
    ids=["signed, after a lost answer", "at the first attempt", "unsigned", "another trouble"],
)
def test_a_signed_word_that_the_message_was_taken_before_counts_after_a_lost_answer(
    signed, repeat, detail, kind, bench
):
    """phase4 answers a repeat so: EBMS:0004, which means anything, and a sentence."""

    def error(_made, message):
        flaw, name = Flaw.NOT_DECRYPTED, message.message.message_id
        said = write_error("e@b", datetime.now(UTC), refers_to=name, flaw=flaw, key=bench.key)
        more = f"</eb:Description><eb:ErrorDetail>{detail.format(name)}</eb:ErrorDetail>"
        changed = said.replace(flaw.code.encode(), b"EBMS:0004").replace(b"</eb:Description>", more.encode())
        return (
            signed_anew(changed, bench.key) if signed else re.sub(rb"<wsse:Security .*</wsse:Security>", b"", changed)
        )

    bench.spoil = error
    package = make_package()
    outcome = opened(As4, config_for(bench)).deliver(again(package) if repeat else package)
    assert (outcome.kind, outcome.proof is not None) == (kind, kind is D)


def test_nothing_that_is_sealed_for_the_authority_stands_in_the_message_in_the_open(bench):
    package = make_package()
    opened(As4, config_for(bench)).deliver(package)
    body = bench.heard[-1].body
    for _name, sealed in package.submission.contents.parts():
        assert sealed.jwe not in body
    assert b"encryptedKey" not in body
    assert str(package.submission.destination_id).encode() not in body


def test_an_agreement_whose_certificate_has_expired_sends_nothing(bench, workshop):  # noqa: F811
    ended = workshop.written("ended.pem", side("ended", ended=True).pem.decode())
    changed = written_pmode(workshop, peer_certificate_file=f'"{ended}"')
    outcome = opened(As4, {**config_for(bench), "pmode_file": str(changed)}).deliver(make_package())
    assert (outcome.kind, outcome.cause, bench.heard) == (U, DeadCause.CONFIGURATION, [])
