"""Send and collect with PyPI's ``fitconnect`` 0.4.2, unmodified; runs in a virtual environment of its own.

Reads a plan (JSON) from standard input and prints what happened as one line of JSON. The client knows two hard-wired
environments only; its addresses are plain attributes.
"""

import hashlib
import json
import sys
from typing import Any

from fitconnect import Environment, FITConnectClient  # type: ignore[import-not-found]  # not in this environment


def _client(plan: dict[str, Any], kind: str) -> Any:
    client = FITConnectClient(Environment.TESTING, plan[kind]["client_id"], plan[kind]["client_secret"])
    client.token_url = plan["token_url"]
    client.submission_api_url = plan["base_url"] + "/v1"
    return client


def main() -> None:
    plan = json.load(sys.stdin)
    attachment = b"%PDF-1.7 " + bytes(range(256)) * 200
    data = {"$schema": plan["schema_uri"], "antrag": "Fischereischein"}
    answer = _client(plan, "sender").submission(
        plan["destination_id"], plan["service"], data=data, attachments=[attachment]
    )
    subscriber = _client(plan, "subscriber")
    waiting = [row["submissionId"] for row in subscriber.available_submissions()]
    collected = subscriber.retrieve_submission(answer["submissionId"], plan["private_decryption_jwk"])
    print(
        json.dumps(
            {
                "submission_id": answer["submissionId"],
                "case_id": answer["caseId"],
                "was_listed": answer["submissionId"] in waiting,
                "data_is_equal": collected["data_json"] == data,
                "sent_sha512": [hashlib.sha512(attachment).hexdigest()],
                "read_sha512": [hashlib.sha512(item).hexdigest() for item in collected["attachments"].values()],
            }
        )
    )


main()
