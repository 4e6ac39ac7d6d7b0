// SPDX-License-Identifier: Apache-2.0
// APIs > Policy fragments: statements that policies include.
import { Button, Field, Input, Spinner, Text } from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, DeleteRegular, DocumentBulletListRegular, SearchRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { useSearchParams } from "react-router-dom";
import * as arm from "../core/arm";
import { containsAny } from "../core/format";
import { useEntity, useMounted, useRead, useSettled, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { UsageItem } from "../core/types";
import type { Mistake } from "../ui/CodeEditor";
import { DataTable } from "../ui/DataTable";
import { SaveError, useLookAgain } from "../ui/conflict";
import { useNotify } from "../ui/notify";
import { ActButton, Blade, Command, Confirm, Empty, ErrorBar, Loading, Panel, useStyles } from "../ui/parts";
import { placeOf } from "./api/policy";
import { UsageList } from "./certificate/parts";

const CodeEditor = lazy(() => import("../ui/CodeEditor").then((m) => ({ default: m.CodeEditor })));

type Fragment = arm.Entity<{ value: string; format: string; description?: string }>;
const fragmentPath = (name: string): string => `/policyFragments/${encodeURIComponent(name)}`;
const isFragmentId = (text: string): boolean => /^(\w+|\w[\w-]+\w)$/.test(text) && text.length <= 80;
const NEW = "<fragment>\n    <set-header name=\"X-Example\">\n        <value>1</value>\n    </set-header>\n</fragment>";

/** Who includes it. */
function IncludedBy(props: { name: string }): JSX.Element {
  const service = useService();
  const found = useRead<{ value: UsageItem[]; count: number }>(["fragment", props.name], (signal) =>
    arm.call<{ value: UsageItem[]; count: number }>(`${service.id}${fragmentPath(props.name)}/listReferences`, { method: "POST", signal }).then((answer) => answer.value));
  if (!found.data) return found.error ? <ErrorBar error={found.error} title="Who includes it cannot be listed" /> : <Loading />;
  return (
    <section aria-label="Included by">
      <Text weight="semibold" block>Included by</Text>
      {found.data.count === 0 ? <Text>No policy includes it yet: {`<include-fragment fragment-id="${props.name}" />`}</Text> : <UsageList items={found.data.value} truncated={found.data.count > found.data.value.length} />}
    </section>
  );
}

function FragmentPanel(props: { edit: string | null; onClose: () => void }): JSX.Element {
  const notify = useNotify();
  const whyNot = useWhyNot();
  const why = whyNot("policyFragments/write");
  const existing = useEntity<Fragment["properties"]>(props.edit === null ? null : fragmentPath(props.edit), { format: "rawxml" });
  const write = useWrite<Fragment>();
  const [id, setId] = useState(props.edit ?? "");
  const [description, setDescription] = useState("");
  const [text, setText] = useState<string | null>(props.edit === null ? NEW : null);
  const was = existing.data?.value.properties;
  useEffect(() => {
    if (text !== null || !was) return;
    setText(was.value.replace(/\r\n/g, "\n"));
    setDescription(was.description ?? "");
  }, [was, text]);
  const mistake = useMemo<Mistake | null>(() => {
    const words = write.error instanceof arm.ApiError ? write.error.words : "";
    // The place in a policy that includes it is not a place in this text, unless it says so.
    const place = words.includes("would no longer be valid") && !words.includes("in the policy fragment") ? null : placeOf(words);
    return place ? { ...place, message: words } : null;
  }, [write.error]);
  const again = useLookAgain();
  const takeTheirs = async (): Promise<void> => {
    await existing.refetch({ throwOnError: true });
    write.reset();
    setText(null);
  };
  const conflict = write.error instanceof arm.ApiError && write.error.status === 412;
  const isWhole = isFragmentId(id) && text !== null && !why;
  const save = (): void =>
    write.mutate({
      method: "PUT", path: fragmentPath(id), isNew: props.edit === null, etag: props.edit === null ? null : existing.data?.etag ?? null,
      body: { properties: { format: "rawxml", value: text, ...(description ? { description } : {}) } },
    }, {
      onSuccess: () => {
        notify("success", props.edit === null ? "Policy fragment added" : "Policy fragment saved", "All policies that include it have it from the next request on.");
        props.onClose();
      },
    });
  return (
    <Panel open size="large" title={props.edit === null ? "Add policy fragment" : `Policy fragment ${props.edit}`} onClose={props.onClose}
      footer={<>
        <ActButton appearance="primary" why={why} disabledFocusable={!isWhole || write.isPending || again.isBusy} onClick={() => { if (isWhole && !write.isPending) save(); }}>{write.isPending ? "Saving…" : props.edit === null ? "Create" : "Save"}</ActButton>
        <Button onClick={props.onClose}>Cancel</Button>
      </>}>
      <SaveError error={write.error} conflict={conflict ? "Somebody else has changed it meanwhile" : null} again={again} ways={{ "Take theirs": takeTheirs }} />
      {existing.error ? <ErrorBar error={existing.error} title="It cannot be shown" /> : null}
      {text === null ? (existing.error ? null : <Loading />) : <>
        {props.edit === null ? (
          <Field label="Name" required validationMessage={id && !isFragmentId(id) ? "1 to 80 letters, digits and '_', with '-' between them." : undefined}>
            <Input value={id} autoFocus placeholder="partner-headers" onChange={(_, data) => setId(data.value)} />
          </Field>
        ) : null}
        <Field label="Description"><Input value={description} onChange={(_, data) => setDescription(data.value)} /></Field>
        <div style={{ display: "flex", flexDirection: "column", height: 360 }}>
          <Suspense fallback={<Spinner label="Opening the editor…" />}>
            <CodeEditor value={text} onChange={setText} label="Policy fragment" mistake={mistake} readOnly={Boolean(why)} />
          </Suspense>
        </div>
        {props.edit === null ? null : <IncludedBy name={props.edit} />}
      </>}
    </Panel>
  );
}

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const client = useQueryClient();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState("");
  const filter = containsAny(useSettled(text), ["name", "description"]);
  const [deleting, setDeleting] = useState<string | null>(null);
  const remove = useWrite();
  const noAdd = whyNot("policyFragments/write");
  const noDelete = whyNot("policyFragments/delete");
  const add = (): void => setQuery({ add: "" });
  const mounted = useMounted();
  const edited = mounted ? query.get("edit") : null;
  return (
    <Blade title="Policy fragments" subtitle={`${service.name} | ${service.kind}`} icon={<DocumentBulletListRegular />} flush commands={<>
      <Command icon={<AddRegular />} label="Create" onClick={add} why={noAdd} />
      <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries({ queryKey: [service.id] })} />
    </>}>
      <div className={s.row} style={{ padding: "12px 20px" }}>
        <Input contentBefore={<SearchRegular />} placeholder="Filter by name or description" aria-label="Filter the policy fragments" value={text} onChange={(_, data) => setText(data.value)} style={{ minWidth: 0, width: 320 }} />
      </div>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "0 12px" }}>
        <DataTable<Fragment> label="Policy fragments" path="/policyFragments" filter={filter} defaultSort="name" columns={[
          { key: "name", title: "Name", grow: 3, min: 110, sort: "name", render: (f) => <Button appearance="transparent" size="small" aria-label={`Open ${f.name}`} onClick={() => setQuery({ edit: f.name })} style={{ padding: 0, minWidth: 0 }}><span className={s.clip}>{f.name}</span></Button> },
          { key: "description", title: "Description", grow: 5, min: 140, sort: "description", from: "medium", render: (f) => <span className={s.clip} title={f.properties.description}>{f.properties.description ?? ""}</span> },
          { key: "more", title: "", grow: 0, min: 56, render: (f) => <ActButton size="small" icon={<DeleteRegular />} why={noDelete} aria-label={`Delete ${f.name}`} onClick={() => { if (!noDelete) setDeleting(f.name); }} /> },
        ]}
        empty={<Empty icon={<DocumentBulletListRegular />} title="No policy fragments yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={() => { if (!noAdd) add(); }}>Create policy fragment</ActButton>}>
          Statements that several policies include: a change of the fragment is a change of all of them.
        </Empty>}
        nothing={<Empty icon={<SearchRegular />} title="No policy fragment matches">Change the filter to see others.</Empty>} />
      </div>
      {mounted && query.get("add") !== null ? <FragmentPanel edit={null} onClose={() => setQuery({})} /> : null}
      {edited ? <FragmentPanel key={edited} edit={edited} onClose={() => setQuery({})} /> : null}
      <Confirm open={deleting !== null} title={`Delete ${deleting ?? ""}?`} action="Delete" busy={remove.isPending} onClose={() => { setDeleting(null); remove.reset(); }}
        onYes={() => remove.mutate({ method: "DELETE", path: fragmentPath(deleting ?? ""), etag: "*" }, { onSuccess: () => { notify("success", "Policy fragment deleted", deleting ?? ""); setDeleting(null); } })}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>A fragment that a policy includes is not deleted.</Text>
      </Confirm>
    </Blade>
  );
}
