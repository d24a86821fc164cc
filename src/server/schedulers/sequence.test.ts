import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SequenceClient, StepInstance } from '../../../test/support/sequences.ts';
import { VirtualClock } from '../../../test/support/virtual-clock.ts';
import { unlimited } from '../../../test/support/scheduling.ts';
import { silentLogger } from '../../core/index.ts';
import { type SequenceControls, type SequenceOptions, SequenceScheduler, type StateSpec } from './index.ts';

const flag = (kind: 'start' | 'ready' | 'end', name: string): SequenceControls['flags'][number] => ({
  kind,
  name,
  datatype: 'INT32',
  whenFalse: new Uint8Array(Int32Array.of(0).buffer),
  whenTrue: new Uint8Array(Int32Array.of(1).buffer),
});

const CONTROLS: SequenceControls = {
  flags: [flag('start', 'START'), flag('ready', 'READY'), flag('end', 'END')],
  id: { name: 'CORRID', datatype: 'UINT64' },
};

/** A sum that the scheduler keeps: the instance adds each request's value to it. */
const SUM: StateSpec = {
  inputName: 'SUM_IN',
  outputName: 'SUM_OUT',
  initial: { name: 'SUM_IN', datatype: 'INT32', shape: [1, 1], data: new Uint8Array(Int32Array.of(100).buffer) },
};

const DIRECT = { kind: 'direct', maxQueueDelayMicros: 0, minimumSlotUtilization: 0 } as const;
const OLDEST = {
  kind: 'oldest',
  maxCandidateSequences: 4,
  preferredBatchSizes: [],
  maxQueueDelayMicros: 0,
  preserveOrdering: false,
} as const;

interface SetUp {
  readonly clock: VirtualClock;
  readonly scheduler: SequenceScheduler;
  readonly client: SequenceClient;
  readonly instances: readonly StepInstance[];
}

function setUp(change: Partial<SequenceOptions> = {}, count = 1, micros = 100): SetUp {
  const clock = new VirtualClock();
  const instances = Array.from({ length: count }, () => new StepInstance(clock, micros));
  const scheduler = new SequenceScheduler(
    instances.map(unlimited),
    clock,
    { executed: () => undefined },
    {
      model: 'm',
      maxBatchSize: 4,
      strategy: DIRECT,
      maxSequenceIdleMicros: 1_000_000,
      iterative: false,
      controls: CONTROLS,
      states: [],
      startThreshold: 0,
      backlogThreshold: 0,
      logger: silentLogger,
      ...change,
    },
  );
  return { clock, scheduler, client: new SequenceClient(scheduler, clock), instances };
}

describe('what a sequence needs', () => {
  test('an id, a start, and one row a request', () => {
    const { client } = setUp();
    assert.match(
      client.send(0n, { start: true }).answer ?? '',
      /inference request to model 'm' must specify a non-zero or non-empty correlation ID/,
    );
    assert.match(
      client.send(7n).answer ?? '',
      /inference request for sequence 7 to model 'm' must specify the START flag on the first request of the sequence/,
    );
    assert.match(
      client.send(7n, { start: true, rows: 2 }).answer ?? '',
      /must specify batch-size 1 due to requirements of sequence batcher/,
    );
  });

  test('an id of the type that the model takes', () => {
    const { client } = setUp();
    assert.match(client.send('text', { start: true }).answer ?? '', /correlation ID in request is not an unsigned int/);
    const texts = setUp({ controls: { ...CONTROLS, id: { name: 'CORRID', datatype: 'BYTES' } } });
    assert.match(texts.client.send(1n, { start: true }).answer ?? '', /correlation ID in request is not a string/);
    const sent = texts.client.send('text', { start: true });
    texts.clock.advance(1000);
    assert.equal(sent.answer, '1');
  });

  test('after its end an id starts anew, and the number 5 and the text 5 are two sequences', () => {
    const { client, clock, scheduler } = setUp({ controls: { flags: CONTROLS.flags, id: undefined } });
    client.send(5n, { start: true });
    client.send('5', { start: true });
    client.send(5n, { end: true });
    assert.match(client.send(5n).answer ?? '', /START flag/);
    clock.advance(1000);
    assert.deepEqual(scheduler.sequences, { active: 1, backlog: 0 });
  });
});

