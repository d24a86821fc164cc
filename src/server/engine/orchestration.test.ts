import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { accumulatorModel, addSubModel, growingListModel } from '../../../test/fixtures/onnx-builder.ts';
import { scriptedConfig } from '../../../test/support/scripted-backend.ts';
import { TemporaryRepository } from '../../../test/support/temporary-repository.ts';
import { inferOnce, int32, request, startEngine } from '../../../test/support/test-engine.ts';
import type { InferenceOutcome, InferenceRequest } from '../../protocol/index.ts';
import { encodeStrings } from '../../tensor/index.ts';
import { type Engine, LocalCache } from './index.ts';

const numbers = (outcome: InferenceOutcome & { kind: 'response' }, output = 0): readonly number[] => [
  ...new Int32Array(outcome.response.outputs[output]?.data.buffer as ArrayBuffer),
];

/** An ensemble over tensors of INT32, four wide. */
function ensemble(repository: TemporaryRepository, name: string, steps: string, extra = ''): TemporaryRepository {
  mkdirSync(join(repository.path, name, '1'), { recursive: true });
  return repository.model(name, {
    'config.pbtxt': `platform: "ensemble" max_batch_size: 8
      input { name: "IN" data_type: TYPE_INT32 dims: 4 } output { name: "OUT" data_type: TYPE_INT32 dims: 4 }
      ensemble_scheduling { ${steps} } ${extra}`,
  });
}

const step = (model: string, inputs: string, outputs: string): string => {
  const map = (text: string, field: string): string =>
    text
      .split(',')
      .map((pair) => pair.split('='))
      .map(([key, value]) => `${field} { key: "${key}" value: "${value}" }`)
      .join(' ');
  return `step { model_name: "${model}" model_version: -1 ${map(inputs, 'input_map')} ${map(outputs, 'output_map')} }`;
};

const addSub = (repository: TemporaryRepository, name = 'add', extra = ''): TemporaryRepository =>
  repository.model(name, {
    'config.pbtxt': `backend: "onnxruntime" max_batch_size: 8
      input [ { name: "INPUT0" data_type: TYPE_INT32 dims: 4 }, { name: "INPUT1" data_type: TYPE_INT32 dims: 4 } ]
      output [ { name: "OUTPUT0" data_type: TYPE_INT32 dims: 4 label_filename: "labels.txt" }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: 4 } ] ${extra}`,
    'labels.txt': 'a\nb\nc\nd\n',
    '1/model.onnx': addSubModel('INT32', ['N', 4]),
  });

/** OUT = 2 * IN, by way of an identity model. */
function doubling(repository: TemporaryRepository, extra = ''): TemporaryRepository {
  addSub(repository).identity('pass', 'TYPE_INT32', '4');
  const steps = step('pass', 'INPUT0=IN', 'OUTPUT0=copy') + step('add', 'INPUT0=IN,INPUT1=copy', 'OUTPUT0=OUT');
  return ensemble(repository, 'double', steps, extra);
}

const double = (engine: Engine, value = 1, name = 'double'): ReturnType<typeof inferOnce> =>
  inferOnce(engine, request(name, [int32('IN', [1, 4], [value, 2, 3, 4])]));

