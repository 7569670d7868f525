"""What is sealed under a key that somebody carries opens in its own place alone, and a typed code makes one key."""

import pytest

from hub.crypto import symmetric
from hub.errors import SealBroken

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PLACE = (b"form", b"one", b"1")


def test_what_was_sealed_opens_under_its_key_and_in_its_place_alone():
    sealed = symmetric.seal(KEY, b"Antrag", bound=PLACE)
    assert symmetric.unseal(KEY, sealed, bound=PLACE) == b"Antrag"
    assert len(sealed) == len(b"Antrag") + symmetric.OVERHEAD
    assert symmetric.seal(KEY, b"Antrag", bound=PLACE) != sealed
    wrong = {
        "another key": (OTHER, sealed, PLACE),
        "another place": (KEY, sealed, (b"form", b"two", b"1")),
        "the same bytes, cut elsewhere": (KEY, sealed, (b"form", b"one1", b"")),
        "a changed bit": (KEY, sealed[:-1] + bytes([sealed[-1] ^ 1]), PLACE),
        "cut short": (KEY, sealed[:20], PLACE),
        "nothing": (KEY, b"", PLACE),
    }
    for name, (key, content, bound) in wrong.items():
        with pytest.raises(SealBroken):
            pytest.fail(f"{name}: {symmetric.unseal(key, content, bound=bound)!r}")


def test_a_code_is_stretched_by_scrypt_as_its_specification_says():
    # RFC 7914, section 12, has no vector of our cost; the standard library's is checked against one, ours for its cost.
    import hashlib

    known = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1, dklen=64)
    assert known.hex().startswith("7023bdcb3afd7348461c06cd81fd38eb")
    ours = symmetric.stretch(b"code", salt=b"reference", size=48)
    assert ours == hashlib.scrypt(b"code", salt=b"reference", n=32768, r=8, p=1, dklen=48, maxmem=1 << 27)
