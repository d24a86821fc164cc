import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Client, FakeInstance, limitedTo, unlimited } from '../../../test/support/scheduling.ts';
import { VirtualClock } from '../../../test/support/virtual-clock.ts';
import { NANOS_PER_MICRO } from '../../core/index.ts';
import type { ExecutionUnit } from '../backends/contract.ts';
import { DirectScheduler, type DynamicBatchingOptions, DynamicScheduler, PLAIN_QUEUE } from './index.ts';

const DEFAULTS: DynamicBatchingOptions = {
  maxBatchSize: 8,
  preferredBatchSizes: [],
  maxQueueDelayMicros: 0,
  preserveOrdering: false,
  queue: PLAIN_QUEUE,
  startThreshold: 0,
};

function setUp(
  options: Partial<DynamicBatchingOptions>,
  micros: (units: readonly ExecutionUnit[]) => number = () => 100,
  instances = 1,
): { clock: VirtualClock; client: Client; fakes: readonly FakeInstance[]; scheduler: DynamicScheduler } {
  const clock = new VirtualClock();
  const fakes = Array.from({ length: instances }, () => new FakeInstance(clock, micros));
  const scheduler = new DynamicScheduler(
    fakes.map(unlimited),
    clock,
    { executed: () => undefined },
    { ...DEFAULTS, ...options },
  );
  return { clock, client: new Client(scheduler, clock), fakes, scheduler };
}

const sizes = (fake: FakeInstance | undefined): readonly number[] => (fake?.batches ?? []).map((batch) => batch.length);

