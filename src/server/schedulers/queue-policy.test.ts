import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Client, FakeInstance, type Sent, unlimited } from '../../../test/support/scheduling.ts';
import { VirtualClock } from '../../../test/support/virtual-clock.ts';
import { DynamicScheduler, PLAIN_QUEUE, type QueueOptions, type QueuePolicy, UNLIMITED } from './index.ts';

function setUp(
  queue: Partial<QueueOptions>,
  maxBatchSize = 1,
  preserveOrdering = false,
): { clock: VirtualClock; client: Client; fake: FakeInstance; scheduler: DynamicScheduler } {
  const clock = new VirtualClock();
  const fake = new FakeInstance(clock, () => 100);
  const scheduler = new DynamicScheduler(
    [unlimited(fake)],
    clock,
    { executed: () => undefined },
    {
      maxBatchSize,
      preferredBatchSizes: [],
      maxQueueDelayMicros: 0,
      preserveOrdering,
      queue: { ...PLAIN_QUEUE, ...queue },
      startThreshold: 0,
    },
  );
  return { clock, client: new Client(scheduler, clock), fake, scheduler };
}

const policy = (change: Partial<QueuePolicy>): QueuePolicy => ({ ...UNLIMITED, ...change });

/** The instance is busy with request 0; what follows waits. */
function busy(set: ReturnType<typeof setUp>): typeof set {
  set.client.send();
  set.clock.settle();
  return set;
}

const ran = ({ fake }: ReturnType<typeof setUp>): readonly number[] => fake.batches.flat();

describe('priority levels', () => {
  const levels = { levels: 3n, defaultLevel: 2n };
  const at = (set: ReturnType<typeof setUp>, priority: number | bigint): Sent =>
    set.client.send(1, undefined, { priority });

  test('a more urgent level goes first, equal ones in order of arrival', () => {
    const set = busy(setUp(levels));
    for (const priority of [3, 1, 2, 1]) at(set, priority);
    set.clock.advance(10_000);
    assert.deepEqual(ran(set), [0, 2, 4, 3, 1]);
  });

  test('no priority, and one out of range, is the default level', () => {
    const set = busy(setUp(levels));
    for (const priority of [3, 0, 9n, 1]) at(set, priority);
    set.clock.advance(10_000);
    assert.deepEqual(ran(set), [0, 4, 2, 3, 1]);
  });

  test('levels go up to 2^64-1', () => {
    const set = busy(setUp({ levels: 2n ** 64n - 1n, defaultLevel: 1n }));
    at(set, 2n ** 64n - 1n);
    at(set, 2n ** 63n);
    set.clock.advance(10_000);
    assert.deepEqual(ran(set), [0, 2, 1]);
  });

  test('a batch takes the urgent ones first and fills up with the others', () => {
    const set = busy(setUp(levels, 3));
    for (const priority of [3, 3, 1, 2]) at(set, priority);
    set.clock.advance(10_000);
    assert.deepEqual(set.fake.batches, [[0], [3, 4, 1], [2]]);
  });

  test('every level has its own policy', () => {
    const set = busy(
      setUp({ ...levels, policies: new Map([[3n, policy({ maxQueueSize: 1 })]]), defaultPolicy: UNLIMITED }),
    );
    const kept = at(set, 3);
    const refused = at(set, 3);
    const other = at(set, 1);
    assert.match(refused.answer ?? '', /Exceeds maximum queue size/);
    set.clock.advance(10_000);
    assert.deepEqual([kept.answer, other.answer], ['1', '3']);
  });
});

