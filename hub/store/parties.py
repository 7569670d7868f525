"""Clients, destinations and their keys; and what is known of a destination besides: its callbacks, when it collected last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from hub.errors import KeyRefused, Text, already_exists, not_found, overtaken
from hub.model import STATUSES, Callback, Client, ClientKind, Destination, OfferedService, Scope, as_uri, oldest_id
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import (
    Database,
    Page,
    a_moment,
    clamp,
    from_json,
    json_object,
    maybe_json,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
    to_json,
)
from hub.store.outboxes import to_view
from hub.store.records import CallbackView, DeliveryState, StoredKey
from hub.store.scopes import placed, within
from hub.store.statements import Lookup

_CLIENTS = tables.clients
_DESTINATIONS = tables.destinations
_KEYS = tables.destination_keys
_DESTINATION = Lookup(_DESTINATIONS, columns=[column.name for column in _DESTINATIONS.columns], by=["destination_id"])

#: A destination that is new, and its public keys as (use, JWK).
NewDestination = tuple[Destination, Sequence[tuple[str, Mapping[str, Any]]]]


class Parties:
    """Who takes part. Every change takes the audit entry that belongs to it into its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_client(self, client: Client, *, audit: AuditEntry | None = None) -> None:
        """Register a client; raise ``Conflict`` where its id is taken."""

        def write(connection: Connection) -> None:
            _audit(connection, audit)
            taken = already_exists(Text(f"Den Client {client.client_id}", f"Client {client.client_id}"))
            placed(connection, [row := _client_row(client)])
            _insert_once(connection, _CLIENTS, row, taken)

        self._database.write_party(client.client_id, write)

    def client(self, client_id: str) -> Client | None:
        """Return a client, disabled or not."""
        statement = select(_CLIENTS).where(_CLIENTS.c.client_id == client_id)
        return self._database.one(statement, _client)

    def visible_client(self, client_id: str, *, scope: Scope) -> Client | None:
        """Return a client, disabled or not; None also for one that is not within the scope."""
        statement = select(_CLIENTS).where(_CLIENTS.c.client_id == client_id, within(_CLIENTS, scope))
        return self._database.one(statement, _client)

    def clients(self, *, scope: Scope, offset: int = 0, limit: int = 100) -> Page[Client]:
        """Return one page of the clients within a scope, by id."""
        statement = select(_CLIENTS).where(within(_CLIENTS, scope)).order_by(_CLIENTS.c.client_id)
        return self._database.page(statement, _client, offset=offset, limit=limit)

    def disable_client(self, client_id: str, now: datetime, *, audit: AuditEntry | None = None) -> None:
        """Disable a client for good; a second time changes nothing. Raise ``NotFound`` for an unknown one."""
        first = case((_CLIENTS.c.disabled_at.is_(None), micros(now)), else_=_CLIENTS.c.disabled_at)
        self._change_client(client_id, {"disabled_at": first}, audit)

    def set_client_secret(
        self, client_id: str, secret_hash: str, *, expected: str | None = None, audit: AuditEntry | None = None
    ) -> None:
        """Replace a client's secret hash (argon2id). ``expected`` is the revision that it is to be replaced in.

        Raises:
            NotFound: there is no such client.
            Conflict: its secret was replaced, or it was disabled, since ``expected`` (slug ``overtaken``).
        """
        here = _CLIENTS.c.client_id == client_id

        def write(connection: Connection) -> None:
            row = connection.execute(select(_CLIENTS).where(here).with_for_update()).first()
            if row is None:
                raise not_found("client-not-found", client_id)
            if expected is not None and expected != _client(row).revision:
                raise overtaken(Text(f"Den Client {client_id}", f"client {client_id}"))
            connection.execute(update(_CLIENTS).where(here).values(secret_hash=secret_hash))
            _audit(connection, audit)

        self._database.write_party(client_id, write)

    def add_destination(
        self,
        destination: Destination,
        keys: Sequence[tuple[str, Mapping[str, Any]]] = (),
        *,
        audit: AuditEntry | None = None,
    ) -> None:
        """Store a new destination with its public keys as (use, JWK); raise ``Conflict`` where its id is taken."""

        def write(connection: Connection) -> None:
            _audit(connection, audit)
            taken = already_exists(
                Text(f"Den Zustellpunkt {destination.destination_id}", f"Destination {destination.destination_id}")
            )
            placed(connection, [row := _destination_row(destination)])
            _insert_once(connection, _DESTINATIONS, row, taken)
            for use, jwk in keys:
                put_key(connection, destination.destination_id, use, jwk, destination.created_at)

        self._database.write_party(destination.destination_id, write)

    def add_destinations(self, made: Sequence[NewDestination], *, audit: AuditEntry) -> None:
        """Store new destinations, one at least, with their keys in one commit; raise ``Conflict`` where an id is taken.

        Nobody is told of them, for nobody can have known them.
        """
        rows = [_destination_row(destination) for destination, _ in made]
        keys = [_key_row(each.destination_id, use, jwk, each.created_at) for each, given in made for use, jwk in given]

        def write(connection: Connection) -> None:
            write_audit(connection, audit)
            placed(connection, rows)
            try:
                connection.execute(insert(_DESTINATIONS), rows)
                connection.execute(insert(_KEYS), keys)
            except IntegrityError as exc:
                raise already_exists(Text("Einen der Zustellpunkte", "One of the destinations")) from exc

        self._database.write(write)

    def replace_destination(self, destination: Destination, *, audit: AuditEntry | None = None) -> None:
        """Replace all of a destination but its keys and ``created_at``. Raise ``NotFound`` for an unknown one."""
        # Whose it is, is changed by the tree's own steps alone.
        kept = {"created_at", "tenant_id"}
        row = {name: value for name, value in _destination_row(destination).items() if name not in kept}
        statement = update(_DESTINATIONS).where(_DESTINATIONS.c.destination_id == row["destination_id"]).values(row)

        def write(connection: Connection) -> None:
            if connection.execute(statement).rowcount == 0:
                raise not_found("destination-not-found", destination.destination_id)
            _audit(connection, audit)

        self._database.write_party(destination.destination_id, write)

    def change_destination(
        self,
        destination_id: UUID,
        change: Callable[[Destination], Destination],
        *,
        audit: Callable[[Destination, Destination], AuditEntry],
        expected: str | None = None,
    ) -> Destination:
        """Replace a destination by ``change(destination)`` (pure), one change at a time; return the new one.

        ``audit`` is told the destination before and after. ``expected`` is the revision that the change was made on.

        Raises:
            NotFound: there is no such destination.
            Conflict: somebody changed it since ``expected`` (slug ``overtaken``).
        """
        here = _DESTINATIONS.c.destination_id == str(destination_id)

        def write(connection: Connection) -> Destination:
            row = connection.execute(select(_DESTINATIONS).where(here).with_for_update()).first()
            if row is None:
                raise not_found("destination-not-found", destination_id)
            before = to_destination(row)
            if expected is not None and expected != before.revision:
                raise overtaken(Text(f"Den Zustellpunkt {before.name}", f"destination {before.name}"))
            changed = change(before)
            later = max(changed.updated_at, before.updated_at + timedelta(microseconds=1))
            changed = replace(changed, created_at=before.created_at, updated_at=later)
            connection.execute(update(_DESTINATIONS).where(here).values(_destination_row(changed)))
            write_audit(connection, audit(before, changed))
            return changed

        return self._database.write_party(destination_id, write)

    def destination(self, destination_id: UUID) -> Destination | None:
        """Return a destination in any status."""
        return self._database.read(lambda connection: read_destinations(connection, {str(destination_id)})).get(
            str(destination_id)
        )

    def visible_destination(self, destination_id: UUID, *, scope: Scope) -> Destination | None:
        """Return a destination in any status; None also for one that is not within the scope."""
        here = _DESTINATIONS.c.destination_id == str(destination_id)
        return self._database.one(select(_DESTINATIONS).where(here, within(_DESTINATIONS, scope)), to_destination)

    def destinations(
        self,
        *,
        scope: Scope,
        owner: str | None = None,
        tenant: str | None = None,
        status: str | None = None,
        among: Collection[UUID] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Destination]:
        """Return one page of the destinations within a scope, oldest first; ``tenant`` is an ARS prefix, all below included.

        ``among``: only these; an empty one means none.
        """
        table = _DESTINATIONS
        statement = (
            select(table)
            .where(*_narrowed(owner, tenant, among), within(table, scope))
            .order_by(table.c.created_at, table.c.destination_id)
        )
        if status is not None:
            statement = statement.where(table.c.status == status)
        return self._database.page(statement, to_destination, offset=offset, limit=limit)

    def mentioning(self, adapter: str, word: str) -> list[Destination]:
        """Return the destinations of an adapter in whose options a word of letters and digits stands somewhere."""
        table = _DESTINATIONS
        here = select(table).where(table.c.adapter == adapter, table.c.adapter_config.contains(word, autoescape=True))
        return self._database.read(lambda connection: [to_destination(row) for row in connection.execute(here).all()])

    def destination_ids(self, *, scope: Scope, owner: str, among: Collection[UUID] | None = None) -> frozenset[UUID]:
        """Return the ids of all destinations of ``owner`` within a scope, narrowed as by :meth:`destinations`."""
        narrowed = _narrowed(owner, None, among)
        statement = select(_DESTINATIONS.c.destination_id).where(*narrowed, within(_DESTINATIONS, scope))
        found = self._database.read(lambda connection: connection.execute(statement).scalars().all())
        return frozenset(map(UUID, found))

    def add_key(
        self,
        destination_id: UUID,
        jwk: Mapping[str, Any],
        now: datetime,
        *,
        audit: AuditEntry | None = None,
    ) -> bool:
        """Add a public key, its use being its one ``key_ops``; return False where the very same key is there already.

        Raises:
            NotFound: no such destination.
            KeyRefused: another key has this ``kid``: a key is never replaced, old logs must stay verifiable.
        """

        def write(connection: Connection) -> bool:
            if not read_destinations(connection, {str(destination_id)}):
                raise not_found("destination-not-found", destination_id)
            added = put_key(connection, destination_id, jwk["key_ops"][0], jwk, now)
            if added:
                _audit(connection, audit)
            return added

        return self._database.write_party(destination_id, write)

    def key(self, destination_id: UUID, kid: str) -> Mapping[str, Any] | None:
        """Return a public JWK of a destination, retired or not, to check what is old."""
        statement = select(_KEYS).where(_KEYS.c.destination_id == str(destination_id), _KEYS.c.kid == kid)
        return self._database.one(statement, _jwk)

    def usable_key(self, destination_id: UUID, kid: str) -> Mapping[str, Any] | None:
        """Return a public JWK of a destination unless it is retired: the one to ask for what is new."""
        here = (_KEYS.c.destination_id == str(destination_id), _KEYS.c.kid == kid, _KEYS.c.retired_at.is_(None))
        statement = select(_KEYS).where(*here)
        return self._database.one(statement, _jwk)

    def keys(self, destination_id: UUID) -> list[StoredKey]:
        """Return a destination's keys: the current encryption key first, then the newest first."""
        current = case((_KEYS.c.kid == _DESTINATIONS.c.encryption_kid, 0), else_=1)
        statement = (
            select(_KEYS)
            .join(_DESTINATIONS, _DESTINATIONS.c.destination_id == _KEYS.c.destination_id)
            .where(_KEYS.c.destination_id == str(destination_id))
            .order_by(current, _KEYS.c.added_at.desc(), _KEYS.c.kid)
        )
        return self._database.all(statement, _KEYS, _key)

    def adapters(self) -> dict[UUID, str]:
        """Return the adapter of each destination."""
        statement = select(_DESTINATIONS.c.destination_id, _DESTINATIONS.c.adapter)
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return {UUID(here): adapter for here, adapter in rows}

    def current_keys(self) -> list[Mapping[str, Any]]:
        """Return the encryption keys (public JWKs) that active destinations use."""
        there, keys = _DESTINATIONS.c, _KEYS.c
        in_use = (keys.destination_id == there.destination_id) & (keys.kid == there.encryption_kid)
        active = (there.status == "active", keys.retired_at.is_(None))
        return self._database.all(select(_KEYS).join(_DESTINATIONS, in_use).where(*active), _KEYS, _jwk)

    def _change_client(self, client_id: str, values: Mapping[str, Any], audit: AuditEntry | None) -> None:
        statement = update(_CLIENTS).where(_CLIENTS.c.client_id == client_id).values(values)

        def write(connection: Connection) -> None:
            if connection.execute(statement).rowcount == 0:
                raise not_found("client-not-found", client_id)
            _audit(connection, audit)

        self._database.write_party(client_id, write)


