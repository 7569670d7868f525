"""``python -m hub.cli`` is the ``hub`` command."""

from hub.cli.main import main

main()
