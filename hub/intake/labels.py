"""What a part is called in what the hub writes: a media type that metadata and JOSE headers have room for."""

from __future__ import annotations

import re

from hub.crypto.jwe import insist_on_media_type

#: FIT-Connect's metadata, mimeType (section 10.1), in ASCII as its readers in other languages understand ``\\w``.
_WRITABLE = re.compile(r"[A-Za-z0-9_.-]{1,127}/[A-Za-z0-9_.+-]{1,127}")
_UNSPECIFIC = "application/octet-stream"


def media_type_of(label: str) -> str:
    """Return type and subtype alone of what a sender labels a part with (RFC 9110, section 8.3.1), in lower case.

    A media type that FIT-Connect's metadata have no room for becomes ``application/octet-stream``: the file is good all the
    same.

    Raises:
        UnsupportedMedia: the label is no media type.
    """
    insist_on_media_type(label)
    essence = label.partition(";")[0].strip(" \t").lower()
    return essence if _WRITABLE.fullmatch(essence) else _UNSPECIFIC
