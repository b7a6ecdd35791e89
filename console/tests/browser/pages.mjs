// The pages over organizations that live in memory: both themes, hostile names, the keyboard, and the pictures of the
// documentation. Arguments: a folder for the pictures, and one for a screenshot of each page.

import assert from "node:assert/strict";
import { THEMES, get, inspect, open, runAll, shows } from "./browser.mjs";
import { start } from "./programs.mjs";

const [pictures, screenshots] = process.argv.slice(2);
/** Largest page (bytes). */
const LARGEST = 200_000;
/** How soon a change is on a live page (ms): the organization changes every two seconds, and the machine may be busy. */
const LIVE_MS = 20_000;
/** How late a script comes (ms). */
const LATE_MS = 500;
/** Names as an attacker gives them. */
const HOSTILE = /<script>alert\(1\)<\/script>|"><img src=x onerror=alert\(1\)>/;
/** As wide as the pictures of the documentation. */
const PICTURE = { viewport: { width: 1120, height: 900 } };

const simulated = async (...words) => {
    const program = start("examples/simulated", ["127.0.0.1:0", ...words]);
    return program.prints(/the console is at (\S+)/);
};
const [base, plain] = await Promise.all([simulated(), simulated("plain")]);

/** What most of the paths have. */
function busiest(ids) {
    const counts = new Map();
    for (const id of ids) if (id) counts.set(id, (counts.get(id) ?? 0) + 1);
    return [...counts].sort((one, other) => other[1] - one[1])[0][0];
}

/** Addresses of what has the most paths, so that the pages are full. */
async function addresses(base) {
    const { paths, as_of } = await get(base, "/access");
    const workspace = busiest(paths.map((path) => path.kind === "member" && path.workspace.id));
    const user = busiest(paths.map((path) => path.user?.id));
    const key = busiest(paths.map((path) => path.api_key?.id));
    return {
        organizations: "/",
        start: "/access",
        workspace: `/access?workspace=${workspace}`,
        past: `/access?workspace=${workspace}&at=${Math.round(as_of.revision * 0.95)}`,
        person: `/access?user=${user}`,
        key: `/access?api_key=${key}`,
        search: "/access?q=script",
        changes: "/changes",
        filtered: "/changes?type=api_key&op=u",
        holds: "/holds",
        jupiterone: "/jupiterone",
    };
}

