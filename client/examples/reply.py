"""A conversation: the sender names a key for replies, the authority answers into the same case, the sender opens the answer.

python reply.py data/demo.json TRUST-ANCHOR.pem
"""

import json
import sys
from pathlib import Path
from uuid import UUID

from hub.client.contents import Message
from hub.client.fit_connect import SUBMISSION_API, Sender, Subscriber
from hub.client.session import log_in
from hub.crypto import KeyPolicy, judge_encryption_key, make_rsa_pair, read_decryption_key
from hub.model import MediaType, Service, utc_now

demo = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
hub, reserved = demo["base_url"], demo["reserved_for_tests"]
issuers = frozenset({hub})
sender = Sender(log_in(hub, **demo["sender"], api=SUBMISSION_API), issuers=issuers)
subscriber = Subscriber(log_in(hub, **reserved["subscriber"], api=SUBMISSION_API), issuers=issuers)

# The online service asks. The key for the answer is this conversation's own and needs no certificate.
public, private = make_rsa_pair("encryption")
channel = {"fitConnect": {"processStandards": ["urn:example:bescheid"], "encryptionPublicKey": public}}
destination = sender.destination(UUID(reserved["destination_id"]))
key = sender.encryption_key(destination, policy=KeyPolicy.from_files([Path(sys.argv[2])], allow_self_signed=False))
schema = destination.services[0]["submissionSchemas"][0]["schemaUri"]
question = Message(
    data=b'{"frage": 1}', media_type=MediaType.JSON, schema_uri=schema, metadata={"replyChannel": channel}
)
service = Service(identifier=destination.services[0]["identifier"])
sent = sender.send(question, destination=destination, key=key, service=service)

# The authority collects, finds the key in the metadata and answers.
with subscriber.collect(sent.message) as collected:
    subscriber.verify(collected)
    opened = collected.open([read_decryption_key(reserved["private_decryption_jwk"])])
jwk = opened.metadata["replyChannel"]["fitConnect"]["encryptionPublicKey"]
reply_key = judge_encryption_key(jwk, now=utc_now(), policy=KeyPolicy(), require_x5c=False)
answer = Message(data=b'{"antwort": 2}', media_type=MediaType.JSON, schema_uri=schema)
subscriber.write_reply(sent.message.case_id, answer, reply_key)

# The online service looks for replies.
for reply in sender.replies(sent.message.case_id):
    with sender.collect_reply(reply) as collected:
        sender.verify(collected)
        print(collected.open([read_decryption_key(private)]).data)
