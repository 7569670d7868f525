from __future__ import annotations

import hashlib
import hmac
import socket
import time
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs
from uuid import UUID

import dispatching
import orjson
import pytest
from contract import hold, make_package, opened, sentences_for, workshop  # noqa: F401
from jwcrypto import jwk, jwt
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, serving

from adapters.https import Https
from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.http import Receiver, StagedAnswer
from hub.adapter_kit.packages import NOON, again, bare, bulky
from hub.crypto import decrypt, read_decryption_key
from hub.delivery.attempt import AdapterPool
from hub.errors import ConfigurationError
from hub.model import DeadCause, OutcomeKind
from hub.model.adapter import message
from hub.store import DeliveryState
from hub.transport.connection import client_context

SECRET = "0123456789abcdef0123456789abcdef"


class Listener:
    """A receiver over TLS that keeps what it hears; ``answers`` by path, otherwise yes."""

    def __init__(self, workshop, trouble=Trouble.NONE):  # noqa: F811
        self.workshop = workshop
        self.heard = []
        self.answers = {}
        self._receiver = Receiver(self._play, workshop.tls(trouble))
        self.url = f"https://127.0.0.1:{self._receiver.port}"

    def _play(self, heard):
        self.heard.append(heard)
        answer = self.answers.get(heard.path, StagedAnswer())
        return answer.pop(0) if isinstance(answer, list) else answer

    def config(self, **options):
        return {
            "url": self.url + "/in",
            "secret_file": str(self.workshop.secret_file),
            "ca_file": str(self.workshop.ca_file),
            "allow_private_addresses": True,
            "timeout": 5,
            **options,
        }

    def close(self):
        self._receiver.close()


@pytest.fixture
def listener(workshop):  # noqa: F811
    listening = Listener(workshop)
    yield listening
    listening.close()


@pytest.mark.parametrize("sentence", sentences_for(Https))
def test_https(sentence, workshop):  # noqa: F811
    hold(sentence, Https, workshop)


@pytest.mark.parametrize(
    "change",
    {
        "plain http": {"url": "http://receiver.example/in"},
        "another scheme": {"url": "ftp://receiver.example/in"},
        "no host": {"url": "https:///in"},
        "credentials in the address": {"url": "https://user:pass@receiver.example/in"},
        "an empty user in the address": {"url": "https://@receiver.example/in"},
        "a secret in the query": {"url": "https://receiver.example/in?token=1"},
        "a line break in the address": {"url": "https://receiver.example/in\r\nX: y"},
        "port nought": {"url": "https://receiver.example:0/in"},
        "no time": {"timeout": 0},
        "too much time": {"timeout": 3600},
        "a wrong type": {"timeout": "soon"},
        "a truth for a number": {"timeout": True},
        "a negative limit": {"inline_limit": -1},
        "half of what an assertion needs": {"token_url": "https://receiver.example/token"},
        "nobody to be": {"secret_file": None},
    }.values(),
    ids=str,
)
def test_https_refuses(change, listener):
    with pytest.raises(ConfigurationError):
        Https(listener.config(**change))


@pytest.mark.parametrize("content", [b"short", b"x" * 513, b"\xff" * 40, b""])
def test_a_secret_must_be_usable(content, listener, tmp_path):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigurationError):
        opened(Https, listener.config(secret_file=str(tmp_path / "secret")))


def test_missing_files_stop_the_start(listener):
    for option in ("secret_file", "ca_file", "client_cert_file"):
        with pytest.raises(ConfigurationError):
            opened(Https, listener.config(**{option: "/nowhere/at/all"}))


@pytest.mark.parametrize("key", [b"{", b"[]", b'{"kty":"RSA"}'])
def test_a_signing_key_that_is_none_stops_the_start(key, listener, tmp_path):
    (tmp_path / "key").write_bytes(key)
    more = {"token_url": listener.url + "/token", "client_id": "hub", "signing_key_file": str(tmp_path / "key")}
    with pytest.raises(ConfigurationError):
        opened(Https, listener.config(**more))


