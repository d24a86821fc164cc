import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseFlags } from '../../src/cli/flags.ts';
import { SERVE_FLAGS } from '../../src/cli/serve-flags.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'src/cli/main.ts');

const goodput = (...args: readonly string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });

describe('flags', () => {
  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [['--model-repositroy=x'], /unknown flag --model-repositroy, did you mean 'model-repository'\?/],
    [['--http-port=99999'], /--http-port must be an integer from 0 to 65535, got '99999'/],
    [['--http-port=x'], /--http-port must be an integer from 0 to 65535, got 'x'/],
    [
      ['--model-control-mode=expilcit'],
      /must be one of none, poll, explicit, got 'expilcit', did you mean 'explicit'\?/,
    ],
    [['--strict-readiness=maybe'], /--strict-readiness must be true or false, got 'maybe'/],
    [['--id'], /--id needs a value/],
    [['stray'], /unexpected argument 'stray'/],
  ];
  for (const [argv, message] of mistakes) {
    test(argv.join(' '), () => assert.throws(() => parseFlags(argv, SERVE_FLAGS), message));
  }

  test('both ways of giving a value, repeated flags and bare booleans', () => {
    const flags = parseFlags(
      ['--model-repository=a', '--model-repository', 'b', '--strict-readiness', '--http-port', '1'],
      SERVE_FLAGS,
    );
    assert.deepEqual(flags.all('model-repository'), ['a', 'b']);
    assert.equal(flags.boolean('strict-readiness', false), true);
    assert.equal(flags.number('http-port', 0), 1);
  });
});

