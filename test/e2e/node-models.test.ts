import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

const TEXT = `inputs: { IN: { type: 'BYTES', dims: [1] } }, outputs: { OUT: { type: 'BYTES', dims: [1] } },`;

/** Does what its input says. */
const SCRIPTED = `import { defineModel, ModelError } from 'goodput/model';
const out = (text: string) => ({ OUT: { shape: [1, 1], values: [text] } });
export default defineModel({
  ${TEXT}
  maxBatchSize: 8,
  load({ metrics, log }) {
    log.info('loaded with a log line');
    return { calls: metrics.counter('node_calls', 'Calls', { model: 'scripted' }) };
  },
  async run(request, { state, infer, inferStream, log, name, version }) {
    state.calls.increment();
    const [text = ''] = request.inputs.IN.values;
    switch (text) {
      case 'throw': throw new Error('it threw');
      case 'code': throw new ModelError('NOT_FOUND', 'it is not there');
      case 'exit': return process.exit(4);
      case 'loop': for (;;);
      case 'name': return { NOBODY: { shape: [1, 1], values: ['x'] } } as never;
      case 'type': return { OUT: { shape: [1, 1], values: Int32Array.of(1) } } as never;
      case 'shape': return { OUT: { shape: [1, 2], values: ['x'] } };
      case 'log': log.warn('from the model'); console.log('printed'); return out('logged');
      case 'about': return out(JSON.stringify([name, version, request.id, request.parameters, request.outputs]));
      case 'wait': await new Promise((resolve) => request.signal.addEventListener('abort', resolve)); log.info('aborted'); return out('late');
      case 'infer': {
        const { OUT } = await infer({ model: 'second', inputs: { IN: { datatype: 'BYTES', shape: [1, 1], values: ['hi'] } } });
        return out(String(OUT?.values[0]));
      }
      case 'nobody': await infer({ model: 'nobody', inputs: {} }); return out('');
      case 'wrong': await infer({ model: 'words', inputs: {} }); return out('');
      case 'stream': {
        const seen: unknown[] = [];
        const inputs = { IN: { datatype: 'BYTES', shape: [1], values: ['a b c d'] } } as const;
        for await (const { OUT } of inferStream({ model: 'words', inputs })) { seen.push(OUT?.values[0]); if (seen.length === 3) break; }
        return out(seen.join());
      }
      default: return out(text.toUpperCase());
    }
  },
});`;

const WORDS = `export default {
  ${TEXT}
  concurrency: 2,
  async *stream({ inputs, signal }) {
    for (const word of inputs.IN.values[0].split(' ')) {
      if (signal.aborted) return;
      if (word === 'bad') throw new Error('a bad word');
      await new Promise((resolve) => setTimeout(resolve, 20));
      yield { OUT: { shape: [1], values: [word] } };
    }
  },
};`;

const BATCH = `export default {
  inputs: { X: { type: 'FP32', dims: [2] }, Y: { type: 'FP32', dims: [1], optional: true } },
  outputs: { SUM: { type: 'FP32', dims: [1] }, TOGETHER: { type: 'INT32', dims: [1] } },
  maxBatchSize: 16,
  runBatch(requests) {
    return requests.map(({ inputs: { X, Y } }) => {
      if (X.values[0] < 0) return new Error('negative');
      const sum = X.values[0] + X.values[1] + (Y?.values[0] ?? 0);
      return { SUM: { shape: [1, 1], values: Float32Array.of(sum) }, TOGETHER: { shape: [1, 1], values: Int32Array.of(requests.length) } };
    });
  },
};`;

