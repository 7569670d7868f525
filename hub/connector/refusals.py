"""What people and the local system are told of what cannot be done in a case."""

from __future__ import annotations

from collections.abc import Mapping

from hub.connector.journal import JournalState
from hub.errors import Conflict, HubError, NotFound, Text


def nothing_to_decide(state: JournalState) -> Conflict:
    """Return the refusal of a decision where nothing waits for one."""
    return Conflict(
        Text(
            "Darüber ist nicht mehr zu entscheiden: Der Hub hat den Vorgang geschlossen oder die Maschine ihn abgelehnt.",
            "There is nothing left to decide: the hub closed the case, or it was turned down by machine.",
        ),
        slug="nothing-to-decide",
        state=str(state),
    )


def decided_already(said: Text) -> Conflict:
    """Return the refusal of another decision than the one that stands; ``said`` is what stands."""
    return Conflict(Text(f"{said.de} Laden Sie die Seite neu.", f"{said.en} Reload the page."), slug="decided-already")


def case_is_closed() -> Conflict:
    """Return the refusal of a reply where the case is closed."""
    return Conflict(
        Text(
            "Der Vorgang ist abgeschlossen. Antworten sind erst wieder möglich, wenn darin etwas Neues eingeht.",
            "The case is closed. Replies are possible again only when something new comes in it.",
        ),
        slug="case-file-closed",
    )


def taken_by(colleague: str) -> Conflict:
    """Return the refusal of whatever somebody does in a case that a colleague works on."""
    return Conflict(
        Text(
            f"Diesen Vorgang bearbeitet {colleague}. Übernehmen Sie ihn zuerst, wenn das abgesprochen ist.",
            f"{colleague} works on this case. Take it over first, if that is agreed.",
        ),
        slug="case-taken",
    )


def no_such_case() -> NotFound:
    """Return the refusal of what there is not."""
    return NotFound(Text("Diesen Vorgang gibt es hier nicht.", "There is no such case here."))


def forward_under_way() -> Conflict:
    """Return the refusal of whatever is to be said in a case that is being handed on."""
    return Conflict(
        Text(
            "Dieser Vorgang wird gerade abgegeben. Warten Sie, bis die nächste Stelle ihn hat, oder ziehen Sie einen "
            "Vorschlag zurück.",
            "This case is being handed on. Wait until the next authority has it, or withdraw what is only proposed.",
        ),
        slug="forward-under-way",
    )


def was_handed_on() -> Conflict:
    """Return the refusal of handing on what was handed on already."""
    return Conflict(
        Text("Dieser Vorgang ist schon abgegeben.", "This case was handed on already."), slug="case-handed-on"
    )


#: What the hub refuses of a hand-on, in our own words, by its slug.
FORWARD_REFUSALS: Mapping[str, Text] = {
    "forward-to-oneself": Text(
        "Für diese Leistung und dieses Gebiet sind Sie selbst zuständig. Wählen Sie eine andere Leistung oder ein anderes "
        "Gebiet.",
        "For this service and area you are responsible yourselves. Choose another service or another area.",
    ),
    "forward-loop": Text(
        "Die zuständige Stelle hatte diesen Vorgang schon und hat ihn abgegeben. Klären Sie mit ihr die Zuständigkeit.",
        "The responsible authority had this case before and handed it on. Settle with it who is responsible.",
    ),
    "forward-chain-too-long": Text(
        "Der Vorgang wurde schon zu oft abgegeben. Klären Sie die Zuständigkeit unmittelbar.",
        "The case was handed on too often already. Settle directly who is responsible.",
    ),
    "forward-destination-closed": Text(
        "Die zuständige Stelle nimmt zurzeit nichts über den Hub an. Geben Sie auf anderem Weg ab.",
        "The responsible authority takes nothing through the hub at present. Hand the case on another way.",
    ),
    "forward-service-not-offered": Text(
        "Die zuständige Stelle nimmt diese Leistung nicht über den Hub an. Wählen Sie eine andere Leistung.",
        "The responsible authority does not take this service through the hub. Choose another service.",
    ),
    "forward-without-key": Text(
        "Für die zuständige Stelle ist kein verwendbarer Schlüssel hinterlegt. Der Betrieb des Hubs muss handeln.",
        "There is no usable key on record for the responsible authority. The hub's operators have to act.",
    ),
    "forward-after-deletion": Text(
        "Der Hub hat die Inhalte schon gelöscht; abgeben lässt sich der Vorgang nicht mehr.",
        "The hub has deleted the contents already; the case cannot be handed on any more.",
    ),
    "forwarded-already": Text("Dieser Vorgang ist schon abgegeben.", "This case was handed on already."),
    "destination-needs-plain-door": Text(
        "Die zuständige Stelle kann nicht öffnen, was der Konnektor versiegelt. Geben Sie auf anderem Weg ab.",
        "The responsible authority cannot open what the connector seals. Hand the case on another way.",
    ),
    "no-route": Text(
        "Für diese Leistung und dieses Gebiet ist keine Stelle eindeutig zuständig. Prüfen Sie beide.",
        "For this service and area no one authority is responsible. Check both.",
    ),
    "too-large": Text(
        "Der Vorgang ist mit allem, was dazugehört, zu groß. Geben Sie auf anderem Weg ab.",
        "With all that belongs to it the case is too large. Hand it on another way.",
    ),
}
_OTHERWISE = Text(
    "Der Hub lehnt diese Abgabe ab. Prüfen Sie Leistung, Gebiet und Grund.",
    "The hub refuses this hand-on. Check service, area and reason.",
)


def forward_text(slug: str) -> Text:
    """Return what to say of a hand-on that the hub refused with this slug."""
    return FORWARD_REFUSALS.get(slug, _OTHERWISE)


def forward_refused(error: HubError) -> Conflict:
    """Return what the hub refused, in our own words."""
    return Conflict(forward_text(error.slug), slug=error.slug)
