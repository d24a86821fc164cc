import { setTimeout as sleep } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import { NANOS_PER_MILLI } from '../core/index.ts';
import type { KserveClient } from '../client/index.ts';
import { meanOf, studentT } from './confidence.ts';
import { ScheduledLoad, type Load } from './load.ts';
import type { MetricsCollector, MetricValues } from './metrics-collector.ts';
import type { ModelInfo } from './model-info.ts';
import type { PerfOptions } from './options.ts';
import { Recorder } from './recorder.ts';
import { type ServerSnapshot, type ServerWindow, takeSnapshot, windowsBetween } from './server-window.ts';

/** One window. Its requests are not kept, so that a long run takes no more memory than a short one. */
export interface Window {
  readonly seconds: number;
  /** Inferences a second. */
  readonly throughput: number;
  /** The latency that stability is judged by, in nanoseconds. */
  readonly latency: number;
  /** Nanoseconds. */
  readonly average: number;
  readonly p99: number;
  readonly sendDelayP99: number;
  readonly succeeded: number;
  readonly ended: number;
  readonly late: number;
  /** What failed, when something did. */
  readonly failure: string | undefined;
}

/** Whether the windows agree with each other. */
export type Stability =
  | { readonly kind: 'stable' }
  /** There was nothing to compare. */
  | { readonly kind: 'not judged' }
  | { readonly kind: 'unstable'; readonly reason: string; readonly interval: ConfidenceInterval }
  /** The measuring was cut short. */
  | { readonly kind: 'incomplete'; readonly reason: string };

/** Where the true mean of the throughput is, with 95 % confidence. */
export interface ConfidenceInterval {
  readonly low: number;
  readonly high: number;
}

/** Whether the requests went out at the times they should have. */
export type Delivery = { readonly kind: 'delivered' } | { readonly kind: 'short'; readonly reason: string };

/** What measuring one level gave. */
export interface Measurement {
  readonly recorder: Recorder;
  readonly seconds: number;
  readonly throughput: number;
  readonly latency: number;
  readonly windows: readonly Window[];
  readonly server: readonly ServerWindow[];
  readonly stability: Stability;
  readonly delivery: Delivery;
  readonly metrics: MetricValues | undefined;
  /** Share of the generator's time that its loop was busy, from 0 to 1. */
  readonly busy: number;
}

export interface MeasureContext {
  readonly client: KserveClient;
  readonly model: ModelInfo;
  readonly options: PerfOptions;
  readonly collector: MetricsCollector | undefined;
  /** Told of each window as it begins. */
  readonly onWindowStart: (recorder: Recorder, number: number) => void;
  /** Told of each window as it ends. */
  readonly onWindow: (window: Window, number: number) => void;
  readonly signal: AbortSignal;
}

/** How many windows in a row must agree. */
const STABLE_WINDOWS = 3;

/** A window by count lasts this long at least, as perf_analyzer's do: 50 requests may be over in a millisecond. */
const SHORTEST_COUNT_MS = 1000;

/** How long a window may wait for its requests, as a multiple of its interval. */
const LONGEST_WINDOW = 100;

/**
 * Measures a load until it is stable or there has been enough.
 * @param begin starts the load once the server has been asked what it counted so far
 */
