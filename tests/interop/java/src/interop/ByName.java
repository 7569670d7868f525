package interop;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Calls what the SDK's lines name or place differently (status, routing, large attachments), so that one program drives both.
 * Everything that has the same name in both lines is called directly.
 */
final class ByName {

    private ByName() {
    }

    /** Loads the first class of {@code names} that this SDK line has. */
    static Class<?> type(String... names) {
        for (String name : names) {
            try {
                return Class.forName(name);
            } catch (ClassNotFoundException e) {
                continue;
            }
        }
        throw new Missing("this SDK line has none of " + List.of(names));
    }

    /** Calls the first of the comma-separated {@code names} on {@code target} that takes {@code arguments}. */
    static Object call(Object target, String names, Object... arguments) {
        Method method = Arrays.stream(names.split(","))
                .flatMap(name -> find(target.getClass(), name, false, arguments).stream())
                .findFirst()
                .orElseThrow(() -> new Missing(target.getClass().getName() + " has none of " + names));
        return invoke(method, target, arguments);
    }

    /** Tells whether {@code target} has a method {@code name} without parameters. */
    static boolean has(Object target, String name) {
        return find(target.getClass(), name, false).isPresent();
    }

    /** Calls a static method, or returns empty where this SDK line has none that takes {@code arguments}. */
    static Optional<Object> callStatic(Class<?> type, String name, Object... arguments) {
        return find(type, name, true, arguments).map(method -> invoke(method, null, arguments));
    }

    private static Optional<Method> find(Class<?> type, String name, boolean isStatic, Object... arguments) {
        return Arrays.stream(type.getMethods())
                .filter(method -> method.getName().equals(name))
                .filter(method -> Modifier.isStatic(method.getModifiers()) == isStatic)
                .filter(method -> accepts(method.getParameterTypes(), arguments))
                .findFirst();
    }

    private static boolean accepts(Class<?>[] parameters, Object... arguments) {
        if (parameters.length != arguments.length) {
            return false;
        }
        for (int i = 0; i < parameters.length; i++) {
            boolean isInt = parameters[i] == int.class && arguments[i] instanceof Integer;
            if (!isInt && !parameters[i].isInstance(arguments[i])) {
                return false;
            }
        }
        return true;
    }

    private static Object invoke(Method method, Object target, Object... arguments) {
        try {
            method.setAccessible(true);
            return method.invoke(target, arguments);
        } catch (InvocationTargetException e) {
            // The SDK's own exception is what a test wants to see.
            throw e.getCause() instanceof RuntimeException cause ? cause : new IllegalStateException(e.getCause());
        } catch (IllegalAccessException e) {
            throw new IllegalStateException(e);
        }
    }
}
