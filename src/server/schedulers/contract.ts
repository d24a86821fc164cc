import type { RequestTrace } from '../../telemetry/index.ts';
import type { BackendInstance, ExecutionReport, ExecutionUnit } from '../backends/contract.ts';

/** A request in a scheduler's queue. */
export interface ScheduledRequest extends ExecutionUnit {
  /** Clock time at which it entered the queue, in nanoseconds. */
  readonly enqueuedAt: number;
  /** Equal for requests whose tensors can share a batch; `undefined` matches every other `undefined`. */
  readonly batchKey: string | undefined;
  /** 1 is the most urgent; 0 leaves it to the model's `default_priority_level`. */
  readonly priority: number | bigint;
  /** Set when the request is traced. */
  readonly trace: RequestTrace | undefined;
  /** The request that this one stands for, when a scheduler put something around it. */
  readonly origin?: ScheduledRequest;
  /** Called when it leaves the queue for an instance. */
  started(at: number): void;
}

/** Why a batch was closed at the size it had. */
export const BATCH_REASONS = [
  'preferred_batch_size',
  'max_batch_size',
  'max_queue_delay',
  'different_shapes',
  'nothing_else_waiting',
  'no_batching',
  'sequence_slots',
] as const;
export type BatchReason = (typeof BATCH_REASONS)[number];

/** One finished execution: what the statistics count. */
export interface Execution {
  /** The requests in it; rows that a scheduler added to fill slots belong to none. */
  readonly requests: readonly ScheduledRequest[];
  readonly rows: number;
  readonly report: ExecutionReport;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly reason: BatchReason;
}

export interface SchedulerHooks {
  executed(execution: Execution): void;
}

/** Decides when and with whom a request runs. */
export interface Scheduler {
  /** Takes a request; answers it sooner or later, or at once with an error. */
  enqueue(request: ScheduledRequest): void;
  /** The client of a request is gone: if it still waits it is answered as cancelled now. */
  cancel(request: ScheduledRequest): void;
  /** Requests waiting for an instance. */
  readonly pending: number;
  /** Resolves when nothing waits and nothing runs. */
  drained(): Promise<void>;
  /** Fails what still waits. */
  close(): void;
}

/** The right of one instance to run, which a rate limiter gives and takes back. */
export interface ExecutionPermit {
  /** Asks for the right; `granted` is called when it is there, maybe at once. Asking again changes nothing. */
  request(granted: () => void): void;
  /** Gives the right back, or takes the wish for it back. `executed` counts the run for the priorities. */
  release(executed: boolean): void;
}

/** An instance as schedulers see it. */
export interface ScheduledInstance {
  readonly instance: BackendInstance;
  /** Instances of a lower rank are preferred while they are idle: GPUs before CPUs. */
  readonly rank: number;
  /** `undefined` when executions are not limited. */
  readonly permit: ExecutionPermit | undefined;
}

export type { BackendInstance };

/** The request at the bottom of what schedulers have put around it. */
export function originalRequest(request: ScheduledRequest): ScheduledRequest {
  let original = request;
  while (original.origin) original = original.origin;
  return original;
}
