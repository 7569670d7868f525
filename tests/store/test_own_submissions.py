"""A sender's list goes by an index, on either engine."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from store_values import NOW

from hub.model import State
from hub.store import SentFilter
from hub.store.database import in_postgresql
from hub.store.submissions import sent_by, untold_of

ASKED = {
    "everything": SentFilter(),
    "a window of time": SentFilter(since=NOW, until=NOW + timedelta(days=1)),
    "a service in a state": SentFilter(services=["urn:x:y"], state=State.ACCEPTED),
}


def test_the_list_is_read_by_the_index_of_a_senders_cases(store):
    for name, wanted in ASKED.items():
        for before in (None, (NOW, UUID(int=1))):
            plan = explained(store, sent_by("somebody", wanted, before=before).limit(101))
            assert "ix_cases_sender" in plan, f"{name}: {plan}"
            for whole in ("Seq Scan", "SCAN messages", "SCAN cases"):
                assert whole not in plan, f"{name}: {plan}"


def test_a_reference_is_looked_up_by_an_index_and_so_is_what_programs_of_before_took_in(store):
    wanted = SentFilter(reference="OD-1", since=NOW)
    for before in (None, (NOW, UUID(int=1))):
        asked = {"ix_messages_reference": sent_by, "ix_messages_untold": untold_of}
        for index, question in asked.items():
            plan = explained(store, question("somebody", wanted, before=before).limit(101))
            assert index in plan, plan
            assert "Seq Scan" not in plan, plan
            assert "SCAN messages" not in plan, plan


def explained(store, statement) -> str:
    def read(connection) -> str:
        text = statement.compile(connection.engine, compile_kwargs={"literal_binds": True}).string
        if in_postgresql(connection):
            # Of an empty table every index costs the same; what is newest among everybody's is no answer to this question.
            connection.exec_driver_sql("DROP INDEX ix_messages_newest")
            # An empty table is read whole otherwise.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
            connection.exec_driver_sql("SET LOCAL enable_hashjoin = off")
            connection.exec_driver_sql("SET LOCAL enable_mergejoin = off")
            plan = str(connection.exec_driver_sql(f"EXPLAIN {text}").all())
            connection.rollback()
            return plan
        return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all())

    return store.database.read(read)
