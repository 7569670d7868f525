"""Readable pages of documents by their schemas of the catalogue; the questionnaire of each is made once and kept.

For who opens what others sent: intake, where a destination wants a page sealed in, and the connector beside the data that it
hands over. Documents beyond a size are not drawn: a clerk reads no megabyte, and drawing takes as long as judging.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from hub.errors import ConfigurationError, Refused
from hub.files.watched import stamp_of
from hub.forms.checking import form_of
from hub.forms.form_file import NAME, Questionnaire
from hub.forms.readable import readable
from hub.model import MediaType
from hub.validation.editions import SchemaEntry
from hub.validation.report import Limits
from hub.validation.xml.documents import in_own_thread, read_xml

#: Bytes of the largest document that is drawn.
LARGEST = 1024 * 1024
#: Questionnaires that are kept.
_MOST = 64
_Key = tuple[str, str, Hashable, str | None]


class ClerkPages:
    """Draws pages, in German. Thread-safe: two threads may make one questionnaire twice."""

    def __init__(self) -> None:
        self._forms: dict[_Key, Questionnaire | None] = {}

    def draw(
        self, entry: SchemaEntry, data: bytes, *, attachments: Sequence[str] = (), strange: bool = False
    ) -> bytes | None:
        """Return the page of a document (HTML in UTF-8); ``attachments`` are the names of the files that came with it.

        ``strange`` says that names in it may be none of the schema's, so that XML is read in a thread that ends. None where
        the document is larger than :data:`LARGEST` or cannot be read, or its schema cannot be outlined.
        """
        if len(data) > LARGEST:
            return None
        is_xml = entry.ref.media_type is MediaType.XML
        if is_xml and strange:
            return in_own_thread(lambda: self._drawn(entry, data, attachments))
        return self._drawn(entry, data, attachments)

    def _drawn(self, entry: SchemaEntry, data: bytes, attachments: Sequence[str]) -> bytes | None:
        try:
            form = self._form(entry, data)
            if form is None:
                return None
            return readable(form, data, entry.ref.media_type, language="de", attachments=attachments).encode("utf-8")
        except Refused:
            return None

    def _form(self, entry: SchemaEntry, data: bytes) -> Questionnaire | None:
        # Of several messages the document says which one it is.
        root = read_xml(data, Limits()).root if len(entry.item.roots) > 1 else None
        key = (entry.uri, entry.ref.sha256, stamp_of(entry.folder / NAME), root)
        if key not in self._forms:
            if len(self._forms) >= _MOST:
                self._forms.clear()
            self._forms[key] = _made(entry, root)
        return self._forms[key]


def _made(entry: SchemaEntry, root: str | None) -> Questionnaire | None:
    try:
        return form_of(entry, root)
    except ConfigurationError:
        return None
