"""Keys for the whole run: RSA-4096 takes 0.4 s to make, so every kind is made once."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from argon2 import PasswordHasher
from connexion.spec import Specification
from hypothesis import HealthCheck, settings
from stage import NOW, made_by_one, made_once, served, stage  # noqa: F401  # fixtures for every test

from hub.api import application
from hub.areas import gazetteer
from hub.crypto import keys
from hub.identity import accounts
from hub.resources import shipped
from hub.validation import catalog

#: Fixtures that several modules share; here alone, so that each is loaded once and before anybody imports it.
pytest_plugins = [
    "store_servers",
    "bucket",
    "admin_pages",
    "openid_pages",
    "api_people",
    "client_maker",
    "portal_pages",
    "portal_way",
    "portal_login",
    "scanner_servers",
]

# Secrets that tests write are for their account alone, as an operator's are; the hub refuses others.
os.umask(0o077)

# What a busy machine takes its time for is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# One process for each hub, where nothing else is asked for: several take longer to begin.
os.environ.setdefault("HUB_PROCESSES", "1")

# What is the same for all of the hundreds of hubs that the suite builds is read and judged once. Nobody changes it.
_judged: dict[bytes, Specification] = {}
_judge = Specification.__init__


def _judge_once(self: Specification, raw_spec: dict[str, Any], *, base_uri: str = "") -> None:
    """Judge, copy and resolve a contract once; connexion does so six times at each start."""
    document = orjson.dumps([base_uri, raw_spec])
    if document not in _judged:
        _judge(self, raw_spec, base_uri=base_uri)
        _judged[document] = self
    known = _judged[document]
    vars(self).update(vars(_clone(known)))


def _clone(self: Specification) -> Specification:
    """A copy for another base path, which is all that is changed in it."""
    made = copy.copy(self)
    vars(made).update({name: copy.copy(value) for name, value in vars(self).items()})
    return made


def _shipped_once(read: Callable[[Path], Any], folder: Path) -> Callable[[Path], Any]:
    """Have what reads a path read those at or below ``folder`` once."""
    once = cache(read)
    return lambda path: (once if path.is_relative_to(folder) else read)(path)


Specification.__init__, Specification.clone = _judge_once, _clone
application.load = _shipped_once(application.load, shipped("openapi.yaml"))
catalog.load_version = _shipped_once(catalog.load_version, shipped("schemas"))
gazetteer.Gazetteer.load = _shipped_once(gazetteer.Gazetteer.load, shipped("routing_rules"))

# Slow on purpose where people log in; each of the hubs that the suite builds would take a fifth of a second for it.
accounts.PasswordHasher = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)

Pair = tuple[dict[str, Any], dict[str, Any]]

_CHECKOUT = Path(__file__).parents[1]
#: Rooms and files with few and long tests: a run that begins with them does not end with one process at work.
_LONG_FIRST = ("test_contract_fuzzing.py", "end_to_end", "docs", "interop", "browser", "deploy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, then those with many tests; `make test` has xdist keep this order."""
    number = Counter(item.path for item in items)

    def order(item: pytest.Item) -> tuple[int, int]:
        rooms = item.path.parts[len(_CHECKOUT.parts) :]
        place = next((at for at, room in enumerate(_LONG_FIRST) if room in rooms), len(_LONG_FIRST))
        return place, -number[item.path]

    items.sort(key=order)


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make wheel`` puts into dist/: both wheels, the lock and what installs them."""
    return made_by_one(tmp_path_factory, "dist", _build)


@pytest.fixture(scope="session")
def installed_hub(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``hub`` as an operator has it: installed from ``dist`` alone, with no checkout near; leave it as it is."""
    return made_by_one(tmp_path_factory, "installed", partial(_install, dist)) / "bin/hub"


def _build(folder: Path) -> None:
    for place in (_CHECKOUT, _CHECKOUT / "client"):
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=100)
    for each in (
        "requirements.lock",
        "deploy/install.sh",
        "deploy/container/Containerfile",
        "deploy/container/health.py",
    ):
        shutil.copy(_CHECKOUT / each, folder)


def _install(dist: Path, folder: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    settings = {"PYTHON": sys.executable, "UV_LINK_MODE": "hardlink"} | ({"UV": str(uv)} if uv.exists() else {})
    subprocess.run(
        ["/bin/sh", str(dist / "install.sh"), str(folder)],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        timeout=300,
    )


@pytest.fixture(scope="session")
def rsa_pair() -> Pair:
    """A destination's key for sealing: (public JWK wrapKey, private JWK unwrapKey), without x5c."""
    return keys.make_rsa_pair("encryption", kid_prefix="seal-")


@pytest.fixture(scope="session")
def other_rsa_pair() -> Pair:
    """Somebody else's key for sealing."""
    return keys.make_rsa_pair("encryption", kid_prefix="other-")


@pytest.fixture(scope="session")
def signature_pair() -> Pair:
    """A subscriber's or the hub's key for PS512: (public JWK verify, private JWK sign), without x5c."""
    return keys.make_rsa_pair("signing", kid_prefix="sign-")


@pytest.fixture(scope="session")
def ed25519_pair() -> Pair:
    """A key for receipts: (public JWK, private JWK)."""
    return keys.make_ed25519_pair("receipt-")


@pytest.fixture(scope="session")
def encryption_key(rsa_pair: Pair) -> keys.EncryptionKey:
    return keys.judge_encryption_key(rsa_pair[0], now=NOW, policy=keys.KeyPolicy(), require_x5c=False)


@pytest.fixture(scope="session")
def decryption_key(rsa_pair: Pair) -> keys.DecryptionKey:
    return keys.read_decryption_key(rsa_pair[1], written_by_us=True)


@pytest.fixture(scope="session")
def other_decryption_key(other_rsa_pair: Pair) -> keys.DecryptionKey:
    return keys.read_decryption_key(other_rsa_pair[1], written_by_us=True)


@pytest.fixture(scope="session")
def signing_key(signature_pair: Pair) -> keys.SigningKey:
    return keys.read_signing_key(signature_pair[1], written_by_us=True)


@pytest.fixture(scope="session")
def verification_key(signature_pair: Pair) -> keys.VerificationKey:
    return keys.judge_signature_key(signature_pair[0], now=NOW, policy=keys.KeyPolicy(), require_x5c=False)


@pytest.fixture(scope="session")
def receipt_key(ed25519_pair: Pair) -> keys.SigningKey:
    return keys.read_signing_key(ed25519_pair[1], written_by_us=True)
