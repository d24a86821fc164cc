import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { TemporaryRepository } from '../../test/support/temporary-repository.ts';
import { ModelConfigSchema, ModelInstanceGroup_Kind as Kind, modelConfigToJson } from '../protocol/index.ts';
import {
  findModelFolder,
  isSafeModelName,
  listVersions,
  modelFilenameFor,
  NO_DEVICES,
  normalizeConfig,
  parseGpuList,
  parseModelConfig,
  readModelSource,
  scanRepositories,
  selectVersions,
  validateConfig,
} from './index.ts';

const OPTIONS = { devices: NO_DEVICES, strictDevices: false, autoComplete: true };
const TWO_GPUS = {
  gpus: [
    { id: 0, computeCapability: '7.5' },
    { id: 1, computeCapability: '8.6' },
  ],
};
const config = (text: string): ReturnType<typeof parseModelConfig>['config'] => parseModelConfig(text, 'c').config;

describe('versions', () => {
  test('leading zeros and other names do not count', async () => {
    using repository = new TemporaryRepository();
    for (const name of ['1', '10', '2', '003', 'abc', '0', '-1'])
      mkdirSync(join(repository.path, 'm', name), { recursive: true });
    repository.model('m', { '7': 'a file' });
    assert.deepEqual(await listVersions(join(repository.path, 'm')), [1, 2, 10]);
  });

  const policies: readonly (readonly [string, readonly number[]])[] = [
    ['', [10]],
    ['version_policy: { latest { num_versions: 2 } }', [2, 10]],
    ['version_policy: { latest { } }', [10]],
    ['version_policy: { all { } }', [1, 2, 10]],
    ['version_policy: { specific { versions: [ 1, 10, 99 ] } }', [1, 10]],
  ];
  for (const [text, expected] of policies) {
    test(text === '' ? 'the latest by default' : text, () => {
      const parsed = config(text);
      normalizeConfig(parsed, OPTIONS);
      assert.deepEqual(selectVersions(parsed, [1, 2, 10]), expected);
    });
  }

  test('a policy that selects nothing is an error', () => {
    assert.throws(
      () => selectVersions(config('name: "m" version_policy: { specific { versions: 5 } }'), [1]),
      /at least one version must be available under the version policy of model 'm'/,
    );
  });
});

describe('devices', () => {
  test('nvidia-smi output is parsed', () => {
    assert.deepEqual(parseGpuList('0, 7.5\n1, 8.6\nnonsense\n'), TWO_GPUS.gpus);
  });

  test('the model file follows the compute capability', () => {
    const files = { '75': 'model.sm75.plan', '8.6': 'model.sm86.plan' };
    assert.equal(modelFilenameFor(files, 'model.plan', TWO_GPUS.gpus[0]), 'model.sm75.plan');
    assert.equal(modelFilenameFor(files, 'model.plan', TWO_GPUS.gpus[1]), 'model.sm86.plan');
    assert.equal(modelFilenameFor(files, 'model.plan', { id: 0, computeCapability: '9.0' }), 'model.plan');
    assert.equal(modelFilenameFor(files, 'model.plan', undefined), 'model.plan');
  });

  test('KIND_GPU without a GPU runs on the CPU with a warning, or fails when strict', () => {
    const text = 'name: "m" backend: "onnxruntime" instance_group [ { kind: KIND_GPU count: 2 gpus: [ 0, 1 ] } ]';
    const lenient = config(text);
    const warnings = normalizeConfig(lenient, OPTIONS);
    assert.match(warnings[0] ?? '', /has kind KIND_GPU but no GPUs are available/);
    assert.equal(lenient.instanceGroup[0]?.kind, Kind.CPU);
    assert.deepEqual(lenient.instanceGroup[0]?.gpus, []);
    assert.throws(() => normalizeConfig(config(text), { ...OPTIONS, strictDevices: true }), /no GPUs are available/);
    const withGpus = config(text);
    assert.deepEqual(normalizeConfig(withGpus, { ...OPTIONS, devices: TWO_GPUS }), []);
    assert.equal(withGpus.instanceGroup[0]?.kind, Kind.GPU);
  });
});

