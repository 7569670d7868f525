"""Destinations' adapters: which there are, what each is told, and who may change it.

The installed adapters and the options that each declares: what a form asks for, and what may be kept.

Changes of destinations' adapters: one person proposes, a second one approves, and no secret leaves its address.

A file in ``secrets`` belongs to the addresses that it was entered for: those of the destinations that name it, and those
that named it before. People choose it for no other. Where an address changes, what stayed beside it counts as new: secrets
have to be such as nobody uses yet, or as belong to the new address, and switches (``allow_…``) fall. The command line of the
machine changes and confirms whatever it likes, audited.

What an adapter's options say of the way to a receiver: its address, the secrets that were entered for it, the switches.

A secret belongs to the address that it was entered for. Two addresses are one if they name the same host and port in other
spellings; the path of a URL is the receiver's own affair.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.administration.keys import By
from hub.errors import ConfigurationError, Forbidden, Invalid, NotFound, Text, delivery_overtaken, handed_in
from hub.identity import Person, require_approver, require_proposer
from hub.model import EVERYTHING, Adapter, Destination, Scope, reasons
from hub.model.adapter import ENVELOPE, NEWEST, Option, OptionRole, declared, usual_role
from hub.store import AdapterChange, AuditEntry, ChangeState, Circuit, Store
from hub.transport.addresses import literal, may_reach

_PORTS = {"http": 80, "https": 443, "sftp": 22, "ssh": 22, "smtp": 25, "ftp": 21}
_HOST = re.compile(r"[A-Za-z0-9\u00a1-\uffff-]+(?:\.[A-Za-z0-9\u00a1-\uffff-]+)+\.?|\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]?")
_PUBLIC_KEY = ("ssh-", "ecdsa-", "sk-")


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """``address`` is a digest (64 hexadecimal digits) of adapter and address; ``secrets`` are files by option."""

    address: str
    secrets: Mapping[str, str]
    switches: frozenset[str]

    @classmethod
    def of(cls, adapter: str, options: Sequence[Option] | None, config: Mapping[str, Any]) -> Way:
        """Read the options of ``config``; ``options`` is None where the adapter does not declare them: then all count."""
        known = {option.name: option for option in options or ()}
        roles = {name: known[name].role if name in known else usual_role(name) for name in {*known, *config}}
        values = {name: config.get(name, known[name].default if name in known else None) for name in roles}
        address = {
            name: canonical(values[name])
            for name, role in sorted(roles.items())
            if role is OptionRole.ADDRESS and values[name] is not None
        }
        return cls(
            address=hashlib.sha256(json.dumps([adapter, address]).encode()).hexdigest(),
            secrets={
                name: _resolved(values[name])
                for name, role in sorted(roles.items())
                if role is OptionRole.SECRET and isinstance(values[name], str)
            },
            switches=frozenset(name for name, role in roles.items() if role is OptionRole.SWITCH and name in config),
        )


def canonical(value: object) -> str:
    """Return the one spelling of an address: of a URL its scheme, host and port; of a mail address, host or host key itself."""
    text = str(value).strip()
    if "://" in text:
        return _origin(text)
    if text.startswith(_PUBLIC_KEY):
        lines = (line.split()[:2] for line in text.splitlines() if line.strip())
        return "\n".join(sorted({" ".join(line) for line in lines}))
    name, at, domain = text.rpartition("@")
    if at and _HOST.fullmatch(domain):
        return f"{name}@{_host(domain)}"
    return _host(text) if _HOST.fullmatch(text) else text


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:  # No port, or no address at all: nothing else is the same.
        return text
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{_host(parts.hostname or '')}:{port}" if parts.hostname else text


def _host(text: str) -> str:
    plain = text.strip("[]").rstrip(".")
    try:
        return str(ip_address(plain))
    except ValueError:
        pass
    try:
        return plain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return plain


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, ValueError, RuntimeError):  # Nothing that could be opened; it is compared as it is.
        return path


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


def require_reach(adapter: object, config: Mapping[str, Any]) -> None:
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

    def require_usable(self, name: str, config: Mapping[str, Any]) -> None:
        """Build the adapter once, which touches nothing, so that a wrong option is refused here and not at a delivery.

        Raises:
            ConfigurationError: no such adapter, options that it does not take, or an address that no delivery will reach.
        """
        kind = self.kind(name)
        kind(config)
        require_reach(kind, config)


def _with_envelope(make: MakeAdapter, wanted: Mapping[str, Any], before: Destination | None) -> dict[str, Any]:
    """Return options that say which envelope is sent: what their receiver reads already goes on, a new one gets the newest."""
    kind = getattr(make, "options", None)
    if ENVELOPE in wanted or kind is None or all(option.name != ENVELOPE for option in declared(kind)):
        return dict(wanted)
    known = {ENVELOPE: NEWEST} if before is None else before.adapter_config
    return {**wanted, **{name: value for name, value in known.items() if name == ENVELOPE}}


_PAGE = 500
#: Builds an adapter from its options, which touches nothing; raises ``ConfigurationError`` for a wrong one.
MakeAdapter = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterWish:
    """An adapter and its options as they may be proposed: what fell is left out."""

    adapter: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, change: AdapterChange) -> AdapterWish:
        """Return what a proposal asks for."""
        return cls(adapter=change.adapter, options=dict(change.options))


class AdapterApproval:
    """Takes proposals and decisions. Every one is audited in the transaction that makes it.

    ``files`` is the folder in which files have to lie that options name. None is the command line's: any file, any address,
    for whoever may use it could change the database anyway. ``own`` are the files that the hub's settings name, which may lie
    in the same folder: they belong to the hub's own servers, and to no destination.
    """

    def __init__(
        self,
        *,
        store: Store,
        adapters: Mapping[str, MakeAdapter],
        files: Path | None,
        own: Sequence[Path] = (),
    ) -> None:
        self._store = store
        self._own = frozenset(each.resolve() for each in own)
        self._adapters = adapters
        self._files = files
        self._changes = store.adapter_changes

    def wish(self, before: Destination | None, adapter: str | None, options: Mapping[str, Any] | None) -> AdapterWish:
        """Return what somebody may propose for a destination; the adapter is built once, which touches nothing.

        Raises:
            Invalid, InvalidSettings: no such adapter; an option that it does not take.
            Forbidden: a switch, a file elsewhere (``option-not-allowed``); a secret of another address
                (``secret-of-another-address``).
        """
        name = adapter or (before.adapter if before is not None else "mailbox")
        make = self._adapters.get(name)
        if make is None:
            raise _no_such_adapter(", ".join(sorted(self._adapters)))
        wanted = dict(options or {})
        if self._files is not None:
            kept = before.adapter_config if before is not None and before.adapter == name else {}
            wanted = self._confined(name, wanted, kept, self._files)
        wanted = _with_envelope(make, wanted, before if before is not None and before.adapter == name else None)
        with handed_in():
            make(wanted)
            require_reach(make, wanted)
        return AdapterWish(adapter=name, options=wanted)

    def propose(self, destination: Destination, wish: AdapterWish, person: Person, *, by: By) -> AdapterChange:
        """Propose what :meth:`wish` returned.

        Raises:
            Forbidden: the right is missing. Conflict: a change waits already.
        """
        require_proposer(person, destination)
        change = AdapterChange(
            destination_id=destination.destination_id,
            adapter=wish.adapter,
            options=wish.options,
            reason=by.text,
            proposed_by=by.actor,
            proposed_at=by.now,
        )
        return self._changes.propose(change, audit=_entry(destination, change, "adapter.propose", by))

    def approve(self, destination: Destination, change_id: int, person: Person, *, by: By) -> AdapterChange:
        """Approve a proposal as a second person, and do it; the circuit is closed, for it says nothing of the new way.

        Raises:
            NotFound: no such proposal for this destination. Forbidden: it is one's own, or the right is missing.
            Conflict: it is decided, or what it was made on has changed. Else as :meth:`wish`, judged anew.
        """
        change = self._change(destination, change_id)
        require_approver(self._store, person, change.proposed_by, destination, now=by.now)
        if self.wish(destination, change.adapter, change.options).options != change.options:
            raise delivery_overtaken()
        self.remember(destination, by=by)
        done = self._decide(destination, change, ChangeState.APPROVED, "adapter.approve", by)
        here = destination.destination_id
        self._store.circuits.change(here, lambda _: Circuit(destination_id=here), by.now)
        return done

    def refuse(self, destination: Destination, change_id: int, *, by: By) -> AdapterChange:
        """Turn a proposal down, or take one's own back; errors as :meth:`approve`, but anybody may."""
        change = self._change(destination, change_id)
        own = change.proposed_by == by.actor
        state = ChangeState.WITHDRAWN if own else ChangeState.REFUSED
        return self._decide(destination, change, state, "adapter.withdraw" if own else "adapter.refuse", by)

    def of(self, destination: Destination) -> list[AdapterChange]:
        """Return a destination's proposals: the open one, then those decided, the newest first."""
        return self._changes.of(destination.destination_id)

    def open(self, *, scope: Scope) -> list[AdapterChange]:
        """Return all proposals that wait, within a scope."""
        return self._changes.open(scope=scope)

    def waiting(self, destination: Destination) -> AdapterChange | None:
        """Return the proposal that waits, if one does."""
        return next((each for each in self.of(destination) if each.state is ChangeState.OPEN), None)

    def remember(self, destination: Destination, *, by: By) -> None:
        """Note, before its adapter changes, that the secrets named now belong to the address named now."""
        way = self._way(destination.adapter, destination.adapter_config)
        self._changes.bind(list(way.secrets.values()), way.address, by.now)

    def _confined(self, adapter: str, wanted: dict[str, Any], kept: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return the options of somebody far away: kept switches fall with the address; all that is new has to be allowed."""
        way = self._way(adapter, wanted)
        moved = not kept or self._way(adapter, kept).address != way.address
        if moved:
            wanted = {
                name: value
                for name, value in wanted.items()
                if name not in way.switches or name not in kept or kept[name] != value
            }
        new = {
            name: value
            for name, value in wanted.items()
            if name not in kept or kept[name] != value or (moved and name in way.secrets)
        }
        _require_confinement(new, folder)
        for name, value in new.items():
            if name.endswith("_file") and isinstance(value, str) and Path(value).resolve() in self._own:
                raise _of_the_hub(name)
        for option in sorted(way.secrets.keys() & new.keys()):
            belongs = self._belongs(way.secrets[option])
            if belongs and way.address not in belongs:
                raise _of_another_address(option)
        return wanted

    def _belongs(self, file: str) -> frozenset[str]:
        """Return the addresses of a file: those noted, and those of the destinations that name it now."""
        found = set(self._store.adapter_changes.bound(file))
        seen = 0
        while items := self._store.parties.destinations(scope=EVERYTHING, offset=seen, limit=_PAGE).items:
            ways = [self._way(each.adapter, each.adapter_config) for each in items if each.adapter_config]
            found |= {way.address for way in ways if file in way.secrets.values()}
            seen += len(items)
        return frozenset(found)

    def _way(self, adapter: str, options: Mapping[str, Any]) -> Way:
        kind = getattr(self._adapters.get(adapter), "options", None)
        return Way.of(adapter, None if kind is None else declared(kind), options)

    def _decide(
        self, destination: Destination, change: AdapterChange, state: ChangeState, action: str, by: By
    ) -> AdapterChange:
        decided = replace(change, state=state, decided_by=by.actor, decided_at=by.now, remark=by.text)
        before = (destination.adapter, destination.adapter_config)
        return self._changes.decide(decided, before=before, audit=_entry(destination, change, action, by))

    def _change(self, destination: Destination, change_id: int) -> AdapterChange:
        change = self._changes.change(change_id)
        if change.destination_id != destination.destination_id:
            raise NotFound(
                Text(
                    "Diese Änderung gehört zu keinem Zustellweg hier.", "This change is about no way of delivery here."
                )
            )
        return change


def _no_such_adapter(known: str) -> Invalid:
    return Invalid(
        Text(
            f"Diesen Adapter gibt es nicht. Bekannt sind: {known}.",
            f"There is no such adapter. Known are: {known}.",
        ),
        slug="unknown-adapter",
    )


def _entry(destination: Destination, change: AdapterChange, action: str, by: By) -> AuditEntry:
    after: dict[str, Any] = {"adapter": change.adapter, "adapter_config": shown(change.options)}
    if by.text:
        after["text"] = by.text
    if change.change_id:
        after |= {"change": change.change_id, "proposed_by": change.proposed_by}
    return AuditEntry(
        at=by.now,
        actor=by.actor,
        action=action,
        target=f"destination:{destination.destination_id}",
        before={"adapter": destination.adapter, "adapter_config": shown(destination.adapter_config)},
        after=after,
    )


def _require_confinement(options: Mapping[str, Any], folder: Path) -> None:
    """Refuse options that would let somebody far away read or write the hub's own files, or reach its own network."""
    switches = sorted(name for name in options if name.startswith("allow_"))
    if switches:
        raise _not_allowed(
            ", ".join(switches), Text("Schalter setzt nur die Befehlszeile.", "Switches are for the command line only.")
        )
    for name, value in options.items():
        if name.endswith(("_file", "path")) and value is not None and not _lies_in(folder, value):
            raise _not_allowed(
                name,
                Text(
                    f"Sie nennt eine Datei außerhalb von {folder.name}/ im Datenordner. Legen Sie sie dort ab.",
                    f"It names a file outside {folder.name}/ in the data folder. Put it there.",
                ),
            )


def _lies_in(folder: Path, value: object) -> bool:
    if not isinstance(value, str) or "\0" in value or len(value) > 1_000:  # noqa: PLR2004  # no path is longer
        return False
    return Path(value).is_absolute() and Path(value).resolve().is_relative_to(folder.resolve())


def _not_allowed(names: str, why: Text) -> Forbidden:
    return Forbidden(
        Text(f"Hier nicht erlaubt: {names}. {why.de}", f"Not allowed here: {names}. {why.en}"),
        slug="option-not-allowed",
    )


def _of_another(option: str, whose: Text, besides: Text) -> Forbidden:
    return Forbidden(
        Text(
            f"Das Geheimnis der Option {option} {whose.de} und geht nicht an diese. Legen Sie für diese Adresse eine eigene "
            f"Datei in secrets/ ab. {besides.de}",
            f"The secret of the option {option} {whose.en} and does not go to this one. Put a file of its own for this "
            f"address into secrets/. {besides.en}",
        ),
        slug="secret-of-another-address",
    )


def _of_another_address(option: str) -> Forbidden:
    return _of_another(
        option,
        Text("wurde für eine andere Adresse hinterlegt", "was entered for another address"),
        Text(
            "Oder bestätigen Sie es auf der Befehlszeile („hub destinations adapter“).",
            "Or confirm it on the command line ('hub destinations adapter').",
        ),
    )


def _of_the_hub(option: str) -> Forbidden:
    return _of_another(
        option,
        Text("gehört zu den Einstellungen des Hubs selbst", "belongs to the hub's own settings"),
        Text("Keine Behörde bekommt es.", "No authority is given it."),
    )