def test_a_repeat_says_so_under_the_same_id(listener):
    adapter, package = opened(Https, listener.config()), make_package()
    for each in (package, again(package)):
        assert adapter.deliver(each).kind is OutcomeKind.DELIVERED
    assert [heard.headers["Idempotency-Key"] for heard in listener.heard] == [str(package.delivery_id)] * 2
    first, second = (orjson.loads(heard.body) for heard in listener.heard)
    assert (first["attempt"], first["repeat"], second["attempt"], second["repeat"]) == (1, False, 2, True)


def test_the_signature_covers_timestamp_and_body(listener):
    opened(Https, listener.config()).deliver(make_package())
    (heard,) = listener.heard
    timestamp = heard.headers["Callback-Timestamp"]
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + heard.body, hashlib.sha512).hexdigest()
    assert heard.headers["Callback-Authentication"] == expected
    assert abs(int(timestamp) - time.time()) < 60


def test_deliveries_share_a_connection_which_ends_with_the_settings(listener, monkeypatch):
    dialled, dial = [], socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda *args, **more: dialled.append(dial(*args, **more)) or dialled[-1]
    )
    pool, here = AdapterPool({"https": Https}), destination_of(listener)
    for package in (make_package(), make_package()):
        assert pool.of(here).deliver(package).kind is OutcomeKind.DELIVERED
    assert len(dialled) == 1
    old = pool.of(here)
    there = replace(here, adapter_config=listener.config(timeout=6), updated_at=here.updated_at + timedelta(seconds=1))
    assert pool.of(there).deliver(make_package()).kind is OutcomeKind.DELIVERED
    assert (len(dialled), old._connections.idle) == (2, [])
    pool.close()


def destination_of(listener):
    return replace(make_package().destination, adapter="https", adapter_config=listener.config())


def test_a_client_certificate_opens_the_door(workshop):  # noqa: F811
    listening = Listener(workshop, Trouble.CLIENT_CERTIFICATE_WANTED)
    certificate, key = workshop.client
    known = {"client_cert_file": str(certificate), "client_key_file": str(key), "secret_file": None}
    outcome = opened(Https, listening.config(**known)).deliver(make_package())
    listening.close()
    assert outcome.kind is OutcomeKind.DELIVERED
    assert "Callback-Authentication" not in listening.heard[0].headers


def test_a_certificate_is_shown_by_its_own_destination_alone(workshop):  # noqa: F811
    listening = Listener(workshop, Trouble.CLIENT_CERTIFICATE_WANTED)
    certificate, key = workshop.client
    with_it = opened(Https, listening.config(client_cert_file=str(certificate), client_key_file=str(key)))
    without = opened(Https, listening.config())
    outcomes = [adapter.deliver(make_package()).kind for adapter in (with_it, without)]
    listening.close()
    assert outcomes[0] is OutcomeKind.DELIVERED
    assert outcomes[1] is not OutcomeKind.DELIVERED
    assert len(listening.heard) == 1


def test_authorities_are_read_once_for_all_who_trust_them_and_anew_when_they_change(workshop, listener, tmp_path):  # noqa: F811
    authorities = tmp_path / "ca.pem"
    authorities.write_bytes(workshop.ca_file.read_bytes())
    assert client_context(str(authorities)) is client_context(str(authorities))
    trusting = listener.config(ca_file=str(authorities))
    assert opened(Https, trusting).deliver(make_package()).kind is OutcomeKind.DELIVERED
    replacement = tmp_path / "other.pem"
    replacement.write_bytes(workshop.client[0].read_bytes())
    replacement.replace(authorities)
    assert opened(Https, trusting).deliver(make_package()).kind is OutcomeKind.UNREACHABLE
    authorities.unlink()
    with pytest.raises(ConfigurationError, match="ca_file"):
        opened(Https, trusting)


@pytest.fixture
def assertion(listener, signature_pair, tmp_path):
    (tmp_path / "key.json").write_bytes(orjson.dumps(signature_pair[1]))
    listener.answers["/token"] = StagedAnswer(body=b'{"access_token":"good","token_type":"Bearer","expires_in":600}')
    return listener.config(
        token_url=listener.url + "/token",
        client_id="hub",
        signing_key_file=str(tmp_path / "key.json"),
        secret_file=None,
    )


