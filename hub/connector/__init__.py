"""The municipal side: collects or takes submissions, verifies and opens them, hands them to the local system, answers.

It runs inside the municipality with the municipality's private keys; the hub never has them. :class:`Connector` is the
walk, the other modules are its stations.
"""

from hub.connector.connector import Connector, Counts

__all__ = ["Connector", "Counts"]
