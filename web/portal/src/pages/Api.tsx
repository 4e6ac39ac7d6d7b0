// SPDX-License-Identifier: Apache-2.0
// One API: Design, Settings, Test.
import { Tab, TabList, Text } from "@fluentui/react-components";
import { AppsListRegular, DeleteRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useNavigate, useParams } from "react-router-dom";
import { isMissing } from "../core/arm";
import { useEntity, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Api } from "../core/types";
import { useNotify } from "../ui/notify";
import { Blade, Command, Confirm, ErrorBar, Loading } from "../ui/parts";
import { apiPath, Design } from "./api/Design";
import { Settings } from "./api/Settings";
import { TestConsole } from "./api/Test";

export function Component(): JSX.Element {
  const { api: name = "", tab = "design", operation } = useParams();
  const service = useService();
  const navigate = useNavigate();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const entity = useEntity<Api["properties"]>(apiPath(name));
  const remove = useWrite();
  const [deleting, setDeleting] = useState(false);
  if (entity.isPending) return <Blade title={name} icon={<AppsListRegular />}><Loading /></Blade>;
  if (entity.error && (!entity.data || isMissing(entity.error))) return <Blade title={name} icon={<AppsListRegular />}><ErrorBar error={entity.error} title="This API cannot be shown" onRetry={() => void entity.refetch()} /></Blade>;
  const api = entity.data.value as Api;
  return (
    <Blade title={api.properties.displayName} subtitle={`API at /${api.properties.path}`} icon={<AppsListRegular />} commands={
      <Command icon={<DeleteRegular />} label="Delete" onClick={() => setDeleting(true)} why={whyNot("apis/delete")} />
    }>
      <TabList selectedValue={tab} onTabSelect={(_, data) => navigate(`${service.base}/apis/${encodeURIComponent(name)}/${String(data.value)}`)}>
        <Tab value="design">Design</Tab><Tab value="settings">Settings</Tab><Tab value="test">Test</Tab>
      </TabList>
      {tab === "settings" ? <Settings api={api} etag={entity.data.etag} /> : tab === "test" ? <TestConsole api={api} operation={operation ?? null} /> : <Design api={api} operation={operation ?? null} />}
      <Confirm open={deleting} title={`Delete ${api.properties.displayName}?`} action="Delete" busy={remove.isPending} onClose={() => { setDeleting(false); remove.reset(); }}
        onYes={() => remove.mutate({ method: "DELETE", path: apiPath(name), etag: "*", query: { deleteRevisions: "true" } }, { onSuccess: () => { notify("success", "API deleted", name); navigate(`${service.base}/apis`); } })}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>Its operations and policies go with it. Requests get 404 from then on.</Text>
      </Confirm>
    </Blade>
  );
}
