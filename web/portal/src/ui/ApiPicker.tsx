// SPDX-License-Identifier: Apache-2.0
import type { Api } from "../core/types";
import { type PickerProps, ResourcePicker } from "./ResourcePicker";

export function ApiPicker(props: Omit<PickerProps, "value" | "onChange" | "multiple"> & { value: string; onChange: (value: string) => void }): JSX.Element {
  return (
    <ResourcePicker<Api> {...props} value={props.value || props.none ? [props.value] : []} onChange={(value) => props.onChange(value[0] ?? "")}
      path="/apis" fields={["displayName", "name", "path"]} noun="API" searched="name or path" textOf={(a) => (a.properties.displayName === a.name ? a.name : `${a.properties.displayName} (${a.name})`)} />
  );
}