describe('the direct strategy', () => {
  test('a sequence keeps its row, and a row without a request is executed with READY off', () => {
    const { client, clock, instances } = setUp();
    client.send(1n, { start: true, value: 1 });
    client.send(2n, { start: true, value: 2 });
    client.send(3n, { start: true, value: 3 });
    clock.advance(500);
    client.send(3n, { value: 30, end: true });
    client.send(1n, { value: 10 });
    clock.advance(500);
    const [first, second] = [instances[0]?.batches[1], instances[0]?.batches.at(-1)];
    assert.deepEqual(
      first?.map((row) => [row.id, row.start, row.ready, row.value]),
      [
        [0, 0, 0, 0],
        [2, 1, 1, 2],
        [3, 1, 1, 3],
      ],
    );
    assert.deepEqual(
      second?.map((row) => [row.id, row.ready, row.end, row.value]),
      [[1, 1, 0, 10]],
    );
  });

  test('controls say start and end of every sequence', () => {
    const { client, clock, instances } = setUp();
    client.send(1n, { start: true });
    client.send(1n);
    client.send(1n, { end: true });
    client.send(2n, { start: true, end: true });
    clock.advance(5000);
    const rows = instances[0]?.batches.flat().filter((row) => row.ready === 1) ?? [];
    assert.deepEqual(
      rows.filter((row) => row.id === 1).map((row) => [row.start, row.end]),
      [
        [1, 0],
        [0, 0],
        [0, 1],
      ],
    );
    assert.deepEqual(
      rows.filter((row) => row.id === 2).map((row) => [row.start, row.end]),
      [[1, 1]],
    );
  });

  test('more sequences than slots wait in order, and take the slots that become free', () => {
    const { client, clock, scheduler, instances } = setUp({ maxBatchSize: 0 }, 2);
    for (const id of [1n, 2n, 3n, 4n]) client.send(id, { start: true });
    assert.deepEqual(scheduler.sequences, { active: 2, backlog: 2 });
    assert.equal(scheduler.pending, 2);
    clock.advance(1000);
    assert.equal(instances.flatMap((instance) => instance.batches).length, 2);
    client.send(2n, { end: true });
    clock.advance(1000);
    assert.deepEqual(
      instances[1]?.batches.flat().map((row) => row.id),
      [2, 2, 3],
    );
    assert.deepEqual(scheduler.sequences, { active: 2, backlog: 1 });
  });

  test('the same id in slot and backlog are two sequences, one after the other', () => {
    const { client, clock, instances } = setUp({ maxBatchSize: 0 });
    client.send(1n, { start: true, end: true, value: 1 });
    client.send(1n, { start: true, value: 2 });
    client.send(1n, { end: true, value: 3 });
    clock.advance(5000);
    assert.deepEqual(
      instances[0]?.batches.flat().map((row) => [row.value, row.start, row.end]),
      [
        [1, 1, 1],
        [2, 1, 0],
        [3, 0, 1],
      ],
    );
  });

  test('a start in the middle of a sequence begins it again in its slot', () => {
    const { client, clock, scheduler, instances } = setUp({ states: [SUM] });
    client.send(1n, { start: true, value: 1 });
    clock.advance(500);
    client.send(1n, { start: true, value: 5 });
    clock.advance(500);
    assert.deepEqual(
      instances[0]?.batches.flat().map((row) => row.sum),
      [101, 105],
    );
    assert.deepEqual(scheduler.sequences, { active: 1, backlog: 0 });
  });

  test('max_queue_delay waits for minimum_slot_utilization', () => {
    const strategy = { kind: 'direct', maxQueueDelayMicros: 3000, minimumSlotUtilization: 0.5 } as const;
    const { client, clock, instances } = setUp({ strategy });
    client.send(1n, { start: true });
    clock.advance(1000);
    assert.equal(instances[0]?.batches.length, 0);
    client.send(2n, { start: true });
    assert.equal(instances[0]?.batches.length, 1, 'half of the slots are filled');
    clock.advance(500);
    client.send(1n);
    clock.advance(2900);
    assert.equal(instances[0]?.batches.length, 1);
    clock.advance(200);
    assert.equal(instances[0]?.batches.length, 2, 'the delay is over');
  });

  test('requests of other shapes wait for the next batch', () => {
    const { client, clock, instances } = setUp({ startThreshold: 3 });
    client.send(1n, { start: true, shape: 'a' });
    client.send(2n, { start: true, shape: 'b' });
    client.send(3n, { start: true, shape: 'a' });
    clock.advance(5000);
    assert.deepEqual(
      instances[0]?.batches.map((batch) => batch.map((row) => row.id)),
      [
        [1, 0, 3],
        [0, 2],
      ],
    );
  });
});

