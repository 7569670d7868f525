"""Submits by the client that openapi-python-client made: JSON, and in parts XML and an attachment."""

import json
import sys
from io import BytesIO
from pathlib import Path

plan = json.loads(sys.stdin.read())
sys.path.insert(0, plan["made"])

from openapi_python_client_made import AuthenticatedClient  # noqa: E402
from openapi_python_client_made.api.applications import (  # noqa: E402
    applications_create,
    applications_create_parts,
    applications_status,
    validations_create,
)
from openapi_python_client_made.models import ApplicationObject, ApplicationParts  # noqa: E402
from openapi_python_client_made.types import File  # noqa: E402

client = AuthenticatedClient(base_url=plan["base_url"], token=plan["token"], raise_on_unexpected_status=True)
dog = ApplicationObject.from_dict(plan["dog"])
in_json = applications_create.sync(
    client=client, body=dog, service=plan["dogService"], ars=plan["dogArs"], idempotency_key="opc-1"
)
house, plot = (Path(plan[name]).read_bytes() for name in ("house", "plot"))
parts = ApplicationParts(
    data=File(payload=BytesIO(house), file_name="antrag.xml", mime_type="application/xml"),
    attachment=[File(payload=BytesIO(plot), file_name="lageplan.pdf", mime_type="application/pdf")],
)
in_parts = applications_create_parts.sync(client=client, body=parts, service=plan["houseService"], ars=plan["houseArs"])
state = applications_status.sync(in_json.submission_id, client=client)
report = validations_create.sync(client=client, body=dog, service=plan["dogService"])
print(
    json.dumps(
        {
            "json": str(in_json.submission_id),
            "parts": str(in_parts.submission_id),
            "state": state.state.value,
            "valid": report.valid,
        }
    )
)
