"""Sealing, signing and keys: the only room that imports ``cryptography``.

``keys`` judges and holds keys, ``jose`` writes and reads JWE and JWS, ``keyring`` keeps the hub's own keys,
``receipts`` signs proof, ``hmacs`` authenticates callbacks, ``pki`` is the development authority, ``cms`` and
``merkle`` serve their namesakes.
"""
