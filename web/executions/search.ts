/** What people paste into the search box, and what they mean by it. */

import { cut } from "./url";

export interface Understood {
  /** An execution's id, with or without all that it needs to be looked up. */
  execution?: string;
  servers: string[];
  workflows: string[];
  accounts: string[];
  text: string;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
const WHOLE = new RegExp(`\\d{12}/[a-z0-9-]+/w-[a-z0-9]{17}/${UUID.source}`, "i");
const QUOTES = /^["'“”‘’`<([]+|["'“”‘’`>)\],;]+$/g;

export function understand(typed: string): Understood {
  const found: Understood = { servers: [], workflows: [], accounts: [], text: "" };
  const words: string[] = [];
  for (const given of typed.trim().split(/\s+/)) {
    const word = given.replace(QUOTES, "");
    if (word) sort(word, given, found, words);
  }
  found.text = cut(words.join(" "));
  return found;
}

function sort(word: string, given: string, found: Understood, words: string[]): void {
  const arn = /^arn:aws[a-z-]*:transfer:[a-z0-9-]*:(\d{12}):(?:server|workflow|user)\/(.+)$/.exec(word);
  if (arn) return sort(arn[2]!.split("/")[0]!, given, found, words);
  const whole = WHOLE.exec(word);
  if (whole) found.execution = whole[0].toLowerCase();
  // Alone, or at the end of its log stream, or of an address: workflow/execution.
  else if (new RegExp(`^(?:.*/)?(${UUID.source})$`, "i").test(word) && !/^(s3|file):\/\//.test(word))
    found.execution = UUID.exec(word)![0].toLowerCase();
  else if (/^s-[0-9a-f]{17}$/i.test(word)) found.servers.push(word.toLowerCase());
  else if (/^w-[a-z0-9]{17}$/i.test(word)) found.workflows.push(word.toLowerCase());
  else if (/^\d{12}$/.test(word)) found.accounts.push(word);
  else words.push(/^s3:\/\/[^/]+\/./.test(word) ? word.replace(/^s3:\/\/[^/]+\//, "") : given);
}
