// SPDX-License-Identifier: Apache-2.0
// APIs > Workspaces: teams with resources of their own.
import { Button, Field, Input, Textarea } from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, DeleteRegular, PeopleTeamRegular, SearchRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useSearchParams } from "react-router-dom";
import * as arm from "../core/arm";
import { containsAny, isId } from "../core/format";
import { useSettled, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { inWorkspace, useService } from "../core/service";
import type { Workspace } from "../core/types";
import { DataTable } from "../ui/DataTable";
import { useNotify } from "../ui/notify";
import { ActButton, Blade, Command, Empty, ErrorBar, PageLink, Panel, useStyles } from "../ui/parts";
import { DeleteWorkspace } from "./workspace/Delete";

function AddWorkspace(props: { onClose: (made: string | null) => void }): JSX.Element {
  const [displayName, setDisplayName] = useState("");
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const write = useWrite<Workspace>();
  const notify = useNotify();
  const id = name || displayName.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  const error = write.error instanceof arm.ApiError ? write.error : null;
  const isWhole = isId(id) && displayName.trim() !== "";
  const save = (): void => write.mutate({
    method: "PUT", path: `/workspaces/${encodeURIComponent(id)}`, isNew: true,
    body: { properties: { displayName: displayName.trim(), ...(description.trim() ? { description: description.trim() } : {}) } },
  }, { onSuccess: () => { notify("success", "Workspace created", displayName); props.onClose(id); } });
  return (
    <Panel open title="Create workspace" onClose={() => props.onClose(null)} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending} onClick={() => { if (isWhole) save(); }}>{write.isPending ? "Creating…" : "Create"}</Button>
      <Button onClick={() => props.onClose(null)}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not created" />
      <Field label="Display name" required validationMessage={error?.about("displayName")}><Input value={displayName} autoFocus placeholder="Payments team" onChange={(_, d) => setDisplayName(d.value)} /></Field>
      <Field label="Name" required hint="Its id in the REST API."><Input value={id} onChange={(_, d) => setName(d.value)} /></Field>
      <Field label="Description"><Textarea value={description} resize="vertical" onChange={(_, d) => setDescription(d.value)} /></Field>
    </Panel>
  );
}

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const navigate = useNavigate();
  const client = useQueryClient();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState("");
  const [deleting, setDeleting] = useState<Workspace | null>(null);
  const filter = containsAny(useSettled(text), ["name", "displayName", "description"]);
  const noAdd = whyNot("workspaces/write");
  const noDelete = whyNot("workspaces/delete");
  const add = (): void => setQuery({ add: "" });
  const page = (name: string): string => `${inWorkspace(service, name).base}/overview`;
  return (
    <Blade title="Workspaces" subtitle={`${service.name} | ${service.kind}`} icon={<PeopleTeamRegular />} flush commands={<>
      <Command icon={<AddRegular />} label="Add" onClick={add} why={noAdd} />
      <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries({ queryKey: [service.id] })} />
    </>}>
      <div className={s.row} style={{ padding: "12px 20px" }}>
        <Input contentBefore={<SearchRegular />} placeholder="Filter by name or description" aria-label="Filter the workspaces" value={text} onChange={(_, data) => setText(data.value)} style={{ minWidth: 0, width: 320 }} />
      </div>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "0 12px" }}>
        <DataTable<Workspace> label="Workspaces" path="/workspaces" filter={filter} defaultSort="displayName" columns={[
          { key: "title", title: "Display name", grow: 3, min: 120, sort: "displayName", render: (w) => <PageLink to={page(w.name)}>{w.properties.displayName}</PageLink> },
          { key: "name", title: "Name", grow: 2, min: 90, sort: "name", render: (w) => <span className={s.mono}>{w.name}</span> },
          { key: "description", title: "Description", grow: 5, from: "medium", render: (w) => <span className={s.clip} title={w.properties.description}>{w.properties.description}</span> },
          { key: "more", title: "", grow: 0, min: 48, render: (w) => <ActButton appearance="subtle" icon={<DeleteRegular />} why={noDelete} aria-label={`Delete ${w.name}`} onClick={() => { if (!noDelete) setDeleting(w); }} /> },
        ]}
        empty={<Empty icon={<PeopleTeamRegular />} title="No workspaces yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={add}>Create workspace</ActButton>}>
          A workspace gives a team APIs, backends and certificates of its own, which no other team can name or use.
        </Empty>}
        nothing={<Empty icon={<SearchRegular />} title="No workspace matches">Change the filter to see others.</Empty>} />
      </div>
      {query.get("add") !== null ? <AddWorkspace onClose={(made) => { if (made) navigate(page(made)); else setQuery({}); }} /> : null}
      {deleting ? <DeleteWorkspace workspace={deleting} onClose={() => setDeleting(null)} /> : null}
    </Blade>
  );
}
