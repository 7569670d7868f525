"""What schemathesis needs to know of media types that it has no writer for: they travel as the text that they are."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/jose", "application/jwt", "application/secevent+jwt")
def as_text(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()
