"""A whole case with a real hub: applied for, asked about, answered, decided with a file, and opened by who applied."""

from __future__ import annotations

import io
import json

from say import DEADLINE, pdf, wish
from stage import ANMELDEN, ANMELDUNG, NOW, SCHEMAS, WIESBADEN, serving

from hub.client.cases import OwnCases
from hub.client.contents import Attachment
from hub.client.plain import Application, PlainDoor
from hub.client.session import log_in
from hub.connector import Connector
from hub.connector.casebook import CaseQuery
from hub.connector.opening import load_keys
from hub.connector.settings import ConnectorSettings
from hub.crypto import read_decryption_key
from hub.model import CaseMessage, CaseMessageKind, MediaType, ReplyMessage, State
from hub.validation.catalog import SchemaCatalog


def connector_of(stage, base_url: str) -> Connector:
    """The connector of Wiesbaden, where people decide."""
    folder, there = stage.data / "demo", stage.destination("Wiesbaden")
    for use in ("decryption", "signing"):
        (folder / f"{use}.json").write_text(json.dumps(there[f"private_{use}_jwk"]))
    document = {
        "journal": "clerks.sqlite",
        "hub": {
            "base_url": base_url,
            "token_url": f"{base_url}/token",
            "issuer": stage.hub.base_url,
            "client_id": stage.cast["subscriber"]["client_id"],
            "client_secret_file": "subscriber.secret",
        },
        "handover": {"mode": "clerk"},
        "destinations": [
            {
                "destination_id": there["destination_id"],
                "decryption_key_files": ["decryption.json"],
                "signing_key_file": "signing.json",
            }
        ],
    }
    settings = ConnectorSettings.parse(document, folder)
    keys = load_keys(settings.destinations)
    return Connector(settings, keys=keys, catalog=SchemaCatalog.load(SCHEMAS), now=stage.clock)


def opened(cases: OwnCases, case_id, key) -> list[tuple[ReplyMessage, dict[str, bytes]]]:
    """What the authority wrote, each proven by the signed log before it is opened with the sender's own key."""
    found = []
    for reply in cases.replies(case_id):
        with cases.collect(case_id, reply.reply_id) as collected:
            content = collected.open([key])
            files = {each.filename: b"".join(each.chunks()) for each in content.attachments}
            found.append((ReplyMessage.read(content.data), files))
    return found


def test_a_case_from_the_application_to_the_decision(stage, rsa_pair):
    public, private = rsa_pair
    key = read_decryption_key(private)
    channel = {"fitConnect": {"processStandards": ["urn:x:y"], "encryptionPublicKey": public}}
    with serving(stage) as served:
        session = log_in(served.base_url, **stage.cast["sender"])
        door, cases = PlainDoor(session), OwnCases(session, issuer=stage.hub.base_url)
        applied = door.submit(
            Application(
                data=ANMELDUNG,
                media_type=MediaType.JSON,
                service=ANMELDEN,
                ars=WIESBADEN,
                metadata={"replyChannel": channel},
            )
        )
        connector = connector_of(stage, served.base_url)
        desk = connector.say.desk
        assert connector.run_once(stage.clock()).accepted == 0
        assert cases.show(applied.case_id).submissions[0].state is State.SUBMITTED

        # Asked back before anything is decided.
        question = wish(applied.submission_id, text="Wo ist die Bestätigung?", files=(pdf("Muster.pdf"),))
        desk.reply(question, who="anna")
        connector.run_once(stage.clock())
        ((asked, files),) = opened(cases, applied.case_id, key)
        assert (asked.kind, asked.deadline, asked.about) == ("question", DEADLINE, applied.submission_id)
        assert list(files) == ["Muster.pdf"]

        # Answered with a file; it comes into the same case, and the clerk sees it.
        (reply,) = cases.replies(applied.case_id)
        cases.acknowledge(applied.case_id, reply.reply_id)
        answer = CaseMessage(kind=CaseMessageKind.ANSWER, about=reply.reply_id, text="Hier ist sie.")
        enclosed = Attachment(open=lambda: io.BytesIO(b"%PDF Plan"), filename="Plan.pdf", media_type="application/pdf")
        stage.clock.pass_(minutes=1)
        door.submit(
            Application.in_case(answer, applied.case_id, service=ANMELDEN, ars=WIESBADEN, attachments=[enclosed])
        )
        connector.run_once(stage.clock())
        (row,) = desk.book.cases(CaseQuery(), offset=0, limit=10)[0]
        assert (row.messages, row.deadline) == (2, None)
        first, second = desk.book.submissions(applied.case_id)
        assert [each.file_name for each in desk.open(second).attachments] == ["Plan.pdf"]

        # Accepted, then decided with a file.
        for each in (first, second):
            desk.accept(each.submission_id, who="anna")
        desk.reply(
            wish(first.submission_id, kind="decision", text="Genehmigt.", deadline=None, files=(pdf(),)), who="anna"
        )
        assert connector.run_once(stage.clock()).accepted == 2
        decision, files = opened(cases, applied.case_id, key)[-1]
        assert (decision.kind, decision.text, files) == ("decision", "Genehmigt.", {"Bescheid.pdf": pdf().content})
        assert {each.state for each in cases.show(applied.case_id).submissions} == {State.ACCEPTED}
        connector.close()
    assert stage.clock() > NOW
