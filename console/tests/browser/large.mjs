// How long pages about an organization of about 160,000 elements take in the browser, and how large they are.
// Not in CI: only a release build says something.
//   cargo build --release --workspace --example simulated
//   PROGRAMS=$PWD/target/release node target/browser/large.mjs      # after console/tests/browser/run

import assert from "node:assert/strict";
import { get, open, runAll } from "./browser.mjs";
import { start } from "./programs.mjs";

/** Longest time until a page is loaded (ms), the median of several. */
const LONGEST_MS = 300;
/** Largest page, with everything that it loads (bytes). */
const LARGEST = 200_000;
const TIMES = 5;

const program = start("examples/simulated", ["127.0.0.1:0", "large"]);
const base = await program.prints(/the console is at (\S+)/, 600_000);

/** Loads the page as a browser that was never there, and returns the time (ms) and the bytes. */
async function load(address) {
    const { page, close } = await open();
    await page.goto(address, { waitUntil: "load" });
    const [took, bytes] = await page.evaluate(() => {
        const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
        return [entries[0].loadEventStart, entries.reduce((sum, entry) => sum + entry.transferSize, 0)];
    });
    const all = page.locator("main a[href^='/access?']");
    const links = await all.evaluateAll((found) => found.map((it) => it.getAttribute("href")));
    await close();
    return { took, bytes, links };
}

/** The first link to a page about that. */
async function about(path, parameter) {
    const { links } = await load(`${base}${path}`);
    const found = links.find((link) => new URLSearchParams(link.split("?")[1]).has(parameter));
    assert.ok(found, `${path} has no link to a page about ${parameter}`);
    return found;
}

const workspace = await about("/access", "workspace");
const person = await about(workspace, "user");
const key = await about(workspace, "api_key");
const { as_of } = await get(base, workspace);
const pages = {
    "/": "/",
    "/access": "/access",
    workspace,
    "workspace before": `${workspace}&at=${as_of.revision - 30}`,
    person,
    key,
    search: "/access?q=ada",
    "/changes": "/changes",
};

const tests = Object.fromEntries(
    Object.entries(pages).map(([name, path]) => [
        `${name} is loaded within ${LONGEST_MS} ms`,
        async () => {
            const loads = [];
            for (let time = 0; time < TIMES; time++) loads.push(await load(`${base}${path}`));
            const took = loads.map((it) => it.took).sort((one, other) => one - other);
            const bytes = Math.max(...loads.map((it) => it.bytes));
            console.log(`# ${path}: ${took.map(Math.round).join(", ")} ms, ${bytes} bytes`);
            assert.ok(took[(TIMES - 1) / 2] <= LONGEST_MS, `${took} ms`);
            assert.ok(bytes <= LARGEST, `${bytes} bytes`);
        },
    ]),
);

await runAll("large", tests);
