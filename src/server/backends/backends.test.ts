import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { executionUnit } from '../../../test/support/execution-unit.ts';
import { missingTools } from '../../../test/support/missing-tools.ts';
import { noServer } from '../../../test/support/no-server.ts';
import { addSubModel, buildOnnx, identityModel, mlpModel, type OnnxType } from '../../../test/fixtures/onnx-builder.ts';
import { TemporaryRepository } from '../../../test/support/temporary-repository.ts';
import { silentLogger } from '../../core/index.ts';
import { configDataType, configDataTypeName } from '../../protocol/index.ts';
import { findModelFolder, NO_DEVICES, readModelSource } from '../../repository/index.ts';
import { DATA_TYPES, type DataType, ELEMENT_SIZE, encodeStrings, type Tensor } from '../../tensor/index.ts';
import type { Backend, BackendInstance, BackendModel } from './contract.ts';
import { createPluginLoader } from '../../cli/plugins.ts';
import { createIdentityBackend } from './identity/index.ts';
import { createNodeBackend, createTfjsBackend } from './node/index.ts';
import { createOnnxruntimeBackend } from './onnxruntime/index.ts';
import { createFrameworkBackends, createPythonBackend } from './python/index.ts';

interface Answer {
  readonly outputs: readonly Tensor[];
  readonly error: string | undefined;
}

/** Runs one batch; the bytes of the answers are copied. */
function execute(
  instance: BackendInstance,
  requests: readonly {
    readonly inputs: readonly Tensor[];
    readonly rows?: number;
    readonly outputs?: ReadonlySet<string>;
  }[],
): Promise<readonly Answer[]> {
  return new Promise((resolve) => {
    const answers: Answer[] = [];
    const units = requests.map(({ inputs, rows = 1, outputs }, index) =>
      executionUnit({
        requestId: String(index),
        inputs,
        batchSize: rows,
        outputs,
        respond(tensors) {
          answers[index] = {
            outputs: tensors.map((tensor) => ({ ...tensor, data: Uint8Array.from(tensor.data) })),
            error: undefined,
          };
        },
        fail(error) {
          answers[index] = { outputs: [], error: error.message };
        },
      }),
    );
    instance.execute(units, () => resolve(answers));
  });
}

interface Loaded extends AsyncDisposable {
  readonly model: BackendModel;
  readonly instance: BackendInstance;
}

async function load(backend: Backend, repository: TemporaryRepository, name: string): Promise<Loaded> {
  const source = await readModelSource(await findModelFolder([repository.path], name), {
    devices: NO_DEVICES,
    strictDevices: false,
    autoComplete: true,
  });
  const model = await backend.loadModel({
    config: source.config,
    version: 1,
    modelPath: source.folder.path,
    versionPath: join(source.folder.path, '1'),
    autoComplete: true,
    devices: NO_DEVICES,
    logger: silentLogger,
    backendConfig: new Map(PYTHONS[source.config.backend] ?? []),
    server: noServer(),
  });
  const instance = await model.createInstance({ name: 'i', kind: 'cpu', deviceId: 0 });
  return {
    model,
    instance,
    async [Symbol.asyncDispose]() {
      await instance[Symbol.asyncDispose]();
      await model[Symbol.asyncDispose]();
    },
  };
}

const tensor = (datatype: DataType, shape: readonly number[], data: Uint8Array, name = 'INPUT0'): Tensor => ({
  name,
  datatype,
  shape,
  data,
});
const counting = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index % 2 === 0 ? index % 50 : 0));

/** Interpreters that have what a framework needs. */
const TENSORFLOW_PYTHON = fileURLToPath(new URL('../../../.cache/tensorflow/bin/python', import.meta.url));
const PYTHONS: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  pytorch: [['python', '/usr/bin/python3']],
  tensorflow: [['python', TENSORFLOW_PYTHON]],
};

interface Implementation {
  readonly name: string;
  readonly create: () => Backend | Promise<Backend>;
  readonly types: readonly OnnxType[];
  /** The model's file in its version folder: `[-1, 3]` in and out, as `INPUT0` and `OUTPUT0`. */
  readonly file: (type: OnnxType, batch: number) => Readonly<Record<string, string | Buffer>>;
  /** Why it cannot be tested here. */
  readonly skip?: string | false;
}

