/** Quantiles that a summary shows when it is not told which (those of Triton). */
export const DEFAULT_QUANTILES: readonly number[] = [0.5, 0.9, 0.95, 0.99, 0.999];

const WINDOWS = 5;
const WINDOW_MS = 12_000;
const SAMPLES = 1024;

interface Window {
  readonly until: number;
  readonly samples: number[];
  seen: number;
}

/** Quantiles over the last minute, from a bounded sample of each fifth of it; sum and count are over all time. */
export class Summary {
  private readonly now: () => number;
  private readonly random: () => number;
  private windows: Window[] = [];
  sum = 0;
  count = 0;

  /** @param now milliseconds of any clock */
  constructor(now: () => number, random: () => number) {
    this.now = now;
    this.random = random;
  }

  observe(value: number): void {
    this.sum += value;
    this.count++;
    const window = this.current();
    window.seen++;
    if (window.samples.length < SAMPLES) {
      window.samples.push(value);
      return;
    }
    const place = Math.floor(this.random() * window.seen);
    if (place < SAMPLES) window.samples[place] = value;
  }

  /** NaN while nothing was observed in the last minute. */
  quantiles(wanted: readonly number[]): readonly number[] {
    this.current();
    const sorted = Float64Array.from(this.windows.flatMap((window) => window.samples)).toSorted();
    return wanted.map(
      (quantile) => sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] ?? Number.NaN,
    );
  }

  private current(): Window {
    const now = this.now();
    const last = this.windows.at(-1);
    if (last && now < last.until) return last;
    const fresh: Window = { until: now + WINDOW_MS, samples: [], seen: 0 };
    this.windows = [...this.windows.filter((window) => window.until > now - (WINDOWS - 1) * WINDOW_MS), fresh];
    return fresh;
  }
}
