import { PerfError } from './perf-error.ts';
import type { PerfOptions } from './options.ts';
import { clientTimes, type LevelResult } from './report.ts';
import type { ServerWindow } from './server-window.ts';

const FORMAT = 'goodput perf run 1';

/** Percentiles that are kept: enough to draw the distribution of latencies to its end. */
const KEPT_PERCENTILES: readonly number[] = Array.from({ length: 99 }, (_, index) => index + 1).concat(
  99.5,
  99.9,
  99.95,
  99.99,
  99.999,
  100,
);

/** One window; times are microseconds. */
export interface SavedWindow {
  readonly seconds: number;
  readonly throughput: number;
  readonly average: number;
  readonly p99: number;
}

/** Averages of one model within the server, in microseconds by request. */
export interface SavedServer {
  readonly name: string;
  readonly inferences: number;
  readonly executions: number;
  readonly stages: readonly (readonly [name: string, micros: number])[];
}

/** What one level gave; times are microseconds. */
export interface SavedLevel {
  readonly level: number;
  readonly throughput: number;
  readonly seconds: number;
  readonly requests: number;
  readonly failed: number;
  /** Requests that succeeded within the latency limit of the run, all that succeeded where there was none. */
  readonly good: number;
  readonly average: number;
  readonly standardDeviation: number;
  readonly percentiles: readonly (readonly [percent: number, micros: number])[];
  readonly client: { readonly send: number; readonly wait: number; readonly receive: number };
  readonly server: readonly SavedServer[];
  readonly windows: readonly SavedWindow[];
  /** What speaks against the figures. */
  readonly remarks: readonly string[];
}

/** A run as it is written to a file, to be compared with others. */
export interface SavedRun {
  readonly format: typeof FORMAT;
  readonly model: string;
  readonly protocol: string;
  readonly server: string;
  readonly batchSize: number;
  readonly mode: string;
  /** ISO 8601. */
  readonly date: string;
  readonly levels: readonly SavedLevel[];
}

/** What is kept of a run. */
export function saveRun(results: readonly LevelResult[], options: PerfOptions, date: Date): SavedRun {
  const { endpoint } = options;
  return {
    format: FORMAT,
    model: options.version === '' ? options.model : `${options.model}:${options.version}`,
    protocol: options.streaming ? 'grpc stream' : options.protocol,
    server: `${endpoint.host}:${endpoint.port}`,
    batchSize: options.batchSize,
    mode: options.mode.kind,
    date: date.toISOString(),
    levels: results.map(saveLevel),
  };
}

function saveLevel({ level, measurement }: LevelResult): SavedLevel {
  const { recorder, stability, delivery } = measurement;
  const { latency } = recorder;
  const { send, wait, receive } = clientTimes(recorder);
  const remarks: string[] = [];
  if (stability.kind === 'unstable') remarks.push(`unstable: ${stability.reason}`);
  if (stability.kind === 'incomplete') remarks.push(`incomplete: ${stability.reason}`);
  if (delivery.kind === 'short') remarks.push(`the load was not delivered: ${delivery.reason}`);
  for (const [kind, count] of recorder.failures) remarks.push(`${count} requests failed: ${kind}`);
  return {
    level,
    throughput: measurement.throughput,
    seconds: measurement.seconds,
    requests: recorder.succeeded,
    failed: recorder.failed,
    good: recorder.good,
    average: latency.average / 1000,
    standardDeviation: latency.standardDeviation / 1000,
    percentiles: KEPT_PERCENTILES.map((percent) => [percent, latency.percentile(percent) / 1000]),
    client: { send: send / 1000, wait: wait / 1000, receive: receive / 1000 },
    server: measurement.server.map(saveServer),
    windows: measurement.windows.map((window) => ({
      seconds: window.seconds,
      throughput: window.throughput,
      average: window.average / 1000,
      p99: window.p99 / 1000,
    })),
    remarks,
  };
}

function saveServer({ name, inferences, executions, average }: ServerWindow): SavedServer {
  const stages = [
    ['queue', average.queue],
    ['cache', average.cacheHit + average.cacheMiss],
    ['compute input', average.computeInput],
    ['compute infer', average.computeInfer],
    ['compute output', average.computeOutput],
    ['overhead', average.overhead],
  ] as const;
  return { name, inferences, executions, stages: stages.map(([stage, nanoseconds]) => [stage, nanoseconds / 1000]) };
}

/** @throws PerfError when the text is not that of a saved run */
export function parseSavedRun(text: string, name: string): SavedRun {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new PerfError(`'${name}' is no saved run: it is no JSON`);
  }
  if ((json as Partial<SavedRun> | null)?.format !== FORMAT) {
    throw new PerfError(`'${name}' is no saved run: write one with goodput perf --save FILE`);
  }
  return json as SavedRun;
}

/** A percentile of a level, in microseconds. */
export function percentileOf({ percentiles }: SavedLevel, percent: number): number {
  return percentiles.find(([each]) => each === percent)?.[1] ?? 0;
}
