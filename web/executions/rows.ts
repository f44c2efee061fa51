/** The rows of the list, page by page, and how changes are put into them. Rows that did not change stay the same objects. */
import type { ExecutionStatus, RowFragment as Row } from "./gql/graphql";

export interface Page {
  rows: Row[];
  hasNext: boolean;
  end: string | null;
  /** Where changes go on after this page was read. */
  changes: string | null;
}

export const MOST_ROWS = 1_000;

/** Newest first. One whose start is unknown counts from when it was seen. */
const startOf = ({ startedAt, observedAt }: Row): number => Date.parse(startedAt ?? observedAt);

/** Changes that wait until they are shown: the last one of each row, and of as many rows as a list may need. */
export class Waiting {
  readonly rows = new Map<string, Row>();
  /** More has changed than is kept: the list is to be asked for anew. */
  isIncomplete = false;

  add(row: Row): void {
    this.rows.delete(row.id); // the latest is the last
    this.rows.set(row.id, row);
    if (this.rows.size <= 2 * MOST_ROWS) return;
    const [oldest] = this.rows.keys();
    this.rows.delete(oldest!);
    this.isIncomplete = true;
  }

  keep(rows: Row[]): void {
    this.rows.clear();
    for (const row of rows) this.rows.set(row.id, row);
  }
}

/** The pages with these changes of rows that are in them, and the rows that are in none. */
export function patched(pages: Page[], changes: ReadonlyMap<string, Row>): { pages: Page[]; others: Row[] } {
  const others = new Map(changes);
  const all = pages.map((page) => {
    if (!page.rows.some(({ id }) => changes.has(id))) return page;
    const rows = page.rows.map((row) => {
      const changed = changes.get(row.id);
      if (!changed) return row;
      others.delete(row.id);
      return hasEnded(row) && !hasEnded(changed) ? row : changed; // told late
    });
    return { ...page, rows };
  });
  return { pages: all, others: [...others.values()] };
}

/** Whether a row is of the time that is shown, not older. */
export function isWithin(pages: Page[], row: Row): boolean {
  const last = pages.at(-1);
  const oldest = pages.findLast((page) => page.rows.length > 0)?.rows.at(-1);
  return !last?.hasNext || oldest === undefined || startOf(oldest) <= startOf(row);
}

/** The pages with these rows where they belong. The oldest go, above MOST_ROWS. */
export function inserted(pages: Page[], rows: Row[]): Page[] {
  const all = [...pages];
  for (const row of rows) {
    const start = startOf(row);
    const at = all.findIndex((page) => page.rows.some((other) => startOf(other) <= start));
    const index = at >= 0 ? at : all.length - 1;
    const page = all[index];
    if (!page || !isWithin(all, row)) continue; // it comes with the next page
    const place = at < 0 ? page.rows.length : page.rows.findIndex((other) => startOf(other) <= start);
    all[index] = { ...page, rows: page.rows.toSpliced(place, 0, row) };
  }
  return trimmed(all);
}

function trimmed(pages: Page[]): Page[] {
  let left = MOST_ROWS;
  return pages.map((page) => {
    const rows = page.rows.length > left ? page.rows.slice(0, left) : page.rows;
    left -= rows.length;
    return rows === page.rows ? page : { ...page, rows };
  });
}

export const hasEnded = ({ status, ending }: Pick<Row, "status" | "ending">): boolean =>
  status === "COMPLETED" || status === "EXCEPTION" || (status === null && !ending);

/** Whether only tidying failed: the file is where it belongs, if a step had put it there. */
export const isAfterwards = ({ stepType }: Pick<NonNullable<Row["failedStep"]>, "stepType">): boolean =>
  stepType === "DELETE" || stepType === "TAG";

/** Whether a row belongs into a list of these statuses, from that time on. */
export function belongs(row: Row, statuses: ExecutionStatus[], since: number, until: number): boolean {
  const start = startOf(row);
  const isWanted = statuses.length === 0 || (row.status != null && statuses.includes(row.status));
  return isWanted && start >= since && start <= until;
}
