// SPDX-License-Identifier: Apache-2.0
// Every page has an address of its own; each is a file of its own, fetched when it is first opened.
import { createBrowserRouter, Navigate, type RouteObject } from "react-router-dom";
import { Frame, Home, InService } from "./shell/Frame";
import { NotFound, RouteError } from "./shell/RouteError";
import { SignInRoute } from "./shell/SignIn";

const page = (path: string, load: () => Promise<{ Component: React.ComponentType }>): RouteObject => ({
  path, lazy: load, errorElement: <RouteError />,
});

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
          page("certificates", () => import("./pages/Certificates")),
          page("certificates/:certificate", () => import("./pages/Certificate")),
          { path: "*", element: <NotFound /> },
        ],
      },
      { path: "*", element: <NotFound /> },
    ],
  },
], { future: { v7_relativeSplatPath: true } });
