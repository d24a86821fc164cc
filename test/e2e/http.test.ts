import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { HTTP_ENDPOINTS } from '../../src/server/frontends/endpoints.ts';
import { addSubModel } from '../fixtures/onnx-builder.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const SIXTEEN = '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]';
const body = (name = 'INPUT0', datatype = 'INT32', shape = '[1,16]', data = SIXTEEN, tail = ''): string =>
  `{"inputs":[{"name":"${name}","datatype":"${datatype}","shape":${shape},"data":${data}},{"name":"INPUT1","datatype":"INT32","shape":[1,16],"data":${SIXTEEN}}]${tail}}`;

describe('HTTP', () => {
  const models = new TemporaryRepository();
  let server: RunningServer;
  const url = (path: string): string => `${server.http}${path}`;
  const infer = (text: string): ReturnType<typeof call> => call(url('/v2/models/simple/infer'), post(text));

  before(async () => {
    models.model('simple', {
      'config.pbtxt': `backend: "onnxruntime" max_batch_size: 8 dynamic_batching { }
        input [ { name: "INPUT0" data_type: TYPE_INT32 dims: 16 }, { name: "INPUT1" data_type: TYPE_INT32 dims: 16 } ]
        output [ { name: "OUTPUT0" data_type: TYPE_INT32 dims: 16 }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: 16 } ]`,
      '1/model.onnx': addSubModel('INT32', ['N', 16]),
    });
    models.identity('ident', 'TYPE_STRING', '[ -1 ]');
    models.identity('half', 'TYPE_FP16', '[ 2 ]');
    models.identity('wide', 'TYPE_INT32', '[ -1 ]');
    models.identity(
      'slow',
      'TYPE_INT32',
      '[ 1 ]',
      'parameters { key: "execute_delay_ms" value { string_value: "300" } }',
    );
    server = await RunningServer.start([
      '--model-repository',
      models.path,
      '--model-control-mode=explicit',
      '--load-model=*',
      '--http-max-input-size=2000000',
    ]);
  });
  after(async () => {
    await server.stop();
    models[Symbol.dispose]();
  });

  test('answers as the protocol says', async () => {
    const answer = await infer(`{"id":"abc",${body().slice(1)}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.type, 'application/json');
    assert.equal(
      answer.text,
      '{"id":"abc","model_name":"simple","model_version":"1","outputs":[{"name":"OUTPUT0","datatype":"INT32","shape":[1,16],"data":[2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32]},{"name":"OUTPUT1","datatype":"INT32","shape":[1,16],"data":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}]}',
    );
  });

  /** Method, path, body, then the status, content type and body that the real server answers with. */
  const table: readonly (readonly [string, string, string | undefined, number, string | null, string | RegExp])[] = [
    ['GET', '/v2/health/live', undefined, 200, 'text/plain', ''],
    ['GET', '/v2/health/ready', undefined, 200, 'text/plain', ''],
    ['GET', '/v2/models/simple/ready', undefined, 200, 'text/plain', ''],
    ['GET', '/v2/models/simple/versions/1/ready', undefined, 200, 'text/plain', ''],
    ['GET', '/v2/models/nope/ready', undefined, 400, 'text/plain', '{"error":"Model version not ready"}'],
    [
      'GET',
      '/v2/models/nope',
      undefined,
      404,
      'application/json',
      `{"error":"Request for unknown model: 'nope' is not found"}`,
    ],
    [
      'GET',
      '/v2/models/simple/versions/9',
      undefined,
      404,
      'application/json',
      `{"error":"Request for unknown model: 'simple' version 9 is not found"}`,
    ],
    ['GET', '/v2/models/simple/versions/x', undefined, 404, 'text/plain', '{"error":"Not Found"}'],
    [
      'GET',
      '/v2/models/simple',
      undefined,
      200,
      'application/json',
      '{"name":"simple","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"INPUT0","datatype":"INT32","shape":[-1,16]},{"name":"INPUT1","datatype":"INT32","shape":[-1,16]}],"outputs":[{"name":"OUTPUT0","datatype":"INT32","shape":[-1,16]},{"name":"OUTPUT1","datatype":"INT32","shape":[-1,16]}]}',
    ],
    ['GET', '/v2/repository/index', undefined, 405, 'application/json', '{"error":"Method Not Allowed"}'],
    ['POST', '/v2/health/live', '', 405, 'text/plain', '{"error":"Method Not Allowed"}'],
    [
      'GET',
      '/v2/models/simple/versions/5/stats',
      undefined,
      400,
      'application/json',
      `{"error":"requested model version is not available for model 'simple'"}`,
    ],
    ['PUT', '/v2/models/simple/infer', '{}', 405, 'text/plain', '{"error":"Method Not Allowed"}'],
    ['GET', '/v2/models/simple/infer', undefined, 405, 'text/plain', '{"error":"Method Not Allowed"}'],
    ['GET', '/notapi/v2', undefined, 404, 'text/plain', '{"error":"Not Found"}'],
    ['POST', '/base_path/v2/models/simple/infer', '{}', 404, 'text/plain', '{"error":"Not Found"}'],
    [
      'POST',
      '/v2/models/simple/infer',
      '',
      400,
      'application/json',
      `{"error":"[request id: <id_unknown>] Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'simple' model configuration"}`,
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      '{',
      500,
      'application/json',
      /^\{"error":"failed to parse the request JSON buffer: /,
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      '{}',
      500,
      'application/json',
      `{"error":"Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"}`,
    ],
    [
      'POST',
      '/v2/models/nope/infer',
      '{"inputs":[]}',
      404,
      'text/plain',
      `{"error":"Request for unknown model: 'nope' is not found"}`,
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      body('INPUT0', 'INT32', '[1,16]', '[1,2]'),
      500,
      'application/json',
      `{"error":"Unable to parse 'data': Shape does not match true shape of 'data' field"}`,
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      body('INPUT0', 'INT32', '[1,15]'),
      500,
      'application/json',
      `{"error":"Unable to parse 'data': Shape does not match true shape of 'data' field"}`,
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      body('BAD'),
      400,
      'application/json',
      `{"error":"unexpected inference input 'BAD' for model 'simple'"}`,
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      body('INPUT0', 'FOO'),
      400,
      'application/json',
      '{"error":"invalid datatype for input INPUT0"}',
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      body('INPUT0', 'INT32', '[1,16]', SIXTEEN, ',"outputs":[{"name":"NO"}]'),
      400,
      'application/json',
      `{"error":"unexpected inference output 'NO' for model 'simple'"}`,
    ],
    [
      'POST',
      '/v2/models/simple/infer',
      body('INPUT0', 'INT32', '[1,16]', SIXTEEN, ',"outputs":[{"name":"OUTPUT0","parameters":{"classification":2}}]'),
      200,
      'application/json',
      /"OUTPUT0","datatype":"BYTES","shape":\[1,2\],"data":\["32:15","30:14"\]/,
    ],
    [
      'POST',
      '/v2/models/simple/generate',
      `{"INPUT0":${SIXTEEN},"INPUT1":${SIXTEEN},"id":"g1"}`,
      200,
      'application/json',
      '{"OUTPUT0":[2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32],"OUTPUT1":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"id":"g1","model_name":"simple","model_version":"1"}',
    ],
    ['GET', '/v2/systemsharedmemory/status', undefined, 200, 'application/json', '[]'],
    [
      'POST',
      '/v2/systemsharedmemory/region/r/register',
      '{"key":"/nope","byte_size":10}',
      500,
      'application/json',
      `{"error":"Unable to open shared memory region: '/nope'"}`,
    ],
    [
      'POST',
      '/v2/systemsharedmemory/region/r/register',
      '{"key":"/../../etc/passwd","byte_size":10}',
      400,
      'application/json',
      /invalid shared memory key/,
    ],
    ['POST', '/v2/systemsharedmemory/region/r/unregister', '', 200, 'application/json', ''],
    [
      'POST',
      '/v2/repository/models/nope/load',
      '',
      500,
      'application/json',
      `{"error":"failed to load 'nope', failed to poll from model repository"}`,
    ],
    ['POST', '/v2/repository/models/nope/unload', '', 200, 'application/json', ''],
    [
      'POST',
      '/v2/repository/models/..%2F..%2Fetc/load',
      '',
      500,
      'application/json',
      /failed to poll from model repository/,
    ],
    ['GET', '/v2/models/..%2F..%2Fetc/config', undefined, 404, 'application/json', /is not found/],
    ['GET', '/v2/models/%ff/config', undefined, 404, 'text/plain', '{"error":"Not Found"}'],
    [
      'GET',
      '/v2/logging',
      undefined,
      200,
      'application/json',
      '{"log_file":"","log_info":true,"log_warning":true,"log_error":true,"log_verbose_level":0,"log_format":"default"}',
    ],
    [
      'POST',
      '/v2/logging',
      '{"log_verbose_level":"x"}',
      400,
      'application/json',
      /'log_verbose_level' must be an integer/,
    ],
    [
      'GET',
      '/v2/trace/setting',
      undefined,
      200,
      'application/json',
      '{"trace_level":["OFF"],"trace_rate":"1000","trace_count":"-1","log_frequency":"0","trace_file":"","trace_mode":"triton"}',
    ],
    [
      'POST',
      '/v2/trace/setting',
      '{"trace_file":"elsewhere"}',
      501,
      'application/json',
      /trace file location can not be updated through network protocol/,
    ],
  ];
  for (const [method, path, text, status, type, expected] of table) {
    test(`${method} ${path} ${(text ?? '').slice(0, 60)}`, async () => {
      const answer = await call(url(path), text === undefined ? { method } : { method, body: text });
      assert.deepEqual([answer.status, answer.type], [status, type], answer.text);
      if (typeof expected === 'string') assert.equal(answer.text, expected);
      else assert.match(answer.text, expected);
      assert.equal((await infer(body())).status, 200);
    });
  }

  test('every endpoint of the reference is there', async () => {
    for (const { method, path } of HTTP_ENDPOINTS) {
      const variants = path.includes('[')
        ? [path.replaceAll(/\[[^\]]*\]/g, ''), path.replaceAll(/[[\]]/g, '')]
        : [path];
      for (const variant of variants) {
        const target = variant.replace('{model}', 'simple').replace('{version}', '1').replace('{region}', 'r');
        for (const verb of method.split(', ')) {
          const answer = await call(url(target), verb === 'GET' ? {} : post(''));
          assert.notEqual(answer.text, '{"error":"Not Found"}', `${verb} ${target}`);
          assert.notEqual(answer.status, 405, `${verb} ${target}`);
        }
      }
    }
    assert.equal((await call(url('/v2/repository/models/simple/load'), post(''))).status, 200);
  });

  test('binary headers that lie are refused', async () => {
    const header = `{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,16],"parameters":{"binary_data_size":64}},{"name":"INPUT1","datatype":"INT32","shape":[1,16],"parameters":{"binary_data_size":64}}]}`;
    const send = (bytes: number, length: string): ReturnType<typeof call> =>
      call(
        url('/v2/models/simple/infer'),
        post(new Uint8Array(Buffer.concat([Buffer.from(header), Buffer.alloc(bytes)])), {
          'Inference-Header-Content-Length': length,
        }),
      );
    const length = String(header.length);
    assert.equal((await send(128, length)).status, 200);
    assert.match(
      (await send(100, length)).text,
      /unexpected size for input 'INPUT1', expecting 28 additional bytes for model 'simple'/,
    );
    assert.match((await send(140, length)).text, /unexpected additional input data for model 'simple'/);
    assert.match((await send(128, '99999')).text, /inference header size should be in range \(0, \d+\), got: 99999/);
    assert.match((await send(128, '-1')).text, /got: -1/);
    assert.match((await send(128, 'abc')).text, /must be a number of bytes, got 'abc'/);
  });

  test('bodies beyond the limit are refused, as sent and decompressed', async () => {
    const big = `{"inputs":[],"id":"${'x'.repeat(2_000_001)}"}`;
    const plain = await infer(big);
    assert.equal(plain.status, 400);
    assert.match(
      plain.text,
      /exceeds the maximum allowed value of 2000000 bytes. Use --http-max-input-size to increase the limit/,
    );
    const packed = await call(
      url('/v2/models/simple/infer'),
      post(new Uint8Array(gzipSync(big)), { 'Content-Encoding': 'gzip' }),
    );
    assert.match(packed.text, /exceeds the maximum allowed value of 2000000 bytes/);
    const unknown = await call(url('/v2/models/simple/infer'), post('{}', { 'Content-Encoding': 'br' }));
    assert.deepEqual([unknown.status, unknown.text], [501, '{"error":"Unsupported compression type"}']);
    const broken = await call(url('/v2/models/simple/infer'), post('not gzip', { 'Content-Encoding': 'gzip' }));
    assert.equal(broken.status, 400);
  });

  test('long JSON is right both ways, and its mistakes are answered as those of short JSON', async () => {
    const count = 150_000;
    const data = Array.from({ length: count }, (_, index) => index % 97);
    const text = (shape: number): string =>
      `{"id":"long","inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,${shape}],"data":[${data.join(',')}]}]}`;
    const answer = await call(url('/v2/models/wide/infer'), post(text(count)));
    assert.equal(answer.status, 200, answer.text.slice(0, 200));
    const { outputs, id } = JSON.parse(answer.text) as { id: string; outputs: { shape: number[]; data: number[] }[] };
    assert.equal(id, 'long');
    assert.deepEqual(outputs[0]?.shape, [1, count]);
    assert.deepEqual(outputs[0]?.data, data);
    const wrong = await call(url('/v2/models/wide/infer'), post(text(count + 1)));
    assert.deepEqual([wrong.status, wrong.type], [500, 'application/json']);
    assert.match(wrong.text, /Shape does not match true shape of 'data' field/);
    const broken = await call(url('/v2/models/wide/infer'), post(`${text(count)}}`));
    assert.match(broken.text, /failed to parse the request JSON buffer/);
  });

  test('an output asked for twice and numbers beyond 2^63 are refused by name', async () => {
    const twice = JSON.stringify({
      ...(JSON.parse(body()) as object),
      outputs: [{ name: 'OUTPUT0' }, { name: 'OUTPUT0' }],
    });
    const duplicate = await infer(twice);
    assert.equal(duplicate.status, 400);
    assert.match(duplicate.text, /output 'OUTPUT0' already exists in request/);
    const region = await call(
      url('/v2/systemsharedmemory/region/huge/register'),
      post('{"key":"/huge","offset":9223372036854775808,"byte_size":1}'),
    );
    assert.deepEqual(
      [region.status, region.text],
      [400, '{"error":"\'offset\' must be an integer >= 0, got 9223372036854775808"}'],
    );
  });

  test('FP16 goes as binary only', async () => {
    const answer = await call(
      url('/v2/models/half/infer'),
      post('{"inputs":[{"name":"INPUT0","datatype":"FP16","shape":[1,2],"data":[1,2]}]}'),
    );
    assert.match(answer.text, /receiving FP16 data via JSON is not supported/);
    const raw = await call(
      url('/v2/models/half/infer'),
      post(new Uint8Array([1, 2, 3, 4]), { 'Inference-Header-Content-Length': '0' }),
    );
    assert.equal(raw.status, 200, 'a raw request is answered in binary');
  });

  test('a web page somewhere else cannot change state', async () => {
    const load = (headers: Record<string, string>): ReturnType<typeof call> =>
      call(url('/v2/repository/models/simple/load'), post('', headers));
    assert.equal((await load({ Origin: 'https://evil.example' })).status, 403);
    assert.equal((await load({ Origin: `http://${server.http}` })).status, 200);
    const rebound = await rawRequest(
      server.http,
      `POST /v2/repository/models/simple/unload HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    assert.match(rebound, /^HTTP\/1\.1 403/);
    assert.equal((await infer(body())).status, 200);
  });

  test('a body shorter than announced and a malformed head leave the server serving', async () => {
    const socket = connect(Number(server.http.split(':')[1]), '127.0.0.1');
    socket.write('POST /v2/models/simple/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{"inputs"');
    await sleep(50);
    socket.destroy();
    assert.match(await rawRequest(server.http, 'NONSENSE\r\n\r\n'), /^HTTP\/1\.1 400/);
    assert.equal((await infer(body())).status, 200);
  });

  test('a chunked body is one body', async () => {
    const text = body();
    const chunks = [text.slice(0, 10), text.slice(10, 50), text.slice(50)]
      .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
      .join('');
    const answer = await rawRequest(
      server.http,
      `POST /v2/models/simple/infer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunks}0\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 200/);
    assert.match(answer, /"data":\[2,4,6,8/);
  });

  test('a client that leaves cancels its waiting request', async () => {
    const one = '{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,1],"data":[1]}]}';
    const first = call(url('/v2/models/slow/infer'), post(one));
    await sleep(30);
    const controller = new AbortController();
    const second = fetch(`http://${url('/v2/models/slow/infer')}`, { ...post(one), signal: controller.signal });
    await sleep(30);
    controller.abort();
    await assert.rejects(second);
    assert.equal((await first).status, 200);
    await sleep(50);
    const metrics = (await call(`${server.metrics}/metrics`)).text;
    assert.match(metrics, /nv_inference_request_failure\{model="slow",reason="CANCELED",version="1"\} 1/);
  });
});

function rawRequest(address: string, text: string): Promise<string> {
  const [host, port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.write(text);
    setTimeout(() => socket.end(), 1000).unref();
  });
}