const IMPLEMENTATIONS: readonly Implementation[] = [
  { name: 'identity', create: createIdentityBackend, types: DATA_TYPES, file: () => ({}) },
  {
    name: 'onnxruntime',
    create: () => createOnnxruntimeBackend({ dedicated: 2, shared: 1 }),
    types: DATA_TYPES.filter((type) => type !== 'BF16'),
    file: (type, batch) => ({ 'model.onnx': identityModel(type, batch > 0 ? ['N', 'M'] : ['M']) }),
  },
  {
    name: 'python',
    create: createPythonBackend,
    types: DATA_TYPES,
    file: (type) => ({ 'model.py': pythonIdentity(type) }),
  },
  {
    name: 'node',
    create: createNodeBackend,
    types: DATA_TYPES,
    file: (type) => ({ 'model.mjs': nodeIdentity(type) }),
  },
  {
    name: 'echo',
    create: async () => {
      const plugins = fileURLToPath(new URL('../../../examples/plugins', import.meta.url));
      const backend = await createPluginLoader(plugins, silentLogger)('echo');
      assert.ok(backend);
      return backend;
    },
    types: DATA_TYPES,
    file: () => ({}),
  },
  {
    name: 'pytorch',
    create: () => framework('pytorch'),
    types: ['BOOL', 'UINT8', 'INT8', 'INT16', 'INT32', 'INT64', 'FP16', 'FP32', 'FP64'],
    file: () => ({
      'model.pt': made(
        '/usr/bin/python3',
        'import sys, torch; torch.jit.script(torch.nn.Identity()).save(sys.argv[1])',
      ),
    }),
    skip: missingTools.includes('torch') && 'needs python3-torch',
  },
  {
    name: 'tfjs',
    create: createTfjsBackend,
    types: ['BOOL', 'INT32', 'FP32', 'BYTES'],
    file: (type, batch) => ({ 'model.json': graphModel(type, batch) }),
  },
  {
    name: 'tensorflow',
    create: () => framework('tensorflow'),
    types: ['FP32', 'INT32', 'BYTES'],
    file: (type, batch) => savedModel(type, batch),
  },
];

function framework(name: string): Backend {
  const backend = createFrameworkBackends().find((candidate) => candidate.name === name);
  assert.ok(backend);
  return backend;
}

function pythonIdentity(type: OnnxType): string {
  const output =
    type === 'BF16' ? 'pb.Tensor.from_dlpack("OUTPUT0", x.to_dlpack())' : 'pb.Tensor("OUTPUT0", x.as_numpy())';
  return `import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([${output}]) for x in (pb.get_input_tensor_by_name(r, "INPUT0") for r in requests)]`;
}

function nodeIdentity(type: OnnxType): string {
  return `export default {
    inputs: { INPUT0: { type: '${type}', dims: [-1] } }, outputs: { OUTPUT0: { type: '${type}', dims: [-1] } },
    run: ({ inputs: { INPUT0 } }) => ({ OUTPUT0: { shape: INPUT0.shape, values: INPUT0.values } }),
  };`;
}

const GRAPH_TYPES: Readonly<Partial<Record<OnnxType, string>>> = {
  BOOL: 'DT_BOOL',
  INT32: 'DT_INT32',
  FP32: 'DT_FLOAT',
  BYTES: 'DT_STRING',
};

/** An identity of TensorFlow.js's, without weights. */
function graphModel(type: OnnxType, batch: number): string {
  const dtype = { type: GRAPH_TYPES[type] };
  const dim = Array.from({ length: batch > 0 ? 2 : 1 }, () => ({ size: '-1' }));
  const node = [
    { name: 'INPUT0', op: 'Placeholder', attr: { dtype, shape: { shape: { dim } } } },
    { name: 'OUTPUT0', op: 'Identity', input: ['INPUT0'], attr: { T: dtype } },
  ];
  return JSON.stringify({
    format: 'graph-model',
    modelTopology: { node, versions: { producer: 1 } },
    weightsManifest: [],
  });
}

