import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { addSubModel } from '../fixtures/onnx-builder.ts';
import { PYTHON } from '../support/python.ts';
import { call } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const SCRIPT = `import { defineModel } from 'goodput/model';
export default defineModel({ inputs: {}, outputs: { OUT: { type: 'INT32', dims: [1] } },
  run: () => ({ OUT: { shape: [1], values: Int32Array.of(7) } }) });`;

const PYTHON_MODEL = `import numpy as np
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("OUT", np.array([7], np.int32))]) for _ in requests]`;

/** Without the folder that npm puts the pinned Node into. */
function systemPath(): string {
  return (process.env['PATH'] ?? '')
    .split(':')
    .filter((folder) => !folder.includes('node_modules'))
    .join(':');
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('the packed tarball installs offline without install scripts and serves on the Node of the machine', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-package-'));
  const npm = (args: readonly string[], cwd: string): string =>
    execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd, encoding: 'utf8' });
  try {
    execFileSync(process.execPath, [join(ROOT, 'scripts', 'build.mjs')]);
    const tarball = join(
      folder,
      npm(['pack', join(ROOT, 'dist'), '--silent'], folder)
        .trim()
        .split('\n')
        .at(-1) ?? '',
    );
    // The first installation fills npm's cache; the second one may not touch the network.
    for (const [name, extra] of [
      ['online', '--prefer-offline'],
      ['offline', '--offline'],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'package.json'), '{"private":true}');
      npm(['install', tarball, '--ignore-scripts', extra], join(folder, name));
    }
    const bin = join(folder, 'offline', 'node_modules', '.bin', 'goodput');
    // Not the pinned Node that runs the tests: whatever `node` is on this machine.
    const env = { ...process.env, PATH: systemPath() };
    assert.match(execFileSync('node', [bin, 'version'], { encoding: 'utf8', env }), /^goodput \d/);
    using models = new TemporaryRepository().model('simple', { '1/model.onnx': addSubModel('INT32', ['N', 2]) });
    models.model('script', { '1/model.mjs': SCRIPT });
    models.model('python', {
      '1/model.py': PYTHON_MODEL,
      'config.pbtxt': 'backend: "python" output { name: "OUT" data_type: TYPE_INT32 dims: 1 }',
    });
    const ports = ['--http-port=18450', '--grpc-port=0', '--metrics-port=0'];
    const flags = [`--backend-config=python,python=${PYTHON}`, ...ports];
    const server = spawn('node', [bin, 'serve', '--model-repository', models.path, ...flags], { stdio: 'ignore', env });
    try {
      await untilReady('127.0.0.1:18450/v2/health/ready');
      const tensor = (name: string): string => `{"name":"${name}","datatype":"INT32","shape":[1,2],"data":[1,2]}`;
      const body = `{"inputs":[${tensor('INPUT0')},${tensor('INPUT1')}]}`;
      const answer = await call('127.0.0.1:18450/v2/models/simple/infer', { method: 'POST', body });
      assert.match(answer.text, /"data":\[2,4\]/);
      for (const name of ['script', 'python']) {
        const { text } = await call(`127.0.0.1:18450/v2/models/${name}/infer`, {
          method: 'POST',
          body: '{"inputs":[]}',
        });
        assert.match(text, /"data":\[7\]/, name);
      }
    } finally {
      server.kill('SIGTERM');
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

async function untilReady(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const ready = await call(url).then(
      ({ status }) => status === 200,
      () => false,
    );
    if (ready) return;
    await sleep(50);
  }
  assert.fail(`${url} did not become ready`);
}
