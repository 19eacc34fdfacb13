// oauth4webapi against the authorization server: an OAuth 2.0 client that knows nothing of ACE.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";

import { oauth4webapi } from "./modules.mjs";
import { within } from "./system.mjs";

// Older versions of Node have it in the module alone.
globalThis.crypto ??= webcrypto;

const COMMAND_LIMIT_MS = 60_000;
const ALLOW = ["--allow", "pub:rooms/#"];
// RFC 9200 §5.8.4.3; the library has to be told of a type that it does not know.
const POP = { recognizedTokenTypes: { pop: () => {} } };

function run(program, words) {
  return execFileSync(program, words, { timeout: COMMAND_LIMIT_MS, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
}

const symbolon = (system, ...words) => JSON.parse(run(system.program, [...words, "--dir", system.directory, "-o", "json"]));
const code = (system, ...words) => symbolon(system, "enrol", "token", ...words, ...ALLOW).token;

// The library's `fetch`, with our CA and perhaps a client's certificate.
function fetchWith(system, identity = {}) {
  return (url, { method, headers, body }) => {
    const answer = new Promise((resolve, reject) => {
      const asking = request(url, { method, headers: Object.fromEntries(new Headers(headers)), ca: system.ca, ...identity }, (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => {
          const text = [204, 304].includes(response.statusCode) ? null : Buffer.concat(parts);
          resolve(new Response(text, { status: response.statusCode, headers: response.headers }));
        });
      });
      asking.on("error", reject).end(body === undefined ? undefined : String(body));
    });
    return within("an answer", answer);
  };
}

async function start(system, identity) {
  const oauth = await oauth4webapi();
  const options = { [oauth.customFetch]: fetchWith(system, identity) };
  const issuer = new URL(system.init.issuer);
  const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...options });
  return { oauth, options, server: await oauth.processDiscoveryResponse(issuer, found) };
}

// A token by the client credentials grant; the whole answer.
async function token({ oauth, options, server }, client, authentication, parameters = {}, more = {}) {
  const asked = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, { ...options, ...more });
  return oauth.processClientCredentialsResponse(server, client, asked, POP);
}

const claims = (answer) => JSON.parse(Buffer.from(answer.access_token.split(".")[1], "base64url"));

async function imported(jwk) {
  const algorithm = jwk.kty === "OKP" ? { name: "Ed25519" } : { name: "ECDSA", namedCurve: "P-256" };
  return crypto.subtle.importKey("jwk", { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y, d: jwk.d }, algorithm, false, ["sign"]);
}

async function refused(promise, status, error) {
  const reason = await promise.then(() => assert.fail("it was granted"), (reason) => reason);
  assert.deepEqual([reason.status, reason.error], [status, error], reason);
}

// A 401, which RFC 6749 §5.2 has come with a challenge; the library reads no further then.
async function challenged(promise, scheme) {
  const reason = await promise.then(() => assert.fail("it was granted"), (reason) => reason);
  assert.deepEqual([reason.status, reason.code, reason.cause?.[0]?.scheme], [401, "OAUTH_WWW_AUTHENTICATE_CHALLENGE", scheme], reason);
}

