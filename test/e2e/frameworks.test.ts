import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingTools } from '../support/missing-tools.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const TENSORFLOW = path('../../.cache/tensorflow/bin/python');
const FRAME = 512;

interface Outputs {
  readonly outputs?: readonly { readonly name: string; readonly data: readonly number[] }[];
}

test(
  'PyTorch: Silero VAD, TorchScript, hears speech and silence',
  { skip: missingTools.includes('torch') && 'needs python3-torch' },
  async () => {
    using models = new TemporaryRepository().model('vad', {
      '1/model.pt': readFileSync(path('../../.cache/silero-vad/silero_vad/data/silero_vad.jit')),
      'config.pbtxt': `platform: "pytorch_libtorch"
        input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, ${FRAME} ] }, { name: "sr" data_type: TYPE_INT64 dims: 1 } ]
        output { name: "probability" data_type: TYPE_FP32 dims: [ -1, 1 ] }
        parameters { key: "INTRA_OP_THREAD_COUNT" value { string_value: "1" } }`,
    });
    await using server = await RunningServer.start([
      `--model-repository=${models.path}`,
      '--backend-config=pytorch,python=/usr/bin/python3',
    ]);
    const wav = readFileSync(path('../../examples/inputs/speech.wav'));
    const samples = new Int16Array(Uint8Array.from(wav.subarray(44)).buffer);
    const hear = async (frame: readonly number[]): Promise<number> => {
      const inputs = [
        { name: 'x', datatype: 'FP32', shape: [1, FRAME], data: frame },
        { name: 'sr', datatype: 'INT64', shape: [1], data: [16_000] },
      ];
      const { text } = await call(`${server.http}/v2/models/vad/infer`, post(JSON.stringify({ inputs })));
      const answer = JSON.parse(text) as Outputs;
      assert.ok(answer.outputs, text);
      return answer.outputs[0]?.data[0] ?? Number.NaN;
    };
    const speech: number[] = [];
    for (let start = 0; start + FRAME <= Math.min(samples.length, 60 * FRAME); start += FRAME) {
      speech.push(await hear([...samples.subarray(start, start + FRAME)].map((sample) => sample / 32_768)));
    }
    const silence: number[] = [];
    for (let frame = 0; frame < 30; frame++) silence.push(await hear(Array.from({ length: FRAME }, () => 0)));
    assert.ok(Math.max(...speech) > 0.8, `speech: ${speech.join(' ')}`);
    assert.ok((silence.at(-1) ?? 1) < 0.2, `silence: ${silence.join(' ')}`);
  },
);

test('TensorFlow: a SavedModel without a configuration batches, and says what it has not', async () => {
  using models = new TemporaryRepository();
  mkdirSync(join(models.path, 'sum', '1'), { recursive: true });
  execFileSync(TENSORFLOW, [
    '-c',
    `import os, sys
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
import tensorflow as tf
class Sum(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name='A'), tf.TensorSpec([None, 2], tf.float32, name='B')])
    def run(self, A, B): return {'SUM': A + B, 'TEXT': tf.strings.as_string(A)}
model = Sum()
tf.saved_model.save(model, sys.argv[1], signatures=model.run)`,
    join(models.path, 'sum', '1', 'model.savedmodel'),
  ]);
  models.model('graphdef', { '1/model.graphdef': 'x', 'config.pbtxt': 'platform: "tensorflow_graphdef"' });
  models.model('signature', {
    'config.pbtxt': `platform: "tensorflow_savedmodel"
      parameters { key: "TF_SIGNATURE_DEF" value { string_value: "other" } }`,
  });
  cpSync(join(models.path, 'sum', '1'), join(models.path, 'signature', '1'), { recursive: true });
  await using server = await RunningServer.start([
    `--model-repository=${models.path}`,
    `--backend-config=tensorflow,python=${TENSORFLOW}`,
  ]);
  const config = JSON.parse((await call(`${server.http}/v2/models/sum/config`)).text) as Record<string, unknown>;
  assert.equal(config['max_batch_size'], 4);
  assert.ok('dynamic_batching' in config);
  const ask = async (rows: number): Promise<Outputs> => {
    const data = Array.from({ length: rows * 2 }, (_, index) => index);
    const inputs = ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [rows, 2], data }));
    return JSON.parse(
      (await call(`${server.http}/v2/models/sum/infer`, post(JSON.stringify({ inputs })))).text,
    ) as Outputs;
  };
  const answers = await Promise.all([1, 2, 1, 2].map(ask));
  assert.deepEqual(
    answers.map(({ outputs }) => outputs?.find(({ name }) => name === 'SUM')?.data),
    [
      [0, 2],
      [0, 2, 4, 6],
      [0, 2],
      [0, 2, 4, 6],
    ],
  );
  assert.match(server.log, /'graphdef' is a GraphDef, which TensorFlow 2 does not load: save it as a SavedModel/);
  assert.match(server.log, /model 'signature' has no signature 'other', it has: serving_default/);
});

