// Programs that run beside a test and end with it.

import { spawn } from "node:child_process";

/** How long a program may take until it says what is awaited (ms). */
const PATIENCE_MS = 120_000;
/** How often something is looked at (ms). */
const LOOK_PERIOD_MS = 20;

const folder = process.env.PROGRAMS;
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** Waits until it is so, and returns what is then so. */
export async function until(what, isSo, patience = PATIENCE_MS) {
    const deadline = performance.now() + patience;
    for (;;) {
        const found = await isSo();
        if (found) return found;
        if (performance.now() > deadline) throw new Error(`waited ${patience} ms in vain for ${what}`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_PERIOD_MS));
    }
}

class Program {
    #name;
    #child;
    #ended;
    output = "";

    constructor(name, words, environment) {
        this.#name = name;
        this.#child = spawn(`${folder}/${name}`, words, {
            env: { ...process.env, RUST_LOG: "info", ...environment },
            stdio: ["ignore", "pipe", "pipe"],
        });
        running.add(this.#child);
        this.log = "";
        this.#child.stdout.setEncoding("utf8").on("data", (text) => (this.output += text));
        this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.log += text));
        this.#ended = new Promise((resolve) => {
            this.#child.on("error", (error) => resolve(error.message));
            this.#child.on("close", (code, signal) => {
                running.delete(this.#child);
                resolve(code ?? signal);
            });
        });
        this.#ended.then((how) => (this.how = how));
    }

    /** What the parentheses of the pattern stand for in what it prints. */
    async prints(pattern, patience) {
        const look = () => {
            const match = pattern.exec(this.output);
            if (!match && this.how !== undefined) throw this.failure();
            return match;
        };
        const found = await until(`${this.#name} to print ${pattern}`, look, patience);
        return found[1];
    }

    failure() {
        return new Error(`${this.#name} ended (${this.how}):\n${this.output}\n${this.log}`);
    }

    /** Ends it by a signal. */
    async end(signal) {
        this.#child.kill(signal);
        return this.#ended;
    }

    /** Waits until it has ended well; what it printed. */
    async finish() {
        if ((await this.#ended) !== 0) throw this.failure();
        return this.output;
    }
}

export const start = (name, words, environment) => new Program(name, words, environment);
export const run = (name, words, environment) => start(name, words, environment).finish();
