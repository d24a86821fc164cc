import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../core/index.ts';
import { ClientError } from '../client/index.ts';
import { ConcurrencyLoad, type LoadParts, ScheduledLoad } from './load.ts';
import { Recorder } from './recorder.ts';
import { SequenceSource } from './requests.ts';
import type { InferTransport, ReplySink } from './transport.ts';

/** A server within the test: each request is answered by a function of how many have come. */
class ScriptedTransport implements InferTransport {
  readonly answer: (sink: ReplySink, number: number) => void;
  number = 0;
  atOnce = 0;
  most = 0;
  readonly bodies: string[] = [];

  constructor(answer: (sink: ReplySink, number: number) => void) {
    this.answer = answer;
  }

  async open(): Promise<void> {}

  infer(_slot: number, request: readonly Uint8Array[], sink: ReplySink): void {
    this.bodies.push(Buffer.concat(request).toString());
    this.most = Math.max(this.most, ++this.atOnce);
    const counted: ReplySink = {
      began: () => sink.began(),
      response: (body) => sink.response(body),
      done: () => {
        this.atOnce--;
        sink.done();
      },
      failed: (error) => {
        this.atOnce--;
        sink.failed(error);
      },
    };
    this.answer(counted, this.number++);
  }

  close(): void {}
}

const BODY = Buffer.from('body');

function reply(sink: ReplySink): void {
  sink.began();
  sink.response(BODY);
  sink.done();
}

function parts(transport: InferTransport, source?: SequenceSource): LoadParts {
  const plain = { next: () => ({ parts: [BODY], steps: [], sequence: undefined }) };
  return { transport, source: source ?? plain, clock: systemClock, keep: true, validate: undefined };
}

describe('a load by concurrency', () => {
  test('keeps so many requests going, and stops when all are answered', async () => {
    const transport = new ScriptedTransport((sink) => setTimeout(reply, 1, sink));
    const recorder = new Recorder(false);
    const load = new ConcurrencyLoad(parts(transport), recorder);
    load.start(7);
    await sleep(60);
    await load.stop();
    assert.equal(transport.most, 7);
    assert.equal(transport.atOnce, 0);
    assert.equal(recorder.succeeded, transport.number);
    assert.ok(recorder.latency.percentile(50) >= 0.9e6);
  });

  test('sends no more than it was told to', async () => {
    const transport = new ScriptedTransport((sink) => setImmediate(reply, sink));
    const load = new ConcurrencyLoad(parts(transport), new Recorder(false));
    load.start(4, 10);
    await sleep(30);
    assert.equal(transport.number, 10);
    await load.stop();
  });

  test('counts failures by what failed, and keeps them out of the latencies', async () => {
    const transport = new ScriptedTransport((sink, number) =>
      setImmediate(() => (number % 2 === 0 ? reply(sink) : sink.failed(new ClientError('server', 'no', 500)))),
    );
    const recorder = new Recorder(true);
    const load = new ConcurrencyLoad(parts(transport), recorder);
    load.start(1, 10);
    await sleep(30);
    await load.stop();
    assert.equal(recorder.succeeded, 5);
    assert.equal(recorder.failed, 5);
    assert.deepEqual([...recorder.failures], [['server: no', 5]]);
    assert.equal(recorder.completions?.length, 10);
  });

  test('does not ask a server that is gone all the time', async () => {
    const transport = new ScriptedTransport((sink) =>
      setImmediate(() => sink.failed(new ClientError('connect', 'gone'))),
    );
    const load = new ConcurrencyLoad(parts(transport), new Recorder(false));
    load.start(1);
    await sleep(120);
    await load.stop();
    assert.ok(transport.number <= 4, `${transport.number} tries`);
  });
});

