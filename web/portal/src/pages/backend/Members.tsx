// SPDX-License-Identifier: Apache-2.0
// The members of a pool: which backends, in which order, with which share.
import { Button, Field, Input } from "@fluentui/react-components";
import { AddRegular, DeleteRegular } from "@fluentui/react-icons";
import { BackendPicker } from "../../ui/BackendPicker";
import { useStyles } from "../../ui/parts";
import type { Member } from "./model";

export function Members(props: { name: string; value: Member[]; onChange: (value: Member[]) => void }): JSX.Element {
  const s = useStyles();
  const set = (at: number, change: Partial<Member>): void => props.onChange(props.value.map((m, i) => (i === at ? { ...m, ...change } : m)));
  return (
    <fieldset style={{ border: 0, padding: 0, margin: 0 }} className={s.column}>
      <legend>Members: the lowest priority that is available gets the requests; weight is the share in it.</legend>
      {props.value.map((m, i) => (
        <div key={i} style={{ display: "flex", gap: 8, alignItems: "flex-end" }}>
          <Field label={i === 0 ? "Backend" : undefined} style={{ minWidth: 0, flex: 1 }}>
            <BackendPicker single placeholder="Choose a backend" label={`Member ${i + 1}`} value={m.id} onChange={(id) => set(i, { id })} except={[props.name, ...props.value.map((x) => x.id).filter((id) => id !== m.id)]} />
          </Field>
          <Field label={i === 0 ? "Priority" : undefined} style={{ width: 72 }}>
            <Input input={{ style: { minWidth: 0 } }} style={{ minWidth: 0 }} type="number" min={0} max={100} placeholder="0" aria-label={`Priority of member ${i + 1}`} value={m.priority} onChange={(_, d) => set(i, { priority: d.value })} />
          </Field>
          <Field label={i === 0 ? "Weight" : undefined} style={{ width: 72 }}>
            <Input input={{ style: { minWidth: 0 } }} style={{ minWidth: 0 }} type="number" min={0} max={100} placeholder="1" aria-label={`Weight of member ${i + 1}`} value={m.weight} onChange={(_, d) => set(i, { weight: d.value })} />
          </Field>
          <Button icon={<DeleteRegular />} aria-label={`Remove member ${i + 1}`} onClick={() => props.onChange(props.value.filter((_, k) => k !== i))} />
        </div>
      ))}
      <div><Button size="small" icon={<AddRegular />} onClick={() => props.onChange([...props.value, { id: "", priority: "1", weight: "1", former: null }])}>Add member</Button></div>
    </fieldset>
  );
}
