"""Ask the hub of this container whether it lives: ``health.py [PORT] [live|ready]``; exit code 0 only for a 200.

The image has no curl; this needs nothing but the language. 8080 is where ``hub serve`` listens, ``work_metrics_port`` where
``hub work`` shows the same pages.
"""

from __future__ import annotations

import http.client
import sys

_SECONDS = 4


def main(port: str = "8080", page: str = "live") -> int:
    """Return the exit code."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_SECONDS)
    try:
        connection.request("GET", f"/health/{page}")
        return int(connection.getresponse().status != http.client.OK)
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
