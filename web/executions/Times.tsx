/** Times as the reader wants them: UTC or local. */
import { createContext, useContext, useState } from "react";
import { useNow } from "./now";
import { lasting, ticking, whole, type Zone } from "./time";

export const ZoneContext = createContext<Zone>("utc");
export const useZone = (): Zone => useContext(ZoneContext);

const KEPT = "transfer-gateway:zone";

/** The choice, which is remembered where the browser lets it. */
export function useZoneChoice(): [Zone, (zone: Zone) => void] {
  const [zone, setZone] = useState<Zone>(() => {
    try {
      return localStorage.getItem(KEPT) === "local" ? "local" : "utc";
    } catch {
      return "utc";
    }
  });
  const choose = (chosen: Zone) => {
    setZone(chosen);
    try {
      localStorage.setItem(KEPT, chosen);
    } catch {
      // for this visit alone, then
    }
  };
  return [zone, choose];
}

export function Time({ at, shown }: { at: string; shown?: (at: string, zone: Zone) => string }) {
  const zone = useZone();
  return (
    <time dateTime={at} title={shown ? whole(at, zone) : undefined}>
      {(shown ?? whole)(at, zone)}
    </time>
  );
}

/** How long ago, or since when, counting. */
export function Since({ at }: { at: string | number }) {
  const now = useNow();
  return <>{ticking(Math.max(0, (now - new Date(at).getTime()) / 1000))}</>;
}

/** When the list was paused: what runs in it has taken that long, until it goes on. */
export const PausedContext = createContext<number | null>(null);

/** How long something took, or has taken so far. */
export function Duration({ from, seconds, runs }: { from?: string | null; seconds?: number | null; runs: boolean }) {
  if (seconds != null) return <>{lasting(seconds)}</>;
  const pausedAt = useContext(PausedContext);
  if (!runs || !from) return <>–</>;
  return pausedAt === null ? <Since at={from} /> : <>{ticking(Math.max(0, (pausedAt - Date.parse(from)) / 1000))}</>;
}
