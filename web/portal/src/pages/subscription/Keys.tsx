// SPDX-License-Identifier: Apache-2.0
// The keys of a subscription, fetched when somebody wants to see them.
import { useState } from "react";
import * as arm from "../../core/arm";
import { useService } from "../../core/service";
import { useNotify, wordsOf } from "../../ui/notify";
import { Confirm, Copy, Facts } from "../../ui/parts";

interface Keys { primaryKey: string; secondaryKey: string }

export function useKeys(): { show: (name: string) => void; dialog: JSX.Element } {
  const service = useService();
  const notify = useNotify();
  const [keys, setKeys] = useState<(Keys & { name: string }) | null>(null);
  return {
    show: (name) => {
      void arm.call<Keys>(`${service.id}/subscriptions/${encodeURIComponent(name)}/listSecrets`, { method: "POST" })
        .then(({ value }) => setKeys({ name, ...value }), (error: unknown) => notify("error", "The keys cannot be shown", wordsOf(error)));
    },
    dialog: (
      <Confirm open={keys !== null} title={`Keys of ${keys?.name ?? ""}`} onClose={() => setKeys(null)}>
        {keys ? <Facts items={[["Primary key", <Copy key="p" text={keys.primaryKey} label="primary key" />], ["Secondary key", <Copy key="s" text={keys.secondaryKey} label="secondary key" />]]} /> : null}
      </Confirm>
    ),
  };
}
