// SPDX-License-Identifier: Apache-2.0
// What has happened, said in the corner; the last twenty also behind the bell.
import { Toast, ToastBody, ToastTitle, useToastController } from "@fluentui/react-components";
import { useCallback, useSyncExternalStore } from "react";
import { ApiError } from "../core/arm";

export const TOASTER = "main";

export interface Notice { id: number; at: Date; kind: "success" | "error" | "info"; title: string; text?: string }

let notices: Notice[] = [];
let next = 1;
const listeners = new Set<() => void>();

export const useNotices = (): Notice[] =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, () => notices);

export const wordsOf = (error: unknown): string =>
  error instanceof ApiError ? error.words : error instanceof Error ? error.message : String(error);

export function useNotify(): (kind: Notice["kind"], title: string, text?: string) => void {
  const { dispatchToast } = useToastController(TOASTER);
  return useCallback((kind, title, text) => {
    notices = [{ id: next++, at: new Date(), kind, title, ...(text ? { text } : {}) }, ...notices].slice(0, 20);
    listeners.forEach((listener) => listener());
    dispatchToast(
      <Toast>
        <ToastTitle>{title}</ToastTitle>
        {text ? <ToastBody>{text}</ToastBody> : null}
      </Toast>,
      { intent: kind, timeout: kind === "error" ? 9000 : 4000 },
    );
  }, [dispatchToast]);
}
