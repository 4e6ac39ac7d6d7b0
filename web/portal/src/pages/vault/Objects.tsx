// SPDX-License-Identifier: Apache-2.0
// Certificates, secrets and keys of a vault: as many as are looked at, versions, and what can be done.
import { Badge, Button, Input, Table, TableBody, TableCell, TableHeader, TableHeaderCell, TableRow, Text, useArrowNavigationGroup } from "@fluentui/react-components";
import { AddRegular, CertificateRegular, KeyRegular, LockClosedRegular, SearchRegular } from "@fluentui/react-icons";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { type ReactElement, useState } from "react";
import { dateTimeText } from "../../core/format";
import type { Vault } from "../../core/types";
import * as data from "../../core/vault";
import { useVaultRights } from "../../core/vaultRights";
import { useNotify } from "../../ui/notify";
import { ActButton, Confirm, Copy, Empty, ErrorBar, Facts, Loading, Panel, useStyles } from "../../ui/parts";
import { CreatePanel } from "./Create";
import { CertificatePolicy } from "./Policy";
import { type Kind, singular, useVaultCall } from "./change";

const icons: Record<Kind, ReactElement> = { certificates: <CertificateRegular />, secrets: <LockClosedRegular />, keys: <KeyRegular /> };
const abouts: Record<Kind, string> = {
  certificates: "Generate a certificate here, or import a .pfx: the gateway follows its versions.",
  secrets: "A secret is a text with versions: a password, a connection string.",
  keys: "A key signs and decrypts in the vault; its private half never leaves it.",
};
const seconds = (at: number | undefined): string => (at ? dateTimeText(new Date(at * 1000).toISOString()) : "");

/** The list as far as it was asked for: the vault gives 25 at a time. */
const useObjects = (vault: Vault, kind: Kind) =>
  useInfiniteQuery({
    queryKey: ["vault", vault.name, kind, "pages"],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => data.page(vault.name, `/${kind}`, pageParam, signal),
    getNextPageParam: (last) => last.next,
  });

const StateBadge = (props: { item: data.VaultItem }): JSX.Element =>
  props.item.attributes?.enabled === false ? <Badge appearance="tint" color="danger">Disabled</Badge> : <Badge appearance="tint" color="success">Enabled</Badge>;

/** Something new is made or imported; who may do one of both sees the panel. */
const whyNoNew = (rights: ReturnType<typeof useVaultRights>, kind: Kind): string | undefined =>
  kind === "secrets" ? rights(kind, "set") : rights(kind, "create") && rights(kind, "import");

function Versions(props: { vault: Vault; kind: Kind; name: string }): JSX.Element {
  const s = useStyles();
  const versions = useQuery({
    queryKey: ["vault", props.vault.name, props.kind, props.name, "versions"],
    queryFn: ({ signal }) => data.list(props.vault.name, `/${props.kind}/${props.name}/versions`, signal),
  });
  const call = useVaultCall(props.vault);
  const why = useVaultRights(props.vault)(props.kind, props.kind === "secrets" ? "set" : "update");
  if (versions.isPending) return <Loading />;
  if (versions.error && !versions.data) return <ErrorBar error={versions.error} title="Its versions cannot be listed" />;
  const sorted = [...versions.data].sort((a, b) => (b.attributes?.created ?? 0) - (a.attributes?.created ?? 0));
  return (
    <>
      <ErrorBar error={call.error} title="Not changed" />
      <ol aria-label="Versions, newest first" style={{ listStyleType: "none", margin: 0, padding: 0, display: "flex", flexDirection: "column", gap: 12 }}>
        {sorted.map((item, at) => (
          <li key={item.id} className={s.card}>
            <div className={s.row}>
              <span className={s.mono}>{data.objectVersion(item.id)}</span>
              {at === 0 ? <Badge appearance="tint" color="brand">Current</Badge> : null}
              <StateBadge item={item} />
            </div>
            <Facts items={[
              ["Created", seconds(item.attributes?.created)],
              ["Activation", seconds(item.attributes?.nbf)],
              ["Expiration", seconds(item.attributes?.exp)],
              ["Identifier", <Copy key="i" text={item.id} label={`identifier of version ${data.objectVersion(item.id)}`} />],
            ]} />
            <ActButton size="small" why={why} disabledFocusable={call.isPending}
              onClick={() => why ?? call.mutate({ method: "PATCH", path: `/${props.kind}/${props.name}/${data.objectVersion(item.id)}`, body: { attributes: { enabled: item.attributes?.enabled === false } } })}>
              {item.attributes?.enabled === false ? "Enable" : "Disable"}
            </ActButton>
          </li>
        ))}
      </ol>
    </>
  );
}