describe('Node models', () => {
  const models = new TemporaryRepository()
    .model('scripted', {
      '1/model.ts': SCRIPTED,
      'config.pbtxt': 'backend: "node" parameters { key: "EXECUTE_TIMEOUT_SECONDS" value { string_value: "2" } }',
    })
    .model('second', { '1/model.ts': SCRIPTED })
    .model('words', { '1/model.mjs': WORDS })
    .model('batch', { '1/model.mjs': BATCH })
    .model('inline', {
      '1/model.mjs': BATCH,
      'config.pbtxt': 'backend: "node" parameters { key: "placement" value { string_value: "inline" } }',
    });
  const broken: Readonly<Record<string, readonly [text: string, config: string, reason: RegExp]>> = {
    syntax: ['export default {', '', /SyntaxError: Unexpected end of input/],
    nothing: ['export const x = 1;', '', /nothing\/1\/model\.mjs must export its definition/],
    ways: [`export default { ${TEXT} };`, '', /must define exactly one of run, runBatch, stream, it defines none/],
    dims: [
      "export default { inputs: { A: { type: 'FP32', dims: ['x'] } }, outputs: {}, run() {} };",
      '',
      /inputs\.A\.dims must be integers >= -1, got \["x"\]/,
    ],
    type: [
      "export default { inputs: { A: { type: 'FLOAT', dims: [1] } }, outputs: {}, run() {} };",
      '',
      /inputs\.A\.type must be a data type such as FP32 or BYTES, got 'FLOAT'/,
    ],
    load: [
      `export default { ${TEXT} load() { throw new Error('no weights'); }, run() {} };`,
      '',
      /Error: no weights\s+at .*load\/1\/model\.mjs\?v=[\d.]+:1/,
    ],
    config: [
      `export default { ${TEXT} run() {} };`,
      'input { name: "OTHER" data_type: TYPE_STRING dims: 1 }',
      /configures input 'OTHER', its definition has: IN/,
    ],
  };
  for (const [name, [text, config]] of Object.entries(broken)) {
    models.model(name, { '1/model.mjs': text, 'config.pbtxt': `backend: "node" ${config}` });
  }
  let server: RunningServer;
  before(async () => {
    server = await RunningServer.start([`--model-repository=${models.path}`, '--log-verbose=1']);
  });
  after(async () => {
    await server.stop();
    models[Symbol.dispose]();
  });

  const ask = async (text: string, more: object = {}): Promise<readonly [number, string]> => {
    const inputs = [{ name: 'IN', datatype: 'BYTES', shape: [1, 1], data: [text] }];
    const answered = await call(`${server.http}/v2/models/scripted/infer`, post(JSON.stringify({ inputs, ...more })));
    const json = JSON.parse(answered.text) as { error?: string; outputs?: readonly { data: readonly string[] }[] };
    return [answered.status, json.error ?? json.outputs?.[0]?.data[0] ?? ''];
  };

  test('answer, in TypeScript, without a configuration of their tensors', async () => {
    assert.deepEqual(await ask('héllo'), [200, 'HÉLLO']);
    const config = JSON.parse((await call(`${server.http}/v2/models/scripted/config`)).text) as object;
    assert.deepEqual(
      ['max_batch_size', 'dynamic_batching' in config].map((key) =>
        typeof key === 'string' ? (config as Record<string, unknown>)[key] : key,
      ),
      [8, true],
    );
  });

  const FAILURES: readonly (readonly [string, number, RegExp])[] = [
    ['throw', 500, /^it threw$/],
    ['code', 404, /^it is not there$/],
    ['name', 500, /the model has no output 'NOBODY', it has: OUT/],
    ['type', 400, /output 'OUT' is BYTES: its values must be an array of texts/],
    ['shape', 400, /output 'OUT' has shape \[1,2\], which is 2 values, got 1/],
    ['nobody', 404, /nobody/],
    ['wrong', 500, /'words' answers any number of times: ask it with inferStream/],
  ];
  for (const [text, status, message] of FAILURES) {
    test(`fail a request that they cannot answer: ${text}`, async () => {
      const [got, error] = await ask(text);
      assert.equal(got, status);
      assert.match(error, message);
    });
  }

  test('know their request, and write to the log', async () => {
    const [, about] = await ask('about', { id: 'id7', parameters: { p: 3 } });
    assert.deepEqual(JSON.parse(about), ['scripted', 1, 'id7', { p: 3 }, ['OUT']]);
    assert.deepEqual(await ask('log'), [200, 'logged']);
    await sleep(50);
    assert.match(server.log, /"loaded with a log line" model=scripted/);
    assert.match(server.log, /W\d.*"from the model" model=scripted/);
    assert.match(server.log, /"printed" model=scripted/);
    assert.match((await call(`${server.metrics}/metrics`)).text, /node_calls\{model="scripted"\} [1-9]/);
  });

  test('ask other models, also those that answer many times', async () => {
    assert.deepEqual(await ask('infer'), [200, 'HI']);
    assert.deepEqual(await ask('stream'), [200, 'a,b,c']);
  });

  test('stream, several requests at a time', async () => {
    const stream = async (text: string): Promise<string> =>
      (await call(`${server.http}/v2/models/words/generate_stream`, post(JSON.stringify({ IN: text })))).text;
    const started = performance.now();
    const events = await Promise.all([stream('a b c'), stream('d e f'), stream('g')]);
    assert.deepEqual(
      events.map((text) => [...text.matchAll(/"OUT":"(\w+)"/g)].map(([, word]) => word).join('')),
      ['abc', 'def', 'g'],
    );
    assert.ok(performance.now() - started < 2000);
    assert.match(await stream('x bad'), /"OUT":"x".*\n\ndata: \{"error":"a bad word"\}/s);
  });

  for (const name of ['batch', 'inline']) {
    test(`answer all requests of an execution at once: ${name}`, async () => {
      const one = async (x: number, y?: number): Promise<string> => {
        const inputs = [{ name: 'X', datatype: 'FP32', shape: [1, 2], data: [x, 1] }];
        if (y !== undefined) inputs.push({ name: 'Y', datatype: 'FP32', shape: [1, 1], data: [y] });
        return (await call(`${server.http}/v2/models/${name}/infer`, post(JSON.stringify({ inputs })))).text;
      };
      assert.match(await one(2, 3), /"SUM".*"data":\[6\.0\]/);
      const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => one(index === 3 ? -1 : index)));
      answers.forEach((text, index) =>
        assert.match(text, index === 3 ? /"error":"negative"/ : new RegExp(`"data":\\[${index + 1}\\.0\\]`)),
      );
    });
  }

  test('are told when the client has gone', async () => {
    const controller = new AbortController();
    const inputs = [{ name: 'IN', datatype: 'BYTES', shape: [1, 1], data: ['wait'] }];
    const waiting = fetch(`http://${server.http}/v2/models/scripted/infer`, {
      ...post(JSON.stringify({ inputs })),
      signal: controller.signal,
    });
    await sleep(200);
    controller.abort();
    await assert.rejects(waiting);
    for (let wait = 0; wait < 100 && !server.log.includes('"aborted"'); wait++) await sleep(20);
    assert.match(server.log, /"aborted" model=scripted/);
  });

  test('come back when their thread ends, or takes too long', async () => {
    const [status, error] = await ask('exit');
    assert.equal(status, 500);
    assert.match(error, /the worker of 'scripted_0' ended while it had the request: its thread ended with exit code 4/);
    assert.deepEqual(await ask('again'), [200, 'AGAIN']);
    assert.equal((await ask('loop'))[0], 500);
    assert.deepEqual(await ask('and again'), [200, 'AND AGAIN']);
  });

  for (const [name, [, , reason]] of Object.entries(broken)) {
    test(`that are broken do not load, and say why: ${name}`, async () => {
      const { text } = await call(`${server.http}/v2/repository/index`, post(''));
      const row = (JSON.parse(text) as { name: string; reason?: string }[]).find((each) => each.name === name);
      assert.match(row?.reason ?? '', reason);
    });
  }
});

