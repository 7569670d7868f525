"""The bench of the family ``fit_connect``: a delivery service as a sender sees it (Submission API, version 2)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import orjson

from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.http import WebBench, answer_in, says_yes
from hub.adapter_kit.receiver import Answer, Fault, Heard
from hub.adapter_kit.workshop import SECRET, Places, Workshop
from hub.model.submission import Package


class FitBench(WebBench):
    """Tokens, announcements, uploads and submissions; a trouble meets the last step, unless it belongs to an earlier."""

    def __init__(self, workshop: Workshop) -> None:
        self._open: dict[str, dict[str, bytes]] = {}
        self._announced: dict[str, list[str]] = {}
        self._submitted: dict[str, dict[str, Any]] = {}
        super().__init__(workshop)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the service into a trouble."""
        places = super().arrange(trouble, package)
        url = places["url"]
        return {
            **places,
            "submission_api": f"{url}/submission-api",
            "token_url": f"{url}/token",
            "client_id": "sender",
            "destination_id": str(package.submission.destination_id),
        }

    def play(self, heard: Heard) -> Answer | Fault:
        """Answer as the service does."""
        path = heard.path.removeprefix("/submission-api").strip("/").split("/")
        match heard.method, path:
            case "POST", ["token"]:
                return self._token(heard)
            case "POST", ["v2", "submissions"] if self._known(heard):
                return self._announce(heard)
            case "PUT", ["v2", "submissions", one, "attachments", name] if name in self._announced.get(one, []):
                self._open[one][name] = heard.body
                return Answer(status=204)
            case "PUT", ["v2", "submissions", one] if one in self._announced and self._known(heard):
                return self._submit(one, heard)
            case _, ["elsewhere"]:
                return Answer()
        return Answer(status=404)

    def copies(self, package: Package) -> int:
        """Count the whole submissions with these contents."""
        contents = package.submission.contents
        wanted = {
            "encryptedMetadata": (contents.metadata.jwe or b"").decode(),
            **({"encryptedData": (contents.data.jwe or b"").decode()} if contents.data else {}),
            "attachments": {str(key): sealed.jwe for key, sealed in contents.attachments.items()},
        }
        return sum(submitted == wanted for submitted in self._submitted.values())

    def strangers(self, packages: list[Package]) -> int:
        """Count the other submissions."""
        return len(self._submitted) - sum(self.copies(package) for package in packages)

    def _known(self, heard: Heard) -> bool:
        return heard.headers["Authorization"] == "Bearer good" and heard.headers["Content-Type"] == "application/json"

    def _token(self, heard: Heard) -> Answer:
        form = {name: values[0] for name, values in parse_qs(heard.body.decode()).items()}
        good = {"grant_type": "client_credentials", "client_id": "sender", "client_secret": SECRET}
        if self.trouble is Trouble.BAD_CREDENTIALS or form != good:
            return _json({"error": "invalid_client"}, 401)
        return _json({"access_token": "good", "token_type": "Bearer", "expires_in": 1800}, 200)

    def _announce(self, heard: Heard) -> Answer:
        if self.trouble is Trouble.RECIPIENT_CLOSED:
            return _json({"type": "problems/destination-state-invalid"}, 422)
        submission_id, body = str(uuid4()), orjson.loads(heard.body)
        self._announced[submission_id] = body["announcedAttachments"]
        self._open[submission_id] = {}
        return _json({"submissionId": submission_id, "caseId": str(uuid4())}, 201)

    def _submit(self, submission_id: str, heard: Heard) -> Answer | Fault:
        outcome = answer_in(self.trouble)
        # A reset or a hang comes after the service has done its work.
        if says_yes(outcome) or outcome is Fault.RESET or outcome is Fault.HANG:
            if set(self._open[submission_id]) != set(self._announced[submission_id]):
                return _json({"type": "problems/attachment-missing"}, 422)
            self._submitted[submission_id] = {**orjson.loads(heard.body), "attachments": self._open[submission_id]}
        return outcome


def _json(document: Any, status: int) -> Answer:
    return Answer(status=status, headers={"Content-Type": "application/json"}, body=orjson.dumps(document))
