// SPDX-License-Identifier: Apache-2.0
// What the pages are made of.
import {
  Badge, Button, Dialog, DialogActions, DialogBody, DialogContent, DialogSurface, DialogTitle, Drawer, DrawerBody,
  DrawerFooter, DrawerHeader, DrawerHeaderTitle, Link, makeStyles, MessageBar, MessageBarActions, MessageBarBody,
  MessageBarTitle, mergeClasses, Spinner, Text, tokens, Toolbar, ToolbarButton, Tooltip,
} from "@fluentui/react-components";
import { CheckmarkRegular, CopyRegular, DismissRegular } from "@fluentui/react-icons";
import { type ComponentProps, type ReactElement, type ReactNode, type RefObject, useEffect, useRef, useState } from "react";
import { useHref, useNavigate } from "react-router-dom";
import { ApiError } from "../core/arm";
import { daysLeft, leftText } from "../core/format";
import { wordsOf } from "./notify";

export const useStyles = makeStyles({
  blade: { display: "flex", flexDirection: "column", minHeight: 0, flexGrow: 1, minWidth: 0 },
  head: { padding: "12px 20px 4px", display: "flex", alignItems: "flex-start", gap: "12px" },
  headIcon: { fontSize: "32px", color: tokens.colorBrandForeground1, lineHeight: 1, marginTop: "2px" },
  title: { margin: 0, fontSize: tokens.fontSizeBase500, lineHeight: tokens.lineHeightBase500, fontWeight: tokens.fontWeightSemibold, overflowWrap: "anywhere" },
  subtitle: { color: tokens.colorNeutralForeground3, fontSize: tokens.fontSizeBase200 },
  commands: { borderBottom: `1px solid ${tokens.colorNeutralStroke2}`, padding: "2px 12px", flexWrap: "wrap", flexShrink: 0 },
  content: { padding: "16px 20px", overflow: "auto", flexGrow: 1, minHeight: 0, display: "flex", flexDirection: "column", gap: "16px" },
  column: { display: "flex", flexDirection: "column", gap: "16px" },
  row: { display: "flex", gap: "12px", flexWrap: "wrap", alignItems: "center" },
  empty: { display: "flex", flexDirection: "column", alignItems: "center", textAlign: "center", gap: "12px", padding: "48px 16px", margin: "0 auto", maxWidth: "480px" },
  emptyIcon: { fontSize: "64px", color: tokens.colorBrandForeground1, lineHeight: 1 },
  mono: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, overflowWrap: "anywhere" },
  copy: { display: "inline-flex", alignItems: "center", gap: "2px", minWidth: 0, maxWidth: "100%" },
  clip: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", minWidth: 0 },
  facts: { display: "grid", gridTemplateColumns: "minmax(120px, max-content) minmax(0, 1fr)", columnGap: "24px", rowGap: "8px", margin: 0,
    "@media (max-width: 600px)": { gridTemplateColumns: "minmax(0, 1fr)", rowGap: "2px" } },
  stacked: { gridTemplateColumns: "minmax(0, 1fr)", rowGap: "2px", "& dd": { marginBottom: "8px" } },
  term: { color: tokens.colorNeutralForeground3 },
  fact: { margin: 0, overflowWrap: "anywhere", "@media (max-width: 600px)": { marginBottom: "8px" } },
  pre: { whiteSpace: "pre-line" },
  card: { border: `1px solid ${tokens.colorNeutralStroke2}`, borderRadius: tokens.borderRadiusMedium, padding: "16px", backgroundColor: tokens.colorNeutralBackground1, minWidth: 0 },
  cardTitle: { margin: "0 0 12px", fontSize: tokens.fontSizeBase400, fontWeight: tokens.fontWeightSemibold },
});

