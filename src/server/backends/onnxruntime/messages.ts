import type { DataType, Shape } from '../../../tensor/index.ts';

/** One input or output as the model file declares it; -1 for a variable dimension. */
export interface OnnxTensorInfo {
  readonly name: string;
  readonly datatype: DataType | undefined;
  /** ONNX Runtime's own name of the element type, for messages. */
  readonly onnxType: string;
  readonly shape: Shape;
}

export interface OnnxModelInfo {
  readonly inputs: readonly OnnxTensorInfo[];
  readonly outputs: readonly OnnxTensorInfo[];
}

/** A tensor inside a slot's buffer. */
export interface SlotTensor {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: Shape;
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * A buffer laid out for one batch: inputs to read, outputs to write. The same slot serves all batches of the same
 * shapes, so that the worker keeps the runtime's tensor objects for it.
 */
export interface SlotLayout {
  readonly buffer: SharedArrayBuffer;
  readonly inputs: readonly SlotTensor[];
  /** Outputs whose shape is known beforehand. */
  readonly outputs: readonly SlotTensor[];
  /** Outputs that the runtime allocates: the worker copies them into a buffer of their own. */
  readonly dynamicOutputs: readonly string[];
}

/** What the main thread asks of a worker, beside running a slot that is already defined (see `command-ring.ts`). */
export type ToWorker =
  | { readonly kind: 'load'; readonly session: number; readonly path: string; readonly options: SessionOptions }
  | { readonly kind: 'unload'; readonly session: number }
  | { readonly kind: 'define'; readonly slot: number; readonly session: number; readonly layout: SlotLayout }
  | { readonly kind: 'forget'; readonly slot: number }
  | { readonly kind: 'run-once'; readonly session: number; readonly layout: SlotLayout };

/** The subset of ONNX Runtime session options that configurations can set. */
export interface SessionOptions {
  readonly intraOpNumThreads: number;
  readonly interOpNumThreads: number;
  readonly graphOptimizationLevel: 'disabled' | 'basic' | 'extended' | 'layout' | 'all';
  readonly executionMode: 'sequential' | 'parallel';
  readonly enableCpuMemArena: boolean;
  readonly enableMemPattern: boolean;
  readonly executionProviders: readonly string[];
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** An output the runtime allocated, copied out. */
export interface DynamicOutput {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: Shape;
  readonly data: Uint8Array;
}

export interface RunResult {
  readonly inputNs: number;
  readonly inferNs: number;
  readonly outputNs: number;
  readonly outputs: readonly DynamicOutput[];
}

/** What a worker answers, in the order it was asked. A bare number is a run's inference time, nothing else to say. */
export type FromWorker =
  | number
  | ({ readonly kind: 'result' } & RunResult)
  | { readonly kind: 'loaded'; readonly info: OnnxModelInfo }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly message: string };
