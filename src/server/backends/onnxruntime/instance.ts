import { type ServerError, systemClock } from '../../../core/index.ts';
import type { Shape, Tensor } from '../../../tensor/index.ts';
import type { BackendInstance, ExecutionReport, ExecutionUnit, Hold } from '../contract.ts';
import { createLayout, gatherInputs, layoutKey, type LayoutPlan } from './batch-layout.ts';
import { InlineSession } from './inline-session.ts';
import type { RunResult, SessionOptions, SlotLayout } from './messages.ts';
import type { SessionThread } from './session-thread.ts';
import { splitOutputs } from './split-outputs.ts';
import type { Resident, ThreadPool } from './thread-pool.ts';

/** Slots kept per instance: this many, and no more than this many bytes of them. */
const MAX_SLOTS = 64;
const MAX_SLOT_BYTES = 128 * 1024 * 1024;

/** Input shapes whose output shapes are remembered. */
const MAX_LEARNED = 1024;

/** A laid-out buffer that the worker knows. */
interface Slot {
  readonly key: string | number;
  readonly layout: SlotLayout;
  readonly bytes: Uint8Array;
  readonly id: number;
  /** Output views are in use beyond the response callback: the buffer must not be written to. */
  holds: number;
}

export interface InstancePlan extends LayoutPlan {
  readonly name: string;
  readonly path: string;
  readonly options: SessionOptions;
  /** All inputs have fixed dimensions and are not BYTES: the number of rows alone determines a layout. */
  readonly fixedShapes: boolean;
  /** Whether executions may move to the main thread once they have proved to be short. */
  readonly mayInline: boolean;
}

/** How the runtime says that a preallocated output does not fit. */
const WRONG_SHAPE = /provided for output .* has shape .* but the computed output shape/s;

const FAILED: ExecutionReport = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

/** What an instance asks of the pool that it lives in. */
type InstancePool = Pick<ThreadPool, 'leave' | 'rescue'>;

/** One ONNX Runtime session on a worker thread. */
export class OnnxInstance implements BackendInstance, Resident {
  private readonly plan: InstancePlan;
  private readonly pool: InstancePool;
  private rescuing = false;
  private thread: SessionThread;
  private session: number;
  private readonly slots = new Map<string | number, Slot[]>();
  private slotCount = 0;
  private slotBytes = 0;
  private readonly shapes = new Map<string | number, ReadonlyMap<string, Shape>>();
  private learning = true;
  private readonly inline: InlineSession;
  private busyNs = 0;
  private executing = false;
  private onIdle: (() => void) | undefined;

  constructor(plan: InstancePlan, thread: SessionThread, session: number, pool: InstancePool) {
    this.plan = plan;
    this.thread = thread;
    this.session = session;
    this.pool = pool;
    this.inline = new InlineSession(plan.path, plan.options, plan.mayInline);
  }

  get name(): string {
    return this.plan.name;
  }

  execute(units: readonly ExecutionUnit[], done: (report: ExecutionReport) => void): void {
    const start = systemClock.now();
    this.executing = true;
    let rows = 0;
    for (const unit of units) rows += unit.batchSize;
    const key = layoutKey(units, rows, this.plan);
    const slot = key === undefined ? undefined : this.slotFor(key, units, rows);
    const layout = slot?.layout ?? createLayout(units, rows, this.plan);
    const bytes = slot?.bytes ?? new Uint8Array(layout.buffer);
    gatherInputs(units, layout, bytes);
    const gatherNs = systemClock.now() - start;

    const finish = (outcome: RunResult | ServerError): void => {
      if (slot && outcome instanceof Error && this.shapes.has(slot.key) && WRONG_SHAPE.test(outcome.message)) {
        this.unlearn(slot);
        this.execute(units, done);
        return;
      }
      const report =
        outcome instanceof Error
          ? failAll(units, outcome)
          : this.answer(units, rows, layout, bytes, slot, outcome, gatherNs);
      this.busyNs += systemClock.now() - start;
      this.executing = false;
      if (!this.thread.alive) void this.rescue();
      if (!(outcome instanceof Error)) {
        this.inline.observe(outcome.inferNs);
        if (slot) this.learn(slot, outcome);
      }
      this.onIdle?.();
      done(report);
    };
    if (slot && this.inline.active) finish(this.inline.run(slot.layout));
    else if (slot) this.thread.run(slot.id, finish);
    else this.thread.runOnce(this.session, layout, finish);
  }

