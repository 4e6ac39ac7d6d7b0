// SPDX-License-Identifier: Apache-2.0
// A product's APIs stay; that it has subscriptions is said before they go.
import { Checkbox, Text } from "@fluentui/react-components";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useRead, useWrite } from "../../core/hooks";
import { useService } from "../../core/service";
import type { Access, Product } from "../../core/types";
import { useNotify } from "../../ui/notify";
import { Confirm, ErrorBar, Loading } from "../../ui/parts";

export function DeleteProduct(props: { product: Product; onClose: (deleted: boolean) => void }): JSX.Element {
  const service = useService();
  const client = useQueryClient();
  const notify = useNotify();
  const [isSure, setIsSure] = useState(false);
  const path = `/products/${encodeURIComponent(props.product.name)}`;
  const used = useRead<arm.Page<Access>>(["deleteProduct", props.product.name], (signal) => arm.get(`${service.id}${path}/subscriptions`, { $top: 1 }, signal));
  const write = useWrite();
  const count = used.data?.count ?? 0;
  const remove = (): void => write.mutate({ method: "DELETE", path, etag: "*", ...(count > 0 ? { query: { deleteSubscriptions: "true" } } : {}) }, {
    onSuccess: () => {
      notify("success", "Product deleted", props.product.properties.displayName);
      props.onClose(true);
      void client.invalidateQueries({ queryKey: [service.id] });
    },
  });
  return (
    <Confirm open title={`Delete ${props.product.properties.displayName}?`} action="Delete" busy={write.isPending} onClose={() => props.onClose(false)}
      {...(used.data && (count === 0 || isSure) ? { onYes: remove } : {})}>
      {used.isPending ? <Loading label="Looking for its subscriptions…" /> : null}
      <ErrorBar error={used.error ?? write.error} title="Not deleted" />
      <Text block>Its policy goes with it; its APIs stay.</Text>
      {count > 0 ? <Checkbox checked={isSure} onChange={(_, d) => setIsSure(d.checked === true)} label={count === 1 ? "Delete its subscription, too: its keys open nothing from then on" : `Delete its ${count} subscriptions, too: their keys open nothing from then on`} /> : null}
    </Confirm>
  );
}