test('goodput new model writes models that serve as they are', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-new-'));
  const create = (...args: readonly string[]): string =>
    execFileSync(process.execPath, [MAIN, 'new', 'model', ...args], { encoding: 'utf8' });
  assert.match(create(join(folder, 'count')), /Wrote .*count\/1\/model\.ts/);
  create(join(folder, 'split'), '--stream');
  assert.throws(() => create(join(folder, 'count')), /is there already/);
  await using server = await RunningServer.start([`--model-repository=${folder}`]);
  const body = '{"TEXT":"one two three"}';
  assert.match((await call(`${server.http}/v2/models/count/generate`, post(body))).text, /"WORDS":3/);
  const { text } = await call(`${server.http}/v2/models/split/generate_stream`, post(body));
  assert.deepEqual(
    [...text.matchAll(/"WORD":"(\w+)"/g)].map(([, word]) => word),
    ['one', 'two', 'three'],
  );
  rmSync(folder, { recursive: true });
});

describe('backends outside the server', () => {
  const echo = `backend: "echo" input { name: "A" data_type: TYPE_STRING dims: 1 } output { name: "B" data_type: TYPE_STRING dims: 1 }`;
  const infer = async (server: RunningServer, name: string): Promise<string> => {
    const inputs = [{ name: 'A', datatype: 'BYTES', shape: [1], data: ['x'] }];
    return (await call(`${server.http}/v2/models/${name}/infer`, post(JSON.stringify({ inputs })))).text;
  };

  test('come from --backend-directory: in TypeScript, as a package, or in Python', async () => {
    const plugins = new TemporaryRepository();
    plugins.model('packed', {
      'package.json': '{"name":"goodput-backend-packed","main":"lib.mjs","type":"module"}',
      'lib.mjs': `import { encodeStrings } from 'goodput/backend';
        const nothing = { async [Symbol.asyncDispose]() {} };
        export default () => ({ name: 'packed', ...nothing, async loadModel() { return { ...nothing, async createInstance({ name }) { return { name, ...nothing,
          execute(units, done) { for (const unit of units) unit.respond([{ name: 'B', datatype: 'BYTES', shape: [1], data: encodeStrings(['packed']) }], true); done({ computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 }); } }; } }; } });`,
    });
    plugins.model('snake', {
      'model.py': `import numpy as np, os
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        folder = os.path.basename(os.path.dirname(pb.get_model_dir()))
        return [pb.InferenceResponse([pb.Tensor("B", np.array([folder], dtype=np.object_))]) for _ in requests]`,
    });
    plugins.model('bad', { 'index.mjs': 'export default 7;' });
    const models = new TemporaryRepository();
    for (const name of ['packed', 'snake', 'bad', 'absent']) {
      models.model(`m-${name}`, { 'config.pbtxt': echo.replace('echo', name), '1/x': '' });
    }
    await using server = await RunningServer.start([
      `--model-repository=${models.path}`,
      `--backend-directory=${plugins.path}`,
    ]);
    assert.match(await infer(server, 'm-packed'), /"data":\["packed"\]/);
    assert.match(await infer(server, 'm-snake'), /"data":\["m-snake"\]/);
    assert.match(server.log, /backend 'bad': .*index\.mjs must export a function that makes the backend/);
    assert.match(server.log, /unable to find backend library for backend 'absent'/);
  });

  test('the example of one serves', async () => {
    using models = new TemporaryRepository().model('m', { 'config.pbtxt': echo, '1/x': '' });
    const plugins = fileURLToPath(new URL('../../examples/plugins', import.meta.url));
    await using server = await RunningServer.start([
      `--model-repository=${models.path}`,
      `--backend-directory=${plugins}`,
    ]);
    assert.match(await infer(server, 'm'), /"name":"B".*"data":\["x"\]/);
  });
});
