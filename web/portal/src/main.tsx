// SPDX-License-Identifier: Apache-2.0
import { createDOMRenderer, FluentProvider, RendererProvider, Toaster } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router-dom";
import { ApiError } from "./core/arm";
import { SignInError } from "./core/session";
import * as session from "./core/session";
import { router } from "./routes";
import { ThemeContext, useThemeChoice } from "./theme";
import { TOASTER } from "./ui/notify";
import "./style.css";

const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";
const renderer = createDOMRenderer(document, { styleElementAttributes: { nonce } });

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5000,
      // What the server has answered it will answer again; what could not be reached may come back.
      retry: (count, error) => !(error instanceof SignInError) && !(error instanceof ApiError && error.status < 500) && count < 4,
      retryDelay: (count) => Math.min(500 * 2 ** count, 5000),
      // A server on this machine is reached also without any network.
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

function App(): JSX.Element {
  const theme = useThemeChoice();
  return (
    <RendererProvider renderer={renderer} targetDocument={document}>
      <FluentProvider theme={theme.theme} className="provider">
        <ThemeContext.Provider value={theme}>
          <QueryClientProvider client={client}>
            <div className="app"><RouterProvider router={router} future={{ v7_startTransition: true }} /></div>
            <Toaster toasterId={TOASTER} position="top-end" limit={4} />
          </QueryClientProvider>
        </ThemeContext.Provider>
      </FluentProvider>
    </RendererProvider>
  );
}

void session.load();
const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
