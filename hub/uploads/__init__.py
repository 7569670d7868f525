"""Uploads that may break off and go on, seen without a store: their secret, how they are sealed, and how TUS 1.0 words them.

The secret of an upload (256 random bits) stands in its URL and nowhere else. Its hash names the upload, a key derived from it
seals what came so far; who has database, disk and the hub's own keys, but no URL, can open nothing.
"""

from hub.uploads.protocol import (
    ALGORITHMS,
    EXTENSIONS,
    VERSION,
    Checksum,
    Concat,
    ConcatKind,
    Description,
    read_checksum,
    read_concat,
    read_description,
    read_number,
    secret_in,
)
from hub.uploads.sealing import SEGMENT, Piece, UploadKey, opened

__all__ = [
    "ALGORITHMS",
    "EXTENSIONS",
    "SEGMENT",
    "VERSION",
    "Checksum",
    "Concat",
    "ConcatKind",
    "Description",
    "Piece",
    "UploadKey",
    "opened",
    "read_checksum",
    "read_concat",
    "read_description",
    "read_number",
    "secret_in",
]
