import { type Clock, NANOS_PER_MICRO } from '../../core/index.ts';
import { elementCount, type Tensor } from '../../tensor/index.ts';
import type { ExecutionUnit } from '../backends/contract.ts';
import { silentUnit } from '../backends/silent-unit.ts';
import type { ScheduledInstance, SchedulerHooks } from './contract.ts';
import { InstanceRunner } from './instance-runner.ts';
import { controlTensors } from './sequence-controls.ts';
import type { SequenceRequest } from './sequence-request.ts';
import type { Sequence, SequenceOwner } from './sequence.ts';

/** One instance's slots, each of which holds a sequence or is free. */
export interface SequenceLane {
  /** Slots that hold no sequence, by index. */
  readonly free: readonly number[];
  /** Requests that wait in the slots. */
  readonly pending: number;
  assign(sequence: Sequence, index: number): void;
  /** Looks again whether something can run. */
  dispatch(): void;
  readonly busy: boolean;
  close(): void;
}

export interface DirectLaneOptions {
  readonly slots: number;
  /** How long the oldest request waits for other slots to fill; 0 never waits. */
  readonly maxQueueDelayMicros: number;
  /** The share of filled slots at which nothing waits any more. */
  readonly minimumSlotUtilization: number;
}

/**
 * The direct strategy: a sequence keeps its row of the batch. Rows below the last filled one whose sequence has nothing
 * to run are executed with READY off.
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/batcher.md#direct)
 */
export class DirectLane implements SequenceLane {
  private readonly options: DirectLaneOptions;
  private readonly owner: SequenceOwner;
  private readonly clock: Clock;
  private readonly runner: InstanceRunner;
  private readonly held: () => boolean;
  private readonly slots: (Sequence | undefined)[];
  private cancelDelay: (() => void) | undefined;

  constructor(
    instance: ScheduledInstance,
    clock: Clock,
    hooks: SchedulerHooks,
    owner: SequenceOwner,
    options: DirectLaneOptions,
    held: () => boolean,
  ) {
    this.options = options;
    this.owner = owner;
    this.clock = clock;
    this.held = held;
    this.slots = Array.from({ length: options.slots }, () => undefined);
    this.runner = new InstanceRunner([instance], clock, hooks, () => this.dispatch());
  }

  get free(): readonly number[] {
    return this.slots.flatMap((sequence, index) => (sequence ? [] : [index]));
  }

  get pending(): number {
    return this.slots.reduce((sum, sequence) => sum + (sequence?.queue.length ?? 0), 0);
  }

  get busy(): boolean {
    return this.runner.busy;
  }

  assign(sequence: Sequence, index: number): void {
    this.slots[index] = sequence;
    sequence.slot = {
      wake: () => this.dispatch(),
      release: () => (this.slots[index] = undefined),
      withdraw: (request) => sequence.queue.includes(request),
    };
    this.dispatch();
  }

  close(): void {
    this.cancelDelay?.();
    this.runner.relinquish();
  }

  dispatch(): void {
    this.cancelDelay?.();
    this.cancelDelay = undefined;
    for (;;) {
      if (!this.runner.available || this.held()) return;
      const ready = this.slots.flatMap((sequence) => sequence?.peek() ?? []);
      if (ready.length === 0) {
        this.runner.relinquish();
        return;
      }
      const wait = this.waitFor(ready);
      if (wait > 0) {
        this.runner.relinquish();
        this.cancelDelay = this.clock.after(wait, () => this.dispatch());
        return;
      }
      if (!this.runner.acquire()) return;
      this.run(ready[0]);
    }
  }

  private waitFor(ready: readonly SequenceRequest[]): number {
    const { slots, maxQueueDelayMicros, minimumSlotUtilization } = this.options;
    if (maxQueueDelayMicros === 0 || ready.length / slots >= minimumSlotUtilization) return 0;
    const oldest = Math.min(...ready.map((request) => request.enqueuedAt));
    return oldest + maxQueueDelayMicros * NANOS_PER_MICRO - this.clock.now();
  }

  /** Runs the ready requests whose shapes are those of the first one. */
  private run(first: SequenceRequest | undefined): void {
    if (!first) return;
    const requests: SequenceRequest[] = [];
    const units: ExecutionUnit[] = [];
    let nulls: ExecutionUnit[] = [];
    for (const sequence of this.slots) {
      const head = sequence?.peek();
      if (!head || head.batchKey !== first.batchKey) {
        nulls.push(this.nullUnit(first));
        continue;
      }
      sequence?.take();
      units.push(...nulls, head);
      nulls = [];
      requests.push(head);
    }
    this.runner.run({ requests, units, reason: 'sequence_slots' });
  }

  /** A row that no sequence fills: zeros, with READY off. */
  private nullUnit(like: SequenceRequest): ExecutionUnit {
    const { controls, states, batching } = this.owner;
    const none = { start: false, ready: false, end: false };
    const id = typeof like.belongsTo.id === 'string' ? '' : 0n;
    return silentUnit({
      inputs: [
        ...like.origin.inputs.map(zeros),
        ...controlTensors(controls, none, id, batching),
        ...states.map((state) => state.initial),
      ],
      batchSize: 1,
      outputs: like.outputs,
    });
  }
}

function zeros(tensor: Tensor): Tensor {
  const bytes = tensor.datatype === 'BYTES' ? 4 * (elementCount(tensor.shape) ?? 0) : tensor.data.length;
  return { ...tensor, data: new Uint8Array(bytes) };
}
