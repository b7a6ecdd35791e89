// Validates an AsyncAPI document and the Avro schemas in it: check.mjs FILE
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import avro from "avsc";

const text = readFileSync(process.argv[2], "utf8");
const { document, diagnostics } = await new Parser().parse(text);
// Severity 0 is an error, 1 a warning.
const wrong = diagnostics
  .filter(({ severity }) => severity <= 1)
  .map(({ message, path }) => `/${path.join("/")}: ${message}`);
// AsyncAPI's parser takes schemas of other formats as they are.
const messages = Object.entries(JSON.parse(text).components.messages);
for (const [name, { payload }] of messages.filter(([, { payload }]) => payload)) {
  try {
    avro.Type.forSchema(payload.schema);
  } catch (error) {
    wrong.push(`message ${name}: ${error.message}`);
  }
}
if (wrong.length > 0 || document === undefined) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`${document.channels().all().length} channels, ${messages.length} messages`);
