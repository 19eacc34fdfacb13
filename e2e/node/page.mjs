// Runs in the browser: plays the story that it is told and reports how it went. `mqtt` is MQTT.js's bundle.

const WAIT_MS = 15_000;
const POLL_MS = 10;
const METHOD = "ace";
const VERSIONS = [5, 4];
const encode = (text) => new TextEncoder().encode(text);

function equal(found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
}

function within(what, promise) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} did not come`)), WAIT_MS));
  return Promise.race([promise, late]);
}

class Peer {
  constructor(url, options) {
    this.messages = [];
    this.client = mqtt.connect(url, { keepalive: 60, reconnectPeriod: 0, connectTimeout: WAIT_MS, ...options });
    this.client.on("message", (topic, payload, packet) => this.messages.push({ ...packet, payload: payload.toString() }));
  }

  async admitted() {
    const { client } = this;
    const connected = new Promise((resolve, reject) => {
      client.once("connect", resolve).once("error", reject).once("close", () => reject(new Error("closed")));
    });
    await within("CONNACK", connected);
    return this;
  }

  async message(count = 1) {
    for (const deadline = Date.now() + WAIT_MS; this.messages.length < count; ) {
      if (Date.now() > deadline) throw new Error(`message ${count} did not come`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return this.messages;
  }

  subscribe(filter, qos) {
    return within("SUBACK", this.client.subscribeAsync(filter, { qos }));
  }

  publish(topic, payload, options) {
    return within("the acknowledgement", this.client.publishAsync(topic, payload, options));
  }

  close() {
    return within("the end", this.client.endAsync());
  }
}

const open = (url, options) => new Peer(url, options).admitted();

async function atEveryQos(reader, writer, topic) {
  for (const qos of [0, 1, 2]) {
    await reader.subscribe(`${topic}/${qos}`, qos);
    await writer.publish(`${topic}/${qos}`, `warm ${qos}`, { qos });
    const message = (await reader.message(qos + 1)).at(-1);
    equal([message.topic, message.payload, message.qos], [`${topic}/${qos}`, `warm ${qos}`, qos]);
  }
}

async function prove(key, octets) {
  const usages = ["sign"];
  const hmac = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, usages);
  return new Uint8Array(await crypto.subtle.sign("HMAC", hmac, octets));
}

const stories = {
  async everyQos({ url }) {
    for (const protocolVersion of VERSIONS) {
      const [reader, writer] = [await open(url, { protocolVersion }), await open(url, { protocolVersion })];
      await atEveryQos(reader, writer, "public/room");
      await Promise.all([reader.close(), writer.close()]);
    }
  },

  async retainedAndWill({ url }) {
    for (const protocolVersion of VERSIONS) {
      const writer = await open(url, { protocolVersion });
      await writer.publish("public/kept", "kept", { qos: 1, retain: true });
      const reader = await open(url, { protocolVersion });
      await reader.subscribe("public/#", 1);
      const [kept] = await reader.message();
      equal([kept.topic, kept.payload, kept.retain], ["public/kept", "kept", true]);
      await writer.publish("public/kept", "", { qos: 1, retain: true });
      await reader.message(2);
      const will = { topic: "public/will", payload: encode("gone"), qos: 1, retain: false };
      const lost = await open(url, { protocolVersion, will });
      lost.client.end(true);
      const left = (await reader.message(3)).at(-1);
      equal([left.topic, left.payload], ["public/will", "gone"]);
      await Promise.all([reader.close(), writer.close()]);
    }
  },

  async requestAndResponse({ url }) {
    const [asker, answerer] = [await open(url, { protocolVersion: 5 }), await open(url, { protocolVersion: 5 })];
    await answerer.subscribe("public/question", 1);
    await asker.subscribe("public/answer", 1);
    await asker.publish("public/question", "how warm?", { qos: 1, properties: { responseTopic: "public/answer", correlationData: encode("7") } });
    const [{ properties: { responseTopic, correlationData } }] = await answerer.message();
    await answerer.publish(responseTopic, "21", { qos: 1, properties: { correlationData } });
    const [answer] = await asker.message();
    equal([answer.payload, answer.properties.correlationData.toString()], ["21", "7"]);
    await Promise.all([asker.close(), answerer.close()]);
  },

  async token({ url, token, key }) {
    const secret = Uint8Array.from(atob(key.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    const authenticationData = new Uint8Array([token.length >> 8, token.length & 255, ...encode(token)]);
    const properties = { authenticationMethod: METHOD, authenticationData };
    const peer = new Peer(url, { protocolVersion: 5, properties });
    let challenges = 0;
    peer.client.handleAuth = (packet, answer) => {
      challenges += 1;
      const nonce = crypto.getRandomValues(new Uint8Array(8));
      prove(secret, new Uint8Array([...packet.properties.authenticationData, ...nonce])).then((proof) => {
        answer(undefined, { cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod: METHOD, authenticationData: new Uint8Array([...nonce, ...proof]) } });
      }, answer);
    };
    await peer.admitted();
    equal(challenges, 1);
    await atEveryQos(peer, peer, "rooms");
    await peer.close();
  },

  async admitted({ url }) {
    await (await open(url, { protocolVersion: 5 })).close();
  },

  async refused({ url }) {
    const outcome = await open(url, { protocolVersion: 5 }).then(() => "admitted", () => "refused");
    equal(outcome, "refused");
  },
};

async function play() {
  const plan = await (await fetch("plan")).json();
  await stories[plan.story](plan);
}

const outcome = await play().then(() => ({ passed: true }), (error) => ({ passed: false, error: `${error?.stack ?? error}` }));
await fetch("report", { method: "POST", body: JSON.stringify(outcome) });
