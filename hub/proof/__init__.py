"""Proof that others can check: the event log of a case, and checkpoints that cover all logs (RFC 9162's Merkle tree)."""
