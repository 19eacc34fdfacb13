// oidc-provider behind Node's HTTPS: client_credentials with client_secret_basic, access tokens as JWTs signed by Ed25519.
// Its argument is a JSON file: { port, certificate, key, signing_key, clients: [[client_id, secret]] }; files are PEM, signing_key is a JWK.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const audience = 'https://localhost/bench';
const provider = new Provider(`https://localhost:${settings.port}`, {
  clients: settings.clients.map(([client_id, client_secret]) => ({
    client_id,
    client_secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: settings.algorithm,
    token_endpoint_auth_method: 'client_secret_basic',
  })),
  jwks: { keys: [settings.signing_key] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      getResourceServerInfo: () => ({
        scope: 'bench',
        audience,
        accessTokenTTL: 3600,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: settings.algorithm } },
      }),
    },
  },
});
const tls = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
createServer(tls, provider.callback()).listen(settings.port, '127.0.0.1');
