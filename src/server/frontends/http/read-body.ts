import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import type { BodyPool } from './body-pool.ts';

/** Bodies from this size on are received into one exactly sized buffer out of a pool. */
const POOLED_BODY_BYTES = 16 * 1024;

/** After this many bytes of one body the other connections get their turn. */
const TURN_BYTES = 256 * 1024;

/** Most chunks of a chunked body; more is an attack or a mistake. */
const MAX_CHUNKS = 65_536;

/** Why a body could not be had. */
export class BodyError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function tooLarge(size: number | string, limit: number): BodyError {
  return new BodyError(
    400,
    `Request body of ${size} bytes exceeds the maximum allowed value of ${limit} bytes. Use --http-max-input-size to increase the limit.`,
  );
}

const EMPTY = Buffer.alloc(0);

/**
 * Receives a request's body; small bodies that come in one piece are not copied.
 * The callback is called once, unless the client goes away first; it gets the pooled buffer of the body, if there is
 * one, to give back when the request has been answered.
 */
export function readBody(
  request: IncomingMessage,
  limit: number,
  pool: BodyPool,
  callback: (body: Uint8Array | BodyError, pooled: Buffer | undefined) => void,
): void {
  const lengthHeader = request.headers['content-length'];
  const length = lengthHeader === undefined ? undefined : Number(lengthHeader);
  if (length !== undefined && length > limit) {
    request.resume();
    callback(tooLarge(length, limit), undefined);
    return;
  }
  if (length !== undefined && length >= POOLED_BODY_BYTES) readPooled(request, length, pool, callback);
  else readChunks(request, limit, (body) => callback(body, undefined));
}

function readPooled(
  request: IncomingMessage,
  length: number,
  pool: BodyPool,
  callback: (body: Uint8Array, pooled: Buffer) => void,
): void {
  const body = pool.take(length);
  let offset = 0;
  let turn = 0;
  request.on('data', (chunk: Buffer) => {
    chunk.copy(body, offset);
    offset += chunk.length;
    turn += chunk.length;
    if (turn < TURN_BYTES) return;
    turn = 0;
    request.pause();
    setImmediate(() => request.resume());
  });
  request.on('end', () => callback(body, body));
}

function readChunks(request: IncomingMessage, limit: number, callback: (body: Uint8Array | BodyError) => void): void {
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let size = 0;
  let failed = false;
  const fail = (error: BodyError): void => {
    failed = true;
    first = undefined;
    rest = undefined;
    callback(error);
  };
  request.on('data', (chunk: Buffer) => {
    if (failed) return;
    size += chunk.length;
    if (size > limit) {
      fail(tooLarge(`more than ${limit}`, limit));
      return;
    }
    if (!first) {
      first = chunk;
      return;
    }
    rest ??= [first];
    rest.push(chunk);
    if (rest.length > MAX_CHUNKS) fail(new BodyError(400, `Request body has more than ${MAX_CHUNKS} chunks`));
  });
  request.on('end', () => {
    if (!failed) callback(rest ? Buffer.concat(rest, size) : (first ?? EMPTY));
  });
}

const gunzipAsync = promisify(gunzip);
const inflateAsync = promisify(inflate);

/** Undoes a request's `Content-Encoding`. */
export async function decompress(body: Uint8Array, encoding: string, limit: number): Promise<Uint8Array> {
  const decode = encoding === 'gzip' ? gunzipAsync : encoding === 'deflate' ? inflateAsync : undefined;
  if (!decode) throw new BodyError(501, 'Unsupported compression type');
  try {
    return await decode(body, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(`more than ${limit}`, limit);
    throw new BodyError(400, `Failed to decompress the request body as ${encoding}: ${(error as Error).message}`);
  }
}
