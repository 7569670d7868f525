"""Two hubs: what one accepts at its plain door, the other's receiver collects and opens."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from stage import BAUANTRAG, serving, staged

from adapters.fit_connect import FitConnect
from hub.client.fit_connect import SUBMISSION_API, Subscriber
from hub.client.session import log_in
from hub.crypto.keys import read_decryption_key
from hub.delivery.attempt import AdapterPool, Rules
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
        evidences=hub.evidences,
        callback_writer=CallbackWriter(store=hub.store),
        rules=Rules(
            node="near", lease=timedelta(minutes=1), schedule=Schedule(), threads=1, base_url="https://near.example"
        ),
        clock=stage.clock,
    )
    return dispatcher.run_once()


def receiver(far):
    """The far hub's receiver, as the client."""
    session = log_in(far.base_url, **far.stage.cast["subscriber"], api=SUBMISSION_API)
    return Subscriber(session, issuers=frozenset({far.stage.hub.settings.canonical_url}))


def waiting(far):
    places = [UUID(cast["destination_id"]) for cast in far.stage.cast["destinations"]]
    return {row.message_id: row for place in places for row in receiver(far).waiting(place)}


@contextmanager
def arrived(far, before):
    """What came since, collected and proven, and the keys to open it with."""
    (row,) = [row for name, row in waiting(far).items() if name not in before]
    cast = next(each for each in far.stage.cast["destinations"] if each["destination_id"] == str(row.destination_id))
    with receiver(far).collect(row) as collected:
        receiver(far).verify(collected)
        yield collected.open([read_decryption_key(cast["private_decryption_jwk"], written_by_us=True)])


def test_what_one_hub_accepts_the_other_hubs_receiver_opens(near, far):
    before = waiting(far)
    near.accept()
    assert deliver_from(near) == 1
    with arrived(far, before) as opened:
        assert opened.data == BAUANTRAG


def test_attachments_reach_the_other_hub_byte_for_byte(near, far):
    before = waiting(far)
    proof = b"%PDF-1.7" + bytes(200_000)
    with near.hub.intake.open(near.cover(), now=near.clock()) as reception:
        sealer = reception.attach(name="nachweis", filename="nachweis.pdf", media_type="application/pdf")
        sealer.write(proof)
        sealer.finish()
        application = Application(cover=near.cover(), media_type=MediaType.XML, data=BAUANTRAG)
        reception.accept(application, now=near.clock()).result(timeout=10)
    assert deliver_from(near) == 1
    with arrived(far, before) as opened:
        (attachment,) = opened.attachments
        assert b"".join(attachment.chunks()) == proof


def test_a_delivery_to_a_hub_is_not_made_twice(near, far):
    before = waiting(far)
    near.accept()
    assert (deliver_from(near), deliver_from(near)) == (1, 0)
    assert len(waiting(far)) == len(before) + 1
