/** Comma-separated values, as RFC 4180 has them and spreadsheets open them. */

/** A leading one of these makes a spreadsheet take a file's name for a formula. */
const FORMULA = /^\s*[=+\-@|%]|^[\t\r\n]/;

export function csv(header: string[], rows: (string | number | null | undefined)[][]): string {
  // The mark at the beginning tells spreadsheets that it is UTF-8.
  return `\ufeff${[header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

function cell(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n;]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