def test_an_assertion_gets_a_token_that_another_library_believes(listener, assertion, signature_pair):
    assert opened(Https, assertion).deliver(make_package()).kind is OutcomeKind.DELIVERED
    asked, delivered = listener.heard
    form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    public = jwk.JWK(**{name: signature_pair[0][name] for name in ("kty", "n", "e")})
    believed = jwt.JWT(jwt=form["client_assertion"], key=public, algs=["PS512"], expected_type="JWS")
    claims = orjson.loads(believed.claims)
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("hub", "hub", listener.url + "/token")
    assert claims["exp"] - claims["iat"] <= 300
    assert delivered.headers["Authorization"] == "Bearer good"


def test_a_token_is_asked_for_once_until_it_is_refused(listener, assertion):
    adapter = opened(Https, assertion)
    listener.answers["/in"] = [StagedAnswer(), StagedAnswer(status=401), StagedAnswer()]
    kinds = [adapter.deliver(make_package()).kind for _ in range(3)]
    assert kinds == [OutcomeKind.DELIVERED, OutcomeKind.UNREACHABLE, OutcomeKind.DELIVERED]
    assert [heard.path for heard in listener.heard] == ["/token", "/in", "/in", "/token", "/in"]


@pytest.mark.parametrize(
    ("answer", "cause"),
    {
        "refused": (StagedAnswer(status=401), DeadCause.CONFIGURATION),
        "in trouble": (StagedAnswer(status=503), None),
        "busy": (StagedAnswer(status=429), None),
        "no JSON": (StagedAnswer(body=b"<html>"), DeadCause.CONFIGURATION),
        "no token": (StagedAnswer(body=b'{"token":"x"}'), DeadCause.CONFIGURATION),
        "a list": (StagedAnswer(body=b"[]"), DeadCause.CONFIGURATION),
        "a token with a line break": (StagedAnswer(body=b'{"access_token":"a\\r\\nX: y"}'), DeadCause.CONFIGURATION),
        "a huge token": (StagedAnswer(body=b'{"access_token":"' + b"a" * 30_000 + b'"}'), DeadCause.CONFIGURATION),
    }.values(),
    ids=str,
)
def test_a_token_server_that_is_no_good_gets_nothing_delivered(answer, cause, listener, assertion):
    listener.answers["/token"] = answer
    outcome = opened(Https, assertion).deliver(make_package())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.UNREACHABLE, cause)
    assert [heard.path for heard in listener.heard] == ["/token"]


def test_the_envelope_says_everything_the_receiver_needs():
    package = make_package(attachments=1)
    submission = package.submission
    contents = submission.contents
    ((attachment_id, attachment),) = contents.attachments.items()
    assert orjson.loads(message(package, 1_000_000)) == {
        "version": 1,
        "deliveryId": str(package.delivery_id),
        "attempt": 1,
        "repeat": False,
        "submissionId": str(submission.submission_id),
        "caseId": str(submission.case_id),
        "destinationId": str(submission.destination_id),
        "publicService": {"identifier": submission.service.identifier, "name": "Bauantrag"},
        "submittedAt": NOON.isoformat(),
        "eventLog": ["e30.e30.c2ln"],
        "encryptedMetadata": contents.metadata.jwe.decode(),
        "encryptedData": contents.data.jwe.decode(),
        "attachments": [
            {
                "attachmentId": str(attachment_id),
                "sha512": attachment.sha512,
                "size": attachment.size,
                "jwe": attachment.jwe.decode(),
            }
        ],
    }


def test_attachments_past_the_limit_are_offered_by_url():
    package = make_package(attachments=2)
    contents = package.submission.contents
    room_for_one = contents.metadata.size + contents.data.size + next(iter(contents.attachments.values())).size + 10
    first, second = orjson.loads(message(package, room_for_one))["attachments"]
    assert "jwe" in first
    assert "url" not in first
    assert "jwe" not in second
    assert second["url"] == (
        f"https://hub.example.org/submission-api/v2/submissions/{package.submission.submission_id}"
        f"/attachments/{second['attachmentId']}"
    )
    assert second["sha512"] == contents.attachments[UUID(second["attachmentId"])].sha512


def test_a_submission_without_data_says_null():
    assert orjson.loads(message(bare(make_package()), 1000))["encryptedData"] is None


