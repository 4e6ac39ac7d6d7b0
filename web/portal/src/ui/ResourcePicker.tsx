// SPDX-License-Identifier: Apache-2.0
// Chooses resources out of any number of them: the server finds those that have what is typed.
import { Combobox, Option } from "@fluentui/react-components";
import { useState } from "react";
import * as arm from "../core/arm";
import { containsAny } from "../core/format";
import { useRead, useSettled } from "../core/hooks";
import { useService } from "../core/service";

const SHOWN = 100;

export interface PickerProps {
  /** names */
  value: string[];
  onChange: (value: string[]) => void;
  multiple?: boolean;
  /** What it means that none is chosen; then this can be chosen, too. */
  none?: string;
  placeholder?: string;
  label?: string;
}

export function ResourcePicker<T extends arm.Entity<object>>(props: PickerProps & {
  /** below the service, "/backends" */
  path: string;
  /** what of it is searched; the first one is the order, too */
  fields: string[];
  /** a $filter that holds in any case */
  only?: string;
  /** names that cannot be chosen */
  except?: string[];
  /** "certificate", and what is searched in words: "id or subject" */
  noun: string;
  searched: string;
  textOf: (item: T) => string;
}): JSX.Element {
  const service = useService();
  const [typed, setTyped] = useState<string | null>(null); // null: nobody is choosing
  const wanted = useSettled(typed ?? "");
  const has = containsAny(wanted, props.fields);
  const filter = has && props.only ? `(${has}) and ${props.only}` : has ?? props.only;
  const list = useRead([props.path, "found", filter ?? ""], (signal) => arm.get<arm.Page<T>>(`${service.id}${props.path}`, { $top: SHOWN, $orderby: props.fields[0], $filter: filter }, signal));
  const found = (list.data?.value ?? []).filter((item) => !props.except?.includes(item.name));
  const more = (list.data?.count ?? 0) - (list.data?.value.length ?? 0);
  const placeholder = list.isPending && typed === null ? "Loading…" : list.data?.count === 0 && !wanted ? `There are no ${props.noun}s yet` : (props.placeholder ?? props.none ?? "None");
  return (
    <Combobox
      freeform={false} multiselect={props.multiple ?? false} placeholder={placeholder} selectedOptions={props.value} aria-label={props.label} style={{ minWidth: 0, width: "100%" }}
      value={typed ?? (props.value.filter(Boolean).join(", ") || (props.none ?? ""))}
      onOpenChange={(_, d) => setTyped(d.open ? "" : null)}
      onChange={(event) => setTyped(event.target.value)}
      onOptionSelect={(_, d) => { props.onChange(d.selectedOptions); setTyped(props.multiple ? "" : null); }}
    >
      {props.none && !wanted ? <Option value="" text={props.none}>{props.none}</Option> : null}
      {found.map((item) => <Option key={item.id} value={item.name} text={item.name}>{props.textOf(item)}</Option>)}
      {more > 0 ? <Option disabled value="…" text="…">{`${more.toLocaleString()} more: type what the ${props.searched} has`}</Option> : null}
      {list.data && found.length === 0 && wanted ? <Option disabled value="…" text="…">{`No ${props.noun} has “${wanted}”`}</Option> : null}
      {list.error && !list.data ? <Option disabled value="…" text="…">{`The ${props.noun}s cannot be read: ${list.error.message}`}</Option> : null}
    </Combobox>
  );
}
