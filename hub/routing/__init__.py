"""Who is responsible: rules by area and service, the table that answers, and everything that keeps it right. Pure.

``RoutingTable.route(area, service, on)`` gives the one :class:`Route` or raises :class:`~hub.errors.NoRoute`;
``explain`` says why.
"""

from hub.routing.check import Diff, RouteChange, RuleChange, check, diff
from hub.routing.explanation import Considered, Explanation, Tried
from hub.routing.findings import (
    Code,
    CoverState,
    DestinationFacts,
    DistrictCover,
    Finding,
    MunicipalityCover,
    PlannedDestination,
    Severity,
    Survey,
    load_destinations,
    survey,
)
from hub.routing.formats import from_csv, from_file, from_rows, from_yaml, to_csv, to_yaml
from hub.routing.rules import (
    CurrentServices,
    OnInvalid,
    Rule,
    RuleAccess,
    ServiceRegister,
    day_start,
    legal_day,
    rule_from_row,
    service_urn,
)
from hub.routing.table import Route, RoutingTable, no_such_area

__all__ = [
    "Code",
    "Considered",
    "CoverState",
    "CurrentServices",
    "DestinationFacts",
    "Diff",
    "DistrictCover",
    "Explanation",
    "Finding",
    "MunicipalityCover",
    "OnInvalid",
    "PlannedDestination",
    "Route",
    "RouteChange",
    "RoutingTable",
    "Rule",
    "RuleAccess",
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
    "no_such_area",
    "rule_from_row",
    "service_urn",
    "survey",
    "to_csv",
    "to_yaml",
]
