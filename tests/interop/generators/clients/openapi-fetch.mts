// Submits by openapi-fetch and the types that openapi-typescript made: JSON, XML, and in parts XML and an attachment.
import createClient from "openapi-fetch";
import type { paths } from "./hub.js";

declare const process: { getBuiltinModule(name: string): any };
const fs = process.getBuiltinModule("fs");
const plan = JSON.parse(fs.readFileSync(0, "utf8"));
const client = createClient<paths>({
    baseUrl: plan.base_url,
    headers: { Authorization: `Bearer ${plan.token}` },
});

function required<T>(answer: { data?: T; error?: unknown }): T {
    if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
    return answer.data;
}

const dog = { service: plan.dogService as string, ars: plan.dogArs as string };
const house = { service: plan.houseService as string, ars: plan.houseArs as string };
const xml: string = fs.readFileSync(plan.house, "utf8");
const inJson = required(await client.POST("/hub/v1/applications", {
    params: { query: dog, header: { "Idempotency-Key": "of-1" } }, body: plan.dog,
}));
const inXml = required(await client.POST("/hub/v1/applications", {
    params: { query: house }, body: xml, bodySerializer: (body) => body as string,
    headers: { "Content-Type": "application/xml" },
}));
const parts = new FormData();
parts.append("data", new Blob([xml], { type: "application/xml" }), "antrag.xml");
parts.append("attachment", new Blob([fs.readFileSync(plan.plot)], { type: "application/pdf" }), "lageplan.pdf");
const inParts = required(await client.POST("/hub/v1/applications/multipart", {
    params: { query: house }, body: { data: "" }, bodySerializer: () => parts,
}));
const progress = required(await client.GET("/hub/v1/applications/{submissionId}", {
    params: { path: { submissionId: inJson.submissionId } },
}));
const report = required(await client.POST("/hub/v1/validations", {
    params: { query: { service: dog.service } }, body: plan.dog,
}));
console.log(JSON.stringify({
    json: inJson.submissionId, xml: inXml.submissionId, parts: inParts.submissionId,
    state: progress.state, valid: report.valid,
}));
