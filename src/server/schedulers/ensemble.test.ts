import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../../test/support/virtual-clock.ts';
import { NANOS_PER_MICRO, ServerError } from '../../core/index.ts';
import type { InferenceOutcome, InferenceRequest } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import {
  type EnsembleConfig,
  EnsembleScheduler,
  planEnsemble,
  type ScheduledRequest,
  type StepConfig,
  type StepModel,
} from './index.ts';

const text = (name: string, value: string): Tensor => ({
  name,
  datatype: 'BYTES',
  shape: [1],
  data: Buffer.from(value),
});
const textOf = (tensor: Tensor | undefined): string => Buffer.from(tensor?.data ?? []).toString();

/** A model of the test: from the texts of its inputs to its responses, each the texts of its outputs. */
interface FakeModel {
  readonly micros?: number;
  readonly decoupled?: boolean;
  readonly answer: (inputs: Readonly<Record<string, string>>) => readonly Readonly<Record<string, string>>[];
}

interface StepLog {
  readonly model: string;
  readonly startedAt: number;
}

const step = (
  model: string,
  inputs: Readonly<Record<string, string>>,
  outputs: Readonly<Record<string, string>>,
): StepConfig => ({
  model,
  version: '',
  inputs: new Map(Object.entries(inputs)),
  outputs: new Map(Object.entries(outputs)),
});

class Fixture {
  readonly clock = new VirtualClock();
  readonly log: StepLog[] = [];
  readonly cancelled: string[] = [];
  readonly requests: InferenceRequest[] = [];
  holds = 0;
  readonly executed: number[] = [];
  readonly scheduler: EnsembleScheduler;
  private readonly models: Readonly<Record<string, FakeModel>>;

  constructor(
    models: Readonly<Record<string, FakeModel>>,
    steps: readonly StepConfig[],
    change: Partial<EnsembleConfig> = {},
  ) {
    this.models = models;
    const plan = planEnsemble(
      {
        name: 'ens',
        batching: false,
        steps,
        inputs: ['IN'],
        outputs: new Map([['OUT', [1]]]),
        maxInflightRequests: 0,
        ...change,
      },
      ({ model }) => models[model]?.decoupled ?? false,
    );
    this.scheduler = new EnsembleScheduler(plan, ({ model }) => this.model(model), this.clock, {
      executed: ({ report }) => this.executed.push(report.computeInferNs),
    });
  }

  private model(name: string): StepModel {
    const model = this.models[name];
    if (!model) throw new ServerError('NOT_FOUND', `Request for unknown model: '${name}' is not found`);
    return {
      batching: false,
      inputDims: () => undefined,
      infer: (request, sink, executed) => {
        this.log.push({ model: name, startedAt: this.clock.now() / NANOS_PER_MICRO });
        this.requests.push(request);
        let gone = false;
        const run = (): void => {
          if (gone) return;
          try {
            this.respond(model, request, sink);
          } catch (error) {
            sink({ kind: 'error', error: error as ServerError, final: true });
          }
          executed({ computeInputNs: 0, computeInferNs: 10, computeOutputNs: 0 });
        };
        if (model.micros === 0) run();
        else this.clock.after((model.micros ?? 100) * NANOS_PER_MICRO, run);
        return () => {
          gone = true;
          this.cancelled.push(name);
        };
      },
    };
  }

  private respond(model: FakeModel, request: InferenceRequest, sink: (outcome: InferenceOutcome) => void): void {
    const inputs = Object.fromEntries(request.inputs.map((input) => [input.name, textOf(input)]));
    for (const outputs of model.answer(inputs)) {
      sink({
        kind: 'response',
        final: !model.decoupled,
        response: {
          modelName: '',
          modelVersion: '1',
          id: request.id,
          outputs: Object.entries(outputs).map(([name, value]) => text(name, value)),
          parameters: {},
          hold: () => {
            this.holds++;
            return () => this.holds--;
          },
        },
      });
    }
    if (model.decoupled) sink({ kind: 'empty-final' });
  }