const TENSORFLOW_TYPES: Readonly<Partial<Record<OnnxType, string>>> = {
  FP32: 'float32',
  INT32: 'int32',
  BYTES: 'string',
};

const madeFiles = new Map<string, Buffer>();

/** What a script writes to the file of its first argument. */
function made(python: string, script: string): Buffer {
  const known = madeFiles.get(script);
  if (known) return known;
  const folder = mkdtempSync(join(tmpdir(), 'goodput-made-'));
  execFileSync(python, ['-c', script, join(folder, 'file')]);
  const file = readFileSync(join(folder, 'file'));
  rmSync(folder, { recursive: true });
  madeFiles.set(script, file);
  return file;
}

/** An identity of TensorFlow's, as the files of its folder. */
function savedModel(type: OnnxType, batch: number): Readonly<Record<string, Buffer>> {
  const shape = batch > 0 ? '[None, None]' : '[None]';
  const archive = made(
    TENSORFLOW_PYTHON,
    `import os, sys, tarfile, tempfile
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
import tensorflow as tf
class Identity(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec(${shape}, tf.${TENSORFLOW_TYPES[type]}, name='INPUT0')])
    def run(self, INPUT0): return {'OUTPUT0': tf.identity(INPUT0)}
model = Identity()
folder = tempfile.mkdtemp()
tf.saved_model.save(model, folder, signatures=model.run)
with tarfile.open(sys.argv[1], 'w') as archive: archive.add(folder, 'model.savedmodel')`,
  );
  return { 'model.savedmodel.tar': archive };
}

/** An identity model of any backend: `[-1, 3]`. */
function identity(
  repository: TemporaryRepository,
  { name, file }: Implementation,
  type: OnnxType,
  batch: number,
): void {
  const config = configDataTypeName(configDataType(type));
  const version = join(repository.path, 'm', '1');
  mkdirSync(version, { recursive: true });
  const files = Object.entries(file(type, batch)).map(([path, content]) => [`1/${path}`, content] as const);
  repository.model('m', {
    'config.pbtxt': `backend: "${name}" max_batch_size: ${batch}
      input { name: "INPUT0" data_type: ${config} dims: [ -1 ] } output { name: "OUTPUT0" data_type: ${config} dims: [ -1 ] }`,
    ...Object.fromEntries(files),
  });
  const archive = join(version, 'model.savedmodel.tar');
  if (existsSync(archive)) execFileSync('tar', ['-xf', archive, '-C', version]);
}

