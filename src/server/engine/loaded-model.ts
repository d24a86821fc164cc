import { type Clock, NANOS_PER_MILLI, type ServerError } from '../../core/index.ts';
import type { InferenceOutcome, InferenceRequest, ModelConfig, Parameters } from '../../protocol/index.ts';
import type { ModelSource } from '../../repository/index.ts';
import type { RequestTrace } from '../../telemetry/index.ts';
import type { Shape } from '../../tensor/index.ts';
import type { BackendInstance, BackendModel, ExecutionReport } from '../backends/contract.ts';
import {
  type Execution,
  originalRequest,
  type ScheduledRequest,
  type Scheduler,
  type SchedulerHooks,
  type StepModel,
} from '../schedulers/index.ts';
import { type CachedModel, CachingRequest } from './cached-model.ts';
import { checkRequest, type ModelInterface } from './check-request.ts';
import { type InferenceHost, type OutcomeSink, PendingInference } from './pending-inference.ts';
import { type FailureReason, ModelStatistics, type StatisticsOptions } from './statistics.ts';
import { traceTensors } from './tracing/index.ts';
import { inputSpecs, outputSpecs, type TensorSpec } from './tensor-spec.ts';

/** What a version of a model is made of. */
export interface ModelParts {
  readonly source: ModelSource;
  readonly version: number;
  readonly clock: Clock;
  /** `undefined` for an ensemble. */
  readonly model: BackendModel | undefined;
  readonly instances: readonly BackendInstance[];
  /** Its requests may become requests to other models. */
  readonly asksModels: boolean;
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly cache: CachedModel | undefined;
  readonly statistics: StatisticsOptions;
  readonly namespace: string;
  /** Makes the scheduler; its executions are reported to `hooks`. */
  readonly scheduler: (hooks: SchedulerHooks) => Scheduler;
  /** Called once the instances are gone. */
  readonly released: () => void;
}

/** One version of a model, ready to infer. */
export class LoadedModel implements InferenceHost, ModelInterface, StepModel {
  readonly name: string;
  readonly version: number;
  readonly config: ModelConfig;
  readonly batching: boolean;
  readonly maxBatchSize: number;
  /** Any number of responses to a request, instead of one. */
  readonly decoupled: boolean;
  readonly ensemble: boolean;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly statistics: ModelStatistics;
  /** The repository that the name belongs to; empty unless names are per repository. */
  readonly namespace: string;
  private readonly parts: ModelParts;
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly failedInExecution = new WeakSet<object>();
  private readonly lookups = new Set<Promise<void>>();

  constructor(parts: ModelParts) {
    const { config } = parts.source;
    this.parts = parts;
    this.name = config.name;
    this.version = parts.version;
    this.config = config;
    this.labels = parts.labels;
    this.maxBatchSize = config.maxBatchSize;
    this.batching = this.maxBatchSize > 0;
    this.decoupled = config.modelTransactionPolicy?.decoupled ?? false;
    this.ensemble = config.schedulingChoice.case === 'ensembleScheduling';
    this.inputs = inputSpecs(config);
    this.outputs = outputSpecs(config);
    this.clock = parts.clock;
    this.statistics = new ModelStatistics(parts.statistics);
    this.namespace = parts.namespace;
    this.scheduler = parts.scheduler({ executed: (execution) => this.executed(execution) });
  }

  /** Requests that wait for an instance. */
  get pending(): number {
    return this.scheduler.pending;
  }

  get asksModels(): boolean {
    return this.parts.asksModels;
  }

  /** Some instance can execute, or will without waiting for a process to start. */
  get ready(): boolean {
    return this.parts.model?.ready ?? true;
  }

  get properties(): Readonly<Record<string, string>> | undefined {
    return this.parts.model?.properties;
  }

  get cached(): boolean {
    return this.parts.cache !== undefined;
  }

  inputDims(name: string): Shape | undefined {
    return this.inputs.find((input) => input.name === name)?.dims;
  }

  /**
   * Runs a request. Errors found before it is queued are thrown; everything later goes to `sink`.
   * @param executed told how long the execution took that the request was in
   * @returns a function that cancels the request: when it still waits it is answered as cancelled, and what runs is
   * told so
   */
  infer(
    request: InferenceRequest,
    sink: OutcomeSink,
    executed?: (report: ExecutionReport) => void,
    trace?: RequestTrace,
  ): () => void {
    const receivedAt = this.clock.now();
    const checked = this.check(request, receivedAt, trace);
    const inference = new PendingInference(this, request, checked, receivedAt, this.clock.now(), sink, executed, trace);
    if (trace) beginTrace(trace, this.version, inference);
    const { cache } = this.parts;
    let cancel: (() => void) | undefined;
    if (cache) {
      const caching = new CachingRequest(inference, cache, this.statistics, this.clock);
      const lookup = caching.lookUp(() => (cancel = this.schedule(inference, caching)));
      if (lookup) {
        this.lookups.add(lookup);
        void lookup.finally(() => this.lookups.delete(lookup));
      }
    } else {
      cancel = this.schedule(inference, inference);
    }
    return () => {
      inference.cancelled = true;
      cancel?.();
    };
  }

