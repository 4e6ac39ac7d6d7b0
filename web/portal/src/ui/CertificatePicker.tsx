// SPDX-License-Identifier: Apache-2.0
// Chooses certificates out of any number of them: the server finds those whose id or subject has what is typed.
import { Combobox, Option } from "@fluentui/react-components";
import { useDeferredValue, useState } from "react";
import * as arm from "../core/arm";
import { containsAny } from "../core/format";
import { useRead } from "../core/hooks";
import { useService } from "../core/service";
import type { Certificate } from "../core/types";

const SHOWN = 100;

export function CertificatePicker(props: {
  value: string[];
  onChange: (value: string[]) => void;
  multiple?: boolean;
  /** What it means that none is chosen; then this can be chosen, too. */
  none?: string;
  placeholder?: string;
}): JSX.Element {
  const service = useService();
  const [typed, setTyped] = useState<string | null>(null); // null: nobody is choosing
  const wanted = useDeferredValue(typed ?? "");
  const filter = containsAny(wanted, ["name", "properties/subject"]);
  const list = useRead(["certificates", "found", filter ?? ""], (signal) => arm.get<arm.Page<Certificate>>(`${service.id}/certificates`, { $top: SHOWN, $orderby: "name", $filter: filter }, signal));
  const found = list.data?.value ?? [];
  const more = (list.data?.count ?? 0) - found.length;
  const placeholder = list.isPending && typed === null ? "Loading…" : list.data?.count === 0 && !wanted ? "There are no certificates yet" : (props.placeholder ?? props.none ?? "None");
  return (
    <Combobox
      freeform={false} multiselect={props.multiple ?? false} placeholder={placeholder} selectedOptions={props.value}
      value={typed ?? (props.value.filter(Boolean).join(", ") || (props.none ?? ""))}
      onOpenChange={(_, d) => setTyped(d.open ? "" : null)}
      onChange={(event) => setTyped(event.target.value)}
      onOptionSelect={(_, d) => { props.onChange(d.selectedOptions); setTyped(props.multiple ? "" : null); }}
    >
      {props.none && !wanted ? <Option value="" text={props.none}>{props.none}</Option> : null}
      {found.map((c) => <Option key={c.id} value={c.name} text={c.name}>{`${c.name} (${c.properties.subject}${c.properties.keyVault ? ", key vault" : ""})`}</Option>)}
      {more > 0 ? <Option disabled value="…" text="…">{`${more.toLocaleString()} more: type what the id or subject has`}</Option> : null}
      {list.data && found.length === 0 && wanted ? <Option disabled value="…" text="…">{`No certificate has “${wanted}”`}</Option> : null}
    </Combobox>
  );
}
