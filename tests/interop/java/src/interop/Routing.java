package interop;

import dev.fitko.fitconnect.client.RouterClient;
import dev.fitko.fitconnect.client.bootstrap.ApplicationConfigLoader;
import dev.fitko.fitconnect.client.bootstrap.ClientFactory;

import java.util.Collection;
import java.util.List;

/** The look-up of areas and destinations; the SDK checks the signatures of what it finds. */
final class Routing {

    /** {@code config words} */
    Facts areas(Step step) {
        Object areas = ByName.call(client(step), "findAreas", step.list("words"), 0, 10);
        List<Facts> found = ((Collection<?>) areas).stream()
                .map(area -> new Facts()
                        .put("id", ByName.call(area, "getId").toString())
                        .put("name", ByName.call(area, "getName").toString()))
                .toList();
        return new Facts().put("areas", found);
    }

    /** {@code config service ars}, the service as its bare 14 digits. */
    Facts destinations(Step step) {
        Object search = ByName.callStatic(search(), "Builder")
                .or(() -> ByName.callStatic(search(), "builder"))
                .orElseThrow();
        search = ByName.call(search, "withLeikaKey", step.text("service"));
        search = ByName.call(search, "withArs", step.text("ars"));
        search = ByName.call(search, "withLimit", 10);
        Object routes = ByName.call(client(step), "findDestinations", ByName.call(search, "build"));
        List<String> ids = ((Collection<?>) routes).stream()
                .map(route -> ByName.call(route, "getDestinationId").toString())
                .toList();
        return new Facts().put("destination_ids", ids);
    }

    private static Class<?> search() {
        return ByName.type(
                "dev.fitko.fitconnect.api.domain.routing.DestinationSearch",
                "dev.fitko.fitconnect.api.domain.model.route.DestinationSearch",
                "dev.fitko.fitconnect.client.router.DestinationSearch");
    }

    private static RouterClient client(Step step) {
        return ClientFactory.createRouterClient(ApplicationConfigLoader.loadConfigFromPath(step.path("config")));
    }
}
