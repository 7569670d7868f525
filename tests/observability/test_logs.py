"""Log lines: JSON with known members, ids and no contents."""

from __future__ import annotations

import json
import logging

import pytest
from stage import BAUANTRAG, CANARY, serving

from hub.observability import logs


@pytest.fixture(autouse=True)
def as_before():
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_known_members(capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    logging.getLogger("hub.x").warning("delivery %s: late", "d-1", extra={"payload": CANARY})
    (line,) = lines(capsys)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "hub.x", "delivery d-1: late")
    assert line["at"].endswith("Z")
    assert set(line) <= set(logs.MEMBERS)


def test_an_errors_own_message_is_not_written(capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    try:
        int(CANARY)
    except ValueError:
        logging.getLogger("hub.x").exception("delivery %s: the adapter failed", "d-1")
    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert line["places"][0].startswith(__file__)
    assert CANARY not in json.dumps(line)


def test_a_second_call_replaces_the_first(capsys):
    logs.set_up(as_json=False, level=logging.INFO)
    logs.set_up(as_json=True, level=logging.INFO)
    logging.getLogger("hub.x").info("once")
    assert len(lines(capsys)) == 1


def test_text_is_for_people(capsys):
    logs.set_up(as_json=False, level=logging.WARNING)
    logging.getLogger("hub.x").info("not this")
    logging.getLogger("hub.x").warning("this")
    assert capsys.readouterr().err.endswith("WARNING hub.x: this\n")


def test_a_line_over_several_lines_stays_one(capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    logging.getLogger("hub.x").warning("a\nb")
    assert lines(capsys)[0]["message"] == "a\nb"


def test_no_payload_is_in_any_line_of_a_whole_walk(stage, capsys):
    logs.set_up(as_json=True, level=logging.DEBUG)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    with serving(stage) as served:
        assert served.submit(BAUANTRAG.replace(b"Einfamilienhaus", CANARY.encode())).status_code == 202
        served.submit(BAUANTRAG.replace(b"</bau:bauantrag", f"<bau:{CANARY}/></bau:bauantrag".encode()))
        served.get(f"/hub/v1/applications/{CANARY}")
        stage.hub.dispatcher.run_once()
    ours = [line for line in lines(capsys) if line["logger"].startswith("hub")]
    assert ours
    assert CANARY not in json.dumps(ours)
