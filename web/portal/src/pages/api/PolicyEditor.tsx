// SPDX-License-Identifier: Apache-2.0
// The policy code view of one scope.
import { Button, Spinner, Text } from "@fluentui/react-components";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import * as arm from "../../core/arm";
import { useEntity, useWrite } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import type { Policy } from "../../core/types";
import type { Mistake } from "../../ui/CodeEditor";
import { SaveError, useLookAgain } from "../../ui/conflict";
import { useNotify } from "../../ui/notify";
import { useUnsaved } from "../../ui/unsaved";
import { ActButton, ErrorBar, Hint, Loading, useStyles } from "../../ui/parts";
import { EMPTY, placeOf } from "./policy";

const CodeEditor = lazy(() => import("../../ui/CodeEditor").then((m) => ({ default: m.CodeEditor })));

/** A document that is not there is not an error: the outer scope's applies. */
export const usePolicy = (path: string, format: "xml" | "rawxml") => {
  const entity = useEntity<Policy["properties"]>(path, { format });
  const isMissing = entity.error instanceof arm.ApiError && entity.error.status === 404;
  return {
    isPending: entity.isPending, isMissing, error: isMissing ? null : entity.error, refetch: entity.refetch,
    /** What is there now; its ETag, null: nothing. Rejects what cannot be read. */
    reread: async (): Promise<string | null> => {
      const { data, error } = await entity.refetch();
      if (error && !arm.isMissing(error)) throw error;
      return error ? null : data?.etag ?? null;
    },
    value: entity.data?.value.properties.value ?? (isMissing ? EMPTY : undefined), etag: entity.data?.etag ?? null,
  };
};

export function PolicyEditor(props: { path: string; label: string; onSaved?: () => void }): JSX.Element {
  const s = useStyles();
  const policy = usePolicy(props.path, "rawxml");
  const write = useWrite<Policy>();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const why = whyNot(props.path.startsWith("/policies") ? "policies/write" : props.path.startsWith("/products/") ? "products/policies/write" : props.path.includes("/operations/") ? "apis/operations/policies/write" : "apis/policies/write");
  const [text, setText] = useState<string | null>(null);
  const [etag, setEtag] = useState<string | null>(null);
  const again = useLookAgain();
  const { value, etag: loaded } = policy;
  useEffect(() => {
    if (text !== null || value === undefined) return;
    setText(value.replace(/\r\n/g, "\n"));
    setEtag(loaded);
  }, [value, loaded, text]);
  const mistake = useMemo<Mistake | null>(() => {
    const words = write.error instanceof arm.ApiError ? write.error.words : "";
    const place = placeOf(words);
    return place ? { ...place, message: words } : null;
  }, [write.error]);
  const isDirty = text !== null && !why && text !== (value ?? "").replace(/\r\n/g, "\n");
  const leaving = useUnsaved(isDirty);
  if (policy.isPending || text === null) return policy.error ? <ErrorBar error={policy.error} title="The policy cannot be shown" onRetry={() => void policy.refetch()} /> : <Loading />;
  // Either it has changed, or somebody has made the first one.
  const conflict = write.error instanceof arm.ApiError && (write.error.status === 412 || write.error.code === "AlreadyExists");
  const keepMine = async (): Promise<void> => {
    setEtag(await policy.reread());
    write.reset();
  };
  const takeTheirs = async (): Promise<void> => {
    await policy.reread();
    write.reset();
    setText(null);
  };
  const isChanged = isDirty || policy.isMissing;
  const save = (): void => write.mutate({ method: "PUT", path: props.path, etag, isNew: etag === null, body: { properties: { format: "rawxml", value: text } } }, {
    onSuccess: (answer) => {
      setEtag(answer.etag);
      setText(null);
      notify("success", "Policy saved", "The next request obeys it.");
      props.onSaved?.();
    },
  });
  return (
    <div className={s.column} style={{ flexGrow: 1, minHeight: 0 }}>
      <SaveError error={write.error} conflict={conflict ? "Somebody else has changed this policy meanwhile" : null} again={again} ways={{ "Keep mine, over theirs": keepMine, "Take theirs": takeTheirs }} />
      {policy.isMissing ? <Hint>There is no policy at this scope yet: the outer scope's applies. This text would say the same.</Hint> : null}
      <Suspense fallback={<Spinner label="Opening the editor…" />}>
        <CodeEditor value={text} onChange={setText} label={props.label} mistake={mistake} readOnly={Boolean(why)} />
      </Suspense>
      <div className={s.row}>
        <ActButton appearance="primary" why={why} disabledFocusable={!isChanged || write.isPending || again.isBusy} onClick={() => { if (isChanged && !why && !write.isPending) save(); }}>{write.isPending ? "Saving…" : "Save"}</ActButton>
        <Button onClick={() => { setText(null); write.reset(); }}>Discard</Button>
        <Text size={200}>Ctrl+Space completes; the pointer over a word explains it.</Text>
      </div>
      {leaving}
    </div>
  );
}
