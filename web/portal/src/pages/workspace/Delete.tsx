// SPDX-License-Identifier: Apache-2.0
// What goes along with a workspace is said before it goes, and its name has to be typed.
import { Field, Input, Text } from "@fluentui/react-components";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useRead } from "../../core/hooks";
import { inWorkspace, useService } from "../../core/service";
import type { Workspace } from "../../core/types";
import { useNotify } from "../../ui/notify";
import { Confirm, ErrorBar, Loading } from "../../ui/parts";

const KINDS = { apis: "API", backends: "backend", certificates: "certificate", products: "product", subscriptions: "subscription" } as const;
export type Counts = Record<keyof typeof KINDS, number>;

/** How many of each there are in it. */
export const useCounts = (workspaceId: string) =>
  useRead<Counts>(["counts", workspaceId], async (signal) => Object.fromEntries(await Promise.all(
    Object.keys(KINDS).map(async (kind) => [kind, (await arm.get<arm.Page<unknown>>(`${workspaceId}/${kind}`, { $top: 1 }, signal)).count]),
  )) as Counts);

const words = (counts: Counts): string => (Object.keys(KINDS) as (keyof typeof KINDS)[])
  .filter((kind) => counts[kind] > 0).map((kind) => `${counts[kind]} ${KINDS[kind]}${counts[kind] === 1 ? "" : "s"}`).join(", ");

/** `service` is where the workspace is, also when the page is in the workspace. */
export function DeleteWorkspace(props: { workspace: Workspace; onClose: (deleted: boolean) => void }): JSX.Element {
  const here = useService();
  const service = here.parent ?? here;
  const ref = inWorkspace(service, props.workspace.name);
  const counts = useCounts(ref.id);
  const [typed, setTyped] = useState("");
  const client = useQueryClient();
  const notify = useNotify();
  // Nothing of the workspace is read anew: its page would find nothing before it is left.
  const write = useMutation({
    mutationFn: () => arm.call(ref.id, { method: "DELETE", etag: "*" }),
    onSuccess: () => {
      notify("success", "Workspace deleted", props.workspace.properties.displayName);
      props.onClose(true);
      void client.invalidateQueries({ queryKey: [service.id] });
    },
  });
  const contents = counts.data ? words(counts.data) : "";
  const isSure = contents === "" || typed === props.workspace.name;
  return (
    <Confirm open title={`Delete ${props.workspace.name}?`} action="Delete" busy={write.isPending} onClose={() => props.onClose(false)}
      {...(counts.data && isSure ? { onYes: () => write.mutate() } : {})}>
      {counts.isPending ? <Loading label="Looking what is in it…" /> : null}
      <ErrorBar error={counts.error ?? write.error} title="Not deleted" />
      {counts.data && !contents ? <Text>There is nothing in it.</Text> : null}
      {contents ? (
        <>
          <Text block style={{ marginBottom: 12 }}>With it go {contents}: requests to its APIs get 404, and the private keys of its certificates are destroyed. This cannot be undone.</Text>
          <Field label={`Type ${props.workspace.name} to confirm`}><Input value={typed} autoFocus onChange={(_, d) => setTyped(d.value)} /></Field>
        </>
      ) : null}
    </Confirm>
  );
}
