// SPDX-License-Identifier: Apache-2.0
// A policy document as a tree: what the cards show, and the one change that the pencil makes.

export const SECTIONS = ["inbound", "backend", "outbound", "on-error"] as const;
export type Section = (typeof SECTIONS)[number];

export const EMPTY = `<policies>
    <inbound>
        <base />
    </inbound>
    <backend>
        <base />
    </backend>
    <outbound>
        <base />
    </outbound>
    <on-error>
        <base />
    </on-error>
</policies>`;

export interface Statement { name: string; attributes: [string, string][] }

export function parse(xml: string): Document | null {
  const document = new DOMParser().parseFromString(xml, "text/xml");
  return document.getElementsByTagName("parsererror").length ? null : document;
}

const section = (document: Document, name: string): Element | null =>
  [...document.documentElement.children].find((e) => e.tagName === name) ?? null;

export const statements = (document: Document, name: Section): Statement[] =>
  [...(section(document, name)?.children ?? [])].map((e) => ({ name: e.tagName, attributes: [...e.attributes].map((a) => [a.name, a.value]) }));

export type Credentials =
  | { kind: "none" }
  | { kind: "basic"; username: string; password: string }
  /** `ids`: one, or several of which the handshake chooses; without any: by thumbprint, or with the file in the document itself. */
  | { kind: "certificate"; ids: string[]; thumbprint: string }
  | { kind: "identity"; resource: string; clientId: string };

const list = (text: string): string[] => text.split(",").map((part) => part.trim()).filter(Boolean);

const ELEMENTS = ["authentication-basic", "authentication-certificate", "authentication-managed-identity"];

/** The statements with which the gateway proves itself; a token that only goes into a variable is none. */
const credentialElements = (inbound: Element | null): Element[] =>
  [...(inbound?.children ?? [])].filter((e) => ELEMENTS.includes(e.tagName) && !e.hasAttribute("output-token-variable-name"));

/** The names of those statements, first to last. */
export const credentialNames = (document: Document): string[] => credentialElements(section(document, "inbound")).map((e) => e.tagName);

/** The last one that runs wins. */
export function credentialsOf(document: Document): Credentials {
  const found = credentialElements(section(document, "inbound")).pop();
  const at = (name: string): string => found?.getAttribute(name) ?? "";
  switch (found?.tagName) {
    case "authentication-basic": return { kind: "basic", username: at("username"), password: at("password") };
    case "authentication-certificate": return { kind: "certificate", ids: [...list(at("certificate-id")), ...list(at("certificate-ids"))], thumbprint: at("thumbprint") };
    case "authentication-managed-identity": return { kind: "identity", resource: at("resource"), clientId: at("client-id") };
    default: return { kind: "none" };
  }
}

/** Attributes that the form writes. */
const SHOWN = ["username", "password", "certificate-id", "certificate-ids", "thumbprint", "body", "resource", "client-id"];

function elementOf(document: Document, credentials: Credentials): Element | null {
  const make = (name: string, attributes: Record<string, string>): Element => {
    const element = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) if (value) element.setAttribute(attribute, value);
    return element;
  };
  switch (credentials.kind) {
    case "basic": return make("authentication-basic", { username: credentials.username, password: credentials.password });
    // By id: a certificate that rotates keeps its id, not its thumbprint.
    case "certificate": return make("authentication-certificate", credentials.ids.length > 1 ? { "certificate-ids": credentials.ids.join(", ") } : { "certificate-id": credentials.ids[0] ?? "" });
    case "identity": return make("authentication-managed-identity", { resource: credentials.resource, "client-id": credentials.clientId });
    default: return null;
  }
}

/** The same document with other credentials; everything else stays, comments and blanks, too. */
export function withCredentials(xml: string, credentials: Credentials): string {
  const document = parse(xml);
  if (!document) throw new Error("The policy document cannot be read. Edit it in the code view.");
  let inbound = section(document, "inbound");
  if (!inbound) {
    inbound = document.createElement("inbound");
    inbound.append("\n        ", document.createElement("base"), "\n    ");
    document.documentElement.prepend("\n    ", inbound);
  }
  const element = elementOf(document, credentials);
  const former = credentialElements(inbound);
  const last = former.pop();
  if (last && element) {
    // In its place; what the form does not show of the same statement (id, ignore-error) stays.
    if (last.tagName === element.tagName) for (const { name, value } of [...last.attributes]) if (!SHOWN.includes(name)) element.setAttribute(name, value);
    last.replaceWith(element);
  } else if (last) former.push(last);
  for (const gone of former) {
    if (gone.previousSibling?.nodeType === Node.TEXT_NODE && !gone.previousSibling.nodeValue?.trim()) gone.previousSibling.remove();
    gone.remove();
  }
  if (element && !last) {
    const end = inbound.lastChild;
    if (end?.nodeType === Node.TEXT_NODE && !end.nodeValue?.trim()) end.remove();
    inbound.append("\n        ", element, "\n    ");
  }
  return new XMLSerializer().serializeToString(document);
}

/** "… on line 4, column 2 …" of the server's sentence. */
export function placeOf(message: string): { line: number; column: number } | null {
  const found = /line (\d+), column (\d+)/.exec(message);
  return found ? { line: Number(found[1]), column: Number(found[2]) } : null;
}
