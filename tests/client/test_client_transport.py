"""The client's way out: what is repeated and when, tokens, and what an answer that is no success becomes."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from typing import Any

import orjson
import pytest
from partner import Answer, Heard, Partner
from stage import NOW

from hub.client.session import Session, Tokens, log_in
from hub.client.transport import UNREACHABLE, Direct, Request, Retrying, retry_after
from hub.errors import (
    ConfigurationError,
    Conflict,
    IdempotencyConflict,
    InvalidPayload,
    NoRoute,
    Refused,
    TooMany,
    Unauthenticated,
    Unavailable,
)


class Service(Partner):
    """Hands out tokens that last half an hour, and plays ``answers`` one after another; the last one for good."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.tokens = 0
        super().__init__(play=self._play)

    def _play(self, heard: Heard) -> Answer:
        if heard.path == "/token":
            self.tokens += 1
            said = {"access_token": f"token-{self.tokens}", "expires_in": 1800}
            return Answer(headers={"Content-Type": "application/json"}, body=orjson.dumps(said))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def asked(self) -> list[Heard]:
        return [heard for heard in self.heard if heard.path != "/token"]


def json_answer(document: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status=status, headers={"Content-Type": "application/json", **headers}, body=orjson.dumps(document))


class Waits(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def session(service: Partner, waits: Waits | None = None) -> Session:
    transport = Retrying(Direct(), wait=Waits() if waits is None else waits)
    return log_in(service.url, client_id="who", client_secret="secret", transport=transport)


def test_what_may_be_repeated_is_repeated_as_the_other_side_asks():
    with Service(
        Answer(status=503, headers={"Retry-After": "7"}), Answer(status=429), json_answer({"a": 1})
    ) as service:
        waits = Waits()
        assert session(service, waits).json("GET", "/thing") == {"a": 1}
    assert waits == [7.0, 1.0]
    assert len(service.asked()) == 3


def test_what_may_not_be_repeated_is_sent_once_and_its_answer_told():
    with Service(Answer(status=503, headers={"Retry-After": "7"})) as service:
        with pytest.raises(Unavailable) as refused:
            session(service).json("POST", "/thing", body={})
        assert len(service.asked()) == 1
    assert refused.value.retry_after == timedelta(seconds=7)
    assert refused.value.members["status"] == 503


def test_a_pause_longer_than_patience_is_the_callers_to_make():
    with Service(Answer(status=429, headers={"Retry-After": "600"})) as service:
        with pytest.raises(TooMany) as refused:
            session(service).json("GET", "/thing")
        assert len(service.asked()) == 1
    assert refused.value.retry_after == timedelta(minutes=10)


def test_a_repeat_sends_the_same_stream_from_its_beginning():
    with Service(Answer(status=502), Answer(status=204)) as service:
        session(service).send("PUT", "/part", content=lambda: iter([b"one", b"two"]), length=6)
    assert [heard.body for heard in service.asked()] == [b"onetwo", b"onetwo"]
    assert service.asked()[0].headers["Content-Length"] == "6"


def test_who_is_not_there_is_told_as_such_after_all_repeats():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    waits = Waits()
    with (
        pytest.raises(Unavailable) as refused,
        Retrying(Direct(), wait=waits).exchange(Request(method="GET", url=url, repeatable=True)),
    ):
        pass
    assert refused.value.slug == UNREACHABLE
    assert waits == [0.5, 1.0, 2.0]


def test_a_token_is_kept_until_shortly_before_its_end():
    clock = [NOW]
    with Service(json_answer({})) as service:
        tokens = Tokens(f"{service.url}/token", client_id="who", client_secret="s&=", clock=lambda: clock[0])
        one = Session(service.url, transport=Direct(), tokens=tokens)
        one.json("GET", "/a")
        clock[0] += timedelta(seconds=1769)
        one.json("GET", "/b")
        assert service.tokens == 1
        clock[0] += timedelta(seconds=2)
        one.json("GET", "/c")
        assert service.tokens == 2
    assert service.heard[0].body == b"grant_type=client_credentials&client_id=who&client_secret=s%26%3D"
    assert [heard.headers["Authorization"] for heard in service.asked()] == ["Bearer token-1"] * 2 + ["Bearer token-2"]


def test_a_token_that_is_not_taken_is_fetched_anew_once():
    with Service(Answer(status=401), json_answer({"a": 1}), Answer(status=401)) as service:
        client = session(service)
        assert client.json("POST", "/thing", body={}) == {"a": 1}
        with pytest.raises(Unauthenticated):
            client.json("GET", "/thing")
    assert len(service.asked()) == 4


def test_a_redirect_is_not_followed_and_takes_no_token_elsewhere():
    with (
        Service(json_answer({})) as other,
        Service(Answer(status=302, headers={"Location": other.url})) as service,
        pytest.raises(Unavailable),
    ):
        session(service).json("GET", "/thing")
    assert other.heard == []


@pytest.mark.parametrize("url", ["http://hub.example", "http://127.0.0.1.hub.example", "ftp://localhost", "localhost"])
def test_secrets_go_nowhere_without_tls_but_to_this_machine(url):
    with pytest.raises(ConfigurationError):
        log_in(url, client_id="who", client_secret="secret", transport=Direct()).json("GET", "/thing")


PROBLEMS = {
    "a class by its status": (404, {}, Refused, "not-found"),
    "a kind by its type": (409, {"type": "urn:rathaus-hub:problem:idempotency-conflict"}, IdempotencyConflict, None),
    "a slug that only the service knows": (409, {"type": "https://x/problems/some-state"}, Conflict, "some-state"),
    "no route": (422, {"type": "urn:rathaus-hub:problem:no-route", "nearest": [1]}, NoRoute, "no-route"),
    "a type of another class does not decide": (401, {"type": "urn:x:no-route"}, Unauthenticated, "no-route"),
    "violations": (422, {"type": "urn:x:invalid-payload", "violations": [{"path": "/a"}]}, InvalidPayload, None),
}


@pytest.mark.parametrize(("status", "problem", "kind", "slug"), PROBLEMS.values(), ids=PROBLEMS)
def test_an_answer_that_is_no_success_is_an_error_of_the_one_tree(status, problem, kind, slug):
    said = {"detailDe": "So nicht.", "detailEn": "Not\x1b[31m so.", **problem}
    answer = json_answer(said, status, **{"Content-Type": "application/problem+json"})
    with Service(answer) as service, pytest.raises(kind) as refused:
        session(service).json("POST", "/thing", body={})
    assert refused.value.slug == (slug or kind.slug)
    assert (refused.value.detail.de, refused.value.detail.en) == ("So nicht.", "Not[31m so.")
    assert refused.value.members["status"] == status
    assert refused.value.members["problem"] == json.loads(json.dumps(said))
    if kind is InvalidPayload:
        assert refused.value.members["violations"] == [{"path": "/a"}]


def test_a_page_of_somebody_else_is_told_as_unreadable():
    with Service(Answer(body=b"<html>")) as service, pytest.raises(Unavailable) as refused:
        session(service).json("GET", "/thing")
    assert refused.value.slug == "unreadable-answer"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("12", 12), ("0", 0), ("99999999999", 3600), ("", None), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", None)],
)
def test_what_is_asked_for_is_read_within_bounds(said, seconds):
    found = retry_after({"retry-after": said}, NOW)
    assert found == (None if seconds is None else timedelta(seconds=seconds))
