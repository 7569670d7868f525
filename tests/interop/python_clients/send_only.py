"""Send with PyPI's ``fitconnect_client`` 0.1.3, unmodified; runs in a virtual environment of its own.

Reads a plan (JSON) from standard input and prints what happened as one line of JSON.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

# The client lives in an environment of its own.
from fitconnect_client import Environment, FitconnectClient  # type: ignore[import-not-found]
from fitconnect_client.environment import ENV_CONFIG  # type: ignore[import-not-found]
from fitconnect_client.objects import Attachment  # type: ignore[import-not-found]


def main() -> None:
    plan = json.load(sys.stdin)
    ENV_CONFIG[Environment.TESTING].update(OAUTH_ENDPOINT=plan["token_url"], SUBMISSION_API=plan["base_url"] + "/v1")
    client = FitconnectClient(Environment.TESTING, **plan["sender"])
    client.obtain_access_token()
    with TemporaryDirectory() as folder:
        scan = Path(folder, "scan.pdf")
        scan.write_bytes(b"%PDF-1.7 " + bytes(range(256)) * 200)
        attachments = [Attachment(str(scan)), Attachment(str(scan))]
        submission = client.create_submission(plan["destination_id"], plan["service"], plan["name"], attachments)
        metadata = client.create_metadata(
            "2026-01-01",
            "Az. 1",
            plan["schema_uri"],
            "https://schema.fitko.de/fit-connect/metadata/1.0.0/metadata.schema.json",
            "post@example.org",
            attachments,
        )
        answer = client.send_submission(submission, metadata)
    print(
        json.dumps(
            {
                "submission_id": submission.submission_id,
                "answer": answer,
                "attachment_ids": submission.get_attachment_ids(),
            }
        )
    )


main()
