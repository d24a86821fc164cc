import type { ServerError } from '../core/index.ts';
import type { Tensor } from '../tensor/index.ts';

/** A request, tensor or response parameter (KServe v2 "parameters" extension). Integers beyond 2^53 are `bigint`. */
export type ParameterValue = string | boolean | number | bigint;

export type Parameters = Readonly<Record<string, ParameterValue>>;

export const NO_PARAMETERS: Parameters = Object.freeze({});

/** Where a tensor of a request or response lies when it does not travel in the message (shared-memory extension). */
export interface SharedMemoryReference {
  readonly region: string;
  readonly offset: number;
  readonly byteSize: number;
}

/** How the client wants one output. */
export interface RequestedOutput {
  readonly name: string;
  /** Number of top classes to return instead of the tensor; 0 returns the tensor (classification extension). */
  readonly classification: number;
  /** HTTP only: send the tensor as binary data after the JSON header. */
  readonly binary: boolean;
  readonly sharedMemory?: SharedMemoryReference;
}

/** One input: its bytes, or the shared memory they have to be read from before the engine sees the request. */
export interface InputTensor extends Tensor {
  readonly sharedMemory?: SharedMemoryReference;
}

/** Correlation id of a sequence: an unsigned 64-bit integer or a string of at most 128 characters. */
export type CorrelationId = bigint | string;

export interface SequenceFlags {
  readonly id: CorrelationId;
  readonly start: boolean;
  readonly end: boolean;
}

/**
 * One inference request, whatever the protocol it came by. Plain data: no closures, no sockets.
 * Its tensors are views on the received bytes.
 */
export interface InferenceRequest {
  readonly modelName: string;
  /** Empty: the server chooses (the highest version that is ready). */
  readonly modelVersion: string;
  readonly id: string;
  readonly inputs: readonly InputTensor[];
  /** Empty: all outputs of the model. */
  readonly outputs: readonly RequestedOutput[];
  readonly parameters: Parameters;
  readonly sequence?: SequenceFlags;
  /** 0: the model's default priority. */
  readonly priority: number | bigint;
  /** 0: the model's default timeout. */
  readonly timeoutMicros: number;
  /** Requests with the same text get the same version of a model whose traffic is split. */
  readonly stickiness?: string;
  /** How it came, for traces. */
  readonly arrival?: Arrival;
}

/** When a request came in, on the server's clock in nanoseconds, and the trace that its client has it in. */
export interface Arrival {
  readonly protocol: 'HTTP' | 'GRPC';
  readonly startNs: number;
  readonly endNs: number;
  /** W3C trace context. */
  readonly traceparent: string | undefined;
}

/** One response. Its tensors may be views on a buffer that is used again after `release` is called. */
export interface InferenceResponse {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id: string;
  readonly outputs: readonly Tensor[];
  readonly parameters: Parameters;
  /** Labels of classification outputs, by output name. */
  readonly labels?: Readonly<Record<string, readonly string[]>>;
  /**
   * Set when `outputs` lie in a buffer that is used again. Whoever keeps the views after the response callback
   * returned calls `hold` inside the callback, and what it returned when done; nobody else needs to do anything.
   */
  readonly hold?: () => () => void;
}

/** What an inference comes to: responses, the last of them marked final, or an error. */
export type InferenceOutcome =
  | { readonly kind: 'response'; readonly response: InferenceResponse; readonly final: boolean }
  | { readonly kind: 'empty-final' }
  | { readonly kind: 'error'; readonly error: ServerError; readonly final: boolean };

/** Whether nothing more comes after this outcome. */
export function isFinal(outcome: InferenceOutcome): boolean {
  return outcome.kind === 'empty-final' || outcome.final;
}
