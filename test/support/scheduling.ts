import assert from 'node:assert/strict';
import { NANOS_PER_MICRO, ServerError } from '../../src/core/index.ts';
import type { BackendInstance, ExecutionUnit } from '../../src/server/backends/contract.ts';
import {
  PLAIN_QUEUE,
  type QueueOptions,
  type ScheduledInstance,
  type ScheduledRequest,
  type Scheduler,
} from '../../src/server/schedulers/index.ts';
import type { VirtualClock } from './virtual-clock.ts';

export const limitedTo = (maxQueueSize: number): QueueOptions => ({
  ...PLAIN_QUEUE,
  defaultPolicy: { ...PLAIN_QUEUE.defaultPolicy, maxQueueSize },
});

export const unlimited = (instance: BackendInstance): ScheduledInstance => ({ instance, rank: 0, permit: undefined });

/** An instance that takes as long as the test says and notes what it ran. */
export class FakeInstance implements BackendInstance {
  readonly name = 'fake';
  readonly batches: number[][] = [];
  private readonly clock: VirtualClock;
  private readonly micros: (units: readonly ExecutionUnit[]) => number;

  constructor(clock: VirtualClock, micros: (units: readonly ExecutionUnit[]) => number) {
    this.clock = clock;
    this.micros = micros;
  }

  execute(units: readonly ExecutionUnit[], done: Parameters<BackendInstance['execute']>[1]): void {
    this.batches.push(units.map((unit) => Number(unit.requestId)));
    const finish = (): void => {
      for (const unit of units) {
        if (unit.requestId.endsWith('13')) unit.fail(new ServerError('INTERNAL', 'unlucky'));
        else unit.respond([{ name: 'ID', datatype: 'BYTES', shape: [1], data: Buffer.from(unit.requestId) }], true);
      }
      done({ computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 });
    };
    const micros = this.micros(units);
    if (micros === 0) finish();
    else this.clock.after(micros * NANOS_PER_MICRO, finish);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export interface Sent extends ScheduledRequest {
  cancelled: boolean;
  answer: string | undefined;
  startedAt: number;
}

/** Requests with numbers for ids; `order` lists the answered ones in the order of their answers. */
export class Client {
  readonly order: number[] = [];
  readonly sent: Sent[] = [];
  private readonly scheduler: Scheduler;
  private readonly clock: VirtualClock;

  constructor(scheduler: Scheduler, clock: VirtualClock) {
    this.scheduler = scheduler;
    this.clock = clock;
  }

  cancel(request: Sent): void {
    request.cancelled = true;
    this.scheduler.cancel(request);
  }

  send(batchSize = 1, batchKey?: string, change: Partial<Sent> = {}): Sent {
    const id = this.sent.length;
    const settle = (answer: string): void => {
      assert.equal(request.answer, undefined, `request ${id} was answered twice`);
      request.answer = answer;
      this.order.push(id);
    };
    const request: Sent = {
      requestId: String(id),
      parameters: {},
      inputs: [],
      batchSize,
      outputs: undefined,
      enqueuedAt: this.clock.now(),
      batchKey,
      priority: 0,
      timeoutMicros: 0,
      sequence: undefined,
      traceparent: undefined,
      trace: undefined,
      cancelled: false,
      answer: undefined,
      startedAt: -1,
      started: (at) => {
        request.startedAt = at;
      },
      respond: ([tensor]) => settle(Buffer.from(tensor?.data ?? []).toString()),
      finish: () => settle('nothing'),
      reschedule: () => assert.fail('nobody asked for another step'),
      fail: (error) => settle(error.message),
      ...change,
    };
    this.sent.push(request);
    this.scheduler.enqueue(request);
    return request;
  }
}
