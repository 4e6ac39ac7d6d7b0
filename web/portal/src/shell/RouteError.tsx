// SPDX-License-Identifier: Apache-2.0
import { Button, FluentProvider, Text } from "@fluentui/react-components";
import { DocumentErrorRegular, DocumentSearchRegular } from "@fluentui/react-icons";
import { useRouteError } from "react-router-dom";
import { Blade, Empty, PageLink } from "../ui/parts";

/** What went wrong in a page; the rest of the portal goes on. */
export function RouteError(): JSX.Element {
  const error = useRouteError();
  const text = error instanceof Error ? error.message : String(error);
  // A page's file is gone after the server was replaced by a newer one.
  const isStale = /dynamically imported module|Importing a module|Failed to fetch/i.test(text);
  return (
    <FluentProvider style={{ background: "transparent", flexGrow: 1 }}>
      <Empty icon={<DocumentErrorRegular />} title={isStale ? "This page cannot be loaded" : "This page has stopped"}
        action={<Button appearance="primary" onClick={() => location.reload()}>Reload</Button>}>
        {isStale ? "The server has a newer version of the portal, or cannot be reached." : "This is a mistake of the portal, not of yours. Nothing was changed."}
        <br />
        <Text size={200}>{text}</Text>
      </Empty>
    </FluentProvider>
  );
}

export function NotFound(): JSX.Element {
  return (
    <Blade title="Not found">
      <Empty icon={<DocumentSearchRegular />} title="There is no such page" action={<PageLink to="/">Go to the overview</PageLink>}>
        The address is of no page of the portal.
      </Empty>
    </Blade>
  );
}
