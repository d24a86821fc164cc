import { type Clock, invalidArgument, type Logger, NANOS_PER_MICRO, type ServerError } from '../../core/index.ts';
import type { CorrelationId } from '../../protocol/index.ts';
import type { ScheduledInstance, ScheduledRequest, Scheduler, SchedulerHooks } from './contract.ts';
import { cancelledError, unloading } from './direct.ts';
import type { QueueOptions } from './queue-policy.ts';
import { PLAIN_QUEUE } from './queue-policy.ts';
import { idMismatch, type SequenceControls } from './sequence-controls.ts';
import { OldestLane } from './sequence-oldest.ts';
import { DirectLane, type SequenceLane } from './sequence-slots.ts';
import type { StateSpec } from './sequence-state.ts';
import { Sequence, type SequenceOwner } from './sequence.ts';
import { Waiters } from './waiters.ts';

export type SequenceStrategy =
  | {
      readonly kind: 'direct';
      readonly maxQueueDelayMicros: number;
      readonly minimumSlotUtilization: number;
    }
  | {
      readonly kind: 'oldest';
      readonly maxCandidateSequences: number;
      readonly preferredBatchSizes: readonly number[];
      readonly maxQueueDelayMicros: number;
      readonly preserveOrdering: boolean;
    };

export interface SequenceOptions {
  readonly model: string;
  /** 0 for a model that does not batch. */
  readonly maxBatchSize: number;
  readonly strategy: SequenceStrategy;
  /** A sequence without a request for this long is over. */
  readonly maxSequenceIdleMicros: number;
  /** A request is a sequence of its own, whose steps the backend asks for. */
  readonly iterative: boolean;
  readonly controls: SequenceControls;
  readonly states: readonly StateSpec[];
  /** `TRITONSERVER_DELAY_SCHEDULER`: start only once this many requests wait in the slots. */
  readonly startThreshold: number;
  /** `TRITONSERVER_BACKLOG_DELAY_SCHEDULER`: and this many in the backlog. */
  readonly backlogThreshold: number;
  readonly logger: Pick<Logger, 'warn' | 'verbose'>;
}

/** Ids that the server makes for iterative sequences start here, far from those that clients choose. */
const GENERATED_IDS = 2n ** 63n;

/**
 * Keeps the requests of a sequence together: in order, on one instance, with their controls and states
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/batcher.md#sequence-batcher).
 */
export class SequenceScheduler implements Scheduler, SequenceOwner {
  readonly batching: boolean;
  readonly controls: SequenceControls;
  readonly states: readonly StateSpec[];
  private readonly options: SequenceOptions;
  private readonly clock: Clock;
  private readonly lanes: readonly SequenceLane[];
  /** Sequences that further requests can join. */
  private readonly open = new Map<string, Sequence>();
  /** All that have a slot or wait for one. */
  private readonly known = new Set<Sequence>();
  private readonly backlog: Sequence[] = [];
  private readonly waiters = new Waiters();
  private held: boolean;
  private generated = GENERATED_IDS;
  private reaper: (() => void) | undefined;

  constructor(
    instances: readonly ScheduledInstance[],
    clock: Clock,
    hooks: SchedulerHooks,
    options: SequenceOptions,
    queue: QueueOptions = PLAIN_QUEUE,
  ) {
    this.options = options;
    this.clock = clock;
    this.batching = options.maxBatchSize > 0;
    this.controls = options.controls;
    this.states = options.states;
    this.held = options.startThreshold > 0;
    const counted: SchedulerHooks = {
      executed: (execution) => {
        hooks.executed(execution);
        clock.soon(() => this.waiters.notify());
      },
    };
    this.lanes = instances.map((instance) => this.createLane(instance, counted, queue));
  }

