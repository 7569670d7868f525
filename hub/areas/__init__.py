"""Area keys and the gazetteer: ARS (Amtlicher Regionalschlüssel) and AGS (Amtlicher Gemeindeschlüssel), pure.

An ARS has 12 digits: land (2), government region (1), district (2), association (4), municipality (3).
Its legal prefixes have 2, 3, 5, 9 or 12 digits. An AGS has 8 digits: it is the ARS without the four
digits of the association, so that only a gazetteer can turn an AGS into an ARS. Keys change: municipalities merge
or change their district, and :class:`Gazetteer` knows since when. Source: Statistisches Bundesamt,
Gemeindeverzeichnis-Informationssystem.
"""

from hub.areas.area import LENGTHS, Area, AreaKind, Place, Succession
from hub.areas.gazetteer import Found, Gazetteer, SearchResult, look_up
from hub.areas.lists import GazetteerBook, import_parts, import_postal_codes
from hub.areas.names import one_spelling

__all__ = [
    "LENGTHS",
    "Area",
    "AreaKind",
    "Found",
    "Gazetteer",
    "GazetteerBook",
    "Place",
    "SearchResult",
    "Succession",
    "import_parts",
    "import_postal_codes",
    "look_up",
    "one_spelling",
]
