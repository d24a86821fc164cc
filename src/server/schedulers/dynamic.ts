import { type Clock, NANOS_PER_MICRO, ServerError, withRequestId } from '../../core/index.ts';
import type { BackendInstance, ScheduledRequest, Scheduler, SchedulerHooks } from './contract.ts';
import { cancelledError, unloading } from './direct.ts';
import { InstanceRunner } from './instance-runner.ts';
import { OrderedResponses } from './ordered-responses.ts';
import { RequestQueue } from './request-queue.ts';

export interface DynamicBatchingOptions {
  readonly maxBatchSize: number;
  /** Batch sizes worth running at once; empty for none but `maxBatchSize`. */
  readonly preferredBatchSizes: readonly number[];
  /** How long the oldest request waits for company; 0 never waits. */
  readonly maxQueueDelayMicros: number;
  readonly preserveOrdering: boolean;
  /** Most requests that may wait; 0 for no limit by count. */
  readonly maxQueueSize: number;
  /** Start only once this many requests wait (`TRITONSERVER_DELAY_SCHEDULER`, for tests); 0 starts at once. */
  readonly startThreshold: number;
}

/** What to do with the head of the queue. */
type Decision =
  | { readonly kind: 'run'; readonly requests: number }
  | { readonly kind: 'wait'; readonly nanoseconds: number };

/**
 * Combines requests into batches as Triton's dynamic batcher does: a preferred size that is reached runs at once; what
 * cannot grow any more, or has waited for `max_queue_delay_microseconds`, runs as it is; the rest waits.
 */
export class DynamicScheduler implements Scheduler {
  private readonly options: DynamicBatchingOptions;
  private readonly preferred: ReadonlySet<number>;
  private readonly largestPreferred: number;
  private readonly queue = new RequestQueue<ScheduledRequest>();
  private readonly clock: Clock;
  private readonly runner: InstanceRunner;
  private readonly ordered: OrderedResponses | undefined;
  private cancelTimer: (() => void) | undefined;
  private scheduled = false;
  private held: boolean;

  constructor(
    instances: readonly BackendInstance[],
    clock: Clock,
    hooks: SchedulerHooks,
    options: DynamicBatchingOptions,
  ) {
    this.options = options;
    this.clock = clock;
    this.preferred = new Set(options.preferredBatchSizes);
    this.largestPreferred = Math.max(0, ...options.preferredBatchSizes) || options.maxBatchSize;
    this.ordered = options.preserveOrdering && instances.length > 1 ? new OrderedResponses() : undefined;
    this.held = options.startThreshold > 0;
    this.runner = new InstanceRunner(instances, clock, hooks, () => this.dispatch());
  }

  get pending(): number {
    return this.queue.length;
  }

  enqueue(request: ScheduledRequest): void {
    const { maxQueueSize, startThreshold } = this.options;
    if (maxQueueSize > 0 && this.queue.length >= maxQueueSize) {
      request.fail(new ServerError('UNAVAILABLE', withRequestId(request.requestId, 'Exceeds maximum queue size')));
      return;
    }
    this.queue.push(request);
    if (this.held && this.queue.length < startThreshold) return;
    this.held = false;
    // Requests that arrive in the same turn of the event loop get the chance to share a batch.
    if (this.scheduled || !this.runner.available) return;
    this.scheduled = true;
    this.clock.soon(() => {
      this.scheduled = false;
      this.dispatch();
    });
  }

  async drained(): Promise<void> {
    this.held = false;
    this.dispatch();
    await this.runner.until(() => this.queue.length === 0 && !this.runner.busy);
  }

  close(): void {
    this.cancelTimer?.();
    for (const request of this.queue.take(this.queue.length)) request.fail(unloading());
    this.runner.notify();
  }

  private dispatch(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    while (!this.held && this.runner.available && this.dropCancelled()) {
      const decision = this.decide();
      if (decision.kind === 'wait') {
        this.cancelTimer = this.clock.after(decision.nanoseconds, () => this.dispatch());
        return;
      }
      const batch = this.queue.take(decision.requests).filter((request) => this.keep(request));
      const { ordered } = this;
      if (batch.length > 0) this.runner.run(ordered ? batch.map((request) => ordered.wrap(request)) : batch);
    }
    if (this.queue.length === 0) this.runner.notify();
  }

  /** Answers cancelled requests at the head of the queue; says whether one that can run is left. */
  private dropCancelled(): boolean {
    for (let head = this.queue.peek(); head; head = this.queue.peek()) {
      if (!head.cancelled) return true;
      this.queue.take(1);
      head.fail(cancelledError(head));
    }
    return false;
  }

  private keep(request: ScheduledRequest): boolean {
    if (request.cancelled) request.fail(cancelledError(request));
    return !request.cancelled;
  }

  private decide(): Decision {
    const { maxBatchSize, maxQueueDelayMicros } = this.options;
    const oldest = this.queue.peek();
    const delay = maxQueueDelayMicros * NANOS_PER_MICRO;
    const waited = this.clock.now() - (oldest?.enqueuedAt ?? 0);
    const overdue = delay > 0 && waited >= delay;
    let rows = 0;
    let requests = 0;
    let preferredRequests = 0;
    let closed = false;
    for (let next = this.queue.peek(0); next; next = this.queue.peek(requests)) {
      if (requests > 0 && (rows + next.batchSize > maxBatchSize || next.batchKey !== oldest?.batchKey)) {
        closed = true;
        break;
      }
      rows += next.batchSize;
      requests++;
      if (this.preferred.has(rows)) preferredRequests = requests;
    }
    if (preferredRequests > 0 && !overdue) return { kind: 'run', requests: preferredRequests };
    if (closed || delay === 0 || overdue || rows >= this.largestPreferred) return { kind: 'run', requests };
    return { kind: 'wait', nanoseconds: delay - waited };
  }
}
