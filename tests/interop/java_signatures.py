"""What public users of FIT-Connect's Java SDK call, as empty classes: enough to compile the program where no SDK can be had.

Facts: FIT-Connect's wire, section 16.4. Nothing of the SDK itself stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_IDS = "public java.util.UUID getSubmissionId() { return null; } public java.util.UUID getCaseId() { return null; }"
_MODEL = "dev.fitko.fitconnect.api.domain.model"
_BUILDER = f"""
public static Service Builder() {{ return null; }}
public interface Service {{ Kind setDestination(java.util.UUID destination); }}
public interface Kind {{ Data setServiceType(String identifier, String name); }}
public interface Data {{
    Last setJsonData(String data, java.net.URI schema);
    Last setXmlData(String data, java.net.URI schema);
}}
public interface Last {{ Last addAttachment({_MODEL}.attachment.Attachment attachment); SendableSubmission build(); }}
"""
#: Class -> what stands in its body.
_CLASSES: Mapping[str, str] = {
    "dev.fitko.fitconnect.api.config.ApplicationConfig": "",
    f"{_MODEL}.attachment.Attachment": """
        public static Attachment fromPath(java.nio.file.Path path, String mimeType) { return null; }
        public String getFileName() { return null; }
        public boolean isLargeAttachment() { return false; }
        public byte[] getDataAsBytes() { return null; }
        public java.io.InputStream getDataAsInputStream() { return null; }
    """,
    f"{_MODEL}.submission.SentSubmission": f"{_IDS} public java.util.UUID getDestinationId() {{ return null; }}",
    f"{_MODEL}.submission.SubmissionForPickup": f"{_IDS} public java.util.UUID getDestinationId() {{ return null; }}",
    f"{_MODEL}.submission.ServiceType": "public String getIdentifier() { return null; }",
    f"{_MODEL}.event.problems.Problem": "",
    f"{_MODEL}.event.problems.data.DataSchemaViolation extends {_MODEL}.event.problems.Problem": "",
    "dev.fitko.fitconnect.api.domain.sender.SendableSubmission": _BUILDER,
    "dev.fitko.fitconnect.api.domain.validation.ValidationResult": "public boolean isValid() { return false; }",
    "dev.fitko.fitconnect.api.domain.subscriber.ReceivedSubmission": f"""
        {_IDS}
        public void acceptSubmission() {{ }}
        public void rejectSubmission(java.util.List<{_MODEL}.event.problems.Problem> problems) {{ }}
        public String getDataMimeType() {{ return null; }}
        public java.net.URI getDataSchemaUri() {{ return null; }}
        public String getDataAsString() {{ return null; }}
        public {_MODEL}.submission.ServiceType getServiceType() {{ return null; }}
        public java.util.List<{_MODEL}.attachment.Attachment> getAttachments() {{ return null; }}
    """,
    "dev.fitko.fitconnect.client.SenderClient": f"""
        public {_MODEL}.submission.SentSubmission send(
                dev.fitko.fitconnect.api.domain.sender.SendableSubmission submission) {{ return null; }}
    """,
    "dev.fitko.fitconnect.client.SubscriberClient": f"""
        public dev.fitko.fitconnect.api.domain.subscriber.ReceivedSubmission requestSubmission(java.util.UUID id) {{
            return null; }}
        public java.util.Set<{_MODEL}.submission.SubmissionForPickup> getAvailableSubmissionsForDestination(
                java.util.UUID destination, int offset, int limit) {{ return null; }}
        public dev.fitko.fitconnect.api.domain.validation.ValidationResult validateCallback(
                String hmac, Long timestamp, String body, String secret) {{ return null; }}
    """,
    "dev.fitko.fitconnect.client.RouterClient": "",
    "dev.fitko.fitconnect.client.bootstrap.ApplicationConfigLoader": """
        public static dev.fitko.fitconnect.api.config.ApplicationConfig loadConfigFromPath(java.nio.file.Path path) {
            return null; }
    """,
    "dev.fitko.fitconnect.client.bootstrap.ClientFactory": "".join(
        f"public static dev.fitko.fitconnect.client.{kind}Client create{kind}Client("
        "dev.fitko.fitconnect.api.config.ApplicationConfig config) { return null; }\n"
        for kind in ("Sender", "Subscriber", "Router")
    ),
}


def write(folder: Path) -> list[Path]:
    """Write one source file for each class under ``folder``; return them."""
    written = []
    for head, body in _CLASSES.items():
        full, _, ancestor = head.partition(" ")
        package, _, name = full.rpartition(".")
        file = folder / full.replace(".", "/")
        file = file.with_suffix(".java")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"package {package};\npublic class {name} {ancestor} {{\n{body}\n}}\n")
        written.append(file)
    return written
