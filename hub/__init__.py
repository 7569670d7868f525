"""Rathaus-Hub: validate, route, seal, prove and deliver applications to public authorities."""

__version__ = "0.4.0"