  ended(inference: PendingInference, error: ServerError | undefined): void {
    const totalNs = this.clock.now() - inference.receivedAt;
    if (error) {
      if (inference.startedAt > 0) this.failedInExecution.add(inference);
      this.statistics.failed(totalNs, failureReason(error, inference.startedAt > 0));
    } else {
      this.statistics.succeeded(totalNs, this.clock.epochMillis());
    }
    const { trace } = inference;
    if (!trace) return;
    trace.failed = error !== undefined;
    // What comes after the answer, its sending among it, belongs to the trace too.
    this.clock.soon(() => {
      trace.mark('REQUEST_END', this.clock.now());
      trace.complete();
    });
  }

  responded(inference: PendingInference, index: number, outcome: InferenceOutcome): void {
    if (!this.decoupled) return;
    const now = this.clock.now();
    if (index === 0) this.statistics.firstResponse.observe((now - inference.receivedAt) / NANOS_PER_MILLI);
    this.statistics.responded(index, now - inference.startedAt, outcome.kind);
  }

  /** An ensemble tells its clients which sequence it took the request for, as Triton does. */
  responseParameters({ sequence }: InferenceRequest): Parameters | undefined {
    if (!this.ensemble) return undefined;
    const id = sequence?.id ?? 0n;
    return {
      sequence_id: typeof id === 'bigint' && id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : id,
      sequence_start: sequence?.start ?? false,
      sequence_end: sequence?.end ?? false,
    };
  }

  /** Waits until every request is answered, then frees the instances. */
  async drain(): Promise<void> {
    // What a cache is still asked for may come to the scheduler yet.
    while (this.lookups.size > 0) await Promise.all(this.lookups);
    await this.scheduler.drained();
    await this.dispose();
  }

  /** Fails what waits and frees the instances. */
  async close(): Promise<void> {
    this.scheduler.close();
    await this.dispose();
  }

  private schedule(inference: PendingInference, scheduled: ScheduledRequest): () => void {
    inference.reschedulable(() => this.scheduler.enqueue(scheduled));
    this.scheduler.enqueue(scheduled);
    return () => this.scheduler.cancel(scheduled);
  }

  private async dispose(): Promise<void> {
    const { model, instances, released } = this.parts;
    await Promise.all(instances.map((instance) => instance[Symbol.asyncDispose]()));
    await model?.[Symbol.asyncDispose]();
    released();
  }

  private check(
    request: InferenceRequest,
    receivedAt: number,
    trace: RequestTrace | undefined,
  ): ReturnType<typeof checkRequest> {
    try {
      return checkRequest(this, request);
    } catch (error) {
      this.statistics.failed(this.clock.now() - receivedAt, 'OTHER');
      if (trace) trace.failed = true;
      trace?.complete();
      throw error;
    }
  }

  private executed(execution: Execution): void {
    let succeeded = false;
    for (const request of execution.requests) {
      const original = originalRequest(request);
      succeeded ||= !this.failedInExecution.has(original);
      if (original instanceof PendingInference) {
        original.executed?.(execution.report);
        if (original.trace && !this.ensemble) traceExecution(original.trace, execution);
      }
    }
    if (succeeded) this.statistics.executed(execution);
  }
}

function beginTrace(trace: RequestTrace, version: number, inference: PendingInference): void {
  trace.modelVersion = version;
  trace.mark('REQUEST_START', inference.receivedAt);
  trace.mark('QUEUE_START', inference.enqueuedAt);
  if (trace.wantsTensors) traceTensors(trace, 'TENSOR_QUEUE_INPUT', inference.inputs);
}

function traceExecution(trace: RequestTrace, { startedAt, report }: Execution): void {
  const inputEnd = startedAt + report.computeInputNs;
  const outputStart = inputEnd + report.computeInferNs;
  trace.mark('COMPUTE_START', startedAt);
  trace.mark('COMPUTE_INPUT_END', inputEnd);
  trace.mark('COMPUTE_OUTPUT_START', outputStart);
  trace.mark('COMPUTE_END', outputStart + report.computeOutputNs);
}

function failureReason(error: ServerError, started: boolean): FailureReason {
  if (error.code === 'CANCELLED') return 'CANCELED';
  if (started) return 'BACKEND';
  return error.code === 'UNAVAILABLE' ? 'REJECTED' : 'OTHER';
}
