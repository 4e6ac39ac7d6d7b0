// SPDX-License-Identifier: Apache-2.0
// The kinds of keys that a vault makes.
import { Dropdown, Field, Option } from "@fluentui/react-components";

export const keyTypes: Record<string, { kty: string; key_size?: number; crv?: string }> = {
  "EC P-256": { kty: "EC", crv: "P-256" }, "EC P-384": { kty: "EC", crv: "P-384" }, "EC P-521": { kty: "EC", crv: "P-521" },
  "RSA 2048": { kty: "RSA", key_size: 2048 }, "RSA 3072": { kty: "RSA", key_size: 3072 }, "RSA 4096": { kty: "RSA", key_size: 4096 },
};

export function KeyType(props: { value: string; onChange: (value: string) => void }): JSX.Element {
  return (
    <Field label="Key type">
      <Dropdown value={props.value} selectedOptions={[props.value]} onOptionSelect={(_, chosen) => props.onChange(chosen.optionValue ?? props.value)}>
        {Object.keys(keyTypes).map((name) => <Option key={name} value={name}>{name}</Option>)}
      </Dropdown>
    </Field>
  );
}
