"""Replies in both directions (section 7 of FIT-Connect's wire)."""

from __future__ import annotations

from uuid import uuid4

from sealed_door import Door, kinds, post, put_jose, shared_door  # noqa: F401  # shared_door is a fixture
from sealed_replies import reply_to

from hub.model.parties import ClientKind


def test_an_outsider_neither_writes_nor_reads_a_reply(door: Door):
    sent = door.send()
    outsider = door.another(ClientKind.SENDER)
    assert door.refused(post(outsider, "/v1/replies", {"caseId": sent.case_id}), 403, "forbidden")
    assert door.refused(post(door.sender, "/v1/replies", {"caseId": str(uuid4())}), 404, "case-not-found")
    reply = reply_to(door, sent, door.subscriber, b"Bescheid")
    for path in (f"/v1/replies/{reply.submission_id}", f"/v2/replies/{reply.submission_id}/events"):
        assert outsider.get(path).status == 403
    stranger = door.another(ClientKind.SUBSCRIBER)
    assert stranger.get(f"/v1/replies/{reply.submission_id}").status == 403


def test_an_author_does_not_collect_its_own_reply(door: Door):
    sent = door.send()
    to_sender = reply_to(door, sent, door.subscriber)
    assert door.subscriber.get(f"/v1/replies/{to_sender.submission_id}").status == 404
    to_authority = reply_to(door, sent, door.sender)
    assert door.sender.get(f"/v1/replies/{to_authority.submission_id}").status == 403


def test_a_submission_is_no_reply_and_a_reply_no_submission(door: Door):
    sent = door.send()
    reply = reply_to(door, sent, door.sender)
    assert door.subscriber.get(f"/v2/submissions/{reply.submission_id}").status == 404
    assert door.subscriber.get(f"/v2/replies/{sent.submission_id}").status == 404
    assert reply.submission_id not in door.listed()


def test_an_online_service_collects_the_authoritys_reply(door: Door):
    sent = door.send()
    reply = reply_to(door, sent, door.subscriber, b"Bescheid")
    waiting = door.sender.get(f"/v1/replies?caseId={sent.case_id}").json
    assert waiting == {
        "count": 1,
        "offset": 0,
        "totalCount": 1,
        "replies": [
            {"destinationId": str(door.destination_id), "replyId": reply.submission_id, "caseId": sent.case_id}
        ],
    }
    got = door.sender.get(f"/v1/replies/{reply.submission_id}").json
    assert (got["encryptedMetadata"], got["encryptedData"]) == (reply.metadata, reply.data)
    attachment_id, jwe = next(iter(reply.attachments.items()))
    path = f"/v1/replies/{reply.submission_id}/attachments/{attachment_id}"
    assert door.sender.get(path).body.decode() == jwe
    assert door.sender.ask("HEAD", path).headers["content-length"] == str(len(jwe))


def test_an_authority_accepts_a_senders_reply_with_its_destinations_key(door: Door):
    sent = door.send()
    reply = reply_to(door, sent, door.sender)
    assert reply.submission_id in [
        row["replyId"] for row in door.subscriber.get("/v2/replies?limit=500").json["replies"]
    ]
    token = door.token("accept-reply", reply, sub=f"reply:{reply.submission_id}")
    assert door.post_event(reply, token).status == 204
    log = door.sender.get(f"/v2/replies/{reply.submission_id}/events").json["eventLog"]
    assert kinds(log) == ["create-reply", "submit-reply", "accept-reply"]
    assert log[-1] == token
    assert door.subscriber.get(f"/v2/replies/{reply.submission_id}").status == 404


def test_an_authority_cannot_accept_its_own_reply(door: Door):
    sent = door.send()
    reply = reply_to(door, sent, door.subscriber)
    token = door.token("accept-reply", reply, sub=f"reply:{reply.submission_id}")
    assert door.refused(door.post_event(reply, token), 403)


def test_a_sender_with_a_destination_of_its_own_accepts_with_its_key(door: Door):
    own = door.give_destination(door.stage.cast["sender"]["client_id"])
    sent = door.send()
    reply = reply_to(door, sent, door.subscriber)
    token = door.token("accept-reply", reply, sub=f"reply:{reply.submission_id}", iss=str(own.destination_id))
    assert door.post_event(reply, token, client=door.sender).status == 204


def test_events_of_a_case_and_of_each_message_are_told_apart(door: Door):
    sent = door.send()
    reply_to(door, sent, door.subscriber, version="v2")
    assert kinds(door.log(sent)) == ["create-submission", "submit-submission", "create-reply", "submit-reply"]
    assert kinds(door.sender.get(f"/v1/submissions/{sent.submission_id}/events").json["eventLog"]) == [
        "create-submission",
        "submit-submission",
    ]


def test_a_reply_takes_only_announced_attachments(door: Door):
    sent = door.send()
    announced = post(door.subscriber, "/v2/replies", {"caseId": sent.case_id, "announcedAttachments": []}).json
    path = f"/v2/replies/{announced['replyId']}/attachments/{uuid4()}"
    assert door.refused(put_jose(door.subscriber, path, door.seal(b"")), 422, "attachment-not-announced")
