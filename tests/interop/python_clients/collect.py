"""Collect one submission with PyPI's ``fitconnect`` 0.4.2, unmodified; runs in a virtual environment of its own.

Reads a plan (JSON) from standard input and prints what happened as one line of JSON.
"""

import hashlib
import json
import sys

from fitconnect import Environment, FITConnectClient  # type: ignore[import-not-found]  # not in this environment


def main() -> None:
    plan = json.load(sys.stdin)
    subscriber = FITConnectClient(Environment.TESTING, **plan["subscriber"])
    subscriber.token_url = plan["token_url"]
    subscriber.submission_api_url = plan["base_url"] + "/v1"
    waiting = [row["submissionId"] for row in subscriber.available_submissions()]
    collected = subscriber.retrieve_submission(plan["submission_id"], plan["private_decryption_jwk"])
    print(
        json.dumps(
            {
                "was_listed": plan["submission_id"] in waiting,
                "data": collected["data_json"],
                "attachments_sha512": [hashlib.sha512(item).hexdigest() for item in collected["attachments"].values()],
            }
        )
    )


main()
