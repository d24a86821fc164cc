import { createRequire } from 'node:module';
import { toServerError, type ServerError } from '../../../core/index.ts';
import type { RunResult, SessionOptions, SlotLayout } from './messages.ts';
import { loadNativeRuntime, type NativeRuntime, type NativeSession } from './native-runtime.ts';
import { type PreparedSlot, prepareSlot, runSlot } from './prepared-slot.ts';

/**
 * Decisions are taken on the shortest execution of this many: others are longer because the thread was not running,
 * not because the model was.
 */
const OBSERVATIONS = 256;

/** How short it must be to move to the main thread, and beyond what it has to leave for good. */
const ENTER_NS = 80_000;
const LEAVE_NS = 250_000;

let runtime: NativeRuntime | undefined;

/**
 * A second session of a tiny model, on the main thread. An execution of some tens of microseconds costs less there
 * than the two thread switches to a worker and back. It is opened only after executions on the worker have proved to
 * be that short, and given up when they no longer are.
 */
export class InlineSession {
  private readonly path: string;
  private readonly options: SessionOptions;
  private allowed: boolean;
  private session: NativeSession | undefined;
  private readonly slots = new WeakMap<SlotLayout, PreparedSlot>();
  private observed = 0;
  private shortestNs = Number.POSITIVE_INFINITY;

  constructor(path: string, options: SessionOptions, allowed: boolean) {
    this.path = path;
    this.options = options;
    this.allowed = allowed;
  }

  get active(): boolean {
    return this.session !== undefined;
  }

  /** Takes note of how long an execution took, wherever it ran. */
  observe(inferNs: number): void {
    if (!this.allowed) return;
    this.observed++;
    this.shortestNs = Math.min(this.shortestNs, inferNs);
    if (this.observed < OBSERVATIONS) return;
    if (this.session) {
      if (this.shortestNs > LEAVE_NS) this.giveUp();
    } else if (this.shortestNs < ENTER_NS) {
      this.open();
    }
    this.observed = 0;
    this.shortestNs = Number.POSITIVE_INFINITY;
  }

  run(layout: SlotLayout): RunResult | ServerError {
    if (!runtime || !this.session) throw new Error('the inline session is not open');
    try {
      let slot = this.slots.get(layout);
      if (!slot) {
        slot = prepareSlot(runtime, 0, layout);
        this.slots.set(layout, slot);
      }
      return runSlot(runtime, this.session, slot);
    } catch (error) {
      return toServerError(error);
    }
  }

  [Symbol.dispose](): void {
    this.giveUp();
  }

  private open(): void {
    try {
      runtime ??= loadNativeRuntime(createRequire(import.meta.url));
      this.session = runtime.load(this.path, this.options);
    } catch {
      // The session on the worker serves on: the file may be gone or replaced by now.
      this.allowed = false;
    }
  }

  private giveUp(): void {
    this.allowed = false;
    this.session?.dispose();
    this.session = undefined;
  }
}
