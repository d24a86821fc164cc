import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PYTHON, pythonTest } from '../support/python.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/python-models/', import.meta.url));
const EXPLICIT = ['--model-control-mode=explicit', '--load-model=*'];

const model = (body: string): string => `import triton_python_backend_utils as pb
class TritonPythonModel:
${body.replaceAll(/^/gm, '    ')}`;

const IDENTITY = model(`def execute(self, requests):
    return [pb.InferenceResponse([pb.Tensor("OUT", pb.get_input_tensor_by_name(r, "IN").as_numpy())]) for r in requests]`);

const plain = (extra = ''): string => `backend: "python" ${extra}
  input { name: "IN" data_type: TYPE_FP32 dims: -1 } output { name: "OUT" data_type: TYPE_FP32 dims: -1 }`;

function repository(): TemporaryRepository {
  const made = new TemporaryRepository();
  for (const [fixture, name] of [
    ['scripted', 'scripted'],
    ['scripted', 'other'],
    ['scripted', 'scripted_decoupled'],
    ['completed', 'completed'],
  ] as const) {
    cpSync(join(FIXTURES, fixture), join(made.path, name), { recursive: true });
  }
  appendFileSync(join(made.path, 'scripted_decoupled', 'config.pbtxt'), 'model_transaction_policy { decoupled: true }');
  made.model('large', { 'config.pbtxt': plain(), '1/model.py': IDENTITY });
  made.model('pid', {
    'config.pbtxt': 'backend: "python" output { name: "OUT" data_type: TYPE_INT32 dims: 1 }',
    '1/model.py': model(`def execute(self, requests):
    import os
    import numpy as np
    return [pb.InferenceResponse([pb.Tensor("OUT", np.array([os.getpid()], np.int32))]) for _ in requests]`),
  });
  made.model('slow', {
    'config.pbtxt': plain('parameters { key: "EXECUTE_TIMEOUT_SECONDS" value { string_value: "0.5" } }'),
    '1/model.py': model('def execute(self, requests):\n    while True: pass'),
  });
  const broken: Readonly<Record<string, string>> = {
    syntax: 'def broken(:',
    module_missing: 'import no_such_module',
    class_missing: 'x = 1',
    fails: model('def initialize(self, args):\n    lorem_ipsum'),
    incomplete: model('def initialize(self, args): pass'),
  };
  for (const [name, text] of Object.entries(broken)) {
    made.model(name, { 'config.pbtxt': plain(), '1/model.py': text });
  }
  return made;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: { readonly error?: string; readonly outputs?: readonly { readonly data: readonly unknown[] }[] };
}

