// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: ".",
  testMatch: "*.spec.mjs",
  workers: 1,
  fullyParallel: false,
  retries: 0,
  timeout: 180000, // what walks through all pages, on a slow machine
  expect: { timeout: 15000 },
  outputDir: process.env.PN_PORTAL_OUTPUT ?? "../../build/portal-tests",
  reporter: process.env.PN_PORTAL_JUNIT ? [["line"], ["junit", { outputFile: process.env.PN_PORTAL_JUNIT }]] : [["list"]],
  use: {
    browserName: "chromium",
    ignoreHTTPSErrors: true, // the service makes a private authority of its own
    viewport: { width: 1280, height: 800 },
    locale: "en-US",
    timezoneId: "UTC",
    contextOptions: { reducedMotion: "reduce" },
    actionTimeout: 15000,
    screenshot: "only-on-failure",
    acceptDownloads: true,
    launchOptions: { executablePath: process.env.PN_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] },
  },
});
