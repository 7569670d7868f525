"""Proof of a case over HTTP: for its parties alone, and good without the hub."""

from __future__ import annotations

import json
import uuid

import pytest
from click.testing import CliRunner

from hub.cli import main
from hub.crypto.receipts import verify_receipt
from hub.proof.checkpoints import require_receipt, verify_proof


@pytest.fixture
def accepted(served) -> dict:
    return served.submit().json()


def proof_of(served, accepted, **request):
    return served.get(f"/hub/v1/cases/{accepted['caseId']}/proof", **request)


def test_before_the_first_checkpoint_there_is_no_proof(served, accepted):
    answer = proof_of(served, accepted)
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("checkpoint-not-found")


def test_strangers_get_no_proof(served, accepted):
    served.stage.hub.checkpoints.make(served.stage.clock())
    assert proof_of(served, accepted, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert served.get(f"/hub/v1/cases/{uuid.uuid4()}/proof").status_code == 404
    from hub.identity.clients import new_client
    from hub.model.parties import ClientKind

    other, secret = new_client(ClientKind.SENDER, "another online service", now=served.stage.clock())
    served.stage.hub.store.parties.add_client(other)
    login = {"grant_type": "client_credentials", "client_id": other.client_id, "client_secret": secret}
    token = served.post("/token", data=login).json()["access_token"]
    answer = proof_of(served, accepted, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


def test_both_parties_get_a_proof_that_holds_without_the_hub(served, accepted, tmp_path):
    served.stage.hub.checkpoints.make(served.stage.clock())
    subscriber = {"Authorization": f"Bearer {served.token('subscriber')}"}
    proof = proof_of(served, accepted).json()
    assert proof_of(served, accepted, headers=subscriber).json() == proof
    jwks = served.get("/hub/v1/jwks.json").json()
    require_receipt(verify_proof(proof, jwks), verify_receipt(accepted["receipt"], jwks))
    for name, content in (("proof", json.dumps(proof)), ("jwks", json.dumps(jwks)), ("receipt", accepted["receipt"])):
        (tmp_path / name).write_text(content)
    files = [str(tmp_path / name) for name in ("receipt", "jwks", "proof")]
    command = ["receipt", "verify", files[0], "--jwks", files[1], "--proof", files[2]]
    shown = CliRunner().invoke(main, command)
    assert (shown.exit_code, "genuine" in shown.output) == (0, True)
    (tmp_path / "proof").write_text(json.dumps(proof | {"head": "ab" * 32}))
    assert CliRunner().invoke(main, command).exit_code == 1
    (tmp_path / "proof").write_text("no JSON")
    assert CliRunner().invoke(main, command).exit_code == 1


def test_a_proof_that_names_no_personal_data(served, accepted):
    served.stage.hub.checkpoints.make(served.stage.clock())
    text = proof_of(served, accepted).text
    assert "Mustermann" not in text
    assert "Heidestra" not in text
