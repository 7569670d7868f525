"""A sender's own cases at the plain door: replies of the authority, sealed for the sender, and its word on them."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest
from sealed_door import Door, Sent, kinds, post, shared_door  # noqa: F401  # shared_door is a fixture
from sealed_replies import reply_to
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN

from hub.model import ClientKind

FRONT = f"/hub/v1/applications?service={BAUEN}&ars={TAUNUSSTEIN}"
PROBLEM = "urn:rathaus-hub:problem:"


def apply(door: Door) -> Sent:
    """Submit an application by the plain door."""
    taken = door.sender.ask("POST", FRONT, ("Content-Type", "application/xml"), body=[BAUANTRAG])
    assert taken.status == 202, taken.body
    return Sent(taken.json["submissionId"], taken.json["caseId"], "", None)


def in_parts(door: Door, metadata: dict) -> object:
    body = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode()
        + part
        + b"\r\n"
        for name, kind, part in (
            ("metadata", "application/json", json.dumps(metadata).encode()),
            ("data", "application/xml", BAUANTRAG),
        )
    )
    return door.sender.ask(
        "POST", FRONT, ("Content-Type", "multipart/form-data; boundary=x"), body=[body, b"--x--\r\n"]
    )


def replies_of(sent: Sent, more: str = "") -> str:
    return f"/hub/v1/cases/{sent.case_id}/replies{more}"


def refused(answer, status: int, slug: str) -> bool:
    return (answer.status, answer.json["type"]) == (status, PROBLEM + slug)


def test_a_sender_reads_the_reply_to_its_application_as_it_was_sealed(door: Door):
    sent = apply(door)
    reply = reply_to(door, sent, door.subscriber, b"Bescheid")
    (row,) = door.sender.get(replies_of(sent)).json["replies"]
    assert (row["replyId"], row["state"], row["readable"], row["finishedAt"]) == (
        reply.submission_id,
        "submitted",
        True,
        None,
    )
    path = replies_of(sent, f"/{reply.submission_id}")
    got = door.sender.get(path)
    assert (got.json["encryptedMetadata"], got.json["encryptedData"]) == (reply.metadata, reply.data)
    assert got.json["attachments"] == list(reply.attachments)
    attachment_id, jwe = next(iter(reply.attachments.items()))
    stream = door.sender.get(f"{path}/attachments/{attachment_id}")
    assert (stream.body.decode(), stream.headers["content-type"]) == (jwe, "application/jose")
    assert door.sender.ask("GET", path, ("If-None-Match", got.headers["etag"])).status == 304
    history = door.sender.get(f"/hub/v1/applications/{sent.submission_id}").json["history"]
    assert [each["text"]["en"] for each in history if each["step"] == "submit-reply"] == [
        "A reply of the authority is ready"
    ]
    view = door.sender.get(f"/hub/v1/cases/{sent.case_id}").json
    assert [each["submissionId"] for each in view["submissions"]] == [sent.submission_id]
    assert (view["submissions"][0]["inCase"], view["replies"]) == (None, [row])


def test_what_a_sender_accepted_it_may_read_again_and_the_log_says_so(door: Door):
    sent = apply(door)
    reply = reply_to(door, sent, door.subscriber)
    path = replies_of(sent, f"/{reply.submission_id}")
    assert post(door.sender, f"{path}/acknowledgement", {"outcome": "accepted"}).status == 204
    assert door.sender.get(path).json["state"] == "accepted"
    log = door.subscriber.get(f"/v2/replies/{reply.submission_id}/events").json["eventLog"]
    assert kinds(log) == ["create-reply", "submit-reply", "accept-reply"]
    again = post(door.sender, f"{path}/acknowledgement", {"outcome": "rejected"})
    assert refused(again, 409, "invalid-state-transition")
    # By the sealed door it is gone, as FIT-Connect has it.
    assert door.sender.get(f"/v2/replies/{reply.submission_id}").status == 404


def test_what_a_sender_rejected_is_gone_and_its_author_learns_why(door: Door):
    sent = apply(door)
    reply = reply_to(door, sent, door.subscriber)
    path = replies_of(sent, f"/{reply.submission_id}")
    problem = {"type": "https://schema.fitko.de/fit-connect/events/problems/encryption-issue", "instance": "data"}
    said = post(door.sender, f"{path}/acknowledgement", {"outcome": "rejected", "problems": [problem]})
    assert said.status == 204
    assert refused(door.sender.get(path), 404, "submission-not-found")
    (row,) = door.sender.get(replies_of(sent)).json["replies"]
    assert (row["state"], row["readable"]) == ("rejected", False)
    (event,) = door.hub.store.event_log.events(UUID(sent.case_id), subject_id=UUID(reply.submission_id)).items[-1:]
    assert event.payload == {"problems": [problem]}
    assert event.by_hub


def test_pages_of_replies_are_in_order_and_hold_only_what_is_complete(door: Door):
    sent = apply(door)
    first, second = (reply_to(door, sent, door.subscriber).submission_id for _ in range(2))
    reply_to(door, sent, door.sender)  # The sender's own: it is the authority's to read.
    assert post(door.subscriber, "/v2/replies", {"caseId": sent.case_id, "announcedAttachments": []}).status == 201
    pages = [door.sender.get(replies_of(sent, f"?limit=1&offset={offset}")).json for offset in range(3)]
    assert [page["totalCount"] for page in pages] == [2, 2, 2]
    # Written in one moment of this clock, they are in the order of their ids.
    assert [row["replyId"] for page in pages for row in page["replies"]] == sorted([first, second])


def test_nobody_else_learns_that_a_case_or_a_reply_exists(door: Door):
    """Foreign case, foreign reply, unknown reply."""
    sent, other = apply(door), apply(door)
    reply = reply_to(door, sent, door.subscriber, b"Bescheid")
    own = reply_to(door, sent, door.sender)
    attachment = next(iter(reply.attachments))
    outsider = door.another(ClientKind.SENDER)
    for path in ("", f"/{reply.submission_id}", f"/{reply.submission_id}/attachments/{attachment}"):
        assert refused(outsider.get(replies_of(sent, path)), 404, "case-not-found")
    assert refused(outsider.get(f"/hub/v1/cases/{sent.case_id}"), 404, "case-not-found")
    acknowledgement = {"outcome": "accepted"}
    path = f"/{reply.submission_id}/acknowledgement"
    assert refused(post(outsider, replies_of(sent, path), acknowledgement), 404, "case-not-found")
    assert refused(post(door.sender, replies_of(other, path), acknowledgement), 404, "reply-not-found")
    for unseen in (uuid4(), own.submission_id, sent.submission_id):
        assert refused(door.sender.get(replies_of(sent, f"/{unseen}")), 404, "reply-not-found")
    assert refused(door.sender.get(replies_of(other, f"/{reply.submission_id}")), 404, "reply-not-found")
    assert refused(door.sender.get(f"/hub/v1/cases/{uuid4()}/replies"), 404, "case-not-found")
    assert door.subscriber.get(replies_of(sent)).status == 403
    assert door.anybody.get(replies_of(sent)).status == 401
    assert kinds(door.log(sent))[-1] == "submit-reply"


def test_a_reply_larger_than_the_limits_is_refused_and_never_listed(door: Door):
    sent = apply(door)
    many = {"caseId": sent.case_id, "announcedAttachments": [str(uuid4()) for _ in range(101)]}
    assert door.refused(post(door.subscriber, "/v2/replies", many), 413, "payload-too-large")
    one = str(uuid4())
    announced = post(door.subscriber, "/v2/replies", {"caseId": sent.case_id, "announcedAttachments": [one]}).json
    target = f"/v2/replies/{announced['replyId']}/attachments/{one}"
    head = ("Content-Type", "application/jose"), ("Content-Length", "500000001")
    assert door.refused(door.subscriber.ask("PUT", target, *head, body=[b"a"]), 413, "payload-too-large")
    assert door.sender.get(replies_of(sent)).json["replies"] == []


def reply_key(door: Door) -> dict:
    jwk = door.sealing_key.jwk
    return {name: jwk[name] for name in ("kty", "key_ops", "alg", "kid", "n", "e")}


def channel(key: dict) -> dict:
    return {"replyChannel": {"fitConnect": {"processStandards": ["urn:x:y"], "encryptionPublicKey": key}}}


def test_a_public_reply_key_goes_through_to_the_authority(door: Door):
    assert in_parts(door, channel(reply_key(door))).status == 202


@pytest.mark.parametrize(
    ("what", "member", "value", "check"),
    [
        ("a private half", "d", "AQAB", 2),
        ("a second use", "key_ops", ["wrapKey", "wrapKey"], 5),
        ("a kid", "kid", "ä" * 9, 4),
    ],
)
def test_a_reply_key_that_nobody_may_seal_for_is_refused_before_anything_is_stored(
    door: Door, what, member, value, check
):
    before = door.hub.store.submissions.cases().total
    answer = in_parts(door, channel(reply_key(door) | {member: value}))
    assert refused(answer, 422, "key-refused"), what
    assert answer.json["check"] == check
    assert "replyChannel" in answer.json["detailDe"]
    assert value not in (answer.json["detailDe"], answer.json["detailEn"])
    assert door.hub.store.submissions.cases().total == before
