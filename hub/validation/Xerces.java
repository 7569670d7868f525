import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.xml.XMLConstants;
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.Schema;
import javax.xml.validation.SchemaFactory;
import javax.xml.validation.ValidatorHandler;
import org.apache.xerces.dom.DOMInputImpl;
import org.apache.xerces.jaxp.validation.XMLSchemaFactory;
import org.apache.xerces.parsers.SAXParser;
import org.apache.xerces.util.SecurityManager;
import org.w3c.dom.ls.LSInput;
import org.xml.sax.ErrorHandler;
import org.xml.sax.InputSource;
import org.xml.sax.SAXException;
import org.xml.sax.SAXParseException;

/**
 * Judges documents by schemas, both of which come over standard input; one line of answer for each.
 *
 * <p>It opens no file and no connection: what a schema refers to is among the documents that came with it, or refused.
 *
 * <p>Questions (numbers of four bytes, big-endian; texts and contents after their length): {@code S}, how many documents, each
 * of them (the first is the schema's own), how many references, and for each the number of its document, the location as it
 * is written there, and the number of what it means; or {@code D}, the number of a schema, the document's length in eight
 * bytes, and the document.
 */
public final class Xerces {
    private static final String FEATURES = "http://apache.org/xml/features/";
    private static final String SAX = "http://xml.org/sax/features/";
    private static final String BASE = "hub://closure/";
    /** Rules that are named of one document. */
    private static final int NAMED = 20;
    /** Particles that a content model may unfold into: more than official schemas need, and the memory still bounds them. */
    private static final int NODES = 20_000;
    /** Entities that a schema's own document type may unfold into; the W3C's schemas have some. */
    private static final int ENTITIES = 1_000;
    private static final Pattern RULE = Pattern.compile("^([A-Za-z][A-Za-z0-9._-]{1,60}):");

    private final DataInputStream questions;
    private final PrintStream answers;
    private final String language;
    private final List<Schema> schemas = new ArrayList<>();

    private Xerces(InputStream questions, PrintStream answers, String language) {
        this.questions = new DataInputStream(new BufferedInputStream(questions, 65_536));
        this.answers = answers;
        this.language = language;
    }

    public static void main(String[] arguments) throws IOException {
        URL.setURLStreamHandlerFactory(protocol -> switch (protocol) {
            case "http", "https", "ftp", "file", "mailto", "hub" -> new Shut();
            default -> null;
        });
        PrintStream answers = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        new Xerces(System.in, answers, arguments[0]).serve();
    }

    private void serve() throws IOException {
        say("ready");
        for (int kind = questions.read(); kind >= 0; kind = questions.read()) {
            if (kind == 'S') {
                say(takeSchema());
            } else {
                say(judge());
            }
        }
    }

    private void say(String line) {
        answers.print(line.replaceAll("[\\r\\n]+", " ") + "\n");
        answers.flush();
    }

    private String takeSchema() throws IOException {
        Closure closure = new Closure();
        for (int left = questions.readInt(); left > 0; left--) {
            closure.documents.add(content());
        }
        for (int left = questions.readInt(); left > 0; left--) {
            String reference = Closure.key(String.valueOf(questions.readInt()), text());
            closure.meant.put(reference, questions.readInt());
        }
        schemas.add(null);
        try {
            SchemaFactory factory = factory();
            factory.setFeature(XMLConstants.FEATURE_SECURE_PROCESSING, true);
            factory.setProperty("http://apache.org/xml/properties/security-manager", bounds(ENTITIES));
            factory.setFeature(FEATURES + "honour-all-schemaLocations", true);
            factory.setResourceResolver(closure);
            Complaints complaints = new Complaints();
            factory.setErrorHandler(complaints);
            StreamSource source = new StreamSource(new ByteArrayInputStream(closure.documents.get(0)), BASE + 0);
            Schema schema = factory.newSchema(source);
            if (complaints.first != null) {
                return "refused\t" + complaints.first;
            }
            schemas.set(schemas.size() - 1, schema);
            return "taken";
        } catch (SAXException | RuntimeException | StackOverflowError | OutOfMemoryError error) {
            return "refused\t" + error;
        }
    }

    private SchemaFactory factory() {
        if (language.equals("1.0")) {
            return new XMLSchemaFactory();
        }
        // Only editions with XML Schema 1.1 have it.
        return SchemaFactory.newInstance(
            "http://www.w3.org/XML/XMLSchema/v1.1", "org.apache.xerces.jaxp.validation.XMLSchema11Factory", null);
    }

    private static SecurityManager bounds(int entities) {
        SecurityManager bounds = new SecurityManager();
        bounds.setEntityExpansionLimit(entities);
        bounds.setMaxOccurNodeLimit(NODES);
        return bounds;
    }

