// MQTT.js in headless Chromium: this serves the page, starts the browser and waits for what the page reports.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { bundle } from "./modules.mjs";
import { within } from "./system.mjs";

// A browser that has never run here takes a while to begin.
const BROWSER_MS = 90_000;
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-extensions",
  "--disable-sync",
  "--no-default-browser-check",
  "--no-first-run",
  "--no-proxy-server",
  "--password-store=basic",
  "--use-mock-keychain",
];
const PAGE = '<!doctype html><meta charset="utf-8"><script src="mqtt.js"></script><script type="module" src="page.mjs"></script>';

// Lets the browser trust this one key, as there is no way to give it a CA on the command line.
async function keyPin(system) {
  const { socket } = await system.channel();
  const key = socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
  socket.destroy();
  return createHash("sha256").update(key).digest("base64");
}

// Serves the page at the origin that the broker was told of; what the page reports.
async function report(system, plan, watch) {
  const files = {
    "/": ["text/html", PAGE],
    "/mqtt.js": ["text/javascript", bundle()],
    "/page.mjs": ["text/javascript", readFileSync(fileURLToPath(new URL("page.mjs", import.meta.url)))],
    "/plan": ["application/json", JSON.stringify(plan)],
  };
  let server;
  const reported = new Promise((resolve, reject) => {
    server = createServer((request, response) => {
      if (request.method === "POST") {
        let text = "";
        request.on("data", (part) => (text += part)).on("end", () => resolve(JSON.parse(text)));
        return response.end();
      }
      const [type, body] = files[request.url] ?? [];
      response.writeHead(type ? 200 : 404, { "Content-Type": type ?? "text/plain" }).end(body);
    });
    server.on("error", reject);
  });
  const { hostname, port } = new URL(system.page);
  await within("a port", new Promise((resolve) => server.listen(Number(port), hostname, resolve)));
  try {
    return await within("the page's report", watch(reported), BROWSER_MS);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function browse(system, plan) {
  const profile = mkdtempSync(join(tmpdir(), "browser-"));
  const flags = [...FLAGS, `--user-data-dir=${profile}`, `--ignore-certificate-errors-spki-list=${await keyPin(system)}`];
  let browser, said = "";
  try {
    return await report(system, plan, (reported) => {
      // In a process group of its own, so that all its processes end with it.
      browser = spawn("chromium", [...flags, system.page], { detached: true, stdio: ["ignore", "ignore", "pipe"] });
      browser.stderr.setEncoding("utf8").on("data", (part) => (said += part));
      const ended = new Promise((_, reject) => {
        browser.on("error", reject).on("exit", (code) => reject(new Error(`the browser ended with ${code}`)));
      });
      return Promise.race([reported, ended]);
    });
  } catch (error) {
    console.error(said);
    throw error;
  } finally {
    await end(browser);
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  }
}

async function end(browser) {
  if (browser?.pid === undefined || browser.exitCode !== null) return;
  const ended = new Promise((resolve) => browser.on("close", resolve));
  process.kill(-browser.pid, "SIGKILL");
  await within("the browser's end", ended);
}

async function passes(system, plan) {
  const outcome = await browse(system, plan);
  assert.deepEqual(outcome, { passed: true }, outcome.error);
}

const plan = (system, scheme, story, more) => ({ url: system.webSockets[scheme], story, ...more });

export const browserCases = {
  async a_web_page_publishes_and_subscribes_at_every_qos(system) {
    await passes(system, plan(system, "ws", "everyQos"));
  },

  async a_web_page_publishes_and_subscribes_at_every_qos_over_tls(system) {
    await passes(system, plan(system, "wss", "everyQos"));
  },

  async a_web_page_gets_retained_messages_and_leaves_a_will(system) {
    await passes(system, plan(system, "wss", "retainedAndWill"));
  },

  async a_web_page_asks_and_is_answered(system) {
    await passes(system, plan(system, "wss", "requestAndResponse"));
  },

  async a_web_page_proves_a_token_by_a_challenge(system) {
    const token = await system.token("page", "pub:rooms/#", "sub:rooms/#");
    await passes(system, plan(system, "wss", "token", { token: token.text, key: token.key.toString("base64url") }));
  },

  async a_web_page_of_another_origin_is_refused(system) {
    await passes(system, plan(system, "ws", "admitted"));
    // The same server by another name is another origin (RFC 6454 §4).
    const elsewhere = Object.assign(Object.create(system), { page: system.page.replace("127.0.0.1", "localhost") });
    await passes(elsewhere, plan(system, "ws", "refused"));
  },
};
