// SPDX-License-Identifier: Apache-2.0
// What was typed and not saved: leaving asks first, inside the portal and out of it.
import { useEffect } from "react";
import { useBlocker } from "react-router-dom";
import { Confirm } from "./parts";

/** The question, to be put on the page. */
export function useUnsaved(isDirty: boolean): JSX.Element {
  const blocker = useBlocker(({ currentLocation: here, nextLocation: there }) => isDirty && (here.pathname !== there.pathname || here.search !== there.search));
  useEffect(() => {
    if (!isDirty) return undefined;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [isDirty]);
  return (
    <Confirm open={blocker.state === "blocked"} title="Leave without saving?" action="Discard" onYes={() => blocker.proceed?.()} onClose={() => blocker.reset?.()}>
      What you have changed here is not saved.
    </Confirm>
  );
}