describe('ensembles', () => {
  test('run real models side by side with them, and count as Triton counts', async () => {
    using repository = doubling(new TemporaryRepository());
    await using engine = await startEngine(repository.path);
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => double(engine, index)));
    answers.forEach((answer, index) => assert.deepEqual(numbers(answer), [2 * index, 4, 6, 8]));
    // The last step's times come right after its answer.
    await sleep(5);
    const [outcome] = answers;
    assert.deepEqual(outcome?.response.parameters, { sequence_id: 0, sequence_start: false, sequence_end: false });
    const { statistics } = engine.model('double', '');
    assert.equal(statistics.success.count, 50);
    assert.equal(statistics.inferenceCount, 50);
    assert.ok(statistics.computeInfer.ns > 0, "the steps' times are the ensemble's");
    assert.equal(engine.model('add', '').statistics.success.count, 50);
  });

  test('nest, and give labels of the step that makes an output', async () => {
    using repository = doubling(new TemporaryRepository());
    ensemble(repository, 'quadruple', step('double', 'IN=IN', 'OUT=twice') + step('double', 'IN=twice', 'OUT=OUT'));
    await using engine = await startEngine(repository.path);
    assert.deepEqual(numbers(await double(engine, 1, 'quadruple')), [4, 8, 12, 16]);
    const { response } = await inferOnce(
      engine,
      request('quadruple', [int32('IN', [1, 4], [1, 9, 3, 4])], {
        outputs: [{ name: 'OUT', classification: 1, binary: false }],
      }),
    );
    assert.deepEqual([...(response.outputs[0]?.data ?? [])], [...encodeStrings(['36:1:b'])]);
  });

  test('pass texts on', async () => {
    using repository = new TemporaryRepository().identity('text', 'TYPE_STRING', '[ -1 ]');
    repository.model('texts', {
      'config.pbtxt': `platform: "ensemble" max_batch_size: 8 input { name: "IN" data_type: TYPE_STRING dims: -1 }
        output { name: "OUT" data_type: TYPE_STRING dims: -1 }
        ensemble_scheduling { ${step('text', 'INPUT0=IN', 'OUTPUT0=m') + step('text', 'INPUT0=m', 'OUTPUT0=OUT')} }`,
      '1/x': '',
    });
    await using engine = await startEngine(repository.path);
    const data = encodeStrings(['naïve', '', '漢字']);
    const { response } = await inferOnce(
      engine,
      request('texts', [{ name: 'IN', datatype: 'BYTES', shape: [1, 3], data }]),
    );
    assert.deepEqual([...(response.outputs[0]?.data ?? [])], [...data]);
  });

  test('name the step that fails', async () => {
    using repository = new TemporaryRepository();
    repository.model('bad', { 'config.pbtxt': scriptedConfig('fail'), '1/x': '' });
    repository.model('over', {
      'config.pbtxt': `platform: "ensemble" input { name: "IN" data_type: TYPE_INT32 dims: -1 }
        output { name: "OUT" data_type: TYPE_INT32 dims: 1 } ensemble_scheduling { ${step('bad', 'IN=IN', 'OUT=OUT')} }`,
      '1/x': '',
    });
    await using engine = await startEngine(repository.path);
    await assert.rejects(inferOnce(engine, request('over', [int32('IN', [1], [1])])), {
      code: 'INTERNAL',
      message: "in ensemble 'over', it fails as scripted (in the step of model 'bad')",
    });
    assert.equal(engine.model('over', '').statistics.failures.BACKEND, 1);
  });

  test('carry decoupled steps: one request, as many answers as the step gives', async () => {
    using repository = new TemporaryRepository().identity('pass', 'TYPE_INT32', '1', 'max_batch_size: 0');
    repository.model('many', { 'config.pbtxt': scriptedConfig('repeat'), '1/x': '' });
    repository.model('over', {
      'config.pbtxt': `platform: "ensemble" input { name: "IN" data_type: TYPE_INT32 dims: -1 }
        output { name: "OUT" data_type: TYPE_INT32 dims: 1 }
        ensemble_scheduling { ${step('many', 'IN=IN', 'OUT=m') + step('pass', 'INPUT0=m', 'OUTPUT0=OUT')} }`,
      '1/x': '',
    });
    await using engine = await startEngine(repository.path);
    assert.ok(engine.model('over', '').decoupled);
    const outcomes = await allOutcomes(engine, request('over', [int32('IN', [3], [7, 8, 9])]));
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.kind === 'response' ? numbers(outcome)[0] : outcome.kind)),
      [7, 8, 9, 'empty-final'],
    );
  });

  const broken: readonly (readonly [string, string, RegExp])[] = [
    [
      'a model that is not there',
      step('none', 'A=IN', 'B=OUT'),
      /contains models that are not available or ambiguous: none/,
    ],
    [
      'an input that is not there',
      step('pass', 'X=IN', 'OUTPUT0=OUT'),
      /ensemble tensor IN is mapping to non-existing input X in model pass/,
    ],
    [
      'an output that is not there',
      step('pass', 'INPUT0=IN', 'X=OUT'),
      /ensemble tensor OUT is mapped from non-existing output X in model pass/,
    ],
    [
      'an input without a tensor',
      step('add', 'INPUT0=IN', 'OUTPUT0=OUT'),
      /input INPUT1 in model add is not mapped to any ensemble tensors/,
    ],
    [
      'another data type',
      step('floats', 'INPUT0=IN', 'OUTPUT0=OUT'),
      /ensemble tensor IN: inconsistent data type: TYPE_INT32 is inferred from model e while TYPE_FP32 is inferred from model floats/,
    ],
    [
      'another shape',
      step('wide', 'INPUT0=IN', 'OUTPUT0=OUT'),
      /ensemble tensor IN: inconsistent shape: \[-1,4\] is inferred from model e while \[-1,9\] is inferred from model wide/,
    ],
    [
      'a smaller batch',
      step('small', 'INPUT0=IN', 'OUTPUT0=OUT'),
      /ensemble e allows maximum batch size 8, but it contains model small which only allows maximum batch size to be 2/,
    ],
    ['itself as a step', step('e', 'IN=IN', 'OUT=OUT'), /circular dependency between ensembles: e -> \.\.\. -> e -> e/],
    [
      'a tensor that nobody makes',
      step('add', 'INPUT0=IN,INPUT1=gone', 'OUTPUT0=OUT'),
      /output 'OUT' for ensemble 'e' is not written: at least one of its depending tensors, 'gone', is not connected/,
    ],
    [
      'a tensor that nobody uses',
      step('pass', 'INPUT0=IN', 'OUTPUT0=OUT') + step('pass', 'INPUT0=IN', 'OUTPUT0=y'),
      /ensemble tensor 'y' is unused in ensemble 'e'/,
    ],
    [
      'two makers of a tensor',
      step('pass', 'INPUT0=IN', 'OUTPUT0=OUT') + step('pass', 'INPUT0=IN', 'OUTPUT0=OUT'),
      /ensemble tensor 'OUT' can appear in an output map only once/,
    ],
    ['no steps', '', /must specify 'step' for ensemble 'e'/],
    [
      'a circle of tensors',
      step('add', 'INPUT0=IN,INPUT1=y', 'OUTPUT0=OUT') + step('pass', 'INPUT0=OUT', 'OUTPUT0=y'),
      /output 'OUT' for ensemble 'e' is not written: steps wait for each other in a circle/,
    ],
  ];
  test('are refused at load with the edge named, and their steps serve', async () => {
    for (const [what, steps, message] of broken) {
      using repository = addSub(new TemporaryRepository()).identity('pass', 'TYPE_INT32', '4');
      repository.identity('floats', 'TYPE_FP32', '4').identity('wide', 'TYPE_INT32', '9');
      repository.identity('small', 'TYPE_INT32', '4', 'max_batch_size: 2');
      ensemble(repository, 'e', steps);
      await using engine = await startEngine(repository.path);
      const [failure] = engine.failures();
      assert.equal(failure?.name, 'e', what);
      assert.match(failure?.reason ?? '', message, what);
      assert.ok(engine.isModelReady('pass', ''));
    }
  });

  test('a circle of ensembles is refused, each with its way round', async () => {
    using repository = new TemporaryRepository();
    ensemble(repository, 'one', step('two', 'IN=IN', 'OUT=OUT'));
    ensemble(repository, 'two', step('one', 'IN=IN', 'OUT=OUT'));
    await using engine = await startEngine(repository.path);
    const reasons = engine.failures().map(({ reason }) => reason);
    assert.match(reasons[0] ?? '', /one -> \.\.\. -> two -> one/);
    assert.match(reasons[1] ?? '', /two -> \.\.\. -> one -> two/);
  });
});