def test_a_large_delivery_arrives_byte_for_byte(listener):
    package = bulky(make_package())
    assert opened(Https, listener.config()).deliver(package).kind is OutcomeKind.DELIVERED
    assert orjson.loads(listener.heard[0].body)["encryptedData"] == package.submission.contents.data.jwe.decode()


def test_what_is_offered_by_url_lies_there_for_the_receiver_and_is_what_the_hash_says(listener, stage):
    """From a plain application with a large attachment to the receiver that fetches it with its own token."""
    store, destination_id = stage.hub.store, stage.destination_id("Rheingau")
    there = replace(store.parties.destination(destination_id), adapter_config=listener.config(inline_limit=0))
    store.parties.replace_destination(there)
    plan = b"%PDF" * 100_000
    parts = {"data": ("a.xml", BAUANTRAG, "application/xml"), "plan": ("plan.pdf", plan, "application/pdf")}
    with serving(stage) as served:
        assert served.post("/hub/v1/applications", params={"service": BAUEN, "ars": TAUNUSSTEIN}, files=parts).ok
        stage.hub.dispatcher.run_once()
        (offered,) = orjson.loads(listener.heard[0].body)["attachments"]
        assert set(offered) == {"attachmentId", "sha512", "size", "url"}
        path = offered["url"].removeprefix(stage.hub.settings.canonical_url)
        assert served.get(path).status_code == 403  # The sender's token opens nothing.
        token = {"Authorization": f"Bearer {served.token('subscriber')}"}
        fetched = served.get(path, headers=token).content
    assert (hashlib.sha512(fetched).hexdigest(), len(fetched)) == (offered["sha512"], offered["size"])
    key = read_decryption_key(stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)
    assert decrypt(fetched, [key], max_output=10**6) == plan


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (StagedAnswer(status=409, body=b'{"existing": "%s"}'), OutcomeKind.DELIVERED),
        (StagedAnswer(status=409, body=b'{"existing": "%s"}', headers={"Retry-After": "5"}), OutcomeKind.UNKNOWN),
        (StagedAnswer(status=409, body=b'{"existing": "00000000-0000-4000-8000-000000000000"}'), OutcomeKind.UNKNOWN),
        (StagedAnswer(status=409, body=b"%s"), OutcomeKind.UNKNOWN),
        (StagedAnswer(status=409, body=b'{"of": {"another": "%s"}}'), OutcomeKind.UNKNOWN),
        (StagedAnswer(status=409, body=b'{"existing": "%s", "more": "' + b"x" * 5000 + b'"}'), OutcomeKind.UNKNOWN),
        (StagedAnswer(status=400, body=b'{"existing": "%s"}'), OutcomeKind.REFUSED),
    ],
    ids=["named", "still at work", "another's", "no JSON", "deeper", "too long", "no conflict"],
)
def test_a_conflict_is_a_yes_only_where_it_names_this_delivery(answer, kind, listener):
    package = make_package()
    named = answer.body.replace(b"%s", str(package.delivery_id).encode())
    listener.answers["/in"] = StagedAnswer(status=answer.status, headers=answer.headers, body=named)
    assert opened(Https, listener.config()).deliver(package).kind is kind


def test_a_receiver_that_always_says_400_hears_of_a_delivery_once_also_after_restarts(listener, stage):
    listener.answers["/in"] = StagedAnswer(status=400)
    hub = stage.hub
    stored = hub.store.parties.destination(stage.destination_id("Rheingau"))
    hub.store.parties.replace_destination(replace(stored, adapter="https", adapter_config=listener.config()))
    accepted = stage.accept()
    submission_id = UUID(accepted.claims["sub"].removeprefix("submission:"))
    parts = {"blobs": hub.blobs, "notary": hub.notary, "evidences": hub.evidences, "clock": stage.clock}
    for _ in range(3):  # Each is a process that knows nothing of the one before.
        with dispatching.running(
            dispatching.dispatcher(hub.store, stage.data, adapters=AdapterPool({"https": Https}), **parts)
        ):
            dispatching.until(lambda: hub.store.deliveries.of(submission_id).state is DeliveryState.DEAD)
        stage.clock.pass_(days=3)
    view = hub.store.deliveries.of(submission_id)
    assert (len(listener.heard), view.cause, len(view.attempts)) == (1, DeadCause.PAYLOAD, 1)
