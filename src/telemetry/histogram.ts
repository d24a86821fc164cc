/** Upper bounds, in microseconds, of the latency histograms: 1, 2.5, 5 per decade from 50 us to 10 s. */
export const LATENCY_BUCKETS_US: readonly number[] = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
  5_000_000, 10_000_000,
];

/** A histogram over fixed bounds; `observe` does not allocate. */
export class Histogram {
  readonly bounds: readonly number[];
  private readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[] = LATENCY_BUCKETS_US) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let low = 0;
    let high = this.bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (value <= (this.bounds[middle] ?? 0)) high = middle;
      else low = middle + 1;
    }
    this.counts[low] = (this.counts[low] ?? 0) + 1;
    this.sum += value;
    this.count++;
  }

  /** Observations at or below each bound, as Prometheus wants them; the total (`+Inf`) is `count`. */
  cumulative(): readonly number[] {
    let total = 0;
    return this.bounds.map((_, index) => (total += this.counts[index] ?? 0));
  }
}
