import type { Endpoint, ExtraHeaders } from '../client/index.ts';
import type { ParameterValue } from '../protocol/index.ts';

/** How requests are made. */
export type LoadMode =
  | { readonly kind: 'concurrency'; readonly levels: Range }
  | { readonly kind: 'request_rate'; readonly levels: Range; readonly distribution: Distribution }
  /** Nanoseconds between requests, over and over. */
  | { readonly kind: 'intervals'; readonly intervals: readonly number[] }
  | { readonly kind: 'periodic'; readonly levels: Range; readonly period: number };

export const DISTRIBUTIONS = ['constant', 'poisson'] as const;
export type Distribution = (typeof DISTRIBUTIONS)[number];

/** Levels to visit; `end` 0 goes on until the latency limit is passed. */
export interface Range {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** When there has been enough measuring. */
export type Measuring =
  /** Windows of a time, or of so many requests, until three in a row agree. */
  | {
      readonly kind: 'windows';
      readonly intervalMs: number;
      /** Least requests of a window; 0 ends windows by time alone. */
      readonly requests: number;
      readonly stabilityPercent: number;
      readonly maxTrials: number;
    }
  /** One window of so many requests. */
  | { readonly kind: 'count'; readonly requests: number }
  /** All windows of a time. */
  | { readonly kind: 'duration'; readonly seconds: number; readonly intervalMs: number };

export const PROTOCOLS = ['http', 'grpc'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Where input tensors come from. */
export type InputSource =
  | { readonly kind: 'zero' }
  | { readonly kind: 'random' }
  | { readonly kind: 'files'; readonly paths: readonly string[] }
  /** Requests that `--record` wrote down. */
  | { readonly kind: 'recording'; readonly path: string };

export interface SequenceOptions {
  readonly length: number;
  /** The user said how long sequences are. */
  readonly lengthGiven: boolean;
  readonly variationPercent: number;
  readonly firstId: number;
  /** Ids below this one are used, again and again; `undefined` for no end. */
  readonly endId: number | undefined;
  /** Sequences at a time in rate modes. */
  readonly count: number;
}

/** Everything that one run of `goodput perf` needs to know. */
export interface PerfOptions {
  readonly model: string;
  readonly version: string;
  readonly protocol: Protocol;
  readonly endpoint: Endpoint;
  readonly headers: ExtraHeaders;
  readonly mode: LoadMode;
  readonly binarySearch: boolean;
  /** Milliseconds; 0 for none. */
  readonly latencyLimitMs: number;
  readonly measuring: Measuring;
  /** Of latencies, in percent; `undefined` to look at the average. */
  readonly percentile: number | undefined;
  readonly warmupRequests: number;
  readonly batchSize: number;
  readonly inputs: InputSource;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly stringLength: number;
  readonly stringData: string | undefined;
  readonly jsonInputs: boolean;
  readonly jsonOutputs: boolean;
  readonly streaming: boolean;
  readonly compression: 'none' | 'gzip' | 'deflate';
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly sharedMemory: boolean;
  readonly outputMemoryBytes: number;
  readonly sequences: SequenceOptions;
  /** Most connections of rate modes. */
  readonly maxConnections: number;
  readonly metricsEndpoint: Endpoint | undefined;
  readonly metricsPath: string;
  readonly metricsIntervalMs: number;
  /** Models that the model asks besides those of an ensemble's steps. */
  readonly composing: readonly { readonly name: string; readonly version: string }[];
  readonly exportRequests: boolean;
}