  send(inputs: Readonly<Record<string, string>>, wanted?: readonly string[]): Answers {
    const answers: Answers = { responses: [], end: undefined, request: undefined };
    const end = (kind: string): void => {
      assert.equal(answers.end, undefined, 'ended twice');
      answers.end = kind;
    };
    const request: ScheduledRequest = {
      requestId: 'id7',
      parameters: { color: 'red' },
      inputs: Object.entries(inputs).map(([name, value]) => text(name, value)),
      batchSize: 1,
      outputs: wanted ? new Set(wanted) : undefined,
      enqueuedAt: this.clock.now(),
      batchKey: undefined,
      priority: 2,
      timeoutMicros: 5,
      traceparent: undefined,
      sequence: { id: 9n, start: true, end: false },
      trace: undefined,
      cancelled: false,
      started() {},
      respond(outputs, final, hold) {
        assert.equal(answers.end, undefined, 'a response after the end');
        const release = hold?.();
        answers.responses.push(Object.fromEntries(outputs.map((output) => [output.name, textOf(output)])));
        if (final) end('final');
        release?.();
      },
      finish: () => end('empty'),
      fail: (error) => end(error.message),
      reschedule: () => assert.fail(),
    };
    answers.request = request;
    this.scheduler.enqueue(request);
    return answers;
  }
}

interface Answers {
  readonly responses: Readonly<Record<string, string>>[];
  end: string | undefined;
  request: ScheduledRequest | undefined;
}

const suffix = (letter: string, micros = 100): FakeModel => ({ micros, answer: ({ X = '' }) => [{ Y: X + letter }] });
const chain = [step('a', { X: 'IN' }, { Y: 'm' }), step('b', { X: 'm' }, { Y: 'OUT' })];

describe('an ensemble', () => {
  test('passes tensors from step to step, with id, parameters, priority, timeout and sequence', () => {
    const fixture = new Fixture({ a: suffix('a'), b: suffix('b') }, chain);
    const answers = fixture.send({ IN: 'x' });
    fixture.clock.advance(1000);
    assert.deepEqual(answers.responses, [{ OUT: 'xab' }]);
    assert.equal(answers.end, 'final');
    assert.deepEqual(fixture.executed, [20], "the steps' times add up");
    for (const { id, parameters, priority, timeoutMicros, sequence } of fixture.requests) {
      assert.deepEqual(
        [id, parameters, priority, timeoutMicros, sequence],
        ['id7', { color: 'red' }, 2, 5, { id: 9n, start: true, end: false }],
      );
    }
  });

  test('runs what does not depend on each other at the same time', () => {
    const join: FakeModel = { answer: ({ L = '', R = '' }) => [{ Y: `${L}+${R}` }] };
    const fixture = new Fixture({ a: suffix('a', 100), b: suffix('b', 300), join }, [
      step('join', { L: 'l', R: 'r' }, { Y: 'OUT' }),
      step('a', { X: 'IN' }, { Y: 'l' }),
      step('b', { X: 'IN' }, { Y: 'r' }),
    ]);
    const answers = fixture.send({ IN: 'x' });
    fixture.clock.advance(1000);
    assert.deepEqual(answers.responses, [{ OUT: 'xa+xb' }]);
    assert.deepEqual(
      fixture.log.map(({ model, startedAt }) => [model, startedAt]),
      [
        ['a', 0],
        ['b', 0],
        ['join', 300],
      ],
    );
  });

  test('steps that answer at once do not run twice', () => {
    const fixture = new Fixture({ a: suffix('a', 0), b: suffix('b', 0) }, chain);
    const answers = fixture.send({ IN: 'x' });
    assert.deepEqual(answers.responses, [{ OUT: 'xab' }]);
    assert.equal(fixture.log.length, 2);
  });

  test('leaves out steps whose outputs nobody asked for', () => {
    const fixture = new Fixture(
      { a: suffix('a'), b: suffix('b'), c: suffix('c') },
      [step('a', { X: 'IN' }, { Y: 'm' }), step('b', { X: 'm' }, { Y: 'OUT' }), step('c', { X: 'm' }, { Y: 'OUT2' })],
      {
        outputs: new Map([
          ['OUT', [1]],
          ['OUT2', [1]],
        ]),
      },
    );
    const answers = fixture.send({ IN: 'x' }, ['OUT2']);
    fixture.clock.advance(1000);
    assert.deepEqual(answers.responses, [{ OUT2: 'xac' }]);
    assert.deepEqual(
      fixture.log.map(({ model }) => model),
      ['a', 'c'],
    );
  });

  test('an optional input that is not sent is not passed on', () => {
    const both: FakeModel = { answer: ({ X = '', O = 'none' }) => [{ Y: X + O }] };
    const fixture = new Fixture({ both }, [step('both', { X: 'IN', O: 'MAYBE' }, { Y: 'OUT' })], {
      inputs: ['IN', 'MAYBE'],
    });
    const without = fixture.send({ IN: 'x' });
    const given = fixture.send({ IN: 'x', MAYBE: 'y' });
    fixture.clock.advance(1000);
    assert.deepEqual([without.responses, given.responses], [[{ OUT: 'xnone' }], [{ OUT: 'xy' }]]);
  });

  test('a failing step is named, and nothing runs after it', () => {
    const bad: FakeModel = {
      answer: () => {
        throw new ServerError('INVALID_ARG', 'the input is odd');
      },
    };
    const fixture = new Fixture({ bad, b: suffix('b'), slow: suffix('s', 900) }, [
      step('bad', { X: 'IN' }, { Y: 'm' }),
      step('slow', { X: 'IN' }, { Y: 'n' }),
      step('b', { X: 'm', Z: 'n' }, { Y: 'OUT' }),
    ]);
    const answers = fixture.send({ IN: 'x' });
    fixture.clock.advance(5000);
    assert.equal(answers.end, "in ensemble 'ens', the input is odd (in the step of model 'bad')");
    assert.deepEqual(fixture.cancelled, ['slow']);
    assert.equal(fixture.executed.length, 0);
  });

  test('a step whose model is gone fails the request', () => {
    const fixture = new Fixture({ a: suffix('a') }, chain);
    const answers = fixture.send({ IN: 'x' });
    fixture.clock.advance(1000);
    assert.match(answers.end ?? '', /in ensemble 'ens', Request for unknown model: 'b' is not found$/);
  });

  test('an output that does not come about is an error, not a hang', () => {
    const fixture = new Fixture({ a: { answer: () => [{ OTHER: 'x' }] }, b: suffix('b') }, chain);
    const answers = fixture.send({ IN: 'x' });
    fixture.clock.advance(1000);
    assert.match(answers.end ?? '', /unexpected deadlock, at least one output is not set/);
  });

  test('a client that goes away stops the steps', () => {
    const fixture = new Fixture({ a: suffix('a'), b: suffix('b') }, chain);
    const answers = fixture.send({ IN: 'x' });
    fixture.clock.advance(50);
    if (answers.request) fixture.scheduler.cancel(answers.request);
    fixture.clock.advance(1000);
    assert.match(answers.end ?? '', /cancelled/);
    assert.deepEqual([fixture.cancelled, fixture.log.length], [['a'], 1]);
  });

  test("gives the steps' buffers back when the answer has been read", () => {
    const fixture = new Fixture({ a: suffix('a'), b: suffix('b') }, chain);
    for (let index = 0; index < 5; index++) fixture.send({ IN: 'x' });
    fixture.clock.advance(1000);
    assert.equal(fixture.holds, 0);
  });

  test('draining waits for the runs', async () => {
    const fixture = new Fixture({ a: suffix('a'), b: suffix('b') }, chain);
    fixture.send({ IN: 'x' });
    let drained = false;
    const draining = fixture.scheduler.drained().then(() => (drained = true));
    await Promise.resolve();
    assert.ok(!drained);
    fixture.clock.advance(1000);
    await draining;
  });
});

