// The system under test, as its operator and its devices see it.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { connect } from "node:tls";

import { EXPORTER_LABEL, Token } from "./ace.mjs";

const COMMAND_LIMIT_MS = 60_000;
export const WAIT_MS = 15_000;

// The promise's value, or an error that says what did not come.
export function within(what, promise, limit = WAIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come in ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export class System {
  constructor(path) {
    const described = JSON.parse(readFileSync(path, "utf8"));
    this.directory = described.directory;
    this.program = described.program;
    this.init = described.init;
    this.webSockets = described.web_sockets ?? {};
    this.page = described.page;
    this.ca = readFileSync(this.init.ca, "utf8");
    const broker = new URL(this.init.broker);
    this.host = broker.hostname;
    this.port = Number(broker.port);
  }

  // A TLS connection to `port` of the broker, and the exporter value.
  async channel(port = this.port, protocols = ["mqtt"]) {
    const socket = connect({ host: this.host, port, ca: this.ca, servername: this.host, ALPNProtocols: protocols });
    await within("TLS", new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject)));
    return { socket, exporter: socket.exportKeyingMaterial(32, EXPORTER_LABEL, Buffer.alloc(0)) };
  }

  // A TLS connection by a pre-shared key.
  async keyed(identity, psk, maxVersion) {
    const keyed = { ciphers: "PSK+CHACHA20:TLS_AES_128_GCM_SHA256", pskCallback: () => ({ identity, psk }), checkServerIdentity: () => undefined };
    const socket = connect({ host: this.host, port: this.port, maxVersion, ALPNProtocols: ["mqtt"], ...keyed });
    await within("TLS", new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject)));
    return socket;
  }

  // Registers a device; `allow` as on the command line.
  async token(name, ...allow) {
    const words = ["client", "add", name, "--dir", this.directory, "--auth", "secret", "--pop", "hs256", "-o", "json"];
    const printed = execFileSync(this.program, words.concat(allow.flatMap((permission) => ["--allow", permission])), {
      timeout: COMMAND_LIMIT_MS,
      stdio: ["ignore", "pipe", "inherit"],
      encoding: "utf8",
    });
    let profile = JSON.parse(printed);
    if (!profile.client_auth) profile = JSON.parse(readFileSync(profile.profile, "utf8"));
    const asked = {
      grant_type: "client_credentials",
      audience: profile.audience,
      scope: Buffer.from(JSON.stringify(profile.scope)).toString("base64url"),
      ace_profile: "",
    };
    return new Token(await this.post(asked, `${profile.client_id}:${profile.client_auth.secret}`));
  }

  post(body, auth) {
    const headers = { "Content-Type": "application/ace+json" };
    const answer = new Promise((resolve, reject) => {
      const asking = request(this.init.token_endpoint, { method: "POST", ca: this.ca, auth, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part) => (text += part));
        response.on("end", () => (response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`${response.statusCode}: ${text}`))));
      });
      asking.on("error", reject).end(JSON.stringify(body));
    });
    return within("a token", answer);
  }
}
