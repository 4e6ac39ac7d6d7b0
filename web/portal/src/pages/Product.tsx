// SPDX-License-Identifier: Apache-2.0
// One product: its APIs, its policy, its subscriptions, its settings.
import { Tab, TabList } from "@fluentui/react-components";
import { BoxMultipleRegular, DeleteRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useNavigate, useParams } from "react-router-dom";
import { useEntity } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Product } from "../core/types";
import { Blade, Command, ErrorBar, Hint, Loading } from "../ui/parts";
import { PolicyEditor } from "./api/PolicyEditor";
import { DeleteProduct } from "./product/Delete";
import { ProductApis } from "./product/Apis";
import { ProductSettings } from "./product/Settings";
import { ProductSubscriptions } from "./product/Subscriptions";

export function Component(): JSX.Element {
  const { product: name = "", tab = "apis" } = useParams();
  const service = useService();
  const navigate = useNavigate();
  const whyNot = useWhyNot();
  const path = `/products/${encodeURIComponent(name)}`;
  const entity = useEntity<Product["properties"]>(path);
  const [deleting, setDeleting] = useState(false);
  const all = `${service.base}/products`;
  if (entity.isPending) return <Blade title={name} icon={<BoxMultipleRegular />}><Loading /></Blade>;
  if (entity.error && !deleting) return <Blade title={name} icon={<BoxMultipleRegular />}><ErrorBar error={entity.error} title="This product cannot be shown" onRetry={() => void entity.refetch()} /></Blade>;
  if (!entity.data) return <Blade title={name} icon={<BoxMultipleRegular />}><Loading /></Blade>; // it is being deleted
  const product = entity.data.value as Product;
  return (
    <Blade title={product.properties.displayName} subtitle={`${product.name} | Product`} icon={<BoxMultipleRegular />} commands={
      <Command icon={<DeleteRegular />} label="Delete" onClick={() => setDeleting(true)} why={whyNot("products/delete")} />
    }>
      <TabList selectedValue={tab} onTabSelect={(_, data) => navigate(`${all}/${encodeURIComponent(name)}/${String(data.value)}`)}>
        <Tab value="apis">APIs</Tab><Tab value="policies">Policies</Tab><Tab value="subscriptions">Subscriptions</Tab><Tab value="settings">Settings</Tab>
      </TabList>
      {tab === "policies" ? <>
        <Hint>It runs between the policy of all APIs and that of the API, for calls with a key of this product{product.properties.subscriptionRequired === false ? " and for those without a key" : ""}.</Hint>
        <PolicyEditor key={path} path={`${path}/policies/policy`} label={`Policy of product ${product.properties.displayName}`} />
      </> : tab === "subscriptions" ? <ProductSubscriptions product={product} />
        : tab === "settings" ? <ProductSettings product={product} etag={entity.data.etag} /> : <ProductApis product={product} />}
      {deleting ? <DeleteProduct product={product} onClose={(deleted) => { setDeleting(false); if (deleted) navigate(all); }} /> : null}
    </Blade>
  );
}
