package interop;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** One line of the steps file: the step's kind, then {@code name=value} pairs, all separated by tabs. */
record Step(String kind, Map<String, String> values) {

    static Step parse(String line) {
        String[] parts = line.split("\t");
        Map<String, String> values = new LinkedHashMap<>();
        Arrays.stream(parts).skip(1).map(pair -> pair.split("=", 2)).forEach(pair -> values.put(pair[0], pair[1]));
        return new Step(parts[0], values);
    }

    boolean has(String name) {
        return values.containsKey(name);
    }

    String text(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("step " + kind + " lacks " + name);
        }
        return value;
    }

    UUID uuid(String name) {
        return UUID.fromString(text(name));
    }

    Path path(String name) {
        return Path.of(text(name));
    }

    /** Values separated by {@code |}; an absent name is an empty list. */
    List<String> list(String name) {
        return has(name) ? List.of(text(name).split("\\|")) : List.of();
    }
}