describe('decoupled steps', () => {
  const split: FakeModel = { decoupled: true, answer: ({ X = '' }) => X.split('').map((letter) => ({ Y: letter })) };

  test('what follows runs for every response, and the ensemble answers as often', () => {
    const fixture = new Fixture({ split, b: suffix('!') }, [
      step('split', { X: 'IN' }, { Y: 'm' }),
      step('b', { X: 'm' }, { Y: 'OUT' }),
    ]);
    const answers = fixture.send({ IN: 'abc' });
    fixture.clock.advance(1000);
    assert.deepEqual(answers.responses, [{ OUT: 'a!' }, { OUT: 'b!' }, { OUT: 'c!' }]);
    assert.equal(answers.end, 'empty');
    assert.equal(fixture.holds, 0);
  });

  test('no response at all ends the request empty', () => {
    const fixture = new Fixture({ split, b: suffix('!') }, [
      step('split', { X: 'IN' }, { Y: 'm' }),
      step('b', { X: 'm' }, { Y: 'OUT' }),
    ]);
    const answers = fixture.send({ IN: '' });
    fixture.clock.advance(1000);
    assert.deepEqual([answers.responses, answers.end], [[], 'empty']);
  });

  test('every response meets the tensors that came about once, however late those are', () => {
    const join: FakeModel = { answer: ({ L = '', R = '' }) => [{ Y: L + R }] };
    const fixture = new Fixture({ split, late: suffix('L', 700), join }, [
      step('split', { X: 'IN' }, { Y: 'm' }),
      step('late', { X: 'IN' }, { Y: 'n' }),
      step('join', { L: 'm', R: 'n' }, { Y: 'OUT' }),
    ]);
    const answers = fixture.send({ IN: 'ab' });
    fixture.clock.advance(2000);
    assert.deepEqual(answers.responses, [{ OUT: 'aabL' }, { OUT: 'babL' }]);
    assert.equal(fixture.log.filter(({ model }) => model === 'late').length, 1);
  });

  test('one decoupled step after another multiplies', () => {
    const twice: FakeModel = { decoupled: true, answer: ({ X = '' }) => [{ Y: `${X}1` }, { Y: `${X}2` }] };
    const fixture = new Fixture({ split, twice }, [
      step('split', { X: 'IN' }, { Y: 'm' }),
      step('twice', { X: 'm' }, { Y: 'OUT' }),
    ]);
    const answers = fixture.send({ IN: 'ab' });
    fixture.clock.advance(2000);
    assert.deepEqual(
      answers.responses.map((response) => response['OUT']).toSorted((a = '', b = '') => a.localeCompare(b)),
      ['a1', 'a2', 'b1', 'b2'],
    );
  });

  test('max_inflight_requests bounds how many run in a step at once', () => {
    const fixture = new Fixture(
      { split, b: suffix('!') },
      [step('split', { X: 'IN' }, { Y: 'm' }), step('b', { X: 'm' }, { Y: 'OUT' })],
      { maxInflightRequests: 2 },
    );
    const answers = fixture.send({ IN: 'abcde' });
    fixture.clock.advance(150);
    assert.equal(fixture.log.filter(({ model }) => model === 'b').length, 2);
    fixture.clock.advance(5000);
    assert.equal(answers.responses.length, 5);
    assert.equal(answers.end, 'empty');
  });

  test('a step cannot be fed by two of them', () => {
    assert.throws(
      () =>
        new Fixture({ split, other: split, join: suffix('') }, [
          step('split', { X: 'IN' }, { Y: 'm' }),
          step('other', { X: 'IN' }, { Y: 'n' }),
          step('join', { L: 'm', R: 'n' }, { Y: 'OUT' }),
        ]),
      /step of model 'join' receives inputs originated from different decoupled models/,
    );
  });
});

