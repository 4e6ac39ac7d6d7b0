// SPDX-License-Identifier: Apache-2.0
const DAY = 86400000;

export const daysLeft = (date: string): number => Math.floor((Date.parse(date) - Date.now()) / DAY);

export const dateText = (date: string | undefined): string =>
  date ? new Date(date).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" }) : "";

export const dateTimeText = (date: string | undefined): string =>
  date ? new Date(date).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "";

export function leftText(date: string): string {
  const days = daysLeft(date);
  if (days < 0) return days === -1 ? "expired yesterday" : `expired ${-days} days ago`;
  if (days === 0) return "expires today";
  return days === 1 ? "1 day left" : `${days.toLocaleString()} days left`;
}

/** A literal of $filter. */
export const quoted = (text: string): string => `'${text.replace(/'/g, "''")}'`;

/** contains(a,'x') or contains(b,'x') */
export const containsAny = (text: string, fields: string[]): string | undefined =>
  text.trim() ? fields.map((field) => `contains(${field},${quoted(text.trim())})`).join(" or ") : undefined;

/** What may be an id in a path: the server's rule, said before it is asked. */
export const isId = (text: string): boolean => /^[A-Za-z0-9](?:[A-Za-z0-9-_.]*[A-Za-z0-9])?$/.test(text) && text.length <= 80;
