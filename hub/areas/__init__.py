"""Area keys and the gazetteer: ARS (Amtlicher Regionalschlüssel) and AGS (Amtlicher Gemeindeschlüssel), pure.

An ARS has 12 digits: land (2), government region (1), district (2), association (4), municipality (3).
Its legal prefixes have 2, 3, 5, 9 or 12 digits. An AGS has 8 digits: it is the ARS without the four
digits of the association, so that only a gazetteer can turn an AGS into an ARS. Keys change: municipalities merge
or change their district, and :class:`Gazetteer` knows since when. Source: Statistisches Bundesamt,
Gemeindeverzeichnis-Informationssystem.
"""

from hub.areas.area import LENGTHS, Area, AreaKind, Place, Succession
from hub.areas.gazetteer import Found, Gazetteer, GazetteerBook, SearchResult, import_postal_codes, look_up

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
    "import_postal_codes",
    "look_up",
]