test('TensorFlow.js: a graph model with weights batches, without a configuration', async () => {
  const type = (name: string): object => ({ type: name });
  const sized = (...sizes: readonly number[]): object => ({ dim: sizes.map((size) => ({ size: String(size) })) });
  const weights = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);
  const node = [
    { name: 'X', op: 'Placeholder', attr: { dtype: type('DT_FLOAT'), shape: { shape: sized(-1, 2) } } },
    {
      name: 'W',
      op: 'Const',
      attr: { dtype: type('DT_FLOAT'), value: { tensor: { dtype: 'DT_FLOAT', tensorShape: sized(2, 2) } } },
    },
    {
      name: 'Y',
      op: 'MatMul',
      input: ['X', 'W'],
      attr: { T: type('DT_FLOAT'), transpose_a: { b: false }, transpose_b: { b: false } },
    },
    { name: 'Z', op: 'Relu', input: ['Y'], attr: { T: type('DT_FLOAT') } },
  ];
  const json = (paths: readonly string[]): string =>
    JSON.stringify({
      format: 'graph-model',
      modelTopology: { node, versions: { producer: 1 } },
      weightsManifest: [{ paths, weights: [{ name: 'W', shape: [2, 2], dtype: 'float32' }] }],
    });
  using models = new TemporaryRepository()
    .model('graph', { '1/model.json': json(['w.bin']), '1/w.bin': weights })
    .model('outside', { '1/model.json': json(['../../graph/1/w.bin']) })
    .model('broken', { '1/model.json': '{}' });
  await using server = await RunningServer.start([`--model-repository=${models.path}`]);
  const ask = async (rows: readonly (readonly [number, number])[]): Promise<readonly number[]> => {
    const inputs = [{ name: 'X', datatype: 'FP32', shape: [rows.length, 2], data: rows.flat() }];
    const { text } = await call(`${server.http}/v2/models/graph/infer`, post(JSON.stringify({ inputs })));
    const { outputs } = JSON.parse(text) as Outputs;
    assert.ok(outputs, text);
    return outputs[0]?.data ?? [];
  };
  const answers = await Promise.all([
    ask([[1, 0]]),
    ask([
      [0, 1],
      [-1, 0],
    ]),
    ask([[1, 1]]),
  ]);
  assert.deepEqual(answers, [
    [1, 2],
    [3, 4, 0, 0],
    [4, 6],
  ]);
  const config = JSON.parse((await call(`${server.http}/v2/models/graph/config`)).text) as Record<string, unknown>;
  assert.deepEqual([config['max_batch_size'], 'dynamic_batching' in config], [4, true]);
  assert.match(server.log, /weights '\.\.\/\.\.\/graph\/1\/w\.bin' lie outside the model's folder/);
  assert.match(server.log, /broken\/1\/model\.json is no TensorFlow\.js graph model: it has no 'modelTopology'/);
});
