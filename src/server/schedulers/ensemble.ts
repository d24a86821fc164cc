import type { Clock } from '../../core/index.ts';
import type { ScheduledRequest, Scheduler, SchedulerHooks } from './contract.ts';
import { cancelledError, unloading } from './direct.ts';
import type { EnsemblePlan } from './ensemble-plan.ts';
import { EnsembleRun, type StepResolver } from './ensemble-run.ts';

/**
 * Runs requests through a graph of models: a step starts as soon as its inputs are there, tensors pass between steps
 * as they are, and every step is batched by its own model's scheduler
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/ensemble_models.md).
 */
export class EnsembleScheduler implements Scheduler {
  private readonly plan: EnsemblePlan;
  private readonly resolve: StepResolver;
  private readonly clock: Clock;
  private readonly hooks: SchedulerHooks;
  private readonly runs = new Map<ScheduledRequest, EnsembleRun>();
  private readonly waiters: (() => void)[] = [];

  constructor(plan: EnsemblePlan, resolve: StepResolver, clock: Clock, hooks: SchedulerHooks) {
    this.plan = plan;
    this.resolve = resolve;
    this.clock = clock;
    this.hooks = hooks;
  }

  /** Requests of an ensemble wait in the queues of its steps. */
  get pending(): number {
    return 0;
  }

  enqueue(request: ScheduledRequest): void {
    const startedAt = this.clock.now();
    request.started(startedAt);
    const run = new EnsembleRun(this.plan, request, this.resolve, (ended) => this.ended(request, ended, startedAt));
    this.runs.set(request, run);
    run.start();
  }

  cancel(request: ScheduledRequest): void {
    this.runs.get(request)?.cancel(cancelledError(request));
  }

  async drained(): Promise<void> {
    while (this.runs.size > 0) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  close(): void {
    for (const run of this.runs.values()) run.cancel(unloading());
  }

  private ended(request: ScheduledRequest, run: EnsembleRun, startedAt: number): void {
    this.runs.delete(request);
    const endedAt = this.clock.now();
    // The last step's times are known only after its answer.
    this.clock.soon(() => {
      if (!run.failed) {
        const { report } = run;
        this.hooks.executed({
          requests: [request],
          rows: request.batchSize,
          report,
          startedAt,
          endedAt,
          reason: 'no_batching',
        });
      }
      for (const waiter of this.waiters.splice(0)) waiter();
    });
  }
}
