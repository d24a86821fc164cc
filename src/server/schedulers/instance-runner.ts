import { type Clock, toServerError } from '../../core/index.ts';
import type { ExecutionReport, ExecutionUnit } from '../backends/contract.ts';
import type { BatchReason, ScheduledInstance, ScheduledRequest, SchedulerHooks } from './contract.ts';
import { Waiters } from './waiters.ts';

const NO_REPORT: ExecutionReport = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

/** What is run: the requests, and the units that the instance gets when those are not the same. */
export interface Batch {
  readonly requests: readonly ScheduledRequest[];
  readonly units?: readonly ExecutionUnit[];
  readonly reason: BatchReason;
}

/**
 * Hands batches to idle instances, GPUs before CPUs and longest idle first, and tells when one has come back. Where
 * executions are limited an instance runs only with the limiter's permit.
 */
export class InstanceRunner {
  private idle: ScheduledInstance[];
  private permitted: ScheduledInstance[] = [];
  private readonly clock: Clock;
  private readonly hooks: SchedulerHooks;
  private readonly onIdle: () => void;
  private readonly waiters = new Waiters();
  private readonly limited: boolean;
  private running = 0;
  /** Inside `execute` or `acquire`: what answers at once must not dispatch the next batch from within. */
  private inside = false;

  constructor(instances: readonly ScheduledInstance[], clock: Clock, hooks: SchedulerHooks, onIdle: () => void) {
    this.idle = [];
    for (const instance of instances) this.settle(instance);
    this.clock = clock;
    this.hooks = hooks;
    this.onIdle = onIdle;
    this.limited = instances.some((instance) => instance.permit);
  }

  /** An instance is not running. It may still need a permit. */
  get available(): boolean {
    return this.idle.length > 0 || this.permitted.length > 0;
  }

  get busy(): boolean {
    return this.running > 0;
  }

  /**
   * Makes sure that the next `run` may start. When it may not yet, permits are asked for, and `onIdle` is called once
   * there is one.
   */
  acquire(): boolean {
    if (this.permitted.length > 0) return true;
    if (!this.limited) {
      const next = this.idle.shift();
      if (next) this.permitted.push(next);
      return next !== undefined;
    }
    this.inside = true;
    for (const candidate of this.idle) {
      candidate.permit?.request(() => {
        this.idle = this.idle.filter((other) => other !== candidate);
        this.permitted.push(candidate);
        if (!this.inside) this.onIdle();
      });
      if (this.permitted.length > 0) break;
    }
    this.inside = false;
    return this.permitted.length > 0;
  }

  /** There is nothing to run now: permits and wishes for them go back. */
  relinquish(): void {
    if (!this.limited) return;
    for (const instance of this.permitted.splice(0)) this.settle(instance);
    for (const { permit } of this.idle) permit?.release(false);
  }

  /**
   * Runs a batch; `acquire` must have said yes. When the batch is done before this returns, `onIdle` is not called:
   * the caller looks again by itself.
   */
  run({ requests, units = requests, reason }: Batch): void {
    const scheduled = this.permitted.shift();
    if (!scheduled) throw new Error('no instance may run');
    this.running++;
    const startedAt = this.clock.now();
    let rows = 0;
    for (const request of requests) request.started(startedAt);
    for (const unit of units) rows += unit.batchSize;
    let open = true;
    const finish = (report: ExecutionReport): void => {
      if (!open) return;
      open = false;
      this.running--;
      this.settle(scheduled);
      this.hooks.executed({ requests, rows, report, startedAt, endedAt: this.clock.now(), reason });
      // Giving the permit back may start another model's batch: this one's instance has to be idle by then.
      scheduled.permit?.release(true);
      if (!this.inside) this.onIdle();
    };
    this.inside = true;
    try {
      scheduled.instance.execute(units, finish);
    } catch (thrown) {
      // Instances promise not to throw; one that does costs its batch, and neither the queue nor the server.
      const error = toServerError(thrown);
      for (const request of requests) request.fail(error);
      finish(NO_REPORT);
    }
    this.inside = false;
  }

  /** Resolves the next time that `check` holds after an execution, or now. */
  async until(check: () => boolean): Promise<void> {
    await this.waiters.until(check);
  }

  /** To be called whenever something that `until` may wait for has changed. */
  notify(): void {
    this.waiters.notify();
  }

  /** Back among the idle ones, behind those of its rank. */
  private settle(instance: ScheduledInstance): void {
    if (this.idle.length === 0) {
      this.idle.push(instance);
      return;
    }
    const place = this.idle.findIndex((other) => other.rank > instance.rank);
    if (place < 0) this.idle.push(instance);
    else this.idle.splice(place, 0, instance);
  }
}
