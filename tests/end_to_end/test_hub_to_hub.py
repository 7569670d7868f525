"""Two hubs: what one accepts at its plain door, the other's receiver collects and opens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from stage import BAUANTRAG, serving, staged

from adapters.fit_connect import FitConnect
from hub.crypto.jose import decrypt
from hub.crypto.keys import read_decryption_key
from hub.delivery.adapters import AdapterPool
from hub.delivery.attempt import Rules
from hub.delivery.dispatcher import Dispatcher
from hub.model.delivery import Schedule
from hub.model.submission import Application, MediaType
from hub.notifications.callbacks import CallbackWriter


@pytest.fixture
def far(made_once, tmp_path):
    """The hub that receives, behind a real server."""
    (tmp_path / "far").mkdir()
    with staged(made_once, tmp_path / "far") as stage, serving(stage) as served:
        yield served


@pytest.fixture
def near(made_once, tmp_path, far):
    """The hub that sends: its destinations lie at the other one. Both were copied from one, so the keys agree."""
    (tmp_path / "near").mkdir()
    secret = tmp_path / "secret"
    secret.write_text(far.stage.cast["sender"]["client_secret"])
    with staged(made_once, tmp_path / "near") as stage:
        for cast in stage.cast["destinations"]:
            destination = stage.hub.store.parties.destination(stage.destination_id(cast["name"]))
            config = {
                "submission_api": f"{far.base_url}/submission-api",
                "token_url": f"{far.base_url}/token",
                "client_id": far.stage.cast["sender"]["client_id"],
                "client_secret_file": str(secret),
                "destination_id": cast["destination_id"],
                "allow_http": True,
                "allow_private_addresses": True,
            }
            stage.hub.store.parties.replace_destination(
                replace(destination, adapter="fit_connect", adapter_config=config)
            )
        yield stage


def deliver_from(stage):
    """Make every attempt that is due."""
    hub = stage.hub
    dispatcher = Dispatcher(
        store=hub.store,
        blobs=hub.blobs,
        adapters=AdapterPool({"fit_connect": FitConnect}),
        notary=hub.notary,
        callback_writer=CallbackWriter(store=hub.store),
        rules=Rules(
            node="near", lease=timedelta(minutes=1), schedule=Schedule(), threads=1, base_url="https://near.example"
        ),
        clock=stage.clock,
    )
    return dispatcher.run_once()


def waiting(far):
    headers = {"Authorization": f"Bearer {far.token('subscriber')}"}
    return headers, far.get("/submission-api/v2/submissions?limit=500", headers=headers).json()["submissions"]


def test_what_one_hub_accepts_the_other_hubs_receiver_opens(near, far):
    _headers, before = waiting(far)
    near.accept()
    assert deliver_from(near) == 1
    headers, after = waiting(far)
    known = {row["submissionId"] for row in before}
    (row,) = [row for row in after if row["submissionId"] not in known]
    found = far.get(f"/submission-api/v2/submissions/{row['submissionId']}", headers=headers).json()
    cast = next(each for each in far.stage.cast["destinations"] if each["destination_id"] == row["destinationId"])
    key = read_decryption_key(cast["private_decryption_jwk"], written_by_us=True)
    assert decrypt(found["encryptedData"].encode(), [key], max_output=10**7) == BAUANTRAG


def test_attachments_reach_the_other_hub_byte_for_byte(near, far):
    _headers, before = waiting(far)
    proof = b"%PDF-1.7" + bytes(200_000)
    with near.hub.intake.open(near.cover(), now=near.clock()) as reception:
        sealer = reception.attach(name="nachweis", filename="nachweis.pdf", media_type="application/pdf")
        sealer.write(proof)
        sealer.finish()
        application = Application(cover=near.cover(), media_type=MediaType.XML, data=BAUANTRAG)
        reception.accept(application, now=near.clock()).result(timeout=10)
    assert deliver_from(near) == 1
    headers, after = waiting(far)
    (row,) = [row for row in after if row not in before]
    place = f"/submission-api/v2/submissions/{row['submissionId']}"
    (attachment_id,) = far.get(place, headers=headers).json()["attachments"]
    cast = next(each for each in far.stage.cast["destinations"] if each["destination_id"] == row["destinationId"])
    key = read_decryption_key(cast["private_decryption_jwk"], written_by_us=True)
    sealed = far.get(f"{place}/attachments/{attachment_id}", headers=headers).content
    assert decrypt(sealed, [key], max_output=10**7) == proof


def test_a_delivery_to_a_hub_is_not_made_twice(near, far):
    _headers, before = waiting(far)
    near.accept()
    assert (deliver_from(near), deliver_from(near)) == (1, 0)
    assert len(waiting(far)[1]) == len(before) + 1
