// SPDX-License-Identifier: Apache-2.0
// CodeMirror for policy documents: colours, completion, help at the pointer, errors at their place.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { xml } from "@codemirror/lang-xml";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, hoverTooltip, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import { elements } from "../pages/api/elements";
import { useThemeContext } from "../theme";

const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";
const byName = new Map(elements.map((e) => [e.name, e]));

const language = xml({
  elements: elements.map((e) => ({
    name: e.name, ...(e.top ? { top: true } : {}), ...(e.children ? { children: e.children } : { children: [] }),
    completion: { info: e.help },
    attributes: Object.entries(e.attributes ?? {}).map(([name, a]) => ({ name, ...(a.values ? { values: a.values } : {}), completion: { info: a.help } })),
  })),
});

const help = hoverTooltip((view, position) => {
  const line = view.state.doc.lineAt(position);
  const at = position - line.from;
  const start = line.text.slice(0, at).search(/[\w-]*$/);
  const word = /^[\w-]*/.exec(line.text.slice(start))?.[0] ?? "";
  const before = line.text.slice(0, start);
  const owner = /<([\w-]+)[^<>]*$/.exec(before)?.[1];
  const text = /<\/?$/.test(before) ? byName.get(word)?.help : owner ? byName.get(owner)?.attributes?.[word]?.help : undefined;
  if (!text) return null;
  return {
    pos: line.from + start, end: line.from + start + word.length, above: true,
    create: () => {
      const dom = document.createElement("div");
      dom.textContent = text;
      dom.style.padding = "6px 10px";
      dom.style.maxWidth = "360px";
      return { dom };
    },
  };
});

const colours = (isDark: boolean): HighlightStyle => HighlightStyle.define([
  { tag: tags.tagName, color: isDark ? "#62abf5" : "#0f548c" },
  { tag: tags.attributeName, color: isDark ? "#f4bfab" : "#8b2e00" },
  { tag: [tags.attributeValue, tags.string], color: isDark ? "#9fd89f" : "#0e700e" },
  { tag: tags.comment, color: isDark ? "#adadad" : "#616161", fontStyle: "italic" },
  { tag: tags.angleBracket, color: isDark ? "#adadad" : "#616161" },
]);

const look = (isDark: boolean) => EditorView.theme({
  "&": { height: "100%", fontSize: "13px", backgroundColor: "transparent" },
  ".cm-scroller": { fontFamily: "Consolas, 'Courier New', monospace" },
  ".cm-gutters": { backgroundColor: "transparent", color: isDark ? "#adadad" : "#616161", borderRight: "1px solid #8888" },
  ".cm-activeLine": { backgroundColor: isDark ? "#ffffff10" : "#00000008" },
  ".cm-cursor": { borderLeftColor: isDark ? "#fff" : "#000" },
}, { dark: isDark });

export interface Mistake { line: number; column: number; message: string }

export function CodeEditor(props: { value: string; onChange: (value: string) => void; label: string; mistake: Mistake | null; readOnly?: boolean }): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const onChange = useRef(props.onChange);
  onChange.current = props.onChange;
  const { isDark } = useThemeContext();
  const { value, label, mistake, readOnly } = props;
  const first = useRef(value);

  useEffect(() => {
    if (!host.current) return;
    const made = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: view.current?.state.doc ?? first.current,
        extensions: [
          EditorView.cspNonce.of(nonce), lineNumbers(), lintGutter(), history(), drawSelection(), indentUnit.of("    "), indentOnInput(), bracketMatching(), closeBrackets(), highlightActiveLine(),
          autocompletion(), language, syntaxHighlighting(colours(isDark)), look(isDark), help,
          // Tab leaves the editor, as everywhere else: nobody is caught in it.
          keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap]),
          EditorView.contentAttributes.of({ "aria-label": label }), EditorState.readOnly.of(readOnly === true),
          EditorView.updateListener.of((update) => { if (update.docChanged) onChange.current(update.state.doc.toString()); }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, [isDark, label, readOnly]);

  // A text that came from elsewhere, not from typing.
  useEffect(() => {
    const now = view.current;
    if (now && now.state.doc.toString() !== value) now.dispatch({ changes: { from: 0, to: now.state.doc.length, insert: value } });
  }, [value]);

  useEffect(() => {
    const now = view.current;
    if (!now) return;
    const list: Diagnostic[] = [];
    if (mistake && mistake.line <= now.state.doc.lines) {
      const line = now.state.doc.line(Math.max(1, mistake.line));
      const from = Math.min(line.from + Math.max(0, mistake.column - 1), line.to);
      list.push({ from, to: Math.max(line.to, from), severity: "error", message: mistake.message });
      now.dispatch({ selection: { anchor: from }, scrollIntoView: true });
    }
    now.dispatch(setDiagnostics(now.state, list));
  }, [mistake]);

  return <div ref={host} style={{ flexGrow: 1, minHeight: 240, border: "1px solid #8888", borderRadius: 4, overflow: "hidden" }} />;
}
