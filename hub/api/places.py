"""The area that a request names: by ARS or by AGS, exactly one of both."""

from __future__ import annotations

from hub.areas import Area, Gazetteer
from hub.errors import Malformed, NoRoute, Text


def area_of(ars: str | None, ags: str | None, gazetteer: Gazetteer) -> Area:
    """Return the area.

    Raises:
        Malformed: both keys are given, or none, or the ARS is none.
        NoRoute: there is no area with this AGS.
    """
    if ars is not None and ags is None:
        return Area.from_ars(ars)
    if ags is None or ars is not None:
        raise Malformed(
            Text(
                "Geben Sie genau einen der Parameter ars und ags an.", "Give exactly one of the parameters ars and ags."
            )
        )
    place = gazetteer.by_ags(ags)
    if place is None:
        raise NoRoute(
            Text(
                "Diesen AGS gibt es im Gebietsverzeichnis nicht. Prüfen Sie die 8 Ziffern.",
                "The gazetteer has no such AGS. Check its 8 digits.",
            ),
            nearest=[],
        )
    return place.area
