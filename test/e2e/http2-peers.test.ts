import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from '../../src/protocol/generated/grpc_service_pb.js';
import { grpcFrame } from '../../src/protocol/index.ts';
import { makeCertificates } from '../support/certificates.ts';
import { PLAIN_GRPC, startInProcess } from '../support/in-process-server.ts';
import { missingTools } from '../support/missing-tools.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const GO_TOOLS = fileURLToPath(new URL('../../.cache/go-tools', import.meta.url));
const SERVICE = '/inference.GRPCInferenceService';
const INFER = `${SERVICE}/ModelInfer`;

const unless = (tool: string): { readonly skip: string | false } => ({
  skip: missingTools.includes(tool) ? `${tool} is not installed` : false,
});

/** Runs a program to its end; its output is text, or bytes. */
function program(
  command: string,
  args: readonly string[],
  input: Uint8Array = Buffer.alloc(0),
): Promise<{ readonly status: number | string; readonly output: Buffer; readonly errors: string }> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { encoding: 'buffer', maxBuffer: 2 ** 28 }, (error, output, errors) =>
      resolve({ status: error ? (error.code ?? 'killed') : 0, output, errors: errors.toString() }),
    );
    child.stdin?.end(input);
  });
}

/** An identity request of so many float values. */
function request(count: number): Uint8Array {
  return toBinary(
    ModelInferRequestSchema,
    create(ModelInferRequestSchema, {
      modelName: 'same',
      inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [1n, BigInt(count)] }],
      rawInputContents: [Buffer.alloc(count * 4, 'abcd')],
    }),
  );
}

function checkAnswer(message: Uint8Array, count: number): void {
  const { rawOutputContents } = fromBinary(ModelInferResponseSchema, message);
  // Not by deepEqual, which would draw the difference of megabytes.
  assert.ok(Buffer.alloc(count * 4, 'abcd').equals(rawOutputContents[0] ?? Buffer.from('nothing')));
}

