import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { noServer } from '../../../../test/support/no-server.ts';
import { TemporaryRepository } from '../../../../test/support/temporary-repository.ts';
import { silentLogger } from '../../../core/index.ts';
import { type DeviceInventory, findModelFolder, NO_DEVICES, readModelSource } from '../../../repository/index.ts';
import type { ModelContext } from '../contract.ts';
import { checkPlan } from './tensorrt-plan.ts';

const AMPERE: DeviceInventory = { gpus: [{ id: 0, computeCapability: '8.6' }] };

/** A model with two plans, chosen by compute capability, and maybe manifests. */
async function context(
  repository: TemporaryRepository,
  devices: DeviceInventory,
  manifest: string | undefined,
): Promise<ModelContext> {
  repository.model('m', {
    'config.pbtxt': `platform: "tensorrt_plan" cc_model_filenames { key: "86" value: "model.sm86.plan" }`,
    '1/model.plan': 'x',
    '1/model.sm86.plan': 'x',
    ...(manifest === undefined ? {} : { '1/model.sm86.plan.json': manifest }),
  });
  const source = await readModelSource(await findModelFolder([repository.path], 'm'), {
    devices,
    strictDevices: false,
    autoComplete: true,
  });
  return {
    config: source.config,
    version: 1,
    modelPath: source.folder.path,
    versionPath: join(source.folder.path, '1'),
    autoComplete: true,
    devices,
    logger: silentLogger,
    backendConfig: new Map(),
    server: noServer(),
  };
}

describe('TensorRT plans', () => {
  test('without a GPU do not load, in one sentence', async () => {
    using repository = new TemporaryRepository();
    const model = await context(repository, NO_DEVICES, undefined);
    assert.throws(() => checkPlan(model), {
      code: 'UNAVAILABLE',
      message: "model 'm' is a TensorRT plan, which only runs on an NVIDIA GPU, and this machine has none",
    });
  });

  test('show their manifest, and hand on the version to compare', async () => {
    using repository = new TemporaryRepository();
    const manifest = {
      tensorrt_version: '10.3.0',
      compute_capability: '8.6',
      precision: 'fp16',
      profiles: {
        x: [
          [1, 4],
          [8, 4],
          [32, 4],
        ],
      },
    };
    const model = await context(repository, AMPERE, JSON.stringify(manifest));
    assert.deepEqual(checkPlan(model), {
      tensorrt_version: '10.3.0',
      compute_capability: '8.6',
      precision: 'fp16',
      profiles: '{"x":[[1,4],[8,4],[32,4]]}',
    });
    assert.equal(model.config.parameters['tensorrt_version']?.stringValue, '10.3.0');
  });

  const REFUSALS: readonly (readonly [string, string, RegExp])[] = [
    [
      'another GPU',
      '{"compute_capability":"9.0"}',
      /'model\.sm86\.plan' of model 'm' was built for compute capability 9\.0; the GPUs here have 8\.6/,
    ],
    ['no JSON', '{', /manifest '.*' of model 'm' is not JSON/],
    ['no object', '[]', /must be a JSON object/],
    ['an unknown field', '{"precission":"fp16"}', /has 'precission', known are: tensorrt_version, compute_capability/],
  ];
  for (const [what, manifest, message] of REFUSALS) {
    test(`are refused for a manifest of ${what}`, async () => {
      using repository = new TemporaryRepository();
      const model = await context(repository, AMPERE, manifest);
      assert.throws(() => checkPlan(model), message);
    });
  }
});
