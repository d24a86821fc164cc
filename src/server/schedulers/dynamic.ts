import { type Clock, NANOS_PER_MICRO } from '../../core/index.ts';
import type { BatchReason, ScheduledInstance, ScheduledRequest, Scheduler, SchedulerHooks } from './contract.ts';
import { cancelledError, queueFull, timedOut, unloading } from './direct.ts';
import { InstanceRunner } from './instance-runner.ts';
import { OrderedResponses } from './ordered-responses.ts';
import { PriorityQueue } from './priority-queue.ts';
import type { QueueOptions } from './queue-policy.ts';

export interface DynamicBatchingOptions {
  readonly maxBatchSize: number;
  /** Batch sizes worth running at once; empty for none but `maxBatchSize`. */
  readonly preferredBatchSizes: readonly number[];
  /** How long the oldest request waits for company; 0 never waits. */
  readonly maxQueueDelayMicros: number;
  readonly preserveOrdering: boolean;
  readonly queue: QueueOptions;
  /** Start only once this many requests wait (`TRITONSERVER_DELAY_SCHEDULER`, for tests); 0 starts at once. */
  readonly startThreshold: number;
}

/** What to do with the head of the queue. */
type Decision =
  | { readonly kind: 'run'; readonly requests: number; readonly reason: BatchReason }
  | { readonly kind: 'wait'; readonly nanoseconds: number };

/**
 * Combines requests into batches as Triton's dynamic batcher does: a preferred size that is reached runs at once; what
 * cannot grow any more, or has waited for `max_queue_delay_microseconds`, runs as it is; the rest waits.
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/batcher.md#dynamic-batcher)
 */
export class DynamicScheduler implements Scheduler {
  private readonly options: DynamicBatchingOptions;
  private readonly preferred: ReadonlySet<number>;
  private readonly largestPreferred: number;
  private readonly queue: PriorityQueue;
  private readonly clock: Clock;
  private readonly runner: InstanceRunner;
  private readonly ordered: OrderedResponses | undefined;
  private cancelDelay: (() => void) | undefined;
  private expiry: { readonly at: number; readonly cancel: () => void } | undefined;
  private scheduled = false;
  private held: boolean;

  constructor(
    instances: readonly ScheduledInstance[],
    clock: Clock,
    hooks: SchedulerHooks,
    options: DynamicBatchingOptions,
  ) {
    this.options = options;
    this.clock = clock;
    this.preferred = new Set(options.preferredBatchSizes);
    this.largestPreferred = Math.max(0, ...options.preferredBatchSizes) || options.maxBatchSize;
    this.queue = new PriorityQueue(options.queue);
    this.ordered = options.preserveOrdering ? new OrderedResponses() : undefined;
    this.held = options.startThreshold > 0;
    this.runner = new InstanceRunner(instances, clock, hooks, () => this.dispatch());
  }

  get pending(): number {
    return this.queue.length;
  }

  enqueue(request: ScheduledRequest): void {
    if (!this.queue.push(request, this.clock.now())) {
      request.fail(queueFull(request));
      return;
    }
    this.watchDeadlines();
    if (this.held && this.queue.length < this.options.startThreshold) return;
    this.held = false;
    // Requests that arrive in the same turn of the event loop get the chance to share a batch.
    if (this.scheduled || !this.runner.available) return;
    this.scheduled = true;
    this.clock.soon(() => {
      this.scheduled = false;
      this.dispatch();
    });
  }

  get busy(): boolean {
    return this.runner.busy;
  }

  cancel(request: ScheduledRequest): void {
    if (this.withdraw(request)) request.fail(cancelledError(request));
  }

  /** Takes a request out of the queue, unanswered; false when it does not wait there. */
  withdraw(request: ScheduledRequest): boolean {
    if (!this.queue.remove(request)) return false;
    this.dispatch();
    return true;
  }

  async drained(): Promise<void> {
    this.held = false;
    this.dispatch();
    await this.runner.until(() => this.queue.length === 0 && !this.runner.busy);
  }

  close(): void {
    this.cancelDelay?.();
    this.expiry?.cancel();
    for (const request of this.queue.take(this.queue.length)) request.fail(unloading());
    this.runner.relinquish();
    this.runner.notify();
  }

  private dispatch(): void {
    this.cancelDelay?.();
    this.cancelDelay = undefined;
    this.expire();
    while (!this.held && this.queue.length > 0) {
      if (!this.runner.available) return;
      const decision = this.decide();
      if (decision.kind === 'wait') {
        this.runner.relinquish();
        this.cancelDelay = this.clock.after(decision.nanoseconds, () => this.dispatch());
        return;
      }
      if (!this.runner.acquire()) return;
      const batch = this.queue.take(decision.requests);
      const { ordered } = this;
      const requests = ordered ? batch.map((request) => ordered.wrap(request)) : batch;
      this.runner.run({ requests, reason: decision.reason });
    }
    if (this.queue.length > 0) return;
    this.runner.relinquish();
    this.runner.notify();
  }

  /** Answers requests that have waited too long, also while all instances are busy. */
  private expire(): void {
    for (const request of this.queue.expire(this.clock.now())) request.fail(timedOut());
    this.watchDeadlines();
  }

  private watchDeadlines(): void {
    const at = this.queue.nextDeadline;
    if (this.expiry ? this.expiry.at === at : at === Number.POSITIVE_INFINITY) return;
    this.expiry?.cancel();
    this.expiry =
      at === Number.POSITIVE_INFINITY
        ? undefined
        : {
            at,
            cancel: this.clock.after(Math.max(0, at - this.clock.now()), () => {
              this.expiry = undefined;
              this.dispatch();
            }),
          };
  }

  private decide(): Decision {
    const { maxBatchSize, maxQueueDelayMicros } = this.options;
    const first = this.queue.peek();
    const delay = maxQueueDelayMicros * NANOS_PER_MICRO;
    let oldest = first?.enqueuedAt ?? 0;
    let rows = 0;
    let requests = 0;
    let best = 0;
    let bestReason: BatchReason = 'preferred_batch_size';
    let closed: BatchReason | undefined;
    for (let next = first; next; next = this.queue.peek(requests)) {
      const grown = rows + next.batchSize;
      if (requests > 0) {
        // Beyond the largest preferred size a batch grows only where there was none to stop at.
        if (best === 0 && grown > this.largestPreferred) {
          best = requests;
          bestReason = grown > maxBatchSize ? 'max_batch_size' : 'preferred_batch_size';
        }
        if (grown > maxBatchSize) closed = 'max_batch_size';
        else if (next.batchKey !== first?.batchKey) closed = 'different_shapes';
        if (closed) break;
      }
      rows = grown;
      requests++;
      oldest = Math.min(oldest, next.enqueuedAt);
      if (this.preferred.has(rows)) {
        best = requests;
        bestReason = 'preferred_batch_size';
      }
    }
    const waited = this.clock.now() - oldest;
    const overdue = delay > 0 && waited >= delay;
    if (best > 0 && !overdue) return { kind: 'run', requests: best, reason: bestReason };
    if (closed) return { kind: 'run', requests, reason: closed };
    if (rows >= maxBatchSize) return { kind: 'run', requests, reason: 'max_batch_size' };
    if (rows >= this.largestPreferred) return { kind: 'run', requests, reason: 'preferred_batch_size' };
    if (overdue) return { kind: 'run', requests, reason: 'max_queue_delay' };
    if (delay === 0) return { kind: 'run', requests, reason: 'nothing_else_waiting' };
    return { kind: 'wait', nanoseconds: delay - waited };
  }
}
