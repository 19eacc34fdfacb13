// What RFC 9431 asks of a client: Authentication Data and proofs by a shared key.

import { createHmac, randomBytes } from "node:crypto";

export const METHOD = "ace";
export const EXPORTER_LABEL = "EXPORTER-ACE-MQTT-Sign-Challenge";

export class Token {
  constructor(response) {
    this.text = response.access_token;
    this.key = Buffer.from(response.cnf.jwk.k, "base64url");
    this.kid = Buffer.from(response.cnf.jwk.kid ?? "", "base64url");
  }

  prove(message) {
    return createHmac("sha256", this.key).update(message).digest();
  }

  // CONNECT with a proof over the exporter value (RFC 9431 §2.2.4.2.1).
  withProof(exporter) {
    return Buffer.concat([this.alone(), this.prove(exporter)]);
  }

  // CONNECT that asks for a challenge (RFC 9431 §2.2.4.2.2).
  alone() {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(this.text.length);
    return Buffer.concat([length, Buffer.from(this.text)]);
  }

  answer(challenge) {
    const nonce = randomBytes(8);
    return Buffer.concat([nonce, this.prove(Buffer.concat([challenge, nonce]))]);
  }

  // The name of the key as the identity of a pre-shared key (RFC 9202 §3.3.2), base64url of { 8: { 1: { 1: 4, 2: kid } } }.
  identity() {
    const head = Buffer.from("a108a101a2010402", "hex");
    return Buffer.concat([head, Buffer.from([0x40 + this.kid.length]), this.kid]).toString("base64url");
  }

  // User Name and Password of MQTT 3.1.1 (RFC 9431 §6).
  credentials(exporter) {
    return { username: METHOD + Buffer.from(this.text).toString("base64url"), password: this.prove(exporter) };
  }
}