describe('the command', () => {
  test('mistakes are one sentence and exit status 2', () => {
    for (const [args, message] of [
      [['serve'], /--model-repository is needed/],
      [['sreve'], /unknown command 'sreve', did you mean 'serve'\?/],
      [
        ['serve', '--model-repository=x', '--cache-config=local,size=8192', '--cache-config=redis,key=value'],
        /found multiple cache configurations, but only a single cache is currently supported/,
      ],
      [
        ['serve', '--model-repository=x', '--response-cache-byte-size=12345', '--cache-config=local,size=67890'],
        /Incompatible flags --response-cache-byte-size and --cache-config both provided/,
      ],
      [['serve', '--model-repository=x', '--cache-config=local,size=much'], /'local' needs size=BYTES, got 'much'/],
      [
        ['serve', '--model-repository=x', '--rate-limit-resource=r'],
        /--rate-limit-resource option format is '<resource_name>:<count>:<device>' or '<resource_name>:<count>'\. Got r/,
      ],
      [['serve', '--sagemaker-port=1'], /--sagemaker-port is not supported: SageMaker endpoints are not served/],
      [['serve', '--model-repository=x', '--load-model=m'], /--load-model needs --model-control-mode=explicit/],
      [
        ['serve', '--model-repository=x', '--model-control-mode=explicit', '--load-model=*', '--load-model=m'],
        /Wildcard model name '\*' must be the ONLY startup model if specified at all/,
      ],
      [['serve', '--model-repository=x', '--backend-config=y'], /--backend-config must be BACKEND,KEY=VALUE, got 'y'/],
      [['model-analyzer'], /model-analyzer is not part of goodput/],
      [['perf_analyzer'], /-m MODEL is required/],
    ] as const) {
      const { status, stderr } = goodput(...args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, message);
      assert.equal(stderr.trim().split('\n').length, 1);
    }
  });

  test('help lists every flag', () => {
    const { status, stdout } = goodput('serve', '--help');
    assert.equal(status, 0);
    for (const { name } of SERVE_FLAGS) assert.match(stdout, new RegExp(`--${name}[= \n]`));
  });

  test('a repository that is not there stops the start', async () => {
    const { status, log } = await RunningServer.runToExit(['--model-repository=/does/not/exist']);
    assert.equal(status, 1);
    assert.match(log, /failed to stat file \/does\/not\/exist/);
  });

  test('with --exit-on-error=false it stays up, and says that it is not live', async () => {
    await using server = await RunningServer.start(['--model-repository=/does/not/exist', '--exit-on-error=false']);
    assert.equal((await call(`${server.http}/v2/health/live`)).status, 400);
    assert.equal((await call(`${server.http}/v2/health/ready`)).status, 400);
    assert.match((await call(`${server.http}/v2`)).text, /"name":"triton"/);
  });

  test('a port that is taken is named', async () => {
    using models = new TemporaryRepository().identity('m', 'TYPE_INT32', '[ 1 ]');
    await using server = await RunningServer.start(['--model-repository', models.path]);
    const port = server.http.split(':')[1];
    const { status, log } = await RunningServer.runToExit(['--model-repository', models.path, `--http-port=${port}`]);
    assert.equal(status, 1);
    assert.match(log, new RegExp(`cannot listen for HTTPService on 127.0.0.1:${port}`));
  });

  test("under the name tritonserver, Triton's defaults hold", async () => {
    using models = new TemporaryRepository().model('broken', {
      'config.pbtxt': 'backend: "onnxruntime"',
      '1/model.onnx': 'x',
    });
    models.identity('good', 'TYPE_INT32', '[ 1 ]');
    const triton = await RunningServer.runToExit(['--model-repository', models.path], 'tritonserver');
    assert.equal(triton.status, 1);
    assert.match(triton.log, /failed to load all models/);
    assert.match(triton.log, /Started HTTPService at 0\.0\.0\.0/);
    await using server = await RunningServer.start(['--model-repository', models.path]);
    assert.match(server.log, /Started HTTPService at 127\.0\.0\.1/);
    assert.match(server.log, /--host=0\.0\.0\.0 opens the endpoints/);
    assert.equal((await call(`${server.http}/v2/models/good/ready`)).status, 200);
  });

  test('KIND_GPU without a GPU is a warning, and an error with --strict-devices', async () => {
    using models = new TemporaryRepository().identity(
      'm',
      'TYPE_INT32',
      '[ 1 ]',
      'instance_group [ { kind: KIND_GPU } ]',
    );
    await using lenient = await RunningServer.start(['--model-repository', models.path]);
    assert.equal((await call(`${lenient.http}/v2/models/m/ready`)).status, 200);
    assert.match(lenient.log, /has kind KIND_GPU but no GPUs are available: its 1 instance\(s\) run on the CPU/);
    await using strict = await RunningServer.start(['--model-repository', models.path, '--strict-devices=true']);
    assert.equal((await call(`${strict.http}/v2/models/m/ready`)).status, 400);
  });

  test('SIGTERM lets accepted requests finish, then exits with 0', async () => {
    using models = new TemporaryRepository().identity(
      'slow',
      'TYPE_INT32',
      '[ 1 ]',
      'parameters { key: "execute_delay_ms" value { string_value: "400" } }',
    );
    const server = await RunningServer.start(['--model-repository', models.path]);
    const answer = call(
      `${server.http}/v2/models/slow/infer`,
      post('{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,1],"data":[7]}]}'),
    );
    await sleep(100);
    const status = server.stop();
    assert.match((await answer).text, /"data":\[7\]/);
    assert.equal(await status, 0);
  });

  test('the server is named by --id, and JSON logs are JSON', async () => {
    using models = new TemporaryRepository().identity('m', 'TYPE_INT32', '[ 1 ]');
    await using server = await RunningServer.start(['--model-repository', models.path, '--id=blue']);
    assert.match((await call(`${server.http}/v2`)).text, /"name":"blue"/);
    const { log } = await RunningServer.runToExit(['--model-repository=/nowhere', '--log-format=json']);
    for (const line of log.trim().split('\n'))
      assert.equal(typeof (JSON.parse(line) as { message: string }).message, 'string');
  });
});

test('goodput compat writes scripts that answer to the old names', () => {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-compat-'));
  try {
    assert.match(execFileSync(process.execPath, [MAIN, 'compat', folder], { encoding: 'utf8' }), /export PATH=/);
    for (const name of ['tritonserver', 'triton-server']) {
      const { status, stdout } = spawnSync(join(folder, name), ['--help'], { encoding: 'utf8' });
      assert.equal(status, 0);
      assert.match(stdout, /--model-repository/);
    }
    const analyzer = spawnSync(join(folder, 'perf_analyzer'), ['--help'], { encoding: 'utf8' });
    assert.equal(analyzer.status, 0);
    assert.match(analyzer.stdout, /--concurrency-range/);
    for (const name of ['model-analyzer', 'genai-perf']) {
      const { status, stderr } = spawnSync(join(folder, name), ['--help'], { encoding: 'utf8' });
      assert.equal(status, 2);
      assert.match(stderr, /is not part of goodput/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('./goodput runs from a clone and through a link', () => {
  const link = join(mkdtempSync(join(tmpdir(), 'goodput-link-')), 'goodput');
  execFileSync('ln', ['-s', join(ROOT, 'goodput'), link]);
  assert.match(execFileSync(link, ['version'], { encoding: 'utf8' }), /^goodput \d+\.\d+\.\d+/);
  assert.ok(existsSync(link));
});
