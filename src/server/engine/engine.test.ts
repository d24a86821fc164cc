import assert from 'node:assert/strict';
import { readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { addSubModel, buildOnnx, identityModel, tokenClassifierModel } from '../../../test/fixtures/onnx-builder.ts';
import { TemporaryRepository } from '../../../test/support/temporary-repository.ts';
import { fp32, inferOnce, int32, request, startEngine } from '../../../test/support/test-engine.ts';
import { configDataType, configDataTypeName, modelConfigToJson } from '../../protocol/index.ts';
import { encodeStrings } from '../../tensor/index.ts';
import type { Engine } from './index.ts';

const simple = (repository: TemporaryRepository, name = 'simple', extra = ''): TemporaryRepository =>
  repository.model(name, {
    'config.pbtxt': `backend: "onnxruntime" max_batch_size: 8
      input [ { name: "INPUT0" data_type: TYPE_INT32 dims: 4 }, { name: "INPUT1" data_type: TYPE_INT32 dims: 4 } ]
      output [ { name: "OUTPUT0" data_type: TYPE_INT32 dims: 4 label_filename: "labels.txt" }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: 4 } ] ${extra}`,
    'labels.txt': 'zero\none\n\nthree\n',
    '1/model.onnx': addSubModel('INT32', ['N', 4]),
  });

const sum = async (engine: Engine, name: string, version = ''): Promise<readonly number[]> => {
  const inputs = [int32('INPUT0', [1, 4], [1, 2, 3, 4]), int32('INPUT1', [1, 4], [10, 20, 30, 40])];
  const { response } = await inferOnce(engine, request(name, inputs, { modelVersion: version }));
  return [...new Int32Array(response.outputs[0]?.data.buffer as ArrayBuffer)];
};

describe('inference', () => {
  test('many requests at once get their own answers', async () => {
    using repository = simple(new TemporaryRepository(), 'simple', 'dynamic_batching { }');
    await using engine = await startEngine(repository.path);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        inferOnce(
          engine,
          request('simple', [int32('INPUT0', [1, 4], [index, 0, 0, 0]), int32('INPUT1', [1, 4], [1, 1, 1, 1])], {
            id: String(index),
          }),
        ),
      ),
    );
    for (const [index, { response }] of answers.entries()) {
      assert.equal(response.id, String(index));
      assert.equal(new Int32Array(response.outputs[0]?.data.buffer as ArrayBuffer)[0], index + 1);
    }
    const { statistics } = engine.model('simple', '');
    assert.equal(statistics.success.count, 200);
    assert.equal(statistics.inferenceCount, 200);
    assert.ok(statistics.executionCount < 200, 'batches were formed');
    assert.ok([...statistics.batches.keys()].some((size) => size > 1));
  });

  test('classification returns value:index:label', async () => {
    using repository = simple(new TemporaryRepository());
    await using engine = await startEngine(repository.path);
    const { response } = await inferOnce(
      engine,
      request('simple', [int32('INPUT0', [1, 4], [5, 9, 1, 7]), int32('INPUT1', [1, 4], [0, 0, 0, 0])], {
        outputs: [{ name: 'OUTPUT0', classification: 3, binary: false }],
      }),
    );
    assert.deepEqual(
      response.outputs.map((output) => output.shape),
      [[1, 3]],
    );
    assert.deepEqual([...(response.outputs[0]?.data ?? [])], [...encodeStrings(['9:1:one', '7:3:three', '5:0:zero'])]);
  });

  const mistakes: readonly (readonly [string, Parameters<typeof request>[1], string])[] = [
    ['an unknown input', [int32('X', [1, 4], [1, 2, 3, 4])], "unexpected inference input 'X' for model 'simple'"],
    [
      'a missing input',
      [int32('INPUT0', [1, 4], [1, 2, 3, 4])],
      "[request id: <id_unknown>] expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['INPUT0'], but missing required input(s) ['INPUT1']. Please provide all required input(s).",
    ],
    [
      'an input twice',
      [int32('INPUT0', [1, 4], [1, 2, 3, 4]), int32('INPUT0', [1, 4], [1, 2, 3, 4])],
      "[request id: <id_unknown>] input 'INPUT0' already exists in request",
    ],
    [
      'a wrong type',
      [fp32('INPUT0', [1, 4], [1, 2, 3, 4]), int32('INPUT1', [1, 4], [1, 2, 3, 4])],
      "[request id: <id_unknown>] inference input 'INPUT0' data-type is 'FP32', but model 'simple' expects 'INT32'",
    ],
    [
      'a batch too large',
      [int32('INPUT0', [9, 4], Array(36).fill(0)), int32('INPUT1', [9, 4], Array(36).fill(0))],
      "[request id: <id_unknown>] inference request batch-size must be <= 8 for 'simple'",
    ],
    [
      'batches that differ',
      [int32('INPUT0', [1, 4], [1, 2, 3, 4]), int32('INPUT1', [2, 4], Array(8).fill(0))],
      "[request id: <id_unknown>] input 'INPUT1' batch size does not match other inputs for 'simple'",
    ],
    [
      'too few bytes',
      [int32('INPUT0', [1, 4], [1, 2, 3]), int32('INPUT1', [1, 4], [1, 2, 3, 4])],
      "[request id: <id_unknown>] input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 16, got 12",
    ],
  ];
  for (const [what, inputs, message] of mistakes) {
    test(`${what} is refused in Triton's words`, async () => {
      using repository = simple(new TemporaryRepository());
      await using engine = await startEngine(repository.path);
      await assert.rejects(inferOnce(engine, request('simple', inputs)), { message, code: 'INVALID_ARG' });
      assert.deepEqual(await sum(engine, 'simple'), [11, 22, 33, 44]);
    });
  }

  test('a reshaped model sees its own shapes and clients theirs', async () => {
    using repository = new TemporaryRepository().model('m', {
      'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4
        input { name: "INPUT0" data_type: TYPE_INT32 dims: [ 2, 2 ] reshape { shape: 4 } }
        output { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 1, 4 ] reshape { shape: 4 } }`,
      '1/model.onnx': identityModel('INT32', ['N', 4]),
    });
    await using engine = await startEngine(repository.path);
    const { response } = await inferOnce(engine, request('m', [int32('INPUT0', [1, 2, 2], [1, 2, 3, 4])]));
    assert.deepEqual(response.outputs[0]?.shape, [1, 1, 4]);
  });

  test('every data type is served by identity, strings with their bytes', async () => {
    using repository = new TemporaryRepository();
    for (const type of ['BOOL', 'FP16', 'BF16', 'UINT64', 'BYTES'] as const) {
      repository.identity(type.toLowerCase(), configDataTypeName(configDataType(type)), '[ -1 ]');
    }
    await using engine = await startEngine(repository.path);
    const data = encodeStrings(['\0', 'é']);
    const { response } = await inferOnce(
      engine,
      request('bytes', [{ name: 'INPUT0', datatype: 'BYTES', shape: [1, 2], data }]),
    );
    assert.deepEqual([...(response.outputs[0]?.data ?? [])], [...data]);
    const half = { name: 'INPUT0', datatype: 'BF16' as const, shape: [1, 2], data: Buffer.from([1, 2, 3, 4]) };
    const answer = await inferOnce(engine, request('bf16', [half]));
    assert.deepEqual([...(answer.response.outputs[0]?.data ?? [])], [1, 2, 3, 4]);
  });

  test('a broken BYTES tensor is refused before it reaches a model', async () => {
    using repository = new TemporaryRepository().identity('m', 'TYPE_STRING', '[ -1 ]');
    await using engine = await startEngine(repository.path);
    const send = (bytes: readonly number[]): Promise<unknown> =>
      inferOnce(
        engine,
        request('m', [{ name: 'INPUT0', datatype: 'BYTES', shape: [1, 1], data: Uint8Array.from(bytes) }]),
      );
    await assert.rejects(send([1, 0]), /incomplete string length indicator for inference input 'INPUT0'/);
    await assert.rejects(
      send([9, 0, 0, 0, 1]),
      /incomplete string data for inference input 'INPUT0', expecting string of length 9/,
    );
    await assert.rejects(
      send([0, 0, 0, 0, 0, 0, 0, 0]),
      /unexpected number of string elements 2 for inference input 'INPUT0', expecting 1/,
    );
  });

  test('bytes in flight are bounded', async () => {
    using repository = new TemporaryRepository().identity(
      'm',
      'TYPE_UINT8',
      '[ -1 ]',
      'parameters { key: "execute_delay_ms" value { string_value: "200" } }',
    );
    await using engine = await startEngine(repository.path, { maxInflightBytes: 1000 });
    const send = (): Promise<unknown> =>
      inferOnce(
        engine,
        request('m', [{ name: 'INPUT0', datatype: 'UINT8', shape: [1, 600], data: new Uint8Array(600) }]),
      );
    const first = send();
    await assert.rejects(send(), {
      code: 'UNAVAILABLE',
      message: /holds 600 bytes of unanswered requests.*limit of 1000/,
    });
    await first;
    await send();
  });
});

describe('the repository', () => {
  test('a broken model is named and its neighbours serve', async () => {
    using repository = simple(new TemporaryRepository());
    repository.model('corrupt', { 'config.pbtxt': 'backend: "onnxruntime"', '1/model.onnx': 'garbage' });
    repository.model('misspelt', { 'config.pbtxt': 'backend: "identity"\nmax_bacth_size: 1', '1/x': '' });
    repository.model('unknown', { 'config.pbtxt': 'backend: "cobol"', '1/x': '' });
    repository.model('ensemble', {
      'config.pbtxt': readFileSync(
        new URL('../../../test/fixtures/seed-configs/nlp-ensemble.pbtxt', import.meta.url),
        'utf8',
      ).replace('nlp-classification-pipeline', 'ensemble'),
      '1/x': '',
    });
    await using engine = await startEngine(repository.path);
    assert.deepEqual(await sum(engine, 'simple'), [11, 22, 33, 44]);
    const reasons = Object.fromEntries(engine.failures().map(({ name, reason }) => [name, reason]));
    assert.deepEqual(Object.keys(reasons), ['corrupt', 'ensemble', 'misspelt', 'unknown']);
    assert.match(reasons['corrupt'] ?? '', /Protobuf parsing failed/);
    assert.match(reasons['misspelt'] ?? '', /config\.pbtxt:2:1: .*did you mean 'max_batch_size'/);
    assert.match(
      reasons['unknown'] ?? '',
      /unable to find backend library for backend 'cobol'.*available backends: identity, onnxruntime, scripted/,
    );
    assert.match(
      reasons['ensemble'] ?? '',
      /ensemble ensemble contains models that are not available or ambiguous: tokenizer, bert-encoder, classifier-head, postprocessor/,
    );
    assert.ok(engine.ready);
    await assert.rejects(sum(engine, 'corrupt'), { code: 'NOT_FOUND' });
  });

  test('strict readiness is not ready with a broken model', async () => {
    using repository = simple(new TemporaryRepository());
    repository.model('corrupt', { 'config.pbtxt': 'backend: "onnxruntime"', '1/model.onnx': 'garbage' });
    await using engine = await startEngine(repository.path, { strictReadiness: true });
    assert.ok(engine.live);
    assert.ok(!engine.ready);
    assert.ok(engine.isModelReady('simple', ''));
  });

  test('NAME:VERSION addresses a version unless a model has that very name', async () => {
    using repository = simple(new TemporaryRepository(), 'm', 'version_policy { all { } }');
    repository.model('m', { '2/model.onnx': addSubModel('INT32', ['N', 4]) });
    simple(repository, 'm:2');
    await using engine = await startEngine(repository.path);
    assert.equal(engine.model('m', '').version, 2);
    assert.equal(engine.model('m:1', '').version, 1);
    assert.equal(engine.model('m:2', '').name, 'm:2');
    assert.throws(() => engine.model('m:3', ''), /Request for unknown model: 'm' version 3 is not found/);
  });

  test('a model without a configuration is completed from its file', async () => {
    using repository = new TemporaryRepository().model('bare', { '1/model.onnx': addSubModel('INT32', ['N', 4]) });
    await using engine = await startEngine(repository.path);
    assert.deepEqual(await sum(engine, 'bare'), [11, 22, 33, 44]);
    const config = JSON.parse(modelConfigToJson(engine.model('bare', '').config)) as Record<string, unknown>;
    assert.equal(config['platform'], 'onnxruntime_onnx');
    assert.equal(config['max_batch_size'], 4);
    assert.ok('dynamic_batching' in config);
  });

  test("the guides' BERT classifier loads as printed, warms up and answers on a machine without a GPU", async () => {
    using repository = new TemporaryRepository().model('bert-classifier', {
      'config.pbtxt': readFileSync(
        new URL('../../../test/fixtures/seed-configs/bert-classifier.pbtxt', import.meta.url),
      ),
      '1/model.onnx': tokenClassifierModel(),
    });
    await using engine = await startEngine(repository.path);
    assert.deepEqual(engine.failures(), []);
    const ids = (name: string): Parameters<typeof request>[1][number] => ({
      name,
      datatype: 'INT64',
      shape: [1, 2],
      data: new Uint8Array(BigInt64Array.of(3n, 4n).buffer),
    });
    const { response } = await inferOnce(
      engine,
      request('bert-classifier', [ids('input_ids'), ids('attention_mask'), ids('token_type_ids')]),
    );
    assert.deepEqual(response.outputs[0]?.shape, [1, 2, 2]);
    assert.deepEqual([...new Float32Array(response.outputs[0]?.data.buffer as ArrayBuffer)], [9, -9, 12, -12]);
  });
});

describe('loading and unloading', () => {
  test('explicit mode loads on request, lists and unloads', async () => {
    using repository = simple(new TemporaryRepository()).identity('other', 'TYPE_INT32', '[ 1 ]');
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['simple'] });
    const index = async (): Promise<readonly string[]> =>
      (await engine.index(false)).map(({ name, version, state, reason }) =>
        [name, version, state, reason].filter((part) => part !== undefined).join(' '),
      );
    assert.deepEqual(await index(), ['other', 'simple 1 READY']);
    await engine.load('other');
    assert.deepEqual(await index(), ['other 1 READY', 'simple 1 READY']);
    await engine.unload('other');
    while ((await index())[0] === 'other 1 UNLOADING') await sleep(1);
    assert.deepEqual(await index(), ['other 1 UNAVAILABLE unloaded', 'simple 1 READY']);
    await assert.rejects(engine.load('nope'), {
      code: 'INTERNAL',
      message: "failed to load 'nope', failed to poll from model repository",
    });
  });

  test('other modes refuse it', async () => {
    using repository = simple(new TemporaryRepository());
    await using engine = await startEngine(repository.path);
    await assert.rejects(engine.load('simple'), /--model-control-mode=explicit/);
  });

  test('one version that fails stops the whole load, and takes the others out again', async () => {
    using repository = simple(new TemporaryRepository(), 'm', 'version_policy { all { } }');
    repository.model('m', { '2/model.onnx': 'garbage' });
    await using engine = await startEngine(repository.path, { controlMode: 'explicit' });
    await assert.rejects(engine.load('m'), {
      code: 'INVALID_ARG',
      message: /^load failed for model 'm': version 2 is at UNAVAILABLE state: Internal: onnxruntime cannot load/,
    });
    assert.throws(() => engine.model('m', ''), /'m' has no available versions/);
    assert.throws(() => engine.model('m', '1'), {
      code: 'UNAVAILABLE',
      message: /'m' version 1 is not at ready state/,
    });
    repository.model('m', { '2/model.onnx': addSubModel('INT32', ['N', 4]) });
    await engine.load('m');
    assert.deepEqual(engine.metadataVersions(engine.model('m', ''), ''), [1, 2]);
    assert.deepEqual(engine.metadataVersions(engine.model('m', '2'), '2'), [2]);
    repository.model('m', { '2/model.onnx': 'garbage' });
    await assert.rejects(engine.load('m'));
    assert.deepEqual(engine.metadataVersions(engine.model('m', ''), ''), [1, 2], 'a failed reload keeps both');
  });

  test('a version that is added leaves the others as they are, statistics included', async () => {
    using repository = simple(new TemporaryRepository(), 'm', 'version_policy { all { } }');
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['*'] });
    await sum(engine, 'm', '1');
    const first = engine.model('m', '1');
    repository.model('m', { '2/model.onnx': addSubModel('INT32', ['N', 4]) });
    await engine.load('m');
    assert.equal(engine.model('m', '').version, 2);
    assert.equal(engine.model('m', '1'), first);
    assert.equal(first.statistics.success.count, 1);
    repository.model('m', { '2/model.onnx': 'garbage' });
    await assert.rejects(engine.load('m'));
    assert.deepEqual(await sum(engine, 'm', '1'), [11, 22, 33, 44]);
  });

  test('a configuration given at load replaces the file', async () => {
    using repository = simple(new TemporaryRepository());
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['*'] });
    await engine.load('simple', { config: '{"backend":"onnxruntime","max_batch_size":2}' });
    assert.equal(engine.model('simple', '').maxBatchSize, 2);
    await assert.rejects(
      engine.load('simple', { config: '{"max_batch_sise":2}' }),
      /cannot read the model configuration override: .*max_batch_sise/,
    );
    assert.equal(engine.model('simple', '').maxBatchSize, 2);
  });

  test('a reload under load loses nothing, and a failed one keeps the old model', async () => {
    using repository = simple(new TemporaryRepository(), 'simple', 'dynamic_batching { }');
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['*'] });
    let running = true;
    let answered = 0;
    const load = Array.from({ length: 8 }, async () => {
      while (running) {
        assert.deepEqual(await sum(engine, 'simple'), [11, 22, 33, 44]);
        answered++;
      }
    });
    const old = engine.model('simple', '');
    await engine.load('simple');
    assert.equal(engine.model('simple', ''), old, 'nothing has changed, nothing is loaded');
    for (let round = 1; round <= 5; round++) {
      const later = new Date(Date.now() + round * 1000);
      utimesSync(join(repository.path, 'simple', '1', 'model.onnx'), later, later);
      await engine.load('simple');
    }
    assert.notEqual(engine.model('simple', ''), old);
    repository.model('simple', { '1/model.onnx': 'garbage' });
    await assert.rejects(engine.load('simple'), /Protobuf parsing failed/);
    const before = answered;
    while (answered < before + 50) await sleep(1);
    running = false;
    await Promise.all(load);
    assert.deepEqual(engine.failures(), []);
  });

  test('unloading waits for accepted requests', async () => {
    using repository = new TemporaryRepository().identity(
      'slow',
      'TYPE_INT32',
      '[ 1 ]',
      'parameters { key: "execute_delay_ms" value { string_value: "100" } }',
    );
    await using engine = await startEngine(repository.path, { controlMode: 'explicit', loadModels: ['*'] });
    const answers = [1, 2, 3].map((value) => inferOnce(engine, request('slow', [int32('INPUT0', [1, 1], [value])])));
    await engine.unload('slow');
    await assert.rejects(
      inferOnce(engine, request('slow', [int32('INPUT0', [1, 1], [9])])),
      /has no available versions/,
    );
    const values = (await Promise.all(answers)).map(({ response }) => response.outputs[0]?.data[0]);
    assert.deepEqual(values, [1, 2, 3]);
  });

  test('polling follows new, changed and removed models, and survives a broken one', async () => {
    using repository = simple(new TemporaryRepository());
    await using engine = await startEngine(repository.path, { controlMode: 'poll', pollSeconds: 0.05 });
    const until = async (check: () => boolean): Promise<void> => {
      for (let tries = 0; tries < 200 && !check(); tries++) await sleep(25);
      assert.ok(check());
    };
    repository.identity('new', 'TYPE_INT32', '[ 1 ]');
    await until(() => engine.isModelReady('new', ''));
    repository.identity('new', 'TYPE_INT32', '[ 1 ]', 'max_batch_size: 3');
    utimesSync(join(repository.path, 'new', 'config.pbtxt'), new Date(), new Date(Date.now() + 5000));
    await until(() => engine.model('new', '').maxBatchSize === 3);
    repository.model('new', { 'config.pbtxt': 'nonsense' });
    await sleep(200);
    assert.ok(engine.isModelReady('new', ''), 'the old model goes on serving');
    repository.remove('new');
    await until(() => !engine.isModelReady('new', ''));
    assert.deepEqual(await sum(engine, 'simple'), [11, 22, 33, 44]);
  });
});

describe('ragged batches', () => {
  const flat = (extra: string): TemporaryRepository =>
    new TemporaryRepository().model('m', {
      'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4
        dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 4 ] } ${extra}`,
      '1/model.onnx': identityModel('FP32', ['N']),
    });

  test('requests of different lengths share a batch, and scattered outputs go back to them', async () => {
    using repository = flat(`
      input { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
      output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }
      batch_output { target_name: "OUTPUT0" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "INPUT0" }`);
    await using engine = await startEngine(repository.path);
    const lengths = [2, 4, 1, 3];
    const values = (length: number): number[] => Array.from({ length }, (_, index) => length * 10 + index);
    const answers = await Promise.all(
      lengths.map((length) => inferOnce(engine, request('m', [fp32('INPUT0', [1, length], values(length))]))),
    );
    for (const [index, { response }] of answers.entries()) {
      const length = lengths[index] ?? 0;
      assert.deepEqual(response.outputs[0]?.shape, [1, length]);
      assert.deepEqual([...new Float32Array(response.outputs[0]?.data.buffer as ArrayBuffer)], values(length));
    }
    assert.equal(engine.model('m', '').statistics.executionCount, 1);
  });

  const kinds: readonly (readonly [string, string, readonly number[]])[] = [
    ['BATCH_ELEMENT_COUNT', '[ -1 ]', [2, 4, 1, 3]],
    ['BATCH_ACCUMULATED_ELEMENT_COUNT', '[ -1 ]', [2, 6, 7, 10]],
    ['BATCH_ITEM_SHAPE', '[ -1 ]', [2, 4, 1, 3]],
  ];
  for (const [kind, dims, expected] of kinds) {
    test(`${kind} tells the model of its batch, a row a request`, async () => {
      // The model gets the lengths as its second input and gives them back as a column: a row for every request.
      using repository = new TemporaryRepository().model('m', {
        'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4
          dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 4 ] }
          input { name: "RAGGED" data_type: TYPE_FP32 dims: ${dims} allow_ragged_batch: true }
          output { name: "COLUMN" data_type: TYPE_FP32 dims: [ 1 ] }
          batch_input { kind: ${kind} target_name: "COUNTS" data_type: TYPE_FP32 source_input: "RAGGED" }`,
        '1/model.onnx': buildOnnx({
          inputs: [
            { name: 'RAGGED', type: 'FP32', dims: ['N'] },
            { name: 'COUNTS', type: 'FP32', dims: kind === 'BATCH_ITEM_SHAPE' ? ['B', 1] : ['B'] },
          ],
          outputs: [{ name: 'COLUMN', type: 'FP32', dims: ['B', 1] }],
          nodes: [
            { op: 'ReduceSum', inputs: ['RAGGED'], outputs: ['S'], ints: { keepdims: 0 } },
            { op: 'Mul', inputs: ['S', 'ZERO'], outputs: ['Z'] },
            {
              op: 'Einsum',
              inputs: ['COUNTS', 'ONE'],
              outputs: ['C'],
              strings: { equation: kind === 'BATCH_ITEM_SHAPE' ? 'bk,k->bk' : 'b,k->bk' },
            },
            { op: 'Add', inputs: ['C', 'Z'], outputs: ['COLUMN'] },
          ],
          initializers: [
            { name: 'ZERO', dims: [1], values: Float32Array.of(0) },
            { name: 'ONE', dims: [1], values: Float32Array.of(1) },
          ],
        }),
      });
      await using engine = await startEngine(repository.path);
      assert.deepEqual(engine.failures(), []);
      const answers = await Promise.all(
        [2, 4, 1, 3].map((length) =>
          inferOnce(engine, request('m', [fp32('RAGGED', [1, length], Array(length).fill(1))])),
        ),
      );
      const column = answers.map(
        ({ response }) => new Float32Array(response.outputs[0]?.data.buffer as ArrayBuffer)[0],
      );
      assert.deepEqual(column, expected);
    });
  }

  test('a source that is not an input is refused', async () => {
    using repository = flat(`
      input { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
      output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }
      batch_output { target_name: "OUTPUT0" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "NO" }`);
    await using engine = await startEngine(repository.path);
    assert.match(
      engine.failures()[0]?.reason ?? '',
      /batch_output of model 'm' must have one source input that is an input of the model, got \[NO\]/,
    );
  });
});
