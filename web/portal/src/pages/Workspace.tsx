// SPDX-License-Identifier: Apache-2.0
// One workspace: what it is and what is in it. Its other pages are those of the service.
import { Button, Field, Input, Textarea } from "@fluentui/react-components";
import { DeleteRegular, EditRegular, PeopleTeamRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useNavigate } from "react-router-dom";
import * as arm from "../core/arm";
import { useEntity, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Workspace } from "../core/types";
import { SaveError, useLookAgain } from "../ui/conflict";
import { useNotify } from "../ui/notify";
import { Blade, Card, Command, Copy, ErrorBar, Facts, Hint, Loading, PageLink, Panel } from "../ui/parts";
import { DeleteWorkspace, useCounts } from "./workspace/Delete";

function Edit(props: { workspace: Workspace; etag: string | null; onClose: () => void }): JSX.Element {
  const [displayName, setDisplayName] = useState(props.workspace.properties.displayName);
  const [description, setDescription] = useState(props.workspace.properties.description ?? "");
  const [etag, setEtag] = useState(props.etag);
  const service = useService();
  const write = useWrite();
  const notify = useNotify();
  const conflict = write.error instanceof arm.ApiError && write.error.status === 412;
  const isWhole = displayName.trim() !== "";
  const again = useLookAgain();
  const lookAgain = async (): Promise<void> => {
    const fresh = await arm.call<Workspace>(service.id);
    setEtag(fresh.etag);
    write.reset();
  };
  return (
    <Panel open title={`Edit ${props.workspace.name}`} onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending || again.isBusy} onClick={() => {
        if (isWhole) write.mutate({ method: "PUT", path: "", etag, body: { properties: { displayName: displayName.trim(), ...(description.trim() ? { description: description.trim() } : {}) } } },
          { onSuccess: () => { notify("success", "Workspace saved", displayName); props.onClose(); } });
      }}>{write.isPending ? "Saving…" : "Save"}</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <SaveError error={write.error} conflict={conflict ? "Somebody else has changed this workspace meanwhile" : null} again={again} ways={{ "Save mine nevertheless": lookAgain }} />
      <Field label="Display name" required><Input value={displayName} autoFocus onChange={(_, d) => setDisplayName(d.value)} /></Field>
      <Field label="Description"><Textarea value={description} resize="vertical" onChange={(_, d) => setDescription(d.value)} /></Field>
    </Panel>
  );
}

export function Component(): JSX.Element {
  const service = useService();
  const navigate = useNavigate();
  const whyNot = useWhyNot();
  const entity = useEntity<Workspace["properties"]>("");
  const counts = useCounts(service.id);
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  if (entity.isPending) return <Blade title={service.name} icon={<PeopleTeamRegular />}><Loading /></Blade>;
  if (entity.error && !deleting) return <Blade title={service.name} icon={<PeopleTeamRegular />}><ErrorBar error={entity.error} title="This workspace cannot be shown" onRetry={() => void entity.refetch()} /></Blade>;
  if (!entity.data) return <Blade title={service.name} icon={<PeopleTeamRegular />}><Loading /></Blade>; // it is being deleted
  const workspace = entity.data.value as Workspace;
  const all = `${service.parent?.base ?? ""}/workspaces`;
  const link = (path: string, count: number | undefined): JSX.Element => <PageLink key={path} to={`${service.base}/${path}`}>{count === undefined ? "…" : count.toLocaleString()}</PageLink>;
  return (
    <Blade title={workspace.properties.displayName} subtitle={`${service.name} | Workspace`} icon={<PeopleTeamRegular />} commands={<>
      <Command icon={<EditRegular />} label="Edit" onClick={() => setEditing(true)} why={whyNot("write")} />
      <Command icon={<DeleteRegular />} label="Delete" onClick={() => setDeleting(true)} why={whyNot("delete")} />
    </>}>
      <Card title="Essentials"><Facts items={[
        ["Description", workspace.properties.description],
        ["Resource id", <Copy key="i" text={workspace.id} label="resource id" />],
      ]} /></Card>
      <ErrorBar error={counts.error} title="What is in it cannot be counted" />
      <Card title="In this workspace"><Facts items={[
        ["APIs", link("apis", counts.data?.apis)],
        ["Backends", link("backends", counts.data?.backends)],
        ["Certificates", link("certificates", counts.data?.certificates)],
        ["Products", link("products", counts.data?.products)],
        ["Subscriptions", link("subscriptions", counts.data?.subscriptions)],
      ]} /></Card>
      <Hint>Policies and backends here name what is in this workspace, and nothing else. Paths of APIs are unique over the whole service. Roles are given on the workspace by its resource id.</Hint>
      {editing ? <Edit workspace={workspace} etag={entity.data.etag} onClose={() => setEditing(false)} /> : null}
      {deleting ? <DeleteWorkspace workspace={workspace} onClose={(deleted) => { setDeleting(false); if (deleted) navigate(all); }} /> : null}
    </Blade>
  );
}
