/** Asks again and again, while no changes are told. */
const EVERY_MS = 5_000;

export interface Polling {
  /** Does nothing if it goes on already. */
  begin: () => void;
  end: () => void;
}

export function pollingOf(ask: () => void): Polling {
  let timer: ReturnType<typeof setInterval> | undefined;
  return {
    begin: () => (timer ??= setInterval(ask, EVERY_MS)),
    end() {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
