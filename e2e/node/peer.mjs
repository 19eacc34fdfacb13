// MQTT.js, made to prove possession of a token's key, and waiting with a bound for all that comes.

import { setTimeout as pause } from "node:timers/promises";

import { METHOD } from "./ace.mjs";
import { mqtt } from "./modules.mjs";
import { WAIT_MS, within } from "./system.mjs";

const POLL_MS = 10;

export class Peer {
  constructor(client, token) {
    this.client = client;
    this.challenges = 0;
    this.messages = [];
    this.error = undefined;
    client.on("error", (error) => (this.error ??= error));
    client.on("message", (topic, payload, packet) => this.messages.push({ ...packet, payload: payload.toString() }));
    client.handleAuth = (packet, answer) => {
      this.challenges += 1;
      const authenticationData = token.answer(packet.properties.authenticationData);
      answer(undefined, { cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod: METHOD, authenticationData } });
    };
  }

  // Admitted, or an error with the CONNACK's code.
  async admitted() {
    const client = this.client;
    const connack = new Promise((resolve, reject) => {
      client.once("connect", resolve).once("error", reject).once("close", () => reject(this.error ?? new Error("closed")));
    });
    this.connack = await within("CONNACK", connack);
    return this;
  }

  async subscribe(filter, qos) {
    const [granted] = await within("SUBACK", this.client.subscribeAsync(filter, { qos }));
    if (granted.qos !== qos) throw new Error(`granted ${granted.qos} of ${qos}`);
  }

  publish(topic, payload, options) {
    return within("the acknowledgement", this.client.publishAsync(topic, payload, options));
  }

  // The messages, once there are this many.
  async message(count = 1) {
    for (const deadline = Date.now() + WAIT_MS; this.messages.length < count; await pause(POLL_MS)) {
      if (Date.now() > deadline) throw new Error(`message ${count} did not come: ${JSON.stringify(this.messages)}`);
    }
    return this.messages;
  }

  close() {
    return within("the end", this.client.endAsync());
  }

  // Ends the connection without a DISCONNECT.
  cut() {
    this.client.stream.destroy();
  }
}

const COMMON = { keepalive: 60, reconnectPeriod: 0, connectTimeout: WAIT_MS };

// Without a token, by MQTT.js's own way to connect.
export function open(system, url, options) {
  return new Peer(mqtt.connect(url, { ...COMMON, ca: system.ca, ...options })).admitted();
}

// With a token, on a TLS connection that was made before: the proof belongs to it.
export async function openWith(system, token, proof, options) {
  const { socket, exporter } = await system.channel();
  return new Peer(new mqtt.MqttClient(() => socket, { ...COMMON, ...proven(token, proof, exporter, options) }), token).admitted();
}

// With a pre-shared key that the token was published for: MQTT says nothing of it (RFC 9431 §2.2.3.2).
export async function openKeyed(system, token, version, options) {
  const socket = await system.keyed(token.identity(), token.key, version);
  return new Peer(new mqtt.MqttClient(() => socket, { ...COMMON, ...options })).admitted();
}

// The same over WebSocket.
export async function openWebSocketWith(system, token, proof, options) {
  const port = Number(new URL(system.webSockets.wss).port);
  const { socket, exporter } = await system.channel(port, ["http/1.1"]);
  const over = { ca: system.ca, wsOptions: { createConnection: () => socket } };
  return new Peer(mqtt.connect(system.webSockets.wss, { ...COMMON, ...over, ...proven(token, proof, exporter, options) }), token).admitted();
}

function proven(token, proof, exporter, options) {
  if (options.protocolVersion === 4) return { ...options, ...token.credentials(exporter) };
  const authenticationData = proof === "exporter" ? token.withProof(exporter) : token.alone();
  return { ...options, properties: { authenticationMethod: METHOD, authenticationData } };
}