for (const implementation of IMPLEMENTATIONS) {
  const { name, create, types, skip = false } = implementation;
  describe(`${name} passes the suite of all backends`, { skip }, async () => {
    for (const type of types) {
      test(`${type}: requests of different sizes get their own rows back`, async () => {
        using repository = new TemporaryRepository();
        identity(repository, implementation, type, 8);
        await using backend = await create();
        await using loaded = await load(backend, repository, 'm');
        const row = (rows: number): Tensor => {
          const data =
            type === 'BYTES'
              ? encodeStrings(Array.from({ length: rows * 3 }, (_, index) => `${rows}:${'é'.repeat(index)}`))
              : type === 'BOOL'
                ? Uint8Array.from({ length: rows * 3 }, (_, index) => index & 1)
                : counting(rows * 3 * ELEMENT_SIZE[type]);
          return tensor(type, [rows, 3], data);
        };
        const answers = await execute(
          loaded.instance,
          [1, 3, 2].map((rows) => ({ inputs: [row(rows)], rows })),
        );
        for (const [index, rows] of [1, 3, 2].entries()) {
          assert.equal(answers[index]?.error, undefined);
          const [output] = answers[index]?.outputs ?? [];
          assert.deepEqual([output?.name, output?.datatype, output?.shape], ['OUTPUT0', type, [rows, 3]]);
          assert.deepEqual([...(output?.data ?? [])], [...row(rows).data]);
        }
      });
    }

    test('a zero-size dimension goes through', async () => {
      using repository = new TemporaryRepository();
      identity(repository, implementation, 'FP32', 8);
      await using backend = await create();
      await using loaded = await load(backend, repository, 'm');
      const [answer] = await execute(loaded.instance, [{ inputs: [tensor('FP32', [1, 0], new Uint8Array(0))] }]);
      assert.deepEqual([answer?.error, answer?.outputs[0]?.shape], [undefined, [1, 0]]);
    });

    test('a model that does not batch keeps its shape', async () => {
      using repository = new TemporaryRepository();
      identity(repository, implementation, 'INT32', 0);
      await using backend = await create();
      await using loaded = await load(backend, repository, 'm');
      const [answer] = await execute(loaded.instance, [{ inputs: [tensor('INT32', [5], counting(20))] }]);
      assert.deepEqual(answer?.outputs[0]?.shape, [5]);
    });

    test('only wanted outputs come back', async () => {
      using repository = new TemporaryRepository();
      identity(repository, implementation, 'INT32', 8);
      await using backend = await create();
      await using loaded = await load(backend, repository, 'm');
      const [answer] = await execute(loaded.instance, [
        { inputs: [tensor('INT32', [1, 1], counting(4))], outputs: new Set(['X']) },
      ]);
      assert.deepEqual(answer?.outputs, []);
    });

    test('answers that are held keep their bytes while later batches run', async () => {
      using repository = new TemporaryRepository();
      identity(repository, implementation, 'INT32', 8);
      await using backend = await create();
      await using loaded = await load(backend, repository, 'm');
      let kept: Uint8Array | undefined;
      let release: (() => void) | undefined;
      const run = (value: number, hold: boolean): Promise<void> =>
        new Promise((resolve) => {
          const unit = executionUnit({
            inputs: [tensor('INT32', [1, 1], new Uint8Array(Int32Array.of(value).buffer))],
            respond(outputs, _final, holdBuffers) {
              if (!hold) return;
              kept = outputs[0]?.data;
              release = holdBuffers?.();
            },
          });
          loaded.instance.execute([unit], () => resolve());
        });
      await run(7, true);
      for (let value = 100; value < 110; value++) await run(value, false);
      assert.deepEqual([...(kept ?? [])], [7, 0, 0, 0]);
      release?.();
    });
  });
}

describe('identity', () => {
  test('inputs and outputs must pair up', async () => {
    using repository = new TemporaryRepository();
    mkdirSync(join(repository.path, 'm', '1'), { recursive: true });
    repository.model('m', { 'config.pbtxt': 'backend: "identity" input { name: "A" data_type: TYPE_INT32 dims: 1 }' });
    await using backend = createIdentityBackend();
    await assert.rejects(
      load(backend, repository, 'm'),
      /as many outputs as inputs, has 1 input\(s\) and 0 output\(s\)/,
    );
  });
});

