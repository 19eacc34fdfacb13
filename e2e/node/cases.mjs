// One function for each sentence that must hold.

import assert from "node:assert/strict";

import { open, openKeyed, openWebSocketWith, openWith } from "./peer.mjs";

const VERSIONS = [5, 4];
const ALLOW = ["pub:rooms/#", "sub:rooms/#"];
const tls = (system) => system.init.broker;

async function everyQos(connect, topic) {
  for (const protocolVersion of VERSIONS) {
    const [reader, writer] = [await connect({ protocolVersion }), await connect({ protocolVersion })];
    for (const qos of [0, 1, 2]) {
      await reader.subscribe(`${topic}/${qos}`, qos);
      await writer.publish(`${topic}/${qos}`, `warm ${qos}`, { qos });
      const message = (await reader.message(qos + 1)).at(-1);
      assert.deepEqual([message.topic, message.payload, message.qos, message.retain], [`${topic}/${qos}`, `warm ${qos}`, qos, false]);
    }
    await Promise.all([reader.close(), writer.close()]);
  }
}

async function tokenFlows(peer, challenges) {
  assert.equal(peer.challenges, challenges);
  for (const qos of [0, 1, 2]) {
    await peer.subscribe(`rooms/${qos}`, qos);
    await peer.publish(`rooms/${qos}`, "payload", { qos });
    const message = (await peer.message(qos + 1)).at(-1);
    assert.deepEqual([message.topic, message.payload, message.qos], [`rooms/${qos}`, "payload", qos]);
  }
  await peer.close();
}

async function refused(connecting, code) {
  const error = await connecting.then(() => assert.fail("it was admitted"), (error) => error);
  assert.equal(error.code, code, error);
}

const token = (system) => system.token("board", ...ALLOW);

export const cases = {
  async mqtt_js_publishes_and_subscribes_at_every_qos(system) {
    await everyQos((options) => open(system, tls(system), options), "public/room");
  },

  async mqtt_js_gets_a_retained_message(system) {
    for (const protocolVersion of VERSIONS) {
      const writer = await open(system, tls(system), { protocolVersion });
      await writer.publish("public/kept", "kept", { qos: 1, retain: true });
      const reader = await open(system, tls(system), { protocolVersion });
      await reader.subscribe("public/#", 1);
      const [message] = await reader.message();
      assert.deepEqual([message.topic, message.payload, message.retain], ["public/kept", "kept", true]);
      await writer.publish("public/kept", "", { qos: 1, retain: true });
      await Promise.all([reader.close(), writer.close()]);
    }
  },

  async the_will_of_mqtt_js_is_published_when_its_connection_breaks(system) {
    for (const protocolVersion of VERSIONS) {
      for (const qos of [0, 1, 2]) {
        const reader = await open(system, tls(system), { protocolVersion });
        await reader.subscribe("public/will", 2);
        const will = { topic: "public/will", payload: Buffer.from("gone"), qos, retain: false };
        (await open(system, tls(system), { protocolVersion, will })).cut();
        const [message] = await reader.message();
        assert.deepEqual([message.topic, message.payload, message.qos], ["public/will", "gone", qos]);
        await reader.close();
      }
    }
  },

  async mqtt_js_asks_and_is_answered(system) {
    const [asker, answerer] = [await open(system, tls(system), { protocolVersion: 5 }), await open(system, tls(system), { protocolVersion: 5 })];
    await answerer.subscribe("public/question", 1);
    await asker.subscribe("public/answer", 1);
    const properties = { responseTopic: "public/answer", correlationData: Buffer.from([0, 255, 7]) };
    await asker.publish("public/question", "how warm?", { qos: 1, properties });
    const [question] = await answerer.message();
    const { responseTopic, correlationData } = question.properties;
    await answerer.publish(responseTopic, "21", { qos: 1, properties: { correlationData } });
    const [answer] = await asker.message();
    assert.equal(answer.payload, "21");
    assert.deepEqual(answer.properties.correlationData, properties.correlationData);
    await Promise.all([asker.close(), answerer.close()]);
  },

  async mqtt_js_proves_a_token_by_the_exporter(system) {
    await tokenFlows(await openWith(system, await token(system), "exporter", { protocolVersion: 5 }), 0);
  },

  async mqtt_js_proves_a_token_by_a_challenge(system) {
    await tokenFlows(await openWith(system, await token(system), "challenge", { protocolVersion: 5 }), 1);
  },

  async mqtt_js_proves_a_token_in_mqtt_3_1_1(system) {
    await tokenFlows(await openWith(system, await token(system), "exporter", { protocolVersion: 4 }), 0);
  },

  async mqtt_js_is_refused_where_the_proof_is_of_another_key(system) {
    for (const proof of ["exporter", "challenge"]) {
      const forged = await system.token(`forged-${proof}`, ...ALLOW);
      forged.key[0] ^= 1;
      await refused(openWith(system, forged, proof, { protocolVersion: 5 }), 0x87);
    }
  },

  async mqtt_js_comes_with_a_pre_shared_key(system) {
    const named = await token(system);
    const refusedByTls = (connecting) => connecting.then(() => assert.fail("it was admitted"), (error) => assert.match(error.code, /^ERR_SSL/));
    await refusedByTls(openKeyed(system, named, "TLSv1.2", {}));
    const stranger = await open(system, tls(system), { protocolVersion: 5 });
    await stranger.publish("authz-info", named.text, { qos: 1 });
    await stranger.close();
    for (const version of ["TLSv1.2", "TLSv1.3"]) {
      for (const protocolVersion of VERSIONS) {
        await tokenFlows(await openKeyed(system, named, version, { protocolVersion }), 0);
      }
      await refusedByTls(openKeyed(system, Object.assign(Object.create(named), { key: Buffer.alloc(32, 1), identity: () => named.identity() }), version, {}));
    }
  },

  async mqtt_js_publishes_and_subscribes_at_every_qos_over_a_websocket(system) {
    for (const url of [system.webSockets.ws, system.webSockets.wss]) {
      await everyQos((options) => open(system, url, options), "public/room");
    }
  },

  async the_will_of_mqtt_js_is_published_when_its_websocket_breaks(system) {
    const url = system.webSockets.wss;
    for (const protocolVersion of VERSIONS) {
      const reader = await open(system, url, { protocolVersion });
      await reader.subscribe("public/will", 1);
      const will = { topic: "public/will", payload: Buffer.from("gone"), qos: 1, retain: false };
      (await open(system, url, { protocolVersion, will })).cut();
      assert.equal((await reader.message())[0].payload, "gone");
      await reader.close();
    }
  },

  async mqtt_js_proves_a_token_by_the_exporter_over_a_websocket(system) {
    await tokenFlows(await openWebSocketWith(system, await token(system), "exporter", { protocolVersion: 5 }), 0);
  },

  async mqtt_js_proves_a_token_by_a_challenge_over_a_websocket(system) {
    await tokenFlows(await openWebSocketWith(system, await token(system), "challenge", { protocolVersion: 5 }), 1);
  },

  async mqtt_js_proves_a_token_in_mqtt_3_1_1_over_a_websocket(system) {
    await tokenFlows(await openWebSocketWith(system, await token(system), "exporter", { protocolVersion: 4 }), 0);
  },
};
