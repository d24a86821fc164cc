import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { configDataType, configDataTypeName } from '../../src/protocol/index.ts';
import { DATA_TYPES } from '../../src/tensor/index.ts';
import { addSubModel, identityModel } from '../fixtures/onnx-builder.ts';
import { RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const PYTHON = path('../../.cache/venv/bin/python');
const SCRIPT = path('../python/test_tritonclient.py');

/** The tests of each class, so that every one of them counts and fails by name. */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  Status: ['test_health_and_metadata', 'test_statistics_count_requests_and_batches', 'test_unknown_model'],
  Inference: [
    'test_binary_and_json_tensors',
    'test_no_requested_outputs_returns_all',
    'test_compression_both_ways',
    'test_async',
    'test_asyncio',
    'test_streaming',
    'test_every_data_type',
    'test_bf16',
    'test_zero_size_and_variable_dimensions',
    'test_classification',
    'test_request_parameters',
    'test_large_tensor',
    'test_raw_binary_request',
    'test_mistakes_are_errors_and_the_next_request_works',
    'test_versions',
  ],
  SharedMemory: ['test_inputs_and_outputs_in_system_shared_memory', 'test_cuda_shared_memory_is_refused_without_a_gpu'],
  Control: ['test_load_and_unload', 'test_load_with_a_configuration', 'test_log_settings'],
};

function repository(): TemporaryRepository {
  const made = new TemporaryRepository();
  const pair = (type: string): string => `backend: "onnxruntime" max_batch_size: 8 dynamic_batching { }
    input [ { name: "INPUT0" data_type: ${type} dims: 16 }, { name: "INPUT1" data_type: ${type} dims: 16 } ]
    output [ { name: "OUTPUT0" data_type: ${type} dims: 16 }, { name: "OUTPUT1" data_type: ${type} dims: 16 } ]`;
  made.model('simple', { 'config.pbtxt': pair('TYPE_INT32'), '1/model.onnx': addSubModel('INT32', ['N', 16]) });
  made.model('simple_string', {
    'config.pbtxt': `backend: "identity" max_batch_size: 8
      input [ { name: "INPUT0" data_type: TYPE_STRING dims: 16 }, { name: "INPUT1" data_type: TYPE_STRING dims: 16 } ]
      output [ { name: "OUTPUT0" data_type: TYPE_STRING dims: 16 }, { name: "OUTPUT1" data_type: TYPE_STRING dims: 16 } ]`,
    '1/empty': '',
  });
  for (const type of DATA_TYPES) {
    const config = configDataTypeName(configDataType(type));
    made.identity(`identity_${type.toLowerCase()}`, config, '[ -1 ]');
    if (type === 'BF16') continue;
    made.model(`onnx_${type.toLowerCase()}`, { '1/model.onnx': identityModel(type, ['N', 'M']) });
  }
  return made;
}

describe('the unmodified tritonclient', () => {
  let server: RunningServer;
  const models = repository();

  before(async () => {
    server = await RunningServer.start([
      '--model-repository',
      models.path,
      '--model-control-mode=explicit',
      '--load-model=*',
    ]);
  });
  after(async () => {
    assert.equal(await server.stop(), 0);
    models[Symbol.dispose]();
  });

  for (const [group, names] of Object.entries(TESTS)) {
    for (const name of names) {
      test(`${group}.${name}`, async () => {
        const { status, output } = await python(`${group}.${name}`);
        assert.equal(status, 0, output);
        assert.match(output, /Ran 1 test/);
      });
    }
  }

  function python(name: string): Promise<{ status: number; output: string }> {
    const env = { ...process.env, HTTP_URL: server.http, GRPC_URL: server.grpc };
    return new Promise((resolve) => {
      execFile(PYTHON, [SCRIPT, name], { env, timeout: 120_000 }, (error, stdout, stderr) => {
        resolve({ status: error ? 1 : 0, output: `${stdout}${stderr}` });
      });
    });
  }
});