describe('Python models', () => {
  const models = repository();
  let server: RunningServer;
  before(async () => {
    server = await RunningServer.start([
      `--model-repository=${models.path}`,
      ...EXPLICIT,
      '--log-verbose=1',
      `--backend-config=python,python=${PYTHON}`,
    ]);
  });
  after(async () => {
    await server.stop();
    models[Symbol.dispose]();
  });

  const ask = async (name: string, script: unknown, more: object = {}): Promise<Answer> => {
    const body = JSON.stringify({
      inputs: [{ name: 'IN', datatype: 'BYTES', shape: [1, 1], data: [JSON.stringify(script)] }],
      ...more,
    });
    const { status, text } = await call(`${server.http}/v2/models/${name}/infer`, post(body));
    return { status, text, json: JSON.parse(text) as Answer['json'] };
  };
  const answer = async (name: string, script: unknown, more: object = {}): Promise<string> => {
    const { text, json } = await ask(name, script, more);
    assert.ok(json.outputs, text);
    return String(json.outputs[0]?.data[0]);
  };
  const failure = async (script: unknown): Promise<string> => (await ask('scripted', script)).json.error ?? '';

  const CODES = {
    UNKNOWN: 400,
    INTERNAL: 500,
    NOT_FOUND: 404,
    INVALID_ARG: 400,
    UNAVAILABLE: 503,
    UNSUPPORTED: 501,
    ALREADY_EXISTS: 400,
    CANCELLED: 400,
  };
  for (const [code, status] of Object.entries(CODES)) {
    test(`answer with TritonError.${code} as ${status}`, async () => {
      const { status: got, json } = await ask('scripted', [['error', 'it is bad', code]]);
      assert.deepEqual([got, json.error], [status, 'it is bad']);
    });
  }

  test('raise: the error has the exception and where it came from', async () => {
    const text = await failure([['raise', 'oh no']]);
    assert.match(
      text,
      /^Failed to process the request\(s\) for model 'scripted_0', message: ValueError: oh no\n\nAt:\n/,
    );
    assert.match(text, /scripted\/1\/model\.py\(\d+\): do_raise\n {2}.*: run\n {2}.*: execute\n$/);
  });

  const RETURNS: readonly (readonly [string, unknown, RegExp])[] = [
    ['a text', ['text'], /message: Expected a list in the execute return, found type '<class 'str'>'\.$/],
    ['too few', ['short'], /InferenceRequest\(s\) size is:1, and InferenceResponse\(s\) size is:0/],
    ['a number', ['number'], /Expected an 'InferenceResponse' object .* found type '<class 'int'>'/],
    ['nothing, and the sender ends without a response', ['final'], /cannot send complete final before sending/],
    ['a response, after sending one', ['send_nothing'], /must be provided when the response flags is set to zero/],
    ['after a bad flag', ['bad_flag'], /Unsupported flag provided/],
  ];
  for (const [what, script, message] of RETURNS) {
    test(`return ${what}: the request fails with Triton's words`, async () => {
      assert.match(await failure(script), message);
    });
  }

  test('know their request', async () => {
    const about = JSON.parse(
      await answer('scripted', ['about'], { id: 'id7', parameters: { p: 3, q: 's' } }),
    ) as unknown[];
    assert.deepEqual(about, ['id7', 0, 0, 0, '{"p":3,"q":"s"}', ['OUT'], false]);
    const { json } = await ask('scripted', [['parameters', { a: 1, b: true, c: 'x', d: 1.5 }]]);
    assert.deepEqual((json as { parameters?: unknown }).parameters, { a: 1, b: true, c: 'x', d: 1.5 });
  });

  test('get an answer by a sender, during execute and after it', async () => {
    assert.equal(await answer('scripted', ['send_final']), 'sent last');
    assert.equal(await answer('scripted', ['send']), 'sent');
    assert.equal(await answer('scripted', [['later', ['a', 'final']]]), 'a');
  });

  test('ask other models', async () => {
    assert.equal(await answer('scripted', [['bls', 'other', [['return', 'hi']]]]), "[('OUT', [[b'hi']])] {}");
    assert.equal(await answer('scripted', [['bls', 'other', [['error', 'no', 'NOT_FOUND']]]]), 'error 2: no');
    assert.match(
      await answer('scripted', [['bls', 'nobody', []]]),
      /^error 1: Model nobody - Error when running inference: Failed for execute the inference request\. Model 'nobody' is not ready\.$/,
    );
    assert.match(await answer('scripted', [['bls', 'scripted_decoupled', ['send', 'final']]]), /decoupled=True/);
    assert.deepEqual(
      JSON.parse(await answer('scripted', [['bls_stream', 'scripted_decoupled', ['send', 'send', 'final']]])),
      ["[('OUT', [[b'sent']])] {}", "[('OUT', [[b'sent']])] {}", '[] {}'],
    );
    const parallel = JSON.parse(await answer('scripted', [['bls_parallel', 'other', 5]])) as string[];
    assert.deepEqual(
      parallel,
      Array.from({ length: 5 }, (_, index) => `[('OUT', [[b'${index}']])] {}`),
    );
    const about = await answer('scripted', [
      ['bls', 'other', ['about'], { request_id: 'r', correlation_id: 5, flags: 1, timeout: 9, parameters: { z: 1 } }],
    ]);
    assert.match(about, /"r", 5, 1, 9, /);
  });

  test('load, unload and ask for other models', async () => {
    assert.equal(await answer('scripted', [['ready', 'other']]), 'True');
    assert.equal(
      await answer('scripted', [
        ['unload', 'other'],
        ['ready', 'other'],
      ]),
      'False',
    );
    assert.equal(
      await answer('scripted', [
        ['load', 'other'],
        ['ready', 'other'],
      ]),
      'True',
    );
    assert.match(
      await failure([['load', 'nobody']]),
      /TritonModelException: Failed to load model: failed to load 'nobody', failed to poll from model repository/,
    );
  });

  test('have metrics of their own', async () => {
    assert.equal(await answer('scripted', [['metric', 'counter', 'increment', 2.5]]), '2.5');
    assert.equal(await answer('scripted', [['metric', 'counter', 'increment', 1]]), '3.5');
    assert.match(await failure([['metric', 'counter', 'increment', -1]]), /incremented monotonically/);
    await answer('scripted', [['metric', 'gauge', 'set', 4, { l: 'x' }]]);
    await answer('scripted', [['metric', 'histogram', 'observe', 3, {}, [1, 5]]]);
    const { text } = await call(`${server.metrics}/metrics`);
    assert.match(text, /# TYPE scripted_counter counter\nscripted_counter 3\.5\n/);
    assert.match(text, /scripted_gauge\{l="x"\} 4\n/);
    assert.match(text, /scripted_histogram_bucket\{le="1"\} 0\nscripted_histogram_bucket\{le="5"\} 1\n/);
  });

  test('write to the log', async () => {
    await answer('scripted', [['log', 'heard'], ['return']]);
    await sleep(50);
    assert.match(server.log, /I\d.*"heard" model=scripted/);
    assert.match(server.log, /W\d.*"heard warning" model=scripted/);
    assert.match(server.log, /V\d.*"heard verbose" model=scripted/);
    assert.match(server.log, /"heard printed" model=scripted/);
  });

  test('exchange tensors by DLPack', async () => {
    assert.equal(await answer('scripted', ['dlpack']), '[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] [0, 1, 2] True');
  });

  test('complete their own configuration, and import what lies beside them', async () => {
    const { text } = await call(`${server.http}/v2/models/completed/config`);
    const config = JSON.parse(text) as Record<string, unknown>;
    assert.equal(config['max_batch_size'], 8);
    assert.ok('dynamic_batching' in config);
    const body = '{"inputs":[{"name":"X","datatype":"FP32","shape":[1,2],"data":[1,2]}]}';
    assert.match((await call(`${server.http}/v2/models/completed/infer`, post(body))).text, /"data":\[2\.0,4\.0\]/);
  });

  test('get large tensors through shared memory, again and again', async () => {
    const values = Float32Array.from({ length: 1 << 19 }, (_, index) => index);
    const header = JSON.stringify({
      inputs: [
        { name: 'IN', datatype: 'FP32', shape: [values.length], parameters: { binary_data_size: values.byteLength } },
      ],
      parameters: { binary_data_output: true },
    });
    const body = Buffer.concat([Buffer.from(header), Buffer.from(values.buffer)]);
    for (let round = 0; round < 8; round++) {
      const response = await fetch(`http://${server.http}/v2/models/large/infer`, {
        method: 'POST',
        body,
        headers: { 'Inference-Header-Content-Length': String(header.length) },
      });
      const answered = new Uint8Array(await response.arrayBuffer());
      const skip = Number(response.headers.get('inference-header-content-length'));
      assert.equal(Buffer.compare(answered.subarray(skip), Buffer.from(values.buffer)), 0);
    }
  });

  test('fail their requests and come back when their process dies', async () => {
    const dying = ask('scripted', [['exit', 3]]);
    const { status, json } = await dying;
    assert.equal(status, 500);
    assert.match(json.error ?? '', /Stub process 'scripted_0' is not healthy: it ended with exit code 3\.$/);
    // The next one waits for the new process.
    assert.equal((await call(`${server.http}/v2/models/scripted/ready`)).status, 400);
    assert.equal(await answer('scripted', ['return']), 'returned');
    assert.equal((await call(`${server.http}/v2/models/scripted/ready`)).status, 200);
  });

  test('are ended when an execution takes longer than it may', async () => {
    const body = '{"inputs":[{"name":"IN","datatype":"FP32","shape":[1],"data":[1]}]}';
    const { status, text } = await call(`${server.http}/v2/models/slow/infer`, post(body));
    assert.equal(status, 500);
    assert.match(text, /is not healthy: it was ended by SIGKILL/);
    assert.match(server.log, /an execution of 'slow_0' took longer than 0\.5 s/);
  });

  const REASONS: Readonly<Record<string, RegExp>> = {
    syntax: /model\.py", line 1\s+def broken\(:\s+\^\s+SyntaxError: invalid syntax/,
    module_missing: /ModuleNotFoundError: No module named 'no_such_module'\s+At:\s+.*module_missing\/1\/model\.py\(1\)/,
    class_missing: /class_missing\/1\/model\.py has no class TritonPythonModel/,
    fails: /NameError: name 'lorem_ipsum' is not defined\s+At:\s+.*fails\/1\/model\.py\(4\): initialize/,
    incomplete: /Python model 'incomplete_0' does not implement `execute` method/,
  };
  for (const [name, reason] of Object.entries(REASONS)) {
    test(`that are broken do not load, and say why: ${name}`, async () => {
      const { text } = await call(`${server.http}/v2/repository/index`, post(''));
      const rows = JSON.parse(text) as { name: string; state?: string; reason?: string }[];
      const row = rows.find((candidate) => candidate.name === name);
      assert.equal(row?.state, 'UNAVAILABLE');
      assert.match(row?.reason ?? '', reason);
    });
  }

  test('take their memory with them when they go', async () => {
    const { text } = await call(`${server.http}/v2/models/pid/infer`, post('{"inputs":[]}'));
    const pid = Number(/"data":\[(\d+)\]/.exec(text)?.[1]);
    assert.ok(existsSync(`/proc/${pid}`));
    await call(`${server.http}/v2/repository/models/pid/unload`, post('{}'));
    for (let wait = 0; wait < 500 && existsSync(`/proc/${pid}`); wait++) await sleep(20);
    assert.ok(!existsSync(`/proc/${pid}`));
  });

  for (const name of ['Decoupled', 'Cancelled']) {
    test(`over gRPC with the unmodified tritonclient: ${name}`, async () => {
      const { status, output } = await pythonTest('test_python_models.py', name, {
        HTTP_URL: server.http,
        GRPC_URL: server.grpc,
      });
      assert.equal(status, 0, output);
    });
  }
});

test('a Python model runs in the environment that it names: a folder, or a packed one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-env-test-'));
  execFileSync('python3', ['-m', 'venv', '--without-pip', join(folder, 'env')]);
  const site = execFileSync(PYTHON, [
    '-c',
    'import numpy, os; print(os.path.dirname(os.path.dirname(numpy.__file__)))',
  ]);
  const [packages = ''] = globSync('env/lib/python3*/site-packages', { cwd: folder });
  writeFileSync(join(folder, packages, 'more.pth'), site);
  execFileSync('tar', ['-czf', join(folder, 'env.tar.gz'), '-C', join(folder, 'env'), '.']);
  const where = model(`def execute(self, requests):
    import sys
    import numpy as np
    return [pb.InferenceResponse([pb.Tensor("OUT", np.array([sys.prefix], dtype=np.object_))]) for _ in requests]`);
  using models = new TemporaryRepository();
  for (const [name, path] of [
    ['folder', join(folder, 'env')],
    ['packed', '$$TRITON_MODEL_DIRECTORY/env.tar.gz'],
  ] as const) {
    models.model(name, {
      'config.pbtxt': `backend: "python" output { name: "OUT" data_type: TYPE_STRING dims: 1 }
        parameters { key: "EXECUTION_ENV_PATH" value { string_value: "${path}" } }`,
      '1/model.py': where,
    });
  }
  cpSync(join(folder, 'env.tar.gz'), join(models.path, 'packed', 'env.tar.gz'));
  await using server = await RunningServer.start([`--model-repository=${models.path}`]);
  const prefix = async (name: string): Promise<string> =>
    (await call(`${server.http}/v2/models/${name}/infer`, post('{"inputs":[]}'))).text;
  assert.ok((await prefix('folder')).includes(join(folder, 'env')), server.log);
  assert.match(await prefix('packed'), /goodput-env-[0-9a-f]{16}/, server.log);
  rmSync(folder, { recursive: true });
});

