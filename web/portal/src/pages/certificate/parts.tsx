// SPDX-License-Identifier: Apache-2.0
import { Badge, Button, Menu, MenuItem, MenuList, MenuPopover, MenuTrigger, Text, Tooltip } from "@fluentui/react-components";
import { ArrowClockwiseRegular, ArrowDownloadRegular, ArrowSwapRegular, DeleteRegular, HistoryRegular, LinkRegular, MoreHorizontalRegular } from "@fluentui/react-icons";
import { useEffect, useState } from "react";
import { useNavigate } from "react-router-dom";
import * as arm from "../../core/arm";
import { daysLeft } from "../../core/format";
import { useRead, useWrite } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import { useService } from "../../core/service";
import { type Certificate, type Generation, type Usage, type UsageItem, warningText } from "../../core/types";
import { useNotify, wordsOf } from "../../ui/notify";
import { Confirm, ErrorBar, Loading, PageLink } from "../../ui/parts";

export const pathOf = (name: string): string => `/certificates/${encodeURIComponent(name)}`;

export const useUsage = (name: string, enabled = true) => {
  const service = useService();
  return useRead<Usage>(["usage", name], (signal) => arm.get(`${service.id}${pathOf(name)}/usage`, undefined, signal), { enabled });
};

export const useGenerations = (name: string, refetchInterval?: number) => {
  const service = useService();
  return useRead<Generation[]>(["generations", name], async (signal) =>
    (await arm.get<{ value: Generation[] }>(`${service.id}${pathOf(name)}/generations`, undefined, signal)).value,
  refetchInterval ? { refetchInterval } : {});
};

