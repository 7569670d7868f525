"""A service that lies to its clients: other receipts, other ids, other cases, weak keys, and answers that get lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from partner import Answer, Fault, Heard, Partner

from hub.client.fit_connect import Destination, Named, Sender, Subscriber
from hub.client.plain import Application, PlainDoor
from hub.client.session import Session
from hub.client.transport import UNREACHABLE, Direct, Retrying
from hub.crypto.keys import KeyPolicy
from hub.crypto.receipts import make_receipt
from hub.errors import KeyRefused, Malformed, SealBroken, Unavailable
from hub.model.events import Subject
from hub.model.submission import MediaType, Service

APPLICATION = Application(
    data=b"<a/>", media_type=MediaType.XML, service="urn:de:fim:leika:leistung:99012008001000", ars="06"
)
CLAIMS = {"sub": f"submission:{uuid4()}", "txn": f"case:{uuid4()}"}


class Liar(Partner):
    """Answers each path as it was refused; a list is played one after another, its last entry for good."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {path.replace("__", "/"): answer for path, answer in answers.items()}
        super().__init__(play=self._play)

    def _play(self, heard: Heard) -> Answer | Fault:
        name = next(name for name in self.answers if f"/{name}" in heard.path)
        answer = self.answers[name]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Answer | Fault):
            return answer
        return Answer(headers={"Content-Type": "application/json"}, body=orjson.dumps(answer))

    @property
    def session(self) -> Session:
        return Session(self.url, transport=Retrying(Direct(), wait=lambda _: None))

    def sender(self) -> Sender:
        return Sender(self.session, issuers=frozenset({self.url}))

    def subscriber(self) -> Subscriber:
        return Subscriber(self.session, issuers=frozenset({self.url}))


def test_an_answer_that_got_lost_is_asked_for_again_under_the_same_key(receipt_key):
    said = {"receipt": make_receipt(receipt_key, CLAIMS)}
    keys = {"keys": [receipt_key.public_jwk()]}
    with Liar(applications=[Fault.SILENT_CLOSE, Answer(status=503), said], jwks=keys) as hub:
        receipt = PlainDoor(hub.session).submit(APPLICATION)
        sent = [heard for heard in hub.heard if heard.method == "POST"]
    assert f"submission:{receipt.submission_id}" == CLAIMS["sub"]
    assert [heard.headers["Idempotency-Key"] for heard in sent] == [APPLICATION.idempotency_key] * 3
    assert {heard.body for heard in sent} == {b"<a/>"}


def test_nothing_is_sent_where_no_receipt_could_be_checked():
    with Liar(jwks=Answer(status=503), applications={}) as hub:
        with pytest.raises(Unavailable):
            PlainDoor(hub.session).submit(APPLICATION)
        assert {heard.method for heard in hub.heard} == {"GET"}


def test_a_receipt_that_somebody_else_signed_is_kept_as_evidence_and_believed_by_nobody(receipt_key, signing_key):
    forged = make_receipt(receipt_key, CLAIMS)
    for keys in ([], [signing_key.public_jwk()]):
        with Liar(applications={"receipt": forged}, jwks={"keys": keys}) as hub, pytest.raises(SealBroken) as refused:
            PlainDoor(hub.session).submit(APPLICATION)
        assert refused.value.slug == "receipt-not-genuine"
        assert refused.value.members["receipt"] == forged


@pytest.mark.parametrize("name", ["../../token", "", 7, None, ["a"]])
def test_ids_that_are_none_lead_nowhere(name):
    with Liar(submissions={"submissionId": name, "caseId": str(uuid4())}) as hub:
        with pytest.raises(Malformed):
            hub.sender().announce(uuid4(), [], service=Service(identifier="urn:a:b"))
        listed = {"submissions": [{"submissionId": name, "caseId": str(uuid4())}], "totalCount": 1}
        hub.answers = {"submissions": listed}
        with pytest.raises(Malformed):
            list(hub.subscriber().waiting(uuid4()))


MESSAGE = Named(subject=Subject.SUBMISSION, message_id=uuid4(), case_id=uuid4())
GOOD = {"caseId": str(MESSAGE.case_id), "encryptedMetadata": "a.b.c.d.e", "encryptedData": None, "attachments": []}


@pytest.mark.parametrize(
    "lie",
    [
        {"caseId": str(uuid4())},
        {"encryptedMetadata": None},
        {"encryptedData": 1},
        {"attachments": [str(UUID(int=number)) for number in range(101)]},
        {"attachments": ["../x"]},
        {"attachments": {}},
    ],
)
def test_a_message_of_another_form_or_case_is_not_collected(lie):
    log = {"eventLog": [], "totalCount": 0}
    with Liar(submissions={**GOOD, **lie}, cases=log) as hub:
        with pytest.raises(Malformed), hub.subscriber().collect(MESSAGE):
            raise AssertionError
        assert not [heard for heard in hub.heard if "attachments" in heard.path]


def test_an_empty_log_proves_nothing():
    with (
        Liar(submissions=GOOD, cases={"eventLog": [], "totalCount": 0}) as hub,
        hub.subscriber().collect(MESSAGE) as collected,
        pytest.raises(SealBroken),
    ):
        hub.subscriber().verify(collected)


def test_a_log_that_never_ends_is_not_read_for_ever():
    with Liar(cases={"eventLog": ["x"], "totalCount": 10**9}) as hub:
        assert len(hub.subscriber().event_log(uuid4())) == 100


def test_a_key_that_nobody_vouches_for_is_not_sealed_for(rsa_pair):
    destination = Destination(
        destination_id=uuid4(), status="active", encryption_kid="kid", metadata_versions=(), services=()
    )
    for jwk in (rsa_pair[0], {}, {**rsa_pair[0], "key_ops": ["verify"]}):
        with Liar(keys=jwk) as hub, pytest.raises(KeyRefused):
            hub.sender().encryption_key(destination, policy=KeyPolicy(allow_self_signed=True))


def test_a_service_that_hangs_up_on_an_event_is_not_told_it_twice():
    with Liar(events=Fault.SILENT_CLOSE) as hub:
        with pytest.raises(Unavailable) as refused:
            hub.subscriber().post_event(uuid4(), "a.b.c")
        assert len(hub.heard) == 1
    assert refused.value.slug == UNREACHABLE
