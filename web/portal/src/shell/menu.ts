// SPDX-License-Identifier: Apache-2.0
// The service menu: names and groups of API Management's blade in the Azure portal.
import {
  AppsListRegular, BoxMultipleRegular, BracesVariableRegular, DocumentBulletListRegular, PeopleTeamRegular, VaultRegular, CertificateRegular, HomeRegular, KeyRegular, NetworkCheckRegular, PersonKeyRegular, ServerRegular,
} from "@fluentui/react-icons";
import type { ComponentType } from "react";

export interface MenuItem { path: string; name: string; icon: ComponentType; words?: string }
export interface MenuGroup { name: string | null; items: MenuItem[] }

export const menu: MenuGroup[] = [
  { name: null, items: [{ path: "overview", name: "Overview", icon: HomeRegular, words: "health metrics essentials" }] },
  {
    name: "APIs", items: [
      { path: "apis", name: "APIs", icon: AppsListRegular, words: "design operations policies test" },
      { path: "products", name: "Products", icon: BoxMultipleRegular, words: "offer plans open" },
      { path: "subscriptions", name: "Subscriptions", icon: KeyRegular, words: "keys" },
      { path: "backends", name: "Backends", icon: ServerRegular, words: "pool circuit breaker probe" },
      { path: "named-values", name: "Named values", icon: BracesVariableRegular, words: "properties secrets key vault" },
      { path: "policy-fragments", name: "Policy fragments", icon: DocumentBulletListRegular, words: "include-fragment" },
      { path: "workspaces", name: "Workspaces", icon: PeopleTeamRegular, words: "teams isolation" },
    ],
  },
  {
    name: "Security", items: [
      { path: "certificates", name: "Certificates", icon: CertificateRegular, words: "pfx client mutual tls" },
      { path: "managed-identities", name: "Managed identities", icon: PersonKeyRegular, words: "system-assigned user-assigned" },
    ],
  },
  { name: "Deployment + infrastructure", items: [{ path: "network", name: "Network", icon: NetworkCheckRegular, words: "connectivity status dns" }] },
  { name: "Related resources", items: [{ path: "key-vaults", name: "Key vaults", icon: VaultRegular, words: "secrets access policies firewall" }] },
];

/** What a workspace has of it. */
export const workspaceMenu: MenuGroup[] = menu
  .map((group) => ({ ...group, items: group.items.filter((item) => ["overview", "apis", "products", "subscriptions", "backends", "named-values", "policy-fragments", "certificates"].includes(item.path)) }))
  .filter((group) => group.items.length > 0);
