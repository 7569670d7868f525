"""The installed adapters and the options that each declares: what a form asks for, and what may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.delivery import Adapter
from hub.errors import ConfigurationError, Text
from hub.exchange.ways import Way
from hub.options import Option, declared

#: Options whose value is never shown, should somebody put a secret where a file's name belongs.
_SECRET = ("secret", "password", "token", "passphrase")


def shown(config: Mapping[str, Any]) -> dict[str, str]:
    """Return an adapter's options as texts: a secret is a file's name, and anything else by such a name is hidden."""
    return {
        name: "•••" if any(word in name for word in _SECRET) and not name.endswith(("_file", "_url")) else str(value)
        for name, value in sorted(config.items())
    }


class AdapterSettings:
    """Knows the installed adapters by name."""

    def __init__(self, known: Mapping[str, type[Adapter]]) -> None:
        self._known = known

    def names(self) -> tuple[str, ...]:
        """Return the names of the installed adapters, sorted."""
        return tuple(sorted(self._known))

    def kind(self, name: str) -> type[Adapter]:
        """Return an adapter; raise ``ConfigurationError`` for one that is not installed."""
        found = self._known.get(name)
        if found is None:
            known = ", ".join(self.names())
            raise ConfigurationError(
                Text(
                    f"Es gibt keinen Adapter „{name}“. Bekannt sind: {known}.",
                    f"There is no adapter '{name}'. Known are: {known}.",
                )
            )
        return found

    def options(self, name: str) -> tuple[Option, ...] | None:
        """Return the options that an adapter declares in its dataclass ``options``; None if it does not say.

        Raises:
            ConfigurationError: it is not installed.
        """
        kind = getattr(self.kind(name), "options", None)
        return None if kind is None else declared(kind)

    def way(self, name: str, config: Mapping[str, Any]) -> Way:
        """Return what options say of address, secrets and switches.

        Raises:
            ConfigurationError: it is not installed.
        """
        return Way.of(name, self.options(name), config)

    def check(self, name: str, config: Mapping[str, Any]) -> None:
        """Build the adapter once, which touches nothing, so that a wrong option is refused here and not at a delivery.

        Raises:
            ConfigurationError: no such adapter, or options that it does not take.
        """
        self.kind(name)(config)
