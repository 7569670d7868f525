"""What runs for as long as a portal is open: it is kept up, and does what it is for."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta

import pytest
from stage import NOW

from hub.portal.codes import expiring
from hub.portal.database import PortalDatabase
from hub.portal.notices import mailing
from hub.portal.storage import FormKey, FormPurpose, FormStorage
from hub.supervision import Pauses, Supervisor


@pytest.fixture
def forms(tmp_path):
    with closing(PortalDatabase(f"sqlite:///{tmp_path}/forms.sqlite")) as database:
        yield FormStorage(database)


class Mortal:
    """Something that fails at its first turn, and then does as it should; ``done`` once it did."""

    def __init__(self, turn):
        self._turn = turn
        self.turns = 0
        self.done = threading.Event()

    def __call__(self, *now):
        self.turns += 1
        if self.turns == 1:
            raise RuntimeError("died")
        found = self._turn(*now)
        self.done.set()
        return found


def test_loops_of_the_portal_that_die_begin_anew(forms, caplog):
    caplog.set_level("CRITICAL", logger="hub.supervision")
    fallen = []
    supervisor = Supervisor(pauses=Pauses(first=0.01, longest=0.01), fell=fallen.append)
    key = FormKey.new()
    forms.create(key, b"x", purpose=FormPurpose.SAVED, now=NOW, ends=NOW + timedelta(days=1))
    sweep, mail = Mortal(forms.expire), Mortal(lambda _: 0)
    forms.expire = sweep
    notices = type("Notices", (), {"run_once": staticmethod(mail)})
    later = lambda: NOW + timedelta(days=2)  # noqa: E731
    begun = [
        supervisor.begin("portal-expiry", expiring(forms, later, pause=0.01)),
        supervisor.begin("portal-mails", mailing(notices, later, pause=0.01)),
    ]
    assert sweep.done.wait(20)
    assert mail.done.wait(20)
    for loop in begun:
        loop.end()
    assert sorted(fallen) == ["portal-expiry", "portal-mails"]
    assert forms.read(key, now=NOW) is None
