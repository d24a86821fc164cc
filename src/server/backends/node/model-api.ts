/**
 * The interface of models written in TypeScript or JavaScript, which they import as `goodput/model`.
 *
 * ```ts
 * import { defineModel } from 'goodput/model';
 *
 * export default defineModel({
 *   inputs: { text: { type: 'BYTES', dims: [1] } },
 *   outputs: { length: { type: 'INT32', dims: [1] } },
 *   run({ inputs }) {
 *     const [text = ''] = inputs.text.values;
 *     return { length: { shape: [1], values: Int32Array.of(text.length) } };
 *   },
 * });
 * ```
 */
import { ERROR_CODES, type ErrorCode } from '../../../core/index.ts';
import type { Parameters } from '../../../protocol/index.ts';
import type { DataType } from '../../../tensor/index.ts';

export type { DataType, ErrorCode, Parameters };

/** What the values of each data type are; FP16 and BF16 are their bits, BYTES are UTF-8 texts. */
export interface ValuesOf {
  readonly BOOL: Uint8Array;
  readonly UINT8: Uint8Array;
  readonly UINT16: Uint16Array;
  readonly UINT32: Uint32Array;
  readonly UINT64: BigUint64Array;
  readonly INT8: Int8Array;
  readonly INT16: Int16Array;
  readonly INT32: Int32Array;
  readonly INT64: BigInt64Array;
  readonly FP16: Uint16Array;
  readonly FP32: Float32Array;
  readonly FP64: Float64Array;
  readonly BYTES: readonly string[];
  readonly BF16: Uint16Array;
}

/** An input or output in the definition of a model. */
export interface TensorDefinition {
  readonly type: DataType;
  /** Dimensions without the batch; -1 for any size. */
  readonly dims: readonly number[];
  /** Clients may leave the input out. */
  readonly optional?: boolean;
}

export type TensorDefinitions = Readonly<Record<string, TensorDefinition>>;

/**
 * A tensor that comes in. Its values are views on the server's memory: valid until the request is answered.
 */
export interface ModelTensor<T extends DataType = DataType> {
  readonly datatype: T;
  /** With the batch dimension first, when the model batches. */
  readonly shape: readonly number[];
  readonly values: ValuesOf[T];
  /** The elements of a BYTES tensor as they came, for those that are no texts; empty for other types. */
  readonly elements: readonly Uint8Array[];
}

/** A tensor that goes out. */
export interface ModelOutput<T extends DataType = DataType> {
  readonly shape: readonly number[];
  readonly values: T extends 'BYTES' ? readonly (string | Uint8Array)[] : ValuesOf[T];
}

type InputsOf<I extends TensorDefinitions> = {
  readonly [N in keyof I]: I[N]['optional'] extends true
    ? ModelTensor<I[N]['type']> | undefined
    : ModelTensor<I[N]['type']>;
};

type OutputsOf<O extends TensorDefinitions> = { readonly [N in keyof O]?: ModelOutput<O[N]['type']> };

