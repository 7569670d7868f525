"""The dialler by the name under which adapters of others know it."""

from hub.transport.connection import Inward, Line

__all__ = ["Inward", "Line"]
