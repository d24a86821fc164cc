import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client, FakeInstance } from '../../../test/support/scheduling.ts';
import { VirtualClock } from '../../../test/support/virtual-clock.ts';
import {
  DirectScheduler,
  DynamicScheduler,
  PLAIN_QUEUE,
  type RateLimit,
  RateLimiter,
  type ResourceLimit,
  type Scheduler,
} from './index.ts';

const need = (counts: Readonly<Record<string, number>>, priority = 1, global = false): RateLimit => ({
  resources: Object.entries(counts).map(([name, count]) => ({ name, count, global })),
  priority,
});

interface Model {
  readonly client: Client;
  readonly fake: FakeInstance;
  readonly scheduler: Scheduler;
}

/** One model with one instance per limit, under a limiter that all models share. */
function model(
  clock: VirtualClock,
  limiter: RateLimiter,
  limits: readonly RateLimit[],
  order: string[] = [],
  name = 'm',
  device = 0,
): Model {
  const fake = new FakeInstance(clock, () => {
    order.push(name);
    return 100;
  });
  const instances = limits.map((limit) => ({
    instance: fake,
    rank: 0,
    permit: limiter.admit(name, device, limit).permit,
  }));
  const scheduler = new DirectScheduler(instances, clock, { executed: () => undefined });
  return { client: new Client(scheduler, clock), fake, scheduler };
}

describe('the rate limiter', () => {
  test('instances whose resources do not suffice for both take turns', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter([], clock);
    const order: string[] = [];
    const a = model(clock, limiter, [need({ r: 2 })], order, 'a');
    const b = model(clock, limiter, [need({ r: 2 })], order, 'b');
    for (let index = 0; index < 3; index++) {
      a.client.send();
      b.client.send();
    }
    clock.advance(50);
    assert.equal(order.length, 1, 'both ran at once');
    assert.equal(limiter.usage.get('r:0'), 2);
    clock.advance(10_000);
    assert.deepEqual(order, ['a', 'b', 'a', 'b', 'a', 'b']);
    assert.equal(limiter.usage.get('r:0'), 0);
  });

  test('with enough of everything they run side by side', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter([{ name: 'r', count: 4, device: undefined }], clock);
    const order: string[] = [];
    const a = model(clock, limiter, [need({ r: 2 })], order, 'a');
    const b = model(clock, limiter, [need({ r: 2 })], order, 'b');
    a.client.send();
    b.client.send();
    clock.advance(50);
    assert.deepEqual(order, ['a', 'b']);
  });

  test('priority 2 gets half as many runs as priority 1', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter([], clock);
    const order: string[] = [];
    const often = model(clock, limiter, [need({ r: 1 }, 1)], order, 'often');
    const seldom = model(clock, limiter, [need({ r: 1 }, 2)], order, 'seldom');
    for (let index = 0; index < 40; index++) {
      often.client.send();
      seldom.client.send();
    }
    clock.advance(30 * 100);
    const count = (name: string): number => order.filter((other) => other === name).length;
    assert.ok(Math.abs(count('often') - 2 * count('seldom')) <= 2, order.join(' '));
  });

  test('two instances of one model that share a resource do not run at once', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter([], clock);
    const { client, fake } = model(clock, limiter, [need({ r: 4 }), need({ r: 2 })]);
    for (let index = 0; index < 4; index++) client.send();
    clock.advance(50);
    assert.equal(fake.batches.length, 1);
    clock.advance(10_000);
    assert.deepEqual(client.order, [0, 1, 2, 3]);
  });

  test('a resource of a device is there once on each, a global one once in all', () => {
    for (const [global, atOnce] of [
      [false, 2],
      [true, 1],
    ] as const) {
      const clock = new VirtualClock();
      const limiter = new RateLimiter([], clock);
      const order: string[] = [];
      const a = model(clock, limiter, [need({ r: 1 }, 1, global)], order, 'a', 0);
      const b = model(clock, limiter, [need({ r: 1 }, 1, global)], order, 'b', 1);
      a.client.send();
      b.client.send();
      clock.advance(50);
      assert.equal(order.length, atOnce);
    }
  });

  test('a cancelled wish does not keep the turn', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter([], clock);
    const order: string[] = [];
    const a = model(clock, limiter, [need({ r: 1 })], order, 'a');
    const b = model(clock, limiter, [need({ r: 1 })], order, 'b');
    a.client.send();
    const gone = b.client.send();
    b.client.cancel(gone);
    a.client.send();
    clock.advance(1000);
    assert.deepEqual(order, ['a', 'a']);
    b.client.send();
    clock.advance(1000);
    assert.deepEqual(order, ['a', 'a', 'b']);
  });

  test('a batcher that waits for company holds no resources', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter([], clock);
    const fake = new FakeInstance(clock, () => 100);
    const { permit } = limiter.admit('waits', 0, need({ r: 1 }));
    const waits = new DynamicScheduler(
      [{ instance: fake, rank: 0, permit }],
      clock,
      { executed: () => undefined },
      {
        maxBatchSize: 4,
        preferredBatchSizes: [],
        maxQueueDelayMicros: 500,
        preserveOrdering: false,
        queue: PLAIN_QUEUE,
        startThreshold: 0,
      },
    );
    const other = model(clock, limiter, [need({ r: 1 })]);
    new Client(waits, clock).send();
    clock.advance(10);
    other.client.send();
    clock.advance(10);
    assert.equal(other.fake.batches.length, 1);
    clock.advance(10_000);
    assert.equal(fake.batches.length, 1);
  });

  const limits = (...given: readonly [string, number, number?][]): readonly ResourceLimit[] =>
    given.map(([name, count, device]) => ({ name, count, device }));

  test('an instance that could never run is refused with the count it needs', () => {
    const wanted = [{ limit: need({ resource1: 4 }), device: 0 }];
    assert.throws(() => new RateLimiter(limits(['resource1', 3]), new VirtualClock()).check(wanted), {
      code: 'INVALID_ARG',
      message:
        'Resource count for "resource1" is limited to 3 which will prevent scheduling of one or more model instances, the minimum required count is 4',
    });
    assert.throws(
      () => new RateLimiter(limits(['resource1', 10, 10]), new VirtualClock()).check(wanted),
      /is limited to 0 which/,
    );
    new RateLimiter(limits(['resource1', 4]), new VirtualClock()).check(wanted);
    new RateLimiter(limits(['other', 1]), new VirtualClock()).check(wanted);
  });

  test('a resource is global everywhere or nowhere', () => {
    const limiter = new RateLimiter([], new VirtualClock());
    limiter.admit('a', 0, need({ r: 1 }, 1, true));
    assert.throws(
      () => limiter.check([{ limit: need({ r: 1 }), device: 0 }]),
      /Resource "r" is present as both global and device-specific resource in the model configuration\./,
    );
  });
});
