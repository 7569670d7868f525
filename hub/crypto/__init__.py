"""Sealing, signing and keys: the only room that imports ``cryptography``. What others use of it is named here.

JOSE is RSA-OAEP-256 with A256GCM, and PS512 or Ed25519; other algorithms do not exist here, so that no header can ask for
them. ``jwe`` writes, ``jwe_reader`` looks without a key or opens, ``jws`` signs and verifies. ``keys`` judges
keys and ``jwk`` spells them, ``keyring`` keeps the hub's own, ``receipts`` signs proof, ``hmacs`` authenticates callbacks.
Modules of their own to ask for: ``certificates``, ``cms`` (S/MIME), ``base64url``, ``development`` (the authority of demos).
"""

from hub.crypto.certificates import read_deposit
from hub.crypto.hmacs import Hash, Sha512Beside, idempotency_mac, sign_callback, verify_callback
from hub.crypto.jwe import JweHeader, JweWriter, Seal, encrypt, read_header, require_media_type
from hub.crypto.jwe_reader import JweReader, JweScanner, Scanned, decrypt
from hub.crypto.jwk import Jwk, make_ed25519_pair, make_rsa_pair, thumbprint
from hub.crypto.jws import JwsHeader, read_jws_header, sign_eddsa, sign_ps512, verify_eddsa, verify_ps512
from hub.crypto.keyring import HubKeys
from hub.crypto.keys import (
    DecryptionKey,
    EncryptionKey,
    KeyPolicy,
    SigningKey,
    VerificationKey,
    ed25519_verification_key,
    expires_at,
    judge_encryption_key,
    judge_signature_key,
    read_decryption_key,
    read_signing_key,
    verification_key,
)
from hub.crypto.receipts import (
    CONTENT_ALGORITHM,
    claims_of,
    content_proof,
    inclusion_proof,
    make_checkpoint,
    make_receipt,
    proven_parts,
    tree_head,
    verify_checkpoint,
    verify_inclusion,
    verify_receipt,
)

__all__ = [
    "CONTENT_ALGORITHM",
    "DecryptionKey",
    "EncryptionKey",
    "Hash",
    "HubKeys",
    "JweHeader",
    "JweReader",
    "JweScanner",
    "JweWriter",
    "Jwk",
    "JwsHeader",
    "KeyPolicy",
    "Scanned",
    "Seal",
    "Sha512Beside",
    "SigningKey",
    "VerificationKey",
    "claims_of",
    "content_proof",
    "decrypt",
    "ed25519_verification_key",
    "encrypt",
    "expires_at",
    "idempotency_mac",
    "inclusion_proof",
    "judge_encryption_key",
    "judge_signature_key",
    "make_checkpoint",
    "make_ed25519_pair",
    "make_receipt",
    "make_rsa_pair",
    "proven_parts",
    "read_decryption_key",
    "read_deposit",
    "read_header",
    "read_jws_header",
    "read_signing_key",
    "require_media_type",
    "sign_callback",
    "sign_eddsa",
    "sign_ps512",
    "thumbprint",
    "tree_head",
    "verification_key",
    "verify_callback",
    "verify_checkpoint",
    "verify_eddsa",
    "verify_inclusion",
    "verify_ps512",
    "verify_receipt",
]
