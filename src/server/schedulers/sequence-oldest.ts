import type { Clock } from '../../core/index.ts';
import type { ScheduledInstance, SchedulerHooks } from './contract.ts';
import { DynamicScheduler, type DynamicBatchingOptions } from './dynamic.ts';
import type { SequenceRequest } from './sequence-request.ts';
import type { SequenceLane } from './sequence-slots.ts';
import type { Sequence } from './sequence.ts';

/**
 * The oldest strategy: up to `max_candidate_sequences` sequences of an instance each offer their next request to a
 * dynamic batcher, which puts the oldest ones together.
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/batcher.md#oldest)
 */
export class OldestLane implements SequenceLane {
  private readonly slots: (Sequence | undefined)[];
  private readonly inner: DynamicScheduler;

  constructor(
    instance: ScheduledInstance,
    clock: Clock,
    hooks: SchedulerHooks,
    candidates: number,
    options: DynamicBatchingOptions,
  ) {
    this.slots = Array.from({ length: candidates }, () => undefined);
    this.inner = new DynamicScheduler([instance], clock, hooks, options);
  }

  get free(): readonly number[] {
    return this.slots.flatMap((sequence, index) => (sequence ? [] : [index]));
  }

  get pending(): number {
    return this.inner.pending + this.slots.reduce((sum, sequence) => sum + (sequence?.queue.length ?? 0), 0);
  }

  get busy(): boolean {
    return this.inner.busy;
  }

  assign(sequence: Sequence, index: number): void {
    this.slots[index] = sequence;
    sequence.slot = {
      wake: () => this.offer(sequence),
      release: () => (this.slots[index] = undefined),
      withdraw: (request) => this.withdraw(sequence, request),
    };
    this.offer(sequence);
  }

  dispatch(): void {
    for (const sequence of this.slots) if (sequence) this.offer(sequence);
  }

  close(): void {
    this.inner.close();
  }

  private offer(sequence: Sequence): void {
    if (!sequence.peek()) return;
    const request = sequence.take();
    if (request) this.inner.enqueue(request);
  }

  /** The sequence's current request may still wait in the batcher. */
  private withdraw(sequence: Sequence, request: SequenceRequest): boolean {
    return sequence.queue.includes(request) || this.inner.withdraw(request);
  }
}