describe('onnxruntime', () => {
  const onnx = (files: Readonly<Record<string, string | Buffer>>): TemporaryRepository =>
    new TemporaryRepository().model('m', files);

  test('completes a configuration from the model file', async () => {
    using repository = onnx({ '1/model.onnx': addSubModel('FP32', ['N', 4]) });
    const source = await readModelSource(await findModelFolder([repository.path], 'm'), {
      devices: NO_DEVICES,
      strictDevices: false,
      autoComplete: true,
    });
    await using backend = createOnnxruntimeBackend();
    await using model = await backend.loadModel({
      config: source.config,
      version: 1,
      modelPath: source.folder.path,
      versionPath: join(source.folder.path, '1'),
      autoComplete: true,
      devices: NO_DEVICES,
      logger: silentLogger,
      backendConfig: new Map([['default-max-batch-size', '16']]),
      server: noServer(),
    });
    assert.ok(model);
    const { config } = source;
    assert.equal(config.maxBatchSize, 16);
    assert.equal(config.schedulingChoice.case, 'dynamicBatching');
    assert.deepEqual(
      config.input.map((input) => [input.name, input.dims]),
      [
        ['INPUT0', [4n]],
        ['INPUT1', [4n]],
      ],
    );
  });

  const refusals: readonly (readonly [string, string, Buffer, RegExp])[] = [
    ['garbage', '', Buffer.from('garbage'), /onnxruntime cannot load model 'm': .*Protobuf parsing failed/s],
    [
      'a BF16 model',
      '',
      identityModel('BF16', ['N', 4]),
      /tensor 'INPUT0' has ONNX type bfloat16, which onnxruntime-node cannot serve/,
    ],
    [
      'a wrong input name',
      'input { name: "X" data_type: TYPE_INT32 dims: 4 }',
      identityModel('INT32', ['N', 4]),
      /unexpected inference input 'X', allowed inputs are: INPUT0/,
    ],
    [
      'a wrong type',
      'input { name: "INPUT0" data_type: TYPE_FP32 dims: 4 }',
      identityModel('INT32', ['N', 4]),
      /unexpected datatype TYPE_FP32 for inference input 'INPUT0', expecting TYPE_INT32/,
    ],
    [
      'a wrong shape',
      'input { name: "INPUT0" data_type: TYPE_INT32 dims: 5 }',
      identityModel('INT32', ['N', 4]),
      /the model expects 2 dimensions \(shape \[-1,4\]\) but the model configuration specifies 2 dimensions \(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete shape \[-1,5\]\)/,
    ],
    [
      'a model whose first dimension is fixed',
      'input { name: "INPUT0" data_type: TYPE_INT32 dims: 4 }',
      identityModel('INT32', [1, 4]),
      /for the model to support batching the shape should have at least 1 dimension and the first dimension must be -1; but shape expected by the model is \[1,4\]/,
    ],
    [
      'too many dimensions',
      'input { name: "INPUT0" data_type: TYPE_INT32 dims: [ 4, 1 ] }',
      identityModel('INT32', ['N', 4]),
      /an initial batch dimension because max_batch_size > 0/,
    ],
    [
      'a wrong number of inputs',
      'input { name: "INPUT0" data_type: TYPE_INT32 dims: 4 }',
      addSubModel('INT32', ['N', 4]),
      /configuration expects 1 inputs, model provides 2/,
    ],
    [
      'a bad thread count',
      'parameters { key: "intra_op_thread_count" value { string_value: "many" } }',
      identityModel('INT32', ['N', 4]),
      /parameter 'intra_op_thread_count' of model 'm' must be an integer >= 0, got 'many'/,
    ],
    [
      'a bad graph level',
      'optimization { graph { level: 9 } }',
      identityModel('INT32', ['N', 4]),
      /must be -1 \(basic\), 0 \(all\), 1 \(extended\) or 2 \(disabled\), got 9/,
    ],
  ];
  for (const [what, text, file, message] of refusals) {
    test(`${what} is refused`, async () => {
      using repository = onnx({
        'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4 ${text}`,
        '1/model.onnx': file,
      });
      await using backend = createOnnxruntimeBackend();
      await assert.rejects(load(backend, repository, 'm'), { message });
    });
  }

  test('a missing model file is named', async () => {
    using repository = onnx({ 'config.pbtxt': 'backend: "onnxruntime"', '1/other.onnx': 'x' });
    await using backend = createOnnxruntimeBackend();
    await assert.rejects(
      load(backend, repository, 'm'),
      /model file 'model.onnx' of model 'm' version 1 does not exist/,
    );
  });

  test('every parameter name of Triton reaches the session', async () => {
    const parameters = {
      intra_op_thread_count: '1',
      inter_op_thread_count: '1',
      execution_mode: '1',
      enable_mem_arena: '0',
      enable_mem_pattern: '0',
      'session.intra_op.allow_spinning': '0',
      placement: 'thread',
    };
    const text = Object.entries(parameters)
      .map(([key, value]) => `parameters { key: "${key}" value { string_value: "${value}" } }`)
      .join('\n');
    using repository = onnx({
      'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4 optimization { graph { level: -1 } } ${text}`,
      '1/model.onnx': mlpModel(2, 8),
    });
    await using backend = createOnnxruntimeBackend();
    await using loaded = await load(backend, repository, 'm');
    const [answer] = await execute(loaded.instance, [{ inputs: [tensor('FP32', [1, 8], counting(32))] }]);
    assert.equal(answer?.error, undefined);
  });

  test('short executions move to the main thread and stay right', async () => {
    using repository = onnx({
      'config.pbtxt': 'backend: "onnxruntime" max_batch_size: 4',
      '1/model.onnx': addSubModel('INT32', ['N', 2]),
    });
    await using backend = createOnnxruntimeBackend();
    await using loaded = await load(backend, repository, 'm');
    for (let value = 0; value < 600; value++) {
      const data = new Uint8Array(Int32Array.of(value, 1).buffer);
      const [answer] = await execute(loaded.instance, [
        { inputs: [tensor('INT32', [1, 2], data), tensor('INT32', [1, 2], data, 'INPUT1')] },
      ]);
      assert.deepEqual([...new Int32Array(answer?.outputs[0]?.data.buffer as ArrayBuffer)], [value * 2, 2]);
    }
  });

  test('more instances than threads share, and all of them answer', async () => {
    using repository = onnx({
      'config.pbtxt': 'backend: "onnxruntime" max_batch_size: 4',
      '1/model.onnx': identityModel('INT32', ['N', 1]),
    });
    await using backend = createOnnxruntimeBackend({ dedicated: 1, shared: 1 });
    const loaded: Loaded[] = [];
    for (let index = 0; index < 5; index++) loaded.push(await load(backend, repository, 'm'));
    const answers = await Promise.all(
      loaded.map(({ instance }, index) =>
        execute(instance, [{ inputs: [tensor('INT32', [1, 1], new Uint8Array(Int32Array.of(index).buffer))] }]),
      ),
    );
    assert.deepEqual(
      answers.map(([answer]) => answer?.outputs[0]?.data[0]),
      [0, 1, 2, 3, 4],
    );
    for (const each of loaded) await each[Symbol.asyncDispose]();
  });

  test('a shape that the model cannot take fails that batch and no other', async () => {
    using repository = onnx({
      'config.pbtxt':
        'backend: "onnxruntime" max_batch_size: 4 input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ] output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }',
      '1/model.onnx': mlpModel(1, 8),
    });
    await using backend = createOnnxruntimeBackend();
    await using loaded = await load(backend, repository, 'm');
    const [bad] = await execute(loaded.instance, [{ inputs: [tensor('FP32', [1, 5], counting(20))] }]);
    assert.match(bad?.error ?? '', /INPUT0|dimension/);
    const [good] = await execute(loaded.instance, [{ inputs: [tensor('FP32', [1, 8], counting(32))] }]);
    assert.equal(good?.error, undefined);
  });
});

