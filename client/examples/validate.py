"""Find the schema, validate a document without submitting it, and ask who would be responsible.

python validate.py data/demo.json APPLICATION.xml
"""

import json
import sys
from pathlib import Path

from hub.client.plain import PlainDoor
from hub.client.session import log_in
from hub.model import MediaType

SERVICE = "urn:de:fim:leika:leistung:99012008001000"

demo = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
door = PlainDoor(log_in(demo["base_url"], **demo["sender"]))

report = door.validate(Path(sys.argv[2]).read_bytes(), media_type=MediaType.XML, service=SERVICE)
print("valid" if report.valid else f"{report.total} violations of {report.document['schema']['uri']}")
for violation in report.violations:
    print(violation["path"], violation["text"]["de"])

print(len(door.schemas()), "schemas")
area = door.areas("Taunusstein")["areas"][0]
print(area["name"], door.responsible(SERVICE, ars=area["ars"])["destinationId"])