describe('defaults', () => {
  test('two CPU instances for onnxruntime, one for identity', () => {
    for (const [backend, count] of [
      ['onnxruntime', 2],
      ['identity', 1],
      ['python', 1],
    ] as const) {
      const parsed = config(`name: "m" backend: "${backend}"`);
      normalizeConfig(parsed, OPTIONS);
      assert.equal(parsed.instanceGroup[0]?.count, count);
    }
  });

  test('the configuration as JSON has every default field, in order', () => {
    const parsed = config('name: "m" platform: "onnxruntime_onnx" input { name: "a" data_type: TYPE_INT32 dims: 16 }');
    normalizeConfig(parsed, OPTIONS);
    const json = modelConfigToJson(parsed);
    assert.deepEqual(Object.keys(JSON.parse(json) as object), [
      'name',
      'platform',
      'backend',
      'runtime',
      'version_policy',
      'max_batch_size',
      'input',
      'output',
      'batch_input',
      'batch_output',
      'optimization',
      'instance_group',
      'default_model_filename',
      'cc_model_filenames',
      'metric_tags',
      'parameters',
      'model_warmup',
    ]);
    assert.match(json, /"dims":\[16\],"is_shape_tensor":false,"allow_ragged_batch":false,"optional":false/);
    assert.match(json, /"default_model_filename":"model.onnx"/);
  });
});

describe('validation', () => {
  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['max_batch_size: -1', /'max_batch_size' must be non-negative/],
    ['input { name: "a" data_type: TYPE_INT32 }', /must specify 'dims'/],
    ['input { name: "a" dims: 1 }', /must specify 'data_type'/],
    ['input { data_type: TYPE_INT32 dims: 1 }', /must specify 'name'/],
    ['input { name: "a" data_type: TYPE_INT32 dims: 0 }', /dimension must be integer >= 1, or -1/],
    [
      'input { name: "a" data_type: TYPE_INT32 dims: 4 reshape { shape: [ 3 ] } }',
      /different size for dims and reshape/,
    ],
    ['input { name: "a" data_type: TYPE_INT32 dims: [ -1 ] reshape { shape: [ 3 ] } }', /variable-size dimensions/],
    [
      'max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 8 ] }',
      /preferred size must be <= max batch size for m: 8 > 4/,
    ],
    ['max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 0 ] }', /must be positive/],
    ['instance_group { kind: KIND_CPU gpus: 0 }', /has kind KIND_CPU but specifies one or more GPUs/],
    [
      'input { name: "a" data_type: TYPE_INT32 dims: 1 } input { name: "a" data_type: TYPE_INT32 dims: 1 }',
      /given more than once/,
    ],
  ];
  for (const [text, message] of mistakes) {
    test(text, () => {
      const parsed = config(`name: "m" backend: "identity" ${text}`);
      normalizeConfig(parsed, OPTIONS);
      assert.throws(() => validateConfig(parsed, NO_DEVICES), message);
    });
  }
});