export async function measure(load: Load, begin: () => void, context: MeasureContext): Promise<Measurement> {
  const { options, client, model } = context;
  const { measuring } = options;
  context.collector?.take();
  await context.collector?.sample();
  const windows: Window[] = [];
  const total = new Recorder(options.exportRequests);
  // What a stable result is made of.
  const recent: { readonly recorder: Recorder; readonly snapshot: ServerSnapshot | undefined }[] = [];
  const spare: Recorder[] = [];
  const started = await takeSnapshot(client, model);
  let snapshot = started;
  begin();
  const before = performance.eventLoopUtilization();
  const scheduledBefore = load instanceof ScheduledLoad ? load.scheduled : 0;
  let stability: Stability = { kind: 'not judged' };
  let measured = 0;
  for (let number = 1; ; number++) {
    const recorder = spare.pop() ?? new Recorder(options.exportRequests, limitOf(options));
    const window = await takeWindow(load, recorder, number, context);
    recent.push({ recorder, snapshot });
    const oldest = recent.length > STABLE_WINDOWS ? recent.shift() : undefined;
    if (oldest) spare.push(oldest.recorder.clear());
    total.add(recorder);
    snapshot = await takeSnapshot(client, model);
    windows.push(window);
    measured += window.seconds;
    context.onWindow(window, number);
    stability = judge(windows, context);
    if (stability.kind === 'incomplete' || measuring.kind === 'count') break;
    if (measuring.kind === 'duration') {
      if (measured + measuring.intervalMs / 2000 >= measuring.seconds) break;
      continue;
    }
    if (stability.kind === 'stable') break;
    if (number >= measuring.maxTrials) break;
  }
  const stable = measuring.kind === 'windows' && stability.kind === 'stable';
  const used = stable ? windows.slice(-STABLE_WINDOWS) : windows;
  const first = stable ? recent[0]?.snapshot : started;
  const recorder = stable ? merge(recent.map((each) => each.recorder)) : total;
  const seconds = used.reduce((sum, each) => sum + each.seconds, 0);
  const busy = performance.eventLoopUtilization(before).utilization;
  return {
    recorder,
    seconds,
    throughput: (recorder.succeeded * options.batchSize) / seconds,
    latency: latencyOf(recorder, options.percentile),
    windows,
    server: windowsBetween(first, snapshot),
    stability,
    delivery:
      load instanceof ScheduledLoad
        ? deliveryOf(load, windows, load.scheduled - scheduledBefore, busy)
        : { kind: 'delivered' },
    metrics: context.collector?.take(),
    busy,
  };
}

function limitOf({ latencyLimitMs }: PerfOptions): number | undefined {
  return latencyLimitMs > 0 ? latencyLimitMs * NANOS_PER_MILLI : undefined;
}

function merge(recorders: readonly Recorder[]): Recorder {
  const merged = new Recorder(recorders.some(({ completions }) => completions !== undefined));
  for (const each of recorders) merged.add(each);
  return merged;
}

async function takeWindow(
  load: Load,
  recorder: Recorder,
  number: number,
  { options, signal, onWindowStart }: MeasureContext,
): Promise<Window> {
  const { measuring } = options;
  load.recorder = recorder;
  onWindowStart(recorder, number);
  const started = performance.now();
  const wanted = measuring.kind === 'duration' ? 0 : measuring.requests;
  const longest = measuring.kind === 'count' ? Number.POSITIVE_INFINITY : measuring.intervalMs * LONGEST_WINDOW;
  if (measuring.kind !== 'count' && (measuring.kind === 'duration' || measuring.requests === 0)) {
    await pause(measuring.intervalMs, signal);
  } else {
    if (measuring.kind === 'windows') await pause(SHORTEST_COUNT_MS, signal);
    const enough = (): boolean => recorder.succeeded + recorder.failed >= wanted;
    const expired = new AbortController();
    const timer = Number.isFinite(longest) ? setTimeout(() => expired.abort(), longest) : undefined;
    await new Promise<void>((resolve) => {
      if (enough() || signal.aborted) resolve();
      load.onEnd = () => enough() && resolve();
      for (const each of [signal, expired.signal]) each.addEventListener('abort', () => resolve(), { once: true });
    });
    clearTimeout(timer);
    load.onEnd = () => undefined;
  }
  const seconds = (performance.now() - started) / 1000;
  load.recorder = BETWEEN.clear();
  return {
    seconds,
    throughput: (recorder.succeeded * options.batchSize) / seconds,
    latency: latencyOf(recorder, options.percentile),
    average: recorder.latency.average,
    p99: recorder.latency.percentile(99),
    sendDelayP99: recorder.sendDelay.percentile(99),
    succeeded: recorder.succeeded,
    ended: recorder.succeeded + recorder.failed,
    late: recorder.late,
    failure: recorder.failures.keys().next().value,
  };
}

/** What ends between two windows is not looked at. */
const BETWEEN = new Recorder(false);

