import { type Clock, ServerError, withRequestId } from '../../core/index.ts';
import type { ScheduledInstance, ScheduledRequest, Scheduler, SchedulerHooks } from './contract.ts';
import { InstanceRunner } from './instance-runner.ts';
import { RequestQueue } from './request-queue.ts';

/** Triton's default scheduler: every request runs alone, in order of arrival, on the next idle instance. */
export class DirectScheduler implements Scheduler {
  private readonly queue = new RequestQueue<ScheduledRequest>();
  private readonly runner: InstanceRunner;

  constructor(instances: readonly ScheduledInstance[], clock: Clock, hooks: SchedulerHooks) {
    this.runner = new InstanceRunner(instances, clock, hooks, () => this.dispatch());
  }

  get pending(): number {
    return this.queue.length;
  }

  enqueue(request: ScheduledRequest): void {
    this.queue.push(request);
    this.dispatch();
  }

  cancel(request: ScheduledRequest): void {
    if (this.queue.remove(request)) request.fail(cancelledError(request));
    this.dispatch();
  }

  async drained(): Promise<void> {
    await this.runner.until(() => this.queue.length === 0 && !this.runner.busy);
  }

  close(): void {
    for (const request of this.queue.take(this.queue.length)) request.fail(unloading());
    this.runner.relinquish();
    this.runner.notify();
  }

  private dispatch(): void {
    while (this.queue.length > 0) {
      if (!this.runner.available || !this.runner.acquire()) return;
      this.runner.run({ requests: this.queue.take(1), reason: 'no_batching' });
    }
    this.runner.relinquish();
    this.runner.notify();
  }
}

/** What requests get that were still waiting when their model went away. */
export function unloading(): ServerError {
  return new ServerError('UNAVAILABLE', 'the model is being unloaded: the request was not started');
}

export function cancelledError(request: ScheduledRequest): ServerError {
  return new ServerError('CANCELLED', withRequestId(request.requestId, 'Request was cancelled'));
}

export function queueFull(request: ScheduledRequest): ServerError {
  return new ServerError('UNAVAILABLE', withRequestId(request.requestId, 'Exceeds maximum queue size'), {
    overload: true,
  });
}

export function timedOut(): ServerError {
  return new ServerError('UNAVAILABLE', 'Request timeout expired');
}