def _narrowed(owner: str | None, tenant: str | None, among: Collection[UUID] | None) -> list[ColumnElement[bool]]:
    columns = _DESTINATIONS.c
    found = []
    if owner is not None:
        found.append(columns.owner == owner)
    if tenant:
        found.append(columns.tenant.startswith(tenant, autoescape=True))
    if among is not None:
        found.append(columns.destination_id.in_(sorted(map(str, among))))
    return found


def destination_rows(connection: Connection, destination_ids: set[str]) -> list[Any]:
    """Read the rows of destinations, as they are."""
    return _DESTINATION.among(connection, destination_ids)


def read_destinations(connection: Connection, destination_ids: set[str]) -> dict[str, Destination]:
    """Read destinations by id."""
    return {row.destination_id: to_destination(row) for row in _DESTINATION.among(connection, destination_ids)}


def _audit(connection: Connection, entry: AuditEntry | None) -> None:
    if entry is not None:
        write_audit(connection, entry)


def _insert_once(connection: Connection, table: Table, row: Mapping[str, Any], taken: Exception) -> None:
    try:
        connection.execute(insert(table), row)
    except IntegrityError as exc:
        raise taken from exc


def put_key(connection: Connection, destination_id: UUID, use: str, jwk: Mapping[str, Any], now: datetime) -> bool:
    """Add a key; False where the very same one is there already. Raise ``KeyRefused`` where another has its ``kid``."""
    kid = str(jwk["kid"])
    text = to_json(dict(jwk))
    known = connection.execute(
        select(_KEYS.c.jwk).where(_KEYS.c.destination_id == str(destination_id), _KEYS.c.kid == kid)
    ).scalar()
    if known is None:
        connection.execute(insert(_KEYS), _key_row(destination_id, use, jwk, now))
        return True
    if from_json(known) != from_json(text):
        raise KeyRefused(
            Text(
                f"Unter der Schlüsselkennung {kid} liegt schon ein anderer Schlüssel. Vergeben Sie eine neue Kennung.",
                f"Another key has the key id {kid} already. Choose a new key id.",
            )
        )
    return False


