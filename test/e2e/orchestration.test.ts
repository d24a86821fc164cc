import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { silentLogger } from '../../src/core/index.ts';
import {
  createRedisStore,
  DEFAULT_TRACE_SETTINGS,
  LocalCache,
  StoreCache,
  type TracingOptions,
} from '../../src/server/engine/index.ts';
import type { Restrictions } from '../../src/server/frontends/restrictions.ts';
import { accumulatorModel } from '../fixtures/onnx-builder.ts';
import { PLAIN_GRPC, startInProcess } from '../support/in-process-server.ts';
import { pythonTest } from '../support/python.ts';
import { makeCertificates } from '../support/certificates.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { scriptedConfig } from '../support/scripted-backend.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';
import { missingTools } from '../support/missing-tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'goodput-orchestration-'));

const delay = (milliseconds: number): string =>
  `parameters { key: "execute_delay_ms" value { string_value: "${milliseconds}" } }`;
const ONE = '{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,1],"data":[1]}]}';

function repository(): TemporaryRepository {
  const made = new TemporaryRepository().identity('slow', 'TYPE_INT32', '1', delay(400));
  made.identity(
    'narrow',
    'TYPE_INT32',
    '1',
    `dynamic_batching { default_queue_policy { max_queue_size: 1 } } max_batch_size: 1 ${delay(300)}`,
  );
  made.identity('quick', 'TYPE_INT32', '1', 'response_cache { enable: true }');
  for (const script of ['repeat', 'echo']) made.model(script, { 'config.pbtxt': scriptedConfig(script), '1/x': '' });
  made.model('acc', {
    'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4 input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
      output { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }
      sequence_batching { oldest { max_candidate_sequences: 4 }
        control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
        state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: 1 } }`,
    '1/model.onnx': accumulatorModel(),
  });
  return made;
}

type InProcess = Awaited<ReturnType<typeof startInProcess>>;

describe('sequences, decoupled models and cancellation with the unmodified tritonclient', () => {
  const models = repository();
  let server: InProcess;
  before(async () => {
    server = await startInProcess(models.path, { cache: () => new LocalCache(10_000), summaries: true });
  });
  after(async () => {
    await server.stop(5);
    models[Symbol.dispose]();
  });

  for (const name of [
    'Sequences.test_sums_over_http',
    'Sequences.test_interleaved_on_one_grpc_stream',
    'Sequences.test_missing_start_and_id',
    'Decoupled.test_one_to_many_with_the_final_flag',
    'Decoupled.test_one_to_none',
    'Decoupled.test_without_the_flag_there_are_only_responses',
    'Decoupled.test_unary_calls_are_refused',
    'Decoupled.test_response_statistics',
    'Cancellation.test_asyncio_call_that_is_cancelled',
    'Cancellation.test_client_timeout',
    'Settings.test_trace_settings',
  ]) {
    test(name, async () => {
      const urls = { HTTP_URL: server.http, GRPC_URL: server.grpc };
      const { status, output } = await pythonTest('test_orchestration.py', name, urls);
      assert.equal(status, 0, output);
      assert.match(output, /Ran 1 test/);
    });
  }

  test('generate_stream sends an event for every response, generate wants exactly one', async () => {
    const stream = await call(`${server.http}/v2/models/repeat/generate_stream`, post('{"IN":[7,8],"id":"q"}'));
    assert.equal(stream.type, 'text/event-stream; charset=utf-8');
    const event = (value: number): string =>
      `data: {"OUT":${value},"id":"q","model_name":"repeat","model_version":"1"}\n\n`;
    assert.equal(stream.text, event(7) + event(8));
    for (const input of ['[7,8]', '[]']) {
      const single = await call(`${server.http}/v2/models/repeat/generate`, post(`{"IN":${input}}`));
      assert.equal(single.status, 200);
      assert.match(single.text, /generate expects model to produce exactly 1 response/);
    }
    const one = await call(`${server.http}/v2/models/repeat/generate`, post('{"IN":9}'));
    assert.equal(one.text, '{"OUT":9,"model_name":"repeat","model_version":"1"}');
  });

  const mistakes: readonly (readonly [string, number, string])[] = [
    ['nope', 500, 'failed to parse the request JSON buffer'],
    ['[]', 500, 'attempt to get members for non-object'],
    [
      '{"IN":1,"parameters":{"IN":2}}',
      400,
      "Converting keyword: 'parameters': [request id: <id_unknown>] input 'IN' already exists in request",
    ],
    ['{"IN":"x"}', 500, "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer"],
    ['{"IN":1,"x":[1]}', 400, "parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'."],
    ['{"IN":1,"id":7}', 500, "Unable to parse 'id': attempt to access JSON non-string as string"],
    ['{"IN":1,"parameters":7}', 500, "Expected JSON object for keyword: 'parameters'"],
    ['{}', 400, "expected 1 inputs but got 0 inputs for model 'echo'"],
  ];
  for (const [body, status, message] of mistakes) {
    test(`generate answers ${status} to ${body}`, async () => {
      const answer = await call(`${server.http}/v2/models/echo/generate`, post(body));
      assert.equal(answer.status, status);
      assert.equal(answer.type, 'application/json');
      const { error } = JSON.parse(answer.text) as { error: string };
      assert.ok(error.includes(message), error);
    });
  }

  test('what is no input of the model is a parameter of the request', async () => {
    const body = '{"IN":1,"temperature":0.5,"flag":true,"parameters":{"deep":"x"}}';
    const answer = await call(`${server.http}/v2/models/echo/generate`, post(body));
    assert.deepEqual(JSON.parse((JSON.parse(answer.text) as { OUT: string }).OUT), {
      temperature: 0.5,
      flag: true,
      deep: 'x',
    });
  });

  test('an HTTP client that goes away takes its request out of the queue', async () => {
    const url = `${server.http}/v2/models/slow/infer`;
    const running = call(url, post(ONE));
    await sleep(50);
    const gone = new AbortController();
    const waiting = fetch(`http://${url}`, { method: 'POST', body: ONE, signal: gone.signal }).catch(() => undefined);
    await sleep(50);
    const model = server.engine.model('slow', '');
    assert.equal(model.pending, 1);
    gone.abort();
    await waiting;
    for (let tries = 0; tries < 50 && model.pending > 0; tries++) await sleep(5);
    assert.equal(model.pending, 0);
    assert.equal((await running).status, 200);
  });

  test('an over-full queue answers 429 with Retry-After where that was asked for', async () => {
    const url = `http://${server.http}/v2/models/narrow/infer`;
    const send = (): Promise<Response> => fetch(url, { method: 'POST', body: ONE });
    const running = send();
    await sleep(50);
    const waiting = send();
    await sleep(50);
    const refused = await send();
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.match(await refused.text(), /Exceeds maximum queue size/);
    assert.deepEqual([(await running).status, (await waiting).status], [200, 200]);
    assert.equal(server.engine.model('narrow', '').statistics.failures.REJECTED, 1);
  });

  test('the cache and the quantiles show in the metrics', async () => {
    for (let index = 0; index < 3; index++) await call(`${server.http}/v2/models/quick/infer`, post(ONE));
    const { text } = await call(`${server.metrics}/metrics`);
    assert.match(text, /nv_cache_num_hits_per_model\{model="quick",version="1"\} 2\n/);
    assert.match(text, /nv_cache_num_misses_per_model\{model="quick",version="1"\} 1\n/);
    assert.match(text, /nv_inference_request_summary_us\{model="quick",version="1",quantile="0.5"\} \d+\n/);
    assert.match(text, /nv_inference_first_response_histogram_ms_count\{model="repeat",version="1"\} \d+\n/);
    assert.match(text, /nv_inference_request_success\{model="quick",version="1"\} 3\n/);
    assert.match(text, /nv_inference_exec_count\{model="quick",version="1"\} 1\n/);
  });

  test('goodput explain says why batches had their sizes', async () => {
    const main = new URL('../../src/cli/main.ts', import.meta.url).pathname;
    const text = await new Promise<string>((resolve, reject) => {
      const child = spawn(process.execPath, [main, 'explain', 'batching', 'slow', `--url=${server.http}`]);
      let out = '';
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(out))));
    });
    assert.match(text, /slow, version 1: default, max_batch_size 8/);
    assert.match(text, /100 % {2}the model runs every request alone/);
  });

  test('traffic is read and set over HTTP', async () => {
    const url = `${server.http}/v2/models/quick/traffic`;
    assert.equal((await call(url)).text, '{"percent":{}}');
    const set = await call(url, post('{"percent":{"1":100},"sticky_header":"X-User"}'));
    assert.equal(set.text, '{"percent":{"1":100},"sticky_header":"x-user"}');
    assert.equal((await call(url, post('{"percent":{"1":40}}'))).status, 400);
    assert.equal((await call(url, post('{}'))).text, '{"percent":{}}');
    assert.equal((await call(`${server.http}/v2/models/none/traffic`)).status, 404);
  });
});

