"""Vectors that others published, as ``cryptography-vectors`` and ``jwcrypto`` carry them, read into plain values."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import cryptography_vectors
import jwcrypto

_FIELD = re.compile(r"\[?(\w+) ?= ?(.*?)\]?")


@dataclass(frozen=True, kw_only=True)
class Oaep:
    n: int
    e: int
    d: int
    p: int
    q: int
    message: bytes
    wrapped: bytes


@dataclass(frozen=True, kw_only=True)
class Pss:
    n: int
    e: int
    message: bytes
    signature: bytes
    salt: bytes
    verifies: bool


@dataclass(frozen=True, kw_only=True)
class Gcm:
    """``plaintext`` is None where the tag is a forged one."""

    key: bytes
    iv: bytes
    ciphertext: bytes
    aad: bytes
    tag: bytes
    plaintext: bytes | None


@dataclass(frozen=True, kw_only=True)
class Ed25519:
    seed: bytes
    public: bytes
    message: bytes
    signature: bytes


def _lines(name: str) -> list[str]:
    with cryptography_vectors.open_vector_file(name, "r") as file:
        return [line.strip() for line in file]


@cache
def oaep(digest: str, mask: str | None = None) -> tuple[Oaep, ...]:
    """The vectors of RSA's PKCS #1 v2.1 made again with other hashes for MGF1 and label: 60 with SHA-256, of RSA-2048."""
    lines = _lines(f"asymmetric/RSA/oaep-custom/oaep-{mask or digest}-{digest}.txt")
    found, values = [], dict[str, int]()
    message = b""
    for label, value in pairwise(lines):
        if label == "# Message:":
            message = bytes.fromhex(value)
        elif label == "# Encryption:":
            found.append(
                Oaep(
                    n=values["# Modulus:"],
                    e=values["# Public exponent:"],
                    d=values["# Exponent:"],
                    p=values["# Prime 1:"],
                    q=values["# Prime 2:"],
                    message=message,
                    wrapped=bytes.fromhex(value),
                )
            )
        elif re.fullmatch("[0-9a-f]+", value) and label.startswith("# "):
            values[label] = int(value, 16)
    return tuple(found)


@cache
def pss_sha512() -> tuple[Pss, ...]:
    """NIST's SigVer vectors of FIPS 186-3 (CAVS 11.0) with SHA-512 and a salt of ten bytes: 90, of RSA-1024 to 4096."""
    found, values = [], dict[str, str]()
    for name, value in _fields(_lines("asymmetric/RSA/FIPS_186-2/SigVerPSS_186-3.rsp")):
        values[name] = value
        if name == "Result" and values["SHAAlg"] == "SHA512":
            found.append(
                Pss(
                    n=int(values["n"], 16),
                    e=int(values["e"], 16),
                    message=bytes.fromhex(values["Msg"]),
                    signature=bytes.fromhex(values["S"]),
                    salt=bytes.fromhex(values["SaltVal"]),
                    verifies=value.startswith("P"),
                )
            )
    return tuple(found)


@cache
def gcm_256() -> tuple[Gcm, ...]:
    """NIST's decryption vectors (CAVS 14.0) of AES-256, of them those with 96-bit IV and 128-bit tag: 375."""
    found, values = [], dict[str, str]()
    for name, value in _fields(_lines("ciphers/AES/GCM/gcmDecrypt256.rsp")):
        values[name] = value
        if name in {"PT", "FAIL"} and (values["IVlen"], values["Taglen"]) == ("96", "128"):
            key, iv, ciphertext, aad, tag = (bytes.fromhex(values[part]) for part in ("Key", "IV", "CT", "AAD", "Tag"))
            plaintext = bytes.fromhex(value) if name == "PT" else None
            found.append(Gcm(key=key, iv=iv, ciphertext=ciphertext, aad=aad, tag=tag, plaintext=plaintext))
    return tuple(found)


@cache
def ed25519() -> tuple[Ed25519, ...]:
    """Bernstein's sign.input of the software behind RFC 8032 (ed25519.cr.yp.to): 1024 messages of 0 to 1023 bytes."""
    found = []
    for line in _lines("asymmetric/Ed25519/sign.input"):
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        found.append(Ed25519(seed=secret[:32], public=public, message=message, signature=signed[:64]))
    return tuple(found)


@cache
def cookbook() -> ModuleType:
    """The examples of RFC 7520, whose values jwcrypto carries as a module of its own tests."""
    path = Path(jwcrypto.__file__).with_name("tests-cookbook.py")
    spec = importlib.util.spec_from_file_location("cookbook", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tokens_of_the_cookbook(kind: str) -> dict[str, Any]:
    """Every token of RFC 7520 by the number of its figure; ``kind`` is JWE or JWS. Compact ones are text, others objects."""
    form = re.compile(rf"{kind}_(compact|general|flattened)_")
    return {name: value for name, value in vars(cookbook()).items() if form.match(name)}


def _fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match:
            yield match.group(1), match.group(2)
        elif line == "FAIL":
            yield line, ""
