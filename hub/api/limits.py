"""Caps on requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Caps on requests. Sizes are bytes; powers of ten, as FIT-Connect counts (its section 15)."""

    #: A body where the contract names no other cap: administration, forms, small JSON.
    json: int = 1_000_000
    #: The data part of an application, in plaintext.
    data_part: int = 100_000_000
    #: A JSON body that carries sealed metadata and data: 4/3 of the above, and room for both headers.
    sealed: int = 140_000_000
    #: One attachment.
    attachment: int = 500_000_000
    #: A whole application or submission.
    total: int = 2_000_000_000
    #: How many attachments a submission may have.
    attachments: int = 100
    #: Header section: fields and bytes, names and values together.
    header_fields: int = 100
    header_bytes: int = 32 * 1024
    path_bytes: int = 2048
    query_bytes: int = 8192
    query_fields: int = 100
    #: Values, nesting and digits of JSON bodies that the edge itself reads. Sealed parts are text: they may be long, not many.
    json_values: int = 250_000
    json_depth: int = 64
    json_digits: int = 40
    #: Seconds that a body may pause before the request is given up.
    pause: float = 30.0
    #: Seconds that the sender of a body may take in all, and bytes that earn it another one (64 kbit/s: a slow line in a
    #: village brings 375 MB within half a day).
    body_seconds: float = 30.0
    body_rate: int = 8_000
    #: Caps in bytes for single operations, by operationId; they win over the contract's.
    overrides: Mapping[str, int] = field(default_factory=dict)
