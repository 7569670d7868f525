package interop;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Takes a file of steps and prints one line of JSON for each; the first step that throws ends the run with exit code 1. */
public final class Run {

    private final Sending sending = new Sending();
    private final Collecting collecting = new Collecting();
    private final Replying replying = new Replying();
    private final Routing routing = new Routing();

    private Run() {
    }

    public static void main(String[] arguments) throws IOException {
        // The SDK's log goes to standard output; the facts keep a stream of their own.
        PrintStream facts = System.out;
        System.setOut(System.err);
        Run run = new Run();
        for (String line : Files.readAllLines(Path.of(arguments[0]), StandardCharsets.UTF_8)) {
            if (!run.print(Step.parse(line), facts)) {
                System.exit(1);
            }
        }
        // The SDK's HTTP client keeps threads alive for a minute.
        System.exit(0);
    }

    private boolean print(Step step, PrintStream out) {
        try {
            out.println(take(step).put("step", step.kind()).json());
            return true;
        } catch (IOException | RuntimeException e) {
            e.printStackTrace();
            out.println(new Facts().put("step", step.kind()).put("error", e.getClass().getName())
                    .put("message", String.valueOf(e.getMessage())).json());
            return false;
        }
    }

    private Facts take(Step step) throws IOException {
        return switch (step.kind()) {
            case "send" -> sending.send(step);
            case "status" -> sending.status(step);
            case "list" -> collecting.list(step);
            case "collect" -> collecting.collect(
                    step, step.has("label") ? sending.id(step.text("label")) : step.uuid("submission"));
            case "drain" -> collecting.drain(step);
            case "reply" -> replying.reply(step, sending.caseOf(step.text("label")));
            case "callback" -> collecting.callback(step);
            case "areas" -> routing.areas(step);
            case "destinations" -> routing.destinations(step);
            default -> throw new IllegalArgumentException("unknown step " + step.kind());
        };
    }
}
