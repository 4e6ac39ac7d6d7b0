// SPDX-License-Identifier: Apache-2.0
// node-forge writes a PKCS#12 file anew: forge.mjs IN PASSWORD ALGORITHM OUT
import fs from "node:fs";
import forge from "node-forge";

const [source, password, algorithm, out] = process.argv.slice(2);
const read = forge.pkcs12.pkcs12FromAsn1(
  forge.asn1.fromDer(fs.readFileSync(source).toString("binary")), password);
const keys = read.getBags({ bagType: forge.pki.oids.pkcs8ShroudedKeyBag })[forge.pki.oids.pkcs8ShroudedKeyBag];
const certificates = read.getBags({ bagType: forge.pki.oids.certBag })[forge.pki.oids.certBag];
const written = forge.pkcs12.toPkcs12Asn1(
  keys[0].key, certificates.map((bag) => bag.cert), password, { algorithm, friendlyName: "mine" });
fs.writeFileSync(out, Buffer.from(forge.asn1.toDer(written).getBytes(), "binary"));
