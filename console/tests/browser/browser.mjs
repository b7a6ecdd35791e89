// Debian's Chromium, what a page may not do in it, and the tests' runner.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export const THEMES = ["light", "dark"];

const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
});

/** A page in a profile of its own, which has nothing to say in its console when it is closed. */
export async function open(options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    const said = [];
    page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) said.push(message.text());
    });
    page.on("pageerror", (error) => said.push(error.message));
    page.on("dialog", (dialog) => said.push(`a dialog says ${dialog.message()}`));
    await page.exposeFunction("reportViolation", (what) => said.push(`the policy is violated: ${what}`));
    await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => {
            window.reportViolation(`${event.effectiveDirective} ${event.blockedURI}`);
        });
    });
    const close = async () => {
        await context.close();
        assert.deepEqual(said, [], "the page's console");
    };
    return { page, said, close };
}

/** Whether axe finds nothing. */
export async function inspect(page, what) {
    // The debugger evaluates it, which the page's policy does not bind.
    await page.evaluate(axe);
    const found = await page.evaluate(async (rules) => {
        const { violations } = await axe.run(document, { runOnly: rules });
        return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
    }, RULES);
    assert.deepEqual(found, [], what);
}

/** The page's JSON. */
export async function get(base, path, headers = {}) {
    const response = await fetch(`${base}${path}${path.includes("?") ? "&" : "?"}format=json`, { headers });
    assert.equal(response.status, 200, path);
    return response.json();
}

/** Waits until the slider says that it is there. */
export async function shows(page, revision) {
    const text = Number(revision).toLocaleString("en-US");
    const slider = page.locator(".slider output strong");
    await slider.filter({ hasText: new RegExp(`^${text}$`) }).waitFor();
}

/** Runs the tests one after the other, and ends the process. */
export async function runAll(name, tests) {
    let failed = 0;
    for (const [test, body] of Object.entries(tests)) {
        const began = performance.now();
        try {
            await body();
            console.log(`ok   ${test} (${Math.round(performance.now() - began)} ms)`);
        } catch (error) {
            failed += 1;
            console.log(`FAIL ${test}\n${error.stack}`);
        }
    }
    await browser.close();
    console.log(`${name}: ${Object.keys(tests).length - failed} passed, ${failed} failed`);
    process.exit(failed ? 1 : 0);
}