function ObjectPanel(props: { vault: Vault; kind: Kind; name: string; onNewVersion: () => void; onClose: () => void }): JSX.Element {
  const [deleting, setDeleting] = useState(false);
  const [shown, setShown] = useState<string | null>(null);
  const call = useVaultCall<{ value?: string }>(props.vault);
  const notify = useNotify();
  const rights = useVaultRights(props.vault);
  const noNew = whyNoNew(rights, props.kind);
  const noDelete = rights(props.kind, "delete");
  const noGet = rights("secrets", "get");
  const [policy, setPolicy] = useState(false);
  const remove = (): void =>
    call.mutate({ method: "DELETE", path: `/${props.kind}/${props.name}` }, {
      onSuccess: () => { notify("success", `${props.name} was deleted`, "It can be recovered under Deleted objects."); props.onClose(); },
      onError: () => setDeleting(false),
    });
  const show = (): void =>
    call.mutate({ method: "GET", path: `/secrets/${props.name}` }, { onSuccess: ({ value }) => setShown(value.value ?? "") });
  return (
    <Panel open title={props.name} size="large" onClose={props.onClose} footer={<>
      <ActButton appearance="primary" icon={<AddRegular />} why={noNew} onClick={() => { if (!noNew) props.onNewVersion(); }}>New version</ActButton>
      {props.kind === "certificates" ? <Button onClick={() => setPolicy(true)}>Issuance policy</Button> : null}
      {props.kind === "secrets" ? <ActButton why={noGet} onClick={() => { if (!noGet) show(); }} disabledFocusable={call.isPending}>Show secret value</ActButton> : null}
      <ActButton why={noDelete} onClick={() => { if (!noDelete) setDeleting(true); }}>Delete</ActButton>
    </>}>
      <ErrorBar error={call.error} title="Not done" />
      {shown !== null ? <Facts items={[["Secret value", <Copy key="v" text={shown} label="secret value" />]]} /> : null}
      <Versions vault={props.vault} kind={props.kind} name={props.name} />
      {policy ? <CertificatePolicy vault={props.vault} name={props.name} onClose={() => setPolicy(false)} /> : null}
      <Confirm open={deleting} title={`Delete ${props.name}?`} action="Delete" busy={call.isPending} onYes={remove} onClose={() => setDeleting(false)}>
        All its versions are taken out of use. It can be recovered for {props.vault.properties.softDeleteRetentionInDays ?? 90} days.
      </Confirm>
    </Panel>
  );
}

export function Objects(props: { vault: Vault; kind: Kind }): JSX.Element {
  const s = useStyles();
  const { kind, vault } = props;
  const objects = useObjects(vault, kind);
  const arrows = useArrowNavigationGroup({ axis: "grid", memorizeCurrent: true }); // one stop of the Tab key
  const [text, setText] = useState("");
  const [open, setOpen] = useState<string | null>(null);
  const [creating, setCreating] = useState<string | null>(null);
  const all = objects.data?.pages.flatMap((page) => page.value) ?? [];
  const rows = all.filter((item) => data.objectName(item.id).toLowerCase().includes(text.trim().toLowerCase()));
  const noNew = whyNoNew(useVaultRights(vault), kind);
  const add = <ActButton appearance="primary" icon={<AddRegular />} why={noNew} onClick={() => { if (!noNew) setCreating(""); }}>Generate/Import</ActButton>;
  return (
    <>
      {objects.isPending ? <Loading /> : null}
      <ErrorBar error={objects.error} title={`The ${kind} cannot be listed`} onRetry={() => void objects.refetch()} />
      {objects.data && all.length === 0 ? <Empty icon={icons[kind]} title={`No ${kind} yet`} action={add}>{abouts[kind]}</Empty> : null}
      {all.length > 0 ? (
        <>
          <div className={s.row}>
            {add}
            <Input contentBefore={<SearchRegular />} placeholder="Filter by name" aria-label={`Filter the ${kind}`} value={text} onChange={(_, value) => setText(value.value)} />
          </div>
          <Table {...arrows} role="grid" aria-label={kind[0]?.toUpperCase() + kind.slice(1)}>
            <TableHeader><TableRow><TableHeaderCell>Name</TableHeaderCell><TableHeaderCell>Status</TableHeaderCell><TableHeaderCell>Expiration</TableHeaderCell></TableRow></TableHeader>
            <TableBody>
              {rows.map((item) => {
                const name = data.objectName(item.id);
                return (
                  <TableRow key={item.id}>
                    <TableCell><Button appearance="transparent" style={{ paddingLeft: 0, minWidth: 0, justifyContent: "flex-start", textAlign: "left" }} onClick={() => setOpen(name)}>{name}</Button></TableCell>
                    <TableCell><StateBadge item={item} /></TableCell>
                    <TableCell>{seconds(item.attributes?.exp)}</TableCell>
                  </TableRow>
                );
              })}
            </TableBody>
          </Table>
          <div className={s.row}>
            {rows.length === 0 ? <Text>{`No ${singular[kind]} of those that are loaded matches. Change the filter to see others.`}</Text> : null}
            <Text size={200} aria-live="polite">{rows.length} of {all.length}{objects.hasNextPage ? "+" : ""} {kind}</Text>
            {objects.hasNextPage ? <Button size="small" disabledFocusable={objects.isFetchingNextPage} onClick={() => void objects.fetchNextPage()}>{objects.isFetchingNextPage ? "Loading…" : "Load more"}</Button> : null}
          </div>
        </>
      ) : null}
      {open !== null ? <ObjectPanel vault={vault} kind={kind} name={open} onNewVersion={() => { setCreating(open); setOpen(null); }} onClose={() => setOpen(null)} /> : null}
      {creating !== null ? <CreatePanel vault={vault} kind={kind} name={creating} title={creating ? `New version of ${creating}` : `Create a ${singular[kind]}`} onClose={() => setCreating(null)} /> : null}
    </>
  );
}