def _key_row(destination_id: UUID, use: str, jwk: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "destination_id": str(destination_id),
        "kid": str(jwk["kid"]),
        "use": use,
        "jwk": to_json(dict(jwk)),
        "added_at": micros(now),
    }


def _client_row(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "kind": client.kind,
        "name": client.name,
        "secret_hash": client.secret_hash,
        "scopes": to_json(list(client.scopes)),
        "tenant": client.tenant,
        "created_at": micros(client.created_at),
        "disabled_at": maybe_micros(client.disabled_at),
        "tenant_id": client.tenant_id,
    }


@reads(_CLIENTS)
def _client(row: Any) -> Client:
    return Client(
        client_id=row.client_id,
        kind=ClientKind(row.kind),
        name=row.name,
        secret_hash=row.secret_hash,
        scopes=tuple(from_json(row.scopes)),
        tenant=row.tenant,
        created_at=moment(row.created_at),
        disabled_at=maybe_moment(row.disabled_at),
        tenant_id=row.tenant_id,
    )


def _destination_row(destination: Destination) -> dict[str, Any]:
    callback = destination.callback
    return {
        "destination_id": str(destination.destination_id),
        "name": destination.name,
        "status": destination.status,
        "owner": destination.owner,
        "tenant": destination.tenant,
        "services": to_json([[one.identifier, one.regions, one.schemas] for one in destination.services]),
        "metadata_versions": to_json(destination.metadata_versions),
        "encryption_kid": destination.encryption_kid,
        "contact": to_json(dict(destination.contact)),
        "adapter": destination.adapter,
        "adapter_config": to_json(dict(destination.adapter_config)),
        "reply_channels": maybe_json(destination.reply_channels),
        "callback_url": None if callback is None else callback.url,
        "callback_secret": None if callback is None else callback.secret,
        "created_at": micros(destination.created_at),
        "updated_at": micros(destination.updated_at),
        "tenant_id": destination.tenant_id,
    }


