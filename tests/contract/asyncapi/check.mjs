// node check.mjs FILE...: what the official AsyncAPI parser has to say of each file, as JSON.
import { readFileSync } from "node:fs";
import { DiagnosticSeverity } from "@stoplight/types";
import { Parser } from "@asyncapi/parser";

async function check(source) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(source, "utf8"), { source });
  const complaints = diagnostics
    .filter(({ severity }) => severity <= DiagnosticSeverity.Warning)
    .map(({ message, path }) => `${path.join("/")}: ${message}`);
  return { complaints, messages: document ? document.messages().map((message) => message.name()) : [] };
}

const said = [];
for (const file of process.argv.slice(2)) said.push(await check(file));
console.log(JSON.stringify(said));