describe('dynamic batching', () => {
  test('without a delay what is there runs at once, together', () => {
    const { clock, client, fakes } = setUp({});
    client.send();
    client.send();
    clock.settle();
    assert.deepEqual(sizes(fakes[0]), [2]);
  });

  test('while an instance is busy requests pile up into the next batch', () => {
    const { clock, client, fakes } = setUp({});
    client.send();
    clock.settle();
    for (let index = 0; index < 11; index++) client.send();
    clock.advance(1000);
    assert.deepEqual(sizes(fakes[0]), [1, 8, 3]);
    assert.equal(client.order.length, 12);
  });

  test('a batch waits for the delay of its oldest request and no longer', () => {
    const { clock, client, fakes } = setUp({ maxQueueDelayMicros: 500 });
    const first = client.send();
    clock.advance(300);
    client.send();
    clock.advance(199);
    assert.deepEqual(sizes(fakes[0]), []);
    clock.advance(2);
    assert.deepEqual(sizes(fakes[0]), [2]);
    assert.equal(first.startedAt, 500 * NANOS_PER_MICRO);
  });

  test('a full batch does not wait', () => {
    const { clock, client, fakes } = setUp({ maxQueueDelayMicros: 500 });
    for (let index = 0; index < 8; index++) client.send();
    clock.settle();
    assert.deepEqual(sizes(fakes[0]), [8]);
  });

  test('a preferred size that is reached runs at once, and the rest goes on waiting', () => {
    const { clock, client, fakes } = setUp({ maxQueueDelayMicros: 500, preferredBatchSizes: [4] }, () => 10);
    for (let index = 0; index < 5; index++) client.send();
    clock.settle();
    assert.deepEqual(sizes(fakes[0]), [4]);
    clock.advance(400);
    assert.deepEqual(sizes(fakes[0]), [4]);
    clock.advance(200);
    assert.deepEqual(sizes(fakes[0]), [4, 1]);
  });

  test('the largest preferred size that fits is taken', () => {
    const { clock, client, fakes } = setUp({ maxQueueDelayMicros: 500, preferredBatchSizes: [2, 4, 8] });
    for (let index = 0; index < 7; index++) client.send();
    clock.settle();
    assert.deepEqual(fakes[0]?.batches[0]?.length, 4);
  });

  test('a batch that would pass the largest preferred size is closed before it', () => {
    const { clock, client, fakes } = setUp({ maxQueueDelayMicros: 500, preferredBatchSizes: [2, 6] });
    client.send(4);
    client.send(3);
    clock.settle();
    assert.deepEqual(fakes[0]?.batches, [[0]]);
    clock.advance(1000);
    assert.deepEqual(fakes[0]?.batches, [[0], [1]]);
  });

  test('requests of several rows never exceed the largest batch', () => {
    const { clock, client, fakes } = setUp({});
    for (const rows of [5, 4, 8, 1]) client.send(rows);
    clock.advance(1000);
    assert.deepEqual(fakes[0]?.batches, [[0], [1], [2], [3]]);
  });

  test('different shapes do not share a batch', () => {
    const { clock, client, fakes } = setUp({});
    for (const key of ['a', 'a', 'b', 'b', 'a']) client.send(1, key);
    clock.advance(1000);
    assert.deepEqual(fakes[0]?.batches, [[0, 1], [2, 3], [4]]);
  });

  test('idle instances take turns', () => {
    const { clock, client, fakes } = setUp({}, () => 10, 2);
    for (let index = 0; index < 4; index++) {
      client.send();
      clock.advance(100);
    }
    assert.deepEqual(
      fakes.map((fake) => fake.batches),
      [
        [[0], [2]],
        [[1], [3]],
      ],
    );
  });

  test('GPU instances go first, and the CPU takes what they cannot', () => {
    const clock = new VirtualClock();
    const fakes = [1, 0, 0].map(() => new FakeInstance(clock, () => 100));
    const instances = fakes.map((instance, index) => ({ ...unlimited(instance), rank: index === 0 ? 1 : 0 }));
    const hooks = { executed: () => undefined };
    const scheduler = new DynamicScheduler(instances, clock, hooks, { ...DEFAULTS, maxBatchSize: 1 });
    const client = new Client(scheduler, clock);
    for (let round = 0; round < 3; round++) {
      client.send();
      client.send();
      clock.advance(1000);
    }
    assert.deepEqual(
      fakes.map((fake) => fake.batches.length),
      [0, 3, 3],
      'two at once fit on the GPUs',
    );
    for (let index = 0; index < 3; index++) client.send();
    clock.advance(1000);
    assert.deepEqual(
      fakes.map((fake) => fake.batches.length),
      [1, 4, 4],
      'the third one spills to the CPU',
    );
  });

  test('a queue that is full answers at once', () => {
    const { clock, client } = setUp({ queue: limitedTo(2) });
    client.send();
    clock.settle();
    const queued = [client.send(), client.send(), client.send()];
    assert.match(queued[2]?.answer ?? '', /Exceeds maximum queue size/);
    assert.equal(queued[1]?.answer, undefined);
  });

  test('a cancelled request never starts', () => {
    const { clock, client } = setUp({});
    client.send();
    clock.settle();
    const gone = client.send();
    const stays = client.send();
    client.cancel(gone);
    clock.advance(1000);
    assert.match(gone.answer ?? '', /cancelled/);
    assert.equal(gone.startedAt, -1);
    assert.equal(stays.answer, '2');
  });

  test('preserve_ordering answers in order of arrival whichever instance is done first', () => {
    const slowFirst = (units: readonly ExecutionUnit[]): number => (units[0]?.requestId === '0' ? 500 : 10);
    const ordered = setUp({ preserveOrdering: true, maxBatchSize: 1 }, slowFirst, 2);
    const free = setUp({ maxBatchSize: 1 }, slowFirst, 2);
    for (const { client, clock } of [ordered, free]) {
      for (let index = 0; index < 3; index++) client.send();
      clock.advance(2000);
    }
    assert.deepEqual(ordered.client.order, [0, 1, 2]);
    assert.deepEqual(free.client.order, [1, 2, 0]);
  });

  test('the start threshold holds everything back until it is reached', () => {
    const { clock, client, fakes } = setUp({ startThreshold: 3 });
    client.send();
    client.send();
    clock.advance(1000);
    assert.deepEqual(sizes(fakes[0]), []);
    client.send();
    clock.advance(1000);
    assert.deepEqual(sizes(fakes[0]), [3]);
  });

  test('closing fails what waits', () => {
    const { clock, client, scheduler } = setUp({});
    client.send();
    clock.settle();
    const waiting = client.send();
    scheduler.close();
    assert.match(waiting.answer ?? '', /being unloaded/);
  });

  test('draining ends when the last request is answered', async () => {
    const { clock, client, scheduler } = setUp({});
    client.send();
    client.send();
    let drained = false;
    const draining = scheduler.drained().then(() => {
      drained = true;
    });
    await Promise.resolve();
    assert.ok(!drained);
    clock.advance(1000);
    await draining;
    assert.deepEqual(client.order, [0, 1]);
  });

  test('ten thousand requests to an instance that answers at once do not nest', () => {
    const { clock, client } = setUp({ maxBatchSize: 1 }, () => 0);
    for (let index = 0; index < 10_000; index++) client.send();
    clock.settle();
    assert.equal(client.order.length, 10_000);
  });
});

