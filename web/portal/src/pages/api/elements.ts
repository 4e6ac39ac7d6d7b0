// SPDX-License-Identifier: Apache-2.0
// What the editor offers and explains: elements, attributes, and what they are for.
export interface ElementHelp { name: string; help: string; attributes?: Record<string, { help: string; values?: string[] }>; children?: string[]; top?: boolean }

const anywhere = ["base", "include-fragment", "set-header", "return-response", "set-variable", "choose"];
const branch = [...anywhere, "set-method", "set-status", "authentication-certificate", "authentication-basic", "authentication-managed-identity", "set-backend-service", "set-query-parameter", "rewrite-uri", "forward-request"];
const yes = ["true", "false"];
const id = { help: "A name for this statement, shown in errors." };
const action = { help: "What happens if it is there already.", values: ["override", "skip", "append", "delete"] };

export const elements: ElementHelp[] = [
  { name: "policies", help: "The document.", children: ["inbound", "backend", "outbound", "on-error"], top: true },
  { name: "inbound", help: "Runs before the backend is called.", children: [...anywhere, "set-method", "authentication-certificate", "authentication-basic", "authentication-managed-identity", "set-backend-service", "set-query-parameter", "rewrite-uri"] },
  { name: "backend", help: "Calls the backend. An empty one calls none.", children: [...anywhere, "forward-request", "set-backend-service", "set-query-parameter"] },
  { name: "outbound", help: "Runs on the backend's answer.", children: [...anywhere, "set-status"] },
  { name: "on-error", help: "Runs instead of the rest when a statement fails or the backend cannot be reached.", children: [...anywhere, "set-status"] },
  { name: "fragment", help: "A policy fragment: statements that policies include.", children: ["include-fragment", "set-header", "return-response", "authentication-certificate", "authentication-basic", "authentication-managed-identity", "set-backend-service", "forward-request", "set-query-parameter", "rewrite-uri"], top: true },
  { name: "include-fragment", help: "The statements of a policy fragment, at this place.", attributes: { id, "fragment-id": { help: "Name of a policy fragment." } } },
  { name: "base", help: "The same section of the next outer scope, at this place.", attributes: { id } },
  { name: "authentication-certificate", help: "Presents this client certificate to the backend. The last one that runs wins, and wins over the backend's own.", attributes: { id, "certificate-id": { help: "Id of a certificate. It follows every rotation." }, "certificate-ids": { help: "Several, by commas: the backend's request decides in the handshake which is shown." }, thumbprint: { help: "SHA-1 thumbprint. It does not follow a rotation." },
    body: { help: "A PFX file in base64, in the document itself." }, password: { help: "Password of body." } } },
  { name: "authentication-basic", help: "Sends an Authorization header of scheme Basic.", attributes: { id, username: { help: "User name." }, password: { help: "Password." } } },
  { name: "authentication-managed-identity", help: "Sends a token of the service's managed identity.", attributes: { id, resource: { help: "Audience of the token." }, "client-id": { help: "A user-assigned identity; without it the system-assigned one." },
    "output-token-variable-name": { help: "Keeps the token in this variable and sets no header." }, "ignore-error": { help: "Without a token the request goes on.", values: yes } } },
  { name: "set-backend-service", help: "Sends the request to another backend.", attributes: { id, "backend-id": { help: "Id of a backend." }, "base-url": { help: "An address instead of a backend." } } },
  { name: "forward-request", help: "Sends the request to the backend.", attributes: { id, timeout: { help: "Seconds until the head of the answer." }, "timeout-ms": { help: "The same in milliseconds." }, "continue-timeout": { help: "Seconds until 100 Continue." }, "buffer-response": { help: "Both values stream.", values: yes }, "follow-redirects": { help: "Follows 3xx answers.", values: yes },
    "buffer-request-body": { help: "Reads the whole body first.", values: yes }, "fail-on-error-status-code": { help: "400 and above go to on-error.", values: yes }, "http-version": { help: "Version to the backend.", values: ["1", "2or1", "2"] } } },
  { name: "set-header", help: "Sets a header field.", attributes: { id, name: { help: "Name of the field." }, "exists-action": action }, children: ["value"] },
  { name: "set-query-parameter", help: "Sets a parameter of the query.", attributes: { id, name: { help: "Name of the parameter." }, "exists-action": action }, children: ["value"] },
  { name: "set-method", help: "Sends the request to the backend with another method: its text.", attributes: { id } },
  { name: "set-variable", help: "Keeps a value for expressions that run later.", attributes: { id, name: { help: "Name of the variable: context.Variables[name]." }, value: { help: "A text, or an expression." } } },
  { name: "choose", help: "Runs the first when whose condition is true, else otherwise.", attributes: { id }, children: ["when", "otherwise"] },
  { name: "when", help: "Runs if its condition is true.", attributes: { condition: { help: "An expression that is true or false: @(…)." } }, children: branch },
  { name: "otherwise", help: "Runs if no condition is true.", children: branch },
  { name: "value", help: "One value." },
  { name: "rewrite-uri", help: "Changes the path that the backend sees.", attributes: { id, template: { help: "New path, with {parameters} of the operation." }, "copy-unmatched-params": { help: "Keeps the rest of the query.", values: yes } } },
  { name: "return-response", help: "Answers at once, without a backend.", attributes: { id }, children: ["set-status", "set-header", "set-body"] },
  { name: "set-status", help: "Status of the answer.", attributes: { code: { help: "200 to 599." }, reason: { help: "Words after the code." } } },
  { name: "set-body", help: "Body of the answer." },
];
