// SPDX-License-Identifier: Apache-2.0
// A list of the server: pages of it are fetched as they come into view, so ten thousand rows are as
// quick as ten. Filter and order are the server's, too. It is one stop of the Tab key (gridFocus.ts).
import { Button, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { ArrowSortDownRegular, ArrowSortUpRegular } from "@fluentui/react-icons";
import { useQueries } from "@tanstack/react-query";
import { defaultRangeExtractor, type Range, useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import * as arm from "../core/arm";
import { useService } from "../core/service";
import { useGridFocus } from "./gridFocus";
import { ErrorBar, Loading } from "./parts";

const PAGE = 100;
const ROW = 44;

const useStyles = makeStyles({
  table: { display: "flex", flexDirection: "column", minHeight: 0, flexGrow: 1 },
  head: { display: "flex", borderBottom: `1px solid ${tokens.colorNeutralStroke1}`, fontWeight: tokens.fontWeightSemibold, flexShrink: 0, scrollbarGutter: "stable", overflow: "hidden" },
  body: { overflow: "auto", flexGrow: 1, minHeight: "132px", scrollbarGutter: "stable", contain: "strict" },
  row: { display: "flex", height: `${ROW}px`, alignItems: "center", borderBottom: `1px solid ${tokens.colorNeutralStroke3}`, "&:hover": { backgroundColor: tokens.colorNeutralBackground1Hover } },
  cell: { padding: "0 8px", minWidth: 0, overflow: "hidden", whiteSpace: "nowrap", textOverflow: "ellipsis", display: "flex", alignItems: "center", gap: "6px", boxSizing: "border-box", ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" }, "& .fui-Badge": { flexShrink: 0 } },
  headCell: { padding: "4px 8px", minWidth: 0, minHeight: "32px", boxSizing: "border-box", fontSize: tokens.fontSizeBase200, display: "flex", alignItems: "center", ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" } },
  sort: { fontWeight: tokens.fontWeightSemibold, paddingLeft: 0, paddingRight: 0, minWidth: 0, fontSize: tokens.fontSizeBase200, justifyContent: "flex-start" },
  wide: { "@media (max-width: 1100px)": { display: "none" } },
  medium: { "@media (max-width: 700px)": { display: "none" } },
  compact: { "@media (max-width: 700px)": { flexGrow: "0 !important", flexBasis: "110px !important" } },
  ghost: { height: "12px", width: "60%", borderRadius: "4px", backgroundColor: tokens.colorNeutralBackground5 },
  count: { color: tokens.colorNeutralForeground3, fontSize: tokens.fontSizeBase200, padding: "6px 8px", flexShrink: 0 },
});

export interface Column<T> {
  key: string;
  title: string;
  /** share of the width */
  grow: number;
  min?: number;
  /** field of $orderby */
  sort?: string;
  /** no wider than it must be where there is little room */
  compact?: boolean;
  /** left out where there is little room */
  from?: "medium" | "wide";
  render: (row: T) => ReactNode;
}

export function DataTable<T extends { id: string }>(props: {
  label: string;
  /** below the service, "/certificates" */
  path: string;
  filter?: string | undefined;
  columns: Column<T>[];
  defaultSort?: string;
  empty: ReactNode;
  nothing?: ReactNode;
  refetchInterval?: number;
}): JSX.Element {
  const s = useStyles();
  const service = useService();
  const scroller = useRef<HTMLDivElement>(null);
  const [order, setOrder] = useState<{ field: string; down: boolean } | null>(
    props.defaultSort ? { field: props.defaultSort, down: false } : null);
  const [visible, setVisible] = useState<[number, number]>([0, 0]);
  const [focused, setFocused] = useState(0); // the row that has, or last had, the focus: it stays drawn
  const orderBy = order ? `${order.field}${order.down ? " desc" : ""}` : undefined;

  const indices = useMemo(() => {
    const list = new Set([0]); // it also tells how many there are
    if (focused >= 0) list.add(Math.floor(focused / PAGE));
    for (let page = visible[0]; page <= visible[1]; page++) list.add(page);
    return [...list];
  }, [visible, focused]);
  const pages = useQueries({
    queries: indices.map((page) => ({
      queryKey: [service.id, props.path, "page", props.filter ?? "", orderBy ?? "", page],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        arm.get<arm.Page<T>>(`${service.id}${props.path}`, { $top: PAGE, $skip: page * PAGE, $filter: props.filter, $orderby: orderBy }, signal),
      ...(props.refetchInterval ? { refetchInterval: props.refetchInterval } : {}),
    })),
  });
  // Until another order or filter is answered, what was there stays: the focus may be in it.
  const place = `${service.id} ${props.path}`;
  const kept = useRef({ place, total: 0, rows: new Map<number, T>() });
  const counted = pages.find((page) => page.data)?.data?.count;
  const isBusy = counted === undefined;
  if (!isBusy) {
    const found = new Map<number, T>();
    pages.forEach((page, at) => page.data?.value.forEach((row, i) => found.set((indices[at] ?? 0) * PAGE + i, row)));
    kept.current = { place, total: counted, rows: found };
  }
  const { total, rows } = kept.current.place === place ? kept.current : { total: 0, rows: new Map<number, T>() };

  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 10,
    rangeExtractor: useCallback((range: Range) => {
      const shown = defaultRangeExtractor(range);
      return focused < 0 || focused >= range.count || shown.includes(focused) ? shown : [...shown, focused].sort((a, b) => a - b);
    }, [focused]),
    onChange: (instance) => {
      const from = Math.floor(Math.max(0, (instance.range?.startIndex ?? 0) - 10) / PAGE);
      const to = Math.floor(Math.min(Math.max(0, total - 1), (instance.range?.endIndex ?? 0) + 10) / PAGE);
      setVisible((old) => (old[0] === from && old[1] === to ? old : [from, to]));
    },
  });

  const focus = useGridFocus({
    rows: total,
    pageRows: () => Math.max(1, Math.floor((scroller.current?.clientHeight ?? ROW) / ROW) - 1),
    show: (row) => virtual.scrollToIndex(row),
  });
  if (focus.row !== focused) setFocused(focus.row);
  useEffect(() => {
    scroller.current?.scrollTo({ top: 0 }); // another list
  }, [props.filter, orderBy]);

  const error = pages.find((page) => page.error && !page.data)?.error;
  if (error) return <ErrorBar error={error} title="The list cannot be shown" onRetry={() => pages.forEach((page) => void page.refetch())} />;
  if (isBusy && total === 0) return <Loading />;
  if (total === 0) return <>{props.filter ? props.nothing ?? <div className={s.count}>Nothing matches the filter.</div> : props.empty}</>;

  const hidden = (column: Column<T>): string | undefined => (column.from ? s[column.from] : column.compact ? s.compact : undefined);
  const flex = (column: Column<T>): { flex: string } => ({ flex: `${column.grow} 1 ${column.min ?? 80}px` });
  return (
    <>
    <div ref={focus.grid} {...focus.props} role="grid" aria-label={props.label} aria-rowcount={total + 1} aria-busy={isBusy} className={s.table}>
      <div role="rowgroup">
        <div role="row" aria-rowindex={1} data-row={-1} className={s.head}>
          {props.columns.map((column) => {
            const isSorted = column.sort !== undefined && order?.field === column.sort;
            return (
              <div key={column.key} role="columnheader" className={mergeClasses(s.headCell, hidden(column))} style={flex(column)}
                aria-sort={isSorted ? (order?.down ? "descending" : "ascending") : column.sort ? "none" : undefined}>
                {column.sort ? (
                  <Button appearance="transparent" size="small" className={s.sort} iconPosition="after"
                    icon={isSorted ? (order?.down ? <ArrowSortDownRegular /> : <ArrowSortUpRegular />) : <></>}
                    onClick={() => setOrder({ field: column.sort ?? "", down: isSorted ? !order?.down : false })}>
                    {column.title}
                  </Button>
                ) : column.title || <span className="hidden-text">Actions</span>}
              </div>
            );
          })}
        </div>
      </div>
      <div ref={scroller} className={s.body} role="rowgroup" data-testid="rows" tabIndex={-1}>
        <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows.get(item.index);
            return (
              <div key={item.key} role="row" aria-rowindex={item.index + 2} data-row={item.index} className={s.row}
                style={{ position: "absolute", top: 0, left: 0, right: 0, transform: `translateY(${item.start}px)` }}>
                {props.columns.map((column) => (
                  <div key={column.key} role="gridcell" className={mergeClasses(s.cell, hidden(column))} style={flex(column)}>
                    {row ? column.render(row) : <span className={s.ghost} />}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
    </div>
    <div className={s.count} aria-live="polite">{total === 1 ? "1 item" : `${total.toLocaleString()} items`}</div>
    </>
  );
}
