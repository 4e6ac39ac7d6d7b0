// SPDX-License-Identifier: Apache-2.0
// Which service the pages are about.
import { useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { matchPath } from "react-router-dom";
import * as arm from "./arm";

export interface ServiceProperties {
  gatewayUrl?: string;
  gatewayRegionalUrl?: string;
  managementApiUrl?: string;
  publisherName?: string;
  publisherEmail?: string;
  createdAtUtc?: string;
  provisioningState?: string;
  hostnameConfigurations?: { type: string; hostName: string; certificateSource?: string; certificateStatus?: string; keyVaultId?: string; negotiateClientCertificate?: boolean; defaultSslBinding?: boolean }[];
}

export interface Service extends arm.Entity<ServiceProperties> {
  location: string;
  sku: { name: string; capacity: number };
  tags: Record<string, string>;
  identity?: {
    type: string;
    principalId?: string;
    tenantId?: string;
    userAssignedIdentities?: Record<string, { principalId?: string; clientId?: string }>;
  };
}

export interface ServiceRef {
  subscription: string;
  group: string;
  name: string;
  /** ARM id */
  id: string;
  /** of the portal: "/portal/postern/postern" */
  base: string;
  /** what it is, for subtitles */
  kind: string;
  /** of a workspace: the service that it is in. The pages of a workspace are those of the service, in another place. */
  parent?: ServiceRef;
}

const Context = createContext<ServiceRef | null>(null);
export const ServiceProvider = Context.Provider;

export function useService(): ServiceRef {
  const service = useContext(Context);
  if (!service) throw new Error("outside of a service");
  return service;
}

export const refOf = (id: string): ServiceRef => {
  const part = id.split("/");
  const [subscription, group, name] = [part[2] ?? "", part[4] ?? "", part[8] ?? ""];
  return { subscription, group, name, id, base: `/portal/${encodeURIComponent(group)}/${encodeURIComponent(name)}`, kind: "API Management service" };
};

export const inWorkspace = (service: ServiceRef, name: string): ServiceRef => ({
  ...service, name, kind: "Workspace", parent: service,
  id: `${service.id}/workspaces/${encodeURIComponent(name)}`, base: `${service.base}/workspaces/${encodeURIComponent(name)}`,
});

/** The workspace that an address of the portal is in. */
export const workspaceOf = (pathname: string): string | undefined =>
  matchPath("/portal/:group/:service/workspaces/:workspace/*", pathname)?.params.workspace;

/** Every service that one may see. */
export const useServices = () =>
  useQuery({
    queryKey: ["services"],
    queryFn: async ({ signal }) => {
      const subscriptions = await arm.get<{ value: { subscriptionId: string }[] }>("/subscriptions", undefined, signal);
      const lists = await Promise.all(
        subscriptions.value.map((s) =>
          arm.get<arm.Page<Service>>(`/subscriptions/${s.subscriptionId}/providers/Microsoft.ApiManagement/service`, undefined, signal)),
      );
      return lists.flatMap((list) => list.value);
    },
    staleTime: 60000,
  });

export const useServiceEntity = () => {
  const here = useService();
  const service = here.parent ?? here;
  return useQuery({
    queryKey: [service.id],
    queryFn: ({ signal }) => arm.call<Service>(service.id, { signal }),
  });
};