  private createLane(instance: ScheduledInstance, hooks: SchedulerHooks, queue: QueueOptions): SequenceLane {
    const { strategy, maxBatchSize, startThreshold } = this.options;
    if (strategy.kind === 'direct') {
      const slots = Math.max(1, maxBatchSize);
      return new DirectLane(instance, this.clock, hooks, this, { ...strategy, slots }, () => this.held);
    }
    return new OldestLane(instance, this.clock, hooks, strategy.maxCandidateSequences, {
      maxBatchSize: Math.max(1, maxBatchSize),
      preferredBatchSizes: strategy.preferredBatchSizes,
      maxQueueDelayMicros: strategy.maxQueueDelayMicros,
      preserveOrdering: strategy.preserveOrdering,
      queue,
      startThreshold,
    });
  }

  get pending(): number {
    return this.lanes.reduce((sum, lane) => sum + lane.pending, 0) + this.backlogSize;
  }

  /** Sequences that have a slot, and sequences that wait for one. */
  get sequences(): { readonly active: number; readonly backlog: number } {
    return { active: this.known.size - this.backlog.length, backlog: this.backlog.length };
  }

  enqueue(request: ScheduledRequest): void {
    const { id, start, end } = this.flagsOf(request);
    const refusal = this.refusal(request, id, start);
    if (refusal) {
      request.fail(refusal);
      return;
    }
    const key = keyOf(id);
    const before = this.open.get(key);
    if (before && start) {
      this.options.logger.warn(
        `sequence ${String(id)} for model '${this.options.model}' has a conflict. The previous sequence did not end before this sequence start. Previous sequence will be terminated early.`,
        { model: this.options.model, request_id: request.requestId || '<id_unknown>' },
      );
    }
    const sequence = before ?? this.create(id, key);
    sequence.lastSeen = this.clock.now();
    if (end) this.stopTaking(sequence);
    sequence.add(request, start, end && !this.options.iterative);
    this.lookAtThresholds();
  }

  cancel(request: ScheduledRequest): void {
    for (const sequence of this.known) {
      const steps = [...sequence.queue, ...(sequence.running ? [sequence.running] : [])];
      const step = steps.find((candidate) => candidate.origin === request);
      if (!step) continue;
      const waits = sequence.slot ? sequence.slot.withdraw(step) : true;
      // What runs is answered by its instance; the client's end of it is gone already.
      if (!waits) return;
      this.options.logger.verbose(1, `sequence ${String(sequence.id)} is cancelled`, {
        model: this.options.model,
        request_id: request.requestId || '<id_unknown>',
      });
      this.stopTaking(sequence);
      // Emptied first: what is failed must not make the sequence go on.
      const queued = sequence.queue.splice(0);
      for (const next of new Set([...queued, step])) next.fail(cancelledError(next));
      return;
    }
  }

  async drained(): Promise<void> {
    this.held = false;
    for (const lane of this.lanes) lane.dispatch();
    const quiet = (): boolean =>
      [...this.known].every((sequence) => sequence.resting) && this.lanes.every((lane) => !lane.busy);
    await this.waiters.until(quiet);
    this.reaper?.();
  }

  close(): void {
    this.reaper?.();
    for (const sequence of this.known) {
      this.stopTaking(sequence);
      for (const queued of sequence.queue.splice(0)) queued.fail(unloading());
    }
    for (const lane of this.lanes) lane.close();
    this.waiters.notify();
  }

  /** Nothing of a sequence waits or runs: it frees its slot, or is left to the reaper. */
  rested(sequence: Sequence): void {
    sequence.lastSeen = this.clock.now();
    if (sequence.closed) this.remove(sequence);
    else this.scheduleReaper();
    this.waiters.notify();
  }

  private flagsOf(request: ScheduledRequest): { id: CorrelationId; start: boolean; end: boolean } {
    const { sequence } = request;
    if (!this.options.iterative) return sequence ?? { id: 0n, start: false, end: false };
    // Every request is a sequence, from its start to the step that does not ask for another one.
    const given = sequence?.id ?? 0n;
    if (!isNone(given)) return { id: given, start: true, end: true };
    this.generated++;
    const text = this.controls.id?.datatype === 'BYTES';
    return { id: text ? String(this.generated) : this.generated, start: true, end: true };
  }