describe('a load by schedule', () => {
  test('sends at its times, whatever the answers do', async () => {
    const transport = new ScriptedTransport((sink) => setTimeout(reply, 50, sink));
    const recorder = new Recorder(true);
    const load = new ScheduledLoad(parts(transport), recorder, () => 2e6, 500);
    load.start(50);
    await sleep(250);
    await load.stop();
    const intended = recorder.completions?.map((each) => each.intended) ?? [];
    assert.equal(intended.length, 50);
    const first = intended[0] ?? 0;
    for (const [index, time] of intended.toSorted((a, b) => a - b).entries()) {
      assert.ok(Math.abs(time - first - index * 2e6) < 1, 'the intended times are those of the schedule');
    }
    assert.ok(transport.most > 5, 'requests do not wait for answers');
  });

  test('a server that stops for a while is seen in the latencies: no request is left out', async () => {
    let stalled = false;
    const held: ReplySink[] = [];
    const transport = new ScriptedTransport((sink) => {
      if (stalled) held.push(sink);
      else setImmediate(reply, sink);
    });
    const recorder = new Recorder(false);
    // One connection: a closed loop would have sent one request during the stop, and called all others fast.
    const load = new ScheduledLoad(parts(transport), recorder, () => 1e6, 1);
    load.start(200);
    await sleep(50);
    stalled = true;
    await sleep(100);
    stalled = false;
    for (const sink of held) reply(sink);
    await sleep(150);
    await load.stop();
    assert.equal(recorder.succeeded, 200);
    assert.ok(recorder.latency.percentile(75) > 15e6, 'half of the requests came into the stop');
    assert.ok(recorder.service.percentile(75) < 15e6, 'from the actual send, all but one look fast');
    assert.ok(recorder.late > 60);
  });
});

describe('sequences', () => {
  const options = { lengthGiven: true, variationPercent: 0, firstId: 5, endId: 9, count: 4 } as const;
  const steps = ['a', 'b', 'c'].map(
    (name) =>
      ({ inputs: [{ name, datatype: 'INT8', shape: [1], data: new Uint8Array(1) }], expected: new Map() }) as const,
  );
  const make = (length: number, lengthGiven: boolean): SequenceSource =>
    new SequenceSource(
      { streams: [steps], given: true },
      { encode: ([step], { sequence }) => [Buffer.from(`${step?.inputs[0]?.name} ${JSON.stringify(sequence)}`)] },
      { sequences: { ...options, length, lengthGiven }, batchSize: 1 },
      () => 0.5,
    );

  test('start, go through their stream and end; ids are used again when their range is over', () => {
    const source = make(20, false);
    const said = Array.from({ length: 7 }, () => source.next(0)).map(({ steps: [step], sequence }) => [
      step?.inputs[0]?.name,
      sequence,
    ]);
    assert.deepEqual(said.slice(0, 4), [
      ['a', { id: 5, start: true, end: false }],
      ['b', { id: 5, start: false, end: false }],
      ['c', { id: 5, start: false, end: true }],
      ['a', { id: 6, start: true, end: false }],
    ]);
    for (let more = 0; more < 5; more++) source.next(0);
    assert.equal(source.next(0).sequence?.id, 5);
  });

  test('of a given length go round their stream', () => {
    const source = make(4, true);
    const names = Array.from({ length: 4 }, () => source.next(0).steps[0]?.inputs[0]?.name);
    assert.deepEqual(names, ['a', 'b', 'c', 'a']);
  });

  test('are brought to their ends when the load stops', async () => {
    const transport = new ScriptedTransport((sink) => setTimeout(reply, 2, sink));
    const source = make(20, false);
    const load = new ConcurrencyLoad(parts(transport, source), new Recorder(false));
    load.start(3);
    await sleep(15);
    await load.stop();
    const ids = transport.bodies.map((body) => JSON.parse(body.slice(2)) as { id: number; end: boolean });
    const open = new Set<number>();
    for (const { id, end } of ids)
      if (end) open.delete(id);
      else open.add(id);
    assert.deepEqual([...open], []);
  });
});
