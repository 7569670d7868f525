"""Collect what waits at a destination: verify that the log proves it, open it, accept it or say why not.

python collect.py data/demo.json
"""

import json
import sys
from pathlib import Path
from uuid import UUID

from hub.client.fit_connect import SUBMISSION_API, Subscriber
from hub.client.session import log_in
from hub.client.verification import Problem
from hub.crypto import read_decryption_key, read_signing_key
from hub.errors import SealBroken

demo = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
hub, reserved = demo["base_url"], demo["reserved_for_tests"]
subscriber = Subscriber(log_in(hub, **reserved["subscriber"], api=SUBMISSION_API), issuers=frozenset({hub}))
keys = [read_decryption_key(reserved["private_decryption_jwk"])]
signing = read_signing_key(reserved["private_signing_jwk"])

for waiting in subscriber.waiting(UUID(reserved["destination_id"])):
    with subscriber.collect(waiting) as collected:
        submitted_at = subscriber.verify(collected)
        try:
            opened = collected.open(keys)
            for attachment in opened.attachments:
                print(attachment.filename, sum(len(chunk) for chunk in attachment.chunks()), "bytes")
        except SealBroken as error:
            detail = Problem(slug="encryption-issue", instance="submission", detail=error.detail.en)
            subscriber.reject(waiting, [detail], signing)
            continue
        print(waiting.message_id, submitted_at, opened.data)
        subscriber.accept(collected, signing)
