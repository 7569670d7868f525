"""Public services as citizens look for them: what they are called, what one needs, what they cost, who does them. Pure.

An entry is one service (LeiKa), a catalogue all of them; ``ServiceCatalogue.search`` finds by citizens' words. Files seed it.
"""

from hub.services.catalogue import Hit, ServiceCatalogue, read_services, to_yaml
from hub.services.deadlines import DeadlineRule, DeadlineUnit
from hub.services.entry import Assurance, Fee, FeeKind, PublicService, Responsible, ServiceWay
from hub.services.wording import compared, complaints

__all__ = [
    "Assurance",
    "DeadlineRule",
    "DeadlineUnit",
    "Fee",
    "FeeKind",
    "Hit",
    "PublicService",
    "Responsible",
    "ServiceCatalogue",
    "ServiceWay",
    "compared",
    "complaints",
    "read_services",
    "to_yaml",
]
