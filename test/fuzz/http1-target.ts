import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, METHODS, type ServerResponse } from 'node:http';
import { silentLogger } from '../../src/core/index.ts';
import { type HttpHandler, jsonReply } from '../../src/server/frontends/exchange.ts';
import { BodyPool } from '../../src/server/frontends/http/body-pool.ts';
import { Connection } from '../../src/server/frontends/http/http1/connection.ts';
import { cut, mutate, type Random } from './mutator.ts';
import { Pipe } from './pipe.ts';

const lines = (...list: readonly string[]): Buffer => Buffer.from(list.join('\r\n'), 'latin1');

const CORPUS: readonly Buffer[] = [
  lines('GET /v2/health/live HTTP/1.1', 'Host: x', '', ''),
  lines('POST /a HTTP/1.1', 'Host: x', 'Content-Length: 5', '', 'helloGET /b HTTP/1.1', 'Host: y', '', ''),
  lines('POST /c HTTP/1.1', 'host: x', 'Transfer-Encoding: chunked', '', '5;a=b', 'hello', '0', 'T: u', '', ''),
  lines('POST /d HTTP/1.0', 'Connection: keep-alive', 'Content-Length: 2', '', 'hi'),
  lines('PUT /e?f=g HTTP/1.1', 'Host: x', 'Expect: 100-continue', 'Content-Length: 1', 'Connection: close', '', 'z'),
  lines('GET / HTTP/1.1', 'Host: x', 'A: 1', 'A: 2', 'Accept: */*', '', 'GET /h HTTP/1.1', 'Host: x', '', ''),
];

/** What smuggling is made of. */
const DICTIONARY: readonly Buffer[] = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '\n\n',
  ' ',
  '\t',
  ':',
  ',',
  '0\r\n\r\n',
  '\0',
  '\u000b',
  'HTTP/1.1',
  ';',
  '+',
  '-',
  '0x',
  'Content-Length: 3\r\n',
  'Content-Length: 0\r\n',
  'Content-Length : 4\r\n',
  'Content-Length: 3, 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding:\tchunked\r\n',
  'Transfer-Encoding: chunked, identity\r\n',
  'Transfer-Encoding: xchunked\r\n',
  ' folded: x\r\n',

  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Upgrade: h2c\r\n',
  'Host: z\r\n',
  'ffffffff',
  '00000000000000000',
  'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n',
  'chunked',
  'CHUNKED',
].map((text) => Buffer.from(text, 'latin1'));

/** A request as a server understood it. */
interface Message {
  readonly method: string;
  readonly target: string;
  readonly body: string;
}

const BODY_LIMIT = 1 << 20;
const pool = new BodyPool();

/** What our server makes of bytes that come in pieces. */
async function ours(pieces: readonly Buffer[]): Promise<readonly Message[]> {
  const seen: Message[] = [];
  const handler: HttpHandler = ({ method, target, body }, reply) => {
    seen.push({ method, target, body: Buffer.from(body).toString('latin1') });
    reply(jsonReply(200, '""'));
    return undefined;
  };
  const pipe = new Pipe();
  const connection = new Connection(pipe.asSocket(), {
    handler,
    maxInputBytes: BODY_LIMIT,
    pool,
    logger: silentLogger,
  });
  for (const piece of pieces) {
    pipe.push(piece);
    await settled();
  }
  // Requests that came together are answered in turns of the loop.
  for (let count = -1; count !== seen.length;) {
    count = seen.length;
    await settled();
  }
  connection.destroy();
  return seen;
}

/** Node drops the body of a request when something is wrong with what follows it. */
interface NodesMessage {
  readonly method: string;
  readonly target: string;
  body?: string;
}

const nodeServer = createServer({ keepAliveTimeout: 0 });

/** What Node's server, whose parser is llhttp, makes of the same. */
async function nodes(bytes: Buffer): Promise<readonly NodesMessage[]> {
  const seen: NodesMessage[] = [];
  const pipe = new Pipe();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const message: NodesMessage = { method: request.method ?? '', target: request.url ?? '' };
    seen.push(message);
    let body = '';
    request.setEncoding('latin1');
    request.on('data', (text: string) => (body += text));
    request.on('end', () => {
      message.body = body;
      response.end('""');
    });
  };
  const socket = pipe.asSocket();
  listeners.set(socket, listener);
  nodeServer.emit('connection', socket);
  pipe.push(Buffer.from(bytes));
  for (let count = -1; count !== seen.length;) {
    count = seen.length;
    for (let turn = 0; turn < 4; turn++) await settled();
  }
  pipe.destroy();
  listeners.delete(socket);
  return seen;
}

type Listener = (request: IncomingMessage, response: ServerResponse) => void;
const listeners = new Map<unknown, Listener>();
const dispatch: Listener = (request, response) => listeners.get(request.socket)?.(request, response);
nodeServer.on('request', dispatch);
nodeServer.on('checkContinue', dispatch);
nodeServer.on('checkExpectation', dispatch);
nodeServer.on('clientError', (_error, socket) => socket.destroy());

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Every how many inputs Node's server is asked too: it takes far longer. */
const COMPARED = 10;

/**
 * HTTP/1.1: a stream of bytes means the same however it is cut; and no request is read out of it that another strict
 * parser does not read there as well.
 */
export async function fuzzHttp1(random: Random, index: number): Promise<void> {
  const bytes = mutate(random, CORPUS, DICTIONARY);
  const [whole, pieces] = await Promise.all([ours([Buffer.from(bytes)]), ours(cut(random, bytes))]);
  assert.deepEqual(pieces, whole, `cut in pieces it means something else: ${JSON.stringify(bytes.toString('latin1'))}`);
  if (index % COMPARED !== 0 || whole.length === 0) return;
  const others = await nodes(bytes);
  for (const [position, message] of whole.entries()) {
    // Node's parser knows a list of methods; ours lets the handler say which it serves.
    if (!METHODS.includes(message.method)) return;
    const other = others[position];
    assert.deepEqual(
      message,
      other && { body: message.body, ...other },
      `Node reads something else: ${JSON.stringify(bytes.toString('latin1'))}`,
    );
  }
}
