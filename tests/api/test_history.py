"""What a sender is told of its application stands in the order of the log, whatever the clocks of others say."""

from __future__ import annotations

from uuid import UUID

from sealed_door import Door, movable_door

__all__ = ["movable_door"]


def test_an_answer_in_whole_seconds_stands_last_in_the_history(own_door: Door):
    own_door.clock.pass_(microseconds=123_456)
    sent = own_door.send()
    assert own_door.accept(sent).status == 204
    caller = own_door.sending_caller
    story = own_door.hub.desk.progress(UUID(sent.submission_id), caller=caller).history
    steps = [step.step for step in story]
    assert story[-1].at < story[0].at  # The receiver's token tells no fractions of a second.
    assert steps[:2] == ["create-submission", "submit-submission"]
    assert steps[-1] == "accept-submission"