test('an instance that throws costs its batch and nothing else', () => {
  const clock = new VirtualClock();
  const fake = new FakeInstance(clock, (units) => {
    if (units[0]?.requestId === '0') throw new Error('out of memory');
    return 10;
  });
  const scheduler = new DynamicScheduler(
    [unlimited(fake)],
    clock,
    { executed: () => undefined },
    { ...DEFAULTS, maxBatchSize: 1 },
  );
  const client = new Client(scheduler, clock);
  for (let index = 0; index < 3; index++) client.send();
  clock.advance(1000);
  assert.deepEqual(
    client.sent.map((sent) => sent.answer),
    ['out of memory', '1', '2'],
  );
});

test('the direct scheduler runs every request alone, in order', () => {
  const clock = new VirtualClock();
  const fake = new FakeInstance(clock, () => 10);
  const client = new Client(new DirectScheduler([unlimited(fake)], clock, { executed: () => undefined }), clock);
  for (let index = 0; index < 3; index++) client.send();
  clock.advance(1000);
  assert.deepEqual(fake.batches, [[0], [1], [2]]);
  assert.deepEqual(client.order, [0, 1, 2]);
});

test('under random arrivals, sizes, shapes and cancels every request gets its own answer exactly once', () => {
  const step = fc.record({
    wait: fc.nat({ max: 200 }),
    rows: fc.integer({ min: 1, max: 8 }),
    key: fc.constantFrom(undefined, 'a', 'b'),
    cancel: fc.boolean(),
  });
  const options = fc.record({
    preferredBatchSizes: fc.subarray([2, 4, 8]),
    maxQueueDelayMicros: fc.constantFrom(0, 50, 500),
    preserveOrdering: fc.boolean(),
    queue: fc.constantFrom(PLAIN_QUEUE, limitedTo(3)),
  });
  fc.assert(
    fc.property(
      options,
      fc.integer({ min: 1, max: 3 }),
      fc.array(step, { maxLength: 40 }),
      (chosen, instances, steps) => {
        const { clock, client, fakes } = setUp(
          chosen,
          (units) => 20 + 31 * (Number(units[0]?.requestId ?? 0) % 5),
          instances,
        );
        for (const { wait, rows, key, cancel } of steps) {
          const sent = client.send(rows, key);
          if (cancel) client.cancel(sent);
          clock.advance(wait);
        }
        clock.advance(1_000_000);
        for (const [id, sent] of client.sent.entries()) {
          assert.notEqual(sent.answer, undefined, `request ${id} was lost`);
          const allowed =
            [String(id), 'unlucky'].includes(sent.answer ?? '') || /cancelled|maximum queue/.test(sent.answer ?? '');
          assert.ok(allowed, `request ${id} was answered with ${sent.answer}`);
        }
        for (const batch of fakes.flatMap((fake) => fake.batches)) {
          const rows = batch.reduce((sum, id) => sum + (client.sent[id]?.batchSize ?? 0), 0);
          assert.ok(rows <= 8);
          assert.equal(new Set(batch.map((id) => client.sent[id]?.batchKey)).size, 1);
        }
        if (chosen.preserveOrdering) {
          const ran = client.order.filter((id) => (client.sent[id]?.startedAt ?? -1) >= 0);
          assert.deepEqual(
            ran,
            [...ran].toSorted((a, b) => a - b),
          );
        }
      },
    ),
  );
});
