"""JOSE as the hub speaks it, in one place to import from: JWE by RSA-OAEP-256 and A256GCM, JWS by PS512 or Ed25519.

``jwe`` writes, ``scanner`` looks without a key, ``opening`` opens, ``jws`` signs and verifies. Other algorithms do not
exist here, so that no header can ask for them.
"""

from hub.crypto.jwe import JweHeader, JweWriter, Seal, encrypt, read_header
from hub.crypto.jwe_reader import JweReader, decrypt
from hub.crypto.jwe_scanner import JweScanner, Scanned
from hub.crypto.jws import JwsHeader, read_jws_header, sign_eddsa, sign_ps512, verify_eddsa, verify_ps512

__all__ = [
    "JweHeader",
    "JweReader",
    "JweScanner",
    "JweWriter",
    "JwsHeader",
    "Scanned",
    "Seal",
    "decrypt",
    "encrypt",
    "read_header",
    "read_jws_header",
    "sign_eddsa",
    "sign_ps512",
    "verify_eddsa",
    "verify_ps512",
]
