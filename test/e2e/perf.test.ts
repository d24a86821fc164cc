import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KserveHttpClient, parseEndpoint } from '../../src/client/index.ts';
import { accumulatorModel, addSubModel } from '../fixtures/onnx-builder.ts';
import { makeCertificates } from '../support/certificates.ts';
import { PLAIN_GRPC, startInProcess } from '../support/in-process-server.ts';
import { missingTools } from '../support/missing-tools.ts';
import { RunningServer } from '../support/running-server.ts';
import { scriptedConfig } from '../support/scripted-backend.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs `goodput perf` to its end. */
function perf(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, 'perf', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    child.on('close', (status) => resolve({ status, output, errors }));
  });
}

const numberAfter = (text: string, label: string): number =>
  Number(new RegExp(`${label} ([\\d.]+)`).exec(text)?.[1] ?? Number.NaN);

/**
 * Checks that a load by schedule was measured. Where other tests take the CPU, the generator says that it came late:
 * that is no mistake of it.
 */
function assertScheduled({ status, output, errors }: Outcome): void {
  const late = status === 2 && /INVALID: .* did not get the CPU in time/.test(output);
  assert.ok(status === 0 || late, output + errors);
}

/** Windows that are short, and stable whatever happens. */
const QUICK = ['-p', '150', '-s', '1000'] as const;