describe('timeouts in the queue', () => {
  test('REJECT answers when the time is up, although the instance is still busy', () => {
    const set = busy(setUp({ defaultPolicy: policy({ defaultTimeoutMicros: 30 }) }));
    const late = set.client.send();
    set.clock.advance(29);
    assert.equal(late.answer, undefined);
    set.clock.advance(2);
    assert.match(late.answer ?? '', /Request timeout expired/);
    assert.equal(late.startedAt, -1);
  });

  test('DELAY puts the request behind those that came later and are in time', () => {
    const set = busy(setUp({ defaultPolicy: policy({ defaultTimeoutMicros: 30, timeoutAction: 'delay' }) }));
    set.client.send();
    set.clock.advance(90);
    set.client.send();
    set.clock.advance(10_000);
    assert.deepEqual(ran(set), [0, 2, 1]);
  });

  test('a request may shorten its time, not lengthen it', () => {
    const set = busy(setUp({ defaultPolicy: policy({ defaultTimeoutMicros: 50, allowTimeoutOverride: true }) }));
    const short = set.client.send(1, undefined, { timeoutMicros: 10 });
    const long = set.client.send(1, undefined, { timeoutMicros: 90 });
    set.clock.advance(20);
    assert.match(short.answer ?? '', /timeout/);
    assert.equal(long.answer, undefined);
    set.clock.advance(40);
    assert.match(long.answer ?? '', /timeout/);
  });

  test("without allow_timeout_override the request's own time does not count", () => {
    const set = busy(setUp({ defaultPolicy: policy({ defaultTimeoutMicros: 200 }) }));
    const sent = set.client.send(1, undefined, { timeoutMicros: 10 });
    set.clock.advance(10_000);
    assert.equal(sent.answer, '1');
  });

  test('a request that left the queue in time is not timed out while it runs', () => {
    const set = setUp({ defaultPolicy: policy({ defaultTimeoutMicros: 50 }) });
    const sent = set.client.send();
    set.clock.advance(10_000);
    assert.equal(sent.answer, '0');
  });
});

test('a cancelled request frees its place in the queue at once', () => {
  const set = busy(setUp({ defaultPolicy: policy({ maxQueueSize: 1 }) }));
  const gone = set.client.send();
  set.client.cancel(gone);
  assert.match(gone.answer ?? '', /cancelled/);
  assert.equal(set.scheduler.pending, 0);
  const next = set.client.send();
  set.clock.advance(10_000);
  assert.equal(next.answer, '2');
});

test('under random priorities, timeouts, cancels and arrivals nothing is lost or answered twice', () => {
  const step = fc.record({
    wait: fc.nat({ max: 150 }),
    rows: fc.integer({ min: 1, max: 4 }),
    priority: fc.nat({ max: 4 }),
    timeoutMicros: fc.constantFrom(0, 5, 80),
    cancelLater: fc.boolean(),
  });
  const anyPolicy = fc.record({
    maxQueueSize: fc.constantFrom(0, 2),
    defaultTimeoutMicros: fc.constantFrom(0, 40, 300),
    allowTimeoutOverride: fc.boolean(),
    timeoutAction: fc.constantFrom('reject' as const, 'delay' as const),
  });
  fc.assert(
    fc.property(anyPolicy, anyPolicy, fc.array(step, { maxLength: 50 }), (defaultPolicy, second, steps) => {
      const { clock, client, fake, scheduler } = setUp(
        { levels: 3n, defaultLevel: 3n, defaultPolicy, policies: new Map([[2n, second]]) },
        4,
      );
      for (const { wait, rows, priority, timeoutMicros, cancelLater } of steps) {
        const sent = client.send(rows, undefined, { priority, timeoutMicros });
        clock.advance(wait);
        if (cancelLater) client.cancel(sent);
      }
      clock.advance(1_000_000);
      assert.equal(scheduler.pending, 0);
      const answered = client.sent.map((sent, id) => {
        assert.notEqual(sent.answer, undefined, `request ${id} was lost`);
        return sent.answer;
      });
      const executed = new Set(fake.batches.flat());
      answered.forEach((answer, id) => {
        const ok = answer === String(id) || answer === 'unlucky';
        assert.equal(ok, executed.has(id), `request ${id} was answered with ${answer}`);
      });
      assert.equal(executed.size, fake.batches.flat().length, 'a request ran twice');
    }),
  );
});
