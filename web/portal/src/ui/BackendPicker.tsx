// SPDX-License-Identifier: Apache-2.0
import type { Backend } from "../core/types";
import { type PickerProps, ResourcePicker } from "./ResourcePicker";

const textOf = (b: Backend): string => (b.properties.type === "Pool" ? `${b.name} (pool)` : b.properties.url ? `${b.name} (${b.properties.url})` : b.name);

/** One backend; `single`: pools are not offered. */
export function BackendPicker(props: Omit<PickerProps, "value" | "onChange" | "multiple"> & { value: string; onChange: (value: string) => void; single?: boolean; except?: string[] }): JSX.Element {
  return (
    <ResourcePicker<Backend> {...props} value={props.value || props.none ? [props.value] : []} onChange={(value) => props.onChange(value[0] ?? "")}
      path="/backends" fields={["name", "title", "url"]} noun="backend" searched="name, title or URL" textOf={textOf} {...(props.single ? { only: "type ne 'Pool'" } : {})} />
  );
}
