import { type Clock, toServerError } from '../../core/index.ts';
import type { ExecutionReport } from '../backends/contract.ts';
import type { BackendInstance, ScheduledRequest, SchedulerHooks } from './contract.ts';

const NO_REPORT: ExecutionReport = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

/** Hands batches to idle instances, longest idle first, and tells when the last one has come back. */
export class InstanceRunner {
  private readonly idle: BackendInstance[];
  private readonly clock: Clock;
  private readonly hooks: SchedulerHooks;
  private readonly onIdle: () => void;
  private readonly waiters: (() => void)[] = [];
  private running = 0;
  /** Inside `execute`: an instance that answers at once must not dispatch the next batch from within. */
  private starting = false;

  constructor(instances: readonly BackendInstance[], clock: Clock, hooks: SchedulerHooks, onIdle: () => void) {
    this.idle = [...instances];
    this.clock = clock;
    this.hooks = hooks;
    this.onIdle = onIdle;
  }

  get available(): boolean {
    return this.idle.length > 0;
  }

  get busy(): boolean {
    return this.running > 0;
  }

  /**
   * Runs a batch on the instance that has been idle longest; there must be one. When the batch is done before this
   * returns, `onIdle` is not called: the caller looks again by itself.
   */
  run(requests: readonly ScheduledRequest[]): void {
    const instance = this.idle.shift();
    if (!instance) throw new Error('no instance is idle');
    this.running++;
    const startedAt = this.clock.now();
    let rows = 0;
    for (const request of requests) {
      request.started(startedAt);
      rows += request.batchSize;
    }
    let open = true;
    const finish = (report: ExecutionReport): void => {
      if (!open) return;
      open = false;
      this.running--;
      this.idle.push(instance);
      this.hooks.executed({ requests, rows, report, startedAt, endedAt: this.clock.now() });
      if (!this.starting) this.onIdle();
    };
    this.starting = true;
    try {
      instance.execute(requests, finish);
    } catch (thrown) {
      // Instances promise not to throw; one that does costs its batch, and neither the queue nor the server.
      const error = toServerError(thrown);
      for (const request of requests) request.fail(error);
      finish(NO_REPORT);
    }
    this.starting = false;
  }

  /** Resolves the next time that `check` holds after an execution, or now. */
  async until(check: () => boolean): Promise<void> {
    while (!check()) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  /** To be called whenever something that `until` may wait for has changed. */
  notify(): void {
    for (const waiter of this.waiters.splice(0)) waiter();
  }
}