  private answer(
    units: readonly ExecutionUnit[],
    rows: number,
    layout: SlotLayout,
    bytes: Uint8Array,
    slot: Slot | undefined,
    result: RunResult,
    gatherNs: number,
  ): ExecutionReport {
    const start = systemClock.now();
    try {
      const outputs: Tensor[] = layout.outputs.map((output) => ({
        name: output.name,
        datatype: output.datatype,
        shape: output.shape,
        data: bytes.subarray(output.offset, output.offset + output.byteLength),
      }));
      outputs.push(...result.outputs);
      const hold = slot && layout.outputs.length > 0 ? holdOf(slot) : undefined;
      const perUnit = splitOutputs(units, rows, this.plan, outputs);
      const splitNs = systemClock.now() - start;
      perUnit.forEach((tensors, index) => {
        const unit = units[index];
        unit?.respond(wanted(tensors, unit.outputs), true, hold);
      });
      return {
        computeInputNs: gatherNs + result.inputNs,
        computeInferNs: result.inferNs,
        computeOutputNs: result.outputNs + splitNs,
      };
    } catch (error) {
      return failAll(units, error as ServerError);
    }
  }

  /** The thread has died, and its sessions with it: goes on another one. Until then requests fail. */
  private async rescue(): Promise<void> {
    if (this.rescuing) return;
    this.rescuing = true;
    try {
      await this.pool.rescue(this);
    } catch {
      // The next failed execution tries again.
    } finally {
      this.rescuing = false;
    }
  }

  takeBusyNs(): number {
    const busy = this.busyNs;
    this.busyNs = 0;
    return busy;
  }

  async moveTo(thread: SessionThread): Promise<void> {
    const { session } = await thread.load(this.plan.path, this.plan.options);
    if (this.executing) await new Promise<void>((resolve) => (this.onIdle = resolve));
    this.onIdle = undefined;
    const old = { thread: this.thread, session: this.session };
    this.thread = thread;
    this.session = session;
    this.slots.clear();
    this.slotCount = 0;
    this.slotBytes = 0;
    await old.thread.unload(old.session);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.inline[Symbol.dispose]();
    await this.thread.unload(this.session);
    await this.pool.leave(this);
  }

  /** A slot for batches of these shapes whose outputs nobody is still reading. */
  private slotFor(key: string | number, units: readonly ExecutionUnit[], rows: number): Slot {
    const known = this.slots.get(key);
    const free = known?.find((slot) => slot.holds === 0);
    if (free) return free;
    const layout = createLayout(units, rows, this.plan, this.shapes.get(key));
    const id = this.thread.define(this.session, layout);
    const slot: Slot = { key, layout, bytes: new Uint8Array(layout.buffer), id, holds: 0 };
    this.slots.set(key, [...(known ?? []), slot]);
    this.slotCount++;
    this.slotBytes += slot.bytes.length;
    this.makeRoom(slot);
    return slot;
  }

  /** Drops the oldest slots beyond the limits; those in use are forgotten too, their buffers live on with the readers. */
  private makeRoom(newest: Slot): void {
    for (const list of this.slots.values()) {
      for (const slot of list) {
        if (this.slotCount <= MAX_SLOTS && this.slotBytes <= MAX_SLOT_BYTES) return;
        if (slot !== newest) this.drop(slot);
      }
    }
  }

  private drop(slot: Slot): void {
    const rest = (this.slots.get(slot.key) ?? []).filter((other) => other !== slot);
    if (rest.length > 0) this.slots.set(slot.key, rest);
    else this.slots.delete(slot.key);
    this.slotCount--;
    this.slotBytes -= slot.bytes.length;
    this.thread.forget(slot.id);
  }

  /**
   * Notes the shapes of outputs that the runtime had to allocate. The next batch of the same input shapes has room
   * laid out for them, which spares their copy.
   */
  private learn(slot: Slot, result: RunResult): void {
    if (!this.learning || result.outputs.length === 0 || result.outputs.some((output) => output.datatype === 'BYTES'))
      return;
    if (this.shapes.size >= MAX_LEARNED) this.shapes.clear();
    this.shapes.set(slot.key, new Map(result.outputs.map((output) => [output.name, output.shape])));
    if (slot.holds === 0) this.drop(slot);
  }

  /** Outputs did not have the shapes that they had before: this model's depend on more than its inputs' shapes. */
  private unlearn(slot: Slot): void {
    this.learning = false;
    this.shapes.clear();
    this.drop(slot);
  }
}

function holdOf(slot: Slot): Hold {
  return () => {
    slot.holds++;
    let held = true;
    return () => {
      if (held) slot.holds--;
      held = false;
    };
  };
}

function wanted(tensors: readonly Tensor[], names: ReadonlySet<string> | undefined): readonly Tensor[] {
  return names ? tensors.filter((tensor) => names.has(tensor.name)) : tensors;
}

function failAll(units: readonly ExecutionUnit[], error: ServerError): ExecutionReport {
  for (const unit of units) unit.fail(error);
  return FAILED;
}
