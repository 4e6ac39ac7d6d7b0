// SPDX-License-Identifier: Apache-2.0
// A grid is one stop of the Tab key; within it the arrow keys move (WAI-ARIA Authoring Practices,
// pattern "grid"). Cells are what role and DOM say: rows have data-row (-1: the head). In a cell the
// stops are its links and buttons, or else the cell itself.
import { type FocusEvent, type KeyboardEvent, type RefObject, useCallback, useLayoutEffect, useRef, useState } from "react";

/** row -1: the head; part: which of several stops in the cell. */
export interface Place { row: number; column: number; part: number }

const WIDGETS = "a[href], button, input, [tabindex]";
const isShown = (element: Element): boolean => element.getClientRects().length > 0;

const rowAt = (grid: HTMLElement, row: number): HTMLElement | null => grid.querySelector(`[data-row="${row}"]`);
const cellsOf = (row: Element): HTMLElement[] => [...row.querySelectorAll<HTMLElement>(":scope > [role=gridcell], :scope > [role=columnheader]")];
const widgetsOf = (cell: Element): HTMLElement[] => [...cell.querySelectorAll<HTMLElement>(WIDGETS)].filter(isShown);
const stopsOf = (cell: HTMLElement): HTMLElement[] => {
  const widgets = widgetsOf(cell);
  return widgets.length ? widgets : [cell];
};
/** All stops of a row from left to right, with the places that they are. */
const stopsIn = (row: HTMLElement): { element: HTMLElement; column: number; part: number }[] =>
  cellsOf(row).flatMap((cell, column) => (isShown(cell) ? stopsOf(cell).map((element, part) => ({ element, column, part })) : []));

function placeOf(grid: HTMLElement, element: Element): Place | null {
  const row = element.closest<HTMLElement>("[data-row]");
  if (!row || !grid.contains(row)) return null;
  const stop = stopsIn(row).find((s) => s.element === element || s.element.contains(element));
  return stop ? { row: Number(row.dataset.row), column: stop.column, part: stop.part } : null;
}

/** The stop at this place, or the nearest one in its row. */
function elementAt(grid: HTMLElement, place: Place): HTMLElement | null {
  const row = rowAt(grid, place.row);
  if (!row) return null;
  const far = (s: { column: number; part: number }): number => Math.abs(s.column - place.column) * 100 + Math.abs(s.part - place.part);
  return stopsIn(row).reduce<{ element: HTMLElement; far: number } | null>((best, s) => (best && best.far <= far(s) ? best : { element: s.element, far: far(s) }), null)?.element ?? null;
}

export function useGridFocus(options: { rows: number; pageRows: () => number; show: (row: number) => void }): {
  grid: RefObject<HTMLDivElement>;
  row: number;
  props: { onKeyDownCapture: (event: KeyboardEvent<HTMLElement>) => void; onFocusCapture: (event: FocusEvent<HTMLElement>) => void };
} {
  const grid = useRef<HTMLDivElement>(null);
  const [chosen, setPlace] = useState<Place>({ row: 0, column: 0, part: 0 });
  const wanted = useRef(false); // the focus is on its way to a row that is not drawn yet
  const place = { ...chosen, row: Math.min(chosen.row, options.rows - 1) };
  const latest = useRef(place);
  latest.current = place;

  const settle = useCallback(() => {
    const root = grid.current;
    if (!root) return;
    const exact = elementAt(root, latest.current);
    const drawn = [...root.querySelectorAll<HTMLElement>("[data-row]")].filter((row) => row.dataset.row !== "-1");
    const at = exact ?? (drawn[0] ? stopsIn(drawn[0])[0]?.element : undefined);
    const active = document.activeElement;
    // A row that was empty when the focus came to it has got its links.
    if (exact && (wanted.current || (active?.matches("[role=gridcell]") && root.contains(active) && exact !== active && active.contains(exact)))) {
      exact.tabIndex = 0;
      exact.focus({ preventScroll: true });
      wanted.current = false;
    }
    for (const cell of root.querySelectorAll<HTMLElement>("[role=gridcell], [role=columnheader]")) {
      const widgets = widgetsOf(cell);
      for (const widget of widgets) widget.tabIndex = widget === at ? 0 : -1;
      if (widgets.length) cell.removeAttribute("tabindex");
      else cell.tabIndex = cell === at ? 0 : -1;
    }
  }, []);
  useLayoutEffect(settle);
  // Cells may get links and buttons without the table being drawn again.
  const watched = useRef<{ of: HTMLElement; observer: MutationObserver } | null>(null);
  useLayoutEffect(() => {
    if (watched.current?.of === grid.current) return;
    watched.current?.observer.disconnect();
    watched.current = grid.current ? { of: grid.current, observer: new MutationObserver(settle) } : null;
    watched.current?.observer.observe(watched.current.of, { childList: true, subtree: true });
  });
  useLayoutEffect(() => () => {
    watched.current?.observer.disconnect();
    watched.current = null;
  }, []);

  const go = (next: Place): void => {
    wanted.current = true;
    if (next.row >= 0) options.show(next.row);
    setPlace({ ...next }); // drawn anew in any case: settle() moves the focus
  };
  const onKeyDownCapture = (event: KeyboardEvent<HTMLElement>): void => {
    const root = grid.current, target = event.target as HTMLElement;
    if (!root || !root.contains(target) || event.altKey || event.metaKey || target.matches("input, textarea, [aria-expanded=true]")) return;
    const here = placeOf(root, target);
    const row = here ? rowAt(root, here.row) : null;
    if (!here || !row) return;
    const stops = stopsIn(row);
    const at = stops.findIndex((s) => s.column === here.column && s.part === here.part);
    const along = (to: number): Place => {
      const stop = stops[Math.max(0, Math.min(stops.length - 1, to))];
      return stop ? { row: here.row, column: stop.column, part: stop.part } : here;
    };
    const down = (by: number, lowest: number): Place => ({ ...here, row: Math.max(lowest, Math.min(options.rows - 1, here.row + by)) });
    let next: Place | null = null;
    switch (event.key) {
      case "ArrowRight": next = along(at + 1); break;
      case "ArrowLeft": next = along(at - 1); break;
      case "Home": next = event.ctrlKey ? { row: 0, column: 0, part: 0 } : along(0); break;
      case "End": next = event.ctrlKey ? { ...along(stops.length), row: options.rows - 1 } : along(stops.length); break;
      case "ArrowDown": next = down(1, -1); break;
      case "ArrowUp": next = down(-1, -1); break;
      case "PageDown": next = down(options.pageRows(), 0); break;
      case "PageUp": next = down(-options.pageRows(), 0); break;
      case " ":
      case "Enter": {
        // On a link Space does as Enter; on a cell without either both open the row.
        const link = target.matches("a[href]") ? (event.key === " " ? target : null) : target.matches("[role=gridcell]") ? row.querySelector<HTMLElement>("a[href]") : null;
        if (!link) return;
        event.preventDefault();
        event.stopPropagation();
        link.click();
        return;
      }
      default: return;
    }
    event.preventDefault();
    event.stopPropagation(); // a menu's button would open it by an arrow
    go(next);
  };
  const onFocusCapture = (event: FocusEvent<HTMLElement>): void => {
    const root = grid.current;
    const here = root?.contains(event.target) ? placeOf(root, event.target) : null;
    const old = latest.current;
    if (here && (here.row !== old.row || here.column !== old.column || here.part !== old.part)) setPlace(here);
  };
  return { grid, row: place.row, props: { onKeyDownCapture, onFocusCapture } };
}