    private String judge() throws IOException {
        Schema schema = schemas.get(questions.readInt());
        Counted document = new Counted(questions, questions.readLong());
        try {
            SAXParser parser = new SAXParser();
            parser.setFeature(FEATURES + "disallow-doctype-decl", true);
            parser.setFeature(FEATURES + "nonvalidating/load-external-dtd", false);
            parser.setFeature(SAX + "external-general-entities", false);
            parser.setFeature(SAX + "external-parameter-entities", false);
            parser.setProperty("http://apache.org/xml/properties/security-manager", bounds(1));
            parser.setEntityResolver((publicId, systemId) -> { throw new SAXException("an external entity"); });
            Complaints complaints = new Complaints();
            ValidatorHandler handler = schema.newValidatorHandler();
            handler.setErrorHandler(complaints);
            handler.setResourceResolver((type, namespace, publicId, systemId, base) -> { throw new IllegalStateException("closed"); });
            parser.setErrorHandler(complaints);
            parser.setContentHandler(handler);
            parser.parse(new InputSource(document));
            return (complaints.total == 0 ? "valid" : "invalid") + complaints.named;
        } catch (SAXParseException error) {
            return "unreadable\t" + error.getLineNumber() + " unreadable";
        } catch (SAXException | RuntimeException | IOException | StackOverflowError | OutOfMemoryError error) {
            // Its text may hold what the document holds.
            return "failed\t" + error.getClass().getSimpleName();
        } finally {
            document.drain();
        }
    }

    private byte[] content() throws IOException {
        byte[] content = new byte[questions.readInt()];
        questions.readFully(content);
        return content;
    }

    private String text() throws IOException {
        return new String(content(), StandardCharsets.UTF_8);
    }

    /** Counts what is complained of, and keeps rules and lines; words that hold values are left out. */
    private static final class Complaints implements ErrorHandler {
        private final StringBuilder named = new StringBuilder();
        private int total;
        private String first;

        @Override
        public void warning(SAXParseException error) {
            // Not a verdict.
        }

        @Override
        public void error(SAXParseException error) {
            total++;
            first = first == null ? String.valueOf(error.getMessage()) : first;
            if (total <= NAMED) {
                Matcher rule = RULE.matcher(String.valueOf(error.getMessage()));
                named.append('\t').append(error.getLineNumber()).append(' ').append(rule.find() ? rule.group(1) : "unnamed");
            }
        }

        @Override
        public void fatalError(SAXParseException error) throws SAXException {
            throw error;
        }
    }

    /** The documents of one schema, and what their references mean. */
    private static final class Closure implements org.w3c.dom.ls.LSResourceResolver {
        private final List<byte[]> documents = new ArrayList<>();
        private final Map<String, Integer> meant = new HashMap<>();

        private static String key(String document, String location) {
            return document + "\n" + location;
        }

        @Override
        public LSInput resolveResource(String type, String namespace, String publicId, String systemId, String base) {
            if (XMLConstants.XML_DTD_NS_URI.equals(type)) {
                LSInput nothing = new DOMInputImpl();
                nothing.setByteStream(new ByteArrayInputStream(new byte[0]));
                return nothing;
            }
            if (systemId == null) {
                return null; // An import that names no place: another one does.
            }
            String document = base != null && base.startsWith(BASE) ? base.substring(BASE.length()) : "";
            Integer number = meant.get(key(document, systemId));
            if (number == null) {
                throw new IllegalStateException("outside the closure: " + systemId);
            }
            LSInput input = new DOMInputImpl();
            input.setSystemId(BASE + number);
            input.setBaseURI(BASE + number);
            input.setByteStream(new ByteArrayInputStream(documents.get(number)));
            return input;
        }
    }

    /** So many bytes of a stream, and not one more. */
    private static final class Counted extends InputStream {
        private final InputStream source;
        private long left;

        private Counted(InputStream source, long left) {
            this.source = source;
            this.left = left;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] target, int start, int most) throws IOException {
            if (left == 0) {
                return -1;
            }
            int read = source.read(target, start, (int) Math.min(most, left));
            if (read < 0) {
                throw new EOFException();
            }
            left -= read;
            return read;
        }

        private void drain() throws IOException {
            byte[] rest = new byte[65_536];
            while (read(rest, 0, rest.length) >= 0) {
                continue;
            }
        }
    }

    /** Opens nothing, whatever is asked for. */
    private static final class Shut extends URLStreamHandler {
        @Override
        protected URLConnection openConnection(URL address) throws IOException {
            throw new IOException("closed");
        }
    }
}
