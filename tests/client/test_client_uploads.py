"""The client's resumable uploads against a hub, on a line that breaks off."""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN

from hub.client.contents import Attachment
from hub.client.plain import Application, PlainDoor
from hub.client.session import log_in
from hub.client.transport import UNREACHABLE, Direct, Patience, Request
from hub.client.uploads import UploadSender
from hub.errors import NotFound, Text, TooLarge, Unavailable
from hub.model import MediaType

FILE = random.Random(7).randbytes(900_000)
PATIENT = Patience(repeats=3, first=timedelta(0))


class Breaking:
    """A transport of which some requests never arrive, and of others no answer."""

    def __init__(self) -> None:
        self._line = Direct()
        self.lost: list[str] = []
        self.unanswered: list[str] = []
        self.sent: list[str] = []

    @contextmanager
    def exchange(self, request: Request) -> Any:
        if request.method in self.lost:
            self.lost.remove(request.method)
            raise Unavailable(Text("weg", "gone"), slug=UNREACHABLE)
        with self._line.exchange(request) as response:
            self.sent.append(request.method)
            if request.method in self.unanswered:
                self.unanswered.remove(request.method)
                raise Unavailable(Text("weg", "gone"), slug=UNREACHABLE)
            yield response


@pytest.fixture
def line() -> Breaking:
    return Breaking()


@pytest.fixture
def session(served, line):
    return log_in(served.base_url, **served.stage.cast["sender"], transport=line)


def plan(content: bytes = FILE) -> Attachment:
    return Attachment(open=lambda: BytesIO(content), filename="Läge/plan.pdf", media_type="application/pdf")


def sender_of(session) -> UploadSender:
    return UploadSender(session, chunk=300_000, patience=PATIENT, wait=lambda _: None)


def test_a_large_attachment_goes_by_upload_and_a_small_one_with_the_application(session, served):
    attachments = sender_of(session).send_large([plan(), plan(b"klein")], above=1000)
    assert [each.upload is not None for each in attachments] == [True, False]
    assert str(attachments[0].upload) not in repr(attachments)
    application = Application(
        data=BAUANTRAG, media_type=MediaType.XML, service=BAUEN, ars=TAUNUSSTEIN, attachments=attachments
    )
    door = PlainDoor(session)
    receipt = door.submit(application)
    assert door.submit(application).token == receipt.token
    message = served.stage.hub.store.submissions.message(receipt.submission_id)
    assert len(message.contents.attachments) == 2


def test_what_breaks_off_goes_on_from_where_it_is(session, line):
    line.lost, line.unanswered = ["PATCH", "HEAD"], ["PATCH"]
    heard: list[int] = []
    sent = sender_of(session).send(plan(), tell=lambda progress: heard.append(progress.sent))
    assert heard == [0, 300_000, 600_000, 900_000]
    assert line.sent.count("PATCH") == 3, "what arrived without an answer is not sent again"
    again = sender_of(session).send(sent)
    assert again.upload == sent.upload
    assert line.sent.count("PATCH") == 3


def test_who_gives_up_goes_on_later_and_elsewhere(session, line):
    line.lost = []
    heard: list[Any] = []

    def tell(progress: Any) -> None:
        heard.append(progress)
        line.lost = ["PATCH"] * 9 if progress.sent else []

    with pytest.raises(Unavailable):
        sender_of(session).send(plan(), tell=tell)
    line.lost = []
    kept = Attachment(open=plan().open, filename="plan.pdf", upload=heard[-1].url)
    later: list[int] = []
    assert sender_of(session).send(kept, tell=lambda progress: later.append(progress.sent)).upload == kept.upload
    assert later == [300_000, 600_000, 900_000]


def test_an_upload_that_is_gone_begins_anew(session):
    uploads = sender_of(session)
    first = uploads.send(plan())
    assert first.upload is not None
    uploads.drop(first.upload)
    uploads.drop(first.upload)
    with pytest.raises(NotFound):
        uploads.offset(first.upload)
    assert uploads.send(first).upload != first.upload


def test_too_large_is_said_before_a_byte_is_sent(session, line):
    class Huge(BytesIO):
        def seek(self, *_: int) -> int:
            return 376_000_000

    with pytest.raises(TooLarge):
        sender_of(session).send(Attachment(open=Huge, filename="huge"))
    assert "PATCH" not in line.sent
