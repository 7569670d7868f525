package interop;

/** This SDK line has no such class or method; whether that is a failure is for the step to say. */
final class Missing extends RuntimeException {

    private static final long serialVersionUID = 1L;

    Missing(String message) {
        super(message);
    }
}
