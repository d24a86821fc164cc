import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { deflate, gzip } from 'node:zlib';
import { errorMessage, type Logger, systemClock } from '../../../core/index.ts';
import { listen } from '../listen.ts';
import {
  errorReply,
  type HttpHandler,
  type HttpReply,
  type HttpRequest,
  type HttpStreamReply,
  TEXT_TYPE,
} from '../exchange.ts';
import { BodyPool } from './body-pool.ts';
import { BodyError, decompress, readBody } from './read-body.ts';

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly maxInputBytes: number;
  /** Other processes may listen on the same port. */
  readonly reusePort: boolean;
  readonly logger: Logger;
}

/** A listening HTTP server. */
export interface HttpListener {
  readonly port: number;
  /** Stops accepting connections, lets requests in progress finish, then resolves. */
  close(): Promise<void>;
}

/** Response bodies below this are joined into one write. */
const JOIN_BYTES = 16 * 1024;

/** Longer parts are written in slices of this size, so that other connections get their turn in between. */
const SLICE_BYTES = 256 * 1024;

/** Serves a handler with Node's own HTTP server. */
export async function listenHttp(handler: HttpHandler, options: HttpServerOptions): Promise<HttpListener> {
  const pool = new BodyPool();
  const server = createServer(
    { keepAlive: true, noDelay: true, keepAliveTimeout: 75_000, headersTimeout: 60_000, requestTimeout: 300_000 },
    (request, response) => serve(handler, options, pool, request, response),
  );
  server.on('clientError', (_, socket) => {
    if (socket.writable) {
      socket.end(
        'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 29\r\nConnection: close\r\n\r\n{"error":"malformed request"}',
      );
    }
  });
  const port = await listen(server, options.host, options.port, options.reusePort);
  return {
    port,
    close: () => closeServer(server),
  };
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), 2_000);
  await closed;
  clearTimeout(timer);
}

function serve(
  handler: HttpHandler,
  options: HttpServerOptions,
  pool: BodyPool,
  incoming: IncomingMessage,
  response: ServerResponse,
): void {
  let cancel: (() => void) | undefined;
  let pooled: Buffer | undefined;
  const arrivedAt = systemClock.now();
  response.sendDate = false;
  response.on('close', () => {
    // A request that was not answered may still be read by a model: its buffer is left to the garbage collector.
    if (!response.writableFinished) cancel?.();
    else if (pooled) pool.giveBack(pooled);
  });
  const accepts = incoming.headers['accept-encoding'];
  const reply = (answer: HttpReply | HttpStreamReply): void => {
    if ('start' in answer) {
      stream(response, answer);
      return;
    }
    if (accepts !== undefined && wantsCompression(accepts)) {
      void compressed(accepts, answer).then((packed) => write(response, packed));
    } else {
      write(response, answer);
    }
  };
  const dispatch = (body: Uint8Array): void => {
    const request: HttpRequest = {
      method: incoming.method ?? 'GET',
      target: incoming.url ?? '/',
      header: (name) => {
        const value = incoming.headers[name];
        return Array.isArray(value) ? value.join(', ') : value;
      },
      headers: () => rawHeaders(incoming.rawHeaders),
      arrivedAt,
      readAt: systemClock.now(),
      body,
    };
    try {
      cancel = handler(request, reply);
    } catch (error) {
      options.logger.error(`HTTP handler failed: ${errorMessage(error)}`);
      reply(errorReply(500, errorMessage(error)));
    }
  };
  const refuse = (error: unknown): void => {
    const status = error instanceof BodyError ? error.status : 500;
    const answer = errorReply(status, errorMessage(error), TEXT_TYPE);
    // What is left of the body may be long: the connection does not wait for it.
    response.setHeader('Connection', 'close');
    write(response, status === 501 ? { ...answer, headers: [['Accept-Encoding', 'gzip, deflate']] } : answer);
  };
  readBody(incoming, options.maxInputBytes, pool, (body, buffer) => {
    pooled = buffer;
    const encoding = incoming.headers['content-encoding'];
    if (body instanceof BodyError) refuse(body);
    else if (encoding === undefined || encoding === 'identity') dispatch(body);
    else decompress(body, encoding, options.maxInputBytes).then(dispatch, refuse);
  });
}

function* rawHeaders(raw: readonly string[]): Iterable<readonly [string, string]> {
  for (let index = 0; index + 1 < raw.length; index += 2) yield [raw[index] ?? '', raw[index + 1] ?? ''];
}

/** Bytes of a stream that a client may leave unread. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

/** Every chunk goes out as it is written; the head goes with the first one. */
function stream(response: ServerResponse, reply: HttpStreamReply): void {
  response.writeHead(reply.status, ['Content-Type', reply.contentType, 'Cache-Control', 'no-cache']);
  response.flushHeaders();
  reply.start({
    write(chunk) {
      if (!response.writable) return;
      response.write(chunk);
      // A client that does not read its events must not make the server keep them all.
      if (response.writableLength > MAX_UNSENT_BYTES) response.destroy();
    },
    end: () => response.end(),
  });
}

function write(response: ServerResponse, reply: HttpReply): void {
  let length = 0;
  for (const part of reply.body) length += part.length;
  const headers: string[] = ['Content-Type', reply.contentType, 'Content-Length', String(length)];
  for (const [name, value] of reply.headers ?? []) headers.push(name, value);
  response.writeHead(reply.status, headers);
  // Also when the client goes away before the end.
  if (reply.release) response.once('close', reply.release);
  const [only] = reply.body;
  if (reply.body.length <= 1 && length <= SLICE_BYTES) {
    response.end(only);
  } else if (length <= JOIN_BYTES) {
    response.end(Buffer.concat(reply.body, length));
  } else if (length <= SLICE_BYTES) {
    response.cork();
    for (const part of reply.body) response.write(part);
    response.end();
  } else {
    void writeSlices(response, reply);
  }
}

/** Writes a long body slice by slice; ends early when the client goes away. */
async function writeSlices(response: ServerResponse, reply: HttpReply): Promise<void> {
  const closed = new Promise<void>((resolve) => response.once('close', resolve));
  for (const part of reply.body) {
    for (let offset = 0; offset < part.length && !response.destroyed; offset += SLICE_BYTES) {
      const flushed = response.write(part.subarray(offset, offset + SLICE_BYTES));
      if (!flushed) await Promise.race([new Promise<void>((resolve) => response.once('drain', resolve)), closed]);
      if (offset + SLICE_BYTES < part.length) await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
  response.end();
}

function wantsCompression(accepts: string): boolean {
  return accepts.includes('gzip') || accepts.includes('deflate');
}

const gzipAsync = promisify(gzip);
const deflateAsync = promisify(deflate);

/** Compresses bodies that gain by it. */
async function compressed(accepts: string, reply: HttpReply): Promise<HttpReply> {
  const whole = Buffer.concat(reply.body);
  reply.release?.();
  const plain: HttpReply = { ...reply, body: [whole] };
  if (whole.length < 64) return plain;
  const encoding = accepts.includes('gzip') ? 'gzip' : 'deflate';
  const packed = await (encoding === 'gzip' ? gzipAsync(whole) : deflateAsync(whole));
  return { ...plain, body: [packed], headers: [...(reply.headers ?? []), ['Content-Encoding', encoding]] };
}
