"""The sealed door over HTTP, in process: a hub with the demo's parties, and clients that speak FIT-Connect to it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from stage import Stage, VirtualClock, altered
from stand_in import Answer, Client

from hub import app
from hub.api import application
from hub.api.fit_connect.destinations import Quota
from hub.api.fit_connect.oauth import OAuth
from hub.config import load_settings
from hub.crypto import EncryptionKey, SigningKey, encrypt, jws, read_signing_key
from hub.crypto.jwk import public_rsa_key
from hub.identity import Caller, new_client
from hub.model import ClientKind, Destination
from hub.resources import shipped

SERVICE = "urn:de:fim:leika:leistung:99012008001000"
SET_SCHEMA = "https://schema.fitko.de/fit-connect/set-payload/1.2.2/set-payload.schema.json"
EVENTS = "https://schema.fitko.de/fit-connect/events/"
PROBLEMS = "https://schema.fitko.de/fit-connect/submission-api/problems/"
JOSE = "application/jose"


@dataclass
class Sent:
    """A submission as its sender knows it."""

    submission_id: str
    case_id: str
    metadata: str
    data: str | None
    attachments: dict[str, str] = field(default_factory=dict)

    @property
    def tags(self) -> dict[str, Any]:
        found: dict[str, Any] = {"metadata": self.metadata.split(".")[4]}
        if self.data is not None:
            found["data"] = self.data.split(".")[4]
        if self.attachments:
            found["attachments"] = {key: jwe.split(".")[4] for key, jwe in self.attachments.items()}
        return found


class Door:
    """A hub behind its whole edge; ``sender`` and ``subscriber`` are clients with tokens, ``anybody`` is none."""

    def __init__(self, stage: Stage, *, quota: Quota | None = None, **parts: Any) -> None:
        self.stage = stage
        self.hub = altered(stage.hub, **parts)
        self.clock = stage.clock
        oauth = OAuth(clients=self.hub.clients, clock=self.clock)
        served = application.build(
            app.handlers(self.hub, oauth, app.people_desk(self.hub, oauth), quota=quota),
            specification=shipped("openapi.yaml"),
            base_url=self.hub.settings.canonical_url,
            token_info=oauth.token_info,
            production=True,
            limits=application.RequestLimits(),
            admission=self.hub.admission,
            identities=oauth.identities,
        )
        self.anybody = Client(patient(served), (("Accept-Language", "en"),))
        self.sender = self.client("sender")
        self.subscriber = self.client("subscriber")

    def client(self, name: str) -> Client:
        return self.with_credentials(self.stage.cast[name]["client_id"], self.stage.cast[name]["client_secret"])

    def with_credentials(self, client_id: str, secret: str, scope: str | None = None) -> Client:
        token = self.hub.clients.issue(client_id, secret, scope, now=self.clock())
        return self.anybody.with_token(token.access_token)

    def another(self, kind: ClientKind, *, manage: bool = False) -> Client:
        """A client that has nothing to do with the demo's cases."""
        client, secret = new_client(kind, "Another", now=self.clock(), manage=manage)
        self.hub.store.parties.add_client(client)
        if kind is ClientKind.SUBSCRIBER and not manage:
            self.give_destination(client.client_id)
        return self.with_credentials(client.client_id, secret)

    def give_destination(self, owner: str) -> Destination:
        destination = replace(self.destination, destination_id=uuid4(), owner=owner, callback=None)
        keys = [(stored.use, stored.jwk) for stored in self.hub.store.parties.keys(self.destination_id)]
        self.hub.store.parties.add_destination(destination, keys)
        return destination

    @cached_property
    def cast(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(
            each for each in self.stage.cast["destinations"] if each["adapter"] == "mailbox"
        )
        return found

    @property
    def destination_id(self) -> UUID:
        return UUID(self.cast["destination_id"])

    @property
    def destination(self) -> Destination:
        found: Destination = self.hub.store.parties.destination(self.destination_id)
        return found

    @cached_property
    def sealing_key(self) -> EncryptionKey:
        destination = self.destination
        jwk = self.hub.store.parties.key(destination.destination_id, destination.encryption_kid)
        return EncryptionKey(kid=jwk["kid"], jwk=jwk, public_key=public_rsa_key(jwk))

    @cached_property
    def signing_key(self) -> SigningKey:
        return read_signing_key(self.cast["private_signing_jwk"], written_by_us=True)

    def seal(self, content: bytes, media_type: str = "application/json") -> str:
        return encrypt(self.sealing_key, content, media_type)[0].decode()

    @property
    def sending_caller(self) -> Caller:
        token = dict(self.sender.headers)["Authorization"].removeprefix("Bearer ")
        return self.hub.clients.recognise(token, now=self.clock())

    # -------------------------------------------------------------------------------------------- whole steps

    def announce(self, *attachments: str, version: str = "v2", **more: Any) -> dict[str, str]:
        service = {"identifier": SERVICE, "name": "Bauantrag"}
        body = {
            "destinationId": str(self.destination_id),
            "announcedAttachments": list(attachments),
            ("serviceType" if version == "v1" else "publicService"): service,
            **more,
        }
        answer = post(self.sender, f"/{version}/submissions", body)
        assert answer.status == 201, answer.body
        found: dict[str, str] = answer.json
        return found

    def upload(self, submission_id: str, attachment_id: str, jwe: str, version: str = "v2") -> Answer:
        return put_jose(self.sender, f"/{version}/submissions/{submission_id}/attachments/{attachment_id}", jwe)

    def submit(self, submission_id: str, metadata: str, data: str | None, version: str = "v2") -> Answer:
        body = {"encryptedMetadata": metadata} | ({} if data is None else {"encryptedData": data})
        return put(self.sender, f"/{version}/submissions/{submission_id}", body)

    def send(self, *contents: bytes, version: str = "v2", **more: Any) -> Sent:
        """Announce, upload and submit."""
        attachments = {str(uuid4()): self.seal(content, "application/pdf") for content in contents}
        announced = self.announce(*attachments, version=version, **more)
        for attachment_id, jwe in attachments.items():
            assert self.upload(announced["submissionId"], attachment_id, jwe, version).status == 204
        sent = Sent(
            announced["submissionId"],
            announced["caseId"],
            self.seal(b'{"contentStructure": {}}'),
            self.seal(b'{"antrag": 1}'),
            attachments,
        )
        answer = self.submit(sent.submission_id, sent.metadata, sent.data, version)
        assert answer.status in {200, 202}, answer.body
        return sent

    def token(self, kind: str, sent: Sent, payload: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Sign an event as the destination would; ``claims`` overwrite what it says."""
        return self.sign(self.claims(kind, sent, payload, **claims))

    def claims(self, kind: str, sent: Sent, payload: Mapping[str, Any] | None = None, **claims: Any) -> dict[str, Any]:
        if payload is None:
            payload = {"authenticationTags": sent.tags} if kind.startswith("accept") else {"problems": []}
        return {
            "$schema": SET_SCHEMA,
            "jti": str(uuid4()),
            "iss": str(self.destination_id),
            "iat": int(self.clock().timestamp()),
            "sub": f"submission:{sent.submission_id}",
            "txn": f"case:{sent.case_id}",
            "events": {EVENTS + kind: dict(payload)},
            **claims,
        }

    def sign(self, claims: Mapping[str, Any], key: SigningKey | None = None, typ: str = "secevent+jwt") -> str:
        return jws.sign_ps512(key or self.signing_key, orjson.dumps(claims), typ=typ)

    def post_event(self, sent: Sent, token: str, version: str = "v2", client: Client | None = None) -> Answer:
        target = f"/{version}/cases/{sent.case_id}/events"
        return (client or self.subscriber).ask("POST", target, ("Content-Type", JOSE), body=[token.encode()])

    def accept(self, sent: Sent) -> Answer:
        return self.post_event(sent, self.token("accept-submission", sent))

    def log(self, sent: Sent, client: Client | None = None, version: str = "v2") -> list[str]:
        answer = (client or self.sender).get(f"/{version}/cases/{sent.case_id}/events")
        assert answer.status == 200, answer.body
        found: list[str] = answer.json["eventLog"]
        return found

    def refused(self, answer: Answer, status: int, slug: str | None = None) -> bool:
        """Whether an answer is this problem, in FIT-Connect's form with all members that its clients read."""
        document = answer.json
        complete = all(isinstance(document.get(name), str) for name in ("type", "title", "detail", "instance"))
        typed = slug is None or document["type"] == PROBLEMS + slug
        assert (answer.status, document["status"], complete, typed) == (status, status, True, True), document
        return answer.headers["content-type"] == "application/problem+json"

    def listed(self, client: Client | None = None) -> list[str]:
        answer = (client or self.subscriber).get("/v2/submissions?limit=500")
        assert answer.status == 200, answer.body
        return [row["submissionId"] for row in answer.json["submissions"]]


def patient(application: Any) -> Any:
    """Keep the line open until the answer is complete, as a real client does."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        async def wait() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                await asyncio.Event().wait()
            return message

        await application(scope, wait, send)

    return call


def post(client: Client, target: str, body: Any) -> Answer:
    return client.ask("POST", target, ("Content-Type", "application/json"), body=[json.dumps(body).encode()])


def put(client: Client, target: str, body: Any) -> Answer:
    return client.ask("PUT", target, ("Content-Type", "application/json"), body=[json.dumps(body).encode()])


def patch(client: Client, target: str, body: Any, media_type: str = "application/json") -> Answer:
    return client.ask("PATCH", target, ("Content-Type", media_type), body=[json.dumps(body).encode()])


def put_jose(client: Client, target: str, jwe: str) -> Answer:
    return client.ask("PUT", target, ("Content-Type", JOSE), body=[jwe.encode()])


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, unverified."""
    from hub.crypto import base64url

    parts = token.split(".")
    header, claims = (json.loads(base64url.decode(part.encode(), part="token")) for part in parts[:2])
    return header, claims


def kinds(log: list[str]) -> list[str]:
    """The kinds of a log's events, in order."""
    return [next(iter(read(token)[1]["events"])).removeprefix(EVENTS) for token in log]


@pytest.fixture(scope="module", name="door")
def shared_door(made_once: Path, tmp_path_factory: pytest.TempPathFactory):
    """One door for a file's tests, which leave the clock alone and each look at what they sent themselves."""
    opened = open_stage(made_once, tmp_path_factory.mktemp("door") / "data")
    yield Door(opened)
    opened.hub.close()


@pytest.fixture(name="own_door")
def movable_door(stage: Stage) -> Door:
    """A door whose clock may be moved."""
    return Door(stage)


def open_stage(made_once: Path, data: Path) -> Stage:
    shutil.copytree(made_once, data)
    clock = VirtualClock()
    hub = app.build(load_settings(data, {}, allow_private_addresses=True, disk_watermark_bytes=0), clock=clock)
    return Stage(hub=hub, clock=clock, cast=json.loads((data / "demo.json").read_text()), data=data)
