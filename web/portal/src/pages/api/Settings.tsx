// SPDX-License-Identifier: Apache-2.0
import { Field, Input, Switch, Textarea } from "@fluentui/react-components";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useWrite } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import { useService } from "../../core/service";
import type { Api } from "../../core/types";
import { SaveError, useLookAgain } from "../../ui/conflict";
import { useNotify } from "../../ui/notify";
import { ActButton, useStyles } from "../../ui/parts";
import { apiPath } from "./Design";

export function Settings(props: { api: Api; etag: string | null }): JSX.Element {
  const s = useStyles();
  const service = useService();
  const p = props.api.properties;
  const [etag, setEtag] = useState(props.etag);
  const [displayName, setDisplayName] = useState(p.displayName);
  const [description, setDescription] = useState(p.description ?? "");
  const [path, setPath] = useState(p.path);
  const [url, setUrl] = useState(p.serviceUrl ?? "");
  const [keys, setKeys] = useState(p.subscriptionRequired !== false);
  const write = useWrite<Api>();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const why = whyNot("apis/write");
  const error = write.error instanceof arm.ApiError ? write.error : null;
  const conflict = error?.status === 412;
  const again = useLookAgain();
  const lookAgain = async (): Promise<void> => {
    setEtag((await arm.call(`${service.id}${apiPath(props.api.name)}`)).etag);
    write.reset();
  };
  const save = (): void => write.mutate({
    method: "PATCH", path: apiPath(props.api.name), etag: etag ?? "*",
    body: { properties: { displayName, description, path, serviceUrl: url.trim() || null, subscriptionRequired: keys } },
  }, { onSuccess: (answer) => { setEtag(answer.etag); notify("success", "Settings saved", "The next request obeys them."); } });
  return (
    <div className={s.column} style={{ maxWidth: 640 }}>
      <SaveError error={write.error} conflict={conflict ? "Somebody else has changed this API meanwhile" : null} again={again} ways={{ "Keep mine, over theirs": lookAgain }} />
      <Field label="Display name" required><Input value={displayName} onChange={(_, d) => setDisplayName(d.value)} /></Field>
      <Field label="Description"><Textarea value={description} onChange={(_, d) => setDescription(d.value)} /></Field>
      <Field label="Web service URL" validationMessage={error?.about("serviceUrl")}><Input value={url} placeholder="https://orders.internal:8443" onChange={(_, d) => setUrl(d.value)} /></Field>
      <Field label="API URL suffix" validationMessage={error?.about("path")}><Input value={path} onChange={(_, d) => setPath(d.value)} /></Field>
      <Switch checked={keys} onChange={(_, d) => setKeys(d.checked)} label="Subscription required" />
      <div><ActButton appearance="primary" why={why} disabledFocusable={write.isPending || again.isBusy || !displayName.trim()} onClick={() => { if (!why && displayName.trim()) save(); }}>{write.isPending ? "Saving…" : "Save"}</ActButton></div>
    </div>
  );
}