describe('keys, headers, TLS, compression', () => {
  const models = repository();
  after(() => models[Symbol.dispose]());
  const restrictions = (header: string): Restrictions => new Map([['statistics', { header, value: 'secret' }]]);

  for (const name of ['Restricted.test_grpc_wants_the_key', 'Restricted.test_http_wants_the_key']) {
    test(name, async () => {
      await using server = await startInProcess(
        models.path,
        {},
        {
          httpOptions: {
            restrictions: restrictions('key'),
            forward: undefined,
            maxInputBytes: 2 ** 20,
            overloadStatus: 429,
          },
          grpcOptions: { ...PLAIN_GRPC, restrictions: restrictions('triton-grpc-protocol-key') },
        },
      );
      const urls = { HTTP_URL: server.http, GRPC_URL: server.grpc };
      const { status, output } = await pythonTest('test_orchestration.py', name, urls);
      assert.equal(status, 0, output);
    });
  }

  test('headers that match the pattern become parameters, what the body says comes first', async () => {
    const httpOptions = { restrictions: new Map(), forward: /^(?:X-.*)$/, maxInputBytes: 2 ** 20, overloadStatus: 429 };
    await using server = await startInProcess(models.path, {}, { httpOptions });
    const headers = { 'X-Tenant': 'a', 'X-Both': 'header', Other: 'no' };
    const body = '{"IN":1,"X-Both":"body"}';
    // undici lower-cases names: a plain socket sends them as they are.
    const text = await raw(server.http, '/v2/models/echo/generate', headers, body);
    const { OUT } = JSON.parse(text) as { OUT: string };
    assert.deepEqual(JSON.parse(OUT), { 'X-Tenant': 'a', 'X-Both': 'body' });
  });

  test(
    'gRPC over TLS, with and without certificates of clients',
    { skip: missingTools.includes('openssl') },
    async () => {
      const certs = makeCertificates(folder);
      const read = (name: string): Buffer => readFileSync(join(certs, name));
      const tls = { cert: read('server.crt'), key: read('server.key'), clientAuthorities: undefined };
      for (const [name, clientAuthorities] of [
        ['Tls.test_server_certificate', undefined],
        ['Tls.test_mutual', read('ca.crt')],
      ] as const) {
        await using server = await startInProcess(
          models.path,
          {},
          {
            grpcOptions: { ...PLAIN_GRPC, tls: { ...tls, clientAuthorities } },
          },
        );
        const GRPC_URL = server.grpc.replace('127.0.0.1', 'localhost');
        const { status, output } = await pythonTest('test_orchestration.py', name, { GRPC_URL, CERTS: certs });
        assert.equal(status, 0, output);
      }
    },
  );

  test('gRPC answers are compressed for clients that say they take it', async () => {
    await using server = await startInProcess(models.path, {}, { grpcOptions: { ...PLAIN_GRPC, compressionLevel: 9 } });
    for (const accepts of ['identity,gzip', 'identity']) {
      const { encoding, frame } = await grpcCall(server.grpc, '/inference.GRPCInferenceService/ServerLive', accepts);
      const gzip = accepts.includes('gzip');
      assert.equal(encoding, gzip ? 'gzip' : undefined);
      assert.equal(frame[0], gzip ? 1 : 0);
      const message = gzip ? gunzipSync(frame.subarray(5)) : frame.subarray(5);
      assert.deepEqual([...message], [8, 1], 'live: true');
    }
  });

  test('a connection that is too old, and one that pings too much, is closed', async () => {
    const connections = { ...PLAIN_GRPC.connections, maxAge: 50, maxAgeGrace: 50 };
    await using old = await startInProcess(models.path, {}, { grpcOptions: { ...PLAIN_GRPC, connections } });
    assert.ok((await lifetime(old.grpc, () => undefined)) < 5000);
    const strict = { ...PLAIN_GRPC.connections, minPingInterval: 60_000, maxPingStrikes: 2 };
    await using server = await startInProcess(models.path, {}, { grpcOptions: { ...PLAIN_GRPC, connections: strict } });
    const pings = await lifetime(server.grpc, (session) => {
      const timer = setInterval(() => {
        if (session.destroyed) clearInterval(timer);
        else session.ping(() => undefined);
      }, 5);
    });
    assert.ok(pings < 5000);
    // Clients also ping to measure the way, whenever they get data: calls in between make that all right.
    const session = connectHttp2(`http://${server.grpc}`);
    const headers = { ':method': 'POST', ':path': '/none', 'content-type': 'application/grpc' };
    for (let round = 0; round < 10; round++) {
      await new Promise((resolve) => session.request(headers).on('close', resolve).resume().end());
      await new Promise((resolve) => session.ping(resolve));
    }
    assert.ok(!session.destroyed);
    session.close();
  });
});

