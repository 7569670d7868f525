"""The installed adapters and the options that each declares: what a form asks for, and what may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hub.administration.ways import Way
from hub.errors import ConfigurationError, Text
from hub.model import reasons
from hub.model.delivery import Adapter
from hub.model.options import Option, declared
from hub.transport.addresses import literal, may_reach

#: Options whose value is never shown, should somebody put a secret where a file's name belongs.
_SECRET = ("secret", "password", "token", "passphrase")
#: What opens private networks to an adapter.
_SWITCH = "allow_private_addresses"


def shown(config: Mapping[str, Any]) -> dict[str, str]:
    """Return an adapter's options as texts: a secret is a file's name, and anything else by such a name is hidden."""
    return {
        name: "•••" if any(word in name for word in _SECRET) and not name.endswith(("_file", "_url")) else str(value)
        for name, value in sorted(config.items())
    }


def insist_on_reach(adapter: object, config: Mapping[str, Any]) -> None:
    """Refuse an address in an adapter's options that every delivery would be kept from; names are judged when they are dialled.

    Adapters that declare no ``allow_private_addresses`` judge by rules of their own.

    Raises:
        ConfigurationError: one may not be reached, in the words that a delivery would be recorded with.
    """
    kind = getattr(adapter, "options", None)
    names = () if kind is None else tuple(each.name for each in declared(kind))
    if _SWITCH not in names:
        return
    for name in names:
        address = literal(_host_in(name, config.get(name)))
        if address is not None and not may_reach(address, private=config.get(_SWITCH) is True):
            text = reasons.NOT_PUBLIC.text
            raise ConfigurationError(Text(f"Option {name}: {text.de}.", f"Option {name}: {text.en}."))


def _host_in(name: str, value: object) -> str:
    """Return the host that an option names, by its own name; empty where it names none."""
    if not isinstance(value, str):
        return ""
    if name == "host":
        return value
    if not name.endswith(("url", "endpoint")):
        return ""
    try:
        return urlsplit(value).hostname or ""
    except ValueError:
        return ""


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
            ConfigurationError: no such adapter, options that it does not take, or an address that no delivery will reach.
        """
        kind = self.kind(name)
        kind(config)
        insist_on_reach(kind, config)