/** Waits, unless the run is interrupted. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => undefined);
}

/** The average latency or a percentile of it, in nanoseconds. */
export function latencyOf({ latency }: Recorder, percentile: number | undefined): number {
  return percentile === undefined ? latency.average : latency.percentile(percentile);
}

function judge(windows: readonly Window[], { options, signal }: MeasureContext): Stability {
  const { measuring } = options;
  const last = windows.at(-1);
  if (signal.aborted) return { kind: 'incomplete', reason: 'it was interrupted' };
  if (last?.succeeded === 0) {
    const { failure } = last;
    return {
      kind: 'incomplete',
      reason: failure
        ? `no request of the last window succeeded (${failure})`
        : 'no request ended within the last window',
    };
  }
  if (measuring.kind !== 'windows') return { kind: 'not judged' };
  const recent = windows.slice(-STABLE_WINDOWS);
  const reason =
    recent.length < STABLE_WINDOWS
      ? `there were only ${recent.length} windows`
      : disagreement(recent, windows.length, measuring.stabilityPercent);
  if (reason === undefined) return { kind: 'stable' };
  return { kind: 'unstable', reason, interval: confidenceInterval(windows) };
}

/** Which of three windows differs too much from the others, and by how much. */
function disagreement(recent: readonly Window[], count: number, percent: number): string | undefined {
  const limit = 1 + percent / 100;
  for (const [what, valueOf, unit] of [
    ['throughput', (window: Window) => window.throughput, 'infer/sec'],
    ['latency', (window: Window) => window.latency / 1000, 'usec'],
  ] as const) {
    const values = recent.map(valueOf);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (high <= low * limit) continue;
    const middle = values.toSorted((a, b) => a - b)[1] ?? 0;
    const off = values.reduce(
      (worst, value, index) => (Math.abs(value - middle) > Math.abs((values[worst] ?? 0) - middle) ? index : worst),
      0,
    );
    const number = count - recent.length + off + 1;
    const value = values[off] ?? 0;
    return `the ${what} of window ${number}, ${Math.round(value)} ${unit}, is ${Math.abs((value / middle - 1) * 100).toFixed(0)} % ${value > middle ? 'above' : 'below'} the middle one of the last three (they may be ${percent} % apart)`;
  }
  return undefined;
}

function confidenceInterval(windows: readonly Window[]): ConfidenceInterval {
  const values = windows.map(({ throughput }) => throughput);
  if (values.length < 2) return { low: 0, high: Number.POSITIVE_INFINITY };
  const { mean, ofMean } = meanOf(values);
  const half = studentT(values.length - 1) * Math.sqrt(ofMean);
  return { low: Math.max(0, mean - half), high: mean + half };
}

/** Shares beyond which a load was not the one that was asked for. */
const MOST_LATE = 0.05;
const MOST_HELD = 0.01;
const BUSY = 0.9;

function deliveryOf(load: ScheduledLoad, windows: readonly Window[], scheduled: number, busy: number): Delivery {
  const late = windows.reduce((sum, each) => sum + each.late, 0);
  const ended = windows.reduce((sum, each) => sum + each.ended, 0);
  const heldBack = load.held > Math.max(1, scheduled * MOST_HELD);
  if (!heldBack && late <= Math.max(1, ended * MOST_LATE)) return { kind: 'delivered' };
  const delay = windows.reduce((most, each) => Math.max(most, each.sendDelayP99), 0) / NANOS_PER_MILLI;
  const share = `${((late / Math.max(1, ended)) * 100).toFixed(0)} % of the requests were sent more than 1 msec late, p99 ${delay.toFixed(1)} msec`;
  if (load.held > 0) {
    return {
      kind: 'short',
      reason: `${share}: all connections were waiting for the server, which is slower than the load (or --max-connections is too small)`,
    };
  }
  if (busy > BUSY)
    return { kind: 'short', reason: `${share}: the load generator's own core was ${(busy * 100).toFixed(0)} % busy` };
  return { kind: 'short', reason: `${share}: the load generator did not get the CPU in time` };
}
