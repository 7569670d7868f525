"""Broken links of the register of AI systems: each is looked at once a week, by the one dialler that judges addresses.

A look asks for the page and reads none of it; a redirect is not followed and leads somewhere. What fails twice in a row counts
as broken: the admin page names it, and an approval of the register needs a word then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from hub.services.ai_systems import AiRegister
from hub.store.ai_links import AiLinks, CheckedLink
from hub.transport.connection import Outbound

#: A link that led somewhere is looked at again after this; one that failed, tomorrow.
_WEEK, _DAY = timedelta(days=6), timedelta(hours=20)
#: Links looked at in one run: each may take its timeout.
_MOST = 30
_TIMEOUT = 5.0
_HEADERS = {"User-Agent": "Rathaus-Hub", "Accept": "text/html,*/*;q=0.5", "Connection": "close"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkWatch:
    """Looks at links, and keeps what came of it."""

    links: AiLinks
    register: Callable[[], AiRegister]
    outbound: Outbound
    most: int = field(default=_MOST)

    def pending(self) -> bool:
        """Whether there is anything to look at, or to forget."""
        return bool(self._named() or self.links.all())

    def run(self, now: datetime) -> int:
        """Look at what is due; return how many links were looked at."""
        named, known = self._named(), self.links.all()
        due = [url for url in named if self._is_due(known.get(url), now)][: self.most]
        return self.links.note([self._look(url, now) for url in due], known=named)

    def check(self, now: datetime, *, most: int | None = None) -> list[CheckedLink]:
        """Look at every link now, on demand, or at ``most`` of them, longest unseen first; return what led nowhere now."""
        named, known = self._named(), self.links.all()
        oldest = sorted(
            named, key=lambda url: known[url].checked_at if url in known else datetime.min.replace(tzinfo=UTC)
        )
        looks = [self._look(url, now) for url in oldest[:most]]
        self.links.note(looks, known=named)
        return [each for each in looks if each.failures]

    def _named(self) -> list[str]:
        return list(dict.fromkeys(link for system in self.register() for link in system.links()))

    def _is_due(self, last: CheckedLink | None, now: datetime) -> bool:
        return last is None or now - last.checked_at >= (_DAY if last.failures else _WEEK)

    def _look(self, url: str, now: datetime) -> CheckedLink:
        answer = replace(self.outbound, timeout=_TIMEOUT, answer_limit=1).get(url, _HEADERS)
        leads = answer.status is not None and answer.status < HTTPStatus.BAD_REQUEST
        return CheckedLink(url=url, checked_at=now, failures=int(not leads), note="" if leads else answer.note)
