import { NANOS_PER_MICRO } from '../../core/index.ts';
import type { ScheduledRequest } from './contract.ts';
import type { QueueOptions, QueuePolicy } from './queue-policy.ts';
import { RequestQueue } from './request-queue.ts';

/** One level: requests in order of arrival, then those that waited too long under the action DELAY. */
interface Level {
  readonly priority: bigint;
  readonly policy: QueuePolicy;
  readonly fresh: RequestQueue<ScheduledRequest>;
  readonly delayed: RequestQueue<ScheduledRequest>;
}

const NEVER = Number.POSITIVE_INFINITY;

/**
 * Triton's priority queue: levels in order, inside a level first in first out, each level under its own policy
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/batcher.md#priority-levels).
 */
export class PriorityQueue {
  private readonly options: QueueOptions;
  /** Ascending; only levels that have been used. */
  private levels: Level[] = [];
  /** The one level of a queue without levels. */
  private readonly plain: Level | undefined;
  private count = 0;
  private readonly deadlines = new Map<ScheduledRequest, number>();
  private soonest = NEVER;

  constructor(options: QueueOptions) {
    this.options = options;
    this.plain = options.levels === 0n ? this.level(0n) : undefined;
  }

  get length(): number {
    return this.count;
  }

  /** Puts a request at the end of its level; false when that level is full. */
  push(request: ScheduledRequest, now: number): boolean {
    const level = this.plain ?? this.level(this.priorityOf(request));
    const { maxQueueSize } = level.policy;
    if (maxQueueSize > 0 && level.fresh.length + level.delayed.length >= maxQueueSize) return false;
    level.fresh.push(request);
    this.count++;
    const timeout = timeoutOf(request, level.policy);
    if (timeout > 0) {
      const deadline = now + timeout * NANOS_PER_MICRO;
      this.deadlines.set(request, deadline);
      this.soonest = Math.min(this.soonest, deadline);
    }
    return true;
  }

  /** The request at a place in the order of service. */
  peek(index = 0): ScheduledRequest | undefined {
    const [only] = this.levels;
    // One level and nothing that waited too long: the usual case.
    if (this.levels.length === 1 && only && index < only.fresh.length) return only.fresh.peek(index);
    let left = index;
    for (const { fresh, delayed } of this.levels) {
      if (left < fresh.length) return fresh.peek(left);
      left -= fresh.length;
      if (left < delayed.length) return delayed.peek(left);
      left -= delayed.length;
    }
    return undefined;
  }

  /** Removes and returns the first `count` requests. */
  take(count: number): ScheduledRequest[] {
    const { plain } = this;
    if (plain && this.deadlines.size === 0 && count <= plain.fresh.length) {
      this.count -= count;
      return plain.fresh.take(count);
    }
    let taken: ScheduledRequest[] = [];
    for (const { fresh, delayed } of this.levels) {
      for (const queue of [fresh, delayed]) {
        if (taken.length === count) break;
        const part = queue.take(count - taken.length);
        taken = taken.length === 0 ? part : [...taken, ...part];
      }
    }
    this.count -= taken.length;
    if (this.deadlines.size > 0) for (const request of taken) this.deadlines.delete(request);
    return taken;
  }

  /** Takes one request out, wherever it waits. */
  remove(request: ScheduledRequest): boolean {
    for (const { fresh, delayed } of this.levels) {
      if (!fresh.remove(request) && !delayed.remove(request)) continue;
      this.count--;
      this.deadlines.delete(request);
      return true;
    }
    return false;
  }

  /** When the next request will have waited too long; infinity when none can. */
  get nextDeadline(): number {
    return this.deadlines.size === 0 ? NEVER : this.soonest;
  }

  /** Applies the policies: moves requests that may go on behind the others, and returns those to be rejected. */
  expire(now: number): ScheduledRequest[] {
    if (now < this.nextDeadline) return [];
    const rejected: ScheduledRequest[] = [];
    this.soonest = NEVER;
    for (const level of this.levels) {
      for (const request of level.fresh.all()) {
        const deadline = this.deadlines.get(request);
        if (deadline === undefined) continue;
        if (deadline > now) {
          this.soonest = Math.min(this.soonest, deadline);
          continue;
        }
        level.fresh.remove(request);
        this.deadlines.delete(request);
        if (level.policy.timeoutAction === 'delay') {
          level.delayed.push(request);
        } else {
          this.count--;
          rejected.push(request);
        }
      }
    }
    return rejected;
  }

  private priorityOf(request: ScheduledRequest): bigint {
    const { levels, defaultLevel } = this.options;
    if (levels === 0n) return 0n;
    const priority = BigInt(request.priority);
    return priority === 0n || priority > levels ? defaultLevel : priority;
  }

  private level(priority: bigint): Level {
    const known = this.levels.find((level) => level.priority === priority);
    if (known) return known;
    const level: Level = {
      priority,
      policy: this.options.policies.get(priority) ?? this.options.defaultPolicy,
      fresh: new RequestQueue(),
      delayed: new RequestQueue(),
    };
    this.levels = [...this.levels, level].toSorted((a, b) => (a.priority < b.priority ? -1 : 1));
    return level;
  }
}

/** A request may shorten its time in the queue, not lengthen it. */
function timeoutOf(request: ScheduledRequest, policy: QueuePolicy): number {
  const { defaultTimeoutMicros, allowTimeoutOverride } = policy;
  if (!allowTimeoutOverride || request.timeoutMicros === 0) return defaultTimeoutMicros;
  return defaultTimeoutMicros === 0 ? request.timeoutMicros : Math.min(request.timeoutMicros, defaultTimeoutMicros);
}
