"""Whoever is throttled is told what is allowed, what is left and when to come back."""

from __future__ import annotations

import re

from stage import Served

from hub.api import validation_page

POLICY = re.compile(r'"([a-z-]+)";q=([0-9]+);w=([0-9]+)')
LEFT = re.compile(r'"([a-z-]+)";r=([0-9]+);t=([0-9]+)')


def limits_of(answer) -> tuple[str, int, int, int, int]:
    """Name, quota, window, what is left, and seconds to go; the fields are those of the draft and name one policy."""
    policy, left = POLICY.fullmatch(answer.headers["RateLimit-Policy"]), LEFT.fullmatch(answer.headers["RateLimit"])
    assert policy[1] == left[1]
    return policy[1], int(policy[2]), int(policy[3]), int(left[2]), int(left[3])


def test_failed_log_ins_are_counted_aloud_once_they_are_too_many(served: Served):
    form = {"grant_type": "client_credentials", **served.stage.cast["sender"], "client_secret": "wrong"}
    answers = [served.post("/token", data=form) for _ in range(11)]
    assert [each.status_code for each in answers] == [401] * 10 + [429]
    assert "RateLimit" not in answers[0].headers
    name, quota, window, left, wait = limits_of(answers[-1])
    assert (name, quota, window, left) == ("client-log-in-failures", 10, 60, 0)
    assert str(wait) == answers[-1].headers["Retry-After"]
    assert answers[-1].json()["error"] == "temporarily_unavailable"


def test_public_look_ups_tell_what_is_left_of_their_quota(served: Served):
    answers = [served.get("/v2/areas", params={"areaSearchexpression": "Eltville"}) for _ in range(2)]
    (_, quota, window, first, _), (_, _, _, second, wait) = map(limits_of, answers)
    assert (quota, window) == (6000, 60)
    assert first - second == 1
    assert 1 <= wait <= 60


def test_the_page_for_dry_runs_tells_when_it_is_asked_too_often(served: Served):
    for _ in range(validation_page.REQUESTS):
        served.post("/validate", files={"text": (None, "{}")})
    answer = served.post("/validate", files={"text": (None, "{}")})
    assert answer.status_code == 429
    assert limits_of(answer)[:4] == ("validations", validation_page.REQUESTS, 60, 0)
