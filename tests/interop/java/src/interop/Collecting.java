package interop;

import dev.fitko.fitconnect.api.domain.model.attachment.Attachment;
import dev.fitko.fitconnect.api.domain.model.event.problems.Problem;
import dev.fitko.fitconnect.api.domain.model.event.problems.data.DataSchemaViolation;
import dev.fitko.fitconnect.api.domain.model.submission.SubmissionForPickup;
import dev.fitko.fitconnect.api.domain.subscriber.ReceivedSubmission;
import dev.fitko.fitconnect.api.domain.validation.ValidationResult;
import dev.fitko.fitconnect.client.SubscriberClient;
import dev.fitko.fitconnect.client.bootstrap.ApplicationConfigLoader;
import dev.fitko.fitconnect.client.bootstrap.ClientFactory;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** The specialist system: lists, collects (the SDK verifies log, tags, hashes and metadata), accepts or rejects. */
final class Collecting {

    private final Map<Path, SubscriberClient> clients = new HashMap<>();

    /** {@code config destination} */
    Facts list(Step step) {
        List<Facts> waiting = new ArrayList<>();
        for (SubmissionForPickup pickup : waiting(step)) {
            waiting.add(new Facts()
                    .put("submission_id", pickup.getSubmissionId())
                    .put("case_id", pickup.getCaseId())
                    .put("destination_id", pickup.getDestinationId()));
        }
        return new Facts().put("waiting", waiting);
    }

    /** {@code config outcome}, outcome is accept, reject or leave. */
    Facts collect(Step step, UUID submission) throws IOException {
        return settled(client(step).requestSubmission(submission), step.text("outcome"));
    }

    /** {@code config destination outcome}: everything that waits, whoever sent it; what cannot be read stands as an error. */
    Facts drain(Step step) {
        List<Facts> collected = new ArrayList<>();
        for (SubmissionForPickup pickup : waiting(step)) {
            collected.add(drained(step, pickup.getSubmissionId()));
        }
        return new Facts().put("collected", collected);
    }

    private Facts drained(Step step, UUID submission) {
        try {
            return collect(step, submission);
        } catch (IOException | RuntimeException e) {
            return new Facts().put("submission_id", submission).put("error", String.valueOf(e.getMessage()));
        }
    }

    /** {@code config hmac timestamp body secret} */
    Facts callback(Step step) {
        ValidationResult result = client(step).validateCallback(
                step.text("hmac"), Long.parseLong(step.text("timestamp")), step.text("body"), step.text("secret"));
        return new Facts().put("valid", result.isValid());
    }

    private static Facts settled(ReceivedSubmission received, String outcome) throws IOException {
        Facts facts = facts(received);
        switch (outcome) {
            case "accept" -> received.acceptSubmission();
            case "reject" -> received.rejectSubmission(List.<Problem>of(new DataSchemaViolation()));
            case "leave" -> { }
            default -> throw new IllegalArgumentException("unknown outcome " + outcome);
        }
        return facts.put("outcome", outcome);
    }

    private static Facts facts(ReceivedSubmission received) throws IOException {
        List<Facts> attachments = new ArrayList<>();
        for (Attachment attachment : received.getAttachments()) {
            byte[] content = content(attachment);
            attachments.add(new Facts()
                    .put("name", attachment.getFileName())
                    .put("size", content.length)
                    .put("sha512", Facts.sha512(content)));
        }
        return new Facts()
                .put("submission_id", received.getSubmissionId())
                .put("case_id", received.getCaseId())
                .put("media_type", received.getDataMimeType())
                .put("schema", received.getDataSchemaUri())
                .put("service", received.getServiceType().getIdentifier())
                .put("sha512", Facts.sha512(received.getDataAsString()))
                .put("attachments", attachments);
    }

    private static byte[] content(Attachment attachment) throws IOException {
        if (!attachment.isLargeAttachment()) {
            return attachment.getDataAsBytes();
        }
        try (InputStream stream = attachment.getDataAsInputStream()) {
            return stream.readAllBytes();
        }
    }

    private Iterable<SubmissionForPickup> waiting(Step step) {
        return client(step).getAvailableSubmissionsForDestination(step.uuid("destination"), 0, 100);
    }

    /** A client holds one destination's keys, hence one client for each configuration. */
    private SubscriberClient client(Step step) {
        return clients.computeIfAbsent(step.path("config"), path ->
                ClientFactory.createSubscriberClient(ApplicationConfigLoader.loadConfigFromPath(path)));
    }
}
