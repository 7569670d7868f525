"""The receiver's side of the sealed door: list, collect, download, acknowledge, destinations and keys."""

from __future__ import annotations

from sealed_door import Door, door, kinds  # noqa: F401


def test_what_was_sent_is_listed_collected_and_accepted(door: Door):
    sent = door.send(b"%PDF-1.7", b"x" * 100_000)
    assert sent.submission_id in door.listed()
    answer = door.subscriber.get(f"/v2/submissions/{sent.submission_id}")
    assert answer.status == 200, answer.body
    assert answer.json["encryptedMetadata"] == sent.metadata
    for attachment_id, jwe in sent.attachments.items():
        got = door.subscriber.get(f"/v2/submissions/{sent.submission_id}/attachments/{attachment_id}")
        assert (got.status, got.headers["content-type"], got.body.decode()) == (200, "application/jose", jwe)
        assert got.headers["content-length"] == str(len(jwe))
        head = door.subscriber.ask("HEAD", f"/v2/submissions/{sent.submission_id}/attachments/{attachment_id}")
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(jwe)), b"")
    assert door.accept(sent).status == 204
    print(kinds(door.log(sent)))