test('outputs whose shape varies with the same input shapes are still right', async () => {
  // NonZero's output depends on the values, not only on the shape, of its input.
  using repository = new TemporaryRepository().model('m', {
    'config.pbtxt':
      'backend: "onnxruntime" input { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } output { name: "Y" data_type: TYPE_INT64 dims: [ 1, -1 ] }',
    '1/model.onnx': buildOnnx({
      inputs: [{ name: 'X', type: 'FP32', dims: ['N'] }],
      outputs: [{ name: 'Y', type: 'INT64', dims: [1, 'M'] }],
      nodes: [{ op: 'NonZero', inputs: ['X'], outputs: ['Y'] }],
    }),
  });
  await using backend = createOnnxruntimeBackend({ dedicated: 1, shared: 1 });
  await using loaded = await load(backend, repository, 'm');
  for (const values of [
    [1, 0, 1],
    [1, 0, 1],
    [1, 1, 1],
    [0, 0, 1],
    [0, 0, 0],
    [1, 0, 1],
  ]) {
    const [answer] = await execute(loaded.instance, [
      { inputs: [tensor('FP32', [3], new Uint8Array(Float32Array.from(values).buffer), 'X')] },
    ]);
    const expected = values.flatMap((value, index) => (value === 0 ? [] : [BigInt(index)]));
    assert.equal(answer?.error, undefined);
    assert.deepEqual(answer?.outputs[0]?.shape, [1, expected.length]);
    assert.deepEqual([...new BigInt64Array(answer?.outputs[0]?.data.buffer as ArrayBuffer)], expected);
  }
});
