"""A vendor's clients show who they are by its key: forged, replayed, stretched and foreign assertions open nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest

from hub.administration.vendors import VendorService
from hub.crypto import read_signing_key, sign_ps512
from hub.errors import TooMany, Unauthenticated
from hub.identity.persons import Person
from hub.model import EVERYTHING, Role

STATE = Person(name="sven", full_name="Sven", roles=tuple(Role))
SECOND = Person(name="anna", full_name="Anna", roles=tuple(Role))
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Signer:
    """A vendor with an approved key, which is that of one of the demo's authorities, and its client."""

    def __init__(self, stage):
        self.stage, hub, now = stage, stage.hub, stage.clock()
        private = next(iter(stage.cast["destinations"]))["private_signing_jwk"]
        self.key = read_signing_key(private)
        (found, *_) = [
            each.jwk
            for destination in hub.store.parties.destinations(scope=EVERYTHING, limit=500).items
            for each in hub.store.parties.keys(destination.destination_id)
            if each.kid == private["kid"]
        ]
        from test_commit_faults import AUDIT, account

        for person in (STATE, SECOND):
            hub.store.accounts.add(account(person.name, roles=tuple(Role), created_at=now), audit=AUDIT)
        self.desk: VendorService = hub.vendor_service
        self.vendor = self.desk.create(STATE, name="Werk", now=now).vendor_id
        self.desk.set_software(self.vendor, stage.sender, STATE, product="Netz/1", now=now)
        self.desk.propose_key(self.vendor, found, STATE, now=now)
        self.kid = found["kid"]

    def approve(self):
        self.desk.approve_key(self.vendor, self.kid, SECOND, now=self.stage.clock())

    def make(self, **changes):
        now = self.stage.clock()
        claims = {
            "iss": self.stage.sender,
            "sub": self.stage.sender,
            "aud": f"{self.stage.hub.base_url}/token",
            "exp": int((now + timedelta(minutes=5)).timestamp()),
            "jti": str(uuid4()),
            **changes,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        return sign_ps512(self.key, orjson.dumps(said), typ="JWT")

    def proves(self, assertion):
        try:
            client = self.stage.hub.clients.asserted(assertion, now=self.stage.clock())
        except Unauthenticated as refused:
            return refused.slug != "invalid_client"
        return client.client_id == self.stage.sender


def test_an_approved_key_of_the_vendor_proves_its_client_once_each_time(stage):
    signer = Signer(stage)
    assert not signer.proves(signer.make()), "the second person has not approved it"
    signer.approve()
    assertion = signer.make(aud=[stage.hub.base_url, "https://other.example"])
    assert signer.proves(assertion)
    assert not signer.proves(assertion), "replayed"
    stage.clock.pass_(minutes=1)
    assert signer.proves(signer.make())
    signer.desk.end_software(signer.vendor, stage.sender, STATE, now=stage.clock())
    assert not signer.proves(signer.make()), "no vendor's client any more"
    signer.desk.set_software(signer.vendor, stage.sender, STATE, product="Netz/1", now=stage.clock())
    signer.desk.retire_key(signer.vendor, signer.kid, STATE, now=stage.clock())
    assert not signer.proves(signer.make()), "retired"


#: What is forged, as claims that differ from good ones (None: left out).
FORGED = {
    "another client's name": {"sub": "somebody-else"},
    "two names": {"iss": "somebody-else"},
    "an unknown client": {"iss": "nobody", "sub": "nobody"},
    "for another server": {"aud": "https://other.example/token"},
    "for no server": {"aud": None},
    "an audience that is no text": {"aud": [{"x": 1}]},
    "over": {"exp": 1},
    "for ever": {"exp": 4_000_000_000},
    "an end that is true": {"exp": True},
    "an end beyond all time": {"exp": 2**62},
    "no end": {"exp": None},
    "no mark of its own": {"jti": None},
    "an empty mark": {"jti": ""},
    "a mark that is no text": {"jti": 7},
    "an endless mark": {"jti": "x" * 300},
}


def test_nothing_else_proves_anybody(stage):
    signer = Signer(stage)
    signer.approve()
    for what, changes in FORGED.items():
        assert not signer.proves(signer.make(**changes)), what
    good = signer.make()
    head, payload, signature = good.split(".")
    other = signer.make(jti="x").split(".")[1]
    for what, forged in {
        "other claims": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{payload}.",
        "cut": good[:-4],
        "nothing": "",
        "no token": "x" * 100,
        "too long": good + "A" * 9_000,
        "letters of elsewhere": good.replace("A", "Ä", 1),
    }.items():
        assert not signer.proves(forged), what
    stage.hub.store.parties.disable_client(stage.sender, stage.clock())
    assert not signer.proves(signer.make()), "a locked client"


def test_who_tries_many_is_turned_away_before_anything_is_read(stage):
    def forged():
        stage.hub.clients.asserted("x.y.z", address="192.0.2.9", now=stage.clock())

    for _ in range(60):
        with pytest.raises(Unauthenticated):
            forged()
    with pytest.raises(TooMany):
        forged()


def test_the_token_endpoint_takes_an_assertion_and_not_two_proofs_at_once(served):
    signer = Signer(served.stage)
    signer.approve()
    form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": signer.make()}
    answer = served.post("/token", data=form, headers={"Authorization": ""})
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.text)["token_type"] == "Bearer"
    assert served.post("/token", data=form, headers={"Authorization": ""}).status_code == 401
    both = form | {"client_assertion": signer.make(), "client_secret": "x"}
    assert served.post("/token", data=both, headers={"Authorization": ""}).status_code == 400
    other = form | {"client_assertion": signer.make(), "client_assertion_type": "saml"}
    assert served.post("/token", data=other, headers={"Authorization": ""}).status_code == 400
