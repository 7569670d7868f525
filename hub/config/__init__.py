"""The hub's settings: frozen, typed, strict. Only ``app``, ``cli`` and ``demo`` read them.

``settings`` declares them, ``reading`` takes them from file, environment and command line, and judges them.
"""

from hub.config.reading import SOURCE, SettingsRead, load_settings, read_settings, values_in
from hub.config.settings import DECLARED, Settings

__all__ = ["DECLARED", "SOURCE", "Settings", "SettingsRead", "load_settings", "read_settings", "values_in"]