const tests = {
    async "a change comes to the page without a reload"() {
        const { page, close } = await open();
        await page.goto(`${base}/changes`);
        await page.evaluate(() => (window.isTheSamePage = true));
        const shown = await page.locator(".change").count();
        await page.locator(".change").nth(shown).waitFor({ timeout: LIVE_MS });
        assert.ok(await page.evaluate(() => window.isTheSamePage), "the page was loaded again");
        // The list has no doubles, and stays in order.
        const offsets = await page.locator(".change .origin").allInnerTexts();
        const numbers = offsets.map((text) => Number(/offset (\d+)/.exec(text)[1]));
        assert.deepEqual(numbers, [...new Set(numbers)].sort((one, other) => other - one));
        await close();
    },

    async "a page is live though the extension for server-sent events comes late"() {
        const { page, close } = await open();
        await page.route(/hx-sse/, async (route) => {
            await new Promise((resolve) => setTimeout(resolve, LATE_MS));
            await route.continue();
        });
        const connection = page.waitForRequest(/\/changes\/events/, { timeout: LIVE_MS });
        await Promise.all([page.goto(`${base}/changes`), connection]);
        await close();
    },

    async "every page is accessible, silent and bounded in both themes"() {
        for (const colorScheme of THEMES) {
            const { page, close } = await open({ colorScheme });
            for (const [name, address] of Object.entries(await addresses(base))) {
                const response = await page.goto(base + address);
                assert.equal(response.status(), 200, address);
                const size = (await response.body()).length;
                assert.ok(size <= LARGEST, `${address} has ${size} bytes`);
                if (screenshots) {
                    await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}.png`, fullPage: true });
                }
                await inspect(page, `${address} in ${colorScheme}`);
            }
            await close();
        }
    },

    async "a hostile name is text on every page"() {
        const { page, said, close } = await open();
        const { paths } = await get(base, "/access");
        const id = (of) => paths.map(of).find((thing) => HOSTILE.test(thing?.name ?? "")).id;
        const all = [
            "/",
            "/access",
            `/access?workspace=${id((path) => path.workspace)}`,
            `/access?user=${id((path) => path.user)}`,
            `/access?api_key=${id((path) => path.api_key)}`,
            "/access?q=script",
            "/changes",
            "/holds",
            "/jupiterone",
            `/access?at=${encodeURIComponent("<script>alert(1)</script>")}`,
        ];
        for (const address of all) {
            await page.goto(base + address);
            const text = await page.locator("#main").innerText();
            assert.match(text, HOSTILE, address);
            const made = await page.locator("script:not([src]), #main img, #main iframe, [onerror]").count();
            assert.equal(made, 0, address);
        }
        // The last one has nothing wrong but its address.
        assert.match(await page.locator("h1").innerText(), /cannot be understood/);
        await inspect(page, "an address that cannot be understood");
        assert.equal(said.length, 1, `the page's console says ${said}`);
        assert.match(said.pop(), /status of 400/);
        await close();
    },

    async "the slider shows the past, and address, reload, back, forward and a copied link keep it"() {
        const { page, close } = await open();
        const { workspace } = await addresses(base);
        await page.goto(base + workspace);
        const slider = page.locator("#revision");
        await slider.focus();
        const newest = Number(await slider.inputValue());
        await page.keyboard.press("Home");
        await page.waitForURL(/at=1$/);
        assert.ok(page.url().includes(workspace.split("?")[1]), "the workspace stays in the address");
        await shows(page, 1);
        assert.equal(await page.evaluate(() => document.activeElement.id), "revision", "the focus stays");
        for (let revision = 2; revision <= 3; revision += 1) {
            await page.keyboard.press("ArrowRight");
            await page.waitForURL(new RegExp(`at=${revision}$`));
        }
        await shows(page, 3);
        // How many revisions there are by now is all that may differ.
        const text = async (page) => (await page.locator("#main").innerText()).replace(/ of [\d,]+\n/, "\n");
        const third = await text(page);
        await page.reload();
        assert.equal(await text(page), third, "after a reload");
        const other = await open();
        await other.page.goto(page.url());
        assert.equal(await text(other.page), third, "a copied link");
        await other.close();
        await page.goBack();
        await shows(page, 2);
        await page.goForward();
        await shows(page, 3);
        const same = await get(base, `${workspace}&at=${newest - 40}`);
        await page.goto(`${base}${workspace}&at=${newest - 40}`);
        const people = same.paths.filter((path) => !path.api_key).length;
        assert.ok(people > 0, "the workspace was there");
        assert.equal(await page.locator("#people .quiet").innerText(), String(people));
        await close();
    },

    async "the keyboard reaches everything that can be used, and shows where it is"() {
        const { page, close } = await open();
        for (const address of Object.values(await addresses(base))) {
            await page.goto(base + address);
            const count = await page.evaluate(() => {
                const all = [...document.querySelectorAll("a[href], button, select, input:not([type=hidden])")];
                window.unreached = new Set(all.filter((it) => it.tabIndex >= 0));
                window.unseen = [];
                document.addEventListener("focusin", ({ target }) => {
                    window.unreached.delete(target);
                    const { outlineStyle } = getComputedStyle(target);
                    const rect = target.matches(".node") && getComputedStyle(target.querySelector("rect"));
                    const isSeen = rect ? rect.strokeWidth === "3px" : outlineStyle !== "none";
                    if (!isSeen) window.unseen.push(target.outerHTML.slice(0, 200));
                });
                return window.unreached.size;
            });
            assert.ok(count > 8, `${address} has ${count} things to use`);
            // What scrolls is reached too.
            for (let step = 0; step < count + 8; step += 1) await page.keyboard.press("Tab");
            const left = await page.evaluate(() => [...window.unreached].map((it) => it.outerHTML.slice(0, 200)));
            assert.deepEqual(left, [], `${address}: not reached`);
            assert.deepEqual(await page.evaluate(() => window.unseen), [], `${address}: not seen`);
        }
        await close();
    },

    async "a search, a filter and the diagram work by keyboard"() {
        const { page, close } = await open();
        await page.goto(`${base}/access`);
        await page.keyboard.press("Tab");
        assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
        await page.keyboard.press("Enter");
        await page.locator("#q").focus();
        await page.keyboard.type("Default");
        await page.keyboard.press("Enter");
        await page.waitForURL(/q=Default/);
        const hit = page.locator(".hits a").first();
        await hit.focus();
        await page.keyboard.press("Enter");
        await page.waitForURL(/workspace=/);
        const node = page.locator(".diagram a.node").first();
        await node.focus();
        await page.keyboard.press("Enter");
        await page.waitForURL(/user=/);
        await page.goto(`${base}/changes`);
        await page.locator("#filter-op").focus();
        await page.keyboard.type("deleted");
        await page.keyboard.press("Enter");
        await page.waitForURL(/op=d/);
        await page.locator(".op-d").first().waitFor();
        assert.equal(await page.locator(".change .op:not(.op-d)").count(), 0);
        await close();
    },

    async "the pages work without JavaScript"() {
        const { page, close } = await open({ javaScriptEnabled: false });
        const { workspace } = await addresses(base);
        await page.goto(base + workspace);
        await page.locator("#revision").focus();
        await page.keyboard.press("Home");
        await page.locator(".slider button").click();
        assert.match(page.url(), /at=1$/);
        await page.goto(`${base}/changes`);
        await page.locator("#filter-type").selectOption("user");
        await page.locator(".filters button").click();
        assert.match(page.url(), /type=user/);
        await close();
    },

    async "the pictures of the documentation are taken"() {
        const { paths } = await get(plain, "/access?at=400");
        const sandbox = paths.find((path) => path.workspace?.name === "Sandbox").workspace.id;
        const all = {
            "": [`/access?workspace=${sandbox}&at=400`, "section[aria-labelledby=picture]"],
            "jupiterone-": ["/jupiterone", "#main"],
        };
        for (const colorScheme of THEMES) {
            const { page, close } = await open({ ...PICTURE, colorScheme });
            for (const [name, [address, last]] of Object.entries(all)) {
                await page.goto(plain + address);
                const { y, height } = await page.locator(last).boundingBox();
                const clip = { x: 0, y: 0, width: PICTURE.viewport.width, height: y + height };
                await page.screenshot({ path: `${pictures}/${name}${colorScheme}.png`, fullPage: true, clip });
            }
            await close();
        }
    },
};

await runAll("pages", tests);