describe('tracing', () => {
  const models = repository()
    .identity('step', 'TYPE_INT32', '1')
    .model('ens', {
      'config.pbtxt': `platform: "ensemble" max_batch_size: 8 input { name: "INPUT0" data_type: TYPE_INT32 dims: 1 }
      output { name: "OUTPUT0" data_type: TYPE_INT32 dims: 1 }
      ensemble_scheduling { step { model_name: "step" model_version: -1
        input_map { key: "INPUT0" value: "INPUT0" } output_map { key: "OUTPUT0" value: "OUTPUT0" } } }`,
      '1/x': '',
    });
  after(() => models[Symbol.dispose]());

  const options = (change: Partial<TracingOptions['settings']>, url = ''): TracingOptions => ({
    settings: { ...DEFAULT_TRACE_SETTINGS, levels: ['TIMESTAMPS', 'TENSORS'], rate: 1, ...change },
    openTelemetry: {
      url,
      resource: new Map([['service.name', 'tested']]),
      maxQueueSize: 1000,
      scheduleDelayMillis: 20,
      maxExportBatchSize: 100,
    },
  });

  interface Entry {
    readonly id: number;
    readonly model_name?: string;
    readonly parent_id?: number;
    readonly request_id?: string;
    readonly timestamps?: readonly { readonly name: string; readonly ns: number }[];
    readonly activity?: string;
    readonly tensor?: Readonly<Record<string, string>>;
  }
  const entries = (file: string): readonly Entry[] => JSON.parse(readFileSync(file, 'utf8')) as Entry[];

  test("a file has every request's moments and tensors, steps under their ensemble", async () => {
    const file = join(folder, 'trace.json');
    const server = await startInProcess(models.path, { tracing: options({ file }) });
    await call(`${server.http}/v2/models/ens/infer`, post(ONE.replace('{', '{"id":"abc",')));
    await sleep(20);
    await server.stop(5);
    const all = entries(file);
    const ens = all.find((entry) => entry.model_name === 'ens');
    const step = all.find((entry) => entry.model_name === 'step');
    assert.equal(step?.parent_id, ens?.id);
    assert.equal(ens?.request_id, 'abc');
    const moments = (id: number | undefined): readonly string[] =>
      all.filter((entry) => entry.id === id).flatMap((entry) => entry.timestamps?.map(({ name }) => name) ?? []);
    assert.deepEqual(moments(ens?.id), [
      'HTTP_RECV_START',
      'HTTP_RECV_END',
      'REQUEST_START',
      'QUEUE_START',
      'INFER_RESPONSE_COMPLETE',
      'HTTP_SEND_START',
      'HTTP_SEND_END',
      'REQUEST_END',
    ]);
    assert.deepEqual(moments(step?.id), [
      'REQUEST_START',
      'QUEUE_START',
      'COMPUTE_START',
      'COMPUTE_INPUT_END',
      'COMPUTE_OUTPUT_START',
      'COMPUTE_END',
      'REQUEST_END',
    ]);
    assert.deepEqual(
      all.filter((entry) => entry.id === step?.id && entry.activity).map((entry) => [entry.activity, entry.tensor]),
      [
        ['TENSOR_QUEUE_INPUT', { name: 'INPUT0', data: '1', shape: '1,1', dtype: 'INT32' }],
        ['TENSOR_BACKEND_OUTPUT', { name: 'OUTPUT0', data: '1', shape: '1,1', dtype: 'INT32' }],
      ],
    );
  });

  test('rate, count and log_frequency', async () => {
    const file = join(folder, 'rates.json');
    const server = await startInProcess(models.path, { tracing: options({ file, rate: 6 }) });
    const url = `${server.http}/v2/models/step`;
    await call(`${url}/trace/setting`, post('{"log_frequency":"2"}'));
    for (let index = 0; index < 20; index++) await call(`${url}/infer`, post(ONE));
    const changed = await call(`${server.http}/v2/trace/setting`, post('{"trace_rate":"1","trace_count":"3"}'));
    assert.match(changed.text, /"trace_count":"3"/);
    for (let index = 0; index < 5; index++) await call(`${server.http}/v2/models/quick/infer`, post(ONE));
    assert.match((await call(`${server.http}/v2/trace/setting`)).text, /"trace_count":"0"/);
    await server.stop(5);
    const count = (name: string): number => entries(`${file}.${name}`).filter((entry) => entry.model_name).length;
    assert.deepEqual([count('0'), count('1'), count('2')], [2, 1, 3]);
  });

  test('OpenTelemetry spans go to a collector, in the trace that the client has begun', async () => {
    const spans: Record<string, unknown>[] = [];
    const collector = createServer((incoming, response) => {
      let text = '';
      incoming.on('data', (chunk: Buffer) => (text += chunk.toString()));
      incoming.on('end', () => {
        const body = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: Record<string, unknown>[] }[] }[] };
        spans.push(...body.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans)));
        response.end('{}');
      });
    });
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    const { port } = collector.address() as AddressInfo;
    const tracing = options({ mode: 'opentelemetry', rate: 0 }, `http://127.0.0.1:${port}/v1/traces`);
    await using server = await startInProcess(models.path, { tracing });
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    await call(`${server.http}/v2/models/ens/infer`, post(ONE, headers));
    await call(`${server.http}/v2/models/ens/infer`, post(ONE));
    for (let tries = 0; tries < 100 && spans.length < 4; tries++) await sleep(20);
    collector.close();
    const byName = (name: string): Record<string, unknown> | undefined => spans.find((span) => span['name'] === name);
    assert.deepEqual(
      spans.map((span) => span['name']).toSorted((a, b) => String(a).localeCompare(String(b))),
      ['compute', 'ens', 'InferRequest', 'step'],
    );
    assert.ok(spans.every((span) => span['traceId'] === traceId));
    assert.equal(byName('InferRequest')?.['parentSpanId'], 'b7ad6b7169203331');
    assert.equal(byName('ens')?.['parentSpanId'], byName('InferRequest')?.['spanId']);
    assert.equal(byName('step')?.['parentSpanId'], byName('ens')?.['spanId']);
    assert.equal(byName('compute')?.['parentSpanId'], byName('step')?.['spanId']);
  });
});

