"""Who is responsible: rules by area and service, the table that answers, and everything that keeps it right. Pure.

``RoutingTable.route(area, service, on)`` gives the one :class:`Route` or raises :class:`~hub.errors.NoRoute`;
``explain`` says why.
"""

from hub.routing.check import check
from hub.routing.coverage import Cover, CoverState, DistrictCover, Survey, survey
from hub.routing.destinations import DestinationFacts, PlannedDestination, load_destinations
from hub.routing.diff import Diff, RouteChange, RuleChange, diff
from hub.routing.explain import Considered, Explanation, Tried
from hub.routing.findings import Code, Finding, Severity
from hub.routing.formats import from_csv, from_file, from_rows, from_yaml, to_csv, to_yaml
from hub.routing.rules import OnInvalid, Rule, day_start, legal_day, rule_from_row, service_urn
from hub.routing.services import ServiceRegister
from hub.routing.table import Route, RoutingTable

__all__ = [
    "Code",
    "Considered",
    "Cover",
    "CoverState",
    "DestinationFacts",
    "Diff",
    "DistrictCover",
    "Explanation",
    "Finding",
    "OnInvalid",
    "PlannedDestination",
    "Route",
    "RouteChange",
    "RoutingTable",
    "Rule",
    "RuleChange",
    "ServiceRegister",
    "Severity",
    "Survey",
    "Tried",
    "check",
    "day_start",
    "diff",
    "from_csv",
    "from_file",
    "from_rows",
    "from_yaml",
    "legal_day",
    "load_destinations",
    "rule_from_row",
    "service_urn",
    "survey",
    "to_csv",
    "to_yaml",
]