describe('HTTP/2 clients of other makers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-http2-'));
  const models = new TemporaryRepository().identity('same', 'TYPE_FP32', '[ -1 ]');
  let server: Awaited<ReturnType<typeof startInProcess>>;

  before(async () => {
    server = await startInProcess(models.path);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    models[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('h2spec finds nothing', unless('go'), async () => {
    const [host = '', port = ''] = server.grpc.split(':');
    const { output } = await program(join(GO_TOOLS, 'h2spec'), ['-h', host, '-p', port, '-o', '2']);
    const text = output.toString();
    assert.match(text, /\n14\d tests, 14\d passed, 0 skipped, 0 failed/, text.slice(-3000));
  });

  test('gRPC in Go, many calls on one connection, half of them compressed', unless('go'), async () => {
    const client = join(GO_TOOLS, 'client');
    for (const [count, calls] of [
      [16, '500'],
      [1_000_000, '8'],
    ] as const) {
      const { status, output, errors } = await program(client, [server.grpc, INFER, calls], request(count));
      assert.equal(status, 0, errors);
      checkAnswer(output, count);
    }
  });

  test('gRPC in Go, a stream in both directions', unless('go'), async () => {
    const { status, output, errors } = await program(
      join(GO_TOOLS, 'client'),
      [server.grpc, 'stream', '300'],
      request(5000),
    );
    assert.equal(status, 0, errors);
    assert.equal(output.toString(), '300');
  });

  test('grpc-js, calls and a stream', async () => {
    const client = new Client(server.grpc, credentials.createInsecure());
    const asIs = (bytes: Buffer): Buffer => bytes;
    try {
      const call = (count: number): Promise<Buffer> =>
        new Promise((resolve, reject) => {
          client.makeUnaryRequest(INFER, asIs, asIs, Buffer.from(request(count)), (error, answer) => {
            if (error || !answer) reject(error ?? new Error('no answer'));
            else resolve(answer);
          });
        });
      const counts = Array.from({ length: 100 }, (_, index) => index * 300);
      const answers = await Promise.all(counts.map(call));
      for (const [index, answer] of answers.entries()) checkAnswer(answer, counts[index] ?? 0);
      await assert.rejects(
        new Promise((resolve, reject) => {
          client.makeUnaryRequest(`${SERVICE}/Nothing`, asIs, asIs, Buffer.alloc(0), (error) =>
            error ? reject(error) : resolve(undefined),
          );
        }),
        /12 UNIMPLEMENTED: unknown method/,
      );

      const stream = client.makeBidiStreamRequest(`${SERVICE}/ModelStreamInfer`, asIs, asIs);
      let streamed = 0;
      const done = new Promise<void>((resolve, reject) => {
        stream.on('data', (answer: Buffer) => {
          const { inferResponse } = fromBinary(ModelStreamInferResponseSchema, answer);
          assert.equal(inferResponse?.rawOutputContents[0]?.length, 40_000);
          streamed++;
        });
        stream.on('error', reject);
        stream.on('end', resolve);
      });
      for (let index = 0; index < 200; index++) stream.write(Buffer.from(request(10_000)));
      stream.end();
      await done;
      assert.equal(streamed, 200);
    } finally {
      client.close();
    }
  });

  test("Node's http2, with bodies larger than all windows", async () => {
    const session = connect(`http://${server.grpc}`);
    try {
      const count = 6_000_000;
      const stream = session.request({ ':method': 'POST', ':path': INFER, 'content-type': 'application/grpc' });
      stream.end(grpcFrame(request(count)));
      const pieces: Buffer[] = [];
      for await (const piece of stream) pieces.push(piece as Buffer);
      checkAnswer(Buffer.concat(pieces).subarray(5), count);
    } finally {
      session.close();
    }
  });

  test('nghttp and h2load', unless('nghttp'), async () => {
    const { output } = await program('nghttp', ['-v', `http://${server.grpc}/v2`]);
    assert.match(output.toString(), /gRPC calls are POST requests, not GET/);
    const file = join(folder, 'request');
    writeFileSync(file, grpcFrame(request(16)));
    const load = await program('h2load', [
      '-n5000',
      '-c8',
      '-m20',
      `--data=${file}`,
      '-Hcontent-type: application/grpc',
      `http://${server.grpc}${INFER}`,
    ]);
    assert.match(load.output.toString(), /5000 succeeded, 0 failed, 0 errored, 0 timeout/);
  });

  test('curl, with prior knowledge and over TLS by ALPN', unless('curl'), async () => {
    const file = join(folder, 'curl-request');
    writeFileSync(file, grpcFrame(request(16)));
    const post = ['--silent', '--show-error', '--data-binary', `@${file}`, '-H', 'content-type: application/grpc'];
    const plain = await program('curl', [...post, '--http2-prior-knowledge', `http://${server.grpc}${INFER}`]);
    assert.equal(plain.status, 0, plain.errors);
    checkAnswer(plain.output.subarray(5), 16);

    makeCertificates(folder);
    const read = (name: string): Buffer => readFileSync(join(folder, name));
    const tls = { cert: read('server.crt'), key: read('server.key'), clientAuthorities: undefined };
    await using secure = await startInProcess(models.path, {}, { grpcOptions: { ...PLAIN_GRPC, tls } });
    const url = `https://localhost:${secure.ports.grpc ?? 0}${INFER}`;
    const over = await program('curl', [...post, '--http2', '--cacert', join(folder, 'ca.crt'), url]);
    assert.equal(over.status, 0, over.errors);
    checkAnswer(over.output.subarray(5), 16);
    const old = await program('curl', [...post, '--http1.1', '--cacert', join(folder, 'ca.crt'), url]);
    assert.notEqual(old.status, 0, 'no HTTP/1.1 where only HTTP/2 is spoken');
  });
});
