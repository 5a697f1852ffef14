// Holds objects of operators (JSON on standard input, a list) against the operators' own schemas: their values here, and in
// custom.ts, which `tsc` reads next, their keys.

import { readFileSync, writeFileSync } from "node:fs";

const packages = {
  "external-secrets.io": "@kubernetes-models/external-secrets",
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

let failed = false;
const lines = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const { apiVersion, kind } = object;
  const path = `${packages[apiVersion.split("/")[0]]}/${apiVersion}/${kind}`;
  const model = (await import(path))[kind];
  try {
    new model(object).validate();
  } catch (error) {
    failed = true;
    console.error(`${kind} ${object.metadata.name}: ${error.message}`);
  }
  const type = `import("${path}").I${kind}`;
  lines.push(`export const object${lines.length}: ${type} = ${JSON.stringify(object, null, 2)};`);
}
if (lines.length === 0) throw new Error("no objects");
writeFileSync("custom.ts", lines.join("\n"));
process.exit(failed ? 1 : 0);