describe('a Redis cache', { skip: missingTools.includes('redis') }, () => {
  test('is shared by servers, and its failure costs hits, not answers', async () => {
    using models = repository();
    const port = 16_379;
    const redis = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder]);
    await until(() => portOpen(port));
    const address = { host: '127.0.0.1', port, user: undefined, password: undefined, timeoutMillis: 500 };
    const engine = {
      cache: () => new StoreCache(createRedisStore(address, silentLogger), silentLogger),
      sharedCache: true,
    };
    await using first = await startInProcess(models.path, engine);
    await using second = await startInProcess(models.path, engine);
    const ask = async (server: InProcess): Promise<string> =>
      (await call(`${server.http}/v2/models/quick/infer`, post(ONE))).text;
    const hits = (server: InProcess): number => server.engine.model('quick', '').statistics.cacheHits.count;
    assert.match(await ask(first), /"data":\[1\]/);
    await sleep(50);
    assert.match(await ask(second), /"data":\[1\]/);
    assert.deepEqual([hits(first), hits(second)], [0, 1]);
    redis.kill('SIGKILL');
    await new Promise((resolve) => redis.once('close', resolve));
    assert.match(await ask(first), /"data":\[1\]/);
    assert.match(await ask(second), /"data":\[1\]/);
    assert.deepEqual([hits(first), hits(second)], [0, 1]);
  });
});

