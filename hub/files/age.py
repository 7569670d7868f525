"""Files that only the holder of a key opens: the age format (age-encryption.org/v1), for backups that leave the house.

A stream of chunks, each authenticated, and the last one marked as such: a wrong key, a changed byte and a cut file are told
apart from a whole one. Whoever has the key can open it without the hub, too, by the ``age`` command. The library is an extra
package (``rathaus-hub[backup]``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from hub.errors import ConfigurationError, Text
from hub.files import vault

#: Bytes of a file with recipients or identities.
_LARGEST = 64 * 1024
_KEY_MARK = "AGE-SECRET-KEY-"
_SSH_MARK = "-----BEGIN"


def read_recipients(path: Path) -> Sequence[Any]:
    """Return whom to encrypt to: a line each, ``age1…`` or an SSH public key; lines that begin with # are remarks.

    Raises:
        ConfigurationError: there is none in the file, one is none, or it holds a private key.
    """
    age = _library()
    found: list[Any] = []
    for number, line in _lines(path, private=False):
        if line.startswith((_KEY_MARK, _SSH_MARK)):
            raise _private_key_in(path, number)
        kind = age.ssh if line.startswith("ssh-") else age.x25519
        try:
            found.append(kind.Recipient.from_str(line))
        except (age.RecipientError, ValueError) as exc:
            raise _no_recipient(path, number) from exc
    if not found:
        raise _nothing(path)
    return found


def _private_key_in(path: Path, number: int) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{path.name}, Zeile {number}: Das ist ein privater Schlüssel. Zum Sichern gehört hierher nur der "
            "öffentliche (age1…); den privaten bewahren Sie anderswo auf.",
            f"{path.name}, line {number}: this is a private key. Only the public one (age1…) belongs here; keep the "
            "private one elsewhere.",
        )
    )


def _no_recipient(path: Path, number: int) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{path.name}, Zeile {number}, nennt keinen Empfänger: Erwartet wird age1… oder ein öffentlicher "
            "SSH-Schlüssel.",
            f"{path.name}, line {number}, names no recipient: expected is age1… or an SSH public key.",
        )
    )


def read_identities(path: Path) -> Sequence[Any]:
    """Return the private keys in a file for its owner alone: lines ``AGE-SECRET-KEY-…``, or one OpenSSH key.

    Raises:
        ConfigurationError: it is open to others, holds none, or one that cannot be read.
    """
    age = _library()
    try:
        content = vault.read(path, most=_LARGEST)
        if content.startswith(_SSH_MARK.encode()):
            return [age.ssh.Identity.from_buffer(content)]
        found = [age.x25519.Identity.from_str(line) for _, line in _lines(path, private=True)]
    except (age.IdentityError, OSError, ValueError) as exc:
        raise _nothing(path) from exc
    if not found:
        raise _nothing(path)
    return found


def encrypt(reader: IO[bytes], writer: IO[bytes], recipients: Sequence[Any]) -> None:
    """Encrypt all that ``reader`` gives; whatever reading or writing raises ends it, as ``OSError``."""
    age = _library()
    try:
        age.encrypt_io(reader, writer, list(recipients))
    except age.EncryptError as exc:
        raise OSError(str(exc)) from exc


def decrypt(reader: IO[bytes], writer: IO[bytes], identities: Sequence[Any], *, name: str) -> None:
    """Decrypt to the end. What was written until an error is authentic, but not all.

    Raises:
        ConfigurationError: none of the keys opens it, it is no such file, or it was cut or changed; names ``name``.
    """
    age = _library()
    try:
        age.decrypt_io(reader, writer, list(identities))
    except age.DecryptError as exc:
        if "key" in str(exc):
            raise _other_key(name) from exc
        raise _not_encrypted(name) from exc
    except OSError as exc:
        raise _cut_off(name) from exc


def _other_key(name: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{name} ist für einen anderen Schlüssel verschlüsselt als den genannten (--identity).",
            f"{name} is encrypted to another key than the one that was named (--identity).",
        )
    )


def _not_encrypted(name: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{name} ist keine verschlüsselte Sicherung (age), oder ihr Anfang ist beschädigt.",
            f"{name} is no encrypted backup (age), or its beginning is damaged.",
        )
    )


def _cut_off(name: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{name} ist abgeschnitten oder beschädigt. Nichts davon wird verwendet; nehmen Sie eine andere Sicherung.",
            f"{name} is cut off or damaged. Nothing of it is used; take another backup.",
        )
    )


def _lines(path: Path, *, private: bool) -> Sequence[tuple[int, str]]:
    try:
        content = vault.read(path, most=_LARGEST) if private else path.read_bytes()[:_LARGEST]
        lines = content.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise _nothing(path) from exc
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _nothing(path: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{path.name} enthält keinen lesbaren Schlüssel. Erwartet wird je Zeile ein Empfänger (age1…) oder, zum Öffnen, "
            "ein Schlüssel (AGE-SECRET-KEY-…), wie age-keygen sie schreibt.",
            f"{path.name} holds no key that can be read. Expected is, line by line, a recipient (age1…) or, to open, a key "
            "(AGE-SECRET-KEY-…), as age-keygen writes them.",
        )
    )


def _library() -> Any:
    try:
        import pyrage
    except ImportError as error:
        raise ConfigurationError(
            Text(
                "Für verschlüsselte Sicherungen fehlt das Zusatzpaket: Installieren Sie rathaus-hub[backup].",
                "Encrypted backups need an extra package: install rathaus-hub[backup].",
            )
        ) from error
    return pyrage