describe('reading a model', () => {
  test('a name in two repositories is reported for both', async () => {
    using a = new TemporaryRepository().identity('m', 'TYPE_INT32', '[ 1 ]').identity('only', 'TYPE_INT32', '[ 1 ]');
    using b = new TemporaryRepository().identity('m', 'TYPE_INT32', '[ 1 ]');
    const scan = await scanRepositories([a.path, b.path]);
    assert.deepEqual([...scan.folders.keys()], ['only']);
    assert.deepEqual([...scan.duplicates.keys()], ['m']);
    await assert.rejects(findModelFolder([a.path, b.path], 'm'), /not unique across all model repositories/);
  });

  test('names never reach outside of the repository', async () => {
    using repository = new TemporaryRepository();
    for (const name of ['..', '.', '../x', 'a/b', 'a\\b', '', 'a\0b']) {
      assert.ok(!isSafeModelName(name), name);
      await assert.rejects(findModelFolder([repository.path], name), /invalid model name/);
    }
  });

  test('file names in a configuration stay inside the version folder', async () => {
    using repository = new TemporaryRepository().identity(
      'm',
      'TYPE_INT32',
      '[ 1 ]',
      'default_model_filename: "../../x"',
    );
    await assert.rejects(
      readModelSource(await findModelFolder([repository.path], 'm'), OPTIONS),
      /default_model_filename '..\/..\/x' of model 'm' must stay inside the version folder/,
    );
  });

  test('the folder must have the name of the model', async () => {
    using repository = new TemporaryRepository().identity('m', 'TYPE_INT32', '[ 1 ]', 'name: "other"');
    await assert.rejects(
      readModelSource(await findModelFolder([repository.path], 'm'), OPTIONS),
      /unexpected directory name 'm' for model 'other', directory name must equal model name/,
    );
  });

  test('an alternative configuration is used where it exists', async () => {
    using repository = new TemporaryRepository().identity('m', 'TYPE_INT32', '[ 1 ]');
    repository.model('m', { 'configs/fast.pbtxt': 'backend: "identity" max_batch_size: 77' });
    const folder = await findModelFolder([repository.path], 'm');
    const maxBatchSize = async (configName: string | undefined): Promise<number> =>
      (await readModelSource(folder, { ...OPTIONS, configName })).config.maxBatchSize;
    assert.equal(await maxBatchSize('fast'), 77);
    assert.equal(await maxBatchSize('absent'), 8);
    assert.equal(await maxBatchSize(undefined), 8);
  });
});

describe('the configurations of the guides', () => {
  const load = (name: string): ReturnType<typeof parseModelConfig> => {
    const path = new URL(`../../test/fixtures/seed-configs/${name}.pbtxt`, import.meta.url);
    return parseModelConfig(readFileSync(path, 'utf8'), `${name}.pbtxt`);
  };

  for (const name of [
    'bert-classifier',
    'cc-model-filenames',
    'cpu-fallback',
    'gpu-group',
    'large-and-small',
    'nlp-ensemble',
    'step2-batching',
    'step3-tokenizer',
    'step4-bert',
    'step5-warmup',
  ]) {
    test(`${name} is valid as printed`, () => {
      const { config: parsed, warnings } = load(name);
      assert.deepEqual(warnings, []);
      assert.ok(Array.isArray(normalizeConfig(parsed, OPTIONS)));
    });
  }

  test('rate-limit is accepted, and the warnings show the right form', () => {
    const { config: parsed, warnings } = load('rate-limit');
    assert.equal(warnings.length, 2);
    assert.match(warnings[0] ?? '', /^rate-limit\.pbtxt:1:1: .*rate_limiter \{ resources/);
    const [resource] = parsed.instanceGroup[0]?.rateLimiter?.resources ?? [];
    assert.deepEqual([resource?.name, resource?.global, resource?.count], ['gpu_memory', true, 1]);
  });

  test('version-policy is accepted, and the warning shows the right form', () => {
    const { config: parsed, warnings } = load('version-policy');
    assert.match(warnings[0] ?? '', /write: version_policy \{ latest \{ \} \}/);
    assert.deepEqual(selectVersions(parsed, [1, 2, 3]), [2, 3]);
  });

  test('an agent of kind version_policy alone means the policy itself', () => {
    const { config: parsed } = parseModelConfig(
      'model_repository_agents [ { kind: "version_policy" parameters { key: "policy_type" value: "all" } } ]',
      'c',
    );
    assert.deepEqual(selectVersions(parsed, [1, 2, 3]), [1, 2, 3]);
  });

  test('cc-model-filenames names a file per compute capability', () => {
    const { config: parsed } = load('cc-model-filenames');
    assert.equal(modelFilenameFor(parsed.ccModelFilenames, 'model.plan', TWO_GPUS.gpus[0]), 'model.sm75.plan');
  });
});

test('an empty message is a whole configuration', () => {
  assert.match(modelConfigToJson(create(ModelConfigSchema)), /^\{"name":"","platform":""/);
});
