import type { Clock } from '../../core/index.ts';
import type { ScheduledRequest, Scheduler, SchedulerHooks } from './contract.ts';
import { cancelledError, unloading } from './direct.ts';
import { type EnsemblePlan, type EnsembleRoute, routeFor } from './ensemble-plan.ts';
import { EnsembleRun, type StepResolver } from './ensemble-run.ts';
import { Waiters } from './waiters.ts';

/** Sets of outputs whose routes are remembered. */
const MAX_ROUTES = 256;

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
  private readonly routes = new Map<string, EnsembleRoute>();
  private readonly runs = new Map<ScheduledRequest, EnsembleRun>();
  private readonly waiters = new Waiters();

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
    const run = new EnsembleRun(this.plan, this.routeOf(request), request, this.resolve, (ended) =>
      this.ended(request, ended, startedAt),
    );
    this.runs.set(request, run);
    run.start();
  }

  cancel(request: ScheduledRequest): void {
    this.runs.get(request)?.cancel(cancelledError(request));
  }

  async drained(): Promise<void> {
    await this.waiters.until(() => this.runs.size === 0);
  }

  close(): void {
    for (const run of this.runs.values()) run.cancel(unloading());
  }

  /** Requests want the same few sets of outputs over and over. */
  private routeOf({ outputs }: ScheduledRequest): EnsembleRoute {
    const key = outputs ? [...outputs].join('\0') : '';
    const known = this.routes.get(key);
    if (known) return known;
    const route = routeFor(this.plan, outputs);
    if (this.routes.size < MAX_ROUTES) this.routes.set(key, route);
    return route;
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
      this.waiters.notify();
    });
  }
}
