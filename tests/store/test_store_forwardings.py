"""Hand-ons in the store, on both databases: of several at once in one case, one goes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from store_values import NOW, accepted, announcement, completed, event, known_destination, making

from hub.errors import Conflict, HubError
from hub.model import EventKind, ForwardLink, State
from hub.store import Store


def begin(store: Store, old: Any, **changes: Any) -> ForwardLink:
    new = announcement(old.destination_id)
    link = ForwardLink(
        submission_id=new.id,
        case_id=new.case_id,
        destination_id=old.destination_id,
        from_submission_id=old.submission_id,
        from_case_id=old.case_id,
        from_destination_id=old.destination_id,
        **{"client_id": "town", "request_id": uuid4(), "service": "s", "area": "06", "reason": "other"} | changes,
        depth=1,
        received_at=NOW,
        begun_at=NOW,
    )
    first = making(new, EventKind.CREATE, EventKind.FORWARDED_FROM)
    return store.forwardings.begin(
        link, new, first, forget=lambda stale: event(stale.case_id, stale.submission_id, EventKind.DELETE)
    )


def complete(store: Store, link: ForwardLink) -> bool:
    log = [event(link.from_case_id, link.from_submission_id, EventKind.FORWARDED_TO)]
    return store.forwardings.complete(link, lambda _head, _state: log, sender="citizen", now=NOW)


def bring(store: Store, link: ForwardLink) -> None:
    sent = announcement(link.destination_id, id=link.submission_id, case_id=link.case_id)
    assert completed(store, sent)


def test_of_hand_ons_begun_at_once_one_stays_and_one_is_completed(open_store: Callable[[], Store]):
    nodes = [open_store(), open_store()]
    old = accepted(nodes[0], known_destination(nodes[0]).destination_id)

    def both(act: Callable[[Store], Any]) -> list[Any]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(act, nodes))

    links = both(lambda node: begin(node, old))
    (link,) = nodes[0].forwardings.out_of(old.case_id, complete=False)
    states = {each.submission_id: nodes[1].submissions.message(each.submission_id).state for each in links}
    assert {states.pop(link.submission_id), *states.values()} == {State.INCOMPLETE, State.DELETED}
    bring(nodes[0], link)
    assert sorted(both(lambda node: complete(node, link))) == [False, True]
    log = [each.kind for each in nodes[0].event_log.events(old.case_id).items]
    assert log.count(EventKind.FORWARDED_TO) == 1
    with pytest.raises(Conflict) as refused:
        begin(nodes[1], old)
    assert refused.value.slug == "forwarded-already"
    gone = nodes[1].forwardings.gone_to(old.case_id)
    assert (gone.case_id, nodes[0].forwardings.earlier(link.case_id)) == (link.case_id, [old.case_id])


def test_a_hand_on_that_a_later_one_replaced_is_completed_no_more(store: Store):
    old = accepted(store, known_destination(store).destination_id)
    first = begin(store, old)
    second = begin(store, old)
    bring(store, second)
    with pytest.raises(HubError):
        complete(store, first)
    assert begin(store, old).submission_id == second.submission_id, "it lies whole with the same authority"
    with pytest.raises(Conflict):
        begin(store, old, reason="other-area")
    assert complete(store, second)
