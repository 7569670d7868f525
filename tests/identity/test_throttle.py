"""Failed log-ins: who is turned away, for how long, and that nobody else is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from store_values import NOW

from hub.crypto.keyring import HubKeys
from hub.crypto.keys import KeyPolicy
from hub.errors import TooMany, Unauthenticated
from hub.identity.clients import Clients, Directory, new_client
from hub.identity.throttle import Throttle, ThrottleBounds
from hub.model.parties import ClientKind
from hub.store import Store
from hub.store.tables import throttle as rows

SECOND = timedelta(seconds=1)
BOUNDS = ThrottleBounds(kind="client", window=timedelta(seconds=60), by_pair=10, by_address=60)
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> HubKeys:
    return HubKeys.load_or_create(tmp_path_factory.mktemp("pki") / "pki", now=NOW, create=True)


def clients_of(store: Store, keys: HubKeys) -> Clients:
    """The token endpoint of one process."""
    directory = Directory(store=store, policy=KeyPolicy())
    return Clients(store=store, directory=directory, keys=keys, issuer="https://hub.example.org")


@pytest.fixture
def portal(store):
    client, secret = new_client(ClientKind.SENDER, "Portal", now=NOW)
    store.parties.add_client(client)
    return client.client_id, secret


def wrong(clients: Clients, client_id: str, *, times: int, address: str, now=NOW) -> None:
    for number in range(times):
        with pytest.raises(Unauthenticated):
            clients.issue(client_id, f"wrong {number}", None, address=address, now=now)


def count(store: Store, kind: str | None = None) -> int:
    statement = select(func.count()).select_from(rows)
    statement = statement if kind is None else statement.where(rows.c.kind == kind)
    return store.database.read(lambda connection: connection.execute(statement).scalar_one())


# ------------------------------------------------------------------------------------------------------ clients


def test_wrong_secrets_from_elsewhere_keep_nobody_out(store, keys, portal):
    clients = clients_of(store, keys)
    wrong(clients, portal[0], times=10, address=ELSEWHERE)
    with pytest.raises(TooMany) as refused:
        clients.issue(portal[0], "wrong", None, address=ELSEWHERE, now=NOW + 20 * SECOND)
    assert refused.value.retry_after == 40 * SECOND
    assert clients.issue(*portal, None, address=HOME, now=NOW + 20 * SECOND).access_token


def test_a_secret_that_was_good_before_passes_where_wrong_ones_are_turned_away(store, keys, portal):
    clients = clients_of(store, keys)
    clients.issue(*portal, None, address=HOME, now=NOW)
    wrong(clients, portal[0], times=10, address=HOME)
    with pytest.raises(TooMany):
        clients.issue(portal[0], "wrong", None, address=HOME, now=NOW)
    assert clients.issue(*portal, None, address=HOME, now=NOW).access_token


def test_it_passes_after_a_restart_and_in_another_process_too(store, keys, portal):
    clients_of(store, keys).issue(*portal, None, address=HOME, now=NOW)
    store.settings.set("a later write", "is committed after the proof")
    restarted = clients_of(store, keys)
    wrong(restarted, portal[0], times=10, address=HOME)
    assert clients_of(store, keys).issue(*portal, None, address=HOME, now=NOW).access_token


def test_a_first_log_in_waits_for_its_own_address_alone(store, keys, portal):
    clients = clients_of(store, keys)
    wrong(clients, portal[0], times=10, address=HOME)
    with pytest.raises(TooMany):
        clients.issue(*portal, None, address=HOME, now=NOW)
    assert clients.issue(*portal, None, address=HOME, now=NOW + 61 * SECOND).access_token


def test_a_replaced_secret_and_a_disabled_client_are_proven_no_more(store, keys, portal):
    clients = clients_of(store, keys)
    clients.issue(*portal, None, address=HOME, now=NOW)
    store.parties.set_client_secret(portal[0], new_client(ClientKind.SENDER, "x", now=NOW)[0].secret_hash)
    for one in (clients, clients_of(store, keys)):
        with pytest.raises(Unauthenticated):
            one.issue(*portal, None, address=HOME, now=NOW)
    client, secret = new_client(ClientKind.SENDER, "Other", now=NOW)
    store.parties.add_client(client)
    clients.issue(client.client_id, secret, None, address=HOME, now=NOW)
    store.parties.disable_client(client.client_id, NOW)
    with pytest.raises(Unauthenticated):
        clients.issue(client.client_id, secret, None, address=HOME, now=NOW)


def test_unknown_ids_are_turned_away_like_known_ones(store, keys):
    clients = clients_of(store, keys)
    for number in range(60):
        wrong(clients, f"guess-{number}", times=1, address=ELSEWHERE)
    with pytest.raises(TooMany):
        clients.issue("guess-60", "wrong", None, address=ELSEWHERE, now=NOW)
    wrong(clients, "guess-60", times=1, address=HOME)


def test_two_processes_count_together(store, keys, portal):
    one, other = clients_of(store, keys), clients_of(store, keys)
    wrong(one, portal[0], times=5, address=HOME)
    wrong(other, portal[0], times=5, address=HOME)
    for each in (one, other):
        with pytest.raises(TooMany):
            each.issue(portal[0], "wrong", None, address=HOME, now=NOW)


def test_a_token_for_a_known_secret_commits_nothing(store, keys, portal):
    clients = clients_of(store, keys)
    clients.issue(*portal, None, address=HOME, now=NOW)
    store.close()  # From here on any commit would fail.
    for _ in range(5):
        assert clients.issue(*portal, None, address=HOME, now=NOW).access_token


# ----------------------------------------------------------------------------------------------------- the throttle


def fail(throttle: Throttle, subject: str, address: str, *, times: int = 1, now=NOW) -> None:
    for _ in range(times):
        throttle.note(subject=subject, address=address, now=now)


def refused(throttle: Throttle, subject: str, address: str, now=NOW) -> bool:
    try:
        throttle.refuse(subject=subject, address=address, now=now)
    except TooMany as error:
        return timedelta(0) < error.retry_after <= BOUNDS.window
    return False


def test_a_flood_from_one_address_is_turned_away_and_leaves_few_rows(store):
    throttle = Throttle(store=store, bounds=BOUNDS)
    fail(throttle, "victim", HOME, times=9)
    let_through = 0
    for number in range(20_000):
        if number > 100 and number % 500:
            continue  # Past the bound each is refused by a look; some suffice.
        if not refused(throttle, f"random-{number}", ELSEWHERE):
            fail(throttle, f"random-{number}", ELSEWHERE)
            let_through += 1
    assert let_through == BOUNDS.by_address
    assert count(store) <= 2 + BOUNDS.by_address + 1
    assert not refused(throttle, "victim", HOME)
    fail(throttle, "victim", HOME)
    assert refused(throttle, "victim", HOME)


def test_a_flood_from_many_addresses_finds_shared_rows_and_leaves_others_alone(store):
    throttle = Throttle(store=store, bounds=BOUNDS, most_rows=50)
    fail(throttle, "victim", HOME, times=9)
    for number in range(400):
        fail(throttle, f"random-{number}", f"203.0.113.{number % 250}")
    assert count(store, "client") == 50
    assert count(store) <= 50 + 2 * 256
    assert not refused(throttle, "victim", HOME)
    fail(throttle, "victim", HOME)
    assert refused(throttle, "victim", HOME)


def test_a_flood_over_all_rows_still_meets_a_bound(store):
    throttle = Throttle(store=store, bounds=BOUNDS, most_rows=0)
    fail(throttle, "one", HOME, times=BOUNDS.by_address)
    assert refused(throttle, "one", HOME)


def test_rows_that_count_no_more_make_room_and_are_swept(store):
    throttle = Throttle(store=store, bounds=BOUNDS, most_rows=20)
    for number in range(20):
        fail(throttle, f"random-{number}", f"203.0.113.{number}")
    later = NOW + 61 * SECOND
    fail(throttle, "somebody", HOME, times=10, now=later)
    assert refused(throttle, "somebody", HOME, later)
    assert count(store, "client") == 2
    assert throttle.sweep(later + 61 * SECOND) >= 2
    assert count(store) == 0


@pytest.mark.parametrize("back", [SECOND, 30 * SECOND, timedelta(minutes=5), timedelta(days=400)])
def test_a_clock_that_steps_back_keeps_nobody_out_for_longer_than_two_windows(store, back):
    throttle = Throttle(store=store, bounds=BOUNDS)
    fail(throttle, "somebody", HOME, times=10)
    now = NOW - back
    assert refused(throttle, "somebody", HOME, now) is (back <= BOUNDS.window)
    assert not refused(throttle, "somebody", HOME, now + 2 * BOUNDS.window + SECOND)
    fail(throttle, "somebody", HOME, times=10, now=now)
    assert refused(throttle, "somebody", HOME, now)


def test_clocks_of_nodes_that_differ_a_little_count_together(store):
    throttle = Throttle(store=store, bounds=BOUNDS)
    for number in range(10):
        fail(throttle, "somebody", HOME, now=NOW + (2 * SECOND if number % 2 else timedelta(0)))
    assert refused(throttle, "somebody", HOME)


def test_addresses_of_one_network_count_as_one(store):
    throttle = Throttle(store=store, bounds=BOUNDS)
    fail(throttle, "a", "2001:db8::1", times=5)
    fail(throttle, "a", "2001:db8::ffff:2", times=5)
    assert refused(throttle, "a", "2001:db8::3")
    assert not refused(throttle, "a", "2001:db8:0:1::3")
    fail(throttle, "b", "::ffff:192.0.2.9", times=10)
    assert refused(throttle, "b", "192.0.2.9")


def test_a_bound_over_all_addresses_spares_those_where_the_subject_logged_in(store):
    bounds = ThrottleBounds(kind="person", window=BOUNDS.window, by_pair=5, by_address=30, by_subject=8)
    throttle = Throttle(store=store, bounds=bounds)
    throttle.passed(subject="erika", address=HOME, now=NOW)
    for number in range(8):
        fail(throttle, "erika", f"203.0.113.{number}")
    assert refused(throttle, "erika", ELSEWHERE)
    assert not refused(throttle, "erika", HOME)
    fail(throttle, "erika", HOME, times=5)
    assert refused(throttle, "erika", HOME)


def test_a_lone_surrogate_and_an_endless_id_are_counted_in_rows_of_one_length(store):
    throttle = Throttle(store=store, bounds=BOUNDS)
    fail(throttle, "\ud800", HOME)
    fail(throttle, "x" * 1_000_000, HOME)
    names = store.database.read(lambda connection: connection.execute(select(rows.c.counter)).scalars().all())
    assert {len(name) for name in names} == {40}