@reads(_DESTINATIONS)
def to_destination(row: Any) -> Destination:
    """Return the destination of a row; raise ``UnreadableRow`` where it cannot be read."""
    return Destination(
        destination_id=UUID(row.destination_id),
        name=row.name,
        status=STATUSES[STATUSES.index(row.status)],  # Another is none that a reader of lists could be told.
        owner=row.owner,
        tenant=row.tenant,
        services=tuple(
            OfferedService(
                identifier=identifier,
                regions=tuple(regions),
                schemas=tuple((as_uri(uri), media_type) for uri, media_type in schemas),
            )
            for identifier, regions, schemas in from_json(row.services)
        ),
        metadata_versions=tuple(from_json(row.metadata_versions)),
        encryption_kid=row.encryption_kid,
        contact=json_object(row.contact),
        adapter=row.adapter,
        adapter_config=json_object(row.adapter_config),
        reply_channels=from_json(row.reply_channels),
        callback=read_callback(row),
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
        tenant_id=row.tenant_id,
    )


def read_callback(row: Any) -> Callback | None:
    """Read the callback columns of a row."""
    if row.callback_url is None:
        return None
    return Callback(url=row.callback_url, secret=row.callback_secret or "")


@reads(_KEYS)
def _jwk(row: Any) -> Mapping[str, Any]:
    return json_object(row.jwk)


