"""Submits one application by the client that openapi-python-client made of a hub's own contract; prints who got it."""

import json
import ssl
import sys

import httpx

plan = json.loads(sys.stdin.read())
sys.path.insert(0, plan["made"])

from openapi_python_client_made import AuthenticatedClient  # noqa: E402
from openapi_python_client_made.api.applications import applications_create  # noqa: E402
from openapi_python_client_made.models import ApplicationObject  # noqa: E402

trusted = ssl.create_default_context(cafile=plan["caFile"])
asked = httpx.post(
    f"{plan['baseUrl']}/token", data={"grant_type": "client_credentials", **plan["sender"]}, verify=trusted, timeout=30
)
token = asked.raise_for_status().json()["access_token"]
client = AuthenticatedClient(
    base_url=plan["baseUrl"],
    token=token,
    verify_ssl=trusted,
    raise_on_unexpected_status=True,
    timeout=httpx.Timeout(30),
)
accepted = applications_create.sync(
    client=client,
    body=ApplicationObject.from_dict(plan["document"]),
    service=plan["service"],
    ars=plan["ars"],
    idempotency_key="generated-1",
)
print(accepted.destination.name)