test('a cycle of tensors is refused', () => {
  assert.throws(
    () =>
      new Fixture({ a: suffix('a'), b: suffix('b') }, [
        step('a', { X: 'n' }, { Y: 'm' }),
        step('b', { X: 'm' }, { Y: 'n' }),
      ]),
    /ensemble 'ens' has a cycle: step 0 \('a'\) waits for its own output/,
  );
});

test('random graphs of random speed compute what the graph says, for every request its own', () => {
  const node = fc.record({
    inputs: fc.array(fc.nat({ max: 100 }), { minLength: 1, maxLength: 3 }),
    micros: fc.nat({ max: 90 }),
  });
  fc.assert(
    fc.property(fc.array(node, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 4 }), (nodes, requests) => {
      const steps: StepConfig[] = [];
      const models: Record<string, FakeModel> = {};
      nodes.forEach(({ inputs, micros }, index) => {
        const sources = inputs.map((input) => input % (index + 1));
        const mapped = Object.fromEntries(sources.map((source, at) => [`I${at}`, source === 0 ? 'IN' : `t${source}`]));
        steps.push(step(`m${index}`, mapped, { Y: index === nodes.length - 1 ? 'OUT' : `t${index + 1}` }));
        models[`m${index}`] = {
          micros,
          answer: (given) => [{ Y: `${index}(${Object.values(given).join()})` }],
        };
      });
      const expected = (input: string, index: number): string => {
        const sources = nodes[index]?.inputs.map((source) => source % (index + 1)) ?? [];
        return `${index}(${sources.map((source) => (source === 0 ? input : expected(input, source - 1))).join()})`;
      };
      const fixture = new Fixture(models, steps.toReversed());
      const sent = Array.from({ length: requests }, (_, index) => fixture.send({ IN: `r${index}` }));
      fixture.clock.advance(100_000);
      sent.forEach((answers, index) =>
        assert.deepEqual(answers.responses, [{ OUT: expected(`r${index}`, nodes.length - 1) }]),
      );
      assert.equal(fixture.holds, 0);
    }),
  );
});
