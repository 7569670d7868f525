"""Traces tell ids and numbers; whatever else somebody writes into a span never leaves."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from stage import BAUANTRAG, CANARY, serving

from hub.errors import ConfigurationError
from hub.observability.tracing import ALLOWED, NoTraces, OpenTelemetry, open_traces

memory = pytest.importorskip(
    "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="the extra otel is not installed"
)


@pytest.fixture
def exporter():
    return memory.InMemorySpanExporter()


@pytest.fixture
def traces(exporter):
    """Traces into memory; what a failing export would log is no part of these tests."""
    opened = OpenTelemetry(exporter, node="n", version="1")
    yield opened
    opened.close()


def finished(traces, exporter):
    traces.provider.force_flush()
    return exporter.get_finished_spans()


def everything(spans) -> str:
    """All that a span could carry, as one text."""
    return "\n".join(
        f"{span.name} {dict(span.attributes)} {[(e.name, dict(e.attributes)) for e in span.events]} "
        f"{span.status.description} {span.links} {dict(span.resource.attributes)} {span.context.trace_state}"
        for span in spans
    )


def test_without_an_endpoint_nothing_is_traced():
    assert isinstance(open_traces("", node="n", version="1"), NoTraces)
    with NoTraces().deliver(attempt=1) as span:
        span.tell(outcome="delivered")
    with NoTraces().request("http", None) as span:
        span.tell(status=200)
    NoTraces().close()


def test_an_endpoint_gives_traces_that_close():
    traces = open_traces("http://127.0.0.1:9/v1/traces", node="n", version="1")
    assert isinstance(traces, OpenTelemetry)
    traces.close()


def test_whatever_a_span_was_given_only_the_allow_list_leaves(traces, exporter):
    with traces.tracer.start_as_current_span(f"GET /search?q={CANARY}") as span:
        span.set_attribute("http.url", f"https://x.example/?token={CANARY}")
        span.set_attribute("url.query", CANARY)
        span.set_attribute("hub.delivery_id", CANARY * 10)
        span.set_attribute("hub.outcome", "delivered")
        span.add_event(CANARY, {"message": CANARY})
        span.add_link(span.get_span_context(), {"why": CANARY})
    (seen,) = finished(traces, exporter)
    assert CANARY not in everything([seen])
    assert (seen.name, dict(seen.attributes)) == ("other", {"hub.outcome": "delivered"})


def test_a_failure_leaves_without_its_message(traces, exporter):
    def fail() -> None:
        with traces.deliver(attempt=1):
            raise ValueError(CANARY)

    with pytest.raises(ValueError, match=CANARY):
        fail()
    (seen,) = finished(traces, exporter)
    assert CANARY not in everything([seen])
    assert seen.name == "deliver"


def test_a_fact_that_is_not_allowed_is_not_even_written(traces, exporter):
    with traces.deliver(attempt=3, applicant=CANARY) as span:
        span.tell(payload=CANARY, outcome="unknown")
    (seen,) = finished(traces, exporter)
    assert dict(seen.attributes) == {"hub.attempt": 3, "hub.outcome": "unknown"}


def test_a_callers_trace_is_joined_and_its_state_is_not_read(traces, exporter):
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with traces.request("http", parent, method="POST"):
        pass
    (seen,) = finished(traces, exporter)
    assert f"{seen.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert len(seen.context.trace_state) == 0


@pytest.mark.parametrize("parent", ["", "00-zz", CANARY, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_trace_parent_that_is_none_begins_a_new_trace(traces, exporter, parent):
    with traces.request("http", parent):
        pass
    (seen,) = finished(traces, exporter)
    assert seen.parent is None
    assert CANARY not in everything([seen])


def test_no_personal_data_of_a_whole_walk_is_in_any_span(stage, traces, exporter, caplog):
    caplog.set_level(logging.CRITICAL)
    object.__setattr__(stage.hub, "traces", traces)
    dispatcher = stage.hub.dispatcher
    dispatcher.attempting = replace(dispatcher.attempting, traces=traces)
    there = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    stage.hub.store.parties.replace_destination(replace(there, adapter="mailbox", adapter_config={}))
    with serving(stage) as served:
        data = BAUANTRAG.replace(b"Einfamilienhaus", CANARY.encode())
        assert CANARY.encode() in data
        header = {"Idempotency-Key": CANARY, "baggage": f"name={CANARY}", "tracestate": f"a={CANARY}"}
        accepted = served.submit(data, headers=header)
        assert accepted.status_code == 202
        served.submit(b"<bau/>", schema=f"urn:{CANARY}")
        served.get(f"/hub/v1/applications/{CANARY}", params={"q": CANARY})
        served.get("/hub/v1/schemas/entry", params={"uri": f"https://example.org/{CANARY}"})
        stage.hub.dispatcher.run_once()
        number = accepted.json()["submissionId"]
        seen = finished(traces, exporter)
    assert CANARY not in everything(seen)
    assert {span.name for span in seen} == {"request http", "deliver"}
    assert {name for span in seen for name in span.attributes} <= ALLOWED
    delivered = next(span for span in seen if span.name == "deliver")
    assert delivered.attributes["hub.submission_id"] == number
    assert delivered.attributes["hub.outcome"] == "waiting"
    operations = {span.attributes.get("hub.operation") for span in seen}
    assert "applications.create" in operations


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match="otel"):
        open_traces("http://127.0.0.1:9/v1/traces", node="n", version="1")