  private refusal(request: ScheduledRequest, id: CorrelationId, start: boolean): ServerError | undefined {
    const { model, iterative } = this.options;
    if (isNone(id)) {
      return invalidArgument(
        `inference request to model '${model}' must specify a non-zero or non-empty correlation ID`,
      );
    }
    if (this.batching && request.batchSize !== 1) {
      return invalidArgument(
        `inference request to model '${model}' must specify batch-size 1 due to requirements of sequence batcher`,
      );
    }
    if (!start && !this.open.has(keyOf(id))) {
      return invalidArgument(
        `inference request for sequence ${String(id)} to model '${model}' must specify the START flag on the first request of the sequence`,
      );
    }
    return iterative ? undefined : idMismatch(this.controls, id, request.requestId);
  }

  private create(id: CorrelationId, key: string): Sequence {
    const sequence = new Sequence(id, this);
    this.open.set(key, sequence);
    this.known.add(sequence);
    const free = this.freeSlot();
    if (free) free.lane.assign(sequence, free.index);
    else this.backlog.push(sequence);
    return sequence;
  }

  /** The lowest slot over all instances, so that sequences spread over them. */
  private freeSlot(): { readonly lane: SequenceLane; readonly index: number } | undefined {
    let best: { lane: SequenceLane; index: number } | undefined;
    for (const lane of this.lanes) {
      const [index] = lane.free;
      if (index !== undefined && (!best || index < best.index)) best = { lane, index };
    }
    return best;
  }

  /** No further request joins: its id may begin a new sequence. */
  private stopTaking(sequence: Sequence): void {
    sequence.closed = true;
    const key = keyOf(sequence.id);
    if (this.open.get(key) === sequence) this.open.delete(key);
  }

  private remove(sequence: Sequence): void {
    if (!this.known.delete(sequence)) return;
    this.stopTaking(sequence);
    const { slot } = sequence;
    if (!slot) {
      const place = this.backlog.indexOf(sequence);
      if (place >= 0) this.backlog.splice(place, 1);
      return;
    }
    slot.release();
    const next = this.backlog.shift();
    const free = next && this.freeSlot();
    if (free) free.lane.assign(next, free.index);
  }

  private get backlogSize(): number {
    return this.backlog.reduce((sum, sequence) => sum + sequence.queue.length, 0);
  }

  private lookAtThresholds(): void {
    if (!this.held) return;
    const { startThreshold, backlogThreshold } = this.options;
    const inSlots = this.lanes.reduce((sum, lane) => sum + lane.pending, 0);
    if (inSlots < startThreshold || this.backlogSize < backlogThreshold) return;
    this.held = false;
    for (const lane of this.lanes) lane.dispatch();
  }

  /** Ends sequences that nobody has continued for too long, so that vanished clients do not keep slots. */
  private scheduleReaper(): void {
    if (this.reaper) return;
    const idle = this.options.maxSequenceIdleMicros * NANOS_PER_MICRO;
    let next = Number.POSITIVE_INFINITY;
    for (const sequence of this.known) if (sequence.resting) next = Math.min(next, sequence.lastSeen + idle);
    if (next === Number.POSITIVE_INFINITY) return;
    this.reaper = this.clock.after(Math.max(0, next - this.clock.now()), () => {
      this.reaper = undefined;
      this.reap(idle);
    });
  }

  private reap(idle: number): void {
    for (const sequence of this.known) {
      if (!sequence.resting || sequence.lastSeen + idle > this.clock.now()) continue;
      this.options.logger.verbose(
        1,
        `sequence ${String(sequence.id)} had no request for ${this.options.maxSequenceIdleMicros} us and is over`,
        { model: this.options.model },
      );
      this.remove(sequence);
    }
    this.scheduleReaper();
    this.waiters.notify();
  }
}

function isNone(id: CorrelationId): boolean {
  return id === 0n || id === '';
}

/** Numbers and texts are different ids. */
function keyOf(id: CorrelationId): string {
  return typeof id === 'string' ? `s${id}` : `n${id}`;
}
