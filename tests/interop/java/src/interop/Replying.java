package interop;

import dev.fitko.fitconnect.client.SubscriberClient;
import dev.fitko.fitconnect.client.bootstrap.ApplicationConfigLoader;
import dev.fitko.fitconnect.client.bootstrap.ClientFactory;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.util.UUID;

/** The authority answers in a case, where the SDK line offers that; its users show the first steps of the builder only. */
final class Replying {

    /** {@code config data schema key}: key is the online service's public JWK, as its metadata would name it. */
    Facts reply(Step step, UUID caseId) throws IOException {
        try {
            Object reply = sent(step, caseId);
            return new Facts().put("case_id", caseId).put("reply_id", ByName.call(reply, "getReplyId"));
        } catch (Missing e) {
            return new Facts().put("unsupported", e.getMessage());
        }
    }

    private static Object sent(Step step, UUID caseId) throws IOException {
        Class<?> sendable = ByName.type(
                "dev.fitko.fitconnect.api.domain.sender.SendableReply",
                "dev.fitko.fitconnect.api.domain.subscriber.SendableReply",
                "dev.fitko.fitconnect.api.domain.model.reply.SendableReply");
        Object key = ByName.callStatic(ByName.type("com.nimbusds.jose.jwk.JWK"), "parse", Files.readString(step.path("key")))
                .orElseThrow(() -> new Missing("JWK.parse"));
        Object builder = ByName.callStatic(sendable, "forCase", caseId)
                .orElseThrow(() -> new Missing("SendableReply.forCase"));
        builder = ByName.call(builder, "setReplyEncryptionKey", key);
        builder = ByName.call(builder, "setJsonData", Files.readString(step.path("data")), URI.create(step.text("schema")));
        return ByName.call(client(step), "sendReply,send", ByName.call(builder, "build"));
    }

    private static SubscriberClient client(Step step) {
        return ClientFactory.createSubscriberClient(ApplicationConfigLoader.loadConfigFromPath(step.path("config")));
    }
}
