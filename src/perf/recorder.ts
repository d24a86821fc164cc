import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { ClientError } from '../client/index.ts';
import type { DataStep } from './input-data.ts';

/** One request that is over. Times are nanoseconds of the generator's clock. */
export interface Completion {
  /** When it should have been sent, and when it was. */
  readonly intended: number;
  readonly sent: number;
  /** When all of it had been handed to the system. */
  readonly written: number;
  /** When the first bytes of the answer came, and the last. */
  readonly began: number;
  readonly end: number;
  readonly error: ClientError | undefined;
  readonly responses: number;
  /** When each response came, if that is kept. */
  readonly responseTimes: readonly number[];
  readonly sequenceId: number | undefined;
  /** What was sent and what came, if that is kept. */
  readonly tensors: { readonly steps: readonly DataStep[]; readonly bodies: readonly Buffer[] } | undefined;
}

/** Latencies, in nanoseconds. */
export class Latencies {
  private readonly histogram: RecordableHistogram = createHistogram({ figures: 3 });
  private sum = 0;
  private squares = 0;

  record(nanoseconds: number): void {
    this.histogram.record(Math.max(1, Math.round(nanoseconds)));
    this.sum += nanoseconds;
    this.squares += nanoseconds * nanoseconds;
  }

  clear(): void {
    this.histogram.reset();
    this.sum = 0;
    this.squares = 0;
  }

  add(other: Latencies): void {
    if (other.count > 0) this.histogram.add(other.histogram);
    this.sum += other.sum;
    this.squares += other.squares;
  }

  get count(): number {
    return this.histogram.count;
  }

  get average(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  get standardDeviation(): number {
    const { count, average } = this;
    return count < 2 ? 0 : Math.sqrt(Math.max(0, (this.squares - count * average * average) / (count - 1)));
  }

  /** @param percent from 0 (exclusive) to 100 */
  percentile(percent: number): number {
    return this.count === 0 ? 0 : this.histogram.percentile(percent);
  }

  get max(): number {
    return this.count === 0 ? 0 : this.histogram.max;
  }
}

/** Sends later than this count as late. */
export const LATE_NS = 1_000_000;

/** Everything that ended within one window, or several of them. */
export class Recorder {
  /** From the intended time of sending to the last response; the same as `service` where nothing is intended. */
  readonly latency = new Latencies();
  /** From the actual time of sending. */
  readonly service = new Latencies();
  readonly sendDelay = new Latencies();
  /** Failed requests by what failed. */
  readonly failures = new Map<string, number>();
  readonly completions: Completion[] | undefined;
  failed = 0;
  late = 0;
  /** Successful requests that took no longer than the limit. */
  good = 0;
  responses = 0;
  sendNs = 0;
  receiveNs = 0;

  private readonly limitNs: number;

  /**
   * @param keep keeps every request, for the export of the profile
   * @param limitNs latency that a good request stays within
   */
  constructor(keep: boolean, limitNs = Number.POSITIVE_INFINITY) {
    this.limitNs = limitNs;
    this.completions = keep ? [] : undefined;
  }

  record(completion: Completion): void {
    const { intended, sent, written, began, end, error } = completion;
    this.completions?.push(completion);
    const delay = sent - intended;
    this.sendDelay.record(delay);
    if (delay > LATE_NS) this.late++;
    if (error) {
      this.failed++;
      const kind = `${error.failure}: ${error.message}`;
      // Messages may have ids in them: only so many are told apart.
      const key = this.failures.has(kind) || this.failures.size < 20 ? kind : `${error.failure}: other errors`;
      this.failures.set(key, (this.failures.get(key) ?? 0) + 1);
      return;
    }
    this.latency.record(end - intended);
    if (end - intended <= this.limitNs) this.good++;
    this.service.record(end - sent);
    this.responses += completion.responses;
    this.sendNs += written - sent;
    this.receiveNs += end - began;
  }

  /** Forgets everything. Histograms lie outside of the heap: they are used again rather than left to be collected. */
  clear(): this {
    for (const each of [this.latency, this.service, this.sendDelay]) each.clear();
    this.failures.clear();
    this.completions?.splice(0);
    this.failed = 0;
    this.late = 0;
    this.good = 0;
    this.responses = 0;
    this.sendNs = 0;
    this.receiveNs = 0;
    return this;
  }

  add(other: Recorder): void {
    this.latency.add(other.latency);
    this.service.add(other.service);
    this.sendDelay.add(other.sendDelay);
    for (const [kind, count] of other.failures) this.failures.set(kind, (this.failures.get(kind) ?? 0) + count);
    if (other.completions) this.completions?.push(...other.completions);
    this.failed += other.failed;
    this.late += other.late;
    this.good += other.good;
    this.responses += other.responses;
    this.sendNs += other.sendNs;
    this.receiveNs += other.receiveNs;
  }

  get succeeded(): number {
    return this.latency.count;
  }
}
