"""Submits by the client that openapi-generator's ``python`` made: JSON, XML, and in parts XML and an attachment."""

import json
import sys
from pathlib import Path

plan = json.loads(sys.stdin.read())
sys.path.insert(0, plan["made"])

from openapi_generator_made import ApiClient, ApplicationsApi, Configuration  # noqa: E402

api = ApplicationsApi(ApiClient(Configuration(host=plan["base_url"], access_token=plan["token"])))
house, plot = (Path(plan[name]).read_bytes() for name in ("house", "plot"))
in_json = api.applications_create(plan["dogService"], plan["dog"], ars=plan["dogArs"], idempotency_key="og-1")
in_parts = api.applications_create_parts(
    plan["houseService"], ("antrag.xml", house), ars=plan["houseArs"], attachment=[("lageplan.pdf", plot)]
)
state = api.applications_status(in_json.submission_id)
report = api.validations_create(plan["dog"], service=plan["dogService"])
print(
    json.dumps(
        {
            "json": str(in_json.submission_id),
            "parts": str(in_parts.submission_id),
            "state": state.state,
            "valid": report.valid,
        }
    )
)