export function StatusBadge(props: { certificate: Certificate }): JSX.Element {
  const { keyVault, expirationDate, warnings } = props.certificate.properties;
  if (daysLeft(expirationDate) < 0) return <Badge appearance="tint" color="danger">Expired</Badge>;
  if (keyVault?.lastStatus && keyVault.lastStatus.code !== "Success")
    return (
      <Tooltip content={keyVault.lastStatus.message ?? ""} relationship="description">
        <Badge appearance="tint" color="danger" tabIndex={0}>{`Refresh failed: ${keyVault.lastStatus.code ?? "unknown"}`}</Badge>
      </Tooltip>
    );
  if (warnings?.length)
    return (
      <Tooltip content={warnings.map(warningText).join(" ")} relationship="description">
        <Badge appearance="tint" color="warning" tabIndex={0}>{warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`}</Badge>
      </Tooltip>
    );
  return <Badge appearance="tint" color="success">Active</Badge>;
}

/** Where in the portal a user of a certificate is. */
export function usePageOf(): (id: string) => string | null {
  const service = useService();
  return (id) => {
    const lower = id.toLowerCase();
    if (!lower.startsWith(service.id.toLowerCase())) return null;
    const part = id.slice(service.id.length + 1).split("/");
    const kind = part[0]?.toLowerCase();
    if (kind === "apis") {
      const operation = part[2]?.toLowerCase() === "operations" ? `/${part[3] ?? ""}` : "";
      return `${service.base}/apis/${part[1] ?? ""}/design${operation}`;
    }
    if (kind === "backends") return `${service.base}/backends/${part[1] ?? ""}`;
    if (kind === "certificates") return `${service.base}/certificates/${part[1] ?? ""}`;
    if (kind === "products") return `${service.base}/products/${part[1] ?? ""}${part[2]?.toLowerCase() === "policies" ? "/policies" : ""}`;
    if (kind === "namedvalues") return `${service.base}/named-values?edit=${part[1] ?? ""}`;
    if (kind === "policyfragments") return `${service.base}/policy-fragments?edit=${part[1] ?? ""}`;
    if (kind === "policies") return `${service.base}/apis`;
    return null;
  };
}

const nouns: Record<string, string> = {
  "apis/policies": "Policy of API", "products/policies": "Policy of product", products: "Product", "operations/policies": "Policy of operation", apis: "API", operations: "Operation", backends: "Backend",
  policies: "Policy of all APIs", service: "Service", namedValues: "Named value", policyFragments: "Policy fragment",
};

/** What a user is, in words: its type without the provider. */
export function userName(item: UsageItem): string {
  const type = item.type.split("/");
  const last = type.slice(-2).join("/");
  const noun = nouns[last] ?? nouns[type[type.length - 1] ?? ""] ?? type[type.length - 1] ?? "";
  const names = item.id.split("/");
  if (last === "apis/policies" || last === "products/policies") return `${noun} ${names[names.length - 3] ?? ""}`;
  if (last === "operations/policies") return `${noun} ${names[names.length - 5] ?? ""} / ${names[names.length - 3] ?? ""}`;
  return item.name === "policy" ? noun : `${noun} ${item.name}`;
}

export function UsageList(props: { items: UsageItem[]; truncated?: boolean | undefined }): JSX.Element {
  const pageOf = usePageOf();
  return (
    <ul style={{ margin: 0, paddingLeft: 20 }}>
      {props.items.map((item) => {
        const to = pageOf(item.id);
        return (
          <li key={item.id}>
            {to ? <PageLink to={to}>{userName(item)}</PageLink> : userName(item)}
            {item.by === "policy" ? <Text size={200}> (runs a policy that {item.dynamic ? "may use" : "uses"} it)</Text> : null}
            {item.by === "product" ? <Text size={200}> (is in product {item.via?.slice(item.via.lastIndexOf("/") + 1)}, whose policy {item.dynamic ? "may use" : "uses"} it)</Text> : null}
            {item.by === "expression" ? <Text size={200}> (may use it: an expression decides at run time)</Text> : null}
            {item.by === "reference" && item.dynamic ? <Text size={200}> (names it in an expression)</Text> : null}
          </li>
        );
      })}
      {props.truncated ? <li>and more</li> : null}
    </ul>
  );
}

/** Those that keep it from being deleted: an expression that may name any certificate does not. */
function certainUsers(items: UsageItem[]): UsageItem[] {
  const open = new Set(items.filter((item) => item.by === "expression").map((item) => item.id));
  return items.filter((item) => item.by !== "expression" && !(item.dynamic && item.via && open.has(item.via)));
}

/** Deletes, if nothing uses it; else says what does. */
export function DeleteCertificate(props: { certificate: Certificate; onClose: (deleted: boolean) => void }): JSX.Element {
  const { name } = props.certificate;
  const usage = useUsage(name);
  const write = useWrite();
  const notify = useNotify();
  const { refetch } = usage;
  const [fresh, setFresh] = useState(false);
  useEffect(() => {
    void refetch().finally(() => setFresh(true)); // what was known a moment ago does not decide this
  }, [refetch]);
  // Nor is it shown: a list that is replaced under the hands takes the focus with it.
  const users = fresh ? usage.data : undefined;
  const inUse = users !== undefined && (certainUsers(users.value).length > 0 || users.truncated === true);
  const remove = (): void =>
    write.mutate({ method: "DELETE", path: pathOf(name), etag: "*" }, {
      onSuccess: () => {
        notify("success", "Certificate deleted", name);
        props.onClose(true);
      },
    });
  return (
    <Confirm open title={inUse ? `${name} is in use` : `Delete ${name}?`} action="Delete" busy={write.isPending} onClose={() => props.onClose(false)}
      {...(users && !inUse ? { onYes: remove } : {})}>
      {!fresh ? <Loading label="Looking who uses it…" /> : null}
      <ErrorBar error={usage.error ?? write.error} title="Not deleted" />
      {inUse && users ? (
        <>
          <Text block style={{ marginBottom: 8 }}>It cannot be deleted while these use it. Give them another certificate first:</Text>
          <UsageList items={users.value} truncated={users.truncated} />
        </>
      ) : null}
      {users && !inUse && users.count > 0 ? (
        <>
          <Text block style={{ marginBottom: 8 }}>Nothing names this certificate, but these choose one by an expression when a request comes. If one chooses it, that request fails:</Text>
          <UsageList items={users.value} truncated={users.truncated} />
        </>
      ) : null}
      {users && users.count === 0 ? <Text>Nothing uses this certificate. Its private key is destroyed; this cannot be undone.</Text> : null}
    </Confirm>
  );
}

export function saveBytes(bytes: Uint8Array, name: string, type: string): void {
  const url = URL.createObjectURL(new Blob([bytes as BlobPart], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

/** The actions of one certificate, for its row and for its page. */
export function useActions(certificate: Certificate) {
  const service = useService();
  const write = useWrite<Certificate>();
  const notify = useNotify();
  const name = certificate.name;
  const refresh = (): void =>
    write.mutate({ method: "POST", path: `${pathOf(name)}/refreshSecret` }, {
      onSuccess: ({ value }) => notify("success", "Refreshed from the key vault", value ? `${name} has thumbprint ${value.properties.thumbprint}.` : name),
      onError: (error) => notify("error", `${name} was not refreshed`, wordsOf(error)),
    });
  const download = async (): Promise<void> => {
    try {
      const { value } = await arm.get<{ value: Generation[] }>(`${service.id}${pathOf(name)}/generations`);
      const cer = value.find((g) => g.state === "current")?.cer;
      if (!cer) throw new Error("The server holds no certificate of this generation.");
      saveBytes(Uint8Array.from(atob(cer), (c) => c.charCodeAt(0)), `${name}.cer`, "application/pkix-cert");
    } catch (error) {
      notify("error", "Not downloaded", wordsOf(error));
    }
  };
  return { refresh, download, busy: write.isPending };
}

export function RowMenu(props: { certificate: Certificate; onReplace: () => void }): JSX.Element {
  const { certificate } = props;
  const service = useService();
  const navigate = useNavigate();
  const whyNot = useWhyNot();
  const actions = useActions(certificate);
  const [deleting, setDeleting] = useState(false);
  const page = `${service.base}/certificates/${encodeURIComponent(certificate.name)}`;
  const noWrite = whyNot("certificates/write");
  const noDelete = whyNot("certificates/delete");
  const noRefresh = whyNot("certificates/refreshSecret/action") ?? (certificate.properties.keyVault ? undefined : "Only certificates of a key vault are refreshed.");
  return (
    <>
      <Menu>
        <MenuTrigger disableButtonEnhancement>
          <Button appearance="subtle" icon={<MoreHorizontalRegular />} aria-label={`More actions for ${certificate.name}`} />
        </MenuTrigger>
        <MenuPopover>
          <MenuList>
            <MenuItem icon={<ArrowClockwiseRegular />} disabled={Boolean(noRefresh) || actions.busy} title={noRefresh} onClick={actions.refresh}>Refresh</MenuItem>
            <MenuItem icon={<ArrowSwapRegular />} disabled={Boolean(noWrite)} title={noWrite} onClick={props.onReplace}>Replace</MenuItem>
            <MenuItem icon={<LinkRegular />} onClick={() => navigate(`${page}?tab=usage`)}>Usage</MenuItem>
            <MenuItem icon={<HistoryRegular />} onClick={() => navigate(`${page}?tab=generations`)}>Generations</MenuItem>
            <MenuItem icon={<ArrowDownloadRegular />} onClick={() => void actions.download()}>Download .cer</MenuItem>
            <MenuItem icon={<DeleteRegular />} disabled={Boolean(noDelete)} title={noDelete} onClick={() => setDeleting(true)}>Delete</MenuItem>
          </MenuList>
        </MenuPopover>
      </Menu>
      {deleting ? <DeleteCertificate certificate={certificate} onClose={() => setDeleting(false)} /> : null}
    </>
  );
}
