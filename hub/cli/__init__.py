"""The ``hub`` command: one module per noun, all thin.

Commands build the hub from its settings and call the same methods as the API.
"""

import warnings

# connexion imports starlette's test client, which warns about a library that the hub does not use; nobody can act on it.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")

from hub.cli.main import main  # noqa: E402  # the filter above must be set before connexion is imported

__all__ = ["main"]
