// SPDX-License-Identifier: Apache-2.0
// What one's roles allow, so that what they forbid is shown disabled and says why. The server
// decides in any case.
import { useQuery } from "@tanstack/react-query";
import * as arm from "./arm";
import { useService } from "./service";

export interface Permission { actions: string[]; notActions?: string[]; dataActions?: string[]; notDataActions?: string[] }

const matches = (pattern: string, action: string): boolean =>
  new RegExp(`^${pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "i").test(action);

export const isAllowed = (permissions: Permission[], action: string): boolean =>
  permissions.some((p) => p.actions.some((a) => matches(a, action)) && !(p.notActions ?? []).some((a) => matches(a, action)));

export const isDataAllowed = (permissions: Permission[], action: string): boolean =>
  permissions.some((p) => (p.dataActions ?? []).some((a) => matches(a, action)) && !(p.notDataActions ?? []).some((a) => matches(a, action)));

export const usePermissions = (scope: string) =>
  useQuery({
    queryKey: ["permissions", scope],
    queryFn: async ({ signal }) => {
      try {
        return (await arm.call<{ value: Permission[] }>(`${scope}/providers/Microsoft.Authorization/permissions`, { signal, version: "2022-04-01" })).value.value;
      } catch (error) {
        if (error instanceof arm.ApiError && error.status < 500) return null; // not known: let the server say
        throw error;
      }
    },
    staleTime: 60000,
  });

/** Why the signed-in person may not do this, or undefined. `action` may leave out the type of the service. */
export function useWhyNot(scope?: string): (action: string) => string | undefined {
  const service = useService();
  const permissions = usePermissions(scope ?? service.id);
  return (action) => {
    const whole = action.startsWith("Microsoft.") ? action : `Microsoft.ApiManagement/service/${service.parent ? "workspaces/" : ""}${action}`;
    return !permissions.data || isAllowed(permissions.data, whole) ? undefined : `Your roles do not allow ${whole}. Ask an owner of the service.`;
  };
}
