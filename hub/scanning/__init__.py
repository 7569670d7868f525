"""Scanning for malware: what a verdict is, the scanners that give one, and what kind of file something is by its content.

The hub scans before it seals, at the plain door; the connector after it has opened and before it hands over. What came by the
sealed door is ciphertext to the hub, so nobody looks before the connector does.
"""

from hub.scanning.clamd import ClamdScanner, signatures_made
from hub.scanning.scanner import Dial, Scan, Scanner, ScannerAddress, Times, scanner_address
from hub.scanning.verdict import (
    CLEAN,
    Consequence,
    Gap,
    PartPolicies,
    Policies,
    Policy,
    ScanResult,
    ScanVerdict,
    policies_by_owner,
    policies_by_size,
    policy_from,
    summary,
)

__all__ = [
    "CLEAN",
    "ClamdScanner",
    "Consequence",
    "Dial",
    "Gap",
    "PartPolicies",
    "Policies",
    "Policy",
    "Scan",
    "ScanResult",
    "ScanVerdict",
    "Scanner",
    "ScannerAddress",
    "Times",
    "open_scanner",
    "policies_by_owner",
    "policies_by_size",
    "policy_from",
    "scanner_address",
    "signatures_made",
    "summary",
]


def open_scanner(place: ScannerAddress, *, dial: Dial, times: Times, most: int) -> Scanner:
    """Return the scanner of a place; nothing is connected to yet."""
    if not place.service:
        return ClamdScanner(place, dial=dial, times=times, most=most)
    from hub.scanning.icap import IcapScanner  # Of few hubs: the others shall not load it.

    return IcapScanner(place, dial=dial, times=times, most=most)
