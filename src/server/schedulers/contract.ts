import type { BackendInstance, ExecutionReport, ExecutionUnit } from '../backends/contract.ts';

/** A request in a scheduler's queue. */
export interface ScheduledRequest extends ExecutionUnit {
  /** Clock time at which it entered the queue, in nanoseconds. */
  readonly enqueuedAt: number;
  /** Equal for requests whose tensors can share a batch; `undefined` matches every other `undefined`. */
  readonly batchKey: string | undefined;
  /** The request that this one stands for, when a scheduler put something around it. */
  readonly origin?: ScheduledRequest;
  /** The client is gone: it must not start. */
  readonly cancelled: boolean;
  /** Called when it leaves the queue for an instance. */
  started(at: number): void;
}

/** One finished execution: what the statistics count. */
export interface Execution {
  readonly requests: readonly ScheduledRequest[];
  readonly rows: number;
  readonly report: ExecutionReport;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface SchedulerHooks {
  executed(execution: Execution): void;
}

/** Decides when and with whom a request runs. */
export interface Scheduler {
  /** Takes a request; answers it sooner or later, or at once with an error. */
  enqueue(request: ScheduledRequest): void;
  /** Requests waiting for an instance. */
  readonly pending: number;
  /** Resolves when nothing waits and nothing runs. */
  drained(): Promise<void>;
  /** Fails what still waits. */
  close(): void;
}

export type { BackendInstance };