describe('the oldest strategy', () => {
  test('the next requests of several sequences share a batch, one of each', () => {
    const { client, clock, instances } = setUp({ strategy: OLDEST });
    for (const id of [1n, 2n, 3n]) {
      client.send(id, { start: true });
      client.send(id, { end: true });
    }
    clock.advance(5000);
    assert.deepEqual(
      instances[0]?.batches.map((batch) => batch.map((row) => row.id)),
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
    );
  });

  test('beyond max_candidate_sequences they wait', () => {
    const { client, clock, scheduler, instances } = setUp({ strategy: { ...OLDEST, maxCandidateSequences: 2 } });
    for (const id of [1n, 2n, 3n]) client.send(id, { start: true });
    clock.advance(1000);
    assert.deepEqual(scheduler.sequences, { active: 2, backlog: 1 });
    client.send(1n, { end: true });
    clock.advance(1000);
    assert.deepEqual(
      instances[0]?.batches.flat().map((row) => row.id),
      [1, 2, 1, 3],
    );
  });

  test('sequences spread over the instances', () => {
    const { client, clock, instances } = setUp({ strategy: OLDEST }, 2);
    for (const id of [1n, 2n, 3n, 4n]) client.send(id, { start: true });
    clock.advance(1000);
    assert.deepEqual(
      instances.map((instance) => instance.batches.flat().length),
      [2, 2],
    );
  });
});

describe('implicit state', () => {
  for (const strategy of [DIRECT, OLDEST]) {
    test(`${strategy.kind}: what a request puts out the next one takes in, and a new sequence starts afresh`, () => {
      const { client, clock, instances } = setUp({ strategy, states: [SUM] });
      client.send(1n, { start: true, value: 1 });
      client.send(2n, { start: true, value: 10 });
      client.send(1n, { value: 2 });
      client.send(2n, { value: 20, end: true });
      client.send(1n, { value: 3, end: true });
      clock.advance(10_000);
      const sums = (id: number): number[] =>
        instances[0]?.batches.flat().flatMap((row) => (row.id === id ? [row.sum] : [])) ?? [];
      assert.deepEqual(sums(1), [101, 103, 106]);
      assert.deepEqual(sums(2), [110, 130]);
      client.send(1n, { start: true, value: 7 });
      clock.advance(1000);
      assert.deepEqual(sums(1), [101, 103, 106, 107]);
      assert.ok(
        client.sent.every((sent) => !sent.outputNames.includes('SUM_OUT')),
        'a client saw the state',
      );
    });
  }

  test('a failed request leaves the state as it was', () => {
    const { client, clock, instances } = setUp({ states: [SUM] });
    client.send(1n, { start: true, value: 1 });
    const failing = client.send(1n, { value: -1 });
    client.send(1n, { value: 2 });
    clock.advance(5000);
    assert.match(failing.answer ?? '', /unlucky/);
    assert.equal(instances[0]?.batches.flat().at(-1)?.sum, 103);
  });
});

describe('sequences that nobody continues', () => {
  test('an idle sequence gives its slot to the backlog and its id back', () => {
    const { client, clock, scheduler, instances } = setUp({ maxBatchSize: 0, maxSequenceIdleMicros: 5000 });
    client.send(1n, { start: true });
    const waiting = client.send(2n, { start: true });
    clock.advance(5000);
    assert.equal(waiting.answer, undefined);
    clock.advance(500);
    assert.equal(waiting.answer, '1');
    assert.match(client.send(1n).answer ?? '', /START flag/);
    clock.advance(10_000);
    assert.deepEqual(scheduler.sequences, { active: 0, backlog: 0 });
    assert.deepEqual(
      instances[0]?.batches.flat().map((row) => row.id),
      [1, 2],
    );
  });

  test('a request in time keeps it alive, and waiting for a busy instance is not idling', () => {
    const { client, clock, scheduler } = setUp({ maxBatchSize: 0, maxSequenceIdleMicros: 300 }, 1, 1000);
    client.send(1n, { start: true });
    clock.advance(1200);
    client.send(1n);
    clock.advance(1200);
    assert.deepEqual(scheduler.sequences, { active: 1, backlog: 0 });
    clock.advance(400);
    assert.deepEqual(scheduler.sequences, { active: 0, backlog: 0 });
  });

  test('a cancelled request ends its sequence, in a slot and in the backlog', () => {
    for (const strategy of [DIRECT, { ...OLDEST, maxCandidateSequences: 1 }]) {
      const { client, clock, scheduler } = setUp({ strategy, maxBatchSize: 0 });
      client.send(1n, { start: true });
      clock.settle();
      const inSlot = client.send(1n);
      const behind = client.send(1n);
      const inBacklog = client.send(2n, { start: true });
      client.cancel(inBacklog);
      client.cancel(inSlot);
      for (const sent of [inSlot, behind, inBacklog]) assert.match(sent.answer ?? '', /cancelled/);
      clock.advance(1000);
      assert.deepEqual(scheduler.sequences, { active: 0, backlog: 0 });
      assert.match(client.send(1n).answer ?? '', /START flag/);
    }
  });
});

