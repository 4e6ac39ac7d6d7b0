// SPDX-License-Identifier: Apache-2.0
import { Panel } from "../../ui/parts";
import { PolicyEditor } from "./PolicyEditor";

export function PolicyPanel(props: { title: string; path: string; onClose: () => void }): JSX.Element {
  return <Panel open size="large" title={props.title} onClose={props.onClose}><PolicyEditor path={props.path} label={props.title} /></Panel>;
}
