// SPDX-License-Identifier: Apache-2.0
// Top bar, service menu, and the page beside it.
import {
  Avatar, Button, Divider, Drawer, DrawerBody, Input, makeStyles, Menu, MenuDivider, MenuGroup, MenuGroupHeader, MenuItem,
  MenuItemRadio, MenuList, MenuPopover, MenuTrigger, mergeClasses, Popover, PopoverSurface, PopoverTrigger, Spinner, Text, tokens, Tooltip,
} from "@fluentui/react-components";
import { AlertRegular, NavigationRegular, PersonRegular, PlugDisconnectedRegular, SearchRegular, SettingsRegular } from "@fluentui/react-icons";
import { type ReactNode, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { Navigate, Outlet, useLocation, useNavigate, useOutletContext, useParams } from "react-router-dom";
import { isMissing } from "../core/arm";
import * as session from "../core/session";
import { inWorkspace, refOf, type ServiceRef, ServiceProvider, useService, useServices, workspaceOf } from "../core/service";
import { useThemeContext } from "../theme";
import { useNotices } from "../ui/notify";
import { Blade, Confirm, Empty, ErrorBar, Loading, PageLink } from "../ui/parts";
import { Mark } from "./Mark";
import { menu, workspaceMenu } from "./menu";
import { Issuers, SignInForm } from "./SignIn";

const BAR = "#0f548c";

const useStyles = makeStyles({
  frame: { height: "100%", display: "flex", flexDirection: "column", backgroundColor: tokens.colorNeutralBackground1, color: tokens.colorNeutralForeground1 },
  bar: { height: "44px", flexShrink: 0, backgroundColor: BAR, color: "#fff", display: "flex", alignItems: "center", padding: "0 8px", gap: "4px" },
  brand: { display: "flex", alignItems: "center", gap: "8px", color: "#fff", textDecoration: "none", padding: "0 8px", fontSize: tokens.fontSizeBase400, fontWeight: tokens.fontWeightSemibold },
  barButton: { color: "#fff", minWidth: "36px", "&:hover": { color: "#fff", backgroundColor: "rgba(255,255,255,0.16)" }, "&:hover:active": { color: "#fff", backgroundColor: "rgba(255,255,255,0.24)" } },
  space: { flexGrow: 1 },
  onlyNarrow: { "@media (min-width: 901px)": { display: "none" } },
  onlyWide: { "@media (max-width: 900px)": { display: "none" } },
  below: { display: "flex", flexGrow: 1, minHeight: 0 },
  nav: { width: "232px", flexShrink: 0, borderRight: `1px solid ${tokens.colorNeutralStroke2}`, overflow: "auto", padding: "8px 0" },
  main: { flexGrow: 1, minWidth: 0, display: "flex", flexDirection: "column", minHeight: 0 },
  crumbs: { padding: "8px 20px 0", fontSize: tokens.fontSizeBase200, display: "flex", gap: "6px", flexWrap: "wrap" },
  search: { margin: "4px 12px 8px", width: "calc(100% - 24px)" },
  group: { padding: "12px 16px 4px", fontWeight: tokens.fontWeightSemibold, fontSize: tokens.fontSizeBase200, margin: 0 },
  list: { listStyleType: "none", margin: 0, padding: 0 },
  item: {
    display: "flex", alignItems: "center", gap: "10px", padding: "6px 16px", color: tokens.colorNeutralForeground1, textDecoration: "none", borderLeft: "3px solid transparent",
    "&:hover": { backgroundColor: tokens.colorNeutralBackground1Hover }, "& svg": { fontSize: "18px", color: tokens.colorBrandForeground1, flexShrink: 0 },
  },
  here: { backgroundColor: tokens.colorNeutralBackground1Selected, borderLeftColor: tokens.colorBrandStroke1, fontWeight: tokens.fontWeightSemibold },
  notice: { padding: "8px 0", borderBottom: `1px solid ${tokens.colorNeutralStroke2}`, maxWidth: "320px", overflowWrap: "anywhere" },
  service: { color: tokens.colorNeutralForeground3, padding: "0 16px 8px", fontSize: tokens.fontSizeBase200, overflowWrap: "anywhere" },
});

function ServiceMenu(props: { service: ServiceRef; onGo?: () => void }): JSX.Element {
  const s = useStyles();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const workspace = workspaceOf(pathname);
  const here = workspace ? inWorkspace(props.service, workspace) : props.service;
  const groups = (workspace ? workspaceMenu : menu).map((group) => ({
    ...group,
    items: group.items.filter((item) => !wanted || `${item.name} ${item.words ?? ""}`.toLowerCase().includes(wanted)),
  })).filter((group) => group.items.length > 0);
  const go = (path: string): void => {
    navigate(`${here.base}/${path}`);
    props.onGo?.();
  };
  return (
    <>
      <Input size="small" className={s.search} contentBefore={<SearchRegular />} placeholder="Search the menu" aria-label="Search the menu" value={text}
        onChange={(_, data) => setText(data.value)}
        onKeyDown={(event) => { const found = groups[0]?.items[0]; if (event.key === "Enter" && found) go(found.path); }} />
      {workspace ? (
        <div className={s.service}>
          <Text weight="semibold" block>{workspace}</Text>
          <PageLink to={`${props.service.base}/workspaces`}>All workspaces</PageLink>
        </div>
      ) : null}
      {groups.map((group) => (
        <div key={group.name ?? ""}>
          {group.name ? <h2 className={s.group}>{group.name}</h2> : null}
          <ul className={s.list}>
            {group.items.map((item) => {
              const to = `${here.base}/${item.path}`;
              const isHere = pathname === to || pathname.startsWith(`${to}/`);
              return (
                <li key={item.path}>
                  <a href={to} className={mergeClasses(s.item, isHere && s.here)} aria-current={isHere ? "page" : undefined}
                    onClick={(event) => {
                      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
                      event.preventDefault();
                      go(item.path);
                    }}>
                    <item.icon />{item.name}
                  </a>
                </li>
              );
            })}
          </ul>
        </div>
      ))}
      {groups.length === 0 ? <div className={s.service}>Nothing in the menu matches.</div> : null}
    </>
  );
}

function Settings(): JSX.Element {
  const s = useStyles();
  const theme = useThemeContext();
  return (
    <Menu checkedValues={{ theme: [theme.choice] }} onCheckedValueChange={(_, data) => theme.choose((data.checkedItems[0] ?? "system") as "system" | "light" | "dark")}>
      <MenuTrigger disableButtonEnhancement>
        <Tooltip content="Settings" relationship="label"><Button appearance="transparent" className={s.barButton} icon={<SettingsRegular />} /></Tooltip>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          <MenuGroup>
            <MenuGroupHeader>Appearance</MenuGroupHeader>
            <MenuItemRadio name="theme" value="system">As the system</MenuItemRadio>
            <MenuItemRadio name="theme" value="light">Light</MenuItemRadio>
            <MenuItemRadio name="theme" value="dark">Dark</MenuItemRadio>
          </MenuGroup>
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}

function Notices(): JSX.Element {
  const s = useStyles();
  const notices = useNotices();
  return (
    <Popover trapFocus>
      <PopoverTrigger disableButtonEnhancement>
        <Tooltip content="Notifications" relationship="label"><Button appearance="transparent" className={s.barButton} icon={<AlertRegular />} /></Tooltip>
      </PopoverTrigger>
      <PopoverSurface aria-label="Notifications">
        <Text weight="semibold">Notifications</Text>
        {notices.length === 0 ? <div className={s.notice}>Nothing has happened yet in this tab.</div> : null}
        {notices.map((notice) => (
          <div key={notice.id} className={s.notice}>
            <Text weight="semibold" block>{notice.title}</Text>
            {notice.text ? <Text block size={200}>{notice.text}</Text> : null}
            <Text size={100}>{notice.at.toLocaleTimeString()}</Text>
          </div>
        ))}
      </PopoverSurface>
    </Popover>
  );
}

function Account(props: { person: session.Person }): JSX.Element {
  const s = useStyles();
  const { person } = props;
  return (
    <Menu>
      <MenuTrigger disableButtonEnhancement>
        <Button appearance="transparent" className={s.barButton} aria-label={`Account: ${person.displayName}`}>
          <span className={s.onlyWide} style={{ marginRight: 8 }}>{person.displayName}</span>
          <Avatar size={24} icon={<PersonRegular />} aria-hidden />
        </Button>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          <MenuGroup>
            <MenuGroupHeader>{person.displayName}</MenuGroupHeader>
            {person.userName ? <MenuGroupHeader>{person.userName}</MenuGroupHeader> : null}
            <MenuGroupHeader>Session until {new Date(person.expiresOn).toLocaleTimeString()}</MenuGroupHeader>
          </MenuGroup>
          <MenuDivider />
          <MenuItem onClick={() => void session.signOut()}>Sign out</MenuItem>
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}

/** Everything behind the sign-in. A session that is lost asks for a new one over the page, which stays. */
export function Frame(): JSX.Element {
  const s = useStyles();
  const state = useSyncExternalStore(session.subscribe, session.current);
  const { pathname, search } = useLocation();
  const [narrow, setNarrow] = useState(false);
  const [service, setService] = useState<ServiceRef | null>(null);
  const [person, setPerson] = useState<session.Person | null>(null);
  const outlet = useMemo(() => ({ setService }), []);
  // Where one was when the session ended: the focus goes back there, else a form below would stay hidden from screen readers.
  const before = useRef<Element | null>(null);
  if (state.kind === "out") before.current ??= document.activeElement;
  useEffect(() => {
    if (state.kind !== "in") return undefined;
    setPerson(state.person);
    const back = before.current;
    before.current = null;
    const timer = setTimeout(() => { if (back instanceof HTMLElement && back.isConnected) back.focus(); }, 100);
    return () => clearTimeout(timer);
  }, [state]);
  useEffect(() => {
    document.getElementById("blade-title")?.focus();
  }, [pathname]);

  if (state.kind === "unknown") return <Spinner label="Opening the portal…" style={{ height: "100%" }} />;
  if (state.kind === "unreachable")
    return (
      <main>
        <Empty icon={<PlugDisconnectedRegular />} title="The server cannot be reached" action={<Button appearance="primary" onClick={() => void session.load()}>Try again</Button>}>
          {state.message}. If Postern is starting again, this takes a moment.
        </Empty>
      </main>
    );
  if (state.kind === "out" && !state.lost) return <Navigate to="/signin" replace state={{ from: pathname === "/" ? "/" : pathname + search }} />;
  return (
    <div className={s.frame}>
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("blade-title")?.focus(); }}>Skip to the content</a>
      <header className={s.bar}>
        {service ? <Button appearance="transparent" className={mergeClasses(s.barButton, s.onlyNarrow)} aria-label="Service menu" icon={<NavigationRegular />} onClick={() => setNarrow(true)} /> : null}
        <PageLinkBare to="/" className={s.brand}><Mark size={22} color="#fff" /> Postern</PageLinkBare>
        <span className={s.space} />
        <Notices />
        <Settings />
        {person ? <Account person={person} /> : null}
      </header>
      <div className={s.below}>
        {service ? (
          <>
            <nav className={mergeClasses(s.nav, s.onlyWide)} aria-label="Service menu"><ServiceMenu service={service} /></nav>
            <Drawer type="overlay" position="start" size="small" open={narrow} onOpenChange={(_, data) => setNarrow(data.open)} aria-label="Service menu">
              <DrawerBody style={{ padding: "16px 0" }}>
                <Text weight="semibold" style={{ padding: "0 16px" }}>{service.name}</Text>
                <Divider style={{ margin: "8px 0" }} />
                <ServiceMenu service={service} onGo={() => setNarrow(false)} />
              </DrawerBody>
            </Drawer>
          </>
        ) : null}
        <main id="main" className={s.main}><Outlet context={outlet} /></main>
      </div>
      <Confirm open={state.kind === "out"} title="Your session has ended" onClose={() => void session.signOut()}>
        <Text block style={{ marginBottom: 16 }}>Sign in again to go on here; nothing on this page is lost. Or open a new link of <span style={{ fontFamily: "monospace" }}>postern portal</span> in another tab. Close goes to the sign-in page.</Text>
        <div style={{ display: "flex", flexDirection: "column", gap: 16 }}>
          <Issuers apart />
          <SignInForm onDone={() => undefined} />
        </div>
      </Confirm>
    </div>
  );
}

function PageLinkBare(props: { to: string; className: string; children: ReactNode }): JSX.Element {
  const navigate = useNavigate();
  return <a href={props.to} className={props.className} onClick={(event) => { event.preventDefault(); navigate(props.to); }}>{props.children}</a>;
}

/** "/": the only service, or a list to choose from. */
export function Home(): JSX.Element {
  const services = useServices();
  if (services.isPending) return <Loading />;
  if (services.error && (!services.data || isMissing(services.error))) return <Blade title="API Management services"><ErrorBar error={services.error} onRetry={() => void services.refetch()} /></Blade>;
  const [only] = services.data;
  if (services.data.length === 1 && only) return <Navigate to={`${refOf(only.id).base}/overview`} replace />;
  return (
    <Blade title="API Management services">
      {services.data.length === 0 ? (
        <Empty icon={<PlugDisconnectedRegular />} title="There is no service that you may see">
          Your account has no role on any service. An owner can give one: postern identity add-user says how.
        </Empty>
      ) : null}
      <ul>
        {services.data.map((service) => <li key={service.id}><PageLink to={`${refOf(service.id).base}/overview`}>{service.name}</PageLink></li>)}
      </ul>
    </Blade>
  );
}

/** The pages of one service. */
export function InService(): JSX.Element {
  const s = useStyles();
  const { group = "", service: name = "" } = useParams();
  const { pathname } = useLocation();
  const workspace = workspaceOf(pathname);
  const services = useServices();
  const { setService } = useOutletShell();
  const found = services.data?.find((item) => {
    const ref = refOf(item.id);
    return ref.group.toLowerCase() === group.toLowerCase() && ref.name.toLowerCase() === name.toLowerCase();
  });
  const ref = useMemo(() => (found ? refOf(found.id) : null), [found?.id]);
  useEffect(() => {
    setService(ref);
    return () => setService(null);
  }, [ref, setService]);
  if (services.isPending) return <Loading />;
  if (services.error && (!services.data || isMissing(services.error))) return <Blade title={name}><ErrorBar error={services.error} onRetry={() => void services.refetch()} /></Blade>;
  if (!ref)
    return (
      <Blade title={name}>
        <Empty icon={<PlugDisconnectedRegular />} title="There is no such service, or you may not see it" action={<PageLink to="/">All services</PageLink>}>
          {group} / {name}
        </Empty>
      </Blade>
    );
  return (
    <ServiceProvider value={ref}>
      <nav className={s.crumbs} aria-label="Breadcrumb"><PageLink to="/">Home</PageLink><span aria-hidden>›</span><PageLink to={`${ref.base}/overview`}>{ref.name}</PageLink>{workspace ? <><span aria-hidden>›</span><PageLink to={`${ref.base}/workspaces`}>Workspaces</PageLink><span aria-hidden>›</span><PageLink to={`${ref.base}/workspaces/${encodeURIComponent(workspace)}/overview`}>{workspace}</PageLink></> : null}</nav>
      <Outlet />
    </ServiceProvider>
  );
}

/** The pages of one workspace: those of a service, about what is in the workspace. */
export function InWorkspace(): JSX.Element {
  const service = useService();
  const { workspace = "" } = useParams();
  const ref = useMemo(() => inWorkspace(service, workspace), [service, workspace]);
  return <ServiceProvider value={ref}><Outlet /></ServiceProvider>;
}

const useOutletShell = (): { setService: (service: ServiceRef | null) => void } => useOutletContext();