describe('the process', () => {
  test('every log line about a request carries its id and model', async () => {
    using models = new TemporaryRepository().identity('m', 'TYPE_INT32', '1');
    await using server = await RunningServer.start([
      '--model-repository',
      models.path,
      '--log-verbose=2',
      '--log-format=json',
    ]);
    await call(`${server.http}/v2/models/m/infer`, post(ONE.replace('{', '{"id":"abc",')));
    await until(() => server.log.includes('inference request answered'));
    const lines = server.log.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as object] : []));
    const about = lines.filter((line) => JSON.stringify(line).includes('inference request'));
    assert.equal(about.length, 2);
    for (const line of about) {
      const { model, version, request_id: id } = line as Record<string, unknown>;
      assert.deepEqual([model, version, id], ['m', 1, 'abc']);
    }
  });

  test('versions are swapped under load, and no request fails', async () => {
    using models = new TemporaryRepository().identity('m', 'TYPE_INT32', '1', delay(2));
    await using server = await RunningServer.start([
      '--model-repository',
      models.path,
      '--model-control-mode=explicit',
      '--load-model=m',
    ]);
    let running = true;
    const answers = new Map<string, number>();
    const client = async (): Promise<void> => {
      while (running) {
        const { status, text } = await call(`${server.http}/v2/models/m/infer`, post(ONE));
        const version = /"model_version":"(\d+)"/.exec(text)?.[1] ?? `${status} ${text}`;
        answers.set(version, (answers.get(version) ?? 0) + 1);
      }
    };
    const clients = Array.from({ length: 8 }, client);
    for (let version = 2; version <= 6; version++) {
      await sleep(60);
      models.model('m', { [`${version}/x`]: '' });
      assert.equal((await call(`${server.http}/v2/repository/models/m/load`, post('{}'))).status, 200);
    }
    await sleep(60);
    running = false;
    await Promise.all(clients);
    assert.deepEqual([...answers.keys()], ['1', '2', '3', '4', '5', '6'], JSON.stringify([...answers]));
  });

  test('SIGTERM: not ready, accepted requests finish, new ones are refused, exit 0', async () => {
    using models = new TemporaryRepository().identity('slow', 'TYPE_INT32', '1', delay(1500));
    const server = await RunningServer.start(['--model-repository', models.path]);
    const accepted = call(`${server.http}/v2/models/slow/infer`, post(ONE));
    await sleep(200);
    server.process.kill('SIGTERM');
    await sleep(200);
    assert.equal((await call(`${server.http}/v2/health/live`)).status, 200);
    assert.equal((await call(`${server.http}/v2/health/ready`)).status, 400);
    assert.equal((await call(`${server.http}/v2/models/slow/infer`, post(ONE))).status, 503);
    assert.equal((await accepted).status, 200);
    assert.equal(await server.exited(), 0);
    assert.match(server.log, /Timeout \d+: Found \d+ live models and 1 in-flight requests/);
  });

  test('--exit-timeout-secs ends the wait', async () => {
    using models = new TemporaryRepository().identity('slow', 'TYPE_INT32', '1', delay(60_000));
    const server = await RunningServer.start(['--model-repository', models.path, '--exit-timeout-secs=1']);
    const lost = call(`${server.http}/v2/models/slow/infer`, post(ONE)).catch(() => undefined);
    await sleep(200);
    const start = performance.now();
    assert.equal(await server.stop(), 0);
    assert.ok(performance.now() - start < 10_000);
    await lost;
  });

  test('memory comes back: 20 loads and unloads leave the process about as large as the first', async () => {
    using models = repository();
    models.model('big', {
      'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4 input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
        output { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 } instance_group { kind: KIND_CPU count: 2 }
        sequence_batching { control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
          state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: 1 } }`,
      '1/model.onnx': accumulatorModel(),
    });
    await using server = await RunningServer.start([
      '--model-repository',
      models.path,
      '--model-control-mode=explicit',
    ]);
    const resident = async (): Promise<number> => {
      const { text } = await call(`${server.metrics}/metrics`);
      return Number(/process_resident_memory_bytes (\d+)/.exec(text)?.[1]);
    };
    const cycle = async (): Promise<void> => {
      assert.equal((await call(`${server.http}/v2/repository/models/big/load`, post('{}'))).status, 200);
      const body =
        '{"parameters":{"sequence_id":1,"sequence_start":true},"inputs":[{"name":"INPUT","datatype":"INT32","shape":[1,1],"data":[1]}]}';
      assert.equal((await call(`${server.http}/v2/models/big/infer`, post(body))).status, 200);
      await call(`${server.http}/v2/repository/models/big/unload`, post('{}'));
      await until(async () => (await call(`${server.http}/v2/models/big/ready`)).status === 400);
      await sleep(30);
    };
    // The first cycles fill pools and caches that stay.
    for (let index = 0; index < 3; index++) await cycle();
    const first = await resident();
    for (let index = 0; index < 20; index++) await cycle();
    const last = await resident();
    assert.ok(last < first * 1.1, `${first} bytes before, ${last} after`);
  });
});

async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await check()) return;
    await sleep(20);
  }
  throw new Error('it did not come about in 10 s');
}

function portOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

function raw(url: string, path: string, headers: Readonly<Record<string, string>>, body: string): Promise<string> {
  const [host = '', port = ''] = url.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => {
      const lines = Object.entries({
        ...headers,
        Host: url,
        'Content-Length': String(body.length),
        Connection: 'close',
      });
      socket.write(
        `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`,
      );
    });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => resolve(text.slice(text.indexOf('\r\n\r\n') + 4)));
    socket.on('error', reject);
  });
}

function grpcCall(
  url: string,
  path: string,
  accepts: string,
): Promise<{ encoding: string | undefined; frame: Buffer }> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://${url}`);
    session.on('error', reject);
    const headers = {
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      'grpc-accept-encoding': accepts,
    };
    const stream = session.request(headers);
    let encoding: string | undefined;
    const parts: Buffer[] = [];
    stream.on('response', (head) => (encoding = head['grpc-encoding'] as string | undefined));
    stream.on('data', (chunk: Buffer) => parts.push(chunk));
    stream.on('end', () => {
      session.close();
      resolve({ encoding, frame: Buffer.concat(parts) });
    });
    stream.end(Buffer.alloc(5));
  });
}

/** Milliseconds until the server closes a connection. */
function lifetime(url: string, use: (session: ReturnType<typeof connectHttp2>) => void): Promise<number> {
  const start = performance.now();
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${url}`);
    session.on('error', () => undefined);
    session.on('connect', () => use(session));
    session.on('close', () => resolve(performance.now() - start));
  });
}
