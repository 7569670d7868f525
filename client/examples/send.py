"""Send by FIT-Connect: sealed for the destination's key, so that nobody between can read it.

python send.py data/demo.json TRUST-ANCHOR.pem
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from uuid import UUID

from hub.client.contents import Attachment, Message
from hub.client.fit_connect import SUBMISSION_API, Sender
from hub.client.session import log_in
from hub.crypto import KeyPolicy
from hub.model import MediaType, Service

demo = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
hub = demo["base_url"]
sender = Sender(log_in(hub, **demo["sender"], api=SUBMISSION_API), issuers=frozenset({hub}))

destination = sender.destination(UUID(demo["reserved_for_tests"]["destination_id"]))
key = sender.encryption_key(destination, policy=KeyPolicy.from_files([Path(sys.argv[2])], allow_self_signed=False))
offered = destination.services[0]
message = Message(
    data=b'{"betreff": "Ein Versuch"}',
    media_type=MediaType.JSON,
    schema_uri=offered["submissionSchemas"][0]["schemaUri"],
    attachments=[Attachment(open=lambda: BytesIO(b"%PDF-1.4"), filename="plan.pdf", media_type="application/pdf")],
)
sent = sender.send(
    message, destination=destination, key=key, service=Service(identifier=offered["identifier"], name="Ein Versuch")
)
print(sent.message.message_id, "in case", sent.message.case_id)

for claims in sender.verified_log(sent.message.case_id):
    print(*claims["events"])
