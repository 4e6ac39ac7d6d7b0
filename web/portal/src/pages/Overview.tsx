// SPDX-License-Identifier: Apache-2.0
import { HomeRegular } from "@fluentui/react-icons";
import { useServiceEntity } from "../core/service";
import { Blade, Copy, ErrorBar, Facts, Loading } from "../ui/parts";
import { dateTimeText } from "../core/format";

export function Component(): JSX.Element {
  const entity = useServiceEntity();
  if (entity.isPending) return <Blade title="Overview" icon={<HomeRegular />}><Loading /></Blade>;
  if (entity.error) return <Blade title="Overview" icon={<HomeRegular />}><ErrorBar error={entity.error} onRetry={() => void entity.refetch()} /></Blade>;
  const service = entity.data.value;
  return (
    <Blade title={service.name} subtitle="API Management service" icon={<HomeRegular />}>
      <Facts items={[
        ["Gateway URL", service.properties.gatewayUrl ? <Copy key="g" text={service.properties.gatewayUrl} label="gateway URL" /> : "none"],
        ["Management API URL", service.properties.managementApiUrl ? <Copy key="m" text={service.properties.managementApiUrl} label="management URL" /> : ""],
        ["Created", dateTimeText(service.properties.createdAtUtc)],
      ]} />
    </Blade>
  );
}