/** One request. */
export interface ModelRequest<I extends TensorDefinitions = TensorDefinitions> {
  readonly id: string;
  readonly inputs: InputsOf<I>;
  /** Those of the client that the server does not act on itself. */
  readonly parameters: Parameters;
  /** The sequence that it belongs to. */
  readonly sequence: { readonly id: bigint | string; readonly start: boolean; readonly end: boolean } | undefined;
  /** Names of the wanted outputs. */
  readonly outputs: readonly string[];
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** A request to another model. */
export interface ModelCall {
  readonly model: string;
  /** Left out: the server's choice. */
  readonly version?: number;
  readonly inputs: Readonly<Record<string, ModelOutput & { readonly datatype: DataType }>>;
  /** Left out: all outputs. */
  readonly outputs?: readonly string[];
  readonly parameters?: Parameters;
  readonly id?: string;
}

export type CallOutputs = Readonly<Record<string, ModelTensor>>;

/** What a model may use of the server. */
export interface ModelContext<S = unknown> {
  readonly name: string;
  readonly version: number;
  /** The folder of the model's version. */
  readonly directory: string;
  /** The parameters of its configuration. */
  readonly parameters: Readonly<Record<string, string>>;
  /** What `load` returned. */
  readonly state: S;
  /** Asks another model. Rejects with its error. */
  infer(call: ModelCall): Promise<CallOutputs>;
  /** Asks a model that answers any number of times. Leaving the loop cancels the rest. */
  inferStream(call: ModelCall): AsyncIterable<CallOutputs>;
  /** Metrics of the model's own, on the server's `/metrics`; asking twice for one gives the same. */
  readonly metrics: ModelMetrics;
  /** Writes to the server's log. */
  readonly log: Readonly<Record<'info' | 'warn' | 'error', (message: string) => void>>;
}

export type MetricLabels = Readonly<Record<string, string>>;

/** Names, help and labels are as Prometheus wants them. */
export interface ModelMetrics {
  counter(name: string, help: string, labels?: MetricLabels): { increment(step?: number): void };
  gauge(name: string, help: string, labels?: MetricLabels): { set(value: number): void };
  /** @param buckets ascending upper bounds */
  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: MetricLabels,
  ): { observe(value: number): void };
}

/** What a model is. It has exactly one of `run`, `runBatch` and `stream`. */
export interface ModelDefinition<
  I extends TensorDefinitions = TensorDefinitions,
  O extends TensorDefinitions = TensorDefinitions,
  S = unknown,
> {
  readonly inputs: I;
  readonly outputs: O;
  /** 0, the default, for a model that does not batch. A configuration comes first. */
  readonly maxBatchSize?: number;
  /** Whether requests share executions, by default when `maxBatchSize` is above 1. */
  readonly dynamicBatching?: boolean;
  /** Called once, before any request. */
  load?(context: Omit<ModelContext, 'state' | 'infer' | 'inferStream'>): S | Promise<S>;
  /** Called once, after the last request. */
  unload?(state: S): void | Promise<void>;
  /** Answers one request. An error that it throws is the request's. */
  run?(request: ModelRequest<I>, context: ModelContext<S>): OutputsOf<O> | Promise<OutputsOf<O>>;
  /** Answers all requests of an execution, each with outputs or an error. */
  runBatch?(
    requests: readonly ModelRequest<I>[],
    context: ModelContext<S>,
  ): readonly (OutputsOf<O> | Error)[] | Promise<readonly (OutputsOf<O> | Error)[]>;
  /** Answers one request any number of times: the model is decoupled. */
  stream?(request: ModelRequest<I>, context: ModelContext<S>): AsyncIterable<OutputsOf<O>>;
  /** How many requests `stream` may answer at a time, 1 by default. */
  readonly concurrency?: number;
}

/** Checks a model's types; returns it as it is. */
export function defineModel<const I extends TensorDefinitions, const O extends TensorDefinitions, S = undefined>(
  definition: ModelDefinition<I, O, S>,
): ModelDefinition<I, O, S> {
  return definition;
}

/** An error with the code that decides the client's status; other errors are INTERNAL. */
export class ModelError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'ModelError';
    if (!ERROR_CODES.includes(code)) throw new TypeError(`'${code}' is not one of ${ERROR_CODES.join(', ')}`);
    this.code = code;
  }
}

type NumericType = Exclude<DataType, 'BYTES'>;

/** A constructor of a data type's values. */
export interface ValuesConstructor {
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): ValuesOf[NumericType];
}

const ARRAYS: Readonly<Record<NumericType, ValuesConstructor>> = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  BF16: Uint16Array,
};

/**
 * Values for an output in memory that the server shares with the model: they are not copied on the way out. They must
 * not be written to any more once they are returned.
 */
export function sharedValues<T extends NumericType>(type: T, length: number): ValuesOf[T] {
  const ArrayType = ARRAYS[type];
  return new ArrayType(new SharedArrayBuffer(length * ArrayType.BYTES_PER_ELEMENT)) as ValuesOf[T];
}

/** The constructor of a data type's values. */
export function arrayTypeOf(type: NumericType): ValuesConstructor {
  return ARRAYS[type];
}
