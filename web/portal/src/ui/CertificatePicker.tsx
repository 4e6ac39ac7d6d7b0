// SPDX-License-Identifier: Apache-2.0
import type { Certificate } from "../core/types";
import { type PickerProps, ResourcePicker } from "./ResourcePicker";

export function CertificatePicker(props: PickerProps): JSX.Element {
  return (
    <ResourcePicker<Certificate> {...props} path="/certificates" fields={["name", "properties/subject"]} noun="certificate" searched="id or subject"
      textOf={(c) => `${c.name} (${c.properties.subject}${c.properties.keyVault ? ", key vault" : ""})`} />
  );
}
