/** Time as the rest of the code sees it, so that tests can run on virtual time. */
export interface Clock {
  /** Monotonic time in nanoseconds, as a float (exact to well under a microsecond for weeks of uptime). */
  now(): number;
  /** Wall-clock time in milliseconds since the epoch. */
  epochMillis(): number;
  /** Calls `callback` once after `nanoseconds`; the returned function cancels it. */
  after(nanoseconds: number, callback: () => void): () => void;
  /** Calls `callback` once everything that is ready now has been looked at. */
  soon(callback: () => void): void;
}

export const NANOS_PER_MICRO = 1_000;
export const NANOS_PER_MILLI = 1_000_000;

/** The process's own clock. Node's timers have millisecond resolution: shorter waits spin on `setImmediate`. */
export const systemClock: Clock = {
  now: () => performance.now() * NANOS_PER_MILLI,
  epochMillis: () => Date.now(),
  soon: (callback) => void setImmediate(callback),
  after(nanoseconds, callback) {
    const due = performance.now() + nanoseconds / NANOS_PER_MILLI;
    let cancelled = false;
    let timer: NodeJS.Timeout | undefined;
    const poll = (): void => {
      if (cancelled) return;
      const left = due - performance.now();
      if (left <= 0) callback();
      else if (left < 1) setImmediate(poll);
      else timer = setTimeout(poll, Math.max(1, Math.floor(left - 0.5)));
    };
    poll();
    return () => {
      cancelled = true;
      if (timer) clearTimeout(timer);
    };
  },
};
