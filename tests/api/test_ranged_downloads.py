"""Attachments on their way out: whole, or from where a download broke off, with the digest of the whole."""

from __future__ import annotations

import base64
import hashlib
import random

import pytest
from sealed_door import Door
from sealed_replies import reply_to

#: Too large for a row, and small enough for one.
CONTENTS = random.Random(26).randbytes(700_000), b"klein"


@pytest.fixture
def places(stage):
    """Who may read what: path, ciphertext and client, of a submission's attachments and of a reply's."""
    door = Door(stage)
    sent = door.send(*CONTENTS)
    found = [
        (f"/{version}/submissions/{sent.submission_id}/attachments/{attachment_id}", jwe, door.subscriber)
        for version in ("v1", "v2")
        for attachment_id, jwe in sent.attachments.items()
    ]
    reply = reply_to(door, sent, door.subscriber, *CONTENTS)
    path = f"/hub/v1/cases/{sent.case_id}/replies/{reply.submission_id}/attachments"
    return found + [(f"{path}/{attachment_id}", jwe, door.sender) for attachment_id, jwe in reply.attachments.items()]


def test_any_stretch_of_the_ciphertext_is_served(places):
    for path, jwe, reader in places:
        content, size = jwe.encode(), len(jwe)
        whole = reader.get(path)
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
        assert (whole.status, whole.body, whole.headers["accept-ranges"]) == (200, content, "bytes")
        assert whole.headers["repr-digest"] == f"sha-512=:{digest}:"
        stretches = {
            "bytes=0-0": (0, 1),
            "bytes=100-": (100, size),
            f"bytes=5-{size + 1000}": (5, size),
            "bytes=-7": (size - 7, size),
            f"bytes=-{size + 1}": (0, size),
            f"Bytes={size - 1}-{size - 1}": (size - 1, size),
        }
        for wanted, (start, end) in stretches.items():
            part = reader.ask("GET", path, ("Range", wanted))
            assert (part.status, part.body) == (206, content[start:end]), wanted
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
            assert part.headers["content-length"] == str(end - start)
            assert part.headers["repr-digest"] == whole.headers["repr-digest"], "the digest is the whole's"


def test_what_is_no_single_range_gets_the_whole(places):
    path, jwe, reader = places[0]
    for asked in ("bytes=0-1,4-5", "chars=0-1", "bytes=5-2", "bytes=-", "bytes=", "bytes=a-b", "bytes=0-1;q=1"):
        answer = reader.ask("GET", path, ("Range", asked))
        assert (answer.status, len(answer.body)) == (200, len(jwe)), asked


def test_a_range_behind_the_end_is_refused_with_the_size(places):
    path, jwe, reader = places[0]
    for asked in (f"bytes={len(jwe)}-", "bytes=-0", f"bytes={'9' * 15}-"):
        answer = reader.ask("GET", path, ("Range", asked))
        assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(jwe)}"), asked
        assert answer.json["size"] == len(jwe)


def test_a_range_of_another_content_gets_the_whole(places):
    path, jwe, reader = places[0]
    etag = reader.get(path).headers["etag"]
    for condition, status in (
        (etag, 206),
        ('"other"', 200),
        (f"W/{etag}", 200),
        ("Fri, 20 Nov 2026 12:00:00 GMT", 200),
    ):
        answer = reader.ask("GET", path, ("Range", "bytes=1-2"), ("If-Range", condition))
        assert answer.status == status, condition
        assert answer.body == (jwe.encode()[1:3] if status == 206 else jwe.encode())
