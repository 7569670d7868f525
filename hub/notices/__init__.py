"""Notices to people: who is told, in which words, and the mails that carry them.

A notice is decided in one transaction with its entry in the audit log and its place in the outbox, then mailed at least once
under one Message-ID. Where no mail server is set up it stands in the audit log and on the admin pages alone.
"""

from hub.notices.board import Noticeboard
from hub.notices.postman import MailServer, Postman

__all__ = ["MailServer", "Noticeboard", "Postman"]
