// SPDX-License-Identifier: Apache-2.0
// One key vault.
import { Tab, TabList } from "@fluentui/react-components";
import { VaultRegular } from "@fluentui/react-icons";
import { useNavigate, useParams } from "react-router-dom";
import { isMissing } from "../core/arm";
import { useService } from "../core/service";
import type { Vault } from "../core/types";
import { Blade, Copy, Empty, ErrorBar, Facts, Loading, PageLink } from "../ui/parts";
import { useVaults } from "./certificate/VaultPicker";
import { AccessConfiguration, AccessControl, AccessPolicies } from "./vault/Access";
import { Deleted } from "./vault/Deleted";
import { Networking } from "./vault/Networking";
import { Objects } from "./vault/Objects";

const tabs: [string, string][] = [
  ["overview", "Overview"], ["certificates", "Certificates"], ["secrets", "Secrets"], ["keys", "Keys"], ["access-configuration", "Access configuration"],
  ["access-policies", "Access policies"], ["access-control", "Access control (IAM)"], ["networking", "Networking"], ["deleted", "Deleted objects"],
];

function Content(props: { tab: string; vault: Vault }): JSX.Element {
  const { vault } = props;
  switch (props.tab) {
    case "certificates": return <Objects key="c" vault={vault} kind="certificates" />;
    case "secrets": return <Objects key="s" vault={vault} kind="secrets" />;
    case "keys": return <Objects key="k" vault={vault} kind="keys" />;
    case "access-configuration": return <AccessConfiguration vault={vault} />;
    case "access-policies": return <AccessPolicies vault={vault} />;
    case "access-control": return <AccessControl vault={vault} />;
    case "networking": return <Networking vault={vault} />;
    case "deleted": return <Deleted vault={vault} />;
    default: return (
      <Facts items={[
        ["Vault URI", <Copy key="u" text={vault.properties.vaultUri ?? ""} label="vault URI" />],
        ["Permission model", vault.properties.enableRbacAuthorization ? "Azure role-based access control" : "Vault access policy"],
        ["Soft-delete retention", `${vault.properties.softDeleteRetentionInDays ?? 90} days`],
        ["Purge protection", vault.properties.enablePurgeProtection ? "On" : "Off"],
        ["Public access", vault.properties.publicNetworkAccess === "Disabled" ? "Disabled" : vault.properties.networkAcls?.defaultAction === "Deny" ? "Selected networks" : "All networks"],
        ["Location", vault.location],
        ["Resource id", <Copy key="r" text={vault.id} label="resource id" />],
      ]} />
    );
  }
}

export function Component(): JSX.Element {
  const { vault: name = "", tab = "overview" } = useParams();
  const service = useService();
  const navigate = useNavigate();
  const vaults = useVaults();
  const vault = vaults.data?.find((v) => v.name.toLowerCase() === name.toLowerCase());
  if (vaults.isPending) return <Blade title={name} icon={<VaultRegular />}><Loading /></Blade>;
  if (vaults.error && (!vaults.data || isMissing(vaults.error))) return <Blade title={name} icon={<VaultRegular />}><ErrorBar error={vaults.error} onRetry={() => void vaults.refetch()} /></Blade>;
  if (!vault) return <Blade title={name} icon={<VaultRegular />}><Empty icon={<VaultRegular />} title="There is no such vault" action={<PageLink to={`${service.base}/key-vaults`}>All key vaults</PageLink>}>Or you may not see it.</Empty></Blade>;
  return (
    <Blade title={vault.name} subtitle="Key vault" icon={<VaultRegular />}>
      <TabList selectedValue={tab} onTabSelect={(_, d) => navigate(`${service.base}/key-vaults/${encodeURIComponent(vault.name)}/${String(d.value)}`)} style={{ flexWrap: "wrap", flexShrink: 0 }}>
        {tabs.map(([value, label]) => <Tab key={value} value={value}>{label}</Tab>)}
      </TabList>
      <Content tab={tab} vault={vault} />
    </Blade>
  );
}
