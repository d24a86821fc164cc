import { createWriteStream, type WriteStream } from 'node:fs';
import { createServer, type IncomingMessage, request as forward, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync, inflateSync } from 'node:zlib';
import type { Endpoint } from '../client/index.ts';
import { parseInferRequest } from '../protocol/index.ts';
import { RECORDING_HEADER, recordedLine } from './recording.ts';

/** A proxy in front of a server that writes down the inferences that pass. */
export interface RecordProxy {
  readonly port: number;
  /** Requests written, and those that passed without: not understood, or with their inputs in shared memory. */
  readonly counts: { recorded: number; passed: number };
  close(): Promise<void>;
}

const INFER = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?\/infer$/;

/** Starts a proxy for KServe v2 over HTTP. */
export async function startRecordProxy(
  listenAt: { readonly host: string; readonly port: number },
  target: Endpoint,
  file: string,
): Promise<RecordProxy> {
  const out = createWriteStream(file);
  await new Promise<void>((resolve, reject) => {
    out.once('open', () => resolve());
    out.once('error', reject);
  });
  out.write(`${RECORDING_HEADER}\n`);
  const counts = { recorded: 0, passed: 0 };
  let began: number | undefined;
  const server = createServer((incoming, response) => {
    const at = performance.now();
    const pieces: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => pieces.push(piece));
    incoming.on('end', () => {
      const body = Buffer.concat(pieces);
      const [, model, version = ''] = incoming.method === 'POST' ? (INFER.exec(incoming.url ?? '') ?? []) : [];
      if (model !== undefined) {
        began ??= at;
        if (write(out, incoming, decodeURIComponent(model), version, body, (at - began) * 1000)) counts.recorded++;
        else counts.passed++;
      }
      pass(incoming, body, response, target);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listenAt.port, listenAt.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    counts,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await new Promise<void>((resolve) => out.end(() => resolve()));
    },
  };
}

function write(
  out: WriteStream,
  { headers }: IncomingMessage,
  model: string,
  version: string,
  body: Buffer,
  at: number,
): boolean {
  try {
    const coding = headers['content-encoding'];
    const plain = coding === 'gzip' ? gunzipSync(body) : coding === 'deflate' ? inflateSync(body) : body;
    const length = headers['inference-header-content-length'];
    const { request } = parseInferRequest(model, version, plain, length === undefined ? undefined : Number(length));
    if (request.inputs.some(({ sharedMemory }) => sharedMemory)) return false;
    out.write(`${recordedLine(at, request)}\n`);
    return true;
  } catch {
    // The server says what is wrong with it.
    return false;
  }
}

/** Hands a request on, and its response back. */
function pass(incoming: IncomingMessage, body: Buffer, response: ServerResponse, { host, port }: Endpoint): void {
  const { method, url, headers } = incoming;
  const onward = forward({ host, port, method, path: url, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', (error) => {
    response.writeHead(502, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: `the server behind the recording proxy: ${error.message}` }));
  });
  response.on('close', () => onward.destroy());
  onward.end(body);
}
