/** Times and durations, as text. */

export type Zone = "utc" | "local";

const formats = new Map<string, Intl.DateTimeFormat>(); // each takes a fraction of a millisecond to make

function format(zone: Zone, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options);
  let found = formats.get(key);
  if (!found) {
    const timeZone = zone === "utc" ? "UTC" : undefined;
    found = new Intl.DateTimeFormat("en-GB", { ...options, timeZone, hourCycle: "h23" });
    formats.set(key, found);
  }
  return found;
}

/** 14:03:22 */
export const clock = (at: string | number, zone: Zone): string =>
  format(zone, { timeStyle: "medium" }).format(new Date(at));

/** 30 Nov 2026 */
export const day = (at: string | number, zone: Zone): string =>
  format(zone, { day: "2-digit", month: "short", year: "numeric" }).format(new Date(at));

/** 30 Nov 2026, 14:03:22 UTC */
export const whole = (at: string | number, zone: Zone): string =>
  `${day(at, zone)}, ${clock(at, zone)} ${zone === "utc" ? "UTC" : zoneName(at)}`;

function zoneName(at: string | number): string {
  const parts = format("local", { timeZoneName: "short", hour: "2-digit" }).formatToParts(new Date(at));
  return parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
}

/** 0.4 s, 12 s, 2 min 05 s, 1 h 20 min, 3 d 4 h */
export function lasting(seconds: number): string {
  const pad = (value: number) => String(value).padStart(2, "0");
  if (seconds < 0.05) return "0 s";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${pad(Math.floor((whole % 3_600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

/** As `lasting`, without fractions: what changes once a second is not to flicker. */
export const ticking = (seconds: number): string =>
  seconds < 1 ? "0 s" : lasting(Math.floor(seconds)).replace(".0", "");

/** The middle of some numbers. */
export function median(values: number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The begin of today, there. */
export function today(now: number, zone: Zone): string {
  const at = new Date(now);
  if (zone === "utc") at.setUTCHours(0, 0, 0, 0);
  else at.setHours(0, 0, 0, 0);
  return at.toISOString();
}

/** Between an input's wall-clock time, such as 2026-11-30T14:03, and ISO 8601. */
export function fromInput(value: string, zone: Zone): string {
  const at = new Date(zone === "utc" ? `${value}Z` : value);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

export function toInput(iso: string, zone: Zone): string {
  if (!iso) return "";
  const at = new Date(iso);
  const shifted = zone === "utc" ? at : new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}