test('a missing interpreter, NumPy or framework is one sentence', async () => {
  using models = new TemporaryRepository();
  models.model('m', { 'config.pbtxt': plain(), '1/model.py': IDENTITY });
  models.model('torch', {
    'config.pbtxt': 'platform: "pytorch_libtorch" input { name: "x" data_type: TYPE_FP32 dims: 1 }',
    '1/model.pt': 'x',
  });
  const folder = mkdtempSync(join(tmpdir(), 'goodput-bare-'));
  execFileSync('python3', ['-m', 'venv', '--without-pip', folder]);
  const bare = join(folder, 'bin', 'python');
  const log = async (python: string): Promise<string> => {
    await using server = await RunningServer.start([
      `--model-repository=${models.path}`,
      `--backend-config=python,python=${python}`,
      `--backend-config=pytorch,python=${PYTHON}`,
    ]);
    return server.log;
  };
  assert.match(await log('/no/such/python'), /cannot start \/no\/such\/python: spawn/);
  const words = await log(bare);
  assert.ok(
    words.includes(`${bare} cannot import numpy (No module named 'numpy'): ${bare} -m pip install numpy`),
    words,
  );
  assert.match(words, /PyTorch models need the Python package torch.*: \S+ -m pip install torch/);
  rmSync(folder, { recursive: true });
  assert.ok(!existsSync(folder));
});