describe('loading and unloading with dependencies', () => {
  const ready = (engine: Engine): string =>
    ['add', 'pass', 'double'].filter((name) => engine.isModelReady(name, '')).join();

  test('an ensemble brings its steps, goes with them and comes back with them', async () => {
    using repository = doubling(new TemporaryRepository());
    await using engine = await startEngine(repository.path, { controlMode: 'explicit' });
    await engine.load('double');
    assert.equal(ready(engine), 'add,pass,double');
    await engine.unload('pass');
    assert.equal(ready(engine), 'add');
    await engine.load('pass');
    assert.equal(ready(engine), 'add,pass,double');
    await engine.unload('double');
    assert.equal(ready(engine), 'add,pass');
  });

  test('an ensemble that failed for want of a step comes when the step does', async () => {
    using repository = doubling(new TemporaryRepository());
    repository.remove('pass');
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['*'] });
    assert.equal(ready(engine), 'add');
    repository.identity('pass', 'TYPE_INT32', '4');
    await engine.load('pass');
    assert.equal(ready(engine), 'add,pass,double');
    assert.deepEqual(engine.failures(), []);
  });

  test('unload_dependents takes the steps along that nobody asked for by name', async () => {
    using repository = doubling(new TemporaryRepository());
    await using engine = await startEngine(repository.path, { controlMode: 'explicit' });
    await engine.load('pass');
    await engine.load('double');
    await engine.unload('double', true);
    assert.equal(ready(engine), 'pass');
  });

  test('requests on their way through an ensemble finish although it is unloaded', async () => {
    using repository = new TemporaryRepository();
    const slow = 'parameters { key: "execute_delay_ms" value { string_value: "60" } }';
    repository.identity('slow', 'TYPE_INT32', '4', slow);
    ensemble(repository, 'e', step('slow', 'INPUT0=IN', 'OUTPUT0=m') + step('slow', 'INPUT0=m', 'OUTPUT0=OUT'));
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['e'] });
    const answer = double(engine, 5, 'e');
    await engine.unload('slow');
    assert.deepEqual(numbers(await answer), [5, 2, 3, 4]);
    await assert.rejects(double(engine, 5, 'e'), { code: 'NOT_FOUND' });
  });

  test('a step that is reloaded is used at once', async () => {
    using repository = doubling(new TemporaryRepository());
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['*'] });
    const before = engine.model('add', '');
    await engine.load('add', { config: '{"backend":"onnxruntime","max_batch_size":8,"dynamic_batching":{}}' });
    assert.notEqual(engine.model('add', ''), before);
    assert.deepEqual(numbers(await double(engine, 3)), [6, 4, 6, 8]);
  });

  test('a version that fails to load is tried again as often as asked for', async () => {
    using repository = new TemporaryRepository();
    const extra = 'parameters { key: "fail_loads" value { string_value: "2" } }';
    repository.model('m', { 'config.pbtxt': scriptedConfig('countdown', extra), '1/x': '' });
    for (const [loadRetries, works] of [
      [1, false],
      [2, true],
    ] as const) {
      await using engine = await startEngine(repository.path, { loadRetries });
      assert.equal(engine.isModelReady('m', ''), works);
    }
  });

  test('files may come with the load request, and stay inside of the model', async () => {
    using repository = addSub(new TemporaryRepository());
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['add'] });
    const config = '{"backend":"onnxruntime"}';
    const onnx = addSubModel('INT32', ['N', 4]);
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('goodput-model-'));
    await engine.load('add', { config, files: new Map([['7/model.onnx', onnx]]) });
    assert.equal(engine.model('add', '').version, 7);
    assert.ok(engine.isModelReady('add', '7') && !engine.isModelReady('add', '1'));
    for (const path of ['../evil', '/etc/evil', '1/../../../evil', '']) {
      const files = new Map([
        ['1/model.onnx', onnx],
        [path, Buffer.from('x')],
      ]);
      await assert.rejects(
        engine.load('add', { config, files }),
        /must be relative and stay inside the model's folder/,
      );
    }
    assert.ok(!existsSync(join(tmpdir(), 'evil')));
    const files = new Map([['1/model.onnx', onnx]]);
    await assert.rejects(engine.load('add', { files }), {
      code: 'INTERNAL',
      message: /^failed to load 'add', failed to poll from model repository: .* no 'config'/,
    });
    await engine.load('only-sent', { config, files });
    assert.ok(engine.isModelReady('only-sent', '1'));
    await engine.unload('only-sent');
    assert.equal(engine.model('add', '').version, 7);
    await engine.load('add');
    assert.equal(engine.model('add', '').version, 1);
    await sleep(50);
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('goodput-model-'));
    assert.deepEqual(after, before, 'the files of the request are gone with its model');
  });

  test('with namespacing a name may be in every repository, and an ensemble takes its own steps', async () => {
    using one = doubling(new TemporaryRepository());
    using two = addSub(new TemporaryRepository()).identity('pass', 'TYPE_INT32', '4');
    ensemble(
      two,
      'difference',
      step('pass', 'INPUT0=IN', 'OUTPUT0=copy') + step('add', 'INPUT0=IN,INPUT1=copy', 'OUTPUT1=OUT'),
    );
    await using plain = await startEngine(one.path, { repositories: [one.path, two.path] });
    assert.match(plain.failures()[0]?.reason ?? '', /not unique across all model repositories/);
    await using engine = await startEngine(one.path, { repositories: [one.path, two.path], namespacing: true });
    assert.deepEqual(engine.failures(), []);
    assert.deepEqual(numbers(await double(engine, 3)), [6, 4, 6, 8]);
    assert.deepEqual(numbers(await double(engine, 3, 'difference')), [0, 0, 0, 0]);
    assert.throws(() => engine.model('add', ''), /There are 2 identifiers of model 'add' in global map/);
  });
});

