// SPDX-License-Identifier: Apache-2.0
import { Field, Input, Switch, Textarea } from "@fluentui/react-components";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useWrite } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import { useService } from "../../core/service";
import type { Product } from "../../core/types";
import { SaveError, useLookAgain } from "../../ui/conflict";
import { useNotify } from "../../ui/notify";
import { ActButton, useStyles } from "../../ui/parts";

export function ProductSettings(props: { product: Product; etag: string | null }): JSX.Element {
  const s = useStyles();
  const service = useService();
  const p = props.product.properties;
  const path = `/products/${encodeURIComponent(props.product.name)}`;
  const [etag, setEtag] = useState(props.etag);
  const [displayName, setDisplayName] = useState(p.displayName);
  const [description, setDescription] = useState(p.description ?? "");
  const [terms, setTerms] = useState(p.terms ?? "");
  const [published, setPublished] = useState(p.state === "published");
  const [keys, setKeys] = useState(p.subscriptionRequired !== false);
  const [approval, setApproval] = useState(p.approvalRequired === true);
  const [limit, setLimit] = useState(p.subscriptionsLimit ? String(p.subscriptionsLimit) : "");
  const write = useWrite<Product>();
  const notify = useNotify();
  const why = useWhyNot()("products/write");
  const error = write.error instanceof arm.ApiError ? write.error : null;
  const conflict = error?.status === 412;
  const isNumber = limit === "" || /^[1-9]\d{0,8}$/.test(limit);
  const isWhole = displayName.trim() !== "" && (!keys || isNumber);
  const again = useLookAgain();
  const lookAgain = async (): Promise<void> => {
    setEtag((await arm.call(`${service.id}${path}`)).etag);
    write.reset();
  };
  const save = (): void => write.mutate({
    method: "PATCH", path, etag: etag ?? "*",
    body: { properties: {
      displayName: displayName.trim(), description, terms, state: published ? "published" : "notPublished", subscriptionRequired: keys,
      approvalRequired: keys && approval, subscriptionsLimit: keys && limit ? Number(limit) : null,
    } },
  }, { onSuccess: (answer) => { setEtag(answer.etag); notify("success", "Settings saved", "The next request obeys them."); } });
  return (
    <div className={s.column} style={{ maxWidth: 640 }}>
      <SaveError error={write.error} conflict={conflict ? "Somebody else has changed this product meanwhile" : null} again={again} ways={{ "Keep mine, over theirs": lookAgain }} />
      <Field label="Display name" required><Input value={displayName} onChange={(_, d) => setDisplayName(d.value)} /></Field>
      <Field label="Description"><Textarea value={description} onChange={(_, d) => setDescription(d.value)} /></Field>
      <Field label="Legal terms"><Textarea value={terms} onChange={(_, d) => setTerms(d.value)} /></Field>
      <Switch checked={published} onChange={(_, d) => setPublished(d.checked)} label="Published" />
      <Switch checked={keys} onChange={(_, d) => setKeys(d.checked)} label="Requires subscription" />
      {keys ? <>
        <Switch checked={approval} onChange={(_, d) => setApproval(d.checked)} label="Requires approval" />
        <Field label="Subscription count limit" hint="Of one owner at a time; empty: no limit." {...(isNumber ? {} : { validationMessage: "A number from 1." })}>
          <Input value={limit} inputMode="numeric" onChange={(_, d) => setLimit(d.value.trim())} />
        </Field>
      </> : null}
      <div><ActButton appearance="primary" why={why} disabledFocusable={write.isPending || again.isBusy || !isWhole} onClick={() => { if (!why && isWhole && !write.isPending) save(); }}>{write.isPending ? "Saving…" : "Save"}</ActButton></div>
    </div>
  );
}
