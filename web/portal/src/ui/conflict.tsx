// SPDX-License-Identifier: Apache-2.0
// Somebody else was first. What is there now is read; only when it has come the conflict goes and can be saved
// again: sooner it would be met again, or go over what nobody has seen.
import { Button } from "@fluentui/react-components";
import { useState } from "react";
import { ErrorBar } from "./parts";

export interface LookAgain {
  /** Being read: nothing is to be saved now. */
  isBusy: boolean;
  /** Why it could not be read; null: it could, or nobody has tried. */
  error: unknown;
  /** Rejects what cannot be read. */
  look: (read: () => Promise<void>) => void;
}

export function useLookAgain(): LookAgain {
  const [state, setState] = useState<{ isBusy: boolean; error: unknown }>({ isBusy: false, error: null });
  const look = (read: () => Promise<void>): void => {
    setState({ isBusy: true, error: null });
    read().then(() => setState({ isBusy: false, error: null }), (error: unknown) => setState({ isBusy: false, error }));
  };
  return { ...state, look };
}

/** Why a form was not saved; of a conflict the ways on, by what their buttons say. */
export function SaveError(props: { error: unknown; /** "Somebody else …", null: it is none */ conflict: string | null; again: LookAgain; ways: Record<string, () => Promise<void>> }): JSX.Element {
  const { again, conflict } = props;
  const unread = conflict ? again.error : null;
  return (
    <ErrorBar error={unread ?? props.error} title={unread ? "What is there now cannot be read" : conflict ?? "Not saved"}>
      {conflict ? Object.entries(props.ways).map(([label, read]) => <Button key={label} disabledFocusable={again.isBusy} onClick={() => again.look(read)}>{label}</Button>) : null}
    </ErrorBar>
  );
}