test('an iterative sequence takes as many steps as the backend asks for, and keeps its state', () => {
  const { client, clock, scheduler, instances } = setUp({ iterative: true, states: [SUM] });
  const [instance] = instances;
  if (instance) instance.steps = 3;
  const a = client.send(undefined, { value: 1 });
  const b = client.send(undefined, { value: 2 });
  clock.advance(10_000);
  assert.deepEqual([a.answer, b.answer], ['1', '2']);
  const rows = instance?.batches.flat().filter((row) => row.value === 2 && row.ready === 1);
  assert.deepEqual(
    rows?.map((row) => [row.start, row.sum]),
    [
      [1, 102],
      [0, 104],
      [0, 106],
    ],
  );
  assert.deepEqual(scheduler.sequences, { active: 0, backlog: 0 });
});

test('the thresholds hold everything back until slots and backlog are filled', () => {
  const { client, clock, instances } = setUp({ maxBatchSize: 0, startThreshold: 2, backlogThreshold: 1 });
  client.send(1n, { start: true });
  client.send(1n);
  clock.advance(1000);
  assert.equal(instances[0]?.batches.length, 0);
  client.send(2n, { start: true });
  clock.advance(1000);
  assert.equal(instances[0]?.batches.length, 2);
});

test('draining ends when everything accepted is answered, whatever sequences are still open', async () => {
  const { client, clock, scheduler } = setUp();
  const sent = client.send(1n, { start: true });
  let drained = false;
  const draining = scheduler.drained().then(() => (drained = true));
  await Promise.resolve();
  assert.ok(!drained);
  clock.advance(1000);
  await draining;
  assert.equal(sent.answer, '0');
});

test('under random sequences, cancels, failures and idling every request has one answer and every sum is right', () => {
  const step = fc.record({
    id: fc.bigInt({ min: 1n, max: 6n }),
    start: fc.boolean(),
    end: fc.boolean(),
    value: fc.integer({ min: -1, max: 9 }),
    wait: fc.constantFrom(0, 0, 20, 150, 5000),
    cancel: fc.integer({ min: 0, max: 9 }),
  });
  const options = fc.record({
    strategy: fc.constantFrom(DIRECT, OLDEST, { ...DIRECT, maxQueueDelayMicros: 200, minimumSlotUtilization: 1 }),
    maxBatchSize: fc.constantFrom(0, 2, 4),
  });
  fc.assert(
    fc.property(options, fc.integer({ min: 1, max: 2 }), fc.array(step, { maxLength: 60 }), (chosen, count, steps) => {
      const { client, clock, scheduler, instances } = setUp(
        { ...chosen, states: [SUM], maxSequenceIdleMicros: 3000 },
        count,
      );
      for (const { id, start, end, value, wait, cancel } of steps) {
        const sent = client.send(id, { start, end, value });
        if (cancel === 0) client.cancel(sent);
        clock.advance(wait);
      }
      clock.advance(1_000_000);
      assert.deepEqual(scheduler.sequences, { active: 0, backlog: 0 }, 'a slot leaked');
      assert.equal(scheduler.pending, 0);
      client.sent.forEach((sent, index) => assert.notEqual(sent.answer, undefined, `request ${index} was lost`));
      for (const instance of instances) {
        // After its end an id may begin again in another slot: what its sequences came to so far are all candidates.
        const sums = new Map<number, Set<number>>();
        for (const row of instance.batches.flat()) {
          if (row.ready === 0) continue;
          const known = sums.get(row.id) ?? new Set();
          sums.set(row.id, known);
          if (row.start === 1) known.add(100);
          if (row.value < 0) continue;
          if (row.start === 1) assert.equal(row.sum, 100 + row.value);
          assert.ok(known.has(row.sum - row.value), `sequence ${row.id}: ${row.sum} after ${[...known].join()}`);
          known.add(row.sum);
        }
      }
    }),
  );
});
