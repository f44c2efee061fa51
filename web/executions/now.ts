/** The time, by the gateway's clock, once a second, while somebody can see it. */
import { useSyncExternalStore } from "react";
import { byGateway } from "./gateway";

/** By this computer's clock: how far that is off may be learned in between. */
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick(): void {
  if (document.hidden) return;
  now = Date.now();
  for (const listener of listeners) listener();
}

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    now = Date.now(); // it stood still while nobody listened
    timer = setInterval(tick, 1_000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

export const latest = (): number => byGateway(now);

export const useNow = (): number => useSyncExternalStore(subscribe, latest);

const visibility = (listener: () => void) => {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
};

/** A page that nobody can see asks nothing. */
export const useVisible = (): boolean => useSyncExternalStore(visibility, () => !document.hidden);
