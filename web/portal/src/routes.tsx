// SPDX-License-Identifier: Apache-2.0
// Every page has an address of its own; each is a file of its own, fetched when it is first opened.
import { createBrowserRouter, Navigate, type RouteObject } from "react-router-dom";
import { Frame, Home, InService, InWorkspace } from "./shell/Frame";
import { NotFound, RouteError } from "./shell/RouteError";
import { SignInRoute } from "./shell/SignIn";

const page = (path: string, load: () => Promise<{ Component: React.ComponentType }>): RouteObject => ({
  path, lazy: load, errorElement: <RouteError />,
});

/** Of the service, and of each workspace. */
const shared: RouteObject[] = [
  page("apis", () => import("./pages/Apis")),
  page("apis/:api/:tab?/:operation?", () => import("./pages/Api")),
  page("products", () => import("./pages/Products")),
  page("products/:product/:tab?", () => import("./pages/Product")),
  page("subscriptions", () => import("./pages/Subscriptions")),
  page("backends", () => import("./pages/Backends")),
  page("backends/:backend/:tab?", () => import("./pages/Backend")),
  page("named-values", () => import("./pages/NamedValues")),
  page("policy-fragments", () => import("./pages/Fragments")),
  page("certificates", () => import("./pages/Certificates")),
  page("certificates/:certificate", () => import("./pages/Certificate")),
];

export const router = createBrowserRouter([
  { path: "/signin/*", element: <SignInRoute />, errorElement: <RouteError /> },
  {
    path: "/", element: <Frame />, errorElement: <RouteError />,
    children: [
      { index: true, element: <Home /> },
      { path: "portal", element: <Home /> },
      {
        path: "portal/:group/:service", element: <InService />, errorElement: <RouteError />,
        children: [
          { index: true, element: <Navigate to="overview" replace /> },
          page("overview", () => import("./pages/Overview")),
          ...shared,
          page("workspaces", () => import("./pages/Workspaces")),
          {
            path: "workspaces/:workspace", element: <InWorkspace />, errorElement: <RouteError />,
            children: [
              { index: true, element: <Navigate to="overview" replace /> },
              page("overview", () => import("./pages/Workspace")),
              ...shared,
              { path: "*", element: <NotFound /> },
            ],
          },
          page("managed-identities", () => import("./pages/Identities")),
          page("network", () => import("./pages/Network")),
          page("key-vaults", () => import("./pages/Vaults")),
          page("key-vaults/:vault/:tab?", () => import("./pages/Vault")),
          { path: "*", element: <NotFound /> },
        ],
      },
      { path: "*", element: <NotFound /> },
    ],
  },
], { future: { v7_relativeSplatPath: true } });