@reads(_KEYS)
def _key(row: Any) -> StoredKey:
    return StoredKey(
        kid=row.kid,
        use=row.use,
        jwk=json_object(row.jwk),
        added_at=moment(row.added_at),
        retired_at=maybe_moment(row.retired_at),
    )


_CALLBACKS = tables.callbacks
_MESSAGES = tables.messages


class Dossier:
    """Reads on one destination."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def callback_states(self, destination_id: UUID) -> Mapping[DeliveryState, int]:
        """Return how many of a destination's callbacks are in each state; those that ended are forgotten after a while."""
        columns = _CALLBACKS.c
        statement = (
            select(columns.state, func.count()).where(columns.party == str(destination_id)).group_by(columns.state)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        known = set(DeliveryState)
        return {DeliveryState(state): number for state, number in rows if state in known}

    def callbacks(self, destination_id: UUID, *, limit: int = 20) -> list[CallbackView]:
        """Return a destination's latest callbacks, the newest first."""
        statement = (
            select(_CALLBACKS)
            .where(_CALLBACKS.c.party == str(destination_id))
            .order_by(_CALLBACKS.c.created_at.desc(), _CALLBACKS.c.callback_id)
            .limit(clamp(limit))
        )
        return self._database.all(statement, _CALLBACKS, to_view)

    def last_collected(self, destination_id: UUID, *, since: datetime) -> datetime | None:
        """Return when the destination collected last something that came in since then; None if it did not."""
        columns = _MESSAGES.c
        lately = columns.message_id >= str(oldest_id(since))
        statement = select(func.max(columns.collected_at)).where(lately, columns.destination_id == str(destination_id))
        return a_moment(self._database.read(lambda connection: connection.execute(statement).scalar()))
