// SPDX-License-Identifier: Apache-2.0
import { type Theme, webDarkTheme, webLightTheme } from "@fluentui/react-components";
import { createContext, useContext, useEffect, useMemo, useState } from "react";

export type Choice = "system" | "light" | "dark";
interface Chosen { choice: Choice; isDark: boolean; theme: Theme; choose: (choice: Choice) => void }

const KEY = "postern.theme";
const fonts = { fontFamilyBase: "'Segoe UI', 'Segoe UI Web (West European)', -apple-system, BlinkMacSystemFont, Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', sans-serif" };
const light: Theme = { ...webLightTheme, ...fonts };
const dark: Theme = { ...webDarkTheme, ...fonts };

export const ThemeContext = createContext<Chosen | null>(null);

export function useThemeChoice(): Chosen {
  const [choice, setChoice] = useState<Choice>(() => {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : "system";
  });
  const [systemDark, setSystemDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const media = matchMedia("(prefers-color-scheme: dark)");
    const listen = (): void => setSystemDark(media.matches);
    media.addEventListener("change", listen);
    return () => media.removeEventListener("change", listen);
  }, []);
  const isDark = choice === "dark" || (choice === "system" && systemDark);
  useEffect(() => {
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  }, [isDark]);
  return useMemo(() => ({
    choice, isDark, theme: isDark ? dark : light,
    choose: (next) => {
      if (next === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
      setChoice(next);
    },
  }), [choice, isDark]);
}

export function useThemeContext(): Chosen {
  const chosen = useContext(ThemeContext);
  if (!chosen) throw new Error("outside of the theme");
  return chosen;
}