describe('sequences on real models', () => {
  const accumulator = (strategy: string, extra = ''): string => `backend: "onnxruntime" max_batch_size: 4
    input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
    output [ { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }, { name: "STARTED" data_type: TYPE_INT32 dims: 1 } ]
    sequence_batching { ${strategy}
      control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
      state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: 1 ${extra} } }
    model_warmup { name: "w" batch_size: 2 inputs { key: "INPUT" value { data_type: TYPE_INT32 dims: 1 zero_data: true } } }`;

  const next = async (engine: Engine, id: bigint, value: number, flags: string): Promise<readonly number[]> => {
    const sequence = { id, start: flags.includes('s'), end: flags.includes('e') };
    const outcome = await inferOnce(engine, request('acc', [int32('INPUT', [1, 1], [value])], { sequence }));
    return [numbers(outcome)[0] ?? Number.NaN, numbers(outcome, 1)[0] ?? Number.NaN];
  };

  for (const strategy of ['direct { }', 'oldest { max_candidate_sequences: 4 }']) {
    test(`${strategy}: many sequences at once keep their own sums`, async () => {
      using repository = new TemporaryRepository();
      repository.model('acc', { 'config.pbtxt': accumulator(strategy), '1/model.onnx': accumulatorModel() });
      await using engine = await startEngine(repository.path);
      assert.deepEqual(engine.failures(), []);
      const runs = Array.from({ length: 10 }, async (_, index) => {
        const id = BigInt(index + 1);
        const steps: (readonly number[])[] = [];
        for (const [value, flags] of [
          [index, 's'],
          [1, ''],
          [2, ''],
          [3, 'e'],
        ] as const) {
          steps.push(await next(engine, id, value, flags));
        }
        return steps;
      });
      (await Promise.all(runs)).forEach((steps, index) =>
        assert.deepEqual(steps, [
          [index, 1],
          [index + 1, 0],
          [index + 3, 0],
          [index + 6, 0],
        ]),
      );
      const { statistics } = engine.model('acc', '');
      assert.equal(statistics.success.count, 40);
      assert.ok(statistics.executionCount < 40, 'sequences shared batches');
    });
  }

  test('a state may begin with the content of a file', async () => {
    using repository = new TemporaryRepository();
    const initial = 'initial_state { name: "begin" data_type: TYPE_INT32 dims: 1 data_file: "begin.bin" }';
    repository.model('acc', {
      'config.pbtxt': accumulator('direct { }', initial),
      '1/model.onnx': accumulatorModel(),
      'initial_state/begin.bin': Buffer.from(Int32Array.of(1000).buffer),
    });
    await using engine = await startEngine(repository.path);
    assert.deepEqual(await next(engine, 1n, 5, 's'), [1005, 1]);
    assert.deepEqual(await next(engine, 1n, 5, 'e'), [1010, 0]);
    assert.deepEqual(await next(engine, 1n, 5, 's'), [1005, 1]);
  });

  test('a state may grow from step to step', async () => {
    using repository = new TemporaryRepository();
    repository.model('list', {
      'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4
        input { name: "INPUT" data_type: TYPE_INT32 dims: -1 } output { name: "OUTPUT" data_type: TYPE_INT32 dims: -1 }
        sequence_batching { oldest { max_candidate_sequences: 4 }
          state { input_name: "LIST_IN" output_name: "LIST_OUT" data_type: TYPE_INT32 dims: -1 } }`,
      '1/model.onnx': growingListModel(),
    });
    await using engine = await startEngine(repository.path);
    assert.deepEqual(engine.failures(), []);
    const run = async (id: bigint, values: readonly number[]): Promise<readonly number[]> => {
      let last: readonly number[] = [];
      for (const [index, value] of values.entries()) {
        const sequence = { id, start: index === 0, end: index === values.length - 1 };
        last = numbers(await inferOnce(engine, request('list', [int32('INPUT', [1, 1], [value])], { sequence })));
      }
      return last;
    };
    const lists = await Promise.all([run(1n, [1, 2, 3]), run(2n, [4, 5]), run(3n, [6, 7, 8, 9])]);
    // A state of variable size begins with one zero.
    assert.deepEqual(lists, [
      [0, 1, 2, 3],
      [0, 4, 5],
      [0, 6, 7, 8, 9],
    ]);
  });

  test('they go through ensembles', async () => {
    using repository = new TemporaryRepository();
    repository.model('acc', { 'config.pbtxt': accumulator('direct { }'), '1/model.onnx': accumulatorModel() });
    repository.model('over', {
      'config.pbtxt': `platform: "ensemble" max_batch_size: 4 input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
        output { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }
        ensemble_scheduling { ${step('acc', 'INPUT=INPUT', 'OUTPUT=OUTPUT')} }`,
      '1/x': '',
    });
    await using engine = await startEngine(repository.path);
    const sums: number[] = [];
    for (const [value, start, end] of [
      [1, true, false],
      [2, false, false],
      [3, false, true],
    ] as const) {
      const sequence = { id: 'text', start, end } as const;
      const outcome = await inferOnce(engine, request('over', [int32('INPUT', [1, 1], [value])], { sequence }));
      sums.push(numbers(outcome)[0] ?? Number.NaN);
    }
    assert.deepEqual(sums, [1, 3, 6]);
  });

  test('an iterative sequence takes the steps that the backend asks for', async () => {
    using repository = new TemporaryRepository();
    const iterative = 'sequence_batching { iterative_sequence: true }';
    repository.model('count', { 'config.pbtxt': scriptedConfig('countdown', iterative), '1/x': '' });
    await using engine = await startEngine(repository.path);
    const answers = await Promise.all(
      [3, 1, 5].map((wanted, index) =>
        inferOnce(engine, request('count', [int32('IN', [1], [wanted])], { id: String(index) })),
      ),
    );
    assert.deepEqual(
      answers.map((answer) => numbers(answer)[0]),
      [3, 1, 5],
    );
  });
});

describe('the response cache', () => {
  const cached = 'response_cache { enable: true }';

  test('answers the same question once, and counts hits and misses', async () => {
    using repository = addSub(new TemporaryRepository(), 'add', cached);
    await using engine = await startEngine(repository.path, { cache: () => new LocalCache(10_000) });
    const ask = (value: number, outputs: InferenceRequest['outputs'] = []): ReturnType<typeof inferOnce> =>
      inferOnce(
        engine,
        request('add', [int32('INPUT0', [1, 4], [value, 2, 3, 4]), int32('INPUT1', [1, 4], [1, 1, 1, 1])], { outputs }),
      );
    for (const value of [1, 1, 2, 1]) assert.deepEqual(numbers(await ask(value)), [value + 1, 3, 4, 5]);
    const { statistics } = engine.model('add', '');
    assert.deepEqual(
      [statistics.success.count, statistics.cacheHits.count, statistics.cacheMisses.count, statistics.executionCount],
      [4, 2, 2, 2],
    );
    const one = await ask(1, [{ name: 'OUTPUT1', classification: 0, binary: true }]);
    assert.deepEqual(
      one.response.outputs.map((output) => output.name),
      ['OUTPUT1'],
    );
    const classes = await ask(1, [{ name: 'OUTPUT0', classification: 1, binary: false }]);
    assert.deepEqual([...(classes.response.outputs[0]?.data ?? [])], [...encodeStrings(['5:3:d'])]);
  });

  test('forgets with a reload, and what is too large for it is answered all the same', async () => {
    using repository = addSub(new TemporaryRepository(), 'add', cached);
    for (const [size, hits] of [
      [10_000, 1],
      [200, 0],
    ] as const) {
      await using engine = await startEngine(repository.path, {
        controlMode: 'explicit',
        loadModels: ['add'],
        cache: () => new LocalCache(size),
      });
      const inputs = [int32('INPUT0', [1, 4], [1, 2, 3, 4]), int32('INPUT1', [1, 4], [1, 1, 1, 1])];
      for (let index = 0; index < 2; index++) await inferOnce(engine, request('add', inputs));
      assert.equal(engine.model('add', '').statistics.cacheHits.count, hits);
      writeFileSync(join(repository.path, 'add', '1', 'touched'), '');
      await engine.load('add');
      await inferOnce(engine, request('add', inputs));
      assert.equal(engine.model('add', '').statistics.cacheHits.count, 0);
    }
  });

  test('of an ensemble spares its steps', async () => {
    using repository = doubling(new TemporaryRepository(), cached);
    await using engine = await startEngine(repository.path, { cache: () => new LocalCache(10_000) });
    for (let index = 0; index < 3; index++) assert.deepEqual(numbers(await double(engine, 4)), [8, 4, 6, 8]);
    assert.equal(engine.model('double', '').statistics.cacheHits.count, 2);
    assert.equal(engine.model('add', '').statistics.success.count, 1);
  });

  test('is refused where answers depend on more than the request', async () => {
    using repository = new TemporaryRepository();
    repository.model('m', { 'config.pbtxt': scriptedConfig('repeat', cached), '1/x': '' });
    await using engine = await startEngine(repository.path, { cache: () => new LocalCache(10_000) });
    assert.match(
      engine.failures()[0]?.reason ?? '',
      /Response Cache does not currently support model m with 'decoupled' transaction policy/,
    );
  });
});

describe('the rate limiter', () => {
  const limited = (count: number): string =>
    `instance_group { kind: KIND_CPU count: 2 rate_limiter { resources { name: "r" count: ${count} } } }`;

  test('a model that asks for more than there is is refused, and its neighbour serves', async () => {
    using repository = new TemporaryRepository().identity('large', 'TYPE_INT32', '1', limited(5));
    repository.identity('small', 'TYPE_INT32', '1', limited(1));
    await using engine = await startEngine(repository.path, {
      rateLimits: [{ name: 'r', count: 2, device: undefined }],
    });
    assert.match(
      engine.failures()[0]?.reason ?? '',
      /Resource count for "r" is limited to 2 which will prevent scheduling .* the minimum required count is 5/,
    );
    assert.ok(engine.isModelReady('small', ''));
  });

  test('instances share what there is, and all requests are answered', async () => {
    using repository = new TemporaryRepository();
    const slow = 'parameters { key: "execute_delay_ms" value { string_value: "20" } }';
    repository.identity('a', 'TYPE_INT32', '1', `${limited(2)} ${slow}`);
    repository.identity('b', 'TYPE_INT32', '1', `${limited(2)} ${slow}`);
    await using engine = await startEngine(repository.path, { rateLimits: [] });
    const start = performance.now();
    await Promise.all(
      ['a', 'b', 'a', 'b'].map((name) => inferOnce(engine, request(name, [int32('INPUT0', [1, 1], [1])]))),
    );
    assert.ok(performance.now() - start >= 4 * 19, 'two of them ran at the same time');
  });
});

describe('traffic between versions', () => {
  const versions = (): TemporaryRepository =>
    addSub(new TemporaryRepository(), 'add', 'version_policy { all { } }').model('add', {
      '2/model.onnx': addSubModel('INT32', ['N', 4]),
    });
  const inputs = [int32('INPUT0', [1, 4], [1, 2, 3, 4]), int32('INPUT1', [1, 4], [1, 1, 1, 1])];
  const version = async (engine: Engine, stickiness?: string): Promise<string> =>
    (await inferOnce(engine, request('add', inputs, stickiness === undefined ? {} : { stickiness }))).response
      .modelVersion;

  test('is shared out in percent, and an explicit version is always that version', async () => {
    using repository = versions();
    let random = 0;
    await using engine = await startEngine(repository.path, { random: () => (random = (random + 0.01) % 1) });
    engine.setTraffic(
      'add',
      new Map([
        [1, 75],
        [2, 25],
      ]),
    );
    const counts = { '1': 0, '2': 0 };
    for (let index = 0; index < 100; index++) counts[(await version(engine)) as '1' | '2']++;
    assert.ok(Math.abs(counts['1'] - 75) <= 1, JSON.stringify(counts));
    engine.setTraffic('add', new Map());
    assert.equal(await version(engine), '2');
  });

  test('a client keeps its version', async () => {
    using repository = versions();
    await using engine = await startEngine(repository.path);
    engine.setTraffic(
      'add',
      new Map([
        [1, 50],
        [2, 50],
      ]),
      'X-User',
    );
    assert.equal(engine.stickyHeader('add'), 'x-user');
    const seen = new Set<string>();
    for (let user = 0; user < 20; user++) {
      const first = await version(engine, `user ${user}`);
      seen.add(first);
      for (let again = 0; again < 3; again++) assert.equal(await version(engine, `user ${user}`), first);
    }
    assert.equal(seen.size, 2);
  });

  test('shares that make no sense are refused', async () => {
    using repository = versions();
    await using engine = await startEngine(repository.path);
    assert.throws(() => engine.setTraffic('add', new Map([[1, 50]])), /must add up to 100 percent, they make 50/);
    assert.throws(
      () =>
        engine.setTraffic(
          'add',
          new Map([
            [1, -1],
            [2, 101],
          ]),
        ),
      /must get 0 to 100 percent, got -1/,
    );
    assert.throws(() => engine.setTraffic('add', new Map([[3, 100]])), /version 3 is not ready; ready are 1, 2/);
  });
});

test('a cancelled request leaves the queue at once, and counts as cancelled', async () => {
  using repository = new TemporaryRepository();
  const slow = 'parameters { key: "execute_delay_ms" value { string_value: "150" } }';
  repository.identity('slow', 'TYPE_INT32', '1', slow);
  await using engine = await startEngine(repository.path);
  const running = inferOnce(engine, request('slow', [int32('INPUT0', [1, 1], [1])]));
  let answer: InferenceOutcome | undefined;
  const cancel = engine.infer(request('slow', [int32('INPUT0', [1, 1], [2])]), (outcome) => (answer = outcome));
  assert.equal(engine.model('slow', '').pending, 1);
  cancel();
  assert.equal(engine.model('slow', '').pending, 0);
  assert.equal(answer?.kind === 'error' && answer.error.code, 'CANCELLED');
  await running;
  assert.equal(engine.model('slow', '').statistics.failures.CANCELED, 1);
});

test('statistics say why batches had the size they had', async () => {
  using repository = new TemporaryRepository();
  const slow =
    'dynamic_batching { preferred_batch_size: 4 } parameters { key: "execute_delay_ms" value { string_value: "5" } }';
  repository.identity('m', 'TYPE_INT32', '1', slow);
  await using engine = await startEngine(repository.path);
  await Promise.all(
    Array.from({ length: 13 }, (_, index) => inferOnce(engine, request('m', [int32('INPUT0', [1, 1], [index])]))),
  );
  const { batchReasons, executionCount } = engine.model('m', '').statistics;
  const counted = [...batchReasons.values()].flatMap((reasons) => [...reasons.values()]);
  assert.equal(
    counted.reduce((sum, count) => sum + count, 0),
    executionCount,
  );
  assert.ok((batchReasons.get(4)?.get('preferred_batch_size') ?? 0) > 0);
});

function allOutcomes(engine: Engine, wanted: InferenceRequest): Promise<readonly InferenceOutcome[]> {
  return new Promise((resolve) => {
    const outcomes: InferenceOutcome[] = [];
    engine.infer(wanted, (outcome) => {
      if (outcome.kind === 'response') {
        const outputs = outcome.response.outputs.map((output) => ({ ...output, data: Uint8Array.from(output.data) }));
        outcomes.push({ ...outcome, response: { ...outcome.response, outputs } });
      } else {
        outcomes.push(outcome);
      }
      if (outcome.kind === 'empty-final' || outcome.final) resolve(outcomes);
    });
  });
}
