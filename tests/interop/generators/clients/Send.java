import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.reflect.TypeToken;
import java.io.File;
import java.io.InputStreamReader;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.ApplicationsApi;
import org.openapitools.client.model.AcceptedApplication;

/** Submits by the client that openapi-generator's java made: JSON, and in parts XML and an attachment. */
public class Send {
    public static void main(String[] arguments) throws Exception {
        Gson gson = new Gson();
        JsonObject plan = gson.fromJson(new InputStreamReader(System.in, "UTF-8"), JsonObject.class);
        Map<String, Object> dog = gson.fromJson(plan.get("dog"), new TypeToken<Map<String, Object>>() {}.getType());
        ApiClient client = new ApiClient();
        client.setBasePath(text(plan, "base_url"));
        client.setAccessToken(text(plan, "token"));
        ApplicationsApi api = new ApplicationsApi(client);
        AcceptedApplication inJson = api.applicationsCreate(
            text(plan, "dogService"), dog, text(plan, "dogArs"), null, null, null, null, null, "java-1", null, null);
        AcceptedApplication inParts = api.applicationsCreateParts(
            text(plan, "houseService"), new File(text(plan, "house")), text(plan, "houseArs"), null, null, null, null,
            null, null, null, null, null, List.of(new File(text(plan, "plot"))));
        JsonObject done = new JsonObject();
        done.addProperty("json", inJson.getSubmissionId().toString());
        done.addProperty("parts", inParts.getSubmissionId().toString());
        done.addProperty("state", api.applicationsStatus(inJson.getSubmissionId()).getState().getValue());
        done.addProperty("valid", api.validationsCreate(dog, null, text(plan, "dogService")).getValid());
        System.out.println(gson.toJson(done));
        System.exit(0); // The client keeps its threads for a minute.
    }

    private static String text(JsonObject plan, String name) {
        return plan.get(name).getAsString();
    }
}
