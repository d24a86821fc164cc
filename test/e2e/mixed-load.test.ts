import assert from 'node:assert/strict';
import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { addSubModel, identityModel } from '../fixtures/onnx-builder.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const SECONDS = Number(process.env['GOODPUT_SOAK_SECONDS'] ?? 5);
const LARGE = 600_000;

/** Binary request of INT32 tensors; the answer is binary too. */
function binary(names: readonly string[], values: Int32Array): RequestInit {
  const header = JSON.stringify({
    inputs: names.map((name) => ({
      name,
      datatype: 'INT32',
      shape: [1, values.length],
      parameters: { binary_data_size: values.byteLength },
    })),
    parameters: { binary_data_output: true },
  });
  const tensor = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return post(new Uint8Array(Buffer.concat([Buffer.from(header), ...names.map(() => tensor)])), {
    'Inference-Header-Content-Length': String(header.length),
  });
}

async function answer(url: string, init: RequestInit): Promise<Int32Array> {
  const response = await fetch(`http://${url}`, init);
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, body.toString('utf8', 0, 300));
  const header = Number(response.headers.get('Inference-Header-Content-Length'));
  return new Int32Array(Uint8Array.from(body.subarray(header)).buffer);
}

test(`under ${SECONDS} s of mixed load, cancels, mistakes and reloads every answer is right and none is lost`, async () => {
  using models = new TemporaryRepository();
  const tensors = (count: number): string =>
    ['input', 'output']
      .flatMap((kind) =>
        Array.from(
          { length: count },
          (_, index) => `${kind} { name: "${kind.toUpperCase()}${index}" data_type: TYPE_INT32 dims: [ -1 ] }`,
        ),
      )
      .join('\n');
  models.model('sum', {
    'config.pbtxt': `backend: "onnxruntime" max_batch_size: 16 dynamic_batching { max_queue_delay_microseconds: 500 } ${tensors(2)}`,
    '1/model.onnx': addSubModel('INT32', ['N', 'M']),
  });
  models.model('copy', {
    'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4 ${tensors(1)}`,
    '1/model.onnx': identityModel('INT32', ['N', 'M']),
  });
  models.identity('echo', 'TYPE_INT32', '[ -1 ]');
  await using server = await RunningServer.start([
    '--model-repository',
    models.path,
    '--model-control-mode=explicit',
    '--load-model=*',
    '--log-error=false',
  ]);
  const infer = (model: string): string => `${server.http}/v2/models/${model}/infer`;
  const end = performance.now() + SECONDS * 1000;
  const counts = { small: 0, large: 0, json: 0, cancelled: 0, mistakes: 0, reloads: 0 };
  const until = async (work: (round: number) => Promise<void>): Promise<void> => {
    for (let round = 0; performance.now() < end; round++) await work(round);
  };

  const small = Array.from({ length: 8 }, (_, client) =>
    until(async (round) => {
      const values = Int32Array.from(
        { length: 1 + ((round + client) % 3) * 50 },
        (_unused, index) => index * client + round,
      );
      const result = await answer(infer('sum'), binary(['INPUT0', 'INPUT1'], values));
      assert.equal(result.length, values.length * 2);
      values.forEach((value, index) => assert.equal(result[index], value * 2));
      counts.small++;
    }),
  );
  const large = ['copy', 'echo'].map((model, client) =>
    until(async (round) => {
      const values = Int32Array.from({ length: LARGE }, (_, index) => index ^ (round * 7 + client));
      const result = await answer(infer(model), binary(['INPUT0'], values));
      assert.equal(Buffer.compare(Buffer.from(result.buffer), Buffer.from(values.buffer)), 0);
      counts.large++;
    }),
  );
  const json = until(async (round) => {
    const data = [round, 1 - round, 3];
    const text = (name: string): string =>
      `{"name":"${name}","datatype":"INT32","shape":[1,3],"data":[${data.join()}]}`;
    const { text: body } = await call(infer('sum'), post(`{"inputs":[${text('INPUT0')},${text('INPUT1')}]}`));
    assert.deepEqual(
      (JSON.parse(body) as { outputs: { data: number[] }[] }).outputs[0]?.data,
      data.map((value) => value * 2),
    );
    counts.json++;
  });
  const cancels = until(async (round) => {
    const controller = new AbortController();
    const sent = fetch(`http://${infer(round % 2 ? 'copy' : 'sum')}`, {
      ...binary(round % 2 ? ['INPUT0'] : ['INPUT0', 'INPUT1'], new Int32Array(round % 2 ? LARGE : 10)),
      signal: controller.signal,
    }).then(
      (response) => response.arrayBuffer(),
      () => undefined,
    );
    await sleep(round % 7);
    controller.abort();
    await sent.catch(() => undefined);
    counts.cancelled++;
  });
  const mistakes = until(async (round) => {
    const bodies = [
      '{',
      '{"inputs":[]}',
      '{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[99,1],"data":[1]}]}',
    ];
    const { status } = await call(infer('sum'), post(bodies[round % bodies.length] ?? ''));
    assert.ok(status >= 400);
    counts.mistakes++;
  });
  const reloads = until(async () => {
    const later = new Date(Date.now() + counts.reloads * 1000);
    for (const model of ['sum', 'copy']) utimesSync(join(models.path, model, '1', 'model.onnx'), later, later);
    for (const model of ['sum', 'copy', 'echo']) {
      const { status, text } = await call(`${server.http}/v2/repository/models/${model}/load`, post(''));
      assert.equal(status, 200, text);
      counts.reloads++;
    }
    await sleep(100);
  });
  await Promise.all([...small, ...large, json, cancels, mistakes, reloads]);
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 0, `${kind}: ${count}`);
  const pending = (await call(`${server.metrics}/metrics`)).text;
  assert.match(pending, /nv_inference_pending_request_count\{model="sum",version="1"\} 0/);
});
