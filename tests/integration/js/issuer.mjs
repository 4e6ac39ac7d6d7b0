// SPDX-License-Identifier: Apache-2.0
// An OpenID Connect issuer: npm's oidc-provider over https, with access tokens that are JWTs. Ends
// when its standard input is closed. argv[2]: {cert, key, redirectUris, alg}.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

const options = JSON.parse(process.argv[2]);
const alg = options.alg ?? "RS256";
const keyPair = (kind) => (kind === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("rsa", { modulusLength: 2048 }));
const jwk = (kind) => ({ ...keyPair(kind).privateKey.export({ format: "jwk" }), use: "sig", alg: kind });

const server = createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) });
server.listen(0, "127.0.0.1", () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      { client_id: "workload", client_secret: "workload-secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] },
      { client_id: "portal", client_secret: "portal-secret-of-the-tests", grant_types: ["authorization_code"], redirect_uris: options.redirectUris ?? [], response_types: ["code"], id_token_signed_response_alg: alg },
      { client_id: "cli", token_endpoint_auth_method: "none", application_type: "native", grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"], redirect_uris: ["http://localhost/"], response_types: ["code"] },
    ],
    jwks: { keys: [jwk("RS256"), jwk("ES256")] },
    cookies: { keys: ["of the tests"] },
    pkce: { required: () => true, methods: ["S256"] },
    conformIdTokenClaims: false,
    claims: { openid: ["sub"], profile: ["name", "groups"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} of the issuer`, groups: ["staff"] }) }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({ scope: "", audience: resource, accessTokenFormat: "jwt", accessTokenTTL: 3600, jwt: { sign: { alg } } }),
      },
    },
  });
  server.on("request", provider.callback());
  process.stdout.write(JSON.stringify({ issuer }) + "\n");
});
process.stdin.on("end", () => process.exit(0)).resume();