export const oauthCases = {
  async oauth4webapi_gets_a_token_with_a_secret(system) {
    const at = await start(system);
    const profile = symbolon(system, "client", "add", "meter", ...ALLOW, "--auth", "secret", "--pop", "hs256");
    const client = { client_id: "meter" };
    for (const method of [at.oauth.ClientSecretBasic, at.oauth.ClientSecretPost]) {
      const answer = await token(at, client, method(profile.client_auth.secret));
      assert.equal(answer.cnf.jwk.kty, "oct");
      await challenged(token(at, client, method("wrong")), "basic");
      await refused(token(at, client, method(profile.client_auth.secret), { audience: "nowhere" }), 400, "invalid_request");
    }
  },

  async oauth4webapi_gets_a_token_with_a_signed_assertion(system) {
    const at = await start(system);
    for (const pop of ["ed25519", "es256"]) {
      const profile = symbolon(system, "client", "add", pop, ...ALLOW, "--auth", "key", "--pop", pop);
      const key = await imported(profile.client_auth.jwk);
      const answer = await token(at, { client_id: pop }, at.oauth.PrivateKeyJwt(key));
      assert.equal(claims(answer).cnf.jwk.x, profile.pop.jwk.x);
    }
  },

  async oauth4webapi_proves_the_key_of_its_token_by_dpop(system) {
    const at = await start(system);
    for (const [pop, algorithm] of [["ed25519", "Ed25519"], ["es256", "ES256"]]) {
      const profile = symbolon(system, "client", "add", pop, ...ALLOW, "--auth", "secret", "--pop", pop);
      const keys = await at.oauth.generateKeyPair(algorithm, { extractable: true });
      const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", keys.publicKey);
      const client = { client_id: pop };
      const authentication = at.oauth.ClientSecretBasic(profile.client_auth.secret);
      const parameters = { req_cnf: JSON.stringify({ jwk: { kty, crv, x, y } }) };
      const answer = await token(at, client, authentication, parameters, { DPoP: at.oauth.DPoP(client, keys) });
      assert.equal(claims(answer).cnf.jwk.x, x);
      await refused(token(at, client, authentication, parameters), 400, "invalid_request");
    }
  },

  async oauth4webapi_gets_a_token_with_its_certificate(system) {
    const [key, certificate] = ["client.key", "client.pem"].map((name) => join(system.directory, name));
    const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=meter", "-keyout", key, "-out", certificate];
    run("openssl", made);
    symbolon(system, "client", "add", "meter", ...ALLOW, "--client-certificate", certificate, "--pop", "hs256");
    const at = await start(system, { cert: readFileSync(certificate), key: readFileSync(key) });
    await token(at, { client_id: "meter" }, at.oauth.TlsClientAuth());
    const without = await start(system);
    await challenged(token(without, { client_id: "meter" }, at.oauth.TlsClientAuth()), "basic");
  },

  async oauth4webapi_asks_as_the_resource_server_and_a_revoked_token_is_inactive(system) {
    const at = await start(system);
    const { oauth, options, server } = at;
    const profile = symbolon(system, "client", "add", "meter", ...ALLOW, "--auth", "secret", "--pop", "hs256");
    const client = { client_id: "meter" };
    const authentication = oauth.ClientSecretBasic(profile.client_auth.secret);
    const { access_token } = await token(at, client, authentication);
    const broker = { client_id: "symbolon-broker" };
    const secret = readFileSync(join(system.directory, "keys/broker.secret"), "utf8").trim();
    const introspect = async () => {
      const asked = await oauth.introspectionRequest(server, broker, oauth.ClientSecretBasic(secret), access_token, options);
      return oauth.processIntrospectionResponse(server, broker, asked);
    };
    assert.equal((await introspect()).active, true);
    await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, access_token, options));
    assert.deepEqual(await introspect(), { active: false });
  },

  async oauth4webapi_registers_a_client_and_manages_it(system) {
    const at = await start(system);
    const { oauth, options, server } = at;
    const register = async (metadata, initialAccessToken) => {
      const asked = await oauth.dynamicClientRegistrationRequest(server, metadata, { initialAccessToken, ...options });
      return oauth.processDynamicClientRegistrationResponse(asked);
    };
    const keys = await oauth.generateKeyPair("ES256", { extractable: true });
    const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", keys.publicKey);
    const byKey = { token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [{ kty, crv, x, y }] } };
    const initial = code(system, "meter");
    await refused(register({ token_endpoint_auth_method: "none" }, initial), 400, "invalid_client_metadata");
    const registered = await register({ ...byKey, client_name: "A meter" }, initial);
    assert.deepEqual([registered.client_id, registered.client_name], ["meter", "A meter"]);
    await token(at, registered, oauth.PrivateKeyJwt(keys.privateKey));
    await challenged(register(byKey, initial), "bearer");

    const manage = (method, bearer, body) => {
      const url = new URL(registered.registration_client_uri);
      const headers = new Headers({ "content-type": "application/json" });
      return oauth.protectedResourceRequest(bearer, method, url, headers, body && JSON.stringify(body), options);
    };
    const shown = await (await manage("GET", registered.registration_access_token)).json();
    assert.equal(shown.client_name, "A meter");
    const put = await manage("PUT", registered.registration_access_token, { client_id: "meter" });
    const changed = await put.json();
    await challenged(manage("GET", registered.registration_access_token), "bearer");
    await token(at, changed, oauth.ClientSecretPost(changed.client_secret), {});
    assert.equal((await manage("DELETE", changed.registration_access_token)).status, 204);
    await challenged(token(at, changed, oauth.ClientSecretPost(changed.client_secret)), "basic");
  },
};
