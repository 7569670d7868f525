package interop;

import dev.fitko.fitconnect.api.config.ApplicationConfig;
import dev.fitko.fitconnect.api.domain.model.attachment.Attachment;
import dev.fitko.fitconnect.api.domain.model.submission.SentSubmission;
import dev.fitko.fitconnect.api.domain.sender.SendableSubmission;
import dev.fitko.fitconnect.client.SenderClient;
import dev.fitko.fitconnect.client.bootstrap.ApplicationConfigLoader;
import dev.fitko.fitconnect.client.bootstrap.ClientFactory;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/** The online service: sends and reads the state of what it sent. */
final class Sending {

    private final Map<String, SentSubmission> sent = new HashMap<>();
    private SenderClient client;

    /** {@code config label destination service name schema format data [attachments] [large]} */
    Facts send(Step step) throws IOException {
        var afterService = SendableSubmission.Builder()
                .setDestination(step.uuid("destination"))
                .setServiceType(step.text("service"), step.text("name"));
        String data = Files.readString(step.path("data"));
        URI schema = URI.create(step.text("schema"));
        var optional = step.text("format").equals("xml")
                ? afterService.setXmlData(data, schema)
                : afterService.setJsonData(data, schema);
        for (String attachment : step.list("attachments")) {
            optional = optional.addAttachment(Attachment.fromPath(Path.of(attachment), "application/pdf"));
        }
        for (String attachment : step.list("large")) {
            Optional<Attachment> large = large(Path.of(attachment));
            if (large.isEmpty()) {
                return new Facts().put("unsupported", "large attachments");
            }
            optional = optional.addAttachment(large.get());
        }
        SentSubmission submission = client(step).send(optional.build());
        sent.put(step.text("label"), submission);
        return new Facts()
                .put("submission_id", submission.getSubmissionId())
                .put("case_id", submission.getCaseId())
                .put("destination_id", submission.getDestinationId());
    }

    /** The submission that was sent under {@code label}. */
    UUID id(String label) {
        return sent.get(label).getSubmissionId();
    }

    /** The case of what was sent under {@code label}. */
    UUID caseOf(String label) {
        return sent.get(label).getCaseId();
    }

    /** {@code config label} */
    Facts status(Step step) {
        Object status = ByName.call(
                client(step), "getSubmissionStatus,getStatusForSubmission", sent.get(step.text("label")));
        Object state = ByName.call(status, "getState,getStatus");
        String name = state instanceof Enum<?> member ? member.name() : state.toString();
        return new Facts().put("state", name).put("problems", problems(status));
    }

    private static List<String> problems(Object status) {
        if (ByName.has(status, "getProblems") && ByName.call(status, "getProblems") instanceof Collection<?> problems) {
            return problems.stream().map(problem -> ByName.call(problem, "getType").toString()).toList();
        }
        return List.of();
    }

    private static Optional<Attachment> large(Path path) throws IOException {
        String name = path.getFileName().toString();
        Object[][] shapes = {
            {path, "application/pdf", name, name},
            {path, "application/pdf"},
            {Files.newInputStream(path), "application/pdf", name, name},
            {Files.newInputStream(path), "application/pdf"},
        };
        for (Object[] shape : shapes) {
            Optional<Object> attachment = ByName.callStatic(Attachment.class, "fromLargeAttachment", shape);
            if (attachment.isPresent()) {
                return attachment.map(Attachment.class::cast);
            }
        }
        return Optional.empty();
    }

    private SenderClient client(Step step) {
        if (client == null) {
            ApplicationConfig config = ApplicationConfigLoader.loadConfigFromPath(step.path("config"));
            client = ClientFactory.createSenderClient(config);
        }
        return client;
    }
}
