// SPDX-License-Identifier: Apache-2.0
import { Button, Card, Field, Input, makeStyles, Spinner, Text, Title2, tokens } from "@fluentui/react-components";
import { type FormEvent, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Navigate, useLocation, useNavigate } from "react-router-dom";
import * as session from "../core/session";
import { ErrorBar } from "../ui/parts";
import { Mark } from "./Mark";

const useStyles = makeStyles({
  page: { minHeight: "100%", display: "flex", alignItems: "center", justifyContent: "center", padding: "16px", backgroundColor: tokens.colorNeutralBackground3, boxSizing: "border-box" },
  card: { width: "420px", maxWidth: "100%", padding: "32px", boxSizing: "border-box" },
  form: { display: "flex", flexDirection: "column", gap: "16px" },
  code: { fontFamily: tokens.fontFamilyMonospace, backgroundColor: tokens.colorNeutralBackground3, padding: "8px", borderRadius: tokens.borderRadiusMedium, display: "block" },
  brand: { display: "flex", alignItems: "center", gap: "8px", marginBottom: "8px" },
});

/** Why an identity provider's sign-in ended here: words of the server's. */
const PROBLEMS: Record<string, string> = {
  cancelled: "The sign-in was cancelled.",
  expired: "The sign-in took too long, or was begun in another browser. Try again.",
  refused: "The identity provider's answer was not accepted. The log of Postern names the cause.",
  unavailable: "The identity provider does not answer. Try again later; the log of Postern names the cause.",
  unknown: "There is no such identity provider.",
};

/** `apart`: in another tab, so that this page stays as it is. Who signs in there is signed in here, too. */
export function Issuers(props: { apart?: boolean }): JSX.Element | null {
  const s = useStyles();
  useSyncExternalStore(session.subscribe, session.current);
  const issuers = session.serverFacts()?.issuers ?? [];
  if (issuers.length === 0) return null;
  return (
    <div className={s.form}>
      {issuers.map((issuer) => (
        <Button key={issuer.path} as="a" href={issuer.path} {...(props.apart ? { target: "_blank", rel: "noopener" } : {})}>
          Sign in with {issuer.name}{props.apart ? " (another tab)" : ""}
        </Button>
      ))}
    </div>
  );
}

export function SignInForm(props: { onDone: () => void; autoFocus?: boolean }): JSX.Element {
  const s = useStyles();
  const [userName, setUserName] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    session.signIn({ userName, password }).then(props.onDone, (failure: unknown) => {
      setError(failure);
      setPassword("");
    }).finally(() => setBusy(false));
  };
  return (
    <form className={s.form} onSubmit={submit}>
      <ErrorBar error={error} />
      <Field label="User name" required>
        <Input autoComplete="username" value={userName} onChange={(_, data) => setUserName(data.value)} autoFocus={props.autoFocus === true} />
      </Field>
      <Field label="Password" required>
        <Input type="password" autoComplete="current-password" value={password} onChange={(_, data) => setPassword(data.value)} />
      </Field>
      <Button type="submit" appearance="primary" disabledFocusable={busy || !userName || !password}>{busy ? "Signing in…" : "Sign in"}</Button>
    </form>
  );
}

export function SignInPage(props: { onDone: () => void; problem?: unknown }): JSX.Element {
  const s = useStyles();
  useEffect(() => {
    document.title = "Sign in - Postern";
  }, []);
  return (
    <main className={s.page}>
      <Card className={s.card}>
        <div className={s.brand}><Mark size={28} /><Text size={500} weight="semibold">Postern</Text></div>
        <Title2 as="h1">Sign in</Title2>
        <ErrorBar error={props.problem} title="That does not sign in" />
        <Issuers />
        <SignInForm onDone={props.onDone} autoFocus />
        <Text as="h2" weight="semibold">No account yet?</Text>
        <Text>On the machine that runs Postern, this prints a link that signs in once, as the administrator:</Text>
        <code className={s.code}>postern portal</code>
        <Text size={200}>Accounts are made by <span style={{ fontFamily: "monospace" }}>postern identity add-user NAME</span>.</Text>
      </Card>
    </main>
  );
}

/** /signin, and /signin#code=… of a link. The code leaves the address before anything else happens. */
export function SignInRoute(): JSX.Element {
  const state = useSyncExternalStore(session.subscribe, session.current);
  const navigate = useNavigate();
  const where = useLocation();
  const [code] = useState(() => new URLSearchParams(location.hash.slice(1)).get("code"));
  const [problem, setProblem] = useState<unknown>(() => {
    const word = new URLSearchParams(location.hash.slice(1)).get("problem");
    return word ? new Error(PROBLEMS[word] ?? PROBLEMS.refused) : undefined;
  });
  const [busy, setBusy] = useState(code !== null);
  const asked = useRef(false);
  useEffect(() => {
    if (!code || asked.current) return;
    asked.current = true;
    history.replaceState(null, "", "/signin");
    session.signIn({ code }).then(() => navigate("/", { replace: true }), setProblem).finally(() => setBusy(false));
  }, [code, navigate]);
  const next = (where.state as { from?: string } | null)?.from ?? "/";
  if (busy || state.kind === "unknown") return <Spinner label="Signing in…" style={{ height: "100%" }} />;
  if (state.kind === "in" && !problem) return <Navigate to={next} replace />;
  return <SignInPage problem={problem} onDone={() => navigate(next, { replace: true })} />;
}