describe('goodput perf', () => {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-perf-'));
  const models = new TemporaryRepository();
  let server: Awaited<ReturnType<typeof startInProcess>>;

  before(async () => {
    models.model('simple', { '1/model.onnx': addSubModel('INT32', ['N', 16]) });
    models.model('repeat', { '1/empty': '', 'config.pbtxt': scriptedConfig('repeat') });
    models.model('fail', { '1/empty': '', 'config.pbtxt': scriptedConfig('fail') });
    models.model('slow', {
      '1/empty': '',
      'config.pbtxt': scriptedConfig('countdown', 'parameters { key: "delay_ms" value { string_value: "20" } }'),
    });
    models.identity('text', 'TYPE_STRING', '[ -1 ]');
    models.model('stateful', {
      '1/model.onnx': accumulatorModel(),
      'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4 input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
      output { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }
      sequence_batching { oldest { max_candidate_sequences: 4 }
        control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
        state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: 1 } }`,
    });
    server = await startInProcess(models.path);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    models[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });

  for (const [protocol, extra] of [
    ['http', []],
    ['http', ['--input-tensor-format=json', '--output-tensor-format=json']],
    ['http', ['--http-compression-algorithm', 'gzip']],
    ['http', ['--shared-memory', 'system']],
    ['grpc', []],
    ['grpc', ['--streaming']],
    ['grpc', ['--grpc-compression-algorithm=gzip']],
    ['grpc', ['--shared-memory=system']],
  ] as const) {
    test(`counts over ${protocol} ${extra.join(' ')} what the server counts`, async () => {
      const { status, output, errors } = await perf(
        '-m',
        'simple',
        '-i',
        protocol,
        '-u',
        server[protocol],
        '-b',
        '2',
        '--request-count',
        '200',
        '--concurrency-range',
        '4',
        ...extra,
      );
      assert.equal(status, 0, output + errors);
      assert.equal(numberAfter(output, 'Request count:'), 200);
      assert.equal(numberAfter(output, 'Inference count:'), 400);
      assert.equal(numberAfter(output, 'Successful request count:'), 200);
      assert.match(output, new RegExp(`Avg ${protocol === 'http' ? 'HTTP' : 'gRPC'} time: \\d+ usec`));
    });
  }

  test('visits a range, and writes the CSV that perf_analyzer writes', async () => {
    const csv = join(folder, 'report.csv');
    const { status, output } = await perf(
      '-m',
      'simple',
      '-u',
      server.http,
      ...QUICK,
      '--concurrency-range',
      '1:3:2',
      '-f',
      csv,
      '--verbose-csv',
      '--collect-metrics',
      '--metrics-url',
      `${server.metrics}/metrics`,
    );
    assert.equal(status, 0, output);
    assert.match(
      output,
      /Request concurrency: 1\n[^]*Request concurrency: 3\n[^]*Inferences\/Second vs. Client Average Batch Latency\nConcurrency: 1, throughput: [\d.]+ infer\/sec, latency \d+ usec\nConcurrency: 3, /,
    );
    const [header = '', ...rows] = readFileSync(csv, 'utf8').trim().split('\n');
    assert.equal(
      header,
      'Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency,Avg latency,request/response,response wait,Avg GPU Utilization,Avg GPU Power Usage,Max GPU Memory Usage,Total GPU Memory',
    );
    assert.equal(rows.length, 2);
    for (const row of rows) assert.equal(row.split(',').length, header.split(',').length);
    assert.match(output, /Avg CPU Utilization: [\d.]+%/);
  });

  test('reports a throughput within 1 % of what the server counted in the same time', async () => {
    const { output } = await perf(
      '-m',
      'simple',
      '-u',
      server.http,
      '-p',
      '1000',
      '-s',
      '1000',
      '--concurrency-range',
      '4',
    );
    const client = numberAfter(output, 'Request count:');
    assert.ok(Math.abs(client / numberAfter(output, 'Inference count:') - 1) < 0.01, output);
  });

  test('keeps to a rate, and says how late requests were sent', async () => {
    for (const distribution of ['constant', 'poisson']) {
      const { output } = await perf(
        '-m',
        'simple',
        '-u',
        server.http,
        '-p',
        '500',
        '-s',
        '1000',
        '--request-rate-range',
        '300',
        '--request-distribution',
        distribution,
      );
      const throughput = numberAfter(output, 'Throughput:');
      assert.ok(throughput > 200 && throughput < 400, output);
      assert.match(output, /Send delay: p50 \d+ usec, p99 \d+ usec, more than 1 msec late: [\d.]+ %/);
      assert.match(output, /Latency from the actual send: avg \d+ usec/);
    }
  });

  test('marks a load that the server could not take as invalid, and names what held it back', async () => {
    const { status, output } = await perf(
      '-m',
      'slow',
      '--shape',
      'IN:1',
      '-u',
      server.http,
      ...QUICK,
      '--request-rate-range',
      '2000',
      '--max-connections',
      '2',
      '--input-data',
      'zero',
    );
    assert.equal(status, 2, output);
    assert.match(
      output,
      /INVALID: the load was not delivered\. \d+ % of the requests .* all connections were waiting for the server/,
    );
    assert.match(output, /invalid: load not delivered/);
  });

  test('sends by the intervals of a file', async () => {
    const intervals = join(folder, 'intervals');
    writeFileSync(intervals, '1000\n3000\n');
    const outcome = await perf('-m', 'simple', '-u', server.http, ...QUICK, '--request-intervals', intervals);
    assertScheduled(outcome);
    assert.match(outcome.output, /Request Rate: 500, throughput: \d+/);
  });

  test('asks a decoupled model over a stream, and counts its responses', async () => {
    const data = join(folder, 'repeat.json');
    writeFileSync(data, '{"data": [{"IN": {"content": [1, 2, 3], "shape": [3]}}]}');
    const args = ['-m', 'repeat', '-i', 'grpc', '-u', server.grpc, '--input-data', data] as const;
    const exported = join(folder, 'profile.json');
    const { status, output } = await perf(
      ...args,
      '--streaming',
      '--request-count',
      '20',
      '--profile-export-file',
      exported,
    );
    assert.equal(status, 0, output);
    assert.match(output, /Response Throughput: [\d.]+ infer\/sec/);
    const { experiments } = JSON.parse(readFileSync(exported, 'utf8')) as {
      readonly experiments: readonly {
        readonly requests: readonly {
          readonly timestamp: number;
          readonly response_timestamps: readonly number[];
          readonly request_inputs: unknown;
          readonly response_outputs: unknown;
        }[];
      }[];
    };
    assert.equal(experiments[0]?.requests.length, 20);
    assert.deepEqual(experiments[0]?.requests[0]?.request_inputs, { IN: [1, 2, 3] });
    assert.deepEqual(experiments[0]?.requests[0]?.response_outputs, [{ OUT: [1] }, { OUT: [2] }, { OUT: [3] }]);
    for (const { timestamp, response_timestamps: times } of experiments[0]?.requests ?? []) {
      assert.equal(times.length, 3);
      assert.ok((times[0] ?? 0) > timestamp);
    }
    const refused = await perf(...args, '--request-count', '20');
    assert.equal(refused.status, 99);
    assert.match(refused.errors, /model 'repeat' is decoupled: it can only be asked with -i grpc --streaming/);
    const periodic = await perf(
      ...args,
      '--streaming',
      '-p',
      '300',
      '--periodic-concurrency-range',
      '1:4:1',
      '--request-period',
      '2',
      '--profile-export-file',
      exported,
    );
    assert.equal(periodic.status, 0, periodic.output + periodic.errors);
  });

  test('keeps the order of sequences: each starts once and ends once', async () => {
    for (const [protocol, load] of [
      ['http', ['--concurrency-range', '3']],
      ['grpc', ['--request-rate-range', '300', '--num-of-sequences', '3']],
    ] as const) {
      const outcome = await perf(
        '-m',
        'stateful',
        '-i',
        protocol,
        '-u',
        server[protocol],
        ...QUICK,
        '--sequence-length',
        '5',
        ...load,
      );
      assertScheduled(outcome);
      const { output } = outcome;
      assert.ok(numberAfter(output, 'Request count:') > 20, output);
      assert.doesNotMatch(output, /Failed/);
    }
  });

  test('records what passes in front of a server, and replays it at its own times', async (context) => {
    const file = join(folder, 'recorded');
    const proxy = spawn(process.execPath, [
      MAIN,
      'perf',
      '--record',
      file,
      '-u',
      server.http,
      '--listen',
      '127.0.0.1:0',
    ]);
    context.after(() => proxy.kill('SIGKILL'));
    let said = '';
    proxy.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    while (!said.includes('Ctrl-C')) await sleep(10);
    const [, address = ''] = /go to (\S+) now/.exec(said) ?? [];
    const sent = await perf(
      '-m',
      'simple',
      '-u',
      address,
      '-b',
      '2',
      '--request-rate-range',
      '50',
      '--request-count',
      '40',
    );
    assertScheduled(sent);
    const broken = await fetch(`http://${address}/v2/models/simple/infer`, { method: 'POST', body: '{' });
    assert.match(await broken.text(), /failed to parse the request JSON/, 'the server answers what cannot be recorded');
    const ended = new Promise((resolve) => proxy.once('close', resolve));
    proxy.kill('SIGINT');
    assert.equal(await ended, 0);
    assert.match(said, /Recorded 40 requests; 1 passed that cannot be replayed/);

    for (const protocol of ['http', 'grpc'] as const) {
      const args = ['-i', protocol, '-u', server[protocol], '--input-data', file] as const;
      const outcome = await perf('-m', 'simple', ...args);
      assertScheduled(outcome);
      const { output } = outcome;
      assert.equal(numberAfter(output, 'Request count:'), 40);
      assert.equal(numberAfter(output, 'Inference count:'), 80, 'the requests have their batches');
      const throughput = numberAfter(output, 'Throughput:');
      assert.ok(throughput > 30 && throughput < 70, `at the rate at which it was recorded, not ${throughput}`);
      const faster = await perf('-m', 'simple', ...args, '--concurrency-range', '4', '--request-count', '200');
      assert.equal(numberAfter(faster.output, 'Request count:'), 200);
    }
    const other = await perf('-m', 'text', '-u', server.http, '--input-data', file);
    assert.equal(other.status, 2);
    assert.match(other.errors, /has no request for model 'text', only for simple/);
  });

  test('saves runs and compares them, and writes a page with plots', async () => {
    const [first, second, page] = ['a.json', 'b.json', 'report.html'].map((name) => join(folder, name));
    assert.ok(first && second && page);
    for (const file of [first, second]) {
      const { status } = await perf('-m', 'simple', '-u', server.http, ...QUICK, '--save', file, '--report', page);
      assert.equal(status, 0);
    }
    const { status, output } = await perf('compare', first, second);
    assert.equal(status, 0);
    assert.match(output, /Concurrency 1\n {2}throughput .* infer\/sec .* % {2}(not )?significant \(/);
    assert.match(readFileSync(page, 'utf8'), /^<!doctype html>[^]*simple: concurrency 1/);
    const wrong = await perf('compare', first, page);
    assert.equal(wrong.status, 99);
    assert.match(wrong.errors, /report.html' is no saved run/);
  });

  test('compares answers with the validation data', async () => {
    const good = join(folder, 'good.json');
    const bad = join(folder, 'bad.json');
    writeFileSync(good, '{"data": [{"INPUT0": ["a", "b"]}], "validation_data": [{"OUTPUT0": ["a", "b"]}]}');
    writeFileSync(bad, '{"data": [{"INPUT0": ["a", "b"]}], "validation_data": [{"OUTPUT0": ["a", "c"]}]}');
    for (const protocol of ['http', 'grpc'] as const) {
      const args = [
        '-m',
        'text',
        '-i',
        protocol,
        '-u',
        server[protocol],
        '--shape',
        'INPUT0:2',
        '--request-count',
        '20',
      ] as const;
      assert.equal((await perf(...args, '--input-data', good)).status, 0);
      const { status, errors } = await perf(...args, '--input-data', bad);
      assert.equal(status, 99);
      assert.match(errors, /output 'OUTPUT0' of model 'text' is not what validation_data says/);
    }
  });

  test('the command lines of older guides work as they are', async () => {
    const { host, port } = parseEndpoint(server.http, 1);
    const first = await perf(
      '-m',
      'simple',
      '--triton-http-endpoint',
      `${host}:${port}`,
      '--concurrency',
      '10',
      '--measurement-interval',
      '200',
      '--duration-ms',
      '400',
      '--collect-metrics',
      '--metrics-url',
      server.metrics,
      '-f',
      join(folder, 'results.csv'),
    );
    assert.equal(first.status, 0, first.output + first.errors);
    assert.match(first.output, /Request concurrency: 10/);
    const second = await perf(
      '-m',
      'simple',
      '-c',
      '10',
      '-d',
      '0.4',
      '-f',
      join(folder, 'results.csv'),
      '-u',
      server.http,
    );
    assert.equal(second.status, 0, second.output + second.errors);
    assert.match(second.output, /Measuring for 0.4 sec\n[^]*Request concurrency: 10/);
    const legacy = await perf('-m', 'simple', '-d', '-c', '2', '-l', '1000', '-u', server.http, ...QUICK);
    assert.match(legacy.output, /Request concurrency: 1\n[^]*Request concurrency: 2\n/);
    assert.match(legacy.output, /Goodput: [\d.]+ infer\/sec \(100.00 % of the requests succeeded within 1000 msec\)/);
  });

  test('says which window makes a measurement unstable, and how far the throughput is known', async () => {
    const { status, output } = await perf('-m', 'simple', '-u', server.http, '-p', '20', '-s', '0', '-r', '4');
    assert.equal(status, 2, output);
    assert.match(
      output,
      /UNSTABLE: the (throughput|latency) of window \d, \d+ (infer\/sec|usec), is \d+ % (above|below) the middle one/,
    );
    assert.match(output, /Throughput is [\d.]+ to [\d.]+ infer\/sec with 95 % confidence/);
    assert.match(output, /latency \d+ usec \(unstable\)/);
  });

  test('a model whose requests all fail is one sentence', async () => {
    const { status, errors } = await perf('-m', 'fail', '--shape', 'IN:1', '-u', server.http, ...QUICK);
    assert.equal(status, 99);
    assert.match(errors, /^error: no request succeeded: server: .*it fails as scripted/);
  });

  for (const [what, args, status, message] of [
    ['no model', [], 2, /-m MODEL is required/],
    [
      'a model that is not there',
      ['-m', 'none'],
      99,
      /failed to get model metadata: Request for unknown model: 'none' is not found/,
    ],
    ['a server that is not there', ['-m', 'simple', '-u', 'localhost:1'], 99, /cannot connect to localhost:1/],
    [
      'a batch that is too large',
      ['-m', 'slow', '--shape', 'IN:1', '-b', '2'],
      99,
      /-b 2: model 'slow' does not take batches/,
    ],
    [
      'two kinds of load',
      ['-m', 'simple', '--concurrency-range', '1', '--request-rate-range', '1'],
      2,
      /--concurrency-range and --request-rate-range do not go together/,
    ],
    [
      'a range that starts at 0',
      ['-m', 'simple', '--concurrency-range', '0:4'],
      2,
      /the start of the search range must be > 0/,
    ],
    ['a range backwards', ['-m', 'simple', '--concurrency-range', '4:2'], 2, /the end 2 is below the start 4/],
    ['a range without an end', ['-m', 'simple', '--concurrency-range', '1:0'], 2, /needs --latency-threshold/],
    ['streaming over HTTP', ['-m', 'simple', '--streaming'], 2, /--streaming needs gRPC/],
    [
      'an unknown flag',
      ['-m', 'simple', '--concurency-range', '1'],
      2,
      /unknown flag --concurency-range.*concurrency-range/,
    ],
    [
      'another service',
      ['-m', 'simple', '--service-kind', 'torchserve'],
      2,
      /--service-kind torchserve is not part of goodput yet/,
    ],
    ['CUDA shared memory', ['-m', 'simple', '--shared-memory', 'cuda'], 2, /--shared-memory cuda is not supported/],
    ['a wrong parameter', ['-m', 'simple', '--request-parameter', 'a:b:c'], 2, /NAME:VALUE:TYPE/],
    [
      'too few sequence ids',
      ['-m', 'stateful', '--sequence-id-range', '1:3', '--concurrency-range', '4'],
      99,
      /has 2 ids, and there are 4 sequences at a time/,
    ],
  ] as const) {
    test(`${what} is refused in one sentence`, async () => {
      const at = args.some((arg) => arg === '-u') ? [] : ['-u', server.http];
      const outcome = await perf(...args, ...at);
      assert.equal(outcome.status, status, outcome.output + outcome.errors);
      assert.match(outcome.errors, message);
      assert.equal(outcome.errors.trim().split('\n').length, 1, outcome.errors);
    });
  }

  test('a server that is no KServe server is told apart', async () => {
    const other = createServer((_request, response) => response.end('<html>hello</html>'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const { status, errors } = await perf('-m', 'simple', '-u', `127.0.0.1:${port}`);
    other.close();
    assert.equal(status, 99);
    assert.match(errors, /no JSON \(is this a KServe v2 server\?\)/);
  });

  test('a server that dies in the middle: what was measured is kept, and marked', async () => {
    const mortal = await RunningServer.start(['--model-repository', models.path, '--exit-on-error=false']);
    const running = perf(
      '-m',
      'simple',
      '-u',
      mortal.http,
      '-p',
      '400',
      '--duration',
      '30',
      '-f',
      join(folder, 'partial.csv'),
    );
    await sleep(2500);
    mortal.process.kill('SIGKILL');
    const { status, output } = await running;
    assert.equal(status, 1, output);
    assert.match(output, /INCOMPLETE: no request of the last window succeeded \(connect: cannot connect/);
    assert.ok(numberAfter(output, 'Request count:') > 100, output);
    assert.equal(readFileSync(join(folder, 'partial.csv'), 'utf8').trim().split('\n').length, 2);
  });

  test('talks gRPC over TLS, with a certificate of its own', { skip: missingTools.includes('openssl') }, async () => {
    makeCertificates(folder);
    const at = (name: string): string => join(folder, name);
    const tls = {
      cert: readFileSync(at('server.crt')),
      key: readFileSync(at('server.key')),
      clientAuthorities: readFileSync(at('ca.crt')),
    };
    await using secure = await startInProcess(models.path, {}, { grpcOptions: { ...PLAIN_GRPC, tls } });
    const url = secure.grpc.replace('127.0.0.1', 'localhost');
    const args = [
      '-m',
      'simple',
      '-i',
      'grpc',
      '-u',
      url,
      '--request-count',
      '20',
      '--ssl-grpc-use-ssl',
      'true',
      '--ssl-grpc-root-certifications-file',
      at('ca.crt'),
    ] as const;
    const trusted = await perf(
      ...args,
      '--ssl-grpc-certificate-chain-file',
      at('client.crt'),
      '--ssl-grpc-private-key-file',
      at('client.key'),
    );
    assert.equal(trusted.status, 0, trusted.output + trusted.errors);
    assert.equal((await perf(...args)).status, 99, 'the server wants a certificate');
    const unknown = await perf('-m', 'simple', '-i', 'grpc', '-u', url, '--ssl-grpc-use-ssl', 'true');
    assert.equal(unknown.status, 99);
    assert.match(unknown.errors, /cannot connect to localhost:\d+: .*certificate/);
  });

  test('sets what the server traces before the run', async () => {
    const { status, output, errors } = await perf(
      '-m',
      'simple',
      '-u',
      server.http,
      '--trace-level',
      'OFF',
      '--trace-rate',
      '7',
      '--request-count',
      '5',
    );
    assert.equal(status, 0, output + errors);
    const client = new KserveHttpClient(parseEndpoint(server.http, 1));
    assert.ok(await client.serverReady());
    client.close();
    const settings = (await (await fetch(`http://${server.http}/v2/models/simple/trace/setting`)).json()) as Record<
      string,
      unknown
    >;
    assert.equal(settings['trace_rate'], '7');
  });
});