/** A page: title, command bar, content. */
export function Blade(props: { title: string; subtitle?: string; icon?: ReactElement; commands?: ReactNode; children: ReactNode; flush?: boolean }): JSX.Element {
  const s = useStyles();
  useEffect(() => {
    document.title = `${props.title} - Postern`;
  }, [props.title]);
  return (
    <section className={s.blade} aria-labelledby="blade-title">
      <header className={s.head}>
        {props.icon ? <span className={s.headIcon} aria-hidden>{props.icon}</span> : null}
        <div>
          <h1 id="blade-title" className={s.title} tabIndex={-1}>{props.title}</h1>
          {props.subtitle ? <div className={s.subtitle}>{props.subtitle}</div> : null}
        </div>
      </header>
      {props.commands ? <Toolbar className={s.commands} aria-label="Commands">{props.commands}</Toolbar> : null}
      {props.flush ? props.children : <div className={s.content}>{props.children}</div>}
    </section>
  );
}

/** A command; `why` says why it cannot be used, and is then shown instead of acting. */
export function Command(props: { icon: ReactElement; label: string; onClick: () => void; why?: string | undefined; disabled?: boolean }): JSX.Element {
  const button = (
    <ToolbarButton icon={props.icon} disabledFocusable={Boolean(props.why) || props.disabled === true} onClick={props.onClick}>{props.label}</ToolbarButton>
  );
  return props.why ? <Tooltip content={props.why} relationship="description">{button}</Tooltip> : button;
}

/** A button that says why it is disabled. */
export function ActButton(props: ComponentProps<typeof Button> & { why?: string | undefined }): JSX.Element {
  const { why, ...rest } = props;
  const button = <Button {...(rest as object)} disabledFocusable={Boolean(why) || rest.disabledFocusable === true} />;
  return why ? <Tooltip content={why} relationship="description">{button}</Tooltip> : button;
}

export function Loading(props: { label?: string }): JSX.Element {
  return <Spinner size="small" labelPosition="after" label={props.label ?? "Loading…"} style={{ padding: 24 }} />;
}

export function ErrorBar(props: { error: unknown; title?: string; onRetry?: () => void; children?: ReactNode }): JSX.Element | null {
  const s = useStyles();
  if (!props.error) return null;
  const request = props.error instanceof ApiError ? props.error.requestId : null;
  return (
    <MessageBar intent="error" layout="multiline" role="alert">
      <MessageBarBody>
        {props.title ? <MessageBarTitle>{props.title}</MessageBarTitle> : null}
        <span className={s.pre}>{wordsOf(props.error)}</span>
        {request ? <div className={s.subtitle}>Request id {request}</div> : null}
      </MessageBarBody>
      {props.onRetry || props.children ? (
        <MessageBarActions>
          {props.children}
          {props.onRetry ? <Button onClick={props.onRetry}>Try again</Button> : null}
        </MessageBarActions>
      ) : null}
    </MessageBar>
  );
}

export function Hint(props: { intent?: "info" | "warning" | "success"; title?: string; children: ReactNode }): JSX.Element {
  return (
    <MessageBar intent={props.intent ?? "info"} layout="multiline">
      <MessageBarBody>
        {props.title ? <MessageBarTitle>{props.title}</MessageBarTitle> : null}
        {props.children}
      </MessageBarBody>
    </MessageBar>
  );
}

export function Empty(props: { icon: ReactElement; title: string; children: ReactNode; action?: ReactNode }): JSX.Element {
  const s = useStyles();
  return (
    <div className={s.empty}>
      <span className={s.emptyIcon} aria-hidden>{props.icon}</span>
      <Text as="h2" size={500} weight="semibold">{props.title}</Text>
      <Text>{props.children}</Text>
      {props.action}
    </div>
  );
}

/** A text with a button that copies it. */
export function Copy(props: { text: string; label: string; clip?: boolean }): JSX.Element {
  const s = useStyles();
  const [done, setDone] = useState(false);
  return (
    <span className={s.copy}>
      <span className={mergeClasses(s.mono, props.clip && s.clip)} title={props.clip ? props.text : undefined}>{props.text}</span>
      <Button
        size="small" appearance="transparent" icon={done ? <CheckmarkRegular /> : <CopyRegular />}
        aria-label={done ? `Copied: ${props.label}` : `Copy ${props.label}`}
        onClick={() => {
          void navigator.clipboard.writeText(props.text).then(() => {
            setDone(true);
            setTimeout(() => setDone(false), 1500);
          });
        }}
      />
    </span>
  );
}

