// SPDX-License-Identifier: Apache-2.0
// Throw-away authority and client certificates, by the openssl command.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const folder = mkdtempSync(join(tmpdir(), "postern-portal-pki-"));
const openssl = (...args) => execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });

export function makeAuthority(name = "Portal Test CA") {
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
    "-days", "400", "-subj", `/O=Portal Test/CN=${name}`, "-addext", "keyUsage=critical,keyCertSign,cRLSign");
}

function sign(name, subject, extensions, days) {
  writeFileSync(join(folder, `${name}.ext`), extensions);
  openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", subject);
  // Old ones: openssl x509 has no -startdate before 3.4, but takes a negative number of days.
  openssl("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", String(days), "-extfile", `${name}.ext`, "-out", `${name}.pem`);
}

export function makeServer(name = "server") {
  sign(name, "/O=Portal Test/CN=localhost", "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n", 90);
  return { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`), ca: join(folder, "ca.pem") };
}

/** A client certificate as .pfx; the thumbprint is SHA-1 in capitals, as in the API. */
export function makeClient(name, { password = "secret", days = 90 } = {}) {
  sign(name, `/O=Portal Test/CN=${name}`, "extendedKeyUsage=clientAuth\nkeyUsage=critical,digitalSignature\n", days);
  openssl("pkcs12", "-export", "-in", `${name}.pem`, "-inkey", `${name}.key`, "-certfile", "ca.pem", "-out", `${name}.pfx`, "-passout", `pass:${password}`);
  const print = openssl("x509", "-in", `${name}.pem`, "-noout", "-fingerprint", "-sha1").toString();
  return {
    name, password, pfx: join(folder, `${name}.pfx`), pem: join(folder, `${name}.pem`),
    base64: readFileSync(join(folder, `${name}.pfx`)).toString("base64"), thumbprint: print.replace(/.*=/s, "").replace(/[:\s]/g, ""),
  };
}
