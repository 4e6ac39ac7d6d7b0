// SPDX-License-Identifier: Apache-2.0
// The service menu: names and groups of API Management's blade in the Azure portal.
import { CertificateRegular, HomeRegular } from "@fluentui/react-icons";
import type { ComponentType } from "react";

export interface MenuItem { path: string; name: string; icon: ComponentType; words?: string }
export interface MenuGroup { name: string | null; items: MenuItem[] }

export const menu: MenuGroup[] = [
  { name: null, items: [{ path: "overview", name: "Overview", icon: HomeRegular, words: "health metrics essentials" }] },
  {
    name: "Security", items: [
      { path: "certificates", name: "Certificates", icon: CertificateRegular, words: "pfx client mutual tls" },
    ],
  },
];
