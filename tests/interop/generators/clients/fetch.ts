// Submits by the client that openapi-generator's typescript-fetch made: JSON, and in parts XML and an attachment.
import { ApplicationsApi, Configuration } from "./src";

declare function require(name: string): any;
const fs = require("fs");

async function main() {
    const plan = JSON.parse(fs.readFileSync(0, "utf8"));
    const api = new ApplicationsApi(
        new Configuration({ basePath: plan.base_url, accessToken: "Bearer " + plan.token }),
    );
    const inJson = await api.applicationsCreate({
        service: plan.dogService, ars: plan.dogArs, requestBody: plan.dog, idempotencyKey: "fetch-1",
    });
    const inParts = await api.applicationsCreateParts({
        service: plan.houseService,
        ars: plan.houseArs,
        data: new Blob([fs.readFileSync(plan.house)], { type: "application/xml" }),
        attachment: [new Blob([fs.readFileSync(plan.plot)], { type: "application/pdf" })],
    });
    const progress = await api.applicationsStatus({ submissionId: inJson.submissionId });
    const report = await api.validationsCreate({ requestBody: plan.dog, service: plan.dogService });
    console.log(JSON.stringify({
        json: inJson.submissionId, parts: inParts.submissionId, state: progress.state, valid: report.valid,
    }));
}

main();
