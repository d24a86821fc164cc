import type { ErrorCode } from '../../../core/index.ts';
import type { InferenceRequest, Parameters, SequenceFlags } from '../../../protocol/index.ts';
import type { CustomMetricKind } from '../../../telemetry/index.ts';
import type { DataType, Tensor } from '../../../tensor/index.ts';

/** What a model says of itself. */
export interface Description {
  readonly inputs: readonly DescribedTensor[];
  readonly outputs: readonly DescribedTensor[];
  readonly maxBatchSize: number;
  readonly dynamicBatching: boolean;
  readonly decoupled: boolean;
}

export interface DescribedTensor {
  readonly name: string;
  readonly datatype: DataType;
  readonly dims: readonly number[];
  readonly optional: boolean;
}

/** How a runner gets its model. */
export interface RunnerOptions {
  readonly file: string;
  readonly name: string;
  readonly version: number;
  readonly directory: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** A request on its way to the model. */
export interface RunnerRequest {
  readonly number: number;
  readonly id: string;
  readonly inputs: readonly Tensor[];
  readonly parameters: Parameters;
  readonly sequence: SequenceFlags | undefined;
  /** Empty for all. */
  readonly outputs: readonly string[];
}

export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** What came of a request. */
export type RunnerResult =
  | { readonly kind: 'response'; readonly outputs: readonly Tensor[] }
  | { readonly kind: 'error'; readonly error: PlainError };

/** To the worker. */
export type ToWorker =
  | { readonly kind: 'execute'; readonly requests: readonly RunnerRequest[] }
  | { readonly kind: 'cancel'; readonly number: number }
  | { readonly kind: 'answer'; readonly question: number; readonly result: RunnerResult | null; readonly last: boolean }
  | { readonly kind: 'load' }
  | { readonly kind: 'end' };

/** What comes of executions. */
export type ExecutionMessage = Extract<FromWorker, { readonly kind: 'executed' | 'response' }>;

/** A metric that is made, or changes. */
export interface MetricStep {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly step:
    | {
        readonly kind: 'make';
        readonly type: CustomMetricKind;
        readonly help: string;
        readonly buckets: readonly number[] | undefined;
      }
    | { readonly kind: 'increment' | 'set' | 'observe'; readonly value: number };
}

/** From the worker. */
export type FromWorker =
  | { readonly kind: 'described'; readonly description: Description }
  | { readonly kind: 'loaded' }
  | { readonly kind: 'failed'; readonly error: string }
  | { readonly kind: 'ended' }
  /** `null` for requests that are answered later. */
  | { readonly kind: 'executed'; readonly results: readonly (RunnerResult | null)[]; readonly inferNs: number }
  | { readonly kind: 'response'; readonly number: number; readonly result: RunnerResult | null; readonly last: boolean }
  | { readonly kind: 'infer'; readonly question: number; readonly request: InferenceRequest; readonly many: boolean }
  | { readonly kind: 'stop'; readonly question: number }
  | ({ readonly kind: 'metric' } & MetricStep)
  | { readonly kind: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly text: string };
