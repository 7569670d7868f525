"""The demo: everything on one machine, so that a newcomer sees an application travel. Never for production.

The one place where the hub's own process knows an authority's private keys; see docs/promises.md.
"""

from hub.demo.stage import Demo, run_demo

__all__ = ["Demo", "run_demo"]
