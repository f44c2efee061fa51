/** The time, by the gateway's clock, once a second, while somebody can see it. */
import { useSyncExternalStore } from "react";
import { gatewayNow } from "./gateway";

let now = gatewayNow();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick(): void {
  if (document.hidden) return;
  now = gatewayNow();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(tick, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

export const useNow = (): number => useSyncExternalStore(subscribe, () => now);

const visibility = (listener: () => void) => {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
};

/** A page that nobody can see asks nothing. */
export const useVisible = (): boolean => useSyncExternalStore(visibility, () => !document.hidden);
