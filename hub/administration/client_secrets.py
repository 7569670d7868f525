"""Secrets of many clients handed over at once: new ones, in a file that only its recipients open.

Onboarding makes hundreds of clients, and none of their secrets was ever seen. Whoever is to bring them to the authorities names
public keys; the table is encrypted to these in memory, and no secret in the clear ever touches a disk.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hub.administration.clients import ClientService
from hub.errors import Text, state_forbids
from hub.files import age
from hub.files.sheets import disarmed
from hub.identity import Person
from hub.store import OnboardingRow, Store

_COLUMNS = ("ars", "name", "client_id", "client_secret")


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedSecrets:
    """A table in CSV, encrypted (age), how many secrets it holds, and the areas that were left out."""

    content: bytes = field(repr=False)
    number: int
    #: Those whose client logged in already: a new secret would lock it out.
    in_use: tuple[str, ...]


def new_secrets(
    rows: Sequence[OnboardingRow],
    person: Person,
    *,
    clients: ClientService,
    store: Store,
    recipients: Sequence[Any],
    now: datetime,
) -> SealedSecrets:
    """Give the clients of a run's authorities new secrets and seal them to ``recipients``.

    Clients that logged in already keep theirs. What breaks off is begun anew: secrets that nobody read are no loss.

    Raises:
        Forbidden: the person may not. Conflict: there is no client left that waits for its secret.
    """
    waiting, in_use = [], []
    for row in rows:
        if row.client_id is None:
            continue
        if store.logins.proven(row.client_id) is None:
            waiting.append((row, row.client_id))
        else:
            in_use.append(row.ars)
    if not waiting:
        raise state_forbids(
            Text(
                "Kein Client dieser Aufnahme wartet auf sein Secret.",
                "No client of this onboarding waits for its secret.",
            ),
            Text("Ein einzelnes erneuert „hub clients rotate“.", "A single one is renewed by 'hub clients rotate'."),
        )
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=";", lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row, client_id in waiting:
        _, secret = clients.rotate(client_id, person, now=now)
        writer.writerow([row.ars, disarmed(row.name), client_id, secret])
    sealed = io.BytesIO()
    age.encrypt(io.BytesIO(table.getvalue().encode("utf-8-sig")), sealed, recipients)
    return SealedSecrets(content=sealed.getvalue(), number=len(waiting), in_use=tuple(in_use))