/** Names and values, as in Essentials. */
export function Facts(props: { items: [string, ReactNode][]; stacked?: boolean }): JSX.Element {
  const s = useStyles();
  return (
    <dl className={mergeClasses(s.facts, props.stacked && s.stacked)}>
      {props.items.filter(([, value]) => value !== undefined && value !== "" && value !== null).map(([name, value]) => (
        <div key={name} style={{ display: "contents" }}>
          <dt className={s.term}>{name}</dt>
          <dd className={s.fact}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Card(props: { title: string; children: ReactNode; action?: ReactNode }): JSX.Element {
  const s = useStyles();
  return (
    <section className={s.card} aria-label={props.title}>
      <div className={s.row} style={{ justifyContent: "space-between" }}>
        <h2 className={s.cardTitle}>{props.title}</h2>
        {props.action}
      </div>
      {props.children}
    </section>
  );
}

/** A link inside the portal. */
export function PageLink(props: { to: string; children: ReactNode; inline?: boolean; label?: string }): JSX.Element {
  const href = useHref(props.to);
  const navigate = useNavigate();
  return (
    <Link
      href={href} inline={props.inline === true} aria-label={props.label} title={typeof props.children === "string" ? props.children : undefined}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        navigate(props.to);
      }}
    >{props.children}</Link>
  );
}

export function ExpiryBadge(props: { date: string }): JSX.Element {
  const days = daysLeft(props.date);
  const color = days < 0 ? "danger" : days < 30 ? "warning" : "success";
  return <Badge appearance="tint" color={color}>{leftText(props.date)}</Badge>;
}

const FIELDS = "input:not([disabled]):not([type=file]):not([type=radio]), textarea:not([disabled]), [role=combobox]:not([disabled])";

/** A dialog that opens gives the focus to its first button, after a field that asked for it had got it: what is typed meanwhile would be lost.
 *  So until a key or the pointer is used, the first field has it. */
function useFirstField(open: boolean): RefObject<HTMLDivElement> {
  const panel = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const onFocus = (): void => {
      const body = panel.current?.querySelector(".panel-body");
      const at = document.activeElement;
      if (body && at && panel.current?.contains(at) && !body.contains(at)) body.querySelector<HTMLElement>(FIELDS)?.focus();
    };
    const stop = (): void => {
      document.removeEventListener("focusin", onFocus);
      document.removeEventListener("keydown", stop, true);
      document.removeEventListener("pointerdown", stop, true);
    };
    document.addEventListener("focusin", onFocus);
    document.addEventListener("keydown", stop, true);
    document.addEventListener("pointerdown", stop, true);
    onFocus();
    return stop;
  }, [open]);
  return panel;
}

/** The panel at the right side where something is made or looked at. */
export function Panel(props: { open: boolean; title: string; onClose: () => void; children: ReactNode; footer?: ReactNode; size?: "small" | "medium" | "large" }): JSX.Element {
  const panel = useFirstField(props.open);
  return (
    <Drawer ref={panel} type="overlay" position="end" size={props.size ?? "medium"} open={props.open} onOpenChange={(_, data) => { if (!data.open) props.onClose(); }} className="panel">
      <DrawerHeader>
        <DrawerHeaderTitle action={<Button appearance="subtle" aria-label="Close" icon={<DismissRegular />} onClick={props.onClose} />}>{props.title}</DrawerHeaderTitle>
      </DrawerHeader>
      <DrawerBody className="panel-body">{props.children}</DrawerBody>
      {props.footer ? <DrawerFooter>{props.footer}</DrawerFooter> : null}
    </Drawer>
  );
}

export function Confirm(props: { open: boolean; title: string; children: ReactNode; action?: string; busy?: boolean; onYes?: () => void; onClose: () => void }): JSX.Element {
  return (
    <Dialog open={props.open} onOpenChange={(_, data) => { if (!data.open) props.onClose(); }} modalType="alert">
      <DialogSurface>
        <DialogBody>
          <DialogTitle>{props.title}</DialogTitle>
          <DialogContent>{props.children}</DialogContent>
          <DialogActions>
            {props.onYes ? <Button appearance="primary" disabledFocusable={props.busy === true} onClick={props.onYes}>{props.action ?? "OK"}</Button> : null}
            <Button onClick={props.onClose}>{props.onYes ? "Cancel" : "Close"}</Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
