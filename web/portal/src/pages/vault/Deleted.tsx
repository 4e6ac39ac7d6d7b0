// SPDX-License-Identifier: Apache-2.0
// What was deleted and can still be recovered, or be purged for good.
import { Tab, TabList, Table, TableBody, TableCell, TableHeader, TableHeaderCell, TableRow, useArrowNavigationGroup } from "@fluentui/react-components";
import { DeleteRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { dateTimeText } from "../../core/format";
import type { Vault } from "../../core/types";
import * as data from "../../core/vault";
import { useVaultRights } from "../../core/vaultRights";
import { useNotify } from "../../ui/notify";
import { ActButton, Confirm, Empty, ErrorBar, Loading, useStyles } from "../../ui/parts";
import { type Kind, useVaultCall } from "./change";

const seconds = (at: number | undefined): string => (at ? dateTimeText(new Date(at * 1000).toISOString()) : "");

export function Deleted(props: { vault: Vault }): JSX.Element {
  const s = useStyles();
  const [kind, setKind] = useState<Kind>("certificates");
  const [purging, setPurging] = useState<string | null>(null);
  const call = useVaultCall(props.vault);
  const notify = useNotify();
  const arrows = useArrowNavigationGroup({ axis: "grid", memorizeCurrent: true }); // one stop of the Tab key
  const deleted = useQuery({
    queryKey: ["vault", props.vault.name, kind, "deleted"],
    queryFn: ({ signal }) => data.list(props.vault.name, `/deleted${kind}`, signal),
  });
  const rights = useVaultRights(props.vault);
  const noPurge = props.vault.properties.enablePurgeProtection ? "This vault has purge protection: objects go when their time is over." : rights(kind, "purge");
  const noRecover = rights(kind, "recover");
  const act = (method: string, name: string, action: string, done: string): void =>
    call.mutate({ method, path: `/deleted${kind}/${name}${action}` }, {
      onSuccess: () => { notify("success", done, name); setPurging(null); },
      onError: () => setPurging(null),
    });
  return (
    <>
      <TabList size="small" selectedValue={kind} onTabSelect={(_, value) => setKind(value.value as Kind)}>
        <Tab value="certificates">Certificates</Tab>
        <Tab value="secrets">Secrets</Tab>
        <Tab value="keys">Keys</Tab>
      </TabList>
      <ErrorBar error={call.error} title="Not done" />
      {deleted.isPending ? <Loading /> : null}
      <ErrorBar error={deleted.error} title="What was deleted cannot be listed" onRetry={() => void deleted.refetch()} />
      {deleted.data?.length === 0 ? <Empty icon={<DeleteRegular />} title={`No deleted ${kind}`}>What is deleted waits here until it is purged.</Empty> : null}
      {deleted.data?.length ? (
        <Table {...arrows} role="grid" aria-label={`Deleted ${kind}`}>
          <TableHeader><TableRow><TableHeaderCell>Name</TableHeaderCell><TableHeaderCell>Deleted</TableHeaderCell><TableHeaderCell>Purged at</TableHeaderCell><TableHeaderCell><span className="hidden-text">Actions</span></TableHeaderCell></TableRow></TableHeader>
          <TableBody>
            {deleted.data.map((item) => {
              const name = data.objectName(item.id);
              return (
                <TableRow key={item.id}>
                  <TableCell>{name}</TableCell>
                  <TableCell>{seconds(item.deletedDate)}</TableCell>
                  <TableCell>{seconds(item.scheduledPurgeDate)}</TableCell>
                  <TableCell>
                    <div className={s.row}>
                      <ActButton size="small" why={noRecover} disabledFocusable={call.isPending} aria-label={`Recover ${name}`} onClick={() => { if (!noRecover) act("POST", name, "/recover", "Recovered"); }}>Recover</ActButton>
                      <ActButton size="small" why={noPurge} aria-label={`Purge ${name}`} onClick={() => { if (!noPurge) setPurging(name); }}>Purge</ActButton>
                    </div>
                  </TableCell>
                </TableRow>
              );
            })}
          </TableBody>
        </Table>
      ) : null}
      <Confirm open={purging !== null} title={`Purge ${purging ?? ""}?`} action="Purge" busy={call.isPending} onYes={() => { if (purging) act("DELETE", purging, "", "Purged"); }} onClose={() => setPurging(null)}>
        It is gone for good, with all its versions.
      </Confirm>
    </>
  );
}
