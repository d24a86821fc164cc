import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { addSubModel } from '../fixtures/onnx-builder.ts';
import { RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';
import { missingTools } from '../support/missing-tools.ts';

const FOLDER = fileURLToPath(new URL('../../.cache/perf-analyzer', import.meta.url));
const skip = missingTools.includes('libb64') ? 'libb64 is not installed' : false;

describe('the real perf_analyzer 2.50', { skip }, () => {
  const models = new TemporaryRepository();
  let server: RunningServer;

  before(async () => {
    models.model('simple', { '1/model.onnx': addSubModel('INT32', ['N', 16]) });
    server = await RunningServer.start(['--model-repository', models.path]);
  });
  after(async () => {
    await server.stop();
    models[Symbol.dispose]();
  });

  for (const protocol of ['http', 'grpc'] as const) {
    test(`measures the server over ${protocol}`, async () => {
      const address = protocol === 'http' ? server.http : server.grpc;
      const { status, output } = await perfAnalyzer([
        '-m',
        'simple',
        '-i',
        protocol,
        '-u',
        address,
        '--concurrency-range',
        '4',
        '--request-count',
        '400',
        '-b',
        '2',
      ]);
      assert.equal(status, 0, output);
      const throughput = Number(/Throughput: ([\d.]+) infer\/sec/.exec(output)?.[1]);
      assert.ok(throughput > 0, output);
      assert.match(output, /Inference count: \d+/);
      assert.match(
        output,
        /Avg request latency: \d+ usec \(overhead \d+ usec \+ queue \d+ usec \+ compute input \d+ usec/,
      );
    });
  }

  test('streams over gRPC', async () => {
    const { status, output } = await perfAnalyzer([
      '-m',
      'simple',
      '-i',
      'grpc',
      '-u',
      server.grpc,
      '--streaming',
      '--concurrency-range',
      '2',
      '--request-count',
      '100',
    ]);
    assert.equal(status, 0, output);
  });

  test('moves tensors through system shared memory', async () => {
    const { status, output } = await perfAnalyzer([
      '-m',
      'simple',
      '-u',
      server.http,
      '--shared-memory',
      'system',
      '--request-count',
      '100',
    ]);
    assert.equal(status, 0, output);
  });
});

function perfAnalyzer(args: readonly string[]): Promise<{ status: number; output: string }> {
  const binary =
    globSync(join(FOLDER, '**/perf_analyzer')).find((path) => !path.endsWith('.py') && path.includes('bin')) ?? '';
  const library = globSync(join(FOLDER, '**/libcudart.so.12'))[0] ?? '';
  return new Promise((resolve) => {
    const env = { ...process.env, LD_LIBRARY_PATH: dirname(library) };
    execFile(binary, [...args], { env, timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ status: error ? 1 : 0, output: `${stdout}${stderr}` });
    });
  });
}
