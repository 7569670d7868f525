"""Submit an application with an attachment at the plain door, keep its receipt, ask where it stands.

python submit.py data/demo.json APPLICATION.xml ATTACHMENT.pdf
"""

import json
import sys
from pathlib import Path

from hub.client.contents import Attachment
from hub.client.plain import Application, PlainDoor
from hub.client.session import log_in
from hub.errors import InvalidPayload
from hub.model import MediaType

demo = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
door = PlainDoor(log_in(demo["base_url"], **demo["sender"]))

application = Application(
    data=Path(sys.argv[2]).read_bytes(),
    media_type=MediaType.XML,
    service="urn:de:fim:leika:leistung:99012008001000",
    ars="064390015015",
    attachments=[Attachment.of_file(Path(sys.argv[3]), description="Lageplan")],
)
try:
    receipt = door.submit(application)  # Submitting the same value again is a repeat and gets the same receipt.
except InvalidPayload as error:
    for violation in error.members["violations"]:
        print(violation["path"], violation["text"]["de"])
    raise SystemExit(1) from None

print(receipt.submission_id, "->", receipt.destination)
print(receipt.token)  # What to keep: it proves what was received, and when.
for step in door.progress(receipt.submission_id).history:
    print(step.at, step.text.de)
